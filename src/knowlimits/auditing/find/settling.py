"""From where on a classifier is as sure as it will ever be: the last place on a ray where its confidence is off its limit."""

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp, softmax

from knowlimits.limits.far_field import FarField
from knowlimits.limits.probabilities import leading

#: How near the confidence has to stay to its limit.
LEVEL = 0.01
# Places that are looked at on the way to the last breakpoint, and beyond it; the first is so many steps away.
_INNER, _OUTER, _FIRST = 48, 12, 0.01
# Halvings of the interval in which the confidence leaves the margin.
_HALVINGS = 12
# Where a smooth function never stops, asymptotes stand for the model from here on.
_SMOOTH = 1e3

Probabilities = Callable[[np.ndarray], np.ndarray]
# From rays, by their numbers, and a place on each, to whether the confidence is off its limit there.
IsOff = Callable[[np.ndarray, np.ndarray], np.ndarray]


def settled(probabilities: Probabilities, far: FarField) -> np.ndarray:
    """The last `a` at which the confidence is more than `LEVEL` off its limit, for every ray, ``(n,)``; nan if not known.

    Beyond the last breakpoint the logits are known and a bound says from where on nothing can happen. Before it the model
    is evaluated at places whose distances grow by a constant factor, from the outside in, and the interval in which the
    confidence leaves the margin is halved: an excursion that lies between two of these places is missed. Where the logits go
    straight on long before the last breakpoint, most of these places lie before that, and few beyond. Of a ray along which
    logits are no straight lines far out, as a column grows ever more slowly, it is not known.

    Args:
        probabilities: from points ``(n, inputs)`` to ``(members, n, classes)``.
        far: the limits along the rays.
    """
    limit, rate, offset = far.confidence(), far.rate, far.offset
    if far.radius is None or rate is None or offset is None:
        raise ValueError("far must be of a network, with radius, rate and offset. Got one without.")
    known = ~np.isnan(rate).any((0, 2))
    last = np.nan_to_num(far.radius.max(0), nan=_SMOOTH, posinf=_SMOOTH)

    def beyond(rays: np.ndarray, a: np.ndarray) -> np.ndarray:
        probs = softmax(rate[:, rays] * a[..., None] + offset[:, rays], axis=-1)
        return np.abs(probs.mean(0).max(-1) - limit[rays]) > LEVEL

    def before(rays: np.ndarray, a: np.ndarray) -> np.ndarray:
        points = far.origins[rays] + a[:, None] * far.directions[rays]
        return np.abs(probabilities(points).mean(0).max(-1) - limit[rays]) > LEVEL

    result = np.where(known, 0.0, np.nan)
    if not known.any():
        return result
    everything = np.flatnonzero(known)
    end = np.maximum(last, _certain(rate, offset))
    grid = last[:, None] + (end - last)[:, None] * np.linspace(0, 1, _OUTER) ** 2
    left = _search(beyond, everything, grid, result)
    straight, tiny = _straight(far, last), np.finfo(float).tiny
    late = straight[left] < last[left]
    if late.any():
        # What is certain of the asymptotes is so of lines beside them about there.
        near = np.minimum(2 * np.maximum(straight, _certain(rate, offset)), last)
        inner = straight[:, None] + (near - straight)[:, None] * np.linspace(0, 1, _OUTER) ** 2
        outer = np.geomspace(np.maximum(near, tiny), np.maximum(last, tiny), _OUTER, axis=1)
        left = np.concatenate([left[~late], _search(before, left[late], np.concatenate([inner, outer], axis=1), result)])
    first = np.minimum(_FIRST, straight / 10)
    steps = np.geomspace(np.maximum(first, tiny), np.maximum(straight, tiny), _INNER - 1, axis=1)
    _search(before, left, np.concatenate([np.zeros((len(limit), 1)), steps], axis=1), result)
    return result


def _straight(far: FarField, last: np.ndarray) -> np.ndarray:
    """From where on logits go straight on, ``(n,)``: before the last breakpoint only where they grow apart.

    Where several classes share the largest rate, the model's own rounding far out is larger than what decides between them.
    """
    if far.settled is None or far.rate is None:
        return last
    shared = ((far.rate == far.rate.max(-1, keepdims=True)).sum(-1) > 1).any(0)
    settled = far.settled.max(0)
    return np.where(shared | np.isnan(settled), last, np.minimum(settled, last))


def _search(is_off: IsOff, rays: np.ndarray, grid: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Look from the outside in for a place that is off, note it in `result`, and return the rays that have none."""
    low, high = result.copy(), result.copy()
    left = rays
    for k in range(grid.shape[1] - 1, -1, -1):
        if not len(left):
            break
        off = is_off(left, grid[left, k])
        found = left[off]
        low[found], high[found] = grid[found, k], grid[found, min(k + 1, grid.shape[1] - 1)]
        left = left[~off]
    found = np.setdiff1d(rays, left)
    for _ in range(_HALVINGS if len(found) else 0):
        middle = (low[found] + high[found]) / 2
        still = is_off(found, middle)
        low[found] = np.where(still, middle, low[found])
        high[found] = np.where(still, high[found], middle)
    result[found] = low[found]
    return left


def _certain(rate: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """An `a` from which on the classes with smaller rates have less than `LEVEL` together, in every member, ``(n,)``."""
    largest, offsets = leading(rate, offset)
    gap = largest[..., None] - rate
    behind = np.log(rate.shape[-1] / LEVEL) + offset - logsumexp(offsets, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(gap > 0, behind / gap, 0.0)
    return np.maximum(needed.max(-1).max(0), 0.0)
