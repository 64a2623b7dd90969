"""Compiled loops of the mesh: cells, which are convex polygons or segments, split by units that are affine on each.

Signs of units at vertices are three bit masks a vertex, positive, negative and undecided; zero has no bit. So the units that
cut a piece are the `and` of the masks of its vertices, and a piece that none cuts is done.

A bound is two numbers a row: on the rounding error of the values at the vertex as it is stored, and on what the values change
between there and the true vertex, whose place along its edge is known up to rounding only. The edge itself lies beside the
true one by rounding, too, and what that changes is not followed, as bounds that did piled up until every sign was in doubt. So
a sign counts as in doubt within the sum of the two times `DOUBT`, which leaves room for lines that meet at an angle of an
eighth.
"""

from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.follow.bounds import DOUBT, EPS

# What `refine` ended with: all is done, a sign has to be found out, or room is short for one of these.
DONE, SIGN, PIECES, VERTICES, TABLE, PARTS, CORNERS = range(7)


class Polygons(NamedTuple):
    """Cells to split: ``corners[starts[c]:starts[c + 1]]`` are the vertices of cell c in order."""

    starts: np.ndarray
    corners: np.ndarray


class Vertices(NamedTuple):
    """What is known at vertices, with room for more.

    Attributes:
        values, bounds: of every unit, ``(vertices, units)``, and two bounds on the error of each row, ``(vertices, 2)``.
        pos, neg, und: masks of signs, ``(vertices, words)``.
        parents: the ends of the edge that a vertex divides, and the unit that put it there, ``(vertices, 3)``.
        shares: those of the two ends, and a bound on their errors, ``(vertices, 3)``.
    """

    values: np.ndarray
    bounds: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    und: np.ndarray
    parents: np.ndarray
    shares: np.ndarray


class NewPolygons(NamedTuple):
    """Resulting cells, with room for more.

    Attributes:
        starts, corners: as those of `Polygons`.
        origins: the cell that each is a part of.
        bits: its positive units, ``(parts, words)``.
    """

    starts: np.ndarray
    corners: np.ndarray
    origins: np.ndarray
    bits: np.ndarray


class Pieces(NamedTuple):
    """Pieces of a cell that are still to be looked at, with room for more.

    Attributes:
        heap, stack: ``heap[stack[k, 0] : stack[k, 1]]`` are the corners of piece k.
        positive: masks of the piece in hand, ``(words,)``.
    """

    heap: np.ndarray
    stack: np.ndarray
    positive: np.ndarray


class Progress(NamedTuple):
    """How far `refine` has come.

    Attributes:
        cell: the next cell to split.
        vertices, parts, corners: how many there are.
        doubtful: the vertex whose signs are wanted, or -1.
    """

    cell: int
    vertices: int
    parts: int
    corners: int
    doubtful: int


@compiled(allocates=False)
def refine(
    at: Progress, cells: Polygons, vertices: Vertices, table: np.ndarray, first: int, parts: NewPolygons, pieces: Pieces
) -> tuple[int, Progress]:  # pragma: no cover - compiled
    """Split cells by all units, on from where it has come to.

    Args:
        at: where that is.
        cells, vertices: what is split; vertices are added to.
        table: hash table of edges and units, with the new vertex there or -1 in the last column.
        first: the first new vertex.
        parts: the resulting cells, which are added to.
        pieces: room to work in.

    Returns:
        DONE, SIGN if signs at a vertex have to be found out, or that for which room is short; and how far it has come.
    """
    heap, stack, positive = pieces
    while at.cell < cells.starts.shape[0] - 1:
        size, made, used = at.vertices, at.parts, at.corners
        begin = cells.starts[at.cell]
        count = cells.starts[at.cell + 1] - begin
        if count > heap.shape[0]:
            return PIECES, at
        for k in range(count):
            heap[k] = cells.corners[begin + k]
        stack[0, 0], stack[0, 1] = 0, count
        depth = 1
        while depth > 0:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]
            unit, doubtful = _find_cut(vertices, heap, low, high, positive)
            if doubtful >= 0:
                code = SIGN
            elif unit < 0:
                code = _short_of_parts(parts, made, used + high - low)
            else:
                code = _short_of_room(vertices, table, pieces, size, size - first, depth, high, high - low)
            if code != DONE:
                # What was made of this cell is made again, but for its vertices.
                return code, Progress(at.cell, size, at.parts, at.corners, doubtful)
            if unit < 0:
                used = _keep(parts, made, used, heap, low, high, at.cell, positive)
                made += 1
                continue
            one, other, size = _crossings(vertices, table, heap, low, high, unit, size)
            # Its own room is given up: the two sides go behind one another above it.
            middle = _walk(vertices, heap, low, high, unit, 1, one, other, high)
            end = _walk(vertices, heap, low, high, unit, -1, one, other, middle)
            stack[depth, 0], stack[depth, 1] = high, middle
            stack[depth + 1, 0], stack[depth + 1, 1] = middle, end
            depth += 2
        at = Progress(at.cell + 1, size, made, used, -1)
    return DONE, at


