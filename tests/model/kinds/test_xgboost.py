import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine

import knowlimits as kl
from knowlimits.testing import check_family
from tests.oracles.boosters import check_limits, check_radius

xgb = pytest.importorskip("xgboost")
pytestmark = pytest.mark.filterwarnings("ignore")
WINE, CANCER = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)


def fitted(X, y, cls="XGBClassifier", **more: Any):
    return getattr(xgb, cls)(**{"n_estimators": 8, "max_depth": 3, "n_jobs": 1, **more}).fit(X, y)


def with_gaps(X, share=0.1):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def coded(X):
    """Numbers, and a code in the last column that matters."""
    random = np.random.default_rng(2)
    X = np.column_stack([X[:, :4], random.integers(0, 6, len(X))])
    return X, (np.isin(X[:, 4], [1, 3, 4]) ^ (X[:, 0] > np.median(X[:, 0]))).astype(int)


MODELS = {
    "two classes": (CANCER, {}),
    "three classes": (WINE, {}),
    "a forest": (WINE, {"cls": "XGBRFClassifier"}),
    "boosted forests": (CANCER, {"num_parallel_tree": 3}),
    "dart": (WINE, {"booster": "dart", "rate_drop": 0.5}),
    "vectors in leaves": (WINE, {"multi_strategy": "multi_output_tree"}),
    "softmax": (WINE, {"objective": "multi:softmax"}),
    "another base score": (CANCER, {"base_score": 0.9}),
    "gaps": ((with_gaps(CANCER[0]), CANCER[1]), {}),
    "grown by leaves": (CANCER, {"grow_policy": "lossguide", "max_leaves": 5, "max_depth": 0}),
    "pruned": (CANCER, {"tree_method": "exact", "gamma": 2.0}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_end_as_they_say_themselves(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    found = kl.read(model, X=X[:5])
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-6)
    check_limits(found, model.predict_proba, X)


@pytest.mark.parametrize("name", ["two classes", "three classes", "dart", "gaps", "pruned"])
def test_the_radius_is_where_the_last_leaf_changes(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    check_radius(kl.read(model), lambda rows: model.apply(rows).reshape(len(rows), -1), X)


@pytest.mark.parametrize("name", ["two classes", "gaps"])
def test_families_hold_to_their_contract(name: str):
    (X, y), settings = MODELS[name]
    check_family(kl.read(fitted(X, y, **settings)).networks[0].module, X)


def test_early_stopping_counts_as_the_class_does_and_a_booster_does_not():
    (X, y), half = WINE, np.arange(len(WINE[0])) % 2 == 0
    model = xgb.XGBClassifier(n_estimators=200, n_jobs=1, early_stopping_rounds=2)
    model.fit(X[half], y[half], eval_set=[(X[~half], y[~half])], verbose=False)
    booster = model.get_booster()
    assert model.best_iteration + 1 < booster.num_boosted_rounds()
    np.testing.assert_allclose(kl.read(model).predict_proba(X), model.predict_proba(X), atol=1e-6)
    own = booster.predict(xgb.DMatrix(X))
    np.testing.assert_allclose(kl.read(booster).predict_proba(X), own, atol=1e-6)
    assert np.abs(own - model.predict_proba(X)).max() > 1e-4


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "reg:logistic", "multi:softprob", "multi:softmax"])
def test_boosters(objective: str):
    several = objective.startswith("multi")
    X, y = WINE if several else CANCER
    settings = {"objective": objective, "max_depth": 2, "nthread": 1, **({"num_class": 3} if several else {})}
    model = xgb.train(settings, xgb.DMatrix(X, y), 4)
    margins = model.predict(xgb.DMatrix(X), output_margin=True).astype(float)
    logits = margins if several else np.column_stack([0 * margins, margins])
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = kl.read(model)
    assert (found.name, found.classes_, found.n_features_in_) == ("Booster", None, X.shape[1])
    np.testing.assert_allclose(found.predict_proba(X), expected, atol=1e-6)


def test_a_base_score_alone():
    X, y = CANCER
    for settings in (
        {"n_estimators": 0},
        {"n_estimators": 0, "base_score": 0.3},
        {"n_estimators": 3, "max_depth": 0, "gamma": 1e9},
    ):
        model = fitted(X, y, **settings)
        far = kl.far_field(model, X[:3], X[3:6])
        np.testing.assert_allclose(far.probs[0], model.predict_proba(X[:3]), atol=1e-6)
        np.testing.assert_array_equal(far.radius, 0)


def test_linear_boosters_are_networks():
    for X, y in (WINE, CANCER):
        X = (X - X.mean(0)) / X.std(0)
        model = fitted(X, y, booster="gblinear", max_depth=None)
        np.testing.assert_allclose(kl.read(model).predict_proba(X), model.predict_proba(X), atol=1e-5)
        starts, ways = X[:40], np.random.default_rng(0).normal(size=(40, X.shape[1]))
        far = kl.far_field(model, starts, ways)
        np.testing.assert_allclose(far.probs[0], model.predict_proba(starts + 1e7 * ways), atol=1e-6)
        assert len(kl.breakpoints(model, X[0], X[1])) == 0
    with pytest.raises(ValueError, match="goes with missing=nan alone"):
        kl.read(fitted(X, y, booster="gblinear", missing=-1.0))


@pytest.mark.parametrize("missing", [-999.0, 0.0, 12.37])
def test_a_number_that_stands_for_gaps(missing: float):
    X, y = with_gaps(CANCER[0][:, :5], 0.3), CANCER[1]
    X = np.where(np.isnan(X), missing, X - 12.0 if missing == 0 else X)
    model = fitted(X, y, missing=missing)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-6)
    next_ones = np.nextafter(np.float32(missing), np.float32([-np.inf, np.inf])).astype(float)
    for near in (missing, *next_ones, missing * (1 + 1e-12) + 1e-60, np.nan):
        rows = np.where(missing == X, near, X)
        np.testing.assert_allclose(found.predict_proba(rows), model.predict_proba(rows), atol=1e-6)
    check_limits(found, model.predict_proba, X)


