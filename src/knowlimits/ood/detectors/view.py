"""What a detector sees of a model: the features that go into its last layer, and its logits, at points and along rays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.follow import blocks, follow
from knowlimits.model.arrays import as_points, as_rays, outputs_of
from knowlimits.model.read import read_logits
from knowlimits.model.stack import Stack


@dataclass(frozen=True)
class Seen:
    """What a model says at points.

    Attributes:
        features: of all members side by side, ``(n, features)``.
        logits: ``(members, n, classes)``.
    """

    features: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: np.ndarray, sizes: np.ndarray | float = 1.0) -> "Seen":
        """Some of the points, divided by sizes, ``(chosen,)``."""
        divisors = np.broadcast_to(sizes, chosen.sum())
        return Seen(self.features[chosen] / divisors[:, None], self.logits[:, chosen] / divisors[:, None])


@dataclass(frozen=True)
class Ahead:
    """What a model says along rays, far out: ``rate * a + offset``.

    Attributes:
        rate, offset: of features and logits.
    """

    rate: Seen
    offset: Seen


class View:
    """The features and logits of a model.

    Args:
        model: what `knowlimits.far_field` takes.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
        features: look for features; without, a model needs no such layer and has logits only.

    Raises:
        ValueError: if there is no such submodule.
    """

    def __init__(self, model: Any, layer: str | None = None, features: bool = True):
        self._model = read_logits(model).to("cpu")
        networks = self._model.networks
        if layer is not None and any(isinstance(m, Stack) for m in networks):
            raise ValueError(
                f"layer must be None for a classifier of knowlimits, whose last layer it is. Got {layer!r} instead."
            )
        self._taps = [_StackTap(m) if isinstance(m, Stack) else _Tap(m, layer, features) for m in networks]

    def at(self, X: Any) -> Seen:
        """What the model says at points ``(n, ...)``.

        Raises:
            ValueError: if it is not finite.
        """
        points = as_points("X", X)
        with torch.no_grad(), self._model.threads(points[0].numel()):
            parts = self._model.in_blocks(points)
            seen = _joined([[_Parts.of(tap(part), tap) for tap in self._taps] for part in parts])
        finite = np.isfinite(seen.features).all(1) & np.isfinite(seen.logits).all((0, 2))
        if not finite.all():
            row = int((~finite).argmax())
            largest = float(points[row].abs().max())
            raise ValueError(
                "X must have rows at which the features and logits of the model are finite. "
                f"Got others at row {row}, with numbers up to {largest:.3g}: the model overflows there, or has such weights."
            )
        return seen

    def along(self, origins: Any, directions: Any, random_state: Any = None) -> Ahead:
        """What the model says along rays; `directions` as `knowlimits.far_field` has them."""
        starts, steps = as_rays(origins, directions, random_state)
        rates, offsets = [], []
        with torch.no_grad(), self._model.threads(starts[0].numel()):
            for x, d, noted in blocks(starts, steps, None):
                ends = [(tap, follow(tap, x, d)) for tap in self._taps]
                noted(max(end.largest for _, end in ends))
                rates.append([_Parts.of(end.rate, tap) for tap, end in ends])
                offsets.append([_Parts.of(end.offset, tap) for tap, end in ends])
        return Ahead(_joined(rates), _joined(offsets))


@dataclass(frozen=True)
class _Parts:
    """Features and logits of one module at a batch of points."""

    features: Tensor
    logits: Tensor

    @classmethod
    def of(cls, together: Tensor, tap: "_Tap | _StackTap") -> "_Parts":
        features, logits = together.split([together.shape[1] - tap.logits, tap.logits], dim=1)
        return cls(features, logits.reshape(len(logits), tap.members, -1).transpose(0, 1))


def _joined(batches: list[list[_Parts]]) -> Seen:
    features = torch.cat([torch.cat([part.features for part in parts], 1) for parts in batches])
    logits = torch.cat([torch.cat([part.logits for part in parts]) for parts in batches], 1)
    return Seen(features.numpy(), logits.numpy())


class _StackTap(nn.Module):
    """Features and logits of a `Stack` side by side, ``(n, features + members * classes)``."""

    def __init__(self, stack: Stack):
        super().__init__()
        self.stack, self.members, self.logits = stack, stack.members, stack.members * stack.classes

    def forward(self, x: Tensor) -> Tensor:
        features = self.stack.features(x.expand(self.stack.members, -1, -1))
        logits = self.stack.last_layer(features)
        return torch.cat([part.transpose(0, 1).flatten(1) for part in (features, logits)], 1)


class _Tap(nn.Module):
    """Features and logits of a module side by side."""

    def __init__(self, module: nn.Module, layer: str | None, features: bool):
        super().__init__()
        self.module, self.members, self.logits = module, 1, 0
        named = dict(module.named_modules())
        if layer is not None and layer not in named:
            raise ValueError(
                f"layer must be the name of a submodule. Got {layer!r}, there are {', '.join(filter(None, named))}."
            )
        self._layers = [named[layer]] if layer is not None else [m for m in named.values() if isinstance(m, nn.Linear)]
        if features and not self._layers:
            there = ", ".join(filter(None, named))
            hint = (
                f"name one of {there}" if there else "put what makes the logits of the features into a submodule, and name it"
            )
            raise ValueError(f"layer must be given for a model without a torch.nn.Linear. Got None instead: {hint}.")
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hooks = [m.register_forward_pre_hook(lambda _, args: caught.append(args[0])) for m in self._layers]
        try:
            logits = outputs_of(self.module, x)
        finally:
            for hook in hooks:
                hook.remove()
        if self._features and not caught:
            raise ValueError("layer must be a submodule that runs. Got one that does not.")
        logits = logits.transpose(0, 1).flatten(1)
        self.logits = logits.shape[1]
        return torch.cat([caught[-1].flatten(1), logits], 1) if self._features else logits
