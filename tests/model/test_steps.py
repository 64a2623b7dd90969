"""What happens to a table before the networks: each claim is held against what the transformers themselves do far away."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)
from torch import nn

from knowlimits.follow import follow
from knowlimits.model.chains import Selection
from knowlimits.model.steps import Moves, Steps
from tests.model.transformers import CASES, FRAME, GAPS, LETTERS, POSITIVE, RANDOM, X, Y, as_array, fitted, on_frame, product


def network(inputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)).double()


def rays(read, rows):
    """Every column that can move, both ways, from some rows, by its unit."""
    starts, directions = [], []
    for place, column in enumerate(read.columns):
        for sign in (-1, 1) if column.moves is not Moves.HELD else ():
            for row in rows:
                if not np.isnan(row[place]):
                    starts.append(row)
                    directions.append(sign * read.units[place] * np.eye(len(row))[place])
    return np.array(starts).reshape(-1, rows.shape[1]), np.array(directions).reshape(-1, rows.shape[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_moves_are_found_and_rays_end_where_the_transformers_take_them(name):
    pipeline, table, read, letters = fitted(name)
    if letters:
        assert [column.moves for column in read.columns] == [LETTERS[letter] for letter in letters]
    assert [bool(column.why) for column in read.columns] == [column.moves is not Moves.AFFINE for column in read.columns]
    rows = read.encode("X", table)
    expected = as_array(pipeline.transform(table))
    np.testing.assert_array_equal(read.transform(rows), expected)
    np.testing.assert_array_equal(read.of_table(table), expected)
    starts, directions = rays(read, rows[~np.isnan(rows).any(1)][:4])
    if not len(starts):
        return
    found = read.along(starts, directions)
    sides = (directions > 0).any(1).astype(int), (directions != 0).argmax(1)
    np.testing.assert_array_equal(found.straight, read.sides.ranks[sides] < 2)
    for a in (0, 1, 1e3, 1e6, 1e9, 1e12):
        check_straight(read, found, starts, directions, a, 1e-6 if name == "float32" else 1e-11)
    for seed in range(3):
        check_ends(read, found, starts, directions, network(found.starts.shape[1], seed), 1e-3 if name == "float32" else 1e-6)


def check_straight(read, found, starts, directions, beyond, tolerance):
    """Rays that are straight from a point on are where they should be so far beyond it."""
    some = found.straight
    a = found.settled[some, None] + beyond
    seen = read.transform(starts[some] + a * directions[some])
    line = found.starts[some] + a * found.directions[some]
    longest = a * np.abs(found.directions[some]).max(1, initial=0, keepdims=True)
    size = np.abs(line) + np.abs(read.transform(starts)).max(0) + longest * (found.directions[some] != 0)
    assert (np.abs(seen - line) <= tolerance * size).all()


def check_ends(read, found, starts, directions, net, tolerance):
    """A network at points beyond the radius is what rates and offsets of the rays say."""
    with torch.no_grad():
        ends = follow(net, torch.tensor(found.starts), torch.tensor(found.directions))
        radius = found.radius(ends.radius.numpy()[None])[0]
        assert (radius >= found.settled).all()
        lead = np.abs(found.directions).argmax(1)[:, None]
        compared = np.zeros(len(starts), dtype=bool)
        for a in (1e3, 1e9, 1e30, 1e100, 1e280):
            some = np.isfinite(radius) & (~found.straight | (a < 1e10))
            a = np.where(some, np.maximum(radius, a), 0)
            points = starts + a[:, None] * directions
            try:
                seen = read.transform(points)
            except ValueError:
                # Powers pass the largest float.
                continue
            t = np.take_along_axis((seen - found.starts) / np.where(found.directions == 0, 1, found.directions), lead, 1)[:, 0]
            t = np.where(found.straight, a, t)
            expected = (ends.rate.numpy() * t[:, None] + ends.offset.numpy())[some]
            own = net(torch.tensor(seen[some])).numpy()
            size = 1 + np.abs(t[some]) * np.abs(ends.rate.numpy()[some]).max(1)
            assert (np.abs(own - expected).max(1) <= tolerance * size).all()
            compared |= some
        assert compared[np.isfinite(radius)].all()


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("products of two", "product")])
@pytest.mark.filterwarnings("ignore")
def test_columns_that_move_together_end_where_the_transformers_take_them(name):
    _, table, read, _ = fitted(name)
    rows = read.encode("X", table)
    rows = rows[~np.isnan(rows).any(1)][:8]
    can = [column.moves in (Moves.AFFINE, Moves.SATURATING) for column in read.columns]
    directions = np.where(can, np.random.RandomState(1).normal(size=rows.shape) * read.units, 0)
    found = read.along(rows, directions)
    for a in (0, 1, 1e3, 1e6, 1e9):
        check_straight(read, found, rows, directions, a, 2e-6 if name == "float32" else 1e-11)


def test_an_affine_map_is_that_of_the_closed_form():
    pipeline = make_pipeline(StandardScaler(), PCA(3, whiten=True)).fit(X)
    scaler, pca = (step for _, step in pipeline.steps)
    read = Steps.of([scaler, pca], X, 4)
    whitened = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
    np.testing.assert_allclose(read.affine.matrix, whitened / scaler.scale_, rtol=1e-13)
    np.testing.assert_allclose(read.affine.shift, -whitened @ (scaler.mean_ / scaler.scale_ + pca.mean_), rtol=1e-12)
    along = read.along(X[:5], np.eye(4)[[0, 1, 2, 3, 0]])
    np.testing.assert_array_equal(along.starts, pipeline.transform(X[:5]))
    np.testing.assert_allclose(along.directions, read.affine.matrix.T[[0, 1, 2, 3, 0]], rtol=1e-14)
    assert (along.settled == 0).all()
    diagonal = Steps.of([scaler], X, 4).affine.matrix
    np.testing.assert_array_equal(diagonal[~np.eye(4, dtype=bool)], 0)
    np.testing.assert_allclose(np.diag(diagonal), 1 / scaler.scale_, rtol=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    seed=st.integers(0, 2**31),
    magnitude=st.sampled_from([1.0, 1e3, 1e6]),
    rows=st.booleans(),
)
def test_affine_functions_compose_to_their_product_with_exact_zeros(sizes, seed, magnitude, rows):
    random = np.random.RandomState(seed)
    # Whole numbers, many of them 0, whose products cancel exactly.
    weights = [random.randint(-2, 3, size=pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)]
    biases = [random.randint(-5, 6, size=size) for size in sizes[1:]]
    steps = [FunctionTransformer(lambda X, w=w, b=b: X @ w + b) for w, b in zip(weights, biases, strict=True)]
    table = random.normal(size=(20, sizes[0])) * magnitude
    product = np.linalg.multi_dot([np.eye(sizes[0], dtype=int), *weights])
    # Of a column that cancels everywhere nothing is left that would tell its rounding errors.
    assume((product != 0).any(1).all())
    read = Steps.of(steps, table if rows else None, sizes[0])
    np.testing.assert_array_equal(read.affine.matrix, product.T)
    shift = np.zeros(sizes[0])
    for w, b in zip(weights, biases, strict=True):
        shift = shift @ w + b
    np.testing.assert_array_equal(read.affine.shift, shift)


def test_what_cancels_to_rounding_is_no_slope():
    mix, back = np.linalg.qr(np.random.RandomState(2).normal(size=(6, 6)))[0], np.eye(6)
    steps = [FunctionTransformer(lambda X: X @ mix), FunctionTransformer(lambda X: X @ (mix.T @ back))]
    matrix = Steps.of(steps, RANDOM.normal(size=(20, 6)), 6).affine.matrix
    np.testing.assert_array_equal(matrix[~np.eye(6, dtype=bool)], 0)
    np.testing.assert_allclose(np.diag(matrix), 1, rtol=1e-14)


def test_slopes_that_are_small_beside_others_stay():
    steps = [FunctionTransformer(lambda X: X @ np.array([[1.0, 1e-12], [1e-14, 1e9]]))]
    matrix = Steps.of(steps, RANDOM.normal(size=(20, 2)), 2).affine.matrix
    np.testing.assert_allclose(matrix, [[1, 1e-14], [1e-12, 1e9]], rtol=1e-14)


def test_a_clip_is_found_to_rounding():
    edges = np.array([-1.5e8, 2.0**0.5])
    read = Steps.of([FunctionTransformer(lambda X: np.clip(X, *edges))], None, 2)
    np.testing.assert_allclose(read.sides.thresholds, np.repeat(edges[:, None], 2, 1), rtol=1e-13)
    found = read.along(np.array([[0.25, 7.0]] * 2), np.array([[2.0, 0], [0, -3.0]]))
    np.testing.assert_allclose(found.settled, [(edges[1] - 0.25) / 2, (7 - edges[0]) / 3], rtol=1e-13)
    np.testing.assert_allclose(found.starts, [[edges[1], edges[1]], [0.25, edges[0]]], rtol=1e-13)
    np.testing.assert_array_equal(found.directions, 0)
    np.testing.assert_array_equal(found.radius(np.array([[0.0, np.nan]]))[0], [found.settled[0], np.nan])
    assert found.radius(np.array([[np.inf, 1e12]])).tolist() == [[np.inf, 1e12]]


def test_the_pace_of_a_slow_column_is_inverted():
    table = POSITIVE[:, :2]
    read = Steps.of([FunctionTransformer(np.log1p)], table, 2)
    starts, directions = table[:3], np.array([[3.0, 0.0]] * 3)
    found = read.along(starts, directions)
    assert not found.straight.any()
    inner = np.array([[5.0, 0.0, np.nan], [np.inf, 700.0, 1.0]])
    line = inner * np.abs(found.directions).max(1)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = ((1 + starts[:, 0]) * np.exp(line) - 1 - starts[:, 0]) / 3
    np.testing.assert_allclose(found.radius(inner), expected, rtol=1e-11, atol=1e-15)
    assert np.isinf(found.radius(np.array([[1e3] * 3]))).all()
    # The logarithm has no values on the other side, and so the column is held where it may go both ways.
    assert [column.moves for column in read.columns] == [Moves.HELD] * 2
    assert [column.why for column in read.columns] == ["FunctionTransformer of log1p"] * 2
    with pytest.raises(TypeError, match=r"directions must be 0 in columns that cannot move\. Got rays along 'x0' \(Function"):
        read.along(starts, -directions)


def test_columns_of_different_paces_are_refused():
    read = Steps.of([StandardScaler().fit(X), FunctionTransformer(np.cbrt)], X, 4)
    read.along(X[:2], np.eye(4)[:2])
    with pytest.raises(ValueError, match=r"directions must move one column at a time where it grows.*Got several in row 1"):
        read.along(X[:2], np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 1.0]]))
    both = ColumnTransformer([("a", FunctionTransformer(np.cbrt), [0]), ("b", "passthrough", [1])]).fit(X)
    read = Steps.of([both], X, 4)
    assert [column.moves for column in read.columns] == [Moves.ENDLESS, *[Moves.AFFINE] * 3]
    read.along(X[:1], np.array([[1.0, 0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match="one column at a time"):
        read.along(X[:1], np.array([[1.0, 1.0, 0, 0]]))


def test_products_are_straight_one_column_at_a_time_and_refused_together():
    read = Steps.of([FunctionTransformer(product)], X, 4)
    found = read.along(X[:2], np.eye(4)[:2])
    np.testing.assert_allclose(found.directions[:, 0], [X[0, 1], X[1, 0]], rtol=1e-12)
    with pytest.raises(ValueError, match=r"directions must take the numbers behind the steps along a line.*FunctionTransf"):
        read.along(X[:1], np.ones((1, 4)))


def test_columns_that_are_held_are_named_with_what_they_go_through():
    _, table, read, _ = fitted("frame")
    rows = read.encode("X", table)
    words = "Got rays along 'city', 'kind' (OneHotEncoder): leave these columns where they are"
    with pytest.raises(TypeError, match=re.escape(words)):
        read.along(rows, np.ones_like(rows))
    with pytest.raises(TypeError, match=r"model must have steps .* affine.* Got 'city', 'kind' \(OneHotEncoder\) instead"):
        _ = read.affine
    with pytest.raises(TypeError, match=r"Got 'x0', 'x1', 'x2' and 1 more \(MinMaxScaler with clip\) instead"):
        _ = Steps.of([StandardScaler().fit(X), MinMaxScaler(clip=True).fit(X)], X, 4).affine
    assert (str(read), read.movements) == ("ColumnTransformer", "4 in a straight line, 2 held (OneHotEncoder)")


CULPRITS = {
    "Normalizer": "Normalizer",
    "clip after PCA": "MinMaxScaler with clip",
    "normal quantiles": "QuantileTransformer",
    "FeatureUnion": "MinMaxScaler with clip",
    "waves": "FunctionTransformer of waves",
    "distances": "KMeans",
    "splines that end": "SplineTransformer",
}


@pytest.mark.parametrize("name", CULPRITS)
def test_the_guilty_step_is_named(name):
    assert {column.why for column in fitted(name)[2].columns} == {CULPRITS[name]}


def test_gaps():
    _, table, read, _ = fitted("frame")
    assert [column.gaps for column in read.columns] == [True, True, False, False, False, True]
    with_gaps = table.copy()
    with_gaps.loc[0, "a"], with_gaps.loc[1, "city"], with_gaps.loc[2, "count"] = np.nan, None, pd.NA
    imputer = SimpleImputer(add_indicator=True)
    columns = ColumnTransformer([("a", imputer, ["a", "b", "count"]), ("c", OneHotEncoder(), ["city"])]).fit(with_gaps)
    read = Steps.of([columns], with_gaps, 6)
    rows = read.encode("X", with_gaps)
    assert np.isnan(rows[[0, 1, 2], [0, 2, 5]]).all()
    np.testing.assert_array_equal(read.transform(rows), as_array(columns.transform(with_gaps)))
    ahead = np.eye(6)[[1, 1, 1]]
    found = read.along(rows[:3], ahead)
    np.testing.assert_allclose(found.starts + 1e6 * found.directions, read.transform(rows[:3] + 1e6 * ahead), rtol=1e-12)
    with pytest.raises(ValueError, match=r"directions must be 0 where there are gaps\. Got a ray along 'a', .* in row 0"):
        read.along(rows[:1], np.eye(6)[:1])
    plain = Steps.of([PCA().fit(X)], X, 4)
    with pytest.raises(ValueError, match=r"X, column 'x2', must have no gaps, .*Got nothing in row 3, 1 such in all"):
        plain.encode("X", np.where(np.arange(480).reshape(120, 4) == 14, np.nan, X))


def test_gaps_that_are_filled_by_other_columns():
    # A value that a straight line fills moves along with the others; neighbours change on the way.
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    for imputer, right in ((IterativeImputer(random_state=0), True), (KNNImputer(), False)):
        pipeline = make_pipeline(imputer, StandardScaler()).fit(GAPS)
        read = Steps.of([step for _, step in pipeline.steps], GAPS, 4)
        rows = read.encode("X", GAPS)
        full = rows[~np.isnan(rows).any(1)][:3]
        assert read.along(full, np.eye(4)[:3]).straight.all()
        rows = rows[np.isnan(rows[:, 0]) & ~np.isnan(rows[:, 1])][:3]
        ahead = np.tile(read.units * np.eye(4)[1], (len(rows), 1))
        if right:
            found = read.along(rows, ahead)
            seen = pipeline.transform(rows + 1e6 * ahead)
            np.testing.assert_allclose(found.starts + 1e6 * found.directions, seen, rtol=1e-9)
            assert (found.directions[:, 0] != 0).all()
        else:
            with pytest.raises(ValueError, match=r"along a line that is straight in the end.*KNNImputer"):
                read.along(rows, ahead)


def test_a_value_that_stands_for_a_gap_is_seen():
    table = X.copy()
    table[::7, 1] = -999
    pipeline = make_pipeline(SimpleImputer(missing_values=-999), StandardScaler()).fit(table)
    read = Steps.of([step for _, step in pipeline.steps], table, 4)
    ahead = np.eye(4)[[1, 1, 0]]
    found = read.along(table[:3], ahead)
    np.testing.assert_allclose(found.starts + 1e6 * found.directions, pipeline.transform(table[:3] + 1e6 * ahead), rtol=1e-12)


def test_steps_without_rows():
    for name in ("PCA", "MinMaxScaler with clip", "quantiles", "roots"):
        pipeline, table, read, _ = fitted(name)
        blind = Steps.of([step for _, step in pipeline.steps], None, 4)
        assert [column.moves for column in blind.columns] == [column.moves for column in read.columns]
        assert {column.name for column in blind.columns} == {None}
        np.testing.assert_array_equal(blind.transform(table), pipeline.transform(table))
    columns = on_frame().fit(FRAME)
    blind = Steps.of([columns], None, 6)
    assert [column.levels for column in blind.columns] == [None, None, ("u", "v", "w"), ("p", "q"), None, None]
    rows = blind.encode("X", FRAME)
    np.testing.assert_array_equal(blind.transform(rows), columns.transform(FRAME))
    picky = FunctionTransformer(lambda X: 1 / (X.sum(1, keepdims=True) > 100).astype(int).clip(1) if X.min() > 50 else X[:, 9])
    with pytest.raises(TypeError, match=r"X must be given, a few rows of the table.*Got IndexError"):
        Steps.of([picky], None, 4)


def test_a_table_of_other_columns_is_refused():
    with pytest.raises(ValueError, match=r"X must be a table of 4 columns\. Got shape \(120, 3\) instead"):
        Steps.of([StandardScaler().fit(X)], X[:, :3], 4)


def test_samplers_do_nothing_at_prediction():
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    pipeline = pytest.importorskip("imblearn.pipeline")
    steps = [("s", StandardScaler()), ("o", over_sampling.RandomOverSampler(random_state=0)), ("p", PCA(2))]
    fit = pipeline.Pipeline([*steps, ("m", LinearDiscriminantAnalysis())]).fit(X, Y)
    read = Steps.of([step for _, step in fit.steps[:-1]], X, 4)
    np.testing.assert_array_equal(read.transform(X), fit.steps[2][1].transform(fit.steps[0][1].transform(X)))
    assert str(read) == "StandardScaler, PCA"


def test_parts_side_by_side():
    one, two = make_pipeline(StandardScaler(), PCA(2)).fit(X), MinMaxScaler(clip=True).fit(X[:, [2, 0]])
    chosen = Steps.of([Selection((2, 0))], None, 4)
    np.testing.assert_array_equal(chosen.affine.matrix, np.eye(4)[[2, 0]])
    parts = [Steps.of([step for _, step in one.steps], X, 4), Steps.of([*chosen.chain.transformers, two], X, 4)]
    both = Steps.side_by_side(parts)
    np.testing.assert_array_equal(both.transform(X), np.c_[one.transform(X), two.transform(X[:, [2, 0]])])
    assert [column.moves for column in both.columns] == [LETTERS[letter] for letter in "SASA"]
    frames = [fitted(name)[2] for name in ("frame", "frame by types")]
    both = Steps.side_by_side(frames)
    rows = both.encode("X", FRAME)
    np.testing.assert_array_equal(both.transform(rows), np.concatenate([part.of_table(FRAME) for part in frames], 1))
    assert [column.moves for column in both.columns] == [LETTERS[letter] for letter in "SSHHAA"]


def test_steps_can_be_pickled():
    for name in ("PCA", "frame"):
        _, table, read, _ = fitted(name)
        again = pickle.loads(pickle.dumps(read))
        rows = again.encode("X", table)
        np.testing.assert_array_equal(again.transform(rows), read.transform(rows))
        assert again.columns == read.columns


def test_a_dozen_calls_are_enough():
    calls = []

    def counted(X):
        calls.append(len(X))
        return X * 2.0

    table = RANDOM.normal(size=(200, 100))
    Steps.of([FunctionTransformer(counted)], table, 100)
    assert len(calls) <= 12
    assert sum(calls) <= 50 * 100
