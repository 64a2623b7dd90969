"""Compiled rows of vertices: what is known where a unit is zero on an edge, and bounds on how far all of it may be off.

A vertex v is known by a point q beside it, which nothing computes: for those that a mesh starts with q is v, and for one that
divides an edge (a, b) it is ``share_a q_a + share_b q_b`` with the shares as they are stored, without rounding. Of it are kept

- ``errors``: by how much the value of a unit may differ from that at q of its form on any cell that v is a corner of,
- ``off``: how far q is from the point that is stored, from the line of any edge at v, and from v.

A form is affine on the edge that is divided, so that errors and distances from the edge's line are mixed by the shares, and
only grow by what is rounded. The distance from v is found anew for each vertex: from the distance of q from the edge's line,
from the unit's value at q, and from how steeply it changes along the edge. So nothing piles up, and a sign is proven where the
size of the value exceeds ``error + slope * off``, with the slope a bound on the length of the unit's form, a vector of three
numbers. Slopes are carried along like errors, one for all units, or come from the values at the corners of a cell.
docs/proven.md has the proof.
"""

from typing import Any, NamedTuple

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.follow.bounds import EPS

#: Stands for a distance of which nothing is known.
FAR = 1e300
# Bounds are rounded to the nearest, and raised by so much.
_UP = 1 + 16 * EPS
_DOWN = 1 - 16 * EPS
#: Columns of `Vertices.off`: from the stored point, from lines, from the vertex.
STORED, LINES, VERTEX = range(3)


class Vertices(NamedTuple):
    """What is known at vertices, with room for more.

    Attributes:
        values: of every unit, ``(vertices, units)``.
        errors: of every unit, or one for all units of a vertex, ``(vertices, units or 1)``.
        slopes: one for all units of a vertex, ``(vertices, 1)``, or none, ``(vertices, 0)``, where they come from cells.
        pos, neg, und: masks of signs, ``(vertices, words)``.
        points: coordinates, ``(vertices, 3)``.
        off: distances of q from the stored point, from lines of edges at the vertex, and from the vertex, ``(vertices, 3)``.
        parents: the ends of the edge that a vertex divides, and the unit that put it there, ``(vertices, 3)``.
        shares: those of the two ends, ``(vertices, 2)``.
        lines: the two lines that meet there, each a refinement and a unit, ``(vertices, 4)``; or, for an edge of a start,
            ``-1 - a`` and b with the vertices a and b that it goes through.
        owners: a cell, of those to split, that it is a corner of, ``(vertices,)``.
    """

    values: np.ndarray
    errors: np.ndarray
    slopes: np.ndarray
    pos: np.ndarray
    neg: np.ndarray
    und: np.ndarray
    points: np.ndarray
    off: np.ndarray
    parents: np.ndarray
    shares: np.ndarray
    lines: np.ndarray
    owners: np.ndarray


@compiled(inline="always")
def sign(vertices: Vertices, v: int, unit: int) -> int:  # pragma: no cover - compiled
    """The sign of a unit at a vertex."""
    bit = np.uint64(1) << np.uint64(unit & 63)
    if vertices.pos[v, unit >> 6] & bit:
        return 1
    return -1 if vertices.neg[v, unit >> 6] & bit else 0


@compiled(inline="always")
def add_vertex(
    vertices: Vertices, diagonals: np.ndarray, steep: np.ndarray, new: int, a: int, b: int, unit: int, step: int, cell: int
) -> None:  # pragma: no cover - compiled
    """Fill in the vertex where a unit is zero on an edge."""
    values, parents, shares, lines = vertices.values, vertices.parents, vertices.shares, vertices.lines
    parents[new, 0], parents[new, 1], parents[new, 2] = a, b, unit
    lines[new, 0], lines[new, 1] = step, unit
    lines[new, 2], lines[new, 3] = _line(parents, lines, diagonals, a, b)
    vertices.owners[new] = cell
    # Both, as one minus a tiny share is 1, and a far vertex would lie at infinity. A size may be zero where the sign is not,
    # which was decided otherwise then.
    size_a, size_b = abs(values[a, unit]), abs(values[b, unit])
    least = max(EPS * max(size_a, size_b), 1 / FAR)
    size_a, size_b = max(size_a, least), max(size_b, least)
    whole = size_a + size_b
    shares[new, 0], shares[new, 1] = size_b / whole, size_a / whole
    divide(values, vertices.errors, vertices.slopes, parents, shares, new)
    _place(vertices, steep, new, a, b, unit)
    to_zero(vertices, new, unit)
    set_signs(vertices, steep, new)
    _keep_zeros(vertices, new, a, b, unit)


