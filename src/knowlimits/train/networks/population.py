"""Training of many networks at once.

`train` gives every member exactly what training it alone would give, up to rounding: whatever differs between members is a
number per member, and a member's random numbers hang on its own seed. So it may group members as it likes, and does so
by what is fastest.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowlimits._machine import is_small, one_thread
from knowlimits.train.networks.backprop import Backprop, forward
from knowlimits.train.networks.dropout import Dropout
from knowlimits.train.networks.loss import ClassWeights, total_loss
from knowlimits.train.networks.members import Member, stream
from knowlimits.train.networks.padding import common_sizes
from knowlimits.train.networks.weights import GaussianWeights, PointWeights, unflatten

# What a training step costs however little it computes, in multiply-adds of a common processor: padding a group of
# networks up to another's sizes pays while it adds less than this.
_STEP_OVERHEAD = 6e6
# Members are trained in blocks whose activations of one batch stay below this many numbers.
_BLOCK_NUMBERS = 2**26


@dataclass(frozen=True)
class Trained:
    """A member after training.

    Attributes:
        layers: `(out, in + 1)` per layer, the bias last; the posterior means for a variational member.
        rho: the posterior `rho` of a variational member in the same shapes, else empty.
        epochs: passes over its data.
        validation_loss: weighted cross-entropy after every epoch; empty without validation rows.
    """

    layers: list[Tensor]
    rho: list[Tensor]
    epochs: int
    validation_loss: list[float]

    @property
    def diverged(self) -> bool:
        """Whether a weight is infinite or not a number."""
        return not all(bool(layer.isfinite().all()) for layer in [*self.layers, *self.rho])


def train(
    members: Sequence[Member],
    X: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    classes: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train every member on its rows of `X` and `y` with Adam (Kingma and Ba, 2015).

    Args:
        members: what to train; results come in the same order.
        X: features of all rows that any member learns from or is validated on.
        y: class indices, 0 to `classes` - 1.
        classes: number of classes.
        device: where to train.
        progress: called with the number of epochs of single members that were finished since the last call.
    """
    device = torch.device(device)
    # One column more, always 1: its weight is the bias.
    inputs = torch.ones(len(X), X.shape[1] + 1, device=device)
    inputs[:, :-1] = torch.tensor(X, dtype=torch.float32)
    targets = torch.tensor(y, dtype=torch.int64, device=device)
    results: dict[int, Trained] = {}
    weights = sum((i + 1) * o for m in members for i, o in itertools.pairwise(m.sizes))
    with torch.no_grad(), one_thread(is_small(weights)):
        for block in _blocks(members):
            population = _Population([members[m] for m in block], classes, device)
            population.run(inputs, targets, progress)
            results.update({m: population.trained(i) for i, m in enumerate(block)})
    return [results[m] for m in range(len(members))]


