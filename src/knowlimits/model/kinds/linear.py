"""scikit-learn's linear classifiers: networks without hidden layers, but for what makes probabilities of their scores."""

from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.calibrations import EvenShares, Sigmoids
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.parts import composed
from knowlimits.model.model import Model, check_numbers, linear
from knowlimits.model.network import Network


def scores_of(model: Any) -> nn.Linear:
    """The decision function: a score of two classes, or one of each of several.

    Raises:
        ValueError: if it is not fitted, or has weights that are not finite.
    """
    check_fitted(model, "coef_", "intercept_", "classes_")
    weight = model.coef_.toarray() if hasattr(model.coef_, "toarray") else np.atleast_2d(np.asarray(model.coef_))
    layer = linear(weight, np.broadcast_to(np.asarray(model.intercept_), len(weight)))
    check_numbers(layer)
    return layer


def read_scores(model: Any, asked: Asked) -> Model:
    """Scores alone, of an estimator that has no probabilities."""
    return _proven(model, Network(scores_of(model)), asked)


def read_logistic(model: Any, asked: Asked) -> Model:
    """Scores are logits, or each class has a sigmoid of its own, as versions of scikit-learn before 1.8 could have it.

    Raises:
        ValueError: if it is not fitted.
    """
    scores = scores_of(model)
    several = len(model.classes_) > 2
    # What was asked for, in versions of scikit-learn that had a choice.
    way = getattr(model, "multi_class", "auto")
    if several and (way == "ovr" or model.solver == "liblinear"):
        return _proven(model, _one_vs_rest(scores), asked)
    if way == "multinomial" and not several:
        # Scores (-f, f).
        doubled = linear(2 * scores.weight.numpy(), 2 * scores.bias.numpy())
        return _proven(model, Network(doubled, decision=scores), asked)
    return _proven(model, Network(scores), asked)


def read_gradient_descent(model: Any, asked: Asked) -> Model:
    """Scores, of which its loss says whether and how they become probabilities.

    Raises:
        ValueError: if it is not fitted.
    """
    scores = scores_of(model)
    several = len(model.classes_) > 2
    if model.loss == "modified_huber":
        module = nn.Sequential(scores, EvenShares(binary=not several))
        return _proven(model, composed(module, Outputs.PROBABILITIES, None, len(model.classes_), decision=scores), asked)
    return _proven(model, _one_vs_rest(scores) if several and model.loss == "log_loss" else Network(scores), asked)


def _one_vs_rest(scores: nn.Linear) -> Network:
    """Sigmoids of scores, divided by their sum."""
    count = scores.out_features
    module = nn.Sequential(scores, Sigmoids([-1.0] * count, [0.0] * count, binary=False))
    return composed(module, Outputs.LOG_PROBABILITIES, None, count, decision=scores)


def _proven(model: Any, network: Network, asked: Asked) -> Model:
    # It predicts by scores, where probabilities of several classes may be as good as 1, and equal.
    own = None if network.decision is None else model
    return proven(Model(type(model).__name__, (network,), own=own, **about(model)), model, asked)


#: By the names of classes in the registry.
LINEAR = {
    "sklearn.LogisticRegression": read_logistic,
    "sklearn.SGDClassifier": read_gradient_descent,
    # LinearSVC, RidgeClassifier, Perceptron, PassiveAggressiveClassifier and whatever else has scores alone.
    "sklearn.LinearClassifierMixin": read_scores,
}
