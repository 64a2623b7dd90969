"""Maxima in words of ReLUs, for domains in which a ReLU is all that decides anything."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits.plane.tournaments import one_round


def larger(x: Tensor, y: Tensor) -> Tensor:
    """The larger of two: max(x, y) is y + ReLU(x - y)."""
    return y + torch.relu(x - y)


def largest(x: Tensor, dims: Any = (), keepdim: bool = False, met: Callable[[int, int], Any] | None = None) -> Tensor:
    """The largest along axes, by a tournament (see `tournaments.py`).

    Args:
        x: of what.
        dims: the axes; none for all.
        keepdim: whether they stay, with length 1.
        met: is told how many maxima are taken at once, and of how many numbers each, before the first round.
    """
    dims = [d % x.ndim for d in ([dims] if isinstance(dims, int) else dims)] or list(range(x.ndim))
    rest = [axis for axis in range(x.ndim) if axis not in dims]
    flat = x.permute(*rest, *dims).reshape(*[x.shape[axis] for axis in rest], -1)
    if met is not None and flat.shape[-1] > 1:
        met(flat.shape[:-1].numel(), flat.shape[-1])
    while flat.shape[-1] > 1:
        flat = one_round(flat, torch.maximum, torch.cat)
    shape = [1 if axis in dims else n for axis, n in enumerate(x.shape) if keepdim or axis not in dims]
    return flat.reshape(shape)
