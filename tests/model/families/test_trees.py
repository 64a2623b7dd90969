import copy
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

import knowlimits as kl
from knowlimits.model.families.trees import Tree, Trees, rounded
from knowlimits.testing import check_family
from tests.oracles import trees as oracle

LARGEST = float(np.finfo(np.float32).max)
INTERESTING = [0.0, -0.0, 1.0, LARGEST, -LARGEST, LARGEST + 2.0**103, -LARGEST - 2.0**103, LARGEST + 2.0**104, 1e300, -1e300]
INTERESTING += [2.0**-149, 2.0**-150, 3 * 2.0**-150, -(2.0**-149), 2.0**-126, 5e-324, np.inf, -np.inf, 0.1, 16777217.0]
doubles = st.floats(allow_nan=False) | st.sampled_from(INTERESTING)
# Neighbours of float32, and what lies half-way between two.
singles = st.floats(width=32, allow_nan=False)
between = st.floats(width=32, min_value=-LARGEST, max_value=LARGEST, exclude_max=True).map(
    lambda t: t / 2 + float(np.nextafter(np.float32(t), np.float32(np.inf))) / 2
)


@settings(max_examples=1000)
@given(doubles | singles | between, doubles | singles | between, st.booleans())
@example(-np.inf, -1e300, True)
@example(np.inf, 1e300, True)
@example(LARGEST, LARGEST + 2.0**103, False)
def test_doubles_go_the_way_that_their_float32_goes(threshold, x, strict):
    found = float(rounded(np.array([threshold]), strict)[0])
    with np.errstate(over="ignore"):
        around = [x, *(np.nextafter(one, way) for one in (found, threshold) for way in (-np.inf, one, np.inf))]
        for one in filter(np.isfinite, around):
            single = float(np.float32(one))
            assert (one <= found) == (single < threshold if strict else single <= threshold), (threshold, one, strict)


def drawn(rng, columns=3, depth=3, outputs=2, single=False, categories=False, leaf=0.2):
    """A random tree with thresholds on a small grid, so that much is equal; as it is, and as the library has it."""
    nodes = []

    def grow(left):
        place = len(nodes)
        nodes.append(None)
        if not left or rng.random() < leaf:
            nodes[place] = (0, 0.0, -1, -1, None)
            return place
        asks = rng.choice([0, 1, 2, 3], size=2, replace=False).tolist() if categories and rng.random() < 0.3 else None
        column = columns - 1 if asks else int(rng.integers(columns - (1 if categories else 0)))
        threshold = float(rng.choice([-1.0, -0.5, 0.0, 0.1, 0.5, 2.0, np.inf, -np.inf], p=[0.15] * 6 + [0.05] * 2))
        children = grow(left - 1), grow(left - 1)
        nodes[place] = (column, threshold, *children, asks)
        return place

    grow(depth)
    column, threshold, left, right, asks = zip(*nodes, strict=True)
    values = rng.normal(size=(len(nodes), outputs))
    sets = {node: chosen for node, chosen in enumerate(asks) if chosen}
    gap_left = rng.random(len(nodes)) < 0.5
    parts = np.array(column), np.array(left), np.array(right)

    def made(thresholds):
        return Tree(parts[0], thresholds, parts[1], parts[2], values, 0, gap_left, sets)

    thresholds = np.array(threshold)
    return made(thresholds), made(rounded(thresholds)) if single else made(thresholds)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_ends_of_rays_are_those_of_an_exhaustive_walk_in_fractions(seed, single, categories):
    rng = np.random.default_rng(seed)
    pairs = [drawn(rng, single=single, categories=categories) for _ in range(int(rng.integers(1, 4)))]
    originals, family = [one for one, _ in pairs], Trees([one for _, one in pairs], 2)
    # On thresholds, beside them, and with gaps.
    x = rng.choice([-1.0, -0.5, 0.0, 0.1, np.float64(np.float32(0.1)), 0.5, 0.7, 3.0, np.nan], size=(12, 3))
    d = rng.choice([-2.0, -0.3, 0.0, 1.0, 0.1], size=(12, 3))
    if categories:
        x[:, 2], d[:, 2] = rng.choice([0.0, 1.0, 2.0, 3.0, 7.0, np.nan], size=12), 0
    before = x.copy()
    found = family.along(x, d)
    assert np.array_equal(x, before, equal_nan=True)
    for row in range(len(x)):
        nodes, last = oracle.ends(originals, x[row], d[row], single)
        wanted = sum(tree.value[node] for tree, node in zip(originals, nodes, strict=True))
        np.testing.assert_allclose(found.offset[row], wanted, rtol=0, atol=1e-12)
        assert found.radius[row] == pytest.approx(float(last), rel=1e-12, abs=1e-14)
    at = family.at(x)
    for row in range(len(x)):
        exact = [None if np.isnan(value) else oracle.Fraction(float(value)) for value in x[row]]
        nodes = oracle.leaves(originals, exact, single)
        np.testing.assert_allclose(at[row], sum(t.value[n] for t, n in zip(originals, nodes, strict=True)), rtol=0, atol=1e-12)
    assert not found.rate.any()
    assert (found.radius >= 0).all()


