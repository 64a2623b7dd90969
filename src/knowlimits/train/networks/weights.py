"""What a population learns, whatever method it learns by.

All that is learnt is one flat tensor `theta`, laid out layer after layer, so that the optimiser is a handful of operations
however many networks and layers there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Learnt:
    """What a network has learnt, a matrix `(out, in + 1)` per layer, the bias last.

    Attributes:
        mean: the weights, or the means of Gaussians over them.
        deviation: the standard deviations of these; empty where weights are numbers.
    """

    mean: list[Tensor]
    deviation: list[Tensor] = field(default_factory=list)

    @property
    def finite(self) -> bool:
        """Whether every number is."""
        return all(bool(layer.isfinite().all()) for layer in [*self.mean, *self.deviation])

    def cpu(self) -> "Learnt":
        """The same in the processor's memory."""
        return Learnt([t.cpu() for t in self.mean], [t.cpu() for t in self.deviation])

    def draw(self, rng: np.random.Generator) -> list[Tensor]:
        """The weights of one network from the Gaussians, in float64."""
        return [
            mean.double() + deviation.double() * torch.from_numpy(rng.standard_normal(mean.shape))
            for mean, deviation in zip(self.mean, self.deviation, strict=True)
        ]


class Weights(ABC):
    """The weights of networks that train together.

    Attributes:
        theta: all that is learnt, flat; the optimiser changes it in place.
        shapes: of the layers of a step, which are those of `sample`.
        samples: networks of a step for each network that learns.
    """

    theta: Tensor
    shapes: list[torch.Size]
    samples: int

    @abstractmethod
    def step_sizes(self, rates: Sequence[float]) -> Tensor:
        """The networks' learning rates as one number for each of `theta`, 0 where a weight is not to be trained."""

    @abstractmethod
    def mean(self) -> list[Tensor]:
        """The layers to validate, one `(networks, out, in + 1)` each."""

    @abstractmethod
    def sample(self, step: int) -> list[Tensor]:
        """The layers of a step, one `(networks * samples, out, in + 1)` each; the samples of a network lie together."""

    @abstractmethod
    def gradient(self, likelihood: Tensor, step: int) -> Tensor:
        """Gradient of the objective with respect to `theta`, from that of the mean cross-entropy to the step's weights."""

    @abstractmethod
    def learnt(self, network: int) -> Learnt:
        """What a network has learnt, without padding."""


def flatten(layers: Sequence[Tensor]) -> Tensor:
    """One flat tensor, layer after layer."""
    return torch.cat([layer.reshape(-1) for layer in layers])


def unflatten(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The layers as views into a flat tensor: the inverse of `flatten`."""
    return [part.view(shape) for part, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]


def spread(values: Sequence[float], shapes: Sequence[torch.Size], device: torch.device) -> Tensor:
    """One number per network as one per weight, flat."""
    numbers = torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
    return flatten([numbers.expand(shape) for shape in shapes])
