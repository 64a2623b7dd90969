from typing import Any

import numpy as np
import pytest
from imblearn.ensemble import BalancedBaggingClassifier, EasyEnsembleClassifier
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier

import knowlimits as kl
from knowlimits.model.kinds import bagging
from tests.model.kinds.checks import agrees, data, mlp, pipeline

SETTINGS: dict[str, dict[str, Any]] = {
    "rows": {},
    "columns": {"max_features": 0.5},
    "columns drawn several times": {"max_features": 0.7, "bootstrap_features": True},
    "shuffled columns": {"max_features": 1.0, "bootstrap": False},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("base", [mlp, pipeline])
def test_bagging(settings: dict[str, Any], base: Any):
    X, y = data("wine")
    found = agrees(BaggingClassifier(base(), n_estimators=4, random_state=0, **settings).fit(X, y), X)
    assert found.members == 4


def test_two_classes_with_labels_of_text():
    X, y = data("cancer")
    agrees(BaggingClassifier(mlp(), n_estimators=3, max_features=0.3, random_state=0).fit(X, np.array(["no", "yes"])[y]), X)


def lacking(X: np.ndarray, y: np.ndarray) -> BaggingClassifier:
    """Bags of 5 rows, some of which lack a class."""
    # A network alone would be given all rows, with weights.
    model = BaggingClassifier(pipeline(), n_estimators=5, max_samples=5, random_state=4).fit(X, y)
    assert {tuple(one.classes_) for one in model.estimators_} == {(0, 1), (1, 2), (0, 1, 2)}
    return model


def test_bags_that_lack_a_class():
    X, y = data("wine")
    agrees(lacking(X, np.array(["u", "v", "w"])[y]), X)


def test_bags_of_networks_with_several_members():
    X, y = data("wine")
    base = kl.Ensemble((5,), members=2, epochs=2, random_state=0)
    found = agrees(BaggingClassifier(base, n_estimators=3, max_features=0.5, random_state=0).fit(X, y), X, 1e-6)
    assert found.members == 6


def test_balanced_bagging_with_samplers_in_its_bags():
    X, y = data("cancer")
    model = BalancedBaggingClassifier(mlp(), n_estimators=3, max_features=0.5, random_state=0).fit(X, y)
    assert agrees(model, X).members == 3


def test_bags_that_vote():
    X, y = data("wine")
    with pytest.raises(ValueError, match="counts the votes of RidgeClassifier"):
        kl.read(BaggingClassifier(RidgeClassifier(), n_estimators=2).fit(X, y))


def test_easy_ensemble():
    X, y = data("cancer")
    assert agrees(EasyEnsembleClassifier(n_estimators=2, random_state=0).fit(X, y), X).members == 2


def test_bags_are_refused_by_what_is_in_them():
    X, y = data("cancer")
    model = EasyEnsembleClassifier(n_estimators=2, estimator=AdaBoostClassifier(LogisticRegression()), random_state=0)
    with pytest.raises(
        ValueError, match=r"estimators_\[0\] of EasyEnsembleClassifier.*AdaBoostClassifier of LogisticRegression"
    ):
        kl.read(model.fit(X, y))


@pytest.mark.parametrize("wrong", [lambda columns: columns[::-1], lambda columns: np.arange(len(columns))])
def test_lost_columns_are_noticed(monkeypatch: pytest.MonkeyPatch, wrong: Any):
    X, y = data("wine")
    model = BaggingClassifier(mlp(), n_estimators=2, max_features=0.5, random_state=0).fit(X, y)
    right = bagging.on_same_inputs
    monkeypatch.setattr(
        bagging, "on_same_inputs", lambda parts, asked, about, chosen: right(parts, asked, about, [wrong(c) for c in chosen])
    )
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)


def test_swapped_classes_are_noticed(monkeypatch: pytest.MonkeyPatch):
    X, y = data("wine")
    model = lacking(X, y)
    placed = bagging.placed
    monkeypatch.setattr(bagging, "placed", lambda network, places, count: placed(network, places[::-1], count))
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)
