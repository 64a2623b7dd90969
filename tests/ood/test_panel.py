"""All scores side by side are those that each would give alone."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

import knowlimits as kl
from knowlimits import detectors as d
from knowlimits.limits.growth import norm
from knowlimits.ood.detectors import DETECTORS, Entry
from knowlimits.ood.detectors.base import Needs
from knowlimits.ood.panel import Panel
from knowlimits.ood.remedies import REMEDIES

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
STARTS, DIRECTIONS = np.random.default_rng(0).normal(size=(2, 30, 4))


def entropy(probs):
    return kl.scores.entropy(probs[None])


@pytest.fixture(scope="module", params=[1, 3])
def model(request):
    return kl.Ensemble(members=request.param, hidden_sizes=(8, 8), epochs=20, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def panel(model):
    return Panel().fit(model, X, Y)


def test_scores_and_their_limits(panel, model):
    at, along = panel.at(STARTS), panel.along(STARTS, DIRECTIONS)
    assert list(at) == list(along)
    for name, entry in DETECTORS.items():
        detector = entry.build(random_state=0).fit(d.Inputs(X) if entry.on_inputs else model, X, Y)
        np.testing.assert_allclose(at[name], detector.score(STARTS), rtol=1e-9, err_msg=name)
        growth = detector.far_field(STARTS, DIRECTIONS)
        np.testing.assert_allclose(along[name].limit, growth.limit, rtol=1e-9, err_msg=name)
    far = kl.far_field(model, STARTS, DIRECTIONS)
    for name in kl.scores.names(model.members):
        np.testing.assert_allclose(at[name], model.uncertainty(STARTS, name), atol=1e-5)
        np.testing.assert_allclose(along[name].limit, far.score(name), atol=1e-12)
    assert ("variance" in at) == (model.members > 1)
    entropies = [remedy.score for name, remedy in REMEDIES.items() if name != "model"]
    own = [remedy.own for remedy in REMEDIES.values() if remedy.own]
    assert list(at) == [*kl.scores.names(model.members), *DETECTORS, *entropies, *own]


def test_remedies(panel, model):
    members = [kl.LastLayerLaplace(member).fit(X, Y) for member in kl.read(model).one_by_one()]
    laplace = np.mean([member.predict_proba(STARTS) for member in members], axis=0)
    limits = np.mean([member.far_field(STARTS, DIRECTIONS).probs[0] for member in members], axis=0)
    guard = kl.Guard(model, random_state=0).fit(X)
    near, far = panel.probabilities(STARTS), panel.limits(STARTS, DIRECTIONS)
    np.testing.assert_allclose(near["laplace"], laplace, rtol=1e-6)
    np.testing.assert_allclose(far["laplace"], limits, rtol=1e-6)
    np.testing.assert_allclose(near["guard"], guard.predict_proba(STARTS), atol=1e-5)
    np.testing.assert_allclose(far["guard"], 1 / 3)
    np.testing.assert_allclose(near["model"], model.predict_proba(STARTS), atol=1e-5)
    np.testing.assert_allclose(panel.at(STARTS)["laplace_entropy"], entropy(laplace), rtol=1e-6)
    np.testing.assert_allclose(panel.along(STARTS, DIRECTIONS)["laplace_entropy"].limit, entropy(limits), rtol=1e-6)


def test_unfamiliarity_is_the_guards(panel, model):
    guard = kl.Guard(model, random_state=0).fit(X)
    np.testing.assert_array_equal(panel.at(STARTS)["unfamiliarity"], guard.unfamiliarity(STARTS))
    assert panel.thresholds == {"unfamiliarity": guard.threshold_}
    found, growth = panel.along(STARTS, DIRECTIONS)["unfamiliarity"], guard.growth(STARTS, DIRECTIONS)
    np.testing.assert_array_equal(found.power, growth.power)
    np.testing.assert_array_equal(found.coefficient, growth.coefficient)


@pytest.mark.parametrize("column", range(4))
def test_at_infinity_along_a_column_everything_is_unfamiliar(panel, column):
    steps = np.repeat([np.eye(4)[column], -np.eye(4)[column]], 75, axis=0)
    end = panel.along(X, steps)["unfamiliarity"].limit
    assert (end == np.inf).all()
    assert kl.metrics.auroc(panel.at(X)["unfamiliarity"], end) == 1


def test_unfamiliarity_sees_the_column_to_which_the_model_is_blind():
    torch.manual_seed(0)
    blind = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        blind[0].weight[:, 2] = 0
    panel, moved = Panel(inputs=False).fit(blind, X, Y), X + 20 * np.eye(4)[2]
    inside, outside, ends = panel.at(X), panel.at(moved), panel.along(X, np.tile([0.0, 0, 1, 0], (150, 1)))
    for name in inside:
        rates = [kl.metrics.auroc(inside[name], one) for one in (outside[name], ends[name].limit)]
        # The guard's two scores alone look at inputs.
        expected = 1.0 if name in ("unfamiliarity", "guarded_entropy") else 0.5
        np.testing.assert_allclose(rates, expected, atol=1e-3, err_msg=name)


def test_one_logit_has_the_laplace_of_one_logit():
    labels = (Y > 0).astype(int)
    model = kl.NeuralNetwork(hidden_sizes=(8, 8), epochs=20, random_state=0).fit(X, labels)
    laplace = kl.LastLayerLaplace(model).fit(X, labels)
    assert len(laplace.weights_) == 1
    panel = Panel(inputs=False).fit(model, X, labels)
    near, far = panel.probabilities(STARTS)["laplace"], panel.limits(STARTS, DIRECTIONS)["laplace"]
    np.testing.assert_allclose(near, laplace.predict_proba(STARTS), rtol=1e-9)
    np.testing.assert_allclose(far, laplace.far_field(STARTS, DIRECTIONS).probs[0], rtol=1e-9)


def test_laplace_looks_at_the_last_layer_whatever_the_detectors_look_at():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    panel, plain = Panel(layer="2").fit(net, X, Y), Panel().fit(net, X, Y)
    np.testing.assert_allclose(panel.at(STARTS)["laplace_entropy"], plain.at(STARTS)["laplace_entropy"])
    assert np.abs(panel.at(STARTS)["mahalanobis"] - plain.at(STARTS)["mahalanobis"]).max() > 1e-3
    np.testing.assert_allclose(panel.limits(STARTS, DIRECTIONS)["laplace"], plain.limits(STARTS, DIRECTIONS)["laplace"])


def test_a_last_layer_too_large_for_laplace_is_named():
    wide = nn.Sequential(nn.Linear(4, 2000), nn.ReLU(), nn.Linear(2000, 3)).double()
    panel = Panel(inputs=False).fit(nn.Sequential(wide), X[:60], Y[:60] * 0 + np.arange(60) % 3)
    assert list(panel.remedies) == ["model", "guard"]
    assert panel.without["laplace"] == "the last layer has 6,003 weights, and 4,000 are the most."
    assert "laplace_entropy" not in panel.at(STARTS)
    assert "isolation_forest" not in panel.at(STARTS)


class Mixture(nn.Module):
    """Probabilities that no softmax ends in."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)) for _ in range(2)])

    def forward(self, x):
        return sum(part(x).softmax(1) for part in self.parts) / 2


