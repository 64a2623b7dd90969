"""scikit-learn's OneVsRestClassifier."""

import dataclasses
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.composed import OneVsRest
from knowlimits.model.endings import Outputs
from knowlimits.model.families.polynomials import SharedSigmoids
from knowlimits.model.kinds.fitted import about, check_fitted, proven, several_labels
from knowlimits.model.kinds.parts import composed, distribution, on_same_inputs, read_part
from knowlimits.model.kinds.polynomials import made_of, odds_of
from knowlimits.model.model import Model


def read_one_vs_rest(model: Any, asked: Asked) -> Model:
    """Probabilities of each class against the rest, divided by their sum; of two classes those of its one estimator.

    Raises:
        ValueError: if it is not fitted, was fitted to several labels per row, or has estimators of one class.
    """
    check_fitted(model, "estimators_", "label_binarizer_")
    if model.multilabel_:
        raise several_labels(model)
    # It predicts by decision functions, where its estimators have some.
    found = {**about(model), "own": model}
    parts = []
    for label, estimator in zip(found["classes_"][-len(model.estimators_) :].tolist(), model.estimators_, strict=True):
        if not hasattr(estimator, "classes_") or len(estimator.classes_) != 2:
            raise ValueError(
                f"model must tell each class from the rest. Got {type(model).__name__} whose estimator of class "
                f"{label!r} saw one class alone: fit it to rows of all classes."
            )
        parts.append(read_part(asked, model, f"estimator of class {label!r}", estimator, asked.rows))
    if len(parts) == 1:
        return proven(dataclasses.replace(parts[0], name=type(model).__name__, **found), model, asked)
    steps, networks, _ = on_same_inputs(parts, asked, found)
    if (polynomials := odds_of(networks)) is not None:
        inner = (made_of(polynomials, SharedSigmoids()),)
        return proven(Model(type(model).__name__, inner, steps, **found), model, asked)
    module = OneVsRest([distribution(part, own) for part, own in zip(parts, networks, strict=True)])
    returns = Outputs.PROBABILITIES if module.settled else Outputs.LOG_PROBABILITIES
    inner = (composed(module, returns, None, len(parts)),)
    return proven(Model(type(model).__name__, inner, steps, **found), model, asked)
