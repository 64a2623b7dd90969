"""Rows that an exported file is held to the model on: a person's, and ones that are made of these or drawn."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.tables import column

# Rows of a person that are looked at, and rows that are drawn.
_MOST, _DRAWN = 200, 64
# How far rows are moved, in deviations of their columns, and which share of values becomes a gap or an unknown text.
_SHIFT, _SHARE = 3.0, 0.1
# How far rows next to others are, as a share of each number, and how often such are made.
_NEXT, _TRIES = 2.0**-40, 8
# A text that no category is.
_UNKNOWN = "?"


def is_text(values: np.ndarray) -> bool:
    """Whether a column has texts."""
    return values.dtype.kind not in "iufb" and any(isinstance(value, str) for value in values.tolist())


def rows_given(X: Any) -> Iterator[Any]:
    """A person's rows, and rows that are made of them: moved, mixed, with gaps, with unknown texts and fractions."""
    # From all over them, as they may be in order.
    some = np.unique(np.linspace(0, len(X) - 1, _MOST).round().astype(int))
    X = X.iloc[some] if hasattr(X, "iloc") else np.asarray(X)[some]
    yield X
    random = np.random.default_rng(0)
    if np.ndim(X) > 2:
        yield X + random.normal(size=X.shape) * _SHIFT * np.std(X, 0)
        return
    columns = [column(X, place) for place in range(X.shape[1])]
    for change in (_moved, _with_gaps, _unknown, _between):
        yield of_columns(X, [change(values, random) for values in columns])


def rows_drawn(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Rows of numbers of all sizes."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(_DRAWN, *shape))
    yield rows
    yield rows * 10.0 ** random.integers(-1, 5, rows.shape)
    gaps = rows.copy()
    gaps[random.random(rows.shape) < _SHARE] = np.nan
    yield gaps


def rows_at_thresholds(found: Model, columns: int) -> Iterator[np.ndarray]:
    """Rows at thresholds of trees, and next to them, as these are where a file could decide otherwise."""
    random = np.random.default_rng(0)
    for network in found.inner:
        thresholds = getattr(network.module, "thresholds", None) if isinstance(network, Network) else None
        if thresholds is None:
            continue
        rows = np.zeros((_DRAWN, columns))
        for place, some in enumerate(thresholds):
            if len(some):
                chosen = random.choice(some, _DRAWN)
                beside = np.nextafter(chosen, random.choice([-np.inf, np.inf], _DRAWN))
                rows[:, place] = np.where(random.random(_DRAWN) < 0.5, chosen, beside)
        yield rows
        gaps = rows.copy()
        gaps[random.random(rows.shape) < _SHARE] = np.nan
        yield gaps


def rows_beside(X: Any) -> Iterator[Any]:
    """Rows next to others: each number moved by about a rounding error of steps in float64, up or down."""
    random = np.random.default_rng(0)
    for _ in range(_TRIES):
        if np.ndim(X) > 2:
            yield X * (1 + random.choice([-_NEXT, _NEXT], X.shape))
            continue
        yield of_columns(X, [_next(column(X, place), random) for place in range(X.shape[1])])


def _next(values: np.ndarray, random: Any) -> np.ndarray:
    return values * (1 + random.choice([-_NEXT, _NEXT], len(values))) if values.dtype.kind == "f" else values


def _moved(values: np.ndarray, random: Any) -> np.ndarray:
    """Numbers moved, others from other rows."""
    if values.dtype.kind != "f":
        return random.permutation(values)
    return values + random.normal(size=len(values)) * _SHIFT * (np.nanstd(values) if len(values) else 0)


def _with_gaps(values: np.ndarray, random: Any) -> np.ndarray:
    some = random.random(len(values)) < _SHARE
    if values.dtype.kind == "f":
        return np.where(some, np.nan, values)
    if not is_text(values):
        return values
    values = values.astype(object)
    values[some] = None
    return values


def _unknown(values: np.ndarray, random: Any) -> np.ndarray:
    if not is_text(values):
        return values
    values = values.astype(object)
    values[random.random(len(values)) < _SHARE] = _UNKNOWN
    return values


def _between(values: np.ndarray, random: Any) -> np.ndarray:
    """Numbers between whole ones, which are no categories."""
    return values + 0.5 * (random.random(len(values)) < _SHARE) if values.dtype.kind in "iu" else values


def of_columns(X: Any, columns: list[np.ndarray]) -> Any:
    """A table of the type of one; its columns keep their types where they can."""
    if not hasattr(X, "iloc"):
        return np.stack(columns, 1) if X.dtype != object else np.stack([one.astype(object) for one in columns], 1)
    import pandas

    table = X.copy()
    for place, (values, dtype) in enumerate(zip(columns, X.dtypes, strict=True)):
        made: Any = values
        if hasattr(dtype, "categories"):
            # What is no category cannot be in such a column.
            made = [value if value in dtype.categories else None for value in values.tolist()]
        elif values.dtype.kind == "f" and dtype.kind != "f":
            dtype = None
        table.isetitem(place, pandas.Series(made, index=X.index, dtype=dtype))
    return table
