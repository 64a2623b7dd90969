"""Scores that are polynomials in `a` along rays, and what is made of them: naive Bayes, discriminants, polynomial kernels.

Along x0 + a d a score is the sum of c_k a^k over k up to its degree. Of two such scores the one ahead far out is told by their
coefficients, compared from the highest power down, as words are in a dictionary; so a softmax of them tends to that of the
constants of those that tie in all powers, and all others have none. A sigmoid of a polynomial g tends to 0, 1, or is constant,
and its logarithm is g where g falls, as log(1 + exp(g)) dies away: so sigmoids that are divided by their sum are compared in
the same way, also where they all fall.

Coefficients come with bounds on their rounding errors (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, chapter
3). Those that differ by less than these count as equal, which is not clear then.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, log_expit, log_softmax, logsumexp
from torch import nn

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family, Tail

# Of a sum of a few terms, each of which was rounded.
ROUNDING = 4 * float(np.finfo(np.float64).eps)
# Stands for infinity where that times 0 is to be 0.
_LARGEST = float(np.finfo(np.float64).max) / 4


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Polynomials along rays, several for each; powers ascend from 0.

    Attributes:
        values: ``(n, columns, degree + 1)``.
        errors: bounds on their rounding errors, of the same shape; 0 where they are exact.
        same: labels of at least 0, of the same shape: values of one ray and power with equal ones are the same number, by what
            they are made of.

    Errors and labels of constants do not count, as nothing is decided by these.
    """

    values: np.ndarray
    errors: np.ndarray
    same: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, errors: np.ndarray, same: np.ndarray | None = None) -> "Coefficients":
        """Polynomials, each a number of its own by what it is made of, unless `same` says otherwise."""
        return cls(values, errors, np.broadcast_to(np.arange(values.shape[1])[:, None], values.shape) if same is None else same)

    def difference(self) -> "Coefficients":
        """The second of two columns minus the first, ``(n, 1, degree + 1)``."""
        equal = self.same[:, :1] == self.same[:, 1:]
        equal[..., 0] = False
        values = np.where(equal, 0.0, self.values[:, 1:] - self.values[:, :1])
        errors = self.errors[:, :1] + self.errors[:, 1:] + ROUNDING * np.abs(values)
        return Coefficients.of(values, np.where(equal, 0.0, errors))

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the polynomials end: infinities, or the constant of those that are constant, ``(n, columns)``.

        Returns:
            The limits, and whether each is beyond its rounding errors.
        """
        ends, clear = self.values[..., 0].copy(), np.ones(self.values.shape[:2], dtype=bool)
        for k in range(1, self.values.shape[2]):
            value, error = self.values[..., k], self.errors[..., k]
            leads = np.abs(value) > error
            ends = np.where(leads, np.copysign(np.inf, value), ends)
            clear = leads | (clear & (error == 0))
        return ends, clear

    def leaders(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns that no other one leaves behind without end, ``(n, columns)``, and whether that is clear, ``(n,)``."""
        leads, clear = np.ones(self.values.shape[:2], dtype=bool), np.ones(len(self.values), dtype=bool)
        for k in range(self.values.shape[2] - 1, 0, -1):
            value = np.where(leads, self.values[..., k], -np.inf)
            first = value.argmax(1)[:, None]
            gap = np.take_along_axis(value, first, 1) - value
            error, same = self.errors[..., k], self.same[..., k]
            error = error + np.take_along_axis(error, first, 1)
            equal = (same == np.take_along_axis(same, first, 1)) | ((gap == 0) & (error == 0))
            leads &= equal | (gap <= error)
            clear &= (equal | ~leads).all(1)
        return leads, clear

    @property
    def still(self) -> np.ndarray:
        """Whether all are constant, ``(n,)``."""
        return ((self.values[..., 1:] == 0) & (self.errors[..., 1:] == 0)).all((1, 2))

    @property
    def abreast(self) -> np.ndarray:
        """Whether all keep their distances, ``(n,)``."""
        values, errors, same = (part[..., 1:] for part in (self.values, self.errors, self.same))
        exact = (values == values[:, :1]) & (errors == 0) & (errors[:, :1] == 0)
        return ((same == same[:, :1]) | exact).all((1, 2))


class Scores(nn.Module, ABC):
    """Functions ``(n, features) -> (n, columns)`` that are polynomials in `a` along each ray, in numpy and float64.

    Attributes:
        features: how many numbers they are of.
        columns: how many functions there are.
    """

    features: int
    columns: int

    @property
    @abstractmethod
    def described(self) -> str:
        """What they are in a few words, such as "3 Gaussian densities"."""

    @abstractmethod
    def at(self, x: np.ndarray) -> np.ndarray:
        """Values at points, ``(n, columns)``."""

    @abstractmethod
    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """Coefficients along rays with starts and directions ``(n, features)``; a direction may be 0."""


