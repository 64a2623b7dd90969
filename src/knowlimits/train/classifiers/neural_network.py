"""A plain ReLU classifier."""

from collections.abc import Sequence

import numpy as np

from knowlimits.train.classifiers.base import StackClassifier


class NeuralNetwork(StackClassifier):
    """A plain ReLU classifier: a stack of one member, trained by Adam on the cross-entropy.

    Args:
        hidden_sizes: width of every hidden layer.
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
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.class_weight = class_weight
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.verbose = verbose
