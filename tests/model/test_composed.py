"""Networks that are put together: their values against numpy's, their limits against themselves far away, or against mpmath."""

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

from knowlimits.follow import follow
from knowlimits.limits.probabilities import limiting_probabilities
from knowlimits.model.arrays import both
from knowlimits.model.calibrations import Isotonic, Sigmoids, SoftenedLogarithm, Temperature
from knowlimits.model.composed import (
    Answer,
    Answers,
    Mixture,
    OneVsRest,
    Part,
    Picked,
    SideBySide,
)
from knowlimits.model.stack import Stack

FEATURES = 3


def stack(seed: int, classes: int = 3, members: int = 1, scale: float = 1.0) -> Stack:
    random = np.random.default_rng(seed)
    sizes = [FEATURES, 8, classes]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [torch.tensor(random.normal(size=(members, *shape)) * scale) for shape in shapes]
    return Stack(weights, [torch.tensor(random.normal(size=(members, n))) for n in sizes[1:]]).requires_grad_(False)


class Placed(nn.Module):
    """A network that has some of three classes."""

    def __init__(self, network: Stack, own: tuple[int, ...], classes: int = 3):
        super().__init__()
        self.network, self.places, self.members = network, (own, classes), network.members

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)


class Alone(nn.Module):
    """A module as one member."""

    members = 1

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[None]


def points(n: int = 20, seed: int = 9) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, FEATURES)))


def probabilities(network: Stack, x: torch.Tensor) -> np.ndarray:
    return network(x).softmax(-1).numpy()


