"""What a model answers for rows, whatever kind of classifier it is: its own predictions and probabilities, one class a row."""

from typing import Any

import numpy as np
import torch
from sklearn.exceptions import NotFittedError

from knowlimits.model.kinds import kind_of
from knowlimits.model.model import Model
from knowlimits.model.own import answered, labelled
from knowlimits.model.read import read

# Rows that a module is looked at on.
_LOOKED_AT = 200


def answering(model: Any, outputs: str | None, X: Any) -> Any:
    """What predicts as a model does, by `predict` and `predict_proba`: it itself, or a module as it is read."""
    if all(hasattr(model, method) for method in ("predict", "predict_proba")) and not isinstance(model, torch.nn.Module):
        return model
    if not isinstance(model, Model) and kind_of(model) is None:
        raise TypeError(
            "model must be a classifier with predict and predict_proba, or what knowlimits.far_field takes. "
            f"Got {type(model).__name__} instead."
        )
    return read(model, outputs, X[:_LOOKED_AT])


def labels_of(model: Any, X: Any) -> np.ndarray:
    """Labels of the classes of what answers for a model, which says one of them for each row.

    Raises:
        ValueError: if it says several, or something else.
    """
    try:
        probs, predicted = answered(model.predict_proba, X), labelled(model.predict, X)
    except NotFittedError as error:
        raise ValueError(f"model must be fitted. Got {type(model).__name__} that is not: call fit first.") from error
    shape = "a list" if isinstance(probs, list) else np.shape(probs)
    exclusive = not isinstance(probs, list) and len(shape) == 2 and np.ndim(predicted) == 1
    if not exclusive or not np.allclose(np.asarray(probs, dtype=np.float64).sum(1), 1, atol=1e-3):
        raise ValueError(
            "model must give each row probabilities of classes that exclude each other, which add up to 1. Got "
            f"{type(model).__name__} with predictions of shape {np.shape(predicted)} and probabilities of shape {shape}: guard "
            "a classifier of each label by itself."
        )
    labels = getattr(model, "classes_", None)
    labels = np.arange(shape[1]) if labels is None else np.asarray(labels)
    if labels.shape != (shape[1],):
        raise ValueError(
            f"model must have a label for each of {shape[1]} classes. Got classes_ of shape {labels.shape} instead."
        )
    return labels
