import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from tests.model.kinds.checks import agrees, data

KERNELS = [
    None,
    1.0 * RBF(3.0),
    ConstantKernel(2.0) + RBF(3.0),
    2.0 * Matern(3.0, nu=2.5) + WhiteKernel(0.1),
    RationalQuadratic(3.0, 1.0) + ConstantKernel(1.0),
]


def some(name: str) -> tuple[np.ndarray, np.ndarray]:
    """As many rows as fitting is fast with, of few columns, so that they are near one another."""
    X, y = data(name)
    kept = np.random.default_rng(0).permutation(len(X))[:90]
    return X[kept][:, :6], y[kept]


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gaussian_processes(name: str, kernel: Any):
    X, y = some(name)
    agrees(GaussianProcessClassifier(kernel, optimizer=None).fit(X, np.array(["u", "v", "w"])[y]), X)


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_kernels_that_grow(name: str):
    """What they come to is a constant, by 1 / a."""
    X, y = some(name)
    model = GaussianProcessClassifier(DotProduct() + RBF(1.0), optimizer=None).fit(X, y)
    origins, directions = X[:40], np.random.default_rng(0).normal(size=(40, X.shape[1]))
    far = kl.far_field(model, origins, directions)
    assert np.isnan(far.radius).all()
    np.testing.assert_allclose(far.probs[0], model.predict_proba(origins + 1e8 * directions), atol=1e-6)


def test_kernels_that_were_fitted():
    X, y = some("cancer")
    with warnings.catch_warnings():
        # Of length scales at their bounds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianProcessClassifier(1.0 * RBF(np.ones(6)) + WhiteKernel(1.0), random_state=0).fit(X[:50], y[:50])
    assert model.kernel_ != model.kernel
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))


def process(kernel: Any = None) -> GaussianProcessClassifier:
    return GaussianProcessClassifier(ConstantKernel(2.0) + RBF(3.0) if kernel is None else kernel, optimizer=None)


PUT_TOGETHER = {
    "pipeline": lambda: make_pipeline(StandardScaler(), process()),
    "calibrated": lambda: CalibratedClassifierCV(process(), cv=2),
    "isotonic": lambda: CalibratedClassifierCV(process(), cv=2, method="isotonic"),
    "voting": lambda: VotingClassifier([("a", process()), ("b", LogisticRegression())], voting="soft", weights=[3, 1]),
    "bagging": lambda: BaggingClassifier(process(), 2, random_state=0, max_features=0.7),
    "stacking": lambda: StackingClassifier([("a", process()), ("b", process(RBF(1.0)))], cv=2),
    "one-vs-rest": lambda: OneVsRestClassifier(process()),
}


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("kind", PUT_TOGETHER)
def test_what_it_is_a_part_of(name: str, kind: str):
    X, y = some(name)
    agrees(PUT_TOGETHER[kind]().fit(X, y), X)


class Own(RBF):
    """A person's own, which may be anything."""


@pytest.mark.parametrize(
    ("build", "error", "why"),
    [
        (lambda X, y: GaussianProcessClassifier(), ValueError, "is not: call fit first"),
        (
            lambda X, y: GaussianProcessClassifier(multi_class="one_vs_one", optimizer=None).fit(X, y),
            ValueError,
            "fit it with multi_class='one_vs_rest'",
        ),
        (lambda X, y: process(Own(1.0)).fit(X, y), TypeError, "Got Own, of which it is not known"),
        (lambda X, y: process(1.0 * Own(1.0) + RBF(1.0)).fit(X, y), TypeError, "Got Own, of which it is not known"),
        (lambda X, y: process(PairwiseKernel(metric="cosine")).fit(X, y), TypeError, "Got 'cosine'"),
        (
            lambda X, y: process(ExpSineSquared(1.0, 3.0) + WhiteKernel(30.0)).fit(X, y),
            TypeError,
            r"limit that is known far away. Got ExpSineSquared\(.*multiply it by an RBF",
        ),
    ],
)
def test_what_is_refused(build: Any, error: type[Exception], why: str):
    model = build(*some("wine"))
    with pytest.raises(error, match=why) as caught:
        kl.read(model)
    assert "\n" not in str(caught.value)


def test_predictions_are_by_the_sign_of_the_mean():
    """At a tie of probabilities, where nothing is left of the mean, that is the first class."""
    X, y = some("cancer")
    model = process(RBF(1.0)).fit(X, y)
    far = X[:3] + 1e9
    np.testing.assert_array_equal(kl.read(model).predict(far), model.predict(far))


def test_many_rays_take_little_memory():
    import tracemalloc

    X, y = some("cancer")
    family = kl.read(process(DotProduct()).fit(X, y)).inner[0].module
    x, d = np.random.default_rng(0).normal(size=(2, 100_000, X.shape[1]))
    tracemalloc.start()
    try:
        family.along(x, d)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Less than covariances of all rays at once.
    assert peak < 8 * len(x) * len(X)
