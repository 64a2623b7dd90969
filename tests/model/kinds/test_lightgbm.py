from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_wine

import knowlimits as kl
from knowlimits.testing import check_family
from tests.oracles.boosters import check_limits, check_radius

lgb = pytest.importorskip("lightgbm")
pytestmark = pytest.mark.filterwarnings("ignore")
WINE, CANCER = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)


def fitted(X, y, cls="LGBMClassifier", how=None, **more: Any):
    settings = {"n_estimators": 8, "num_leaves": 7, "n_jobs": 1, "verbose": -1, "min_child_samples": 5, **more}
    return getattr(lgb, cls)(**settings).fit(X, y, **(how or {}))


def with_gaps(X, share=0.1):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def centred(X, share=0.2):
    """Numbers on both sides of many zeros, and gaps."""
    X = X - np.median(X, axis=0)
    return with_gaps(np.where(np.random.default_rng(3).random(X.shape) < share, 0.0, X), 0.05)


MODELS = {
    "two classes": (CANCER, {}),
    "three classes": (WINE, {}),
    "a sigmoid of its own": (CANCER, {"sigmoid": 2.5}),
    "cross entropy": (CANCER, {"objective": "cross_entropy"}),
    "a forest": (WINE, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}),
    "a forest of two classes": (CANCER, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}),
    "dart": (WINE, {"boosting_type": "dart", "drop_rate": 0.5}),
    "unbalanced": (CANCER, {"is_unbalance": True}),
    "gaps": ((with_gaps(CANCER[0]), CANCER[1]), {}),
    "gaps as zeros": ((centred(CANCER[0]), CANCER[1]), {"use_missing": False}),
    "zeros as gaps": ((centred(CANCER[0]), CANCER[1]), {"zero_as_missing": True}),
    "gaps it has not seen": (CANCER, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_end_as_they_say_themselves(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    X = with_gaps(X) if name == "gaps it has not seen" else X
    found = kl.read(model, X=X[:5])
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)
    check_limits(found, model.predict_proba, X)


@pytest.mark.parametrize("name", ["two classes", "three classes", "dart", "gaps", "gaps as zeros"])
def test_the_radius_is_where_the_last_leaf_changes(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    check_radius(kl.read(model), lambda rows: model.predict_proba(rows, pred_leaf=True), X)


@pytest.mark.parametrize("name", ["two classes", "gaps", "zeros as gaps"])
def test_families_hold_to_their_contract(name: str):
    (X, y), settings = MODELS[name]
    check_family(kl.read(fitted(X, y, **settings)).networks[0].module, X)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-36, -1e-36, 1e-35, 1.0000000180025095e-35, 1.1e-35, -1.1e-35, 1e-300])
@pytest.mark.parametrize("settings", [{"zero_as_missing": True}, {"use_missing": False}, {}])
def test_what_counts_as_zero(value: float, settings: dict[str, Any]):
    X, y = centred(CANCER[0][:, :4]), CANCER[1]
    model = fitted(X, y, **settings)
    rows = np.where(X == 0, value, X)
    np.testing.assert_allclose(kl.read(model).predict_proba(rows), model.predict_proba(rows), atol=1e-12)


def test_a_ray_through_zeros_that_are_gaps():
    X = np.concatenate([np.linspace(1, 2, 300), np.zeros(300)])[:, None]
    y = np.r_[np.arange(300) > 150, np.ones(300)].astype(int)
    model = fitted(X, y, zero_as_missing=True)
    start, way = np.array([[1.2]]), np.array([[-0.5]])
    far = kl.far_field(model, start, way)
    near, beyond = (model.predict_proba(start + a * way)[0, 1] for a in (2.4, 2.5))
    assert near != beyond
    assert far.radius is not None
    assert far.radius[0, 0] == pytest.approx(2.4)
    np.testing.assert_allclose(far.probs[0, 0, 1], beyond, atol=1e-12)


def test_early_stopping_and_labels():
    (X, y), half = WINE, np.arange(len(WINE[0])) % 2 == 0
    labels = np.array(["red", "green", "white"])[y]
    model = fitted(
        X[half], labels[half], n_estimators=300, early_stopping_round=3, how={"eval_set": [(X[~half], labels[~half])]}
    )
    assert model.best_iteration_ < 300
    for one in (model, model.booster_):
        found = kl.read(one)
        np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(kl.read(model).predict(X), model.predict(X))
    assert kl.read(model.booster_).name == "Booster"


def test_a_tree_that_is_a_leaf():
    X, y = np.ones((60, 2)), np.arange(60) % 3 == 0
    model = fitted(X, y)
    far = kl.far_field(model, X[:2], np.ones((2, 2)))
    np.testing.assert_allclose(far.probs[0], model.predict_proba(X[:2]), atol=1e-12)
    np.testing.assert_array_equal(far.radius, 0)


