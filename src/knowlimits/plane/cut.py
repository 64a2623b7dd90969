"""Compiled loops of the mesh: cells, which are convex polygons or segments, split by units that are affine on each.

Signs of units at vertices are three bit masks a vertex, positive, negative and undecided; zero has no bit. So the units that
cut a piece are the `and` of the masks of its vertices, and a piece that none cuts is done.

A bound is two numbers a row: on the rounding error of the values at the vertex as it is stored, and on what the values change
between there and the true vertex, whose place along its edge is known up to rounding only. The edge itself lies beside the
true one by rounding, too, and what that changes is not followed, as bounds that did piled up until every sign was in doubt. So
a sign counts as in doubt within the sum of the two times `DOUBT`, which leaves room for lines that meet at an angle of an
eighth.
"""

from typing import Any

import numpy as np

from knowlimits.follow.bounds import DOUBT, EPS
from knowlimits.follow.compiling import compiled

# What `refine` ended with: all is done, a sign has to be found out, or room is short for one of these.
DONE, SIGN, HEAP, VERTICES, TABLE, CELLS, CORNERS = range(7)


@compiled(inline="always")
def _set_signs(
    row: np.ndarray, bound: float, pos: np.ndarray, neg: np.ndarray, und: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Masks of a row of values that are known up to `bound`."""
    bound *= DOUBT
    units = row.shape[0]
    for word in range(pos.shape[0]):
        p = n = q = np.uint64(0)
        low = word * 64
        for k in range(min(64, units - low)):
            z = row[low + k]
            bit = np.uint64(1) << np.uint64(k)
            if z > bound:
                p |= bit
            elif z < -bound:
                n |= bit
            elif bound > 0:
                q |= bit
        pos[word], neg[word], und[word] = p, n, q


@compiled()
def signs(
    values: np.ndarray, bounds: np.ndarray, pos: np.ndarray, neg: np.ndarray, und: np.ndarray, size: int
) -> None:  # pragma: no cover - compiled
    """Masks of the first `size` rows."""
    for v in range(size):
        _set_signs(values[v], bounds[v, 0] + bounds[v, 1], pos[v], neg[v], und[v])


@compiled(inline="always")
def _sign(pos: np.ndarray, neg: np.ndarray, vertex: Any, word: int, bit: Any) -> int:  # pragma: no cover - compiled
    """The sign of one unit at a vertex."""
    if pos[vertex, word] & bit:
        return 1
    return -1 if neg[vertex, word] & bit else 0


@compiled(inline="always")
def _slack(doubt: float, whole: float) -> float:  # pragma: no cover - compiled
    """Bound on the error of a share ``x / (x + y)``, of numbers with errors of `doubt` in all and sum `whole`."""
    return doubt / (whole - doubt) + EPS if whole > doubt else 1.0


@compiled(inline="always")
def _divide(
    values: np.ndarray, bounds: np.ndarray, a: Any, b: Any, new: int, share_a: float, share_b: float, slack: float
) -> None:  # pragma: no cover - compiled
    """Fill the row of a new vertex from those at the ends of the edge that it divides."""
    largest = 0.0
    apart = 0.0
    for j in range(values.shape[1]):
        x, y = values[a, j], values[b, j]
        values[new, j] = share_a * x + share_b * y
        largest = max(largest, abs(x), abs(y))
        apart = max(apart, abs(y - x))
    bounds[new, 0] = max(bounds[a, 0], bounds[b, 0]) + 4 * EPS * largest
    bounds[new, 1] = slack * apart


@compiled(inline="always")
def _slot(table: np.ndarray, a: Any, b: Any, unit: Any) -> int:  # pragma: no cover - compiled
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


@compiled()
def refine(
    state: np.ndarray,
    starts: np.ndarray,
    corners: np.ndarray,
    values: np.ndarray,
    bounds: np.ndarray,
    pos: np.ndarray,
    neg: np.ndarray,
    und: np.ndarray,
    parents: np.ndarray,
    shares: np.ndarray,
    table: np.ndarray,
    new_starts: np.ndarray,
    new_corners: np.ndarray,
    origins: np.ndarray,
    bits: np.ndarray,
    heap: np.ndarray,
    stack: np.ndarray,
) -> int:  # pragma: no cover - compiled
    """Split cells by all units; goes on from `state` when called again.

    Args:
        state: next cell, vertices, new cells, new corners, the vertex whose sign is wanted, and vertices at the start.
        starts, corners: the cells, ``corners[starts[c]:starts[c + 1]]`` being the vertices of cell c in order.
        values, bounds: of every unit at every vertex, and two bounds on the error of each row, ``(vertices, 2)``.
        pos, neg, und: masks of signs.
        parents: per vertex the edge that it is on and the unit that put it there.
        shares: per vertex the shares of the two ends of the edge, and a bound on their errors.
        table: hash table of edges and units, vertex or -1 in the last column.
        new_starts, new_corners, origins, bits: resulting cells, the cell that each is a part of, and its positive units.
        heap, stack: room for pieces that are under work: their corners, and where those begin and end.

    Returns:
        DONE, SIGN if a sign has to be found out, or that for which room is short.
    """
    units = values.shape[1]
    words = pos.shape[1]
    cell, vertices, made, used = state[0], state[1], state[2], state[3]
    p_or = np.zeros(words, np.uint64)
    n_or = np.zeros(words, np.uint64)
    first = np.empty(2, np.int64)
    code = DONE
    cells = starts.shape[0] - 1
    while cell < cells and code == DONE:
        made_before, used_before = made, used
        top = starts[cell + 1] - starts[cell]
        if top > heap.shape[0]:
            code = HEAP
            break
        for k in range(top):
            heap[k] = corners[starts[cell] + k]
        stack[0, 0], stack[0, 1] = 0, top
        depth = 1
        while depth > 0:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]
            count = high - low
            cut_word, cut = -1, np.uint64(0)
            for word in range(words):
                p = n = q = np.uint64(0)
                for k in range(low, high):
                    v = heap[k]
                    p |= pos[v, word]
                    n |= neg[v, word]
                    q |= und[v, word]
                if q != 0:
                    for k in range(low, high):
                        if und[heap[k], word] != 0:
                            state[4] = heap[k]
                    code = SIGN
                    break
                p_or[word] = p
                n_or[word] = n
                if cut_word < 0 and (p & n) != 0:
                    cut_word, cut = word, p & n
            if code != DONE:
                break
            if cut_word < 0:
                if made >= origins.shape[0]:
                    code = CELLS
                    break
                if used + count > new_corners.shape[0]:
                    code = CORNERS
                    break
                for k in range(low, high):
                    new_corners[used] = heap[k]
                    used += 1
                origins[made] = cell
                for word in range(words):
                    bits[made, word] = p_or[word]
                made += 1
                new_starts[made] = used
                continue
            k = 0
            while (cut >> np.uint64(k)) & np.uint64(1) == 0:
                k += 1
            bit = np.uint64(1) << np.uint64(k)
            unit = cut_word * 64 + k
            # Its own room is given up: the two parts go behind one another above it.
            room = high
            if room + 2 * count + 8 > heap.shape[0] or depth + 2 > stack.shape[0]:
                code = HEAP
                break
            if vertices + 2 > values.shape[0]:
                code = VERTICES
                break
            if 2 * (vertices + 2 - state[5]) > table.shape[0]:
                code = TABLE
                break
            edges = count if count > 2 else 1
            found = 0
            # Positive part above, and where the line crosses.
            end = room
            for k in range(count):
                v = heap[low + k]
                sign_v = _sign(pos, neg, v, cut_word, bit)
                if sign_v >= 0:
                    heap[end] = v
                    end += 1
                if k >= edges:
                    continue
                w = heap[low + (k + 1) % count]
                sign_w = _sign(pos, neg, w, cut_word, bit)
                if sign_v * sign_w >= 0:
                    continue
                a, b = (v, w) if v < w else (w, v)
                slot = _slot(table, a, b, unit)
                if table[slot, 3] < 0:
                    size_a, size_b = abs(values[a, unit]), abs(values[b, unit])
                    whole = size_a + size_b
                    # Both, as one minus a tiny share is 1, and a far vertex would lie at infinity.
                    share_a, share_b = size_b / whole, size_a / whole
                    slack = _slack(bounds[a, 0] + bounds[b, 0], whole)
                    new = vertices
                    _divide(values, bounds, a, b, new, share_a, share_b, slack)
                    values[new, unit] = 0.0
                    _set_signs(values[new], bounds[new, 0] + bounds[new, 1], pos[new], neg[new], und[new])
                    for word in range(words):
                        # Zero at both ends is zero between, and so is the unit that put the vertex here.
                        known = ~(pos[a, word] | neg[a, word] | und[a, word] | pos[b, word] | neg[b, word] | und[b, word])
                        if word == cut_word:
                            known |= bit
                        if (known & (pos[new, word] | neg[new, word] | und[new, word])) != 0:
                            for j in range(min(64, units - word * 64)):
                                if (known >> np.uint64(j)) & np.uint64(1):
                                    values[new, word * 64 + j] = 0.0
                            pos[new, word] &= ~known
                            neg[new, word] &= ~known
                            und[new, word] &= ~known
                    parents[new, 0], parents[new, 1], parents[new, 2] = a, b, unit
                    shares[new, 0], shares[new, 1], shares[new, 2] = share_a, share_b, slack
                    table[slot, 0], table[slot, 1], table[slot, 2], table[slot, 3] = a, b, unit, new
                    vertices += 1
                p_new = table[slot, 3]
                heap[end] = p_new
                end += 1
                if found < 2:
                    first[found] = p_new
                found += 1
            middle = end
            found = 0
            for k in range(count):
                v = heap[low + k]
                sign_v = _sign(pos, neg, v, cut_word, bit)
                if sign_v <= 0:
                    heap[end] = v
                    end += 1
                if k >= edges:
                    continue
                w = heap[low + (k + 1) % count]
                sign_w = _sign(pos, neg, w, cut_word, bit)
                if sign_v * sign_w < 0:
                    heap[end] = first[min(found, 1)]
                    end += 1
                    found += 1
            stack[depth, 0], stack[depth, 1] = room, middle
            stack[depth + 1, 0], stack[depth + 1, 1] = middle, end
            depth += 2
        if code != DONE:
            # What was made of this cell is made again.
            made, used = made_before, used_before
            break
        cell += 1
    state[0], state[1], state[2], state[3] = cell, vertices, made, used
    return code


@compiled()
def extend(
    values: np.ndarray, bounds: np.ndarray, parents: np.ndarray, shares: np.ndarray, begin: int, end: int
) -> None:  # pragma: no cover - compiled
    """Fill rows of new vertices, in order, from those at the ends of the edges that they are on."""
    for v in range(begin, end):
        a, b = parents[v, 0], parents[v, 1]
        _divide(values, bounds, a, b, v, shares[v, 0], shares[v, 1], shares[v, 2])


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
