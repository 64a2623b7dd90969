"""Metrics against brute force over all thresholds and pairs, ties and infinities included."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from knowlimits import metrics


def drawn(seed):
    """Scores with many ties, and some that are infinite."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 40, 2)
    inside, outside = rng.integers(0, 8, n).astype(float), rng.integers(2, 10, m).astype(float)
    inside[rng.random(n) < 0.1] = -np.inf
    outside[rng.random(m) < 0.2] = np.inf
    return inside, outside


@pytest.mark.parametrize("seed", range(25))
def test_against_brute_force(seed):
    inside, outside = drawn(seed)
    pairs = (outside[:, None] > inside).astype(float) + 0.5 * (outside[:, None] == inside)
    assert metrics.auroc(inside, outside) == pytest.approx(pairs.mean(), abs=1e-14)
    # Ranks, as scikit-learn refuses infinities.
    ranks = np.unique(np.concatenate([inside, outside]), return_inverse=True)[1].astype(float)
    labels = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
    assert metrics.aupr_out(inside, outside) == pytest.approx(average_precision_score(labels, ranks))
    assert metrics.aupr_in(inside, outside) == pytest.approx(average_precision_score(1 - labels, -ranks))
    levels = np.unique(np.r_[inside, outside])
    refused = [(inside >= t).mean() for t in levels if (outside >= t).mean() >= 0.95]
    assert metrics.fpr_at_95_ood_caught(inside, outside) == min(refused)
    accepted = [(outside <= t).mean() for t in levels if (inside <= t).mean() >= 0.95]
    assert metrics.ood_accepted_at_95_in(inside, outside) == min(accepted)
    assert metrics.threshold(inside) == min(t for t in levels if (inside <= t).mean() >= 0.95)


def test_the_two_conventions_differ():
    """An example with the two false positive rates far apart."""
    inside = np.arange(100.0)
    outside = np.r_[np.full(10, 50.0), np.full(90, 200.0)]
    assert metrics.fpr_at_95_ood_caught(inside, outside) == 0.5
    assert metrics.ood_accepted_at_95_in(inside, outside) == 0.1
    assert metrics.threshold(np.arange(20.0), 0.95) == 18


def test_scores_beyond_any_range_are_told_apart():
    assert metrics.auroc([1e300, 2e300], [3e300, np.inf]) == 1.0
    assert metrics.auroc([1e-300], [0.0]) == 0.0
    assert metrics.auroc([np.inf], [np.inf]) == 0.5


def test_bootstrap_intervals_hold_the_value_and_shrink():
    rng = np.random.default_rng(0)
    widths = []
    for n in (50, 5000):
        inside, outside = rng.normal(size=n), rng.normal(1, 1, size=n)
        low, high = metrics.bootstrap_interval(metrics.auroc, inside, outside, repeats=200)
        assert low < metrics.auroc(inside, outside) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5
    # The truth for unit normals one apart: Phi(1 / sqrt(2)).
    assert low < 0.7602 < high


@pytest.mark.parametrize("bad", [[], [np.nan, 1], [[1.0]]])
def test_bad_scores(bad):
    with pytest.raises(ValueError, match="scores must have shape"):
        metrics.auroc([1.0], bad)
    with pytest.raises(ValueError, match="keep must be above 0"):
        metrics.threshold([1.0], 0)