class _Population:
    """Members that take their steps together: as many rows, mini-batches and weight samples each."""

    def __init__(self, members: Sequence[Member], classes: int, device: torch.device):
        self._members = members
        self._device = device
        self._rows = len(members[0].rows)
        self._batch_size = members[0].batch_size
        batches = -(-self._rows // self._batch_size)
        common = common_sizes([m.sizes for m in members])
        if members[0].variational is None:
            self._weights: PointWeights | GaussianWeights = PointWeights(members, common, device)
        else:
            self._weights = GaussianWeights(members, common, device, batches)
        samples = self._weights.samples
        self._dropout = Dropout(members, common[1:-1], samples, device)
        self._backprop = Backprop(len(members) * samples, common[1:-1], device)
        self._class_weights = ClassWeights([m.class_weight for m in members], classes, device)
        self._order = [stream(m.seed, "order") for m in members]
        self._validation = np.stack([m.validation_rows for m in members])
        self._rates = [m.learning_rate for m in members]
        self._adam = _Adam(self._weights.theta, self._weights.step_sizes(self._rates))
        self._epochs = [0] * len(members)
        self._losses: list[list[float]] = [[] for _ in members]

    def run(self, X: Tensor, y: Tensor, progress: Callable[[int], None] | None) -> None:
        """Train until every member has had its epochs or has stopped."""
        active = set(range(len(self._members)))
        while active:
            self._epoch(X, y, epoch=self._epochs[min(active)])
            losses = self._validate(X, y)
            for m in sorted(active):
                self._epochs[m] += 1
                if losses is not None:
                    self._losses[m].append(losses[m])
                done = 1
                if stops(self._members[m], self._epochs[m], self._losses[m]):
                    active.remove(m)
                    done += self._members[m].epochs - self._epochs[m]
                    # A step of size zero: it keeps its weights while the others go on.
                    self._rates[m] = 0.0
                    self._adam.step_size = self._weights.step_sizes(self._rates)
                if progress:
                    progress(done)

    def trained(self, m: int) -> Trained:
        """What a member has learnt."""
        learnt = self._weights.trained(m)
        layers, rho = learnt if isinstance(learnt, tuple) else (learnt, [])
        return Trained([t.cpu() for t in layers], [t.cpu() for t in rho], self._epochs[m], self._losses[m])

    def _epoch(self, X: Tensor, y: Tensor, epoch: int) -> None:
        order = np.stack([m.rows[rng.permutation(self._rows)] for m, rng in zip(self._members, self._order, strict=True)])
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
            drawn = self._dropout.draw(rows.shape[1])
            sample = self._weights.sample(step)
            self._backprop(sample, views, inputs.transpose(1, 2), targets, weights, drawn)
            self._adam.step(self._weights.gradient(gradients, step))

    def _validate(self, X: Tensor, y: Tensor) -> list[float] | None:
        """Weighted cross-entropy of every member on its validation rows, without dropout, at the posterior mean."""
        count = self._validation.shape[1]
        if not count:
            return None
        rows = torch.from_numpy(self._validation).to(self._device)
        weights = self._class_weights(y[rows])
        total = torch.zeros(len(self._members), device=self._device)
        layers = self._weights.mean()
        widest = max(max(layer.shape[1:]) for layer in layers)
        chunk = max(1, _BLOCK_NUMBERS // (len(self._members) * widest))
        for start in range(0, count, chunk):
            part = slice(start, start + chunk)
            logits = forward(layers, X[rows[:, part]].transpose(1, 2))
            total += total_loss(logits, y[rows[:, part]], None if weights is None else weights[:, part])
        return (total / count).tolist()


def stops(member: Member, epochs: int, losses: Sequence[float]) -> bool:
    """Whether a member has had its epochs, or its validation loss has not improved for `patience` epochs."""
    if epochs >= member.epochs:
        return True
    if not losses:
        return False
    # A loss that is not a number is never the best.
    best = int(np.argmin([loss if loss == loss else np.inf for loss in losses]))
    return len(losses) - 1 - best >= member.patience


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


def _blocks(members: Sequence[Member]) -> Iterable[list[int]]:
    """Indices of members that train together, chosen by what is fastest and fits into memory."""
    alike = defaultdict(list)
    for index, m in enumerate(members):
        samples = m.variational.samples if m.variational else 0
        plan = (len(m.rows), len(m.validation_rows), m.batch_size, samples, m.sizes[0], m.sizes[-1], bool(m.hidden))
        alike[plan].append(index)
    for indices in alike.values():
        for group in _merge(members, indices):
            first = members[group[0]]
            samples = first.variational.samples if first.variational else 1
            units = sum(common_sizes([members[i].sizes for i in group]))
            limit = max(1, _BLOCK_NUMBERS // (units * first.batch_size * samples))
            yield from (group[i : i + limit] for i in range(0, len(group), limit))


def _merge(members: Sequence[Member], indices: Iterable[int]) -> list[list[int]]:
    """Group members of unequal sizes where the padding costs less than steps of their own."""

    def work(group: list[int]) -> float:
        sizes = common_sizes([members[i].sizes for i in group])
        weights = sum((i + 1) * o for i, o in itertools.pairwise(sizes))
        return _STEP_OVERHEAD + len(group) * members[group[0]].batch_size * weights

    by_sizes = defaultdict(list)
    for i in indices:
        by_sizes[members[i].sizes].append(i)
    groups: list[list[int]] = []
    for _, group in sorted(by_sizes.items(), key=lambda item: (len(item[0]), item[0])):
        if groups and work(groups[-1] + group) < work(groups[-1]) + work(group):
            groups[-1] = groups[-1] + group
        else:
            groups.append(group)
    return groups
