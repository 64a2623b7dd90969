"""Sums of trees as ONNX: one TreeEnsembleRegressor whose thresholds, leaves and sums are in float64.

The family of trees says of every library's thresholds which doubles go left (`knowlimits.model.families.trees.rounded`), and so
the file decides each node as the library does, also of rows between two numbers in float32. A node that asks for categories
looks at a column of its own, made in front of the trees, which is 0 for rows that go left and 1 for others.
"""

from typing import Any

import numpy as np

from knowlimits.files.export.graph import ML, Draft
from knowlimits.model.families.family import Family
from knowlimits.model.families.leaves import Packed
from knowlimits.model.families.oblivious import Oblivious, Symmetric
from knowlimits.model.families.recoded import Codes, Recoded, Whole
from knowlimits.model.families.trees import Tree, Trees

# Nodes that symmetric trees may become, of which each asks as many as it has leaves.
_MOST_NODES = 10_000_000


def is_trees(module: object) -> bool:
    """Whether a module is a sum of trees."""
    return isinstance(module, Trees | Recoded | Oblivious)


def tree_sums(draft: Draft, x: str, family: Family, columns: int) -> tuple[str, int]:
    """What trees add up to, ``(N, outputs)`` in float64, each sum rounded to float32 in the end, as ONNX has it; and how many.

    Args:
        draft: of the graph.
        x: name of the rows, ``(N, columns)`` in float64.
        family: the trees.
        columns: how many rows have.

    Raises:
        ValueError: if symmetric trees are too deep to be written out.
    """
    if isinstance(family, Recoded):
        x = _recoded(draft, x, family, columns)
        family = family.trees
    if isinstance(family, Oblivious):
        family = _grown(family)
    assert isinstance(family, Trees)
    packed = family.packed
    asks, places = _asked(packed)
    if asks:
        x = draft.call("Concat", x, _sides(draft, x, asks), axis=1)
    sums = draft.call(
        "TreeEnsembleRegressor",
        x,
        domain=ML,
        aggregate_function="SUM",
        post_transform="NONE",
        n_targets=len(family.base),
        base_values_as_tensor=_tensor(family.base),
        **_attributes(packed, places, columns),
    )
    sums = draft.cast(sums, "DOUBLE")
    if family.divided != 1:
        sums = draft.call("Div", sums, draft.constant(np.float64(family.divided)))
    return sums, len(family.base)


def _attributes(packed: Packed, places: np.ndarray, columns: int) -> dict[str, Any]:
    """Nodes and leaves, tree by tree; in each tree nodes that ask come before leaves.

    Args:
        packed: the trees.
        places: for each node the place of its question among those for categories, or -1.
        columns: how many columns the rows have.
    """
    roots, nodes, values = packed.roots[:, 0], packed.nodes, packed.values
    inner = np.where(roots >= 0, roots, -1)
    # Nodes of a tree come one behind another, and so do its leaves, of which it has one more than nodes.
    begins = np.append(inner, len(nodes))
    for tree in range(len(roots) - 1, -1, -1):
        begins[tree] = begins[tree + 1] if begins[tree] < 0 else begins[tree]
    counts = np.diff(begins)
    leaf_begins = np.concatenate([[0], np.cumsum(counts + 1)])[:-1]
    of_node, of_leaf = np.repeat(np.arange(len(roots)), counts), np.repeat(np.arange(len(roots)), counts + 1)
    node_ids = np.arange(len(nodes)) - begins[of_node]
    leaf_ids = np.arange(len(values)) - leaf_begins[of_leaf] + counts[of_leaf]

    def child(side: np.ndarray) -> np.ndarray:
        side = side.astype(np.int64)
        leaf = np.where(side < 0, -1 - side, 0)
        return np.where(side < 0, leaf_ids[leaf], side - begins[of_node])

    chosen = places >= 0
    width = values.shape[1]
    outputs = packed.roots[of_leaf, 1][:, None] + np.arange(width)
    nothing = np.zeros(len(values))
    # Evaluators take all nodes of a tree one behind another, the root first.
    order = np.argsort(np.concatenate([of_node, of_leaf]), kind="stable")

    def whole(asking: np.ndarray, leaves: np.ndarray = nothing) -> list[int]:
        return np.concatenate([asking, leaves])[order].astype(np.int64).tolist()

    return {
        "nodes_treeids": whole(of_node, of_leaf),
        "nodes_nodeids": whole(node_ids, leaf_ids),
        "nodes_featureids": whole(np.where(chosen, columns + places, nodes["column"])),
        "nodes_modes": np.array(["BRANCH_LEQ"] * len(nodes) + ["LEAF"] * len(values))[order].tolist(),
        "nodes_values_as_tensor": _tensor(np.concatenate([np.where(chosen, 0.5, nodes["threshold"]), nothing])[order]),
        "nodes_truenodeids": whole(child(nodes["left"])),
        "nodes_falsenodeids": whole(child(nodes["right"])),
        "nodes_missing_value_tracks_true": whole(packed.gap_left & ~chosen),
        "target_treeids": np.repeat(of_leaf, width).tolist(),
        "target_nodeids": np.repeat(leaf_ids, width).tolist(),
        "target_ids": outputs.ravel().tolist(),
        "target_weights_as_tensor": _tensor(values.ravel()),
    }


