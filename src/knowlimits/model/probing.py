"""What becomes of a function along lines, found by calling it: where it ends in straight lines, and from which point on.

A function of rows is looked at on lines ``x + t d``, at points that grow from fractions of a unit to 2^100 units. Its outputs
may *settle*: be ``slope * t + offset`` for every t from a threshold on, to rounding, where a slope of 0 is a constant. Points
far away give the slope, since there all else is small. How much they differ among each other, with mantissas that differ, gives
the rounding error of the function itself: what is no more than this error beside the other outputs has slope 0 exactly, as a
rate of 1e-17 where there is none would ruin a limit. The threshold is narrowed down to neighbouring floats.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

_NEAR = np.array([2.0**-5, 1, 2.7, 17.6, 1.9 * 2.0**10, 1.3 * 2.0**20, 1.1 * 2.0**32, 1.6 * 2.0**45])
# Powers of two come last: their products have no rounding errors.
FAR = np.array([1.7 * 2.0**80, 1.37 * 2.0**92, 1.83 * 2.0**96, 2.0**100])
# The same for functions that work in float32, whose range is smaller.
FAR_FLOAT32 = np.array([1.7 * 2.0**46, 1.37 * 2.0**52, 1.83 * 2.0**56, 2.0**60])
# Points nearer than that show how large outputs are near the start.
_CLOSE = 2
# So many times their rounding error slopes must be to be told from 0.
_CLEAR = 2.0**8
# Beyond it a line's offset, or a wave about it, is lost to rounding.
_LATEST_LINE = 2.0**36
# Points beyond a threshold, in units and in parts of it, where rounding hides least.
_BEYOND = np.array([0.0, 0.11, 0.37, 0.93, 1.7, 3.1, 7.3])
# So many times their rounding errors points may be apart beyond a threshold.
_SLACK = 16
# Points of the grid that are tried for a line to be straight from, from far to near.
_CANDIDATES = 6
# Points of a bracket in one call.
_SECTIONS = 16


def grid(whole: bool, far: np.ndarray = FAR) -> np.ndarray:
    """Points of a line, ascending from 0, or from minus infinity, to infinity."""
    side = np.concatenate([_NEAR[far[0] > _NEAR], far])
    return np.concatenate([-side[::-1] if whole else [], [0.0], side])


def on_lines(
    function: Function, starts: np.ndarray, directions: np.ndarray, points: np.ndarray, sides: bool = True
) -> np.ndarray:
    """Values ``(lines, points, outputs)``, nan where there are none.

    A function may raise an error for rows that it has no value for, which says nothing of the others: they are asked again.

    Args:
        function: of rows ``(n, columns)``.
        starts, directions: of the lines, ``(lines, columns)``.
        points: ascending, the same for all lines, or ``(lines, points)``.
        sides: ask again for a whole side of a line; without it for each point.
    """
    points = np.broadcast_to(points, (len(starts), points.shape[-1]))
    rows = starts[:, None] + points[..., None] * directions[:, None]
    try:
        return function(rows.reshape(-1, rows.shape[-1])).reshape(*points.shape, -1)
    except Exception:
        # Whatever a person's steps raise about rows.
        lines, count = points.shape
    changes = np.flatnonzero(np.diff(np.sign(points[0]))) + 1
    if lines > 1:
        cuts = [(slice(lines // 2), slice(None)), (slice(lines // 2, None), slice(None))]
    elif count > 1 and (len(changes) or not sides):
        ends = [0, *(changes if sides else [count // 2]), count]
        cuts = [(slice(None), slice(a, b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    else:
        return np.full((lines, count, 1), np.nan)
    parts = [on_lines(function, starts[some], directions[some], points[some, at], sides) for some, at in cuts]
    widest = max(part.shape[2] for part in parts)
    return np.concatenate([np.broadcast_to(part, (*part.shape[:2], widest)) for part in parts], 0 if lines > 1 else 1)


@dataclass(frozen=True)
class _Fit:
    """Slopes of lines, and how far their points may be apart.

    Attributes:
        slopes: ``(lines, outputs)``.
        noise: of the same shape, rounding errors of slopes; nan where these differ by more than rounding errors.
        tolerance: of the same shape, rounding errors near the start.
    """

    slopes: np.ndarray
    noise: np.ndarray
    tolerance: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, directions: np.ndarray, points: np.ndarray, values: np.ndarray) -> "_Fit":
        """The slopes of the farthest points."""
        zero, precise, size = _zero(points), precision(values), sizes(points, values)
        each = np.stack([(values[:, k] - values[:, zero]) / points[k] for k in range(len(points) - len(FAR), len(points))])
        last, before = values[:, -1], values[:, -2]
        constant = np.abs(last - before) <= 2.0**-44 * np.abs(before) + 2.0**-46 * size
        slopes = np.where(constant, 0.0, each[-1])
        noise = np.abs(each - slopes).max(0) + 2.0**-3 * precise * np.abs(slopes)
        noise[noise > 2.0**6 * precise * np.abs(slopes).max(1, keepdims=True)] = np.nan
        lost = np.abs(slopes) <= _CLEAR * noise
        slopes, noise = np.where(lost, 0.0, slopes), np.where(lost, np.abs(each).max(0), noise)
        noise[constant] = 0
        # Points far from 0 have rounding errors of their own.
        moving = directions != 0
        places = np.where(moving, np.abs(starts) / np.where(moving, np.abs(directions), 1), 0).max(1)[:, None]
        return cls(slopes, noise, precise * size + places * (precise * np.abs(slopes) + 2.0**-46 * noise))

    def __getitem__(self, some: np.ndarray) -> "_Fit":
        return _Fit(self.slopes[some], self.noise[some], self.tolerance[some])

    def offsets(self, points: np.ndarray, values: np.ndarray, slack: float = 1) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest offset that each point has, ``(lines, points, outputs)``; so many times as far apart."""
        rest = values - self.slopes[:, None] * points[..., None]
        # What cancels inside the function leaves rounding errors of what other outputs show.
        inside = 2.0**-48 * np.abs(self.slopes).max(1, keepdims=True)
        allowed = (4 * self.noise + inside)[:, None] * np.abs(points[..., None]) + self.tolerance[:, None]
        return rest - slack * allowed, rest + slack * allowed


