"""Trees as their libraries write them, checked all at once: each is one tree, and looks at columns that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from knowlimits.model.boosters.boosted import require
from knowlimits.model.families.trees import Tree

# Levels of a tree: one of a chain of nodes alone has so many.
_DEEPEST = 10_000


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of one tree as they were written.

    Attributes:
        column, threshold, left, right, gap_left: as `Tree` has them, ``(nodes,)`` each; children may be anything.
        value: of its leaves, ``(nodes, values)``.
        output: the first output that it adds to.
        categories: as `Tree` has them.
    """

    column: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    gap_left: np.ndarray
    value: np.ndarray
    output: int = 0
    categories: Mapping[int, Sequence[int]] = field(default_factory=dict)


def trees_of(written: Sequence[Nodes], columns: int, outputs: int) -> list[Tree]:
    """Trees, without nodes that nothing leads to.

    Args:
        written: they, with arrays of one length in each.
        columns: how many a row has.
        outputs: how many outputs they add up to.

    Raises:
        ValueError: if one is no tree, looks at a column that is not there, adds to an output that is not there, or has a
            threshold or a value that is no number.
    """
    if not written:
        return []
    sizes = np.array([len(one.column) for one in written])
    require(sizes.min() > 0, "has a tree without nodes")
    begins = np.cumsum([0, *sizes])[:-1]
    reached = _reached(written, begins, sizes)
    trees = []
    for begin, size, one in zip(begins, sizes, written, strict=True):
        kept = reached[begin : begin + size]
        require(one.output >= 0 and one.output + one.value.shape[1] <= outputs, "has a tree of a class that is not there")
        one = one if kept.all() else _some(one, kept)
        _check_numbers(one, columns)
        trees.append(Tree(one.column, one.threshold, one.left, one.right, one.value, one.output, one.gap_left, one.categories))
    return trees


def _reached(written: Sequence[Nodes], begins: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which of all nodes are reached from the roots, each on one way."""
    left, right = (np.concatenate([getattr(one, side) for one in written]) for side in ("left", "right"))
    leaf = left < 0
    require(bool((leaf == (right < 0)).all()), "has a node with one child")
    size, begin = np.repeat(sizes, sizes), np.repeat(begins, sizes)
    for side in (left, right):
        require(bool((leaf | (side < size)).all()), "has a node with a child that is not there")
    left, right = left + begin, right + begin
    reached = np.zeros(len(left), dtype=bool)
    level, deep = begins, 0
    while len(level):
        deep += 1
        require(deep <= _DEEPEST, f"has a tree of more than {_DEEPEST:,} levels")
        reached[level] = True
        inner = level[~leaf[level]]
        level = np.concatenate([left[inner], right[inner]])
        once = not reached[level].any() and len(np.unique(level)) == len(level)
        require(once, "has a node with two parents, and so is no tree")
    return reached


def _some(one: Nodes, kept: np.ndarray) -> Nodes:
    """Some nodes of a tree, with all their children."""
    place = np.where(kept, np.cumsum(kept) - 1, -1)

    def child(side: np.ndarray) -> np.ndarray:
        return np.where(side[kept] < 0, -1, place[side[kept]])

    categories = {int(place[node]): chosen for node, chosen in one.categories.items() if kept[node]}
    rest = (one.gap_left[kept], one.value[kept], one.output, categories)
    return Nodes(one.column[kept], one.threshold[kept], child(one.left), child(one.right), *rest)


def _check_numbers(one: Nodes, columns: int) -> None:
    leaf = one.left < 0
    column = one.column[~leaf]
    require(bool(((column >= 0) & (column < columns)).all()), f"looks at a column that is none of its {columns:,}")
    chosen = np.zeros(len(leaf), dtype=bool)
    chosen[list(one.categories)] = True
    require(not np.isnan(one.threshold[~leaf & ~chosen]).any(), "has a threshold that is no number")
    require(bool(np.isfinite(one.value[leaf]).all()), "has a leaf whose value is no finite number")
