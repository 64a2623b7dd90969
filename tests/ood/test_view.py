"""What detectors see of a model is what its modules say themselves."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

import knowlimits as kl
from knowlimits.follow import follow, follow_several
from knowlimits.ood.detectors.view import View

X, _ = load_iris(return_X_y=True)


class Three(nn.Module):
    """Three members in one module, which share their first layer."""

    def __init__(self, constant=False):
        super().__init__()
        self.first, self.last, self.constant = nn.Linear(4, 6), nn.Linear(6, 2), constant
        self.scales = nn.Parameter(torch.tensor([0.5, 1.0, 2.0])[:, None, None])

    def forward(self, x):
        hidden = self.first(x).relu() * self.scales
        logits = self.last(hidden)
        return torch.ones_like(logits) if self.constant else logits


def three(**settings):
    torch.manual_seed(0)
    return Three(**settings).double()


def apart(module):
    """The members as modules of their own."""
    members = [nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double() for _ in range(3)]
    with torch.no_grad():
        for member, scale in zip(members, module.scales.flatten(), strict=True):
            member[0].weight.copy_(scale * module.first.weight)
            member[0].bias.copy_(scale * module.first.bias)
            member[2].load_state_dict(module.last.state_dict())
    return members


def test_members_within_a_module_are_members():
    module = three()
    together, alone = View(module), View(apart(module))
    directions = np.random.default_rng(0).normal(size=X.shape)
    one, other = together.at(X), alone.at(X)
    assert one.logits.shape == (3, 150, 2)
    ahead, beside = together.along(X, directions), alone.along(X, directions)
    for mine, theirs in ((one, other), (ahead.rate, beside.rate), (ahead.offset, beside.offset)):
        np.testing.assert_allclose(mine.features, theirs.features, atol=1e-12)
        np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-12)
    np.testing.assert_allclose(
        kl.detectors.Energy().fit(module, X).score(X), kl.detectors.Energy().fit(apart(module), X).score(X)
    )


@pytest.mark.parametrize("constant", [False, True])
def test_several_outputs_end_where_each_does(constant):
    module = three(constant=constant).requires_grad_(False)
    starts, steps = torch.from_numpy(X[:20]), torch.randn(20, 4, dtype=torch.float64)
    ends = follow_several(lambda x: (module.first(x).relu(), module(x)), starts, steps)
    for end, part in zip(ends, (lambda x: module.first(x).relu(), module), strict=True):
        alone = follow(part, starts, steps)
        torch.testing.assert_close(end.rate, alone.rate)
        torch.testing.assert_close(end.offset, alone.offset)
    assert bool((ends[1].rate == 0).all()) == constant
    with pytest.raises(TypeError, match=r"model must return a tensor\. Got tuple instead"):
        follow(lambda x: (x, x), starts, steps)
