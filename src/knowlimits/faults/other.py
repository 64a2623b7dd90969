"""Faults of one's own: a function of the values of a column."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from knowlimits.faults.fault import Case, Fault, case
from knowlimits.faults.observed import Observed
from knowlimits.model.tables import is_gap
from knowlimits.ood.strange import shown


@dataclass(frozen=True)
class Other(Fault):
    """Whatever else happens to the values of a column, by a function of one's own.

    Args:
        function: takes the values of a column, ``(n,)``, and gives those that arrive in their place, ``(n,)``. Numbers are
            floats with nan for gaps; of a column of categories it takes the labels, with None for gaps, and may give labels
            that were never seen. Gaps that it gives are nan or None.
        words: what a table shows; by default the function's name.

    Raises:
        ValueError: if there are no words for it.
    """

    function: Callable[[np.ndarray], Any]
    words: str = ""

    def __post_init__(self):
        if not callable(self.function):
            raise ValueError(f"function must be a function of a column's values. Got {shown(self.function)} instead.")
        name = getattr(self.function, "__name__", "<none>")
        if not self.words and name.startswith("<"):
            raise ValueError(
                "words must say what a function without a name does, as in kl.faults.Other(function, 'pounds for kilograms'). "
                "Got none."
            )
        object.__setattr__(self, "words", str(self.words or name.strip("_").replace("_", " ")))

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel; or for the columns that are named, which may be any.

        Raises:
            ValueError: if the function raises, or what it gives is no such column.
        """
        found = []
        for group in observed.groups(self.columns, self.axis, observed.measured):

            def values(
                block: np.ndarray, rng: np.random.Generator, places: tuple[int, ...] = group.places, name: str = group.quoted
            ) -> np.ndarray:
                return np.stack([self._column(observed, p, name, c) for p, c in zip(places, block.T, strict=True)], axis=1)

            found += case(self, observed, group, self.words, arrives(group.quoted, self.words), values)
        return found

    def _column(self, observed: Observed, place: int, name: str, codes: np.ndarray) -> np.ndarray:
        """What becomes of a column of floats."""
        levels = observed.levels[place]
        what = f"faults, {self.words!r},"
        try:
            given = self.function(codes.copy() if levels is None else _labels(codes, levels))
        except Exception as error:
            # Whatever a person's function raises.
            raise ValueError(f"{what} must take the column {name}. Got {type(error).__name__} from it: {error}") from error
        if hasattr(given, "to_numpy"):
            given = given.to_numpy()
        values = np.asarray(given, dtype=object)
        if values.shape != codes.shape:
            raise ValueError(f"{what} must give a value for each of {len(codes)} rows. Got shape {values.shape} for {name}.")
        if levels is not None:
            return self._codes(values, levels, observed.unseen[place], name)
        numbers = np.array([_as_number(value) for value in values.tolist()])
        if (bad := np.isinf(numbers)).any():
            text = shown(values[int(bad.argmax())])
            raise ValueError(f"{what} must give finite numbers, or None for gaps. Got {text} for {name}.")
        return numbers

    def _codes(self, values: np.ndarray, levels: tuple[Any, ...], unseen: float, name: str) -> np.ndarray:
        """Labels as codes."""
        known = {label: float(code) for code, label in enumerate(levels)}
        codes = np.array([np.nan if is_gap(label) else known.get(label, np.inf) for label in values.tolist()])
        new = np.isinf(codes)
        if new.any() and np.isnan(unseen):
            label = shown(values[int(new.argmax())])
            raise ValueError(
                f"faults, {self.words!r}, must give labels that {name} has, as there can be no others. Got {label} instead."
            )
        return np.where(new, unseen, codes)


def arrives(feature: str, words: str) -> str:
    """What a sentence says of a column that words of one's own are for."""
    return f"{feature} arrives changed ({words})"


def _labels(codes: np.ndarray, levels: tuple[Any, ...]) -> np.ndarray:
    """What codes stand for, None for gaps."""
    table = np.empty(len(levels) + 1, dtype=object)
    table[:-1] = levels
    return table[np.where(np.isnan(codes), len(levels), np.nan_to_num(codes)).astype(int)]


def _as_number(value: Any) -> float:
    """A float: nan for a gap, and infinite for what is no number."""
    if is_gap(value):
        return np.nan
    try:
        return float(value) if isinstance(value, Real | np.bool_) else np.inf
    except OverflowError:
        return np.inf
