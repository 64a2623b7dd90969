"""Linear classifiers, which are networks without hidden layers, alone and where only their scores are looked at."""

import numpy as np
import pytest
from scipy.special import log_expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import knowlimits as kl
from tests.model.kinds.checks import agrees, data, rays

SETS = ("wine", "cancer")


def descent(**settings):
    return SGDClassifier(random_state=0, **settings)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "model",
    [LogisticRegression(), GridSearchCV(LogisticRegression(), {"C": [0.1]}, cv=2), descent(loss="modified_huber")],
    ids=lambda one: type(one).__name__,
)
def test_probabilities_of_scores(model, name):
    X, y = data(name)
    agrees(model.fit(X, y), X)


@pytest.mark.parametrize("name", SETS)
def test_sigmoids_that_are_divided_by_their_sum(name):
    """Where all underflow scikit-learn says that classes are equally likely; the limit is that of the ratios."""
    X, y = data(name)
    model = descent(loss="log_loss").fit(X, y)
    found = kl.read(model)
    origins, directions = rays(X)
    far = kl.far_field(found, origins, directions)
    for rows in (X, *(origins + a * directions for a in (1e3, 1e6, 1e9))):
        scores = model.decision_function(rows)
        logs = np.stack([log_expit(-scores), log_expit(scores)], 1) if scores.ndim == 1 else log_expit(scores)
        np.testing.assert_allclose(found.predict_proba(rows), softmax(logs, -1), atol=1e-9)
    np.testing.assert_allclose(far.probs[0], softmax(logs, -1), atol=1e-6)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize(
    "scores",
    [
        descent(),
        LinearSVC(),
        RidgeClassifier(),
        RidgeClassifierCV(),
        Perceptron(),
        make_pipeline(StandardScaler(), LinearSVC()),
        GridSearchCV(LinearSVC(), {"C": [0.1, 1]}, cv=2),
    ],
    ids=lambda one: type(one).__name__,
)
def test_scores_that_are_calibrated(scores, method, name):
    X, y = data(name)
    model = CalibratedClassifierCV(scores, method=method, cv=2).fit(X, y)
    found = kl.read(model, X=X)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-9)
    origins, directions = rays(X)
    limits = kl.far_field(found, origins, directions).probs
    own = np.stack([_calibrated(fold, method, origins + 1e8 * directions) for fold in model.calibrated_classifiers_])
    np.testing.assert_allclose(limits, own, atol=1e-6)


def _calibrated(fold, method, rows):
    """A fold's probabilities; of sigmoids by their logarithms, as scikit-learn's own underflow."""
    scores = fold.estimator.decision_function(rows)
    if method != "sigmoid" or scores.ndim == 1:
        return fold.predict_proba(rows)
    a, b = (np.array([getattr(one, name) for one in fold.calibrators]) for name in ("a_", "b_"))
    return softmax(log_expit(-(a * scores + b)), 1)


def test_scores_that_are_stacked():
    X, y = data("wine")
    agrees(StackingClassifier([("scores", LinearSVC()), ("logits", LogisticRegression())], cv=2).fit(X, y), X)


def test_scores_alone_are_no_probabilities():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"Got a LinearSVC that has none, and so no prob.*: fit a CalibratedClassifierCV"):
        kl.far_field(LinearSVC().fit(X, y), X[:2], "random")
    with pytest.raises(ValueError, match=r"Got an SGDClassifier that has none"):
        kl.read(descent().fit(X, y))
    with pytest.raises(ValueError, match=r"part 'a' of VotingClassifier: .* Got a LinearSVC that has none"):
        kl.read(VotingClassifier([("a", LinearSVC())], voting="soft").fit(X, y))
    with pytest.raises(ValueError, match="must be fitted"):
        kl.read(CalibratedClassifierCV(LinearSVC()))


def test_scores_that_are_other_than_they_seem():
    """A subclass whose scores are its own is found out, also where a calibration would hide it."""

    class Doubled(LinearSVC):
        def decision_function(self, X):
            return 2 * super().decision_function(X)

    X, y = data("wine")
    model = CalibratedClassifierCV(Doubled(), method="isotonic", cv=2).fit(X, y)
    with pytest.raises(ValueError, match="its decision function was read as"):
        kl.read(model, X=X)


def test_they_have_polytopes_and_horizons():
    X, y = data("cancer")
    model = descent(loss="log_loss").fit(X, y)
    plane = kl.Plane(X[0], X[1] - X[0], X[2] - X[0])
    assert len(kl.partition(model, plane)) == 1
    assert kl.horizon(model, plane).share(0.99) == pytest.approx(1)


class Older(LogisticRegression):
    multi_class = "multinomial"

    def predict_proba(self, X):
        scores = self.decision_function(X)
        return softmax(np.stack([-scores, scores], 1), 1)


def test_multinomial_of_two_classes():
    """Scores (-f, f), as versions of scikit-learn that had a choice made them."""

    X, y = data("cancer")
    agrees(Older(C=0.01).fit(X, y), X)


def test_classes_are_told_by_scores_where_probabilities_are_equal():
    X, y = data("wine")
    for loss in ("log_loss", "modified_huber"):
        model = descent(loss=loss).fit(X, y)
        np.testing.assert_array_equal(kl.read(model).predict(30 * X), model.predict(30 * X))
