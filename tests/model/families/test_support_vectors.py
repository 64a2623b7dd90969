import warnings
from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from knowlimits.model.families.family import Tail
from knowlimits.model.families.machines import Kernel, Machine
from knowlimits.model.families.support_vectors import Decisions, SupportVectors, Votes
from knowlimits.model.kinds.support_vectors import decision_of, machine_of, sigmoids_of
from knowlimits.testing import check_family
from tests.oracles import kernels_mp as mp

KERNELS = {
    "linear": {},
    "poly": {"gamma": 0.3},
    "poly, shifted": {"kernel": "poly", "degree": 2, "coef0": 1.0},
    "poly, flat": {"kernel": "poly", "degree": 0},
    "rbf": {},
    "rbf, wide": {"kernel": "rbf", "gamma": 1e-6},
    "sigmoid": {"gamma": 0.05, "coef0": -0.2},
}


def data(classes, rows=None):
    X, y = load_iris(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), np.roll(y, 1) if classes == 3 else (y > 0).astype(int)
    kept = np.random.default_rng(0).permutation(len(X))[:rows]
    return X[kept], y[kept]


@cache
def fitted(kernel, classes):
    settings = {"kernel": kernel, **KERNELS[kernel]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return SVC(probability=True, random_state=0, **settings).fit(*data(classes, 60))


def family_of(model):
    return SupportVectors(machine_of(model), *sigmoids_of(model), len(model.classes_))


def rays(X, count=8):
    """Rays along columns, any way, along a plane, and one that does not move."""
    rng = np.random.default_rng(1)
    x, d = X[rng.integers(len(X), size=count)], rng.normal(size=(count, X.shape[1]))
    d[0::3] = np.eye(X.shape[1])[rng.integers(X.shape[1], size=len(d[0::3]))]
    d[1::3] = np.round(d[1::3])
    d[-1] = 0
    return x, d


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_limits_against_many_digits(kernel, classes):
    model = fitted(kernel, classes)
    family = family_of(model)
    X, _ = data(classes)
    x, d = rays(X)
    ends = family.along(x, d)
    with mpmath.workdps(mp.DIGITS):
        for a in (0, 1, 1e3, 1e6, 1e12):
            wanted = np.array([mp.support_vectors(model, mp.on_ray(*ray, a)) for ray in zip(x, d, strict=True)])
            np.testing.assert_allclose(family.at(x + a * d), wanted, atol=1e-9 if a < 1e12 else 1e-3)
            beyond = a > np.nan_to_num(ends.radius, nan=2e5 if kernel != "rbf, wide" else 2e4)
            np.testing.assert_allclose(ends.offset[beyond], wanted[beyond], atol=1e-12)
    assert ends.clear.all()
    assert ends.tail is (Tail.FAST if kernel.startswith(("rbf", "sigmoid")) else Tail.NONE)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_families_keep_their_contract(kernel, classes):
    model = fitted(kernel, classes)
    X, _ = data(classes)
    check_family(family_of(model), X)
    decision = decision_of(model, machine_of(model))
    if isinstance(decision, Decisions | Votes):
        check_family(decision, X)


@pytest.mark.parametrize("kernel", ["linear", "poly", "poly, shifted"])
def test_nothing_changes_beyond_the_radius_and_something_within(kernel):
    for classes in (2, 3):
        family, (slope, shift) = family_of(fitted(kernel, classes)), sigmoids_of(fitted(kernel, classes))
        rng = np.random.default_rng(2)
        x, d = data(classes)[0][rng.integers(60, size=300)], rng.normal(size=(300, 4))
        ends = family.along(x, d)
        a = ends.radius[:, None]
        for beyond in (1 + 1e-9, 1.5, 1e3):
            np.testing.assert_allclose(family.at(x + beyond * a * d + 1e-9 * d), ends.offset, rtol=0, atol=1e-15)
        logits = [np.abs(family.machine.at(x + share * a * d) * slope + shift) for share in (1 - 1e-6, 1 + 1e-6)]
        cut = np.log(1e7 - 1)
        assert (logits[1] >= cut).all()
        assert (logits[0].min(1) < cut)[ends.radius > 0].all()


@pytest.mark.parametrize("classes", [2, 3, 5, 12])
def test_coupling_is_that_of_libsvm(classes):
    rng = np.random.default_rng(3)
    count = classes * (classes - 1) // 2
    pairs = np.clip(rng.beta(0.4, 0.4, size=(40, count)), 1e-7, 1 - 1e-7)
    pairs[0] = 0.5
    for row in pairs:
        found = SupportVectors(_constant(count), np.zeros(count), np.log(1 / row - 1), classes).at(np.zeros((1, 1)))[0]
        with mpmath.workdps(40):
            wanted = mp.coupled([mpmath.mpf(float(one)) for one in row], classes)
        np.testing.assert_allclose(found, np.array(wanted, dtype=float), atol=1e-9)
        # Where it would come to if it did not stop.
        assert np.abs(found - mp.settled(row, classes)).max() < 0.1


def _constant(count):
    return Machine(Kernel.LINEAR, np.zeros((0, 1)), np.zeros((0, count)), np.zeros(count))


def test_a_step_more_or_less_is_not_clear():
    """Between two probabilities of a pair with another number of steps lies one at which rounding decides."""

    def steps(p):
        return float(SupportVectors(_constant(1), [0.0], [np.log(1 / p - 1)], 2).at(np.zeros((1, 1)))[0, 0])

    low, high = 0.5, 0.9
    while high - low > 1e-14:
        middle = (low + high) / 2
        low, high = (middle, high) if steps(middle) == 0.5 else (low, middle)
    assert steps(high) - steps(low) > 1e-4
    family = SupportVectors(_constant(1), [0.0], [np.log(1 / low - 1)], 2)
    assert not family.along(np.zeros((1, 1)), np.ones((1, 1))).clear[0]
    family = SupportVectors(_constant(1), [0.0], [np.log(1 / (low - 1e-6) - 1)], 2)
    assert family.along(np.zeros((1, 1)), np.ones((1, 1))).clear[0]


def test_a_level_sigmoid_hears_nothing():
    machine = Machine(Kernel.LINEAR, np.eye(2), np.array([[1.0], [-1.0]]), np.zeros(1))
    ends = SupportVectors(machine, [0.0], [0.3], 2).along(np.zeros((1, 2)), np.array([[1.0, 1.0]]))
    np.testing.assert_array_equal(ends.offset, SupportVectors(machine, [0.0], [0.3], 2).at(np.ones((1, 2))))
    assert ends.radius[0] == 0
    assert ends.clear.all()


NUMBERS = st.integers(-1, 1)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4), st.lists(NUMBERS, min_size=12, max_size=12), st.data())
def test_votes_are_those_of_scikit_learn_far_out(vectors, weights, drawn):
    """Also where vectors are equal, weights are 0, and no decision moves."""
    weights = np.array(weights, dtype=float).reshape(4, 3)[: len(vectors)]
    kernel = drawn.draw(st.sampled_from(Kernel))
    shift = np.array(drawn.draw(st.lists(st.sampled_from([-0.5, 0.25, 2.0]), min_size=3, max_size=3)))
    votes = Votes(Machine(kernel, np.array(vectors, dtype=float), weights, shift, 0.5, 0.25, 2), 3)
    d = np.array([drawn.draw(st.tuples(NUMBERS, NUMBERS))], dtype=float)
    x = np.array([[1.0, 0.5]])
    ends = votes.along(x, d)
    np.testing.assert_allclose(votes.at(x), _ovr(votes.machine.at(x)), atol=1e-14)
    # They come near by 1 / a, and farther out nothing is left of constants beside squares.
    np.testing.assert_allclose(_ovr(votes.machine.at(x + 1e5 * d)), ends.offset, atol=1e-3)
    if not d.any():
        assert ends.tail is Tail.NONE
        assert ends.radius[0] == 0


def _ovr(decisions):
    """scikit-learn's own, of decisions that are positive for the first class."""
    from sklearn.utils.multiclass import _ovr_decision_function

    return _ovr_decision_function(decisions < 0, -decisions, 3)


@pytest.mark.parametrize("kernel", [Kernel.RADIAL, Kernel.LINEAR])
def test_a_decision_that_tends_to_0_is_not_clear(kernel):
    """Its vote is that of what the estimator itself has in the end, where nothing but 0 is left."""
    machine = Machine(kernel, np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 1, 1], [-1, -1, -1]]), np.zeros(3))
    votes, x, d = Votes(machine, 3), np.zeros((1, 2)), np.array([[0.0, 1.0]])
    ends = votes.along(x, d)
    assert not ends.clear[0]
    np.testing.assert_allclose(ends.offset, votes.at(x + 1e6 * d), atol=1e-12)


def test_other_columns():
    with pytest.raises(ValueError, match=r"X must have 4 columns. Got 3 instead"):
        family_of(fitted("rbf", 2)).along(np.zeros((1, 3)), np.ones((1, 3)))