def stump(threshold=0.5, column=0, **more):
    value = np.array([[0.0], [1.0], [2.0]])
    return Tree(np.array([column, 0, 0]), np.full(3, threshold), np.array([1, -1, -1]), np.array([2, -1, -1]), value, **more)


def test_what_stays_at_a_threshold_is_a_tie_and_goes_left():
    family = Trees([stump()], 1)
    x = np.array([[0.5, 0.0], [0.5, 0.0], [0.5, 0.0], [np.nextafter(0.5, 1), 0.0], [0.4, 0.0]])
    d = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = family.along(x, d)
    assert found.offset.ravel().tolist() == [1, 2, 1, 2, 1]
    assert found.clear.tolist() == [False, True, True, True, True]
    assert found.radius.tolist() == [0, 0, 0, 0, 0]


def test_the_radius_is_where_the_last_threshold_is_met():
    found = Trees([stump(), stump(4.0)], 1).along(
        np.array([[0.0], [0.0], [9.0], [5.0]]), np.array([[1.0], [-1.0], [-2.0], [2.0]])
    )
    assert found.radius.tolist() == [4, 0, 4.25, 0]
    # What is beyond all thresholds on the way out has met them.
    assert found.offset.ravel().tolist() == [4, 2, 2, 4]


def test_a_threshold_that_no_leaf_on_the_way_asks_for_does_not_count():
    # The right child is a leaf, so that 7 is met on the left side only.
    tree = Tree(
        np.array([0, 0, 0, 0, 0]),
        np.array([1.0, -7.0, 0, 0, 0]),
        np.array([1, 2, -1, -1, -1]),
        np.array([4, 3, -1, -1, -1]),
        np.arange(5.0)[:, None],
    )
    found = Trees([tree], 1).along(np.zeros((2, 1)), np.array([[1.0], [-1.0]]))
    assert found.radius.tolist() == [1, 7]
    assert found.offset.ravel().tolist() == [4, 2]


@pytest.mark.parametrize("threshold", [np.inf, -np.inf])
def test_an_infinite_threshold_is_never_met(threshold):
    found = Trees([stump(threshold)], 1).along(np.zeros((3, 1)), np.array([[1.0], [-1.0], [0.0]]))
    assert found.offset.ravel().tolist() == [1 if threshold > 0 else 2] * 3
    assert found.radius.tolist() == [0, 0, 0]
    assert found.clear.all()


def test_a_tree_that_is_a_leaf():
    leaf = Tree(np.array([-2]), np.array([-2.0]), np.array([-1]), np.array([-1]), np.array([[0.25, 0.75]]))
    family = Trees([leaf], 2)
    found = family.along(np.zeros((2, 3)), np.ones((2, 3)))
    assert found.offset.tolist() == [[0.25, 0.75]] * 2
    assert found.radius.tolist() == [0, 0]
    assert (family.columns, family.described, family.thresholds) == (0, "1 tree", [])


def test_a_gap_stays_where_it_goes_however_its_column_moves():
    left, right = (stump(gap_left=np.array([side, False, False])) for side in (True, False))
    x, d = np.full((3, 1), np.nan), np.array([[1.0], [-1.0], [0.0]])
    for tree, leaf in ((left, 1), (right, 2)):
        family = Trees([tree], 1)
        assert family.gaps
        found = family.along(x, d)
        assert found.offset.ravel().tolist() == [leaf] * 3
        assert found.radius.tolist() == [0, 0, 0]
    assert not Trees([left, stump()], 1).gaps


