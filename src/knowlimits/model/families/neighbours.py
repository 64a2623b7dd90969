"""Classifiers by neighbours: the k nearest rows, or all rows within a radius.

Along a ray x + a d the k nearest of n rows are, from some radius on, always the same: of the Euclidean distance those with the
largest d . r, and among equal ones the nearest to x; `knowlimits.model.families.distances` has the others. So the limit is the
share of classes among these (Cover and Hart, "Nearest neighbor pattern classification", 1967, for the rule; the rest is
geometry). Weights of one over distances tend to equal ones. All rows leave any radius in the end.

Ties. What is nearer is decided without rounding. Where it makes a difference which of several rows counts that are equally near
for ever, or but for rounding, only the estimator's own search says so, by the order in which it comes by them: it is asked at
several radii. Where it does not always say the same, a ray with a tie is refused.

At points the estimator itself is asked, so that ties there are as it breaks them; distances are held to it when it is read.
"""

from abc import abstractmethod
from dataclasses import fields
from typing import Any

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.model.families.distances import Distance, Minkowski, Precedence
from knowlimits.model.families.family import Ends, Family, Tail
from knowlimits.model.families.passing import IN_BAND, INSIDE, OPEN, OUT_OF_BAND, OUTSIDE

# Distances that are looked at together, so that they take little memory and stay in the cache.
_NUMBERS = 2**17
# So few neighbours that they are kept in order while all rows are looked at once.
_FEW = 50
# At how many times the radius beyond which nothing else changes it is asked about ties, or the lengths of all rows' spread.
_ASKED = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
# Weights are held to the estimator's own where rounding changes squares of distances by no larger share.
_WEIGHTED = 1e-9