def test_codes_are_held():
    random = np.random.default_rng(2)
    X = np.column_stack([CANCER[0][:, :4], random.integers(0, 40, len(CANCER[0]))])
    y = (np.isin(X[:, 4], [1, 3, 4, 33, 39]) ^ (X[:, 0] > np.median(X[:, 0]))).astype(int)
    model = fitted(X, y, min_data_per_group=1, cat_smooth=1, how={"categorical_feature": [4]})
    found = kl.read(model)
    assert found.networks[0].module.held == (4,)
    for code in (0, 1, 2.7, 3.9, 33, 39, 50, -1, -0.5, np.nan):
        rows = np.column_stack([X[:40, :4], np.full(40, code)])
        np.testing.assert_allclose(found.predict_proba(rows), model.predict_proba(rows), atol=1e-12)
    check_limits(found, model.predict_proba, X)
    check_radius(found, lambda rows: model.predict_proba(rows, pred_leaf=True), X)


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_of_a_table(ordered: bool):
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=300), "text": pd.Categorical(random.choice(list("pqrs"), 300))})
    X["number"] = pd.Categorical(random.choice([10, 20, 30], 300), ordered=ordered)
    y = ((X.text.isin(["p", "r"])) ^ (X.a > 0) ^ (X.number.astype(int) > 10)).astype(int)
    X.loc[::17, "text"] = None
    model = fitted(X, y, min_data_per_group=1, cat_smooth=1)
    if ordered:
        with pytest.raises(ValueError, match=r"ordered or constant.*pass X"):
            kl.read(model)
    for found in [kl.read(model, X=X)] + ([] if ordered else [kl.read(model)]):
        np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    other = X.assign(text=X.text.cat.set_categories(list("srqp")))
    np.testing.assert_allclose(kl.read(model, X=other).predict_proba(other), model.predict_proba(X), atol=1e-12)
    far = kl.far_field(model, X, np.tile([1.0, 0, 0], (len(X), 1)))
    np.testing.assert_allclose(far.probs[0], model.predict_proba(X.assign(a=X.a + 1e9)), atol=1e-12)
    with pytest.raises(TypeError, match="cannot move"):
        kl.far_field(kl.read(model, X=X), X, np.ones((len(X), 3)))


REFUSED = {
    "multiclassova": (WINE, {"objective": "multiclassova"}, "has the objective 'multiclassova'.*fit it with"),
    "cross_entropy_lambda": (CANCER, {"objective": "cross_entropy_lambda"}, "has the objective 'cross_entropy_lambda'"),
    "linear trees": (CANCER, {"linear_tree": True}, "fit it without linear_tree"),
    "its own": (CANCER, {"objective": lambda a, b: (b - a, np.ones_like(a))}, "with one of its own"),
    "stopping early at prediction": (CANCER, {"pred_early_stop": True}, "pred_early_stop"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_probabilities_or_no_trees(name: str):
    (X, y), settings, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        kl.read(fitted(X, y, **settings))


def test_what_is_no_classifier():
    X, y = CANCER
    with pytest.raises(TypeError, match="LGBMRegressor, which is a regressor"):
        kl.read(fitted(X, y, "LGBMRegressor"))
    with pytest.raises(TypeError, match="LGBMRanker, which ranks rows"):
        kl.read(lgb.LGBMRanker())
    with pytest.raises(ValueError, match="has the objective 'regression'"):
        kl.read(fitted(X, y, "LGBMRegressor").booster_)
    with pytest.raises(ValueError, match="must be fitted"):
        kl.read(lgb.LGBMClassifier())


@given(data=st.data())
@examples(max_examples=40, deadline=None)
def test_small_and_degenerate_data(data):
    rows, columns = data.draw(st.integers(6, 25)), data.draw(st.integers(1, 3))
    value = st.sampled_from([-1e100, -3.0, -1.0, 0.0, 0.0, 1e-40, 1.0, 2.0, 16777217.0, np.nan])
    X = np.array(data.draw(st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=rows, max_size=rows)))
    classes = data.draw(st.integers(2, 3))
    y = np.array([*range(classes), *data.draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))])[:rows]
    few = {"min_child_samples": 1, "min_data_in_bin": 1, "min_child_weight": 0.0, "n_estimators": data.draw(st.integers(1, 3))}
    more = data.draw(st.sampled_from([{}, {"zero_as_missing": True}, {"use_missing": False}]))
    model = fitted(X, y, **few, **more)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    check_limits(found, model.predict_proba, X, 10)
