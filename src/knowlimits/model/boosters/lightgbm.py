"""LightGBM's own text of a model: lines of names and values, a block for each tree (`Booster.save_model`).

A number goes left where it is at most a threshold, in double precision; categories that are chosen go left. Each node says what
counts as a gap: nan, numbers within 1e-35 of 0, or nothing, and then nan is a 0 (`include/LightGBM/tree.h`, NumericalDecision;
Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", 2017).
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

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

# Numbers up to it count as 0.
_ZERO = float(np.float32(1e-35))
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
# Kinds of gaps: none, zeros, nan.
_ZEROS, _NANS = 1, 2
_VERSIONS = ("v2", "v3", "v4")


def read_lightgbm(text: str, labelled: Sequence[int] | None = None) -> Boosted:
    """The classifier that a text is about.

    Args:
        text: it.
        labelled: the columns of a table that have categories, none of an array of codes; found out without it.

    Raises:
        ValueError: if it is none of a classifier with a probability for each class, or damaged.
    """
    text = text.replace("\r\n", "\n")
    head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    require("\nend of trees" in text, "ends before its trees do")
    about = _lines(head)
    require(about.get("version") in _VERSIONS, f"has a version {shown(about.get('version'))} that is not known")
    columns = 1 + whole_number(entry(about, "max_feature_idx"), "max_feature_idx", MOST_COLUMNS)
    each = whole_number(entry(about, "num_tree_per_iteration"), "num_tree_per_iteration", MOST_CLASSES, 1)
    scale = _scale(about.get("objective", ""), each)
    if "average_output" in about:
        # Of a random forest.
        scale /= max(1, len(blocks) // each)
    written, kinds = [], np.zeros((columns, 3), dtype=bool)
    for place, block in enumerate(blocks):
        written.append(_tree(_lines(block.partition("\n")[2]), place % each, scale, kinds))
    mixed = kinds[:, _ZEROS] & (kinds[:, 0] | kinds[:, _NANS])
    require(not mixed.any(), "takes zeros for gaps in some trees and not in others: fit it anew, without init_model")
    zeros = tuple(np.flatnonzero(kinds[:, _ZEROS]).tolist())
    codes = [Codes(-_ZERO, _ZERO, zeros)] if zeros else []
    module = summed(trees_of(written, columns, each), each, np.zeros(each), Whole.TOWARDS_ZERO, codes)
    names = names_of(about.get("feature_names", "").split(" "), columns)
    # What it calls columns that had no names.
    names = None if names == tuple(f"Column_{place}" for place in range(columns)) else names
    return Boosted("LightGBM", module, columns, names, levels=_levels(text, about, columns, labelled))


def _lines(block: str) -> dict[str, str]:
    """Names and values."""
    return dict(_pair(line, "=") for line in block.split("\n") if line.strip())


def _pair(text: str, between: str) -> tuple[str, str]:
    name, _, value = text.partition(between)
    return name, value


def _scale(objective: str, each: int) -> float:
    """What a sum of trees is multiplied by to be a logit."""
    name, *parameters = objective.split(" ")
    said = dict(_pair(parameter, ":") for parameter in parameters)
    right = (name in ("binary", "cross_entropy") and each == 1) or (name == "multiclass" and each > 1)
    require(
        right and said.get("num_class", str(each)) == str(each),
        f"has the objective {shown(name)}, which gives no probability for each class that add up to 1: fit it with 'binary' or "
        "'multiclass'",
    )
    try:
        scale = float(said.get("sigmoid", "1"))
    except ValueError:
        scale = 0.0
    require(0 < scale < np.inf, "has a sigmoid that is no number above 0")
    return scale


def _tree(tree: dict[str, str], output: int, scale: float, kinds: np.ndarray) -> Nodes:
    """One tree, whose kinds of gaps are noted by column."""
    require(tree.get("is_linear", "0").strip() == "0", "has linear functions in its leaves: fit it without linear_tree")
    leaves = whole_number(entry(tree, "num_leaves"), "num_leaves", 2**31, 1)
    value = _listed(tree, "leaf_value", leaves)
    inner = leaves - 1
    column, kind, left, right = (
        _listed(tree, name, inner, whole=True) for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    threshold = _listed(tree, "threshold", inner)
    # Leaves are counted from -1 down; here they come behind the others.
    left, right = (np.where(side < 0, inner - 1 - side, side) for side in (left, right))
    categorical, gaps = (kind & _CATEGORICAL) != 0, (kind >> 2) & 3
    require(bool((gaps <= _NANS).all()), "has a kind of gaps that is not known")
    looked = (column >= 0) & (column < len(kinds)) & ~categorical
    kinds[column[looked], gaps[looked]] = True
    gap_left = np.where(gaps == 0, threshold >= 0, (kind & _DEFAULT_LEFT) != 0) & ~categorical
    chosen = _categories(tree, np.flatnonzero(categorical).tolist(), threshold)
    none, nothing = np.full(leaves, -1), np.zeros(leaves)
    values = np.concatenate([np.zeros(inner), value * scale])[:, None]
    return Nodes(
        np.concatenate([column, none]),
        np.concatenate([threshold, nothing]),
        np.concatenate([left, none]),
        np.concatenate([right, none]),
        np.concatenate([gap_left, nothing.astype(bool)]),
        values,
        output,
        chosen,
    )


def _listed(tree: dict[str, str], name: str, count: int, whole: bool = False) -> np.ndarray:
    """A list of numbers of a tree."""
    try:
        values = list(map(int if whole else float, tree.get(name, "").split()))
    except ValueError:
        values = [None]
    array = numbers(values, name, whole)
    require(len(array) == count, f"has a tree with {len(array)} numbers as {name} in place of {count}")
    return array


def _categories(tree: dict[str, str], nodes: list[int], threshold: np.ndarray) -> dict[int, list[int]]:
    """Categories that are chosen, by node: bits of words in 32 bits."""
    if not nodes:
        return {}
    sets = whole_number(entry(tree, "num_cat"), "num_cat", 2**31)
    ends = _listed(tree, "cat_boundaries", sets + 1, whole=True)
    words = numbers(
        [int(word) for word in entry(tree, "cat_threshold").split() if word.isdecimal()], "cat_threshold", whole=True
    )
    good = ends[0] == 0 and (np.diff(ends) >= 0).all() and ends[-1] == len(words)
    require(bool(good and (not len(words) or words.max() < 2**32)), "has categories that are not there")
    require(len(np.unique(threshold[nodes])) == len(nodes), "has categories that two nodes share")
    chosen = {}
    for node in nodes:
        place = threshold[node]
        require(bool(place == np.floor(place) and 0 <= place < sets), "has categories that are not there")
        own = words[ends[int(place)] : ends[int(place) + 1]].astype("<u4")
        chosen[node] = np.flatnonzero(np.unpackbits(own.view(np.uint8), bitorder="little")).tolist()
    return chosen


def _levels(text: str, about: dict[str, str], columns: int, labelled: Sequence[int] | None) -> dict[int, tuple[Any, ...]]:
    """The categories of a DataFrame's columns, in the order of their codes, where it can be told which columns they are of."""
    line = text.rpartition("\npandas_categorical:")[2].partition("\n")[0] if "\npandas_categorical:" in text else "null"
    try:
        levels = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("has pandas_categorical that is no JSON") from None
    if not levels or labelled == ():
        return {}
    require(
        isinstance(levels, list) and all(isinstance(one, list) for one in levels), "has pandas_categorical that is no lists"
    )
    plain = all(isinstance(value, str | int | float | bool) for one in levels for value in one)
    require(plain, "has pandas_categorical with values that are no labels")
    if labelled is None:
        infos = about.get("feature_infos", "").split(" ")
        require(len(infos) == columns, "has feature_infos that are not one for each column")
        # Those of ordered categories are like those of numbers.
        labelled = [place for place, info in enumerate(infos) if not info.startswith("[") and info != "none"]
        require(
            len(labelled) == len(levels),
            "has categories of a DataFrame of which some are ordered or constant, and does not say which columns they are of: "
            "pass X, a few rows as the model takes them",
        )
    require(
        len(labelled) == len(levels), f"takes tables in which {len(levels)} columns have categories, and not {len(labelled)}"
    )
    return {place: tuple(one) for place, one in zip(labelled, levels, strict=True)}
