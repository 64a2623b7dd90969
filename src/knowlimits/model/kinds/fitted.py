"""What is asked of every fitted estimator, what a `Model` takes over from it, and the proof that it was read right."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.model.arrays import first_line
from knowlimits.model.asked import Asked
from knowlimits.model.composed import Part
from knowlimits.model.families.family import Family
from knowlimits.model.model import Model
from knowlimits.model.own import answered
from knowlimits.model.proof import check_predictions

# Rows that a reading is proven on.
_ROWS = 8
_LIBRARIES = ("knowlimits", "sklearn", "imblearn", "skorch", "xgboost", "lightgbm")
# How much sums of probabilities are off by rounding, in single precision.
_SUM = 1e-3


def check_fitted(model: Any, *attributes: str) -> None:
    """Refuse an estimator that lacks what fitting gives it.

    Raises:
        ValueError: with what to do.
    """
    if not all(hasattr(model, name) for name in attributes):
        raise not_fitted(model)


def not_fitted(model: Any) -> ValueError:
    """The error for an estimator that is not fitted."""
    return ValueError(f"model must be fitted. Got {_with_article(model)} that is not: call fit first.")


def about(model: Any) -> dict[str, Any]:
    """The fields of a `Model` that scikit-learn's estimators have too.

    Raises:
        ValueError: if it predicts several labels of a row.
    """
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list) or (classes is not None and np.ndim(classes) != 1):
        raise several_labels(model)
    return {"classes_": None if classes is None else np.asarray(classes), **columns_of(model)}


def columns_of(model: Any) -> dict[str, Any]:
    """Those of them that are about its columns."""
    names = getattr(model, "feature_names_in_", None)
    return {
        "n_features_in_": getattr(model, "n_features_in_", None),
        "feature_names_in_": None if names is None else tuple(map(str, names)),
    }


def one_label(model: Any) -> None:
    """Refuse an estimator of scikit-learn's that was fitted to several labels per row.

    Raises:
        ValueError: with what to do.
    """
    if getattr(model, "n_outputs_", 1) > 1:
        raise several_labels(model)


def several_classes(model: Any) -> None:
    """Refuse an estimator that was fitted to rows of one class alone.

    Raises:
        ValueError: with what to do.
    """
    if len(model.classes_) < 2:
        raise ValueError(
            f"model must tell classes apart. Got {_with_article(model)} that saw one class alone, {model.classes_[0]!r}: fit "
            "it to rows of two at least."
        )


def several_labels(model: Any) -> ValueError:
    """The error for a model of which several labels may be true at once."""
    return ValueError(
        f"model must have one label per row. Got {_with_article(model)} that was fitted to several: read a classifier of each "
        "label by itself."
    )


def proven(found: Model, model: Any, asked: Asked) -> Model:
    """What was understood of an estimator, held to its own `predict_proba` on a few rows, drawn ones where there are none.

    A class of a person's own may predict otherwise than those of the libraries.

    Raises:
        ValueError: if they differ, with the two numbers.
    """
    scores = not hasattr(model, "predict_proba")
    if scores and not asked.decision:
        raise ValueError(
            f"model must have predict_proba. Got {_with_article(model)} that has none, and so no probabilities: fit a "
            "CalibratedClassifierCV of it, say."
        )
    found = dataclasses.replace(found, own=model) if _predicts_otherwise(model) else found
    rows = drawn_rows(found) if asked.rows is None else some(asked.rows)
    if rows is None:
        return found
    single = _is_single(found)
    if single and isinstance(rows, np.ndarray) and rows.dtype == np.float64:
        # Torch modules take no others.
        rows = rows.astype(np.float32)
    try:
        own = _quietly(model.decision_function if scores else model.predict_proba, rows)
    except Exception as error:
        # Whatever an estimator raises about rows that no person has made.
        if asked.rows is not None:
            raise
        raise ValueError(
            f"X must be given, a few rows as the model takes them, as {type(model).__name__} takes none that could be made up. "
            f"Got {type(error).__name__} from it: {first_line(error)}."
        ) from error
    if scores:
        _check_scores(found, rows, own.reshape(len(own), -1), single)
        return found
    # Probabilities that all underflow are none, and not held against the reading.
    own = np.where(own.sum(-1, keepdims=True) == 0, np.nan, own)
    read = found.predict_proba(rows)
    if (lost := np.isfinite(own).all(-1) & ~np.isfinite(read).all(-1)).any():
        raise ValueError(
            f"model cannot be read for certain: at row {int(lost.argmax())} it predicts, and nothing finite comes of what was "
            "read. Pass rows without gaps, or the network inside it."
        )
    check_predictions(read, own.astype(np.float32) if in_single_precision(found) else own)
    return found


def in_single_precision(found: Model) -> bool:
    """Whether what a model was read from computes in single precision, as far as it can be told from what was read."""
    families = (part for network in found.inner for part in network.modules() if isinstance(part, Family))
    return _is_single(found) or any(part.single for part in families)


def _check_scores(found: Model, rows: Any, own: np.ndarray, single: bool) -> None:
    """Hold a decision function to the model's own, ``(n, columns)``, in sizes of its numbers.

    Raises:
        ValueError: if they differ, with the two numbers.
    """
    points = found.entering(found.points("X", rows))
    with torch.no_grad():
        read = Part(found.networks, own.shape[1]).scores(points).numpy()
    precision = np.finfo(np.float32 if single else np.float64).eps ** 0.5
    off = np.abs(read - own) - precision * (1 + np.abs(own)) if read.shape == own.shape else np.ones((1, 1))
    if off.max() > 0:
        row = int(off.max(1).argmax())
        raise ValueError(
            f"model cannot be read for certain: at row {row} its decision function was read as {read[row].tolist()}, and is "
            f"{own[row].tolist()}."
        )


def _quietly(method: Callable[[Any], Any], rows: Any) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Behind steps names of columns are lost, of which scikit-learn warns.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(answered(method, rows))


def _predicts_otherwise(model: Any) -> bool:
    """Whether a person's own class says what it predicts."""
    for one in type(model).__mro__:
        if one.__module__.partition(".")[0] in _LIBRARIES:
            return False
        if "predict" in vars(one):
            return True
    return False


