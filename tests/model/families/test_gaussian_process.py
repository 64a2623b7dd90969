import mpmath
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process import kernels as sk

from knowlimits.model.families.family import Tail
from knowlimits.model.families.gaussian_process import GaussianProcess
from knowlimits.model.kinds.gaussian_process import latent_of
from knowlimits.testing import check_family
from tests.oracles import kernels_mp as mp

# What scikit-learn's five error functions add up to at 0.
HALF = 0.499999995
KERNELS = {
    "default": None,
    "rbf": 2.0 * sk.RBF([1.0, 2.0, 0.5, 1e5]),
    "constant": sk.ConstantKernel(2.0) + sk.RBF(1.5),
    "constant alone": sk.ConstantKernel(2.0),
    "noise": sk.WhiteKernel(0.5) + 2.0 * sk.Matern(1.0, nu=1.5),
    "rational": sk.RationalQuadratic(1.0, 2.0),
    "dot products": sk.DotProduct(1.0),
    "squares": sk.DotProduct(0.5) ** 2 + sk.RBF(1.0) + sk.WhiteKernel(0.1),
    "product": sk.DotProduct(1.0) * (sk.ConstantKernel(0.5) + sk.RBF(1.0)),
    "faded": sk.DotProduct(1.0) * sk.RBF(1.0),
    "periodic": sk.RBF(2.0) * sk.ExpSineSquared(1.0, 3.0),
    "periodic beside": sk.DotProduct(1.0) + sk.ExpSineSquared(1.0, 3.0) + sk.WhiteKernel(1.0),
}


def data(classes, rows=18):
    X, y = load_iris(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), y if classes == 3 else (y > 0).astype(int)
    kept = np.random.default_rng(0).permutation(len(X))[:rows]
    return X[kept], y[kept]


def fitted(kernel, classes):
    return GaussianProcessClassifier(kernel, optimizer=None).fit(*data(classes))


def family_of(model):
    parts = model.base_estimator_.estimators_ if len(model.classes_) > 2 else [model.base_estimator_]
    return GaussianProcess([latent_of(part) for part in parts])


def both(p):
    return np.column_stack([1 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p


def rays(X, count=5):
    rng = np.random.default_rng(1)
    x, d = X[rng.integers(len(X), size=count)], rng.normal(size=(count, X.shape[1]))
    d[0], d[1], d[-1] = [1, 0, 0, 0], [0, 0, 0, -1], 0
    return x, d


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_limits_against_many_digits(name, classes):
    model = fitted(KERNELS[name], classes)
    family, X = family_of(model), data(classes)[0]
    x, d = rays(X)
    ends = family.along(x, d)
    np.testing.assert_allclose(both(family.at(X)), model.predict_proba(X), atol=1e-10)
    with mpmath.workdps(mp.DIGITS):
        for a, near in ((1e3, 0.5), (1e12, 1e-9)):
            wanted = np.array([mp.gaussian_process(model, mp.on_ray(*ray, a)) for ray in zip(x, d, strict=True)])
            np.testing.assert_allclose(both(ends.offset), wanted, atol=near)
    np.testing.assert_allclose(both(ends.offset)[-1], model.predict_proba(x[-1:])[0], atol=1e-10)
    assert ends.radius[-1] == 0
    assert ends.clear.all()
    still = name == "constant alone"
    assert np.isnan(ends.radius[:-1]).all() != still
    slow = name in ("rational", "dot products", "squares", "product", "periodic beside")
    assert ends.tail is (Tail.NONE if still else Tail.SLOW if slow else ends.tail)
    assert ends.tail is not Tail.NONE or still


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_families_keep_their_contract(name, classes):
    check_family(family_of(fitted(KERNELS[name], classes)), data(classes)[0])


def test_what_dies_away_leaves_the_prior():
    for classes, p in ((2, HALF), (3, 1 / 3)):
        ends = family_of(fitted(None, classes)).along(np.zeros((2, 4)), np.array([[1.0, 0, 0, 0], [-1e-8, 1e8, 0, 1]]))
        np.testing.assert_allclose(ends.offset, p, rtol=1e-12)
        assert ends.tail is Tail.FAST


def test_a_direction_across_all_rows_leaves_the_prior():
    """Of dot products nothing is known there, but that the variance grows."""
    X, y = data(2)
    X = np.column_stack([X[:, :3], np.zeros(len(X))])
    model = GaussianProcessClassifier(sk.DotProduct(1.0), optimizer=None).fit(X, y)
    ends = family_of(model).along(X[:3], np.array([[0.0, 0, 0, 1]] * 3))
    np.testing.assert_allclose(ends.offset, HALF, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X[:3] + 1e9 * np.eye(4)[3:])[:, 1:], HALF, atol=1e-6)


@pytest.mark.parametrize("kernel", [sk.DotProduct(1.0), sk.ConstantKernel(1.0) + sk.RBF(1.0)])
def test_degenerate_data(kernel):
    """Equal rows, also of both classes, one row of a class, and a column that is the same in all rows."""
    X = np.array([[1.0, 2.0, 0.1], [1.0, 2.0, 0.1], [1.0, 2.0, 0.1], [-1.0, 0.5, 0.1], [3.0, 3.0, 0.1]])
    for y in ([0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 1, 1, 2]):
        model = GaussianProcessClassifier(kernel, optimizer=None).fit(X, y)
        x, d = np.zeros((4, 3)), np.concatenate([np.eye(3), [[0.3, -1.0, 2.0]]])
        ends = family_of(model).along(x, d)
        np.testing.assert_allclose(both(ends.offset), model.predict_proba(x + 1e9 * d), atol=1e-7)


def test_the_length_of_a_direction_does_not_count():
    family = family_of(fitted(sk.DotProduct(1.0), 3))
    x, d = rays(data(3)[0])
    for length in (1e-200, 1e200):
        np.testing.assert_allclose(family.along(x, length * d).offset, family.along(x, d).offset, rtol=1e-9)


def test_blocks_change_nothing(monkeypatch):
    family, (x, d) = family_of(fitted(sk.DotProduct(1.0) + sk.RBF(1.0), 3)), rays(data(3)[0], 20)
    at, along = family.at(x), family.along(x, d)
    monkeypatch.setattr("knowlimits.model.families.gaussian_process._NUMBERS", 40)
    np.testing.assert_allclose(family.at(x), at, atol=1e-11)
    np.testing.assert_allclose(family.along(x, d).offset, along.offset, atol=1e-11)


def test_rays_without_a_limit():
    family = family_of(fitted(sk.ExpSineSquared(1.0, 3.0) + sk.WhiteKernel(30.0), 2))
    assert not family.settles
    with pytest.raises(ValueError, match="directions must move columns along which the model has a limit"):
        family.along(np.zeros((2, 4)), np.eye(4)[:2])
    assert family.along(np.zeros((2, 4)), np.zeros((2, 4))).tail is Tail.NONE


def test_other_columns():
    with pytest.raises(ValueError, match=r"X must have 4 columns. Got 3 instead"):
        family_of(fitted(None, 2)).at(np.zeros((1, 3)))
