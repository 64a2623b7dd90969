import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from tests.model.kinds.checks import agrees, data, mlp


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_perceptrons(name: str, activation: str):
    X, y = data(name)
    agrees(mlp(activation=activation).fit(X, y), X)


def test_a_perceptron_that_was_fitted_in_parts():
    X, y = data("wine")
    model = MLPClassifier((6,), random_state=0)
    for _ in range(20):
        model.partial_fit(X, np.array(["u", "v", "w"])[y], classes=["u", "v", "w"])
    agrees(model, X)


def test_a_perceptron_of_several_labels():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"one label per row. Got an MLPClassifier that was fitted to several"):
        kl.read(mlp().fit(X, np.stack([y > 0, y > 1], 1).astype(int)))


def test_a_perceptron_of_single_precision():
    X, y = data("wine")
    X = X.astype(np.float32)
    agrees(mlp().fit(X, y), X.astype(np.float64), 1e-6)


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("settings", [{}, {"fit_intercept": False}, {"solver": "newton-cg"}])
def test_logistic_regressions(name: str, settings: dict[str, Any]):
    X, y = data(name)
    agrees(LogisticRegression(**settings).fit(X, y), X)


def test_a_logistic_regression_that_chooses_its_penalty():
    X, y = data("wine")
    with warnings.catch_warnings():
        # Of defaults that will change.
        warnings.simplefilter("ignore", FutureWarning)
        model = LogisticRegressionCV(Cs=2, cv=2).fit(X, y)
    agrees(model, X)


def test_sparse_coefficients():
    X, y = data("wine")
    agrees(LogisticRegression().fit(X, y).sparsify(), X)


def test_ways_of_older_versions_are_held_to_what_they_predict():
    """This version knows no ways, and predicts otherwise than those that did."""
    X, y = data("wine")
    model = LogisticRegression().fit(X, y)
    model.multi_class = "ovr"
    with pytest.raises(ValueError, match="model cannot be read for certain"):
        kl.read(model)
    model = LogisticRegression().fit(X, y > 0)
    model.multi_class = "multinomial"
    with pytest.raises(ValueError, match="model cannot be read for certain"):
        kl.read(model)


@pytest.mark.parametrize(
    "cls", [kl.NeuralNetwork, kl.PlattScaled, kl.MCDropout, kl.BayesByBackprop, kl.Ensemble, kl.AnchoredEnsemble]
)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_ours(cls: Any, name: str):
    X, y = data(name)
    few = {"members": 3} if "members" in cls().get_params() else {}
    found = agrees(cls((5,), epochs=2, random_state=0, **few).fit(X, np.array(["u", "v", "w"])[y]), X)
    assert found.members == few.get("members", 1)


NOT_FITTED = [
    mlp(),
    LogisticRegression(),
    kl.NeuralNetwork(),
    make_pipeline(StandardScaler(), mlp()),
    CalibratedClassifierCV(mlp()),
    VotingClassifier([("a", mlp())], voting="soft"),
    BaggingClassifier(mlp()),
    StackingClassifier([("a", mlp())]),
    OneVsRestClassifier(mlp()),
    GridSearchCV(mlp(), {}),
]


@pytest.mark.parametrize("model", NOT_FITTED, ids=lambda model: type(model).__name__)
def test_what_is_not_fitted(model: Any):
    with pytest.raises(ValueError, match=f"must be fitted. Got an? {type(model).__name__} that is not: call fit first"):
        kl.read(model)


REFUSED = {
    MLPRegressor: "which is a regressor",
    VotingRegressor: "which is a regressor",
    BaggingRegressor: "which is a regressor",
    MultiOutputClassifier: "several labels",
    ClassifierChain: "labels that others predict",
    OneVsOneClassifier: "votes of pairs",
    OutputCodeClassifier: "nearest code",
}


@pytest.mark.parametrize("cls", REFUSED, ids=lambda cls: cls.__name__)
def test_what_is_no_classifier_with_probabilities(cls: Any):
    model = {VotingRegressor: lambda: cls([("a", MLPRegressor())]), MLPRegressor: cls}.get(cls, lambda: cls(mlp()))()
    with pytest.raises(TypeError, match=f"probability for each class. Got {cls.__name__}, .*{REFUSED[cls]}"):
        kl.read(model)


def test_a_search_of_a_regressor():
    X, y = data("wine")
    regressor = MLPRegressor(hidden_layer_sizes=(3,), tol=1e9, n_iter_no_change=2)
    model = GridSearchCV(regressor, {}, cv=2).fit(X, y)
    with pytest.raises(TypeError, match="Got MLPRegressor, which is a regressor"):
        kl.read(model)


class Strict(MLPClassifier):
    """Takes no array."""

    def predict_proba(self, X: Any) -> np.ndarray:
        return super().predict_proba(X[["a", "b"]])


def test_rows_that_cannot_be_made_up():
    X, y = data("wine")
    table = pd.DataFrame(X[:, :2], columns=["a", "b"])
    model = Strict(**mlp().get_params()).fit(table, y)
    with pytest.raises(ValueError, match=r"X must be given, .* as Strict takes none that could be made up. Got IndexError"):
        kl.read(model)
    assert kl.read(model, X=table).feature_names_in_ == ("a", "b")


def test_lost_layers_are_noticed():
    X, y = data("wine")
    model = mlp().fit(X, y)
    model.intercepts_[0] = model.intercepts_[0] + 0.1
    model.coefs_, right = [model.coefs_[0] * 1.5, model.coefs_[1]], model.predict_proba(X)
    model.predict_proba = lambda X: right[: len(X)][:, ::-1]
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)
