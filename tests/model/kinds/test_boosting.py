from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PowerTransformer, QuantileTransformer, StandardScaler

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import boosting
from tests.model.kinds.checks import agrees, data

BOOSTED: dict[str, Any] = {
    "gradient": GradientBoostingClassifier(n_estimators=8, random_state=0),
    "from zero": GradientBoostingClassifier(n_estimators=4, init="zero", random_state=0),
    "from a uniform constant": GradientBoostingClassifier(n_estimators=4, init=DummyClassifier(strategy="uniform")),
    "from the likeliest": GradientBoostingClassifier(n_estimators=4, init=DummyClassifier(strategy="most_frequent")),
    "stopped early": GradientBoostingClassifier(n_estimators=50, n_iter_no_change=2, random_state=0),
    "stochastic": GradientBoostingClassifier(n_estimators=8, subsample=0.5, max_features=0.5, random_state=0),
    "leaves only": GradientBoostingClassifier(n_estimators=3, min_impurity_decrease=1e9),
    "histogram": HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "histogram, stopped early": HistGradientBoostingClassifier(max_iter=60, early_stopping=True, random_state=0),
    "histogram, few leaves": HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=3, l2_regularization=1.0),
    "histogram, leaves only": HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1000),
    "histogram, pairs": HistGradientBoostingClassifier(max_iter=4, interaction_cst="pairwise", max_bins=10),
}


@pytest.mark.parametrize("model", BOOSTED.values(), ids=BOOSTED)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_boosting(model: Any, name: str):
    X, y = data(name)
    found = agrees(model.fit(X, np.array(["u", "v", "w"])[y]), X)
    assert found.returns is Outputs.LOGITS
    origins, directions = X[:40], np.random.default_rng(0).normal(size=(40, X.shape[1]))
    far = kl.far_field(model, origins, directions)
    own = model.decision_function(origins + 1e9 * directions)
    assert far.offset is not None
    logits = far.offset[0]
    np.testing.assert_allclose(logits if own.ndim == 2 else logits[:, 1], own, atol=1e-12)


def test_the_exponential_loss_has_half_the_log_odds_as_its_decision_function():
    X, y = data("cancer")
    model = GradientBoostingClassifier(loss="exponential", n_estimators=8, random_state=0)
    found = agrees(model.fit(X, y), X)
    np.testing.assert_allclose(
        np.log(found.predict_proba(X) @ [-1, 1] + 1) - np.log(1 - found.predict_proba(X) @ [-1, 1]),
        2 * model.decision_function(X),
        atol=1e-9,
    )
    for method in ("sigmoid", "isotonic", "temperature"):
        agrees(CalibratedClassifierCV(model, method=method, cv=2).fit(X, y), X)
    agrees(StackingClassifier([("a", model)], stack_method="decision_function", cv=2).fit(X, y), X)


def test_weights_of_rows_and_constraints():
    X, y = data("cancer")
    weights = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    constraints = [1, -1] + [0] * (X.shape[1] - 2)
    agrees(HistGradientBoostingClassifier(max_iter=5, monotonic_cst=constraints).fit(X, y, sample_weight=weights), X)
    agrees(GradientBoostingClassifier(n_estimators=5).fit(X, y, sample_weight=weights), X)


def test_of_two_classes_as_likely_the_library_s_own_is_predicted():
    X = np.array([[0.0], [0.0], [1.0], [1.0]])
    model = GradientBoostingClassifier(n_estimators=2, init="zero", min_impurity_decrease=1e9).fit(X, [0, 1, 0, 1])
    assert model.predict_proba(X).tolist() == [[0.5, 0.5]] * 4
    assert kl.read(model).predict(X).tolist() == model.predict(X).tolist() == [1, 1, 1, 1]


WRAPPED: dict[str, Any] = {
    "scaled": make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=4)),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=20), HistGradientBoostingClassifier(max_iter=4)),
    "isotonic": CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=4), method="isotonic", cv=2),
    "sigmoid": CalibratedClassifierCV(GradientBoostingClassifier(n_estimators=4), cv=2),
    "temperature": CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=4), method="temperature", cv=2),
    "voting": VotingClassifier(
        [("a", RandomForestClassifier(4)), ("b", HistGradientBoostingClassifier(max_iter=4))], voting="soft", weights=[3, 1]
    ),
    "bag": BaggingClassifier(HistGradientBoostingClassifier(max_iter=3), 3, max_features=0.5, random_state=0),
    "stacking": StackingClassifier([("a", GradientBoostingClassifier(n_estimators=3))], HistGradientBoostingClassifier(), cv=2),
    "one-vs-rest": OneVsRestClassifier(HistGradientBoostingClassifier(max_iter=3)),
}


