"""XGBoost's classifiers and boosters."""

import sys
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from knowlimits.model.asked import Asked
from knowlimits.model.boosters.ubjson import decoded
from knowlimits.model.boosters.xgboost import read_xgboost
from knowlimits.model.kinds.boosters import Answering, held, model_of, pair, read_as
from knowlimits.model.kinds.fitted import about, not_fitted
from knowlimits.model.kinds.refused import refused
from knowlimits.model.model import Model


def read_classifier(model: Any, asked: Asked) -> Model:
    """XGBClassifier and XGBRFClassifier: as many rounds as they predict with.

    Raises:
        ValueError: if it is not fitted, or has no probability for each class.
    """
    if not model.__sklearn_is_fitted__():
        raise not_fitted(model)
    name = type(model).__name__
    if callable(model.objective) or model.objective == "binary:logitraw":
        raise ValueError(
            f"model must have an objective that gives a probability for each class. Got {name} with "
            f"{'one of its own' if callable(model.objective) else repr(model.objective)}: fit it with 'binary:logistic' or "
            "'multi:softprob'."
        )
    # Without early stopping there is none.
    best = getattr(model, "best_iteration", None)
    rounds = None if best is None or model.booster == "gblinear" else int(best) + 1
    missing = np.nan if model.missing is None else float(model.missing)
    with read_as(f"model cannot be read. Got {name}, which"):
        found = read_xgboost(decoded(bytes(model.get_booster().save_raw("ubj"))), rounds, missing)
    return held(model_of(found, name, about(model), asked.rows), model, asked)


def read_booster(model: Any, asked: Asked) -> Model:
    """A Booster, which predicts with all rounds."""
    with read_as("model cannot be read. Got Booster, which"):
        found = read_xgboost(decoded(bytes(model.save_raw("ubj"))))
    return held(model_of(found, "Booster", {}, asked.rows), Answering(lambda X: probabilities(model, X)), asked)


def probabilities(booster: Any, X: Any) -> np.ndarray:
    """What a Booster says of rows, ``(n, classes)``, by its margins, as not all objectives give probabilities."""
    # Whoever has one has imported its library.
    matrix = sys.modules["xgboost"].DMatrix
    names = {} if hasattr(X, "iloc") else {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    return of_margins(booster.predict(matrix(X, nthread=1, enable_categorical=True, **names), output_margin=True))


def of_margins(margins: np.ndarray) -> np.ndarray:
    """Probabilities ``(n, classes)`` of margins, one for each row or one for each class."""
    return pair(expit(margins)) if margins.ndim == 1 else softmax(margins, axis=1)


#: By the names of classes in the registry.
XGBOOST = {
    "xgboost.XGBClassifier": read_classifier,
    "xgboost.Booster": read_booster,
    "xgboost.XGBRanker": refused("which ranks rows"),
}
