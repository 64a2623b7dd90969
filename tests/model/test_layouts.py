"""How numbers lie in memory changes nothing: chains of moves, convolutions and work in place, against forward passes."""

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl
from knowlimits.follow import follow
from knowlimits.testing import draw_rays


class Chain(nn.Module):
    """Steps drawn at random, each of which is told by its name and by parameters drawn once."""

    def __init__(self, seed: int, shape: tuple[int, ...], integers: bool):
        super().__init__()
        self.rng, self.integers, self.steps = np.random.default_rng(seed), integers, []
        x = torch.zeros(2, *shape, dtype=torch.float64)
        for _ in range(self.rng.integers(4, 10)):
            name, step = self.drawn(tuple(x.shape[1:]))
            self.steps.append((name, step))
            x = step(x)
        last = self.weights(2, x[0].numel())
        self.steps.append(("last", lambda x: nn.functional.linear(x.reshape(len(x), -1), last)))

    def weights(self, *shape: int) -> torch.Tensor:
        w = self.rng.integers(-2, 3, shape) if self.integers else self.rng.normal(size=shape)
        return torch.tensor(w, dtype=torch.float64)

    def drawn(self, shape: tuple[int, ...]):
        """A step for inputs of a shape."""
        rng, axes = self.rng, len(shape)
        permuted = [0, *(1 + rng.permutation(axes)).tolist()]
        axis, cut = int(rng.integers(axes)) + 1, int(rng.integers(1, 4))
        size = shape[axis - 1]
        sizes = factors(int(np.prod(shape)), rng)
        bias = self.weights(*shape)
        steps = {
            "permute": lambda x: x.permute(permuted),
            "reshape": lambda x: x.reshape(len(x), *sizes),
            "flatten": lambda x: x.flatten(1),
            "relu": torch.relu,
            "add": lambda x: x + bias,
            "clone": lambda x: x.clone(),
            "contiguous": lambda x: x.permute(permuted).contiguous(),
            "roll": lambda x: x.roll(cut, axis),
            "flip": lambda x: x.flip(axis),
            "expand": lambda x: x.unsqueeze(1).expand(len(x), 2, *shape),
            "slice": lambda x: torch.stack([x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)], axis),
            "strided": lambda x: x[(slice(None),) * axis + (slice(None, None, 2),)],
            "windows": lambda x: x.unfold(axis, min(2, size), 1),
            "cat": lambda x: torch.cat([x.permute(permuted), torch.ones_like(x.permute(permuted))], 1),
            # Whether the reshape is a view, so that x is written to as well, hangs on how x lies in memory.
            "in place": lambda x: (y := x.clone().permute(permuted), y.reshape(len(x), -1).relu_(), y + 1)[2],
            "in place on a part": lambda x: (y := x.clone(), y.select(axis, 0).neg_(), y)[2],
            "in place on rows": lambda x: (y := torch.relu(x.permute(permuted)) - 1, y.flatten(1).relu_(), y)[2],
        }  # fmt: skip
        if axes > 1:
            steps["transpose"] = lambda x: x.transpose(1, axes)
            steps["mT"] = lambda x: x.mT
        if axes == 3:
            kernel, kernels = self.weights(3, shape[0], 1, 1), self.weights(2, shape[-1], 1, 1)
            steps["convolution"] = lambda x: nn.functional.conv2d(x, kernel)
            steps["channels last"] = lambda x: nn.functional.conv2d(x.permute(0, 3, 1, 2), kernels).permute(0, 2, 3, 1)
            steps["memory format"] = lambda x: nn.functional.conv2d(
                x.to(memory_format=torch.channels_last), kernel.to(memory_format=torch.channels_last)
            )
            steps["pool"] = lambda x: nn.functional.max_pool2d(x, 2, ceil_mode=True)
        weight = self.weights(3, shape[-1])
        steps["linear"] = lambda x: nn.functional.linear(x, weight)
        allowed = [name for name in steps if np.prod(shape) < 40 or name not in ("expand", "windows", "cat", "linear")]
        name = str(rng.choice(allowed))
        return name, steps[name]

    def forward(self, x):
        for _, step in self.steps:
            x = step(x)
        return x


