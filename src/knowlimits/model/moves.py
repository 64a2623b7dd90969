"""How the numbers behind fitted steps follow each column of a table, moved alone from rows of it, and moved with the others."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from knowlimits.model import probing
from knowlimits.model.probing import Function

# How far from a value its neighbours are, in units of the column.
_BESIDE = 2.0**-20
# Which part of all that a column does near the data is a jump.
_JUMP = 2.0**-8
# Points that tell growth without end from a slow approach to a constant: in equal steps of the logarithm.
_GROWTH = 2.0 ** np.array([20.0, 40, 60, 80, 100])
# Nearer ones, for large powers, which soon pass the largest float.
_SOON = 2.0 ** np.array([[4.0, 8, 12, 16, 20], [2, 4, 6, 8, 10]])
# Far points of functions that are as slow as x to the power of -0.1.
_SLOW = np.array([1.7 * 2.0**850, 1.37 * 2.0**880, 1.83 * 2.0**890, 2.0**900])
# How far columns are moved together, in units.
_TOGETHER = 2.0 ** np.array([1.0, 10, 20])


class Moves(StrEnum):
    """How the numbers behind the steps follow a column without bound.

    Those of a saturating column follow it in a straight line too, but only from some point on, or in one that hangs on other
    columns; mostly they are constant then.
    """

    AFFINE = "in a straight line"
    SATURATING = "ends at a constant"
    ENDLESS = "grows without end, but not in a straight line"
    HELD = "held"


# From harmless to worst: places in it are ranks.
RANKS = tuple(Moves)
_AFFINE, _SATURATING, _ENDLESS, _HELD = range(len(RANKS))


@dataclass(frozen=True, eq=False)
class Sides:
    """What is known of the columns, first towards minus infinity, then towards infinity.

    Attributes:
        ranks: ``(2, columns)``, places in `RANKS`.
        slopes: ``(2, columns, numbers)``, per unit of the column upwards; of endless columns the direction, of any length.
        thresholds: ``(2, columns)``, values of the column beyond which it is straight.
        reach: ``(2, columns)``, how far endless columns have been followed.
        noise: ``(2, columns, numbers)``: rounding errors, as slopes.
        rounding: ``(numbers,)``: rounding errors near the data.
    """

    ranks: np.ndarray
    slopes: np.ndarray
    thresholds: np.ndarray
    reach: np.ndarray
    noise: np.ndarray
    rounding: np.ndarray


def moved(function: Function, bases: np.ndarray, units: np.ndarray, places: np.ndarray, samples: list[np.ndarray]) -> Sides:
    """What the columns do.

    Args:
        function: the steps, of rows ``(n, columns)``.
        bases: rows from which columns are moved, ``(bases, columns)``.
        units: of the columns.
        places: of the columns that have numbers; others are held.
        samples: some values of each column.
    """
    near = function(bases)
    shape = (2, bases.shape[1])
    ranks, thresholds = np.full(shape, _HELD), np.zeros(shape)
    slopes, noise = np.zeros((*shape, near.shape[1])), np.zeros((*shape, near.shape[1]))
    rounding = probing.precision(near) * np.abs(near).max(0)
    reach = np.tile(_GROWTH[-1] * units, (2, 1))
    some = np.arange(len(places))
    # A second time nearer those whose numbers pass the largest float, or float32, far away.
    for far in (probing.FAR, probing.FAR_FLOAT32):
        if not len(some):
            break
        at = places[some]
        directions = np.zeros((len(some), len(units)))
        directions[np.arange(len(some)), at] = units[at]
        starts = np.repeat(bases[:1], len(some), 0)
        alone = _alone(function, starts, directions, probing.grid(True, far), [samples[k] for k in at])
        ranks[:, at] = alone.ranks
        slopes[:, at], noise[:, at] = alone.slopes / units[at, None], alone.noise / units[at, None]
        thresholds[:, at] = bases[0, at] + alone.thresholds * units[at]
        rounding = np.maximum(rounding, alone.rounding)
        some = some[alone.lost]
    for growth in _SOON:
        for side, sign in enumerate((-1, 1)):
            at = places[some][ranks[side, places[some]] == _HELD]
            if len(at):
                directions = sign * units[at, None] * np.eye(len(units))[at]
                ways = _growth(function, np.repeat(bases[:1], len(at), 0), directions, growth)
                at, ways = at[np.isfinite(ways).all(1)], ways[np.isfinite(ways).all(1)]
                ranks[side, at], slopes[side, at], reach[side, at] = _ENDLESS, sign * ways, growth[-1] * units[at]
    sides = Sides(ranks, slopes, thresholds, reach, noise, rounding)
    width = max(map(len, samples), default=0)
    rows = np.concatenate([bases, np.stack([np.resize(one, width) for one in samples], 1)])
    found = _apart(function, rows, units, sides)
    at = np.flatnonzero((found != ranks).any(0))
    if len(at):
        # Codes that the row to move from has none of.
        lines = np.repeat(bases[:1], len(at), 0), units[at, None] * np.eye(len(units))[at]
        values = probing.on_lines(function, *lines, probing.grid(True))
        found[:, at[_codes(function, *lines, [samples[k] for k in at], values)]] = _HELD
    return dataclasses.replace(sides, ranks=found)


@dataclass(frozen=True, eq=False)
class _Alone:
    """Some columns moved from one row, in their units: what `Sides` has, and whether numbers far away were not finite."""

    ranks: np.ndarray
    slopes: np.ndarray
    thresholds: np.ndarray
    noise: np.ndarray
    rounding: np.ndarray
    lost: np.ndarray


def _alone(
    function: Function, starts: np.ndarray, directions: np.ndarray, points: np.ndarray, samples: list[np.ndarray]
) -> _Alone:
    values = probing.on_lines(function, starts, directions, points)
    line = probing.straight(starts, directions, points, values)
    ranks = np.tile(np.where(line.whole, _AFFINE, _HELD), (2, 1))
    slopes, noise = (np.tile(np.where(line.whole[:, None], both, 0), (2, 1, 1)) for both in (line.slopes, line.noise))
    thresholds = np.tile([[np.inf], [-np.inf]], len(starts))
    rounding = probing.precision(values) * probing.sizes(points, values)
    bent = np.flatnonzero(~line.whole & line.finite.any(1))
    if len(bent):
        bent = bent[~_codes(function, starts[bent], directions[bent], [samples[k] for k in bent], values[bent])]
    for side, sign in enumerate((-1, 1)):
        some = bent[line.finite[bent, side]]
        if not len(some):
            continue
        ways = starts[some], sign * directions[some]
        settled = probing.settle(function, *ways, points, values[some][:, ::sign])
        ranks[side, some] = np.where(settled.found, _SATURATING, _HELD)
        slopes[side, some], noise[side, some] = sign * settled.slopes, settled.noise
        thresholds[side, some] = sign * settled.thresholds
        if len(more := np.flatnonzero(~settled.found)):
            kinds, ends, growth = _later(function, ways[0][more], ways[1][more])
            ranks[side, some[more]] = kinds
            slopes[side, some[more]], noise[side, some[more]] = sign * growth, 0
            thresholds[side, some[more]] = sign * ends
    lost: np.ndarray = np.logical_not(np.all(line.finite, 1))
    return _Alone(ranks, slopes, thresholds, noise, rounding, lost)


def _later(function: Function, starts: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines that do not settle where others do: their ranks, thresholds and directions."""
    points = probing.grid(False, _SLOW)
    slow = probing.settle(function, starts, directions, points, probing.on_lines(function, starts, directions, points))
    constant = slow.found & (slow.slopes == 0).all(1)
    ways = _growth(function, starts, directions, _GROWTH)
    grows = ~constant & np.isfinite(ways).all(1)
    ranks = np.where(constant, _SATURATING, np.where(grows, _ENDLESS, _HELD))
    return ranks, np.where(constant, slow.thresholds, 0), np.where(grows[:, None], ways, 0)


