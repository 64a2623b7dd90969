"""scikit-learn's CalibratedClassifierCV: a mean over folds, in each of which the answers of an estimator are calibrated."""

from typing import Any

from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.composed import Answer, Isotonic, Part, Sigmoids, SoftenedLogarithm, Temperature
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.parts import Networks, answers, composed, distribution, mean, on_same_inputs, read_part
from knowlimits.model.model import Model
from knowlimits.model.network import Network

# What scikit-learn adds to probabilities before it takes their logarithms.
_ADDED = 1e-12


def read_calibrated(model: Any, asked: Asked) -> Model:
    """Each fold is a member.

    Raises:
        ValueError: if it is not fitted, or calibrates in a way that is not known.
    """
    check_fitted(model, "calibrated_classifiers_", "classes_")
    found = about(model)
    labels = found["classes_"].tolist()
    folds = model.calibrated_classifiers_
    parts = [
        read_part(asked, model, f"calibrated_classifiers_[{place}]", fold.estimator, asked.rows)
        for place, fold in enumerate(folds)
    ]
    steps, networks, _ = on_same_inputs(parts, asked, found)
    members = [_calibrated(fold, part, own, labels) for fold, part, own in zip(folds, parts, networks, strict=True)]
    each = [Part([member], len(labels), member.returns is Outputs.PROBABILITIES) for member in members]
    return proven(Model(type(model).__name__, mean(each, None, len(labels)), steps, **found), model, asked)


def _calibrated(fold: Any, part: Model, networks: Networks, labels: list[Any]) -> Network:
    """One fold, whose estimator may lack a class."""
    own = list(fold.estimator.classes_)
    binary = len(labels) == 2
    scores = hasattr(fold.estimator, "decision_function")
    answer = Answer.SCORES if scores else Answer.LAST if len(own) == 2 else Answer.PROBABILITIES
    if fold.method == "temperature":
        scaled = Temperature(float(fold.calibrators[0].beta_))
        if scores:
            return composed(nn.Sequential(answers(part, networks, answer), scaled), Outputs.LOGITS, None, len(labels))
        module = nn.Sequential(SoftenedLogarithm(distribution(part, networks), _ADDED), scaled, nn.LogSoftmax(-1))
        return composed(module, Outputs.LOG_PROBABILITIES, None, len(labels))
    # As many columns as there are calibrators: one for two classes.
    places = (1,) if binary else tuple(labels.index(label) for label in own[: len(fold.calibrators)])
    if fold.method == "isotonic":
        corners = [(calibrator.X_thresholds_, calibrator.y_thresholds_) for calibrator in fold.calibrators]
        module = nn.Sequential(answers(part, networks, answer), Isotonic(corners, places, len(labels)))
        return composed(module, Outputs.PROBABILITIES, None, len(labels))
    if fold.method != "sigmoid":
        raise ValueError(f"method must be 'sigmoid', 'isotonic' or 'temperature'. Got {fold.method!r}, which is not known.")
    if len(places) == 1 and not binary:
        raise ValueError(
            f"model must calibrate folds of all its classes. Got one of {own} alone, of which scikit-learn calibrates but one: "
            "fit it with fewer folds."
        )
    a, b = zip(*((calibrator.a_, calibrator.b_) for calibrator in fold.calibrators), strict=True)
    module = nn.Sequential(answers(part, networks, answer), Sigmoids(a, b, binary))
    return composed(module, Outputs.LOG_PROBABILITIES, None if binary else places, len(labels))
