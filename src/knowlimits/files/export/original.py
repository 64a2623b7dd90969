"""What is to be exported: the model, what of it is written, and what the columns are."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from knowlimits.files.export.estimators import as_written, closed
from knowlimits.files.export.graph import LABEL, MATRIX, PROBABILITIES, Draft, GraphInput, label_constant
from knowlimits.files.export.rows import is_text
from knowlimits.model.kinds.fitted import not_fitted, several_labels
from knowlimits.model.looking import guessed_rows
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.read import read
from knowlimits.model.stack import Stack
from knowlimits.model.tables import column

# Rows that a model is looked at on.
_LOOKED_AT = 200


@dataclass(frozen=True)
class Threshold:
    """A label of two classes that is told by a threshold of one probability.

    Attributes:
        place: the class whose probability counts.
        value: from which on that class is predicted.
    """

    place: int
    value: float

    def label(self, draft: Draft, p: str, classes: np.ndarray) -> str:
        """The label, ``(N,)``, of probabilities ``(N, 2)`` in float64."""
        labels = label_constant(classes)[0]
        one = draft.call("Gather", p, draft.constant(np.int64(self.place)), axis=1)
        above = draft.cast(draft.call("GreaterOrEqual", one, draft.constant(np.float64(self.value))), "INT64")
        order = labels[[1 - self.place, self.place]]
        return draft.call("Gather", draft.constant(order, "classes"), above, axis=0)


@dataclass(frozen=True, eq=False)
class Original:
    """A classifier that is to be exported.

    Attributes:
        name: of its class.
        model: what has its `predict` and `predict_proba`.
        written: the estimator whose graph is written, where it is one of scikit-learn for skl2onnx.
        found: what was read of it, where that is written; else None.
        threshold: how its label is told, where that is not by the likeliest class.
        X: rows of a person's, or None.
        inputs: of the graph.
        table: whether each column is an input.
        shape: of one row.
        names: of columns, if a table that it takes must have them.
        single: whether its torch modules are in float32.
    """

    name: str
    model: Any
    written: Any
    found: Model | None
    threshold: Threshold | None
    X: Any
    inputs: tuple[GraphInput, ...]
    table: bool
    shape: tuple[int, ...]
    names: tuple[Any, ...] | None = None
    single: bool = True

    @classmethod
    def of(cls, model: Any, X: Any = None, outputs: str | None = None) -> "Original":
        """Look at a classifier.

        Raises:
            TypeError: if it is of no kind that is known.
            ValueError: if it is not fitted, or has several labels per row.
        """
        X = as_rows(X)
        some = None if X is None else X[:_LOOKED_AT]
        written, threshold, found = model, None, None
        if _is_estimator(model):
            _check_fitted(model)
            written, threshold = _opened(model)
            found = _closed(written, some)
        else:
            found = read(model, outputs, some)
            if not found.as_layers:
                raise ValueError(
                    "model must be given as it was fitted where it has steps that are no layers. Got "
                    f"{type(model).__name__} as it was read: export the estimator itself."
                )
        if X is None and _chooses(written):
            raise ValueError(
                "X must be given, a few rows as the model takes them, where its first step chooses columns of a table: they "
                f"say which are texts. Got {type(model).__name__} alone."
            )
        inputs, table, shape, names = _inputs(model, found, X)
        answers = model if _is_estimator(model) else found
        name = found.name if isinstance(model, Model) and found is not None else type(model).__name__
        return cls(name, answers, written, found, threshold, X, inputs, table, shape, names, _is_single(model, found))

    @property
    def classes(self) -> np.ndarray | None:
        """Labels of the classes; None where the model has none."""
        classes = getattr(self.model, "classes_", None)
        return None if classes is None else np.asarray(classes)

    @property
    def numbers_only(self) -> bool:
        """Whether no column has texts."""
        return not any(one.text for one in self.inputs)

    @property
    def by_name(self) -> bool:
        """Whether its first step chooses columns of a table, so that they are inputs of their own."""
        return self.table and _chooses(self.written)

    def as_taken(self, rows: np.ndarray) -> Any:
        """Rows of numbers as the model takes them: a table with names where it was fitted to one."""
        if self.names is None or self.model is self.found:
            return rows
        import pandas

        return pandas.DataFrame(rows, columns=list(self.names))


def _is_estimator(model: Any) -> bool:
    """Whether a model answers for itself, by `predict` and `predict_proba`."""
    answers = all(hasattr(model, method) for method in ("predict", "predict_proba"))
    return answers and not isinstance(model, nn.Module | Model) and not _is_of("skorch", model)


def _chooses(model: Any) -> bool:
    """Whether the first step of a model chooses columns."""
    while isinstance(steps := getattr(model, "steps", None), list):
        model = steps[0][1]
    return hasattr(model, "transformers_")


def _is_of(library: str, model: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(model).__mro__)


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        raise not_fitted(model) from None
    except TypeError:
        # It is no estimator of scikit-learn, and has other ways to say so.
        pass
    classes: Any = getattr(model, "classes_", None)
    if isinstance(classes, list) or np.ndim(classes) > 1:
        raise several_labels(model)


def _opened(model: Any) -> tuple[Any, Threshold | None]:
    """What predicts inside searches and behind thresholds, also as the last step of a Pipeline; and the threshold.

    Raises:
        ValueError: for a threshold of something else than a probability.
    """
    if hasattr(model, "steps") and _is_of("sklearn", model) | _is_of("imblearn", model):
        name, last = model.steps[-1]
        inner, threshold = _opened(last)
        return (model, None) if inner is last else (type(model)([*model.steps[:-1], (name, inner)]), threshold)
    kinds = {kind.__name__ for kind in type(model).__mro__ if kind.__module__.startswith("sklearn.")}
    if "VotingClassifier" in kinds and model.flatten_transform:
        # What it says of transforms, and of nothing else.
        model = copy.copy(model)
        model.flatten_transform = False
        return model, None
    if "BaseSearchCV" in kinds:
        return _opened(model.best_estimator_)
    if "BaseThresholdClassifier" in kinds:
        inner, nested = _opened(model.estimator_)
        if nested is not None:
            return model.estimator_, _threshold(model)
        return inner, _threshold(model)
    return model, None


def _threshold(model: Any) -> Threshold:
    """That of a FixedThresholdClassifier or a TunedThresholdClassifierCV.

    Raises:
        ValueError: if it is one of a decision function.
    """
    if model.response_method == "decision_function" or not hasattr(model.estimator_, "predict_proba"):
        raise ValueError(
            f"model must have a threshold of a probability. Got {type(model).__name__} with one of a decision function, which "
            "a file does not give: fit it with response_method='predict_proba'."
        )
    value = getattr(model, "best_threshold_", getattr(model, "threshold", "auto"))
    label = model.pos_label if hasattr(model, "pos_label") else None
    place = 1 if label is None else np.asarray(model.classes_).tolist().index(label)
    return Threshold(place, 0.5 if value == "auto" else float(value))


def _closed(model: Any, X: Any) -> Model | None:
    """What was read of an estimator that is written without skl2onnx; None for others."""
    if not closed(model):
        return None
    try:
        return as_written(model, X)
    except (TypeError, ValueError):
        # Of ensembles of others than trees skl2onnx may know more.
        if type(model).__module__.startswith("sklearn."):
            return None
        raise


def as_rows(X: Any) -> Any:
    """Rows as an array or a pandas table."""
    if X is None or hasattr(X, "iloc"):
        return X
    if isinstance(X, torch.Tensor):
        return X.detach().cpu().numpy()
    if hasattr(X, "columns") and hasattr(X, "to_dict"):
        import pandas

        # A table of polars, whose own way there needs another package.
        return pandas.DataFrame({name: X[name].to_list() for name in X.columns})
    return X if isinstance(X, np.ndarray) else np.asarray(X) if np.asarray(X).dtype.kind in "iufb" else np.asarray(X, object)


def _inputs(model: Any, found: Model | None, X: Any) -> tuple[tuple[GraphInput, ...], bool, tuple[int, ...], Any]:
    """Inputs of the graph, whether they are columns, the shape of one row, and names that tables must have.

    Raises:
        ValueError: if names are no names of inputs, or the model does not say how many columns it takes.
    """
    fitted = getattr(model, "feature_names_in_", None)
    names = None if fitted is None or len(fitted) == 0 else tuple(fitted)
    if hasattr(X, "iloc"):
        called = tuple(map(str, X.columns))
        texts = [is_text(column(X, place)) for place in range(X.shape[1])]
        return _columns(called, texts), True, (len(called),), names
    if X is not None and X.dtype.kind in "OU" and X.ndim == 2:
        texts = [is_text(column(X, place)) for place in range(X.shape[1])]
        return _columns([f"x{place}" for place in range(X.shape[1])], texts), True, (X.shape[1],), None
    if names is not None:
        return _columns(tuple(map(str, names)), [False] * len(names)), True, (len(names),), names
    shape = tuple(X.shape[1:]) if X is not None else _shape(model, found)
    return (GraphInput(MATRIX, shape),), False, shape, None


def _columns(names: Any, texts: list[bool]) -> tuple[GraphInput, ...]:
    wrong = [name for name in names if name in (LABEL, PROBABILITIES, "") or list(names).count(name) > 1]
    if wrong:
        raise ValueError(
            f"columns of X must have names of their own, other than {LABEL!r} and {PROBABILITIES!r}, which are what the file "
            f"gives. Got {wrong[0]!r}: rename it, and fit the model again."
        )
    return tuple(GraphInput(name, (1,), text) for name, text in zip(names, texts, strict=True))


def _shape(model: Any, found: Model | None) -> tuple[int, ...]:
    if found is not None and found.input_shape is not None:
        return found.input_shape
    count = getattr(model, "n_features_in_", None) if found is None else found.n_features_in_
    if count is not None:
        return (int(count),)
    if found is not None:
        network = found.inner[0]
        return (network.n_features,) if isinstance(network, Stack) else tuple(guessed_rows(network.module).shape[1:])
    raise ValueError(
        "X must be given, a few rows as the model takes them, where it does not say how many columns it takes. Got "
        f"{type(model).__name__}, which does not."
    )


def _is_single(model: Any, found: Model | None) -> bool:
    """Whether torch modules compute in float32, as they do where nobody has made them compute otherwise."""
    if isinstance(model, nn.Module):
        return all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point())
    if found is None:
        return False
    numbers = [p for one in found.inner if isinstance(one, Network) for p in one.parameters() if p.is_floating_point()]
    return all(torch.equal(p, p.float().double()) for p in numbers)
