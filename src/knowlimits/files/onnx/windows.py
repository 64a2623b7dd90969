"""Convolutions and poolings."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from knowlimits.files.budget import MOST_SIZE, MOST_STRIDE
from knowlimits.files.onnx.building import Operation, Operator, moving, parameter, plain
from knowlimits.files.onnx.sizes import allow
from knowlimits.follow import UnsupportedOperation


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


def lp_pool(
    x: Tensor, auto: str, pads: list[int], kernel: list[int], strides: list[int], dilations: list[int], order: int
) -> Tensor:
    """Lengths of windows."""
    _check_pool(x, kernel)
    x = pad_for_windows(x, auto, pads, kernel, strides, dilations)
    for axis, (size, step, apart) in enumerate(zip(kernel, strides, dilations, strict=True), 2):
        x = x.unfold(axis, apart * (size - 1) + 1, step)
        x = x.index_select(-1, torch.arange(0, x.shape[-1], apart, device=x.device)) if apart > 1 else x
        allow(x.shape)
    return torch.linalg.vector_norm(x.flatten(-len(kernel)), order, -1)


def global_lp(x: Tensor, order: int) -> Tensor:
    """Lengths over all axes but the first two."""
    return torch.linalg.vector_norm(x, order, list(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else torch.abs(x)


_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    auto: str,
    pads: list[int],
    strides: list[int],
    dilations: list[int],
    more: list[int],
    wanted: list[int] | None,
    group: int,
) -> Tensor:
    """The transpose of a convolution, of whose result pads are cut off, and to whose end rows of zeros may be added before."""
    axes = weight.ndim - 2
    _check_pool(x, list(weight.shape[2:]))
    sizes = list(x.shape[2:])
    whole = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(sizes, strides, dilations, weight.shape[2:], strict=True)]
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is not None:
        cut = [n + m - out for n, m, out in zip(whole, more, wanted[-axes:], strict=True)]
        if min(cut) < 0:
            raise ValueError(f"output_shape {wanted} is larger than what inputs of {sizes} reach")
        small, large = [c // 2 for c in cut], [c - c // 2 for c in cut]
        pads = small + large if auto == "SAME_UPPER" else large + small
    allow([x.shape[0], weight.shape[1] * group, *whole])
    result = _TRANSPOSED[axes](x, weight, None, strides, 0, 0, group, dilations)
    result = pad_around(result, [-p for p in pads[:axes]] + [m - p for m, p in zip(more, pads[axes:], strict=True)])
    return result if bias is None else result + bias.reshape(-1, *[1] * axes)


def global_average(x: Tensor) -> Tensor:
    """Means over all axes but the first two."""
    return torch.mean(x, list(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x


def global_max(x: Tensor) -> Tensor:
    """Largest over all axes but the first two."""
    return torch.amax(x, list(range(2, x.ndim)), keepdim=True) if x.ndim > 2 else x


def _places(o: Operation, kernel: list[int]) -> tuple[str, list[int], list[int], list[int]]:
    """Automatic padding, pads, strides and dilations, of which each may be left out."""
    axes, node = len(kernel), o.node
    auto = node.get("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ValueError(f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID. Got {auto!r} instead")
    pads = (node.integers("pads") if auto == "NOTSET" else None) or [0] * 2 * axes
    strides, dilations = node.integers("strides") or [1] * axes, node.integers("dilations") or [1] * axes
    if (len(pads), len(strides), len(dilations)) != (2 * axes, axes, axes) or min(*strides, *dilations, *kernel) < 1:
        raise ValueError(f"windows {kernel}, strides {strides}, dilations {dilations} and pads {pads} do not fit together")
    if max(*pads, *strides, *dilations, *kernel) > MOST_SIZE or min(pads) < -MOST_SIZE:
        raise ValueError(f"windows, strides, dilations and pads must be below {MOST_SIZE + 1:,}")
    if any(d * (k - 1) > MOST_SIZE for d, k in zip(dilations, kernel, strict=True)):
        # Torch counts the places of poolings in 32 bits: they would be others, and those of foreign memory.
        raise ValueError(f"windows {kernel} with dilations {dilations} must reach less than {MOST_SIZE + 1:,} places")
    return auto, pads, strides, dilations


_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _convolution(o: Operation) -> Any:
    (x,), weight, bias = o.take(1), o.constant(1, "the weight"), o.constant(2, "the bias")
    if weight is None or weight.ndim - 2 not in _CONVOLUTIONS or weight.numel() == 0:
        raise UnsupportedOperation("only convolutions over one to three axes can be converted")
    kernel, group = list(weight.shape[2:]), o.node.get("group", 1)
    if (o.node.integers("kernel_shape") or kernel) != kernel or group < 1 or weight.shape[0] % group:
        raise ValueError(f"kernel_shape or group {group} does not fit weights of shape {list(weight.shape)}")
    if bias is not None and list(bias.shape) != [weight.shape[0]]:
        raise ValueError(f"the bias has shape {list(bias.shape)} for {weight.shape[0]} channels")
    auto, pads, strides, dilations = _places(o, kernel)
    if max(*strides, *dilations) > MOST_STRIDE:
        raise ValueError(f"strides and dilations of a convolution must be at most {MOST_STRIDE:,}")
    padding = pads[: len(kernel)]
    native = auto in ("NOTSET", "VALID") and pads[len(kernel) :] == padding
    # Further pads than a window reaches would be a way to ask for much memory.
    if not native or any(
        not 0 <= p <= min(d * (k - 1), MOST_STRIDE) for p, d, k in zip(padding, dilations, kernel, strict=True)
    ):
        x, padding = o.call(pad_for_windows, x, auto, pads, kernel, strides, dilations), [0] * len(kernel)
    arguments = (strides, padding, dilations, group, bias is not None)
    layer = _CONVOLUTIONS[len(kernel)](weight.shape[1] * group, weight.shape[0], kernel, *arguments, device="meta")
    layer.weight = parameter(weight)
    layer.bias = None if bias is None else parameter(bias)
    return o.building.call_module(layer, x) if isinstance(x, fx.Node) else o.call(layer, x)


def _transposed_convolution(o: Operation) -> Any:
    (x,), weight, bias = o.take(1), o.constant(1, "the weight"), o.constant(2, "the bias")
    if weight is None or weight.ndim - 2 not in _TRANSPOSED or weight.numel() == 0:
        raise UnsupportedOperation("only convolutions over one to three axes can be converted")
    kernel, group = list(weight.shape[2:]), o.node.get("group", 1)
    if (o.node.integers("kernel_shape") or kernel) != kernel or group < 1 or weight.shape[0] % group:
        raise ValueError(f"kernel_shape or group {group} does not fit weights of shape {list(weight.shape)}")
    if bias is not None and list(bias.shape) != [weight.shape[1] * group]:
        raise ValueError(f"the bias has shape {list(bias.shape)} for {weight.shape[1] * group} channels")
    auto, pads, strides, dilations = _places(o, kernel)
    more, wanted = o.node.integers("output_padding") or [0] * len(kernel), o.node.integers("output_shape")
    if max(*strides, *dilations) > MOST_STRIDE:
        raise ValueError(f"strides and dilations of a convolution must be at most {MOST_STRIDE:,}")
    if len(more) != len(kernel) or any(not 0 <= m < max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)):
        raise ValueError(f"output_padding {more} must be smaller than strides {strides} or dilations {dilations}")
    if wanted is not None and (len(wanted) < len(kernel) or min(wanted) < 1):
        raise ValueError(f"output_shape {wanted} does not fit a kernel of {kernel}")
    return o.call(transposed_convolution, x, weight, bias, auto, pads, strides, dilations, more, wanted, group)


def _kernel(o: Operation) -> list[int]:
    kernel = o.node.integers("kernel_shape")
    if not kernel or len(kernel) > 3:
        raise UnsupportedOperation("only windows over one to three axes can be converted")
    return kernel


def _max_pool(o: Operation) -> Any:
    kernel = _kernel(o)
    auto, pads, strides, dilations = _places(o, kernel)
    # The places of the maxima, a second output, jump along a ray.
    return o.call(max_pool, *o.take(1), auto, pads, kernel, strides, dilations, bool(o.node.get("ceil_mode", 0)))


def _average_pool(o: Operation) -> Any:
    kernel = _kernel(o)
    auto, pads, strides, dilations = _places(o, kernel)
    if max(dilations) > 1:
        raise UnsupportedOperation("it has dilations, which torch's average pooling has not")
    ceil, count = bool(o.node.get("ceil_mode", 0)), bool(o.node.get("count_include_pad", 0))
    return o.call(average_pool, *o.take(1), auto, pads, kernel, strides, ceil, count)


def _order(o: Operation) -> int:
    order = o.node.get("p", 2)
    if order < 1:
        raise ValueError(f"p must be at least 1. Got {order} instead")
    return order


def _lp_pool(o: Operation) -> Any:
    if o.node.get("ceil_mode", 0):
        raise UnsupportedOperation("it rounds up how many windows there are: pad its input instead")
    auto, pads, strides, dilations = _places(o, kernel := _kernel(o))
    return o.call(lp_pool, *o.take(1), auto, pads, kernel, strides, dilations, _order(o))


TABLE = {
    "Conv": Operator(_convolution),
    "ConvTranspose": Operator(_transposed_convolution),
    "LpPool": Operator(_lp_pool),
    "GlobalLpPool": Operator(lambda o: o.call(global_lp, *o.take(1), _order(o))),
    "MaxPool": moving(_max_pool),
    "AveragePool": Operator(_average_pool),
    "GlobalAveragePool": plain(global_average),
    "GlobalMaxPool": plain(global_max),
}