def _growth(function: Function, starts: np.ndarray, directions: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The direction in which values go along lines that grow without end, ``(lines, outputs)``; nan if there is not one.

    Args:
        function, starts, directions: as those of `knowlimits.model.probing.on_lines`.
        far: points in equal steps of the logarithm.
    """
    near = probing.grid(False)
    points = np.unique(np.concatenate([near[near < far[-1]], far]))
    values = probing.on_lines(function, starts, directions, points)
    with np.errstate(all="ignore"):
        gone = values - values[:, :1]
        last = gone[:, -1]
        lead = np.abs(last).argmax(1)[:, None]
        ways = last / np.abs(np.take_along_axis(last, lead, 1))
        ways[np.abs(ways) < 2.0**-44] = 0
        # Less than 0 where they first go the other way.
        length = np.take_along_axis(gone * np.sign(ways)[:, None], lead[:, None], 2)
        apart = np.abs(gone - length * ways[:, None])
        rounding = 2.0**6 * probing.precision(values) * probing.sizes(points, values)
        one_line = np.all(apart <= 2.0**-36 * np.abs(length) + rounding, (1, 2))
        paces = np.diff(length[:, np.searchsorted(points, far), 0], axis=1)
        grows = np.all(paces > 0, 1) & np.all(paces[:, 1:] >= (1 - 2.0**-16) * paces[:, :-1], 1)
    return np.where((one_line & grows)[:, None], ways, np.nan)


def _codes(
    function: Function, starts: np.ndarray, directions: np.ndarray, samples: list[np.ndarray], values: np.ndarray
) -> np.ndarray:
    """Whether columns are codes: one of their values is unlike its neighbours, and these are like all that is far away."""
    zero = values.shape[1] // 2
    units, places = directions.max(1), directions.argmax(1)
    width = max(map(len, samples))
    at = np.stack([np.resize(one, width) for one in samples])
    points = (at - starts[np.arange(len(starts)), places][:, None]) / units[:, None]
    with np.errstate(all="ignore"):
        here, below, above = (
            probing.on_lines(function, starts, directions, points + shift) for shift in (0.0, -_BESIDE, _BESIDE)
        )
        near = values[:, zero - 4 : zero + 5]
        near = np.where(np.isfinite(near), near, values[:, zero, None])
        slight = _JUMP * np.maximum(np.ptp(near, 1), np.ptp(here, 1))[:, None]
        unlike = ((np.abs(here - below) > slight) & (np.abs(here - above) > slight)).any(2)
        others = (below, above, values[:, :1], values[:, -1:])
        alike = np.all([np.abs(one - below) <= slight for one in np.broadcast_arrays(*others)[1:]], (0, 3))
    return (unlike & alike).any(1)


def _apart(function: Function, rows: np.ndarray, units: np.ndarray, sides: Sides) -> np.ndarray:
    """Ranks; columns that are straight from one row, but not from each or not together, must be tried on each ray."""
    ranks = sides.ranks.copy()
    straight = (ranks == _AFFINE).all(0)
    if straight.any() and not _together(function, rows, units, sides, straight):
        each = np.eye(len(units), dtype=bool)
        alone = [j for j in np.flatnonzero(straight) if not _together(function, rows, units, sides, each[j])]
        ranks[:, alone or straight] = _SATURATING
    return ranks


def _together(function: Function, rows: np.ndarray, units: np.ndarray, sides: Sides, chosen: np.ndarray) -> bool:
    """Whether columns move the numbers in straight lines from all rows, and from rows whose saturating columns are far away."""
    random = np.random.default_rng(1)
    bent = (sides.ranks == _SATURATING).any(0) & (sides.ranks <= _SATURATING).all(0)
    if bent.any():
        rows = np.concatenate([rows, rows + np.where(bent, random.choice([-1.0, 1.0], rows.shape) * 2.0**20 * units, 0)])
    origins = np.repeat(rows, len(_TOGETHER), 0)
    lengths = np.tile(_TOGETHER, len(rows))[:, None]
    signed = random.choice([-1.0, 1.0], origins.shape) * random.uniform(0.5, 1, origins.shape)
    ends = origins + np.where(chosen, signed * lengths * units, 0)
    try:
        found = function(np.concatenate([origins, ends]))
    except Exception:
        # Whatever a person's steps raise about rows.
        return False
    gone, ways = found[len(origins) :] - found[: len(origins)], ends - origins
    return bool((np.abs(gone - ways @ sides.slopes[1]) <= allowance(sides, origins, ways)).all())


def allowance(sides: Sides, origins: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Rounding errors of numbers behind the steps where columns have gone some way from origins, ``(n, numbers)``."""
    # What cancels inside the steps leaves rounding errors where there is no slope.
    noise = np.maximum(sides.noise, 2.0**-50 * np.abs(sides.slopes).max(2, keepdims=True)).max(0)
    return 8 * (np.abs(ways) + np.abs(np.nan_to_num(origins))) @ noise + 16 * sides.rounding