def limits(module: nn.Module, settled: bool = False, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Limits along rays, and what the module says at a radius of 1e8."""
    x, d = points(n, 1), points(n, 2)
    rays = follow(module, x, d)
    far = module(x + 1e8 * d)
    if settled:
        assert not rays.rate.any()
        return rays.offset.numpy(), far.numpy()
    return limiting_probabilities(rays.rate.numpy(), rays.offset.numpy()), far.softmax(-1).numpy()


def test_columns():
    x = points()
    np.testing.assert_array_equal(Picked([2, 0])(x), x[:, [2, 0]])


def test_part_is_the_mean_over_all_members():
    networks = [stack(0, members=2), stack(1)]
    expected = np.concatenate([probabilities(network, points()) for network in networks]).mean(0)
    np.testing.assert_allclose(Part(networks, 3).probabilities(points()), expected, rtol=1e-12)
    np.testing.assert_allclose(Part(networks, 3).log_probabilities(points()).exp(), expected, rtol=1e-12)


def test_part_with_members_that_lack_classes_and_have_them_in_another_order():
    networks = [stack(0, 2), stack(1, 3), stack(2, 2)]
    part = Part([Placed(networks[0], (0, 2)), Placed(networks[1], (2, 0, 1)), Placed(networks[2], (0, 1))], 3)
    expected = np.zeros((20, 3))
    for network, own in zip(networks, [(0, 2), (2, 0, 1), (0, 1)], strict=True):
        expected[:, own] += probabilities(network, points())[0] / 3
    assert part.places == (0, 1, 2)
    np.testing.assert_allclose(part.probabilities(points()), expected, rtol=1e-12)


def test_part_without_a_class_that_none_of_its_members_has():
    part = Part([Placed(stack(0, 2), (0, 2))], 3)
    assert part.places == (0, 2)
    np.testing.assert_allclose(Answers(part, Answer.PROBABILITIES)(points())[:, 1], 0)


def test_scores_are_the_mean_of_differences_of_two_logits_or_of_logits():
    two, three = stack(0, 2, members=4), stack(1, 3, members=4)
    logits = two(points()).numpy()
    np.testing.assert_allclose(Part([two], 2).scores(points())[:, 0], (logits[..., 1] - logits[..., 0]).mean(0))
    np.testing.assert_allclose(Part([three], 3).scores(points()), three(points()).mean(0))


@pytest.mark.parametrize("weights", [None, (1, 2, 5), (3, 0, 1)])
def test_mixture(weights: tuple[int, ...] | None):
    networks = [stack(seed, members=2) for seed in range(3)]
    mixture = Mixture([Part([network], 3) for network in networks], weights)
    expected = np.average([probabilities(network, points()).mean(0) for network in networks], axis=0, weights=weights)
    np.testing.assert_allclose(mixture(points())[0].exp(), expected, rtol=1e-12)
    ends, far = limits(mixture)
    np.testing.assert_allclose(ends, far, atol=1e-6)


def test_a_mixture_of_parts_that_are_sure_of_different_classes_ends_at_their_weights():
    networks = [nn.Linear(FEATURES, 2, dtype=torch.float64).requires_grad_(False) for _ in range(2)]
    for network, sign in zip(networks, (1, -1), strict=True):
        network.weight.copy_(torch.tensor([[0.0] * FEATURES, [sign] * FEATURES]))
    mixture = Mixture([Part([Alone(network)], 2) for network in networks], (1, 3))
    rays = follow(mixture, torch.zeros(1, FEATURES).double(), torch.ones(1, FEATURES).double())
    np.testing.assert_allclose(limiting_probabilities(rays.rate.numpy(), rays.offset.numpy())[0, 0], [0.75, 0.25], rtol=1e-12)


def test_mixture_with_a_part_that_lacks_a_class():
    parts = [Part([Placed(stack(0, 2), (0, 2))], 3), Part([stack(1)], 3)]
    expected = probabilities(stack(1), points())[0] * 0.75
    expected[:, [0, 2]] += probabilities(stack(0, 2), points())[0] * 0.25
    np.testing.assert_allclose(Mixture(parts, (1, 3))(points())[0].exp(), expected, rtol=1e-12)
    ends, far = limits(Mixture(parts, (1, 3)))
    np.testing.assert_allclose(ends, far, atol=1e-6)


@pytest.mark.parametrize("weights", [(1, 2), (1, -1, 1), (0, 0, 0), (1, np.nan, 1)])
def test_weights_that_are_none(weights: tuple[float, ...]):
    with pytest.raises(ValueError, match="weights must be 3 numbers of at least 0"):
        Mixture([Part([stack(seed)], 3) for seed in range(3)], weights)


def test_one_vs_rest():
    networks = [stack(seed, 1, members=1 + seed) for seed in range(3)]
    module = OneVsRest([Part([network], 2) for network in networks])
    p = np.stack([probabilities(network, points()).mean(0)[:, 1] for network in networks], 1)
    np.testing.assert_allclose(module(points())[0].exp(), p / p.sum(1, keepdims=True), rtol=1e-12)


def test_one_vs_rest_where_all_underflow_against_mpmath():
    networks = [stack(seed, 1) for seed in range(3)]
    x, d = points(60, 1), points(60, 2)
    rays = follow(OneVsRest([Part([network], 2) for network in networks]), x, d)
    ends = limiting_probabilities(rays.rate.numpy(), rays.offset.numpy())[0]
    f = np.stack([network(x + 1e7 * d)[0, :, 1].numpy() for network in networks], 1)
    underflow = np.flatnonzero((f < -800).all(1))
    assert len(underflow) > 3
    for row in underflow:
        p = [1 / (1 + mpmath.exp(-mpmath.mpf(float(value)))) for value in f[row]]
        np.testing.assert_allclose(ends[row], [float(value / sum(p)) for value in p], atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [((-3.0, -2.0, -5.0), (1.0, 0.5, 2.0)), ((0.0, 0.0, 0.0), (1.0, 0.5, 2.0))])
def test_sigmoids_of_several_classes(a: tuple[float, ...], b: tuple[float, ...]):
    module = nn.Sequential(Answers(Part([stack(0, members=2)], 3), Answer.PROBABILITIES), Sigmoids(a, b, binary=False))
    p = 1 / (1 + np.exp(probabilities(stack(0, members=2), points()).mean(0) * a + b))
    np.testing.assert_allclose(module(points())[0].exp(), p / p.sum(1, keepdims=True), rtol=1e-12)
    ends, far = limits(module)
    np.testing.assert_allclose(ends, far, atol=1e-6)


def test_sigmoid_of_two_classes():
    module = nn.Sequential(Answers(Part([stack(0, 1)], 2), Answer.LAST), Sigmoids([-4.0], [1.5], binary=True))
    p = probabilities(stack(0, 1), points())[0, :, 1]
    logits = module(points())[0]
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], 4 * p - 1.5, rtol=1e-12)
    np.testing.assert_allclose(logits.logsumexp(1), 0, atol=1e-12)


STEEP = (np.array([0.2, 0.2 + 1e-13, 0.5, 0.500001, 0.9]), np.array([0.0, 0.4, 0.4, 0.7, 1.0]))
ZERO = (np.array([0.3, 0.6, 0.8]), np.array([0.0, 0.0, 0.5]))
CONSTANT = (np.array([0.4]), np.array([0.25]))


def test_isotonic_of_two_classes_with_steep_pieces():
    module = Isotonic([STEEP], [1], 2)
    f = torch.cat([torch.linspace(-1, 2, 301).double(), torch.tensor(STEEP[0])])[:, None]
    expected = np.interp(f[:, 0].numpy(), *STEEP)
    np.testing.assert_allclose(module(f)[0], np.stack([1 - expected, expected], 1), atol=1e-14)


def test_isotonic_of_several_classes():
    module = Isotonic([STEEP, ZERO, CONSTANT], [0, 1, 2], 3)
    f = torch.tensor(np.random.default_rng(0).uniform(-0.5, 1.5, size=(200, 3)))
    p = np.stack([np.interp(f[:, k].numpy(), *curve) for k, curve in enumerate([STEEP, ZERO, CONSTANT])], 1)
    np.testing.assert_allclose(module(f)[0], p / p.sum(1, keepdims=True), atol=1e-13)


def test_isotonic_of_classes_that_are_all_0_is_even():
    np.testing.assert_array_equal(Isotonic([ZERO, ZERO, ZERO], [0, 1, 3], 4)(torch.zeros(1, 3).double()), 0.25)


@pytest.mark.parametrize("classes", [2, 3])
def test_isotonic_along_rays(classes: int):
    answers = Answers(Part([stack(0, classes)], classes), Answer.LAST if classes == 2 else Answer.PROBABILITIES)
    module = nn.Sequential(
        answers, Isotonic([STEEP], [1], 2) if classes == 2 else Isotonic([STEEP, ZERO, CONSTANT], [0, 1, 2], 3)
    )
    ends, far = limits(module, settled=True)
    np.testing.assert_allclose(ends, far, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_temperature_of_scores(classes: int):
    network = stack(0, classes)
    module = nn.Sequential(Answers(Part([network], max(classes, 2)), Answer.SCORES), Temperature(0.3))
    f = network(points())[0].numpy()
    logits = np.stack([-f[:, 1], f[:, 1]], 1) if classes == 1 else f
    expected = np.exp(0.3 * logits) / np.exp(0.3 * logits).sum(1, keepdims=True)
    np.testing.assert_allclose(both(module(points()))[0].softmax(-1), expected, rtol=1e-12)


def test_temperature_of_probabilities_ends_short_of_certainty():
    part = Part([stack(0, members=2)], 3)
    module = nn.Sequential(SoftenedLogarithm(part, 1e-12), Temperature(0.1))
    expected = torch.log(part.probabilities(points()) + 1e-12) * 0.1
    np.testing.assert_allclose(module(points())[0], expected, rtol=1e-9)
    ends, far = limits(module)
    np.testing.assert_allclose(ends, far, atol=1e-6)
    assert ends.max() < 0.95


def test_side_by_side_with_the_rows_themselves():
    part = Part([stack(0)], 3)
    module = SideBySide([Answers(part, Answer.PROBABILITIES), Answers(part, Answer.SCORES), nn.Identity()])
    expected = np.concatenate([part.probabilities(points()), part.scores(points()), points()], 1)
    np.testing.assert_allclose(module(points()), expected)


class Settled(nn.Module):
    """A network that returns probabilities which cannot be undone."""

    def __init__(self, network: Stack, one: bool = False):
        super().__init__()
        self.network, self.members, self.one = network, network.members, one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.network(x).softmax(-1)
        return p[..., 1:] if self.one else p


def test_parts_that_return_probabilities():
    given = Part([Settled(stack(0, 1, members=2), one=True)], 2, settled=True)
    logits = Part([stack(1, 2)], 2)
    first, second = given.probabilities(points()), logits.probabilities(points())
    np.testing.assert_allclose(first, probabilities(stack(0, 1, members=2), points()).mean(0))
    mixture = Mixture([given, logits], (1, 3))
    assert mixture.settled
    np.testing.assert_allclose(mixture(points())[0], first * 0.25 + second * 0.75)
    compared = OneVsRest([given, logits, logits])
    ends, far = limits(compared, settled=True)
    np.testing.assert_allclose(ends, far, atol=1e-6)
    p = np.stack([first[:, 1], second[:, 1], second[:, 1]], 1)
    assert compared.settled
    np.testing.assert_allclose(compared(points())[0], p / p.sum(1, keepdims=True))
    ends, far = limits(mixture, settled=True)
    np.testing.assert_allclose(ends, far, atol=1e-6)
    with pytest.raises(ValueError, match="could not be undone"):
        given.log_probabilities(points())
