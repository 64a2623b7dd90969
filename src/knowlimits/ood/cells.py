"""The cells of a table as somebody gave it: an array, a tensor, a DataFrame of pandas or polars, a list of rows."""

import sys
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import torch

from knowlimits.model.tables import column, is_gap

# Numbers that stand for categories are floats, or could be.
_LARGEST = sys.float_info.max
# Stands for a date, which no category is.
_DATE = object()


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table, read a column at a time.

    Attributes:
        name: in messages.
        X: a DataFrame, or an array ``(n, columns)`` of numbers or of objects.
        names: that it brings along, or None.
        shape: of one of its rows.
    """

    name: str
    X: Any
    names: tuple[str, ...] | None
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, X: Any) -> "RawTable":
        """A table of rows.

        Raises:
            TypeError: if it holds something else than numbers, text, truth values and gaps; `name` is its in the message.
            ValueError: if it has no rows, no columns, one axis, or two columns of one name.
        """
        frame = hasattr(X, "columns") and len(getattr(X, "shape", ())) == 2
        array = X if frame else _as_array(name, X)
        shape = tuple(map(int, array.shape))
        if len(shape) < 2:
            raise ValueError(f"{name} must have shape (n, features) or more axes. Got {shape} instead.")
        if 0 in shape:
            raise ValueError(f"{name} must have at least one row and one feature. Got shape {shape} instead.")
        if len(shape) > 2:
            array = array.reshape(len(array), -1)
        names = tuple(str(one) for one in X.columns) if frame else None
        if names and len(set(names)) < len(names):
            twice = next(one for one in names if names.count(one) > 1)
            raise ValueError(f"{name} must have columns of different names. Got {twice!r} more than once.")
        return cls(name, array, names, shape[1:])

    def __len__(self) -> int:
        return len(self.X)

    @property
    def width(self) -> int:
        """How many columns it has."""
        return int(self.X.shape[1])

    @cached_property
    def dtypes(self) -> tuple[Any, ...]:
        """Of the columns: numpy's, or those that pandas has beside them."""
        if not hasattr(self.X, "columns"):
            return (self.X.dtype,) * self.width
        if hasattr(self.X, "iloc"):
            return tuple(self.X.dtypes)
        return tuple(self.column(place).dtype for place in range(self.width))

    @cached_property
    def whole(self) -> np.ndarray | None:
        """All of it as float64, if it is nothing but numpy's numbers, which truth values are in arrays alone."""
        if not hasattr(self.X, "columns"):
            return _as_floats(self.X) if self.X.dtype.kind in "iufb" else None
        kinds = set(self.dtypes)
        plain = all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in kinds)
        return np.asarray(self.X.to_numpy(), dtype=np.float64) if plain else None

    def column(self, place: int) -> np.ndarray:
        """A column as it was given, as an array; without values it has None or nan."""
        if hasattr(self.X, "columns") and not hasattr(self.X, "iloc"):
            return np.asarray(self.X[self.X.columns[place]])
        return column(self.X, place)

    def is_numeric(self, place: int) -> bool:
        """Whether a column has numbers: of a type of numbers, or objects that are, not all of them truth values.

        Raises:
            TypeError: if it has dates, or complex numbers.
        """
        dtype = self.dtypes[place]
        if hasattr(dtype, "categories"):
            return False
        if dtype.kind in "iuf" or self.whole is not None:
            return True
        if dtype.kind in "mMc":
            raise self._foreign(place, f"{dtype}")
        if dtype.kind == "b":
            return False
        present = [value for value in _distinct(self.column(place).tolist()) if not _is_gap(value)]
        truths = bool(present) and all(isinstance(value, bool | np.bool_) for value in present)
        return not truths and all(map(_is_real, present))

    def numbers(self, place: int) -> tuple[np.ndarray, np.ndarray | None]:
        """A column as float64, with nan for gaps and what is no number; and which cells are the latter, if any may be."""
        values = self.column(place)
        if values.dtype.kind in "iufb":
            return _as_floats(values), None
        if values.dtype.kind in "mM":
            return np.full(len(values), np.nan), ~np.isnat(values)
        listed = values.tolist()
        if all(issubclass(kind, int | float | np.floating | np.integer | np.bool_ | None.__class__) for kind in _kinds(listed)):
            try:
                return np.array(listed, dtype=np.float64), None
            except OverflowError:
                # A whole number that is too large for a float.
                pass
        found, others = np.full(len(listed), np.nan), np.zeros(len(listed), dtype=bool)
        for row, value in enumerate(listed):
            if _is_real(value):
                found[row] = _as_float(value)
            else:
                others[row] = not _is_gap(value)
        return found, others

    def seen(self, place: int, rows: np.ndarray) -> dict[Any, int]:
        """The values that a column has in some rows, and how often, gaps left out.

        Raises:
            TypeError: if one is no text, truth value or number.
        """
        values, counts = self.column(place)[rows], {}
        truths = self.dtypes[place].kind == "b"
        for value in values.tolist():
            try:
                counts[value] = counts.get(value, 0) + 1
            except TypeError:
                raise self._foreign(place, type(value).__name__) from None
        found: dict[Any, int] = {}
        for value, count in counts.items():
            if _is_gap(value):
                continue
            value = value.item() if isinstance(value, np.generic) else value
            if not isinstance(value, str | bool | int | float) or (not isinstance(value, str) and abs(value) > _LARGEST):
                raise self._foreign(place, type(value).__name__)
            found[bool(value) if truths else value] = count
        return found

    def strange(self, place: int, seen: frozenset[Any], gaps: bool) -> tuple[np.ndarray, np.ndarray]:
        """Which cells of a column have a value that is not among `seen`, and which, unless `gaps` are usual, have none."""
        values, where = self._distinct_cells(place)
        usual = seen | {None, np.nan} if gaps else seen
        try:
            unknown = ~np.fromiter(map(usual.__contains__, values), bool, len(values))
        except TypeError:
            # Something that no set can hold, as lists are.
            unknown = np.array([not _is_in(value, usual) for value in values])
        missing = np.zeros_like(unknown)
        for at in np.flatnonzero(unknown):
            if _is_gap(values[at]):
                unknown[at], missing[at] = False, not gaps
        return (unknown, missing) if where is None else (unknown[where], missing[where])

    def _distinct_cells(self, place: int) -> tuple[list[Any], np.ndarray | None]:
        """Values of a column and, unless they are those of the rows in their order, which of them each row has."""
        if hasattr(self.X, "iloc") and hasattr(self.dtypes[place], "categories"):
            values = self.X.iloc[:, place].array
            return [*np.asarray(values.categories, dtype=object).tolist(), None], np.asarray(values.codes)
        values = self.column(place)
        if values.dtype.kind in "mM":
            # Lists would have dates as whole numbers.
            return [None if gap else _DATE for gap in np.isnat(values)], None
        if values.dtype.kind not in "iufb":
            return values.tolist(), None
        distinct, where = np.unique(values, return_inverse=True)
        return distinct.tolist(), where

    def _foreign(self, place: int, what: str) -> TypeError:
        column = f"x{place}" if self.names is None else self.names[place]
        return TypeError(
            f"{self.name}, column {column!r}, must be numbers, text, truth values and gaps. Got {what}: turn it into one of "
            "these, such as days since a date."
        )


