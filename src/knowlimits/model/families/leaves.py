"""The compiled part of trees: which leaf of each tree rows and rays end in, and the last thresholds that rays meet.

A walk down a tree waits for memory, and for which way it goes. So rows go down together, a level at a time: the next one does
not wait for the one before, and which way a row goes is computed, not branched on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.compiling import compiled

# A node that asks: children are places of nodes, or of leaves in another array, as -1 - place. It asks for whole numbers if its
# threshold is nan.
_NODE = np.dtype([("threshold", np.float64), ("column", np.int32), ("left", np.int32), ("right", np.int32), ("_", np.int32)])
# Numbers of rows that go through all trees before the next rows do, so that they stay in the cache; and rows at least.
_NUMBERS, _ROWS = 2**14, 128
# Nodes that wait to be looked at, at first.
_WAITING = 64
# Beyond every finite threshold, but for itself; numbers that do not move are no larger.
_FAR = np.finfo(np.float64).max
# A product with a reciprocal is no farther from a quotient, as a share of it.
_SHORT = 1 - 2.0**-50


@dataclass(frozen=True, eq=False)
class Packed:
    """Trees, packed to be walked down.

    Attributes:
        roots: of each tree the root, as children are, and the first output that it adds to, ``(trees, 2)``.
        nodes: that ask, tree by tree.
        values: of the leaves, ``(leaves, values)``.
        gap_left: whether gaps go left, by node.
        begins: where the whole numbers that go left at a node begin in `sets`, and, behind, where those of the next one do.
        sets: whole numbers.
    """

    roots: np.ndarray
    nodes: np.ndarray
    values: np.ndarray
    gap_left: np.ndarray
    begins: np.ndarray
    sets: np.ndarray

    @classmethod
    def of(cls, trees: Sequence[Any]) -> "Packed":
        """Trees as `knowlimits.model.families.trees.Tree` has them."""
        roots, nodes, values, gap_left, counts, sets = [], [], [], [], [], []
        inner = leaves = 0
        for tree in trees:
            order = _preorder(tree.left, tree.right)
            asks = tree.left[order] >= 0
            place = np.zeros(len(tree.column), dtype=np.int64)
            place[order[asks]] = inner + np.arange(asks.sum())
            place[order[~asks]] = -1 - leaves - np.arange((~asks).sum())
            kept = order[asks]
            mine = np.zeros(len(kept), dtype=_NODE)
            mine["threshold"], mine["column"] = tree.threshold[kept], tree.column[kept]
            mine["left"], mine["right"] = place[tree.left[kept]], place[tree.right[kept]]
            count, chosen = _sets(tree.categories, place - inner, len(kept))
            mine["threshold"][count >= 0] = np.nan
            roots.append((place[0], tree.output))
            nodes.append(mine)
            values.append(np.asarray(tree.value, dtype=np.float64)[order[~asks]])
            gap_left.append(np.zeros(len(kept), dtype=bool) if tree.gap_left is None else np.asarray(tree.gap_left)[kept])
            counts.append(np.maximum(count, 0))
            sets += chosen
            inner, leaves = inner + len(kept), leaves + len(order) - len(kept)
        return cls(
            np.array(roots, dtype=np.int64).reshape(-1, 2),
            np.concatenate(nodes),
            np.concatenate(values),
            np.concatenate(gap_left).astype(np.bool_),
            np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64),
            np.array(sets, dtype=np.float64),
        )

    def add(self, sums: np.ndarray, x: np.ndarray) -> None:
        """Add the leaves that points ``(n, features)`` are in to sums ``(n, outputs)``."""
        for some in _blocks(x):
            _walk(x[some], None, None, None, *self._arrays, sums[some], np.zeros(0), np.ones(0, dtype=np.bool_))

    def follow(self, sums: np.ndarray, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Add the leaves that rays end in.

        Returns:
            The last `a` at which each ray meets a threshold on its way, at least 0, ``(n,)``; and whether no number that stays
            lies at a threshold.
        """
        radius, clear = np.zeros(len(x)), np.ones(len(x), dtype=np.bool_)
        for some in _blocks(x):
            starts, ways = x[some], d[some]
            still = ways == 0
            # A gap stays one wherever it goes.
            ends = np.where(still | np.isnan(starts), starts, np.copysign(_FAR, ways))
            with np.errstate(divide="ignore", over="ignore"):
                reciprocals = np.where(still, 0.0, 1 / ways)
            _walk(ends, starts, ways, reciprocals, *self._arrays, sums[some], radius[some], clear[some])
        return radius, clear

    def met(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The thresholds that are asked for and passed by numbers that go from some to others, ``(n, features)`` each.

        Returns:
            Row by row and tree by tree the places of rows, columns and thresholds, ``(met,)`` each.
        """
        counts = np.zeros(len(low), dtype=np.int64)
        nothing = np.zeros(0, dtype=np.int64)
        arrays = self.roots[:, 0].copy(), self.nodes, self.gap_left, self.begins, self.sets, _WAITING
        _meet(low, high, *arrays, counts, nothing, nothing)
        ends = np.cumsum(counts)
        rows, nodes = np.repeat(np.arange(len(low)), counts), np.empty(int(counts.sum()), dtype=np.int64)
        _meet(low, high, *arrays, counts, ends - counts, nodes)
        return rows, self.nodes["column"][nodes].astype(np.int64), self.nodes["threshold"][nodes]

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.roots, self.nodes, self.values, self.gap_left, self.begins, self.sets


def _blocks(x: np.ndarray) -> list[slice]:
    rows = max(_ROWS, _NUMBERS // max(1, x.shape[1]))
    return [slice(begin, begin + rows) for begin in range(0, len(x), rows)]


def _sets(categories: Mapping[int, Sequence[int]], place: np.ndarray, count: int) -> tuple[np.ndarray, list[int]]:
    """How many whole numbers go left at each node, -1 where none are asked for, and these, node by node."""
    sizes, found = np.full(count, -1, dtype=np.int64), []
    for node in sorted(categories, key=lambda node: place[node]):
        sizes[place[node]] = len(categories[node])
        found += categories[node]
    return sizes, found


def _preorder(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Nodes from the root down, each left child right behind its parent."""
    order, waiting = [], [0]
    lefts, rights = np.asarray(left).tolist(), np.asarray(right).tolist()
    while waiting:
        node = waiting.pop()
        order.append(node)
        if lefts[node] >= 0:
            waiting += [rights[node], lefts[node]]
    return np.array(order, dtype=np.int64)


@compiled(nogil=True)
def _goes_left(
    at: int, value: float, gap_left: np.ndarray, begins: np.ndarray, sets: np.ndarray
) -> bool:  # pragma: no cover - compiled
    """Where a gap goes, or a whole number that is asked for."""
    if value != value:
        return gap_left[at]
    found = False
    for k in range(begins[at], begins[at + 1]):
        found |= sets[k] == value
    return found


@compiled(nogil=True)
def _meet(
    low: np.ndarray,
    high: np.ndarray,
    roots: np.ndarray,
    nodes: Any,
    gap_left: np.ndarray,
    begins: np.ndarray,
    sets: np.ndarray,
    room: int,
    counts: np.ndarray,
    starts: np.ndarray,
    found: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Count the nodes that are passed on the way, row by row; note them from `starts` on in `found`, if that is not empty."""
    waiting = np.empty(room, dtype=np.int64)
    for row in range(len(low)):
        met = 0
        for tree in range(len(roots)):
            size = 1
            waiting[0] = roots[tree]
            while size:
                size -= 1
                at = waiting[size]
                if at < 0:
                    continue
                node = nodes[at]
                threshold, least, most = node.threshold, low[row, node.column], high[row, node.column]
                if size + 2 > len(waiting):
                    larger = np.empty(2 * len(waiting) + 2, dtype=np.int64)
                    larger[:size] = waiting[:size]
                    waiting = larger
                # Whole numbers that move may choose either.
                both = least != most if threshold != threshold else least <= threshold < most
                if least != least:
                    both = False
                left = most <= threshold
                if not both and (least != least or threshold != threshold):
                    left = _goes_left(at, least, gap_left, begins, sets)
                if both and threshold == threshold:
                    if len(found):
                        found[starts[row] + met] = at
                    met += 1
                if both or left:
                    waiting[size] = node.left
                    size += 1
                if both or not left:
                    waiting[size] = node.right
                    size += 1
        counts[row] = met


@compiled(nogil=True)
def _walk(
    ends: np.ndarray,
    x: Any,
    d: Any,
    reciprocals: Any,
    roots: np.ndarray,
    nodes: Any,
    values: np.ndarray,
    gap_left: np.ndarray,
    begins: np.ndarray,
    sets: np.ndarray,
    sums: np.ndarray,
    radius: np.ndarray,
    clear: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Add up leaves, and note the last threshold that each ray meets, and whether it stays at one.

    Args:
        ends: where rows are, or where rays end, ``(n, features)``.
        x, d, reciprocals: starts and directions of rays and what these are divided by, 0 where they stay; None for points.
        roots, nodes, values, gap_left, begins, sets: as `Packed` has them.
        sums, radius, clear: where results go; the last two for rays only.
    """
    n, width = len(ends), values.shape[1]
    # Rows on their way, the nodes that they are at, and where all rows are.
    active, place, end = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    for tree in range(len(roots)):
        root, output = roots[tree]
        for row in range(n):
            active[row] = row
            place[row] = root
            end[row] = root
        count = n if root >= 0 else 0
        while count:
            going = 0
            for i in range(count):
                row, at = active[i], place[i]
                node = nodes[at]
                threshold, value = node.threshold, ends[row, node.column]
                left = np.int64(value <= threshold)
                if value != value or threshold != threshold:
                    left = np.int64(_goes_left(at, value, gap_left, begins, sets))
                # By arithmetic, as a branch would be guessed wrong half of the time.
                following = np.int64(node.right) + left * (np.int64(node.left) - np.int64(node.right))
                if d is not None:
                    if value == threshold:
                        clear[row] = False
                    gone = threshold - x[row, node.column]
                    if gone * reciprocals[row, node.column] > radius[row] * _SHORT and threshold - threshold == 0:
                        radius[row] = max(radius[row], gone / d[row, node.column])
                end[row] = following
                active[going] = row
                place[going] = following
                going += following >= 0
            count = going
        for row in range(n):
            for k in range(width):
                sums[row, output + k] += values[-1 - end[row], k]
