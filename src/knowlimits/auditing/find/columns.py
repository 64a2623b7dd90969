"""The columns of a person's table: what they are called, which of them are measurements, and what a model makes of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.model.model import Model
from knowlimits.model.pipelines import AffineSteps, Steps
from knowlimits.ood.sizes import check_size

# Whole numbers with no more values than this are taken for codes of categories.
_MOST_CODES = 20


@dataclass(frozen=True)
class Continuous:
    """The columns that are measurements, and can grow without bound.

    Attributes:
        names: what they are called.
        steps: how the network's inputs move when a column grows by one standard deviation, ``(features, inputs)``.
        deviations: standard deviations, in the columns' own units, ``(features,)``.
        medians: in the same units, ``(features,)``.
        left_out: the other columns, and why.
    """

    names: tuple[str, ...]
    steps: np.ndarray
    deviations: np.ndarray
    medians: np.ndarray
    left_out: dict[str, str]


class TableReader:
    """Reads tables for a model, through the steps of its pipeline if it is one, and says in one line what is wrong with them.

    Args:
        model: a `knowlimits.Model`, or a remedy; what has `feature_names_in_` and `n_features_in_` is held to them.
        X: a table as all others will be, ``(n, columns)``.
        feature_names: of the columns; without them those of a DataFrame, of the model, or x0, x1 and so on.

    Attributes:
        names: of the columns.
    """

    def __init__(self, model: Any, X: Any, feature_names: Any = None):
        columns = _shape("X", X)[1]
        expected = getattr(model, "n_features_in_", None)
        if expected is not None and expected != columns:
            raise ValueError(f"X must have {expected} columns, which the model was made for. Got {columns} instead.")
        self._own = _own_names(X)
        self.names = _names(X, columns, feature_names, getattr(model, "feature_names_in_", None))
        steps = model.steps if isinstance(model, Model) else None
        self._steps = steps or Steps(None, AffineSteps(np.eye(columns), np.zeros(columns), ("",) * columns))
        self._affine = self._steps.affine

    def rows(self, name: str, X: Any) -> np.ndarray:
        """What the network sees of a table, ``(n, inputs)``; `name` is the table's in messages."""
        count, columns = _shape(name, X)
        if columns != len(self.names):
            raise ValueError(f"{name} must have the {len(self.names)} columns of X. Got {columns} instead.")
        if not count:
            raise ValueError(f"{name} must have a row at least. Got none.")
        own = _own_names(X)
        if own and self._own and own != self._own:
            ours, theirs = next((a, b) for a, b in zip(own, self._own, strict=True) if a != b)
            raise ValueError(f"{name} must have the columns of X, in their order. Got {ours!r} where X has {theirs!r}.")
        moving = [place for place, held in enumerate(self._affine.held) if not held]
        numbers = [_numbers(name, self.names[place], _column(X, place)) for place in moving]
        if numbers:
            largest = int(np.argmax([np.abs(column).max() for column in numbers]))
            check_size(f"{name}, column {self.names[moving[largest]]!r},", numbers[largest][:, None])
        return self._steps.transform(X)

    def continuous(self, X: Any, given: Any = None) -> Continuous:
        """The columns that can move.

        Args:
            X: the table.
            given: names or places of columns, or ``"all"`` for all that vary; without it codes and yes-or-no columns stay out.

        Raises:
            ValueError: if there is no such column.
        """
        asked = None if given is None else self._places(given)
        chosen, left_out = [], {}
        for place, name in enumerate(self.names):
            why = self._why_not(_column(X, place), place, asked)
            if why:
                left_out[name] = why
            else:
                chosen.append(place)
        if not chosen:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
            raise ValueError(f"X must have a continuous column. Got none ({reasons}).{self._what_helps(X, asked)}")
        columns = np.stack([np.asarray(_column(X, place), dtype=np.float64) for place in chosen])
        deviations = columns.std(1)
        steps = self._affine.matrix[:, chosen].T * deviations[:, None]
        return Continuous(tuple(self.names[p] for p in chosen), steps, deviations, np.median(columns, axis=1), left_out)

    def _what_helps(self, X: Any, asked: set[int] | None) -> str:
        """What to do where no column can move, or ``""``."""
        every = set(range(len(self.names)))
        if asked is None and not all(self._why_not(_column(X, place), place, every) for place in every):
            return " If there are measurements among them, pass continuous=, names or 'all'."
        if any(self._affine.held):
            return (
                " To audit what lies behind such steps, pass the last step of the Pipeline, and rows as the others make them."
            )
        return ""

    def _why_not(self, values: np.ndarray, place: int, asked: set[int] | None) -> str:
        """Why a column stays where it is; ``""`` for a measurement."""
        if self._affine.held[place]:
            return f"goes through {self._affine.held[place]}"
        distinct = np.unique(np.asarray(values, dtype=np.float64))
        if len(distinct) == 1:
            return f"constant, {distinct[0]:g}"
        if asked is not None:
            return "" if place in asked else "not asked for"
        if len(distinct) == 2:
            return f"two values, {distinct[0]:g} and {distinct[1]:g}"
        if len(distinct) <= _MOST_CODES and (distinct == np.round(distinct)).all():
            return f"{len(distinct)} whole numbers, taken for codes"
        return ""

    def _places(self, given: Any) -> set[int]:
        if isinstance(given, str):
            if given != "all":
                raise ValueError(f"continuous must be 'all', or a list of names or places. Got {given!r} instead.")
            return set(range(len(self.names)))
        places = set()
        for one in given:
            if isinstance(one, str) and one in self.names:
                places.add(self.names.index(one))
            elif isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(self.names):
                places.add(int(one))
            else:
                raise ValueError(f"continuous must name columns of X, or count them from 0. Got {one!r} instead.")
        return places


