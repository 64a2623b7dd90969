"""ONNX operators that move numbers, and sizes of tensors, as functions of torch tensors.

Sizes come as lists of integers or, where the graph computes them from the shape of its input, as tensors of integers.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from knowlimits.files.budget import LARGEST, MOST_PARTS

Sizes = Sequence[int] | Tensor


def ints(values: Sizes) -> list[int]:
    """Sizes as Python integers."""
    count = values.numel() if isinstance(values, Tensor) else len(values)
    if count > MOST_PARTS:
        raise ValueError(f"at most {MOST_PARTS:,} sizes or places can be given at once. Got {count:,} instead.")
    return [int(v) for v in (values.reshape(-1).tolist() if isinstance(values, Tensor) else values)]


def allow(shape: Sequence[int]) -> list[int]:
    """The shape of a tensor to come, if that is not too large."""
    if math.prod(shape) > LARGEST:
        raise ValueError(f"a tensor of shape {list(shape)} has more than {LARGEST:,} numbers")
    return list(shape)


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


def extract_features(x: Tensor, index: Tensor) -> Tensor:
    """Columns along the last axis."""
    picked = gather(x, index.reshape(-1), -1)
    return picked[None] if x.ndim == 1 else picked


def vectorize_features(*columns_and_widths: Tensor | list[int]) -> Tensor:
    """Columns side by side; the last argument are their widths."""
    *columns, widths = columns_and_widths
    parts = [c[:, None] if c.ndim == 1 else c for c in columns if isinstance(c, Tensor)]
    if [p.shape[-1] for p in parts] != widths:
        raise ValueError(f"inputs have other widths than {widths}, which FeatureVectorizer states")
    return torch.cat(parts, 1)


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
