"""Bayes by backprop.

Blundell, Cornebise, Kavukcuoglu and Wierstra, "Weight Uncertainty in Neural Networks", ICML 2015: a Gaussian over every
weight, fitted by variational inference with a scale-mixture prior. The weights of the members are drawn from it once,
when the classifier is fitted.
"""

from dataclasses import dataclass

import numpy as np

from knowlimits.model.stack import Stack
from knowlimits.options import check_choice
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_integer, check_real
from knowlimits.train.networks import KLWeights, Settings, Trained, Variational, stream


@dataclass(repr=False, eq=False, kw_only=True)
class BayesByBackprop(StackClassifier):
    """A ReLU classifier with a Gaussian over every weight, one member per weight sample (Blundell et al., 2015).

    The KL term sums over all weights of the network, the likelihood over the rows. At its full weight, ``beta=1``, a hundred
    rows do not outweigh it and the network underfits, so that the default is colder. A prior with much of its mass next to 0 (a
    small `prior_sigma2`), steps that are too few or too small to take the standard deviations to the prior's, and a KL term
    that is there from the start, take all weights to 0 before there is anything to hold them: the prediction is then near the
    share of each class, whatever the input.

    Args:
        members: number of weight samples to predict with.
        posterior_mu: centre of the initial posterior means, which are N(posterior_mu, 0.1^2).
        posterior_rho: centre of the initial `rho`, N(posterior_rho, 0.1^2); a weight's standard deviation is log(1 + exp(rho)).
        prior_pi: weight of the first component of the prior, a mixture of two Gaussians around 0.
        prior_sigma1: standard deviation of the first component.
        prior_sigma2: standard deviation of the second component.
        beta: weight of the KL term beside the log likelihood of all rows; 1 is Bayes' rule, less is a colder posterior.
        anneal: let the KL term grow from 0 over the first 40% of the steps.
        kl_weights: how the KL term is spread over the mini-batches of an epoch: ``"geometric"``, most of it on
            the first, as Blundell et al. prefer (section 3.4), or ``"uniform"``.
        samples: weight samples per training step.
    """

    members: int = 50
    posterior_mu: float = 0.0
    posterior_rho: float = -4.0
    prior_pi: float = 0.5
    prior_sigma1: float = 1.0
    prior_sigma2: float = 0.5
    beta: float = 0.1
    anneal: bool = True
    kl_weights: str = "geometric"
    samples: int = 3
    learning_rate: float = 0.005

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("members", self.members, 1)
        check_integer("samples", self.samples, 1)
        check_real("posterior_mu", self.posterior_mu, -np.inf)
        check_real("posterior_rho", self.posterior_rho, -np.inf)
        check_real("prior_pi", self.prior_pi, 0, 1)
        check_real("prior_sigma1", self.prior_sigma1, 0)
        check_real("prior_sigma2", self.prior_sigma2, 0)
        check_real("beta", self.beta, 0, bounds="[)")
        check_choice("kl_weights", self.kl_weights, KLWeights)

    def _networks(self, task: Task) -> list[Settings]:
        method = Variational(
            mu=self.posterior_mu,
            rho=self.posterior_rho,
            prior_pi=self.prior_pi,
            prior_sigma1=self.prior_sigma1,
            prior_sigma2=self.prior_sigma2,
            beta=self.beta,
            anneal=self.anneal,
            kl_weights=KLWeights(self.kl_weights),
            samples=self.samples,
        )
        return [self._network(task, seed, method) for seed in task.seeds(1)]

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        rng = stream(settings[0].seed, "predict")
        return stack([trained[0].learnt.draw(rng) for _ in range(self.members)])
