from typing import Any

import numpy as np
import pytest
from imblearn.ensemble import BalancedBaggingClassifier, BalancedRandomForestClassifier, RUSBoostClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import forests
from tests.model.kinds.checks import agrees, data

STUMPY = DecisionTreeClassifier(max_depth=2, random_state=0)
TREES: dict[str, Any] = {
    "tree": DecisionTreeClassifier(random_state=0),
    "extra tree": ExtraTreeClassifier(random_state=0),
    "best first": DecisionTreeClassifier(max_leaf_nodes=5, random_state=0),
    "entropy, pruned": DecisionTreeClassifier(criterion="entropy", ccp_alpha=0.02, random_state=0),
    "weighted": DecisionTreeClassifier(class_weight="balanced", min_weight_fraction_leaf=0.05, random_state=0),
    "a leaf": DecisionTreeClassifier(min_impurity_decrease=10.0),
    "forest": RandomForestClassifier(7, random_state=0),
    "forest of leaves": RandomForestClassifier(3, min_samples_leaf=1000, random_state=0),
    "forest, some rows": RandomForestClassifier(7, max_samples=0.2, max_depth=3, random_state=0),
    "extra trees": ExtraTreesClassifier(7, random_state=0),
    "balanced forest": BalancedRandomForestClassifier(5, random_state=0),
    "AdaBoost": AdaBoostClassifier(n_estimators=9, random_state=0),
    "AdaBoost of trees": AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=3, random_state=0), n_estimators=6, random_state=0
    ),
    "RUSBoost": RUSBoostClassifier(n_estimators=5, random_state=0),
    "bag": BaggingClassifier(n_estimators=6, random_state=0),
    "bag, some columns": BaggingClassifier(n_estimators=6, max_features=0.4, bootstrap_features=True, random_state=0),
    "bag of few rows": BaggingClassifier(n_estimators=9, max_samples=3, random_state=0),
    "balanced bag": BalancedBaggingClassifier(n_estimators=4, random_state=0),
}


@pytest.mark.parametrize("model", TREES.values(), ids=TREES)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_trees(model: Any, name: str):
    X, y = data(name)
    found = agrees(model.fit(X, y), X)
    assert found.members == 1


def test_a_bag_with_a_tree_of_one_class():
    X, y = data("wine")
    # A tree alone would be given all rows, with weights.
    base = make_pipeline(StandardScaler(), DecisionTreeClassifier())
    model = BaggingClassifier(base, n_estimators=12, max_samples=2, random_state=0).fit(X, np.array(["u", "v", "w"])[y])
    assert {len(one.classes_) for one in model.estimators_} == {1, 2}
    agrees(model, X)
    samples = BalancedBaggingClassifier(n_estimators=4, random_state=0).fit(X, y)
    for estimator in samples.estimators_[:2]:
        estimator.steps[-1][1].fit(X, np.ones(len(X), dtype=int))
    agrees(samples, X)


def test_constraints_and_weights_of_rows():
    X, y = data("cancer")
    weights = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    constraints = [1, -1] + [0] * (X.shape[1] - 2)
    agrees(DecisionTreeClassifier(max_depth=5, monotonic_cst=constraints).fit(X, y, sample_weight=weights), X)
    agrees(RandomForestClassifier(5, monotonic_cst=constraints, random_state=0).fit(X, y, sample_weight=weights), X)


@pytest.mark.parametrize("digits", [0, 1])
def test_rows_on_thresholds_of_whole_numbers(digits: int):
    """Thresholds lie half-way, and numbers in single precision beside them."""
    X, y = data("wine")
    X = np.round(X, digits) + 1e-9
    X = np.concatenate([X, X + 0.5, X + 0.05])
    model = RandomForestClassifier(9, random_state=0).fit(X, np.tile(y, 3))
    between = np.concatenate([[one.tree_.threshold[one.tree_.feature >= 0][:1]] for one in model.estimators_]).ravel()
    rows = np.tile(X[:1], (len(between), 1))
    for place in range(X.shape[1]):
        at = rows.copy()
        at[:, place] = between
        for values in (at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf), at.astype(np.float32).astype(float)):
            np.testing.assert_allclose(kl.read(model).predict_proba(values), model.predict_proba(values), atol=1e-12)