def factors(size, rng):
    """A size as a product of up to three sizes."""
    first = rng.choice([k for k in range(1, size + 1) if size % k == 0])
    second = rng.choice([k for k in range(1, size // first + 1) if size // first % k == 0])
    sizes = [int(first), int(second), int(size // first // second)]
    return sizes[: rng.integers(1, 4)] if rng.random() < 0.2 and sizes[1] * sizes[2] == 1 else sizes


def check(network, shape, rng, integers=False):
    """Affine maps, cells and exact signs of a network against its forward passes; how many signs were in doubt."""
    drawn = rng.integers(-2, 3, size=(3, *shape)) if integers else rng.normal(size=(3, *shape))
    drawn[1].flat[0], drawn[2].flat[0], drawn[1].flat[-1], drawn[2].flat[-1] = 1, 0, 0, 1
    plane = kl.Plane(*drawn)
    p = kl.partition(network, plane)
    points = 2 * rng.normal(size=(300, 2))
    cell = p.locate(points)
    assert (cell >= 0).all()
    values = np.einsum("nok,nk->no", p.affine[cell], np.c_[points, np.ones(len(points))])
    with torch.no_grad():
        expected = network(torch.tensor(plane.lift(points))).numpy()
    np.testing.assert_allclose(values, expected, atol=1e-9 * (1 + np.abs(expected).max()))
    for i in range(20):
        assert p._nearest(points[i]) == cell[i]
    return p.resolved


@pytest.mark.parametrize("block", range(5))
def test_chains_of_moves_and_convolutions(block):
    resolved = 0
    for seed in range(12 * block, 12 * block + 12):
        rng = np.random.default_rng(seed)
        shape = [(2, 3, 2), (4, 3), (12,), (1, 4, 3)][seed % 4]
        network = Chain(seed, shape, integers=seed % 3 == 0)
        try:
            resolved += check(network, shape, rng, integers=seed % 3 == 0)
        except Exception as error:
            raise AssertionError(f"{seed}: {shape}, {[name for name, _ in network.steps]}") from error
    assert resolved > 0


@pytest.mark.parametrize("block", range(5))
def test_limits_of_chains_of_moves_and_convolutions(block):
    for seed in range(30 * block, 30 * block + 30):
        shape = [(2, 3, 2), (4, 3), (12,), (1, 4, 3)][seed % 4]
        network = Chain(seed, shape, integers=seed % 3 == 0)
        origins, directions = draw_rays(shape, 6, seed)
        with torch.no_grad():
            for certify in (False, True):
                end = follow(network, origins, directions, certify=certify)
                a = (2 * end.radius + 1)[:, None]
                expected = network(origins + a.reshape(-1, *[1] * len(shape)) * directions)
                names = [name for name, _ in network.steps]
                size = 1 + expected.abs().amax()
                assert ((end.rate * a + end.offset - expected).abs() < 1e-9 * size).all(), (seed, names)


class ChannelsLast(nn.Module):
    """As converters from TensorFlow write a convolution."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 3, 2).double(), nn.Linear(12, 2).double()

    def forward(self, x):
        return self.last(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).relu().reshape(-1, 12))


def test_channels_last():
    torch.manual_seed(0)
    check(ChannelsLast(), (3, 3, 1), np.random.default_rng(0))


@pytest.mark.parametrize("integers", [False, True])
def test_a_reshape_that_copies_is_no_view(integers):
    """What is written into it is not seen in what it was copied from."""

    class Module(nn.Module):
        def forward(self, x):
            y = x.reshape(-1, 2, 3).transpose(1, 2) * 1.0
            copy, view = y.reshape(-1, 6), y.transpose(1, 2).reshape(-1, 6)
            copy.relu_()
            return torch.cat([y.flatten(1), copy, view], 1)

    check(Module(), (6,), np.random.default_rng(0), integers)
