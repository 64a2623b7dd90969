"""Families of a person's own: registered, read, and held to the check."""

import doctest

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier

import knowlimits as kl
from knowlimits import families
from knowlimits.families import Ends, Family, Outputs, Tail, register
from knowlimits.model.kinds import KINDS
from knowlimits.testing import check_family

X, Y = load_wine(return_X_y=True)


@pytest.fixture(autouse=True)
def _registry():
    before = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(before)


class Steps(Family):
    """A step at 0 in the first column, and what a test does to it."""

    jumps = True

    @property
    def described(self):
        return "a step"

    def at(self, x):
        p = np.where(x[:, :1] > 0, 0.8, 0.3)
        return np.concatenate([1 - p, p], 1)

    def along(self, x, d):
        x, d = x[:, 0], d[:, 0]
        up = (d > 0) | ((d == 0) & (x > 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            radius = np.where(d == 0, 0.0, np.maximum(-x / d, 0))
        p = np.where(up, 0.8, 0.3)[:, None]
        return Ends(np.concatenate([1 - p, p], 1), radius=radius, clear=(x != 0) | (d != 0))


class WrongLimit(Steps):
    def along(self, x, d):
        ends = super().along(x, d)
        return Ends(ends.offset[:, ::-1].copy(), radius=ends.radius, clear=ends.clear)


class EarlyRadius(Steps):
    def along(self, x, d):
        ends = super().along(x, d)
        return Ends(ends.offset, radius=ends.radius / 2, clear=ends.clear)


class Stuck(Steps):
    """Says that it only comes near to what it never comes near to."""

    def along(self, x, d):
        ends = super().along(x, d)
        still = (d == 0).all(1)
        offset = np.where(still[:, None], ends.offset, 0.5)
        return Ends(offset, radius=np.where(still, 0.0, np.nan), tail=Tail.FAST)


class Beside(Steps):
    def at(self, x):
        return super().at(x - x.mean())


class Unsure(Steps):
    def at(self, x):
        return super().at(x) * 0.9


class Writes(Steps):
    def at(self, x):
        x += 1
        return super().at(x)


class NoTail(Steps):
    def along(self, x, d):
        ends = super().along(x, d)
        return Ends(ends.offset, radius=np.where((d == 0).all(1), 0, np.nan))


def rows():
    return np.random.default_rng(0).normal(size=(50, 2))


def test_the_check_holds_what_is_right():
    check_family(Steps(), rows())
    check_family(kl.read(RandomForestClassifier(5, random_state=0).fit(X, Y)).inner[0].module, X)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (WrongLimit, "along a direction of 0 the offset must be the value"),
        (EarlyRadius, r"beyond the radius values must be rate \* a \+ offset"),
        (Stuck, r"values must come near to rate \* a \+ offset"),
        (Beside, "a row must not hang on the rows beside it"),
        (Unsure, "must add up to 1"),
        (Writes, "at must leave what it is given as it is"),
        (NoTail, "a tail of NONE must go with a radius on every ray"),
    ],
)
def test_the_check_finds_what_is_wrong(wrong, said):
    with pytest.raises(AssertionError, match=said):
        check_family(wrong(), rows())


class Estimator:
    classes_, n_features_in_ = np.array(["no", "yes"]), 2

    def predict_proba(self, X):
        return Steps().at(np.asarray(X))


def test_what_is_registered_is_read_everywhere():
    register(Estimator, lambda _: Steps())
    far = kl.far_field(Estimator(), [[3.0, 1.0], [-2.0, 1.0]], [[-1.0, 0.0], [0.0, 5.0]])
    np.testing.assert_array_equal(far.probs[0], [[0.7, 0.3], [0.7, 0.3]])
    np.testing.assert_array_equal(far.radius[0], [3, 0])
    assert "probabilities, of a step" in str(kl.read(Estimator()))


def test_a_name_stands_for_a_class_that_is_not_imported():
    register(f"{Estimator.__module__.partition('.')[0]}.Estimator", lambda _: Steps())

    class Child(Estimator):
        pass

    assert kl.read(Child()).classes_.tolist() == ["no", "yes"]


def test_what_is_registered_is_held_to_its_own_predictions():
    class Other(Estimator):
        def predict_proba(self, X):
            return super().predict_proba(X)[:, ::-1]

    register(Other, lambda _: Steps())
    with pytest.raises(ValueError, match="model cannot be read for certain"):
        kl.read(Other())


def test_names_that_are_none():
    with pytest.raises(ValueError, match=r"kind must be new. Got 'sklearn.RandomForestClassifier', which is registered"):
        register("sklearn.RandomForestClassifier", lambda _: Steps())
    with pytest.raises(ValueError, match=r"kind must be a class or 'package.ClassName'. Got 'Forest' instead"):
        register("Forest", lambda _: Steps())


def test_the_example():
    assert doctest.testmod(families).attempted
    assert Outputs.LOGITS
