"""Classifiers that are made of others: torch modules that put networks together, and return ``(members, n, outputs)`` too.

All of it is in operations that can be followed along rays. A mean of probabilities is a log-sum-exp of log-probabilities, so
that its limit is exact where probabilities underflow. Of a part that is known by its probabilities alone, values have settled
before they are divided by one another.

A module that `hands_on` its inputs to all modules inside takes gaps where these do; one that `chooses` columns leaves gaps be.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.model.arrays import both
from knowlimits.model.endings import Outputs
from knowlimits.model.network import as_probabilities

# What stands for a sum of probabilities that are all 0, so that none is divided by it; it is lost in any other sum.
_TINY = 2.0**-1000


class Picked(nn.Module):
    """Some columns of a table, ``(n, columns) -> (n, chosen)``.

    Args:
        chosen: their places.
    """

    chooses = True
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

    hands_on = True
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

    hands_on = True

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
        each = [network(x) if (f := getattr(network, "decision", None)) is None else f(x)[None] for network in self.networks]
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

    members, hands_on = 1, True

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

    hands_on = True

    def __init__(self, part: Part, answer: Answer):
        super().__init__()
        self.part, self.answer = part, answer

    def forward(self, x: Tensor) -> Tensor:
        """Ask."""
        if self.answer is Answer.SCORES:
            return self.part.scores(x)
        p = spread(self.part.probabilities(x), self.part.places, self.part.classes)
        return p[:, -1:] if self.answer is Answer.LAST else p


class SideBySide(nn.Module):
    """Columns that several modules make of the same rows, ``(n, ...) -> (n, columns)``.

    Args:
        modules: each gives some of them.
    """

    hands_on = True

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

    members, places, hands_on = 1, None, True

    def __init__(self, parts: Sequence[Part]):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.settled = any(part.settled for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Compare."""
        parts: Any = self.parts
        if self.settled:
            return shares(torch.cat([part.probabilities(x)[:, 1:] for part in parts], -1))[None]
        return torch.cat([part.log_probabilities(x)[:, 1:] for part in parts], -1).log_softmax(-1)[None]


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


def spread(values: Tensor, places: tuple[int, ...], classes: int, otherwise: float = 0.0) -> Tensor:
    """Columns of some classes as columns of all."""
    if len(places) == classes:
        return values
    constant = torch.full((len(values), 1), otherwise, dtype=values.dtype, device=values.device)
    return torch.cat([values[:, places.index(k)][:, None] if k in places else constant for k in range(classes)], -1)


def shares(p: Tensor) -> Tensor:
    """Numbers of at least 0 divided by their sum along the last axis; equal shares where all are 0."""
    return (p + _TINY / p.shape[-1]) / (p.sum(-1, keepdim=True) + _TINY)
