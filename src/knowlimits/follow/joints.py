"""Functions of several numbers of a ray, and their limits: softmax, norms, and their like."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from knowlimits.follow.operations import Joint, Tail, register
from knowlimits.follow.refusals import Refused


def _dims(dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    if dim is None or (isinstance(dim, Sequence) and not dim):
        return list(range(ndim))
    return [d % ndim for d in ([dim] if isinstance(dim, int) else dim)]


def _leading(rate: Tensor, offset: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest rate along an axis, and the offsets with minus infinity where the rate is smaller, or that is given."""
    rate = torch.where(offset == -math.inf, offset, rate)
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


def _norm(rate: Tensor, offset: Tensor, order: float = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    """Asymptote of the p-norm: that of the rates, and its slope there times the offsets."""
    if not 1 < order < math.inf:
        raise Refused("bending")
    dims = _dims(dim, rate.ndim)
    largest = rate.abs().amax(dims, keepdim=True)
    moves = largest > 0
    shares = rate / torch.where(moves, largest, 1.0)
    length = torch.linalg.vector_norm(torch.where(moves, shares, 1.0), order, dims, keepdim=True)
    slope = shares.sign() * (shares.abs() / length) ** (order - 1)
    at_rest = torch.linalg.vector_norm(offset, order, dims, keepdim=True)
    far = (slope * offset).sum(dims, keepdim=True)
    result = largest * length * moves, torch.where(moves, far, at_rest)
    return result if keepdim else tuple(one.squeeze(dims) for one in result)


def _norm_in_words(order: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """Norms that are piecewise linear."""
    if order == 1:
        return lambda x, *_, **__: x.abs().sum(_dims(dim, x.ndim), keepdim)
    if math.isinf(order):
        return lambda x, *_, **__: (torch.amax if order > 0 else torch.amin)(x.abs(), _dims(dim, x.ndim), keepdim)
    return None


def _std(rate: Tensor, offset: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    """Asymptote of the standard deviation, which is the length of what is centred over a root."""
    dims = _dims(dim, rate.ndim)
    centred = rate - rate.mean(dims, keepdim=True)
    # Equal rates leave rounding errors of this size at most, which are none that move.
    noise = 4 * torch.finfo(rate.dtype).eps * rate.abs().amax(dims, keepdim=True)
    moves = centred.abs().amax(dims, keepdim=True) > noise
    count = math.prod(rate.shape[d] for d in dims) - (1 if correction is None else correction)
    parts = _norm(centred * moves, offset - offset.mean(dims, keepdim=True), 2, dims, keepdim)
    return tuple(part / math.sqrt(max(0, count)) if count > 0 else part * math.nan for part in parts)


register("_softmax _safe_softmax", Joint(softmax, lambda x, dim, *_: [dim], Tail.FAST, masked=True))
register("_log_softmax", Joint(log_softmax, lambda x, dim, *_: [dim], Tail.FAST, masked=True))
register("logsumexp", Joint(_logsumexp, lambda x, dim, *_: _dims(dim, x.ndim), Tail.FAST, masked=True))
register("native_layer_norm", Joint(_layer_norm, lambda x, shape, *_: range(-len(shape), 0)))
register("native_group_norm", Joint(_group_norm, lambda x, *_: range(1, x.ndim)))
register("linalg_vector_norm", Joint(_norm, lambda x, order=2, dim=None, *_: _dims(dim, x.ndim), words=_norm_in_words))
register("std", Joint(_std, lambda x, dim=None, *_: _dims(dim, x.ndim)))
