"""A Gaussian over every weight, learnt by Bayes by backprop.

Blundell, Cornebise, Kavukcuoglu and Wierstra, "Weight Uncertainty in Neural Networks", ICML 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from knowlimits.train.networks.padding import extract, place, trainable
from knowlimits.train.networks.settings import Layers, Method, Settings, stream
from knowlimits.train.networks.weights import Learnt, Weights, flatten, spread, unflatten

# Share of all steps over which an annealed KL term grows to its full weight, as in Ulmer and Cina's code.
_ANNEALED_SHARE = 0.4


class KLWeights(StrEnum):
    """How the KL term is spread over the `M` mini-batches of an epoch (Blundell et al., 2015, section 3.4)."""

    #: ``2**(M - i) / (2**M - 1)`` for mini-batch `i`: most of it on the first.
    GEOMETRIC = "geometric"
    #: ``1 / M`` for each.
    UNIFORM = "uniform"


class GaussianWeights(Weights):
    """A Gaussian over every weight, N(mu, log(1 + exp(rho))^2), learnt by Bayes by backprop.

    The objective of mini-batch `i` is ``mean cross-entropy + beta * pi_i * M / rows * KL``, with `M` mini-batches in an
    epoch and weights `pi_i` that add up to 1: minus the evidence bound of Blundell et al. (2015, eq. 8 and section 3.4),
    per row. The entropy of the posterior is exact; the expectation of its scale-mixture prior (eq. 7) is the mean over the
    step's weight samples.
    """

    def __init__(self, settings: Sequence[Settings], common: tuple[int, ...], device: torch.device, batches: int):
        self._settings = settings
        self._methods = methods = [_variational(s) for s in settings]
        self._batches = batches
        self._device = device
        self.samples = methods[0].samples
        initial = [s.initial_layers() for s in settings]
        layers = place(initial, common)
        self._shapes = [layer.shape for layer in layers]
        self.shapes = [torch.Size((s[0] * self.samples, *s[1:])) for s in self._shapes]
        rho = place([method.initial_rho(s) for method, s in zip(methods, settings, strict=True)], common)
        self.theta = torch.cat([flatten(layers), flatten(rho)]).to(device)
        mask = trainable(initial, common)
        self._trainable = flatten(mask).to(device)
        # Where a network's own weights lie among all of its padded ones: only these get noise.
        self._own = torch.cat([layer.flatten(1) for layer in mask], dim=1).bool().numpy()
        self._streams = [stream(s.seed, "noise") for s in settings]
        self._prior_pi, self._prior_sigma1, self._prior_sigma2 = (
            torch.tensor([getattr(method, name) for method in methods], dtype=torch.float32, device=device)[:, None, None, None]
            for name in ("prior_pi", "prior_sigma1", "prior_sigma2")
        )
        self._noise: list[Tensor] = []
        self._weights: list[Tensor] = []

    def _mu_rho(self) -> tuple[list[Tensor], list[Tensor]]:
        mu, rho = self.theta.chunk(2)
        return unflatten(mu, self._shapes), unflatten(rho, self._shapes)

    def step_sizes(self, rates: Sequence[float]) -> Tensor:
        """The networks' learning rates as one number for each of `theta`, 0 where a weight is not to be trained."""
        return (spread(rates, self._shapes, self.theta.device) * self._trainable).repeat(2)

    def mean(self) -> list[Tensor]:
        """Posterior means of every layer; views into `theta`."""
        return self._mu_rho()[0]

    def sample(self, step: int) -> list[Tensor]:
        """Weights of a step: `samples` of the first network, then of the second, and so on."""
        noise = np.zeros((len(self._settings), self.samples, self._own.shape[1]), dtype=np.float32)
        for i, (rng, own) in enumerate(zip(self._streams, self._own, strict=True)):
            noise[i][:, own] = rng.standard_normal((self.samples, own.sum()), dtype=np.float32)
        parts = torch.from_numpy(noise).to(self._device).split([s[1] * s[2] for s in self._shapes], dim=2)
        self._noise = [part.unflatten(2, s[1:]) for part, s in zip(parts, self._shapes, strict=True)]
        self._weights = [
            mu[:, None] + softplus(rho)[:, None] * noise for mu, rho, noise in zip(*self._mu_rho(), self._noise, strict=True)
        ]
        return [weight.flatten(0, 1) for weight in self._weights]

    def gradient(self, likelihood: Tensor, step: int) -> Tensor:
        """Gradient of the objective, from that of every sample's mean cross-entropy (Blundell et al., section 3.2)."""
        kl = self._kl_weight(step)
        to_mu, to_rho = [], []
        layers = unflatten(likelihood, self.shapes)
        for grad, weight, noise, rho in zip(layers, self._weights, self._noise, self._mu_rho()[1], strict=True):
            grad = grad.view_as(weight) + kl[:, None] * self._minus_log_prior_gradient(weight)
            to_mu.append(grad.mean(1))
            to_rho.append(((grad * noise).mean(1) - kl / softplus(rho)) * rho.sigmoid())
        return torch.cat([flatten(to_mu), flatten(to_rho)])

    def learnt(self, network: int) -> Learnt:
        """The posterior of a network, without padding."""
        sizes = self._settings[network].sizes
        mu, rho = (extract(layers, network, sizes) for layers in self._mu_rho())
        return Learnt(mu, [softplus(layer.double()) for layer in rho])

    def _minus_log_prior_gradient(self, weight: Tensor) -> Tensor:
        pi, sigma1, sigma2 = self._prior_pi, self._prior_sigma1, self._prior_sigma2
        precision1, precision2 = sigma1**-2, sigma2**-2
        log_odds = (pi * sigma2 / ((1 - pi) * sigma1)).log() - 0.5 * (precision1 - precision2) * weight**2
        first = log_odds.sigmoid()
        return weight * (first * precision1 + (1 - first) * precision2)

    def _kl_weight(self, step: int) -> Tensor:
        """Weight of the KL term beside the mean cross-entropy, ``(networks, 1, 1)``."""
        weights = []
        for settings, method in zip(self._settings, self._methods, strict=True):
            share = 1 / self._batches
            if method.kl_weights == KLWeights.GEOMETRIC:
                share = 0.5 ** (step % self._batches + 1) / (1 - 0.5**self._batches)
            warm_up = _ANNEALED_SHARE * settings.epochs * self._batches
            annealed = min(step / warm_up, 1.0) if method.anneal else 1.0
            weights.append(method.beta * annealed * share * self._batches / len(settings.rows))
        return torch.tensor(weights, dtype=torch.float32, device=self._device)[:, None, None]


