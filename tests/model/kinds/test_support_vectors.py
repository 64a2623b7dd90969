from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC, OneClassSVM

import knowlimits as kl
from tests.model.kinds.checks import agrees, data

# scikit-learn says that probabilities will be gone.
pytestmark = pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")

KERNELS = [
    {"kernel": "linear"},
    {"kernel": "rbf"},
    {"kernel": "rbf", "gamma": "auto", "class_weight": "balanced"},
    {"kernel": "poly"},
    {"kernel": "poly", "degree": 2, "coef0": 1.0},
    {"kernel": "sigmoid"},
    {"kernel": "sigmoid", "gamma": 0.01, "coef0": 0.3},
]


def svc(cls: Any = SVC, **settings: Any) -> Any:
    return cls(probability=True, random_state=0, **settings)


@pytest.mark.parametrize("name", ["wine", "cancer", "digits"])
@pytest.mark.parametrize("settings", KERNELS, ids=str)
def test_support_vector_classifiers(name: str, settings: dict[str, Any]):
    X, y = data(name)
    # Pixels that are the same in all rows are compared in a test of their own.
    X = X[:, X.std(0) > 0.1]
    agrees(svc(**settings).fit(X, np.array(list("abcdefghij"))[y]), X)


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
def test_another_way_to_fit_them(name: str, kernel: str):
    X, y = data(name)
    agrees(svc(NuSVC, nu=0.1, kernel=kernel).fit(X, y), X)


def test_sparse_support_vectors():
    X, y = data("wine")
    model = svc(kernel="poly").fit(sp.csr_array(X), y)
    assert sp.issparse(model.support_vectors_)
    assert sp.issparse(model.dual_coef_)
    agrees(model, X)


@pytest.mark.parametrize("settings", [{"break_ties": True}, {"decision_function_shape": "ovo"}, {}], ids=str)
def test_predictions_are_its_own(settings: dict[str, Any]):
    """By votes of pairs, or by these and how they are decided, and not by probabilities."""
    X, y = data("digits")
    model = svc(C=0.05, **settings).fit(X, y)
    assert (model.predict(X) != model.classes_[model.predict_proba(X).argmax(1)]).any()
    np.testing.assert_array_equal(kl.read(model).predict(X), model.predict(X))


CALIBRATED = [
    {"method": "sigmoid"},
    {"method": "isotonic"},
    {"method": "temperature"},
    {"method": "sigmoid", "ensemble": False},
]


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("settings", CALIBRATED, ids=str)
@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
@pytest.mark.parametrize("probability", [False, True])
def test_calibrations_of_its_decision_function(name: str, settings: dict[str, Any], kernel: str, probability: bool):
    """Which goes before its probabilities."""
    X, y = data(name)
    inner = svc(kernel=kernel) if probability else SVC(kernel=kernel)
    model = CalibratedClassifierCV(inner, cv=2, **settings).fit(X, y)
    # Shares of votes come near by 1 / a.
    slow = kernel == "linear" and name == "wine"
    found = kl.read(model, X=X[:12])
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-9)
    origins, directions = X[:40], np.random.default_rng(0).normal(size=(40, X.shape[1]))
    far = kl.far_field(found, origins, directions).probs.mean(0)
    np.testing.assert_allclose(far, model.predict_proba(origins + 1e9 * directions), atol=1e-6 if slow else 1e-9)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrations_of_pairs(method: str):
    """scikit-learn calibrates as many pairs as there are classes, also where there are more."""
    for name in ("wine", "digits"):
        X, y = data(name)
        model = CalibratedClassifierCV(SVC(decision_function_shape="ovo"), cv=2, method=method).fit(X, y)
        agrees(model, X)


