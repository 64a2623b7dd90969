from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVC

from knowlimits.model.families.machines import Kernel, Machine

# Small whole numbers, so that many terms cancel, and none is rounded.
NUMBERS = st.integers(-2, 2)


def table(rows, columns):
    return st.lists(st.lists(NUMBERS, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


@st.composite
def cases(draw):
    vectors, features, pairs = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))
    parts = draw(table(vectors, features)), draw(table(vectors, pairs)), draw(table(1, pairs))[0]
    x, d = draw(table(1, features))[0], draw(table(1, features))[0]
    return *parts, x, d, draw(st.integers(0, 3)), draw(st.sampled_from([0.0, 0.5, 1.0]))


def exact_coefficients(vectors, weights, shift, x, d, degree, coef0):
    """Of each pair, from the constant up, in fractions."""
    found = []
    for pair, constant in enumerate(shift):
        own = [Fraction(0)] * (degree + 1)
        for s, w in zip(vectors, weights, strict=True):
            slope = Fraction(1, 2) * sum(a * b for a, b in zip(s, d, strict=True))
            start = Fraction(1, 2) * sum(a * b for a, b in zip(s, x, strict=True)) + Fraction(coef0)
            for k in range(degree + 1):
                own[k] += w[pair] * comb(degree, k) * slope**k * start ** (degree - k)
        own[0] += constant
        found.append(own)
    return found


def limit(polynomial):
    for coefficient in reversed(polynomial[1:]):
        if coefficient:
            return np.copysign(np.inf, float(coefficient))
    return float(polynomial[0])


@given(cases())
def test_polynomial_kernels_have_their_exact_coefficients(case):
    vectors, weights, shift, x, d, degree, coef0 = case
    machine = Machine(Kernel.POLYNOMIAL, *map(np.array, (vectors, weights, shift)), 0.5, coef0, degree)
    found = machine.along(np.array([x], dtype=float), np.array([d], dtype=float))
    wanted = exact_coefficients(*case)
    np.testing.assert_array_equal(found.values[0], np.array(wanted, dtype=float))
    value, clear = machine.limits(found)
    assert value[0].tolist() == [limit(own) for own in wanted]
    # What cancels may not be clear; what does not is.
    assert clear[0][[own[-1] != 0 for own in wanted]].all()
    still = machine.along(np.array([x], dtype=float), np.zeros((1, len(x))))
    np.testing.assert_array_equal(still.values[0, :, 0], machine.at(np.array([x], dtype=float))[0])
    assert machine.limits(still)[1].all()


@given(cases())
def test_sigmoid_kernels_saturate_or_stay(case):
    vectors, weights, shift, x, d, _, coef0 = case
    machine = Machine(Kernel.SIGMOID, *map(np.array, (vectors, weights, shift)), 0.5, coef0)
    found = machine.along(np.array([x], dtype=float), np.array([d], dtype=float)).values[0, :, 0]
    slopes = [sum(a * b for a, b in zip(s, d, strict=True)) for s in vectors]
    starts = np.tanh(0.5 * np.array(vectors) @ np.array(x) + coef0)
    ends = np.where(np.array(slopes) == 0, starts, np.sign(slopes))
    np.testing.assert_allclose(found, ends @ np.array(weights) + np.array(shift), atol=1e-13)
    far = machine.at(np.array([x]) + 1e6 * np.array([d]))[0]
    np.testing.assert_allclose(found, far, atol=1e-12)


@given(cases())
def test_radial_kernels_leave_the_shift(case):
    vectors, weights, shift, x, d, _, _ = case
    machine = Machine(Kernel.RADIAL, *map(np.array, (vectors, weights, shift)), 1e-3)
    x, d = np.array([x], dtype=float), np.array([d], dtype=float)
    found = machine.along(x, d).values[0, :, 0]
    wanted = np.array(shift, dtype=float) if d.any() else machine.at(x)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    assert machine.moving(d)[0] == d.any()


@given(cases(), st.integers(0, 2))
def test_sums_of_pairs_cancel_as_they_should(case, column):
    vectors, weights, shift, x, d, degree, coef0 = case
    machine = Machine(Kernel.POLYNOMIAL, *map(np.array, (vectors, weights, shift)), 0.5, coef0, degree)
    mix = np.array([[1, -1, 0], [1, 0, -1], [0, 1, -1]])[: len(shift)] if len(shift) == 3 else np.array([[1, -1, 0]])
    found = machine.mixed(mix)
    value, _ = found.limits(found.along(np.array([x], dtype=float), np.array([d], dtype=float)))
    pairs = exact_coefficients(*case)
    total = [sum(int(m) * own[k] for m, own in zip(mix[:, column], pairs, strict=True)) for k in range(degree + 1)]
    assert value[0, column] == limit(total)


