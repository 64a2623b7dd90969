"""Rays in a table as rays in what the networks behind its steps take.

A ray that moves columns which all stay straight is one behind the steps too. A column that ends at a constant is put where it
has ended, and moves no more. One that grows without end but not in a straight line, and is alone, takes the numbers along a
straight line at a pace of its own: the limit is that of the line, and a radius comes back by the inverse of the pace. What is
known of columns is tried on each ray for which it could be otherwise; where it is, the ray is probed by itself.
"""

from dataclasses import dataclass

import numpy as np

from knowlimits.model import probing
from knowlimits.model.moves import RANKS, Moves, Sides, allowance
from knowlimits.model.probing import Function

# Where rays are tried, in units beyond the point from which on they are straight.
_TRIED = np.array([0, 1, 2.0**10, 2.0**20])
# Farther out, where there are gaps: what fills them by neighbours loses distances to rounding there.
_TRIED_GAPS = np.array([*_TRIED, 2.0**24, 2.0**30, 1.3 * 2.0**35, 2.0**40, 2.0**50])
# Where those are tried that have a pace, in parts of how far it has been followed.
_TRIED_PACES = np.array([2.0**-8, 2.0**-6, 2.0**-4, 2.0**-2, 1])
# Some machine epsilons.
_LATER = 2.0**-50
# Where paces are looked for before they are narrowed down, first as far as they have been followed.
_PACES = np.concatenate([[0], 2.0 ** np.arange(-160, 1, 10.0)]), 2.0 ** np.arange(0, 901, 20.0)


