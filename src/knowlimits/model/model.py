"""A model as this library sees it: a value that is read once, and passed on to whatever computes."""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits._machine import are_small, one_thread, rows_at_a_time
from knowlimits._torch import CONVOLUTIONS
from knowlimits.model.arrays import as_points, both, outputs_of
from knowlimits.model.pipelines import AffineSteps, Steps
from knowlimits.model.stack import Stack

# Names that are shown.
_SHOWN = 5


class Outputs(StrEnum):
    """What networks return."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A classifier as this library has read it; `knowlimits.read` makes it, and whatever takes a model takes it.

    Its networks are copies in float64 that nothing changes any more: two calls on a `Model` are about the same functions,
    whatever becomes of what it was read from. It can be pickled.

    Attributes:
        name: of the class of what was read; of a Pipeline's last step.
        inner: the networks behind the steps, torch modules. A `Stack` holds several members, any other module one, unless its
            outputs have an axis of members.
        outputs: what the networks return, ``"logits"`` or ``"probabilities"``.
        steps: what a Pipeline does to its columns before its classifier, or None.
        classes_: labels of the classes, ``(classes,)``; None where the model has none. This name and the others are
            scikit-learn's, so that a `Model` can stand where a fitted classifier can.
        n_features_in_: how many columns it takes; None where it does not say.
        feature_names_in_: what it calls them; None where it does not say.
    """

    name: str
    inner: tuple[nn.Module, ...]
    outputs: Outputs = Outputs.LOGITS
    steps: Steps | None = None
    classes_: np.ndarray | None = None
    n_features_in_: int | None = None
    feature_names_in_: tuple[str, ...] | None = None

    @cached_property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks as functions of the model's own inputs, steps included.

        They map ``(n, ...)`` inputs to ``(members, n, classes)``, ``(n, classes)``, ``(n, 1)`` or ``(n,)`` outputs.

        Raises:
            TypeError: if a step is not affine.
        """
        if self.steps is None:
            return self.inner
        return tuple(with_steps(self.steps.affine, network, self.device) for network in self.inner)

    @property
    def behind(self) -> "Model":
        """The model behind the steps, which takes what they make of a table."""
        return dataclasses.replace(self, steps=None, n_features_in_=None, feature_names_in_=None) if self.steps else self

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next((p.device for network in self.inner for p in network.parameters()), torch.device("cpu"))

    def to(self, device: Any) -> "Model":
        """The model on a device: this one if it is there, or else a copy, as networks are shared by all that have read them."""
        wanted = torch.device(device)
        places = {t.device for network in self.inner for t in (*network.parameters(), *network.buffers())}
        if all(place.type == wanted.type and wanted.index in (None, place.index) for place in places):
            return self
        return dataclasses.replace(self, inner=tuple(network.to(wanted) for network in copy.deepcopy(self.inner)))

    def one_by_one(self, pad: bool = True) -> "list[Model]":
        """The members, each a model of its own; those of a `Stack` as modules of linear layers and ReLUs.

        Args:
            pad: give those of a `Stack` with one logit f the logits (0, f).
        """
        members: list[nn.Module] = []
        for network in self.inner:
            if isinstance(network, Stack) and self.steps is None:
                members += [_alone(network, i, pad) for i in range(network.members)]
            else:
                # Behind steps a `Stack` is one module with them.
                members.append(network)
        return [dataclasses.replace(self, inner=(network,)) for network in members]

    def member(self, index: int) -> "Model":
        """One member.

        Raises:
            ValueError: if there is no such member.
        """
        members = self.one_by_one()
        if not 0 <= index < len(members):
            raise ValueError(f"member must be in 0 to {len(members) - 1}. Got {index} instead.")
        return members[index]

    def threads(self, numbers: int = 1) -> AbstractContextManager[None]:
        """Torch works in one thread inside, if the model is small and takes inputs of few numbers each."""
        return one_thread(are_small(self.networks, numbers))

    def in_blocks(self, points: Tensor) -> Iterator[Tensor]:
        """Points ``(n, ...)`` in blocks for forward passes, so small that tensors of the widest layer stay in the cache."""
        widest = max((_numbers_per_row(network, points[:1].numel()) for network in self.networks), default=1)
        return iter(points.split(rows_at_a_time(widest, points.device)))

    def probabilities(self, points: Tensor) -> Tensor:
        """Probabilities of the members at points ``(n, ...)`` in one pass, with gradients: ``(members, n, classes)``."""
        given = self.outputs is Outputs.PROBABILITIES
        outputs = torch.cat([outputs_of(network, points, given) for network in self.networks]).double()
        return outputs if given else outputs.softmax(-1)

    def at(self, points: Tensor) -> Tensor:
        """Probabilities of the members at points ``(n, ...)``, block by block, without gradients: ``(members, n, classes)``."""
        with torch.no_grad(), self.threads(points[:1].numel()):
            return torch.cat([self.probabilities(part) for part in self.in_blocks(points)], 1)

    def predict_members(self, X: Any) -> np.ndarray:
        """Probabilities of the members for rows as the model takes them, ``(members, n, classes)``.

        Args:
            X: ``(n, columns)``, or ``(n, ...)`` as the model takes its inputs.
        """
        rows = as_points("X", X if self.steps is None else self.steps.transform(X))
        return self.behind.at(rows.to(self.device)).cpu().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities for rows as the model takes them, the mean over the members, ``(n, classes)``."""
        return self.predict_members(X).mean(0)

    def __str__(self) -> str:
        stacked = all(isinstance(network, Stack) for network in self.inner)
        members = str(sum(network.members if isinstance(network, Stack) else 1 for network in self.inner))
        labels = None if self.classes_ is None else [str(label) for label in self.classes_.tolist()]
        lines = {
            "members": members if stacked else f"{members}, or as many as the outputs have an axis for",
            "features": _counted(self.n_features_in_, self.feature_names_in_),
            "classes": _counted(None if labels is None else len(labels), labels),
            "outputs": self.outputs,
            "steps": "none" if self.steps is None else str(self.steps),
        }
        return "\n".join([self.name, *(f"  {key:<10}{value}" for key, value in lines.items())])


