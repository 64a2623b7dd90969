"""scikit-learn's logistic regression: a network without hidden layers."""

from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.model import Model, check_numbers, linear
from knowlimits.model.network import Network


def read_logistic(model: Any, asked: Asked) -> Model:
    """One logit of two classes, or one of each of several.

    Raises:
        ValueError: if it is not fitted, or makes probabilities of logits in another way, as older versions of scikit-learn can.
    """
    check_fitted(model, "coef_", "intercept_", "classes_")
    found = about(model)
    # What was asked for, in versions of scikit-learn that had a choice.
    way, several = getattr(model, "multi_class", "auto"), len(found["classes_"]) > 2
    if way == ("ovr" if several else "multinomial") or (several and model.solver == "liblinear"):
        raise ValueError(
            "model must be a logistic regression with a softmax over several classes, or a sigmoid of two. "
            f"Got one with multi_class={way!r} and solver={model.solver!r}: fit it without these."
        )
    weight = model.coef_.toarray() if hasattr(model.coef_, "toarray") else np.asarray(model.coef_)
    module = linear(weight, np.broadcast_to(np.asarray(model.intercept_), len(weight)))
    check_numbers(module)
    return proven(Model(type(model).__name__, (Network(module),), **found), model, asked)