@compiled(inline="always")
def _place(vertices: Vertices, steep: np.ndarray, new: int, a: int, b: int, unit: int) -> None:  # pragma: no cover - compiled
    """Fill in where a vertex is, whose rows of values are filled in, and how far off that is."""
    values, errors, slopes, points, off = vertices.values, vertices.errors, vertices.slopes, vertices.points, vertices.off
    share_a, share_b = vertices.shares[new, 0], vertices.shares[new, 1]
    squares = sizes = 0.0
    for j in range(3):
        x, y = points[a, j], points[b, j]
        points[new, j] = share_a * x + share_b * y
        sizes += abs(share_a * x) + abs(share_b * y)
        squares += (y - x) ** 2
    stored = (share_a * off[a, STORED] + share_b * off[b, STORED] + EPS * sizes) * _UP
    length = (np.sqrt(squares) + off[a, STORED] + off[b, STORED]) * _UP
    beside = max(off[a, LINES], off[b, LINES]) * _UP
    k = unit if errors.shape[1] > 1 else 0
    slope = min(slopes[a, 0], slopes[b, 0]) if slopes.shape[1] else steep[unit]
    # How large the unit may be at q, and how much it changes at least from one end to the other.
    left = (abs(values[new, unit]) + errors[new, k]) * _UP
    change = abs(values[b, unit] - values[a, unit]) * _DOWN - (errors[a, k] + errors[b, k]) * _UP
    along = change - 2 * slope * beside * _UP
    off[new, STORED], off[new, LINES], off[new, VERTEX] = stored, FAR, FAR
    if change > 0:
        off[new, LINES] = max(beside, left * length / change) * _UP
    if along > 0:
        away = (beside + length * (left + slope * beside) / along) * _UP
        # Nearer than this it is the vertex, and not the point opposite to it.
        w = points[new, 2]
        room = w / 2 if w > 0 else np.sqrt(points[new, 0] ** 2 + points[new, 1] ** 2) / 16
        if away + stored < room:
            off[new, VERTEX] = away


@compiled(inline="always")
def _line(
    parents: np.ndarray, lines: np.ndarray, diagonals: np.ndarray, a: int, b: int
) -> tuple[int, int]:  # pragma: no cover - compiled
    """The line of an edge, a < b: one of the later end's own two, unless it was drawn between corners that were there."""
    at = slot(diagonals, a, b, 0)
    if diagonals[at, 3] >= 0:
        return diagonals[at, 3] >> 32, diagonals[at, 3] & 0xFFFFFFFF
    if parents[b, 0] < 0:
        return -1 - a, b
    if parents[b, 0] == a or parents[b, 1] == a:
        return lines[b, 2], lines[b, 3]
    return lines[b, 0], lines[b, 1]


@compiled(inline="always")
def divide(
    values: np.ndarray, errors: np.ndarray, slopes: np.ndarray, parents: np.ndarray, shares: np.ndarray, new: int
) -> None:  # pragma: no cover - compiled
    """Fill the row of a new vertex from those at the ends of the edge that it divides."""
    a, b = parents[new, 0], parents[new, 1]
    share_a, share_b = shares[new, 0], shares[new, 1]
    if errors.shape[1] == values.shape[1]:
        for j in range(values.shape[1]):
            x, y = share_a * values[a, j], share_b * values[b, j]
            values[new, j] = x + y
            errors[new, j] = (share_a * errors[a, j] + share_b * errors[b, j] + EPS * (abs(x) + abs(y))) * _UP
        if slopes.shape[1]:
            slopes[new, 0] = min(slopes[a, 0], slopes[b, 0])
        return
    largest = 0.0
    for j in range(values.shape[1]):
        x, y = values[a, j], values[b, j]
        values[new, j] = share_a * x + share_b * y
        largest = max(largest, abs(x), abs(y))
    errors[new, 0] = (share_a * errors[a, 0] + share_b * errors[b, 0] + EPS * largest) * _UP
    slopes[new, 0] = min(slopes[a, 0], slopes[b, 0])


