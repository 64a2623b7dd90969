"""scikit-learn's BaggingClassifier and imbalanced-learn's: a mean over estimators that see some of the columns each."""

from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.composed import Part
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds.families import read_family
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.forests import bag, certain
from knowlimits.model.kinds.parts import mean, on_same_inputs, placed, read_part
from knowlimits.model.model import Model
from knowlimits.model.network import Network


def read_bagging(model: Any, asked: Asked) -> Model:
    """The mean over its estimators, each on its own columns; one whose sample lacks a class says nothing for it.

    Trees are one sum, as in a forest, and no members.

    Raises:
        ValueError: if it is not fitted, or counts votes.
    """
    check_fitted(model, "estimators_", "estimators_features_", "classes_")
    if (trees := bag(model)) is not None:
        return read_family(model, trees, asked)
    found = about(model)
    rows, classes = None if asked.rows is None else np.asarray(asked.rows), len(found["classes_"])
    parts, chosen = [], [np.asarray(columns) for columns in model.estimators_features_]
    for place, (estimator, columns) in enumerate(zip(model.estimators_, chosen, strict=True)):
        if len(estimator.classes_) == 1:
            # Its sample had no other; labels are places among the classes.
            family = certain(int(estimator.classes_[0]), classes)
            parts.append(Model(type(estimator).__name__, (Network(family, returns=family.returns),), **found))
            continue
        if not hasattr(estimator, "predict_proba"):
            raise ValueError(
                f"model must average probabilities. Got {type(model).__name__}, which counts the votes of "
                f"{type(estimator).__name__}, as that has no predict_proba; shares of votes jump."
            )
        part_rows = None if rows is None else rows[:, columns]
        parts.append(read_part(asked, model, f"estimators_[{place}]", estimator, part_rows))
    steps, networks, _ = on_same_inputs(parts, asked, found, chosen)
    each = []
    for part, estimator, own in zip(parts, model.estimators_, networks, strict=True):
        # Labels are places among the classes.
        places = tuple(int(label) for label in estimator.classes_)
        complete = len(places) in (1, classes)
        mine = own if complete else [placed(network, places, classes) for network in own]
        each.append(Part(mine, classes, part.returns is Outputs.PROBABILITIES))
    return proven(Model(type(model).__name__, mean(each, None, classes), steps, **found), model, asked)
