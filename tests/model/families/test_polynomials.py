from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

import knowlimits as kl
from knowlimits.model.calibrations import Isotonic
from knowlimits.model.families.family import Tail
from knowlimits.model.families.polynomials import (
    Bounded,
    Coefficients,
    Itself,
    Polynomials,
    Scores,
    SharedSigmoids,
    Sigmoid,
    Softmax,
)
from knowlimits.model.families.sums import Odds, Term, WeightedSum
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from tests.oracles import polynomials as exact


class Powers(Scores):
    """Polynomials of one number, with small whole coefficients: ``(columns, degree + 1)``."""

    features = 1

    def __init__(self, coefficients):
        super().__init__()
        self.coefficients = np.array(coefficients, dtype=float)
        self.columns = len(self.coefficients)

    @property
    def described(self):
        return f"{self.columns} polynomials"

    def at(self, x):
        return np.stack([np.polyval(own[::-1], x[:, 0]) for own in self.coefficients], 1)

    def along(self, x, d):
        """From 0 in steps of 1, where nothing has to be expanded."""
        assert not x.any()
        assert (d == 1).all()
        values = np.broadcast_to(self.coefficients, (len(x), *self.coefficients.shape)).copy()
        return Coefficients.of(values, np.zeros_like(values))


def ends(coefficients, response):
    return Polynomials(Powers(coefficients), response).along(np.zeros((1, 1)), np.ones((1, 1)))


# Many ties, and constants of any sign.
POLYNOMIALS = st.integers(1, 4).flatmap(
    lambda powers: st.lists(st.lists(st.integers(-1, 1), min_size=powers, max_size=powers), min_size=2, max_size=4)
)


@given(POLYNOMIALS)
def test_softmax_ends_where_it_is_far_out(polynomials):
    found = ends(polynomials, Softmax())
    np.testing.assert_allclose(found.offset[0], exact.limit_of_softmax(polynomials), atol=1e-15)
    for a in (1e3, 1e6, 1e12):
        np.testing.assert_allclose(found.offset[0], exact.softmax(polynomials, a), atol=1e-14)
    assert found.clear.all()
    constant = all(p[1:] == polynomials[0][1:] for p in polynomials)
    np.testing.assert_array_equal(found.radius, 0 if constant else np.nan)
    assert found.tail is (Tail.NONE if constant else Tail.FAST)


@given(POLYNOMIALS)
def test_sigmoids_end_where_they_are_far_out(polynomials):
    found = ends(polynomials, SharedSigmoids())
    np.testing.assert_allclose(found.offset[0], exact.limit_of_sigmoids(polynomials), atol=1e-15)
    for a in (1e3, 1e6, 1e12):
        np.testing.assert_allclose(found.offset[0], exact.sigmoids(polynomials, a), atol=1e-14)
    assert found.clear.all()


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=4))
def test_one_sigmoid_ends_at_its_own_limit(polynomial):
    found = ends([polynomial], Sigmoid())
    leading = next((c for c in reversed(polynomial[1:]) if c), 0)
    np.testing.assert_allclose(found.offset[0, 1], {1: 1.0, -1: 0.0}.get(np.sign(leading), expit(polynomial[0])))
    assert (found.radius[0] == 0) == (leading == 0)


@given(st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=2, max_size=3))
def test_bounded_functions_end_at_their_ends(polynomials):
    corners = [(np.array([-1.0, 0.5, 2.0]), np.array([0.1, 0.4, 0.9]))] * len(polynomials)
    response = Bounded(Isotonic(corners, range(len(polynomials)), 3))
    found = ends(polynomials, response)
    scores = np.array([[float(exact.value(p, 1e6)) for p in polynomials]])
    np.testing.assert_allclose(found.offset, response.at(scores), atol=1e-12)


def test_powers_tie_within_their_rounding_errors_and_the_next_one_decides():
    values = np.array([[[0.0, 1.0, 2.0], [0.0, 3.0, 2.0 - 1e-15]], [[0.0, 1.0, 2.0], [0.0, 3.0, 1.9]]])
    errors = np.zeros_like(values)
    errors[..., 2] = 1e-15
    leads, clear = Coefficients.of(values, errors).leaders()
    np.testing.assert_array_equal(leads, [[False, True], [True, False]])
    np.testing.assert_array_equal(clear, [False, True])