@dataclass(frozen=True, eq=False)
class Lines:
    """Rays in a table, and the steps that they go through.

    Attributes:
        function: the steps, of rows ``(n, columns)``.
        starts, directions: ``(n, columns)``.
        lengths: ``(n,)``: the `a` after which the fastest column has moved by its unit.
        steps: what the steps are called.
    """

    function: Function
    starts: np.ndarray
    directions: np.ndarray
    lengths: np.ndarray
    steps: str

    @classmethod
    def of(cls, function: Function, starts: np.ndarray, directions: np.ndarray, units: np.ndarray, steps: str) -> "Lines":
        """Rays in a table whose columns have these units."""
        fastest = (np.abs(directions) / units).max(1)
        return cls(function, starts, directions, 1 / np.where(fastest > 0, fastest, 1), steps)

    def at(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Numbers behind the steps at some `a` ``(rows, points)`` of some rays, ``(rows, points, numbers)``."""
        return probing.on_lines(self.function, self.starts[rows], self.directions[rows], points, sides=False)


@dataclass(frozen=True, eq=False)
class Along:
    """Rays in a table as rays in what the networks take.

    Attributes:
        starts, directions: ``(n, numbers)``: the ray that the original tends to.
        straight: ``(n,)``: whether the original is that ray from some point on, in the same unit.
        settled: ``(n,)``: from which `a` on, in the original's unit.
        reach: ``(n,)``: up to which `a` those that are not have been followed.
        lines: the originals.
    """

    starts: np.ndarray
    directions: np.ndarray
    straight: np.ndarray
    settled: np.ndarray
    reach: np.ndarray
    lines: Lines

    def radius(self, inner: np.ndarray) -> np.ndarray:
        """Radii ``(members, n)`` of these rays as radii of the original ones; inf and nan are kept."""
        found = np.array(inner, dtype=np.float64)
        places = np.nonzero(~self.straight & np.isfinite(found))
        if len(places[0]):
            found[places] = self._reached(places[-1], found[places])
        return np.maximum(found, self.settled)

    def pace(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Where on their lines some rays are at some `a`, ``(rows, points)``."""
        lead = np.abs(self.directions[rows]).argmax(1)[:, None, None]
        values = np.take_along_axis(self.lines.at(rows, points), lead, 2)[..., 0]
        start, way = (np.take_along_axis(each[rows], lead[..., 0], 1) for each in (self.starts, self.directions))
        with np.errstate(all="ignore"):
            return (values - start) / way

    def _reached(self, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """From which `a` on some rays are at least so far along their lines; inf where floats end before."""
        reached = np.full(len(rows), np.inf)
        open_ = np.arange(len(rows))
        for parts in _PACES:
            some, target = rows[open_], wanted[open_, None]
            points = self.reach[some, None] * parts

            def beyond(points: np.ndarray, some: np.ndarray = some, target: np.ndarray = target) -> np.ndarray:
                # Where numbers pass the largest float it is beyond.
                return ~(self.pace(some, points) < target)

            good = beyond(points)
            last = np.where(good.all(1), -1, good.shape[1] - 1 - np.argmin(good[:, ::-1], 1))
            inside = np.flatnonzero((last >= 0) & (last < len(parts) - 1))
            if len(inside):
                near = points[inside, last[inside]], points[inside, last[inside] + 1]
                some, target = some[inside], target[inside]
                reached[open_[inside]] = probing.narrowed(lambda at, s=some, t=target: beyond(at, s, t), *near)
            reached[open_[last < 0]] = points[last < 0, 0]
            open_ = open_[last == len(parts) - 1]
            if not len(open_):
                break
        return reached


def rays(transform: Function, sides: Sides, units: np.ndarray, lines: Lines) -> Along:
    """Rays behind steps.

    Args:
        transform: the steps, with the warnings that they give.
        sides: what is known of the columns; those that are held do not move.
        units: of the columns.
        lines: the rays.

    Raises:
        ValueError: if a ray ends in no straight line.
    """
    starts, directions = lines.starts, lines.directions
    up = directions > 0
    at = up.astype(np.intp), np.arange(len(units))
    ranks = np.where(directions != 0, sides.ranks[at], 0)
    bent, endless = ranks == RANKS.index(Moves.SATURATING), ranks == RANKS.index(Moves.ENDLESS)
    grows = endless.any(1)
    gaps = np.isnan(starts).any(1)
    special = bent.any(1) | grows | gaps
    settled = np.zeros(len(starts))
    if not special.any():
        return Along(transform(starts), directions @ sides.slopes[1], ~grows, settled, settled, lines)

    def by_slopes(shifts: np.ndarray) -> np.ndarray:
        return np.where(up, shifts, 0) @ sides.slopes[1] + np.where(up, 0, shifts) @ sides.slopes[0]

    mixed = grows & ((endless.sum(1) > 1) | (by_slopes(np.where(endless, 0, directions)) != 0).any(1))
    if mixed.any():
        raise ValueError(
            "directions must move one column at a time where it grows without end, but not in a straight line: others go at "
            f"another pace. Got several in row {int(mixed.argmax())}, through {lines.steps}."
        )
    beyond = np.where(up, np.maximum(starts, sides.thresholds[at]), np.minimum(starts, sides.thresholds[at]))
    ends = np.where(bent, beyond, starts)
    with np.errstate(over="ignore"):
        # A little later, as what is rounded must not lie before the end.
        later = (ends - starts) + np.where(up, _LATER, -_LATER) * (np.abs(ends) + np.abs(starts))
        settled = np.where(bent & (ends != starts), later / np.where(bent, directions, 1), 0).max(1)
    # At the end itself numbers may still be off by rounding, of which what jumps there makes a difference.
    inside = ends + np.where(bent, np.where(up, units, -units), 0)
    found = transform(inside) - by_slopes(np.where(bent, inside - starts, 0))
    # A gap that comes out of the steps stays one.
    slopes = np.where(np.isnan(found), 0.0, by_slopes(directions))
    reach = np.where(endless, sides.reach[at] / np.where(endless, np.abs(directions), 1), 0).max(1)
    along = Along(found, slopes, ~grows, settled, reach, lines)
    for some, points in ((special & ~grows & ~gaps, _TRIED), (gaps & ~grows, _TRIED_GAPS)):
        if some.any() and len(wrong := _apart(along, np.flatnonzero(some), sides, points)):
            along = _by_themselves(along, wrong)
    if grows.any():
        _check_paces(along, np.flatnonzero(grows), sides)
    return along


def _apart(along: Along, rows: np.ndarray, sides: Sides, points: np.ndarray) -> np.ndarray:
    """Those of some rays that are not where they should be."""
    lines = along.lines
    points = along.settled[rows, None] + points * lines.lengths[rows, None]
    gone = points[..., None] * along.directions[rows, None]
    apart = _without_gaps(np.abs(lines.at(rows, points) - along.starts[rows, None] - gone), along.starts[rows, None])
    allowed = [allowance(sides, lines.starts[rows], lines.directions[rows] * each[:, None]) for each in points.T]
    return rows[~(apart <= np.stack(allowed, 1)).all((1, 2))]


def _by_themselves(along: Along, rows: np.ndarray) -> Along:
    """The same, with some rays probed by themselves."""
    lines, lengths = along.lines, along.lines.lengths[rows]
    ways, points = lines.directions[rows] * lengths[:, None], probing.grid(False)
    values = probing.on_lines(lines.function, lines.starts[rows], ways, points)
    own = probing.settle(lines.function, lines.starts[rows], ways, points, values)
    # What fills a gap by neighbours changes until all distances are lost to rounding: what is constant then is no limit.
    good = own.found & ((own.thresholds <= 0) | ~np.isnan(lines.starts[rows]).any(1))
    if not good.all():
        raise _no_line(int(rows[good.argmin()]), lines.steps)
    starts, directions, settled = along.starts.copy(), along.directions.copy(), along.settled.copy()
    starts[rows], directions[rows] = own.offsets, own.slopes / lengths[:, None]
    settled[rows] = np.maximum(own.thresholds, 0) * lengths * (1 + _LATER)
    return Along(starts, directions, along.straight, settled, along.reach, lines)


def _check_paces(along: Along, rows: np.ndarray, sides: Sides) -> None:
    """Refuse rays that leave the line on which they should go at a pace of their own."""
    points = along.settled[rows, None] + along.reach[rows, None] * _TRIED_PACES
    starts = along.starts[rows, None]
    gone = _without_gaps(along.lines.at(rows, points) - starts, starts)
    ways = along.directions[rows]
    lead = np.abs(ways).argmax(1)[:, None]
    with np.errstate(all="ignore"):
        paces = np.take_along_axis(gone, lead[..., None], 2)[..., 0] / np.take_along_axis(ways, lead, 1)
        line = paces[..., None] * ways[:, None]
        apart = np.abs(gone - line)
    # Powers may pass the largest float.
    known = np.isfinite(paces)
    on_line = ((apart <= 2.0**-30 * np.abs(line) + 64 * sides.rounding) | ~known[..., None]).all((1, 2))
    grows = (~(np.diff(paces, axis=1) <= 0)).all(1)
    good = on_line & grows & known[:, :3].all(1)
    if not good.all():
        raise _no_line(int(rows[good.argmin()]), along.lines.steps)


def _without_gaps(gone: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Differences from where rays start, ``(rows, points, numbers)``; 0 between gaps, and nan where one comes or goes."""
    lost = np.isnan(starts)
    return np.where(lost & np.isnan(gone), 0.0, gone)


def _no_line(row: int, steps: str) -> ValueError:
    return ValueError(
        "directions must take the numbers behind the steps along a line that is straight in the end. Got a ray in row "
        f"{row} that bends on without end, through {steps}: move fewer columns at a time, or fill the row's gaps first."
    )
