"""A person's table as an array of floats, and back: columns that hold no numbers are codes, gaps are nan."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np

# Beyond it a float may stand for another whole number than it was made of.
_WHOLE = 2.0**53


@dataclass(frozen=True, eq=False)
class Layout:
    """How a table is made of floats.

    Attributes:
        labels: of the columns, if fitted steps take a DataFrame; None if they take an array.
        dtypes: of the columns of such a DataFrame; None if all are floats.
        levels: for each column the values that its codes stand for, in their order; None for a column of numbers.
        names: what the columns are called in messages.
        named: whether somebody has called them so.
    """

    labels: tuple[Any, ...] | None
    dtypes: tuple[Any, ...] | None
    levels: tuple[tuple[Any, ...] | None, ...]
    names: tuple[str, ...]
    named: bool

    @classmethod
    def of(
        cls, rows: Any, n_columns: int, labels: Sequence[Any] | None, names: Sequence[Any] | None, known: dict[int, Any]
    ) -> "Layout":
        """The layout of tables like one.

        Args:
            rows: the table, or None.
            n_columns: how many columns it has.
            labels: what fitted steps call the columns, or None if they take arrays.
            names: what a person calls them, or None.
            known: values of a column that fitted steps know, by its place.
        """
        frame = hasattr(rows, "iloc")
        dtypes, given = (tuple(rows.dtypes), list(rows.columns)) if frame else (None, labels)
        levels: list[tuple[Any, ...] | None] = []
        for j in range(n_columns):
            categories = getattr(dtypes[j], "categories", None) if dtypes else None
            values = None if rows is None else column(rows, j)
            levels.append(_levels(values, known.get(j) if categories is None else categories, categories is not None))
        if dtypes is not None and all(dtype == np.float64 for dtype in dtypes):
            dtypes = None
        called = names if names is not None else given
        shown = [f"x{j}" for j in range(n_columns)] if called is None else called
        takes = None if labels is None else tuple(labels)
        return cls(takes, dtypes, tuple(levels), tuple(map(str, shown)), called is not None)

    @classmethod
    def joined(cls, layouts: "Sequence[Layout]") -> "Layout":
        """The layout of tables that go through several steps, with all the values that any of them knows."""
        first = next((layout for layout in layouts if layout.labels is not None), layouts[0])
        levels = tuple(
            None if every[0] is None else _ordered({value: None for one in every for value in one or ()})
            for every in zip(*(layout.levels for layout in layouts), strict=True)
        )
        return dataclasses.replace(first, levels=levels)

    def with_unseen(self) -> "Layout":
        """The same with one more value, the last, for every column of categories that can have one: it was never seen."""
        unseen = [None if levels is None else _unseen(levels) for levels in self.levels]
        levels = tuple(
            own if value is None or own is None else (*own, value) for own, value in zip(self.levels, unseen, strict=True)
        )
        dtypes = self.dtypes
        if dtypes is not None:
            dtypes = tuple(_with(dtype, value) for dtype, value in zip(dtypes, unseen, strict=True))
        return dataclasses.replace(self, levels=levels, dtypes=dtypes)

    def encode(self, name: str, X: Any, gaps: Sequence[bool]) -> np.ndarray:
        """A table as floats, ``(n, columns)``.

        Args:
            name: of the table, in messages.
            X: the table.
            gaps: for each column whether it may have some.

        Raises:
            ValueError: if a value is none that the column can have; with the table, the column and the row.
        """
        if not hasattr(X, "shape"):
            # An array of texts would hold numbers as texts, too.
            X = np.asarray(X) if np.asarray(X).dtype.kind in "iufb" else np.asarray(X, dtype=object)
        shape = tuple(X.shape)
        if len(shape) != 2 or shape[1] != len(self.names):
            raise ValueError(f"{name} must be a table of {len(self.names)} columns. Got shape {shape} instead.")
        rows = np.empty(shape)
        for j, levels in enumerate(self.levels):
            values = column(X, j)
            what = f"{name}, column {self.names[j]!r},"
            rows[:, j] = _as_numbers(what, values) if levels is None else _as_codes(what, values, levels)
            if not gaps[j] and (bad := np.isnan(rows[:, j])).any():
                raise ValueError(
                    f"{what} must have no gaps, which the model does not take there. Got nothing in row {int(bad.argmax())}, "
                    f"{int(bad.sum())} such in all."
                )
        return rows

    def decode(self, rows: np.ndarray) -> Any:
        """A table as fitted steps take it, made of floats ``(n, columns)``."""
        plain = self.dtypes is None and all(levels is None for levels in self.levels)
        if plain and self.labels is None:
            return rows
        if self.labels is None:
            table = np.empty(rows.shape, dtype=object)
            for j, levels in enumerate(self.levels):
                table[:, j] = rows[:, j] if levels is None else _of_codes(rows[:, j], levels)
            return table
        import pandas

        if plain:
            return pandas.DataFrame(rows, columns=list(self.labels))
        columns = {}
        for j, levels in enumerate(self.levels):
            dtype = None if self.dtypes is None else self.dtypes[j]
            values = rows[:, j] if levels is None else _of_codes(rows[:, j], levels)
            columns[j] = pandas.Series(values, dtype=_fitting(rows[:, j], dtype) if levels is None else dtype)
        table = pandas.DataFrame(columns)
        table.columns = list(self.labels)
        return table


def column(X: Any, place: int) -> np.ndarray:
    """A column as it was given, as an array; without values it has None or nan."""
    if not hasattr(X, "iloc"):
        return np.asarray(X)[:, place]
    values = X.iloc[:, place]
    if hasattr(values.dtype, "na_value") and values.dtype.kind in "iufb" and values.hasnans:
        # pandas' own type of numbers that can be missing.
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return values.to_numpy()


def rows_at(X: Any, rows: np.ndarray) -> Any:
    """Some rows of an array, a tensor or a table, by their places."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def is_gap(value: Any) -> bool:
    """Whether a value says that there is none: None, nan, pandas.NA, NaT."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        # Whether pandas.NA equals itself is not known.
        return True


def _unseen(levels: tuple[Any, ...]) -> Any:
    """A value that is none of those of a column; None for truth values, of which there are no others."""
    if all(isinstance(level, bool | np.bool_) for level in levels):
        return None
    if all(isinstance(level, Number) for level in levels):
        return type(levels[0])(max(levels) + 1)
    # As many letters as it takes.
    return next(text for text in ("never seen" + "!" * k for k in range(len(levels) + 1)) if text not in levels)


def _with(dtype: Any, value: Any) -> Any:
    """The type of a column that can have one more value, in which pandas would see a gap otherwise."""
    if value is None or not hasattr(dtype, "categories"):
        return dtype
    return type(dtype)([*dtype.categories, value], ordered=dtype.ordered)


def _levels(values: np.ndarray | None, known: Any, category: bool) -> tuple[Any, ...] | None:
    """What the codes of a column stand for; None if it has numbers."""
    if values is not None and not category and values.dtype.kind in "iufb":
        return None
    given = [] if values is None else _distinct(values)
    if values is not None and not category and _has_numbers(values, given):
        return None
    more = [] if known is None else _distinct(known)
    if values is None and (known is None or _has_numbers(np.asarray(known), more)):
        return None
    return _ordered({value: None for value in (*more, *given)})


def _ordered(levels: Iterable[Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(levels))
    except TypeError:
        # Values of several kinds have no order.
        return tuple(levels)


def _has_numbers(values: np.ndarray, distinct: Iterable[Any]) -> bool:
    if values.dtype.kind in "iufb":
        return True
    return values.dtype.kind == "O" and all(isinstance(value, Number | np.bool_) for value in distinct)


def _distinct(values: Any) -> list[Any]:
    """The values that a column has, gaps left out."""
    return [value for value in dict.fromkeys(np.asarray(values).tolist()) if not is_gap(value)]


def _as_numbers(what: str, values: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(values) or (values.dtype.kind == "O" and any(isinstance(value, complex) for value in values)):
        raise ValueError(f"{what} must be real numbers. Got complex ones.")
    if values.dtype.kind not in "iufb":
        bad = next((row for row, v in enumerate(values.tolist()) if not is_gap(v) and not isinstance(v, Number)), None)
        if bad is not None:
            raise ValueError(f"{what} must be numbers. Got {values[bad]!r} in row {bad}.")
        values = np.array([np.nan if is_gap(value) else value for value in values.tolist()], dtype=np.float64)
    numbers = values.astype(np.float64)
    if (bad := np.isinf(numbers)).any():
        row = int(bad.argmax())
        raise ValueError(f"{what} must be finite. Got {numbers[row]} in row {row}, {int(bad.sum())} such in all.")
    return numbers


def _as_codes(what: str, values: np.ndarray, levels: tuple[Any, ...]) -> np.ndarray:
    codes = {value: float(code) for code, value in enumerate(levels)}
    out = np.empty(len(values))
    for row, value in enumerate(values.tolist()):
        if is_gap(value):
            out[row] = np.nan
        elif value in codes:
            out[row] = codes[value]
        else:
            raise ValueError(
                f"{what} must have values that are known: pass X, rows of data that have them all. Got {value!r} in row {row}."
            )
    return out


def _of_codes(codes: np.ndarray, levels: tuple[Any, ...]) -> np.ndarray:
    values = np.empty(len(levels) + 1, dtype=object)
    values[:-1] = levels
    values[-1] = np.nan
    # A code between two stands for neither; who asks for it asks for the nearest.
    places = np.where(np.isnan(codes), len(levels), np.clip(np.nan_to_num(codes), 0, len(levels) - 1)).round()
    return values[places.astype(np.intp)]


def _fitting(values: np.ndarray, dtype: Any) -> Any:
    """The type of a column where its values can be of it, or else float64, as measurements far from the data may be."""
    if dtype is None or dtype.kind == "f":
        return dtype if dtype is not None and hasattr(dtype, "na_value") else np.float64
    if np.isnan(values).any() and not hasattr(dtype, "na_value"):
        return np.float64
    present = values[~np.isnan(values)]
    if dtype.kind == "b":
        return dtype if np.isin(present, (0, 1)).all() else np.float64
    if dtype.kind in "iu":
        limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
        least, most = max(limits.min, -_WHOLE), min(limits.max, _WHOLE)
        return dtype if ((present == np.round(present)) & (present >= least) & (present <= most)).all() else np.float64
    return np.float64
