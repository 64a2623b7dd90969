"""Deep ensembles.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
NeurIPS 2017: the mean prediction of networks that differ in their initial weights and in the order of the data. Their
adversarial training is left out, as in most later work.
"""

from dataclasses import dataclass, replace

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_integer
from knowlimits.train.networks import Settings, Trained, stream


@dataclass(repr=False, eq=False, kw_only=True)
class Ensemble(StackClassifier):
    """An ensemble of ReLU classifiers (Lakshminarayanan et al., 2017).

    Args:
        members: number of networks.
        bootstrap: train every network on a sample of the rows, drawn with replacement, and on that alone.
    """

    members: int = 10
    bootstrap: bool = False

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("members", self.members, 1)

    def _networks(self, task: Task) -> list[Settings]:
        networks = [self._network(task, seed) for seed in task.seeds(self.members)]
        if not self.bootstrap:
            return networks
        return [replace(s, rows=stream(s.seed, "bootstrap").choice(s.rows, len(s.rows))) for s in networks]

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        return stack([t.learnt.mean for t in trained])