@compiled(inline="always")
def _find_cut(
    vertices: Vertices, heap: np.ndarray, low: int, high: int, positive: np.ndarray
) -> tuple[int, int]:  # pragma: no cover - compiled
    """The first unit that cuts a piece or -1, and a corner where signs are in doubt or -1; fills in the positive units."""
    unit = doubtful = -1
    for word in range(positive.shape[0]):
        p = n = q = np.uint64(0)
        for k in range(low, high):
            v = heap[k]
            p |= vertices.pos[v, word]
            n |= vertices.neg[v, word]
            q |= vertices.und[v, word]
        if q != 0:
            for k in range(low, high):
                if vertices.und[heap[k], word] != 0:
                    doubtful = heap[k]
            break
        positive[word] = p
        if unit < 0 and (p & n) != 0:
            unit = word * 64
            while ((p & n) >> np.uint64(unit & 63)) & np.uint64(1) == 0:
                unit += 1
    return unit, doubtful


@compiled(inline="always")
def _short_of_parts(parts: NewPolygons, made: int, corners: int) -> int:  # pragma: no cover - compiled
    """Whether there is room for one more part."""
    if made >= parts.origins.shape[0]:
        return PARTS
    return CORNERS if corners > parts.corners.shape[0] else DONE


@compiled(inline="always")
def _short_of_room(
    vertices: Vertices, table: np.ndarray, pieces: Pieces, size: int, new: int, depth: int, high: int, count: int
) -> int:  # pragma: no cover - compiled
    """Whether there is room to cut a piece in two."""
    if high + 2 * count + 8 > pieces.heap.shape[0] or depth + 2 > pieces.stack.shape[0]:
        return PIECES
    if size + 2 > vertices.values.shape[0]:
        return VERTICES
    return TABLE if 2 * (new + 2) > table.shape[0] else DONE


@compiled(inline="always")
def _keep(
    parts: NewPolygons, made: int, used: int, heap: np.ndarray, low: int, high: int, cell: int, positive: np.ndarray
) -> int:  # pragma: no cover - compiled
    """Enter a piece that nothing cuts among the parts; where its corners end."""
    for k in range(low, high):
        parts.corners[used] = heap[k]
        used += 1
    parts.origins[made] = cell
    for word in range(positive.shape[0]):
        parts.bits[made, word] = positive[word]
    parts.starts[made + 1] = used
    return used


@compiled(inline="always")
def _sign(vertices: Vertices, v: int, unit: int) -> int:  # pragma: no cover - compiled
    """The sign of a unit at a vertex."""
    bit = np.uint64(1) << np.uint64(unit & 63)
    if vertices.pos[v, unit >> 6] & bit:
        return 1
    return -1 if vertices.neg[v, unit >> 6] & bit else 0


