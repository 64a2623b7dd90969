"""ONNX operators that compute, as functions of torch tensors.

They use only operations that the table of `knowlimits.follow` can follow, or that it refuses by name.
"""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from knowlimits.files.onnx.shapes import Sizes, allow, ints


def _fitting(*tensors: Tensor) -> tuple[Tensor, ...]:
    allow(torch.broadcast_shapes(*(t.shape for t in tensors)))
    return tensors


# --- arithmetic --------------------------------------------------------------------------------------------------------


def add(*tensors: Tensor) -> Tensor:
    """Sum of tensors."""
    return functools.reduce(torch.add, _fitting(*tensors))


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """Difference."""
    return torch.sub(*_fitting(a, b))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product, number by number."""
    return torch.mul(*_fitting(a, b))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """Quotient; towards zero for integers."""
    _fitting(a, b)
    if a.is_floating_point() or b.is_floating_point():
        return torch.div(a, b)
    # The lowest integer divided by -1 ends the process; its negative is itself, as integers go round.
    turned = b == -1
    return torch.where(turned, -a, torch.div(a, torch.where(turned, 1, b), rounding_mode="trunc"))


def power(a: Tensor, b: Tensor) -> Tensor:
    """Power."""
    return torch.pow(*_fitting(a, b)).to(a.dtype)


def mean(*tensors: Tensor) -> Tensor:
    """Mean of tensors."""
    return add(*tensors) / len(tensors)


def maximum(*tensors: Tensor) -> Tensor:
    """Largest of tensors."""
    return functools.reduce(torch.maximum, _fitting(*tensors))


def minimum(*tensors: Tensor) -> Tensor:
    """Smallest of tensors."""
    return functools.reduce(torch.minimum, _fitting(*tensors))


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Numbers of `a` where the condition holds, else of `b`."""
    _fitting(condition, a, b)
    return torch.where(condition, a, b)


def equal(a: Tensor, b: Tensor) -> Tensor:
    """Where two are equal."""
    return torch.eq(*_fitting(a, b))


