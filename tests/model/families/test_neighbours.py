"""Neighbours along rays, against brute force in fractions, and the radius against both sides of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier

import knowlimits as kl
from knowlimits.model.families.distances import Minkowski
from knowlimits.model.families.neighbours import Nearest
from tests.oracles.neighbours import FAR, nearest, powers

# Powers that are not whole need digits, and so are not followed as far.
ORDERS = {1: FAR, 2: FAR, 3: FAR, 4: FAR, np.inf: FAR, 1.5: 2**120}
KINDS = ("drawn", "whole", "twice", "constant", "collinear", "away")


def family_of(model, X, y):
    return kl.read(model.fit(X, y)).inner[0].module


def along(family, x, d):
    """Ends of one ray; None where it is refused for a tie."""
    try:
        return family.along(x[None], d[None])
    except ValueError as error:
        if "equally near for ever" in str(error) and "leave one of them out" in str(error):
            return None
        raise


def rows_of(kind, n, columns, rng):
    X = rng.normal(size=(n, columns))
    if kind == "whole":
        return rng.integers(-2, 3, size=(n, columns)).astype(float)
    if kind == "twice":
        X[n // 2 :] = X[: n - n // 2]
    if kind == "constant":
        X[:, 0] = 3.3
    if kind == "collinear":
        X = rng.normal(size=(n, 1)) * rng.normal(size=columns) + 10
    return X + 1e6 if kind == "away" else X


def ray_of(X, way, rng):
    x = X[rng.integers(len(X))] + rng.integers(0, 2) * rng.normal(size=X.shape[1])
    if way == "column":
        return x, np.eye(X.shape[1])[rng.integers(X.shape[1])] * rng.choice([-1, 0.37])
    if way == "whole":
        d = rng.integers(-1, 2, size=X.shape[1]).astype(float)
        return np.round(x), d if d.any() else np.ones(X.shape[1])
    return x, rng.normal(size=X.shape[1])


@pytest.mark.parametrize("p", ORDERS)
@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), way=st.sampled_from(("column", "whole", "drawn")), seed=st.integers(0, 2**31))
def test_neighbours_and_radius_are_those_of_brute_force_in_fractions(p, kind, way, seed):
    """Each row is a class of its own, so that shares say which rows count."""
    rng = np.random.default_rng(seed)
    n, columns = rng.integers(2, 12), rng.integers(1, 4)
    k = int(rng.integers(1, n + 1))
    X = rows_of(kind, n, columns, rng)
    model = KNeighborsClassifier(k, p=p, algorithm=str(rng.choice(["brute", "auto"])))
    family = family_of(model, X, np.arange(n))
    x, d = ray_of(X, way, rng)
    sure, tied = nearest(X, x, d, ORDERS[p], k, p)
    ends = along(family, x, d)
    if ends is None:
        assert tied.any()
        return
    inside = ends.offset[0] > 0
    assert inside.sum() == k
    assert inside[sure].all()
    assert not inside[~sure & ~tied].any()
    radius = ends.radius[0]
    if tied.any():
        assert not ends.clear[0]
        assert np.isnan(radius)
        return
    if np.isnan(radius):
        # Terms that are only nearly equal, of an order of which such are not solved for.
        assert p != 2
        return
    for a in (radius * (1 + 1e-6) + 1e-9, 2 * radius + 1, 10 * radius + 10):
        here, equal = nearest(X, x, d, a, k, p)
        assert (here == inside).all()
        assert not equal.any()
    if radius > 0 and kind != "away":
        # Rows that are equally near but for rounding count as passed.
        here, equal = nearest(X, x, d, radius * (1 - 1e-6), k, p)
        assert equal.any() or (here != inside).any() or way != "drawn"


@pytest.mark.parametrize("p", [1, 2, 3])
def test_weights_of_columns(p):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(20, 4)), np.array([0.5, 0.0, 2.0, 3.0])
    family = family_of(KNeighborsClassifier(4, p=p, metric_params={"w": weights}), X, np.arange(20))
    x, d = rng.normal(size=(2, 40, 4))
    ends = family.along(x, d)
    for ray in range(40):
        sure, _ = nearest(X, x[ray], d[ray], FAR, 4, p, weights)
        assert ((ends.offset[ray] > 0) == sure).all()
    # A column without weight moves nothing.
    still = family.along(x, np.tile([0, 1.0, 0, 0], (40, 1)))
    assert (still.offset == family.at(x)).all()
    assert (still.radius == 0).all()


def test_two_points_of_a_line_by_hand():
    """From 0 upwards the row at 1 is the nearest up to 2, and the row at 3 from there on."""
    family = family_of(KNeighborsClassifier(1), np.array([[1.0], [3.0]]), [0, 1])
    ends = family.along(np.zeros((3, 1)), np.array([[1.0], [-2.0], [0.5]]))
    assert ends.offset.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert ends.radius.tolist() == [2, 0, 4]
    assert ends.clear.all()


def test_a_mirrored_row_is_a_tie_without_an_answer_or_with_the_estimators():
    X, y = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]]), [0, 1, 0]
    family = family_of(KNeighborsClassifier(1, algorithm="kd_tree"), X, y)
    d = np.array([[1.0, 0.0]])
    ends = family.along(np.zeros((1, 2)), d)
    assert not ends.clear[0]
    assert (ends.offset == family.at(100 * d)).all()
    # Off the middle it is none.
    ends = family.along(np.array([[0.0, -1e-9]]), d)
    assert ends.offset.tolist() == [[0, 1]]
    assert ends.clear[0]


class Wavering:
    """An estimator that says the one and the other of a tie, by turns, or what cannot be."""

    def __init__(self, *answers):
        self.answers = np.array(answers, dtype=float)

    def predict_proba(self, x):
        return np.resize(self.answers, (len(x), 3))


@pytest.mark.parametrize("answers", [([1, 0, 0], [0, 1, 0]), ([0, 0, 1],)], ids=["by turns", "another row"])
def test_a_tie_that_the_estimator_does_not_decide_is_refused(answers):
    X, one = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]]), np.array([1.0, 0.0])
    family = Nearest(X, np.arange(3), Minkowski(X, 2), Wavering(*answers), False, 1)
    assert along(family, np.zeros(2), one) is None
    assert along(family, np.array([0.0, 0.5]), one).offset.tolist() == [[1, 0, 0]]
    steady = Nearest(X, np.arange(3), Minkowski(X, 2), Wavering([0, 1, 0]), False, 1)
    assert along(steady, np.zeros(2), one).offset.tolist() == [[0, 1, 0]]


def test_ties_within_a_class_are_none():
    X = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    family = family_of(KNeighborsClassifier(1), X, [1, 1, 0])
    ends = family.along(np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    assert ends.offset.tolist() == [[0, 1]]
    assert ends.clear[0]
    assert np.isfinite(ends.radius[0])


def test_weights_by_distance_come_to_be_equal():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    family = family_of(KNeighborsClassifier(5, weights="distance"), X, y)
    equal = family_of(KNeighborsClassifier(5), X, y)
    x, d = rng.normal(size=(2, 100, 3))
    ends, others = family.along(x, d), equal.along(x, d)
    assert np.allclose(ends.offset, others.offset)
    mixed = ends.offset.max(1) < 1
    assert np.isnan(ends.radius[mixed]).all()
    assert (ends.radius[~mixed] == others.radius[~mixed]).all()
    errors = [np.abs(family.at(x + a * d) - ends.offset).max() for a in (1e3, 1e4, 1e5)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    # At a row that row takes all.
    assert (family.along(X[:5], 0 * X[:5]).offset == np.eye(3)[y[:5]]).all()


@pytest.mark.parametrize("p", [1, 2, 1.5, np.inf])
def test_rows_leave_a_radius(p):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    model = RadiusNeighborsClassifier(1.0, p=p, outlier_label=2, algorithm="ball_tree")
    family = family_of(model, X, y)
    x, d = rng.normal(size=(2, 200, 3))
    ends = family.along(x, d)
    assert (ends.offset == [0, 0, 1]).all()
    assert (ends.radius > 0).sum() > 50
    for ray in range(200):

        def least(a, ray=ray):
            point = x[ray] + a * d[ray]
            return np.linalg.norm(X - point, ord=p, axis=1).min()

        assert least(ends.radius[ray] * (1 + 1e-9) + 1e-9) >= 1
        for factor in (1.1, 2, 10):
            assert least(ends.radius[ray] * factor + 1e-6) > 1
        if ends.radius[ray] > 0:
            assert least(ends.radius[ray] * (1 - 1e-9)) <= 1 + 1e-9


def test_memory_is_bounded():
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(500, 3)), rng.integers(0, 2, 500)
    family = family_of(KNeighborsClassifier(), X, y)
    blocks = []
    inner = type(family)._along

    def noted(self, x, d):
        blocks.append(len(x) * 500)
        return inner(self, x, d)

    type(family)._along = noted
    try:
        ends = family.along(rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3)))
    finally:
        type(family)._along = inner
    assert max(blocks) <= 2**17
    assert len(ends.offset) == 2000


def test_the_oracle_by_hand():
    X = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    assert powers(X, [1, 0], 2) == [1, 1, 5]
    sure, tied = nearest(X, np.zeros(2), np.array([1.0, 0.0]), 1, 1)
    assert not sure.any()
    assert tied.tolist() == [True, True, False]
