"""Quadratic discriminants: classes have normal densities with covariances of their own (Hastie, Tibshirani and Friedman, 2009,
equation 4.12).

With means m_c and matrices F_c whose F_c F_c' is the inverse of the covariance the log-posterior of class c is, but for what
all classes share,

    log prior_c - 1/2 log det_c - 1/2 |F_c' (x - m_c)|^2,

which along x0 + a d, with u = F_c' (x0 - m_c) and v = F_c' d, is a polynomial with -1/2 v . v before a^2 and -u . v before a.
"""

from collections.abc import Sequence

import numpy as np

from knowlimits.model.families.polynomials import Coefficients, Scores, twins

_EPS = float(np.finfo(np.float64).eps)


class Discriminants(Scores):
    """Log-posteriors of classes with normal densities.

    Args:
        means: ``(classes, features)``.
        factors: of inverse covariances, ``(features, rank)`` for each class.
        log_determinants: of the covariances, ``(classes,)``.
        log_priors: ``(classes,)``, finite.
    """

    def __init__(self, means: np.ndarray, factors: Sequence[np.ndarray], log_determinants: np.ndarray, log_priors: np.ndarray):
        super().__init__()
        self._means, self._log_determinants, self._log_priors = (
            np.array(part, dtype=np.float64) for part in (means, log_determinants, log_priors)
        )
        self.columns, self.features = self._means.shape
        rank = max(factor.shape[1] for factor in factors)
        self._factors = np.zeros((self.columns, self.features, rank))
        for own, factor in zip(self._factors, factors, strict=True):
            own[:, : factor.shape[1]] = factor
        self._all = np.concatenate([self._means[..., None], self._factors], 2)

    @property
    def described(self) -> str:
        """How many discriminants."""
        return f"quadratic discriminants of {self.columns} classes"

    def at(self, x: np.ndarray) -> np.ndarray:
        """Log-posteriors, rounded as scikit-learn does it."""
        squares = [(((x - m) @ factor) ** 2).sum(1) for m, factor in zip(self._means, self._factors, strict=True)]
        return self._posteriors(np.stack(squares, 1))

    def _posteriors(self, squares: np.ndarray) -> np.ndarray:
        return -0.5 * (squares + self._log_determinants) + self._log_priors

    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """Coefficients, with bounds by those of the products u and v."""
        values, errors = np.empty((2, len(x), self.columns, 3))
        rounding, summing = _EPS * (self.features + 4), _EPS * (self._factors.shape[2] + 4)
        for k, (mean, factor) in enumerate(zip(self._means, self._factors, strict=True)):
            z = x - mean
            u, v, size = z @ factor, d @ factor, np.abs(factor)
            off_u, off_v = rounding * (np.abs(z) @ size), rounding * (np.abs(d) @ size)
            values[:, k, 0] = (u * u).sum(1)
            values[:, k, 1] = -(u * v).sum(1)
            values[:, k, 2] = -0.5 * (v * v).sum(1)
            u, v = np.abs(u), np.abs(v)
            errors[:, k, 1] = (u * off_v + v * off_u + off_u * off_v).sum(1) + summing * (u * v).sum(1)
            errors[:, k, 2] = (v * off_v + off_v * off_v / 2).sum(1) - summing * values[:, k, 2]
        values[..., 0] = self._posteriors(values[..., 0])
        errors[..., 0] = rounding * np.abs(values[..., 0])
        moved = d != 0
        same = np.zeros(values.shape, dtype=np.int64)
        # The linear term hangs on all columns as soon as one moves.
        same[..., 1] = twins(self._all, np.broadcast_to(moved.any(1)[:, None], moved.shape))
        same[..., 2] = twins(self._factors, moved)
        return Coefficients(values, errors, same)
