"""How well scores tell out-of-distribution inputs from familiar ones, larger scores meaning less familiar.

All look at the order of scores alone, ties as one step, so that scores may lie in any range, and may be infinite: the limits
of scores far away are compared with others exactly.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtri
from scipy.stats import rankdata

# Halvings for an end of an interval between 0 and 1, a bit each.
_HALVINGS = 60


def auroc(in_scores: Any, ood_scores: Any) -> float:
    """The chance that an out-of-distribution input has the larger score, ties counting half: the area under the ROC curve.

    Args:
        in_scores: of familiar inputs, ``(n,)``.
        ood_scores: of out-of-distribution inputs, ``(m,)``.

    Raises:
        ValueError: if one of them is empty or has a nan.
    """
    return float(aurocs(*_checked(in_scores, ood_scores)))


def aurocs(in_scores: np.ndarray, ood_scores: np.ndarray) -> np.ndarray:
    """`auroc` of many sets of scores at once, ``(..., n)`` and ``(..., m)``: ``(...,)``.

    Raises:
        ValueError: if there is a nan.
    """
    n, m = in_scores.shape[-1], ood_scores.shape[-1]
    shape = np.broadcast_shapes(in_scores.shape[:-1], ood_scores.shape[:-1])
    together = np.concatenate([np.broadcast_to(in_scores, (*shape, n)), np.broadcast_to(ood_scores, (*shape, m))], axis=-1)
    if np.isnan(together).any():
        raise ValueError(f"scores must have no nan. Got {int(np.isnan(together).sum())}.")
    # The rank sum of Mann and Whitney (1947).
    return (rankdata(together, axis=-1)[..., n:].sum(-1) - m * (m + 1) / 2) / (n * m)


def aupr_out(in_scores: Any, ood_scores: Any) -> float:
    """Average precision of finding the out-of-distribution inputs."""
    inside, outside = _checked(in_scores, ood_scores)
    return _average_precision(outside, inside)


def aupr_in(in_scores: Any, ood_scores: Any) -> float:
    """Average precision of finding the familiar inputs."""
    inside, outside = _checked(in_scores, ood_scores)
    return _average_precision(-inside, -outside)


def fpr_at_95_ood_caught(in_scores: Any, ood_scores: Any) -> float:
    """The share of familiar inputs that is refused when 95% of the out-of-distribution inputs are caught.

    Out-of-distribution is positive, as in OpenOOD and pytorch-ood; `ood_accepted_at_95_in` is the other convention.
    """
    inside, outside = _checked(in_scores, ood_scores)
    return float((inside >= -threshold(-outside, 0.95)).mean())


def ood_accepted_at_95_in(in_scores: Any, ood_scores: Any) -> float:
    """The share of out-of-distribution inputs that is accepted when 95% of the familiar inputs are.

    Familiar is positive, as in most papers (ODIN, energy); `fpr_at_95_ood_caught` is the other convention.
    """
    inside, outside = _checked(in_scores, ood_scores)
    return float((outside <= threshold(inside, 0.95)).mean())


def threshold(in_scores: Any, keep: float = 0.95) -> float:
    """The smallest of the scores that accepts at least a share `keep` of them: those up to it.

    Raises:
        ValueError: unless `keep` is above 0 and at most 1.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be above 0 and at most 1. Got {keep} instead.")
    (scores,) = _checked(in_scores)
    # Without the slack, 0.95 of 20 would be 19 and a little.
    return float(np.sort(scores)[int(np.ceil(keep * len(scores) - 1e-9)) - 1])


def auroc_interval(in_scores: Any, ood_scores: Any, level: float = 0.95) -> tuple[float, float]:
    """An interval for `auroc` that stays an interval where the area is 1 or 0.

    Those areas t from which the one that was found is as far as a normal quantile times the standard error at t (Newcombe,
    2006, part 2, method 5), with the error of Hanley and McNeil (1982).

    Args:
        in_scores: of familiar inputs, ``(n,)``.
        ood_scores: of out-of-distribution inputs, ``(m,)``.
        level: coverage that is aimed at.

    Raises:
        ValueError: unless `level` is between 0 and 1.
    """
    low, high = auroc_ends(auroc(in_scores, ood_scores), np.size(in_scores), np.size(ood_scores), level)
    return float(low), float(high)


def auroc_ends(found: Any, n: int, m: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of `auroc_interval`, by the areas that were found over n familiar and m other inputs."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1. Got {level} instead.")
    found = np.asarray(found, dtype=np.float64)
    z, more = float(ndtri((1 + level) / 2)), (n + m) / 2 - 1

    def end(outer: float) -> np.ndarray:
        """The area between what was found and 0 or 1 that is just near enough."""
        near, far = found, np.full(found.shape, outer)
        for _ in range(_HALVINGS):
            t = (near + far) / 2
            variance = t * (1 - t) * (1 + more * ((1 - t) / (2 - t) + t / (1 + t))) / (n * m)
            inside = np.abs(found - t) <= z * np.sqrt(variance)
            near, far = np.where(inside, t, near), np.where(inside, far, t)
        return near

    return end(0.0), end(1.0)


def share_interval(count: Any, total: int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """An interval for a share, of which `count` out of `total` were counted (Clopper and Pearson, 1934).

    Args:
        count: one number or an array of them.
        total: of how many.
        level: coverage, at least.

    Returns:
        Lower and upper ends, of the shape of `count`.

    Raises:
        ValueError: if a count is not in 0 to `total`, or `level` not between 0 and 1.
    """
    counts = np.asarray(count, dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1. Got {level} instead.")
    if not (total > 0 and (counts >= 0).all() and (counts <= total).all()):
        raise ValueError(f"count must be in 0 to total, and total positive. Got {count} of {total} instead.")
    tail = (1 - level) / 2
    # At the ends a parameter of the beta distribution would be 0.
    low = np.where(counts > 0, betaincinv(np.maximum(counts, 1), total - counts + 1, tail), 0.0)
    high = np.where(counts < total, betaincinv(counts + 1, np.maximum(total - counts, 1), 1 - tail), 1.0)
    return low, high


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    in_scores: Any,
    ood_scores: Any,
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """An interval for a metric: quantiles over samples drawn with replacement (percentile bootstrap).

    Args:
        metric: one of the functions of this module.
        in_scores: of familiar inputs, ``(n,)``.
        ood_scores: of out-of-distribution inputs, ``(m,)``.
        level: the share of samples inside.
        repeats: how many samples.
        seed: of the samples.
    """
    inside, outside = _checked(in_scores, ood_scores)
    rng = np.random.default_rng(seed)
    values = [metric(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))) for _ in range(repeats)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _checked(*scores: Any) -> list[np.ndarray]:
    arrays = [np.asarray(one, dtype=np.float64) for one in scores]
    for array in arrays:
        if array.ndim != 1 or not len(array) or np.isnan(array).any():
            raise ValueError(
                "scores must have shape (n,), with a number at least and no nan. "
                f"Got shape {array.shape} with {int(np.isnan(array).sum())} nan."
            )
    return arrays


def _average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """The mean over positives of the precision at their score, those with the same score together."""
    levels, found = np.unique(-positive, return_counts=True)
    caught = np.cumsum(found)
    others = np.searchsorted(np.sort(-negative), levels, side="right")
    return float((found * caught / (caught + others)).sum() / len(positive))