def twins(numbers: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Labels, equal for those columns of scores that are made of the same numbers wherever a ray moves, ``(n, columns)``.

    Args:
        numbers: that a score has of each feature, ``(columns, features, numbers)``.
        moved: which features each ray moves, ``(n, features)``.
    """
    count = len(numbers)
    differ = [(numbers[:k] != numbers[k]).any(2) for k in range(count)]
    labels = np.broadcast_to(np.arange(count), (len(moved), count))
    if all(one.all() for one in differ) and moved.any(1).all():
        return labels
    patterns, inverse = np.unique(np.packbits(moved, axis=1), axis=0, return_inverse=True)
    moves = np.unpackbits(patterns, axis=1, count=moved.shape[1]).astype(np.float64)
    labels = labels[: len(patterns)].copy()
    for k in range(1, count):
        equal = moves @ differ[k].T == 0
        labels[:, k] = np.where(equal.any(1), equal.argmax(1), k)
    return labels[inverse.reshape(-1)]


class Response(ABC):
    """What is made of scores ``(n, columns)``, and where that ends."""

    returns: Outputs = Outputs.PROBABILITIES

    @abstractmethod
    def at(self, scores: np.ndarray) -> np.ndarray:
        """Of values."""

    @abstractmethod
    def ends(self, scores: Coefficients) -> Ends:
        """Of polynomials along rays."""


class Softmax(Response):
    """Probabilities of classes by their log-posteriors, but for a number that all share.

    Args:
        by_sum: whether the logarithm of the sum is taken off in one piece, as scikit-learn's naive Bayes does. Where scores are
            large that is rounded otherwise, of which a steep calibration makes a difference.
    """

    def __init__(self, by_sum: bool = False):
        self.by_sum = by_sum

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Normalise."""
        return np.exp(scores - logsumexp(scores, axis=1, keepdims=True) if self.by_sum else log_softmax(scores, axis=1))

    def ends(self, scores: Coefficients) -> Ends:
        """Those classes share the limit that no other one leaves behind."""
        return _shared(scores, scores.abreast)


class Sigmoid(Response):
    """Probabilities of two classes by one score f, that of the second is ``1 / (1 + exp(-f))``."""

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Both."""
        return expit(np.concatenate([-scores, scores], 1))

    def ends(self, scores: Coefficients) -> Ends:
        """Where the score ends."""
        value, clear = scores.limits()
        return _ends(self.at(value), clear[:, 0], scores.still)


class SharedSigmoids(Response):
    """Probabilities ``1 / (1 + exp(-g))`` of each class against the rest, divided by their sum."""

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Normalise, by logarithms, so that no sum is 0."""
        return np.exp(log_softmax(log_expit(scores), axis=1))

    def ends(self, scores: Coefficients) -> Ends:
        """The logarithms are eventually 0, constants, or the scores themselves where they fall."""
        value, clear = scores.limits()
        falls = np.isneginf(value)
        logs = np.where(falls[..., None], scores.values, 0.0)
        logs[..., 0] = np.where(falls, logs[..., 0], log_expit(value))
        errors = np.where(falls[..., None], scores.errors, 0.0)
        same = np.where(falls[..., None], scores.same, -1)
        ends = _shared(Coefficients(logs, errors, same), scores.still)
        ends.clear &= clear.all(1)
        return ends


class Bounded(Response):
    """Probabilities by a function of scores that is continuous up to both infinities, as that of an isotonic calibration is.

    Args:
        module: it, ``(n, columns) -> (1, n, classes)``.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def at(self, scores: np.ndarray) -> np.ndarray:
        """Its values."""
        with torch.no_grad():
            return self.module(torch.from_numpy(np.clip(scores, -_LARGEST, _LARGEST)))[0].numpy()

    def ends(self, scores: Coefficients) -> Ends:
        """Its values where scores end."""
        value, clear = scores.limits()
        return _ends(self.at(value), np.asarray(clear.all(1)), scores.still)


class Itself(Response):
    """The scores as they are: a decision function."""

    returns = Outputs.LOGITS

    def at(self, scores: np.ndarray) -> np.ndarray:
        """As they are."""
        return scores

    def ends(self, scores: Coefficients) -> Ends:
        """Straight lines.

        Raises:
            ValueError: where they bend.
        """
        values = scores.values
        if values[..., 2:].any():
            raise ValueError(
                "model must have a decision function that grows at most in proportion to a here. Got one that grows as a power "
                "of it: use its probabilities (stack_method='predict_proba')."
            )
        rate = values[..., 1] if values.shape[2] > 1 else np.zeros_like(values[..., 0])
        return Ends(values[..., 0], rate)


class Polynomials(Family):
    """A classifier by scores that are polynomials along rays, ``(n, features) -> (n, outputs)``.

    Args:
        scores: they.
        response: what is made of them; a softmax without it.
    """

    def __init__(self, scores: Scores, response: Response | None = None):
        super().__init__()
        self.scores, self.response = scores, Softmax() if response is None else response
        self.returns = self.response.returns

    @property
    def described(self) -> str:
        """What the scores are."""
        return self.scores.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """Values at points.

        Raises:
            OverflowError: where numbers pass the largest float.
        """
        self._check(x)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.scores.at(x)
        self._check_finite(scores)
        return self.response.at(scores)

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Where they end; clear unless coefficients differ by less than their rounding errors.

        Raises:
            OverflowError: where numbers pass the largest float.
        """
        self._check(x)
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.scores.along(x, np.broadcast_to(d, x.shape))
        self._check_finite(scores.values, scores.errors[..., 1:])
        return self.response.ends(scores)

    def _check(self, x: np.ndarray) -> None:
        if x.shape[1] != self.scores.features:
            raise ValueError(f"X must have {self.scores.features} columns. Got {x.shape[1]} instead.")

    def _check_finite(self, *values: np.ndarray) -> None:
        if not all(np.isfinite(v).all() for v in values):
            raise OverflowError(
                f"model must keep its numbers below {np.finfo(np.float64).max:.1e}. Got larger ones in {self.described}: "
                "scale the inputs."
            )


def _shared(scores: Coefficients, still: np.ndarray) -> Ends:
    leads, clear = scores.leaders()
    constants = np.where(leads, scores.values[..., 0], -np.inf)
    return _ends(np.exp(log_softmax(constants, axis=1)), clear, still)


def _ends(p: np.ndarray, clear: np.ndarray, still: np.ndarray) -> Ends:
    tail = Tail.NONE if still.all() else Tail.FAST
    return Ends(p, radius=np.where(still, 0.0, np.nan), clear=clear, tail=tail)