def _as_array(name: str, X: Any) -> np.ndarray:
    """What is no DataFrame as an array of numbers or of objects."""
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        X = X.to_dense() if X.layout != torch.strided else X
        if X.is_complex():
            raise TypeError(f"{name} must be an array of real numbers. Got complex numbers.")
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if np.ma.isMaskedArray(X):
        values = np.ma.getdata(X)
        values = values if values.dtype.kind in "iufb" else values.astype(object)
        X = np.where(np.ma.getmaskarray(X), np.nan, values)
    try:
        array = np.asarray(X)
        if array.dtype.kind not in "iufb" and not hasattr(X, "shape"):
            # An array of texts would hold numbers as texts, too.
            array = np.asarray(X, dtype=object)
    except ValueError:
        raise ValueError(
            f"{name} must be one table, (n, columns). Got a {type(X).__name__} of parts of other lengths."
        ) from None
    if array.ndim == 0 or array.dtype.kind not in "iufbOU":
        kind = "complex numbers" if array.dtype.kind == "c" else f"{type(X).__name__} of {array.dtype}"
        remedy = ": pass X.toarray()." if hasattr(X, "toarray") else "."
        raise TypeError(f"{name} must be an array of real numbers, text and gaps. Got {kind}{remedy}")
    if array.ndim > 2 and array.dtype.kind not in "iufb":
        raise TypeError(f"{name} must be numbers where it has more than two axes. Got {array.dtype} of shape {array.shape}.")
    return array


def _kinds(values: list[Any]) -> set[type]:
    return set(map(type, values))


def _distinct(values: list[Any]) -> list[Any]:
    """The values of a list, once each if a dictionary can tell, to which False would be 0."""
    try:
        return [value for _, value in dict.fromkeys((type(value), value) for value in values)]
    except TypeError:
        return values


def _is_real(value: Any) -> bool:
    """Whether a cell has a real number, or a truth value among such."""
    return isinstance(value, Real | Decimal | np.bool_) and not _is_gap(value)


def _as_floats(values: np.ndarray) -> np.ndarray:
    """The same array if it has floats of this size."""
    with np.errstate(over="ignore"):
        return values.astype(np.float64, copy=False)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _is_in(value: Any, usual: frozenset[Any]) -> bool:
    try:
        return value in usual
    except TypeError:
        return False


def _is_gap(value: Any) -> bool:
    """`is_gap` of any object."""
    try:
        return is_gap(value)
    except ArithmeticError:
        # Decimals may signal that they are none.
        return True
    except (ValueError, RuntimeError):
        # Arrays and tensors do not say whether they equal themselves.
        return False
