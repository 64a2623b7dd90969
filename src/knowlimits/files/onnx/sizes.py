"""Sizes of tensors and places in them, which come as lists of integers, or as tensors where a graph computes them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from knowlimits.files.budget import LARGEST, MOST_PARTS

Sizes = Sequence[int] | Tensor


def ints(values: Sizes) -> list[int]:
    """Sizes as Python integers."""
    count = values.numel() if isinstance(values, Tensor) else len(values)
    if count > MOST_PARTS:
        raise ValueError(f"at most {MOST_PARTS:,} sizes or places can be given at once. Got {count:,} instead.")
    return [int(v) for v in (values.reshape(-1).tolist() if isinstance(values, Tensor) else values)]


def allow(shape: Sequence[int]) -> list[int]:
    """The shape of a tensor to come, if that is not too large."""
    if math.prod(shape) > LARGEST:
        raise ValueError(f"a tensor of shape {list(shape)} has more than {LARGEST:,} numbers")
    return list(shape)


def fitting(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors, if what comes of them together is not too large."""
    allow(torch.broadcast_shapes(*(t.shape for t in tensors)))
    return tensors
