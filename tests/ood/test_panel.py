"""All scores side by side are those that each would give alone."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from torch import nn

import knowlimits as kl
from knowlimits import detectors as d
from knowlimits.ood.panel import Panel

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
STARTS, DIRECTIONS = np.random.default_rng(0).normal(size=(2, 30, 4))
ALONE = {
    "energy": d.Energy,
    "max_logit": d.MaxLogit,
    "mahalanobis": d.Mahalanobis,
    "relative_mahalanobis": d.RelativeMahalanobis,
    "mixture": d.GaussianMixture,
    "neighbours": d.NearestNeighbours,
    "raw_neighbours": lambda: d.NearestNeighbours(normalized=False),
    "vim": d.ViM,
    "input_mahalanobis": d.InputDetector,
    "isolation_forest": lambda: d.InputDetector("isolation_forest", random_state=0),
    "local_outlier_factor": lambda: d.InputDetector("local_outlier_factor"),
}


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
    for name, alone in ALONE.items():
        detector = alone().fit(model, X, Y)
        np.testing.assert_allclose(at[name], detector.score(STARTS), rtol=1e-9, err_msg=name)
        growth = detector.far_field(STARTS, DIRECTIONS)
        np.testing.assert_allclose(along[name].limit, growth.limit, rtol=1e-9, err_msg=name)
    far = kl.far_field(model, STARTS, DIRECTIONS)
    names = ("max_prob", "entropy", "expected_entropy", "variance", "mutual_information")[: 5 if model.members > 1 else 2]
    for name in names:
        np.testing.assert_allclose(at[name], model.uncertainty(STARTS, name), atol=1e-5)
        np.testing.assert_allclose(along[name].limit, far.score(name), atol=1e-12)
    assert ("variance" in at) == (model.members > 1)


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
    assert panel.laplace is None
    assert panel.without_laplace == "the last layer has 6,003 weights, and 4,000 are the most."
    assert "laplace_entropy" not in panel.at(STARTS)
    assert "isolation_forest" not in panel.at(STARTS)
