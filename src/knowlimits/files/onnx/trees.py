"""Tree ensembles of the domain ai.onnx.ml, as the family of trees, and what is done to what they add up to.

Of two classes files may have one column. What that means ONNX leaves open for the most part (it has no rule for base values,
or for a softmax of it): taken is what converters write, of which onnxruntime makes what they mean, and all else is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from knowlimits.files.onnx.arithmetic import cast
from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.graph import Node, as_constant
from knowlimits.files.onnx.nodes import LEAF, LeafWeights, NodePlaces, TreeNodes, grown
from knowlimits.follow import UnsupportedOperation
from knowlimits.model.endings import Outputs
from knowlimits.model.families.trees import Trees


def two_sides(f: Tensor) -> Tensor:
    """Probabilities of two classes of which the second has the logit f, ``(n, 1) -> (n, 2)``."""
    return torch.sigmoid(torch.cat([-f, f], 1))


def two_shares(p: Tensor) -> Tensor:
    """Probabilities of two classes of which the second has p, ``(n, 1) -> (n, 2)``."""
    return torch.cat([1 - p, p], 1)


def two_scores(f: Tensor) -> Tensor:
    """Scores -f and f of two classes, ``(n, 1) -> (n, 2)``."""
    return torch.cat([-f, f], 1)


def softmax(z: Tensor) -> Tensor:
    """Probabilities of classes with logits z."""
    return torch.softmax(z, 1)


def _as_it_is(z: Tensor) -> Tensor:
    return z


@dataclass(frozen=True, eq=False)
class Summed:
    """Trees, and what is made of their sums.

    Attributes:
        trees: they.
        after: from their sums to what the operator returns.
    """

    trees: Trees
    after: Callable[[Tensor], Tensor]


def classes_of(node: Node) -> int:
    """How many classes a classifier has."""
    return len(node.value("classlabels_int64s") or node.value("classlabels_strings") or [])


def ends_in_logits(node: Node) -> bool:
    """Whether a classifier makes probabilities of logits."""
    after = node.get("post_transform", "NONE")
    return after == "SOFTMAX" or (after == "LOGISTIC" and classes_of(node) == 2)


def gives_opposite_scores(node: Node) -> bool:
    """Whether a classifier of two classes has scores -f and f, as onnxruntime has it of weights below 0 of one class."""
    scores = classes_of(node) == 2 and node.get("post_transform", "NONE") == "NONE" and not _whole(node, "class_ids").any()
    return scores and bool((_numbers(node, "class_weights") < 0).any())


def tree_logits(o: Operation) -> Any:
    """The logits of a classifier that ends a model and makes probabilities of them."""
    ensemble = _classifier(o.node, not o.double)
    if ensemble.after is torch.sigmoid:
        raise UnsupportedOperation("its two classes have sigmoids of their own, of which both may be true")
    return _summed(o, ensemble.trees)


def _classified(o: Operation) -> list[Any]:
    ensemble = _classifier(o.node, not o.double)
    # Labels jump, and have no counterpart.
    return [None, o.call(ensemble.after, _summed(o, ensemble.trees))]


def _summed(o: Operation, trees: Trees) -> Any:
    x = o.call(cast, *o.take(1), "float")
    return o.building.call_module(trees, x) if isinstance(x, fx.Node) else o.call(trees, x)


def _classifier(node: Node, single: bool) -> Summed:
    after, classes = node.get("post_transform", "NONE"), classes_of(node)
    if classes < 2:
        raise UnsupportedOperation(f"it must tell two classes or more apart. Got {classes} instead")
    if after not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise UnsupportedOperation(f"post_transform must be NONE, SOFTMAX or LOGISTIC. Got {after} instead")
    nodes, weights = _nodes(node), _weights(node, "class")
    base = _numbers(node, "base_values")
    if classes == 2:
        return _of_two(nodes, weights, base, after, single)
    if len(base) not in (0, classes):
        raise UnsupportedOperation(f"base_values must be one for each of {classes} classes. Got {len(base)} instead")
    trees = _trees(nodes, weights, classes, base, after != "NONE", single)
    return Summed(trees, {"NONE": _as_it_is, "SOFTMAX": softmax, "LOGISTIC": torch.sigmoid}[after])


def _of_two(nodes: TreeNodes, weights: LeafWeights, base: np.ndarray, after: str, single: bool) -> Summed:
    there = np.unique(weights.output).tolist()
    if there == [0, 1]:
        _check_both(nodes, weights, base, after)
        if after != "LOGISTIC":
            trees = _trees(nodes, weights, 2, base, after == "SOFTMAX", single)
            return Summed(trees, softmax if after == "SOFTMAX" else _as_it_is)
        # Scores (-f, f).
        second = _opposite(weights)
        if second is None:
            trees = _trees(nodes, weights, 2, base, True, single)
            return Summed(trees, torch.sigmoid)
        return Summed(_trees(nodes, second, 1, base, True, single), two_sides)
    if there != [0] or len(base) > 1 or after == "SOFTMAX":
        raise UnsupportedOperation(
            "what it says of two classes is left open by ONNX: with weights of one class this must be class 0, with one base "
            "value at most and post_transform LOGISTIC or NONE"
        )
    # Of onnxruntime: weights of at least 0 make a probability.
    scores = after == "NONE" and bool((weights.weight < 0).any())
    trees = _trees(nodes, weights, 1, base, scores or after == "LOGISTIC", single)
    return Summed(trees, two_scores if scores else two_sides if after == "LOGISTIC" else two_shares)


def _check_both(nodes: TreeNodes, weights: LeafWeights, base: np.ndarray, after: str) -> None:
    """Refuse what onnxruntime makes otherwise of rows that meet no weight of the second class.

    Of shares of classes it makes -s and s then, which are none: a leaf that leaves out a class has 0 of it there.
    """
    leaf = nodes.mode == LEAF
    leaf[weights.leaf[weights.output == 1]] = False
    always_met = len(np.unique(nodes.tree[leaf])) < len(np.unique(nodes.tree))
    shares = after == "NONE" and bool((weights.weight >= 0).all())
    if len(base) or not (always_met or shares):
        raise UnsupportedOperation(
            "what it says of two classes is left open by ONNX: with weights of both there must be no base values, and a tree "
            "whose leaves all have a weight of class 1, or only weights of at least 0 and post_transform NONE"
        )


def _opposite(weights: LeafWeights) -> LeafWeights | None:
    """The weights of the second class if those of the first are their negatives, leaf by leaf."""
    sides = []
    for output in (0, 1):
        here = weights.output == output
        leaf, at = np.unique(weights.leaf[here], return_inverse=True)
        total = np.zeros(len(leaf))
        np.add.at(total, at, weights.weight[here])
        sides.append((leaf, total))
    (first, minus), (second, plus) = sides
    if not np.array_equal(first, second) or not np.array_equal(minus, -plus):
        return None
    return LeafWeights(second, np.zeros(len(second), dtype=np.int64), plus)


def _trees(nodes: TreeNodes, weights: LeafWeights, outputs: int, base: np.ndarray, logits: bool, single: bool) -> Trees:
    if not bool(np.isfinite(base).all()):
        raise ValueError("it has base values that are NaN or infinite")
    trees = grown(nodes, weights, outputs, single)
    returns = Outputs.LOGITS if logits else Outputs.PROBABILITIES
    return Trees(trees, outputs, base if len(base) else 0.0, returns)


def _regressed(o: Operation) -> Any:
    node = o.node
    nodes, weights, base = _nodes(node), _weights(node, "target"), _numbers(node, "base_values")
    targets, aggregate, after = (
        node.get("n_targets", 1),
        node.get("aggregate_function", "SUM"),
        node.get("post_transform", "NONE"),
    )
    if after != "NONE":
        raise UnsupportedOperation(f"post_transform must be NONE. Got {after} instead")
    if aggregate not in ("SUM", "AVERAGE"):
        raise UnsupportedOperation(f"its trees must be added up, SUM or AVERAGE. Got {aggregate} instead")
    if targets < 1 or len(base) not in (0, targets):
        raise ValueError(f"{len(base)} base values do not go with {targets} targets")
    if aggregate == "AVERAGE":
        weights = LeafWeights(weights.leaf, weights.output, weights.weight / len(np.unique(nodes.tree)))
    return _summed(o, _trees(nodes, weights, targets, base, True, not o.double))


def _nodes(node: Node) -> TreeNodes:
    """What the older operators list."""
    modes = np.array([mode.decode() for mode in node.value("nodes_modes") or []], dtype=object)
    columns = {
        name: _whole(node, f"nodes_{name}") for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
    }
    thresholds, gaps = _numbers(node, "nodes_values"), _whole(node, "nodes_missing_value_tracks_true")
    gaps = gaps if len(gaps) else np.zeros(len(modes), dtype=np.int64)
    counts = {len(modes), len(thresholds), len(gaps), *(len(column) for column in columns.values())}
    if len(counts) > 1 or not len(modes):
        raise ValueError(f"the lists of its nodes must be as long as one another, and not empty. Got {sorted(counts)} instead")
    tree = columns["treeids"]
    places = NodePlaces(tree, columns["nodeids"])
    branch = np.flatnonzero(modes != LEAF)
    true, false = np.full(len(modes), -1), np.full(len(modes), -1)
    true[branch] = places.of(tree[branch], columns["truenodeids"][branch])
    false[branch] = places.of(tree[branch], columns["falsenodeids"][branch])
    return TreeNodes(tree, modes, columns["featureids"], thresholds, true, false, gaps == 1)


def _weights(node: Node, of: str) -> LeafWeights:
    """What the older operators list of classes or targets."""
    trees, nodes, outputs = (_whole(node, f"{of}_{name}") for name in ("treeids", "nodeids", "ids"))
    weights = _numbers(node, f"{of}_weights")
    if len({len(one) for one in (trees, nodes, outputs, weights)}) > 1 or not len(weights):
        raise ValueError("the lists of its weights must be as long as one another, and not empty")
    places = NodePlaces(_whole(node, "nodes_treeids"), _whole(node, "nodes_nodeids"))
    return LeafWeights(places.of(trees, nodes), outputs, weights)


def _whole(node: Node, name: str) -> np.ndarray:
    return np.array(node.integers(name) or [], dtype=np.int64)


def _numbers(node: Node, name: str) -> np.ndarray:
    """An attribute of numbers, in single precision as a list, or in any as a tensor, which has a longer name."""
    listed, tensor = node.value(name), node.value(f"{name}_as_tensor")
    if listed is not None and tensor is not None:
        raise ValueError(f"{name} is there twice")
    if tensor is not None:
        return as_constant(tensor).to(torch.float64).numpy().reshape(-1)
    return np.array([] if listed is None else listed, dtype=np.float64)


TABLE = {
    "TreeEnsembleClassifier": Operator(_classified, takes_integers=True),
    "TreeEnsembleRegressor": Operator(_regressed, takes_integers=True),
}
