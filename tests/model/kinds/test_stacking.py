from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.semi_supervised import LabelSpreading

import knowlimits as kl
from knowlimits.model.kinds import stacking
from tests.model.kinds.checks import agrees, data, mlp, pipeline

PARTS: list[tuple[str, Any]] = [("a", mlp(0)), ("b", pipeline(1)), ("linear", LogisticRegression())]
FINAL = {
    "linear": None,
    "network": mlp(5),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "ours": kl.Ensemble((4,), members=2, epochs=3, random_state=0),
}


@pytest.mark.parametrize("final", FINAL.values(), ids=FINAL)
@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_stacking(final: Any, passthrough: bool, name: str):
    X, y = data(name)
    model = StackingClassifier(PARTS, final, cv=3, passthrough=passthrough).fit(X, y)
    found = agrees(model, X, 1e-6 if isinstance(final, kl.Ensemble) else 1e-9)
    assert found.members == (2 if isinstance(final, kl.Ensemble) else 1)


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_decision_functions_are_stacked(name: str):
    X, y = data(name)
    parts = [("linear", LogisticRegression()), ("behind", make_pipeline(StandardScaler(), LogisticRegression(C=0.1)))]
    agrees(StackingClassifier(parts, cv=3, stack_method="decision_function").fit(X, y), X)


def test_fitted_parts_dropped_parts_and_labels_of_text():
    X, y = data("wine")
    labels = np.array(["u", "v", "w"])[y]
    parts = [(name, part.fit(X, labels)) for name, part in PARTS]
    model = StackingClassifier([*parts, ("gone", "drop")], cv="prefit").fit(X, labels)
    assert agrees(model, X).classes_.tolist() == ["u", "v", "w"]


def test_a_final_estimator_with_a_threshold():
    X, y = data("cancer")
    model = StackingClassifier(PARTS, FixedThresholdClassifier(LogisticRegression(), threshold=0.99), cv=2).fit(X, y)
    assert agrees(model, X).own is model
    assert (model.predict(X) != model.predict_proba(X).argmax(1)).any()


def test_stacked_labels_are_refused():
    X, y = data("wine")
    model = StackingClassifier(PARTS, cv=3, stack_method="predict").fit(X, y)
    with pytest.raises(ValueError, match=r"stacks the labels of 'a'.*fit it with stack_method='predict_proba'"):
        kl.read(model)


def test_parts_and_final_estimators_that_are_no_networks_are_named():
    X, y = data("wine")
    with pytest.raises(TypeError, match=r"part 'graph' of StackingClassifier.*Got LabelSpreading"):
        kl.read(StackingClassifier([("graph", LabelSpreading())], cv=2).fit(X, y))
    with pytest.raises(ValueError, match=r"final_estimator_ of StackingClassifier.*Got a RidgeClassifier that has none"):
        kl.read(StackingClassifier([("a", mlp())], RidgeClassifier(), cv=2).fit(X, y))


def test_a_final_estimator_behind_steps_that_are_not_affine():
    X, y = data("wine")
    model = StackingClassifier([("a", mlp())], make_pipeline(MinMaxScaler(clip=True), LogisticRegression()), cv=2).fit(X, y)
    with pytest.raises(TypeError, match=r"final_estimator_ of StackingClassifier: .*MinMaxScaler"):
        kl.read(model)


def test_several_labels():
    X, y = data("wine")
    model = StackingClassifier([("a", mlp())], mlp(), cv=2).fit(X, np.stack([y > 0, y > 1], 1).astype(int))
    with pytest.raises(ValueError, match="one label per row"):
        kl.read(model)


@pytest.mark.parametrize("wrong", [lambda modules: modules[::-1], lambda modules: [*modules[1:], modules[0]]])
def test_swapped_parts_are_noticed(monkeypatch: pytest.MonkeyPatch, wrong: Any):
    X, y = data("wine")
    model = StackingClassifier([("a", mlp()), ("b", mlp(1)), ("c", mlp(2))], mlp(5), cv=3).fit(X, y)
    right = stacking.SideBySide
    monkeypatch.setattr(stacking, "SideBySide", lambda modules: right(wrong(list(modules))))
    with pytest.raises(ValueError, match="cannot be read for certain"):
        kl.read(model, X=X)
