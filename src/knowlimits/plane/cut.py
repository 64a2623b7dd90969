"""Compiled loops of the mesh: cells, which are convex polygons or segments, split by units that are affine on each.

Signs of units at vertices are three bit masks a vertex, positive, negative and undecided; zero has no bit. So the units that
cut a piece are the `and` of the masks of its vertices, and a piece that none cuts is done. A cell that has a vertex in doubt is
put off, so that all that are can be decided together.
"""

from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.plane.crossing import Vertices, add_vertex, sign, slot, steepness

# What `refine` ended with: all is done, or room is short for one of these.
DONE, PIECES, VERTICES, TABLE, PARTS, CORNERS, DIAGONALS = range(7)


class Polygons(NamedTuple):
    """Cells to split: ``corners[starts[c]:starts[c + 1]]`` are the vertices of cell c in order."""

    starts: np.ndarray
    corners: np.ndarray


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
        steep: slopes of the units on the cell in hand, ``(units,)``.
    """

    heap: np.ndarray
    stack: np.ndarray
    positive: np.ndarray
    steep: np.ndarray


class Tables(NamedTuple):
    """Hash tables of edges, the smaller end first.

    Attributes:
        crossings: of an edge and a unit the new vertex there, -1 where there is none.
        diagonals: of an edge between vertices that were there when it was drawn its refinement and unit, as one number.
    """

    crossings: np.ndarray
    diagonals: np.ndarray


class Progress(NamedTuple):
    """How far `refine` has come.

    Attributes:
        done: how many of the cells in question.
        vertices, parts, corners: how many there are.
        put_off: how many cells have been put off.
        diagonals: how many edges are known to be such.
    """

    done: int
    vertices: int
    parts: int
    corners: int
    put_off: int
    diagonals: int


@compiled(allocates=False)
def refine(
    at: Progress,
    cells: Polygons,
    which: np.ndarray,
    put_off: np.ndarray,
    vertices: Vertices,
    tables: Tables,
    first: int,
    step: int,
    parts: NewPolygons,
    pieces: Pieces,
) -> tuple[int, Progress]:  # pragma: no cover - compiled
    """Split cells by all units, on from where it has come to.

    Args:
        at: where that is.
        cells, vertices: what is split; vertices are added to.
        which: the cells that are to be split.
        put_off: room for those of them that have a vertex in doubt.
        tables: of edges, which are added to.
        first: the first new vertex.
        step: the number of this refinement.
        parts: the resulting cells, which are added to.
        pieces: room to work in.

    Returns:
        DONE, or that for which room is short; and how far it has come.
    """
    heap, stack, positive, steep = pieces
    by_cell = vertices.slopes.shape[1] == 0
    while at.done < which.shape[0]:
        cell = which[at.done]
        size, made, used, drawn = at.vertices, at.parts, at.corners, at.diagonals
        begin = cells.starts[cell]
        count = cells.starts[cell + 1] - begin
        if count > heap.shape[0]:
            return PIECES, at
        for k in range(count):
            heap[k] = cells.corners[begin + k]
        stack[0, 0], stack[0, 1] = 0, count
        depth = 1
        doubtful, known = False, False
        while depth > 0:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]
            unit, doubtful = _find_cut(vertices, heap, low, high, positive)
            if doubtful:
                break
            if unit < 0:
                code = _short_of_parts(parts, made, used + high - low)
            else:
                code = _short_of_room(vertices, tables, pieces, size, size - first, drawn, depth, high, high - low)
            if code != DONE:
                # What was made of this cell is made again, but for its vertices and diagonals.
                return code, Progress(at.done, size, at.parts, at.corners, at.put_off, drawn)
            if unit < 0:
                used = _keep(parts, made, used, heap, low, high, cell, positive)
                made += 1
                continue
            if by_cell and not known:
                steepness(vertices, cells.corners[begin : begin + count], steep)
                known = True
            one, other, size = _crossings(vertices, tables, steep, heap, low, high, unit, size, step, cell)
            drawn = _draw(vertices, tables.diagonals, heap, low, high, unit, one, other, step, drawn)
            # Its own room is given up: the two sides go behind one another above it.
            middle = _walk(vertices, heap, low, high, unit, 1, one, other, high)
            end = _walk(vertices, heap, low, high, unit, -1, one, other, middle)
            stack[depth, 0], stack[depth, 1] = high, middle
            stack[depth + 1, 0], stack[depth + 1, 1] = middle, end
            depth += 2
        if doubtful:
            put_off[at.put_off] = cell
            at = Progress(at.done + 1, size, at.parts, at.corners, at.put_off + 1, drawn)
        else:
            at = Progress(at.done + 1, size, made, used, at.put_off, drawn)
    return DONE, at


@compiled(inline="always")
def _find_cut(
    vertices: Vertices, heap: np.ndarray, low: int, high: int, positive: np.ndarray
) -> tuple[int, bool]:  # pragma: no cover - compiled
    """The first unit that cuts a piece or -1, and whether signs at a corner are in doubt; fills in the positive units."""
    unit = -1
    for word in range(positive.shape[0]):
        p = n = q = np.uint64(0)
        for k in range(low, high):
            v = heap[k]
            p |= vertices.pos[v, word]
            n |= vertices.neg[v, word]
            q |= vertices.und[v, word]
        if q != 0:
            return unit, True
        positive[word] = p
        if unit < 0 and (p & n) != 0:
            unit = word * 64
            while ((p & n) >> np.uint64(unit & 63)) & np.uint64(1) == 0:
                unit += 1
    return unit, False


@compiled(inline="always")
def _short_of_parts(parts: NewPolygons, made: int, corners: int) -> int:  # pragma: no cover - compiled
    """Whether there is room for one more part."""
    if made >= parts.origins.shape[0]:
        return PARTS
    return CORNERS if corners > parts.corners.shape[0] else DONE


@compiled(inline="always")
def _short_of_room(
    vertices: Vertices, tables: Tables, pieces: Pieces, size: int, new: int, drawn: int, depth: int, high: int, count: int
) -> int:  # pragma: no cover - compiled
    """Whether there is room to cut a piece in two."""
    if high + 2 * count + 8 > pieces.heap.shape[0] or depth + 2 > pieces.stack.shape[0]:
        return PIECES
    if size + 2 > vertices.values.shape[0]:
        return VERTICES
    if 2 * (drawn + 1) > tables.diagonals.shape[0]:
        return DIAGONALS
    return TABLE if 2 * (new + 2) > tables.crossings.shape[0] else DONE


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
def _crossings(
    vertices: Vertices,
    tables: Tables,
    steep: np.ndarray,
    heap: np.ndarray,
    low: int,
    high: int,
    unit: int,
    size: int,
    step: int,
    cell: int,
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """The vertices where a unit is zero inside edges of a piece, in order, -1 for those that are missing; and their number.

    A line crosses two edges of a convex polygon at most, as it may go through corners; of a segment there is one edge.
    """
    table = tables.crossings
    one = other = -1
    here = sign(vertices, heap[low], unit)
    for k in range(low, high if high - low > 2 else low + 1):
        v, w = heap[k], heap[k + 1 if k + 1 < high else low]
        there = sign(vertices, w, unit)
        if here * there < 0:
            a, b = min(v, w), max(v, w)
            at = slot(table, a, b, unit)
            if table[at, 3] < 0:
                add_vertex(vertices, tables.diagonals, steep, size, a, b, unit, step, cell)
                table[at, 0], table[at, 1], table[at, 2], table[at, 3] = a, b, unit, size
                size += 1
            if one >= 0:
                other = table[at, 3]
                break
            one = table[at, 3]
        here = there
    return one, other, size


@compiled(inline="always")
def _draw(
    vertices: Vertices,
    diagonals: np.ndarray,
    heap: np.ndarray,
    low: int,
    high: int,
    unit: int,
    one: int,
    other: int,
    step: int,
    drawn: int,
) -> int:  # pragma: no cover - compiled
    """Enter the edge that a unit draws among the diagonals, unless its later end was made by the unit; how many there are."""
    if high - low < 3:
        return drawn
    for k in range(low, high):
        if one >= 0 and other >= 0:
            break
        if sign(vertices, heap[k], unit) == 0:
            if one < 0:
                one = heap[k]
            else:
                other = heap[k]
    a, b = min(one, other), max(one, other)
    if vertices.lines[b, 0] != step or vertices.lines[b, 1] != unit:
        at = slot(diagonals, a, b, 0)
        if diagonals[at, 3] < 0:
            drawn += 1
        diagonals[at, 0], diagonals[at, 1], diagonals[at, 2], diagonals[at, 3] = a, b, 0, (step << 32) | unit
    return drawn


@compiled(inline="always")
def _walk(
    vertices: Vertices, heap: np.ndarray, low: int, high: int, unit: int, side: int, one: int, other: int, end: int
) -> int:  # pragma: no cover - compiled
    """Go round a piece and write what is on one side of a unit, what is on its line included; where that ends."""
    edges = high if high - low > 2 else low + 1
    here = side * sign(vertices, heap[low], unit)
    for k in range(low, high):
        if here >= 0:
            heap[end] = heap[k]
            end += 1
        if k < edges:
            there = side * sign(vertices, heap[k + 1 if k + 1 < high else low], unit)
            if here * there < 0:
                heap[end] = one
                end += 1
                one = other
            here = there
    return end