WRAPPED: dict[str, Any] = {
    "scaled": make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
    "robust": make_pipeline(RobustScaler(), AdaBoostClassifier(n_estimators=4)),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=20), ExtraTreesClassifier(5, random_state=0)),
    "isotonic": CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), method="isotonic", cv=2),
    "sigmoid": CalibratedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2),
    "sigmoid of AdaBoost": CalibratedClassifierCV(AdaBoostClassifier(n_estimators=4), cv=2),
    "isotonic of AdaBoost": CalibratedClassifierCV(AdaBoostClassifier(n_estimators=4), method="isotonic", cv=2),
    "temperature of AdaBoost": CalibratedClassifierCV(AdaBoostClassifier(n_estimators=4), method="temperature", cv=2),
    "voting": VotingClassifier([("a", RandomForestClassifier(4)), ("b", STUMPY)], voting="soft", weights=[3, 1]),
    "bag of pipelines": BaggingClassifier(make_pipeline(StandardScaler(), STUMPY), 3, max_features=0.5, random_state=0),
    "bag of forests": BaggingClassifier(RandomForestClassifier(3, random_state=0), 3, max_features=0.5, random_state=0),
    "stacking": StackingClassifier([("a", RandomForestClassifier(4)), ("b", AdaBoostClassifier(n_estimators=3))], cv=2),
    "stacking of decisions": StackingClassifier(
        [("a", AdaBoostClassifier(n_estimators=3))], LogisticRegression(), stack_method="decision_function", cv=2
    ),
    "one-vs-rest": OneVsRestClassifier(RandomForestClassifier(4, random_state=0)),
    "AdaBoost one-vs-rest": OneVsRestClassifier(AdaBoostClassifier(n_estimators=3)),
}


