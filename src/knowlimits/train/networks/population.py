"""Training of many networks at once.

`train` gives every network exactly what training it alone would give, up to rounding: whatever differs between networks is a
number per network, and a network's random numbers hang on its own seed. So it may group networks as it likes, and does so
by what is fastest.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowlimits._machine import is_small, one_thread
from knowlimits.train.networks.backprop import Backprop, forward
from knowlimits.train.networks.loss import ClassWeights, total_loss
from knowlimits.train.networks.masks import MaskDraws
from knowlimits.train.networks.padding import common_sizes, extract
from knowlimits.train.networks.settings import Settings, stream
from knowlimits.train.networks.weights import Learnt, unflatten

# What a training step costs however little it computes, in multiply-adds of a common processor: padding a group of
# networks up to another's sizes pays while it adds less than this.
_STEP_OVERHEAD = 6e6
# Networks are trained in blocks whose activations of one batch stay below this many numbers.
_BLOCK_NUMBERS = 2**26


@dataclass(frozen=True)
class Trained:
    """A network after training.

    Attributes:
        learnt: its weights.
        epochs: passes over its data.
        validation_loss: weighted cross-entropy after every epoch; empty without validation rows.
        watcher: what `Settings.watcher` made for it, or None.
    """

    learnt: Learnt
    epochs: int
    validation_loss: list[float]
    watcher: Any = None


def train(
    settings: Sequence[Settings],
    X: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    classes: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train networks, each on its rows of `X` and `y`, with Adam (Kingma and Ba, 2015).

    Args:
        settings: what to train; results come in the same order.
        X: features of all rows that any network learns from or is validated on.
        y: class indices, 0 to `classes` - 1.
        classes: number of classes.
        device: where to train.
        progress: called with the number of epochs of single networks that were finished since the last call.
    """
    device = torch.device(device)
    # One column more, always 1: its weight is the bias.
    inputs = torch.ones(len(X), X.shape[1] + 1, device=device)
    inputs[:, :-1] = torch.tensor(X, dtype=torch.float32)
    targets = torch.tensor(y, dtype=torch.int64, device=device)
    results: dict[int, Trained] = {}
    weights = sum((i + 1) * o for s in settings for i, o in itertools.pairwise(s.sizes))
    with torch.no_grad(), one_thread(is_small(weights)):
        for block in _blocks(settings):
            population = _Population([settings[i] for i in block], classes, device)
            population.run(inputs, targets, progress)
            results.update({index: population.trained(n) for n, index in enumerate(block)})
    return [results[index] for index in range(len(settings))]


