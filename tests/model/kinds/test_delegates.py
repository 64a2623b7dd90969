from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import knowlimits as kl
from tests.model.kinds.checks import agrees, data, mlp, pipeline

GRID = {"alpha": [1e-4, 1e-2]}
SEARCHES = {
    "grid": GridSearchCV(mlp(), GRID, cv=2),
    "randomized": RandomizedSearchCV(mlp(), GRID, n_iter=2, cv=2, random_state=0),
    "halving": HalvingGridSearchCV(mlp(), GRID, cv=2, random_state=0),
    "of a pipeline": GridSearchCV(pipeline(), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2),
    "of a vote": GridSearchCV(
        VotingClassifier([("a", mlp()), ("b", pipeline(1))], voting="soft"), {"weights": [[1, 2], [3, 1]]}, cv=2
    ),
    "in a pipeline": make_pipeline(StandardScaler(), GridSearchCV(mlp(), GRID, cv=2)),
    "frozen": FrozenEstimator(mlp()),
}


@pytest.mark.parametrize("model", SEARCHES.values(), ids=SEARCHES)
def test_searches(model: Any):
    X, y = data("wine")
    if isinstance(model, FrozenEstimator):
        model.estimator.fit(X, y)
    agrees(model.fit(X, y), X)


def test_self_training():
    X, y = data("wine")
    labels = np.where(np.arange(len(y)) % 3 == 0, y, -1)
    agrees(SelfTrainingClassifier(mlp(), max_iter=2).fit(X, labels), X)


@pytest.mark.parametrize("outside", [lambda model: model, lambda model: make_pipeline(StandardScaler(), model)])
def test_thresholds_leave_probabilities_and_decide_predictions(outside: Any):
    X, y = data("cancer")
    labels = np.array(["no", "yes"])[y]
    for model in (FixedThresholdClassifier(mlp(), threshold=0.95), TunedThresholdClassifierCV(mlp(), cv=2)):
        model = outside(model).fit(X, labels)
        found = agrees(model, X)
        assert found.own is model
        if "Fixed" in str(model):
            assert (found.predict(X) != model.classes_[model.predict_proba(X).argmax(1)]).any()


class Careful(MLPClassifier):
    """Predicts the first class unless it is sure of another."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        p = self.predict_proba(X)
        return self.classes_[np.where(p.max(1) > 0.9, p.argmax(1), 0)]


def test_a_class_of_ones_own_that_predicts_otherwise():
    X, y = data("wine")
    model = Careful(**mlp().get_params()).fit(X, y)
    assert agrees(model, X).own is model
    assert (model.predict(X) != model.predict_proba(X).argmax(1)).any()
    agrees(make_pipeline(StandardScaler(), model).fit(X, y), X)


def test_a_search_that_keeps_no_estimator():
    X, y = data("wine")
    with pytest.raises(ValueError, match="Got GridSearchCV with refit=False: fit it with refit=True"):
        kl.read(GridSearchCV(mlp(), GRID, cv=2, refit=False).fit(X, y))
    with pytest.raises(ValueError, match="Got a GridSearchCV that is not: call fit first"):
        kl.read(GridSearchCV(mlp(), GRID))
