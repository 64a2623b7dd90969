"""Gaussian processes for classification by Laplace's approximation.

At x the latent function has the mean m = k . (y - p) and the variance v = k(x, x) - |L^-1 (W^1/2 k)|^2, where k are the
covariances with the rows that it was fitted to (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
algorithm 3.2). The probability is the mean of a logistic function of it, which is taken to be a sum of five error functions
(Williams and Barber, "Bayesian Classification with Gaussian Processes", 1998, appendix A):

    1/2 sum_j c_j (1 + erf(l_j m / sqrt(1 + 2 l_j^2 v))).

Along a ray k(x, x) grows like a ** (2 p), and k at most like a ** p (`covariances`). With p = 0 the limits of k and k(x, x)
say the limit. With p > 0 mean and deviation grow alike, and only their ratio stays: erf(m / sqrt(2 v)) of the coefficients of
the leading powers, for all five. The sum of the c_j is 0.99999999, so where k dies away the limit is half of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import erf

from knowlimits.model.families.covariances import Covariance
from knowlimits.model.families.family import Ends, Family, Tail

_SLOPES = np.array([0.41, 0.4, 0.37, 0.44, 0.39])
_WEIGHTS = np.array([-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654])
# A share of a number that is lost in it.
_LOST = float(np.finfo(np.float64).eps) / 8
# Covariances that are in memory at a time.
_NUMBERS = 2**19


@dataclass(frozen=True, eq=False)
class Laplace:
    """One latent function, of the second of two classes.

    Attributes:
        covariance: its prior.
        rows: that it was fitted to, ``(m, features)``.
        residuals: y - p, what the mean is made of, ``(m,)``.
        roots: W^1/2, ``(m,)``.
        lower: L, ``(m, m)``, of which nothing above the diagonal is read.
    """

    covariance: Covariance
    rows: np.ndarray
    residuals: np.ndarray
    roots: np.ndarray
    lower: np.ndarray

    def along(self, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The probabilities that rays end at, how what is left dies away, and whether there is none, ``(n,)`` each."""
        growth = self.covariance.along(x, d, self.rows)
        mean, variance = growth.cross @ self.residuals, growth.own.copy()
        scaled = self.roots * growth.cross
        # L L' is I and something positive, so that L^-1 makes nothing longer: where covariances have died away, the prior is
        # left.
        near = np.einsum("ij,ij->i", scaled, scaled) > _LOST * growth.own
        if near.any():
            explained = solve_triangular(self.lower, scaled[near].T, lower=True, check_finite=False)
            variance[near] -= np.einsum("ij,ij->j", explained, explained)
        # What rounding makes of 0.
        variance = np.maximum(variance, 0.0)
        grows = growth.power > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(mean == 0, 0.0, mean / np.sqrt(2 * variance))
        fixed = _SLOPES[:, None] * mean / np.sqrt(1 + 2 * _SLOPES[:, None] ** 2 * variance)
        heights = erf(np.where(grows, ratio, fixed))
        # Rounding may leave less than 0.
        return np.maximum(0.5 * (_WEIGHTS @ heights + _WEIGHTS.sum()), 0.0), growth.tail, growth.open


class GaussianProcess(Family):
    """Latent functions of classes, ``(n, features) -> (n, outputs)`` probabilities.

    Args:
        parts: one of the second of two classes, whose probability is returned; or one for each class against the rest, whose
            probabilities are divided by their sum.
    """

    def __init__(self, parts: Sequence[Laplace]):
        super().__init__()
        self.parts = tuple(parts)

    @property
    def described(self) -> str:
        """How many rows it was fitted to."""
        return f"a Gaussian process of {len(self.parts[0].rows)} rows"

    @property
    def settles(self) -> bool:
        """Whether it has a limit where all columns move."""
        one = np.ones((1, self.parts[0].rows.shape[1]))
        return not any(part.along(one, one)[2].any() for part in self.parts)

    def at(self, x: np.ndarray) -> np.ndarray:
        """Probabilities at points."""
        return self._along(x, np.zeros_like(x))[0]

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Probabilities that rays end at.

        Raises:
            ValueError: along rays without a limit.
        """
        # The length of a direction does not count, and its square may pass the largest float.
        sizes = np.abs(d).max(1, keepdims=True, initial=0.0)
        p, tail, open_ = self._along(x, d / np.where(sizes > 0, sizes, 1.0))
        if open_.any():
            raise ValueError(
                "directions must move columns along which the model has a limit. Got one along which a kernel goes up and down "
                "or grows without end: leave these columns alone, with directions of 0."
            )
        return Ends(p, radius=np.where(tail == Tail.NONE, 0.0, np.nan), tail=Tail(int(tail.max(initial=Tail.NONE))))

    def _along(self, x: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = self.parts[0].rows.shape[1]
        if x.shape[1] != features:
            raise ValueError(f"X must have {features} columns. Got {x.shape[1]} instead.")
        p = np.empty((len(x), len(self.parts)))
        tail, open_ = np.zeros(len(x), dtype=int), np.zeros(len(x), dtype=bool)
        step = max(1, _NUMBERS // len(self.parts[0].rows))
        for begin in range(0, len(x), step):
            some = slice(begin, begin + step)
            for k, part in enumerate(self.parts):
                p[some, k], own_tail, own_open = part.along(x[some], d[some])
                tail[some] = np.maximum(tail[some], own_tail)
                open_[some] |= own_open
        if p.shape[1] > 1:
            total = p.sum(1, keepdims=True)
            p = np.divide(p, total, out=p, where=total != 0)
        return p, tail, open_
