"""Estimators that leave prediction to one inside: searches, thresholds, frozen and self-trained ones."""

import dataclasses
from collections.abc import Callable
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.model import Model


def read_search(model: Any, asked: Asked) -> Model:
    """A search: the best estimator, fitted again to all data.

    Raises:
        ValueError: if it is not fitted, or keeps no estimator.
    """
    if hasattr(model, "cv_results_") and not hasattr(model, "best_estimator_"):
        raise ValueError(
            f"model must keep its best estimator. Got {type(model).__name__} with refit={model.refit!r}: fit it with "
            "refit=True, or fit an estimator with its best_params_."
        )
    return delegated("best_estimator_")(model, asked)


def read_thresholded(model: Any, asked: Asked) -> Model:
    """Probabilities are those of the estimator inside, and predictions are not the likeliest classes."""
    return dataclasses.replace(delegated("estimator_")(model, asked), own=model)


def delegated(attribute: str) -> Callable[[Any, Asked], Model]:
    """How an estimator is read of which another one makes the probabilities.

    Args:
        attribute: where that one is.
    """

    def read(model: Any, asked: Asked) -> Model:
        check_fitted(model, attribute)
        part = asked.read(getattr(model, attribute), asked.rows)
        said = {name: value for name, value in about(model).items() if value is not None}
        own = None if part.own is None else model
        return proven(dataclasses.replace(part, name=type(model).__name__, own=own, **said), model, asked)

    return read
