"""The model as a source: the features that go into its last layer, and its logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.follow import blocks, follow_several
from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Family
from knowlimits.model.network import Network
from knowlimits.model.outputs import asymptotes_of, logits_of
from knowlimits.model.read import read
from knowlimits.model.stack import Stack
from knowlimits.ood.detectors.source import Ahead, Seen, Source

# What people can do about a model that is no network.
_INSTEAD = "use knowlimits.Guard, or knowlimits.detectors.InputDetector, which look at inputs."
# Features ``(n, features)`` or ``(members, n, features)`` of a module, and its logits ``(members, n, classes)``.
_Pair = tuple[Tensor, Tensor]


class View(Source):
    """The features and logits of a model.

    Args:
        model: what `knowlimits.far_field` takes.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
        features: refuse a model without such a layer; otherwise it has logits only.
        outputs, X: as `knowlimits.read` has them.

    Raises:
        ValueError: if there is no such submodule.
    """

    def __init__(
        self, model: Any, layer: str | None = None, features: bool = True, *, outputs: str | None = None, X: Any = None
    ):
        self._model = read(model, outputs, X).to("cpu")
        networks = self._model.networks
        if layer is not None and any(isinstance(m, Stack) for m in networks):
            raise ValueError(
                f"layer must be None for a classifier of knowlimits, whose last layer it is. Got {layer!r} instead."
            )
        taps = [_StackTap(m) if isinstance(m, Stack) else _Tap(m, layer) for m in networks]
        self._taps = taps
        if self.without_features and (features or layer is not None):
            raise ValueError(self.without_features)

    @property
    def no_network(self) -> str:
        """What errors say of a model that is no network; ``""`` for a network."""
        return self._model.no_network

    @property
    def without_features(self) -> str:
        """Why there are no features, as far as is known; ``""`` where there are some."""
        why = next((tap.without for tap in self._taps if tap.without), "")
        if why and self.no_network:
            return (
                "model must be a network where features before its last layer are looked at. "
                f"{self.no_network}, without layers: {_INSTEAD}"
            )
        return why

    @property
    def without_logits(self) -> str:
        """Why the model has no logits, and logarithms of probabilities in their place; ``""`` where it has."""
        if self._model.returns is Outputs.LOGITS:
            return ""
        if self.no_network:
            return f"model must be a network where logits are looked at. {self.no_network}, without logits: {_INSTEAD}"
        return (
            "model must return logits, or probabilities that one final softmax or sigmoid makes, where these are looked at. "
            f"Got {self._model.returns} that are made in another way."
        )

    def at(self, X: Any) -> Seen:
        """What the model says at points ``(n, ...)``.

        Raises:
            ValueError: if it is not finite.
        """
        points = self._model.points("X", X)
        with torch.no_grad(), self._model.threads(points[0].numel()):
            parts = self._model.in_blocks(self._model.entering(points))
            seen = _joined([[self._pair(tap, part) for tap in self._taps] for part in parts])
        # A class that a member does not have, or gives no probability, has a logit of minus infinity.
        logits = seen.logits if not self.without_logits else np.where(np.isneginf(seen.logits), 0.0, seen.logits)
        finite = np.isfinite(seen.features).all(1) & np.isfinite(logits).all((0, 2))
        if not finite.all():
            row = int((~finite).argmax())
            largest = float(points[row].abs().max())
            raise ValueError(
                "X must have rows at which the features and logits of the model are finite. "
                f"Got others at row {row}, with numbers up to {largest:.3g}: the model overflows there, or has such weights."
            )
        return seen

    def rays(self, origins: Any, directions: Any, random_state: Any = None) -> tuple[Tensor, Tensor]:
        """Starts and directions of rays as the model takes them."""
        return self._model.rays(origins, directions, random_state)

    def last_layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``(outputs, features)`` and biases of the layer whose inputs are the features of a model of one member.

        Raises:
            ValueError: if it has several, or that is no linear layer.
        """
        if self._model.members > 1:
            raise ValueError("model must have one member. Got several: take one of them.")
        (tap,) = self._taps
        if isinstance(tap, _StackTap):
            weight, bias = tap.network.weights[-1][0], tap.network.biases[-1][0]
        elif isinstance(tap.ran, nn.Linear):
            weight, bias = tap.ran.weight, tap.ran.bias
        else:
            raise ValueError("model must end in a torch.nn.Linear. Got one without any.")
        values = weight.new_zeros(len(weight)) if bias is None else bias
        return weight.detach().double().numpy(), values.detach().double().numpy()

    def _pair(self, tap: Any, points: Tensor) -> _Pair:
        features, output = tap(points)
        return features, logits_of(tap.network, output)

    def along(self, origins: Any, directions: Any, random_state: Any = None) -> Ahead:
        """What the model says along rays; `directions` as `knowlimits.far_field` has them."""
        return self.followed(*self.rays(origins, directions, random_state))

    def followed(self, starts: Tensor, steps: Tensor) -> Ahead:
        """The same along rays as `rays` gives them."""
        rates, offsets = [], []
        starts, steps, along = self._model.along(starts, steps)
        with torch.no_grad(), self._model.threads(starts[0].numel()):
            for x, d, noted in blocks(starts, steps, None):
                ends = [follow_several(tap, x, d) for tap in self._taps]
                noted(max(end.largest for pair in ends for end in pair))
                logits = [asymptotes_of(tap.network, y.rate, y.offset) for tap, (_, y) in zip(self._taps, ends, strict=True)]
                rates.append([(features.rate, y[0]) for (features, _), y in zip(ends, logits, strict=True)])
                offsets.append([(features.offset, y[1]) for (features, _), y in zip(ends, logits, strict=True)])
        return Ahead(_joined(rates), _joined(offsets), None if along is None else along.straight)


