"""Numbers that arrive in another scale: a unit mixed up, a decimal point lost, a sign flipped. Gaps stay gaps."""

import math
from dataclasses import dataclass

import numpy as np

from knowlimits.faults.fault import Case, Fault, case, numbers
from knowlimits.faults.observed import Observed, checked_number
from knowlimits.ood.strange import shown

_SPELLED = {10.0: "ten", 100.0: "a hundred", 1000.0: "a thousand", 1e6: "a million"}
# Numbers with more decimals have been computed, and nobody writes them with a point.
_MOST_DECIMALS = 6


@dataclass(frozen=True)
class Unit(Fault):
    """A number arrives in another unit: mg for g, cm for m, a percentage for a fraction, Fahrenheit for Celsius.

    A decimal point that slips by one place does the same, with a factor of 10. A factor above 1 is a ray, as rows go on in the
    same way with every factor that is larger.

    Args:
        factor: what numbers are multiplied by, above 0.
        plus: what is added then, for units with another zero: ``Unit(1.8, 32)`` is Fahrenheit for Celsius.
    """

    factor: float = 1000.0
    plus: float = 0.0

    def __post_init__(self):
        checked_number("factor", self.factor, "a number above 0", above=0.0)
        checked_number("plus", self.plus)
        if self.factor == 1 and self.plus == 0:
            raise ValueError("factor must be another number than 1, or plus than 0. Got neither.")

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel."""

        def values(block: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            # What overflows arrives as infinite, as it does in life.
            with np.errstate(over="ignore"):
                return block * self.factor + self.plus

        found, (words, how) = [], self._words
        grow = np.nan_to_num if self.factor > 1 and self.plus == 0 else None
        for group in numbers(self, observed, observed.measured):
            found += case(self, observed, group, words, f"{group.quoted} arrives {how}", values, grow)
        return found

    @property
    def _words(self) -> tuple[str, str]:
        """In a table, and behind a verb."""
        times, how = "", ""
        larger = self.factor > 1
        size = self.factor if larger else 1 / self.factor
        whole = float(f"{size:.12g}")
        if self.factor != 1:
            # 0.001 is a thousandth, and 0.4536 no part of anything.
            divided = not larger and whole == round(whole)
            times = f"divided by {number(whole)}" if divided else f"times {number(self.factor)}"
            side = "large" if larger else "small"
            how = f"{_SPELLED.get(whole, number(whole))} times too {side}" if larger or divided else times
        if self.plus == 0:
            return times, how
        shift = f"{'plus' if self.plus > 0 else 'minus'} {number(abs(self.plus))}"
        both = f"{times} {shift}".strip()
        return both, both


@dataclass(frozen=True)
class LostPoint(Fault):
    """A decimal point is lost, as where a comma is expected: 3.75 arrives as 375, 4.1 as 41, and 4 as 4.

    So each number is multiplied by a factor of its own. Only columns whose numbers are written with at most six decimals.
    """

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel, that is written with decimals."""
        found = []
        for group in numbers(self, observed, observed.measured):
            present = observed.present(group.places)
            # Numbers too large to be rounded so have no decimals, but nobody writes them with a point either.
            with np.errstate(over="ignore"):
                written = np.array_equal(np.round(present, _MOST_DECIMALS), present)
            if written:
                clause = f"{group.quoted} loses its decimal point"
                found += case(self, observed, group, "decimal point lost", clause, lambda block, rng: without_point(block))
        return found


@dataclass(frozen=True)
class Sign(Fault):
    """A sign is flipped: a difference taken the wrong way round, a sensor mounted upside down, debit for credit."""

    def cases(self, observed: Observed) -> list[Case]:
        """One for each measurement, or each channel, that is not 0 throughout."""
        found = []
        for group in numbers(self, observed, observed.measured):
            clause = f"the sign of {group.quoted} is flipped"
            found += case(self, observed, group, "sign flipped", clause, lambda block, rng: -block)
        return found


def without_point(values: np.ndarray) -> np.ndarray:
    """Numbers without their decimal points: each times 10 to the number of its decimals, which are at most six."""
    whole, open_ = np.array(values), np.ones(np.shape(values), dtype=bool)
    for decimals in range(_MOST_DECIMALS + 1):
        done = open_ & ((np.round(values, decimals) == values) | (decimals == _MOST_DECIMALS))
        whole[done] = np.round(values[done] * 10.0**decimals)
        open_ &= ~done
    return whole


def number(value: float) -> str:
    """A number as a table shows it: whole ones with commas, others with no more digits than they need."""
    return f"{value:,.0f}" if value == math.floor(value) and 1000 <= abs(value) < 1e9 else shown(float(value))
