import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import kernels as sk

from knowlimits.model.families.covariances import Constant, DotProduct, PowerOf, Stationary, gaussian
from knowlimits.model.families.family import Tail
from knowlimits.model.kinds.gaussian_process import covariance
from tests.oracles import kernels_mp as mp

Y = np.array([[0.0, 0.0], [1.0, -0.5], [0.3, 2.0], [1.0, -0.5]])
LEAVES = [
    lambda: sk.ConstantKernel(0.7),
    lambda: sk.WhiteKernel(0.2),
    lambda: sk.RBF(1.5),
    lambda: sk.RBF([0.5, 3.0]),
    lambda: sk.RBF([0.5, np.inf]),
    lambda: sk.Matern(1.5, nu=0.5),
    lambda: sk.Matern([1.0, 2.0], nu=1.5),
    lambda: sk.Matern(1.5, nu=2.5),
    lambda: sk.Matern(1.5, nu=np.inf),
    lambda: sk.Matern(1.5, nu=1.2),
    lambda: sk.RationalQuadratic(1.0, 1.0),
    lambda: sk.DotProduct(0.0),
    lambda: sk.DotProduct(1.0),
]
TREES = st.recursive(
    st.sampled_from(LEAVES).map(lambda build: build()),
    lambda inner: st.one_of(
        st.builds(sk.Sum, inner, inner),
        st.builds(sk.Product, inner, inner),
        st.builds(sk.Exponentiation, inner, st.sampled_from([1, 2, 2.0, 3])),
    ),
    max_leaves=4,
)
STEPS = st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (-0.5, -0.25)])


@given(TREES, STEPS)
@settings(max_examples=60, deadline=None)
def test_growth_is_that_of_the_kernel(kernel, step):
    """In many digits, where powers of a are so far apart that only the first is left."""
    x, d = np.array([[0.4, -1.1]]), np.array([step])
    growth = covariance(kernel).along(x, d, Y)
    assert not growth.open.any()
    if np.isneginf(growth.power[0]):
        assert not growth.own.any()
        return
    with mpmath.workdps(400):
        a = mpmath.mpf(10) ** 40
        here = mp.on_ray(x[0], d[0], a)
        power = a ** mpmath.mpf(float(growth.power[0]))
        own = mp.covariance(kernel, here, here, True) / power**2
        cross = [mp.covariance(kernel, here, row, False) / power for row in mp.rows_of(Y)]
    np.testing.assert_allclose(growth.own, float(own), rtol=1e-12)
    np.testing.assert_allclose(growth.cross[0], np.array(cross, dtype=float), rtol=1e-12, atol=1e-30)
    assert (growth.tail[0] == Tail.NONE) or any(step)


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_a_direction_of_0_gives_the_kernel_itself(kernel):
    x = np.random.default_rng(0).normal(size=(5, 2))
    growth = covariance(kernel).along(x, np.zeros_like(x), Y)
    np.testing.assert_allclose(growth.cross, kernel(x, Y), rtol=1e-12)
    np.testing.assert_allclose(growth.own, kernel.diag(x), rtol=1e-12)
    assert not growth.tail.any()
    assert (growth.power <= 0).all()


@pytest.mark.parametrize(
    ("metric", "said"),
    [("linear", {}), ("rbf", {}), ("laplacian", {}), ("poly", {}), ("polynomial", {"degree": 2, "coef0": 0.5})],
)
def test_pairwise_kernels(metric, said):
    kernel = sk.PairwiseKernel(gamma=0.3, metric=metric, pairwise_kernels_kwargs=said)
    x = np.random.default_rng(1).normal(size=(5, 2))
    growth = covariance(kernel).along(x, np.zeros_like(x), Y)
    np.testing.assert_allclose(growth.cross, kernel(x, Y), rtol=1e-10)
    np.testing.assert_allclose(growth.own, kernel.diag(x), rtol=1e-10)
    d = np.array([[1.0, -0.5]] * 5)
    growth = covariance(kernel).along(x, d, Y)
    a = 1e8
    np.testing.assert_allclose(kernel(x + a * d, Y) / a ** growth.power[:, None], growth.cross, atol=1e-6)


PERIODIC = sk.ExpSineSquared(1.0, 3.0)


@pytest.mark.parametrize(
    ("kernel", "open_"),
    [
        (PERIODIC, True),
        (PERIODIC + sk.ConstantKernel(1.0), True),
        (PERIODIC * sk.DotProduct(1.0), True),
        (PERIODIC * sk.RBF(1.0), False),
        (PERIODIC + sk.DotProduct(1.0), False),
        (sk.RBF(1.0) ** 0.5, False),
        ((sk.ConstantKernel(2.0) + sk.RBF(1.0)) ** -0.5, False),
        (sk.RBF(1.0) ** -1, True),
        (sk.DotProduct(1.0) ** 0.5, True),
        (sk.DotProduct(1.0) ** -1, True),
        (sk.DotProduct(1.0) ** 0, False),
    ],
)
def test_what_has_no_limit_that_is_known(kernel, open_):
    x, d = np.array([[0.4, -1.1]] * 2), np.array([[1.0, 1.0], [0.0, 0.0]])
    growth = covariance(kernel).along(x, d, Y)
    assert growth.open.tolist() == [open_, False]
    if not open_:
        assert np.isfinite(growth.cross).all()


def test_how_what_is_left_dies_away():
    x, d = np.zeros((1, 2)), np.ones((1, 2))
    kernels = {
        Tail.NONE: [sk.ConstantKernel(1.0), sk.WhiteKernel(1.0) + sk.ConstantKernel(1.0), sk.RBF([np.inf, np.inf])],
        Tail.FAST: [sk.RBF(1.0), sk.Matern(1.0) * sk.ConstantKernel(2.0) + sk.WhiteKernel(1.0), sk.RBF(1.0) ** 0.5],
        Tail.SLOW: [sk.RationalQuadratic(), sk.DotProduct(), sk.RBF(1.0) + sk.DotProduct()],
    }
    for tail, some in kernels.items():
        assert [covariance(kernel).along(x, d, Y).tail[0] for kernel in some] == [tail] * len(some)


def test_nothing_is_of_no_power():
    """A constant of 0, or a product with it, does not hide what grows less."""
    x, d = np.zeros((1, 2)), np.ones((1, 2))
    nothing = covariance(sk.ConstantKernel(0.0) * sk.DotProduct(1.0) + sk.RBF(1.0)).along(x, d, Y)
    assert nothing.power[0] == 0
    assert nothing.own[0] == 1
    assert DotProduct(0.0).along(x, np.zeros((1, 2)), Y).power[0] == -np.inf
    assert PowerOf(Constant(0.0), 2).along(x, d, Y).power[0] == -np.inf


def test_a_column_of_any_scale_moves():
    growth = Stationary(gaussian, scale=np.array([1e5, 1e-5])).along(np.zeros((2, 2)), np.eye(2) * 1e-300, Y)
    assert (growth.tail == Tail.FAST).all()
    assert not growth.cross.any()