@compiled(inline="always")
def set_signs(vertices: Vertices, steep: np.ndarray, v: int) -> None:  # pragma: no cover - compiled
    """Fill in the masks of a vertex from its values, which are known up to its bounds, and the slopes on a cell beside it."""
    values, errors, slopes, away = vertices.values, vertices.errors, vertices.slopes, vertices.off[v, VERTEX]
    units, by_cell = values.shape[1], slopes.shape[1] == 0
    bound = 0.0 if by_cell else (errors[v, 0] + slopes[v, 0] * away) * _UP
    for word in range(vertices.pos.shape[1]):
        p = n = q = np.uint64(0)
        low = word * 64
        for k in range(min(64, units - low)):
            z = values[v, low + k]
            error = bound
            if by_cell:
                error = errors[v, low + k]
                bound = (error + steep[low + k] * away) * _UP
            bit = np.uint64(1) << np.uint64(k)
            if z > bound:
                p |= bit
            elif z < -bound:
                n |= bit
            elif z != 0 or error != 0:
                # Without an error it is zero on all cells at the vertex, whatever it is on others.
                q |= bit
        vertices.pos[v, word], vertices.neg[v, word], vertices.und[v, word] = p, n, q


@compiled(inline="always")
def _keep_zeros(vertices: Vertices, new: int, a: int, b: int, unit: int) -> None:  # pragma: no cover - compiled
    """What is zero at both ends of an edge is zero between, and so is the unit that put the vertex there."""
    pos, neg, und = vertices.pos, vertices.neg, vertices.und
    for word in range(pos.shape[1]):
        known = ~(pos[a, word] | neg[a, word] | und[a, word] | pos[b, word] | neg[b, word] | und[b, word])
        if word == unit >> 6:
            known |= np.uint64(1) << np.uint64(unit & 63)
        if (known & (pos[new, word] | neg[new, word] | und[new, word])) != 0:
            for j in range(min(64, vertices.values.shape[1] - word * 64)):
                if (known >> np.uint64(j)) & np.uint64(1):
                    to_zero(vertices, new, word * 64 + j)
            pos[new, word] &= ~known
            neg[new, word] &= ~known
            und[new, word] &= ~known


@compiled(inline="always")
def to_zero(vertices: Vertices, v: int, unit: int) -> None:  # pragma: no cover - compiled
    """Put the value of a unit that is zero at a vertex to zero: what it was at q becomes a part of its error."""
    k = unit if vertices.errors.shape[1] > 1 else 0
    vertices.errors[v, k] = (vertices.errors[v, k] + abs(vertices.values[v, unit])) * _UP
    vertices.values[v, unit] = 0.0


@compiled(inline="always")
def slot(table: np.ndarray, a: int, b: int, unit: int) -> int:  # pragma: no cover - compiled
    """Where an edge and a unit are in a hash table, or where they would go."""
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
            new[slot(new, old[i, 0], old[i, 1], old[i, 2])] = old[i]


@compiled(inline="always")
def steepness(vertices: Vertices, corners: np.ndarray, steep: np.ndarray) -> None:  # pragma: no cover - compiled
    """Bounds on the lengths of units' forms on a cell, from their values at those of its corners that span it best.

    A form with the values p, q, r at the points x, y, z is ``(p (y x z) + q (z x x) + r (x x y)) / (x . (y x z))``. Of a
    segment the third is a direction across all of it, along which nothing lies.
    """
    points, off, values, errors = vertices.points, vertices.off, vertices.values, vertices.errors
    i, j = corners[0], corners[1]
    k, best = -1, -1.0
    for m in range(1, corners.shape[0]):
        for n in range(m + 1, corners.shape[0]):
            x, y = corners[m], corners[n]
            volume = abs(_dot(points[i], _cross(points[x], points[y]))) / (_length(points[x]) * _length(points[y]))
            if volume > best:
                best, j, k = volume, x, y
    x, y = (points[i, 0], points[i, 1], points[i, 2]), (points[j, 0], points[j, 1], points[j, 2])
    d = max(off[i, STORED], off[j, STORED])
    if k >= 0:
        z = (points[k, 0], points[k, 1], points[k, 2])
        d = max(d, off[k, STORED])
    else:
        across = _cross(x, y)
        size = max(_length(across), 1 / FAR)
        z = (across[0] / size, across[1] / size, across[2] / size)
    yz, zx, xy = _cross(y, z), _cross(z, x), _cross(x, y)
    a, b, c = _length(x), _length(y), _length(z)
    # By how much products may be off: by rounding, and as what is known is known at points beside the stored ones.
    off_yz, off_zx, off_xy = _beside(b, c, d), _beside(c, a, d), _beside(a, b, d)
    size_yz, size_zx, size_xy = _length(yz), _length(zx), _length(xy)
    volume = abs(_dot(x, yz)) - (a * off_yz + d * (size_yz + off_yz) + 8 * EPS * a * size_yz) * _UP
    wide = errors.shape[1] > 1
    for u in range(values.shape[1]):
        e = u if wide else 0
        p, q, r = values[i, u], values[j, u], 0.0
        less = (errors[i, e] + 4 * EPS * abs(p)) * (size_yz + off_yz) + abs(p) * off_yz
        less += (errors[j, e] + 4 * EPS * abs(q)) * (size_zx + off_zx) + abs(q) * off_zx
        if k >= 0:
            r = values[k, u]
            less += (errors[k, e] + 4 * EPS * abs(r)) * (size_xy + off_xy) + abs(r) * off_xy
        form = (
            p * yz[0] + q * zx[0] + r * xy[0],
            p * yz[1] + q * zx[1] + r * xy[1],
            p * yz[2] + q * zx[2] + r * xy[2],
        )
        steep[u] = (_length(form) + less) / volume * _UP if volume > 0 else FAR


