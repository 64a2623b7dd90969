"""How far numbers may be from their lines before the radius, against forward passes and rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from knowlimits.follow import UnsupportedOperation, departures, follow, follow_beyond
from knowlimits.testing import draw_rays
from tests.follow.test_operations import CASES, MAXIMA
from tests.oracles.corners import corners


def beyond(function, origins, directions, a, in_proportion=False):
    with torch.no_grad():
        return follow_beyond(function, origins, directions, a, torch.full_like(a, in_proportion, dtype=torch.bool))


@pytest.mark.parametrize("in_proportion", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_bounds_hold_for_every_entry(name, in_proportion):
    """What is computed at some places beyond is as near to the line as the bound there says, up to rounding."""
    function, shape = CASES[name]
    origins, directions = draw_rays(shape, 12, 1)
    shares = torch.linspace(0.0, 1.1, 12, dtype=torch.float64)
    with torch.no_grad():
        end = follow(function, origins, directions)
        at = shares * end.radius.nan_to_num(1.0)
        try:
            found = beyond(function, origins, directions, at, in_proportion)
        except UnsupportedOperation:
            # Lines that suit best may move where the end does not, which functions with many steps do not take.
            assert (in_proportion, name) == (True, "steps of what is clipped")
            return
        # Where the radius is nan a smooth function moves on.
        still = ~end.radius.isnan()
        for more in (1.0, 1.001, 1.3, 2.0, 10.0):
            a = (more * at).reshape(-1, *[1] * len(shape))
            actual = function(origins + a * directions).double()
            a = (more * at).reshape(-1, *[1] * (actual.ndim - 1))
            size = 1 + origins.abs().amax() + a * directions.abs().amax()
            apart = (actual - found.rays.rate * a - found.rays.offset).abs()
            departure = found.departure * (a if in_proportion else 1)
            assert (apart <= (departure * (1 + 1e-9)).nan_to_num(torch.inf) + 1e-11 * size)[still].all()
    if not in_proportion:
        assert torch.equal(found.rays.rate, end.rate)
        assert torch.equal(found.rays.offset, end.offset)
    assert (found.before <= at).all()


@pytest.mark.parametrize(("function", "shape"), [pytest.param(f, s, id=n) for n, f, s in MAXIMA])
def test_bounds_say_something_of_every_maximum(function, shape):
    """Beyond the radius it is zero but for rounding, and at half of it finite and not zero for some ray."""
    origins, directions = draw_rays(shape, 12, 0)
    with torch.no_grad():
        radius = follow(function, origins, directions).radius
    far = beyond(function, origins, directions, 1.1 * radius + 0.01)
    # Ties between numbers that are thought to be rounded have no bound.
    near = far.departure < 1e-9 * (1 + radius).reshape(-1, *[1] * (far.departure.ndim - 1))
    assert (near | far.departure.isinf()).all()
    assert near.double().mean() > 0.5
    half = beyond(function, origins, directions, radius / 2).departure
    assert half.isfinite().any()
    assert (half > 1e-6).any()


def test_the_bound_of_one_relu_is_what_it_departs_by():
    x, d = torch.tensor([[-4.0], [4.0], [-4.0]]).double(), torch.tensor([[1.0], [-1.0], [0.0]]).double()
    at = torch.tensor([1.0, 1.0, 1.0]).double()
    found = beyond(torch.relu, x, d, at)
    # Of -4 + a, which is on from 4 on, 3 are missing at 1; of 4 - a, which is off from there on, 3 are too much.
    np.testing.assert_allclose(found.departure[:, 0], [3, 3, 0], rtol=1e-14, atol=1e-30)
    assert found.before.tolist() == [0, 0, 0]
    assert beyond(torch.relu, x, d, 5 * at).before.tolist() == [4, 4, 0]


def network(seed, sizes):
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    weights = [rng.integers(-8, 9, (o, i)) / 8 * 2.0 ** rng.integers(-9, 9, (o, 1)) for i, o in pairs]
    return weights, [rng.integers(-8, 9, o) / 8 for _, o in pairs]


def as_module(weights, biases):
    layers = []
    for w, b in zip(weights, biases, strict=True):
        layers += [nn.Linear(w.shape[1], len(w)).double().requires_grad_(False), nn.ReLU()]
        layers[-2].weight.copy_(torch.tensor(w))
        layers[-2].bias.copy_(torch.tensor(b))
    return nn.Sequential(*layers[:-1])


def excess(weights, biases, seed, in_proportion):
    """The most by which exact outputs depart more than the bound and rounding allow, and how often there was a bound."""
    rng = np.random.default_rng(seed)
    x, d = rng.integers(-8, 9, (2, 4, weights[0].shape[1])) / 4
    rays = torch.tensor(x), torch.tensor(d)
    module = as_module(weights, biases)
    with torch.no_grad():
        at = follow(module, *rays).radius * torch.tensor(rng.choice([0, 0.1, 0.5, 0.9, 0.999], 4))
        found = beyond(module, *rays, at, in_proportion)
    worst, bounded = 0.0, 0
    for i in range(4):
        departure = found.departure[i].numpy()
        rate, offset = (e[i].numpy() for e in found.rays.errors)
        bounded += np.isfinite(departure).all()
        for a, values in corners(weights, biases, x[i], d[i], float(at[i])):
            for k, value in enumerate(values):
                exact = abs(value - Fraction(float(found.rays.rate[i, k])) * a - Fraction(float(found.rays.offset[i, k])))
                if np.isfinite(departure[k]):
                    allowed = departure[k] * (float(a) if in_proportion else 1) + rate[k] * float(a) + offset[k]
                    worst = max(worst, float(exact) - allowed * (1 + 1e-12))
    return worst, bounded


@pytest.mark.parametrize("in_proportion", [False, True])
@pytest.mark.parametrize("sizes", [(1, 4, 2), (2, 4, 4, 3), (3, 3, 3, 3, 1)])
def test_bounds_hold_in_rational_arithmetic(sizes, in_proportion):
    """At every kink, so everywhere: what departs from a line is largest at one of them."""
    found = [excess(*network(seed, sizes), seed, in_proportion) for seed in range(25)]
    assert max(worst for worst, _ in found) <= 0
    assert sum(bounded for _, bounded in found) > 50


@pytest.mark.parametrize("in_proportion", [False, True])
def test_negative_control_of_bounds(in_proportion, monkeypatch):
    margin = departures._margin
    monkeypatch.setattr(departures, "_margin", lambda *args: 0.9 * margin(*args).clamp_max(0) + margin(*args).clamp_min(0))
    assert max(excess(*network(seed, (2, 4, 4, 3)), seed, in_proportion)[0] for seed in range(25)) > 0


def test_nothing_is_known_where_rounding_may_have_made_the_rate():
    # 0.1 + 0.2 - 0.3 is a rounding error, and its true value another.
    function = lambda x: torch.relu(x @ torch.tensor([[0.1], [0.2], [-0.3]], dtype=torch.float64) + 1)  # noqa: E731
    rays = torch.zeros(1, 3).double(), torch.ones(1, 3).double()
    assert beyond(function, *rays, torch.ones(1).double()).departure.isinf().all()
