"""Decision trees and sums of them: forests, boosting.

Along a ray each tree ends in a leaf. From its root down, a column that moves ends beyond every threshold, on the side of its
direction; one that stays is compared. That leaf is a box, and the ray is inside it from where it has met the last threshold on
the way down: max (threshold - x) / d over the nodes whose columns move (Breiman et al., "Classification and Regression Trees",
1984, for the trees; the rest is geometry). So the limit is a prediction, and the radius is exact.

Libraries that compare in single precision are brought to float64 by `rounded`: which doubles go left does not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family
from knowlimits.model.families.leaves import Packed


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree; nodes are in any order, the first is the root.

    Attributes:
        column: that a node looks at, ``(nodes,)``; anything at a leaf.
        threshold: numbers up to it go left, ``(nodes,)``.
        left, right: children, ``(nodes,)``; -1 at a leaf.
        value: what a leaf adds to the outputs from `output` on, ``(nodes, values)``.
        output: the first output that it adds to.
        gap_left: whether gaps go left, ``(nodes,)``; None where no gaps are taken.
        categories: for a node that asks for whole numbers in place of a threshold those that go left, by its place.
    """

    column: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    output: int = 0
    gap_left: np.ndarray | None = None
    categories: Mapping[int, Sequence[int]] = field(default_factory=dict)


class Trees(Family):
    """A sum of trees, ``(n, features) -> (n, outputs)``.

    Args:
        trees: they.
        outputs: how many numbers they add up to.
        base: what their sum begins with, ``(outputs,)``; 0 without it.
        returns: what the sum is: of probabilities, or logits.
        divided: by what the sum of the trees is divided in the end, so that what is equal to the library is equal here.

    Attributes:
        packed: the trees.
        base, divided: as they were given, the base one number for each output.
    """

    jumps = True

    def __init__(
        self,
        trees: Sequence[Tree],
        outputs: int,
        base: np.ndarray | float = 0.0,
        returns: Outputs = Outputs.PROBABILITIES,
        divided: float = 1.0,
    ):
        super().__init__()
        self.returns = returns
        if not trees:
            raise ValueError("trees must be one at least. Got none.")
        if (last := max(tree.output + tree.value.shape[1] for tree in trees)) > outputs or min(t.output for t in trees) < 0:
            raise ValueError(f"trees must add to {outputs} outputs. Got one that adds to number {last}.")
        self.gaps = all(tree.gap_left is not None for tree in trees)
        self.base = np.broadcast_to(np.asarray(base, dtype=np.float64), (outputs,)).copy()
        self.packed, self.divided = Packed.of(trees), float(divided)
        asked = self.packed.nodes["column"]
        self.held = tuple(sorted({int(tree.column[node]) for tree in trees for node in tree.categories}))
        self.columns = 1 + int(asked.max(initial=-1))

    @property
    def described(self) -> str:
        """How many trees."""
        count = len(self.packed.roots)
        return f"{count} tree{'s' if count != 1 else ''}"

    @property
    def thresholds(self) -> list[np.ndarray]:
        """For each column up to the last one that is looked at the finite thresholds that it is compared with, ascending."""
        columns, thresholds = self.packed.nodes["column"], self.packed.nodes["threshold"]
        return [np.unique(thresholds[(columns == column) & np.isfinite(thresholds)]) for column in range(self.columns)]

    def at(self, x: np.ndarray) -> np.ndarray:
        """The sums at points."""
        sums = self._begin(x)
        self.packed.add(sums, x)
        return self._done(sums)

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """The sums over the leaves that rays end in, and the last thresholds that they meet."""
        sums = self._begin(x)
        radius, clear = self.packed.follow(sums, x, d)
        return Ends(self._done(sums), radius=radius, clear=clear)

    def _done(self, sums: np.ndarray) -> np.ndarray:
        return sums if self.divided == 1 else sums / self.divided

    def _begin(self, x: np.ndarray) -> np.ndarray:
        """What trees are added to."""
        if x.shape[1] < self.columns:
            raise ValueError(f"X must have {self.columns} columns at least. Got {x.shape[1]} instead.")
        return np.tile(self.base, (len(x), 1))


def rounded(thresholds: np.ndarray, strict: bool = False) -> np.ndarray:
    """The largest doubles that, rounded to float32, are at most thresholds (less than them if `strict`).

    So ``x <= rounded(t)`` for a number x in float64 is what ``float32(x) <= t`` is: rounding is monotone, and where it changes
    lies half-way between two neighbours in float32, with ties to the even one.
    """
    t = np.asarray(thresholds, dtype=np.float64)
    above, largest = np.float32(np.inf), float(np.finfo(np.float32).max)
    with np.errstate(over="ignore"):
        single = t.astype(np.float32)
        # The largest float32 that goes left.
        too_large = (single.astype(np.float64) >= t) if strict else (single.astype(np.float64) > t)
        last = np.where(too_large, np.nextafter(single, -above), single)
        following = np.nextafter(last, above)
        half = last.astype(np.float64) / 2 + following.astype(np.float64) / 2
        # Beyond the largest float32 doubles round to infinity from where the next one would be half-way.
        half = np.where(np.isinf(following) & np.isfinite(last), largest + 2.0**103, half)
        half = np.where(np.isneginf(last), -largest - 2.0**103, half)
        goes_left = half.astype(np.float32) <= last
    found = np.where(np.isposinf(last), np.inf, np.where(goes_left, half, np.nextafter(half, -np.inf)))
    return np.where(strict & np.isneginf(t), -np.inf, found)