@compiled(inline="always")
def _cross(x: Any, y: Any) -> tuple[float, float, float]:  # pragma: no cover - compiled
    return x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]


@compiled(inline="always")
def _dot(x: Any, y: Any) -> float:  # pragma: no cover - compiled
    return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]


@compiled(inline="always")
def _length(x: Any) -> float:  # pragma: no cover - compiled
    return np.sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2])


@compiled(inline="always")
def _beside(a: float, b: float, d: float) -> float:  # pragma: no cover - compiled
    """How far the cross product of two vectors of these lengths may be off, if they are by d each."""
    return ((a + b + d) * d + 4 * EPS * a * b) * _UP


@compiled(allocates=False)
def signs(
    vertices: Vertices, size: int, starts: np.ndarray, corners: np.ndarray, steep: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Fill in the masks of the first `size` vertices, with the slopes on cells that own them where vertices have none."""
    if vertices.slopes.shape[1]:
        for v in range(size):
            set_signs(vertices, steep, v)
        return
    for cell in range(starts.shape[0] - 1):
        known = False
        for c in range(starts[cell], starts[cell + 1]):
            v = corners[c]
            if vertices.owners[v] == cell:
                if not known:
                    steepness(vertices, corners[starts[cell] : starts[cell + 1]], steep)
                    known = True
                set_signs(vertices, steep, v)


@compiled(allocates=False)
def decide(vertices: Vertices, which: np.ndarray, signs: np.ndarray) -> None:  # pragma: no cover - compiled
    """Put the signs of all units at some vertices, ``(n, units)``, in place of their own."""
    for i in range(which.shape[0]):
        v = which[i]
        for word in range(vertices.pos.shape[1]):
            vertices.pos[v, word] = vertices.neg[v, word] = vertices.und[v, word] = np.uint64(0)
        for j in range(signs.shape[1]):
            bit = np.uint64(1) << np.uint64(j & 63)
            if signs[i, j] > 0:
                vertices.pos[v, j >> 6] |= bit
                if vertices.values[v, j] == 0:
                    # Only what is zero for certain may be it.
                    vertices.values[v, j] = 1 / FAR
                    k = j if vertices.errors.shape[1] > 1 else 0
                    vertices.errors[v, k] = (vertices.errors[v, k] + 1 / FAR) * _UP
            elif signs[i, j] < 0:
                vertices.neg[v, j >> 6] |= bit
            else:
                to_zero(vertices, v, j)


@compiled()
def extend(
    values: np.ndarray, errors: np.ndarray, slopes: np.ndarray, parents: np.ndarray, shares: np.ndarray, begin: int
) -> None:  # pragma: no cover - compiled
    """Fill rows of new vertices, in order, from those at the ends of the edges that they are on."""
    for v in range(begin, values.shape[0]):
        divide(values, errors, slopes, parents, shares, v)


@compiled()
def relu(values: np.ndarray, errors: np.ndarray, pos: np.ndarray, neg: np.ndarray) -> None:  # pragma: no cover - compiled
    """ReLU in place by decided signs: units that are off are zero on all cells at the vertex, without an error."""
    rows, units = values.shape
    wide = errors.shape[1] == units
    for v in range(rows):
        for j in range(units):
            bit = np.uint64(1) << np.uint64(j & 63)
            if not pos[v, j >> 6] & bit:
                values[v, j] = 0.0
                if wide and neg[v, j >> 6] & bit:
                    errors[v, j] = 0.0


@compiled()
def seams(flags: np.ndarray, parents: np.ndarray, begin: int) -> None:  # pragma: no cover - compiled
    """The starting edges that new vertices are on: those of both ends of the edge that they divide."""
    for v in range(begin, flags.shape[0]):
        flags[v] = flags[parents[v, 0]] & flags[parents[v, 1]]
