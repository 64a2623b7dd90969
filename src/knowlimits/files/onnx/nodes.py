"""TreeNodes of trees as ONNX files list them, and the trees that they make.

A file may come from anybody: what its lists say is held to what trees are before anything is made of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from knowlimits.files.budget import MOST_COMPARISONS, MOST_DEPTH, MOST_SIZE, MOST_TREES
from knowlimits.files.onnx.sizes import allow
from knowlimits.follow import UnsupportedOperation
from knowlimits.model.families.trees import Tree, rounded

LEAF = "LEAF"
# For each mode whether it is strict, and whether it is the other way round: true where a number is not left of the threshold.
_MODES = {
    "BRANCH_LEQ": (False, False),
    "BRANCH_LT": (True, False),
    "BRANCH_GTE": (True, True),
    "BRANCH_GT": (False, True),
    "BRANCH_EQ": (False, False),
    "BRANCH_NEQ": (False, True),
}
_EQUAL = ("BRANCH_EQ", "BRANCH_NEQ")
# Whole numbers below are all different in single and in double precision.
_DIFFERENT = {True: 2**24, False: 2**53}


@dataclass(frozen=True, eq=False)
class TreeNodes:
    """All nodes of all trees.

    Attributes:
        tree: that each is of, ``(nodes,)``.
        mode: how it compares, ``(nodes,)``; `LEAF` for a leaf.
        column: that it looks at, ``(nodes,)``.
        threshold: that it compares with, ``(nodes,)``.
        true, false: places of the nodes that follow, ``(nodes,)``; of a leaf anything.
        gap_true: whether a gap counts as true, ``(nodes,)``.
    """

    tree: np.ndarray
    mode: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    true: np.ndarray
    false: np.ndarray
    gap_true: np.ndarray


@dataclass(frozen=True, eq=False)
class LeafWeights:
    """What leaves add to outputs; one may have several.

    Attributes:
        leaf: places of the leaves, ``(weights,)``.
        output: that each adds to, ``(weights,)``.
        weight: what it adds, ``(weights,)``.
    """

    leaf: np.ndarray
    output: np.ndarray
    weight: np.ndarray


class NodePlaces:
    """Where nodes stand in lists, by the numbers that a file gives to trees and to nodes within each.

    Args:
        trees, nodes: these numbers, ``(nodes,)``.

    Raises:
        ValueError: if one is there twice.
    """

    def __init__(self, trees: np.ndarray, nodes: np.ndarray):
        self._trees, self._nodes = np.unique(trees), np.unique(nodes)
        keys = self._keys(trees, nodes)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        twice = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if len(twice):
            at = self._order[twice[0]]
            raise ValueError(f"tree {trees[at]} has two nodes {nodes[at]}")

    def of(self, trees: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """NodePlaces of nodes.

        Raises:
            ValueError: if there is no such node.
        """
        keys = self._keys(trees, nodes)
        at = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1)
        missing = np.flatnonzero(self._sorted[at] != keys)
        if len(missing):
            raise ValueError(f"tree {trees[missing[0]]} has no node {nodes[missing[0]]}, which is referred to")
        return self._order[at]

    def _keys(self, trees: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        t = np.searchsorted(self._trees, trees).clip(max=len(self._trees) - 1)
        n = np.searchsorted(self._nodes, nodes).clip(max=len(self._nodes) - 1)
        known = (self._trees[t] == trees) & (self._nodes[n] == nodes)
        return np.where(known, t * len(self._nodes) + n, -1)


def grown(nodes: TreeNodes, weights: LeafWeights, outputs: int, single: bool) -> list[Tree]:
    """The trees.

    Args:
        nodes: they.
        weights: of their leaves.
        outputs: how many numbers the trees add up to.
        single: whether numbers are compared in single precision.

    Raises:
        ValueError: if they make no trees.
        UnsupportedOperation: if a node asks what the family cannot ask.
    """
    branch = nodes.mode != LEAF
    _check_branches(nodes, branch)
    _check_trees(nodes, branch)
    _check_weights(weights, branch, outputs)
    strict, turned = (np.array([_MODES.get(mode, (False, False))[k] for mode in nodes.mode], dtype=bool) for k in range(2))
    left = np.where(branch, np.where(turned, nodes.false, nodes.true), -1)
    right = np.where(branch, np.where(turned, nodes.true, nodes.false), -1)
    # A gap is unequal to all numbers.
    gap_true = nodes.gap_true | (nodes.mode == "BRANCH_NEQ")
    gap_left = gap_true != turned
    threshold = _as_doubles(np.where(branch, nodes.threshold, 0.0), strict, single)
    sets = dict(_sets(nodes, branch, single))
    begins, value = _values(nodes, weights, outputs)
    trees = []
    order = np.argsort(nodes.tree, kind="stable")
    at = np.empty(len(order), dtype=np.int64)
    ends = np.flatnonzero(np.diff(nodes.tree[order], append=nodes.tree.max() + 1)) + 1
    begin = 0
    for end in ends.tolist():
        here = order[begin:end]
        at[here] = np.arange(len(here))
        follow = [np.where(branch[here], at[one[here]], -1) for one in (left, right)]
        own = {int(at[k]): sets[k] for k in here.tolist() if k in sets} if sets else {}
        output = int(begins[here[0]])
        trees.append(Tree(nodes.column[here], threshold[here], follow[0], follow[1], value[here], output, gap_left[here], own))
        begin = end
    return trees


def _check_branches(nodes: TreeNodes, branch: np.ndarray) -> None:
    unknown = sorted(set(nodes.mode[branch].tolist()) - set(_MODES))
    if unknown:
        raise ValueError(f"a node must be LEAF or one of {', '.join(_MODES)}. Got {unknown[0]!r} instead")
    column = nodes.column[branch]
    if len(column) and not 0 <= column.min() <= column.max() < MOST_SIZE:
        raise ValueError(f"a node looks at column {column[(column < 0) | (column >= MOST_SIZE)][0]}, which there cannot be")
    if bool(np.isnan(nodes.threshold[branch]).any()):
        raise ValueError("thresholds must be numbers. Got NaN instead")


def _check_trees(nodes: TreeNodes, branch: np.ndarray) -> None:
    """Each tree has one root, from which every other node is reached in one way."""
    names, first = np.unique(nodes.tree, return_index=True)
    if len(names) > MOST_TREES:
        raise ValueError(f"it has {len(names):,} trees: {MOST_TREES:,} are allowed")
    children = np.concatenate([nodes.true[branch], nodes.false[branch]])
    parents = np.bincount(children, minlength=len(nodes.tree))
    if bool((parents > 1).any()):
        raise ValueError(f"tree {nodes.tree[parents.argmax()]} has a node that follows more than one")
    rooted, roots = np.unique(nodes.tree[parents == 0], return_counts=True)
    if len(rooted) < len(names):
        raise ValueError(f"tree {np.setdiff1d(names, rooted)[0]} has no root")
    if roots.max() > 1:
        raise ValueError(f"tree {rooted[roots.argmax()]} has {roots.max()} roots")
    # Files do not say which node is the root, and who runs them takes the first.
    if bool(parents[first].any()):
        raise ValueError(f"tree {names[parents[first] > 0][0]} must begin with its root")
    reached, level, frontier, work = len(names), 0, first, 0
    while len(frontier := frontier[branch[frontier]]):
        level, work = level + 1, work + len(np.unique(nodes.tree[frontier]))
        if level > MOST_DEPTH or work > MOST_COMPARISONS:
            raise ValueError(
                f"its trees are too deep: {MOST_DEPTH:,} levels are allowed, and {MOST_COMPARISONS:,} in all trees together"
            )
        frontier = np.concatenate([nodes.true[frontier], nodes.false[frontier]])
        reached += len(frontier)
    if reached < len(nodes.tree):
        raise ValueError("a tree has nodes that go round in a circle")


def _check_weights(weights: LeafWeights, branch: np.ndarray, outputs: int) -> None:
    if bool(branch[weights.leaf].any()):
        raise ValueError("a node that is no leaf has a weight")
    if len(weights.output) and not 0 <= weights.output.min() <= weights.output.max() < outputs:
        raise ValueError(
            f"leaves add to outputs {weights.output.min()} to {weights.output.max()}, of which there are {outputs}"
        )
    if not bool(np.isfinite(weights.weight).all()):
        raise ValueError("it has weights that are NaN or infinite")


def _as_doubles(threshold: np.ndarray, strict: np.ndarray, single: bool) -> np.ndarray:
    """Thresholds of doubles that go left where they are at most these."""
    if single:
        moved = np.where(strict, rounded(threshold, strict=True), rounded(threshold))
    else:
        moved = np.where(strict, np.nextafter(threshold, -np.inf), threshold)
    return np.where(np.isinf(threshold), threshold, moved)


def _sets(nodes: TreeNodes, branch: np.ndarray, single: bool) -> Iterator[tuple[int, Sequence[int]]]:
    """For nodes that ask for whole numbers those, by the node's place."""
    for place in np.flatnonzero(branch & np.isin(nodes.mode, _EQUAL)).tolist():
        wanted = float(nodes.threshold[place])
        if not (abs(wanted) < _DIFFERENT[single] and wanted.is_integer()):
            raise UnsupportedOperation(f"it asks whether a number is equal to {wanted}: only whole numbers can be asked for")
        yield place, [int(wanted)]


def _values(nodes: TreeNodes, weights: LeafWeights, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The first output that each tree adds to, by its nodes, and what its leaves add from there on.

    Trees that all add to one output each, as those of boosting, need one number a leaf.
    """
    of = nodes.tree[weights.leaf]
    names, tree = np.unique(nodes.tree, return_inverse=True)
    lowest, highest = np.full(len(names), outputs), np.full(len(names), -1)
    at = np.searchsorted(names, of)
    np.minimum.at(lowest, at, weights.output)
    np.maximum.at(highest, at, weights.output)
    alone = bool((lowest >= highest).all())
    begins = np.where(highest < 0, 0, lowest) if alone else np.zeros(len(names), dtype=np.int64)
    value = np.zeros(allow([len(nodes.tree), 1 if alone else outputs]))
    np.add.at(value, (weights.leaf, weights.output - begins[at]), weights.weight)
    return begins[tree], value
