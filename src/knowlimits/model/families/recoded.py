"""Trees of which some numbers stand for others: those that count as gaps, and fractions that count as whole numbers.

Boosting libraries take a number such as -999 or 0 for a gap where that was asked for. A ray meets it at one place of a column,
within an interval as wide as rounding makes it, and may change there on its way, however far behind the last threshold. Whether
it does is found by asking the trees about that place with a gap in the column. Where a threshold lies within an interval, the
radius is exact up to its width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from knowlimits.model.families.family import Ends, Family
from knowlimits.model.families.trees import Trees


class Whole(Enum):
    """How a number is made whole that chooses a category."""

    DOWN_SINGLE = "down, rounded to single precision before"
    TOWARDS_ZERO = "towards zero"

    def of(self, x: np.ndarray) -> np.ndarray:
        """Whole numbers of numbers."""
        if self is Whole.TOWARDS_ZERO:
            return np.trunc(x)
        with np.errstate(over="ignore"):
            return np.floor(x.astype(np.float32).astype(np.float64))


@dataclass(frozen=True)
class Codes:
    """Numbers that stand for gaps.

    Attributes:
        least, most: the first and the last of them.
        columns: where they do.
    """

    least: float
    most: float
    columns: tuple[int, ...]


class Recoded(Family):
    """Trees behind a recoding of their inputs, ``(n, features) -> (n, outputs)``.

    Args:
        trees: which take gaps.
        codes: numbers that stand for gaps.
        whole: how numbers are made whole that choose categories.

    Attributes:
        trees, codes, whole: as they were given.
    """

    jumps, gaps = True, True

    def __init__(self, trees: Trees, codes: Sequence[Codes] = (), whole: Whole = Whole.TOWARDS_ZERO):
        super().__init__()
        self.trees, self.returns, self.held = trees, trees.returns, trees.held
        self.codes, self.whole = tuple(codes), whole
        self.columns, self.thresholds = trees.columns, trees.thresholds

    @property
    def described(self) -> str:
        """How many trees."""
        return self.trees.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """The trees' values."""
        return self.trees.at(self._recoded(x, np.zeros((1, x.shape[1]))))

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Where the trees end, and the last code that a ray meets, if it matters there."""
        x = self._recoded(x, d)
        ends = self.trees.along(x, d)
        for codes in self.codes:
            for column in codes.columns:
                self._meet(codes, column, x, d, ends)
        return ends

    def _recoded(self, x: np.ndarray, d: np.ndarray) -> np.ndarray:
        x = x.copy()
        for codes in self.codes:
            columns = list(codes.columns)
            some = x[:, columns]
            # What moves is no code for long.
            x[:, columns] = np.where((some >= codes.least) & (some <= codes.most) & (d[:, columns] == 0), np.nan, some)
        x[:, list(self.held)] = self.whole.of(x[:, list(self.held)])
        return x

    def _meet(self, codes: Codes, column: int, x: np.ndarray, d: np.ndarray, ends: Ends) -> None:
        """Note where rays leave numbers that stand for gaps in a column, if the trees say something else there."""
        start, step = x[:, column], d[:, column]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            left = np.where(step > 0, (codes.most - start) / step, (codes.least - start) / step)
        rows = np.flatnonzero((step != 0) & (left >= 0) & (left > ends.radius) & np.isfinite(left))
        if not len(rows):
            return
        there = self._recoded(x[rows] + left[rows, None] * d[rows], np.zeros((1, x.shape[1])))
        there[:, column] = np.nan
        matters = (self.trees.at(there) != ends.offset[rows]).any(1)
        ends.radius[rows[matters]] = left[rows[matters]]
