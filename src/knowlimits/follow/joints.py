"""Functions of several numbers of a ray, and their limits: softmax, norms, and their like."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from knowlimits.follow.operations import Joint, register


def _dims(dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return list(range(ndim))
    return [d % ndim for d in ([dim] if isinstance(dim, int) else dim)]


def _leading(rate: Tensor, offset: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest rate along an axis, and the offsets with minus infinity where the rate is smaller."""
    largest = rate.amax(dim, keepdim=True)
    return largest, torch.where(rate == largest, offset, -math.inf)


def softmax(rate: Tensor, offset: Tensor, dim: int, half_to_float: bool = False) -> tuple[Tensor, Tensor]:
    """Limit of softmax: that of the offsets among the largest rates."""
    return torch.zeros_like(rate), _leading(rate, offset, dim)[1].softmax(dim)


def log_softmax(rate: Tensor, offset: Tensor, dim: int, half_to_float: bool = False) -> tuple[Tensor, Tensor]:
    """Asymptote of log-softmax."""
    largest, leading = _leading(rate, offset, dim)
    return rate - largest, offset - leading.logsumexp(dim, keepdim=True)


def _logsumexp(rate: Tensor, offset: Tensor, dim: Any, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    (dim,) = _dims(dim, rate.ndim)
    largest, leading = _leading(rate, offset, dim)
    return largest if keepdim else largest.squeeze(dim), leading.logsumexp(dim, keepdim)


def _normalized(rate: Tensor, offset: Tensor, dims: list[int], eps: float) -> Tensor:
    """Limit of (x - mean) / sqrt(variance + eps): that of the rates, or of the offsets where all rates are equal."""
    spread = rate - rate.mean(dims, keepdim=True)
    # Equal rates leave rounding errors of this size at most, which must not be blown up to variance 1.
    noise = 4 * torch.finfo(rate.dtype).eps * rate.abs().amax(dims, keepdim=True)
    moves = spread.abs().amax(dims, keepdim=True) > noise
    safe = torch.where(moves, spread, 1.0)
    safe = safe / safe.abs().amax(dims, keepdim=True)
    far = safe / safe.square().mean(dims, keepdim=True).sqrt()
    centred = offset - offset.mean(dims, keepdim=True)
    near = centred / (centred.square().mean(dims, keepdim=True) + eps).sqrt()
    return torch.where(moves, far, near)


def _layer_norm(
    rate: Tensor, offset: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    value = _normalized(rate, offset, list(range(-len(shape), 0)), eps)
    value = value if weight is None else value * weight
    return torch.zeros_like(rate), value if bias is None else value + bias


def _group_norm(
    rate: Tensor, offset: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[Tensor, Tensor]:
    value = _normalized(rate.reshape(n, groups, -1), offset.reshape(n, groups, -1), [2], eps).reshape(rate.shape)
    shape = (1, c, *[1] * (rate.ndim - 2))
    value = value if weight is None else value * weight.reshape(shape)
    return torch.zeros_like(rate), value if bias is None else value + bias.reshape(shape)


register("_softmax", Joint(softmax, lambda x, dim, *_: [dim]))
register("_log_softmax", Joint(log_softmax, lambda x, dim, *_: [dim]))
register("logsumexp", Joint(_logsumexp, lambda x, dim, *_: _dims(dim, x.ndim)))
register("native_layer_norm", Joint(_layer_norm, lambda x, shape, *_: range(-len(shape), 0)))
register("native_group_norm", Joint(_group_norm, lambda x, *_: range(1, x.ndim)))
