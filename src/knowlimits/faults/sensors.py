"""What goes wrong with sensors: they are stuck, drift, or are at the end of what they can measure."""

from dataclasses import dataclass

import numpy as np

from knowlimits.faults.fault import Case, Fault, case, numbers
from knowlimits.faults.filling import all_at
from knowlimits.faults.observed import Observed, checked_number
from knowlimits.faults.scale import number


@dataclass(frozen=True)
class Stuck(Fault):
    """A sensor is stuck: it repeats one reading that it has had, in every row, where there was a gap, too.

    Which one is drawn. In a channel all places have it.
    """

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel, that has not always been the same."""
        found = []
        for group in numbers(self, observed, observed.measured):
            present = observed.present(group.places)
            if not len(present):
                continue

            def values(block: np.ndarray, rng: np.random.Generator, readings: np.ndarray = present) -> np.ndarray:
                return np.full_like(block, readings[rng.integers(len(readings))])

            found += case(self, observed, group, "stuck at one value", f"{group.quoted} is stuck at one value", values)
        return found


@dataclass(frozen=True)
class Drift(Fault):
    """A sensor drifts: its readings are all too large by as much, or too small. It is a ray. Gaps stay gaps.

    Args:
        deviations: by how much, in standard deviations of what was observed; below 0 for too small.
    """

    deviations: float = 3.0

    def __post_init__(self):
        if checked_number("deviations", self.deviations) == 0:
            raise ValueError("deviations must be another number than 0. Got 0.")

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel, that varies."""
        found = []
        size, (side, way) = abs(float(self.deviations)), ("more", "up") if self.deviations > 0 else ("less", "down")
        for group in numbers(self, observed, observed.measured):
            present = observed.present(group.places)
            if not len(present):
                continue
            by = float(self.deviations * present.std())

            def values(block: np.ndarray, rng: np.random.Generator, by: float = by) -> np.ndarray:
                return block + by

            def grow(block: np.ndarray, by: float = by) -> np.ndarray:
                return np.where(np.isnan(block), 0.0, by)

            clause = f"{group.quoted} drifts {way} by {number(size)} standard deviation{'' if size == 1 else 's'}"
            found += case(self, observed, group, f"{number(size)} sd {side}", clause, values, grow)
        return found


@dataclass(frozen=True)
class Saturation(Fault):
    """A sensor is at the end of what it can measure: every reading is the largest that was observed, also where a gap was.

    Clipping what lies above most of the readings would leave most rows as they are; all at the end is what a model meets while
    the cause lasts.
    """

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel."""
        found = []
        for group in numbers(self, observed, observed.measured):
            present = observed.present(group.places)
            if len(present):
                clause = f"{group.quoted} is at its largest value"
                found += case(self, observed, group, "at its largest value", clause, all_at(float(present.max())))
        return found
