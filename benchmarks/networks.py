"""Networks of the kinds that people try first, trained here in seconds, each with a plane of its inputs and boxes in it.

They stand for networks that are not ours to copy. What slows a partition down is not what a network was trained for but what
training leaves: many layers, units that are off with large weights behind them, weights of 32 bits, units that share weights.

- ACAS-like: 6 x 50 from 5 inputs to the scores of 5 advisories, as ACAS Xu (G. Katz et al., "Reluplex", CAV 2017): 12 to 18 of
  50 units are on, and the weights of a row add up to 80 to 100.
- MNIST-like: 9 x 200 and 4 x 256, the sizes of VNN-COMP, on scikit-learn's digits, by this library's own training.
- residual: six blocks h + W relu(V h + b) on digits.
- convolutional, with and without max-pooling: two convolutions on the middle 6 x 6 pixels of digits.
- phishing-like: 2,151 weights on the 30 columns of the breast cancer data, on the whole plane.
- weights of off units: 35 of 50 units of each layer are off, with weights of one size behind them, which is all that differs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

import knowlimits as kl

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Network:
    """A trained network and where to look at it.

    Attributes:
        module: the network, in float32 unless it says otherwise.
        hidden: how many units each of its layers has.
        plane: a plane of its inputs; None for two inputs.
        boxes: boxes of the plane, each of more cells than the one before; None the whole plane.
    """

    module: torch.nn.Module
    hidden: tuple[int, ...]
    plane: kl.Plane | None
    boxes: tuple[Box | None, ...]


def acas_like() -> Network:
    """32 units of each layer to work with, and 18 that are off but for few inputs, with large weights behind them."""
    torch.manual_seed(0)
    working, steps, rate = 32, 2500, 0.01
    net = torch.nn.Sequential(*_hidden(5, (50,) * 6), torch.nn.Linear(50, 5))
    with torch.no_grad():
        for layer in net[:-1:2]:
            layer.weight.normal_(std=1.0 if layer is net[0] else 0.4)
            layer.bias.zero_()[working:] = -6
            if layer is not net[0]:
                layer.weight[:, working:] *= 10
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        x = torch.rand(256, 5) - 0.5
        loss = torch.nn.functional.smooth_l1_loss(net(x), _advisories(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    # Distance and bearing, as the pictures of ACAS Xu show them.
    plane = kl.Plane(np.array([0.0, 0.0, 0.1, 0.2, -0.1]), np.eye(5)[0], np.eye(5)[1])
    return Network(net, (50,) * 6, plane, tuple((-s / 2, s / 2, -s / 2, s / 2) for s in (0.1, 0.3, 1.0)))


def _advisories(x: torch.Tensor) -> torch.Tensor:
    """Made-up scores of five advisories: clear of conflict, and four turns that matter where the other aircraft is near."""
    distance, bearing, heading, own, other = (x + 0.5).T
    near = torch.relu(1 - 1.5 * distance)
    turns = (
        near * torch.cos(4 * torch.pi * bearing - k) + 0.5 * torch.sin(4 * torch.pi * heading + k) * (own - other)
        for k in (0.5, -0.5, 1.5, -1.5)
    )
    return 10 * torch.stack([torch.full_like(distance, 0.3), *turns], dim=1)


def mnist_like(hidden: tuple[int, ...]) -> Network:
    X, y = _digits()
    model = kl.NeuralNetwork(hidden_sizes=hidden, epochs=20, random_state=0).fit(X.reshape(len(X), -1), y)
    return Network(model.stack_.member(0), hidden, _through(X.reshape(len(X), -1), y), _sides(0.1, 0.3, 1.0))


class Block(torch.nn.Module):
    """h + W relu(V h + b)."""

    def __init__(self, width: int):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(width, width), torch.nn.Linear(width, width, bias=False)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.outer(torch.relu(self.inner(h)))


def residual() -> Network:
    X, y = _digits()
    X = X.reshape(len(X), -1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), *(Block(64) for _ in range(6)), torch.nn.Linear(64, 10))
    return Network(_fitted(net, X, y), (64,) * 6, _through(X, y), _sides(0.3, 1.0))


def convolutional(pooled: bool = False) -> Network:
    """Two convolutions of 8 and 16 channels: 128 and 64 units, or 288 and 16 x 9 with 2 x 2 pooling between them."""
    X, y = _digits()
    X = X[:, None, 1:7, 1:7]
    torch.manual_seed(0)
    if pooled:
        parts = [torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        parts += [torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.ReLU()]
        hidden, features = (288, 144), 144
    else:
        parts = [torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3), torch.nn.ReLU()]
        hidden, features = (128, 64), 64
    net = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(features, 10))
    return Network(_fitted(net, X, y), hidden, _through(X, y), (*_sides(1.0), None))


def phishing_like() -> Network:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = kl.NeuralNetwork(hidden_sizes=(32, 22, 18), epochs=30, random_state=0).fit(X, y)
    return Network(model.stack_.member(0), (32, 22, 18), kl.Plane.pca(X), (None,))


def off_units(size: float) -> Network:
    """15 of 50 units in each of six layers are on, in float64; the weights behind the others are normal of this size."""
    rng = np.random.default_rng(0)
    net = torch.nn.Sequential(*_hidden(2, (50,) * 6), torch.nn.Linear(50, 5)).double()
    for i, layer in enumerate(net[:-1:2]):
        weight, bias = rng.normal(size=layer.weight.shape) * 0.6, rng.normal(size=50) * 0.3
        bias[15:] = -100.0
        if i:
            weight[:, 15:] = rng.normal(size=(50, 35)) * size
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    return Network(net, (50,) * 6, None, ((-1, 1, -1, 1),))


#: Each trains where it is called.
NETWORKS: dict[str, Callable[[], Network]] = {
    "ACAS-like, 6 x 50": acas_like,
    "MNIST-like, 9 x 200": lambda: mnist_like((200,) * 9),
    "MNIST-like, 4 x 256": lambda: mnist_like((256,) * 4),
    "residual, 6 blocks of 64": residual,
    "convolutional, 6 x 6": convolutional,
    "convolutional with max-pooling, 6 x 6": lambda: convolutional(pooled=True),
    "phishing-like, 2,151 weights": phishing_like,
    **{f"weights of {size} behind off units, 6 x 50": lambda size=size: off_units(size) for size in (0.5, 2, 4, 8)},
}


def _hidden(inputs: int, sizes: tuple[int, ...]) -> list[torch.nn.Module]:
    pairs = zip((inputs, *sizes), sizes, strict=False)
    return [part for i, o in pairs for part in (torch.nn.Linear(i, o), torch.nn.ReLU())]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.images / 16, data.target


def _fitted(net: torch.nn.Module, X: np.ndarray, y: np.ndarray, epochs: int = 20) -> torch.nn.Module:
    rows, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(rows[batch]), targets[batch]).backward()
            optimizer.step()
    return net.eval()


def _through(X: np.ndarray, y: np.ndarray) -> kl.Plane:
    """The plane of the first rows of three classes, at (0, 0), (1, 0) and (0, 1)."""
    return kl.Plane.through(*(X[y == k][0] for k in (1, 4, 7)))


def _sides(*sides: float) -> tuple[Box, ...]:
    return tuple((0.0, side, 0.0, side) for side in sides)
