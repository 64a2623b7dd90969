"""Monte Carlo dropout.

Gal and Ghahramani, "Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning", ICML 2016: the mean
prediction of one network over random dropout masks. The masks are drawn once, when the classifier is fitted, and folded
into the weights, so that every member is a ReLU network and predictions repeat.
"""

from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_integer
from knowlimits.train.networks import Settings, Trained, stream
from knowlimits.train.networks.masks import draw_masks


@dataclass(repr=False, eq=False, kw_only=True)
class MCDropout(StackClassifier):
    """A ReLU classifier that predicts with dropout, one member per mask (Gal and Ghahramani, 2016).

    Args:
        members: number of dropout masks.
        dropout: probability that a hidden unit is dropped in a training step and in every mask.
    """

    members: int = 50
    dropout: float = 0.1

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("members", self.members, 1)

    def _networks(self, task: Task) -> list[Settings]:
        return [self._network(task, seed) for seed in task.seeds(1)]

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        rng = stream(settings[0].seed, "predict")
        masks = draw_masks(rng, self.dropout, self.hidden_sizes, self.members)
        layers = trained[0].learnt.mean
        networks = []
        for m in range(self.members):
            # A mask acts on a layer's outputs, which is to say on the columns of the next layer's weights.
            folded = [layers[0]]
            for layer, mask in zip(layers[1:], masks, strict=True):
                columns = np.append(mask[m], 1.0)
                folded.append(layer.double() * torch.from_numpy(columns))
            networks.append(folded)
        return stack(networks)
