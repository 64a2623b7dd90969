"""The model as a source: the features that go into its last layer, and its logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.follow import blocks, follow_several
from knowlimits.model.arrays import as_points, as_rays, outputs_of
from knowlimits.model.read import read_logits
from knowlimits.model.stack import Stack
from knowlimits.ood.detectors.source import Ahead, Seen, Source

# Features ``(n, features)`` or ``(members, n, features)`` of a module, and its logits ``(members, n, classes)``.
_Pair = tuple[Tensor, Tensor]


class View(Source):
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
            seen = _joined([[tap(part) for tap in self._taps] for part in self._model.in_blocks(points)])
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
                ends = [follow_several(tap, x, d) for tap in self._taps]
                noted(max(end.largest for pair in ends for end in pair))
                rates.append([(features.rate, logits.rate) for features, logits in ends])
                offsets.append([(features.offset, logits.offset) for features, logits in ends])
        return Ahead(_joined(rates), _joined(offsets))


def _joined(batches: Sequence[Sequence[_Pair]]) -> Seen:
    """One whole out of pairs, batch by batch and module by module."""
    features = torch.cat([torch.cat([_side_by_side(pair[0]) for pair in pairs], 1) for pairs in batches])
    logits = torch.cat([torch.cat([pair[1] for pair in pairs]) for pairs in batches], 1)
    return Seen(features.numpy(), logits.numpy())


def _side_by_side(features: Tensor) -> Tensor:
    return features.transpose(0, 1).flatten(1) if features.ndim == 3 else features


class _StackTap(nn.Module):
    """Features and logits of a `Stack`."""

    def __init__(self, stack: Stack):
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor) -> _Pair:
        features = self.stack.features(x.expand(self.stack.members, -1, -1))
        return features, self.stack.last_layer(features)


class _Tap(nn.Module):
    """Features and logits of a module."""

    def __init__(self, module: nn.Module, layer: str | None, features: bool):
        super().__init__()
        self.module = module
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

    def forward(self, x: Tensor) -> _Pair:
        caught: list[Tensor] = []
        hooks = [m.register_forward_pre_hook(lambda _, args: caught.append(args[0])) for m in self._layers]
        try:
            logits = outputs_of(self.module, x)
        finally:
            for hook in hooks:
                hook.remove()
        if self._features and not caught:
            raise ValueError("layer must be a submodule that runs. Got one that does not.")
        if not self._features:
            return x.flatten(1)[:, :0], logits
        features = caught[-1]
        return features if features.ndim == 3 and features.shape[:2] == logits.shape[:2] else features.flatten(1), logits
