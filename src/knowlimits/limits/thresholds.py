"""Trees along segments: where the thresholds are that a segment meets, and what the model says between any two of them.

``x <= threshold`` goes left. So between two places where a comparison turns, the first of which belongs to what is before it,
a sum of trees is constant, and so is whatever is made of its answers; it is asked once there, and all that is reported is what
the model says at a point. Where the table goes through steps, or layers, a threshold of what the trees take is met at another
value of the column: that is found by halving the interval between two floats for which the model's own steps say one side and
the other, until they are neighbours. It takes that the numbers which are compared are straight along the segment, up to
rounding; where they are not, nothing is said.

Where one column moves, places are its values, floats all of them, and segments of one column share the work if what the trees
take of it is the same for all rows; else places are t.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from knowlimits.limits.comparisons import Comparisons
from knowlimits.limits.stretches import SAME, Segments, Stretches, at_once, mean_probabilities
from knowlimits.model.model import Model
from knowlimits.model.steps import Moves

# Where lines are looked at for bends, from end to end, and how far off they may be, as a share of the way.
_LOOKED_AT, _OFF = np.linspace(0, 1, 33), 2.0**-20
# Some machine epsilons, and what is left of numbers that are smaller than floats.
_ROUNDING, _TINY = 2.0**-44, np.finfo(np.float64).tiny
_MOST = np.int64(2**63 - 1)
# Where, and for how many rows, columns are looked at for whether they do the same in all.
_SHARED_AT, _SHARED_ROWS = np.linspace(0, 1, 5), 3
# Where a segment is asked once more.
_ASKED_AGAIN = 0.618


def by_thresholds(model: Model, starts: np.ndarray, ends: np.ndarray, level: float) -> Segments | None:
    """What a model of trees says along segments, exactly; None for a model that is more than trees.

    Args:
        model: it.
        starts, ends: ``(n, columns)``.
        level: of the confidence from which on it is sure.

    Returns:
        Segments; what is said of those that are not `exact` stands for nothing.
    """
    compared = Comparisons.of(model, starts[:2])
    if compared is None:
        return None
    breaks = _Breaks.of(compared, _Lines.of(starts, ends))
    parts = [_asked(model, breaks, some, level) for some in breaks.blocks(at_once(model, starts.shape[1]))]
    return Segments.joined(parts)


def thresholds_met(model: Model, starts: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """How often a model of trees is asked along segments, ``(n,)``, about; None for a model that is more than trees.

    It is one more than the thresholds that each of them meets, so that a caller can choose fewer segments where it is many.
    """
    compared = Comparisons.of(model, starts[:2])
    if compared is None:
        return None
    return 1 + np.bincount(compared.met(starts, ends)[0], minlength=len(starts))


@dataclass(frozen=True, eq=False)
class _Lines:
    """Segments with places on them: the values of the column that moves, or t where it is not one.

    Attributes:
        starts, ends: ``(n, columns)``.
        column: the one that moves, ``(n,)``; -1 where none does, or several.
        first, last: places of the ends, ``(n,)``.
    """

    starts: np.ndarray
    ends: np.ndarray
    column: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, ends: np.ndarray) -> "_Lines":
        moves = ~((starts == ends) | np.isnan(starts))
        column = np.where(moves.sum(1) == 1, moves.argmax(1), -1)
        row = np.arange(len(starts))
        first, last = (np.where(column >= 0, rows[row, column], t) for rows, t in ((starts, 0.0), (ends, 1.0)))
        return cls(starts, ends, column, first, last)

    @classmethod
    def joined(cls, parts: "list[_Lines]") -> "_Lines":
        """Several, one after another."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(cls)))

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, some: np.ndarray) -> "_Lines":
        """Some of them."""
        return _Lines(self.starts[some], self.ends[some], self.column[some], self.first[some], self.last[some])

    def at(self, lines: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Points of some lines, one place each, ``(n, columns)``."""
        rows, column = self.starts[lines], self.column[lines]
        one = np.flatnonzero(column >= 0)
        rows[one, column[one]] = places[one]
        more = np.flatnonzero(column < 0)
        if len(more):
            ends, t = self.ends[lines[more]], places[more, None]
            rows[more] = np.where(t == 1, ends, rows[more] + t * (ends - rows[more]))
        return rows

    def t(self, lines: np.ndarray, places: np.ndarray) -> np.ndarray:
        """How far along some lines places are, from 0 to 1."""
        first, last = self.first[lines], self.last[lines]
        # In halves, as the way may be longer than the largest float.
        way = last / 2 - first / 2
        return np.clip(np.where(way == 0, 0.0, (places / 2 - first / 2) / np.where(way == 0, 1.0, way)), 0.0, 1.0)

    def between(self, lines: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Places of some lines at t."""
        first, last = self.first[lines], self.last[lines]
        return np.where(t == 1, last, (1 - t) * first + t * last)


@dataclass(frozen=True, eq=False)
class _Breaks:
    """Where comparisons turn along lines.

    Attributes:
        lines: they.
        places: of each line the last floats before comparisons turn, upwards, ascending; line by line.
        begins: where those of a line begin, and, behind, where those of the next one do, ``(n + 1,)``.
        known: for which lines they are known, ``(n,)``.
    """

    lines: _Lines
    places: np.ndarray
    begins: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, compared: Comparisons, lines: _Lines) -> "_Breaks":
        shared, group = _shared(compared, lines)
        line, threshold = compared.met(lines.starts, lines.ends)
        # Lines that stand for others meet what any of these meets.
        count = max(1, compared.begins[-1])
        pairs, own = np.unique(group[line] * count + threshold, return_inverse=True)
        place = _turns(compared, shared, *np.divmod(pairs, count))[own]
        order = np.lexsort((place, line))
        line, place = line[order], place[order]
        new = np.ones(len(line), dtype=bool)
        new[1:] = (line[1:] != line[:-1]) | (place[1:] != place[:-1])
        line, place = line[new], place[new]
        known = _straight(compared, shared)[group] & _moves_straight(compared.model, lines)
        return cls(lines, place, np.searchsorted(line, np.arange(len(lines) + 1)), known)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Lines in blocks, of about so many points that are compared."""
        points = self.begins + 3 * np.arange(len(self.begins))
        begin = 0
        while begin < len(self.lines):
            end = max(begin + 1, int(np.searchsorted(points, points[begin] + size, "right")) - 1)
            yield np.arange(begin, end)
            begin = end


def _asked(model: Model, breaks: _Breaks, some: np.ndarray, level: float) -> Segments:
    """What a model says along some lines, that follow one another."""
    lines, counts = breaks.lines, np.diff(breaks.begins)[some]
    begins = np.cumsum([0, *(counts + 1)])
    which, count = np.repeat(some, counts + 1), np.repeat(counts, counts + 1)
    number = np.arange(len(which)) - np.repeat(begins[:-1], counts + 1)
    up, own = (lines.first < lines.last)[which], breaks.begins[which]
    entered, left = lines.first[which], lines.last[which]
    # Upwards a place where a comparison turns is the last one of a stretch, downwards the first one of the next.
    later, turned = np.flatnonzero(number > 0), np.flatnonzero(number < count)
    place = breaks.places[(own + np.where(up, number - 1, count - number))[later]]
    entered[later] = np.where(up[later], np.nextafter(place, np.inf), place)
    place = breaks.places[(own + np.where(up, number, count - number - 1))[turned]]
    left[turned] = np.where(up[turned], place, np.nextafter(place, np.inf))
    # In halves, as the sum may be larger than the largest float, and inside, as halves of the smallest are none.
    middle = np.clip(entered / 2 + left / 2, np.minimum(entered, left), np.maximum(entered, left))
    again = lines.between(some, np.full(len(some), _ASKED_AGAIN))
    points = np.concatenate([which, some, some, some])
    places = np.concatenate([middle, lines.first[some], again, lines.last[some]])
    probs = mean_probabilities(model, lines.at(points, places))
    said, checks = probs[: len(which)], probs[len(which) :].reshape(3, len(some), -1)
    stretches = Stretches(begins[:-1], lines.t(which, entered), lines.t(which, middle), said)
    # Both ends, and a place in between, are to say what their stretches do.
    passed = np.where(up, left < again[which - some[0]], left > again[which - some[0]])
    inside = begins[:-1] + np.minimum(np.add.reduceat(passed, begins[:-1]), counts)
    expected = np.stack([said[begins[:-1]], said[inside], said[begins[1:] - 1]])
    return stretches.summed_up(level, breaks.known[some] & (np.abs(checks - expected) <= SAME).all((0, 2)))


def _moves_straight(model: Model, lines: _Lines) -> np.ndarray:
    """Whether the steps of a model are known to take lines to straight lines."""
    if model.steps is None:
        return np.ones(len(lines), dtype=bool)
    bent = np.array([column.moves is not Moves.AFFINE for column in model.steps.columns])
    return ~(((lines.starts != lines.ends) & ~np.isnan(lines.starts)) & bent).any(1)


def _shared(compared: Comparisons, lines: _Lines) -> tuple[_Lines, np.ndarray]:
    """Lines that stand for others of the same column, as long as all of these together, and which one stands for each line.

    Where the part of a column in what the trees take is another in other rows, each line stands for itself. So do rows with
    gaps, which steps may fill by what moves.
    """
    group = np.full(len(lines), -1)
    own = np.isnan(lines.starts).any(1) & (compared.model.steps is not None)
    kept = []
    for column in np.unique(lines.column[lines.column >= 0]):
        some = np.flatnonzero((lines.column == column) & ~own)
        if len(some) < 2:
            continue
        starts = lines.starts[some[np.unique(np.linspace(0, len(some) - 1, _SHARED_ROWS).astype(np.intp))]]
        ends = starts.copy()
        starts[:, column] = min(lines.first[some].min(), lines.last[some].min())
        ends[:, column] = max(lines.first[some].max(), lines.last[some].max())
        whole = _Lines.of(starts, ends)
        if _alike(compared, whole):
            group[some] = len(kept)
            kept.append(whole.take(np.arange(1)))
    own = np.flatnonzero(group < 0)
    group[own] = len(kept) + np.arange(len(own))
    return _Lines.joined([*kept, lines.take(own)]), group


def _alike(compared: Comparisons, lines: _Lines) -> bool:
    """Whether what is compared changes in the same way along some lines, to the last bit."""
    which = np.repeat(np.arange(len(lines)), len(_SHARED_AT))
    places = lines.between(which, np.tile(_SHARED_AT, len(lines)))
    numbers = compared.at(lines.at(which, places)).reshape(len(lines), len(_SHARED_AT), -1)
    moves = (numbers != numbers[:, :1]).any((0, 1))
    return bool((numbers == numbers[:1])[..., moves].all())


def _straight(compared: Comparisons, lines: _Lines) -> np.ndarray:
    """Whether what is compared is straight along lines, wherever it is looked at, ``(n,)``."""
    straight = np.ones(len(lines), dtype=bool)
    rows = max(1, at_once(compared.model, lines.starts.shape[1]) // len(_LOOKED_AT))
    for begin in range(0, len(lines), rows):
        some = np.arange(begin, min(begin + rows, len(lines)))
        which, t = np.repeat(some, len(_LOOKED_AT)), np.tile(_LOOKED_AT, len(some))
        numbers = compared.at(lines.at(which, lines.between(which, t))).reshape(len(some), len(_LOOKED_AT), -1)
        first, last = numbers[:, :1], numbers[:, -1:]
        off = np.abs(numbers - ((1 - _LOOKED_AT[:, None]) * first + _LOOKED_AT[:, None] * last))
        # Numbers may be small sums of large ones.
        size = np.nanmax(np.abs(numbers), axis=(1, 2), keepdims=True, initial=0.0)
        allowed = _OFF * np.abs(last - first) + _ROUNDING * size + _TINY
        # A gap that stays one is as straight as can be.
        straight[some] = ((off <= allowed) | np.isnan(numbers).all(1, keepdims=True)).all((1, 2))
    return straight


def _turns(compared: Comparisons, lines: _Lines, line: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Places of some lines up to which a comparison with a threshold turns out as at the lower end, ``(turns,)``."""
    every, places = np.arange(len(lines)), np.empty(len(line))
    low, high = np.minimum(lines.first, lines.last), np.maximum(lines.first, lines.last)
    first, last = (compared.at(lines.at(every, at)) for at in (low, high))
    number = np.searchsorted(compared.begins, threshold, "right") - 1
    size = at_once(compared.model, lines.starts.shape[1])
    for j in np.unique(number):
        own = np.flatnonzero(number == j)
        for some in np.array_split(own, -(-len(own) // size)):
            at, wanted = line[some], compared.thresholds[j][threshold[some] - compared.begins[j]]
            places[some] = _turn(compared, lines, at, j, wanted, _Ends(low[at], high[at], first[at, j], last[at, j]))
    return places


class _Ends(NamedTuple):
    """Places of the ends of some lines, and a number that is compared there, ``(turns,)`` each."""

    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    last: np.ndarray


def _turn(compared: Comparisons, lines: _Lines, line: np.ndarray, j: int, wanted: np.ndarray, ends: _Ends) -> np.ndarray:
    """The last place on each line, upwards, at which a number is on the same side of its threshold as at the lower end."""
    low, high = ends.low.copy(), ends.high.copy()
    left = ends.first <= wanted

    def narrow(some: np.ndarray, places: np.ndarray) -> None:
        numbers = compared.at(lines.at(line[some], places))[:, j]
        same = (numbers <= wanted[some]) == left[some]
        low[some] = np.where(same, places, low[some])
        high[some] = np.where(same, high[some], places)

    with np.errstate(all="ignore"):
        share = (wanted - ends.first) / (ends.last - ends.first)
        guess = np.where((ends.first == low) & (ends.last == high), wanted, (1 - share) * low + share * high)
        about = _ROUNDING * (np.abs(guess) + np.abs(low) + np.abs(high))
    for near in (guess, np.nextafter(guess, np.inf), guess - about, guess + about):
        some = np.flatnonzero((near > low) & (near < high))
        if len(some):
            narrow(some, near[some])
    while len(some := np.flatnonzero(np.nextafter(low, np.inf) < high)):
        narrow(some, _middle(low[some], high[some]))
    return low


def _middle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Floats in the middle between others, counted as floats are."""
    a, b = (np.where(i >= 0, i, -(i & _MOST)) for i in (low.view(np.int64), high.view(np.int64)))
    middle = (a & b) + ((a ^ b) >> 1)
    return np.where(middle >= 0, middle, -middle | np.int64(-(2**63))).view(np.float64)
