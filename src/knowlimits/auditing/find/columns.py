"""The columns of a person's table: what they are called, which of them are measurements, and which of these can move."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.auditing.find.places import axes_of
from knowlimits.limits.moving import WHOLE_NUMBERS, moving_columns
from knowlimits.model.arrays import as_points
from knowlimits.model.model import Model
from knowlimits.model.shapes import place_names
from knowlimits.model.steps import Moves
from knowlimits.ood.sizes import check_size

# Whole numbers with no more values than this are taken for codes of categories.
_MOST_CODES = 20


@dataclass(frozen=True)
class Continuous:
    """The columns that are measurements, and can grow without bound.

    Attributes:
        names: what they are called.
        places: where they are in the table.
        steps: how a row of the table moves when a column grows by one standard deviation, ``(features, columns)``.
        deviations: standard deviations, in the columns' own units, ``(features,)``.
        medians: in the same units, ``(features,)``; a column that is missing in a row starts there when it moves.
        low, high: the ends of what the data have, ``(features,)``.
        moves: how the numbers behind the model's steps follow each.
        left_out: the other columns, and why.
        shape: of one input of the model, whose places the columns of the table are; None for a table that is one.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    steps: np.ndarray
    deviations: np.ndarray
    medians: np.ndarray
    low: np.ndarray
    high: np.ndarray
    moves: tuple[Moves, ...]
    left_out: dict[str, str]
    shape: tuple[int, ...] | None = None

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names of all columns of the table, in their order, those that stay among them."""
        moving, others = dict(zip(self.places, self.names, strict=True)), iter(self.left_out)
        return tuple(moving[place] if place in moving else next(others) for place in range(self.steps.shape[1]))

    def started(self, rows: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Starts of rays: rows ``(n, columns)`` with the medians of columns that move where these are missing.

        The limit along a column is that from any of its values.
        """
        if not (lost := np.isnan(rows) & (directions != 0)).any():
            return rows
        medians = np.zeros(rows.shape[1])
        medians[list(self.places)] = self.medians
        return np.where(lost, medians, rows)

    @property
    def together(self) -> np.ndarray:
        """Which of them can move together with others, ``(features,)``: those that do not grow ever more slowly, say."""
        return np.array([one is not Moves.ENDLESS for one in self.moves])

    @property
    def straight(self) -> np.ndarray:
        """Which of them move what the networks take in straight lines, ``(features,)``."""
        return np.array([one is Moves.AFFINE for one in self.moves])


class TableReader:
    """Reads tables for a model, and says in one line what is wrong with them.

    Args:
        model: what the tables are for; what has `feature_names_in_` and `n_features_in_` is held to them.
        X: a table as all others will be, ``(n, columns)``.
        feature_names: of the columns; without them those of a DataFrame, of the model, or x0, x1 and so on.
        shape: of one input of the model, where columns are its places; they are called x[0, 0] and so on then.

    Attributes:
        names: of the columns.
        shape: of one input of the model, or None.
    """

    def __init__(self, model: Any, X: Any, feature_names: Any = None, shape: tuple[int, ...] | None = None):
        columns = axes_of("X", X)[1]
        expected = getattr(model, "n_features_in_", None)
        # What takes inputs of several axes may count one of them.
        if shape is None and expected is not None and expected != columns:
            raise ValueError(f"X must have {expected} columns, which the model was made for. Got {columns} instead.")
        self._own, self.shape = _own_names(X), shape
        if shape is not None and feature_names is not None and np.shape(feature_names) == shape:
            feature_names = np.asarray(feature_names, dtype=object).ravel()
        self.names = _names(X, columns, feature_names, getattr(model, "feature_names_in_", None), shape)

    def check_numbers(self, name: str, X: Any, model: Model | None = None, gaps: bool = False) -> None:
        """Raise unless columns have the finite numbers that a model takes; all of them, with `gaps` maybe, without a model."""
        columns = None if model is None or model.steps is None else model.steps.columns
        gaps = gaps or (model is not None and model.gaps)
        largest = {}
        for place, column in enumerate(self.names):
            about = None if columns is None else columns[place]
            if about is not None and (about.levels is not None or about.moves is Moves.HELD):
                # The steps say what they take there.
                continue
            numbers = _numbers(name, column, _column(X, place), gaps if about is None else about.gaps)
            largest[column] = float(np.nanmax(np.abs(numbers), initial=0.0))
        if largest:
            worst = max(largest, key=largest.__getitem__)
            check_size(f"{name}, column {worst!r},", np.array([[largest[worst]]]))

    def rows(self, name: str, X: Any, model: Model | None) -> np.ndarray:
        """A table as floats, ``(n, columns)``, with codes for what is no number, and gaps where the model takes them.

        Args:
            name: of the table, in messages.
            X: the table.
            model: what has been read; None where all columns are numbers.
        """
        count, columns = axes_of(name, X)
        if columns != len(self.names):
            raise ValueError(f"{name} must have the {len(self.names)} columns of X. Got {columns} instead.")
        if not count:
            raise ValueError(f"{name} must have a row at least. Got none.")
        own = _own_names(X)
        if own and self._own and own != self._own:
            ours, theirs = next((a, b) for a, b in zip(own, self._own, strict=True) if a != b)
            raise ValueError(f"{name} must have the columns of X, in their order. Got {ours!r} where X has {theirs!r}.")
        self.check_numbers(name, X, model)
        return (as_points(name, X) if model is None else model.points(name, X)).numpy()

    def continuous(self, rows: np.ndarray, model: Model | None, given: Any = None) -> Continuous:
        """The columns that can move.

        Args:
            rows: the table, as floats, with gaps where the model takes them.
            model: what takes it; None where all of them can move.
            given: names or places of columns, or ``"all"`` for all that vary; without it codes and yes-or-no columns stay out.

        Raises:
            ValueError: if there is no such column.
        """
        asked = None if given is None else self._places(given)
        held = [(place, "") for place in range(len(self.names))] if model is None else moving_columns(model, without_gaps(rows))
        chosen, left_out = [], {}
        for place, why_held in held:
            if why := why_held or self._why_not(rows[:, place], place, asked):
                left_out[self.names[place]] = why
            else:
                chosen.append(place)
        if not chosen:
            reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
            raise ValueError(f"X must have a continuous column. Got none ({reasons}).{self._what_helps(rows, held, asked)}")
        columns = np.ascontiguousarray(rows[:, chosen].T)
        gaps = np.isnan(columns).any()
        # Of columns without gaps to the last bit as ever.
        deviations = np.nanstd(columns, axis=1) if gaps else columns.std(1)
        steps = np.zeros((len(chosen), rows.shape[1]))
        steps[np.arange(len(chosen)), chosen] = deviations
        about = None if model is None or model.steps is None else model.steps.columns
        moves = [Moves.AFFINE if about is None else about[place].moves for place in chosen]
        names = tuple(self.names[place] for place in chosen)
        medians = np.nanmedian(columns, axis=1) if gaps else np.median(columns, axis=1)
        low, high = np.nanmin(columns, axis=1), np.nanmax(columns, axis=1)
        return Continuous(names, tuple(chosen), steps, deviations, medians, low, high, tuple(moves), left_out, self.shape)

    def _what_helps(self, rows: np.ndarray, held: list[tuple[int, str]], asked: set[int] | None) -> str:
        """What to do where no column can move, or ``""``."""
        every = set(range(len(self.names)))
        if asked is None and any(not why and not self._why_not(rows[:, place], place, every) for place, why in held):
            return " If there are measurements among them, pass continuous=, names or 'all'."
        if any(why not in ("", WHOLE_NUMBERS) for _, why in held):
            return (
                " To audit what lies behind such steps, pass the last step of the Pipeline, and rows as the others make them."
            )
        return ""

    def _why_not(self, values: np.ndarray, place: int, asked: set[int] | None) -> str:
        """Why a column of numbers stays where it is; ``""`` for a measurement."""
        if asked is not None and place not in asked and len(np.unique(values[~np.isnan(values)])) > 1:
            return "not asked for"
        return no_measurement(values, codes=asked is None)

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
            elif isinstance(one, tuple) and one in self._tuples:
                places.add(self._tuples[one])
            else:
                raise ValueError(f"continuous must name columns of X, or count them from 0. Got {one!r} instead.")
        return places

    @cached_property
    def _tuples(self) -> dict[tuple[int, ...], int]:
        """Columns by their places in one input."""
        return {} if self.shape is None else {place: column for column, place in enumerate(np.ndindex(*self.shape))}


