"""Population training: what a network gets does not hang on its neighbours, and gradients are those of autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import knowlimits as kl
from knowlimits.train.networks import ClassWeight, KLWeights, Point, Settings, Variational, population, train
from knowlimits.train.networks.backprop import Backprop
from knowlimits.train.networks.gaussian import GaussianWeights
from knowlimits.train.networks.loss import ClassWeights, total_loss
from knowlimits.train.networks.masks import MaskDraws, draw_masks
from knowlimits.train.networks.padding import common_sizes, extract, place
from knowlimits.train.networks.point import PointWeights
from knowlimits.train.networks.weights import flatten, unflatten

BAYES = Variational(0.1, -3.0, 0.3, 0.6, 0.1, 0.5, True, KLWeights.GEOMETRIC, 3)


def data(classes=2, n=90, d=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, d)) + y[:, None], y


def settings(seed, classes=2, hidden=(7, 5), **changes):
    sizes = (3, *hidden, 1 if classes == 2 else classes)
    base = Settings(sizes, seed, np.arange(60), Point(), validation_rows=np.arange(60, 90), batch_size=16, epochs=4)
    return replace(base, **{"learning_rate": 0.01, **changes})


def mixed(classes):
    """Networks that differ in everything that may differ."""
    rng = np.random.default_rng(1)
    return [
        settings(0, classes),
        settings(1, classes, dropout=0.3, class_weight=ClassWeight.BATCH),
        settings(2, classes, hidden=(4,), dropout=0.5, learning_rate=0.02),
        settings(3, classes, hidden=(9, 3, 6), method=Point(2.0)),
        settings(4, classes, rows=rng.integers(0, 60, 60), class_weight=np.linspace(1, 2, classes)),
        settings(5, classes, hidden=(4, 4, 4), epochs=2, dropout=0.1),
        settings(6, classes, patience=1, learning_rate=0.2),
        settings(7, classes, hidden=()),
        settings(8, classes, method=BAYES, dropout=0.2),
        settings(9, classes, hidden=(3,), method=replace(BAYES, anneal=False, kl_weights=KLWeights.UNIFORM, beta=2.0)),
    ]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_network_is_trained_as_if_alone(classes, merge, monkeypatch):
    monkeypatch.setattr(population, "_STEP_OVERHEAD", 1e12 if merge else 0.0)
    X, y = data(classes)
    networks = mixed(classes)
    together = train(networks, X, y, classes)
    for one, joint in zip(networks, together, strict=True):
        (alone,) = train([one], X, y, classes)
        assert alone.epochs == joint.epochs
        np.testing.assert_allclose(alone.validation_loss, joint.validation_loss, rtol=1e-4, atol=1e-6)
        for a, b in zip(alone.learnt.mean + alone.learnt.deviation, joint.learnt.mean + joint.learnt.deviation, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_negative_control_another_seed_gives_another_network():
    X, y = data()
    a, b = train([settings(0), settings(1)], X, y, 2)
    assert (a.learnt.mean[0] - b.learnt.mean[0]).abs().max() > 0.1


def test_threads_do_not_change_a_result():
    X, y = data()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(train(mixed(2), X, y, 2))
    torch.set_num_threads(1)
    for a, b in zip(*results, strict=True):
        assert all(torch.equal(x, z) for x, z in zip(a.learnt.mean, b.learnt.mean, strict=True))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_equal_autograd(classes, dropout):
    networks = [
        settings(s, classes, dropout=dropout, class_weight=w, method=Point(v))
        for s, w, v in ((0, None, None), (1, ClassWeight.BATCH, 2.0))
    ]
    device = torch.device("cpu")
    common = networks[0].sizes
    weights = PointWeights(networks, common, device, batches=4)
    X, y = data(classes)
    x = torch.tensor(X[:20], dtype=torch.float32).expand(2, -1, -1)
    x = torch.cat([x, torch.ones(2, 20, 1)], 2).transpose(1, 2)
    target = torch.tensor(y[:20]).expand(2, -1)
    example = ClassWeights([s.class_weight for s in networks], classes, device)(target)
    masks = MaskDraws(networks, common[1:-1], 1, device).draw(20)
    gradients = torch.empty_like(weights.theta)
    Backprop(2, common[1:-1], device)(weights.sample(0), unflatten(gradients, weights.shapes), x, target, example, masks)
    gradient = weights.gradient(gradients, 0)

    theta = weights.theta.clone().requires_grad_()
    hidden = x
    layers = unflatten(theta, weights.shapes)
    for i, layer in enumerate(layers):
        hidden = layer @ hidden
        if i < len(layers) - 1:
            hidden = hidden.relu()
            if masks is not None:
                hidden = hidden * masks.kept[i] * masks.scale[i]
            hidden = torch.cat([hidden, torch.ones(2, 1, 20)], 1)
    loss = (total_loss(hidden, target, example) / 20).sum()
    prior = networks[1].method
    anchors = flatten([torch.from_numpy(np.stack([0 * a, a])).float() for a in prior.anchors(networks[1])])
    variances = [
        torch.tensor([np.inf, v])[:, None, None].expand(s)
        for v, s in zip(prior.prior_variances(networks[1]), weights.shapes, strict=True)
    ]
    loss = loss + ((theta - anchors) ** 2 / (2 * flatten(variances))).sum() / 60
    (expected,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_variational_gradient_equals_autograd():
    """The objective is written with torch.distributions; only the posterior's entropy is exact in ours, so it is here."""
    m = settings(3, method=replace(BAYES, anneal=False, kl_weights=KLWeights.UNIFORM))
    weights = GaussianWeights([m], m.sizes, torch.device("cpu"), batches=4)
    sample = weights.sample(0)
    likelihood = [torch.randn(s.shape, generator=torch.Generator().manual_seed(0)) for s in sample]
    gradient = weights.gradient(flatten(likelihood), 0)

    theta = weights.theta.clone().requires_grad_()
    mu, rho = theta.chunk(2)
    noise = torch.stack([flatten([w[s] for w in weights._noise for w in [w[0]]]) for s in range(3)])
    w = mu + torch.nn.functional.softplus(rho) * noise
    normal = torch.distributions.Normal
    prior = torch.logaddexp(np.log(0.3) + normal(0.0, 0.6).log_prob(w), np.log(0.7) + normal(0.0, 0.1).log_prob(w))
    entropy = normal(mu, torch.nn.functional.softplus(rho)).entropy().sum()
    slopes = torch.stack([flatten([part[s] for part in likelihood]) for s in range(3)])
    loss = (slopes * w).sum(1).mean() + 0.5 / 60 * (-prior.sum(1).mean() - entropy)
    (expected,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_kl_weights_of_an_epoch_add_up():
    for scheme in KLWeights:
        m = settings(0, method=replace(BAYES, anneal=False, kl_weights=scheme, beta=1.0))
        weights = GaussianWeights([m], m.sizes, torch.device("cpu"), batches=4)
        total = sum(float(weights._kl_weight(step)) for step in range(4))
        assert total == pytest.approx(4 / 60)


def test_batch_class_weights_are_the_papers():
    y = torch.tensor([[0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1]])
    weights = ClassWeights([ClassWeight.BATCH, ClassWeight.BATCH, None], 2, torch.device("cpu"))(y)
    # (1 - mean y) / mean y = 3 for the second class; a batch of one class is not weighted
    torch.testing.assert_close(weights, torch.tensor([[1.0, 1, 1, 3], [1, 1, 1, 1], [1, 1, 1, 1]]))


def test_padding_keeps_functions_and_is_undone():
    networks = [settings(s, hidden=h).initial_layers() for s, h in enumerate([(4,), (7, 5), (2, 9, 3)])]
    sizes = [(3, 4, 1), (3, 7, 5, 1), (3, 2, 9, 3, 1)]
    common = common_sizes(sizes)
    stacked = place(networks, common)
    x = torch.randn(3, 8, 3, generator=torch.Generator().manual_seed(0))[0]
    padded = kl.Stack([w[:, :, :-1] for w in stacked], [w[:, :, -1] for w in stacked])(x)
    for m, (layers, size) in enumerate(zip(networks, sizes, strict=True)):
        own = [torch.from_numpy(layer).float()[None] for layer in layers]
        alone = kl.Stack([w[:, :, :-1] for w in own], [w[:, :, -1] for w in own])(x)
        torch.testing.assert_close(padded[m], alone[0])
        assert all(torch.equal(a[0], b) for a, b in zip(own, extract(stacked, m, size), strict=True))


def test_padding_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="hidden layer, or none"):
        common_sizes([(3, 1), (3, 4, 1)])
    with pytest.raises(ValueError, match="same inputs"):
        common_sizes([(2, 4, 1), (3, 4, 1)])