@dataclass(frozen=True)
class Straight:
    """Lines that are taken for straight as a whole, and whether they are.

    Attributes:
        slopes: ``(lines, outputs)``.
        noise: ``(lines, outputs)``: their rounding errors.
        whole: ``(lines,)``: whether all points agree with them.
        finite: ``(lines, 2)``: whether there are finite values at all points towards minus, and towards plus infinity.
    """

    slopes: np.ndarray
    noise: np.ndarray
    whole: np.ndarray
    finite: np.ndarray


def straight(starts: np.ndarray, directions: np.ndarray, points: np.ndarray, values: np.ndarray) -> Straight:
    """Whether lines are straight as a whole.

    Args:
        starts, directions: of the lines, ``(lines, columns)``; a unit of t is a natural unit of the function's inputs.
        points: `grid` of whole lines.
        values: there, ``(lines, points, outputs)``.
    """
    with np.errstate(all="ignore"):
        zero = _zero(points)
        fit = _Fit.of(starts, directions, points, values)
        least, most = fit.offsets(points, values)
        start = values[:, zero, None]
        whole = np.asarray(np.all((least <= start) & (start <= most), (1, 2)))
        finite = np.asarray(np.all(np.isfinite(values), 2))
    return Straight(fit.slopes, fit.noise, whole, np.stack([finite[:, : zero + 1].all(1), finite[:, zero:].all(1)], 1))


@dataclass(frozen=True)
class Settled:
    """Lines towards plus infinity.

    Attributes:
        slopes: ``(lines, outputs)``.
        offsets: ``(lines, outputs)``, at t = 0.
        thresholds: ``(lines,)``: from which t on; minus infinity for lines that are straight as a whole.
        found: ``(lines,)``: whether they settle at all; the rest is of no meaning if not.
        noise: ``(lines, outputs)``: rounding errors, as slopes.
    """

    slopes: np.ndarray
    offsets: np.ndarray
    thresholds: np.ndarray
    found: np.ndarray
    noise: np.ndarray


def settle(function: Function, starts: np.ndarray, directions: np.ndarray, points: np.ndarray, values: np.ndarray) -> Settled:
    """Where lines settle towards plus infinity.

    Args:
        function: of rows ``(n, columns)``.
        starts, directions, values: as those of `straight`.
        points: `grid`.
    """
    with np.errstate(all="ignore"):
        zero = _zero(points)
        fit = _Fit.of(starts, directions, points, values)
        least, most = fit.offsets(points, values)
        # From far to near: offsets that all points so far agree on.
        least, most = np.maximum.accumulate(least[:, ::-1], 1), np.minimum.accumulate(most[:, ::-1], 1)
        agree = np.asarray(np.all(least <= most, 2))
        last = np.where(agree.all(1), len(points), np.argmin(agree, 1)) - 1
        whole = last == len(points) - 1
        inner = np.where(last >= 0, points[::-1][last], np.inf)
        latest = np.where((fit.slopes == 0).all(1), points[-len(FAR)], _LATEST_LINE)
        found = np.isfinite(values[:, zero:]).all((1, 2)) & (whole | (inner <= latest))
        thresholds, offsets = np.where(whole, -np.inf, inner), values[:, zero].copy()
        for sloped in (False, True):
            bent = np.flatnonzero(found & ~whole & ((fit.slopes != 0).any(1) == sloped))
            if len(bent):
                lines = starts[bent], directions[bent]
                bounds = least[bent], most[bent]
                ends, ok = _bends(function, lines, fit[bent], points[::-1], bounds, last[bent], sloped)
                below, above = fit[bent].offsets(ends[:, None], on_lines(function, *lines, ends[:, None]))
                # Where a line goes through the start, the value there says best where it lies.
                through = (least <= most)[bent, len(points) - 1 - zero]
                thresholds[bent], found[bent] = ends, ok & (ends <= latest[bent])
                offsets[bent] = np.where(through, offsets[bent], (below + above)[:, 0] / 2)
    return Settled(fit.slopes, offsets, thresholds, found, fit.noise)