class Bare(nn.Module):
    """Layers that are no modules."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6, 3))

    def forward(self, x):
        return torch.relu(x @ self.first) @ self.second


@pytest.mark.parametrize("kind", [Mixture, Bare])
def test_detectors_of_what_is_not_there_are_left_out(kind):
    torch.manual_seed(0)
    panel = Panel(inputs=False).fit(kind(), X, Y)
    of_features, of_logits = (
        {name for name, entry in DETECTORS.items() if not entry.on_inputs and need in entry.build(0).needs}
        for need in (Needs.FEATURES, Needs.LOGITS)
    )
    assert set(panel.left_out) == (of_logits if kind is Mixture else of_features)
    assert "laplace" in panel.without
    near, ends = panel.at(STARTS), panel.along(STARTS, DIRECTIONS)
    assert list(near) == list(ends)
    assert set(panel.left_out).isdisjoint(near)
    far = panel.at(STARTS + 1e7 * DIRECTIONS)
    for name in ("entropy", "max_prob", "guarded_entropy"):
        np.testing.assert_allclose(far[name], ends[name].limit, atol=1e-5)


class Length(d.Detector):
    """A detector that nothing knows of but its entry."""

    def measure(self, seen):
        return np.linalg.norm(seen.features, axis=1)

    def growth(self, ahead):
        return d.Growth.of(*norm(ahead.rate.features, ahead.offset.features))


def test_a_detector_of_ones_own_is_one_entry(monkeypatch):
    model = kl.NeuralNetwork(hidden_sizes=(8,), epochs=5, random_state=0).fit(X, Y)
    monkeypatch.setitem(DETECTORS, "length", Entry(Length))
    monkeypatch.setitem(DETECTORS, "input_length", Entry(Length, on_inputs=True))
    at = Panel().fit(model, X, Y).at(STARTS)
    np.testing.assert_allclose(at["length"], Length().fit(model, X).score(STARTS))
    np.testing.assert_allclose(at["input_length"], np.linalg.norm(STARTS, axis=1), rtol=1e-6)
    assert d.InputDetector("length").fit(None, X).score(STARTS).shape == (30,)
    audited = kl.audit(model, X, Y)
    assert {"length", "input_length"} < set(audited.detection["score"])
    assert "input length" in str(audited)


def test_a_ray_that_does_not_move_ends_where_it_is_with_each_remedy():
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5).fit(gaps, Y)
    panel = Panel(inputs=False).fit(model, gaps, Y)
    directions = np.tile([0.0, 1, 0, 0], (6, 1))
    directions[::3] = 0
    still = panel.probabilities(gaps[:6])
    for name, limits in panel.limits(gaps[:6], directions).items():
        np.testing.assert_allclose(limits[::3], still[name][::3], atol=1e-12)
    assert (limits[::3].max(1) > 0.4).all()
    np.testing.assert_array_equal(limits[[1, 2, 4, 5]], 1 / 3)
