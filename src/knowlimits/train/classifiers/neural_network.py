"""A plain ReLU classifier."""

from dataclasses import dataclass

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.networks import Settings, Trained


@dataclass(repr=False, eq=False, kw_only=True)
class NeuralNetwork(StackClassifier):
    """A plain ReLU classifier: a stack of one member, trained by Adam on the cross-entropy."""

    def _networks(self, task: Task) -> list[Settings]:
        return [self._network(task, seed) for seed in task.seeds(1)]

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        return stack([t.learnt.mean for t in trained])