@pytest.mark.parametrize("constant", [1.0, 0.1, 1e3, -7.3])
@pytest.mark.parametrize("kernel", ["linear", "poly", "sigmoid"])
def test_a_column_that_is_the_same_in_all_rows_moves_no_decision(kernel, constant):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(80, 3)), np.full(80, constant)])
    y = (X[:, 0] + 0.5 * rng.normal(size=80) > 0).astype(int)
    model = SVC(kernel=kernel, gamma=0.5, degree=1).fit(X, y)
    parts = model.support_vectors_, -model.dual_coef_.T, -model.intercept_
    machine = Machine(Kernel(kernel), *parts, 0.5, 0.0, 1)
    d = np.array([[0.0, 0.0, 0.0, 1.0]])
    value, clear = machine.limits(machine.along(X[:1], d))
    if kernel == "sigmoid":
        np.testing.assert_allclose(value, [-model.intercept_], atol=1e-9)
    else:
        np.testing.assert_allclose(value[0], -model.decision_function(X[:1]), rtol=1e-7)
        assert not clear.any()
        weights, _ = machine.affine
        assert weights[0, 3] == 0
        assert weights[0, :3].all()


def test_weights_that_were_not_made_to_cancel_are_taken_as_they_are():
    machine = Machine(Kernel.LINEAR, np.ones((2, 1)), np.array([[1.0], [-0.5]]), np.zeros(1))
    value, clear = machine.limits(machine.along(np.zeros((1, 1)), np.ones((1, 1))))
    assert value[0, 0] == np.inf
    assert clear.all()


@pytest.mark.parametrize(("kernel", "degree"), [("linear", 3), ("poly", 1), ("poly", 0)])
def test_what_is_affine_says_so(kernel, degree):
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(5, 4)), rng.normal(size=(5, 3)), rng.normal(size=3)
    machine = Machine(Kernel(kernel), *parts, 0.3, 0.7, degree)
    weights, shift = machine.affine
    x = rng.normal(size=(6, 4))
    np.testing.assert_allclose(x @ weights.T + shift, machine.at(x), atol=1e-13)


@pytest.mark.parametrize(("kernel", "degree"), [("poly", 2), ("rbf", 1), ("sigmoid", 1)])
def test_what_bends_is_not_affine(kernel, degree):
    assert Machine(Kernel(kernel), np.eye(2), np.ones((2, 1)), np.zeros(1), 0.3, 0.7, degree).affine is None


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    machine = Machine(Kernel.POLYNOMIAL, rng.normal(size=(7, 4)), rng.normal(size=(7, 3)), rng.normal(size=3), 0.3, 0.7, 3)
    x, d = rng.normal(size=(2, 20, 4))
    at, along = machine.at(x), machine.along(x, d)
    monkeypatch.setattr("knowlimits.model.families.machines._NUMBERS", 14)
    np.testing.assert_allclose(machine.at(x), at, rtol=1e-13)
    np.testing.assert_allclose(machine.along(x, d).values, along.values, rtol=1e-12)
    assert machine.at(x[:0]).shape == (0, 3)
    assert machine.along(x[:0], d[:0]).values.shape == (0, 3, 4)


def test_numbers_that_pass_the_largest_float():
    machine = Machine(Kernel.POLYNOMIAL, np.ones((1, 1)), np.ones((1, 1)), np.zeros(1), degree=3)
    with pytest.raises(OverflowError, match="Got larger ones in 1 support vector: scale the inputs"):
        machine.along(np.full((1, 1), 1e200), np.ones((1, 1)))
    # Infinite decisions are decisions, and LIBSVM has them too.
    assert machine.at(np.full((1, 1), 1e200)) == np.inf
    machine = Machine(Kernel.POLYNOMIAL, np.array([[1.0], [2.0]]), np.array([[1.0], [-1.0]]), np.zeros(1), degree=3)
    with pytest.raises(OverflowError, match="scale the inputs"):
        machine.at(np.full((1, 1), 1e200))


def test_other_columns():
    machine = Machine(Kernel.LINEAR, np.ones((2, 3)), np.ones((2, 1)), np.zeros(1))
    for method in (machine.at, lambda x: machine.along(x, x)):
        with pytest.raises(ValueError, match=r"X must have 3 columns. Got 2 instead"):
            method(np.zeros((1, 2)))
