"""Which ray each number of a tensor belongs to.

A tensor's owners are a tensor of labels of the same shape. Nearly all of its axes have stride 0, because along them the ray
does not change, so that it takes no memory and goes through views for nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from knowlimits.follow.refusals import Refused


def labels(x: Tensor, axes: int) -> Tensor:
    """Labels of a tensor in which there is a ray for every place along its first axes."""
    rows = x.shape[:axes]
    return torch.arange(rows.numel(), device=x.device).reshape(*rows, *[1] * (x.ndim - axes)).expand(x.shape)


def varying_axes(owners: Tensor) -> list[int]:
    """Axes along which the ray changes."""
    return [axis for axis, (size, stride) in enumerate(zip(owners.shape, owners.stride(), strict=True)) if stride and size > 1]


def check_together(owners: Tensor, axes: Sequence[int]) -> None:
    """Raise unless the numbers along these axes belong to one ray."""
    if set(varying_axes(owners)) & {axis % owners.ndim for axis in axes}:
        raise Refused("mixed")


def core(owners: Tensor) -> Tensor:
    """The labels with length 1 along all axes where they do not change; expands to the owners again."""
    varying = varying_axes(owners)
    for axis in range(owners.ndim):
        if axis not in varying:
            owners = owners.narrow(axis, 0, min(1, owners.shape[axis]))
    return owners


def canonical(owners: Tensor) -> Tensor:
    """The same labels, with stride 0 again along axes where a copy has written out that they do not change."""
    shape, owners = owners.shape, core(owners)
    for axis in varying_axes(owners):
        first = owners.narrow(axis, 0, 1)
        if bool((owners == first).all()):
            owners = first
    return owners.expand(shape)


def resized(owners: Tensor, shape: Sequence[int]) -> Tensor:
    """Owners of a result with as many axes, of other lengths where the ray does not change."""
    if any(owners.shape[axis] != shape[axis] for axis in varying_axes(owners)):
        raise Refused("mixed")
    return core(owners).expand(shape)


def reduced(owners: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """Owners of a reduction over axes."""
    dims = [dim] if isinstance(dim, int) else list(dim or range(owners.ndim))
    dims = sorted(d % owners.ndim for d in dims)
    check_together(owners, dims)
    for d in reversed(dims):
        owners = owners.narrow(d, 0, 1) if keepdim else owners.select(d, 0)
    return owners


def broadcast(owners: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Owners of the result of an elementwise operation."""
    first = max(owners, key=lambda o: len(varying_axes(o)))
    label = core(first)
    for other in owners:
        if other is not first and not torch.equal(*torch.broadcast_tensors(label, core(other))):
            raise Refused("mixed")
    return label.expand(shape)


def largest(values: Tensor, owners: Tensor, labels: int) -> Tensor:
    """The largest of the numbers of every ray, `(labels,)`; minus infinity where it has none."""
    result = values.new_full((labels,), -torch.inf)
    if not values.numel():
        return result
    varying = varying_axes(owners)
    rest = [axis for axis in range(values.ndim) if axis not in varying]
    reduced = values.amax(rest, keepdim=True) if rest else values
    return result.scatter_reduce_(0, core(owners).reshape(-1), reduced.reshape(-1), "amax")
