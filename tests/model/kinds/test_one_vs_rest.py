from typing import Any

import mpmath
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import one_vs_rest
from tests.model.kinds.checks import agrees, data, mlp, pipeline, rays

BASES = {
    "network": mlp(),
    "pipeline": pipeline(),
    "linear": LogisticRegression(),
    "ours": kl.Ensemble((4,), members=2, epochs=3, random_state=0),
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_several_classes(base: Any):
    X, y = data("wine")
    found = agrees(OneVsRestClassifier(base).fit(X, np.array(["u", "v", "w"])[y]), X)
    assert (found.members, found.returns) == (1, Outputs.LOG_PROBABILITIES)


def test_ten_classes():
    X, y = data("digits")
    agrees(OneVsRestClassifier(mlp()).fit(X, y), X)


def test_where_all_underflow_against_mpmath():
    X, y = data("wine")
    model = OneVsRestClassifier(mlp(alpha=0.0)).fit(X, y)
    origins, directions = rays(X, 100)
    far = kl.far_field(model, origins, directions).probs[0]
    rows = origins + 1e7 * directions
    under = np.flatnonzero(model.predict_proba(rows).sum(1) == 0)
    assert len(under) > 5
    logits = np.stack([_logit(one, rows[under]) for one in model.estimators_], 1)
    for row, values in zip(under, logits, strict=True):
        p = [1 / (1 + mpmath.exp(-mpmath.mpf(float(value)))) for value in values]
        np.testing.assert_allclose(far[row], [float(value / sum(p)) for value in p], atol=1e-6)


def _logit(model: MLPClassifier, X: np.ndarray) -> np.ndarray:
    """In numpy."""
    hidden = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    return (hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_two_classes_are_those_of_the_one_estimator(base: Any):
    X, y = data("cancer")
    found = agrees(OneVsRestClassifier(base).fit(X, np.array(["no", "yes"])[y]), X, 1e-6 if "ours" in str(base) else 1e-9)
    assert found.returns is Outputs.LOGITS


def test_calibrated_classes():
    X, y = data("wine")
    for method, returns in (("sigmoid", Outputs.LOG_PROBABILITIES), ("isotonic", Outputs.PROBABILITIES)):
        model = OneVsRestClassifier(CalibratedClassifierCV(mlp(), method=method, cv=3)).fit(X, y)
        assert agrees(model, X).returns is returns


def test_several_labels():
    X, y = data("wine")
    model = OneVsRestClassifier(mlp()).fit(X, np.stack([y > 0, y > 1, y < 2], 1).astype(int))
    with pytest.raises(ValueError, match=r"one label per row. Got a OneVsRestClassifier"):
        kl.read(model)


def test_a_class_that_no_row_has():
    X, y = data("wine")
    model = OneVsRestClassifier(mlp())
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2, 3])
    agrees(model, X)


@pytest.mark.filterwarnings("ignore:Label")
def test_an_estimator_that_saw_one_class():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"whose estimator of class 0 saw one class alone"):
        kl.read(OneVsRestClassifier(mlp()).fit(X, 0 * y))


def test_swapped_classes_are_noticed(monkeypatch: pytest.MonkeyPatch):
    X, y = data("wine")
    model = OneVsRestClassifier(mlp()).fit(X, y)
    right = one_vs_rest.OneVsRest
    monkeypatch.setattr(one_vs_rest, "OneVsRest", lambda parts: right(parts[::-1]))
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)


def test_it_predicts_by_decision_functions():
    X, y = data("wine")
    model = OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(C=0.01), cv=2)).fit(X, y)
    # Scores in place of what a calibration makes of them.
    model.estimators_[0].decision_function = lambda X: np.full(len(X), 0.3)
    found = kl.read(model, X=X)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    assert (model.predict(X) != model.predict_proba(X).argmax(1)).any()
