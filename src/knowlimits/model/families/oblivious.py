"""Sums of symmetric (oblivious) trees, of which all nodes of a level ask the same.

A leaf's place is the number that the answers are the bits of (Prokhorenkova et al., "CatBoost: unbiased boosting with
categorical features", 2018, section 2). So nothing is walked: a number is compared with all thresholds of its column once, and
what remains is comparing small whole numbers, many rows at a time. As every level is asked on every way down, the last thing
that a ray meets is the least or the largest threshold of a column that moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family

# Rows that go through all trees before the next rows do, so that they stay in the cache.
_ROWS = 1024
_FAR = np.finfo(np.float64).max


@dataclass(frozen=True, eq=False)
class Symmetric:
    """One symmetric tree.

    Attributes:
        column: that each level looks at, ``(levels,)``.
        threshold: numbers above it set the level's bit of a leaf's place, the first level the lowest, ``(levels,)``.
        value: what leaves add to the outputs from `output` on, ``(2**levels, values)``.
        output: the first output that it adds to.
    """

    column: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    output: int = 0


class Oblivious(Family):
    """A sum of symmetric trees, ``(n, features) -> (n, outputs)``.

    Args:
        trees: they.
        outputs: how many numbers they add up to.
        base: what their sum begins with, ``(outputs,)``; 0 without it.
        returns: what the sum is: of probabilities, or logits.
        gap_left: whether gaps are below all thresholds of a column, by column; above them if not; None where no gaps are taken.

    Attributes:
        trees, gap_left: as they were given.
        base: one number for each output.
    """

    jumps = True

    def __init__(
        self,
        trees: Sequence[Symmetric],
        outputs: int,
        base: np.ndarray | float = 0.0,
        returns: Outputs = Outputs.PROBABILITIES,
        gap_left: np.ndarray | None = None,
    ):
        super().__init__()
        self.returns, self.gaps = returns, gap_left is not None
        if not trees:
            raise ValueError("trees must be one at least. Got none.")
        if (last := max(tree.output + tree.value.shape[1] for tree in trees)) > outputs or min(t.output for t in trees) < 0:
            raise ValueError(f"trees must add to {outputs} outputs. Got one that adds to number {last}.")
        if any(len(tree.value) != 2 ** len(tree.column) for tree in trees):
            raise ValueError("trees must have 2**levels leaves each. Got one that has others.")
        self.base = np.broadcast_to(np.asarray(base, dtype=np.float64), (outputs,)).copy()
        self.trees, self.gap_left = tuple(trees), gap_left
        self._grid = _Grid.of(trees, gap_left)
        self._packed = _Packed.of(trees, self._grid)
        self.columns = 1 + int(self._grid.columns.max(initial=-1))

    @property
    def described(self) -> str:
        """How many trees."""
        count = len(self._packed.trees)
        return f"{count} tree{'s' if count != 1 else ''}"

    @property
    def thresholds(self) -> list[np.ndarray]:
        """For each column up to the last one that is looked at the finite thresholds that it is compared with, ascending."""
        found = [np.zeros(0)] * self.columns
        for place, column in enumerate(self._grid.columns):
            begin, end = self._grid.begins[place : place + 2]
            some = self._grid.thresholds[begin:end]
            found[column] = some[np.isfinite(some)]
        return found

    def at(self, x: np.ndarray) -> np.ndarray:
        """The sums at points."""
        return self._sums(x, None, np.zeros(0), np.zeros(0, dtype=np.bool_))

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """The sums over the leaves that rays end in, and the last thresholds that they meet."""
        radius, clear = np.zeros(len(x)), np.ones(len(x), dtype=np.bool_)
        return Ends(self._sums(x, d, radius, clear), radius=radius, clear=clear)

    def _sums(self, x: np.ndarray, d: np.ndarray | None, radius: np.ndarray, clear: np.ndarray) -> np.ndarray:
        if x.shape[1] < self.columns:
            raise ValueError(f"X must have {self.columns} columns at least. Got {x.shape[1]} instead.")
        sums = np.empty((len(x), len(self.base)))
        for begin in range(0, len(x), _ROWS):
            some = slice(begin, begin + _ROWS)
            ways = None if d is None else d[some]
            ranks = np.empty((len(self._grid.columns), len(x[some])), dtype=self._packed.bits.dtype)
            _rank(x[some], ways, *self._grid.arrays, ranks, radius[some], clear[some])
            added = np.repeat(self.base[:, None], ranks.shape[1], axis=1)
            _add(ranks, *self._packed.arrays, np.empty(ranks.shape[1], dtype=ranks.dtype), added)
            sums[some] = added.T
        return sums


@dataclass(frozen=True, eq=False)
class _Grid:
    """All thresholds of each column that is looked at. A number's rank is how many of its column's are below it.

    Attributes:
        columns: that are looked at, ascending, ``(columns,)``.
        begins: where each one's thresholds begin, and, behind, where those of the next one do, ``(columns + 1,)``.
        thresholds: they, each once and ascending, column by column.
        ends: ranks of what moves down and up for ever, and of gaps, ``(columns, 3)``.
        last: the finite thresholds that these meet last, nan where there are none, ``(columns, 2)``.
    """

    columns: np.ndarray
    begins: np.ndarray
    thresholds: np.ndarray
    ends: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[Symmetric], gap_left: np.ndarray | None) -> "_Grid":
        """That of trees."""
        column = np.concatenate([np.asarray(tree.column, dtype=np.int64) for tree in trees])
        threshold = np.concatenate([np.asarray(tree.threshold, dtype=np.float64) for tree in trees])
        if np.isnan(threshold).any():
            raise ValueError("trees must have thresholds that are numbers. Got nan.")
        columns = np.unique(column)
        each = [np.unique(threshold[column == one]) for one in columns]
        ends, last = np.zeros((len(columns), 3), dtype=np.int64), np.full((len(columns), 2), np.nan)
        for place, some in enumerate(each):
            below = gap_left is None or gap_left[columns[place]]
            # No ray comes to an infinite threshold, or ends at the largest double.
            ends[place] = np.searchsorted(some, -_FAR), np.searchsorted(some, _FAR, "right"), 0 if below else len(some)
            finite = some[np.isfinite(some)]
            if len(finite):
                last[place] = finite[0], finite[-1]
        begins = np.cumsum([0, *map(len, each)], dtype=np.int64)
        return cls(columns, begins, np.concatenate([np.zeros(0), *each]), ends, last)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.columns, self.begins, self.thresholds, self.ends, self.last


@dataclass(frozen=True, eq=False)
class _Packed:
    """Trees that look at ranks.

    Attributes:
        trees: where a tree's levels begin, how many they are, where its values begin, how many a leaf has, and the first output
            that they are added to, ``(trees, 5)``.
        places: of the columns in the grid, level by level.
        least: ranks above it set a bit.
        bits: they. These and `least` are of the smallest type that has all of them, ranks and places of leaves, as so many
            more rows are compared at once.
        values: of all leaves, tree by tree and therein output by output.
    """

    trees: np.ndarray
    places: np.ndarray
    least: np.ndarray
    bits: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[Symmetric], grid: _Grid) -> "_Packed":
        """Trees on their grid."""
        rows, places, least, bits = [], [], [], []
        level = value = 0
        for tree in trees:
            rows.append((level, len(tree.column), value, tree.value.shape[1], tree.output))
            level, value = level + len(tree.column), value + tree.value.size
            for deep, (column, threshold) in enumerate(zip(tree.column, tree.threshold, strict=True)):
                place = int(np.searchsorted(grid.columns, column))
                begin, end = grid.begins[place : place + 2]
                places.append(place)
                least.append(int(np.searchsorted(grid.thresholds[begin:end], threshold)))
                bits.append(1 << deep)
        most = max(int(np.diff(grid.begins).max(initial=0)), *(len(tree.value) - 1 for tree in trees))
        kind = np.min_scalar_type(most)
        values = np.concatenate([np.asarray(tree.value, dtype=np.float64).T.ravel() for tree in trees])
        return cls(
            np.array(rows, dtype=np.int64),
            np.array(places, dtype=np.int64),
            np.array(least, kind),
            np.array(bits, kind),
            values,
        )

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.trees, self.places, self.least, self.bits, self.values


@compiled(nogil=True)
def _rank(
    x: np.ndarray,
    d: Any,
    columns: np.ndarray,
    begins: np.ndarray,
    thresholds: np.ndarray,
    ends: np.ndarray,
    last: np.ndarray,
    ranks: np.ndarray,
    radius: np.ndarray,
    clear: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Rank points, or ends of rays, and note the last threshold that each ray meets, and whether it stays at one.

    Args:
        x, d: points or starts of rays, and directions of rays; None for points.
        columns, begins, thresholds, ends, last: as `_Grid` has them.
        ranks: where ranks go, ``(columns, n)``.
        radius, clear: where these go, for rays only.
    """
    for place in range(len(columns)):
        column, some = columns[place], thresholds[begins[place] : begins[place + 1]]
        for row in range(len(x)):
            value = x[row, column]
            if value != value:
                # A gap stays one wherever it goes.
                ranks[place, row] = ends[place, 2]
                continue
            if d is not None:
                step = d[row, column]
                if step != 0:
                    up = np.int64(step > 0)
                    ranks[place, row] = ends[place, up]
                    meets = (last[place, up] - value) / step
                    radius[row] = meets if meets > radius[row] else radius[row]
                    continue
            low, size = np.int64(0), np.int64(len(some))
            while size > 1:
                half = size >> 1
                # By arithmetic, as a branch would be guessed wrong half of the time.
                low += half * np.int64(some[low + half - 1] < value)
                size -= half
            low += np.int64(some[low] < value)
            ranks[place, row] = low
            if d is not None and low < len(some) and some[low] == value:
                clear[row] = False


@compiled(nogil=True)
def _add(
    ranks: np.ndarray,
    trees: np.ndarray,
    places: np.ndarray,
    least: np.ndarray,
    bits: np.ndarray,
    values: np.ndarray,
    leaf: np.ndarray,
    sums: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Add leaves to sums ``(outputs, n)``, given ranks ``(columns, n)`` and room for the places of leaves, ``(n,)``."""
    n, nothing = len(leaf), leaf.dtype.type(0)
    for tree in range(len(trees)):
        level, levels, begin, width, output = trees[tree]
        for row in range(n):
            leaf[row] = nothing
        for at in range(level, level + levels):
            own, threshold, bit = ranks[places[at]], least[at], bits[at]
            for row in range(n):
                leaf[row] |= bit if own[row] > threshold else nothing
        leaves = np.int64(1) << levels
        for k in range(width):
            table, into = values[begin + k * leaves : begin + (k + 1) * leaves], sums[output + k]
            for row in range(n):
                into[row] += table[leaf[row]]
