from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from knowlimits.model.families.discriminants import Discriminants
from knowlimits.model.families.polynomials import Itself, Polynomials
from knowlimits.model.families.sums import Odds
from tests.oracles import polynomials as exact
from tests.oracles.densities import dependent

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed, classes=None):
    """Classes that agree in means and covariances now and then, of any rank, and starts and ways with zeros."""
    rng = np.random.default_rng(seed)
    classes, features = classes or rng.integers(2, 5), rng.integers(1, 5)
    means = rng.integers(-1, 2, (classes, features)).astype(float)
    factors = [rng.integers(-1, 2, (features, rng.integers(1, features + 1))) / 3 for _ in range(classes)]
    for k in np.flatnonzero(rng.random(classes) < 0.3):
        factors[k] = factors[0]
        means[k] = means[rng.integers(2) * k]
    constants = rng.normal(size=classes)
    x, d = rng.integers(-2, 3, (3, features)) / 3, rng.integers(-1, 2, (3, features)).astype(float)
    return means, factors, constants, x, d


@given(SEEDS)
def test_discriminants_end_where_fractions_say(seed):
    means, factors, constants, x, d = drawn(seed)
    ends = Polynomials(Discriminants(means, factors, 0 * constants, constants)).along(x, d)
    for row in range(len(x)):
        polynomials = dependent(means, factors, constants, x[row], d[row])
        # A third is rounded, which fractions see and the bounds allow for.
        polynomials = [[p[0], *(round(c * 36) * Fraction(1, 36) for c in p[1:])] for p in polynomials]
        np.testing.assert_allclose(ends.offset[row], exact.limit_of_softmax(polynomials), atol=1e-13)
        for a in (1e3, 1e6, 1e12):
            np.testing.assert_allclose(ends.offset[row], exact.softmax(polynomials, a), atol=1e-9)
        if len(exact.winners(polynomials, but=2)) == 1:
            assert ends.clear[row]
        if not d[row].any():
            assert ends.radius[row] == 0


@given(SEEDS)
def test_coefficients_are_within_their_bounds_of_fractions(seed):
    rng = np.random.default_rng(seed)
    classes, features = rng.integers(1, 3), rng.integers(1, 5)
    means = rng.normal(size=(classes, features)) * 10.0 ** rng.integers(-3, 4, features)
    factors = [rng.normal(size=(features, features)) * 10.0 ** rng.integers(-3, 6, features) for _ in range(classes)]
    x = means[rng.integers(classes, size=2)] * (1 + rng.normal(size=(2, features)) * 10.0 ** rng.integers(-12, 1))
    d = rng.normal(size=x.shape) * 10.0 ** rng.integers(-5, 5, features)
    # Across a row of a factor, so that a product cancels.
    d[0] -= factors[0][:, 0] * (d[0] @ factors[0][:, 0]) / (factors[0][:, 0] @ factors[0][:, 0])
    found = Discriminants(means, factors, np.zeros(classes), np.zeros(classes)).along(x, d)
    for row in range(2):
        for k, polynomial in enumerate(dependent(means, factors, [0.0] * classes, x[row], d[row])):
            size = np.abs(factors[k]).T @ np.abs(d[row]), np.abs(factors[k]).T @ np.abs(x[row] - means[k])
            for power, largest in ((1, size[0] @ size[1]), (2, size[0] @ size[0])):
                off = abs(Fraction(float(found.values[row, k, power])) - polynomial[power])
                assert off <= Fraction(float(found.errors[row, k, power]))
                assert found.errors[row, k, power] <= 1e-13 * largest


def test_twins_tie_clearly_in_all_powers():
    rng = np.random.default_rng(0)
    factor, mean = rng.normal(size=(4, 4)), rng.normal(size=4)
    means, factors = np.stack([mean, mean, mean + 1]), [factor, factor, 3 * factor]
    x, d = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    ends = Polynomials(Discriminants(means, factors, np.zeros(3), np.log([0.2, 0.6, 0.2]))).along(x, d)
    np.testing.assert_allclose(ends.offset, np.tile([0.25, 0.75, 0.0], (50, 1)), atol=1e-12)
    assert ends.clear.all()
    two = Discriminants(means[:2], factors[:2], np.zeros(2), np.log([0.25, 0.75]))
    np.testing.assert_array_equal(Polynomials(two).along(x, d).radius, 0)
    odds = Polynomials(Odds(two), Itself()).along(x, d)
    np.testing.assert_allclose(odds.offset, np.log(3))
    assert not odds.rate.any()


def test_equal_covariances_are_linear():
    rng = np.random.default_rng(1)
    factor, means = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    scores = Discriminants(means, [factor, factor], np.zeros(2), np.zeros(2))
    x, d = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    ends = Polynomials(Odds(scores), Itself()).along(x, d)
    slope = d @ factor @ factor.T @ (means[1] - means[0])
    np.testing.assert_allclose(ends.rate[:, 0], slope)
    found = Polynomials(scores).along(x, d)
    assert found.clear.all()
    np.testing.assert_array_equal(found.offset.argmax(1), slope > 0)
    far = x + 1e6 * d
    np.testing.assert_allclose(Odds(scores).at(far), ends.rate * 1e6 + ends.offset, rtol=1e-6)


@given(SEEDS)
def test_values_are_log_posteriors(seed):
    means, factors, constants, x, _ = drawn(seed)
    scores = Discriminants(means, factors, 0 * constants, constants).at(x)
    for row in range(len(x)):
        expected = [float(p[0]) for p in dependent(means, factors, constants, x[row], 0 * x[row])]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-13, atol=1e-13)