def with_steps(steps: AffineSteps, network: nn.Module, device: Any = "cpu") -> nn.Module:
    """A network on a device behind affine steps.

    Raises:
        TypeError: if they are not affine.
        ValueError: if their numbers are not finite.
    """
    if any(steps.held):
        raise TypeError(
            "model must be a Pipeline whose steps before the last are affine: scalers, PCA, selections, passthrough, or a "
            f"ColumnTransformer or Pipeline of these. Got {', '.join(sorted({*steps.held} - {''}))} instead."
        )
    first = linear(steps.matrix, steps.shift)
    check_numbers(first)
    return nn.Sequential(first.to(device), network)


def check_numbers(module: nn.Module) -> None:
    """Refuse a module whose weights or buffers are not finite.

    Raises:
        ValueError: with their name.
    """
    for name, parameter in module.named_parameters():
        if bad := int((~parameter.isfinite()).sum()):
            raise ValueError(f"model must have finite weights. Got {name} with {bad} of {parameter.numel()} that are not.")
    for name, buffer in module.named_buffers():
        # Infinity has uses in a buffer, such as a mask.
        if bool(buffer.isnan().any()):
            raise ValueError(f"model must have buffers of numbers. Got {name} with values that are not a number.")


def linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    """A layer of given weights, ``(outputs, inputs)`` and ``(outputs,)``, without gradients."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.tensor(weight))
    layer.bias.copy_(torch.tensor(bias))
    return layer


def _alone(stack: Stack, index: int, pad: bool) -> nn.Module:
    network = stack.member(index).requires_grad_(False)
    last = network[-1]
    assert isinstance(last, nn.Linear)
    if pad:
        # One logit f as (0, f), by a row of zeros.
        last.weight, last.bias = (
            nn.Parameter(p, requires_grad=False) for p in (both(last.weight.T).T.contiguous(), both(last.bias))
        )
    return network


def _numbers_per_row(module: nn.Module, numbers: int) -> int:
    """About how many numbers the largest tensor has that a module makes of an input of so many numbers.

    Weights know how wide a layer is, and a convolution keeps its places at most.
    """
    if isinstance(module, Stack):
        return module.members * max(numbers, *(weight.shape[1] for weight in module.weights))
    widths = [1]
    for m in module.modules():
        if isinstance(m, nn.Linear):
            widths.append(m.out_features)
        elif isinstance(m, CONVOLUTIONS):
            widths.append(numbers * m.out_channels // m.in_channels)
    return max(numbers, *widths)


def _counted(count: int | None, names: Any) -> str:
    """A number, and what is counted."""
    if count is None:
        return "not said"
    shown = "" if names is None else f": {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
    return f"{count}{shown}"
