"""What is audited: a model, and its data as a table of floats."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from knowlimits.auditing.find.columns import Continuous, TableReader, without_gaps
from knowlimits.auditing.find.gaps import movable
from knowlimits.auditing.find.places import as_table, shape_of_inputs
from knowlimits.model.model import Model
from knowlimits.model.read import read
from knowlimits.model.shapes import stated_shape
from knowlimits.model.steps import Moves
from knowlimits.model.tables import rows_at

# As tables write numbers; so few digits that no two become one.
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,3})?")

# Rows, at least, of which some are held out.
_FEWEST = 16
# Rows that a model of numbers is looked at on, at most.
_LOOKED_AT = 200
# So many numbers with fractions may be labels.
_MOST_FRACTIONS = 10


@dataclass(frozen=True)
class Subject:
    """A model and its data.

    Attributes:
        model: of tables as floats, as `rows` are; its classes are told by their places.
        original: the same of tables as they were given, which `table_of` makes of such rows.
        brought: what it was read from, by whose own methods it answers.
        classes: labels of the classes, ``(classes,)``.
        columns: the columns that move.
        rows: the data as floats, ``(n, columns)``, with codes for what is no number, and nan for gaps; a sample of them if
            there are many.
        labels: places of their classes in `classes`, ``(n,)``, or what the model predicts if no labels were given.
        test_rows: rows that detectors are not fitted to.
        test_labels: places of their classes, or None if no labels were given.
        test_predictions: places of the classes that the model itself predicts for them.
        given: how many rows there were.
        with_gaps: how many of `rows` and `test_rows` have gaps.
        left: how many rows and test rows with gaps were left out, as what fills their gaps hangs on other columns.
        named: labels of the columns of the DataFrame that was given; None for an array.
        unseen: for each column the code of a category that was never seen, nan where there is none, ``(columns,)``.
        highest: the largest number, or code, of each column, ``(columns,)``, of all rows that were given; nan of gaps alone.
        held_out: whether the test rows were given as such; otherwise they are a quarter of the data.
        labelled: whether labels were given.
    """

    model: Model
    original: Model
    brought: Any
    classes: np.ndarray
    columns: Continuous
    rows: np.ndarray
    labels: np.ndarray
    test_rows: np.ndarray
    test_labels: np.ndarray | None
    test_predictions: np.ndarray
    given: int
    with_gaps: int
    left: int
    named: tuple[Any, ...] | None
    unseen: np.ndarray
    highest: np.ndarray
    held_out: bool
    labelled: bool

    def probabilities(self, points: np.ndarray) -> np.ndarray:
        """Probabilities of the members at rows of the table, ``(members, n, classes)``."""
        return self.model.at(torch.from_numpy(points)).numpy()

    def table_of(self, rows: np.ndarray) -> Any:
        """Rows as the original model takes them."""
        return as_given(self.model, self.named, rows)

    def predicted(self, rows: np.ndarray) -> np.ndarray:
        """Places of the classes that the original model predicts for rows, ``(n,)``: the truth, likeliest or not."""
        if self.original.own is None:
            return self.probabilities(rows).mean(0).argmax(1)
        return self.places(self.original.predict(self.table_of(rows)))

    def places(self, predicted: np.ndarray) -> np.ndarray:
        """Places of labels that the model predicts, ``(n,)``."""
        return _places("the model's predictions", predicted, self.classes, len(predicted))

    @property
    def straight(self) -> bool:
        """Whether all columns of the table move what the networks take in straight lines."""
        return self.model.steps is None or all(column.moves is Moves.AFFINE for column in self.model.steps.columns)

    @property
    def coded(self) -> tuple[int, ...]:
        """Places of the columns that are no numbers, so that the table has codes in their place."""
        columns = () if self.model.steps is None else self.model.steps.columns
        return tuple(place for place, column in enumerate(columns) if column.levels is not None)

    @cached_property
    def centre(self) -> np.ndarray:
        """The medians, ``(columns,)``; of columns that stay, which may be codes, values that there are."""
        rows = without_gaps(self.rows)
        centre = np.median(rows, axis=0)
        still = ~self.columns.steps.any(0)
        centre[still] = np.quantile(rows[:, still], 0.5, axis=0, method="nearest")
        return centre

    def digest(self, rng: np.random.Generator) -> str:
        """What stands for the data and for what is drawn by `rng`: where it is the same, so are rows, test rows and labels."""
        labels = [] if self.test_labels is None else self.classes[self.test_labels].tolist()
        found = hashlib.sha256(repr((self.rows.shape, self.test_rows.shape, labels, rng.bit_generator.state)).encode())
        for rows in (self.rows, self.test_rows):
            found.update(np.ascontiguousarray(rows).tobytes())
        return found.hexdigest()[:16]

    @property
    def members(self) -> int:
        """How many members the model has."""
        return self.model.members


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
    outputs: str | None = None,
    input_shape: Any = None,
) -> Subject:
    """Check a model and its data, and put them into the terms of the audit.

    Raises:
        TypeError: if the model is none that `knowlimits.far_field` takes.
        ValueError: if data and model do not fit; the text says where.
    """
    brought = model
    table, model, rows = read_table(model, X, feature_names, outputs, input_shape)
    X, X_test = (None if data is None else as_table(name, data, table.shape) for name, data in (("X", X), ("X_test", X_test)))
    model = model.to("cpu")
    _check_enough(len(rows), held_out=X_test is not None)
    columns = table.continuous(rows, model, continuous)
    taken = movable(model, columns, rows)
    _check_enough(len(taken), held_out=X_test is not None, without=" without gaps" if len(taken) < len(rows) else "")
    count = model.at(torch.from_numpy(rows[:1])).shape[2]
    y, y_test = (_read_labels(model, labels) for labels in (y, y_test))
    for name, labels in (("y", y), ("y_test", y_test)):
        _check_labels(name, labels, count)
    classes = _classes(model, y, count)
    labels = None if y is None else _places("y", y, classes, len(rows))
    if labels is not None and len(np.unique(labels)) < 2:
        raise ValueError(f"y must have two classes at least. Got {classes[labels[0]]!s} only.")
    if y is None and y_test is not None:
        raise ValueError("y must be given where y_test is. Got None.")
    rng = np.random.default_rng(random_state)
    if X_test is None:
        # Not sorted by anything, as the rows may be.
        order = taken[rng.permutation(len(taken))]
        learn, test = order[len(order) // 4 :], order[: len(order) // 4]
        tested, test_rows, test_labels = X, rows, labels
        left = len(rows) - len(taken)
    else:
        tested, test_rows = X_test, table.rows("X_test", X_test, model)
        test_labels = None if y_test is None else _places("y_test", y_test, classes, len(test_rows))
        learn, test = taken, movable(model, columns, test_rows)
        if not len(test):
            raise ValueError(
                "X_test must have a row without gaps at least, as what fills them hangs on other columns. Got none."
            )
        left = len(rows) - len(learn) + len(test_rows) - len(test)
    learn, test = (places[some(len(places), most_rows, rng)] for places in (learn, test))

    def predicted(table: Any, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Places of the classes that the model predicts for some rows of a table."""
        if model.own is None:
            return model.at(torch.from_numpy(rows[places])).numpy().mean(0).argmax(1)
        taken = rows_at(table, places)
        return _places("the model's predictions", model.predict(taken), classes, len(places))

    return Subject(
        model=of_floats(model),
        original=model,
        brought=brought,
        classes=classes,
        columns=columns,
        rows=rows[learn],
        labels=predicted(X, rows, learn) if labels is None else labels[learn],
        test_rows=test_rows[test],
        test_labels=None if test_labels is None else test_labels[test],
        test_predictions=predicted(tested, test_rows, test),
        given=len(rows),
        with_gaps=int(np.isnan(rows[learn]).any(1).sum() + np.isnan(test_rows[test]).any(1).sum()),
        left=left,
        named=tuple(X.columns) if hasattr(X, "iloc") else None,
        unseen=np.full(rows.shape[1], np.nan) if model.steps is None else model.steps.unseen,
        highest=np.fmax(np.fmax.reduce(rows, axis=0), np.fmax.reduce(test_rows, axis=0)),
        held_out=X_test is not None,
        labelled=labels is not None,
    )


