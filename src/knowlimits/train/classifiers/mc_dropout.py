"""Monte Carlo dropout.

Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning", ICML 2016: the mean
prediction of one network over random dropout masks. The masks are drawn once, when the classifier is fitted, and folded
into the weights, so that every member is a ReLU network and predictions repeat.
"""

from collections.abc import Sequence

import numpy as np
import torch

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_integer
from knowlimits.train.networks import Member, Trained, stream
from knowlimits.train.networks.dropout import draw_masks


class MCDropout(StackClassifier):
    """A ReLU classifier that predicts with dropout, one member per mask (Gal and Ghahramani, 2016).

    Args:
        hidden_sizes: width of every hidden layer.
        members: number of dropout masks.
        learning_rate: step size of Adam.
        dropout: probability that a hidden unit is dropped in a training step
            and in every mask.
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
        members: int = 50,
        learning_rate: float = 0.001,
        dropout: float = 0.1,
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

    def _build_stack(self, task: Task, members: list[Member], trained: list[Trained]) -> Stack:
        rng = stream(members[0].seed, "predict")
        masks = draw_masks(rng, self.dropout, self.hidden_sizes, self.members)
        layers = trained[0].layers
        networks = []
        for m in range(self.members):
            # A mask acts on a layer's outputs, which is to say on the columns of the next layer's weights.
            folded = [layers[0]]
            for layer, mask in zip(layers[1:], masks, strict=True):
                columns = np.append(mask[m], 1.0)
                folded.append(layer.double() * torch.from_numpy(columns))
            networks.append(folded)
        return stack(networks)
