"""XGBoost's own text of a model, JSON or UBJSON (xgboost.readthedocs.io, "Introduction to Model IO", and its schema).

A row goes left where it is less than a threshold, in single precision; categories that are chosen go right. A margin is the sum
of the leaves, which dart weighs, and of a base score, which a binary objective states as a probability (Chen and Guestrin,
"XGBoost: A Scalable Tree Boosting System", 2016, equation 1).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.boosters.boosted import (
    MOST_CLASSES,
    MOST_COLUMNS,
    Boosted,
    entry,
    names_of,
    numbers,
    require,
    shown,
    summed,
    whole_number,
)
from knowlimits.model.boosters.nodes import Nodes, trees_of
from knowlimits.model.families.recoded import Codes, Whole
from knowlimits.model.families.trees import rounded
from knowlimits.model.model import linear

# Objectives whose margin is one logit, and those that state the base score as its probability.
_BINARY = ("binary:logistic", "reg:logistic", "binary:logitraw")
_OF_PROBABILITIES = ("binary:logistic", "reg:logistic")
_SEVERAL = ("multi:softprob", "multi:softmax")
# Numbers from here on are no categories.
_MOST_CATEGORIES = 2**24


def read_xgboost(document: Any, rounds: int | None = None, missing: float = np.nan) -> Boosted:
    """The classifier that a text is about.

    Args:
        document: the text, decoded.
        rounds: how many rounds of boosting count; all without it.
        missing: a number that counts as a gap, beside nan.

    Raises:
        ValueError: if it is none of a classifier with a probability for each class, or damaged.
    """
    learner = entry(document, "learner", kind=dict)
    about = entry(learner, "learner_model_param", kind=dict)
    columns = whole_number(entry(about, "num_feature"), "num_feature", MOST_COLUMNS)
    require(str(about.get("num_target", "1")) in ("0", "1"), "predicts several labels of a row: fit a classifier of each label")
    objective = entry(learner, "objective", "name")
    classes = whole_number(entry(about, "num_class"), "num_class", MOST_CLASSES)
    require(
        objective in _BINARY or (objective in _SEVERAL and classes > 0),
        f"has the objective {shown(objective)}, which gives no probability for each class: fit it with 'binary:logistic' or "
        "'multi:softprob'",
    )
    outputs = classes if objective in _SEVERAL else 1
    names = names_of(learner.get("feature_names"), columns)
    booster, score = entry(learner, "gradient_booster", kind=dict), entry(about, "base_score")
    if entry(booster, "name") == "gblinear":
        require(bool(np.isnan(missing) or missing == 0), "is linear, which goes with missing=nan alone: fit it without")
        base = _base(score, objective in _OF_PROBABILITIES, outputs)
        return Boosted("XGBoost", _linear(booster, columns, outputs, base), columns, names)
    require(booster["name"] in ("gbtree", "dart"), f"has a booster {shown(booster['name'])} that is not known")
    path = ("model",) if booster["name"] == "gbtree" else ("gbtree", "model")
    model = entry(booster, *path, kind=dict)
    trees = _trees(model, booster.get("weight_drop"), outputs, rounds)
    # What no round has looked at was not made a margin.
    untouched = not trees and str(about.get("boost_from_average")) == "1"
    base = _base(score, objective in _OF_PROBABILITIES and not untouched, outputs)
    codes = [] if np.isnan(missing) else [_code(missing, columns)]
    module = summed(trees_of(trees, columns, outputs), outputs, base, Whole.DOWN_SINGLE, codes, single=True)
    return Boosted("XGBoost", module, columns, names, levels=_levels(model.get("cats"), columns))


def _base(score: Any, of_probability: bool, outputs: int) -> np.ndarray:
    """Base scores of the margins, in single precision as they are there; text of a number, or of a list of them."""
    values = score.strip("[] ").split(",") if isinstance(score, str) and len(score) < 100 * (outputs + 1) else []
    try:
        base = np.array([float(value) for value in values], dtype=np.float32).astype(np.float64)
    except ValueError:
        base = np.zeros(0)
    require(len(base) in (1, outputs), "has base scores that are not one number for each class")
    if of_probability:
        require(bool(((base > 0) & (base < 1)).all()), "has a base score that is not between 0 and 1")
        base = np.log(base) - np.log1p(-base)
    return np.broadcast_to(base, (outputs,))


def _linear(booster: Any, columns: int, outputs: int, base: np.ndarray) -> nn.Module:
    """A booster of linear models, which add up to one: weights of each column, then the bias.

    It takes the first base score for all classes.
    """
    weights = numbers(entry(booster, "model", "weights"), "weights")
    require(len(weights) == (columns + 1) * outputs, "has weights that are not one for each column and class")
    require(bool(np.isfinite(weights).all()), "has weights that are not finite")
    weights = weights.astype(np.float32).astype(np.float64).reshape(columns + 1, outputs)
    return linear(weights[:-1].T, weights[-1] + base[0])


def _trees(model: Any, dropped: Any, outputs: int, rounds: int | None) -> list[Nodes]:
    written, groups = entry(model, "trees", kind=list), numbers(entry(model, "tree_info"), "classes of trees", whole=True)
    require(len(written) == len(groups), "has trees that are not one for each entry of tree_info")
    weights = np.ones(len(written)) if dropped is None else numbers(dropped, "weights of trees")
    require(len(weights) == len(written), "has weights of trees that are not one for each")
    count = len(written) if rounds is None else _counted(model, rounds, outputs, len(written))
    return [
        _tree(*each, outputs) for each in zip(written[:count], groups[:count].tolist(), weights[:count].tolist(), strict=True)
    ]


def _counted(model: Any, rounds: int, outputs: int, trees: int) -> int:
    """How many trees the first rounds of boosting made."""
    if "iteration_indptr" in model:
        ends = numbers(model["iteration_indptr"], "ends of rounds", whole=True)
        require(len(ends) > 0 and ends.min() >= 0 and ends.max() <= trees, "has ends of rounds that are no places of trees")
        return int(ends[min(rounds, len(ends) - 1)])
    parallel = whole_number(entry(model, "gbtree_model_param", "num_parallel_tree"), "num_parallel_tree", trees or 1)
    return min(trees, rounds * max(parallel, 1) * outputs)


def _tree(tree: Any, group: int, weight: float, outputs: int) -> Nodes:
    left, right, column = (
        numbers(entry(tree, name), name, whole=True) for name in ("left_children", "right_children", "split_indices")
    )
    conditions, gap_left = (
        numbers(entry(tree, "split_conditions"), "split_conditions"),
        numbers(entry(tree, "default_left"), "gaps"),
    )
    count = len(left)
    require(all(len(one) == count for one in (right, column, conditions, gap_left)), "has a tree with lists of several lengths")
    with np.errstate(over="ignore"):
        conditions = conditions.astype(np.float32).astype(np.float64)
    leaf = left < 0
    size = whole_number(entry(tree, "tree_param", "size_leaf_vector"), "size_leaf_vector", MOST_CLASSES)
    if size > 1:
        require(size == outputs and group == 0, "has leaves with values that are not one for each class")
        value, right = _vectors(tree, leaf, right, size), np.where(leaf, -1, right)
    else:
        value = conditions[:, None]
    with np.errstate(over="ignore"):
        threshold = rounded(np.where(leaf, 0.0, conditions), strict=True)
    chosen = _categories(tree, ~leaf)
    # What goes left there is right here.
    places = list(chosen)
    left[places], right[places] = right[places], left[places]
    gap_left = gap_left != 0
    gap_left[places] = ~gap_left[places]
    return Nodes(column, threshold, left, right, gap_left, value * weight, group, chosen)


def _vectors(tree: Any, leaf: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Values of leaves with one for each class."""
    value = np.zeros((len(leaf), size))
    if "leaf_weights" in tree:
        vectors = numbers(tree["leaf_weights"], "leaf_weights").astype(np.float32).astype(np.float64)
        rows, places = len(vectors) // size, places[leaf]
        require(bool(((places >= 0) & (places < rows)).all()), "has a leaf without its values")
        value[leaf] = vectors[: rows * size].reshape(rows, size)[places]
        return value
    # So it was before version 3.2.
    vectors = numbers(entry(tree, "base_weights"), "base_weights").astype(np.float32).astype(np.float64)
    require(len(vectors) == value.size, "has a leaf without its values")
    return vectors.reshape(value.shape)