@pytest.mark.parametrize("model", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_boosting_inside_others(model: Any, name: str):
    X, y = data(name)
    agrees(model.fit(X, y), X)


def table(gaps: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """Three measurements, of which the middle one is behind a category, and a code."""
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(X[:, [0, 9, 12]], columns=["alcohol", "colour", "proline"])
    frame.insert(1, "city", pd.Categorical(np.array(["Basel", "Turin", "Vienna"])[(y + rng.integers(0, 2, len(y))) % 3]))
    frame["grade"] = (y + rng.integers(0, 2, len(y))) % 4
    if gaps:
        for name in ("alcohol", "city", "proline"):
            frame.loc[rng.random(len(frame)) < 0.15, name] = np.nan
    return frame, y


def follows(model: Any, frame: pd.DataFrame, moving: list[str]) -> kl.FarField:
    """Limits along numbers of a table are what the model says far out."""
    found = kl.read(model, X=frame)
    np.testing.assert_allclose(found.predict_proba(frame), model.predict_proba(frame), atol=1e-12)
    directions = np.zeros(frame.shape)
    rng = np.random.default_rng(1)
    for place, name in enumerate(frame.columns):
        if name in moving:
            values = frame[name].to_numpy(float)
            directions[:, place] = np.where(np.isnan(values), 0, rng.normal(size=len(frame)) * np.nanstd(values))
    far = kl.far_field(model, frame, directions)
    assert (far.radius < 1e6).all()
    moved = frame.copy()
    for place, name in enumerate(frame.columns):
        if name in moving:
            moved[name] = frame[name].to_numpy(float) + 1e6 * directions[:, place]
    np.testing.assert_allclose(far.probs.mean(0), model.predict_proba(moved), atol=1e-9)
    return far


CATEGORIES: dict[str, Any] = {
    "by type": "from_dtype",
    "by name": ["city", "grade"],
    "by place": [1, 4],
    "by mask": [False, True, False, False, True],
}


@pytest.mark.parametrize("gaps", [False, True], ids=["full", "with gaps"])
@pytest.mark.parametrize("chosen", CATEGORIES.values(), ids=CATEGORIES)
def test_categories_are_held_and_columns_stay_where_they_are(chosen: Any, gaps: bool):
    frame, y = table(gaps)
    model = HistGradientBoostingClassifier(max_iter=6, categorical_features=chosen, min_samples_leaf=5).fit(frame, y)
    follows(model, frame, ["alcohol", "colour", "proline"])
    found = kl.read(model, X=frame)
    assert found.steps is not None
    assert [column.name for column in found.steps.columns if column.moves == "held"][:1] == ["city"]
    step = np.zeros(frame.shape)
    step[:, 1] = 1
    with pytest.raises(TypeError, match=r"columns that cannot move\. Got rays along 'city' \(OrdinalEncoder\)"):
        kl.far_field(model, frame, step)
    audited = kl.audit(model, frame, y)
    assert list(dict.fromkeys(map(str, audited.features["feature"]))) == ["alcohol", "colour", "proline"]


def test_codes_in_an_array():
    frame, y = table()
    X = frame.assign(city=frame["city"].cat.codes).to_numpy(float)
    model = HistGradientBoostingClassifier(max_iter=6, categorical_features=[1, 4]).fit(X, y)
    for rows in (X, None):
        found = kl.read(model, X=rows)
        np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    d = np.zeros_like(X)
    d[:, [0, 2, 3]] = np.random.default_rng(0).normal(size=(len(X), 3))
    far = kl.far_field(model, X, d)
    np.testing.assert_allclose(far.probs[0], model.predict_proba(X + 1e8 * d), atol=1e-12)


ENCODED: dict[str, Any] = {
    "one-hot": make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["alcohol", "colour", "proline", "grade"])),
        RandomForestClassifier(5, random_state=0),
    ),
    "codes": make_pipeline(
        make_column_transformer((OrdinalEncoder(), ["city", "grade"]), ("passthrough", ["alcohol", "colour", "proline"])),
        HistGradientBoostingClassifier(max_iter=4, categorical_features=[0, 1]),
    ),
    "calibrated": CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=4, categorical_features=["city"]), cv=2),
}


@pytest.mark.parametrize("model", ENCODED.values(), ids=ENCODED)
def test_text_in_front(model: Any):
    frame, y = table()
    frame["city"] = frame["city"].astype(str)
    follows(model.fit(frame, y), frame, ["alcohol", "colour", "proline"])


GAPPY: dict[str, Any] = {
    "alone": HistGradientBoostingClassifier(max_iter=5),
    "scaled": make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)),
    "scaled and bent": make_pipeline(QuantileTransformer(n_quantiles=20), HistGradientBoostingClassifier(max_iter=5)),
    "calibrated": make_pipeline(StandardScaler(), CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=4), cv=2)),
    "voting": VotingClassifier(
        [("a", HistGradientBoostingClassifier(max_iter=3)), ("b", make_pipeline(StandardScaler(), RandomForestClassifier(3)))],
        voting="soft",
    ),
    "bag": BaggingClassifier(HistGradientBoostingClassifier(max_iter=3), 3, max_features=0.5, random_state=0),
    "stacking": StackingClassifier([("a", HistGradientBoostingClassifier(max_iter=3))], LogisticRegression(), cv=2),
}


