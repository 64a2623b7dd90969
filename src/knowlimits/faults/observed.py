"""The table that faults are made for, as it was observed, and the columns of it that go wrong together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.ood.strange import shown

# An axis of so many is one of places, as those of an image are; not one of channels.
_MOST_CHANNELS = 64
#: Of more columns, or channels, that a fault may happen to, so many are taken, unless some are named.
MOST_GROUPS = 100
_WHOLE = "the whole input"


@dataclass(frozen=True, eq=False)
class Group:
    """Columns that go wrong together: one of a table, a channel of a window or an image.

    Attributes:
        feature: what it is called.
        places: of its columns.
    """

    feature: str
    places: tuple[int, ...]

    @property
    def quoted(self) -> str:
        """What it is called, in a sentence."""
        return self.feature if self.feature == _WHOLE else shown(self.feature)


@dataclass(frozen=True, eq=False)
class Observed:
    """A table as a model has seen it.

    Attributes:
        names: of the columns.
        rows: the table as floats, ``(n, columns)``; nan for gaps, codes for categories.
        levels: for each column the values that its codes stand for; None for a column of numbers.
        measured: which columns are measurements, and neither codes nor of two values, ``(columns,)``.
        unseen: the code of a value that was never seen, ``(columns,)``; nan where there is none.
        shape: of one input whose places the columns are; None for a table that is one.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    levels: tuple[tuple[Any, ...] | None, ...]
    measured: np.ndarray
    unseen: np.ndarray
    shape: tuple[int, ...] | None = None

    @classmethod
    def of(cls, rows: Any, names: Sequence[str], shape: tuple[int, ...] | None = None) -> "Observed":
        """A table that has nothing but measurements, to try faults on.

        Args:
            rows: ``(n, columns)``, with nan for gaps.
            names: of the columns.
            shape: of one input whose places the columns are, if that is what they are.

        Raises:
            ValueError: if these do not fit each other.
        """
        table, count = np.asarray(rows, dtype=np.float64), len(names)
        if table.ndim != 2 or table.shape[1] != count:
            raise ValueError(f"rows must be a table of {count} columns, as there are names. Got shape {table.shape} instead.")
        if shape is not None and math.prod(shape) != count:
            raise ValueError(f"shape must have as many places as there are names, {count}. Got {shape} instead.")
        return cls(tuple(names), table, (None,) * count, np.ones(count, dtype=bool), np.full(count, np.nan), shape)

    @cached_property
    def numeric(self) -> np.ndarray:
        """Which columns have numbers, ``(columns,)``."""
        return np.array([levels is None for levels in self.levels], dtype=bool)

    @property
    def every(self) -> np.ndarray:
        """All columns, ``(columns,)``."""
        return np.ones(len(self.names), dtype=bool)

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """The axis that tells channels apart: of the first and the last the shorter, and the first of two alike; or none.

        Torch has channels first, others have them last, and of an image without channels all is one.
        """
        assert self.shape is not None
        last = len(self.shape) - 1
        axis = 0 if self.shape[0] <= self.shape[last] else last
        return (axis,) if self.shape[axis] <= _MOST_CHANNELS else ()

    def block(self, places: Sequence[int]) -> np.ndarray:
        """Some columns of the rows, ``(n, places)``."""
        return self.rows[:, list(places)]

    def present(self, places: Sequence[int]) -> np.ndarray:
        """The values of some columns that are no gaps."""
        values = self.block(places)
        return values[~np.isnan(values)]

    def groups(self, columns: Any, axis: Any, among: np.ndarray, most: int = MOST_GROUPS) -> list[Group]:
        """What goes wrong one at a time.

        Args:
            columns: names or places of columns, each of which is one then; without it all that are `among`, or channels.
            axis: of inputs of several axes, whose places with the same index there go wrong together; or several, or ``()``
                for all places at once. Without it the axis of channels.
            among: the columns that it may be, ``(columns,)``.
            most: how many there are at most where none are named: of more, so many from all over the table.

        Raises:
            ValueError: if there are no such columns, or no such axis.
        """
        if columns is not None:
            if axis is not None:
                raise ValueError("columns or axis must be left out, as each says what goes wrong together. Got both.")
            return [Group(self.names[place], (place,)) for place in self.places(columns)]
        if self.shape is None:
            if axis is not None:
                raise ValueError(f"axis must be left out for a table, which has one of columns alone. Got {axis!r} instead.")
            return _spread([Group(self.names[place], (place,)) for place in np.flatnonzero(among).tolist()], most)
        axes = self.channels if axis is None else self._axes(axis)
        found = []
        for at in np.ndindex(*(self.shape[a] for a in axes)):
            index: list[Any] = [slice(None)] * len(self.shape)
            for one, place in zip(axes, at, strict=True):
                index[one] = place
            places = np.arange(len(self.names)).reshape(self.shape)[tuple(index)].ravel()
            if among[places].any():
                text = ", ".join(":" if isinstance(i, slice) else str(i) for i in index)
                found.append(Group(f"x[{text}]" if axes else _WHOLE, tuple(places.tolist())))
        return _spread(found, most)

    def places(self, columns: Any) -> list[int]:
        """Places of columns that are named, or counted from 0; a place of an input of several axes by its indices, too.

        Raises:
            ValueError: if one is unknown, or named twice.
        """
        single = isinstance(columns, str) or not isinstance(columns, Iterable)
        places = [self._place(one) for one in ([columns] if single else columns)]
        if len(set(places)) < len(places):
            twice = next(self.names[place] for place in places if places.count(place) > 1)
            raise ValueError(f"columns must differ. Got {shown(twice)} more than once.")
        return places

    def _place(self, one: Any) -> int:
        if isinstance(one, str) and one in self.names:
            return self.names.index(one)
        if isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(self.names):
            return int(one)
        if isinstance(one, tuple) and self.shape is not None and _inside(one, self.shape):
            return int(np.ravel_multi_index(one, self.shape))
        few = ", ".join(map(shown, self.names[:5]))
        more = ", ..." if len(self.names) > 5 else ""
        raise ValueError(
            f"columns must name columns of X, which are {few}{more}, or count them from 0. Got {shown(one)} instead."
        )

    def _axes(self, axis: Any) -> tuple[int, ...]:
        assert self.shape is not None
        axes = (axis,) if isinstance(axis, int | np.integer) else axis
        whole = isinstance(axes, tuple) and all(isinstance(one, int | np.integer) for one in axes)
        if not whole or len(set(axes)) < len(axes) or not all(0 <= one < len(self.shape) for one in axes):
            raise ValueError(
                f"axis must count the axes of one input, of shape {self.shape}, from 0: one, or a tuple of several. "
                f"Got {axis!r} instead."
            )
        return tuple(sorted(map(int, axes)))


def _spread(groups: list[Group], most: int) -> list[Group]:
    """At most so many of them, from the first to the last."""
    if len(groups) <= most:
        return groups
    return [groups[at] for at in np.linspace(0, len(groups) - 1, most).round().astype(int)]


def _inside(index: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    whole = all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in index)
    return len(index) == len(shape) and whole and all(0 <= one < size for one, size in zip(index, shape, strict=True))


def checked_number(name: str, value: Any, what: str = "a number", above: float = -math.inf) -> float:
    """A finite number that a fault is given.

    Raises:
        ValueError: if it is none, or not larger than `above`; the text says that `name` must be `what`.
    """
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not value > above:
        raise ValueError(f"{name} must be {what}. Got {value!r} instead.")
    return float(value)
