"""What is no tree is refused, and nodes that nothing leads to are left out."""

from typing import Any

import numpy as np
import pytest

from knowlimits.model.boosters.nodes import Nodes, trees_of
from knowlimits.model.families.trees import Trees


def nodes(left: Any, right: Any, **more: Any) -> Nodes:
    size = len(left)
    given = {
        "column": np.zeros(size, dtype=int),
        "threshold": np.arange(size, dtype=float),
        "left": np.array(left),
        "right": np.array(right),
        "gap_left": np.zeros(size, dtype=bool),
        "value": np.arange(size, dtype=float)[:, None],
    }
    return Nodes(**{**given, **more})


def test_a_tree_stays_as_it_is():
    written = nodes([1, -1, -1], [2, -1, -1])
    (tree,) = trees_of([written], 1, 1)
    assert tree.left is written.left
    np.testing.assert_array_equal(Trees([tree], 1).at(np.array([[-1.0], [1.0]])), [[1], [2]])


@pytest.mark.parametrize("junk", [[-1, -1], [3, 3], [0, 1], [2, 2]])
def test_what_nothing_leads_to_is_left_out(junk: list[int]):
    written = nodes([2, junk[0], 4, -1, -1, -1], [5, junk[1], 3, -1, -1, -1], categories={2: [7], 1: [3]})
    if -1 not in junk:
        # It may say anything of its column and threshold.
        written.column[1], written.threshold[1] = 99, np.nan
    (tree,) = trees_of([written], 1, 1)
    assert len(tree.column) == 5
    family = Trees([tree], 1)
    np.testing.assert_array_equal(family.at(np.array([[7.0], [-1.0], [9.0]])), [[5], [3], [5]])


WRONG = {
    "its root again": ([1, 0, -1], [2, 2, -1], {}, "two parents"),
    "itself": ([1, 1, -1], [2, 2, -1], {}, "two parents"),
    "a node twice": ([1, -1, -1], [1, -1, -1], {}, "two parents"),
    "a leaf of another": ([1, 3, 3, -1, -1], [2, 4, 4, -1, -1], {}, "two parents"),
    "no such node": ([1, -1, -1], [3, -1, -1], {}, "not there"),
    "one child": ([1, -1, -1], [-1, -1, -1], {}, "one child"),
    "no nodes": ([], [], {}, "without nodes"),
    "a column": ([1, -1, -1], [2, -1, -1], {"column": np.array([1, 0, 0])}, "none of its 1"),
    "a column below": ([1, -1, -1], [2, -1, -1], {"column": np.array([-1, 0, 0])}, "none of its 1"),
    "a threshold": ([1, -1, -1], [2, -1, -1], {"threshold": np.array([np.nan, 0, 0])}, "threshold that is no number"),
    "a value": ([1, -1, -1], [2, -1, -1], {"value": np.array([[0], [np.inf], [0]])}, "no finite number"),
    "a class": ([1, -1, -1], [2, -1, -1], {"output": 1}, "class that is not there"),
    "a class below": ([1, -1, -1], [2, -1, -1], {"output": -1}, "class that is not there"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_tree(name: str):
    left, right, more, message = WRONG[name]
    good = nodes([1, -1, -1], [2, -1, -1])
    with pytest.raises(ValueError, match=message):
        trees_of([good, nodes(left, right, **more), good], 1, 1)


def test_a_chain_without_end():
    size = 30_001
    left = np.where(np.arange(size) % 2 == 0, np.arange(size) + 1, -1)
    right = np.where(left > 0, np.arange(size) + 2, -1)
    left[-1] = right[-1] = -1
    with pytest.raises(ValueError, match="more than 10,000 levels"):
        trees_of([nodes(left, right)], 1, 1)
