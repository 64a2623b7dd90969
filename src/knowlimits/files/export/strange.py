"""Rows on which the file of a guard is held to it: familiar ones, and such with cells that make a row strange."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from knowlimits.files.export.rows import of_columns
from knowlimits.model.tables import column
from knowlimits.ood.columns import Columns
from knowlimits.ood.density.ratio import LogRatio

# Rows that are made, and those of a person's that are looked at.
_MADE, _MOST = 32, 100
# What numbers become, or are multiplied by.
_NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -3e38)
_FACTORS = (10.0, -1e6)
# Which share of cells becomes strange.
_SHARE = 0.1
# Codes are no larger.
_LARGEST_CODE = 2.0**53
# A text that no category is.
_UNSEEN = "never seen"


def familiar(columns: Columns, ratio: LogRatio) -> Any:
    """Rows like those that a guard has learnt from, as an array, or as a table of pandas if columns have names or texts."""
    random = np.random.default_rng(0)
    spread = ratio.scale * random.normal(size=(_MADE, len(ratio.scale))) / 2
    # Whole numbers may be codes, between which there is nothing.
    whole = columns.fill == np.round(columns.fill)
    spread = np.where(whole, np.round(spread), spread)
    numbers = np.clip(columns.fill + spread, columns.low, columns.high)
    if not len(columns.categorical) and not columns.named:
        return numbers.reshape(_MADE, *columns.shape)
    import pandas

    values: list[Any] = [None] * len(columns.names)
    for at, place in enumerate(columns.numeric):
        codes = whole[at] and not columns.gaps[place] and np.abs(numbers[:, at]).max() < _LARGEST_CODE
        values[place] = numbers[:, at].astype(np.int64 if codes else np.float64)
    for place in columns.categorical:
        seen: list[Any] = list(columns.seen[place] or ()) or [None]
        values[place] = pandas.Series([seen[i] for i in random.integers(0, len(seen), _MADE)])
    table = pandas.DataFrame(dict(zip(columns.names, values, strict=True)))
    return table if columns.named else table.to_numpy(dtype=object)


def with_strange_cells(X: Any, columns: Columns) -> Iterator[Any]:
    """Rows, and the same with some of their cells replaced: by gaps, numbers of all sizes, and texts never seen."""
    X = X.iloc[:_MOST] if hasattr(X, "iloc") else X[:_MOST]
    yield X
    random = np.random.default_rng(0)
    if np.ndim(X) > 2:
        flat = X.reshape(len(X), -1)
        yield np.stack([_changed(flat[:, place], random) for place in range(flat.shape[1])], 1).reshape(X.shape)
        return
    for _ in range(2):
        yield of_columns(X, [_changed(column(X, place), random) for place in range(X.shape[1])])


def _changed(values: np.ndarray, random: Any) -> np.ndarray:
    some = random.random(len(values)) < _SHARE
    if values.dtype.kind == "f":
        replaced = np.where(random.random(len(values)) < 0.5, random.choice(_NUMBERS, len(values)), values)
        with np.errstate(over="ignore"):
            return np.where(some, replaced * random.choice(_FACTORS, len(values)), values).astype(values.dtype)
    if values.dtype.kind in "iub":
        return values
    values = values.astype(object)
    for row in np.flatnonzero(some):
        number = not isinstance(values[row], str)
        values[row] = None if random.random() < 0.5 else values[row] if number else _UNSEEN
    return values
