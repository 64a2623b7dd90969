"""What people say that numbers of a table may be, column by column: `ranges={"age": (0, 120)}`."""

import difflib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from knowlimits.ood.strange import shown

#: Stands for the range that a column has in the data.
DATA = "data"
# Names of columns that are shown.
_SHOWN = 5
# Types of floats in which the end of a range may be another number than it is in float64.
_NARROW = (np.dtype(np.float16), np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class Ranges:
    """What columns of numbers may be; what lies between includes the ends.

    Attributes:
        names: of the columns.
        low, high: ``(columns,)``, infinite where nothing is said.
        observed: for which columns the data say it, ``(columns,)``; none after `in_data`.
    """

    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    observed: np.ndarray

    @classmethod
    def of(cls, given: Any, names: Sequence[str], numeric: Sequence[int] | None = None) -> "Ranges":
        """The ranges of the columns of numbers of a table.

        Args:
            given: for columns, by name or counted from 0, ``(low, high)``, of which either may be None, or ``"data"``; or
                ``"data"`` for all of them; or None.
            names: of all columns of the table.
            numeric: places of the columns of numbers; all without it.

        Raises:
            ValueError: if a column is unknown, named twice, or none of numbers, or what is said of it is no range.
        """
        numbers = range(len(names)) if numeric is None else map(int, numeric)
        at = {place: number for number, place in enumerate(numbers)}
        own = tuple(names[place] for place in at)
        low, high = np.full(len(at), -np.inf), np.full(len(at), np.inf)
        observed = np.zeros(len(at), dtype=bool)
        if given is None:
            return cls(own, low, high, observed)
        if isinstance(given, str):
            check_word("ranges", given)
            return cls(own, low, high, ~observed)
        if not isinstance(given, Mapping):
            raise ValueError(
                "ranges must be a dict, such as {'age': (0, 120)}, or 'data' for what the data have. "
                f"Got {type(given).__name__} instead."
            )
        places = {name: place for place, name in enumerate(names)}
        keys: dict[int, Any] = {}
        for key, ends in given.items():
            place = place_of(key, places)
            if place in keys:
                raise ValueError(
                    f"ranges must say once what a column may be. Got {shown(keys[place])} and {shown(key)}, which are one."
                )
            keys[place] = key
            if place not in at:
                raise ValueError(
                    f"ranges must be of columns of numbers. Got one for {names[place]!r}, which has none: leave it out, as "
                    "what was never seen there is refused."
                )
            if isinstance(ends, str):
                check_word(f"ranges[{shown(key)}]", ends)
                observed[at[place]] = True
            else:
                low[at[place]], high[at[place]] = checked(f"ranges[{shown(key)}]", ends)
        return cls(own, low, high, observed)

    def in_data(self, rows: np.ndarray) -> "Ranges":
        """The same, with what data ``(n, columns)`` have, gaps left out, where they say it."""
        low, high = self.low.copy(), self.high.copy()
        for at in np.flatnonzero(self.observed):
            values = rows[~np.isnan(rows[:, at]), at]
            if len(values):
                low[at], high[at] = values.min(), values.max()
        return Ranges(self.names, low, high, np.zeros_like(self.observed))

    def outside(self, rows: np.ndarray, dtypes: Sequence[Any] | None = None) -> np.ndarray:
        """Which numbers lie outside, ``(n, columns)``; gaps do not.

        Args:
            rows: ``(n, columns)`` in float64.
            dtypes: of the columns as they were given. Ends are rounded as those are: in float32, 0.1 is more than 0.1.
        """
        low, high = self.low, self.high
        # pandas has types of its own beside numpy's.
        types = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes or ()]
        if any(dtype in _NARROW for dtype in types):
            low, high = (
                np.array([_rounded(end, dtype) for end, dtype in zip(ends, types, strict=True)]) for ends in (low, high)
            )
        return (rows < low) | (rows > high)

    @property
    def stated(self) -> bool:
        """Whether anything is said of a column."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())


def checked(name: str, ends: Any) -> tuple[float, float]:
    """The two ends of a range, infinite where they are None.

    Raises:
        ValueError: if they are none; `name` is the range's in the message.
    """
    pair = list(ends) if isinstance(ends, Sequence | np.ndarray) and not isinstance(ends, str | bytes) else []
    if len(pair) != 2 or not all(end is None or (isinstance(end, Real) and not isinstance(end, bool)) for end in pair):
        raise ValueError(
            f"{name} must be two numbers, (low, high), or {DATA!r}; an end that is open is None, or infinite. "
            f"Got {shown(ends)} instead."
        )
    try:
        low, high = (open_ if end is None else float(end) for end, open_ in zip(pair, (-math.inf, math.inf), strict=True))
    except OverflowError:
        raise ValueError(f"{name} must have numbers of at most 1.8e308. Got a larger one: leave the end open.") from None
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"{name} must have two numbers. Got {shown(ends)} instead: an end that is open is None, or infinite.")
    if low > high:
        raise ValueError(f"{name} must have its lower end first. Got {shown(ends)} instead.")
    if low == math.inf or high == -math.inf:
        raise ValueError(f"{name} must have numbers inside. Got {shown(ends)} instead.")
    return low, high


def check_word(name: str, word: str) -> None:
    """Raise unless a word in the place of a range stands for one."""
    if word != DATA:
        raise ValueError(f"{name} must be {DATA!r}, for what the data have, or numbers. Got {shown(word)} instead.")


def place_of(key: Any, places: Mapping[str, int], name: str = "ranges") -> int:
    """The place of a column that is named, or counted.

    Args:
        key: a name, or a place.
        places: of columns, by their names.
        name: of what names them, in messages.

    Raises:
        ValueError: if there is none, or two.
    """
    named = places.get(str(key))
    if isinstance(key, int | np.integer) and not isinstance(key, bool) and 0 <= key < len(places):
        if named not in (None, key):
            raise ValueError(
                f"{name} must tell columns apart. Got {key}, which counts one column and names another: say '{key}' for the "
                "one of this name."
            )
        return int(key)
    if named is not None:
        return named
    near = difflib.get_close_matches(str(key), places, 1)
    first = ", ".join(itertools.islice(places, _SHOWN))
    hint = f"did you mean {near[0]!r}?" if near else f"they are {first}{', ...' if len(places) > _SHOWN else '.'}"
    raise ValueError(f"{name} must name columns of X, or count them from 0. Got {shown(key)} instead: {hint}")


def _rounded(end: float, dtype: Any) -> float:
    """The end of a range as a type of floats has it."""
    if dtype not in _NARROW:
        return end
    with np.errstate(over="ignore"):
        return float(dtype.type(end))