def as_given(model: Model | None, named: Sequence[Any] | None, rows: np.ndarray) -> Any:
    """Rows of a table of floats as they were given: what the steps of a model take, a DataFrame, or numbers.

    Args:
        model: of tables of floats; None where all columns are numbers.
        named: labels of the columns of a DataFrame; None for an array.
        rows: ``(n, columns)``.
    """
    if model is not None and model.steps is not None:
        return model.steps.layout.decode(rows)
    if named is None:
        return rows
    import pandas

    return pandas.DataFrame(rows, columns=list(named))


def of_floats(model: Model) -> Model:
    """The model of tables that are floats already, whose classes are told by their places."""
    return dataclasses.replace(model, steps=model.steps and model.steps.of_codes(), classes_=None, own=None)


def read_table(
    model: Any, X: Any, feature_names: Any, outputs: str | None, input_shape: Any = None
) -> tuple[TableReader, Model, np.ndarray]:
    """A model that is read with rows of a table, what reads tables for it, and the table as floats, ``(n, columns)``.

    Inputs of several axes are a table as well, and the model is one of such tables then.
    """
    shape = shape_of_inputs(model, X, input_shape)
    if shape is not None and stated_shape(model) is None and getattr(model, "n_features_in_", None) == math.prod(shape):
        raise ValueError(
            f"X must be a table of {math.prod(shape)} columns, which the model takes. Got inputs of shape {shape} instead: "
            "pass X.reshape(len(X), -1)."
        )
    X = as_table("X", X, shape)
    table = TableReader(model, X, feature_names, shape)
    numbers = takes_numbers(model)
    if numbers or _has_numbers(X):
        # Gaps are for the model to say, unless it has no say.
        table.check_numbers("X", X, gaps=not numbers)
    found = read(model, outputs, looked_at(X), input_shape=shape)
    # Its layers may know how many columns it takes.
    return TableReader(found, X, feature_names, shape), found, table.rows("X", X, found)


