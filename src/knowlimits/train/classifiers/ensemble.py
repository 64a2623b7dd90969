"""Deep ensembles.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
NeurIPS 2017: the mean prediction of networks that differ in their initial weights and in the order of the data. Their
adversarial training is left out, as in most later work.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from knowlimits.train.classifiers.base import StackClassifier, Task
from knowlimits.train.classifiers.checks import check_integer
from knowlimits.train.networks import Member, stream


class Ensemble(StackClassifier):
    """An ensemble of ReLU classifiers (Lakshminarayanan et al., 2017).

    Args:
        hidden_sizes: width of every hidden layer.
        members: number of networks.
        bootstrap: train every network on a sample of the rows, drawn with replacement, and on that alone.
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
        bootstrap: bool = False,
        learning_rate: float = 0.001,
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
        self.bootstrap = bootstrap
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

    def _members(self, task: Task) -> list[Member]:
        members = [self._member(task, seed) for seed in task.seeds(self.members)]
        if not self.bootstrap:
            return members
        return [replace(m, rows=stream(m.seed, "bootstrap").choice(m.rows, len(m.rows))) for m in members]
