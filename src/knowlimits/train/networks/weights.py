"""What a population learns: weights that are numbers, or a Gaussian over each weight.

Both keep all they learn in one flat tensor `theta`, laid out layer after layer, so that the optimiser is a handful of
operations however many networks and layers there are. `sample` gives the weights of a step, and `gradient` turns the
likelihood's gradient with respect to these into that of the whole objective with respect to `theta`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from knowlimits.train.networks.members import Member, stream
from knowlimits.train.networks.padding import extract, place, trainable

# Share of all steps over which an annealed KL term grows to its full weight, as in Ulmer and Cina's code.
_ANNEALED_SHARE = 0.4


def flatten(layers: Sequence[Tensor]) -> Tensor:
    """One flat tensor, layer after layer."""
    return torch.cat([layer.reshape(-1) for layer in layers])


def unflatten(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The layers as views into a flat tensor: the inverse of `flatten`."""
    return [part.view(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]


def _spread(values: Sequence[float], shapes: Sequence[torch.Size], device: torch.device) -> Tensor:
    """One number per member as one per weight, flat."""
    members = torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
    return flatten([members.expand(shape) for shape in shapes])


class PointWeights:
    """Weights that are numbers, with the anchored ensemble's penalty where a member has a prior.

    The penalty is ``sum (theta - anchor)^2 / (2 prior variance) / rows``, beside the mean cross-entropy: minus the
    logarithm of the posterior with the prior moved to the anchor, per row (Pearce et al., 2020, section 3).
    """

    samples = 1

    def __init__(self, members: Sequence[Member], common: tuple[int, ...], device: torch.device):
        layers = place([m.initial_layers() for m in members], common)
        self.shapes = [layer.shape for layer in layers]
        self._trainable = flatten(trainable([m.initial_layers() for m in members], common)).to(device)
        self.theta = flatten(layers).to(device)
        self._members = members
        self._precision: Tensor | None = None
        if any(m.prior_variance is not None for m in members):
            anchors, precisions = [], []
            for m in members:
                zeros = [0.0 * layer for layer in m.initial_layers()]
                if m.prior_variance is None:
                    anchors.append(zeros)
                    precisions.append(zeros)
                else:
                    anchors.append(m.anchors())
                    scale = [1 / (len(m.rows) * variance) for variance in m.prior_variances()]
                    precisions.append([zero + s for zero, s in zip(zeros, scale, strict=True)])
            self._anchor = flatten(place(anchors, common, identity=0.0)).to(device)
            self._precision = flatten(place(precisions, common, identity=0.0)).to(device)

    def step_sizes(self, rates: Sequence[float]) -> Tensor:
        """The members' learning rates as one number for each of `theta`, 0 where a weight is not to be trained."""
        return _spread(rates, self.shapes, self.theta.device) * self._trainable

    def mean(self) -> list[Tensor]:
        """Weights of every layer; views into `theta`."""
        return unflatten(self.theta, self.shapes)

    def sample(self, step: int) -> list[Tensor]:
        """The weights of a step."""
        return self.mean()

    def gradient(self, likelihood: Tensor, step: int) -> Tensor:
        """Gradient of the objective, from that of the mean cross-entropy."""
        if self._precision is not None:
            likelihood.addcmul_(self._precision, self.theta - self._anchor)
        return likelihood

    def trained(self, member: int) -> list[Tensor]:
        """What member number `member` has learnt, without padding."""
        return extract(self.mean(), member, self._members[member].sizes)


class GaussianWeights:
    """A Gaussian over every weight, N(mu, log(1 + exp(rho))^2), learnt by Bayes by backprop.

    The objective of mini-batch `i` is ``mean cross-entropy + beta * pi_i * M / rows * KL``, with `M` mini-batches in an
    epoch and weights `pi_i` that add up to 1: minus the evidence bound of Blundell et al. (2015, eq. 8 and section 3.4),
    per row. The entropy of the posterior is exact; the expectation of its scale-mixture prior (eq. 7) is the mean over the
    step's weight samples.
    """

    def __init__(self, members: Sequence[Member], common: tuple[int, ...], device: torch.device, batches: int):
        self._members = members
        self._settings = [m.variational for m in members if m.variational is not None]
        self._batches = batches
        self._device = device
        self.samples = self._settings[0].samples
        initial = [m.initial_layers() for m in members]
        layers = place(initial, common)
        self._shapes = [layer.shape for layer in layers]
        self.shapes = [torch.Size((s[0] * self.samples, *s[1:])) for s in self._shapes]
        self.theta = torch.cat([flatten(layers), flatten(place([m.initial_rho() for m in members], common))]).to(device)
        mask = trainable(initial, common)
        self._trainable = flatten(mask).to(device)
        # Where a member's own weights lie among all of its padded ones: only these get noise.
        self._own = torch.cat([m.flatten(1) for m in mask], dim=1).bool().numpy()
        self._streams = [stream(m.seed, "noise") for m in members]
        self._prior_pi, self._prior_sigma1, self._prior_sigma2 = (
            torch.tensor([getattr(s, name) for s in self._settings], dtype=torch.float32, device=device)[:, None, None, None]
            for name in ("prior_pi", "prior_sigma1", "prior_sigma2")
        )
        self._noise: list[Tensor] = []
        self._weights: list[Tensor] = []

    def _mu_rho(self) -> tuple[list[Tensor], list[Tensor]]:
        mu, rho = self.theta.chunk(2)
        return unflatten(mu, self._shapes), unflatten(rho, self._shapes)

    def step_sizes(self, rates: Sequence[float]) -> Tensor:
        """The members' learning rates as one number for each of `theta`, 0 where a weight is not to be trained."""
        return (_spread(rates, self._shapes, self.theta.device) * self._trainable).repeat(2)

    def mean(self) -> list[Tensor]:
        """Posterior means of every layer; views into `theta`."""
        return self._mu_rho()[0]

    def sample(self, step: int) -> list[Tensor]:
        """Weights of a step: `samples` networks of the first member, then of the second, and so on."""
        noise = np.zeros((len(self._members), self.samples, self._own.shape[1]), dtype=np.float32)
        for m, (rng, own) in enumerate(zip(self._streams, self._own, strict=True)):
            noise[m][:, own] = rng.standard_normal((self.samples, own.sum()), dtype=np.float32)
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

    def trained(self, member: int) -> tuple[list[Tensor], list[Tensor]]:
        """Posterior mu and rho of member number `member`, without padding."""
        sizes = self._members[member].sizes
        mu, rho = self._mu_rho()
        return extract(mu, member, sizes), extract(rho, member, sizes)

    def _minus_log_prior_gradient(self, weight: Tensor) -> Tensor:
        pi, sigma1, sigma2 = self._prior_pi, self._prior_sigma1, self._prior_sigma2
        precision1, precision2 = sigma1**-2, sigma2**-2
        log_odds = (pi * sigma2 / ((1 - pi) * sigma1)).log() - 0.5 * (precision1 - precision2) * weight**2
        first = log_odds.sigmoid()
        return weight * (first * precision1 + (1 - first) * precision2)

    def _kl_weight(self, step: int) -> Tensor:
        """Weight of the KL term beside the mean cross-entropy, ``(members, 1, 1)``."""
        weights = []
        for member, s in zip(self._members, self._settings, strict=True):
            share = 1 / self._batches
            if s.kl_weights == "geometric":
                share = 0.5 ** (step % self._batches + 1) / (1 - 0.5**self._batches)
            warm_up = _ANNEALED_SHARE * member.epochs * self._batches
            annealed = min(step / warm_up, 1.0) if s.anneal else 1.0
            weights.append(s.beta * annealed * share * self._batches / len(member.rows))
        return torch.tensor(weights, dtype=torch.float32, device=self._device)[:, None, None]