def test_what_is_known_to_be_equal_is_a_clear_tie():
    values = np.array([[[0.3, 2.0], [-0.2, 2.0 + 1e-15], [0.1, 1.0]]])
    same = np.array([[[0, 0], [1, 0], [2, 2]]])
    coefficients = Coefficients.of(values, np.full_like(values, 1e-14), same)
    leads, clear = coefficients.leaders()
    np.testing.assert_array_equal(leads, [[True, True, False]])
    assert clear.all()
    assert not coefficients.abreast.any()
    two = Coefficients(*(part[:, :2] for part in (coefficients.values, coefficients.errors, coefficients.same)))
    assert two.abreast.all()
    odds = two.difference()
    np.testing.assert_array_equal(odds.limits()[0], [[-0.5]])
    assert odds.still.all()


def test_leading_numbers_within_rounding_errors_are_none_and_not_clear():
    values = np.array([[[0.7, 1e-17]], [[0.7, 0.0]], [[0.7, -1e-3]]])
    ends, clear = Coefficients.of(values, np.full_like(values, 1e-16)).limits()
    np.testing.assert_array_equal(ends[:, 0], [0.7, 0.7, -np.inf])
    np.testing.assert_array_equal(clear[:, 0], [False, False, True])
    found = Softmax().ends(Coefficients.of(np.concatenate([values, 0 * values], 1), np.full((3, 2, 2), 1e-16)))
    np.testing.assert_array_equal(found.clear, [False, False, True])
    assert np.isnan(found.radius).all()


@given(POLYNOMIALS, st.integers(-2, 2), st.integers(-2, 2))
def test_sums_are_polynomials_again(polynomials, weight, shift):
    one, x, d = Powers(polynomials), np.zeros((1, 1)), np.ones((1, 1))
    both = WeightedSum([Term(one, range(one.columns), weight)], one.columns, shift)
    expected = weight * one.coefficients
    expected[:, 0] += shift
    np.testing.assert_array_equal(both.along(x, d).values[0], expected)
    assert not both.along(x, d).errors[..., 1:][expected[None, :, 1:] == 0].any()
    rows = np.array([[0.3], [-2.0]])
    np.testing.assert_allclose(both.at(rows), weight * one.at(rows) + shift)


def test_a_mean_over_members_and_odds_side_by_side():
    one, other = Powers([[1, 2], [0, 3]]), Powers([[1, 0, 1], [5, 0, 1]])
    x, d = np.zeros((2, 2)), np.ones((2, 2))
    mean = WeightedSum([Term(one, (0, 1), 0.5), Term(other, (0, 1), 0.5)], 2)
    np.testing.assert_array_equal(mean.along(x, d).values[0], [[1, 1, 0.5], [2.5, 1.5, 0.5]])
    np.testing.assert_allclose(mean.at(d), (one.at(d[:, :1]) + other.at(d[:, :1])) / 2)
    odds = WeightedSum([Term(Odds(one), [1]), Term(Odds(other), [0])], 2)
    np.testing.assert_array_equal(odds.along(x, d).values[0], [[4, 0, 0], [-1, 1, 0]])
    np.testing.assert_array_equal(odds.at(d), [[4, 0], [4, 0]])


def test_a_decision_function_is_followed_where_it_is_straight():
    found = ends([[1, 2, 0], [0, -1, 0]], Itself())
    np.testing.assert_array_equal(found.rate, [[2, -1]])
    np.testing.assert_array_equal(found.offset, [[1, 0]])
    with pytest.raises(ValueError, match="use its probabilities"):
        ends([[1, 2, 3]], Itself())


def test_a_far_field_of_polynomials():
    network = Network(Polynomials(Powers([[0, 1], [0.5, 1], [0, 0]])), returns=Softmax.returns)
    far = kl.far_field(Model("Powers", (network,), n_features_in_=1), np.zeros((1, 1)), np.ones((1, 1)), certify=True)
    np.testing.assert_allclose(far.probs[0, 0], [1 - expit(0.5), expit(0.5), 0])
    assert np.isnan(far.radius).all()
    assert far.certified.all()


def test_numbers_that_are_too_large_are_refused():
    family = Polynomials(Powers([[0, 1], [0, 1e300]]))
    with pytest.raises(OverflowError, match="scale the inputs"):
        family(torch.full((1, 1), 1e300, dtype=torch.float64))
    with pytest.raises(ValueError, match="1 columns"):
        family.at(np.zeros((1, 2)))
    np.testing.assert_array_equal(family.at(np.ones((1, 1))), [[0, 1]])


def test_the_oracle_tells_fractions():
    assert exact.winners([[0, Fraction(1, 3)], [0, Fraction(1, 3) + Fraction(1, 10**40)]]) == [1]
