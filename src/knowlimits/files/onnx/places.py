"""Parts of tensors, and tensors put together: numbers that move to other places."""

import math
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from knowlimits.files.budget import MOST_SIZE
from knowlimits.files.onnx.building import Operation, Operator, moving
from knowlimits.files.onnx.sizes import Sizes, allow, ints


def concat(*tensors_and_axis: Tensor | int) -> Tensor:
    """Tensors one after another; the last argument is the axis."""
    *tensors, axis = tensors_and_axis
    allow([sum(t.numel() for t in tensors)])  # type: ignore[union-attr]
    return torch.cat(tensors, axis)  # type: ignore[arg-type]


def split(x: Tensor, axis: int, sizes: Sizes | None, count: int) -> tuple[Tensor, ...]:
    """Parts of given sizes, or as many as equal as can be."""
    length = x.shape[axis]
    if sizes is None:
        each = -(-length // count)
        sizes = [max(min(each, length - i * each), 0) for i in range(count)]
    parts = torch.split(x, ints(sizes), axis)
    if len(parts) != count:
        raise ValueError(f"Split has {count} outputs and {len(parts)} sizes")
    return parts


def equal_split(x: Tensor, axis: int, count: int) -> tuple[Tensor, ...]:
    """Equal parts."""
    if x.shape[axis] % count:
        raise ValueError(f"{x.shape[axis]} numbers cannot be split into {count} equal parts")
    return torch.split(x, x.shape[axis] // count, axis) if x.shape[axis] else (x,) * count


def part(parts: tuple[Tensor, ...], index: int) -> Tensor:
    """One of several results."""
    return parts[index]


def slice_axes(x: Tensor, starts: Sizes, ends: Sizes, axes: Sizes | None, steps: Sizes | None) -> Tensor:
    """Slices along axes, backwards for negative steps."""
    first, last = ints(starts), ints(ends)
    places = list(range(len(first))) if axes is None else ints(axes)
    strides = [1] * len(first) if steps is None else ints(steps)
    if len({axis % max(x.ndim, 1) for axis in places}) < len(places):
        raise ValueError(f"axes must be different, as ONNX leaves open what repeated ones mean. Got {places} instead.")
    for start, end, axis, step in zip(first, last, places, strides, strict=True):
        place = range(x.shape[axis])[start:end:step]
        if step == 1:
            x = x.narrow(axis, place.start, len(place))
        elif len(place) == 0:
            x = x.narrow(axis, 0, 0)
        else:
            # Not as a list, whose entries are four times as large.
            x = x.index_select(axis, torch.arange(place.start, place.stop, place.step, device=x.device))
    return x


def gather(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """Numbers at given places along an axis, which become as many axes as the places have."""
    axis = axis + x.ndim if axis < 0 else axis
    shape = allow([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    flat = index.reshape(-1)
    return x.index_select(axis, torch.where(flat < 0, flat + x.shape[axis], flat)).reshape(shape)


def pad(x: Tensor, pads: Sizes, value: float, axes: Sizes | None, mode: str) -> Tensor:
    """Pad axes, or cut them where pads are negative: with a number, the number at the edge, mirrored numbers or in a circle."""
    places = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in ints(axes)]
    widths = ints(pads)
    if len(widths) != 2 * len(places):
        raise ValueError(f"Pad of {len(places)} axes needs twice as many pads. Got {len(widths)} instead.")
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, place in enumerate(places):
        before[place], after[place] = widths[i], widths[len(places) + i]
    # An axis without numbers makes no other one short.
    allow([max(n + b + a, 1) for n, b, a in zip(x.shape, before, after, strict=True)])
    if mode == "constant":
        pairs = [width for pair in reversed(list(zip(before, after, strict=True))) for width in pair]
        return F.pad(x, pairs, "constant", value) if any(pairs) else x
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        if b or a:
            x = x.index_select(axis, _mirrored(x.shape[axis], b, a, mode).to(x.device))
    return x


def _mirrored(size: int, before: int, after: int, mode: str) -> Tensor:
    places = torch.arange(-before, size + after)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places % size
    if mode != "reflect":
        raise ValueError(f"mode must be constant, edge, reflect or wrap. Got {mode!r} instead.")
    period = max(2 * (size - 1), 1)
    places = places % period
    return torch.minimum(places, period - places)


def depth_to_space(x: Tensor, block: int, depth_first: bool) -> Tensor:
    """Channels as blocks of an image, in the order of depths and then of places in a block, or the other way round."""
    images, channels, height, width = x.shape
    if block < 1 or channels % block**2:
        raise ValueError(f"{channels} channels do not fill blocks of {block} times {block}")
    depth = channels // block**2
    apart = x.reshape(images, *([depth, block, block] if depth_first else [block, block, depth]), height, width)
    apart = apart.permute((0, 1, 4, 2, 5, 3) if depth_first else (0, 3, 4, 1, 5, 2))
    return apart.reshape(images, depth, height * block, width * block)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Blocks of an image as channels, in the order of places in a block and then of depths."""
    images, depth, height, width = x.shape
    if block < 1 or height % block or width % block:
        raise ValueError(f"an image of {height} times {width} is not made of blocks of {block} times {block}")
    apart = x.reshape(images, depth, height // block, block, width // block, block).permute(0, 3, 5, 1, 2, 4)
    return apart.reshape(images, depth * block**2, height // block, width // block)


def triangle(x: Tensor, shift: int, upper: bool) -> Tensor:
    """Matrices with 0 below, or above, a diagonal."""
    rows, columns = (torch.arange(n, device=x.device) for n in x.shape[-2:])
    beside = columns - rows[:, None]
    return torch.where(beside >= shift if upper else beside <= shift, x, 0.0 if x.is_floating_point() else 0)


def identity_like(x: Tensor, shift: int) -> Tensor:
    """A matrix of a matrix's shape with 1 on a diagonal, and 0 elsewhere."""
    if x.ndim != 2:
        raise ValueError(f"EyeLike takes matrices. Got a tensor of {x.ndim} axes instead")
    return triangle(triangle(torch.ones(x.shape, dtype=torch.float64, device=x.device), shift, True), shift, False)


def one_hot(x: Tensor, depth: int, values: Tensor, axis: int) -> Tensor:
    """For each whole number, from the end on below 0, one value at its place along a new axis, and another at all others."""
    allow([*x.shape, depth])
    places = torch.where(x < 0, x + depth, x)[..., None] == torch.arange(depth, device=x.device)
    off, on = values.to(torch.float64).unbind()
    return torch.where(places, on, off).movedim(-1, axis)


def _concat(o: Operation) -> Any:
    return o.call(concat, *o.take(len(o.inputs)), o.node.get("axis", 0))


def _split(o: Operation) -> Any:
    (x,), sizes, axis, count = o.take(1), o.sizes(1, "split"), o.node.get("axis", 0), len(o.node.outputs)
    if o.node.get("num_outputs", count) != count:
        raise ValueError(f"num_outputs must be the number of outputs, {count}. Got {o.node.get('num_outputs', 0)} instead")
    # Before opset 18, when there was no such attribute, parts without sizes had to be equal.
    equal = sizes is None and "num_outputs" not in o.node.attributes
    parts = o.call(equal_split, x, axis, count) if equal else o.call(split, x, axis, sizes, count)
    return [o.call(part, parts, i) for i in range(count)] if isinstance(parts, fx.Node) else parts


def _depth_to_space(o: Operation) -> Any:
    mode = o.node.get("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise ValueError(f"mode must be DCR or CRD. Got {mode!r} instead")
    return o.call(depth_to_space, *o.take(1), o.node.get("blocksize", 0), mode == "CRD")


def _slice(o: Operation) -> Any:
    places = [o.sizes(i, name) for i, name in enumerate(("starts", "ends", "axes"), 1)]
    if places[0] is None or places[1] is None:
        raise ValueError("Slice needs starts and ends")
    return o.call(slice_axes, *o.take(1), *places, o.sizes(4))


def _pad(o: Operation) -> Any:
    (x,), pads, number = o.take(1), o.sizes(1, "pads"), o.constant(2, "the number to pad with")
    value = o.node.get("value", 0.0) if number is None or number.numel() == 0 else number.item()
    if not math.isfinite(value):
        raise ValueError(f"the number to pad with must be finite. Got {value} instead")
    if pads is None:
        raise ValueError("Pad needs pads")
    return o.call(pad, x, pads, value, o.sizes(3), o.node.get("mode", "constant"))


def _triangle(o: Operation) -> Any:
    shift = o.constant(1, "the diagonal")
    if shift is not None and shift.numel() != 1:
        raise ValueError("Trilu needs one diagonal")
    return o.call(triangle, *o.take(1), 0 if shift is None else int(shift), bool(o.node.get("upper", 1)))


def _one_hot(o: Operation) -> Any:
    (x,), depth, values = o.take(1), o.constant(1, "the depth"), o.constant(2, "the values")
    if depth is None or depth.numel() != 1 or values is None or list(values.shape) != [2]:
        raise ValueError("OneHot needs one depth and two values")
    whole = torch.trunc(depth.double())
    if not 0 < whole < MOST_SIZE:
        raise ValueError(f"depth must be above 0. Got {depth.item()} instead")
    return o.call(one_hot, x, int(whole), values, o.node.get("axis", -1))


TABLE = {
    "Concat": moving(_concat),
    "Split": moving(_split),
    "Slice": moving(_slice),
    "Gather": moving(lambda o: o.call(gather, *o.take(1), o.places(1), o.node.get("axis", 0))),
    "Pad": moving(_pad),
    "DepthToSpace": Operator(_depth_to_space),
    "SpaceToDepth": Operator(lambda o: o.call(space_to_depth, *o.take(1), o.node.get("blocksize", 0))),
    "OneHot": Operator(_one_hot, takes_integers=True),
    "Trilu": Operator(_triangle),
    "EyeLike": Operator(lambda o: o.call(identity_like, *o.take(1), o.node.get("k", 0), of_shape=True), takes_integers=True),
}