def test_dropout_drops_the_stated_share():
    masks = draw_masks(np.random.default_rng(0), 0.205046, (50,), 4000)[0]
    assert (masks == 0).mean() == pytest.approx(0.205046, abs=0.004)  # four standard errors
    assert masks.max() == pytest.approx(1 / (1 - 0.205046), rel=1e-4)


def test_early_stopping_keeps_the_weights_of_the_stop():
    X, y = data()
    m = settings(6, patience=1, learning_rate=0.2, epochs=30)
    (stopped,) = train([m], X, y, 2)
    assert stopped.epochs < 30
    (short,) = train([replace(m, epochs=stopped.epochs, patience=99)], X, y, 2)
    (both, _) = train([m, replace(m, seed=1, patience=99)], X, y, 2)
    assert all(torch.equal(a, b) for a, b in zip(stopped.learnt.mean, short.learnt.mean, strict=True))
    for a, b in zip(stopped.learnt.mean, both.learnt.mean, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_stack_members_and_errors():
    generator = torch.Generator().manual_seed(0)
    stack = kl.Stack(
        [torch.randn(2, 4, 3, generator=generator), torch.randn(2, 1, 4, generator=generator)],
        [torch.randn(2, 4), torch.randn(2, 1)],
    )
    x = torch.randn(5, 3, generator=generator)
    out = stack(x)
    assert out.shape == (2, 5, 2)
    assert bool((out[:, :, 0] == 0).all())
    torch.testing.assert_close(stack.member(1)(x)[:, 0], out[1, :, 1])
    with pytest.raises(ValueError, match="layer 1 must have weights"):
        kl.Stack([torch.zeros(2, 4, 3), torch.zeros(2, 1, 5)], [torch.zeros(2, 4), torch.zeros(2, 1)])


class Recorder:
    """Keeps what it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, epoch, layers):
        self.seen.append((epoch, layers))


def test_a_watcher_sees_the_weights_after_each_epoch_until_the_stop():
    X, y = data()
    watched = [replace(s, watcher=Recorder) for s in mixed(2)]
    for one, plain in zip(train(watched, X, y, 2), train(mixed(2), X, y, 2), strict=True):
        assert plain.watcher is None
        assert [epoch for epoch, _ in one.watcher.seen] == list(range(1, one.epochs + 1))
        first, *_, last = (layers for _, layers in one.watcher.seen)
        assert all(torch.equal(a, b) for a, b in zip(last, one.learnt.mean, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(first, last, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(one.learnt.mean, plain.learnt.mean, strict=True))


def test_what_a_network_cannot_use_is_refused():
    with pytest.raises(ValueError, match="class_weight of a network must be an array"):
        settings(0, class_weight=ClassWeight.BALANCED)
    with pytest.raises(TypeError, match="method must be Variational"):
        GaussianWeights([settings(0)], (3, 7, 5, 1), torch.device("cpu"), batches=4)
