"""Means of softmaxes of affine logits on an interval, and bounds on them: compiled.

The logits of a member are ``l + s dl``, s from 0 to 1, and p is their softmax. Four bounds on p of a class are used:

- **Ends.** ``p' = p (dl_c - v)``, v being the mean of dl under p, which never falls, as its derivative is a variance. So p goes
  up first and down then, if it does both, and is at least the smaller of its values at the ends; at most the larger one where
  the derivatives at the ends say that it does not turn.
- **Tangents.** ``log p`` is concave, so it lies below its tangents at the ends.
- **Cubics.** The cubic of the values and derivatives at the ends, of the mean over members, is off by at most ``h^4 / 384``
  times the largest fourth derivative (Davis, "Interpolation and Approximation", 1963, theorem 3.5.1).
- **Fourth derivatives.** Let R be the spread of dl over the classes. At s + iy the terms of softmax's denominator are turned
  against each other by R |y| at most, so that its size is at least cos(R |y| / 2) of what it is at s, and p is analytic where
  that is above 0. From one place to another the logarithms of p and of 1 - p change by R a unit at most. So by Cauchy's
  estimate on a circle of radius 2 z / R the fourth derivative is at most ``24 (R / 2 z)^4 / cos z``, and at most
  ``24 (R / 2 z)^4 e^(2 z) / cos z`` times the largest of p, or of 1 - p, on the interval.
"""

import math
from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled

#: What rounding may add to bounds.
ROUNDING = 2.0**-46
# The fourth derivatives' bounds over 384 R^4: the smallest over z, and of the one in proportion to p.
_WHOLE = 24 / (2 * 1.2646) ** 4 / math.cos(1.2646) / 384
_SHARE = 24 / (2 * 1.0599) ** 4 * math.exp(2 * 1.0599) / math.cos(1.0599) / 384
# Rows of what is found: bounds of the mean; values, then derivatives, of it at both places; how far off its cubic may be.
LOWER, UPPER, VALUE_0, VALUE_1, SLOPE_0, SLOPE_1, OFF = range(7)


class Room(NamedTuple):
    """Room for work on one segment.

    Attributes:
        logits, steps: of the members at the begin of an interval, and from there to its end, ``(members, classes)``.
        bounds: what `bounds` finds of each class, in rows from `LOWER` to `OFF`.
        p, q: probabilities of the members at two places of it, ``(members, classes)``.
        of_p, of_q: logarithms of what their exponentials were divided by, ``(members,)``.
        pointers: where each group's piece begins.
        low, high: intervals that wait.
    """

    logits: np.ndarray
    steps: np.ndarray
    bounds: np.ndarray
    p: np.ndarray
    q: np.ndarray
    of_p: np.ndarray
    of_q: np.ndarray
    pointers: np.ndarray
    low: np.ndarray
    high: np.ndarray


@compiled(nogil=True, allocates=False)
def largest(values: np.ndarray) -> float:  # pragma: no cover - compiled
    """The largest of some numbers; numpy's own would make an array."""
    most = values[0]
    for value in values:
        most = max(most, value)
    return most


@compiled(nogil=True, allocates=False)
def probabilities(room: Room, s: float, p: np.ndarray, divisors: np.ndarray) -> None:  # pragma: no cover - compiled
    """Probabilities of the members at s of an interval, and the logarithms of what their exponentials were divided by."""
    for member in range(len(p)):
        most, total = -np.inf, 0.0
        for c in range(p.shape[1]):
            logit = room.logits[member, c] + s * room.steps[member, c]
            p[member, c] = logit
            most = max(most, logit)
        for c in range(p.shape[1]):
            logit = p[member, c]
            p[member, c] = 1.0 if logit == most else math.exp(logit - most)
            total += p[member, c]
        for c in range(p.shape[1]):
            p[member, c] /= total
        divisors[member] = most + math.log(total)


