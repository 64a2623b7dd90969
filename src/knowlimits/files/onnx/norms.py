"""Norms: what they learned, and statistics."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from knowlimits.files.onnx.arithmetic import add, multiply
from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.follow import UnsupportedOperation

#: What is added to lengths, so that rows of zeros are divided by it and stay as they are; it is lost in any other length.
TINY = 2.0**-1000


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, center: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Batch norm with statistics of the file."""
    return torch.batch_norm(x, scale, shift, center, variance, False, 0.0, eps, False)


def layer_norm(x: Tensor, axis: int, eps: float) -> Tensor:
    """Mean 0 and variance 1 over an axis and all after it."""
    return F.layer_norm(x, x.shape[axis:], eps=eps)


def group_norm(x: Tensor, groups: int, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Mean 0 and variance 1 over groups of channels, each channel with a scale and shift; no groups: each channel alone."""
    return torch.group_norm(x, groups or x.shape[1], scale, shift, eps)


def rms_norm(x: Tensor, axis: int, eps: float) -> Tensor:
    """A mean of squares of 1 over an axis and all after it."""
    return F.rms_norm(x, x.shape[axis:], eps=eps)


def of_length_one(x: Tensor, axis: int, order: int) -> Tensor:
    """Numbers along an axis divided by their length; zeros stay as they are."""
    return x / (torch.linalg.vector_norm(x, order, axis, keepdim=True) + TINY)


def standardized(x: Tensor, axes: list[int]) -> Tensor:
    """Mean 0 and variance 1 along axes."""
    return (x - x.mean(axes, keepdim=True)) / (x.std(axes, correction=0, keepdim=True) + 1e-9)


def _batch_norm(o: Operation) -> Any:
    if o.node.get("training_mode", 0) or o.node.get("spatial", 1) != 1:
        raise UnsupportedOperation("batch norm must have statistics of its own for each channel: export the model in eval mode")
    statistics = [o.constant(i, "what a batch norm learned") for i in range(1, 5)]
    if any(s is None or s.ndim != 1 for s in statistics):
        raise ValueError("batch norm needs a scale, shift, mean and variance for each channel")
    return o.call(batch_norm, *o.take(1), *statistics, o.node.get("epsilon", 1e-5))


def _layer_norm(o: Operation) -> Any:
    x, scale, shift = o.take(2, 1)
    value = o.call(multiply, o.call(layer_norm, x, o.node.get("axis", -1), o.node.get("epsilon", 1e-5)), scale)
    return value if shift is None else o.call(add, value, shift)


def _instance_norm(o: Operation) -> Any:
    x, scale, shift = o.take(3)
    return o.call(group_norm, x, 0, scale, shift, o.node.get("epsilon", 1e-5))


def _group_norm(o: Operation) -> Any:
    if o.node.version < 21:
        raise UnsupportedOperation("before opset 21 it has a scale for each group: export the model with a newer opset")
    groups = o.node.get("num_groups", 0)
    if groups < 1:
        raise ValueError(f"num_groups must be at least 1. Got {groups} instead")
    x, scale, shift = o.take(3)
    return o.call(group_norm, x, groups, scale, shift, o.node.get("epsilon", 1e-5))


def _rms_norm(o: Operation) -> Any:
    x, scale = o.take(2)
    return o.call(multiply, o.call(rms_norm, x, o.node.get("axis", -1), o.node.get("epsilon", 1e-5)), scale)


def _length_one(o: Operation) -> Any:
    order = o.node.get("p", 2)
    if order not in (1, 2):
        raise ValueError(f"p must be 1 or 2. Got {order} instead")
    return o.call(of_length_one, *o.take(1), o.node.get("axis", -1), order)


def _standardize(o: Operation) -> Any:
    axes = o.node.integers("axes") or [0, 2, 3]
    if 0 in axes:
        raise UnsupportedOperation("its statistics are those of a batch, which tie rows together: take axes without the first")
    return o.call(standardized, *o.take(1), axes)


TABLE = {
    "BatchNormalization": Operator(_batch_norm),
    "LayerNormalization": Operator(_layer_norm),
    "InstanceNormalization": Operator(_instance_norm),
    "GroupNormalization": Operator(_group_norm),
    "RMSNormalization": Operator(_rms_norm),
    "LpNormalization": Operator(_length_one),
    "MeanVarianceNormalization": Operator(_standardize),
}