@pytest.mark.parametrize("model", GAPPY.values(), ids=GAPPY)
def test_gaps(model: Any):
    frame, y = table(gaps=True)
    frame = frame.drop(columns="city")
    names = list(frame.columns)
    follows(model.fit(frame, y), frame, names)
    X = frame.to_numpy(float)
    full = ~np.isnan(X).any(1)
    d = np.where(np.isnan(X), 0.0, 1.0)
    far = kl.far_field(kl.read(model, X=frame), frame, d)
    assert np.array_equal(far.origins, X, equal_nan=True)
    found = kl.audit(model, frame, y)
    assert f"{int((~full).sum())} of these rows have gaps, and are taken as they are" in " ".join(str(found).split())
    d[np.flatnonzero(~full)[0]] = 1
    with pytest.raises(ValueError, match="directions must be 0 where there are gaps"):
        kl.far_field(kl.read(model, X=frame), frame, d)


def test_a_column_of_which_only_the_gaps_matter():
    """Their split has an infinite threshold, which no ray meets."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.random(200), rng.normal(size=200)])
    y = rng.integers(0, 2, size=200)
    X[y == 1, 0] = np.nan
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, y)
    assert model._predictors[0][0].nodes["num_threshold"][0] == np.inf
    d = np.where(np.isnan(X), 0.0, [[1.0, 0.0]])
    far = kl.far_field(model, X, d)
    assert (far.radius < 1e3).all()
    for a in (1e3, 1e12):
        np.testing.assert_allclose(far.probs[0], model.predict_proba(X + a * d), atol=1e-12)


def test_a_threshold_that_stands_for_an_infinite_one():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.random(200), rng.normal(size=200)])
    y = rng.integers(0, 2, size=200)
    X[y == 1, 0] = np.inf
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, y)
    assert model._predictors[0][0].nodes["num_threshold"][0] == 1e300
    rows, d = X[y == 0], np.ones((int((y == 0).sum()), 2))
    far = kl.far_field(kl.read(model, X=rows), rows, d)
    assert (far.radius < 1e3).all()
    np.testing.assert_allclose(far.probs[0], model.predict_proba(rows + 1e12 * d), atol=1e-12)


def test_gaps_beside_a_column_that_grows_ever_more_slowly():
    frame, y = table(gaps=True)
    frame = frame.drop(columns="city")
    model = make_pipeline(PowerTransformer(standardize=False), HistGradientBoostingClassifier(max_iter=4)).fit(frame, y)
    d = np.zeros(frame.shape)
    d[:, 0] = ~frame["alcohol"].isna()
    far = kl.far_field(model, frame, d)
    assert (far.radius < 1e6).all()
    own = model.predict_proba(frame.assign(alcohol=frame["alcohol"] + 1e6))
    np.testing.assert_allclose(far.probs[0], own, atol=1e-12)


def test_what_is_not_constant_to_begin_with_is_refused():
    X, y = data("wine")
    for init in (LogisticRegression(), DummyClassifier(strategy="stratified")):
        model = GradientBoostingClassifier(n_estimators=2, init=init).fit(X, y)
        with pytest.raises(ValueError, match=r"model must begin with a constant.*fit it without init"):
            kl.read(model)
    for model in (GradientBoostingClassifier(), HistGradientBoostingClassifier()):
        with pytest.raises(ValueError, match="call fit first"):
            kl.read(model)
    with pytest.raises(ValueError, match="saw one class alone"):
        kl.read(HistGradientBoostingClassifier(max_iter=2).fit(X, np.zeros(len(X))))


def test_gradient_boosting_takes_no_gaps():
    X, y = data("wine")
    found = kl.read(GradientBoostingClassifier(n_estimators=2).fit(X, y))
    with pytest.raises(ValueError, match="must be finite"):
        kl.far_field(found, np.where(X > 2, np.nan, X), np.zeros_like(X))


def test_what_is_inside_that_changes_later_is_what_it_was():
    X, y = data("wine")
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, y)
    found = kl.read(model)
    before = found.predict_proba(X)
    for stage in model._predictors:
        for one in stage:
            one.nodes["value"] = 0
            one.nodes["num_threshold"] = 0
    assert np.array_equal(found.predict_proba(X), before)


@pytest.mark.parametrize("wrong", ["base", "codes"])
def test_what_is_read_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, wrong: str):
    frame, y = table()
    model = HistGradientBoostingClassifier(max_iter=6, categorical_features=[1, 4], min_samples_leaf=5).fit(frame, y)
    if wrong == "base":
        inside = boosting._inside
        monkeypatch.setattr(boosting, "_inside", lambda model: (inside(model)[0] + np.eye(3)[0], *inside(model)[1:]))
    else:
        monkeypatch.setattr(boosting, "_codes", lambda words: [0])
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=frame)
