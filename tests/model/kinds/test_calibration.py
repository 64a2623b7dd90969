from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

import knowlimits as kl
from knowlimits.model.composed import Answer
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import calibration
from tests.model.kinds.checks import agrees, data, mlp, pipeline

METHODS = ["sigmoid", "isotonic", "temperature"]
BASES = {
    "network": mlp(),
    "pipeline": pipeline(),
    "linear": LogisticRegression(),
    "bagging": BaggingClassifier(mlp(), n_estimators=2, random_state=0),
    "bagging of linear ones": BaggingClassifier(LogisticRegression(), n_estimators=2, random_state=0),
}


def calibrated(base: Any, method: str, **settings: Any) -> CalibratedClassifierCV:
    if method == "temperature" and tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8):
        pytest.skip("scikit-learn has it from 1.8 on")
    return CalibratedClassifierCV(base, method=method, cv=3, **settings)


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_folds_are_members(base: Any, method: str, name: str):
    X, y = data(name)
    model = calibrated(base, method).fit(X, y)
    found = agrees(model, X)
    assert found.members == 3
    # Scores that are scaled stay logits.
    scaled = method == "temperature" and hasattr(model.calibrated_classifiers_[0].estimator, "decision_function")
    log = Outputs.LOGITS if scaled else Outputs.LOG_PROBABILITIES
    assert found.returns is (Outputs.PROBABILITIES if method == "isotonic" else log)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_one_calibration_of_all_folds(method: str, name: str):
    X, y = data(name)
    assert agrees(calibrated(mlp(), method, ensemble=False).fit(X, y), X).members == 1


@pytest.mark.parametrize("method", METHODS)
def test_frozen_estimator(method: str):
    X, y = data("wine")
    model = calibrated(FrozenEstimator(mlp().fit(X[::2], y[::2])), method).fit(X[1::2], y[1::2])
    assert agrees(model, X).members == 1


def test_ten_classes_of_digits():
    X, y = data("digits")
    for method in METHODS:
        agrees(calibrated(mlp(), method).fit(X, y), X)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_folds_that_lack_a_class(method: str):
    X, y = data("digits")
    rows = np.flatnonzero(y < 4)
    X, y = X[rows], y[rows]
    folds = [(np.flatnonzero(y != 2), np.arange(len(y))), (np.arange(len(y)), np.arange(0, len(y), 2))]
    model = CalibratedClassifierCV(mlp(), method=method, cv=folds).fit(X, np.array(["a", "b", "c", "d"])[y])
    assert [len(fold.estimator.classes_) for fold in model.calibrated_classifiers_] == [3, 4]
    # Not on the rows themselves: on those of the lacking class all curves may be 0 up to a corner, and by rounding beyond.
    agrees(model, (X[:-1] + X[1:]) / 2)


def test_folds_of_two_of_three_classes_are_refused():
    X, y = data("wine")
    folds = [(np.flatnonzero(y != 2), np.arange(len(y))), (np.arange(len(y)), np.arange(0, len(y), 2))]
    with pytest.raises(ValueError, match="fit it with fewer folds"):
        kl.read(CalibratedClassifierCV(mlp(), cv=folds).fit(X, y))


def test_slopes_of_0_and_curves_of_one_corner():
    X, y = data("wine")
    model = calibrated(mlp(), "sigmoid").fit(X, y)
    for fold in model.calibrated_classifiers_:
        fold.calibrators[1].a_ = 0.0
    agrees(model, X)
    # Classes are not told apart at all, so that curves have one corner, or two of one height.
    constant = CalibratedClassifierCV(FrozenEstimator(mlp().fit(0 * X, y)), method="isotonic").fit(0 * X, y)
    assert {len(one.X_thresholds_) for one in constant.calibrated_classifiers_[0].calibrators} == {1}
    agrees(constant, X)


def test_isotonic_calibration_as_a_part():
    X, y = data("cancer")
    parts = [("isotonic", calibrated(mlp(), "isotonic")), ("plain", mlp(1))]
    assert agrees(VotingClassifier(parts, voting="soft", weights=[1, 2]).fit(X, y), X).returns is Outputs.PROBABILITIES


def test_not_fitted_and_no_network():
    X, y = data("wine")
    with pytest.raises(ValueError, match="Got a CalibratedClassifierCV that is not: call fit first"):
        kl.read(CalibratedClassifierCV(mlp()))
    with pytest.raises(TypeError, match=r"calibrated_classifiers_\[0\] of CalibratedClassifierCV.*Got DummyClassifier"):
        kl.read(CalibratedClassifierCV(DummyClassifier(), cv=2).fit(X, y))


def test_decision_functions_that_are_not_known():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"must be networks that give it. Got OneVsRestClassifier"):
        kl.read(CalibratedClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2).fit(X, y))


def test_the_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch):
    X, y = data("wine")
    model = calibrated(mlp(), "sigmoid").fit(X, y)
    right = calibration.answers
    monkeypatch.setattr(calibration, "answers", lambda part, networks, _: right(part, networks, Answer.SCORES))
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)


def test_swapped_calibrators_are_noticed():
    X, y = data("wine")
    model = calibrated(mlp(), "sigmoid").fit(X, y)
    found = kl.read(model, X=X)
    for fold in model.calibrated_classifiers_:
        fold.calibrators = fold.calibrators[::-1]
    assert np.abs(found.predict_proba(X) - model.predict_proba(X)).max() > 0.01
