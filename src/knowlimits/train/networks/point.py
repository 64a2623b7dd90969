"""Weights that are numbers, pulled to an anchor each where there is a prior.

Pearce, Leibfried, Brintrup, Zaki and Neely, "Uncertainty in Neural Networks: Approximately Bayesian Ensembling", AISTATS 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from knowlimits.train.networks.padding import extract, place, trainable
from knowlimits.train.networks.settings import Layers, Method, Settings, stream
from knowlimits.train.networks.weights import Learnt, Weights, flatten, spread, unflatten


class PointWeights(Weights):
    """Weights that are numbers, with the anchored ensemble's penalty where a network has a prior.

    The penalty is ``sum (theta - anchor)^2 / (2 prior variance) / rows``, beside the mean cross-entropy: minus the
    logarithm of the posterior with the prior moved to the anchor, per row (Pearce et al., 2020, section 3).
    """

    samples = 1

    def __init__(self, settings: Sequence[Settings], common: tuple[int, ...], device: torch.device, batches: int):
        initial = [s.initial_layers() for s in settings]
        layers = place(initial, common)
        self.shapes = [layer.shape for layer in layers]
        self._trainable = flatten(trainable(initial, common)).to(device)
        self.theta = flatten(layers).to(device)
        self._sizes = [s.sizes for s in settings]
        self._precision: Tensor | None = None
        pulls = [_pull(s) for s in settings]
        if any(pull is not None for pull in pulls):
            nothing = [[0.0 * layer for layer in layers] for layers in initial]
            anchors, precisions = zip(*[pull or (zero, zero) for pull, zero in zip(pulls, nothing, strict=True)], strict=True)
            self._anchor = flatten(place(anchors, common, identity=0.0)).to(device)
            self._precision = flatten(place(precisions, common, identity=0.0)).to(device)

    def step_sizes(self, rates: Sequence[float]) -> Tensor:
        """The networks' learning rates as one number for each of `theta`, 0 where a weight is not to be trained."""
        return spread(rates, self.shapes, self.theta.device) * self._trainable

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

    def learnt(self, network: int) -> Learnt:
        """What a network has learnt, without padding."""
        return Learnt(extract(self.mean(), network, self._sizes[network]))


@dataclass(frozen=True)
class Point(Method):
    """Weights that are numbers.

    Attributes:
        prior_variance: the anchored ensemble's prior N(0, prior_variance / fan_in), or None for no anchor.
    """

    prior_variance: float | None = None

    weights = PointWeights
    samples = 1

    def initial_layers(self, settings: Settings) -> Layers:
        """Uniform on +-1/sqrt(fan_in), as `torch.nn.Linear` starts; from the prior where there is one (their algorithm 1)."""
        rng = stream(settings.seed, "init")
        if self.prior_variance is not None:
            return self._draw_prior(settings, rng)
        return [rng.uniform(-1, 1, shape) / np.sqrt(shape[1] - 1) for shape in settings.shapes()]

    def anchors(self, settings: Settings) -> Layers:
        """The values that the penalty pulls the weights to."""
        return self._draw_prior(settings, stream(settings.seed, "anchor"))

    def prior_variances(self, settings: Settings) -> list[float]:
        """Variance of the prior, per layer."""
        if self.prior_variance is None:
            raise ValueError("a method without prior_variance has no anchors.")
        return [self.prior_variance / (shape[1] - 1) for shape in settings.shapes()]

    def _draw_prior(self, settings: Settings, rng: np.random.Generator) -> Layers:
        scales = np.sqrt(self.prior_variances(settings))
        return [rng.normal(0, scale, shape) for scale, shape in zip(scales, settings.shapes(), strict=True)]


def _pull(settings: Settings) -> tuple[Layers, Layers] | None:
    """The anchors of a network and how strongly each pulls, or None."""
    method = settings.method
    if not isinstance(method, Point) or method.prior_variance is None:
        return None
    anchors = method.anchors(settings)
    strengths = [1 / (len(settings.rows) * variance) for variance in method.prior_variances(settings)]
    return anchors, [0.0 * layer + strength for layer, strength in zip(anchors, strengths, strict=True)]
