from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knowlimits.model.families.naive_bayes import Bits, Categories, NormalDensities
from knowlimits.model.families.polynomials import Polynomials, Sigmoid
from knowlimits.model.families.sums import Odds
from tests.oracles import polynomials as exact
from tests.oracles.densities import independent

# Few values, so that classes agree in means and variances, columns in all of them, and sums of thirds tie in another order.
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed):
    rng = np.random.default_rng(seed)
    classes, features = rng.integers(2, 5), rng.integers(1, 5)
    shape = (classes, features)
    means, variances = rng.integers(-1, 2, shape).astype(float), rng.choice([1.0, 2.0, 3.0], shape)
    twin = rng.random(classes) < 0.3
    means[twin], variances[twin] = means[0], variances[0]
    priors = rng.dirichlet(np.ones(classes))
    x, d = rng.integers(-2, 3, (3, features)) / 3, rng.integers(-1, 2, (3, features)).astype(float)
    return means, variances, priors, x, d


def rounded(polynomials):
    """Coefficients of powers of a, as the multiples of 1e-12 next to them; thirds and sixths are told apart by these."""
    return [[p[0], *(Fraction(round(c * 10**12), 10**12) for c in p[1:])] for p in polynomials]


@given(SEEDS)
@example(193995)
def test_normal_densities_end_where_fractions_say(seed):
    means, variances, priors, x, d = drawn(seed)
    ends = Polynomials(NormalDensities(means, variances, np.log(priors))).along(x, d)
    for row in range(len(x)):
        polynomials = independent(means, variances, priors, x[row], d[row])
        if not ends.clear[row]:
            # What differs by less than its rounding counts as equal.
            polynomials = rounded(polynomials)
        np.testing.assert_allclose(ends.offset[row], exact.limit_of_softmax(polynomials), atol=1e-13)
        for a in (1e3, 1e6, 1e12):
            np.testing.assert_allclose(ends.offset[row], exact.softmax(polynomials, a), atol=1e-9)
        if len(exact.winners(polynomials, but=2)) == 1:
            assert ends.clear[row]
        if not d[row].any():
            assert ends.radius[row] == 0
        assert np.isnan(ends.radius[row]) or len(exact.winners(polynomials)) == len(priors)


@given(SEEDS)
def test_coefficients_are_within_their_bounds_of_fractions(seed):
    rng = np.random.default_rng(seed)
    classes, features = rng.integers(1, 4), rng.integers(1, 6)
    means = rng.normal(size=(classes, features)) * 10.0 ** rng.integers(-3, 4, features)
    variances = 10.0 ** rng.uniform(-9, 4, (classes, features))
    # Starts near to means, so that differences cancel.
    x = means[rng.integers(classes, size=2)] * (1 + rng.normal(size=(2, features)) * 10.0 ** rng.integers(-12, 1))
    d = rng.normal(size=x.shape) * 10.0 ** rng.integers(-5, 5, features)
    found = NormalDensities(means, variances, np.zeros(classes)).along(x, d)
    for row in range(2):
        for k, polynomial in enumerate(independent(means, variances, [1.0] * classes, x[row], d[row])):
            for power in (1, 2):
                off = abs(Fraction(float(found.values[row, k, power])) - polynomial[power])
                assert off <= Fraction(float(found.errors[row, k, power]))
                other = abs(x[row] - means[k]) if power == 1 else abs(d[row])
                assert found.errors[row, k, power] <= 1e-14 * (abs(d[row]) * other / variances[k]).sum()


def test_values_are_log_posteriors():
    means, variances, priors, x, _ = drawn(3)
    scores = NormalDensities(means, variances, np.log(priors)).at(x)
    for row in range(len(x)):
        expected = [float(p[0]) for p in independent(means, variances, priors, x[row], 0 * x[row])]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-13)


