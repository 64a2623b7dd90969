"""The columns of a table, learnt from rows that are familiar: what is a number, what was seen, and where there are gaps.

What distances cannot say of a row, because it is no number, is said here: a category that was never seen, a gap where there was
none, text among numbers, a number that is infinite or outside of what people say that it may be. Whole numbers that are codes
stay numbers, as nobody can tell; truth values and pandas' categories, whatever they are of, are categories.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from knowlimits.model.shapes import place_names
from knowlimits.ood.cells import RawTable
from knowlimits.ood.ranges import Ranges, place_of
from knowlimits.ood.strange import Strange, in_words, shown

# Values that come once, at most, where they are more than half of the rows.
_MOST_SINGLE = 20
# Columns of a row that are named.
_NAMED = 3
# What `state` says.
_STATE = ("names", "shape", "seen", "gaps", "fill", "ranges")


class Reading(NamedTuple):
    """A table as the columns see it.

    Attributes:
        numbers: of the columns of numbers, all finite, ``(n, numeric)`` in float64; the table's own memory where it can be.
        strange: of each cell, a value of `Strange`, ``(n, columns)``.
        filled: which of the numbers stand for what is none, ``(n, numeric)``.
    """

    numbers: np.ndarray
    strange: np.ndarray
    filled: np.ndarray

    @property
    def refused(self) -> np.ndarray:
        """Which rows have a strange cell, ``(n,)``."""
        found = np.zeros(len(self.strange), dtype=bool)
        # Whether any cell is, in all of the table, takes a twentieth of the time.
        return np.any(self.strange, axis=1, out=found) if self.strange.any() else found


@dataclass(frozen=True, eq=False)
class Columns:
    """What the columns of a table are.

    Attributes:
        names: what they are called: as the table or somebody else calls them, or x0, x1 and so on.
        named: whether somebody calls them so; tables with other names, or in another order, are refused then.
        shape: of one row: more than one number where the columns are places of inputs of several axes.
        seen: for each column the values that it has had, or None for a column of numbers.
        gaps: whether a column has had gaps, ``(columns,)``.
        fill: what stands for gaps, ``(numeric,)``: medians, the lower of two.
        low, high: what numbers may be at least and at most, ``(numeric,)``; infinite where nothing is said.
    """

    names: tuple[str, ...]
    named: bool
    shape: tuple[int, ...]
    seen: tuple[tuple[Any, ...] | None, ...]
    gaps: np.ndarray
    fill: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(
        cls, X: Any, ranges: Any = None, names: Sequence[Any] | None = None, *, again: bool = True, categories: Any = ()
    ) -> "Columns":
        """Learnt from the rows of a table.

        A column that has nothing but gaps is taken for one of categories of which none has been seen.

        Args:
            X: an array ``(n, columns)`` of numbers or objects, a tensor, or a DataFrame; numbers may have more axes.
            ranges: as `knowlimits.ood.ranges.Ranges.of` has it. Rows outside are not learnt from.
            names: what the columns are called, for a table that does not say so.
            again: whether to refuse text that hardly ever comes again.
            categories: columns of numbers that are codes of categories, by name or counted from 0.

        Raises:
            TypeError: if something is no number, text, truth value or gap.
            ValueError: if X is no table, has infinite numbers or text that hardly ever comes again, or ranges or names do not
                fit it.
        """
        table = RawTable.of("X", X)
        called, named = _names(table, names)
        codes = _places(categories, called)
        numeric = [place for place in range(table.width) if place not in codes and table.is_numeric(place)]
        rows = _numbers(table, numeric)[0] if table.whole is None else table.whole if not codes else table.whole[:, numeric]
        limits = Ranges.of(ranges, called, numeric)
        outside = limits.outside(rows, [table.dtypes[place] for place in numeric])
        inside = np.logical_not(outside.any(1))
        if not inside.any():
            worst = int(outside.sum(0).argmax())
            raise ValueError(
                f"ranges must have rows of X inside, to learn from. Got none of {len(rows)}: {limits.names[worst]!r} is "
                f"outside of {shown(limits.low[worst])} to {shown(limits.high[worst])} in {int(outside[:, worst].sum())}."
            )
        if (bad := np.isinf(rows) & inside[:, None]).any():
            row, at = map(int, np.argwhere(bad)[0])
            raise ValueError(
                f"X, column {called[numeric[at]]!r}, must be finite. Got {rows[row, at]} in row {row}, {int(bad.sum())} such "
                "in all."
            )
        rows = rows[inside]
        limits = limits.in_data(rows)
        missing = np.isnan(rows)
        kept = ~missing.all(0)
        seen: list[tuple[Any, ...] | None] = [None] * table.width
        gaps = np.zeros(table.width, dtype=bool)
        gaps[numeric] = missing.any(0)
        for place in set(range(table.width)) - set(numeric):
            counts = table.seen(place, inside)
            if again:
                _check_comes_again(called[place], counts, len(rows))
            seen[place] = _ordered(counts)
            gaps[place] = sum(counts.values()) < len(rows)
        for at in np.flatnonzero(~kept):
            seen[numeric[at]] = ()
        fill = np.array([_median(rows[~missing[:, at], at]) for at in np.flatnonzero(kept)])
        return cls(called, named, table.shape, tuple(seen), gaps, fill, limits.low[kept], limits.high[kept])

    @cached_property
    def numeric(self) -> np.ndarray:
        """Places of the columns of numbers."""
        return np.flatnonzero([values is None for values in self.seen])

    @cached_property
    def categorical(self) -> np.ndarray:
        """Places of the other columns."""
        return np.flatnonzero([values is not None for values in self.seen])

    def numbers(self, X: Any, name: str = "X") -> np.ndarray:
        """The numbers of a table, ``(n, numeric)``, all finite: what is none is filled; `read` has both answers at once."""
        return self.read(X, name).numbers

    def strange(self, X: Any, name: str = "X") -> np.ndarray:
        """Why cells of a table are refused, ``(n, columns)``, as `Strange` counts it; 0 for what is ordinary."""
        return self.read(X, name).strange

    def read(self, X: Any, name: str = "X") -> Reading:
        """A table as these columns see it.

        Args:
            X: a table as `of` takes it.
            name: its name in messages.

        Raises:
            TypeError: if it is no table.
            ValueError: if it has other columns than these, or they are in another order.
        """
        table = self._checked(name, X)
        strange = np.zeros((len(table), len(self.names)), dtype=np.int8)
        for place in self.categorical:
            unseen, missing = table.strange(place, self._seen[place], bool(self.gaps[place]))
            strange[unseen, place], strange[missing, place] = Strange.UNSEEN, Strange.GAP
        if table.whole is None:
            rows, others = _numbers(table, self.numeric)
        else:
            others = None
            rows = table.whole if not len(self.categorical) else table.whole[:, self.numeric]
        if not (finite := np.isfinite(rows)).all():
            # Few cells as a rule, so that each is looked at by itself.
            at = np.nonzero(~finite)
            places = self.numeric[at[1]]
            codes = np.where(np.isnan(rows[at]), np.where(self.gaps[places], 0, Strange.GAP), Strange.INFINITE)
            strange[at[0], places] = codes if others is None else np.where(others[at], Strange.NOT_A_NUMBER, codes)
            rows = rows.copy()
            rows[at] = self.fill[at[1]]
        if self._ranges.stated:
            outside = self._ranges.outside(rows, [table.dtypes[place] for place in self.numeric])
            if outside.any():
                at = np.nonzero(outside & finite)
                strange[at[0], self.numeric[at[1]]] = Strange.OUT_OF_RANGE
        return Reading(rows, strange, ~finite)

    def why(self, X: Any, strange: np.ndarray | None = None) -> list[str]:
        """Why rows of a table are refused, in words, such as "age is 130, above 120"; "" for a row where all is ordinary.

        Args:
            X: the table.
            strange: what `strange` says of it, where it is known already.
        """
        table = self._checked("X", X)
        strange = self.read(X).strange if strange is None else strange
        words = [""] * len(table)
        values = {int(place): table.column(int(place)) for place in np.flatnonzero(strange.any(0))}
        for row in np.flatnonzero(strange.any(1)):
            places = np.flatnonzero(strange[row]).tolist()
            parts = [
                in_words(self.names[place], strange[row, place], values[place][row], self.range_of(place))
                for place in places[:_NAMED]
            ]
            more = len(places) - len(parts)
            words[row] = "; ".join(parts) + (f"; and {more} more" if more else "")
        return words

    def range_of(self, place: int) -> tuple[float, float]:
        """What a column may be at least and at most, infinite where nothing is said, as of what is no number."""
        at = np.flatnonzero(self.numeric == place)
        return (float(self.low[at[0]]), float(self.high[at[0]])) if len(at) else (-math.inf, math.inf)

    def state(self) -> dict[str, Any]:
        """All of it in what JSON has; `restored` is the way back."""
        said = [place for place in range(len(self.fill)) if np.isfinite([self.low[place], self.high[place]]).any()]
        return {
            "names": list(self.names) if self.named else None,
            "shape": list(self.shape),
            "seen": [None if values is None else list(values) for values in self.seen],
            "gaps": np.flatnonzero(self.gaps).tolist(),
            "fill": self.fill.tolist(),
            "ranges": [[int(self.numeric[at]), _finite(self.low[at]), _finite(self.high[at])] for at in said],
        }

    @classmethod
    def restored(cls, state: Any) -> "Columns":
        """The columns of which `state` was said.

        Raises:
            ValueError: if it was said of none.
        """
        _require(isinstance(state, dict) and set(state) == set(_STATE), f"entries other than {', '.join(_STATE)}")
        names, shape, seen, gaps, fill, ranges = (state[key] for key in _STATE)
        _require(isinstance(seen, list) and len(seen) > 0, "no columns")
        _require(all(values is None or isinstance(values, list) for values in seen), "values seen that are no lists")
        count = len(seen)
        _require(isinstance(shape, list) and all(map(_is_count, shape)) and math.prod(shape) == count, "another shape")
        for values in seen:
            known = [_is_category(value) for value in values or []]
            _require(all(known) and len(set(values or [])) == len(known), "values seen that are no categories, each once")
        if names is not None:
            _require(isinstance(names, list) and all(isinstance(name, str) for name in names), "names that are no text")
            _require(len(names) == count and len(set(names)) == count, "names that are not one for each column")
        _require(isinstance(gaps, list) and all(map(_is_place, gaps)), "gaps that are no places")
        _require(len(set(gaps)) == len(gaps) and max(gaps, default=0) < count, "gaps in other columns")
        numeric = {place: at for at, place in enumerate(place for place, values in enumerate(seen) if values is None)}
        _require(isinstance(fill, list) and all(map(_is_number, fill)) and len(fill) == len(numeric), "other numbers to fill")
        _require(isinstance(ranges, list) and all(isinstance(one, list) and len(one) == 3 for one in ranges), "no ranges")
        low, high, last = np.full(len(numeric), -np.inf), np.full(len(numeric), np.inf), -1
        for place, least, most in ranges:
            _require(_is_place(place) and place in numeric, "ranges of other columns")
            _require(place > last, "ranges that are not in the order of their columns")
            last = place
            _require(all(end is None or _is_number(end) for end in (least, most)), "ranges that are no numbers")
            at = numeric[place]
            low[at], high[at] = -np.inf if least is None else least, np.inf if most is None else most
        filled = np.array(fill, dtype=np.float64)
        _require(bool(((low <= filled) & (filled <= high)).all()), "numbers to fill outside of ranges")
        gapped = np.zeros(count, dtype=bool)
        gapped[gaps] = True
        called = _own_names(tuple(shape)) if names is None else names
        values = tuple(None if one is None else tuple(one) for one in seen)
        return cls(tuple(called), names is not None, tuple(shape), values, gapped, filled, low, high)

    def _checked(self, name: str, X: Any) -> RawTable:
        """A table of these columns."""
        table = RawTable.of(name, X)
        if table.width != len(self.names):
            raise ValueError(f"{name} must have {len(self.names)} features. Got {table.width} instead.")
        if len(table.shape) > 1 and len(self.shape) > 1 and table.shape != self.shape:
            raise ValueError(f"{name} must have rows of shape {self.shape}. Got {table.shape} instead.")
        if self.named and table.names is not None and table.names != self.names:
            missing = [ours for ours in self.names if ours not in table.names]
            if missing:
                raise ValueError(f"{name} must have the columns that were learnt. Missing are {', '.join(missing[:5])}.")
            ours, theirs = next((a, b) for a, b in zip(self.names, table.names, strict=True) if a != b)
            raise ValueError(f"{name} must have its columns in the order learnt. Got {theirs!r} in the place of {ours!r}.")
        return table

    @cached_property
    def _seen(self) -> dict[int, frozenset[Any]]:
        return {place: frozenset(values) for place, values in enumerate(self.seen) if values is not None}

    @cached_property
    def _ranges(self) -> Ranges:
        names = tuple(self.names[place] for place in self.numeric)
        return Ranges(names, self.low, self.high, np.zeros(len(self.low), dtype=bool))


def _names(table: RawTable, given: Sequence[Any] | None) -> tuple[tuple[str, ...], bool]:
    """What the columns of a table are called, and whether anybody calls them so."""
    if given is None:
        return (_own_names(table.shape), False) if table.names is None else (table.names, True)
    names = tuple(map(str, given))
    if len(names) != table.width or len(set(names)) < len(names):
        raise ValueError(f"names must be {table.width}, one for each column of X. Got {len(set(names))} instead.")
    if table.names is not None and table.names != names:
        ours, theirs = next((a, b) for a, b in zip(names, table.names, strict=True) if a != b)
        raise ValueError(f"names must be those of X, in their order. Got {ours!r} where X has {theirs!r}.")
    return names, True


def _places(categories: Any, names: Sequence[str]) -> set[int]:
    """The places of columns that are named, or counted."""
    if isinstance(categories, str) or not hasattr(categories, "__iter__"):
        raise ValueError(f"categories must be a list of columns, by name or counted from 0. Got {categories!r} instead.")
    places = {name: place for place, name in enumerate(names)}
    return {place_of(key, places, "categories") for key in categories}


def _own_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"x{place}" for place in range(shape[0])) if len(shape) == 1 else tuple(place_names(shape))


def _numbers(table: RawTable, places: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Some columns as float64, with nan for gaps and what is no number; and which cells are the latter, if any are."""
    rows = np.empty((len(table), len(places)))
    others = None
    for at, place in enumerate(places):
        rows[:, at], wrong = table.numbers(int(place))
        if wrong is not None and wrong.any():
            others = np.zeros(rows.shape, dtype=bool) if others is None else others
            others[:, at] = wrong
    return rows, others


def _median(values: np.ndarray) -> float:
    """The lower median, which is one of the values: the mean of two could overflow."""
    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])


def _ordered(values: dict[Any, int]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(values))
    except TypeError:
        # Values of several kinds have no order.
        return tuple(values)


def _check_comes_again(name: str, counts: dict[Any, int], rows: int) -> None:
    """Refuse text of which next to every row has its own.

    The share of rows whose value came once is the chance that a new row has a value never seen (Good, 1953).
    """
    single = sum(count == 1 for count in counts.values())
    if single <= max(_MOST_SINGLE, rows / 2):
        return
    mixed = any(isinstance(value, str) for value in counts) and not all(isinstance(value, str) for value in counts)
    raise ValueError(
        f"X, column {name!r}, must have values that come again. Got {single:,} in {rows:,} rows that come once"
        f"{', numbers and text' if mixed else ''}, so that new rows would be refused for it: "
        + ("write what is no number as a gap." if mixed else "guard the last step of a Pipeline, behind the one that reads it.")
    )


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(f"columns must be what they were saved as. Got {otherwise}.")


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_count(value: Any) -> bool:
    return _is_place(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_category(value: Any) -> bool:
    return isinstance(value, str | bool) or _is_number(value)
