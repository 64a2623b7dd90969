"""What models say along segments, against what they say themselves at every place where it can change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

import knowlimits as kl
from knowlimits.limits import thresholds as by_thresholds
from knowlimits.limits.comparisons import Comparisons
from knowlimits.limits.segments import PLACES, along_segments, asked_along
from knowlimits.model.endings import Outputs
from knowlimits.model.families.trees import Tree, Trees
from knowlimits.model.model import Model
from knowlimits.model.network import Network

WINE = load_wine()
# Three columns of measurements, in three classes; rows in front that are near and far, and one outside the data.
X, Y = np.ascontiguousarray(WINE.data[:, [0, 6, 9]]), WINE.target
ROWS = np.concatenate([X[::40], [[9.0, 7.0, 20.0]]])
LEVEL = 0.9
# Places around a threshold, in floats, that are looked at: what goes through steps is met within rounding of the formula.
AROUND = 6


def forest(**more):
    return RandomForestClassifier(7, max_depth=4, random_state=0, **more)


def boosted(**more):
    return GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0, **more)


MODELS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": forest(),
    "extra trees": ExtraTreesClassifier(5, max_depth=4, random_state=0),
    "boosting": boosted(),
    "histograms": HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, min_samples_leaf=5),
    "AdaBoost": AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=5, random_state=0),
    "XGBoost": XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1),
    "LightGBM": LGBMClassifier(n_estimators=4, num_leaves=5, n_jobs=1, verbose=-1),
    "voting": VotingClassifier([("a", forest()), ("b", boosted())], voting="soft"),
    "calibrated": CalibratedClassifierCV(forest(), method="isotonic", cv=2),
    "Platt": CalibratedClassifierCV(boosted(), method="sigmoid", cv=2),
    "bag": BaggingClassifier(boosted(), 2, max_features=2, random_state=0),
    "stacked": StackingClassifier([("a", forest()), ("b", boosted())], LogisticRegression(), cv=2),
    "trees on trees": StackingClassifier([("a", forest())], DecisionTreeClassifier(max_depth=3), cv=2, passthrough=True),
    "scaled": make_pipeline(StandardScaler(), forest()),
    "turned": make_pipeline(FunctionTransformer(lambda x: 2.5 - 3 * x), forest()),
    "rotated": make_pipeline(StandardScaler(), PCA(2), forest()),
    "pipelines that vote": VotingClassifier(
        [("a", make_pipeline(StandardScaler(), forest())), ("b", make_pipeline(MinMaxScaler(), boosted()))], voting="soft"
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param].fit(X, Y)


def ways(rows=ROWS):
    """Segments from rows to both ends of what every column has in the data, which one of them is at already."""
    starts, ends = [], []
    for column in range(rows.shape[1]):
        for end in (X.min(0), X.max(0)):
            starts.append(rows)
            ends.append(rows.copy())
            ends[-1][:, column] = end[column]
    starts, ends = np.concatenate(starts), np.concatenate(ends)
    moved = (starts != ends).any(1)
    return starts[moved], ends[moved]


def floats_around(places):
    """Floats next to places, in order."""
    each = np.asarray(places, dtype=np.float64)
    near = [each]
    for way in (-np.inf, np.inf):
        at = each
        for _ in range(AROUND):
            at = np.nextafter(at, way)
            near.append(at)
    return np.unique(np.concatenate(near))


def places_of(read, start, end):
    """Values of the column that moves at which a model of trees could change, by the formula of a straight line, and others."""
    (column,) = np.flatnonzero(start != end)
    compared = Comparisons.of(read, np.stack([start, end]))
    first, last = compared.at(np.stack([start, end]))
    values = [start[column], end[column], *np.random.default_rng(0).uniform(*sorted((start[column], end[column])), 40)]
    for a, b, some in zip(first, last, compared.thresholds, strict=True):
        inside = some[(some >= min(a, b)) & (some <= max(a, b))] if a != b else []
        values += [start[column] + (one - a) / (b - a) * (end[column] - start[column]) for one in inside]
    found = floats_around(values)
    low, high = sorted((start[column], end[column]))
    found = found[(found >= low) & (found <= high)]
    found = found if start[column] < end[column] else found[::-1]
    points = np.tile(start, (len(found), 1))
    points[:, column] = found
    return points, (found - found[0]) / (found[-1] - found[0])


def test_trees_are_asked_wherever_they_change(model):
    read = kl.read(model, X=X)
    starts, ends = ways()
    found = along_segments(read, starts, ends, LEVEL)
    assert found.exact.all()
    np.testing.assert_allclose(found.probs, model.predict_proba(ends), atol=1e-6)
    for at, extreme in ((found.at_smallest, found.smallest), (found.at_largest, found.largest)):
        there = model.predict_proba(starts + at[:, None] * (ends - starts)).max(1)
        np.testing.assert_allclose(there, extreme, atol=1e-6)
    every = [places_of(read, start, end) for start, end in zip(starts, ends, strict=True)]
    parts = np.split(
        model.predict_proba(np.concatenate([points for points, _ in every])), np.cumsum([len(t) for _, t in every])
    )
    moved = 0
    for k, (probs, (_, t)) in enumerate(zip(parts, every, strict=False)):
        confidence = probs.max(1)
        assert found.smallest[k] == pytest.approx(confidence.min(), abs=1e-6)
        assert found.largest[k] == pytest.approx(confidence.max(), abs=1e-6)
        unsure = np.flatnonzero(confidence < LEVEL - 1e-6)
        last = -1 if not len(unsure) else unsure[-1]
        sure_from = np.nan if last + 1 == len(t) else t[last + 1]
        assert found.sure_from[k] == pytest.approx(sure_from, abs=1e-12, nan_ok=True)
        changed = np.flatnonzero(probs[np.arange(len(t)), probs[0].argmax()] < confidence - 1e-6)
        changed_from = t[changed[0]] if len(changed) else np.nan
        assert found.changed_from[k] == pytest.approx(changed_from, abs=1e-12, nan_ok=True)
        moved += len(changed) > 0
    assert moved > 3


@pytest.mark.parametrize("name", ["forest", "scaled", "rotated"])
def test_it_is_the_same_in_small_blocks_and_without_shared_work(name, monkeypatch):
    read = kl.read(MODELS[name].fit(X, Y), X=X)
    starts, ends = ways()
    whole = along_segments(read, starts, ends, LEVEL)
    monkeypatch.setattr("knowlimits.limits.stretches._NUMBERS", 2**9)
    monkeypatch.setattr(by_thresholds, "_alike", lambda *_: False)
    parts = along_segments(read, starts, ends, LEVEL)
    for field, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, field), values, err_msg=field)


def test_several_columns_may_move():
    model = forest().fit(X, Y)
    starts, ends = X[:20], X[100:120]
    found = along_segments(kl.read(model), starts, ends, LEVEL)
    assert found.exact.all()
    t = np.linspace(0, 1, 4001)[:, None]
    for k in range(len(starts)):
        confidence = model.predict_proba(starts[k] + t * (ends[k] - starts[k])).max(1)
        assert found.smallest[k] <= confidence.min()
        assert found.largest[k] >= confidence.max()
        assert found.smallest[k] == pytest.approx(confidence.min(), abs=0.1)
    there = model.predict_proba(starts + found.at_smallest[:, None] * (ends - starts)).max(1)
    np.testing.assert_allclose(there, found.smallest, atol=1e-12)


def test_gaps_stay_and_numbers_that_stand_for_gaps_are_met():
    missing = X.copy()
    missing[::3, 1] = np.nan
    model = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, min_samples_leaf=5).fit(missing, Y)
    rows = np.where(np.arange(len(ROWS))[:, None] % 2, ROWS, np.where([False, True, False], np.nan, ROWS))
    starts = np.tile(rows, (2, 1))
    ends = starts.copy()
    ends[:, 0] = np.repeat([X[:, 0].min(), X[:, 0].max()], len(rows))
    found = along_segments(kl.read(model, X=missing), starts, ends)
    assert found.exact.all()
    np.testing.assert_allclose(found.probs, model.predict_proba(ends), atol=1e-12)
    # 2.0 is a gap, and a place of its own between two floats.
    coded = np.where(np.isnan(missing), 2.0, missing)
    model = XGBClassifier(n_estimators=4, max_depth=3, missing=2.0, n_jobs=1).fit(coded, Y)
    starts = X[::7]
    ends = starts.copy()
    ends[:, 1] = 5.0
    found = along_segments(kl.read(model), starts, ends, LEVEL)
    passed = starts[:, 1] <= 2.0
    at = starts.copy()
    at[:, 1] = 2.0
    confidence = model.predict_proba(at).max(1)
    assert (found.smallest <= confidence + 1e-6)[passed].all()
    assert (found.largest >= confidence - 1e-6)[passed].all()
    assert (np.abs(confidence - model.predict_proba(at + np.array([0, 1e-3, 0])).max(1)) > 1e-3)[passed].any()


POOL = sorted({float(v) for one in (0.0, 1.0, -1.0, 1e-300, 1e300, -1e300) for v in (one, np.nextafter(one, 2 * abs(one) + 1))})


@st.composite
def random_trees(draw):
    trees = []
    for _ in range(draw(st.integers(1, 3))):
        inner = draw(st.integers(0, 4))
        # Each node that asks has its children behind it.
        count, left, right, open_ = 1, [-1], [-1], [0]
        for _ in range(inner):
            node = open_.pop(draw(st.integers(0, len(open_) - 1)))
            left[node], right[node] = count, count + 1
            left, right, open_ = [*left, -1, -1], [*right, -1, -1], [*open_, count, count + 1]
            count += 2
        column = np.array([draw(st.integers(0, 1)) for _ in range(count)])
        threshold = np.array([draw(st.sampled_from(POOL)) for _ in range(count)])
        value = np.array([[draw(st.integers(-3, 3))] for _ in range(count)], dtype=float)
        trees.append(Tree(column, threshold, np.array(left), np.array(right), value))
    return Trees(trees, 1, returns=Outputs.LOGITS)


@settings(max_examples=60, deadline=None)
@given(random_trees(), st.lists(st.sampled_from(POOL), min_size=3, max_size=3))
def test_neighbouring_floats_are_told_apart(trees, numbers):
    model = Model("trees", (Network(trees, returns=Outputs.LOGITS),))
    start, end = np.array(numbers[:2]), np.array([numbers[2], numbers[1]])
    found = along_segments(model, start[None], end[None], 0.9)
    low, high = sorted((start[0], end[0]))
    values = np.array([v for v in floats_around(POOL) if low <= v <= high])
    points = np.stack([values, np.full(len(values), start[1])], 1)
    confidence = model.at(torch.from_numpy(points))[0].amax(1).numpy()
    assert found.exact.all()
    assert (found.smallest[0], found.largest[0]) == (confidence.min(), confidence.max())


def logarithm():
    return make_pipeline(FunctionTransformer(np.log), forest())


@pytest.mark.parametrize(
    "made",
    [
        lambda: KNeighborsClassifier(5),
        lambda: GaussianNB(),
        lambda: MLPClassifier((4,), "tanh", max_iter=300, random_state=0),
        logarithm,
        lambda: VotingClassifier([("a", forest()), ("b", GaussianNB())], voting="soft"),
        lambda: StackingClassifier([("a", LogisticRegression(max_iter=500))], DecisionTreeClassifier(max_depth=3), cv=2),
    ],
    ids=["neighbours", "densities", "tanh", "logarithm", "half of it trees", "trees on lines"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_all_else_is_asked_on_a_grid_and_says_so(made):
    model = made().fit(X, Y)
    starts, ends = ways()
    starts, ends = starts[::5], ends[::5]
    read = kl.read(model, X=X)
    found = along_segments(read, starts, ends, LEVEL)
    assert not found.exact.any()
    assert (asked_along(read, starts, ends) >= 1).all()
    t = np.linspace(0, 1, PLACES)[:, None]
    for k in range(len(starts)):
        confidence = model.predict_proba(starts[k] + t * (ends[k] - starts[k])).max(1)
        assert found.smallest[k] == pytest.approx(confidence.min(), abs=1e-6)
        assert found.largest[k] == pytest.approx(confidence.max(), abs=1e-6)
        there = model.predict_proba((starts[k] + found.at_largest[k] * (ends[k] - starts[k]))[None]).max()
        assert there == pytest.approx(found.largest[k], abs=1e-6)


def test_what_fills_gaps_by_what_moves_is_not_called_exact():
    missing = X.copy()
    missing[::3, 1] = np.nan
    starts = np.tile([[12.0, np.nan, 3.0]], (6, 1))
    starts[:, 2] = np.linspace(2, 4, 6)
    ends = starts.copy()
    ends[:, 0] = 15.0
    for imputer, exact in ((SimpleImputer(), True), (KNNImputer(n_neighbors=1), False)):
        model = make_pipeline(imputer, forest()).fit(missing, Y)
        found = along_segments(kl.read(model, X=missing), starts, ends)
        assert found.exact.all() == exact
        np.testing.assert_allclose(found.probs, model.predict_proba(ends), atol=1e-12)


def asked_for(tree, node, low, high):
    """Thresholds of a tree of scikit-learn's that are met between two rows, by recursion."""
    if tree.children_left[node] < 0:
        return set()
    column, threshold = tree.feature[node], tree.threshold[node]
    found = {(column, threshold)} if low[column] <= threshold < high[column] else set()
    if low[column] <= threshold:
        found |= asked_for(tree, tree.children_left[node], low, high)
    if high[column] > threshold:
        found |= asked_for(tree, tree.children_right[node], low, high)
    return found