def _names(X: Any, columns: int, given: Any, expected: Any) -> list[str]:
    """What the columns are called, which is what the model calls them, in its order."""
    expected = None if expected is None else [str(name) for name in expected]
    names = _own_names(X) or expected if given is None else [str(name) for name in given]
    if names is None:
        return [f"x{place}" for place in range(columns)]
    if len(names) != columns:
        raise ValueError(f"feature_names must name the {columns} columns of X. Got {len(names)} instead.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"feature_names must differ. Got {twice!r} more than once.")
    if expected is None or names == expected:
        return names
    missing = [name for name in expected if name not in names]
    if missing:
        raise ValueError(f"X must have the model's columns. Missing are {', '.join(missing[:5])}.")
    ours, theirs = next((a, b) for a, b in zip(names, expected, strict=True) if a != b)
    raise ValueError(f"X must have its columns in the model's order. Got {ours!r} where the model has {theirs!r}.")


def _own_names(X: Any) -> list[str] | None:
    """The names that a table brings along."""
    return [str(name) for name in X.columns] if hasattr(X, "columns") else None


def _numbers(table: str, column: str, values: np.ndarray) -> np.ndarray:
    """A column as floats, if it has real, finite numbers."""
    if np.iscomplexobj(values):
        raise ValueError(f"{table}, column {column!r}, must be real numbers. Got complex ones.")
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        text = next(value for value in values if not _is_number(value))
        raise ValueError(f"{table}, column {column!r}, must be numbers. Got {text!r}.") from None
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        what = "nothing" if np.isnan(numbers[row]) else str(numbers[row])
        raise ValueError(f"{table}, column {column!r}, must be finite. Got {what} in row {row}, {int(bad.sum())} such in all.")
    return numbers


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _shape(name: str, X: Any) -> tuple[int, int]:
    shape = tuple(X.shape if hasattr(X, "shape") else np.shape(X))
    if len(shape) != 2:
        raise ValueError(f"{name} must be a table, (n, columns). Got shape {shape} instead.")
    return int(shape[0]), int(shape[1])


def _column(X: Any, place: int) -> np.ndarray:
    """A column as it was given."""
    return np.asarray(X.iloc[:, place] if hasattr(X, "iloc") else np.asarray(X)[:, place])