def test_a_ray_may_meet_a_gap_behind_all_thresholds():
    X, y = CANCER[0][:, :1], CANCER[1]
    X = np.concatenate([X, np.full((300, 1), 1000.0)])
    y = np.concatenate([y, np.ones(300, dtype=int)])
    model = fitted(X, y, missing=1000.0)
    start, way = np.array([[10.0]]), np.array([[2.0]])
    far = kl.far_field(model, start, way)
    assert far.radius is not None
    at = float(far.radius[0, 0])
    assert at == pytest.approx(495.0)
    said = model.predict_proba(
        start + np.array([[at], [np.nextafter(at, 1e9)], [np.nextafter(at, 0) * (1 - 1e-3)], [1e6]]) * way
    )[:, 1]
    assert said[0] != said[1] == said[2] == said[3]
    np.testing.assert_allclose(far.probs[0, 0, 1], said[3], atol=1e-6)
    # Where a gap is like what is there anyway, nothing is met.
    model = fitted(CANCER[0][:, :1], CANCER[1], missing=1000.0)
    if model.predict_proba([[1000.0]])[0, 1] == model.predict_proba([[1e6]])[0, 1]:
        assert kl.far_field(model, start, way).radius[0, 0] < 100


def test_codes_are_held():
    X, y = coded(CANCER[0])
    model = fitted(X, y, feature_types=["q"] * 4 + ["c"], enable_categorical=True)
    found = kl.read(model)
    assert found.networks[0].module.held == (4,)
    for code in (0, 1, 2.7, 3, 5, 6, 50, 1e9, -1, -0.5, np.nan):
        rows = np.column_stack([X[:40, :4], np.full(40, code)])
        np.testing.assert_allclose(found.predict_proba(rows), model.predict_proba(rows), atol=1e-6)
    check_limits(found, model.predict_proba, X)
    check_radius(found, lambda rows: model.apply(rows), X)
    with pytest.raises(kl.UnsupportedOperation, match="codes"):
        kl.far_field(found, X[:1], np.ones((1, 5)))


