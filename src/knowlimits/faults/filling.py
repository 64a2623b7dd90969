"""What stands in the place of a value that is not there: a number that means so, 0, or nothing. The numbers fill gaps, too."""

from dataclasses import dataclass

import numpy as np

from knowlimits.faults.fault import Case, Change, Fault, case, each_moved, numbers
from knowlimits.faults.observed import Group, Observed, checked_number
from knowlimits.ood.strange import shown

#: Numbers that are commonly written for a value that is missing, beside 0.
SENTINELS = (-9999.0, -999.0, -99.0, -1.0, 99.0, 999.0, 9999.0)
# The one that is tried wherever it is outside, and the share of rows from which on a 0 is ordinary.
_CUSTOMARY, _ORDINARY = -999.0, 0.01


@dataclass(frozen=True)
class Sentinel(Fault):
    """A number stands for a value that is missing, and is taken for one: -999, -1, 9999.

    It is a ray, as the model sees the same with every sentinel that is larger; 0 is none.

    Args:
        value: the number; without it -999 and the nearest of `SENTINELS` that lies outside of what a column was observed to
            have. In columns that are not named a number inside is no case, as there it is a value like any other.
    """

    value: float | None = None

    def __post_init__(self):
        if self.value is not None:
            checked_number("value", self.value, "a number; a gap is kl.faults.Gap()")

    def cases(self, observed: Observed) -> list[Case]:
        """One or two for each column of numbers, or each channel."""
        found = []
        for group in numbers(self, observed, observed.every):
            for value in self._values(observed, group):
                words = shown(value)
                grow = each_moved(np.sign(value)) if value else None
                found += case(self, observed, group, words, f"{group.quoted} is {words}", all_at(value), grow)
        return found

    def _values(self, observed: Observed, group: Group) -> list[float]:
        """Those to try."""
        if self.value is not None and self.columns is not None:
            return [float(self.value)]
        present = observed.present(group.places)
        if not len(present):
            return []
        low, high = present.min(), present.max()
        outside = [value for value in (SENTINELS if self.value is None else (self.value,)) if not low <= value <= high]
        if self.value is not None or not outside:
            return [float(value) for value in outside]
        nearest = min(outside, key=lambda value: max(low - value, value - high))
        return list(dict.fromkeys([nearest, *(value for value in outside if value == _CUSTOMARY)]))


@dataclass(frozen=True)
class ZeroFill(Fault):
    """Gaps are filled with 0, or a channel is dead: 0 stands for every value, where 0 is not ordinary."""

    def cases(self, observed: Observed) -> list[Case]:
        """One for each column of numbers, or each channel, of which fewer than one value in a hundred is 0."""
        found = []
        for group in numbers(self, observed, observed.every):
            present = observed.present(group.places)
            if self.columns is not None or (len(present) and (present == 0).mean() < _ORDINARY):
                found += case(self, observed, group, "0", f"{group.quoted} is filled with 0", all_at(0.0))
        return found


@dataclass(frozen=True)
class Gap(Fault):
    """A value is missing, and arrives as such."""

    def cases(self, observed: Observed) -> list[Case]:
        """One for each column, or each channel."""
        found = []
        for group in observed.groups(self.columns, self.axis, observed.every):
            found += case(self, observed, group, "missing", f"{group.quoted} is missing", all_at(np.nan))
        return found


def all_at(value: float) -> Change:
    """One value in every row."""
    return lambda block, rng: np.full_like(block, value)