def _bends(
    function: Function,
    lines: tuple[np.ndarray, np.ndarray],
    fit: _Fit,
    points: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    last: np.ndarray,
    sloped: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Where lines are straight from, and whether they are.

    Args:
        lines: starts and directions.
        points: descending.
        bounds: of the offsets that all points down to each agree on, ``(lines, points, outputs)``.
        last: the last place in `points` where they do; there is a nearer point.
        sloped: whether some slope is not 0. Its offset is known the better the nearer a point is: what agrees with points far
            away need not agree with its neighbours.
    """
    some = np.arange(len(last))
    low, high = np.full((len(last), 1, 1), -np.inf), np.full((len(last), 1, 1), np.inf)

    def agreed(at: np.ndarray, near: np.ndarray, slack: float = 1) -> np.ndarray:
        spread = at[..., None] + (1 + np.abs(at[..., None])) * near
        flat = spread.reshape(len(at), -1)
        ends = fit.offsets(flat, on_lines(function, *lines, flat, sides=False), slack)
        below, above = (end.reshape(*spread.shape, -1) for end in ends)
        return np.asarray(np.all((np.maximum(below.max(2), low) <= np.minimum(above.min(2), high)), 2))

    near = _BEYOND if sloped else _BEYOND[:1]
    places = np.maximum(last[:, None] + np.arange(-_CANDIDATES + 1, 1), len(FAR) if sloped else 0)
    places = np.minimum(places, last[:, None])
    good = agreed(points[places], near).cumprod(1).sum(1)
    chosen = places[some, np.maximum(good - 1, 0)]
    low, high = (bound[some, chosen][:, None] for bound in bounds)
    ends = narrowed(lambda at: agreed(at, near), points[chosen + 1], points[chosen])
    # The first point that is near enough by rounding may have neighbours that are not quite.
    return ends, (good > 0) & agreed(ends[:, None], _BEYOND, _SLACK)[:, 0]


def narrowed(holds: Callable[[np.ndarray], np.ndarray], outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The first point of each of several brackets from which on something holds, down to neighbouring floats.

    Args:
        holds: whether it does at points ``(brackets, points)``.
        outer: where it does not, ``(brackets,)``.
        inner: where it does, and beyond; above `outer`.
    """
    across = (outer < 0) & (inner > 0)
    if across.any():
        # More floats lie between than there are whole numbers to count them.
        above = holds(np.zeros((len(outer), 1)))[:, 0]
        outer, inner = np.where(across & ~above, 0.0, outer), np.where(across & above, 0.0, inner)
    out, within = _ordinals(outer), _ordinals(inner)
    steps = np.arange(1, _SECTIONS)
    while (gap := within - out).max() > 1:
        gap = gap[:, None]
        ordinals = out[:, None] + gap // _SECTIONS * steps + gap % _SECTIONS * steps // _SECTIONS
        good = holds(_floats(ordinals)) & (ordinals > out[:, None])
        # The last where it does not, and the one after it.
        bad = np.where(good.all(1), -1, good.shape[1] - 1 - np.argmin(good[:, ::-1], 1))
        edges = np.concatenate([out[:, None], ordinals, within[:, None]], 1)
        out, within = (np.take_along_axis(edges, (bad + shift)[:, None], 1)[:, 0] for shift in (1, 2))
    return _floats(within)


def sizes(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How large outputs are near t = 0, ``(outputs,)``, of values ``(lines, points, outputs)``."""
    return np.nan_to_num(np.abs(values[:, np.abs(points) < _CLOSE]), posinf=0.0).max((0, 1))


def precision(values: np.ndarray) -> np.ndarray:
    """The relative rounding error of outputs, along the last axis: that of float32 where all of them are such numbers."""
    with np.errstate(over="ignore"):
        single = (values == values.astype(np.float32)) | ~np.isfinite(values)
    return np.where(single.reshape(-1, values.shape[-1]).all(0), 2.0**-20, 2.0**-46)


def _zero(points: np.ndarray) -> int:
    return int(np.flatnonzero(points == 0)[0])


def _ordinals(values: np.ndarray) -> np.ndarray:
    """Floats as whole numbers in their order, without gaps."""
    bits = np.ascontiguousarray(values + 0.0).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def _floats(ordinals: np.ndarray) -> np.ndarray:
    bits = np.where(ordinals < 0, np.int64(-(2**63)) - ordinals, ordinals)
    return np.ascontiguousarray(bits).view(np.float64)
