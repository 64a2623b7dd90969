"""Tables as CSV: numbers, and labels beside them."""

import csv
import os
import re

import numpy as np

#: What other readers of CSV take for a number, too: no underscores, no digits of other scripts.
NUMBER = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
# Whole numbers that can be written in one way only, so that no two labels become one; int64 holds them.
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
# Letters of a label, as files of ours have them.
_LABEL = 999
# So many letters of a cell, and of a list of columns, are shown.
_SHOWN, _MOST = 60, 600


def read_table(path: str | os.PathLike, target: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read a CSV file of numbers and labels with a line of names on top.

    Labels stay the text that they are, without spaces around it, unless all are plain whole numbers, such as 0, 12 or -3.

    Args:
        path: the file.
        target: the column of labels.

    Returns:
        Features ``(n, d)``, labels ``(n,)`` and the names of the features.

    Raises:
        ValueError: if it is no such table; the text says where and why, rows being counted as lines of the file.
        OSError: if it cannot be read.
    """
    names, rows = cells(path)
    labels = take_labels(path, names, rows, target)
    return finite_numbers(path, names, rows), labels, names


def take_labels(path: str | os.PathLike, names: list[str], rows: list[tuple[int, list[str]]], target: str) -> np.ndarray:
    """The labels of a table, ``(n,)``, whose column is taken out of `names` and of `rows`.

    Raises:
        ValueError: if there is no such column, or a row has no label.
    """
    if names.count(target) != 1:
        raise ValueError(f"{path} must have one column {target!r}. Got {', '.join(names)[:_MOST]}.")
    at = names.index(target)
    labels = []
    for line, row in rows:
        labels.append(row.pop(at).strip(" \t"))
        if not labels[-1]:
            raise ValueError(f"{path}, row {line}, column {target!r}, must have a label. Got nothing.")
        if len(labels[-1]) > _LABEL:
            # Each row takes as much memory as the longest.
            raise ValueError(
                f"{path}, row {line}, column {target!r}, must have at most {_LABEL} letters. Got {len(labels[-1]):,}."
            )
        if "\0" in labels[-1]:
            # numpy leaves them out at the end of text.
            raise ValueError(f"{path}, row {line}, column {target!r}, must be text. Got a NUL in {shown(labels[-1])}.")
    del names[at]
    return _labels(labels)


def _labels(texts: list[str]) -> np.ndarray:
    """Labels as whole numbers if all are plain ones, else as text."""
    if all(map(_WHOLE.fullmatch, texts)):
        numbers = list(map(int, texts))
        if min(numbers) >= -(2**63) and max(numbers) < 2**63:
            return np.array(numbers, dtype=np.int64)
    return np.array(texts)


def read_numbers(path: str | os.PathLike, columns: list[str] | None = None) -> tuple[np.ndarray, list[str]]:
    """Read a CSV file of numbers with a line of names on top: values ``(n, d)`` and the names.

    Args:
        path: the file.
        columns: those to read, in this order, of a file that may have one more, which is not looked at; all without it.

    Raises:
        ValueError: if it is no such table; the text says where and why, rows being counted as lines of the file.
        OSError: if it cannot be read.
    """
    names, rows = cells(path)
    if columns is not None:
        missing = [name for name in columns if name not in names]
        others = [name for name in names if name not in columns]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if missing or twice or len(others) > 1:
            raise ValueError(
                f"{path} must have the columns {', '.join(columns)[:_MOST]}. "
                f"Missing are {missing}, too many {others[1:] + twice}."
            )
        order = [names.index(name) for name in columns]
        names, rows = columns, [(line, [row[k] for k in order]) for line, row in rows]
    return finite_numbers(path, names, rows), names


def cells(path: str | os.PathLike) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of a table's columns, and its rows, which are as long, with the lines where they begin."""
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        # Python's own idea of where lines end would break cells, at U+2028 for one.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:
                    rows.append((begins, row))
                begins = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}.") from None
    except csv.Error as error:
        raise ValueError(f"{path}, row {begins}, is not CSV in UTF-8: {error}.") from None
    if len(rows) < 2:
        raise ValueError(f"{path} must have a line of names and rows below it. Got {len(rows)} lines.")
    names = [name.strip(" \t") for name in rows[0][1]]
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise ValueError(f"{path}, row {line}, must have {len(names)} entries. Got {len(row)}.")
    return names, rows[1:]


def finite_numbers(path: str | os.PathLike, names: list[str], rows: list[tuple[int, list[str]]]) -> np.ndarray:
    """The cells of a table as numbers, ``(n, d)``.

    Raises:
        ValueError: if one is none, or not finite.
    """
    values = np.empty((len(rows), len(names)))
    for number, (line, row) in enumerate(rows):
        for k, entry in enumerate(row):
            text = entry.strip(" \t")
            if not NUMBER.fullmatch(text):
                what = "nothing" if not text else shown(entry)
                raise ValueError(f"{path}, row {line}, column {names[k]!r}, must be a number. Got {what}.")
            values[number, k] = float(text)
    if not np.isfinite(values).all():
        row, k = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{path}, row {rows[row][0]}, column {names[k]!r}, must be finite. Got {values[row, k]}.")
    return values


def shown(text: str) -> str:
    """A cell in a message."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r} and {len(text) - _SHOWN:,} letters more"