def greater(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is larger."""
    return torch.gt(*_fitting(a, b))


def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is as large or larger."""
    return torch.ge(*_fitting(a, b))


def less(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is smaller."""
    return torch.lt(*_fitting(a, b))


def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is as small or smaller."""
    return torch.le(*_fitting(a, b))


def both(a: Tensor, b: Tensor) -> Tensor:
    """Where both are true."""
    return torch.logical_and(*_fitting(a, b))


def either(a: Tensor, b: Tensor) -> Tensor:
    """Where one is true."""
    return torch.logical_or(*_fitting(a, b))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Product of matrices."""
    if a.ndim > 1 and b.ndim > 1:
        allow((*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
    return torch.matmul(a, b)


def gemm(a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float, turn_a: bool, turn_b: bool) -> Tensor:
    """``alpha * a @ b + beta * c`` for matrices, either transposed or not."""
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"Gemm multiplies matrices. Got tensors of {a.ndim} and {b.ndim} axes instead.")
    product = matmul(a.t() if turn_a else a, b.t() if turn_b else b)
    product = product if alpha == 1 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c).expand(product.shape)


def cast(x: Tensor, kind: str) -> Tensor:
    """Floats stay as they are, so that float64 is not rounded to what the file says."""
    if kind == "float":
        return x if x.is_floating_point() else x.to(torch.float64)
    return x.to(torch.int64 if kind == "int" else torch.bool)


# --- activations -------------------------------------------------------------------------------------------------------


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Leaky ReLU with a tensor of slopes that broadcasts to the input."""
    return torch.relu(x) - slope.expand(x.shape) * torch.relu(-x)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    """Scaled ELU."""
    return gamma * F.elu(x, alpha)


def swish(x: Tensor, alpha: float) -> Tensor:
    """``x * sigmoid(alpha * x)``."""
    return F.silu(x) if alpha == 1 else F.silu(alpha * x) / alpha


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``; torch's own threshold of 20 would leave errors of 2e-9."""
    return F.softplus(x, 1.0, 40.0)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``alpha * x + beta`` between 0 and 1."""
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


def clip(x: Tensor, low: float | Tensor | None, high: float | Tensor | None) -> Tensor:
    """Numbers between bounds; `high` where the bounds are the wrong way round."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        x = x if low is None else maximum(x, torch.as_tensor(low, dtype=x.dtype))
        return x if high is None else minimum(x, torch.as_tensor(high, dtype=x.dtype))
    if low is None and high is None:
        return x
    return torch.clamp(x, low, high)


def flat_softmax(x: Tensor, axis: int, logarithm: bool) -> Tensor:
    """Softmax before opset 13: over an axis and all after it, jointly."""
    axis = axis % x.ndim if axis < x.ndim else axis
    flat = x.reshape(*x.shape[:axis], math.prod(x.shape[axis:]))
    return (torch.log_softmax(flat, -1) if logarithm else torch.softmax(flat, -1)).reshape(x.shape)


# --- norms -------------------------------------------------------------------------------------------------------------


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, center: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Batch norm with statistics of the file."""
    return torch.batch_norm(x, scale, shift, center, variance, False, 0.0, eps, False)


def layer_norm(x: Tensor, axis: int, eps: float) -> Tensor:
    """Mean 0 and variance 1 over an axis and all after it."""
    return F.layer_norm(x, x.shape[axis:], eps=eps)


def group_norm(x: Tensor, groups: int, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Mean 0 and variance 1 over groups of channels, each channel with a scale and shift; no groups: each channel alone."""
    return torch.group_norm(x, groups or x.shape[1], scale, shift, eps)


# --- reductions --------------------------------------------------------------------------------------------------------


def _axes(x: Tensor, axes: Sizes | None) -> list[int]:
    return list(range(x.ndim)) if axes is None else ints(axes)


def reduce_sum(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Sum along axes; all without any."""
    return torch.sum(x, _axes(x, axes), keep)


def reduce_mean(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Mean along axes."""
    return torch.mean(x, _axes(x, axes), keep)


def reduce_max(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Largest along axes."""
    return torch.amax(x, _axes(x, axes), keep)


def reduce_min(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Smallest along axes."""
    return torch.amin(x, _axes(x, axes), keep)


def reduce_logsumexp(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Logarithm of the sum of exponentials along axes."""
    return torch.logsumexp(x, _axes(x, axes), keep)


# --- windows -----------------------------------------------------------------------------------------------------------


def same_pads(sizes: Sequence[int], kernel: list[int], strides: list[int], dilations: list[int], upper: bool) -> list[int]:
    """Pads that make ``ceil(size / stride)`` windows, the odd one after (`upper`) or before."""
    both = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    small, large = [p // 2 for p in both], [p - p // 2 for p in both]
    return small + large if upper else large + small


def pad_around(x: Tensor, pads: Sequence[int], mode: str = "constant") -> Tensor:
    """Pad the last axes, `pads` in the order of ONNX: all that come before, then all that come after."""
    axes = len(pads) // 2
    allow([*x.shape[:-axes], *(n + pads[i] + pads[axes + i] for i, n in enumerate(x.shape[-axes:]))])
    pairs = [pads[i + axes * after] for i in reversed(range(axes)) for after in (0, 1)]
    return F.pad(x, pairs, mode) if any(pairs) else x


def pad_for_windows(
    x: Tensor, auto: str, pads: list[int], kernel: list[int], strides: list[int], dilations: list[int]
) -> Tensor:
    """Pad the input of a convolution with zeros."""
    if auto.startswith("SAME"):
        pads = same_pads(x.shape[2:], kernel, strides, dilations, auto == "SAME_UPPER")
    return pad_around(x, pads)


_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _native_pads(pads: list[int], kernel: list[int]) -> list[int] | None:
    """Pads that torch's own pooling takes: the same on either side, and half a window at most."""
    axes = len(kernel)
    fits = pads[:axes] == pads[axes:] and all(0 <= p <= k // 2 for p, k in zip(pads, kernel, strict=False))
    return pads[:axes] if fits else None


def _check_pool(x: Tensor, kernel: list[int]) -> None:
    if x.ndim != len(kernel) + 2:
        raise ValueError(f"windows of {len(kernel)} axes need inputs of {len(kernel) + 2}. Got {x.ndim} instead.")


def max_pool(
    x: Tensor, auto: str, pads: list[int], kernel: list[int], strides: list[int], dilations: list[int], ceil: bool
) -> Tensor:
    """Largest numbers of windows."""
    _check_pool(x, kernel)
    if auto.startswith("SAME"):
        pads = same_pads(x.shape[2:], kernel, strides, dilations, auto == "SAME_UPPER")
    native = _native_pads(pads, kernel)
    if native is None:
        if ceil or max(dilations) > 1 or any(p >= k or p < 0 for p, k in zip(pads, kernel * 2, strict=True)):
            raise ValueError(f"pads {pads} of MaxPool go with neither dilations, ceil_mode nor windows of {kernel}")
        # A number at the edge that stands there twice changes no maximum; minus infinity would, along a ray.
        x = pad_around(x, pads, "replicate")
    return _MAX_POOL[len(kernel)](x, kernel, strides, native or 0, dilations, ceil)


def average_pool(
    x: Tensor, auto: str, pads: list[int], kernel: list[int], strides: list[int], ceil: bool, count_pads: bool
) -> Tensor:
    """Means of windows, with or without the zeros of the padding."""
    _check_pool(x, kernel)
    if auto.startswith("SAME"):
        pads = same_pads(x.shape[2:], kernel, strides, [1] * len(kernel), auto == "SAME_UPPER")
    pool, native = _AVERAGE_POOL[len(kernel)], _native_pads(pads, kernel)
    if native is not None:
        return pool(x, kernel, strides, native, ceil, count_pads)
    if ceil:
        raise ValueError(f"pads {pads} of AveragePool do not go with ceil_mode")
    means = pool(pad_around(x, pads), kernel, strides)
    if count_pads:
        return means
    return means / pool(pad_around(torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device), pads), kernel, strides)


def global_average(x: Tensor) -> Tensor:
    """Means over all axes but the first two."""
    return torch.mean(x, list(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x


def global_max(x: Tensor) -> Tensor:
    """Largest over all axes but the first two."""
    return torch.amax(x, list(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x


# --- ends of classifiers -----------------------------------------------------------------------------------------------


def class_logits(x: Tensor, axis: int, flat: bool) -> Tensor:
    """The input of a final softmax, if it has one axis of classes for each input and nothing else."""
    axis = axis % x.ndim if -x.ndim <= axis < x.ndim else axis
    classes = math.prod(x.shape[axis:]) if flat else x.shape[axis]
    if axis == 0 or x.shape[0] * classes != x.numel():
        raise ValueError(f"the last Softmax of the model is not over one axis of classes. Got shape {list(x.shape)} instead.")
    return x


def one_logit(x: Tensor) -> Tensor:
    """The input of a final sigmoid, if it has one number for each input."""
    if x.ndim == 0 or x.numel() != x.shape[0]:
        raise ValueError(f"the model ends in Sigmoids of shape {list(x.shape)}: it must have one, or Softmax over classes")
    return x.reshape(-1, 1)
