"""Where two lines of a mesh meet, and on which side of others that is, in numbers of double length and in integers.

The lines f1 and f2, vectors of three numbers, meet at ``f1 x f2`` or opposite to it, and the sign of a form g there is that of
``g . (f1 x f2)``. A point is where w is positive; of directions, w = 0, it is the one of two opposite ones that is stored.
"""

from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.follow.bounds import EPS
from knowlimits.plane.doubled import Number, minus, plus, times
from knowlimits.plane.integers import integers

# Products of integers in work at once: each takes some 100 bytes.
_PRODUCTS = 2**18


class Meetings(NamedTuple):
    """Vertices in question.

    Attributes:
        stored: their coordinates as they are stored, ``(n, 3)``.
        starting: whether they are just these, ``(n,)``.
        lines: two forms that are zero at each, as `parts` numbers, ``(parts, n, 2, 3)``.
        cells: a cell that each is a corner of, ``(n,)``.
        own: units of which such forms are, or -1, ``(n, 2)``.
        units: the forms whose signs are wanted, by cells, ``(parts, cells, 3, units)``.
    """

    stored: np.ndarray
    starting: np.ndarray
    lines: np.ndarray
    cells: np.ndarray
    own: np.ndarray
    units: np.ndarray


class Met(NamedTuple):
    """What is found at vertices.

    Attributes:
        signs: of units, ``(n, units)``.
        places: the vertices in the scale of what is stored, ``(n, 3)``.
        known: whether both are decided, ``(n,)``.
    """

    signs: np.ndarray
    places: np.ndarray
    known: np.ndarray


def in_doubles(at: Meetings) -> Met:
    """What numbers of double length decide."""
    n, units = len(at.stored), at.units.shape[3]
    found = Met(np.zeros((n, units), np.int8), np.zeros((n, 3)), np.zeros(n, bool))
    _meet(at, found)
    found.places[at.starting] = at.stored[at.starting]
    return found


@compiled(allocates=False)
def _meet(at: Meetings, found: Met) -> None:  # pragma: no cover - compiled
    """Fill in what is found of every vertex."""
    stored, lines, units = at.stored, at.lines, at.units
    signs, places, known = found
    for i in range(stored.shape[0]):
        if at.starting[i]:
            x, y, w = (stored[i, 0], 0.0, 0.0), (stored[i, 1], 0.0, 0.0), (stored[i, 2], 0.0, 0.0)
        else:
            x, y, w = _cross(lines, i, 1, 2), _cross(lines, i, 2, 0), _cross(lines, i, 0, 1)
        side = _sign(w)
        if side == 0:
            along = x[0] * stored[i, 0] + y[0] * stored[i, 1]
            side = 1 if along > 0 else -1 if along < 0 else 2
        size = max(abs(x[0]), abs(y[0]), abs(w[0]))
        # Not where it is not a number either.
        known[i] = abs(side) == 1 and size < np.inf and max(x[2], y[2], w[2]) <= EPS * size
        if not known[i]:
            continue
        scale = side * max(abs(stored[i, 0]), abs(stored[i, 1]), abs(stored[i, 2]))
        places[i, 0], places[i, 1], places[i, 2] = scale * (x[0] / size), scale * (y[0] / size), scale * (w[0] / size)
        c = at.cells[i]
        for k in range(units.shape[3]):
            if k == at.own[i, 0] or k == at.own[i, 1]:
                continue
            on_x, on_y = times(_number(units, c, 0, k), x), times(_number(units, c, 1, k), y)
            on_w = times(_number(units, c, 2, k), w)
            sign = _sign(plus(plus(on_x, on_y), on_w))
            if sign == 2:
                known[i] = False
                break
            signs[i, k] = side * sign


@compiled(allocates=False)
def _number(numbers: np.ndarray, i: int, j: int, k: int) -> Number:  # pragma: no cover - compiled
    """One of an array of numbers ``(3, ...)``."""
    return numbers[0, i, j, k], numbers[1, i, j, k], numbers[2, i, j, k]


@compiled(allocates=False)
def _cross(lines: np.ndarray, i: int, j: int, k: int) -> Number:  # pragma: no cover - compiled
    """A component of the product of two lines."""
    first = times(_number(lines, i, 0, j), _number(lines, i, 1, k))
    return minus(first, times(_number(lines, i, 0, k), _number(lines, i, 1, j)))


@compiled(allocates=False)
def _sign(x: Number) -> int:  # pragma: no cover - compiled
    """The sign of a number, or 2 where that is in doubt."""
    if abs(x[0]) * (1 - EPS) > x[2]:
        return 1 if x[0] > 0 else -1
    return 0 if x[0] == 0 and x[1] == 0 and x[2] == 0 else 2


def through_in_doubles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The lines through pairs of points, of ``(n, 3)`` each, ``(3, n, 3)``."""
    pairs = np.zeros((3, len(first), 2, 3))
    pairs[0] = np.stack([first, second], axis=1)
    result = np.empty((3, len(first), 3))
    _join(pairs, result)
    return result


@compiled(allocates=False)
def _join(pairs: np.ndarray, result: np.ndarray) -> None:  # pragma: no cover - compiled
    """Fill in the lines through pairs of points."""
    for i in range(pairs.shape[1]):
        for j in range(3):
            k, m = (j + 1) % 3, (j + 2) % 3
            result[0, i, j], result[1, i, j], result[2, i, j] = _cross(pairs, i, k, m)


def in_integers(at: Meetings) -> Met:
    """What integers decide, which is all.

    Raises:
        RuntimeError: if two lines of a vertex are the same, which `exact.py` proves that they are not.
    """
    stored, _ = integers(at.stored)
    meet = np.where(at.starting[:, None], stored, _crossed(at.lines[0, :, 0], at.lines[0, :, 1]))
    if not (meet != 0).any(1).all():
        raise RuntimeError("two lines of a vertex are the same: an error of knowlimits, which should be reported.")
    side = np.where(meet[:, 2] != 0, meet[:, 2], (meet * stored).sum(1)) > 0
    meet = np.where(side[:, None], meet, -meet)
    places = np.array([_scaled(v, p) for v, p in zip(meet, at.stored, strict=True)]).reshape(-1, 3)
    signs = np.zeros((len(meet), at.units.shape[3]), np.int8)
    step = max(1, _PRODUCTS // max(1, 3 * signs.shape[1]))
    for begin in range(0, len(meet), step):
        some = slice(begin, begin + step)
        values = (at.units[0, at.cells[some]] * meet[some, :, None]).sum(1)
        signs[some] = (values > 0).astype(np.int8) - (values < 0).astype(np.int8)
    return Met(signs, np.where(at.starting[:, None], at.stored, places), np.ones(len(meet), bool))


def _crossed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, [1, 2, 0]] * second[:, [2, 0, 1]] - first[:, [2, 0, 1]] * second[:, [1, 2, 0]]


def _scaled(vector: np.ndarray, stored: np.ndarray) -> list[float]:
    """A vector of integers in the scale of what is stored."""
    share, of = float(np.abs(stored).max()).as_integer_ratio()
    of *= max(map(abs, vector))
    # Python rounds the quotient of two integers once.
    return [n * share / of for n in vector]


def through_in_integers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The lines through pairs of points, of ``(n, 3)`` each, ``(1, n, 3)``."""
    return _crossed(integers(first)[0], integers(second)[0])[None]
