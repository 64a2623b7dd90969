"""What held-out rows say: bounds and intervals, in simulations of which the truth is known."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta, kstest, norm

from knowlimits.ood.remedies.calibration import loss_bound, shift_for, threshold_for


def test_no_probability_loses_more_than_the_bound():
    w, p = np.meshgrid(np.linspace(0, 1, 101), np.linspace(1e-9, 1, 101))
    for classes in (2, 10):
        growth = np.log(p) - np.log(w * p + (1 - w) / classes)
        assert (growth <= loss_bound(w, classes) + 1e-12).all()
        np.testing.assert_allclose(growth[-1], loss_bound(w[-1], classes), atol=1e-12)
        assert loss_bound(np.zeros(1), classes)[0] == pytest.approx(np.log(classes))


@pytest.mark.parametrize("outlier", [-10.0, -1e6])
def test_the_shift_has_the_tolerance_as_mean_and_no_outlier_decides(outlier):
    rng = np.random.default_rng(0)
    ratio = np.append(rng.normal(size=200), outlier)
    shift, estimate = shift_for(ratio, 3, 0.05)
    mean = 0.05 - (np.log(3) - 0.05) / 201
    assert loss_bound(expit(ratio + shift), 3).mean() == pytest.approx(mean, abs=1e-9)
    assert estimate.value == pytest.approx(0.05, abs=1e-9)
    assert shift < 10
    # Of few rows it is the mean itself that is the tolerance, and what is expected is more.
    shift, estimate = shift_for(ratio[-30:], 3, 0.05)
    assert loss_bound(expit(ratio[-30:] + shift), 3).mean() == pytest.approx(0.05, abs=1e-9)
    assert estimate.value == pytest.approx((30 * 0.05 + np.log(3)) / 31, abs=1e-9)


@pytest.mark.parametrize("rows", [20, 200])
def test_a_new_row_is_expected_to_lose_no_more_than_is_said(rows):
    rng = np.random.default_rng(0)
    lost, said, held = [], [], []
    for _ in range(1500):
        ratio = -(np.abs(rng.standard_cauchy(size=rows + 1)) ** 2)
        shift, estimate = shift_for(ratio[:-1], 2, 0.05)
        loss = loss_bound(expit(ratio + shift), 2)
        lost.append(loss[-1])
        held.append(loss[:-1].mean())
        said.append(estimate.value)
    assert np.mean(lost) <= np.mean(said) + 2 * np.std(lost) / np.sqrt(1500)
    if rows == 200:
        assert np.mean(said) == pytest.approx(0.05)
    else:
        # What the rows say that set the weight is too good.
        assert np.mean(lost) > np.mean(held)


def test_the_interval_of_the_loss_covers_the_truth_for_the_shift_that_was_chosen():
    rng = np.random.default_rng(0)
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    covered = []
    for _ in range(200):
        shift, estimate = shift_for(rng.normal(size=60), 2, 0.05)
        covered.append(estimate.low <= loss_bound(expit(quantiles + shift), 2).mean() <= estimate.high)
    assert np.mean(covered) >= 0.95


def test_the_share_kept_has_the_distribution_that_is_said():
    rng = np.random.default_rng(0)
    kept, low, high = [], [], []
    for _ in range(400):
        threshold, estimate = threshold_for(rng.normal(size=39), 0.9)
        kept.append(norm.cdf(threshold))
        low.append(estimate.low)
        high.append(estimate.high)
    assert kstest(kept, beta(36, 4).cdf).pvalue > 0.01
    assert np.mean((np.array(low) <= kept) & (np.array(kept) <= high)) == pytest.approx(0.95, abs=0.04)
    assert estimate.value == pytest.approx(0.9)


def test_too_few_rows_leave_the_largest():
    threshold, estimate = threshold_for(np.array([3.0, 1.0, 2.0]), 0.95)
    assert threshold == pytest.approx(3.0, rel=1e-8)
    assert estimate.value == pytest.approx(0.75)
    threshold, estimate = threshold_for(np.array([3.0, np.inf, 2.0, np.inf]), 0.95)
    assert threshold == pytest.approx(3.0, rel=1e-8)
    assert estimate.value == pytest.approx(0.4)
    with pytest.raises(ValueError, match="X must have rows that are like others"):
        threshold_for(np.full(3, np.inf), 0.95)


def test_the_row_that_sets_the_threshold_is_accepted_whatever_the_rounding():
    rows = np.random.default_rng(0).normal(size=99) - 5
    threshold, _ = threshold_for(rows, 0.9)
    at = np.sort(rows)[89]
    assert at * (1 - 1e-12) < threshold < at * (1 - 1e-6)