def _categories(tree: Mapping[str, Any], inner: np.ndarray) -> dict[int, list[int]]:
    """Categories that are chosen, by node."""
    nodes = numbers(tree.get("categories_nodes", []), "categories_nodes", whole=True)
    if not len(nodes):
        return {}
    begins, sizes, values = (
        numbers(entry(tree, name), name, whole=True) for name in ("categories_segments", "categories_sizes", "categories")
    )
    good = len(nodes) == len(begins) == len(sizes) and nodes.min() >= 0 and nodes.max() < len(inner) and inner[nodes].all()
    require(bool(good) and len(np.unique(nodes)) == len(nodes), "has categories of nodes that are not there")
    require(begins.min() >= 0 and sizes.min() >= 0 and sizes.sum() <= len(values), "has categories that are not there")
    require(bool((begins + sizes <= len(values)).all()), "has categories that are not there")
    good = not len(values) or (values.min() >= 0 and values.max() < _MOST_CATEGORIES)
    require(bool(good), "has a category that is no whole number of at least 0")
    return {
        node: values[begin : begin + size].tolist()
        for node, begin, size in zip(nodes.tolist(), begins.tolist(), sizes.tolist(), strict=True)
    }


def _code(missing: float, columns: int) -> Codes:
    """The doubles that are rounded to a number in single precision."""
    with np.errstate(over="ignore"):
        single = np.array([np.float32(missing)], dtype=np.float64)
    require(bool(np.isfinite(single).all()), f"has missing={missing}, which must be a number or nan: fit it with another")
    least = np.nextafter(rounded(single, strict=True), np.inf)
    return Codes(float(least[0]), float(rounded(single)[0]), tuple(range(columns)))


def _levels(cats: Any, columns: int) -> dict[int, tuple[Any, ...]]:
    """The categories of a DataFrame's columns, in the order of their codes."""
    encoded = entry(cats, "enc", kind=list) if cats else []
    require(len(encoded) in (0, columns), "has categories that are not those of its columns")
    levels = {}
    for place, one in enumerate(encoded):
        values = entry(one, "values")
        if "offsets" not in one:
            levels[place] = tuple(np.asarray(numbers(values, "categories")).tolist())
        elif len(ends := numbers(one["offsets"], "offsets", whole=True)):
            texts = numbers(values, "categories", whole=True)
            good = ends[0] == 0 and (np.diff(ends) >= 0).all() and ends[-1] == len(texts)
            require(
                bool(good and (not len(texts) or (texts.min() >= -128 and texts.max() < 256))),
                "has categories that are no text",
            )
            content = (texts % 256).astype(np.uint8).tobytes()
            levels[place] = tuple(content[a:b].decode(errors="replace") for a, b in zip(ends[:-1], ends[1:], strict=True))
    return levels