class _Population:
    """Networks that take their steps together: as many rows, mini-batches and weight samples each."""

    def __init__(self, settings: Sequence[Settings], classes: int, device: torch.device):
        self._settings = settings
        self._device = device
        self._rows = len(settings[0].rows)
        self._batch_size = settings[0].batch_size
        batches = -(-self._rows // self._batch_size)
        common = common_sizes([s.sizes for s in settings])
        self._weights = type(settings[0].method).weights(settings, common, device, batches)
        samples = self._weights.samples
        self._masks = MaskDraws(settings, common[1:-1], samples, device)
        self._backprop = Backprop(len(settings) * samples, common[1:-1], device)
        self._class_weights = ClassWeights([s.class_weight for s in settings], classes, device)
        self._order = [stream(s.seed, "order") for s in settings]
        self._validation = np.stack([s.validation_rows for s in settings])
        self._rates = [s.learning_rate for s in settings]
        self._adam = _Adam(self._weights.theta, self._weights.step_sizes(self._rates))
        self._epochs = [0] * len(settings)
        self._losses: list[list[float]] = [[] for _ in settings]
        self._watchers = [s.watcher() if s.watcher else None for s in settings]

    def run(self, X: Tensor, y: Tensor, progress: Callable[[int], None] | None) -> None:
        """Train until every network has had its epochs or has stopped."""
        active = set(range(len(self._settings)))
        while active:
            self._epoch(X, y, epoch=self._epochs[min(active)])
            losses = self._validate(X, y)
            for n in sorted(active):
                self._epochs[n] += 1
                if losses is not None:
                    self._losses[n].append(losses[n])
                if (watcher := self._watchers[n]) is not None:
                    watcher(self._epochs[n], extract(self._weights.mean(), n, self._settings[n].sizes))
                done = 1
                if stops(self._settings[n], self._epochs[n], self._losses[n]):
                    active.remove(n)
                    done += self._settings[n].epochs - self._epochs[n]
                    # A step of size zero: it keeps its weights while the others go on.
                    self._rates[n] = 0.0
                    self._adam.step_size = self._weights.step_sizes(self._rates)
                if progress:
                    progress(done)

    def trained(self, n: int) -> Trained:
        """Network `n` after training."""
        return Trained(self._weights.learnt(n).cpu(), self._epochs[n], self._losses[n], self._watchers[n])

    def _epoch(self, X: Tensor, y: Tensor, epoch: int) -> None:
        order = np.stack([s.rows[rng.permutation(self._rows)] for s, rng in zip(self._settings, self._order, strict=True)])
        gradients = torch.empty(sum(s.numel() for s in self._weights.shapes), device=self._device)
        views = unflatten(gradients, self._weights.shapes)
        starts = range(0, self._rows, self._batch_size)
        for step, start in enumerate(starts, epoch * len(starts)):
            rows = torch.from_numpy(order[:, start : start + self._batch_size]).to(self._device)
            targets = y[rows]
            weights = self._class_weights(targets)
            inputs = X[rows]
            if self._weights.samples > 1:
                inputs, targets = (t.repeat_interleave(self._weights.samples, 0) for t in (inputs, targets))
                weights = None if weights is None else weights.repeat_interleave(self._weights.samples, 0)
            masks = self._masks.draw(rows.shape[1])
            sample = self._weights.sample(step)
            self._backprop(sample, views, inputs.transpose(1, 2), targets, weights, masks)
            self._adam.step(self._weights.gradient(gradients, step))

    def _validate(self, X: Tensor, y: Tensor) -> list[float] | None:
        """Weighted cross-entropy of every network on its validation rows, without dropout, at the posterior mean."""
        count = self._validation.shape[1]
        if not count:
            return None
        rows = torch.from_numpy(self._validation).to(self._device)
        weights = self._class_weights(y[rows])
        total = torch.zeros(len(self._settings), device=self._device)
        layers = self._weights.mean()
        widest = max(max(layer.shape[1:]) for layer in layers)
        chunk = max(1, _BLOCK_NUMBERS // (len(self._settings) * widest))
        for start in range(0, count, chunk):
            part = slice(start, start + chunk)
            logits = forward(layers, X[rows[:, part]].transpose(1, 2))
            total += total_loss(logits, y[rows[:, part]], None if weights is None else weights[:, part])
        return (total / count).tolist()


def stops(settings: Settings, epochs: int, losses: Sequence[float]) -> bool:
    """Whether a network has had its epochs, or its validation loss has not improved for `patience` epochs."""
    if epochs >= settings.epochs:
        return True
    if not losses:
        return False
    # A loss that is not a number is never the best.
    best = int(np.argmin([loss if loss == loss else np.inf for loss in losses]))
    return len(losses) - 1 - best >= settings.patience


class _Adam:
    """Adam with a step size for every number, zero for those that stay as they are."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, theta: Tensor, step_size: Tensor):
        self._theta = theta
        self.step_size = step_size
        self._mean = torch.zeros_like(theta)
        self._square = torch.zeros_like(theta)
        self._buffer = torch.empty_like(theta)
        self._steps = 0

    def step(self, gradient: Tensor) -> None:
        self._steps += 1
        self._mean.lerp_(gradient, 1 - self.beta1)
        self._square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        scale = (1 - self.beta2**self._steps) ** -0.5
        denominator = torch.sqrt(self._square, out=self._buffer).mul_(scale).add_(self.epsilon)
        update = torch.div(self._mean, denominator, out=self._buffer)
        self._theta.addcmul_(update, self.step_size, value=-1 / (1 - self.beta1**self._steps))


def _blocks(settings: Sequence[Settings]) -> Iterable[list[int]]:
    """Indices of networks that train together, chosen by what is fastest and fits into memory."""
    alike = defaultdict(list)
    for index, s in enumerate(settings):
        method = (type(s.method).weights, s.method.samples)
        plan = (*method, len(s.rows), len(s.validation_rows), s.batch_size, s.sizes[0], s.sizes[-1], bool(s.hidden))
        alike[plan].append(index)
    for indices in alike.values():
        for group in _merge(settings, indices):
            first = settings[group[0]]
            units = sum(common_sizes([settings[i].sizes for i in group]))
            limit = max(1, _BLOCK_NUMBERS // (units * first.batch_size * first.method.samples))
            yield from (group[i : i + limit] for i in range(0, len(group), limit))


def _merge(settings: Sequence[Settings], indices: Iterable[int]) -> list[list[int]]:
    """Group networks of unequal sizes where the padding costs less than steps of their own."""

    def work(group: list[int]) -> float:
        sizes = common_sizes([settings[i].sizes for i in group])
        weights = sum((i + 1) * o for i, o in itertools.pairwise(sizes))
        return _STEP_OVERHEAD + len(group) * settings[group[0]].batch_size * weights

    by_sizes = defaultdict(list)
    for i in indices:
        by_sizes[settings[i].sizes].append(i)
    groups: list[list[int]] = []
    for _, group in sorted(by_sizes.items(), key=lambda item: (len(item[0]), item[0])):
        if groups and work(groups[-1] + group) < work(groups[-1]) + work(group):
            groups[-1] = groups[-1] + group
        else:
            groups.append(group)
    return groups
