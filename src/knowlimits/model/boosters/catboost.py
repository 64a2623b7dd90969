"""CatBoost's own text of a model, JSON (`save_model(format="json")`).

A row goes right where it is more than a border, in single precision. All nodes of a depth of a symmetric tree ask the same, and
each answer is a bit of the leaf's place, the first the lowest (Prokhorenkova et al., "CatBoost: unbiased boosting with
categorical features", 2018, section 2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.model.boosters.boosted import (
    MOST_CLASSES,
    MOST_COLUMNS,
    Boosted,
    entry,
    numbers,
    require,
    shown,
    summed,
    whole_number,
)
from knowlimits.model.boosters.nodes import Nodes, trees_of
from knowlimits.model.endings import Outputs
from knowlimits.model.families.oblivious import Oblivious, Symmetric
from knowlimits.model.families.trees import rounded

_BINARY, _SEVERAL = ("Logloss", "CrossEntropy"), ("MultiClass",)
# CatBoost itself grows symmetric trees up to 16.
_DEEPEST = 24


def read_catboost(document: Any) -> Boosted:
    """The classifier that a text is about.

    Raises:
        ValueError: if it is none of a classifier with a probability for each class, looks at categories, or is damaged.
    """
    loss = entry(document, "model_info", "params", "loss_function", "type")
    require(
        loss in _BINARY + _SEVERAL,
        f"has the loss {shown(loss)}, which gives no probabilities of classes that add up to 1: fit it with 'Logloss' or "
        "'MultiClass'",
    )
    features = _Features.of(entry(document, "features_info"))
    scale, bias = _scale_and_bias(entry(document, "scale_and_bias"))
    outputs = len(bias)
    require((outputs == 1) == (loss in _BINARY) and outputs <= MOST_CLASSES, "has biases that are not one for each class")
    if "oblivious_trees" in document:
        written = entry(document, "oblivious_trees", kind=list)
        trees = [_symmetric(tree, features, outputs, scale) for tree in written or [{"leaf_values": [0] * outputs}]]
        module = Oblivious(trees, outputs, bias, Outputs.LOGITS, features.gap_left_by_column)
    else:
        grown = [_grown(tree, features, outputs, scale) for tree in entry(document, "trees", kind=list)]
        module = summed(trees_of(grown, features.count, outputs), outputs, bias)
    classes = _classes(entry(document, "model_info", kind=dict).get("class_params"), max(outputs, 2))
    return Boosted("CatBoost", module, features.count, features.names, classes)


@dataclass(frozen=True, eq=False)
class _Features:
    """The columns that trees look at.

    Attributes:
        count: how many columns a row has.
        names: of them, or None.
        places: of the columns with numbers.
        gap_left: whether a gap is less than all borders, of each of these.
    """

    count: int
    names: tuple[str, ...] | None
    places: np.ndarray
    gap_left: np.ndarray

    @classmethod
    def of(cls, info: Any) -> "_Features":
        """By what is said of all columns."""
        require(isinstance(info, dict), "has columns that are no object")
        kinds = {name: info[name] for name in info if name.endswith("_features") and info[name]}
        others = [name.removesuffix("_features") for name in kinds if name != "float_features"]
        require(
            not others,
            f"takes {' and '.join(others)} columns, whose values it hashes: make numbers of them before, as OneHotEncoder does "
            "in a Pipeline",
        )
        floats = kinds.get("float_features", [])
        require(isinstance(floats, list) and all(isinstance(one, dict) for one in floats), "has columns that are no objects")
        places = [whole_number(one.get("flat_feature_index"), "flat_feature_index", MOST_COLUMNS - 1) for one in floats]
        require(len(set(places)) == len(places), "has a column twice")
        called = [one.get("feature_id") for one in floats]
        count = max(places, default=-1) + 1
        named = len(floats) == count and all(isinstance(name, str) and name for name in called)
        order = np.argsort(places)
        names = tuple(str(called[place]) for place in order) if named else None
        # Gaps where there were none are compared, too, and more than no border.
        gap_left = np.array([one.get("nan_value_treatment") != "AsTrue" for one in floats], dtype=bool)
        return cls(count, names, np.array(places, dtype=np.int64), gap_left)

    @property
    def gap_left_by_column(self) -> np.ndarray:
        """As `gap_left`, of all columns of a row."""
        found = np.ones(self.count, dtype=bool)
        found[self.places] = self.gap_left
        return found

    def split(self, split: Any) -> tuple[int, float]:
        """The number of a column and the border of a node.

        Raises:
            ValueError: if it asks for anything else.
        """
        kind = entry(split, "split_type", kind=str)
        require(
            kind == "FloatFeature",
            f"has a split of the type {shown(kind)}, which is not known: make numbers of such columns before",
        )
        border = split.get("border")
        good = isinstance(border, int | float) and not isinstance(border, bool)
        require(good and abs(border) < np.inf, "has a border that is no number")
        return whole_number(split.get("float_feature_index"), "float_feature_index", len(self.places) - 1), float(border)


def _scale_and_bias(given: Any) -> tuple[float, np.ndarray]:
    good = isinstance(given, list) and len(given) == 2 and isinstance(given[0], int | float)
    require(good and 0 < abs(given[0]) < np.inf, "has a scale that is no number")
    bias = numbers(given[1] if isinstance(given[1], list) else [given[1]], "biases")
    require(bool(np.isfinite(bias).all()), "has a bias that is no finite number")
    return float(given[0]), bias


def _symmetric(tree: Any, features: _Features, outputs: int, scale: float) -> Symmetric:
    """A tree whose nodes of one depth all ask the same."""
    splits = tree.get("splits") if isinstance(tree, dict) else []
    splits = [] if splits is None else splits
    require(isinstance(splits, list) and len(splits) <= _DEEPEST, "has a tree that is too deep")
    value = numbers(entry(tree, "leaf_values"), "leaf_values") * scale
    leaves = 2 ** len(splits)
    require(len(value) == leaves * outputs, "has a tree whose leaves are not those of its splits")
    require(bool(np.isfinite(value).all()), "has a leaf whose value is no finite number")
    asked = [features.split(split) for split in splits]
    own = np.array([feature for feature, _ in asked], dtype=np.int64)
    borders = np.array([border for _, border in asked], dtype=np.float64)
    return Symmetric(features.places[own], rounded(borders), value.reshape(leaves, outputs))


def _grown(tree: Any, features: _Features, outputs: int, scale: float) -> Nodes:
    """A tree of nested nodes."""
    asked: list[tuple[int, float]] = []
    children: list[list[int]] = []
    leaves: list[list[Any]] = []
    # Nodes that are still to be looked at, each with its parent and the side of it; leaves come behind all others in the end.
    waiting: list[tuple[Any, int, int]] = [(tree, 0, 0)]
    ends: list[tuple[int, int]] = []
    while waiting:
        node, parent, side = waiting.pop()
        require(isinstance(node, dict), "has a node that is no object")
        if "value" in node:
            ends.append((parent, side))
            leaves.append(node["value"] if isinstance(node["value"], list) else [node["value"]])
            continue
        if asked:
            children[parent][side] = len(asked)
        waiting += [(entry(node, "right"), len(asked), 1), (entry(node, "left"), len(asked), 0)]
        asked.append(features.split(entry(node, "split")))
        children.append([0, 0])
    for leaf, (parent, side) in enumerate(ends if asked else []):
        children[parent][side] = len(asked) + leaf
    require(all(len(value) == outputs for value in leaves), "has a leaf whose values are not one for each class")
    value = numbers([number for leaf in leaves for number in leaf], "values of leaves").reshape(len(leaves), outputs)
    own, borders = np.array([one for one, _ in asked], dtype=np.int64), np.array([one for _, one in asked], dtype=np.float64)
    left, right = np.array(children, dtype=np.int64).reshape(-1, 2).T
    none, nothing = np.full(len(leaves), -1), np.zeros(len(leaves))
    # Nodes with children come first.
    return Nodes(
        np.concatenate([features.places[own], none]),
        np.concatenate([rounded(borders), nothing]),
        np.concatenate([left, none]),
        np.concatenate([right, none]),
        np.concatenate([features.gap_left[own], nothing.astype(bool)]),
        np.concatenate([np.zeros((len(asked), outputs)), value * scale]),
    )


def _classes(given: Any, count: int) -> np.ndarray | None:
    """Labels, where the text has some."""
    names = given.get("class_names") if isinstance(given, dict) else None
    if not names:
        return None
    good = isinstance(names, list) and len(names) == count and all(isinstance(name, str | int | float | bool) for name in names)
    require(good, "has labels that are not one for each class")
    return np.array(names)
