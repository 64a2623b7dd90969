"""Metrics against brute force over all thresholds and pairs, ties and infinities included."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
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


def test_many_areas_at_once():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, (3, 1, 20)).astype(float), rng.integers(0, 9, (3, 4, 15)).astype(float)
    outside[0, 0] = np.inf
    areas = metrics.aurocs(inside, outside)
    low, high = metrics.auroc_ends(areas, 20, 15)
    for i, j in np.ndindex(3, 4):
        assert areas[i, j] == metrics.auroc(inside[i, 0], outside[i, j])
        assert (low[i, j], high[i, j]) == metrics.auroc_interval(inside[i, 0], outside[i, j])
        # As far from what was found as a normal quantile times the standard error there, unless that is an end.
        for end in (low[i, j], high[i, j]):
            more = (20 + 15) / 2 - 1
            variance = end * (1 - end) * (1 + more * ((1 - end) / (2 - end) + end / (1 + end))) / (20 * 15)
            assert end in (0, 1) or abs(areas[i, j] - end) == pytest.approx(norm.ppf(0.975) * variance**0.5, rel=1e-9)
    with pytest.raises(ValueError, match=r"scores must have no nan\. Got 1"):
        metrics.aurocs(np.array([[0.0, np.nan]]), np.array([[1.0]]))


def test_interval_of_an_area_covers_it():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 2.5):
        # The chance that one normal number is larger than another, apart by `shift`.
        area = norm.cdf(shift / np.sqrt(2))
        covered = [low <= area <= high for low, high in (metrics.auroc_interval(*draw(rng, shift)) for _ in range(400))]
        assert 0.9 <= np.mean(covered) <= 0.995


def draw(rng, shift):
    return rng.normal(size=60), rng.normal(size=40) + shift


def test_interval_of_an_area_stays_one_at_the_ends():
    low, high = metrics.auroc_interval(np.arange(100.0), np.arange(100.0) + 1000)
    assert high == 1
    assert 0.9 < low < 1
    assert metrics.auroc_interval(np.arange(100.0) + 1000, np.arange(100.0)) == pytest.approx((0, 1 - low))
    assert metrics.auroc_interval([1.0], [1.0]) == pytest.approx((0.1, 0.9), abs=0.1)
    # Where scores are infinite, too.
    assert metrics.auroc_interval([0.0, 1.0], [np.inf, np.inf])[1] == 1
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        metrics.auroc_interval([0.0], [1.0], level=1.0)


@pytest.mark.parametrize("total", [1, 7, 50])
def test_interval_of_a_share_is_that_of_clopper_and_pearson(total):
    counts = np.arange(total + 1)
    low, high = metrics.share_interval(counts, total)
    for count in counts:
        exact = binomtest(int(count), total).proportion_ci(0.95, "exact")
        assert (low[count], high[count]) == pytest.approx((exact.low, exact.high), abs=1e-9)
    with pytest.raises(ValueError, match="count must be in 0 to total"):
        metrics.share_interval(total + 1, total)
    with pytest.raises(ValueError, match="level must be"):
        metrics.share_interval(1, total, level=0)
