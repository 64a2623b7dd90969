"""Linear regions: whether two maps are the same, against rational arithmetic cell by cell."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl
from knowlimits.plane import dyadic, residues
from tests.architectures import randomized
from tests.oracles.maps import ExactMaps


def pooled():
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3))


def averaged():
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.AvgPool2d(2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


def residual():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter, self.inner, self.leave = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(6, 2)

        def forward(self, x):
            h = self.enter(x)
            h = h + self.inner(torch.relu(h)).clamp(-1.0, 0.1)
            h[:, :2].relu_()
            # A constant that comes along, and units of which one takes away what another adds.
            return self.leave(torch.cat([h, 0.3 * torch.ones(len(h), 1)], 1)) + torch.relu(h[:, :1]) - torch.relu(h[:, :1])

    return Residual()


def compared():
    class Compared(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter, self.leave = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            h = self.enter(x).reshape(-1, 2, 3)
            # Of another number of axes, of a constant, and the same twice.
            h = torch.maximum(h, h[:, 0, :1].unsqueeze(1)) - torch.minimum(
                h.amax(1, keepdim=True), torch.tensor([0.3, -0.1, 2.0])
            )
            h = torch.cat([h, h.amin(2, keepdim=True).abs()], 2)[:, :, 1:]
            return self.leave(torch.relu(h).flatten(1))

    return Compared()


def spread():
    """Weights over 700 powers of two."""
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        network[0].weight[0] *= 2.0**-400
        network[2].weight[0] *= 2.0**300
        network[2].bias[1] = 0.0
    return network


NETWORKS = {
    "pooled": (pooled, (1, 4, 4)),
    "averaged": (averaged, (1, 4, 4)),
    "residual": (residual, (4,)),
    "compared": (compared, (4,)),
    "spread": (spread, (4,)),
}


def partition(name, seed):
    """Cells of a network; by the seed weights of few digits, pairs of equal units, and units that nothing looks at."""
    make, shape = NETWORKS[name]
    torch.manual_seed(seed)
    network = randomized(make()).double().eval()
    with torch.no_grad():
        for module in network.modules():
            if not isinstance(module, nn.Linear | nn.Conv2d) or name == "spread":
                continue
            if seed % 4 == 1:
                module.weight.mul_(2).round_()
            if seed % 4 == 2:
                module.weight[1], module.bias[1] = module.weight[0], module.bias[0]
            if seed % 4 == 3:
                module.weight[:, 0] = 0
    drawn = np.random.default_rng(seed).normal(size=(3, *shape))
    return kl.partition(network, kl.Plane(*drawn), box=(-3, 3, -3, 3))


def is_same(p, first, second):
    """By the library and by the oracle."""
    exact = ExactMaps(p._model.run)
    maps = {cell: exact([words[cell] for words in p._steps]) for cell in {*first.tolist(), *second.tolist()}}
    expected = [maps[a] == maps[b] for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return p._model.same_maps(p._steps, first, second).tolist(), expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_as_in_rational_arithmetic(name, seed, monkeypatch):
    """By what has no way to the outputs and by residues, and by residues alone."""
    p = partition(name, seed)
    first, second = p.neighbours[np.random.default_rng(seed).permutation(len(p.neighbours))[:30]].T
    found, expected = is_same(p, first, second)
    assert found == expected
    monkeypatch.setattr(residues, "_may_differ", lambda run, first, second, forms: np.ones(len(first[0]), dtype=bool))
    assert p._model.same_maps(p._steps, first, second).tolist() == expected


def test_some_are_the_same_and_some_are_not():
    kinds = [set(is_same(p, *p.neighbours[:30].T)[1]) for p in (partition("pooled", seed) for seed in range(4))]
    assert set.union(*kinds) == {False, True}


def sequence(*layers):
    """A network of weights and biases."""
    modules = []
    for weight, bias in layers:
        linear = nn.Linear(len(weight[0]), len(weight)).double()
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight, dtype=torch.float64))
            linear.bias.copy_(torch.tensor(bias, dtype=torch.float64))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("power", [-52, -300, -1000])
def test_maps_that_differ_by_less_than_rounding_are_not_the_same(power):
    """Two units that cancel but for one digit, which rounding could have made; or a slope far below the constant."""
    enter = [[1.0, 0.5], [1.0, 0.5]], [0.0, 0.0]
    if power == -52:
        network = sequence(enter, ([[1.0, -1.0 - 2.0**power]], [3.0]))
    else:
        network = sequence(enter, ([[1.0, -1.0], [2.0**power, 0.0]], [3.0, 0.0]), ([[1.0, 1.0]], [0.0]))
    p = kl.partition(network)
    regions = p.merged()
    assert len(regions) == len(p) >= 2
    assert regions.resolved > 0


def test_maps_of_units_that_cancel_are_the_same():
    p = kl.partition(sequence(([[0.3, 0.7]] * 2, [0.1, 0.1]), ([[0.1, -0.1]], [0.2])))
    assert (len(p), len(p.merged())) == (2, 1)


def test_one_prime_would_not_do():
    """Maps that differ by a multiple of the first primes."""
    first, second = dyadic.primes()[:2]
    p = kl.partition(sequence(([[1.0, 0.0]], [0.0]), ([[float(first * second)]], [0.0])))
    found, _ = residues._maps(p._model.run, p._steps, 2, first, [])
    assert (found[0] == found[1]).all()
    assert p._model.same_maps(p._steps, np.array([0]), np.array([1])).tolist() == [False]


def test_residues_of_floats():
    """Against Python's integers, from the smallest float to the largest."""
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(size=50) * 2.0 ** rng.integers(-1000, 1000, 50), [0.0, -0.0, 5e-324, -1.7e308, 0.1, -3.0]]
    )
    found = dyadic.Dyadic(values)
    ratios = [float(v).as_integer_ratio() for v in values]
    assert found.bits == max(d.bit_length() - 1 for _, d in ratios)
    assert found.size >= math.log2(1.7e308)
    for prime in dyadic.primes()[:3]:
        expected = [n * pow(d, -1, prime) % prime for n, d in ratios]
        assert (found.modulo(prime) % prime).astype(int).tolist() == expected
        assert np.abs(found.modulo(prime)).max() <= prime / 2


def test_primes():
    primes = dyadic.primes()
    assert primes[:3] == [2097143, 2097133, 2097131]
    assert primes[-3:] == [7, 5, 3]


def test_work_does_not_grow_with_integers_cell_by_cell(monkeypatch):
    """The model runs once for each prime, whatever the number of cells."""
    p, runs = partition("pooled", 0), []
    assert len(p.affine) > 40
    run = p._model.run
    monkeypatch.setattr(p._model, "run", lambda *args: runs.append(1) or run(*args))
    p.merged()
    assert len(runs) == 1
    runs.clear()
    # Without what tells most pairs apart beforehand there are primes left.
    monkeypatch.setattr(residues, "_may_differ", lambda run, first, second, forms: np.ones(len(first[0]), dtype=bool))
    p.merged()
    assert 5 < len(runs) < 40
