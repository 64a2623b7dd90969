"""scikit-learn's VotingClassifier: a weighted mean of probabilities."""

from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.parts import distribution, fitted_parts, mean, on_same_inputs, read_part
from knowlimits.model.model import Model


def read_voting(model: Any, asked: Asked) -> Model:
    """The mean over its estimators; one that is dropped has no weight.

    Raises:
        ValueError: if it is not fitted, counts votes, or has weights that are none of a mean.
    """
    check_fitted(model, "estimators_", "classes_")
    if model.voting != "soft":
        raise ValueError(
            f"model must vote by probabilities. Got {type(model).__name__} with voting={model.voting!r}, whose shares of votes "
            "jump: fit it with voting='soft'."
        )
    named = fitted_parts(model)
    parts = [read_part(asked, model, f"part {name!r}", estimator, asked.rows) for _, name, estimator in named]
    weights = None if model.weights is None else [model.weights[place] for place, _, _ in named]
    found = about(model)
    steps, networks, _ = on_same_inputs(parts, asked, found)
    each = [distribution(part, own) for part, own in zip(parts, networks, strict=True)]
    inner = mean(each, weights, len(found["classes_"]))
    return proven(Model(type(model).__name__, inner, steps, **found), model, asked)
