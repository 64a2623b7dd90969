"""Distances to rows along rays x + a d, and which rows are nearer than others in the end.

Minkowski's distance of order p is ``(sum_j w_j |x_j + a d_j - r_j|^p)^(1/p)``. With u = x - r, s the sign of d, and Newton's
binomial series in falling powers of `a`, its p-th power is, over the columns that move,

    a^p sum w |d|^p + a^(p-1) p sum w |d|^(p-1) s u + a^(p-2) p (p-1) / 2 sum w |d|^(p-2) u^2 + ...

and ``sum w |u|^p`` over those that stay, of power 0. The first term is that of all rows; the others decide, one after another.
Of p = 2 there are two: the nearer row has the larger ``sum w d r``, then the smaller distance from x. Of p = 1 there is one,
``sum w s u`` and what stays. Of p = infinity one as well: the largest ``s u`` among the columns whose |d| is largest. Where one
column moves alone, the first term decides all others of it, and what stays decides the rest.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.model.families.passing import last_crossing, last_inside, last_pass
from knowlimits.model.families.series import crossing, terms

_EPS = float(np.finfo(np.float64).eps)
# How many times its rounding error a rate must differ by, so that the place where two lines cross has some digits.
_DIGITS = 1e4


@dataclass(frozen=True, eq=False)
class Precedence:
    """What orders rows along rays in the end: `first`, and `second` where that is equal; less is nearer.

    Attributes:
        first, second: ``(rays, rows)``.
        doubt: up to which differences of `first` nothing is certain, ``(rays,)``; 0 where those are exact.
        doubt_second: the same of `second` where `first` is equal, ``(rays,)``.
        scale: of lines: they are ``second + a * scale * first``, ``(rays,)``.
    """

    first: np.ndarray
    second: np.ndarray
    doubt: np.ndarray
    doubt_second: np.ndarray
    scale: np.ndarray


class Distance(ABC):
    """A distance to rows. Points and directions are given to its methods as `seen` makes them.

    Attributes:
        exact: whether what differs by less than its rounding can be decided.
        equal: whether distances to any two rows come to be the same, in shares of them.
    """

    exact: bool = False
    equal: bool = True

    @abstractmethod
    def seen(self, x: np.ndarray) -> np.ndarray:
        """What it looks at of points or directions ``(n, columns)``; all of it stays where that is 0 of a direction."""

    def direction(self, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it looks at of directions, and whether what decides of them is beyond their rounding, ``(rays,)``."""
        return self.seen(d), np.ones(len(d), dtype=bool)

    @abstractmethod
    def at(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """Distances of points, ``(n, rows)``, and a bound on their rounding in shares of each."""

    @abstractmethod
    def order(self, x: np.ndarray, d: np.ndarray) -> Precedence:
        """What orders rows along rays."""

    @abstractmethod
    def passed(self, x: np.ndarray, d: np.ndarray, order: Precedence, places: np.ndarray) -> np.ndarray:
        """Where rows inside are passed for the last time by others, ``(rays,)``; nan where that is not known.

        Args:
            x, d: of rays.
            order: of them.
            places: of the rows, as `knowlimits.model.families.passing` has them, ``(rays, rows)``.
        """

    def decided(self, x: np.ndarray, d: np.ndarray, some: np.ndarray) -> list[tuple]:
        """What orders some rows along one ray, without rounding; equal where they are equally near for ever."""
        raise NotImplementedError

    def crossed(self, x: np.ndarray, d: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
        """Where rows that `decided` has told apart are passed for the last time, along one ray; nan where that is not known."""
        return math.nan


class Minkowski(Distance):
    """Minkowski's distance.

    Args:
        rows: ``(rows, columns)``.
        p: at least 1, or infinite.
        weights: of the columns, at least 0; equal without them.
        matrix: a linear map that all goes through first, ``(columns, columns)``, as Mahalanobis' distance has it.
    """

    def __init__(self, rows: np.ndarray, p: float, weights: np.ndarray | None = None, matrix: np.ndarray | None = None):
        rows = np.asarray(rows, dtype=np.float64)
        weights = np.ones(rows.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
        self._kept, self._matrix = np.flatnonzero(weights > 0), matrix
        self.p, self.exact = float(p), matrix is None
        self._weights = np.ascontiguousarray(weights[self._kept])
        self._rows = self.seen(rows)
        self._columns = np.ascontiguousarray(self._rows.T)
        self._centred = self._columns - self._columns.mean(1, keepdims=True)
        self._largest = np.abs(self._centred).max(1, initial=0.0)
        self._rounding = (self._rows.shape[1] + 16) * (1 if p in (1, 2) else 4) * _EPS * (1 if matrix is None else _DIGITS)

    def seen(self, x: np.ndarray) -> np.ndarray:
        """The columns that have a weight, or what comes out of the map."""
        return np.ascontiguousarray(x[:, self._kept] if self._matrix is None else x @ self._matrix, dtype=np.float64)

    def direction(self, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of p = infinity columns that are the largest but for rounding, as steps before it may leave them, are so together."""
        d = self.seen(d)
        if math.isfinite(self.p):
            return d, np.ones(len(d), dtype=bool)
        largest = np.abs(d).max(1, keepdims=True)
        near = np.abs(d) >= largest * (1 - 16 * _EPS)
        level = np.where(near, np.sign(d) * largest, d)
        return level, (level == d).all(1)

    def at(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """Roots of sums of powers."""
        powers = self._powers(x)
        return powers if math.isinf(self.p) else powers ** (1 / self.p), 2 * self._rounding

    def _powers(self, x: np.ndarray) -> np.ndarray:
        result = np.empty((len(x), len(self._rows)))
        _powers(x, self._columns, self._weights, self.p, result)
        return result

    def order(self, x: np.ndarray, d: np.ndarray) -> Precedence:
        """The first term that may differ, and what decides then, where p = 2 or one column moves."""
        powers, moving = self._powers(x), d != 0
        count, sizes = moving.sum(1), powers.max(1)
        scale = np.full(len(x), 2.0)
        if self.p == 1 or math.isinf(self.p):
            first, second = np.empty_like(powers), np.zeros_like(powers)
            _ends(x, d, self._columns, self._weights, self.p, first)
            doubt = self._rounding * sizes
        else:
            slopes = self._weights * np.sign(d) * np.abs(d) ** (self.p - 1)
            first, second = -(slopes @ self._centred), powers
            doubt = _DIGITS * self._rounding * (np.abs(slopes) @ self._largest)
            # Numbers of rows as they were given, which nothing has rounded.
            alone = np.flatnonzero((count == 1) & self.exact)
            column = moving[alone].argmax(1)
            ways = d[alone, column]
            first[alone] = -np.sign(ways)[:, None] * self._columns[column]
            scale[alone] *= self._weights[column] * np.abs(ways)
            doubt[alone] = 0
        still = count == 0
        first[still], second[still], doubt[still] = 0, powers[still], 0
        return Precedence(first, second, doubt, 4 * self._rounding * sizes, scale)

    def passed(self, x: np.ndarray, d: np.ndarray, order: Precedence, places: np.ndarray) -> np.ndarray:
        """By lines of p = 2, else by tangents."""
        result = np.empty(len(x))
        if self.p == 2:
            last_crossing(order.first, order.second, order.scale, places, result)
        else:
            last_pass(x, d, self._rows, self._weights, self.p, self._powers(x), places, result)
        return result

    def decided(self, x: np.ndarray, d: np.ndarray, some: np.ndarray) -> list[tuple]:
        """All terms."""
        return terms(x, d, self._rows[some], self._weights, self.p)

    def crossed(self, x: np.ndarray, d: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
        """Where lines cross, of p = 2; rows whose columns that move are equal never pass each other, unless p is infinite."""
        if self.p == 2:
            return crossing(x, d, self._rows[inside], self._rows[outside], self._weights)
        moving = np.concatenate([self._rows[inside], self._rows[outside]])[:, d != 0]
        return 0.0 if math.isfinite(self.p) and bool((moving == moving[0]).all()) else math.nan

    def inside(self, x: np.ndarray, d: np.ndarray, radius: float) -> np.ndarray:
        """The last `a` at which a row is within a radius; 0 where none is, ``(rays,)``."""
        result = np.empty(len(x))
        last_inside(x, d, self._rows, self._weights, self.p, self._powers(x), radius, result)
        return result


class Angles(Distance):
    """One minus the cosine of the angle between a point and a row.

    Among rows of length 1 the nearest is the one with the largest ``(x + a d) . r``, a line in `a`; the point's own length is
    that of all. A row of zeros is at a right angle to all.

    Args:
        rows: ``(rows, columns)``.
    """

    exact, equal = False, False

    def __init__(self, rows: np.ndarray):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        self._columns = np.ascontiguousarray((rows / np.where(lengths == 0, 1, lengths)).T)
        self._rounding = (rows.shape[1] + 16) * _EPS

    def seen(self, x: np.ndarray) -> np.ndarray:
        """All columns."""
        return np.ascontiguousarray(x)

    def at(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """A bound in shares of 1, and so of a row's distance only if that is not small."""
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        return 1 - (x / np.where(lengths == 0, 1, lengths)) @ self._columns, self._rounding

    def order(self, x: np.ndarray, d: np.ndarray) -> Precedence:
        """Slopes and starts of lines."""
        doubt, doubt_second = (self._rounding * np.linalg.norm(part, axis=1) for part in (d, x))
        return Precedence(-(d @ self._columns), -(x @ self._columns), _DIGITS * doubt, 2 * doubt_second, np.ones(len(x)))

    def passed(self, x: np.ndarray, d: np.ndarray, order: Precedence, places: np.ndarray) -> np.ndarray:
        """Where lines cross."""
        result = np.empty(len(x))
        last_crossing(order.first, order.second, order.scale, places, result)
        return result


@compiled(nogil=True)
def _powers(
    x: np.ndarray, columns: np.ndarray, weights: np.ndarray, p: float, result: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Sums of powers of differences, ``(rays, rows)``, or the largest of them where p is infinite."""
    for ray in range(len(x)):
        if ray and (x[ray] == x[ray - 1]).all():
            # Rays of one start follow each other.
            result[ray] = result[ray - 1]
            continue
        found = result[ray]
        found[:] = 0.0
        for j in range(len(columns)):
            value, weight, column = x[ray, j], weights[j], columns[j]
            if p == 2:
                for i in range(len(column)):
                    found[i] += weight * (value - column[i]) * (value - column[i])
            elif p == 1:
                for i in range(len(column)):
                    found[i] += weight * abs(value - column[i])
            elif p == np.inf:
                for i in range(len(column)):
                    found[i] = max(found[i], abs(value - column[i]))
            else:
                for i in range(len(column)):
                    found[i] += weight * abs(value - column[i]) ** p


@compiled(nogil=True)
def _ends(
    x: np.ndarray, d: np.ndarray, columns: np.ndarray, weights: np.ndarray, p: float, result: np.ndarray
) -> None:  # pragma: no cover - compiled
    """What distances of p = 1 or infinity come to be beside what all rows share, ``(rays, rows)``."""
    for ray in range(len(x)):
        found = result[ray]
        found[:] = 0.0 if p == 1 else -np.inf
        largest = np.abs(d[ray]).max()
        for j in range(len(columns)):
            value, step, weight, column = x[ray, j], d[ray, j], weights[j], columns[j]
            if p == 1:
                for i in range(len(column)):
                    difference = value - column[i]
                    found[i] += weight * (difference if step > 0 else -difference if step < 0 else abs(difference))
            elif step != 0 and abs(step) == largest:
                for i in range(len(column)):
                    found[i] = max(found[i], value - column[i] if step > 0 else column[i] - value)
