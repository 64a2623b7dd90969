"""Numbers of double length against fractions: whatever is made of them is off by no more than the bound says."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from knowlimits.plane.doubled import LEAST, DoubleMatrix, minus, plus, subtract, times

floats = st.one_of(
    st.floats(-1e3, 1e3),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(lambda m, e: m * 2.0**e, st.floats(-1, 1), st.integers(-1000, 1000)),
)


@st.composite
def numbers(draw):
    """A number of double length, and one that it may stand for."""
    high = draw(floats)
    low = draw(st.one_of(st.just(0.0), st.floats(-0.5, 0.5))) * math.ulp(high)
    low = low if high + low == high else 0.0
    bound = draw(st.one_of(st.just(0.0), st.floats(0, 1))) * abs(high) * 2.0**-100
    return (high, low, bound), Fraction(high) + Fraction(low) + Fraction(draw(st.sampled_from([-1, 0, 1]))) * Fraction(bound)


def holds(number, truth):
    """Whether a number, if it is one, is as near to the truth as its bound says; an infinite bound says nothing."""
    high, low, bound = map(float, number)
    if not np.isfinite([high, low, bound]).all():
        return not abs(high) > bound and not (high == low == bound == 0)
    return abs(Fraction(high) + Fraction(low) - truth) <= Fraction(bound)


@given(numbers(), numbers())
@example(((1.0, 2.0**-60, 0.0), 1 + Fraction(2) ** -60), ((-1.0, 0.0, 0.0), Fraction(-1)))
@example(((2.0**-540, 0.0, 0.0), Fraction(2) ** -540), ((2.0**-540, 0.0, 0.0), Fraction(2) ** -540))
@example(((1e200, 0.0, 0.0), Fraction(1e200)), ((1e200, 0.0, 0.0), Fraction(1e200)))
@example(((0.1, 2.0**-1074, 0.0), Fraction(0.1) + Fraction(2) ** -1074), ((0.3, 0.0, 0.0), Fraction(0.3)))
@settings(max_examples=200, deadline=None)
def test_sums_and_products_are_within_their_bounds(one, other):
    (x, x_true), (y, y_true) = one, other
    assert holds(plus(x, y), x_true + y_true)
    assert holds(minus(x, y), x_true - y_true)
    assert holds(times(x, y), x_true * y_true)


def test_bounds_are_those_of_twice_the_precision():
    x, y = (0.1, 2.0**-60, 0.0), (-0.7, 2.0**-58, 0.0)
    assert 0 < times(x, y)[2] < 2.0**-100
    assert 0 < plus(x, y)[2] < 2.0**-100
    # Nothing is lost of small integers.
    assert times((3.0, 0.0, 0.0), (-5.0, 0.0, 0.0)) == (-15.0, 0.0, 0.0)
    assert minus((3.0, 0.0, 0.0), (3.0, 0.0, 0.0)) == (0.0, 0.0, 0.0)
    # Zero takes with it whatever is in doubt.
    assert times((0.0, 0.0, 0.0), (0.1, 0.0, 1e-9)) == (0.0, 0.0, 0.0)


@st.composite
def products(draw):
    """A matrix, vectors of numbers, and those that they may stand for; of some rows most is cancelled."""
    outputs, inputs, points = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    weights = np.array(draw(st.lists(floats, min_size=outputs * inputs, max_size=outputs * inputs))).reshape(outputs, inputs)
    drawn = draw(st.lists(numbers(), min_size=points * inputs, max_size=points * inputs))
    vectors = np.array([n for n, _ in drawn]).T.reshape(3, points, inputs)
    truths = np.array([t for _, t in drawn] + [None], dtype=object)[:-1].reshape(points, inputs)
    if draw(st.booleans()):
        # The negative of all, but for what may come to the last.
        weights, vectors, truths = np.c_[weights, -weights], np.concatenate([vectors] * 2, 2), np.concatenate([truths] * 2, 1)
        weights[:, -1] = np.nextafter(weights[:, -1], draw(st.sampled_from([-1.0, 0.0, 1.0])))
    return weights, vectors, truths


@given(products(), numbers())
@settings(max_examples=200, deadline=None)
def test_sums_of_products_are_within_their_bounds(product, start):
    weights, vectors, truths = product
    total = np.tile(np.array(start[0])[:, None, None], (1, len(truths), len(weights)))
    with np.errstate(all="ignore"):
        DoubleMatrix(csr_array(weights)).add(total, vectors)
    for p, q in np.ndindex(*total.shape[1:]):
        truth = start[1] + sum((Fraction(w) * x for w, x in zip(weights[q].tolist(), truths[p], strict=True)), Fraction(0))
        assert holds(total[:, p, q], truth)


@pytest.mark.parametrize("points", [1, 31, 32, 33, 70])
def test_sums_of_products_have_twice_the_precision_at_any_number_of_points(points):
    """Off by far less than the bound, which is far less than what one float leaves out."""
    rng = np.random.default_rng(points)
    weights, vectors = rng.normal(size=(7, 50)), np.zeros((3, points, 50))
    weights[2] = 0
    vectors[0] = rng.normal(size=(points, 50))
    vectors[1] = vectors[0] * rng.uniform(-1, 1, (points, 50)) * 2.0**-54
    total = np.zeros((3, points, 7))
    DoubleMatrix(csr_array(weights)).add(total, vectors)
    for p, q in [(0, 0), (points - 1, 6), (points // 2, 2)]:
        truth = sum(Fraction(w) * (Fraction(h) + Fraction(x)) for w, h, x in zip(weights[q], *vectors[:2, p], strict=True))
        assert holds(total[:, p, q], truth)
    assert (total[2, :, [0, 6]] < 1e-28).all()
    assert not total[:, :, 2].any()


def test_what_is_too_small_for_its_products_goes_into_the_bound():
    """A weight of 2**-900 takes 2**-100 out of where errors of products are floats; a zero of it stays one."""
    matrix, total = DoubleMatrix(csr_array([[2.0**-900, 1.0]])), np.zeros((3, 2, 1))
    vectors = np.zeros((3, 2, 2))
    vectors[0, 0] = 1 / 3 * 2.0**-100, 1.0
    vectors[0, 1] = 0.0, 3.0
    matrix.add(total, vectors)
    assert total[0, :, 0].tolist() == [1.0, 3.0]
    assert LEAST <= total[2, 0, 0] < 2.0**-900
    assert total[2, 1, 0] == 0


def test_small_integers_are_without_error():
    """A true zero is one; errors of the arguments are carried on by the sizes of the weights."""
    matrix, total = DoubleMatrix(csr_array([[3.0, -2, 0], [1, 1, 1]])), np.zeros((3, 1, 2))
    matrix.add(total, np.array([[[4.0, 6, 7]], [[0, 0, 0]], [[0, 0, 2.0**-80]]]))
    assert total[:, 0, 0].tolist() == [0, 0, 0]
    assert total[:2, 0, 1].tolist() == [17, 0]
    assert 1 <= total[2, 0, 1] * 2.0**80 <= 1 + 1e-12


def test_differences_one_by_one_are_those_of_arrays():
    x, y = (np.array([[0.1, 3.0], [2.0**-60, 0.0], [0.0, 1e-30]]), np.array([[0.1, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    result = np.empty((3, 2))
    subtract(x, y, result)
    assert [tuple(c) for c in result.T] == [minus(tuple(a), tuple(b)) for a, b in zip(x.T, y.T, strict=True)]
