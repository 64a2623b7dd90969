"""How a kind is tested: what was read against the estimator itself, on its data, far away, and at the limit."""

import pickle
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from knowlimits.model.model import Model

RADII = (1e6, 1e8, 1e9)


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A table with columns of mean 0 and deviation 1, and its classes."""
    X, y = {"wine": load_wine, "cancer": load_breast_cancer, "digits": load_digits}[name](return_X_y=True)
    if name == "digits":
        X, y = X[:300, 8:40], y[:300]
    return StandardScaler().fit_transform(X), y


def mlp(seed: int = 0, **settings: Any) -> MLPClassifier:
    """A small network that is trained a little."""
    # An improvement that is never reached ends training after some epochs, without a warning.
    return MLPClassifier((6,), learning_rate_init=0.02, tol=1e9, n_iter_no_change=15, random_state=seed, **settings)


def pipeline(seed: int = 0) -> Pipeline:
    """The same behind a scaler of its own."""
    return make_pipeline(StandardScaler(), mlp(seed))


def rays(X: np.ndarray, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return X[random.choice(len(X), n)], random.normal(size=(n, X.shape[1]))


def agrees(model: Any, X: np.ndarray, tolerance: float = 1e-9) -> Model:
    """Hold what is read of a fitted model to the model itself, near by, far away, and its limits to it at large radii."""
    found = kl.read(model, X=X[:12])
    origins, directions = rays(X)
    with np.errstate(all="ignore"):
        for rows in (X, origins + 1e3 * directions, origins + 1e6 * directions):
            own = model.predict_proba(rows)
            # One-vs-rest gives zeros where all probabilities underflow.
            there = own.sum(1) > 0
            np.testing.assert_allclose(found.predict_proba(rows)[there], own[there], atol=tolerance)
        far = kl.far_field(found, origins, directions)
        for radius in RADII:
            own = model.predict_proba(origins + radius * directions)
            there = own.sum(1) > 0
            np.testing.assert_allclose(far.probs.mean(0)[there], own[there], atol=1e-6)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(X[:5]), found.predict_proba(X[:5]))
    np.testing.assert_array_equal(found.classes_, model.classes_)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    return found
