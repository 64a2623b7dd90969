"""scikit-learn's CalibratedClassifierCV: a mean over folds, in each of which the answers of an estimator are calibrated."""

from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.calibrations import Isotonic, Sigmoids, SoftenedLogarithm, Temperature
from knowlimits.model.composed import Answer, Part
from knowlimits.model.endings import Outputs
from knowlimits.model.families.polynomials import Bounded, SharedSigmoids, Sigmoid, Softmax
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.parts import Networks, answers, composed, distribution, mean, on_same_inputs, read_part
from knowlimits.model.kinds.polynomials import decision_of, made_of, scaled
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
        read_part(asked, model, f"calibrated_classifiers_[{place}]", fold.estimator, asked.rows, _has_scores(fold))
        for place, fold in enumerate(folds)
    ]
    steps, networks, _ = on_same_inputs(parts, asked, found)
    members = [_calibrated(fold, part, own, labels) for fold, part, own in zip(folds, parts, networks, strict=True)]
    each = [Part([member], len(labels), member.returns is Outputs.PROBABILITIES) for member in members]
    return proven(Model(type(model).__name__, mean(each, None, len(labels)), steps, **found), model, asked)


def _has_scores(fold: Any) -> bool:
    """Whether a fold calibrates a decision function, which goes before probabilities."""
    return hasattr(fold.estimator, "decision_function")


def _calibrated(fold: Any, part: Model, networks: Networks, labels: list[Any]) -> Network:
    """One fold, whose estimator may lack a class."""
    own = list(fold.estimator.classes_)
    binary = len(labels) == 2
    scores = _has_scores(fold)
    polynomials = decision_of(networks) if scores else None
    answer = Answer.SCORES if scores else Answer.LAST if len(own) == 2 else Answer.PROBABILITIES
    if fold.method == "temperature":
        beta = float(fold.calibrators[0].beta_)
        if polynomials is not None:
            # Of two classes the scores are -f and f.
            weight, response = (2 * beta, Sigmoid()) if binary else (beta, Softmax())
            return made_of(scaled(polynomials, weight), response)
        temperature = Temperature(beta)
        if scores:
            return composed(nn.Sequential(answers(part, networks, answer), temperature), Outputs.LOGITS, None, len(labels))
        module = nn.Sequential(SoftenedLogarithm(distribution(part, networks), _ADDED), temperature, nn.LogSoftmax(-1))
        return composed(module, Outputs.LOG_PROBABILITIES, None, len(labels))
    # As many columns as there are calibrators: one for two classes.
    places = (1,) if binary else tuple(labels.index(label) for label in own[: len(fold.calibrators)])
    if fold.method == "isotonic":
        corners = [(calibrator.X_thresholds_, calibrator.y_thresholds_) for calibrator in fold.calibrators]
        isotonic = Isotonic(corners, places, len(labels))
        if polynomials is not None:
            return made_of(polynomials, Bounded(isotonic))
        module = nn.Sequential(answers(part, networks, answer), isotonic)
        return composed(module, Outputs.PROBABILITIES, None, len(labels))
    if fold.method != "sigmoid":
        raise ValueError(f"method must be 'sigmoid', 'isotonic' or 'temperature'. Got {fold.method!r}, which is not known.")
    if len(places) == 1 and not binary:
        raise ValueError(
            f"model must calibrate folds of all its classes. Got one of {own} alone, of which scikit-learn calibrates but one: "
            "fit it with fewer folds."
        )
    a, b = zip(*((calibrator.a_, calibrator.b_) for calibrator in fold.calibrators), strict=True)
    if polynomials is not None:
        if polynomials[1].columns != len(a):
            raise ValueError(
                f"model must calibrate all columns of a decision function that grows as a power of a. Got {len(a)} of "
                f"{polynomials[1].columns}, as of pairs of classes: fit it with decision_function_shape='ovr'."
            )
        found = scaled(polynomials, -np.array(a), -np.array(b))
        return made_of(found, Sigmoid()) if binary else made_of(found, SharedSigmoids(), (places, len(labels)))
    module = nn.Sequential(answers(part, networks, answer), Sigmoids(a, b, binary))
    return composed(module, Outputs.LOG_PROBABILITIES, None if binary else places, len(labels))