@dataclass(frozen=True)
class Variational(Method):
    """Bayes by backprop.

    Attributes:
        mu: mean of the initial posterior means.
        rho: mean of the initial `rho`; a posterior's standard deviation is ``log(1 + exp(rho))``.
        prior_pi: weight of the first component of the scale-mixture prior (eq. 7).
        prior_sigma1: standard deviation of its first component.
        prior_sigma2: standard deviation of its second component.
        beta: weight of the KL term beside the likelihood; 1 is Bayes' rule.
        anneal: let the KL term's weight grow linearly from 0 to `beta` over the first 40% of all steps.
        kl_weights: how the KL term is spread over the mini-batches of an epoch.
        samples: weight samples per step.
    """

    mu: float
    rho: float
    prior_pi: float
    prior_sigma1: float
    prior_sigma2: float
    beta: float
    anneal: bool
    kl_weights: KLWeights
    samples: int

    weights = GaussianWeights

    def initial_layers(self, settings: Settings) -> Layers:
        """Normal around `mu`."""
        rng = stream(settings.seed, "init")
        return [rng.normal(self.mu, 0.1, shape) for shape in settings.shapes()]

    def initial_rho(self, settings: Settings) -> Layers:
        """Posterior `rho` before training; drawn after the means, from the same stream."""
        rng = stream(settings.seed, "init")
        for shape in settings.shapes():
            rng.normal(size=shape)
        return [rng.normal(self.rho, 0.1, shape) for shape in settings.shapes()]


def _variational(settings: Settings) -> Variational:
    if not isinstance(settings.method, Variational):
        raise TypeError(f"method must be Variational where weights are Gaussians. Got {settings.method!r} instead.")
    return settings.method