def _tensor(values: np.ndarray) -> object:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float64), "values")


def _asked(packed: Packed) -> tuple[list[tuple[int, tuple[float, ...], bool]], np.ndarray]:
    """Distinct questions for categories: the column, what goes left, whether gaps do; and each node's place among them."""
    places, asks = np.full(len(packed.nodes), -1), {}
    for node in np.flatnonzero(np.isnan(packed.nodes["threshold"])):
        chosen = tuple(packed.sets[packed.begins[node] : packed.begins[node + 1]].tolist())
        ask = (int(packed.nodes["column"][node]), chosen, bool(packed.gap_left[node]))
        places[node] = asks.setdefault(ask, len(asks))
    return list(asks), places


def _sides(draft: Draft, x: str, asks: list[tuple[int, tuple[float, ...], bool]]) -> str:
    """For each question 0 for rows that go left and 1 for others, ``(N, questions)``."""
    # No number equals what fills the table up.
    table = np.full((len(asks), max(1, *(len(chosen) for _, chosen, _ in asks))), np.nan)
    for row, (_, chosen, _) in zip(table, asks, strict=True):
        row[: len(chosen)] = chosen
    values = draft.call("Gather", x, draft.constant(np.array([place for place, _, _ in asks])), axis=1)
    each = draft.call("Unsqueeze", values, draft.constant(np.array([2])))
    equal = draft.cast(draft.call("Equal", each, draft.constant(table)), "DOUBLE")
    left = draft.call("ReduceMax", equal, draft.constant(np.array([2])), keepdims=0)
    side = draft.call("Sub", draft.constant(np.float64(1)), left)
    gaps = draft.constant(np.array([0.0 if gap_left else 1.0 for _, _, gap_left in asks]))
    return draft.call("Where", draft.call("IsNaN", values), gaps, side)


def _recoded(draft: Draft, x: str, family: Recoded, columns: int) -> str:
    """Rows in which numbers that stand for gaps are such, and those that choose a category are whole."""
    for codes in family.codes:
        x = draft.call("Where", _is_code(draft, x, codes, columns), draft.constant(np.float64(np.nan)), x)
    if family.held:
        mask = np.isin(np.arange(columns), list(family.held))
        x = draft.call("Where", draft.constant(mask), _made_whole(draft, x, family.whole), x)
    return x


def _is_code(draft: Draft, x: str, codes: Codes, columns: int) -> str:
    least = draft.call("GreaterOrEqual", x, draft.constant(np.float64(codes.least)))
    most = draft.call("LessOrEqual", x, draft.constant(np.float64(codes.most)))
    here = draft.constant(np.isin(np.arange(columns), codes.columns))
    return draft.call("And", draft.call("And", least, most), here)


def _made_whole(draft: Draft, x: str, whole: Whole) -> str:
    if whole is Whole.TOWARDS_ZERO:
        return draft.call("Mul", draft.call("Sign", x), draft.call("Floor", draft.call("Abs", x)))
    return draft.call("Floor", draft.cast(draft.cast(x, "FLOAT"), "DOUBLE"))


def _grown(family: Oblivious) -> Trees:
    """Symmetric trees as trees whose nodes are each written out."""
    if (count := sum(2 * len(tree.value) - 1 for tree in family.trees)) > _MOST_NODES:
        raise ValueError(
            f"model must have trees of at most {_MOST_NODES:,} nodes to be written as ONNX. Got symmetric ones of {count:,}: "
            "fit it with a smaller depth."
        )
    trees = [_written_out(tree, family.gap_left) for tree in family.trees]
    return Trees(trees, len(family.base), family.base, family.returns)


def _written_out(tree: Symmetric, gap_left: np.ndarray | None) -> Tree:
    levels = len(tree.column)
    inner, nodes = 2**levels - 1, 2 ** (levels + 1) - 1
    place = np.arange(nodes)
    # As in a heap: nodes of a level one behind another.
    level = np.floor(np.log2(place[:inner] + 1)).astype(np.int64)
    column, threshold = np.zeros(nodes, dtype=np.int64), np.zeros(nodes)
    column[:inner], threshold[:inner] = np.asarray(tree.column)[level], np.asarray(tree.threshold)[level]
    left, right = np.full(nodes, -1), np.full(nodes, -1)
    left[:inner], right[:inner] = 2 * place[:inner] + 1, 2 * place[:inner] + 2
    # The way down is the leaf's place in the heap, first answer highest; it is the lowest bit of its place among the values.
    way = np.arange(2**levels)
    leaf = sum(((way >> (levels - 1 - deep)) & 1) << deep for deep in range(levels)) + np.zeros_like(way)
    value = np.zeros((nodes, tree.value.shape[1]))
    value[inner:] = np.asarray(tree.value)[leaf]
    gaps = None if gap_left is None else np.asarray(gap_left, dtype=bool)[column]
    return Tree(column, threshold, left, right, value, tree.output, gaps)
