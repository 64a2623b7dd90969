from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

import knowlimits as kl
from knowlimits.testing import check_family
from tests.oracles.boosters import check_limits, check_radius

cat = pytest.importorskip("catboost")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.catboost]
WINE, CANCER = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)


def fitted(X, y, cls="CatBoostClassifier", **more: Any):
    settings = {"iterations": 8, "depth": 3, "verbose": False, "thread_count": 1, "allow_writing_files": False, **more}
    return getattr(cat, cls)(random_seed=0, **settings).fit(X, y)


def with_gaps(X, share=0.1):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


GAPS = (with_gaps(CANCER[0]), CANCER[1])
MODELS = {
    "two classes": (CANCER, {}),
    "three classes": (WINE, {}),
    "cross entropy": (CANCER, {"loss_function": "CrossEntropy"}),
    "a bias": (CANCER, {"boost_from_average": True}),
    "by leaves": (WINE, {"grow_policy": "Lossguide"}),
    "by depth": (CANCER, {"grow_policy": "Depthwise"}),
    "gaps below": (GAPS, {"nan_mode": "Min"}),
    "gaps above": (GAPS, {"nan_mode": "Max"}),
    "columns left out": (CANCER, {"ignored_features": [0, 29]}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_end_as_they_say_themselves(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    found = kl.read(model, X=X[:5])
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)
    check_limits(found, model.predict_proba, X)


@pytest.mark.parametrize("name", ["two classes", "three classes", "gaps above"])
def test_the_radius_is_where_the_last_leaf_changes(name: str):
    (X, y), settings = MODELS[name]
    model = fitted(X, y, **settings)
    check_radius(kl.read(model), lambda rows: model.calc_leaf_indexes(rows), X)


def test_a_family_holds_to_its_contract():
    check_family(kl.read(fitted(*GAPS)).networks[0].module, GAPS[0])


def test_gaps_that_it_has_not_seen():
    X, y = CANCER
    model = fitted(X, y)
    rows = with_gaps(X)
    np.testing.assert_allclose(kl.read(model).predict_proba(rows), model.predict_proba(rows), atol=1e-12)


@pytest.mark.parametrize("labels", [["red", "green", "white"], [True, False], [3, 7, 5]])
def test_labels_are_its_own(labels: list[Any]):
    X, y = CANCER if len(labels) == 2 else WINE
    model = fitted(X, np.array(labels)[y])
    found = kl.read(model)
    np.testing.assert_array_equal(found.classes_, model.classes_)
    np.testing.assert_array_equal(found.predict(X), np.asarray(model.predict(X)).ravel())
    guard = kl.Guard(model, random_state=0).fit(X)
    np.testing.assert_array_equal(guard.predict(X), found.predict(X))


def test_a_threshold_of_its_own():
    X, y = CANCER
    model = fitted(X, y, iterations=2)
    model.set_probability_threshold(0.9)
    np.testing.assert_array_equal(kl.read(model).predict(X), model.predict(X))


@pytest.mark.parametrize("loss", ["MultiClassOneVsAll", "MultiLogloss", "Focal:focal_alpha=0.5;focal_gamma=1.0"])
def test_losses_without_probabilities(loss: str):
    X, y = WINE if loss == "MultiClassOneVsAll" else CANCER
    y = np.column_stack([y, 1 - y]) if loss == "MultiLogloss" else y
    with pytest.raises(ValueError, match=f"has the loss '{loss.partition(':')[0]}'.*fit it with"):
        kl.read(fitted(X, y, loss_function=loss))


@pytest.mark.parametrize("most", [2, 10])
def test_categories_are_refused(most: int):
    X = np.array([["a", 1], ["b", 2], ["c", 3], ["a", 4]] * 20, dtype=object)
    with pytest.raises(ValueError, match="takes categorical columns, whose values it hashes: make numbers of them before"):
        kl.read(fitted(X, np.arange(80) % 4 == 0, cat_features=[0], one_hot_max_size=most))


def test_what_is_no_classifier():
    with pytest.raises(TypeError, match="CatBoostRegressor, which is a regressor"):
        kl.read(fitted(*CANCER, cls="CatBoostRegressor"))
    with pytest.raises(ValueError, match="must be fitted"):
        kl.read(cat.CatBoostClassifier())
