"""Calibrations: what makes probabilities of a classifier's answers, as torch modules that can be followed along rays."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from knowlimits.model.arrays import both
from knowlimits.model.composed import Part, shares, spread


class Sigmoids(nn.Module):
    """Platt's calibration of answers f: probabilities ``1 / (1 + exp(a f + b))``, divided by their sum.

    ``(n, columns) -> (1, n, classes)`` log-probabilities.

    Args:
        a, b: of each column, ``(columns,)``.
        binary: whether the one column is of the second of two classes, of which the first has the rest.
    """

    a: Tensor
    b: Tensor

    def __init__(self, a: Any, b: Any, binary: bool):
        super().__init__()
        self.binary = binary
        self.register_buffer("a", numbers(a))
        self.register_buffer("b", numbers(b))

    def forward(self, f: Tensor) -> Tensor:
        """Calibrate."""
        # Of more columns, as pairs of classes have, scikit-learn takes the first.
        logits = -(f[:, : len(self.a)] * self.a + self.b)
        return (both(logits) if self.binary else functional.logsigmoid(logits)).log_softmax(-1)[None]


class Isotonic(nn.Module):
    """Isotonic calibration of answers: increasing piecewise-linear functions of them, divided by their sum.

    ``(n, columns) -> (1, n, classes)`` probabilities. Where all are 0 the classes are equally likely, as scikit-learn has it.

    Args:
        corners: for each column the places and heights of its function's corners; it is constant beyond them.
        places: the class of each column, ascending. If it is one of two, the other one has the rest.
        classes: how many classes there are; those without a column have a probability of 0.
    """

    def __init__(self, corners: Sequence[tuple[np.ndarray, np.ndarray]], places: Sequence[int], classes: int):
        super().__init__()
        self.places, self.classes = tuple(places), classes
        for k, (x, y) in enumerate((numbers(along), numbers(up)) for along, up in corners):
            self.register_buffer(f"start_{k}", x[:-1])
            self.register_buffer(f"width_{k}", x[1:] - x[:-1])
            self.register_buffer(f"rise_{k}", y[1:] - y[:-1])
            self.register_buffer(f"lowest_{k}", y[:1])

    def forward(self, f: Tensor) -> Tensor:
        """Calibrate."""
        p = torch.cat([self._column(f[:, k : k + 1], k) for k in range(len(self.places))], -1)
        if self.classes == 2:
            return torch.cat([1 - p, p], -1)[None]
        return shares(spread(p, self.places, self.classes))[None]

    def _column(self, f: Tensor, k: int) -> Tensor:
        start, width, rise, lowest = (getattr(self, f"{name}_{k}") for name in ("start", "width", "rise", "lowest"))
        if not len(start):
            return f * 0.0 + lowest
        # How far each piece has been climbed, as slopes of steep pieces would cancel one another.
        climbed = ((f - start) / width).clamp(0.0, 1.0)
        return (climbed * rise).sum(-1, keepdim=True) + lowest


class EvenShares(nn.Module):
    """Probabilities of scores cut off at -1 and 1, as the modified Huber loss has them (Zhang, 2002, appendix B).

    ``(n, columns) -> (1, n, classes)``; of several classes divided by their sum, equal where all are 0.

    Args:
        binary: whether the one score is of the second of two classes.
    """

    def __init__(self, binary: bool):
        super().__init__()
        self.binary = binary

    def forward(self, f: Tensor) -> Tensor:
        """Cut off and compare."""
        p = (f.clamp(-1.0, 1.0) + 1) / 2
        return (torch.cat([1 - p, p], -1) if self.binary else shares(p))[None]


class Temperature(nn.Module):
    """Temperature scaling of scores, as scikit-learn does it: ``(n, columns) -> (1, n, outputs)`` logits.

    Args:
        beta: the inverse temperature.
    """

    def __init__(self, beta: float):
        super().__init__()
        self.beta = beta

    def forward(self, f: Tensor) -> Tensor:
        """Scale; one column is that of two classes with scores -f and f."""
        return (f * (2 * self.beta if f.shape[-1] == 1 else self.beta))[None]


class SoftenedLogarithm(nn.Module):
    """Logarithms of a model's probabilities to which something is added, ``(n, ...) -> (n, classes)``.

    Args:
        part: the model.
        added: what is added to each probability.
    """

    hands_on = True

    def __init__(self, part: Part, added: float):
        super().__init__()
        self.part, self.added = part, added

    def forward(self, x: Tensor) -> Tensor:
        """The logarithm of a sum as log-sum-exp of logarithms, or of what has settled as it is."""
        if self.part.settled:
            return (spread(self.part.probabilities(x), self.part.places, self.part.classes) + self.added).log()
        logarithms = spread(self.part.log_probabilities(x), self.part.places, self.part.classes, -1e300)
        added = torch.full(logarithms.shape, math.log(self.added), dtype=logarithms.dtype, device=logarithms.device)
        return torch.stack([logarithms, added]).logsumexp(0)


def numbers(values: Any) -> Tensor:
    """Numbers as a tensor in float64."""
    return torch.tensor(np.asarray(values, dtype=np.float64))
