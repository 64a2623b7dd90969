"""Last-layer Laplace: the covariance against autograd, the link against quadrature, the far field against far points."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit, softmax
from scipy.stats import norm
from sklearn.datasets import load_iris, make_moons
from torch import nn

import knowlimits as kl

X, Y = load_iris(return_X_y=True)
MOONS, LABELS = make_moons(300, noise=0.1, random_state=0)


def network(outputs, features=4, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, outputs)).double()


@pytest.mark.parametrize(("outputs", "y"), [(3, Y), (1, (Y > 0).astype(int)), (2, (Y > 0).astype(int))])
def test_the_covariance_is_the_inverse_hessian_of_the_posterior(outputs, y):
    """Of a linear layer the Gauss-Newton matrix is the Hessian."""
    net = network(outputs)
    fitted = kl.LastLayerLaplace(net, prior_precision=0.7).fit(X, y)
    h = torch.cat([net[:2](torch.tensor(X)), torch.ones(150, 1)], 1).detach().double()

    def loss(flat):
        logits = h @ flat.reshape(outputs, -1).T
        logits = nn.functional.pad(logits, (1, 0)) if outputs == 1 else logits
        return nn.functional.cross_entropy(logits, torch.tensor(y), reduction="sum") + 0.35 * flat.square().sum()

    weights = torch.tensor(fitted.weights_.ravel())
    hessian = torch.autograd.functional.hessian(loss, weights)
    np.testing.assert_allclose(fitted.covariance_, np.linalg.inv(hessian), rtol=1e-6, atol=1e-10)
    # Log evidence: log joint at the mode, plus the volume of the Gaussian, less the prior's normalisation.
    d = len(weights)
    expected = -loss(weights).item() + 0.5 * d * np.log(0.7) - 0.5 * np.linalg.slogdet(hessian)[1]
    assert fitted.marginal_likelihood_ == pytest.approx(expected, rel=1e-9)


def test_the_prior_maximises_the_marginal_likelihood():
    net = network(3)
    best = kl.LastLayerLaplace(net).fit(X, Y)
    for tau in np.geomspace(1e-4, 1e4, 33):
        assert kl.LastLayerLaplace(net, prior_precision=tau).fit(X, Y).marginal_likelihood_ <= best.marginal_likelihood_ + 1e-9


def test_the_probit_link_is_near_the_integral():
    fitted = kl.LastLayerLaplace(network(1), prior_precision=0.5).fit(X, (Y > 0).astype(int))
    h = np.c_[np.asarray(fitted._view.at(X[:10]).features), np.ones(10)]
    means, variances = h @ fitted.weights_[0], fitted._variances(h)[:, 0]
    exact = [
        quad(lambda z, m=m, v=v: expit(m + np.sqrt(v) * z) * norm.pdf(z), -9, 9)[0]
        for m, v in zip(means, variances, strict=True)
    ]
    np.testing.assert_allclose(fitted.predict_proba(X[:10])[:, 1], exact, atol=0.02)
    sampled = kl.LastLayerLaplace(network(1), prior_precision=0.5, link="sampling", samples=20_000, random_state=0)
    np.testing.assert_allclose(sampled.fit(X, (Y > 0).astype(int)).predict_proba(X[:10])[:, 1], exact, atol=0.01)


@pytest.mark.parametrize("link", ["probit", "sampling"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_far_fields_are_limits(link, outputs):
    y = Y if outputs == 3 else (Y > 0).astype(int)
    fitted = kl.LastLayerLaplace(network(outputs), link=link, random_state=0).fit(X, y)
    directions = np.random.default_rng(0).normal(size=X.shape)
    directions[:3] = 0
    far = fitted.far_field(X, directions).probs[0]
    errors = [np.abs(fitted.predict_proba(X + a * directions) - far) for a in (1e3, 1e5, 1e7)]
    assert errors[2].max() < 1e-5
    assert errors[1][3:].mean() <= errors[0][3:].mean() / 20 + 1e-12
    np.testing.assert_allclose(far.sum(1), 1)


def test_the_closed_form_for_two_classes():
    """sigmoid(m r / sqrt(pi / 8 r' S r)), of a classifier that is linear in its inputs."""
    net = nn.Sequential(nn.Linear(4, 1)).double()
    fitted = kl.LastLayerLaplace(net).fit(X, (Y > 0).astype(int))
    d = np.random.default_rng(0).normal(size=(20, 4))
    m, S = fitted.weights_[0, :4], fitted.covariance_[:4, :4]
    expected = expit(d @ m / np.sqrt(np.pi / 8 * np.einsum("nf,fg,ng->n", d, S, d)))
    np.testing.assert_allclose(fitted.far_field(np.zeros((20, 4)), d).probs[0, :, 1], expected, rtol=1e-10)


def test_far_away_it_is_less_sure_than_its_model_and_unchanged_near_the_data():
    model = kl.NeuralNetwork(epochs=60, learning_rate=0.01, random_state=0).fit(MOONS, LABELS)
    fitted = kl.LastLayerLaplace(model).fit(MOONS, LABELS)
    plain = kl.far_field(model, MOONS, "random", random_state=0).confidence()
    bayes = fitted.far_field(MOONS, "random", random_state=0).confidence()
    assert (plain >= 0.99).mean() > 0.9
    assert bayes.max() < 1
    assert np.median(bayes) < np.median(plain)
    assert (fitted.predict(MOONS) == model.predict(MOONS)).all()


def test_a_dead_layer_keeps_a_constant():
    net = network(3)
    with torch.no_grad():
        net[0].weight[:] = -net[0].weight.abs()
    fitted = kl.LastLayerLaplace(net).fit(-X, Y)
    far = fitted.far_field(X[:1], np.ones((1, 4))).probs[0]
    np.testing.assert_allclose(far, fitted.predict_proba(X[:1] + 1e6), atol=1e-12)
    assert not np.allclose(far, softmax([[0.0, 0, 0]], axis=1))


class HeadFirst(nn.Module):
    """The layers of a network, the last defined before the others."""

    def __init__(self, layers):
        super().__init__()
        *body, self.head = layers
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("layers", [lambda: network(3), lambda: [nn.Linear(4, 4), nn.Linear(4, 3)]], ids=["hidden", "linear"])
def test_the_last_layer_is_the_last_that_runs(layers):
    made = layers()
    ordered = nn.Sequential(*made)
    first, second = (kl.LastLayerLaplace(m).fit(X, Y) for m in (HeadFirst(made), ordered))
    np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl.LastLayerLaplace(network(3)).predict(X), "LastLayerLaplace must be fitted"),
        (lambda: kl.LastLayerLaplace(network(3), link="exact").fit(X, Y), "link must be one of 'probit', 'sampling'"),
        (lambda: kl.LastLayerLaplace([network(3), network(3)]).fit(X, Y), "model must have one member"),
        (lambda: kl.LastLayerLaplace(network(3)).fit(X, Y + 1), "y must have a label of"),
        (lambda: kl.LastLayerLaplace(nn.Sequential(*network(3), nn.ReLU())).fit(X, Y), "model must end in a linear layer"),
        (lambda: kl.LastLayerLaplace(nn.ReLU()).fit(X, Y), "layer must be given for a model without a torch.nn.Linear"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("link", ["probit", "sampling"])
def test_where_squares_overflow_probabilities_are_their_limits(link):
    fitted = kl.LastLayerLaplace(network(3), link=link, random_state=0).fit(X, Y)
    directions = np.random.default_rng(0).normal(size=(30, 4))
    limits = fitted.far_field(np.zeros((30, 4)), directions).probs[0]
    for distance in (1e101, 1e160, 1e290):
        np.testing.assert_allclose(fitted.predict_proba(distance * directions), limits, atol=1e-9)
