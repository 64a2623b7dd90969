"""Tables as CSV whose columns are numbers, text or truth values, any of them with gaps.

A cell means what pandas makes of it, with which most classifiers of such tables are trained: its words for a gap are gaps, text
is text to the last space, and a column of True and False is one of truth values.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from knowlimits.files.tables import NUMBER, cells, finite_numbers, shown, take_labels

#: What stands for a gap; `pandas.read_csv` has the same words.
GAPS = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
        *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# A column with more different numbers than this, which are most of its cells, is none of categories.
_MOST_NUMBERS = 20


class Kind(StrEnum):
    """What the cells of a column are."""

    NUMBERS = "numbers"
    TRUTH = "truth values"
    TEXT = "text"


@dataclass(frozen=True)
class Mixed:
    """A table.

    Attributes:
        path: the file that it was read from.
        names: of its columns, each once.
        columns: of numbers, ``(n,)`` with nan for gaps; or of objects, with None for gaps.
        lines: of the file, at which the rows begin.
        labels: beside it, ``(n,)``, as `read_table` has them; None where no column is one of labels.
    """

    path: str
    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    lines: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def taken(self, names: Sequence[str]) -> "Mixed":
        """The columns of these names, in this order.

        Raises:
            ValueError: if there are not all of them.
        """
        if missing := [name for name in names if name not in self.names]:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ValueError(
                f"{self.path} must have the model's columns. Missing are {', '.join(map(repr, missing[:5]))}{more}."
            )
        columns = tuple(self.columns[self.names.index(name)] for name in names)
        return dataclasses.replace(self, names=tuple(names), columns=columns)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What the cells of columns are, by their names."""
        return {name: _kind_of(column) for name, column in zip(self.names, self.columns, strict=True)}

    def array(self) -> np.ndarray:
        """The table as an array ``(n, columns)``: of floats where all columns are numbers, else of objects."""
        if all(column.dtype.kind == "f" for column in self.columns):
            return np.stack(self.columns, axis=1)
        table = np.empty((len(self), len(self.columns)), dtype=object)
        for place, column in enumerate(self.columns):
            table[:, place] = column
        return table

    def frame(self) -> Any:
        """The table as a pandas DataFrame.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError(
                f"{self.path} needs pandas for a model that knows its columns by name: pip install pandas."
            ) from None
        return DataFrame(dict(zip(self.names, self.columns, strict=True)))


def read_finite(path: str | os.PathLike, target: str | None = None) -> Mixed:
    """Read a CSV file of finite numbers, beside its labels, with a line of names on top: no gaps, and no words.

    Args:
        path: the file.
        target: the column of labels, if there is one.

    Raises:
        ValueError: if it is no such table; the text says where and why, rows being counted as lines of the file.
        OSError: if it cannot be read.
    """
    names, rows, labels = _parts(path, target)
    columns = finite_numbers(path, names, rows).T
    return Mixed(os.fspath(path), tuple(names), tuple(columns), _lines(rows), labels)


def read_mixed(
    path: str | os.PathLike,
    target: str | None = None,
    kinds: Mapping[str, Kind] | Sequence[Kind] | None = None,
    infinite: bool = True,
) -> Mixed:
    """Read a CSV file with a line of names on top.

    Args:
        path: the file.
        target: the column of labels, if there is one.
        kinds: of columns, by their names or in their order, where that is known: a cell that is not of its column's kind stays
            the text that it is. Without it a column is what all its cells are, and text where they differ.
        infinite: whether columns of numbers may have infinite ones.

    Raises:
        ValueError: if it is no such table; the text says where and why, rows being counted as lines of the file.
        OSError: if it cannot be read.
    """
    names, rows, labels = _parts(path, target)
    known = kinds if isinstance(kinds, Mapping) else dict(zip(names, kinds or (), strict=False))
    lines, columns = _lines(rows), []
    for place, name in enumerate(names):
        texts = [row[place] for _, row in rows]
        if name not in known:
            _check_clear(f"{path}", name, texts, lines)
        columns.append(_READERS[known.get(name) or _kind(texts)](texts))
        if not infinite and columns[-1].dtype.kind == "f" and (bad := np.isinf(columns[-1])).any():
            at = int(bad.argmax())
            raise ValueError(f"{path}, row {lines[at]}, column {name!r}, must be finite. Got {columns[-1][at]}.")
    return Mixed(os.fspath(path), tuple(names), tuple(columns), lines, labels)


def _parts(path: str | os.PathLike, target: str | None) -> tuple[list[str], list[tuple[int, list[str]]], np.ndarray | None]:
    """The names of a table's columns, each once, its rows with the lines where they begin, and the labels beside them."""
    names, rows = cells(path)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{path} must have names that differ. Got {twice!r} more than once.")
    labels = None if target is None else take_labels(path, names, rows, target)
    return names, rows, labels


def _lines(rows: list[tuple[int, list[str]]]) -> np.ndarray:
    return np.array([line for line, _ in rows])


def _kind_of(column: np.ndarray) -> Kind:
    if column.dtype.kind == "f":
        return Kind.NUMBERS
    return Kind.TEXT if any(isinstance(value, str) for value in column.tolist()) else Kind.TRUTH


def _is_gap(text: str) -> bool:
    return text in GAPS or not text.strip(" \t")


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text.strip(" \t")) is not None


def _kind(texts: list[str]) -> Kind:
    """What all cells of a column are, gaps aside; nothing but gaps are numbers."""
    given = [text for text in texts if not _is_gap(text)]
    if all(map(_is_number, given)):
        return Kind.NUMBERS
    return Kind.TRUTH if all(text in _TRUTH for text in given) else Kind.TEXT


def _check_clear(path: str, name: str, texts: list[str], lines: np.ndarray) -> None:
    """Refuse a column of measurements with a word in it, which would make it one of ever so many categories."""
    words = [place for place, text in enumerate(texts) if not _is_gap(text) and not _is_number(text)]
    given = sum(not _is_gap(text) for text in texts)
    if 0 < len(words) <= given // 2 and len({text for text in texts if _is_number(text)}) > _MOST_NUMBERS:
        raise ValueError(
            f"{path}, row {lines[words[0]]}, column {name!r}, must be a number, as most others there are. Got "
            f"{shown(texts[words[0]])}, {len(words):,} such in all: leave a cell empty where there is none."
        )


def _objects(texts: list[str], meaning: Callable[[str], Any]) -> np.ndarray:
    column = np.empty(len(texts), dtype=object)
    column[:] = [None if _is_gap(text) else meaning(text) for text in texts]
    return column


def _numbers(texts: list[str]) -> np.ndarray:
    """Floats; objects where some cells are text."""
    column = _objects(texts, lambda text: float(text) if _is_number(text) else text)
    return column if any(isinstance(value, str) for value in column) else column.astype(np.float64)


def _truth(texts: list[str]) -> np.ndarray:
    """Truth values; objects where some cells are gaps or text."""
    column = _objects(texts, lambda text: _TRUTH.get(text, text))
    return column.astype(bool) if all(isinstance(value, bool) for value in column) else column


_READERS: dict[Kind, Callable[[list[str]], np.ndarray]] = {
    Kind.NUMBERS: _numbers,
    Kind.TRUTH: _truth,
    Kind.TEXT: lambda texts: _objects(texts, str),
}
