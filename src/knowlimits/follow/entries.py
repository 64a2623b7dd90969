"""The entries of the table that are the library's own, by their kinds; `joints.py` has those of several numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from knowlimits.follow import joints as joints
from knowlimits.follow.domain import Traced
from knowlimits.follow.operations import (
    TABLE,
    Affine,
    Jump,
    Maximum,
    Move,
    Of,
    Rewrite,
    Smooth,
    Tail,
    UnsupportedOperation,
    register,
)
from knowlimits.follow.refusals import Refused


def _last(axes: int) -> Callable[..., Sequence[int]]:
    return lambda *_, **__: range(-axes, 0)


def _padded(widths: Sequence[int]) -> list[int]:
    """Axes that a padding changes, from its widths, of which the first two are the last axis's."""
    return [-1 - k for k in range(len(widths) // 2) if widths[2 * k] or widths[2 * k + 1]]


# --- numbers that move -------------------------------------------------------------------------------------------------

register("view _unsafe_view permute transpose t expand squeeze unsqueeze slice select", Move())
register("cat stack split split_with_sizes unsafe_split unsafe_split_with_sizes unbind flip roll repeat clone", Move())
register("index index_select gather", Move())
register("detach alias diagonal unfold lift_fresh pixel_shuffle pixel_unshuffle", Move())

# --- affine ------------------------------------------------------------------------------------------------------------


def _add_bounds(a: Any, b: Any, alpha: float = 1) -> Tensor:
    return torch.add(a, b, alpha=alpha)


register("add", Affine((0, 1), bound=_add_bounds))
register("sub rsub", Affine((0, 1), bound=_add_bounds))
register("neg", Affine(bound=lambda a: a))
register("mul", Affine((), factors=(0, 1)))
register("div", Affine(bound=lambda a, b, **_: a / abs(b)))
register("mm bmm mv dot", Affine((), factors=(0, 1), contracts=True))
register("addmm baddbmm addmv", Affine((0,), factors=(1, 2), contracts=True))
register("convolution", Affine((0, 2), combines=lambda x, *_: range(1, x.ndim)))
register("native_batch_norm _native_batch_norm_legit_no_training", Affine((0, 2, 3)))
register("sum mean", Affine(reduces=1))
register("avg_pool2d _adaptive_avg_pool2d upsample_nearest2d upsample_bilinear2d", Affine(combines=_last(2)))
register("avg_pool3d _adaptive_avg_pool3d upsample_nearest3d upsample_trilinear3d", Affine(combines=_last(3)))
register("upsample_nearest1d upsample_linear1d", Affine(combines=_last(1)))
register("constant_pad_nd", Affine((0, 2), combines=lambda x, widths, *_: _padded(widths)))
register("reflection_pad1d replication_pad1d", Affine(combines=_last(1)))
register("reflection_pad2d replication_pad2d", Affine(combines=_last(2)))
register("reflection_pad3d replication_pad3d", Affine(combines=_last(3)))
register("masked_fill", Affine((0, 2)))
register("lerp", Affine((0, 1), bound=lambda a, b, weight: a + abs(weight) * (a + b)))
register("where", Affine((1, 2)))

# --- maxima of affine candidates ---------------------------------------------------------------------------------------

register("relu", Maximum(Of.ZERO))
register("maximum", Maximum(Of.PAIR))
register("amax", Maximum(Of.AXES))
register("minimum", Rewrite(lambda a, b: -torch.maximum(-a, -b)))
register("amin", Rewrite(lambda x, dim=(), keepdim=False: -torch.amax(-x, dim, keepdim)))
register("abs", Rewrite(lambda x: torch.maximum(x, -x)))
# One comparison, where two ReLUs would be zero in the same places.
register("leaky_relu", Rewrite(lambda x, slope=0.01: (torch.maximum if slope <= 1 else torch.minimum)(x, slope * x)))
register("rrelu_with_noise", Rewrite(lambda x, noise, lower=1 / 8, upper=1 / 3, *mode: _rrelu(x, lower, upper, *mode)))
register("softshrink", Rewrite(lambda x, lambd=0.5: torch.relu(x - lambd) - torch.relu(-x - lambd)))
register("hardsigmoid", Rewrite(lambda x: torch.clamp(x + 3, 0, 6) / 6))
register(
    "threshold",
    Rewrite(lambda x, at, value: _clamp(x, low=at) if at == value else torch.where(x > at, x, value)),
)


def _rrelu(x: Tensor, lower: float, upper: float, training: bool = False, generator: Any = None) -> Tensor:
    if training:
        raise UnsupportedOperation(
            "RReLU draws a slope for every number in train mode: put the model into eval mode, model.eval()"
        )
    return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)


def _prelu(x: Tensor, weight: Tensor) -> Tensor:
    shape = [1] * x.ndim
    if x.ndim > 1:
        shape[1] = -1
    slopes = weight.reshape(shape)
    if isinstance(weight, Traced) or bool((weight > 1).any()):
        return torch.relu(x) - slopes * torch.relu(-x)
    return torch.maximum(x, slopes * x)


def _clamp(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    def bound(value: Any) -> Tensor | None:
        if isinstance(value, Tensor) or value is None:
            return value
        return None if math.isinf(value) else torch.full((), value, dtype=x.dtype, device=x.device)

    if (low := bound(low)) is not None:
        x = torch.maximum(x, low)
    return x if (high := bound(high)) is None else torch.minimum(x, high)


register("_prelu_kernel", Rewrite(_prelu))
register("clamp", Rewrite(_clamp))
register("hardtanh", Rewrite(lambda x, low=-1.0, high=1.0: _clamp(x, low, high)))
register("clamp_min", Rewrite(_clamp))
register("clamp_max", Rewrite(lambda x, high: _clamp(x, None, high)))


def _extreme(pair: Callable[..., Tensor], axes: Callable[..., Tensor]) -> Callable[..., Any]:
    """The forms of `max` or `min`: of two tensors, of a whole tensor, or along an axis."""

    def function(x: Tensor, other: Any = None, keepdim: bool = False) -> Any:
        if isinstance(other, Tensor):
            return pair(x, other)
        if other is None:
            return axes(x)
        return (result := axes(x, other, keepdim)), _no_indices(result)

    return function


def _no_indices(result: Tensor) -> Tensor:
    """In place of the places of maxima, which jump along a ray: empty, so that whoever uses them gets an error."""
    return torch.empty((0,) * result.ndim, dtype=torch.int64)


def _windows_max(x: Tensor, windows: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Maxima over windows of the last axes, which are products of a window of places along each."""
    axes = len(windows)
    sizes = x.shape[-axes:]
    flat = [[0]]
    for size, along in zip(sizes, windows, strict=True):
        flat = [[f * size + place for f in before for place in window] for before in flat for window in along]
    # Repeating a place changes no maximum and makes windows equally long.
    longest = max(len(w) for w in flat)
    index = torch.tensor([[*w, *[w[-1]] * (longest - len(w))] for w in flat], device=x.device)
    gathered = x.flatten(-axes).index_select(-1, index.reshape(-1))
    return torch.amax(gathered.unflatten(-1, index.shape), -1).unflatten(-1, [len(along) for along in windows])


def _max_pool(axes: int) -> Callable[..., Any]:
    def function(x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        kernel, padding, dilation = (_each(value, axes) for value in (kernel, padding, dilation))
        stride = kernel if stride is None or stride == [] or stride == () else _each(stride, axes)
        windows = []
        for size, k, s, p, d in zip(x.shape[-axes:], kernel, stride, padding, dilation, strict=True):
            span = size + 2 * p - d * (k - 1) - 1
            count = (-(-span // s) if ceil_mode else span // s) + 1
            # The last window must start inside the input or its left padding.
            count -= ceil_mode and (count - 1) * s >= size + p
            places = [[i * s - p + d * j for j in range(k)] for i in range(count)]
            windows.append([[place for place in w if 0 <= place < size] for w in places])
        return (result := _windows_max(x, windows)), _no_indices(result)

    return function


def _adaptive_max_pool(axes: int) -> Callable[..., Any]:
    def function(x: Tensor, output: Any) -> Any:
        windows = [
            [list(range(i * n // m, -(-(i + 1) * n // m))) for i in range(m)]
            for n, m in zip(x.shape[-axes:], _each(output, axes), strict=True)
        ]
        return (result := _windows_max(x, windows)), _no_indices(result)

    return function


def _each(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


register("max", Rewrite(_extreme(torch.maximum, torch.amax)))
register("min", Rewrite(_extreme(torch.minimum, torch.amin)))
register("max_pool2d_with_indices", Rewrite(_max_pool(2)))
register("max_pool3d_with_indices", Rewrite(_max_pool(3)))
register("adaptive_max_pool2d", Rewrite(_adaptive_max_pool(2)))
register("adaptive_max_pool3d", Rewrite(_adaptive_max_pool(3)))

# --- jumps -------------------------------------------------------------------------------------------------------------

register("sign sgn logical_not", Jump())
register("gt ge lt le eq ne", Jump(Of.PAIR))
register("hardshrink", Jump(words=lambda x, size=0.5: torch.where(x.abs() > size, x, 0.0)))
register("heaviside", Jump(words=lambda x, at_zero: torch.where(x == 0, at_zero, (x > 0).to(x.dtype))))

# --- in words of others ------------------------------------------------------------------------------------------------


def _attention(
    q: Tensor, k: Tensor, v: Tensor, dropout: float = 0, causal: bool = False, attn_mask: Any = None, scale: Any = None
) -> tuple[Tensor, Tensor]:
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        attn_mask = torch.full(scores.shape[-2:], -math.inf, dtype=scores.dtype, device=scores.device).triu(1)
    result = (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ v
    return result, _no_indices(result)


def _windows_as_columns(x: Tensor, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    x = torch.nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    rows, columns = (
        torch.tensor([[i * s + d * j for i in range((size - d * (k - 1) - 1) // s + 1)] for j in range(k)], device=x.device)
        for size, k, d, s in zip(x.shape[-2:], kernel, dilation, stride, strict=True)
    )
    index = rows[:, None, :, None] * x.shape[-1] + columns[:, None, :]
    chosen = x.flatten(-2).index_select(-1, index.reshape(-1))
    return chosen.unflatten(-1, (math.prod(kernel), -1)).flatten(-3, -2)


def _columns_as_windows(x: Tensor, output: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Tensor:
    """A transposed convolution whose kernel puts each channel at a place."""
    if x.ndim == 2:
        return _columns_as_windows(x[None], output, kernel, dilation, padding, stride)[0]
    sides = list(zip(output, kernel, dilation, padding, stride, strict=True))
    sizes = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, d, p, s in sides]
    left = [size - ((n - 1) * s - 2 * p + d * (k - 1) + 1) for n, (size, k, d, p, s) in zip(sizes, sides, strict=True)]
    weight = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unflatten(1, (-1, *kernel))
    return torch.conv_transpose2d(x.unflatten(2, sizes), weight, None, stride, padding, left, 1, dilation)


def _distances(x: Tensor, y: Tensor, p: float = 2, *_: Any) -> Tensor:
    """Lengths of all differences of rows."""
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1)


def _trilinear(x: Tensor, y: Tensor, z: Tensor, *expanded: Any) -> Tensor:
    *axes, summed = expanded[:4]
    for axis in range(x.ndim + len(axes[0])):
        x, y, z = (t.unsqueeze(axis) if axis in new else t for t, new in zip((x, y, z), axes, strict=True))
    return (x * y * z).sum(summed)


def _written(x: Tensor, indices: list[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    put = torch.ops.aten.index_put
    if accumulate:
        raise Refused("unknown")
    if any(isinstance(index, Traced) for index in indices):
        if len(indices) > 1 or indices[0].dtype != torch.bool or values.numel() > 1:
            raise Refused("mask")
        mask = indices[0]
        return torch.where(mask[(..., *[None] * (x.ndim - mask.ndim))], values.reshape(()), x)
    if not isinstance(values, Traced):
        nothing = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
        mask = put(nothing.bool(), indices, torch.tensor(True, device=x.device))
        return torch.where(mask, put(nothing, indices, values), x)
    # What is written is chosen from behind all that was there.
    places = torch.arange(x.numel(), device=x.device).reshape(x.shape)
    written = torch.arange(values.numel(), device=x.device).reshape(values.shape) + x.numel()
    pool = torch.cat([x.reshape(-1), values.reshape(-1)])
    return pool.index_select(0, put(places, indices, written).reshape(-1)).reshape(x.shape)


register("index_put", Rewrite(_written))
register("nan_to_num", Rewrite(lambda x, *_, **__: x.clone()))
register("addcmul", Rewrite(lambda x, a, b, value=1: x + value * (a * b)))
register("addcdiv", Rewrite(lambda x, a, b, value=1: x + value * (a / b)))
register("glu", Rewrite(lambda x, dim=-1: (lambda a, b: a * b.sigmoid())(*x.chunk(2, dim))))
register("_trilinear", Rewrite(_trilinear))
register("_cdist_forward _euclidean_dist", Rewrite(_distances))
register("_scaled_dot_product_flash_attention_for_cpu", Rewrite(_attention))
register("im2col", Rewrite(_windows_as_columns))
register("col2im", Rewrite(_columns_as_windows))
register("channel_shuffle", Rewrite(lambda x, groups: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)))

# --- straight asymptotes -----------------------------------------------------------------------------------------------


def _steepest(slope: float) -> Callable[..., float]:
    return lambda *_, **__: slope


register("sigmoid", Smooth(lambda: ((0, 0), (0, 1)), _steepest(1 / 4), tail=Tail.FAST))
register("tanh", Smooth(lambda: ((0, -1), (0, 1)), _steepest(1), tail=Tail.FAST))
register("erf", Smooth(lambda: ((0, -1), (0, 1)), _steepest(2 / math.sqrt(math.pi)), tail=Tail.FAST))
register("atan", Smooth(lambda: ((0, -math.pi / 2), (0, math.pi / 2)), _steepest(1)))
register("gelu", Smooth(lambda approximate="none": ((0, 0), (1, 0)), _steepest(1.13), tail=Tail.FAST))
register("silu", Smooth(lambda: ((0, 0), (1, 0)), _steepest(1.1), tail=Tail.FAST))
register("mish", Smooth(lambda: ((0, 0), (1, 0)), _steepest(1.09), tail=Tail.FAST))
register("hardswish", Smooth(lambda: ((0, 0), (1, 0)), _steepest(1.5), tail=Tail.FAST))
# Torch has x itself for softplus beyond a threshold.
register(
    "softplus",
    Smooth(
        lambda beta=1, threshold=20: ((0, 0), (1, 0)),
        _steepest(1),
        steps=lambda beta=1, threshold=20: [(threshold / beta, math.log1p(math.exp(-threshold)) / beta)],
        tail=Tail.FAST,
    ),
)
register("log_sigmoid_forward", Smooth(lambda: ((1, 0), (0, 0)), _steepest(1), tail=Tail.FAST))
register("celu", Smooth(lambda alpha=1: ((0, -alpha), (1, 0)), _steepest(1), tail=Tail.FAST))
register(
    "elu",
    Smooth(
        lambda alpha=1, scale=1, input_scale=1: ((0, -alpha * scale), (scale, 0)),
        lambda alpha=1, scale=1, input_scale=1: max(abs(scale), abs(alpha * scale * input_scale)),
        tail=Tail.FAST,
    ),
)

#: What the table has of its own; what people enter is held to what they say of it whenever it is met.
OWN = frozenset(TABLE)
