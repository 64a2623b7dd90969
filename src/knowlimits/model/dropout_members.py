"""A person's module with dropout as members with fixed masks, one function each (Gal and Ghahramani, 2016)."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_ELEMENTS = (nn.Dropout,)
_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_UNSUPPORTED = (nn.AlphaDropout, nn.FeatureAlphaDropout)
_FUNCTIONS = {
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
    torch.dropout,
}


class FixedMask(nn.Module):
    """Dropout that drops the same units of every row, in every call.

    Args:
        p: share of the units that is dropped; the others are scaled by ``1 / (1 - p)``.
        seed: of the mask, which is drawn when the shape of a row is seen.
        channels: whether whole channels are dropped.
    """

    def __init__(self, p: float, seed: int, channels: bool):
        super().__init__()
        self.p, self.seed, self.channels = p, seed, channels

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the mask."""
        shape = x.shape[1:]
        if self.channels:
            shape = (shape[0], *[1] * (len(shape) - 1))
        # By numpy, as the evaluators refuse a module that draws from torch's random numbers.
        kept = np.random.default_rng(self.seed).random(shape) >= self.p
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        return x * torch.tensor(kept * scale, dtype=x.dtype, device=x.device)

    def extra_repr(self) -> str:
        """Settings for `repr`."""
        return f"p={self.p}, seed={self.seed}, channels={self.channels}"


class _NoFunctionalDropout(TorchFunctionMode):
    """Refuses dropout that is no layer: it would be off without a word."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FUNCTIONS and kwargs.get("p", args[1] if len(args) > 1 else 0.5) > 0:
            raise ValueError(
                f"module must do its dropout in layers (torch.nn.Dropout). It calls torch.nn.functional.{func.__name__}, whose "
                "masks cannot be fixed from outside, and which eval mode turns off without a word."
            )
        return func(*args, **kwargs)


class DropoutMember(nn.Module):
    """A module whose masks are fixed."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """The module's own forward pass."""
        with _NoFunctionalDropout():
            return self.module(x)


def dropout_members(module: nn.Module, members: int = 50, random_state: Any = None) -> list[nn.Module]:
    """A module with dropout layers as a list of members with fixed masks, one function each.

    The members are in eval mode, batch norm included, and share the module's parameters; the module stays as it is. A layer
    that is called several times keeps its mask.

    Args:
        module: a module with `torch.nn.Dropout` layers (or Dropout1d to Dropout3d); dropout by functions cannot be seen, and
            raises an error when a member is called.
        members: how many.
        random_state: seed of the masks, as scikit-learn means it.

    Raises:
        ValueError: if there is nothing to drop.

    Example:
        >>> import torch, knowlimits as kl
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 9), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(9, 2))
        >>> kl.far_field(kl.dropout_members(net, 5), torch.zeros(3, 2), "random").probs.shape
        (5, 3, 2)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module. Got {type(module).__name__} instead.")
    if isinstance(members, bool) or not isinstance(members, int) or members < 1:
        raise ValueError(f"members must be an integer of at least 1. Got {members!r} instead.")
    layers = [(name, m) for name, m in module.named_modules() if isinstance(m, (*_ELEMENTS, *_CHANNELS))]
    for name, layer in module.named_modules():
        if isinstance(layer, _UNSUPPORTED):
            raise ValueError(
                f"module must use Dropout or Dropout1d to Dropout3d. Got {type(layer).__name__} at {name!r} instead."
            )
    if not any(layer.p > 0 for _, layer in layers):
        found = f"its {len(layers)} dropout layers have p = 0" if layers else "it has no dropout layer"
        raise ValueError(
            f"module must have a torch.nn.Dropout layer that drops something. Got a {type(module).__name__} of which {found}: "
            "all members would be equal. Dropout by torch.nn.functional cannot be seen; make it a layer."
        )
    shared = {id(t): t for t in [*module.parameters(), *module.buffers()]}
    seeds = check_random_state(random_state).randint(2**31 - 1, size=(members, len(layers)))
    result: list[nn.Module] = []
    for row in seeds.tolist():
        member = DropoutMember(copy.deepcopy(module, dict(shared))).eval()
        for (name, layer), seed in zip(layers, row, strict=True):
            mask = FixedMask(layer.p, seed, isinstance(layer, _CHANNELS)).eval()
            parent, _, child = f"module.{name}".rstrip(".").rpartition(".")
            setattr(member.get_submodule(parent), child, mask)
        result.append(member)
    return result
