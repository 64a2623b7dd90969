import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlimits.model.endings import Outputs
from knowlimits.model.families.oblivious import Oblivious, Symmetric
from knowlimits.model.families.trees import Tree, Trees
from knowlimits.testing import check_family

GRID = [-1.0, -0.5, 0.0, 0.1, 0.5, 2.0, np.inf, -np.inf]


def drawn(rng, columns, levels, outputs, output=0, grid=GRID):
    """A random symmetric tree, of thresholds on a small grid, so that much is equal."""
    column, threshold = rng.integers(columns, size=levels), rng.choice(grid, size=levels)
    return Symmetric(column, threshold.astype(float), rng.normal(size=(2**levels, outputs)), output)


def walked(tree, gap_left):
    """The same tree, node by node, the highest bit asked for first; children of node k are 2 k + 1 and 2 k + 2."""
    levels = len(tree.column)
    inner, leaves = 2**levels - 1, 2**levels
    depth = np.repeat(np.arange(levels), 2 ** np.arange(levels))
    column, threshold = np.asarray(tree.column, dtype=int)[::-1][depth], np.asarray(tree.threshold)[::-1][depth]
    none = np.full(leaves, -1)
    return Tree(
        np.concatenate([column, none]),
        np.concatenate([threshold, np.zeros(leaves)]),
        np.concatenate([2 * np.arange(inner) + 1, none]),
        np.concatenate([2 * np.arange(inner) + 2, none]),
        np.concatenate([np.zeros((inner, tree.value.shape[1])), tree.value]),
        tree.output,
        None if gap_left is None else np.concatenate([gap_left[column], none < 0]),
    )


