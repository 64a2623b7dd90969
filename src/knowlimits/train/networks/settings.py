"""What distinguishes one network of a population from another: its settings, its random numbers, the method it learns by.

A network's layers are matrices ``(out, in + 1)`` whose last column is the bias: the weight of a constant input 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from knowlimits.train.networks.loss import ClassWeight
from knowlimits.train.networks.weights import Weights

Layers = list[np.ndarray]

# Every purpose has a random stream of its own, so that a network that draws more for one (a larger dropout layer, say)
# keeps its draws for the others. The numbers are part of what makes a seed reproducible: never renumber them.
_STREAMS = {"init": 0, "anchor": 1, "bootstrap": 2, "order": 3, "dropout": 4, "noise": 5, "predict": 6, "holdout": 7}


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one network for one purpose."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS[purpose],))
    return np.random.Generator(np.random.SFC64(sequence))


class Method(ABC):
    """How a network learns: where its weights begin, and what they are pulled to beside the data. A frozen value.

    Attributes:
        weights: makes the weights of networks that train together, from their settings, the sizes of the population, the
            device and the number of mini-batches in an epoch. Methods of one population have the same.
        samples: weight samples of a training step; the same for all of a population, too.
    """

    weights: ClassVar[Callable[[Sequence["Settings"], tuple[int, ...], torch.device, int], Weights]]
    samples: int

    @abstractmethod
    def initial_layers(self, settings: "Settings") -> Layers:
        """Weights before training."""


@dataclass(frozen=True)
class Settings:
    """One network to train: its shape, its data, its random numbers and how it learns.

    Attributes:
        sizes: features, hidden widths, outputs (one output for two classes).
        seed: what all its random numbers hang on.
        rows: the rows of the shared data that it learns from, with repetitions for a bootstrap sample.
        method: how it learns.
        validation_rows: the rows that decide about early stopping; empty for none.
        learning_rate: step size of Adam.
        dropout: probability that a hidden unit is dropped in a training step.
        class_weight: ``(classes,)``, or that of each mini-batch.
        batch_size: rows of a mini-batch.
        epochs: passes over its rows.
        patience: it stops after so many epochs in a row without a better validation loss.
        watcher: makes a function that is called after each epoch with the number of epochs so far and the layers as they
            are then, tensors ``(out, in + 1)``; what it made is `Trained.watcher`.
    """

    sizes: tuple[int, ...]
    seed: int
    rows: np.ndarray
    method: Method
    validation_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    learning_rate: float = 1e-3
    dropout: float = 0.0
    class_weight: np.ndarray | ClassWeight | None = None
    batch_size: int = 64
    epochs: int = 20
    patience: int = 5
    watcher: Callable[[], Callable[[int, list[Tensor]], Any]] | None = None

    def __post_init__(self) -> None:
        weight = self.class_weight
        if not (weight is None or weight is ClassWeight.BATCH or isinstance(weight, np.ndarray)):
            raise ValueError(f"class_weight of a network must be an array, ClassWeight.BATCH or None. Got {weight!r} instead.")

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return self.sizes[1:-1]

    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of the layers, the bias column included."""
        return [(o, i + 1) for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True)]

    def initial_layers(self) -> Layers:
        """Weights before training."""
        return self.method.initial_layers(self)