@pytest.mark.parametrize("one_hot", [1, 10])
def test_categories_of_a_table(one_hot: int):
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=300), "text": pd.Categorical(random.choice(list("pqrs"), 300))})
    X["number"] = pd.Categorical(random.choice([10, 20, 30], 300))
    y = ((X.text.isin(["p", "r"])) ^ (X.a > 0) ^ (X.number.astype(int) > 10)).astype(int)
    X.loc[::17, "text"] = None
    model = fitted(X, y, enable_categorical=True, max_cat_to_onehot=one_hot)
    for found in (kl.read(model, X=X), kl.read(model)):
        np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-6)
        assert found.feature_names_in_ == ("a", "text", "number")
    # Another order of the categories in the table is another order of its codes.
    other = X.assign(text=X.text.cat.set_categories(list("srqp")))
    np.testing.assert_allclose(kl.read(model, X=other).predict_proba(other), model.predict_proba(X), atol=1e-6)
    far = kl.far_field(model, X, np.tile([1.0, 0, 0], (len(X), 1)))
    moved = X.assign(a=X.a + 1e9)
    np.testing.assert_allclose(far.probs[0], model.predict_proba(moved), atol=1e-6)
    with pytest.raises(TypeError, match="cannot move"):
        kl.far_field(model, X, np.ones((len(X), 3)))


REFUSED = {
    "binary:hinge": "has the objective 'binary:hinge', which gives no probability for each class",
    "binary:logitraw": "Got XGBClassifier with 'binary:logitraw'",
}


@pytest.mark.parametrize("objective", REFUSED)
def test_objectives_without_probabilities(objective: str):
    with pytest.raises(ValueError, match=REFUSED[objective]):
        kl.read(fitted(*CANCER, objective=objective))


def test_what_is_no_classifier():
    X, y = CANCER
    with pytest.raises(ValueError, match="with one of its own: fit it with"):
        kl.read(fitted(X, y, objective=lambda a, b: (b - a, np.ones_like(a))))
    with pytest.raises(ValueError, match="several labels"):
        kl.read(fitted(X, np.column_stack([y, 1 - y])))
    with pytest.raises(ValueError, match="has the objective 'reg:squarederror'"):
        kl.read(xgb.train({"objective": "reg:squarederror", "nthread": 1}, xgb.DMatrix(X, y), 1))
    with pytest.raises(TypeError, match="XGBRegressor, which is a regressor"):
        kl.read(fitted(X, y, cls="XGBRegressor"))
    with pytest.raises(TypeError, match="XGBRanker, which ranks rows"):
        kl.read(xgb.XGBRanker())
    with pytest.raises(ValueError, match="must be fitted"):
        kl.read(xgb.XGBClassifier())


def test_numbers_beyond_single_precision():
    X, y = CANCER
    model = fitted(X, y)
    starts, ways = X[:50], np.random.default_rng(0).normal(size=(50, X.shape[1]))
    far = kl.far_field(model, starts, ways)
    for radius in (1e30, 1e39, 1e300):
        np.testing.assert_allclose(far.probs[0], model.predict_proba(radius * ways), atol=1e-6)


def test_a_calibration_is_held_to_in_single_precision():
    X, y = WINE
    model = CalibratedClassifierCV(fitted(X, y), cv=2).fit(X, y)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-6)


def test_a_reading_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch):
    from knowlimits.model.kinds import xgboost as kind

    right = kind.read_xgboost

    def wrong(*args: Any):
        found = right(*args)
        found.module.base += 0.1
        return dataclasses.replace(found)

    monkeypatch.setattr(kind, "read_xgboost", wrong)
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(fitted(*CANCER))


@given(data=st.data())
@examples(max_examples=40, deadline=None)
def test_small_and_degenerate_data(data):
    rows, columns = data.draw(st.integers(4, 25)), data.draw(st.integers(1, 3))
    value = st.sampled_from([-1e30, -3.0, -1.0, 0.0, 0.0, 1e-40, 1.0, 2.0, 16777217.0, np.nan])
    X = np.array(data.draw(st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=rows, max_size=rows)))
    classes = data.draw(st.integers(2, 3))
    y = np.r_[np.arange(classes), np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)))][
        :rows
    ]
    model = fitted(X, y, n_estimators=data.draw(st.integers(1, 3)), max_depth=data.draw(st.integers(1, 3)), min_child_weight=0)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-6)
    check_limits(found, model.predict_proba, X, 10)