@compiled(inline="always")
def _crossings(
    vertices: Vertices, table: np.ndarray, heap: np.ndarray, low: int, high: int, unit: int, size: int
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """The vertices where a unit is zero inside edges of a piece, in order, -1 for those that are missing; and their number.

    A line crosses two edges of a convex polygon at most, as it may go through corners; of a segment there is one edge.
    """
    one = other = -1
    here = _sign(vertices, heap[low], unit)
    for k in range(low, high if high - low > 2 else low + 1):
        v, w = heap[k], heap[k + 1 if k + 1 < high else low]
        there = _sign(vertices, w, unit)
        if here * there < 0:
            a, b = min(v, w), max(v, w)
            slot = _slot(table, a, b, unit)
            if table[slot, 3] < 0:
                _add_vertex(vertices, size, a, b, unit)
                table[slot, 0], table[slot, 1], table[slot, 2], table[slot, 3] = a, b, unit, size
                size += 1
            if one >= 0:
                other = table[slot, 3]
                break
            one = table[slot, 3]
        here = there
    return one, other, size


@compiled(inline="always")
def _walk(
    vertices: Vertices, heap: np.ndarray, low: int, high: int, unit: int, side: int, one: int, other: int, end: int
) -> int:  # pragma: no cover - compiled
    """Go round a piece and write what is on one side of a unit, what is on its line included; where that ends."""
    edges = high if high - low > 2 else low + 1
    here = side * _sign(vertices, heap[low], unit)
    for k in range(low, high):
        if here >= 0:
            heap[end] = heap[k]
            end += 1
        if k < edges:
            there = side * _sign(vertices, heap[k + 1 if k + 1 < high else low], unit)
            if here * there < 0:
                heap[end] = one
                end += 1
                one = other
            here = there
    return end


@compiled(inline="always")
def _add_vertex(vertices: Vertices, new: int, a: int, b: int, unit: int) -> None:  # pragma: no cover - compiled
    """Fill in the vertex where a unit is zero on an edge."""
    values, bounds, parents, shares = vertices.values, vertices.bounds, vertices.parents, vertices.shares
    size_a, size_b = abs(values[a, unit]), abs(values[b, unit])
    whole = size_a + size_b
    parents[new, 0], parents[new, 1], parents[new, 2] = a, b, unit
    # Both, as one minus a tiny share is 1, and a far vertex would lie at infinity.
    shares[new, 0], shares[new, 1] = size_b / whole, size_a / whole
    shares[new, 2] = _slack(bounds[a, 0] + bounds[b, 0], whole)
    _divide(values, bounds, parents, shares, new)
    values[new, unit] = 0.0
    _set_signs(vertices, new)
    _keep_zeros(vertices, new, a, b, unit)


@compiled(inline="always")
def _slack(doubt: float, whole: float) -> float:  # pragma: no cover - compiled
    """Bound on the error of a share ``x / (x + y)``, of numbers with errors of `doubt` in all and sum `whole`."""
    return doubt / (whole - doubt) + EPS if whole > doubt else 1.0


@compiled(inline="always")
def _divide(
    values: np.ndarray, bounds: np.ndarray, parents: np.ndarray, shares: np.ndarray, new: int
) -> None:  # pragma: no cover - compiled
    """Fill the row of a new vertex from those at the ends of the edge that it divides."""
    a, b = parents[new, 0], parents[new, 1]
    share_a, share_b = shares[new, 0], shares[new, 1]
    largest = 0.0
    apart = 0.0
    for j in range(values.shape[1]):
        x, y = values[a, j], values[b, j]
        values[new, j] = share_a * x + share_b * y
        largest = max(largest, abs(x), abs(y))
        apart = max(apart, abs(y - x))
    bounds[new, 0] = max(bounds[a, 0], bounds[b, 0]) + 4 * EPS * largest
    bounds[new, 1] = shares[new, 2] * apart


@compiled(inline="always")
def _set_signs(vertices: Vertices, v: int) -> None:  # pragma: no cover - compiled
    """Fill in the masks of a vertex from its values, which are known up to its bounds."""
    bound = DOUBT * (vertices.bounds[v, 0] + vertices.bounds[v, 1])
    units = vertices.values.shape[1]
    for word in range(vertices.pos.shape[1]):
        p = n = q = np.uint64(0)
        low = word * 64
        for k in range(min(64, units - low)):
            z = vertices.values[v, low + k]
            bit = np.uint64(1) << np.uint64(k)
            if z > bound:
                p |= bit
            elif z < -bound:
                n |= bit
            elif bound > 0:
                q |= bit
        vertices.pos[v, word], vertices.neg[v, word], vertices.und[v, word] = p, n, q


@compiled(inline="always")
def _keep_zeros(vertices: Vertices, new: int, a: int, b: int, unit: int) -> None:  # pragma: no cover - compiled
    """What is zero at both ends of an edge is zero between, and so is the unit that put the vertex there."""
    values, pos, neg, und = vertices.values, vertices.pos, vertices.neg, vertices.und
    for word in range(pos.shape[1]):
        known = ~(pos[a, word] | neg[a, word] | und[a, word] | pos[b, word] | neg[b, word] | und[b, word])
        if word == unit >> 6:
            known |= np.uint64(1) << np.uint64(unit & 63)
        if (known & (pos[new, word] | neg[new, word] | und[new, word])) != 0:
            for j in range(min(64, values.shape[1] - word * 64)):
                if (known >> np.uint64(j)) & np.uint64(1):
                    values[new, word * 64 + j] = 0.0
            pos[new, word] &= ~known
            neg[new, word] &= ~known
            und[new, word] &= ~known


@compiled(inline="always")
def _slot(table: np.ndarray, a: int, b: int, unit: int) -> int:  # pragma: no cover - compiled
    """Where an edge and a unit are in the hash table, or where they would go."""
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = (h ^ np.uint64(unit) * np.uint64(0x165667B19E3779F9)) * np.uint64(0xD6E8FEB86659FD93)
    mask = table.shape[0] - 1
    i = np.int64(h >> np.uint64(20)) & mask
    while table[i, 3] >= 0 and not (table[i, 0] == a and table[i, 1] == b and table[i, 2] == unit):
        i = (i + 1) & mask
    return i


@compiled()
def rehash(old: np.ndarray, new: np.ndarray) -> None:  # pragma: no cover - compiled
    """Enter everything of a hash table into a larger one."""
    for i in range(old.shape[0]):
        if old[i, 3] >= 0:
            new[_slot(new, old[i, 0], old[i, 1], old[i, 2])] = old[i]


@compiled(allocates=False)
def signs(vertices: Vertices, size: int) -> None:  # pragma: no cover - compiled
    """Fill in the masks of the first `size` vertices."""
    for v in range(size):
        _set_signs(vertices, v)


@compiled()
def extend(
    values: np.ndarray, bounds: np.ndarray, parents: np.ndarray, shares: np.ndarray, begin: int
) -> None:  # pragma: no cover - compiled
    """Fill rows of new vertices, in order, from those at the ends of the edges that they are on."""
    for v in range(begin, values.shape[0]):
        _divide(values, bounds, parents, shares, v)


@compiled()
def relu(values: np.ndarray, pos: np.ndarray) -> None:  # pragma: no cover - compiled
    """ReLU in place by decided signs."""
    rows, units = values.shape
    for v in range(rows):
        for j in range(units):
            positive = (pos[v, j >> 6] >> np.uint64(j & 63)) & np.uint64(1)
            values[v, j] = max(values[v, j], 0.0) if positive else 0.0


@compiled()
def seams(flags: np.ndarray, parents: np.ndarray, begin: int) -> None:  # pragma: no cover - compiled
    """The starting edges that new vertices are on: those of both ends of the edge that they divide."""
    for v in range(begin, flags.shape[0]):
        flags[v] = flags[parents[v, 0]] & flags[parents[v, 1]]