def _has_numbers(X: Any) -> bool:
    """Whether a table has nothing but numbers."""
    dtypes = X.dtypes if hasattr(X, "iloc") else [X.dtype] if isinstance(X, np.ndarray) else [np.dtype(object)]
    return all(dtype.kind in "iufbc" for dtype in dtypes)


def looked_at(X: Any) -> Any:
    """Rows that a model is looked at on: of a table of numbers some without gaps, of other tables all, for their values."""
    if not _has_numbers(X):
        return X
    complete = X[X.notna().all(axis=1)] if hasattr(X, "iloc") else X[np.isfinite(X).all(1)]
    return complete[:: -(-len(complete) // _LOOKED_AT)] if len(complete) else X


def _check_enough(count: int, held_out: bool, without: str = "") -> None:
    """Refuse too few rows."""
    least = 1 if held_out else _FEWEST
    if count < least:
        reason = "" if held_out else ", to hold some of them out"
        raise ValueError(f"X must have {least} row{'s' if least > 1 else ''}{without} at least{reason}. Got {count} instead.")


def takes_numbers(model: Any) -> bool:
    """Whether a model takes nothing but numbers, which is best said of the table, not of what is made of it."""
    if isinstance(model, list | tuple):
        return all(map(takes_numbers, model))
    return isinstance(model, torch.nn.Module | torch.export.ExportedProgram)


def some(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Places of at most so many of `count` rows, in their order."""
    return np.arange(count) if count <= most else np.sort(rng.permutation(count)[:most])


def label_places(model: Any, y: Any, count: int, rows: int) -> np.ndarray:
    """Places of labels among the classes of a model, of which there are so many, for so many rows, ``(rows,)``.

    Raises:
        ValueError: if there are not as many, or one is none of its classes.
    """
    labels = _read_labels(model, y)
    _check_labels("y", labels, count)
    return _places("y", labels, _classes(model, labels, count), rows)


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


def _check_labels(name: str, y: Any, count: int) -> None:
    """Refuse what is no class of anything, as a regression's target is."""
    if y is None:
        return
    values = np.asarray(y)
    if values.dtype.kind != "f" or values.ndim != 1:
        return
    distinct = np.unique(values)
    if len(distinct) > max(count, _MOST_FRACTIONS) and (distinct != np.round(distinct)).any():
        raise ValueError(
            f"{name} must have labels of classes. Got {len(distinct)} different numbers with fractions, as the target of a "
            "regression has: pass classes, or leave it out."
        )


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