def test_equal_variances_leave_it_to_the_means_and_twins_to_the_priors():
    means = np.array([[0.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    family = Polynomials(NormalDensities(means, np.full((3, 2), 0.1), np.log([0.5, 0.2, 0.3])))
    x, d = np.full((5, 2), 0.7), np.array([[1.0, 0.3], [-1.0, 0.3], [0.0, 1.0], [1.0, 1e-9], [0.0, 0.0]])
    ends = family.along(x, d)
    np.testing.assert_allclose(ends.offset[0], [0, 0.4, 0.6])
    np.testing.assert_allclose(ends.offset[1], [1, 0, 0])
    # The second column says nothing, and the first one does not move.
    np.testing.assert_allclose(ends.offset[2], family.at(x)[2])
    assert ends.clear.all()
    np.testing.assert_array_equal(ends.radius, [np.nan, np.nan, 0, np.nan, 0])


def test_ties_in_another_order_of_terms_are_not_clear():
    variances = np.array([[0.1, 0.3], [0.3, 0.1]])
    family = Polynomials(NormalDensities(np.array([[1.0, 2.0], [0.0, 0.0]]), variances, np.log([0.5, 0.5])))
    ends = family.along(np.zeros((2, 2)), np.array([[1.0, 1.0], [1.0, 0.999999]]))
    np.testing.assert_allclose(ends.offset, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(ends.clear, [False, True])


def bits(seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(1, 5)
    family = Bits(rng.normal(size=(3, features)), rng.normal(size=3), float(rng.integers(-1, 2)))
    return family, rng.integers(-2, 3, (20, features)).astype(float), rng.integers(-1, 2, (20, features)) / 3


@given(SEEDS)
def test_bits_change_for_the_last_time_at_the_radius(seed):
    family, x, d = bits(seed)
    ends = family.along(x, d)
    for row in range(len(x)):
        last = ends.radius[row]
        before, behind, far = family.at(x[row] + np.array([[last - 1e-6], [last + 1e-6], [1e9]]) * d[row])
        np.testing.assert_allclose(far, ends.offset[row], rtol=1e-12)
        np.testing.assert_allclose(behind, ends.offset[row], rtol=1e-12)
        if last > 0:
            assert (np.abs(before - ends.offset[row]) > 1e-9).any()
    np.testing.assert_array_equal(ends.clear, ~((d == 0) & (x == family._threshold)).any(1))
    np.testing.assert_array_equal(family.along(x, 0 * d).offset, family.at(x))


def test_bits_that_are_met_beyond_all_numbers_are_refused():
    with pytest.raises(OverflowError, match="scale the directions"):
        Bits(np.ones((2, 1)), np.zeros(2), 1.0).along(np.zeros((1, 1)), np.full((1, 1), 1e-310))


def test_categories_stay():
    family = Categories([np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[5.0], [7.0]])], np.array([0.5, 0.25]))
    x = np.array([[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(family.at(x), [[5.5, 9.25], [6.5, 10.25]])
    assert family.held == (0, 1)
    ends = family.along(x, 0 * x)
    np.testing.assert_array_equal(ends.offset, family.at(x))
    np.testing.assert_array_equal(ends.radius, 0)
    for unknown in (2.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"0 to 1 in column 0"):
            family.at(np.array([[unknown, 0.0]]))


def test_numbers_are_copies():
    means, variances, priors, x, _ = drawn(5)
    logs = np.log(priors)
    scores = NormalDensities(means, variances, logs)
    before = scores.at(x)
    for part in (means, variances, logs):
        part[:] = 3.0
    np.testing.assert_array_equal(scores.at(x), before)


@given(SEEDS)
def test_odds_end_as_the_softmax_of_two_does(seed):
    means, variances, priors, x, d = drawn(seed)
    scores = NormalDensities(means[:2], variances[:2], np.log(priors[:2]))
    x, d = np.concatenate([x, x]), np.concatenate([d, 0 * d])
    found, expected = Polynomials(Odds(scores), Sigmoid()).along(x, d), Polynomials(scores).along(x, d)
    np.testing.assert_allclose(found.offset, expected.offset, atol=1e-12)
    np.testing.assert_array_equal(found.radius, expected.radius)
    np.testing.assert_array_equal(found.clear, expected.clear)
