"""Sums, means and extremes along axes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.sizes import Sizes, ints
from knowlimits.follow import UnsupportedOperation


def _axes(x: Tensor, axes: Sizes | None) -> list[int]:
    return list(range(x.ndim)) if axes is None else ints(axes)


def reduce_sum(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Sum along axes; all without any."""
    return torch.sum(x, _axes(x, axes), keep)


def reduce_l1(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Sum of sizes along axes."""
    return torch.sum(torch.abs(x), _axes(x, axes), keep)


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


def reduce_l2(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Length along axes."""
    return torch.linalg.vector_norm(x, 2, _axes(x, axes), keep)


def reduce_squares(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Sum of squares along axes."""
    return torch.sum(x * x, _axes(x, axes), keep)


def reduce_log_sum(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Logarithm of the sum along axes."""
    return torch.log(torch.sum(x, _axes(x, axes), keep))


def reduce_product(x: Tensor, axes: Sizes | None, keep: bool) -> Tensor:
    """Product along axes; that of one number is the number."""
    for axis in sorted((axis % x.ndim for axis in _axes(x, axes)), reverse=True):
        x = x.narrow(axis, 0, 1) if x.shape[axis] == 1 else torch.prod(x, axis, True)
        x = x if keep else x.squeeze(axis)
    return x


def _reduce(function: Callable[..., Any]) -> Operator:
    def convert(o: Operation) -> Any:
        (x,), axes = o.take(1), o.sizes(1, "axes")
        if isinstance(axes, list) and not axes:
            axes = None
        if axes is None and o.node.get("noop_with_empty_axes", 0):
            return x
        return o.call(function, x, axes, bool(o.node.get("keepdims", 1)))

    return Operator(convert)


def argmax(x: Tensor, axis: int, keep: bool) -> Tensor:
    """The place of the largest number along an axis, of the first of several."""
    return torch.argmax(x, axis, keep)


def argmin(x: Tensor, axis: int, keep: bool) -> Tensor:
    """The place of the smallest number along an axis, of the first of several."""
    return torch.argmin(x, axis, keep)


def _place(function: Callable[..., Any]) -> Operator:
    def convert(o: Operation) -> Any:
        if o.node.get("select_last_index", 0):
            raise UnsupportedOperation("of several largest or smallest numbers it must take the first")
        return o.call(function, *o.take(1), o.node.get("axis", 0), bool(o.node.get("keepdims", 1)))

    return Operator(convert)


TABLE = {
    "ArgMax": _place(argmax),
    "ArgMin": _place(argmin),
    "ReduceSum": _reduce(reduce_sum),
    "ReduceL1": _reduce(reduce_l1),
    "ReduceL2": _reduce(reduce_l2),
    "ReduceSumSquare": _reduce(reduce_squares),
    "ReduceLogSum": _reduce(reduce_log_sum),
    "ReduceProd": _reduce(reduce_product),
    "ReduceMean": _reduce(reduce_mean),
    "ReduceMax": _reduce(reduce_max),
    "ReduceMin": _reduce(reduce_min),
    "ReduceLogSumExp": _reduce(reduce_logsumexp),
}
