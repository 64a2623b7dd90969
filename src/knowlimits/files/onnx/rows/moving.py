"""Numbers of rows one by one, and the same numbers in other places."""

import math
from typing import Any

import torch
from torch import fx

from knowlimits.files.onnx import places, shapes
from knowlimits.files.onnx.rows.values import (
    PerRow,
    Rewriting,
    agreed,
    axes_of,
    expanded,
    inside,
    repeated,
    widened,
)


def pointwise(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Numbers one by one, with those of other values in the same place."""
    values = [new.value(a) for a in n.args]
    rank = len(out)
    batch = new.kept(
        out, agreed([v.batch + rank - len(v.shape) for v in values if isinstance(v, PerRow) and v.batch is not None])
    )
    row = new.row(out, batch)
    args = []
    for argument, v in zip(n.args, values, strict=True):
        if isinstance(v, PerRow):
            padded = widened(v.shape, rank)
            sizes = padded[1:] if row[:1] == (1,) else padded
            args.append(new.shaped(v.node, inside(v.shape), sizes))
        else:
            args.append(new.constant(argument) if batch is None else new.of_one(argument, rank - batch))
    return PerRow(new.call(n.target, *args), row, batch)


def reshaped(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Another shape with the same order of numbers."""
    value = new.value(n.args[0])
    batch = _placed(new, value, out) if n.target not in _PLACES else _PLACES[n.target](new, value, n)
    return new.settled(value.node, inside(value.shape), out, new.kept(out, batch))


def _placed(new: Rewriting, value: PerRow, out: tuple[int, ...]) -> int | None:
    """Where the batch is after a reshape: at as many numbers from the start of each, if that is clear."""
    if value.batch is None:
        return None
    shape = (*value.shape[: value.batch], new.length, *value.shape[value.batch + 1 :])
    before = math.prod(shape[: value.batch])
    here = [k for k, size in enumerate(shape) if size == new.length and math.prod(shape[:k]) == before]
    there = [k for k, size in enumerate(out) if size == new.length and math.prod(out[:k]) == before]
    place = here.index(value.batch)
    if len(here) == len(there):
        return there[place]
    return there[0] if there and place == 0 else None


def _squeezed(new: Rewriting, value: PerRow, n: fx.Node) -> int | None:
    axes, batch = new.value(n.args[1]), value.batch
    gone = [k for k, size in enumerate(value.shape) if size == 1] if axes is None else axes_of(axes, len(value.shape))
    return None if batch is None or batch in gone else batch - sum(k < batch for k in gone)


def _unsqueezed(new: Rewriting, value: PerRow, n: fx.Node) -> int | None:
    added = torch.as_tensor(new.value(n.args[1])).reshape(-1).tolist()
    total = len(value.shape) + len(added)
    old = [k for k in range(total) if k not in axes_of(added, total)]
    return None if value.batch is None else old[value.batch]


_PLACES = {shapes.squeeze: _squeezed, shapes.unsqueeze: _unsqueezed}


def transposed(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Axes in another order."""
    value, rank = new.value(n.args[0]), len(out)
    order = list(reversed(range(rank))) if n.args[1] is None else axes_of(n.args[1], rank)
    batch = None if value.batch is None else order.index(value.batch)
    if value.shape[:1] == (1,) and order[:1] == [0]:
        return PerRow(new.call(n.target, value.node, order), new.row(out, batch), batch)
    turned = new.call(n.target, new.front(value), [0, *(axis + 1 for axis in order)])
    return new.settled(turned, new.row(out, batch), out, batch)


def expanding(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Repeated along axes of length one."""
    value, rank = new.value(n.args[0]), len(out)
    batch = new.kept(out, None if value.batch is None else value.batch + rank - len(value.shape))
    row = new.row(out, batch)
    padded = widened(value.shape, rank)
    # Where all rows have the first axis for themselves it keeps its length, which is theirs.
    sizes, wanted = (padded[1:], row[1:]) if row[:1] == (1,) else (padded, row)
    node = new.shaped(value.node, inside(value.shape), sizes)
    return PerRow(node if sizes == wanted else new.call(expanded, node, list(wanted)), row, batch)


def tiled(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Repeated as a whole."""
    value = new.value(n.args[0])
    counts = torch.as_tensor(new.value(n.args[1])).reshape(-1).tolist()
    batch = new.kept(out, value.batch)
    node, shift = new.along(value, [k for k, count in enumerate(counts) if count != 1])
    return new.done(new.call(n.target, node, [1] * shift + counts), shift, out, batch)


def sliced(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Slices along axes."""
    value = new.value(n.args[0])
    starts, ends, axes, steps = (new.value(a) for a in n.args[1:])
    first, last = (torch.as_tensor(one).reshape(-1).tolist() for one in (starts, ends))
    places = axes_of(list(range(len(first))) if axes is None else axes, len(value.shape))
    strides = [1] * len(first) if steps is None else torch.as_tensor(steps).reshape(-1).tolist()
    full = value.shape if value.batch is None else new.stated(value)
    # Slices of the whole axis do nothing; those of the batch are among them.
    taken = [
        (s, e, a, by)
        for s, e, a, by in zip(first, last, places, strides, strict=True)
        if by != 1 or len(range(full[a])[s:e]) != full[a]
    ]
    batch = None if value.batch in [a for _, _, a, _ in taken] else value.batch
    node, shift = new.along(value, [a for _, _, a, _ in taken])
    if not taken:
        return value
    first, last, places, strides = (list(one) for one in zip(*taken, strict=True))
    node = new.call(n.target, node, first, last, [a + shift for a in places], strides)
    return new.done(node, shift, out, batch)


def gathered(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Numbers at constant places along an axis."""
    value, index = new.value(n.args[0]), new.value(n.args[1])
    (axis,) = axes_of(n.args[2], len(value.shape))
    if value.batch is None or value.batch == axis:
        batch = None
    else:
        batch = value.batch if value.batch < axis else value.batch + index.ndim - 1
    node, shift = new.along(value, [axis])
    return new.done(new.call(n.target, node, new.constant(n.args[1]), axis + shift), shift, out, batch)


def padded(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Padded along axes."""
    value = new.value(n.args[0])
    widths = torch.as_tensor(new.value(n.args[1])).reshape(-1).tolist()
    axes = new.value(n.args[3])
    places = axes_of(list(range(len(value.shape))) if axes is None else axes, len(value.shape))
    used = [k for k, _ in enumerate(places) if widths[k] or widths[len(places) + k]]
    if not used:
        return value
    touched = [places[k] for k in used]
    batch = None if value.batch in touched else value.batch
    node, shift = new.along(value, touched)
    widths = [widths[k] for k in used] + [widths[len(places) + k] for k in used]
    node = new.call(n.target, node, widths, n.args[2], [a + shift for a in touched], n.args[4])
    return new.done(node, shift, out, batch)


def joined(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Values one after another; constants among them are there for each row."""
    *arguments, axis = n.args
    (axis,) = axes_of(axis, len(out))
    values = [new.value(a) for a in arguments]
    rows = [v for v in values if isinstance(v, PerRow)]
    batch = agreed([v.batch for v in rows])
    batch = None if batch == axis else batch
    inside = axis != 0 and all(v.shape[:1] == (1,) for v in rows)
    parts = [(v.node if inside else new.front(v)) if isinstance(v, PerRow) else None for v in values]
    like = next(part for part in parts if part is not None)
    for k, argument in enumerate(arguments):
        if parts[k] is None:
            constant = new.constant(argument) if batch is None else new.of_one(argument, len(out) - batch)
            parts[k] = new.call(repeated, constant, like, not inside)
    shift = 0 if inside else 1
    return new.done(new.call(n.target, *parts, axis + shift), shift, out, batch)


def split(new: Rewriting, n: fx.Node, out: Any) -> list[PerRow]:
    """The parts of a value along an axis."""
    value = new.value(n.args[0])
    (axis,) = axes_of(n.args[1], len(value.shape))
    node, shift = new.along(value, [axis])
    sizes = [shape[axis] for shape in out]
    batch = value.batch if value.batch != axis else None
    parts = new.call(torch.split, node, sizes, axis + shift)
    return [new.done(new.call(places.part, parts, i), shift, shape, batch) for i, shape in enumerate(out)]


def part(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """One of these parts."""
    return new.value(n.args[0])[n.args[1]]