def test_how_often_trees_are_asked_is_known_before():
    model = RandomForestClassifier(7, random_state=0).fit(X, Y)
    starts, ends = ways()
    starts, ends = np.concatenate([starts, X[:20]]), np.concatenate([ends, X[100:120]])
    counts = asked_along(kl.read(model), starts, ends)
    for k in range(len(starts)):
        low, high = (extreme(np.float32(starts[k]), np.float32(ends[k])) for extreme in (np.minimum, np.maximum))
        met = set().union(*(asked_for(one.tree_, 0, low, high) for one in model.estimators_))
        assert counts[k] == 1 + len(met)
    column = [len({t for one in model.estimators_ for t in one.tree_.threshold[one.tree_.feature == j]}) for j in range(3)]
    assert counts[-21] < max(column)
    assert (asked_along(kl.read(GaussianNB().fit(X, Y)), starts, ends) == PLACES).all()


class TreeOnTree(torch.nn.Module):
    """A tree that asks what another says, and then, on either side, another threshold of the column itself."""

    def __init__(self):
        super().__init__()
        none = np.array([-1, -1])
        self.inner = Trees(
            [Tree(np.zeros(3, dtype=int), np.zeros(3), np.r_[1, none], np.r_[2, none], np.array([[0.0], [0.0], [1.0]]))],
            1,
            returns=Outputs.LOGITS,
        )
        # The answer comes first, the column behind it.
        self.outer = Trees(
            [
                Tree(
                    np.array([0, 1, 1, 0, 0, 0, 0]),
                    np.array([0.5, -1.0, 1.0, 0, 0, 0, 0]),
                    np.array([1, 3, 5, -1, -1, -1, -1]),
                    np.array([2, 4, 6, -1, -1, -1, -1]),
                    np.array([[0.0], [0.0], [0.0], [3.0], [1.0], [-1.0], [-4.0]]),
                )
            ],
            1,
            returns=Outputs.LOGITS,
        )

    def forward(self, x):
        return self.outer(torch.cat([self.inner(x), x], 1))


