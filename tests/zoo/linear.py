"""Linear classifiers that are no networks by themselves: sigmoids of each class, and scores that others calibrate."""

import numpy as np
from scipy.special import log_expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.zoo.entry import NO_LOGITS, SMOOTH, Entry
from tests.zoo.estimators import MIXED, fitted
from tests.zoo.tables import CANCER, WINE


def _ratios(scores):
    """Sigmoids divided by their sum, by their logarithms, as they underflow."""
    return softmax(log_expit(scores), 1)


def _one_vs_rest(model, X):
    return _ratios(model.decision_function(X))


def platt(model, X):
    """The mean over folds of Platt's sigmoids."""
    folds = []
    for fold in model.calibrated_classifiers_:
        scores = np.asarray(fold.estimator.decision_function(X)).reshape(len(X), -1)
        a, b = (np.array([getattr(one, name) for one in fold.calibrators]) for name in ("a_", "b_"))
        logits = -(a * scores + b)
        folds.append(_ratios(logits) if logits.shape[1] > 1 else softmax(np.concatenate([0 * logits, logits], 1), 1))
    return np.mean(folds, 0)


def calibrated(scores, method="sigmoid"):
    return lambda: CalibratedClassifierCV(scores, method=method, cv=2)


ENTRIES: dict[str, Entry] = {
    "descent": fitted("`SGDClassifier(loss='log_loss')`", lambda: SGDClassifier(loss="log_loss", random_state=0), CANCER),
    "descent_several": fitted(
        "`SGDClassifier(loss='log_loss')`, a sigmoid for each of three classes",
        lambda: SGDClassifier(loss="log_loss", random_state=0),
        WINE,
        truth=_one_vs_rest,
        refused=SMOOTH | NO_LOGITS,
    ),
    "descent_huber": fitted(
        "`SGDClassifier(loss='modified_huber')`",
        lambda: SGDClassifier(loss="modified_huber", random_state=0),
        WINE,
        refused=SMOOTH | NO_LOGITS,
    ),
    "calibrated_svc": fitted("`LinearSVC`, calibrated", calibrated(LinearSVC()), WINE, truth=platt, refused=MIXED),
    "calibrated_svc_pipeline": fitted(
        "`LinearSVC` in a Pipeline, calibrated",
        calibrated(make_pipeline(StandardScaler(), LinearSVC())),
        CANCER,
        truth=platt,
        refused=MIXED,
    ),
    "calibrated_ridge": fitted(
        "`RidgeClassifier`, isotonic calibration", calibrated(RidgeClassifier(), "isotonic"), WINE, refused=MIXED
    ),
    "calibrated_perceptron": fitted("`Perceptron`, calibrated", calibrated(Perceptron()), CANCER, truth=platt, refused=MIXED),
    "stacked_scores": fitted(
        "`StackingClassifier` of a `LinearSVC` and a `LogisticRegression`",
        lambda: StackingClassifier([("scores", LinearSVC()), ("logits", LogisticRegression())], cv=2),
        CANCER,
        refused=SMOOTH,
    ),
}
