"""What a fault is: a small value that says what happens to a table, and the cases of it, one for each place where it can."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from knowlimits.faults.observed import MOST_GROUPS, Group, Observed

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Grow = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fault(ABC):
    """What goes wrong with data in a model's life; what is made of it for a table are its cases.

    One of your own that needs more than a column's values has `cases`; for all else there is `Other`.

    Args:
        columns: names or places of the columns that it happens to; by default those that it is likely in.
        axis: for inputs of several axes in place of `columns`: places with the same index there go wrong together.
            A tuple of axes tells places apart by several, and ``()`` takes all places at once. By default channels.
    """

    columns: Any = field(default=None, kw_only=True)
    axis: Any = field(default=None, kw_only=True)

    @abstractmethod
    def cases(self, observed: Observed) -> "list[Case]":
        """What can happen to a table: those that change something in the rows that were observed.

        Raises:
            ValueError: if it cannot happen in the columns that it was given.
        """


@dataclass(frozen=True, eq=False)
class Case:
    """A fault in a certain place.

    Attributes:
        feature: what goes wrong: ``"lactate"``, ``"age and height"``, ``"all columns"``, ``"x[2, :]"``.
        words: how, as a table shows it: ``"times 10"``.
        clause: both, as they follow on "If": ``"'lactate' arrives ten times too large"``.
        fault: that this is a case of.
        places: the columns that it changes, all others stay as they are.
        values: what becomes of these columns, ``(n, places)``, given random numbers; never in place.
        grow: how they move when the fault grows without bound, as directions ``(n, places)``, 0 where they do not; None for a
            fault that is no ray.
    """

    feature: str
    words: str
    clause: str
    fault: Fault
    places: tuple[int, ...]
    values: Change
    grow: Grow | None = None

    def change(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What becomes of rows ``(n, columns)``, as new ones.

        Raises:
            ValueError: if what the fault gives for the columns is of another shape.
        """
        changed, places = np.array(rows, dtype=np.float64), list(self.places)
        changed[:, places] = _of_shape(self, "values", self.values(changed[:, places], rng), changed[:, places].shape)
        return changed

    @property
    def ray(self) -> Grow | None:
        """A function from rows to directions ``(n, columns)``: where rows go when the fault grows without bound, or None."""
        return None if self.grow is None else self._directions

    def _directions(self, rows: np.ndarray) -> np.ndarray:
        assert self.grow is not None
        directions, places = np.zeros(np.shape(rows)), list(self.places)
        block = np.asarray(rows, dtype=np.float64)[:, places]
        directions[:, places] = _of_shape(self, "grow", self.grow(block), block.shape)
        return directions


def _of_shape(case: Case, what: str, given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What a case gives for its columns; of another shape it would be spread over them in silence."""
    if np.shape(given) != shape:
        name = type(case.fault).__name__
        raise ValueError(
            f"{what} of {name} must give {shape[1]} columns of {shape[0]} rows. Got shape {np.shape(given)} instead."
        )
    return given


def numbers(fault: Fault, observed: Observed, among: np.ndarray, most: int = MOST_GROUPS) -> list[Group]:
    """What a fault of numbers happens to.

    Raises:
        ValueError: if it was given a column of categories.
    """
    groups = observed.groups(fault.columns, fault.axis, among & observed.numeric, most)
    for group in groups:
        if not observed.numeric[list(group.places)].all():
            raise ValueError(
                f"{type(fault).__name__} must have columns of numbers. Got {group.quoted}, which has categories: for these "
                "there is UnseenCategory, or Other with a function of their labels."
            )
    return groups


def matters(observed: Observed, places: Sequence[int], values: Change) -> bool:
    """Whether something changes in the rows that were observed."""
    block = observed.block(places)
    return not np.array_equal(values(block.copy(), np.random.default_rng(0)), block, equal_nan=True)


def case(
    fault: Fault, observed: Observed, group: Group, words: str, clause: str, values: Change, grow: Grow | None = None
) -> list[Case]:
    """The case of a fault in a group of columns, or none if nothing changes."""
    if not matters(observed, group.places, values):
        return []
    if not observed.measured[list(group.places)].any():
        # What is no measurement has no way to go on.
        grow = None
    return [Case(group.feature, words, clause, fault, group.places, values, grow)]


def each_moved(towards: float) -> Grow:
    """Directions that go one way in all rows, gaps among them."""
    return lambda block: np.full_like(block, towards)
