"""How the log ratio is learnt: of the densities that it says, and from tables of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from knowlimits.ood.density.fitting import _component
from knowlimits.ood.density.fitting import fitted as fitted_in

KINDS = ("normal", "constant", "zero", "duplicate", "sum", "heavy", "discrete", "rare", "tiny", "large", "shifted")


def fitted(rows, components, width, rng):
    return fitted_in(rows, np.stack([rows.min(0), rows.max(0)]), components, width, rng)


def table(rng, n, kinds):
    """A column of each kind."""
    columns = [rng.normal(size=n)]
    for kind in kinds:
        columns.append(
            {
                "normal": lambda: rng.normal(size=n),
                "constant": lambda: np.full(n, 2024.0),
                "zero": lambda: np.zeros(n),
                "duplicate": lambda: -3 * columns[0],
                "sum": lambda: np.sum(columns, axis=0),
                "heavy": lambda: rng.standard_t(1.5, size=n),
                "discrete": lambda: rng.integers(3, size=n).astype(float),
                "rare": lambda: (np.arange(n) == 3).astype(float),
                "tiny": lambda: 1e-9 * rng.normal(size=n),
                "large": lambda: 1e30 * rng.normal(size=n),
                "shifted": lambda: 1e9 + rng.normal(size=n),
            }[kind]()
        )
    return np.column_stack(columns)


@given(st.integers(0, 10**6), st.sampled_from([8, 20, 60, 200]), st.lists(st.sampled_from(KINDS), max_size=12))
@settings(max_examples=30, deadline=None)
def test_any_table_has_a_ratio_that_falls(seed, n, kinds):
    X = table(np.random.default_rng(seed), n, kinds)
    ratio = fitted(X, (1, 2, 4), 4.0, np.random.RandomState(0))
    familiar = ratio(X)
    assert np.isfinite(familiar).all()
    low, high = X.min(0), X.max(0)
    half = np.where(high > low, (high - low) / 2, np.maximum(np.abs(low), 1.0))
    for column in range(X.shape[1]):
        for side in (-1, 1):
            moved = X.copy()
            moved[:, column] = (low[column] / 2 + high[column] / 2) + side * 1e5 * half[column]
            assert (ratio(moved) < familiar.min()).all()


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_component_is_the_ratio_of_its_densities(seed, d):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    covariance = root @ root.T + 0.1 * np.eye(d)
    outer = 4 * covariance + np.diag(rng.uniform(0, 1, d))
    mean, middle = rng.normal(size=(2, d))
    constant, factor, shift = _component(0.3, mean, covariance, middle, np.linalg.inv(outer))
    z = rng.normal(size=(30, d)) * 5
    expected = np.log(0.3) + multivariate_normal(mean, covariance).logpdf(z) - multivariate_normal(middle, outer).logpdf(z)
    np.testing.assert_allclose(constant - 0.5 * ((z @ factor.T - shift) ** 2).sum(1), expected, rtol=1e-8, atol=1e-8)


def test_units_of_columns_do_not_matter():
    X = table(np.random.default_rng(0), 200, ("heavy", "discrete", "sum", "constant"))
    scales, shifts = 2.0 ** np.array([10, -20, 3, 0, 30]), np.zeros(5)
    ratio, scaled = (fitted(rows, (1, 2), 4.0, np.random.RandomState(0)) for rows in (X, X * scales + shifts))
    np.testing.assert_allclose(scaled(X * scales + shifts), ratio(X), rtol=1e-6, atol=1e-6)


def test_a_constant_column_that_changes_is_noticed_and_rounding_is_not():
    X = table(np.random.default_rng(0), 300, ("normal", "constant", "zero"))
    ratio = fitted(X, (1, 2), 4.0, np.random.RandomState(0))
    year = X.copy()
    year[:, 2] += 1
    assert (ratio(year) < ratio(X).min()).all()
    np.testing.assert_allclose(ratio.seen, [X.min(0), X.max(0)], rtol=1e-12)
    zero = X.copy()
    zero[:, 3] = 1e-3
    assert (ratio(zero) < ratio(X).min()).all()
    np.testing.assert_allclose(ratio(X.astype(np.float32).astype(float)), ratio(X), rtol=0.05, atol=0.05)


def test_one_column_far_out_is_not_lost_among_hundreds():
    """Rows that differ in scale: the squares of all columns together say less than the one that is moved."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 600)) * np.exp(0.8 * rng.normal(size=(80, 1)))
    ratio = fitted(X[:60], (1,), 4.0, np.random.RandomState(0))
    moved = X[60:].copy()
    columns = rng.integers(600, size=20)
    moved[np.arange(20), columns] = 10 * np.abs(X[:60]).max(0)[columns]
    assert ratio(moved).max() < ratio(X[60:]).min()
    # Without the reach it is lost.
    plain = type(ratio)(**{**ratio.arrays(), "reach": np.inf, "steepness": 0.0})
    assert plain(moved).max() > plain(X[60:]).min()


@pytest.mark.parametrize("shape", [(2, 1), (3, 5), (8, 1)])
def test_very_few_rows(shape):
    X = np.random.default_rng(0).normal(size=shape)
    assert np.isfinite(fitted(X, (4, 8), 2.0, np.random.RandomState(0))(X)).all()
