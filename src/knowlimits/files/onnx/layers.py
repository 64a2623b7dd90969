"""Operators with weights, windows or statistics, of which most become layers of torch."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import MOST_SIZE, MOST_STRIDE
from knowlimits.files.onnx import functions
from knowlimits.files.onnx.building import Operation, check_finite
from knowlimits.follow import UnsupportedOperation


def _parameter(tensor: Tensor) -> nn.Parameter:
    check_finite(tensor)
    return nn.Parameter(tensor.clone(memory_format=torch.contiguous_format), requires_grad=False)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    # On no device, where it draws no weights that would be thrown away.
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = _parameter(weight)
    if bias is not None:
        layer.bias = _parameter(bias)
    return layer


def _is_matrix(x: Any, weight: Any) -> bool:
    return isinstance(x, fx.Node) and isinstance(weight, Tensor) and weight.ndim == 2 and weight.numel() > 0


def matmul(o: Operation) -> Any:
    """A product of matrices; a layer if the second is constant."""
    x, weight = o.input(0), o.input(1)
    if _is_matrix(x, weight):
        return o.building.call_module(_linear(weight.t(), None), x)
    return o.call(functions.matmul, x, weight)


def gemm(o: Operation) -> Any:
    """A product of matrices and a sum; a layer if all but the first is constant."""
    x, weight, bias = o.input(0), o.input(1), o.optional(2)
    alpha, beta = o.number("alpha", 1.0), o.number("beta", 1.0)
    turn_x, turn = bool(o.integer("transA", 0)), bool(o.integer("transB", 0))
    rows = weight.shape[0 if turn else 1] if _is_matrix(x, weight) else 0
    if rows and not turn_x and (bias is None or isinstance(bias, Tensor)):
        matrix = alpha * (weight if turn else weight.t())
        if bias is None or tuple(bias.shape) in {(), (1,), (rows,), (1, 1), (1, rows)}:
            row = None if bias is None else (beta * bias).reshape(-1).expand(rows)
            return o.building.call_module(_linear(matrix, row), x)
    return o.call(functions.gemm, x, weight, bias, alpha, beta, turn_x, turn)


_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _windows(o: Operation, kernel: list[int]) -> tuple[str, list[int], list[int], list[int]]:
    """Automatic padding, pads, strides and dilations, of which each may be left out."""
    axes = len(kernel)
    auto = o.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ValueError(f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID. Got {auto!r} instead")
    pads = o.integers("pads") if auto == "NOTSET" else None
    pads, strides, dilations = (
        pads or [0] * 2 * axes,
        o.integers("strides") or [1] * axes,
        o.integers("dilations") or [1] * axes,
    )
    if (len(pads), len(strides), len(dilations)) != (2 * axes, axes, axes) or min(*strides, *dilations, *kernel) < 1:
        raise ValueError(f"windows {kernel}, strides {strides}, dilations {dilations} and pads {pads} do not fit together")
    if max(*pads, *strides, *dilations, *kernel) > MOST_SIZE or min(pads) < -MOST_SIZE:
        raise ValueError(f"windows, strides, dilations and pads must be below {MOST_SIZE + 1:,}")
    if any(d * (k - 1) > MOST_SIZE for d, k in zip(dilations, kernel, strict=True)):
        # Torch counts the places of poolings in 32 bits: they would be others, and those of foreign memory.
        raise ValueError(f"windows {kernel} with dilations {dilations} must reach less than {MOST_SIZE + 1:,} places")
    return auto, pads, strides, dilations


def convolution(o: Operation) -> Any:
    """A convolution with constant weights."""
    x, weight, bias = o.input(0), o.constant(1, "the weight"), o.constant(2, "the bias")
    if weight is None or weight.ndim - 2 not in _CONVOLUTIONS or weight.numel() == 0:
        raise UnsupportedOperation("only convolutions over one to three axes can be converted")
    kernel, group = list(weight.shape[2:]), o.integer("group", 1)
    if (o.integers("kernel_shape") or kernel) != kernel or group < 1 or weight.shape[0] % group:
        raise ValueError(f"kernel_shape or group {group} does not fit weights of shape {list(weight.shape)}")
    if bias is not None and list(bias.shape) != [weight.shape[0]]:
        raise ValueError(f"the bias has shape {list(bias.shape)} for {weight.shape[0]} channels")
    auto, pads, strides, dilations = _windows(o, kernel)
    if max(*strides, *dilations) > MOST_STRIDE:
        raise ValueError(f"strides and dilations of a convolution must be at most {MOST_STRIDE:,}")
    padding = pads[: len(kernel)]
    native = auto in ("NOTSET", "VALID") and pads[len(kernel) :] == padding
    # Further pads than a window reaches would be a way to ask for much memory.
    if not native or any(
        not 0 <= p <= min(d * (k - 1), MOST_STRIDE) for p, d, k in zip(padding, dilations, kernel, strict=True)
    ):
        x, padding = o.call(functions.pad_for_windows, x, auto, pads, kernel, strides, dilations), [0] * len(kernel)
    arguments = (strides, padding, dilations, group, bias is not None)
    layer = _CONVOLUTIONS[len(kernel)](weight.shape[1] * group, weight.shape[0], kernel, *arguments, device="meta")
    layer.weight = _parameter(weight)
    layer.bias = None if bias is None else _parameter(bias)
    return o.building.call_module(layer, x) if isinstance(x, fx.Node) else o.call(layer, x)


def batch_norm(o: Operation) -> Any:
    """Batch norm with constant statistics."""
    if o.integer("training_mode", 0) or o.integer("spatial", 1) != 1:
        raise UnsupportedOperation("batch norm must have statistics of its own for each channel: export the model in eval mode")
    statistics = [o.constant(i, "what a batch norm learned") for i in range(1, 5)]
    if any(s is None or s.ndim != 1 for s in statistics):
        raise ValueError("batch norm needs a scale, shift, mean and variance for each channel")
    return o.call(functions.batch_norm, o.input(0), *statistics, o.number("epsilon", 1e-5))


def layer_norm(o: Operation) -> Any:
    """Layer norm, and what it learned."""
    value = o.call(functions.layer_norm, o.input(0), o.integer("axis", -1), o.number("epsilon", 1e-5))
    value = o.call(functions.multiply, value, o.input(1))
    return value if o.optional(2) is None else o.call(functions.add, value, o.input(2))


def instance_norm(o: Operation) -> Any:
    """Group norm with a group for each channel."""
    return o.call(functions.group_norm, o.input(0), 0, o.input(1), o.input(2), o.number("epsilon", 1e-5))


def group_norm(o: Operation) -> Any:
    """Group norm with a scale for each channel."""
    if o.version < 21:
        raise UnsupportedOperation("before opset 21 it has a scale for each group: export the model with a newer opset")
    groups = o.integer("num_groups", 0)
    if groups < 1:
        raise ValueError(f"num_groups must be at least 1. Got {groups} instead")
    return o.call(functions.group_norm, o.input(0), groups, o.input(1), o.input(2), o.number("epsilon", 1e-5))


def _kernel(o: Operation) -> list[int]:
    kernel = o.integers("kernel_shape")
    if not kernel or len(kernel) > 3:
        raise UnsupportedOperation("only windows over one to three axes can be converted")
    return kernel


def max_pool(o: Operation) -> Any:
    """Largest of windows."""
    kernel = _kernel(o)
    auto, pads, strides, dilations = _windows(o, kernel)
    ceil = bool(o.integer("ceil_mode", 0))
    # The places of the maxima, a second output, jump along a ray.
    return o.call(functions.max_pool, o.input(0), auto, pads, kernel, strides, dilations, ceil)


def average_pool(o: Operation) -> Any:
    """Means of windows."""
    kernel = _kernel(o)
    auto, pads, strides, dilations = _windows(o, kernel)
    if max(dilations) > 1:
        raise UnsupportedOperation("it has dilations, which torch's average pooling has not")
    ceil, count = bool(o.integer("ceil_mode", 0)), bool(o.integer("count_include_pad", 0))
    return o.call(functions.average_pool, o.input(0), auto, pads, kernel, strides, ceil, count)


def _is_row(value: Any, length: int) -> bool:
    """Whether a constant is added to each row of a matrix, or is one number."""
    row = isinstance(value, Tensor) and value.ndim in (1, 2) and value.shape[-1] == value.numel()
    return row and value.numel() in (1, length)


def add(o: Operation) -> Any:
    """A sum; the bias of a layer that has none."""
    for x, bias in ((0, 1), (1, 0)):
        layer, value = o.building.module_of(o.input(x)), o.input(bias)
        # Nobody else may see the product without its bias.
        if isinstance(layer, nn.Linear) and layer.bias is None and o.users[x] == 1 and _is_row(value, layer.out_features):
            layer.bias = _parameter(value.reshape(-1).expand(layer.out_features))
            return o.input(x)
    return o.call(functions.add, o.input(0), o.input(1))


def linear_classifier(o: Operation) -> Any:
    """The logits of a linear classifier that ends a model; one for two classes whose scores are those of one."""
    classes = o.attribute("classlabels_ints") or o.attribute("classlabels_strings") or []
    coefficients, after = o.numbers("coefficients"), o.text("post_transform", "NONE")
    if coefficients is None or not classes or after not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise ValueError(f"only scores of classes with softmax, sigmoid or none can be converted. Got {after} instead")
    intercepts = o.numbers("intercepts")
    rows = len(classes) if intercepts is None else len(intercepts)
    weight = coefficients.reshape(rows, -1)
    bias = torch.zeros(rows, dtype=torch.float64) if intercepts is None else intercepts
    opposite = rows == 2 and torch.equal(weight[0], -weight[1]) and bool(bias[0] == -bias[1])
    one = len(classes) == 2 and (rows == 1 or (opposite and after != "SOFTMAX"))
    if one:
        weight, bias = weight[-1:], bias[-1:]
        if after == "SOFTMAX":
            # Scores (-f, f).
            weight, bias = 2 * weight, 2 * bias
    elif after == "LOGISTIC":
        raise ValueError("its probabilities are sigmoids that are then divided by their sum, which are no softmax of logits")
    if not one and rows != len(classes):
        raise ValueError(f"{len(classes)} classes do not go with {len(bias)} rows of coefficients")
    x = o.call(functions.cast, o.input(0), "float")
    return o.building.call_module(_linear(weight, bias), x) if isinstance(x, fx.Node) else x