def _is_single(found: Model) -> bool:
    """Whether a network computes in single precision where it comes from, as none of its numbers has more digits."""
    for network in found.inner:
        for numbers in network.parameters():
            if torch.equal(numbers, numbers.float().double()) and not torch.equal(numbers, numbers.round()):
                return True
    return False


def check_adds_up(model: Any, own: np.ndarray) -> None:
    """Refuse what an estimator says are probabilities, ``(n, classes)``, where they are none.

    Raises:
        ValueError: with their sum.
    """
    sums = own[np.isfinite(own).all(-1)].sum(-1)
    if len(sums) and (np.abs(sums - 1) > _SUM).any():
        raise ValueError(
            f"model must predict probabilities that add up to 1. Got {_with_article(model)} whose predict_proba gives numbers "
            f"that add up to {float(sums[np.abs(sums - 1).argmax()]):.4g}."
        )


def some(rows: Any) -> Any:
    """The first of a few rows, as numpy has them or as a table."""
    rows = rows.detach().cpu().numpy() if isinstance(rows, Tensor) else rows
    return rows[:_ROWS] if hasattr(rows, "shape") else np.asarray(rows)[:_ROWS]


def drawn_rows(found: Model) -> np.ndarray | None:
    """A few rows of numbers for a model that takes such, and says how many."""
    if found.steps is not None or found.n_features_in_ is None:
        return None
    return np.random.default_rng(0).normal(size=(_ROWS, found.n_features_in_))


def _with_article(model: Any) -> str:
    name = type(model).__name__
    # MLP and SVC are spelled, and "one" begins as "we" does.
    vowel = name[0] in "AEIO" and not name.startswith("One")
    return f"{'an' if vowel or name.startswith(('MLP', 'SVC', 'SGD', 'XGB', 'LGBM')) else 'a'} {name}"