def _joined(batches: Sequence[Sequence[_Pair]]) -> Seen:
    """One whole out of pairs, batch by batch and module by module."""
    features = torch.cat([torch.cat([_side_by_side(pair[0]) for pair in pairs], 1) for pairs in batches])
    logits = torch.cat([torch.cat([pair[1] for pair in pairs]) for pairs in batches], 1)
    return Seen(features.numpy(), logits.numpy())


def _side_by_side(features: Tensor) -> Tensor:
    return features.transpose(0, 1).flatten(1) if features.ndim == 3 else features


class _StackTap(nn.Module):
    """Features and logits of a `Stack`."""

    without = ""

    def __init__(self, network: Stack):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> _Pair:
        features = self.network.features(x.expand(self.network.members, -1, -1))
        return features, self.network.last_layer(features)


class _Tap(nn.Module):
    """Features and what a `Network` gives."""

    def __init__(self, network: Network, layer: str | None):
        super().__init__()
        self.network = network
        named = dict(network.brought.named_modules())
        self._families = [m for m in named.values() if isinstance(m, Family)]
        if layer is not None and layer not in named and not self._families:
            raise ValueError(
                f"layer must be the name of a submodule. Got {layer!r}, there are {', '.join(filter(None, named))}."
            )
        self._layers = [m for name, m in named.items() if (isinstance(m, nn.Linear) if layer is None else name == layer)]
        parts = [m for m in network.brought.modules() if isinstance(m, Network | Stack)]
        # Of several networks that are put together, the last layer of one stands for none of the others.
        self._of_a_part = {id(m) for part in parts for m in part.modules()} if len(parts) > 1 and layer is None else set()
        #: The layer whose input are the features, once it has run.
        self.ran: nn.Module | None = None
        self.without = ""
        if not self._layers:
            there = ", ".join(filter(None, named))
            hint = (
                f"name one of {there}" if there else "put what makes the logits of the features into a submodule, and name it"
            )
            self.without = f"layer must be given for a model without a torch.nn.Linear. Got None instead: {hint}."

    def forward(self, x: Tensor) -> _Pair:
        caught: list[tuple[nn.Module, Tensor]] = []
        hooks = [m.register_forward_pre_hook(lambda m, args: caught.append((m, args[0]))) for m in self._layers]
        # A layer before a family, as a scaler becomes one, is not its last.
        hooks += [m.register_forward_pre_hook(lambda m, args: caught.clear()) for m in self._families]
        try:
            output = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        if self._families and not caught:
            self.without = "layer must be one behind all that is no network. Got none."
            return x.flatten(1)[:, :0], output
        if self._layers and not caught:
            raise ValueError("layer must be a submodule that runs. Got one that does not.")
        if not self._layers:
            return x.flatten(1)[:, :0], output
        self.ran, features = caught[-1]
        if id(self.ran) in self._of_a_part:
            self.without = (
                "layer must be given for a model that is put together of several networks, each with a last layer of its own. "
                "Got None instead: pass one of its parts."
            )
            return x.flatten(1)[:, :0], output
        if features.ndim < 2 or len(x) not in features.shape[:2]:
            self.without = (
                "layer must be a submodule that takes all rows at once. "
                f"Got one that takes an input of shape {tuple(features.shape)} for {len(x)} rows: name another."
            )
            return x.flatten(1)[:, :0], output
        return features if features.ndim == 3 and features.shape[:2] == output.shape[:2] else features.flatten(1), output