def check_equal(trees, outputs, base, gap_left, x, d):
    """All is to the bit what trees that are walked down say."""
    family = Oblivious(trees, outputs, base, gap_left=gap_left)
    wanted = Trees([walked(tree, gap_left) for tree in trees], outputs, base)
    assert (family.columns, family.gaps, family.held, family.jumps) == (wanted.columns, wanted.gaps, (), True)
    assert (family.returns, family.described) == (wanted.returns, wanted.described)
    for mine, others in zip(family.thresholds, wanted.thresholds, strict=True):
        np.testing.assert_array_equal(mine, others)
    np.testing.assert_array_equal(family.at(x), wanted.at(x))
    before = x.copy(), d.copy()
    found, expected = family.along(x, d), wanted.along(x, d)
    for mine, given_ in zip((x, d), before, strict=True):
        np.testing.assert_array_equal(mine, given_)
    for name in ("offset", "rate", "radius", "clear"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.tail == expected.tail


@settings(max_examples=300)
@given(
    st.integers(0, 2**32 - 1), st.lists(st.integers(0, 5), min_size=1, max_size=5), st.sampled_from([1, 2, 3]), st.booleans()
)
def test_all_is_what_trees_that_are_walked_say(seed, levels, outputs, gaps):
    rng = np.random.default_rng(seed)
    trees = [drawn(rng, 3, deep, *((outputs, 0) if rng.random() < 0.7 else (1, outputs - 1))) for deep in levels]
    trees = trees if len({tree.value.shape[1] for tree in trees}) == 1 else [drawn(rng, 3, deep, outputs) for deep in levels]
    # On thresholds, beside them, beyond them all, and gaps.
    x = rng.choice([*GRID[:6], 0.7, 3.0, np.inf, -np.inf, np.nan][: 11 if gaps else 10], size=(16, 4))
    d = rng.choice([-2.0, -0.3, 0.0, -0.0, 1.0, 0.1, 1e-310, 1e300], size=(16, 4))
    d[:, rng.random(4) < 0.3] = 0
    # Only what stays may be infinite.
    x = np.where(np.isinf(x) & (d != 0), 7.0, x)
    check_equal(trees, outputs, rng.normal(size=outputs), rng.random(4) < 0.5 if gaps else None, x, d)


@pytest.mark.parametrize(
    ("deep", "thresholds"), [(3, 255), (3, 256), (8, 20), (9, 20), (16, 20), (17, 20), (4, 65_535), (4, 65_536)]
)
def test_ranks_and_leaves_of_all_sizes(deep: int, thresholds: int):
    rng = np.random.default_rng(deep)
    grid = np.linspace(-1, 1, thresholds)
    # So many that all thresholds are asked for, the largest ones at last.
    shared = np.resize(grid, (-(-thresholds // deep), deep))
    trees = [Symmetric(np.zeros(deep, dtype=int), some, rng.normal(size=(2**deep, 2))) for some in shared]
    x = np.concatenate(
        [rng.choice(grid, size=(40, 1)), rng.uniform(-1.1, 1.1, (40, 1)), grid[[-2, -1]][:, None], [[-2.0], [2.0]]]
    )
    check_equal(trees, 2, 0.0, None, x, rng.choice([0.0, 0.0, 1.0, -3.0], size=x.shape))


def test_more_rows_than_go_through_at_once():
    rng = np.random.default_rng(0)
    trees = [drawn(rng, 5, 4, 1) for _ in range(20)]
    x, d = rng.normal(size=(3000, 5)), rng.normal(size=(3000, 5))
    check_equal(trees, 1, 0.5, None, x, np.where(rng.random(d.shape) < 0.5, 0, d))
    check_equal(trees, 1, 0.5, None, x[:0], d[:0])
    check_equal(trees, 1, 0.5, None, np.asfortranarray(x), np.asfortranarray(d))


def test_a_constant():
    constant = Symmetric(np.zeros(0, dtype=int), np.zeros(0), np.array([[0.25, 0.75]]))
    family = Oblivious([constant], 2, returns=Outputs.LOGITS)
    assert (family.columns, family.thresholds, family.returns, family.gaps) == (0, [], Outputs.LOGITS, False)
    assert family.at(np.zeros((2, 0))).tolist() == [[0.25, 0.75]] * 2
    found = family.along(np.zeros((2, 3)), np.ones((2, 3)))
    assert found.offset.tolist() == [[0.25, 0.75]] * 2
    assert (found.radius.tolist(), found.clear.tolist()) == ([0, 0], [True, True])


def test_first_levels_are_lowest_bits_and_each_column_counts_for_the_radius():
    tree = Symmetric(np.array([0, 2]), np.array([1.0, 5.0]), np.arange(4.0)[:, None])
    family = Oblivious([tree], 1)
    x = np.array([[1.0, 0, 5.0], [1.5, 0, 5.0], [1.0, 0, 5.5], [1.5, 0, 5.5]])
    assert family.at(x).ravel().tolist() == [0, 1, 2, 3]
    found = family.along(np.zeros((4, 3)), np.array([[1.0, 0, 1.0], [1.0, 0, 0.0], [-1.0, 0, 2.0], [-1.0, 9.0, -1.0]]))
    assert found.offset.ravel().tolist() == [3, 1, 2, 0]
    assert found.radius.tolist() == [5, 1, 2.5, 0]


def test_the_largest_double_is_passed():
    largest = np.finfo(float).max
    family = Oblivious([Symmetric(np.array([0]), np.array([largest]), np.array([[0.0], [1.0]]))], 1)
    found = family.along(np.zeros((3, 1)), np.array([[1.0], [2.0], [-1.0]]))
    assert (found.offset.ravel().tolist(), found.radius.tolist()) == ([1, 1, 0], [largest, largest / 2, 0])
    assert found.clear.all()


def test_gaps_are_below_or_above_all_by_column_and_stay():
    trees = [Symmetric(np.array([0, 1]), np.array([0.0, 0.0]), np.arange(4.0)[:, None])]
    family = Oblivious(trees, 1, gap_left=np.array([True, False]))
    x = np.array([[np.nan, np.nan], [np.nan, -1.0], [3.0, np.nan]])
    assert family.gaps
    assert family.at(x).ravel().tolist() == [2, 0, 3]
    found = family.along(x, np.array([[1.0, -1.0], [5.0, 1.0], [-1.0, 0.0]]))
    assert found.offset.ravel().tolist() == [2, 2, 2]
    assert found.radius.tolist() == [0, 1, 3]


def test_a_contract_and_copies():
    rng = np.random.default_rng(3)
    trees = [drawn(rng, 4, 3, 2) for _ in range(5)]
    family = Oblivious(trees, 2, returns=Outputs.LOGITS, gap_left=np.ones(4, dtype=bool))
    x = rng.normal(size=(20, 4))
    check_family(family, x)
    before = family.at(x)
    for other in (copy.deepcopy(family), pickle.loads(pickle.dumps(family))):
        np.testing.assert_array_equal(other.at(x), before)
    for tree in trees:
        tree.value[:], tree.threshold[:] = 9, 9
    np.testing.assert_array_equal(family.at(x), before)


def test_what_is_none():
    tree = Symmetric(np.array([2]), np.zeros(1), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="one at least"):
        Oblivious([], 2)
    with pytest.raises(ValueError, match="add to 1 outputs"):
        Oblivious([tree], 1)
    with pytest.raises(ValueError, match="leaves"):
        Oblivious([Symmetric(np.array([2]), np.zeros(1), np.zeros((3, 2)))], 2)
    with pytest.raises(ValueError, match="that are numbers"):
        Oblivious([Symmetric(np.array([2]), np.full(1, np.nan), np.zeros((2, 2)))], 2)
    with pytest.raises(ValueError, match="3 columns at least"):
        Oblivious([tree], 2).at(np.zeros((1, 2)))