class _OfRows(Family):
    """What both have: rows, classes of them, and the estimator's own answers at points.

    Args:
        rows: ``(rows, columns)``.
        classes: of them, as places, ``(rows,)``.
        distance: to them.
        own: a copy of the estimator, whose answers at points are the family's: it breaks ties as it does.
        weighted: whether neighbours count by one over their distance.
    """

    jumps = True

    def __init__(self, rows: np.ndarray, classes: np.ndarray, distance: Distance, own: Any, weighted: bool):
        super().__init__()
        self._classes, self._distance, self._own, self._weighted = classes, distance, own, weighted
        self._length = float((rows**2).sum(1).max())
        self._spread = float(np.linalg.norm(rows.max(0) - rows.min(0)))
        self._count = int(classes.max()) + 1

    @property
    def described(self) -> str:
        """How many rows."""
        return f"neighbours among {len(self._classes)} rows"

    def at(self, x: np.ndarray) -> np.ndarray:
        """What the estimator itself says."""
        return np.asarray(self._own.predict_proba(x), dtype=np.float64) if len(x) else np.zeros((0, self._count))

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Block by block."""
        d = np.broadcast_to(d, x.shape)
        size = max(1, _NUMBERS // len(self._classes))
        parts = [self._along(x[begin : begin + size], d[begin : begin + size]) for begin in range(0, len(x), size)]
        offset, radius, clear = (
            np.concatenate([part[k] for part in parts]) if parts else empty
            for k, empty in enumerate((np.zeros((0, self._count)), np.zeros(0), np.zeros(0, dtype=bool)))
        )
        still = ~self._moves(d)
        if still.any():
            offset[still] = self.at(x[still])
        return Ends(offset, radius=radius, clear=clear, tail=Tail.SLOW if np.isnan(radius).any() else Tail.NONE)

    def _moves(self, d: np.ndarray) -> np.ndarray:
        return (self._distance.seen(d) != 0).any(1)

    @abstractmethod
    def _along(self, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Limits, radii, and whether they are clear, of rays that move; whether values are, of those that do not."""

    @abstractmethod
    def measured(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities at points by distances as they are understood, and whether they are clear; to hold the reading to."""

    def _weights(self, inside: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """What rows inside count, ``(n, rows)``; where some are at a distance of 0, these alone do."""
        if not self._weighted:
            return inside.astype(np.float64)
        here = inside & (distances == 0)
        with np.errstate(divide="ignore"):
            return np.where(here.any(1, keepdims=True), here, inside / np.where(inside, distances, 1))

    def _shares(self, weights: np.ndarray) -> np.ndarray:
        """Shares of classes, by weights of rows, ``(n, rows)``."""
        sums = weights @ np.eye(self._count)[self._classes]
        total = sums.sum(1, keepdims=True)
        # Rays with a tie have none yet, or not all.
        return sums / np.where(total == 0, 1, total)


class Nearest(_OfRows):
    """The k nearest rows, ``(n, columns) -> (n, classes)``.

    Args:
        k: how many.
    """

    def __init__(self, rows: np.ndarray, classes: np.ndarray, distance: Distance, own: Any, weighted: bool, k: int):
        super().__init__(rows, classes, distance, own, weighted)
        self._k = k

    def _along(self, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        start, (way, clear) = self._distance.seen(x), self._distance.direction(d)
        moves = (way != 0).any(1)
        order = self._distance.order(start, way)
        places = self._chosen(order)
        crossed = np.zeros(len(x))
        open_ = np.flatnonzero((places == OPEN).any(1))
        clear[open_[~moves[open_]]] = False
        near: dict[int, np.ndarray] = {}
        for ray in open_[moves[open_]].tolist():
            some = np.flatnonzero(places[ray] == OPEN)
            crossed[ray], sure = self._decide(places[ray], start[ray], way[ray])
            clear[ray] &= sure
            if not self._alike(some):
                near[ray] = some
        radius = np.where(moves, np.maximum(self._distance.passed(start, way, order, places), crossed), 0.0)
        offset = self._shares(((places == INSIDE) | (places == IN_BAND)).astype(np.float64))
        for ray, some in near.items():
            tied = places[ray] == OPEN
            found = self._asked(x[ray], d[ray], order, ray, places[ray], tied if tied.any() else some)
            if found is None and tied.any():
                raise self._no_one_answer(np.flatnonzero(tied))
            if found is not None and not np.allclose(found, offset[ray]):
                # Its own rounding decides, always in the same way.
                offset[ray], radius[ray], clear[ray] = found, np.nan, False
            elif tied.any():
                radius[ray] = np.nan
        if self._weighted:
            # Weights come to be equal, and make no difference in one class.
            radius[moves & (offset.max(1) < 1)] = np.nan
        return offset, radius, clear

    def _chosen(self, order: Precedence) -> np.ndarray:
        """Places of rows, ``(rays, rows)``."""
        places = np.zeros(order.first.shape, dtype=np.int8)
        _choose(order.first, order.second, order.doubt, order.doubt_second, self._k, places)
        return places

    def _decide(self, places: np.ndarray, x: np.ndarray, d: np.ndarray) -> tuple[float, bool]:
        """Places of open rows along a ray, all but ties; where they are passed for the last time, and whether that is clear."""
        some = np.flatnonzero(places == OPEN)
        count = self._k - int(((places == INSIDE) | (places == IN_BAND)).sum())
        if self._alike(some):
            # It makes no difference which.
            places[some] = np.where(np.arange(len(some)) < count, IN_BAND, OUT_OF_BAND)
            return 0.0, True
        if not self._distance.exact:
            return 0.0, False
        keys = self._distance.decided(x, d, some)
        last = sorted(keys)[count - 1]
        nearer = np.array([key < last for key in keys])
        tied = np.array([key == last for key in keys])
        places[some] = np.where(nearer, IN_BAND, OUT_OF_BAND)
        if int(nearer.sum() + tied.sum()) == count or self._alike(some[tied]):
            places[some[tied][: count - int(nearer.sum())]] = IN_BAND
            inside = places[some] == IN_BAND
            crossed = self._distance.crossed(x, d, some[inside], some[~inside])
            # Terms of lower orders are not told from what dies away before them.
            return crossed, not np.isnan(crossed)
        places[some[tied]] = OPEN
        return 0.0, False

    def _alike(self, some: np.ndarray) -> bool:
        return bool((self._classes[some] == self._classes[some[0]]).all())

    def _asked(
        self, x: np.ndarray, d: np.ndarray, order: Precedence, ray: int, places: np.ndarray, tied: np.ndarray
    ) -> np.ndarray | None:
        """Shares along a ray on which some rows are equally near, but for rounding, by the estimator itself.

        None if it does not always say the same, or something that cannot be.
        """
        inside = (places == INSIDE) | (places == IN_BAND)
        among = np.zeros(len(places), dtype=bool)
        among[tied] = True
        one = Precedence(**{field.name: getattr(order, field.name)[ray : ray + 1] for field in fields(Precedence)})
        start, way = self._distance.seen(x[None]), self._distance.direction(d[None])[0]
        # Whichever of them count.
        radii = [
            self._distance.passed(start, way, one, np.where(among, side, places)[None])[0] for side in (IN_BAND, OUT_OF_BAND)
        ]
        begin = np.nanmax([*radii, self._spread / np.abs(d).max()])
        points = x + begin * np.array(_ASKED)[:, None] * d
        if self._weighted:
            found = np.eye(self._count)[self._classes[self._own.kneighbors(points, return_distance=False)]].mean(1)
        else:
            found = self.at(points)
        least, most = (np.bincount(self._classes[some], minlength=self._count) for some in (inside & ~among, inside | among))
        counts = found * self._k
        possible = (counts > least - 0.5) & (counts < most + 0.5)
        return found[0] if possible.all() and (np.abs(found - found[0]) < 1e-9).all() else None

    def _no_one_answer(self, tied: np.ndarray) -> ValueError:
        other = tied[self._classes[tied] != self._classes[tied[0]]][0]
        return ValueError(
            "model must have one answer far away. Got a ray along which two rows of the data that it was fitted to, of two "
            f"classes, are equally near for ever (rows {tied[0]} and {other}), and rounding decides which of them counts: "
            "leave one of them out, fit it with another n_neighbors, or follow other rays."
        )

    def measured(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the k smallest distances."""
        distances, rounding = self._distance.at(self._distance.seen(x))
        nothing, squares = np.zeros(len(x)), distances**2
        # Brute force takes differences of squares of lengths.
        rounding = rounding * (squares.max(1) + (x**2).sum(1) + self._length)
        places = self._chosen(Precedence(np.zeros_like(distances), squares, nothing, 2 * rounding, nothing))
        inside = (places == INSIDE) | (places == IN_BAND)
        clear = ~(places == OPEN).any(1)
        if self._weighted:
            clear &= rounding < _WEIGHTED * squares.min(1)
        return self._shares(self._weights(inside, distances)), clear


class Within(_OfRows):
    """The rows within a radius, ``(n, columns) -> (n, classes)``.

    Args:
        radius: within which rows count.
        beyond: what the estimator says where there are none, ``(classes,)``.
    """

    _distance: Minkowski

    def __init__(
        self,
        rows: np.ndarray,
        classes: np.ndarray,
        distance: Minkowski,
        own: Any,
        weighted: bool,
        radius: float,
        beyond: np.ndarray,
    ):
        super().__init__(rows, classes, distance, own, weighted)
        self._radius, self._beyond = radius, beyond

    def _along(self, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        start, way, moves = self._distance.seen(x), self._distance.seen(d), self._moves(d)
        radius, clear = np.zeros(len(x)), np.ones(len(x), dtype=bool)
        radius[moves] = self._distance.inside(start[moves], way[moves], self._radius)
        clear[~moves] = self.measured(x[~moves])[1]
        return np.tile(self._beyond, (len(x), 1)), radius, clear

    def measured(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the distances that are no larger."""
        distances, rounding = self._distance.at(self._distance.seen(x))
        inside = distances <= self._radius
        some = inside.any(1)
        shares = np.tile(self._beyond, (len(x), 1))
        shares[some] = self._shares(self._weights(inside, distances)[some])
        apart = np.abs(distances - self._radius) > 2 * rounding * (self._radius + distances)
        return shares, np.asarray(apart.all(1))


@compiled(nogil=True)
def _smallest(numbers: np.ndarray, k: int) -> float:  # pragma: no cover - compiled
    """The k-th smallest of numbers."""
    if k > _FEW:
        return np.partition(numbers, k - 1)[k - 1]
    found = np.full(k, np.inf)
    for number in numbers:
        if number < found[k - 1]:
            place = k - 1
            while place > 0 and found[place - 1] > number:
                found[place] = found[place - 1]
                place -= 1
            found[place] = number
    return found[k - 1]


@compiled(nogil=True)
def _choose(
    first: np.ndarray, second: np.ndarray, doubt: np.ndarray, doubt_second: np.ndarray, k: int, places: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Find the k rows that are less than others, by an order, or leave some open, ``(rays, rows)``."""
    for ray in range(len(first)):
        numbers, found = first[ray], places[ray]
        at = _smallest(numbers, k)
        left, equal = k, 0
        for row in range(len(numbers)):
            if numbers[row] < at - doubt[ray]:
                found[row] = INSIDE
                left -= 1
            elif numbers[row] <= at + doubt[ray]:
                found[row] = IN_BAND
                equal += 1
            else:
                found[row] = OUTSIDE
        if equal == left:
            continue
        band = np.flatnonzero(found == IN_BAND)
        if doubt[ray] > 0:
            found[band] = OPEN
            continue
        numbers, doubted = second[ray][band], doubt_second[ray]
        at = _smallest(numbers, left)
        equal = 0
        for place in range(len(band)):
            if numbers[place] < at - doubted:
                left -= 1
            elif numbers[place] <= at + doubted:
                found[band[place]] = OPEN
                equal += 1
            else:
                found[band[place]] = OUT_OF_BAND
        if equal == left:
            for row in band:
                if found[row] == OPEN:
                    found[row] = IN_BAND