def test_categories_are_held_and_unknown_ones_go_right():
    family = Trees([stump(column=1, categories={0: [2, 5]}), stump()], 1)
    assert family.held == (1,)
    assert family.at(np.array([[0.0, 2.0], [0.0, 5.0], [0.0, 3.0], [0.0, 2.5]])).ravel().tolist() == [2, 2, 3, 3]
    assert [thresholds.tolist() for thresholds in family.thresholds] == [[0.5], []]
    with pytest.raises(kl.UnsupportedOperation, match=r"codes .* jump along a ray"):
        _far(family, np.zeros((1, 2)), np.ones((1, 2)))


def _far(family, x, d):
    from torch import from_numpy

    from knowlimits.follow import follow

    return follow(family, from_numpy(x), from_numpy(d))


def test_outputs_and_bases():
    trees = [stump(output=1), stump(2.0, output=0)]
    family = Trees(trees, 3, base=np.array([10.0, 20.0, 30.0]))
    assert family.at(np.array([[1.0]])).tolist() == [[11, 22, 30]]
    with pytest.raises(ValueError, match="must add to 1 outputs"):
        Trees(trees, 1)
    with pytest.raises(ValueError, match=r"X must have 4 columns at least\. Got 3"):
        Trees([stump(column=3)], 1).at(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="one at least"):
        Trees([], 1)


def test_copies_and_pickles_say_the_same():
    family = Trees([drawn(np.random.default_rng(k))[0] for k in range(5)], 2)
    x = np.random.default_rng(9).normal(size=(20, 3))
    for other in (copy.deepcopy(family), pickle.loads(pickle.dumps(family))):
        assert np.array_equal(other.at(x), family.at(x))


@pytest.mark.parametrize("rows", [1, 127, 128, 1000, 6000])
def test_rows_in_blocks_are_rows_one_by_one(rows):
    rng = np.random.default_rng(3)
    family = Trees([drawn(rng, columns=30, depth=6)[0] for _ in range(20)], 2)
    x, d = rng.normal(size=(2, rows, 30))
    found = family.along(x, d)
    for row in rng.integers(rows, size=10):
        alone = family.along(x[row : row + 1], d[row : row + 1])
        assert np.array_equal(alone.offset[0], found.offset[row])
        assert alone.radius[0] == found.radius[row]


def test_the_contract_of_families():
    rng = np.random.default_rng(4)
    for categories in (False, True):
        family = Trees([drawn(rng, categories=categories)[0] for _ in range(5)], 2, returns=kl.families.Outputs.LOGITS)
        X = rng.normal(size=(50, 3))
        X[rng.random(X.shape) < 0.1] = np.nan
        X[:, 2] = rng.integers(0, 4, size=50)
        check_family(family, X)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_nothing_changes_beyond_the_radius_and_a_leaf_does_within(kind):
    """On 10,000 rays, by the library's own `apply`."""
    X, y = load_breast_cancer(return_X_y=True)
    model = kind(20, random_state=0).fit(X, y)
    rng = np.random.default_rng(0)
    x = X[rng.integers(len(X), size=10_000)] * rng.lognormal(0, 0.2, size=(10_000, 30))
    d = rng.normal(size=x.shape) * X.std(0)
    d[: len(d) // 2] *= rng.random((len(d) // 2, 30)) < 0.2
    far = kl.far_field(model, x, d)
    radius = far.radius[0]
    end = model.apply(x + (1e9 * (1 + radius))[:, None] * d)
    beyond, within = (model.apply(x + (radius * share)[:, None] * d) for share in (1 + 1e-9, 1 - 1e-9))
    told = radius > 1e-3
    assert told.mean() > 0.9
    assert (beyond[told] == end[told]).all()
    assert (within[told] != end[told]).any(1).all()
    # Those that never change are in their last leaves from the start.
    assert (model.apply(x[radius == 0]) == end[radius == 0]).all()
    for a in (1e3, 1e6, 1e9, 1e12):
        arrived = radius < a
        own = model.predict_proba(x[arrived] + a * d[arrived])
        np.testing.assert_allclose(far.probs[0][arrived], own, rtol=0, atol=1e-12)