@compiled(nogil=True, allocates=False)
def _of_cubic(values: tuple[float, float], slopes: tuple[float, float], sign: float) -> float:  # pragma: no cover - compiled
    """The largest value on [0, 1], or the smallest for a sign of -1, of a cubic by its values and derivatives at the ends."""
    (f0, f1), (d0, d1) = values, slopes
    best = max(sign * f0, sign * f1)
    rise = f1 - f0
    a, b = d0 + d1 - 2 * rise, 3 * rise - 2 * d0 - d1
    root = b * b - 3 * a * d0
    if root >= 0:
        q = -(b + math.copysign(math.sqrt(root), b))
        for s in (q / (3 * a), d0 / q):
            # Where a or q is 0 it is no number, or not inside.
            if 0 < s < 1:
                best = max(best, sign * (f0 + s * (d0 + s * (b + s * a))))
    return sign * best


@compiled(nogil=True, allocates=False)
def bounds(room: Room, s0: float, s1: float) -> None:  # pragma: no cover - compiled
    """Bounds on mean probabilities between two places of an interval, which go to the room."""
    probabilities(room, s0, room.p, room.of_p)
    probabilities(room, s1, room.q, room.of_q)
    bounds_between(room, s0, s1)


@compiled(nogil=True, allocates=False)
def bounds_between(room: Room, s0: float, s1: float) -> None:  # pragma: no cover - compiled
    """The same, where the room has the probabilities at both."""
    members, classes = room.logits.shape
    found, h = room.bounds, s1 - s0
    for k in range(OFF + 1):
        for c in range(classes):
            found[k, c] = 0.0
    for member in range(members):
        v0, v1, low, high = 0.0, 0.0, np.inf, -np.inf
        for c in range(classes):
            step = room.steps[member, c]
            v0 += room.p[member, c] * step
            v1 += room.q[member, c] * step
            if room.logits[member, c] > -np.inf:
                low, high = min(low, step), max(high, step)
        spread = h * (high - low)
        fourth = spread * spread * spread * spread
        for c in range(classes):
            logit, step, p, q = room.logits[member, c], room.steps[member, c], room.p[member, c], room.q[member, c]
            if logit == -np.inf:
                continue
            d0, d1 = h * (step - v0), h * (step - v1)
            least, most = min(p, q), max(p, q)
            if d0 > 0 and d1 < 0:
                # Where the tangents of the logarithm meet; sizes count, as what is left of large ones is rounded.
                from0, from1 = logit + s0 * step - room.of_p[member], logit + s1 * step - room.of_q[member]
                up = d0 * min(max((from1 - from0 - d1) / (d0 - d1), 0.0), 1.0)
                size = abs(logit) + abs(step) + abs(up) + abs(from0) + abs(from1)
                most = math.exp(min(from0 + up + ROUNDING * size, 0.0))
            found[LOWER, c] += least
            found[UPPER, c] += most
            found[VALUE_0, c] += p
            found[VALUE_1, c] += q
            found[SLOPE_0, c] += p * d0
            found[SLOPE_1, c] += q * d1
            share = min(_WHOLE, _SHARE * min(most, 1 - least))
            if share > 0:
                found[OFF, c] += fourth * share
    for c in range(classes):
        for k in range(OFF + 1):
            found[k, c] /= members
        values, slopes, off = (found[VALUE_0, c], found[VALUE_1, c]), (found[SLOPE_0, c], found[SLOPE_1, c]), found[OFF, c]
        if off < 1:
            found[LOWER, c] = max(found[LOWER, c], _of_cubic(values, slopes, -1.0) - off)
            found[UPPER, c] = min(found[UPPER, c], _of_cubic(values, slopes, 1.0) + off)
        found[LOWER, c] -= ROUNDING
        found[UPPER, c] += ROUNDING


@compiled(nogil=True, allocates=False)
def lead(room: Room, first: int) -> float:  # pragma: no cover - compiled
    """By how much a class is ahead of all others at least, by what `bounds` has found."""
    found, least = room.bounds, np.inf
    for c in range(found.shape[1]):
        if c == first:
            continue
        bound = found[LOWER, first] - found[UPPER, c]
        off = found[OFF, first] + found[OFF, c]
        if off < 1:
            values = (found[VALUE_0, first] - found[VALUE_0, c], found[VALUE_1, first] - found[VALUE_1, c])
            slopes = (found[SLOPE_0, first] - found[SLOPE_0, c], found[SLOPE_1, first] - found[SLOPE_1, c])
            bound = max(bound, _of_cubic(values, slopes, -1.0) - off - ROUNDING)
        least = min(least, bound)
    return least