PUT_TOGETHER = {
    "pipeline": lambda: make_pipeline(StandardScaler(), svc()),
    "voting": lambda: VotingClassifier([("a", svc()), ("b", LogisticRegression())], voting="soft", weights=[3, 1]),
    "bagging": lambda: BaggingClassifier(svc(kernel="poly"), 3, random_state=0, max_features=0.7),
    "stacking": lambda: StackingClassifier([("a", SVC()), ("b", SVC(kernel="sigmoid", gamma=0.05))], cv=2),
    "stacking probabilities": lambda: StackingClassifier([("a", svc(kernel="poly"))], cv=2, stack_method="predict_proba"),
    "one-vs-rest": lambda: OneVsRestClassifier(svc()),
    "calibrated pipeline": lambda: CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC()), cv=2),
}


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("kind", PUT_TOGETHER)
def test_what_it_is_a_part_of(name: str, kind: str):
    X, y = data(name)
    agrees(PUT_TOGETHER[kind]().fit(X, y), X)


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_decisions_of_a_linear_kernel_stacked(name: str):
    """Straight lines of two classes; of three, votes with shares that come near by 1 / a."""
    X, y = data(name)
    model = StackingClassifier([("a", SVC(kernel="linear")), ("b", SVC(kernel="poly", degree=1))], cv=2).fit(X, y)
    origins, directions = X[:40], np.random.default_rng(0).normal(size=(40, X.shape[1]))
    far = kl.far_field(model, origins, directions).probs.mean(0)
    np.testing.assert_allclose(far, model.predict_proba(origins + 1e9 * directions), atol=1e-7)


def test_a_linear_kernel_below_a_calibration_is_a_network():
    X, y = data("cancer")
    model = CalibratedClassifierCV(SVC(kernel="linear"), cv=2).fit(X, y)
    lengths = kl.scores.gradient_magnitude(model, X[:3], "entropy")
    assert (lengths > 0).all()


def test_what_happens_to_it_later_changes_nothing():
    X, y = data("cancer")
    model = svc().fit(X, y)
    found, before = kl.read(model), model.predict_proba(X)
    model.support_vectors_[:] = 0
    np.testing.assert_allclose(found.predict_proba(X), before, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "error", "why"),
    [
        (lambda X, y: SVC().fit(X, y), ValueError, "Got SVC without: fit a CalibratedClassifierCV of it"),
        (lambda X, y: svc(kernel=lambda a, b: a @ b.T).fit(X, y), TypeError, "Got a function in SVC"),
        (lambda X, y: svc(kernel="precomputed").fit(X @ X.T, y), TypeError, "Got precomputed in SVC"),
        (lambda X, y: SVC().fit(X, y).set_params(probability=True), ValueError, "set later: call fit again"),
        (lambda X, y: svc(), ValueError, "Got an SVC that is not: call fit first"),
        (lambda X, y: OneClassSVM().fit(X), TypeError, "tells outliers from the rest"),
        (
            lambda X, y: svc().fit(X, y, sample_weight=(y > 0) * 1.0),
            ValueError,
            "3 classes. Got SVC that saw rows of 2",
        ),
        (
            lambda X, y: StackingClassifier([("a", SVC(kernel="poly", decision_function_shape="ovo"))], cv=2).fit(X, y),
            ValueError,
            "use its probabilities",
        ),
        (
            lambda X, y: CalibratedClassifierCV(SVC(kernel="poly", decision_function_shape="ovo"), cv=2).fit(
                X, y + (X[:, 0] > 1)
            ),
            ValueError,
            r"Got 4 of 6, as of pairs of classes: fit it with decision_function_shape='ovr'",
        ),
    ],
)
def test_what_is_refused(build: Any, error: type[Exception], why: str):
    X, y = data("wine")
    model = build(X, y)
    with pytest.raises(error, match=why) as caught:
        kl.read(model)
    assert "\n" not in str(caught.value)


def test_no_gradients():
    X, y = data("cancer")
    model = svc().fit(X, y)
    far = kl.far_field(model, X[:3], "random", random_state=0)
    for asked in (lambda: kl.limits.gradient_magnitude(model, far), lambda: kl.scores.gradient_magnitude(model, X, "entropy")):
        with pytest.raises(TypeError, match=r"network where gradients are asked for. Got SVC, made of \d+ support vectors"):
            asked()


def test_many_rays_take_little_memory():
    import tracemalloc

    X, y = data("cancer")
    model = kl.read(svc(kernel="poly").fit(X, y))
    family = model.inner[0].module
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=(2, 50_000, X.shape[1]))
    tracemalloc.start()
    try:
        family.along(x, d)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Less than kernel values of all rays at once.
    assert peak < 8 * len(x) * len(family.machine.vectors) / 2
