"""A model as this library sees it: a value that is read once, and passed on to whatever computes."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits._machine import are_small, one_thread, rows_at_a_time
from knowlimits._torch import CONVOLUTIONS
from knowlimits.model import words
from knowlimits.model.arrays import as_points, as_rays, both
from knowlimits.model.content import FileContent
from knowlimits.model.copies import copied
from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Family
from knowlimits.model.network import Network
from knowlimits.model.outputs import probabilities_by_logits, probabilities_of
from knowlimits.model.own import OwnOfShape, labelled
from knowlimits.model.signature import in_shape
from knowlimits.model.stack import Stack
from knowlimits.model.steps import Along, Moves, Steps, check_gaps_stay


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A classifier as this library has read it; `knowlimits.read` makes it, and whatever takes a model takes it.

    Its networks are copies in float64 that nothing changes any more: two calls on a `Model` are about the same functions,
    whatever becomes of what it was read from. It can be pickled if its steps can.

    Attributes:
        name: of the class of what was read; of a Pipeline's last step.
        inner: the networks behind the steps, of logits. A `Stack` holds several members, and so does a `Network` whose module's
            outputs have an axis of members.
        steps: what happens to a table before the networks, or None.
        classes_: labels of the classes, ``(classes,)``; None where the model has none. This name and the others are
            scikit-learn's, so that a `Model` can stand where a fitted classifier can.
        n_features_in_: how many columns it takes; None where it does not say.
        feature_names_in_: what it calls them; None where it does not say.
        own: what was read, where its `predict` is another than the likeliest class.
        input_shape: of one input, where it is known to have several axes: the model takes rows of a table of as many columns,
            too, and puts them into that shape, the last axis the fastest. None for one that takes what it gets as it comes.
        files: that it was read from, one for each member that has its own; none where it was read from something else.
    """

    name: str
    inner: tuple[Network | Stack, ...]
    steps: Steps | None = None
    classes_: np.ndarray | None = None
    n_features_in_: int | None = None
    feature_names_in_: tuple[str, ...] | None = None
    own: Any = None
    input_shape: tuple[int, ...] | None = None
    files: tuple[FileContent, ...] = ()

    @cached_property
    def networks(self) -> tuple[Network | Stack, ...]:
        """The networks as functions of the model's own inputs where its steps are layers, else of what the steps make of these.

        They map inputs ``(n, ...)`` to logits ``(members, n, outputs)``; one output is a logit f, for (0, f).
        """
        return self._behind_steps if self.steps is not None and self.as_layers else self.inner

    @cached_property
    def as_layers(self) -> bool:
        """Whether its steps, if it has any, can be layers of its networks.

        A row with gaps goes through the steps themselves, which fill them; and so does one to what jumps, on whose side of a
        jump it is to come out as it does there, to the last bit.
        """
        return self.steps is None or (self._straight and not any(isinstance(n, Network) and n.jumps for n in self.inner))

    @property
    def _straight(self) -> bool:
        return self.steps is None or all(column.moves is Moves.AFFINE and not column.gaps for column in self.steps.columns)

    @cached_property
    def _behind_steps(self) -> tuple[Network | Stack, ...]:
        if self.steps is None:
            return self.inner
        affine = self.steps.affine
        return tuple(_behind(affine.matrix, affine.shift, network, self.device) for network in self.inner)

    def straight(self) -> "Model":
        """The model as functions of all its columns at once, which `networks` are then; it takes no gaps any more.

        Raises:
            TypeError: if its steps are not affine, with the columns and what they go through.
        """
        if self.as_layers or self.steps is None:
            return self
        if self._straight:
            return dataclasses.replace(self, inner=self._behind_steps, steps=None)
        # Says why, if so.
        _ = self.steps.affine
        columns = tuple(dataclasses.replace(column, gaps=False) for column in self.steps.columns)
        return dataclasses.replace(self, steps=dataclasses.replace(self.steps, columns=columns)).straight()

    def of_shape(self, shape: tuple[int, ...]) -> "Model":
        """The model, of rows of a table as well, which it puts into the shape of one input.

        Raises:
            ValueError: if it takes tables, or inputs of another shape.
        """
        if shape == self.input_shape:
            return self
        if self.input_shape is not None:
            raise ValueError(f"input_shape must be {self.input_shape}, which the model has. Got {shape} instead.")
        networks = tuple(network.of_shape(shape) for network in self.inner if isinstance(network, Network))
        if self.steps is not None or self.n_features_in_ is not None or len(networks) < len(self.inner):
            raise ValueError(f"input_shape must be None for a model that takes tables as they are. Got {shape} instead.")
        own = None if self.own is None else OwnOfShape(self.own, shape)
        said = {"n_features_in_": math.prod(shape), "own": own, "input_shape": shape}
        files = tuple(dataclasses.replace(file, input_shape=shape) for file in self.files)
        return dataclasses.replace(self, inner=networks, files=files, **said)

    @property
    def members(self) -> int:
        """How many members it has."""
        return sum(network.members for network in self.inner)

    @property
    def returns(self) -> Outputs:
        """What its networks return: logits, or what could not be undone."""
        kinds = {network.returns if isinstance(network, Network) else Outputs.LOGITS for network in self.inner}
        return next((kind for kind in (Outputs.PROBABILITIES, Outputs.LOG_PROBABILITIES) if kind in kinds), Outputs.LOGITS)

    @cached_property
    def made_of(self) -> str:
        """What a model is made of that is no network, or has a part that is none, as "300 trees"; ``""`` for a network."""
        return words.made_of(self.inner)

    @cached_property
    def taken(self) -> str:
        """What of files was taken for the classifier, in words; ``""`` where it comes of none that has several values."""
        return "; ".join(dict.fromkeys(filter(None, map(words.taken, self.inner))))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is computed otherwise than a file says, such as activations that it rounds to integers."""
        return tuple(dict.fromkeys(note for network in self.inner for note in words.notes(network)))

    @property
    def no_network(self) -> str:
        """What errors say of a model that is no network; ``""`` for a network."""
        return f"Got {self.name}, made of {self.made_of}" if self.made_of else ""

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
        return dataclasses.replace(self, inner=copied(self.inner, wanted))  # type: ignore[arg-type]

    def one_by_one(self, pad: bool = True) -> "list[Model]":
        """Its networks, each a model of its own; the members of a `Stack` as modules of linear layers and ReLUs.

        Args:
            pad: give members of a `Stack` with one logit f the logits (0, f).
        """
        alone: list[Network | Stack] = []
        for network in self.inner:
            if isinstance(network, Stack):
                alone += [Network(_alone(network, i, pad)) for i in range(network.members)]
            else:
                alone.append(network)
        return [dataclasses.replace(self, inner=(network,), files=()) for network in alone]

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

    def points(self, name: str, X: Any) -> Tensor:
        """Inputs as the model takes them, in float64: ``(n, ...)``, or a table ``(n, columns)``, codes for what is no number.

        Raises:
            ValueError: if they do not fit; `name` is theirs in the message.
            TypeError: if they are no numbers where the model takes numbers.
        """
        if self.steps is not None:
            return torch.from_numpy(self.steps.encode(name, X))
        points = as_points(name, X, self.gaps)
        if self.input_shape is not None:
            in_shape(name, points, self.input_shape)
        return points

    @property
    def gaps(self) -> bool:
        """Whether the networks take gaps (nan), as trees do."""
        return all(isinstance(network, Network) and network.gaps for network in self.inner)

    def rays(self, origins: Any, directions: Any, random_state: Any = None) -> tuple[Tensor, Tensor]:
        """Starts and directions of rays, as `knowlimits.far_field` takes them."""
        return as_rays(self.points("origins", origins), directions, random_state, gaps=True)

    def entering(self, points: Tensor) -> Tensor:
        """What `networks` take, for points as the model takes them."""
        if self.as_layers or self.steps is None:
            return points
        return torch.from_numpy(self.steps.transform(points.cpu().numpy())).to(points.device)

    def along(self, starts: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Along | None]:
        """The rays that `networks` are followed along for rays of the model: their starts, directions, and what is between.

        Raises:
            TypeError: if they move columns that cannot be moved.
            ValueError: if they move columns that are missing in their rows.
        """
        if self.as_layers or self.steps is None:
            if self.gaps:
                check_gaps_stay(starts.numpy(), directions.numpy(), self.feature_names_in_)
            return starts, directions, None
        along = self.steps.along(starts.cpu().numpy(), directions.cpu().numpy())
        origins, steps = (torch.from_numpy(part).to(starts.device) for part in (along.starts, along.directions))
        return origins, steps, along

    def in_blocks(self, points: Tensor) -> Iterator[Tensor]:
        """Points ``(n, ...)`` in blocks for forward passes, so small that tensors of the widest layer stay in the cache."""
        return iter(points.split(rows_at_a_time(self.widest(points[:1].numel()), points.device)))

    def widest(self, numbers: int) -> int:
        """About how many numbers the largest tensor has that its networks make of an input of so many."""
        return max((_numbers_per_row(network, numbers) for network in self.networks), default=1)

    def probabilities(self, points: Tensor) -> Tensor:
        """Probabilities of the members at points ``(n, ...)`` in one pass, with gradients: ``(members, n, classes)``.

        Raises:
            TypeError: for gradients through steps that are not affine.
        """
        if torch.is_grad_enabled():
            return torch.cat([probabilities_of(network, points) for network in self.straight().networks])
        points = self.entering(points)
        return torch.cat([probabilities_by_logits(network, points) for network in self.networks])

    def at(self, points: Tensor) -> Tensor:
        """Probabilities of the members at points ``(n, ...)``, block by block, without gradients: ``(members, n, classes)``."""
        with torch.no_grad(), self.threads(points[:1].numel()):
            # Steps take long for few rows at a time.
            parts = self.in_blocks(self.entering(points))
            return torch.cat([torch.cat([probabilities_by_logits(one, part) for one in self.networks]) for part in parts], 1)

    def predict_members(self, X: Any) -> np.ndarray:
        """Probabilities of the members for rows as the model takes them, ``(members, n, classes)``.

        Args:
            X: ``(n, columns)``, or ``(n, ...)`` as the model takes its inputs.
        """
        return self.at(self.points("X", X).to(self.device)).cpu().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities for rows as the model takes them, the mean over the members, ``(n, classes)``."""
        return self.predict_members(X).mean(0)

    def predict(self, X: Any) -> np.ndarray:
        """The model's own prediction for rows as it takes them, ``(n,)``; the likeliest class where it has none."""
        if self.own is not None:
            return labelled(self.own.predict, X)
        best = self.predict_proba(X).argmax(1)
        return best if self.classes_ is None else self.classes_[best]

    def __str__(self) -> str:
        labels = None if self.classes_ is None else [str(label) for label in self.classes_.tolist()]
        lines = {
            "members": str(self.members),
            "features": words.counted(self.n_features_in_, self.feature_names_in_) + words.shaped(self.input_shape),
            "classes": words.counted(None if labels is None else len(labels), labels),
            "outputs": ", ".join(dict.fromkeys(map(words.returned, self.inner))),
            **({"taken": self.taken} if self.taken else {}),
            "steps": "none" if self.steps is None else str(self.steps),
            "columns": self.steps.movements if self.steps else f"as the {'model' if self.made_of else 'network'} takes them",
        }
        lines |= {"notes": " ".join(f"{note}." for note in self.notes)} if self.notes else {}
        return "\n".join([self.name, *(f"  {key:<10}{value}" for key, value in lines.items())])


def _behind(matrix: np.ndarray, shift: np.ndarray, network: Network | Stack, device: Any) -> Network | Stack:
    """A network on a device behind an affine map."""
    family = any(isinstance(part, Family) for part in network.modules())
    affine = _AffineSteps(matrix, shift) if family else linear(matrix, shift)
    check_numbers(affine)
    affine = affine.to(device)
    if isinstance(network, Network):
        return network.behind(affine)
    weight, bias = network.weights[0], network.biases[0]
    first = (weight @ affine.weight, bias + weight @ affine.bias)
    return Stack([first[0], *network.weights[1:]], [first[1], *network.biases[1:]]).requires_grad_(False)


class _AffineSteps(nn.Module):
    """Affine steps in front of a family: no layer of it, in which features would be looked for."""

    def __init__(self, matrix: np.ndarray, shift: np.ndarray):
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.tensor(part), requires_grad=False) for part in (matrix, shift))

    def forward(self, x: Tensor) -> Tensor:
        """Map."""
        return nn.functional.linear(x, self.weight, self.bias)


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
