"""Anchored ensembles.

Pearce, Leibfried, Brintrup, Zaki and Neely, "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", AISTATS
2020: every network is pulled, not to zero but to a draw of its own from the prior, so that the spread of the ensemble
approximates the posterior's.
"""

from dataclasses import dataclass

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_integer, check_real
from knowlimits.train.networks import Point, Settings, Trained


@dataclass(repr=False, eq=False, kw_only=True)
class AnchoredEnsemble(StackClassifier):
    """An ensemble whose networks are anchored to draws from a prior (Pearce et al., 2020).

    The loss of a network is ``mean cross-entropy + sum (theta - anchor)^2 / (2 variance) / n``. Weights start at a draw from
    the prior too, independent of the anchor (their algorithm 1).

    Args:
        members: number of networks.
        prior_variance: the prior of a layer's weights and biases is N(0, prior_variance / inputs of the layer).
    """

    members: int = 10
    prior_variance: float = 2.0
    learning_rate: float = 0.005

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("members", self.members, 1)
        check_real("prior_variance", self.prior_variance, 0)

    def _networks(self, task: Task) -> list[Settings]:
        return [self._network(task, seed, Point(self.prior_variance)) for seed in task.seeds(self.members)]

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        return stack([t.learnt.mean for t in trained])
