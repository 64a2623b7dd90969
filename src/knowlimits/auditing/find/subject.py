"""What is audited: a model, and its data as the network sees them."""

import dataclasses
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from knowlimits.auditing.find.columns import Continuous, TableReader
from knowlimits.model.model import Model
from knowlimits.model.read import read_logits

# As tables write numbers; so few digits that no two become one.
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,3})?")


@dataclass(frozen=True)
class Subject:
    """A model and its data.

    Attributes:
        model: behind the steps of its pipeline, if it has some; its classes are told by their places.
        classes: labels of the classes, ``(classes,)``.
        columns: the columns that move.
        rows: what the network sees of the data, ``(n, inputs)``; a sample of them if there are many.
        labels: places of their classes in `classes`, ``(n,)``, or None if no labels were given.
        test_rows, test_labels: of rows that detectors are not fitted to.
        given: how many rows there were.
        held_out: whether the test rows were given as such; otherwise they are a quarter of the data.
    """

    model: Model
    classes: np.ndarray
    columns: Continuous
    rows: np.ndarray
    labels: np.ndarray | None
    test_rows: np.ndarray
    test_labels: np.ndarray | None
    given: int
    held_out: bool

    def probabilities(self, points: np.ndarray) -> np.ndarray:
        """Probabilities of the members at inputs of the network, ``(members, n, classes)``."""
        return self.model.at(torch.from_numpy(points)).numpy()

    @cached_property
    def known_labels(self) -> np.ndarray:
        """The labels of the rows, or what the model predicts where there are none."""
        return self.probabilities(self.rows).mean(0).argmax(1) if self.labels is None else self.labels

    @cached_property
    def members(self) -> int:
        """How many members the model has."""
        return len(self.probabilities(self.rows[:1]))


def read_subject(
    model: Any,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    feature_names: Any,
    continuous: Any,
    most_rows: int,
    random_state: int,
) -> Subject:
    """Check a model and its data, and put them into the terms of the audit.

    Raises:
        TypeError: if the model is none that `knowlimits.far_field` takes.
        ValueError: if data and model do not fit; the text says where.
    """
    model = read_logits(model).to("cpu")
    source = TableReader(model, X, feature_names)
    rows = source.rows("X", X)
    columns = source.continuous(X, continuous)
    try:
        count = model.behind.at(torch.from_numpy(rows[:1])).shape[2]
    except RuntimeError as error:
        raise ValueError(f"model cannot take rows of {rows.shape[1]} features: {str(error).splitlines()[0]}.") from error
    y, y_test = (_read_labels(model, labels) for labels in (y, y_test))
    classes = _classes(model, y, count)
    labels = None if y is None else _places("y", y, classes, len(rows))
    if labels is not None and len(np.unique(labels)) < 2:
        raise ValueError(f"y must have two classes at least. Got {classes[labels[0]]!s} only.")
    if y is None and y_test is not None:
        raise ValueError("y must be given where y_test is. Got None.")
    rng = np.random.default_rng(random_state)
    if X_test is None:
        if len(rows) < 16:
            raise ValueError(f"X must have 16 rows at least, to hold some of them out. Got {len(rows)} instead.")
        # Not sorted by anything, as the rows may be.
        order = rng.permutation(len(rows))
        learn, test = order[len(rows) // 4 :], order[: len(rows) // 4]
        test_rows, test_labels = rows[test], None if labels is None else labels[test]
        rows, labels = rows[learn], None if labels is None else labels[learn]
        given = len(order)
    else:
        test_rows, given = source.rows("X_test", X_test), len(rows)
        test_labels = None if y_test is None else _places("y_test", y_test, classes, len(test_rows))
    (rows, labels), (test_rows, test_labels) = (
        _sample(part, of, most_rows, rng) for part, of in ((rows, labels), (test_rows, test_labels))
    )
    behind = dataclasses.replace(model.behind, classes_=None)
    return Subject(behind, classes, columns, rows, labels, test_rows, test_labels, given, held_out=X_test is not None)


def some(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Places of at most so many of `count` rows, in their order."""
    return np.arange(count) if count <= most else np.sort(rng.permutation(count)[:most])


def _sample(
    rows: np.ndarray, labels: np.ndarray | None, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    kept = some(len(rows), most, rng)
    return rows[kept], None if labels is None else labels[kept]


def _read_labels(model: Any, y: Any) -> Any:
    """Labels; text that says a number each, and for each label another, as numbers, unless the model's labels are text.

    So 10.0 comes behind 9.0, as the model's tenth class does.
    """
    own = getattr(model, "classes_", None)
    if y is None or (own is not None and np.asarray(own).dtype.kind not in "iuf"):
        return y
    texts = np.asarray(y)
    if texts.ndim != 1 or not all(isinstance(text, str) for text in texts.tolist()):
        return y
    distinct, places = np.unique(texts, return_inverse=True)
    if not all(_DECIMAL.fullmatch(text) for text in distinct.tolist()):
        return y
    numbers = [int(value) if value.is_integer() else value for value in map(float, distinct.tolist())]
    return np.array(numbers)[places] if len(set(numbers)) == len(distinct) else y


def _classes(model: Any, y: Any, count: int) -> np.ndarray:
    """Labels of the model's classes: its own, or those in the data if there are as many, or their numbers."""
    own = getattr(model, "classes_", None)
    if own is not None:
        return np.asarray(own)
    if y is not None:
        found = np.unique(np.asarray(y))
        if len(found) == count:
            return found
    return np.arange(count)


def _places(name: str, y: Any, classes: np.ndarray, rows: int) -> np.ndarray:
    labels = np.asarray(y)
    if labels.shape != (rows,):
        raise ValueError(f"{name} must have a label for each of {rows} rows. Got shape {labels.shape} instead.")
    foreign = [label for label in np.unique(labels).tolist() if label not in classes.tolist()]
    if foreign:
        raise ValueError(f"{name} must have labels of {classes.tolist()}. Got {foreign[0]!r} instead.")
    order = np.argsort(classes)
    return order[np.searchsorted(classes[order], labels)]
