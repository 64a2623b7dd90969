"""What a boosting library says itself: leaves, and so where they change along rays, and probabilities far away."""

from collections.abc import Callable
from typing import Any

import numpy as np

import knowlimits as kl

RADII = (1e3, 1e6, 1e9, 1e12)
_NEXT = 1e-9


def drawn(X: np.ndarray, count: int, held: Any = (), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rays from beside rows, a third along one column; what is missing stays."""
    random = np.random.default_rng(seed)
    starts = X[random.integers(len(X), size=count)]
    sizes = np.maximum(np.nanstd(X, axis=0), 1e-3)
    ways = random.normal(size=starts.shape) * sizes
    ways[::3] *= np.eye(X.shape[1])[random.integers(X.shape[1], size=len(ways[::3]))]
    ways[np.isnan(starts)] = 0
    ways[:, list(held)] = 0
    # At values of the data there are thresholds, which a ray meets nearer to its start than rounding lets see.
    return np.where(ways != 0, starts + 0.01 * sizes * random.normal(size=starts.shape), starts), ways


def check_limits(model: Any, probabilities: Callable[[Any], np.ndarray], X: np.ndarray, count: int = 200) -> None:
    """Limits are what the library says from the radius on, and at large radii."""
    starts, ways = drawn(X, count, held_by(model))
    far = kl.far_field(model, starts, ways)
    assert far.radius is not None
    radius = far.radius.max(0)[:, None]
    for out in (radius * (1 + _NEXT) + 1e-30, *(np.maximum(radius * (1 + _NEXT), one) for one in RADII)):
        seen = probabilities(starts + out * ways)
        np.testing.assert_allclose(far.probs.mean(0), seen, rtol=0, atol=1e-6)


def check_radius(model: Any, leaves: Callable[[np.ndarray], np.ndarray], X: np.ndarray, count: int = 2000) -> None:
    """No leaf changes beyond the radius, and one does just there."""
    starts, ways = drawn(X, count, held_by(model), seed=1)
    radius = kl.far_field(model, starts, ways).radius
    assert radius is not None
    radius = radius.max(0)[:, None]
    last = leaves(starts + (radius * (1 + _NEXT) + 1e-30) * ways)
    for out in RADII:
        np.testing.assert_array_equal(leaves(starts + np.maximum(radius * (1 + _NEXT), out) * ways), last)
    moved = radius[:, 0] > 0
    assert moved.mean() > 0.2
    before = leaves(starts + radius * (1 - _NEXT) * ways)
    assert (before != last).any(1)[moved].all()


def held_by(model: Any) -> list[int]:
    """Columns that no ray moves."""
    return sorted({column for network in model.networks for column in getattr(network.module, "held", ())})
