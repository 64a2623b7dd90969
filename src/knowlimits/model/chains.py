"""Fitted transformers one after another, as a function of tables."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Chain:
    """Fitted transformers one after another.

    Attributes:
        transformers: those that do something at prediction.
    """

    transformers: tuple[Any, ...]

    @classmethod
    def of(cls, transformers: Sequence[Any]) -> "Chain":
        """Of all of them those that do something at prediction: samplers do not."""
        return cls(tuple(one for one in transformers if not is_identity(one)))

    def __call__(self, table: Any) -> np.ndarray:
        """What comes out for a table, ``(n, numbers)`` in float64."""
        for one in self.transformers:
            table = one.transform(table)
        return as_array(table)

    def quietly(self, table: Any) -> np.ndarray:
        """The same without warnings, for tables that no person has made."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self(table)

    def __str__(self) -> str:
        return ", ".join(type(one).__name__ for one in self.transformers) or "none"


@dataclass(frozen=True)
class Selection:
    """A choice of columns, by their places, as an array."""

    places: tuple[int, ...]

    def transform(self, X: Any) -> np.ndarray:
        """The chosen columns."""
        return np.asarray(X)[:, list(self.places)]


def is_identity(transformer: Any) -> bool:
    """Whether a step does nothing at prediction."""
    if transformer is None or isinstance(transformer, str):
        return transformer in (None, "passthrough")
    return hasattr(transformer, "fit_resample") and not hasattr(transformer, "transform")


def as_array(table: Any) -> np.ndarray:
    """What a transformer returns, as an array in float64 of its own."""
    return np.array(table.toarray() if hasattr(table, "toarray") else table, dtype=np.float64, order="C")


def labels_of(chain: Chain, rows: Any = None) -> list[Any] | None:
    """What the first step calls the columns of a table like `rows`, if it takes a DataFrame; None if it takes an array."""
    first = chain.transformers[0] if chain.transformers else None
    labels = getattr(first, "feature_names_in_", None)
    if labels is None and hasattr(rows, "iloc") and not hasattr(first, "n_features_in_"):
        # It does not say what it was fitted to.
        labels = rows.columns
    return None if labels is None else list(labels)


def take(table: Any, places: list[int]) -> Any:
    """Columns of a table, by their places."""
    return table.iloc[:, places] if hasattr(table, "iloc") else table[:, places]


def known_values(chain: Chain, n_columns: int) -> dict[int, Any]:
    """Values of columns that encoders have seen, by place."""
    known: dict[int, Any] = {}
    labels = labels_of(chain)
    for one in chain.transformers[:1]:
        _note_values(one, list(range(n_columns)), labels, known)
    return known


def _note_values(one: Any, places: list[int], labels: Sequence[Any] | None, known: dict[int, Any]) -> None:
    if hasattr(one, "transformers_"):
        for part, sub in parts_of(one, len(places), labels):
            inner = None if labels is None else [labels[place] for place in sub]
            _note_values(part, [places[place] for place in sub], inner, known)
    elif hasattr(one, "steps"):
        for _, step in one.steps:
            _note_values(step, places, labels, known)
    else:
        categories = getattr(one, "categories_", None)
        if isinstance(categories, list) and len(categories) == len(places):
            for place, values in zip(places, categories, strict=True):
                known.setdefault(place, np.asarray(values))


def parts_of(columns: Any, n_columns: int, labels: Sequence[Any] | None) -> list[tuple[Any, list[int]]]:
    """The fitted parts of a ColumnTransformer, with the places of their columns; those that are dropped left out."""
    return [
        (part, _places(chosen, n_columns, labels))
        for _, part, chosen in columns.transformers_
        if not (isinstance(part, str) and part == "drop")
    ]


def _places(chosen: Any, n_columns: int, labels: Sequence[Any] | None) -> list[int]:
    """Places of columns that were chosen by names, places, a mask or a slice."""
    labels = [] if labels is None else list(labels)
    if isinstance(chosen, str):
        chosen = [chosen]
    if isinstance(chosen, slice) and not {end for end in (chosen.start, chosen.stop) if isinstance(end, str)} <= set(labels):
        return []
    if isinstance(chosen, slice):
        ends = [labels.index(end) if isinstance(end, str) else end for end in (chosen.start, chosen.stop)]
        # A slice of names has its last one in it.
        last = ends[1] + 1 if isinstance(chosen.stop, str) else ends[1]
        return list(range(n_columns))[slice(ends[0], last, chosen.step)]
    if np.ndim(chosen) == 0:
        chosen = [chosen]
    chosen = list(chosen)
    if chosen and isinstance(chosen[0], bool | np.bool_):
        return [int(place) for place in np.flatnonzero(chosen)]
    # Names that a step before it has made are not those of the table.
    return [
        labels.index(one) if isinstance(one, str) else range(n_columns)[int(one)]
        for one in chosen
        if not isinstance(one, str) or one in labels
    ]