def no_measurement(values: np.ndarray, codes: bool = True) -> str:
    """Why a column of numbers is taken for no measurement; ``""`` for one.

    Args:
        values: of the column, ``(n,)``.
        codes: take two values, and few whole numbers, for codes.
    """
    distinct = np.unique(values[~np.isnan(values)])
    if not len(distinct):
        return "nothing but gaps"
    if len(distinct) == 1:
        return f"constant, {distinct[0]:g}"
    if codes and len(distinct) == 2:
        return f"two values, {distinct[0]:g} and {distinct[1]:g}"
    if codes and len(distinct) <= _MOST_CODES and (distinct == np.round(distinct)).all():
        return f"{len(distinct)} whole numbers, taken for codes"
    return ""


def without_gaps(rows: np.ndarray) -> np.ndarray:
    """Rows of a table in which values that there are in a column, medians or next to them, stand for its gaps."""
    lost = np.isnan(rows)
    if not lost.any():
        return rows
    filled = rows.copy()
    for place in np.flatnonzero(lost.any(0)):
        present = rows[~lost[:, place], place]
        filled[lost[:, place], place] = np.quantile(present, 0.5, method="nearest") if len(present) else 0.0
    return filled


def _names(X: Any, columns: int, given: Any, expected: Any, shape: tuple[int, ...] | None) -> list[str]:
    """What the columns are called, which is what the model calls them, in its order."""
    expected = None if expected is None else [str(name) for name in expected]
    names = _own_names(X) or expected if given is None else [str(name) for name in given]
    if names is None:
        return [f"x{place}" for place in range(columns)] if shape is None else place_names(shape)
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


def _numbers(table: str, column: str, values: np.ndarray, gaps: bool = False) -> np.ndarray:
    """A column as floats, if it has real, finite numbers, or gaps where they are taken."""
    if np.iscomplexobj(values):
        raise ValueError(f"{table}, column {column!r}, must be real numbers. Got complex ones.")
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        text = next(value for value in values if not _is_number(value))
        raise ValueError(f"{table}, column {column!r}, must be numbers. Got {text!r}.") from None
    bad = np.isinf(numbers) if gaps else ~np.isfinite(numbers)
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


def _column(X: Any, place: int) -> np.ndarray:
    """A column as it was given; numbers that may be missing have nan for that."""
    if not hasattr(X, "iloc"):
        return np.asarray(X)[:, place]
    values = X.iloc[:, place]
    if hasattr(values.dtype, "na_value") and values.dtype.kind in "iufb":
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values)
