"""Pipelines, and ensembles of which each part has steps of its own."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline as make_imbalanced_pipeline
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from tests.model.kinds.checks import agrees, data, mlp, pipeline


def clipped(seed: int = 0) -> Pipeline:
    """A network behind a step that is not affine."""
    return make_pipeline(MinMaxScaler(clip=True), mlp(seed))


PIPELINES = {
    "two steps": make_pipeline(PCA(5, whiten=True), StandardScaler(), mlp()),
    "one in another": make_pipeline(StandardScaler(), make_pipeline(PCA(5), mlp())),
    "clipped in another": make_pipeline(StandardScaler(), clipped()),
    "nothing before": make_pipeline(mlp()),
    "passthrough": Pipeline([("nothing", "passthrough"), ("none", None), ("net", mlp())]),
    "sampler first": make_imbalanced_pipeline(SMOTE(random_state=0), StandardScaler(), mlp()),
    "sampler last": make_imbalanced_pipeline(StandardScaler(), RandomOverSampler(random_state=0), mlp()),
    "sampler alone": make_imbalanced_pipeline(SMOTE(random_state=0), mlp()),
}


@pytest.mark.parametrize("model", PIPELINES.values(), ids=PIPELINES)
def test_pipelines(model: Any):
    X, y = data("wine")
    agrees(model.fit(X, np.array(["u", "v", "w"])[y]), X)


PARTS = [("plain", mlp(0)), ("affine", pipeline(1)), ("clipped", clipped(2))]
WHOLES = {
    "vote": VotingClassifier(PARTS, voting="soft"),
    "weighted vote": VotingClassifier(PARTS, voting="soft", weights=[1, 2, 4]),
    "stack": StackingClassifier(PARTS, cv=2),
    "stack with the columns themselves": StackingClassifier(PARTS, mlp(5), cv=2, passthrough=True),
    "bag": BaggingClassifier(clipped(), n_estimators=3, max_features=0.5, random_state=0),
    "bag of votes": BaggingClassifier(
        VotingClassifier(PARTS, voting="soft", weights=[1, 2, 4]), n_estimators=2, random_state=0
    ),
    "calibration": CalibratedClassifierCV(clipped(), cv=2),
    "search": GridSearchCV(clipped(), {"mlpclassifier__alpha": [0.1]}, cv=2),
    "behind affine steps": make_pipeline(StandardScaler(), VotingClassifier(PARTS, voting="soft", weights=[1, 2, 4])),
    "behind clipped steps": make_pipeline(MinMaxScaler(clip=True), StackingClassifier(PARTS, cv=2, passthrough=True)),
}


@pytest.mark.parametrize("model", WHOLES.values(), ids=WHOLES)
def test_parts_with_steps_that_are_not_affine(model: Any):
    X, y = data("wine")
    agrees(model.fit(X, y), X)


def test_one_vs_rest_behind_steps_that_are_not_affine():
    X, y = data("cancer")
    agrees(OneVsRestClassifier(clipped()).fit(X, y), X)


def table() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = data("wine")
    frame = pd.DataFrame(X[:, :4], columns=list("abcd"))
    frame["colour"] = np.where(X[:, 5] > 0, "red", "white")
    return frame, y


def encoded(seed: int = 0) -> Pipeline:
    columns = [("numbers", StandardScaler(), list("abcd")), ("colour", OneHotEncoder(), ["colour"])]
    return make_pipeline(ColumnTransformer(columns), mlp(seed))


TABLES = {
    "alone": encoded(),
    "vote": VotingClassifier([("a", encoded(0)), ("b", encoded(1))], voting="soft", weights=[1, 2]),
    "stack": StackingClassifier([("a", encoded(0)), ("b", encoded(1))], cv=2),
    "calibration": CalibratedClassifierCV(encoded(), cv=2),
    "search": GridSearchCV(encoded(), {"mlpclassifier__alpha": [0.1]}, cv=2),
}


@pytest.mark.parametrize("model", TABLES.values(), ids=TABLES)
def test_tables_with_a_column_of_text(model: Any):
    frame, y = table()
    model.fit(frame, y)
    found = kl.read(model, X=frame)
    np.testing.assert_allclose(found.predict_proba(frame), model.predict_proba(frame), atol=1e-9)
    origins, directions = frame.iloc[:20].copy(), np.zeros((20, 5))
    directions[:, :4] = np.random.default_rng(0).normal(size=(20, 4))
    far = kl.far_field(found, origins, directions)
    for radius in (1e6, 1e8):
        there = origins.copy()
        there[list("abcd")] += radius * directions[:, :4]
        np.testing.assert_allclose(far.probs.mean(0), model.predict_proba(there), atol=1e-6)


def test_gradients_go_through_mixtures_of_modules_that_end_in_a_softmax():
    generator = torch.Generator().manual_seed(0)
    modules = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(-1)).double() for _ in range(2)]
    for parameter in [p for module in modules for p in module.parameters()]:
        nn.init.normal_(parameter, generator=generator)
    from knowlimits.model.composed import Mixture, Part

    rows = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    mixture = Mixture([Part(kl.read(module, X=rows).inner, 3) for module in modules], (1, 2))
    assert torch.autograd.gradcheck(mixture, rows.requires_grad_())


def test_parts_that_are_no_networks():
    X, y = data("wine")
    model = make_pipeline(StandardScaler(), VotingClassifier([("dummy", DummyClassifier())], voting="soft")).fit(X, y)
    with pytest.raises(TypeError, match=r"part 'dummy' of VotingClassifier: model must be .*Got DummyClassifier"):
        kl.read(model)
    with pytest.raises(ValueError, match=r"must end in a classifier. Got a Pipeline that ends in 'passthrough'"):
        kl.read(Pipeline([("scale", StandardScaler()), ("last", "passthrough")]).fit(X, y))


def test_what_jumps_is_given_the_numbers_that_its_steps_make():
    """A row on a threshold goes where the steps' own last bit sends it, not that of a layer that does the same as them."""
    X, y = data("cancer")
    X = X[:, :10]
    model = make_pipeline(StandardScaler(), PCA(3), HistGradientBoostingClassifier(max_iter=10)).fit(X, y)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    assert np.abs(found.straight().predict_proba(X) - model.predict_proba(X)).max() > 0.01
