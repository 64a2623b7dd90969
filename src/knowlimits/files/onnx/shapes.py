"""Shapes of tensors, tensors of a given shape, and the same numbers in another one."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits.files.onnx.building import Operation, Operator, moving, plain
from knowlimits.files.onnx.graph import as_constant
from knowlimits.files.onnx.sizes import Sizes, allow, ints
from knowlimits.follow import UnsupportedOperation


def shape_of(x: Tensor, start: int = 0, end: int | None = None) -> Tensor:
    """The shape as a tensor."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64, device=x.device)


def size_of(x: Tensor) -> Tensor:
    """How many numbers there are."""
    return torch.tensor(x.numel(), device=x.device)


def reshape(x: Tensor, shape: Sizes, zero_is_zero: bool) -> Tensor:
    """Another shape; 0 keeps the size of an axis unless it is meant as it is."""
    new = ints(shape)
    if not zero_is_zero:
        new = [x.shape[i] if size == 0 else size for i, size in enumerate(new)]
    return x.reshape(new)


def flatten(x: Tensor, axis: int) -> Tensor:
    """A matrix: the axes before one, and that and the others."""
    if not -x.ndim <= axis <= x.ndim:
        raise ValueError(f"axis must be in {-x.ndim} to {x.ndim}. Got {axis} instead.")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def transpose(x: Tensor, order: list[int] | None) -> Tensor:
    """Axes in another order; reversed without one."""
    return x.permute(list(reversed(range(x.ndim))) if order is None else order)


def squeeze(x: Tensor, axes: Sizes | None) -> Tensor:
    """Without axes of length one."""
    if axes is None:
        return x.reshape([n for n in x.shape if n != 1])
    places = [axis % x.ndim if -x.ndim <= axis < x.ndim else axis for axis in ints(axes)]
    if any(x.shape[place] != 1 for place in places):
        raise ValueError(f"axes {places} of shape {list(x.shape)} are not all of length one")
    return x.reshape([n for i, n in enumerate(x.shape) if i not in places])


def unsqueeze(x: Tensor, axes: Sizes) -> Tensor:
    """With axes of length one at these places of the result."""
    new = ints(axes)
    total = x.ndim + len(new)
    places = {axis + total if axis < 0 else axis for axis in new}
    if len(places) < len(new) or not places <= set(range(total)):
        raise ValueError(f"axes {new} are not places among {total} axes")
    rest = iter(x.shape)
    return x.reshape([1 if i in places else next(rest) for i in range(total)])


def expand(x: Tensor, shape: Sizes) -> Tensor:
    """Repeated along axes of length one, whichever of the two shapes has them."""
    return x.expand(allow(torch.broadcast_shapes(x.shape, tuple(ints(shape)))))


def tile(x: Tensor, repeats: Sizes) -> Tensor:
    """Repeated as a whole."""
    counts = ints(repeats)
    if len(counts) != x.ndim:
        raise ValueError(f"Tile of {x.ndim} axes needs as many repeats. Got {len(counts)} instead.")
    allow([n * count for n, count in zip(x.shape, counts, strict=True)])
    return x.repeat(counts)


def filled(shape: Sizes, value: Tensor) -> Tensor:
    """A tensor of one number."""
    return value.reshape(()).expand(allow(ints(shape)))


def arange(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Numbers from start to end."""
    first, last, by = (t.reshape(()).item() for t in (start, end, step))
    (count,) = allow([max(math.ceil((last - first) / by), 0)])
    if start.is_floating_point():
        return torch.arange(first, last, by, dtype=start.dtype)
    # torch's own counts in 64 bits how many there are.
    return start.reshape(()) + step.reshape(()) * torch.arange(count, device=start.device)


def _shape(o: Operation) -> Any:
    return o.call(shape_of, *o.take(1), o.node.get("start", 0), o.node.value("end"), of_shape=True)


def _reshape(o: Operation) -> Any:
    x, _ = o.take(2)
    return o.call(reshape, x, o.sizes(1), bool(o.node.get("allowzero", 0)))


def _repeated(function: Callable[..., Any]) -> Operator:
    def convert(o: Operation) -> Any:
        x, _ = o.take(2)
        return o.call(function, x, o.sizes(1))

    return Operator(convert)


def _constant(o: Operation) -> Any:
    for name, kind in (("value_float", torch.float64), ("value_floats", torch.float64), ("value_int", torch.int64)):
        if (value := o.node.value(name)) is not None:
            return torch.tensor(value, dtype=kind)
    if (whole := o.node.integers("value_ints")) is not None:
        return torch.tensor(whole, dtype=torch.int64)
    if (value := o.node.value("value")) is None:
        raise UnsupportedOperation("only constants that are dense tensors of numbers can be converted")
    return as_constant(value)


def _filled(o: Operation) -> Any:
    value = o.node.value("value")
    return o.call(filled, o.sizes(0), torch.zeros(1, dtype=torch.float64) if value is None else as_constant(value))


TABLE = {
    "Shape": Operator(_shape, takes_integers=True),
    "Size": Operator(lambda o: o.call(size_of, *o.take(1), of_shape=True), takes_integers=True),
    "Reshape": moving(_reshape),
    "Flatten": moving(lambda o: o.call(flatten, *o.take(1), o.node.get("axis", 1))),
    "Transpose": moving(lambda o: o.call(transpose, *o.take(1), o.node.integers("perm"))),
    "Squeeze": moving(lambda o: o.call(squeeze, *o.take(1), o.sizes(1, "axes"))),
    "Unsqueeze": moving(lambda o: o.call(unsqueeze, *o.take(1), o.sizes(1, "axes"))),
    "Expand": _repeated(expand),
    "Tile": _repeated(tile),
    "Constant": Operator(_constant),
    "ConstantOfShape": Operator(_filled),
    "Range": plain(arange),
}
