"""What a classifier says on the way from one row to another: the extremes of its confidence along segments, and from where on.

Three ways, the first that holds. What is made of trees is constant between the thresholds that a segment meets, and asked once
between any two (`knowlimits.limits.thresholds`). A network of straight pieces is followed piece by piece
(`knowlimits.limits.pieces`). All else is asked on a grid of `PLACES` places at equal distances, both ends among them, and
what lies between two of these is not known: `Segments.exact` says for which segments.
"""

import numpy as np

from knowlimits.limits.pieces import piecewise
from knowlimits.limits.stretches import Segments, Stretches, at_once, mean_probabilities
from knowlimits.limits.thresholds import by_thresholds, thresholds_met
from knowlimits.model.model import Model

#: Places of the grid, both ends among them.
PLACES = 65


def along_segments(model: Model, starts: np.ndarray, ends: np.ndarray, level: float = 0.99) -> Segments:
    """What a model says along segments.

    Args:
        model: it.
        starts, ends: rows of its table as `Model.points` makes them, ``(n, columns)``; nan where both have a gap.
        level: of the confidence from which on the model is sure.

    Raises:
        ValueError: if shapes differ, a number is infinite, or a gap is at one end only.
    """
    starts, ends = (np.ascontiguousarray(rows, dtype=np.float64) for rows in (starts, ends))
    if starts.ndim != 2 or starts.shape != ends.shape or not len(starts):
        raise ValueError(
            f"starts and ends must be rows of one table, and as many. Got shapes {starts.shape} and {ends.shape} instead."
        )
    if np.isinf(starts).any() or np.isinf(ends).any():
        raise ValueError("starts and ends must have finite numbers. Got an infinite one.")
    if (np.isnan(starts) != np.isnan(ends)).any():
        raise ValueError("starts and ends must have their gaps in the same places. Got one at one end alone.")
    found = by_thresholds(model, starts, ends, level)
    if found is None:
        found = piecewise(model, starts, ends, level)
    if found is None:
        return on_grid(model, starts, ends, level)
    left = np.flatnonzero(~found.exact)
    return found.put(left, on_grid(model, starts[left], ends[left], level)) if len(left) else found


def asked_along(model: Model, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """About how often `along_segments` asks a model along segments ``(n, columns)``, ``(n,)``, which is most of its work."""
    met = thresholds_met(model, starts, ends)
    return np.full(len(starts), PLACES) if met is None else met


def on_grid(model: Model, starts: np.ndarray, ends: np.ndarray, level: float) -> Segments:
    """What a model says at `PLACES` places of segments, at equal distances, both ends among them."""
    at, parts = np.linspace(0, 1, PLACES), []
    size = max(1, at_once(model, starts.shape[1]) // PLACES)
    for begin in range(0, len(starts), size):
        a, b = starts[begin : begin + size], ends[begin : begin + size]
        points = a[:, None] + at[:, None] * (b - a)[:, None]
        points[:, -1] = b
        probs = mean_probabilities(model, points.reshape(-1, a.shape[1]))
        every = np.tile(at, len(a))
        stretches = Stretches(PLACES * np.arange(len(a)), every, every, probs)
        parts.append(stretches.summed_up(level, np.zeros(len(a), dtype=bool)))
    return Segments.joined(parts)
