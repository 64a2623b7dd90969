"""Population training: what a member gets does not hang on its neighbours, and gradients are those of autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import knowlimits as kl
from knowlimits.train.networks import Member, Variational, population, train
from knowlimits.train.networks.backprop import Backprop
from knowlimits.train.networks.dropout import Dropout, draw_masks
from knowlimits.train.networks.loss import ClassWeights, total_loss
from knowlimits.train.networks.padding import common_sizes, extract, place
from knowlimits.train.networks.weights import GaussianWeights, PointWeights, flatten, unflatten

BAYES = Variational(0.1, -3.0, 0.3, 0.6, 0.1, 0.5, True, "geometric", 3)


def data(classes=2, n=90, d=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, d)) + y[:, None], y


def member(seed, classes=2, hidden=(7, 5), **changes):
    sizes = (3, *hidden, 1 if classes == 2 else classes)
    base = Member(sizes=sizes, seed=seed, rows=np.arange(60), validation_rows=np.arange(60, 90), batch_size=16, epochs=4)
    return replace(base, **{"learning_rate": 0.01, **changes})


def mixed(classes):
    """Members that differ in everything that may differ."""
    rng = np.random.default_rng(1)
    return [
        member(0, classes),
        member(1, classes, dropout=0.3, class_weight="batch"),
        member(2, classes, hidden=(4,), dropout=0.5, learning_rate=0.02),
        member(3, classes, hidden=(9, 3, 6), prior_variance=2.0),
        member(4, classes, rows=rng.integers(0, 60, 60), class_weight=np.linspace(1, 2, classes)),
        member(5, classes, hidden=(4, 4, 4), epochs=2, dropout=0.1),
        member(6, classes, patience=1, learning_rate=0.2),
        member(7, classes, hidden=()),
        member(8, classes, variational=BAYES, dropout=0.2),
        member(9, classes, hidden=(3,), variational=replace(BAYES, anneal=False, kl_weights="uniform", beta=2.0)),
    ]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_member_is_trained_as_if_alone(classes, merge, monkeypatch):
    monkeypatch.setattr(population, "_STEP_OVERHEAD", 1e12 if merge else 0.0)
    X, y = data(classes)
    members = mixed(classes)
    together = train(members, X, y, classes)
    for m, joint in zip(members, together, strict=True):
        (alone,) = train([m], X, y, classes)
        assert alone.epochs == joint.epochs
        np.testing.assert_allclose(alone.validation_loss, joint.validation_loss, rtol=1e-4, atol=1e-6)
        for a, b in zip([*alone.layers, *alone.rho], [*joint.layers, *joint.rho], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_negative_control_another_seed_gives_another_network():
    X, y = data()
    a, b = train([member(0), member(1)], X, y, 2)
    assert (a.layers[0] - b.layers[0]).abs().max() > 0.1


def test_threads_do_not_change_a_result():
    X, y = data()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(train(mixed(2), X, y, 2))
    torch.set_num_threads(1)
    for a, b in zip(*results, strict=True):
        assert all(torch.equal(x, z) for x, z in zip(a.layers, b.layers, strict=True))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_equal_autograd(classes, dropout):
    members = [
        member(s, classes, dropout=dropout, class_weight=w, prior_variance=v)
        for s, w, v in ((0, None, None), (1, "batch", 2.0))
    ]
    device = torch.device("cpu")
    common = members[0].sizes
    weights = PointWeights(members, common, device)
    X, y = data(classes)
    x = torch.tensor(X[:20], dtype=torch.float32).expand(2, -1, -1)
    x = torch.cat([x, torch.ones(2, 20, 1)], 2).transpose(1, 2)
    target = torch.tensor(y[:20]).expand(2, -1)
    example = ClassWeights([m.class_weight for m in members], classes, device)(target)
    drawn = Dropout(members, common[1:-1], 1, device).draw(20)
    gradients = torch.empty_like(weights.theta)
    Backprop(2, common[1:-1], device)(weights.sample(0), unflatten(gradients, weights.shapes), x, target, example, drawn)
    gradient = weights.gradient(gradients, 0)

    theta = weights.theta.clone().requires_grad_()
    hidden = x
    layers = unflatten(theta, weights.shapes)
    for i, layer in enumerate(layers):
        hidden = layer @ hidden
        if i < len(layers) - 1:
            hidden = hidden.relu()
            if drawn is not None:
                hidden = hidden * drawn.kept[i] * drawn.scale[i]
            hidden = torch.cat([hidden, torch.ones(2, 1, 20)], 1)
    loss = (total_loss(hidden, target, example) / 20).sum()
    anchors = flatten([torch.from_numpy(np.stack([0 * a, a])).float() for a in members[1].anchors()])
    variances = [
        torch.tensor([np.inf, v])[:, None, None].expand(s)
        for v, s in zip(members[1].prior_variances(), weights.shapes, strict=True)
    ]
    loss = loss + ((theta - anchors) ** 2 / (2 * flatten(variances))).sum() / 60
    (expected,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_variational_gradient_equals_autograd():
    """The objective is written with torch.distributions; only the posterior's entropy is exact in ours, so it is here."""
    m = member(3, variational=replace(BAYES, anneal=False, kl_weights="uniform"))
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
    for scheme in ("geometric", "uniform"):
        m = member(0, variational=replace(BAYES, anneal=False, kl_weights=scheme, beta=1.0))
        weights = GaussianWeights([m], m.sizes, torch.device("cpu"), batches=4)
        total = sum(float(weights._kl_weight(step)) for step in range(4))
        assert total == pytest.approx(4 / 60)


def test_batch_class_weights_are_the_papers():
    y = torch.tensor([[0, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1]])
    weights = ClassWeights(["batch", "batch", None], 2, torch.device("cpu"))(y)
    # (1 - mean y) / mean y = 3 for the second class; a batch of one class is not weighted
    torch.testing.assert_close(weights, torch.tensor([[1.0, 1, 1, 3], [1, 1, 1, 1], [1, 1, 1, 1]]))


def test_padding_keeps_functions_and_is_undone():
    networks = [member(s, hidden=h).initial_layers() for s, h in enumerate([(4,), (7, 5), (2, 9, 3)])]
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
    m = member(6, patience=1, learning_rate=0.2, epochs=30)
    (stopped,) = train([m], X, y, 2)
    assert stopped.epochs < 30
    (short,) = train([replace(m, epochs=stopped.epochs, patience=99)], X, y, 2)
    (both, _) = train([m, replace(m, seed=1, patience=99)], X, y, 2)
    assert all(torch.equal(a, b) for a, b in zip(stopped.layers, short.layers, strict=True))
    for a, b in zip(stopped.layers, both.layers, strict=True):
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
