from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

import knowlimits as kl
from tests.model.kinds.checks import RADII, data, mlp, pipeline, rays

LABELS = np.array(["u", "v", "w"])


def agrees(models: Any, X: np.ndarray, classes: list[str]) -> kl.Model:
    """A list against the mean of its members, whose columns are put in order by hand."""
    found = kl.read(models, X=X)
    each = list(models.values()) if isinstance(models, dict) else models

    def mean(rows: np.ndarray) -> np.ndarray:
        return np.mean([one.predict_proba(rows)[:, [list(one.classes_).index(c) for c in classes]] for one in each], axis=0)

    origins, directions = rays(X)
    np.testing.assert_allclose(found.predict_proba(X), mean(X), atol=1e-9)
    for radius in RADII:
        far = kl.far_field(found, origins, directions)
        np.testing.assert_allclose(far.probs.mean(0), mean(origins + radius * directions), atol=1e-6)
    assert found.classes_.tolist() == classes
    return found


def in_another_order(X: np.ndarray, y: np.ndarray) -> Any:
    """A network whose classes do not ascend."""
    model = mlp(1).fit(X, y)
    order = [2, 0, 1]
    model.classes_ = model.classes_[order]
    model.coefs_[-1], model.intercepts_[-1] = model.coefs_[-1][:, order], model.intercepts_[-1][order]
    return model


def test_a_list_and_a_dict_of_estimators():
    X, y = data("wine")
    models = {"a": mlp(0).fit(X, LABELS[y]), "b": pipeline(1).fit(X, LABELS[y])}
    assert agrees(models, X, ["u", "v", "w"]).members == 2
    agrees(list(models.values()), X, ["u", "v", "w"])


def test_classes_in_other_orders():
    X, y = data("wine")
    agrees([mlp(0).fit(X, LABELS[y]), in_another_order(X, LABELS[y])], X, ["u", "v", "w"])
    agrees([in_another_order(X, LABELS[y]), mlp(0).fit(X, LABELS[y])], X, ["w", "u", "v"])
    binary = [mlp(0).fit(X, LABELS[np.minimum(y, 1)]), mlp(1).fit(X, LABELS[np.minimum(y, 1)])]
    binary[1].classes_ = binary[1].classes_[::-1]
    agrees(binary, X, ["u", "v"])


def test_classes_in_other_orders_have_polytopes():
    X, y = data("wine")
    models = [mlp(0).fit(X, LABELS[y]), in_another_order(X, LABELS[y])]
    cells = [kl.partition(one, kl.Plane.pca(X)) for one in (models[1:], models)]
    points = np.random.default_rng(0).normal(size=(20, 2))
    alone, second = (one.affine[one.locate(points)] for one in cells)
    # The classes of the one alone are w, u, v.
    np.testing.assert_allclose(second[:, 3:], alone[:, [1, 2, 0]], atol=1e-9)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(-1), nn.LogSoftmax(-1)])
def test_modules_with_classes_in_other_orders(last: nn.Module):
    X, _ = data("wine")
    modules = [nn.Sequential(nn.Linear(13, 3), last).double() for _ in range(2)]
    modules[0].classes_, modules[1].classes_ = LABELS, LABELS[[2, 0, 1]]  # type: ignore[assignment]
    found = kl.read(modules, X=X, outputs="logits" if isinstance(last, nn.Identity) else None)
    rows = torch.tensor(X)
    first, second = (nn.Sequential(module[0], nn.Softmax(-1))(rows).detach().numpy() for module in modules)
    np.testing.assert_allclose(found.predict_proba(X), (first + second[:, [1, 2, 0]]) / 2, atol=1e-9)


def test_members_behind_steps_that_are_not_affine():
    X, y = data("wine")
    models = [make_pipeline(MinMaxScaler(clip=True), mlp(seed)).fit(X, LABELS[y]) for seed in range(2)]
    agrees([*models, pipeline(2).fit(X, LABELS[y])], X, ["u", "v", "w"])


def test_nested_ensembles():
    X, y = data("wine")
    bag = BaggingClassifier(pipeline(), n_estimators=5, max_samples=5, random_state=4).fit(X, y)
    vote = VotingClassifier([("a", mlp()), ("b", mlp(1))], voting="soft", weights=[1, 2]).fit(X, y)
    found = kl.read([[bag], vote], X=X)
    expected = (5 * bag.predict_proba(X) + vote.predict_proba(X)) / 6
    np.testing.assert_allclose(found.predict_proba(X), expected, atol=1e-9)


def test_other_classes():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"members of the same classes. Got \['u', 'v', 'w'\] and \['u', 'v'\]"):
        kl.read([mlp().fit(X, LABELS[y]), mlp().fit(X, LABELS[np.minimum(y, 1)])])
    with pytest.raises(ValueError, match=r"members of the same classes. Got 2 and 3 of them"):
        kl.far_field([nn.Linear(13, 2), nn.Linear(13, 3)], X, X)


def test_other_features():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"the same features. Got \[12, 13\] of them"):
        kl.read([mlp().fit(X, y), mlp().fit(X[:, 1:], y)])
    table = pd.DataFrame(X[:, :2], columns=["a", "b"])
    models = [make_pipeline(StandardScaler(), mlp()).fit(one, y) for one in (table, table[["b", "a"]])]
    with pytest.raises(ValueError, match=r"in the same order. Got \['a', 'b'\] and \['b', 'a'\]"):
        kl.read(models)