@pytest.mark.parametrize("model", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_trees_inside_others(model: Any, name: str):
    X, y = data(name)
    agrees(model.fit(X, y), X)


def test_a_column_that_grows_ever_more_slowly():
    X, y = data("wine")
    model = make_pipeline(PowerTransformer(standardize=False), RandomForestClassifier(5, random_state=0)).fit(X, y)
    d = np.zeros_like(X)
    d[:, 0] = np.where(np.arange(len(X)) % 2, 1.0, -1.0)
    far = kl.far_field(model, X, d)
    arrived = far.radius[0] < 1e11
    assert arrived.mean() > 0.5
    np.testing.assert_allclose(far.probs[0][arrived], model.predict_proba((X + 1e12 * d)[arrived]), atol=1e-12)


def gappy(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.15] = np.nan
    return X


GAPPY: dict[str, Any] = {
    "tree": DecisionTreeClassifier(random_state=0),
    "extra tree": ExtraTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(7, random_state=0),
    "extra trees": ExtraTreesClassifier(7, random_state=0),
    "bag": BaggingClassifier(n_estimators=6, max_features=0.5, random_state=0),
    "scaled": make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
    "quantiles": make_pipeline(QuantileTransformer(n_quantiles=20), ExtraTreesClassifier(5, random_state=0)),
    "calibrated": CalibratedClassifierCV(make_pipeline(RobustScaler(), RandomForestClassifier(5, random_state=0)), cv=2),
    "voting": VotingClassifier(
        [("a", RandomForestClassifier(4)), ("b", make_pipeline(StandardScaler(), STUMPY))], voting="soft"
    ),
    "one-vs-rest": OneVsRestClassifier(RandomForestClassifier(4, random_state=0)),
    "stacking": StackingClassifier([("a", RandomForestClassifier(4)), ("b", STUMPY)], cv=2),
}


@pytest.mark.parametrize("trained", [True, False], ids=["trained with gaps", "trained without"])
@pytest.mark.parametrize("model", GAPPY.values(), ids=GAPPY)
def test_gaps_in_rows_that_do_not_move(model: Any, trained: bool):
    """Trees take gaps at prediction, whether they have seen any before or not."""
    X, y = data("wine")
    rows = gappy(X)
    model.fit(rows if trained else X, y)
    found = kl.read(model, X=rows)
    own = model.predict_proba(rows)
    # Where no tree of one-vs-rest is for its class scikit-learn has no probabilities.
    own[own.sum(1) == 0] = 1 / own.shape[1]
    np.testing.assert_allclose(found.predict_proba(rows), own, atol=1e-12)
    d = np.where(np.isnan(rows), 0, np.random.default_rng(2).normal(size=X.shape))
    far = kl.far_field(model, rows, d)
    for a in (1e6, 1e9):
        arrived = (far.radius < a).all(0)
        assert arrived.mean() > 0.9
        own = model.predict_proba(rows + a * d)
        own[own.sum(1) == 0] = 1 / own.shape[1]
        np.testing.assert_allclose(far.probs.mean(0)[arrived], own[arrived], atol=1e-9)
    with pytest.raises(ValueError, match=r"directions must be 0 where there are gaps.* in row \d+: fill the gap"):
        kl.far_field(model, rows, np.ones_like(d))
    assert np.isfinite(kl.Guard(model, random_state=0).fit(X).predict_proba(X)).all()


def test_an_audit_of_a_table_with_gaps():
    X, y = data("wine")
    rows = np.where(np.random.default_rng(1).random(X.shape) < 0.02, np.nan, X)
    found = kl.audit(RandomForestClassifier(5, random_state=0).fit(rows, y), rows, y)
    assert len(found.features) > 0
    assert "of these rows have gaps, and are taken as they are" in " ".join(str(found).split())


@pytest.mark.parametrize(
    "model", [AdaBoostClassifier(n_estimators=3), StackingClassifier([("a", STUMPY)], passthrough=True, cv=2)]
)
def test_gaps_are_refused_where_the_estimator_takes_none(model: Any):
    X, y = data("wine")
    with pytest.raises(ValueError, match="must be finite"):
        kl.far_field(kl.read(model.fit(X, y)), gappy(X), np.zeros_like(X))


def test_votes_are_logits_and_the_decision_function_another():
    X, y = data("wine")
    found = kl.read(AdaBoostClassifier(n_estimators=5, random_state=0).fit(X, y))
    assert found.returns is Outputs.LOGITS
    with pytest.raises(ValueError, match=r"model must boost decision trees\. Got AdaBoostClassifier of LogisticRegression"):
        kl.read(AdaBoostClassifier(LogisticRegression(), n_estimators=2).fit(X, y))


def test_a_forest_that_is_changed_later_is_what_it_was():
    X, y = data("wine")
    model = RandomForestClassifier(5, random_state=0).fit(X, y)
    found = kl.read(model)
    before = found.predict_proba(X)
    for one in model.estimators_:
        one.tree_.value[:] = 1 / 3
        one.tree_.threshold[:] = 0
    assert np.array_equal(found.predict_proba(X), before)


def test_what_is_no_classifier_of_one_label_is_refused():
    X, y = data("wine")
    several = make_multilabel_classification(40, 4, n_classes=3, random_state=0)
    for model in (DecisionTreeClassifier(), RandomForestClassifier(3)):
        with pytest.raises(ValueError, match="model must have one label per row"):
            kl.read(model.fit(*several))
    with pytest.raises(ValueError, match=r"model must tell classes apart\. Got a DecisionTreeClassifier that saw one class"):
        kl.read(DecisionTreeClassifier().fit(X, np.zeros(len(X))))
    with pytest.raises(ValueError, match="saw one class alone"):
        kl.read(BaggingClassifier(n_estimators=2).fit(X, np.zeros(len(X))))
    with pytest.raises(TypeError, match="Got RandomForestRegressor, which is a regressor"):
        kl.read(RandomForestRegressor(2).fit(X, y))
    for outliers in (IsolationForest(n_estimators=2), LocalOutlierFactor(novelty=True)):
        with pytest.raises(TypeError, match="which tells outliers and no classes"):
            kl.read(outliers.fit(X))
    for model in (DecisionTreeClassifier(), RandomForestClassifier(), AdaBoostClassifier(), BaggingClassifier()):
        with pytest.raises(ValueError, match="call fit first"):
            kl.read(model)


@pytest.mark.parametrize("wrong", ["threshold", "value", "children"])
def test_a_tree_that_is_read_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, wrong: str):
    X, y = data("wine")
    model = RandomForestClassifier(3, random_state=0).fit(X, y)
    right = forests.tree_of

    def planted(*args: Any, **more: Any) -> Any:
        import dataclasses

        tree = right(*args, **more)
        if wrong == "children":
            return dataclasses.replace(tree, left=tree.right, right=tree.left)
        changed = tree.threshold + 1 if wrong == "threshold" else tree.value[:, ::-1]
        return dataclasses.replace(tree, **{wrong: changed})

    monkeypatch.setattr(forests, "tree_of", planted)
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)
