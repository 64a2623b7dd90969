"""Where along rays the rows inside a set are passed for the last time by rows outside it.

Of p = 2 squares of distances are lines in `a`, but for what all rows share. The largest of lines less the smallest of others is
convex, and falls, so that Newton's method finds where it ends to be positive in a few steps, from below.

Of any other p a distance less `a` times the length of d is convex, and falls to a limit (Rockafellar, "Convex Analysis", 1970,
section 8, on recession functions). So from the right: beyond the place where the last row inside comes below the lowest limit
of rows outside nothing is passed; left of it tangents of these are a better bound than limits, and so on, until one passes.
Where distances are made of straight pieces, p = 1 and infinity, that ends exactly.
"""

from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled

#: Where rows are: for certain, or in a band of those that are equally near by what decides first; or not yet decided.
OUTSIDE, INSIDE, IN_BAND, OUT_OF_BAND, OPEN = 0, 1, 2, 3, 4
# Steps of a search, and when it has come to an end.
_STEPS, _END = 200, 1e-14
# Rounding, in shares of what is compared.
_DOUBT = 1e-14


@compiled(nogil=True)
def last_crossing(
    first: np.ndarray, second: np.ndarray, scale: np.ndarray, places: np.ndarray, result: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Of lines ``second + a * scale * first``, ``(rays, rows)``: the last `a` at which one inside is not below one outside."""
    for ray in range(len(first)):
        result[ray] = 0.0
        # Those in a band never pass one another.
        banded = (places[ray] == OUT_OF_BAND).any()
        for band in (OUT_OF_BAND, IN_BAND):
            if band == IN_BAND and not banded:
                # All pairs were looked at.
                break
            at = result[ray]
            for _ in range(_STEPS):
                high, rise, low, fall = -np.inf, 0.0, np.inf, 0.0
                for row in range(first.shape[1]):
                    place = places[ray, row]
                    if place in (band, OPEN):
                        continue
                    rate = scale[ray] * first[ray, row]
                    value = second[ray, row] + at * rate
                    if place in (INSIDE, IN_BAND):
                        if value > high:
                            high, rise = value, rate
                    elif value < low:
                        low, fall = value, rate
                if not (high > low and rise < fall):
                    break
                step = (high - low) / (fall - rise)
                at += step
                if step <= _END * at:
                    break
            result[ray] = at


@compiled(nogil=True)
def last_pass(
    x: np.ndarray,
    d: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    p: float,
    powers: np.ndarray,
    places: np.ndarray,
    result: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Of distances of order p, ``(rays,)``; nan where the search does not end.

    Args:
        x, d, rows, weights, p: as everywhere.
        powers: of the distances of starts, ``(rays, rows)``.
        places: of rows, ``(rays, rows)``.
        result: where the answer goes.
    """
    for ray in range(len(x)):
        result[ray] = 0.0
        moving = np.flatnonzero(d[ray])
        if not len(moving):
            continue
        about = _about(x[ray], d[ray], rows, weights, p, powers[ray], moving)
        limits = np.array([_limit(about, row) for row in range(len(rows))])
        inside = (places[ray] == INSIDE) | (places[ray] == IN_BAND)
        result[ray] = _passed(about, limits, inside, places[ray] == OUTSIDE)
        band = places[ray] == OUT_OF_BAND
        if band.any() and result[ray] == result[ray]:
            # Those in a band never pass one another.
            last = _passed(about, limits, places[ray] == INSIDE, band)
            if not last <= result[ray]:
                result[ray] = last


@compiled(nogil=True)
def last_inside(
    x: np.ndarray,
    d: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    p: float,
    powers: np.ndarray,
    radius: float,
    result: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """The last `a` at which a row is within a radius, ``(rays,)``; 0 where none is."""
    for ray in range(len(x)):
        about = _about(x[ray], d[ray], rows, weights, p, powers[ray], np.flatnonzero(d[ray]))
        size, last = about.size, 0.0
        for row in range(len(rows)):
            value, slope = _rest(about, row, last)
            if value + last * size > radius and slope + size >= 0:
                # It has left already.
                continue
            # Newton's method from the right, as distances are convex.
            at = (radius + _rest(about, row, 0.0)[0]) / size
            for _ in range(_STEPS):
                value, slope = _rest(about, row, at)
                over, slope = value + at * size - radius, slope + size
                if over <= 0:
                    last = max(last, at)
                    break
                step = over / slope
                if slope <= 0 or at - step <= last:
                    break
                at -= step
                if step <= _END * at:
                    last = max(last, at)
                    break
        result[ray] = last


class _Ray(NamedTuple):
    """A ray, of which only columns that move are kept.

    Attributes:
        x, d, weights: of the columns, ``(columns,)``.
        rows: ``(rows, columns)``.
        still: powers p of distances over the columns that stay, or the distances where p is infinite, ``(rows,)``.
        p: the order.
        size: the length of d.
    """

    x: np.ndarray
    d: np.ndarray
    weights: np.ndarray
    rows: np.ndarray
    still: np.ndarray
    p: float
    size: float


@compiled(nogil=True)
def _about(
    x: np.ndarray, d: np.ndarray, rows: np.ndarray, weights: np.ndarray, p: float, powers: np.ndarray, moving: np.ndarray
) -> _Ray:  # pragma: no cover - compiled
    still = np.empty(len(rows))
    for row in range(len(rows)):
        moved = 0.0
        for j in moving:
            u = abs(x[j] - rows[row, j])
            moved = max(moved, u) if p == np.inf else moved + weights[j] * (u if p == 1 else u**p)
        total = powers[row]
        if p == np.inf and moved < total:
            still[row] = total
        elif p != np.inf and moved < 0.5 * total:
            still[row] = total - moved
        else:
            # What is left has few digits.
            rest = 0.0
            for j in range(len(x)):
                if d[j] == 0:
                    u = abs(x[j] - rows[row, j])
                    rest = max(rest, u) if p == np.inf else rest + weights[j] * (u if p == 1 else u**p)
            still[row] = rest
    d, weights = d[moving], weights[moving]
    largest = np.abs(d).max()
    size = largest if p == np.inf else largest * (weights * np.abs(d / largest) ** p).sum() ** (1 / p)
    return _Ray(x[moving], d, weights, rows[:, moving], still, p, size)


@compiled(nogil=True)
def _rest(about: _Ray, row: int, at: float) -> tuple[float, float]:  # pragma: no cover - compiled
    """The distance of a point of the ray to a row, less `at` times the length of d, and its slope."""
    x, d, weights, p, size, still = about.x, about.d, about.weights, about.p, about.size, about.still[row]
    if p == 1:
        value, slope = still, 0.0
        for j in range(len(x)):
            step = abs(d[j])
            u = x[j] - about.rows[row, j] if d[j] > 0 else about.rows[row, j] - x[j]
            if u + at * step >= 0:
                value += weights[j] * u
            else:
                # Nothing that grows cancels.
                value -= weights[j] * (u + 2 * at * step)
                slope -= 2 * weights[j] * step
        return value, slope
    if p == np.inf:
        value, slope = still - at * size, -size
        for j in range(len(x)):
            step = abs(d[j])
            u = x[j] - about.rows[row, j] if d[j] > 0 else about.rows[row, j] - x[j]
            for way in (1.0, -1.0):
                here = way * u + at * (way * step - size)
                if here > value:
                    value, slope = here, way * step - size
        return value, slope
    largest = still ** (1 / p)
    for j in range(len(x)):
        largest = max(largest, abs(x[j] - about.rows[row, j] + at * d[j]))
    if largest == 0:
        return -at * size, -size
    total, slope = still / largest**p, 0.0
    for j in range(len(x)):
        u = (x[j] - about.rows[row, j] + at * d[j]) / largest
        power = weights[j] * abs(u) ** (p - 1)
        total += power * abs(u)
        slope += power * (d[j] if u > 0 else -d[j])
    return largest * total ** (1 / p) - at * size, slope / total ** ((p - 1) / p) - size


@compiled(nogil=True)
def _limit(about: _Ray, row: int) -> float:  # pragma: no cover - compiled
    """What the same comes down to."""
    p = about.p
    value = -np.inf if p == np.inf else about.still[row] if p == 1 else 0.0
    for j in range(len(about.x)):
        step = abs(about.d[j])
        u = about.x[j] - about.rows[row, j] if about.d[j] > 0 else about.rows[row, j] - about.x[j]
        if p != np.inf:
            value += about.weights[j] * (step / about.size) ** (p - 1) * u
        elif step == about.size:
            value = max(value, u)
    return value


@compiled(nogil=True)
def _highest(about: _Ray, some: np.ndarray, at: float) -> tuple[float, float]:  # pragma: no cover - compiled
    """The largest of several at a place, and its slope."""
    value, slope = -np.inf, 0.0
    for row in some:
        here, rise = _rest(about, row, at)
        if here > value:
            value, slope = here, rise
    return value, slope


@compiled(nogil=True)
def _below(
    about: _Ray, some: np.ndarray, height: float, rise: float, place: float, begin: float
) -> float:  # pragma: no cover - compiled
    """Where the largest of several comes below a line for good, from a place on: its height at another, and its slope."""
    at = begin
    for _ in range(_STEPS):
        value, slope = _highest(about, some, at)
        over, slope = value - height - rise * (at - place), slope - rise
        if over <= 0 or slope >= 0:
            return at
        step = over / -slope
        at += step
        if step <= _END * at:
            return at
    return np.nan


@compiled(nogil=True)
def _passed(about: _Ray, limits: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:  # pragma: no cover - compiled
    """Where rows inside are passed for the last time by others, of which all limits are higher."""
    some, others = np.flatnonzero(inside), np.flatnonzero(outside)
    if not len(some) or not len(others):
        return 0.0
    lowest = np.argmin(limits[others])
    # The first one to be looked at says most of the others.
    others[0], others[lowest] = others[lowest], others[0]
    at = _below(about, some, limits[others[0]], 0.0, 0.0, 0.0)
    for _ in range(_STEPS):
        if at == 0 or at != at:
            return at
        here = _highest(about, some, at)[0]
        # What cancels is of this size; what is equal but for rounding has been passed.
        doubt = _DOUBT * (abs(here) + (0.0 if about.p == 1 or about.p == np.inf else at * about.size))
        last, high = 0.0, _highest(about, some, 0.0)[0]
        for row in others:
            if limits[row] > high + doubt:
                # It does not pass beyond the last place that is known.
                continue
            value, slope = _rest(about, row, at)
            if value <= here + doubt:
                return at
            if high >= value + slope * (last - at):
                last = _below(about, some, value, slope, at, last)
                if last != last:
                    return last
                high = _highest(about, some, last)[0]
        if at - last <= _END * at:
            return at
        at = last
    return np.nan