def test_a_tree_on_a_tree_asks_on_both_sides_of_an_answer():
    model = Model("trees", (Network(TreeOnTree(), returns=Outputs.LOGITS),))
    starts, ends = np.array([[-0.5, 0.0], [0.5, 0.0], [-2.0, 0.0]]), np.array([[0.5, 0.0], [2.0, 0.0], [-0.5, 0.0]])
    for a, b in ((starts, ends), (ends, starts), (np.array([[-2.0, 0.0]]), np.array([[2.0, 0.0]]))):
        found = along_segments(model, a, b, 0.9)
        assert found.exact.all()
        for k in range(len(a)):
            values = np.array(
                [v for v in floats_around([-1.0, 0.0, 1.0]) if min(a[k, 0], b[k, 0]) <= v <= max(a[k, 0], b[k, 0])]
            )
            points = np.concatenate([np.stack([values, np.zeros(len(values))], 1), a[k : k + 1], b[k : k + 1]])
            confidence = model.at(torch.from_numpy(points))[0].amax(1).numpy()
            assert (found.smallest[k], found.largest[k]) == (confidence.min(), confidence.max())


class Constant(torch.nn.Module):
    """What says the same of all rows."""

    def forward(self, x):
        return torch.tensor([[0.0, 2.0]], dtype=x.dtype).repeat(len(x), 1)


def test_what_never_changes_is_exact():
    leaf = DecisionTreeClassifier(max_depth=1, min_samples_leaf=90).fit(X, Y)
    starts, ends = ways()
    for model in (kl.read(leaf), Model("constant", (Network(Constant()),))):
        found = along_segments(model, starts, ends)
        assert found.exact.all()
        np.testing.assert_array_equal(found.smallest, found.largest)
        assert np.isnan(found.changed_from).all()
        assert (asked_along(model, starts, ends) == 1).all()


def test_mistakes_are_refused():
    read = kl.read(forest().fit(X, Y))
    with pytest.raises(ValueError, match="must be rows of one table"):
        along_segments(read, X, X[:5])
    with pytest.raises(ValueError, match="finite"):
        along_segments(read, X[:1], np.array([[np.inf, 0, 0]]))
    with pytest.raises(ValueError, match="gaps in the same places"):
        along_segments(read, X[:1], np.array([[np.nan, 0, 0]]))
