"""Classifiers that are made of others: torch modules that put networks together, and return ``(members, n, outputs)`` too.

All of it is in operations that can be followed along rays. A mean of probabilities is a log-sum-exp of log-probabilities, so
that its limit is exact where probabilities underflow. Of a part that is known by its probabilities alone, values have settled
before they are divided by one another.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from knowlimits.model.arrays import both
from knowlimits.model.endings import Outputs
from knowlimits.model.network import as_probabilities

# What stands for a sum of probabilities that are all 0, so that none is divided by it; it is lost in any other sum.
_TINY = 2.0**-1000


class Columns(nn.Module):
    """Some columns of a table, ``(n, columns) -> (n, chosen)``.

    Args:
        chosen: their places.
    """

    chosen: Tensor

    def __init__(self, chosen: Sequence[int]):
        super().__init__()
        self.register_buffer("chosen", torch.tensor(np.asarray(chosen), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Choose."""
        return x.index_select(-1, self.chosen)


class Reordered(nn.Module):
    """A module whose classes are in another order, ``(n, ...) -> (..., outputs)`` logits.

    Args:
        module: it; one output is a logit f, for (0, f).
        order: which of its classes comes first, which second and so on.
    """

    order: Tensor

    def __init__(self, module: nn.Module, order: Sequence[int]):
        super().__init__()
        self.module = module
        self.register_buffer("order", torch.tensor(np.asarray(order), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Reorder."""
        logits = self.module(x)
        # The logit of two classes the other way round is its negative.
        return -logits if logits.shape[-1] == 1 else logits.index_select(-1, self.order)


class Part(nn.Module):
    """The networks of one model as one distribution over its classes: the mean over all their members.

    Args:
        networks: modules ``(n, ...) -> (members, n, outputs)`` with `members`, and with `places` where they lack classes.
        classes: how many classes the model has.
        settled: whether the networks return probabilities, which could not be undone, and not logits.

    Attributes:
        places: those classes that a network has, ascending. All others are never predicted.
    """

    def __init__(self, networks: Iterable[nn.Module], classes: int, settled: bool = False):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.classes, self.settled = classes, settled
        self.members: int = sum(network.members for network in self.networks)  # type: ignore[misc]
        self._owned = [_places(network, classes) for network in self.networks]
        self.places = tuple(sorted({place for own in self._owned for place in own}))

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Log-probabilities of the classes at `places`, ``(n, places)``.

        Raises:
            ValueError: if the networks return probabilities.
        """
        if self.settled:
            raise ValueError("parts must return logits here. Got one that returns probabilities, which could not be undone.")
        terms = [_log_probabilities(network, x) - math.log(self.members) for network in self.networks]
        return _over_members(terms, self._owned, self.places, lambda t: t.logsumexp(0))

    def probabilities(self, x: Tensor) -> Tensor:
        """Probabilities of the classes at `places`, ``(n, places)``."""
        if not self.settled:
            return self.log_probabilities(x).softmax(-1)
        terms = [as_probabilities(network(x), Outputs.PROBABILITIES) / self.members for network in self.networks]
        return _over_members(terms, self._owned, self.places, lambda t: t.sum(0))

    def scores(self, x: Tensor) -> Tensor:
        """The mean of the logits over the members, ``(n, classes)``; of two classes the mean of their difference, ``(n, 1)``.

        That is what scikit-learn calls a decision function.
        """
        each = [network(x) for network in self.networks]
        return torch.cat([f[..., 1:] - f[..., :1] if f.shape[-1] == 2 else f for f in each]).mean(0)


class Mixture(nn.Module):
    """A weighted mean of the probabilities of several models.

    It returns log-probabilities ``(1, n, places)``, or probabilities where it has settled. A weight of 0 leaves a part out.

    Args:
        parts: the models.
        weights: of them, at least 0; equal without them. They need not sum to 1.

    Attributes:
        places: those classes that a part has, ascending.
        settled: whether probabilities are returned, as a part knows no others.

    Raises:
        ValueError: if weights are no weights of a mean.
    """

    members = 1

    def __init__(self, parts: Sequence[Part], weights: Any = None):
        super().__init__()
        given = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
        if given.shape != (len(parts),) or not np.isfinite(given).all() or given.min() < 0 or given.sum() == 0:
            raise ValueError(
                f"weights must be {len(parts)} numbers of at least 0, not all 0. Got {np.asarray(weights).tolist()} instead."
            )
        kept = [(part, float(weight)) for part, weight in zip(parts, given / given.sum(), strict=True) if weight > 0]
        self.parts = nn.ModuleList(part for part, _ in kept)
        self.weights = tuple(weight for _, weight in kept)
        self.settled = any(part.settled for part, _ in kept)
        self._owned = [part.places for part, _ in kept]
        self.places = tuple(sorted({place for own in self._owned for place in own}))

    def forward(self, x: Tensor) -> Tensor:
        """Mix."""
        pairs: Any = list(zip(self.parts, self.weights, strict=True))
        if self.settled:
            terms = [part.probabilities(x)[None] * weight for part, weight in pairs]
            return _over_members(terms, self._owned, self.places, lambda t: t.sum(0))[None]
        terms = [part.log_probabilities(x)[None] + math.log(weight) for part, weight in pairs]
        return _over_members(terms, self._owned, self.places, lambda t: t.logsumexp(0))[None]


class Answer(Enum):
    """What of a model another one looks at."""

    PROBABILITIES = "the probabilities of all classes"
    LAST = "the probability of the last class"
    SCORES = "the decision function"


class Answers(nn.Module):
    """What a model says, as columns: ``(n, ...) -> (n, columns)``.

    Args:
        part: the model.
        answer: what of it.
    """

    def __init__(self, part: Part, answer: Answer):
        super().__init__()
        self.part, self.answer = part, answer

    def forward(self, x: Tensor) -> Tensor:
        """Ask."""
        if self.answer is Answer.SCORES:
            return self.part.scores(x)
        p = _spread(self.part.probabilities(x), self.part.places, self.part.classes)
        return p[:, -1:] if self.answer is Answer.LAST else p


class SideBySide(nn.Module):
    """Columns that several modules make of the same rows, ``(n, ...) -> (n, columns)``.

    Args:
        modules: each gives some of them.
    """

    def __init__(self, modules: Iterable[nn.Module]):
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Put side by side."""
        return torch.cat([module(x) for module in self.each], -1)


class OneVsRest(nn.Module):
    """Probabilities of classes that were each told from all others, divided by their sum: ``(n, ...) -> (1, n, classes)``.

    Their logarithms are returned, so that where all probabilities underflow, which scikit-learn gives as zeros, those that fall
    slowest share the limit. If a part is known by probabilities alone, probabilities are returned.

    Args:
        parts: for each class a model of two classes, of which the second is that class.

    Attributes:
        settled: whether probabilities are returned.
    """

    members, places = 1, None

    def __init__(self, parts: Sequence[Part]):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.settled = any(part.settled for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Compare."""
        parts: Any = self.parts
        if self.settled:
            return _shares(torch.cat([part.probabilities(x)[:, 1:] for part in parts], -1))[None]
        return torch.cat([part.log_probabilities(x)[:, 1:] for part in parts], -1).log_softmax(-1)[None]


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
        logits = -(f * self.a + self.b)
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
        return _shares(_spread(p, self.places, self.classes), evenly=True)[None]

    def _column(self, f: Tensor, k: int) -> Tensor:
        start, width, rise, lowest = (getattr(self, f"{name}_{k}") for name in ("start", "width", "rise", "lowest"))
        if not len(start):
            return f * 0.0 + lowest
        # How far each piece has been climbed, as slopes of steep pieces would cancel one another.
        climbed = ((f - start) / width).clamp(0.0, 1.0)
        return (climbed * rise).sum(-1, keepdim=True) + lowest


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

    def __init__(self, part: Part, added: float):
        super().__init__()
        self.part, self.added = part, added

    def forward(self, x: Tensor) -> Tensor:
        """The logarithm of a sum as log-sum-exp of logarithms, or of what has settled as it is."""
        if self.part.settled:
            return (_spread(self.part.probabilities(x), self.part.places, self.part.classes) + self.added).log()
        logarithms = _spread(self.part.log_probabilities(x), self.part.places, self.part.classes, -1e300)
        added = torch.full(logarithms.shape, math.log(self.added), dtype=logarithms.dtype, device=logarithms.device)
        return torch.stack([logarithms, added]).logsumexp(0)


def numbers(values: Any) -> Tensor:
    """Numbers as a tensor in float64."""
    return torch.tensor(np.asarray(values, dtype=np.float64))


def _places(network: Any, classes: int) -> tuple[int, ...]:
    """Which of the model's classes a network's outputs are."""
    places = getattr(network, "places", None)
    return tuple(range(classes)) if places is None else tuple(places[0])


def _log_probabilities(network: Any, x: Tensor) -> Tensor:
    """Log-probabilities of a network's own classes, ``(members, n, classes)``."""
    if torch.is_grad_enabled() and type(x) is Tensor and getattr(network, "ending", None) is not None:
        # What takes off a softmax is not seen by autograd.
        return as_probabilities(network.returned(x), network.outputs).log()
    return both(network(x)).log_softmax(-1)


def _over_members(
    terms: Sequence[Tensor], owned: Sequence[tuple[int, ...]], places: tuple[int, ...], reduced: Callable[[Tensor], Tensor]
) -> Tensor:
    """Tensors ``(members, n, classes)`` of several networks, reduced over all members that have a class: ``(n, places)``."""
    if all(own == places for own in owned):
        return reduced(torch.cat(list(terms)))
    columns = []
    for place in places:
        here = [term[..., own.index(place)] for term, own in zip(terms, owned, strict=True) if place in own]
        columns.append(reduced(torch.cat(here)))
    return torch.stack(columns, -1)


def _spread(values: Tensor, places: tuple[int, ...], classes: int, otherwise: float = 0.0) -> Tensor:
    """Columns of some classes as columns of all."""
    if len(places) == classes:
        return values
    constant = torch.full((len(values), 1), otherwise, dtype=values.dtype, device=values.device)
    return torch.cat([values[:, places.index(k)][:, None] if k in places else constant for k in range(classes)], -1)


def _shares(p: Tensor, evenly: bool = False) -> Tensor:
    """Numbers of at least 0 divided by their sum along the last axis; where all are 0, equal shares or zeros."""
    return (p + (_TINY / p.shape[-1] if evenly else 0.0)) / (p.sum(-1, keepdim=True) + _TINY)
