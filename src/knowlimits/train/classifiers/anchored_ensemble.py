"""Anchored ensembles.

Pearce, Leibfried, Brintrup, Zaki and Neely, "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", AISTATS
2020: every network is pulled, not to zero but to a draw of its own from the prior, so that the spread of the ensemble
approximates the posterior's.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from knowlimits.train.classifiers.base import StackClassifier, Task
from knowlimits.train.classifiers.checks import check_integer, check_real
from knowlimits.train.networks import Member


class AnchoredEnsemble(StackClassifier):
    """An ensemble whose networks are anchored to draws from a prior (Pearce et al., 2020).

    The loss of a network is ``mean cross-entropy + sum (theta - anchor)^2 / (2 variance) / n``. Weights start at a draw from
    the prior too, independent of the anchor (their algorithm 1).

    Args:
        hidden_sizes: width of every hidden layer.
        members: number of networks.
        prior_variance: the prior of a layer's weights and biases is N(0, prior_variance / inputs of the layer).
        learning_rate: step size of Adam.
        dropout: probability that a hidden unit is dropped in a training step; predictions drop none.
        class_weight: None; ``"batch"``, which makes the classes of every mini-batch equally heavy, as the paper does;
            ``"balanced"``, the same over all the data; or a dictionary from labels to weights.
        batch_size: rows of a mini-batch.
        epochs: largest number of passes over the data.
        patience: with a validation set, training stops after so many epochs in a row without a better loss on it.
        random_state: seed, as scikit-learn means it.
        device: torch device to train and predict on.
        verbose: show a progress bar.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (25, 25, 25),
        *,
        members: int = 10,
        prior_variance: float = 2.0,
        learning_rate: float = 0.005,
        dropout: float = 0.0,
        class_weight: dict | str | None = None,
        batch_size: int = 64,
        epochs: int = 100,
        patience: int = 5,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        verbose: bool = False,
    ):
        self.hidden_sizes = hidden_sizes
        self.members = members
        self.prior_variance = prior_variance
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.class_weight = class_weight
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("members", self.members, 1)
        check_real("prior_variance", self.prior_variance, 0)

    def _members(self, task: Task) -> list[Member]:
        members = [self._member(task, seed) for seed in task.seeds(self.members)]
        return [replace(m, prior_variance=self.prior_variance) for m in members]
