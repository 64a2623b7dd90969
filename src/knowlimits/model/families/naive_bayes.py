"""Naive Bayes: features are independent, given the class (Manning, Raghavan and Schuetze, 2008, chapter 13).

Of normal densities with means m_cj and variances v_cj the log-posterior of class c is, but for a number that all classes share,

    log prior_c - 1/2 sum_j log(2 pi v_cj) - 1/2 sum_j (x_j - m_cj)^2 / v_cj,

which along x0 + a d is a polynomial with -1/2 sum_j d_j^2 / v_cj before a^2 and sum_j d_j (m_cj - x0_j) / v_cj before a. Of
bits that say whether features are above a threshold it jumps there, and is constant beyond the last one. Of categories nothing
can move.
"""

from collections.abc import Sequence

import numpy as np

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family
from knowlimits.model.families.polynomials import Coefficients, Scores, twins

_EPS = float(np.finfo(np.float64).eps)


class NormalDensities(Scores):
    """Log-posteriors of classes with normal densities of independent features.

    Args:
        means, variances: ``(classes, features)``.
        log_priors: ``(classes,)``, finite.
    """

    def __init__(self, means: np.ndarray, variances: np.ndarray, log_priors: np.ndarray):
        super().__init__()
        self._means, self._variances = (np.array(part, dtype=np.float64) for part in (means, variances))
        self.columns, self.features = self._means.shape
        self._log_priors = np.array(log_priors, dtype=np.float64)
        self._constants = -0.5 * np.log(2 * np.pi * self._variances).sum(1)
        self._inverse = 1 / self._variances
        self._all = np.stack([self._means, self._variances], 2)

    @property
    def described(self) -> str:
        """How many densities."""
        return f"normal densities of {self.columns} classes"

    def at(self, x: np.ndarray) -> np.ndarray:
        """Log-posteriors, rounded as scikit-learn does it."""
        squares = [((x - m) ** 2 / v).sum(1) for m, v in zip(self._means, self._variances, strict=True)]
        return self._log_priors + (self._constants - 0.5 * np.stack(squares, 1))

    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """Coefficients, of sums in which each term is off by a few roundings."""
        values, errors = np.empty((2, len(x), self.columns, 3))
        rounding = _EPS * (self.features + 8)
        values[..., 2] = -0.5 * (d * d @ self._inverse.T)
        errors[..., 2] = rounding * np.abs(values[..., 2])
        for k, (mean, inverse) in enumerate(zip(self._means, self._inverse, strict=True)):
            z = x - mean
            values[:, k, 0] = self._log_priors[k] + (self._constants[k] - 0.5 * (z * z @ inverse))
            z *= d
            values[:, k, 1] = -(z @ inverse)
            errors[:, k, 1] = rounding * (np.abs(z) @ inverse)
        errors[..., 0] = rounding * np.abs(values[..., 0])
        moved = d != 0
        # The constants are never compared.
        same = np.stack([np.zeros_like(values[..., 0], dtype=np.int64)] * 3, 2)
        same[..., 1], same[..., 2] = twins(self._all, moved), twins(self._variances[..., None], moved)
        return Coefficients(values, errors, same)


class Bits(Family):
    """Log-posteriors of classes by which features are above a threshold.

    Args:
        weights: what a feature above it adds, ``(classes, features)``.
        constants: ``(classes,)``.
        threshold: it.
    """

    returns, jumps = Outputs.LOGITS, True

    def __init__(self, weights: np.ndarray, constants: np.ndarray, threshold: float):
        super().__init__()
        self._weights, self._constants = (np.array(part, dtype=np.float64) for part in (weights, constants))
        self._threshold = float(threshold)

    @property
    def described(self) -> str:
        """How many features."""
        return f"naive Bayes of {self._weights.shape[1]} bits"

    def at(self, x: np.ndarray) -> np.ndarray:
        """Log-posteriors."""
        return (x > self._threshold) @ self._weights.T + self._constants

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Those beyond the last threshold that a ray meets.

        Raises:
            OverflowError: where that is farther than the largest float.
        """
        moves = d != 0
        above = np.where(moves, d > 0, x > self._threshold)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            met = np.where(moves, (self._threshold - x) / d, 0.0)
        if not np.isfinite(met).all():
            raise OverflowError(
                f"rays must meet thresholds before {np.finfo(np.float64).max:.1e}. Got some that do not: scale the directions."
            )
        clear = (moves | (x != self._threshold)).all(1)
        return Ends(above @ self._weights.T + self._constants, radius=met.max(1, initial=0.0), clear=clear)


class Categories(Family):
    """Log-posteriors of classes by the categories of features, which are whole numbers.

    Args:
        tables: what each category of a feature adds, ``(classes, categories)`` for each feature.
        constants: ``(classes,)``.
    """

    returns = Outputs.LOGITS

    def __init__(self, tables: Sequence[np.ndarray], constants: np.ndarray):
        super().__init__()
        self._tables = [np.array(table, dtype=np.float64) for table in tables]
        self._constants = np.array(constants, dtype=np.float64)
        self.held = tuple(range(len(tables)))

    @property
    def described(self) -> str:
        """How many features."""
        return f"naive Bayes of {len(self._tables)} categories"

    def at(self, x: np.ndarray) -> np.ndarray:
        """Log-posteriors.

        Raises:
            ValueError: for a category that is not known.
        """
        # As scikit-learn does; it refuses what is not known, too.
        codes = np.trunc(x)
        counts = np.array([table.shape[1] for table in self._tables])
        if (unknown := ~((codes >= 0) & (codes < counts))).any():
            row, place = divmod(int(unknown.argmax()), len(counts))
            raise ValueError(
                f"X must have categories that the model knows, 0 to {counts[place] - 1} in column {place}. "
                f"Got {x[row, place]:g} instead."
            )
        codes = codes.astype(np.int64)
        return self._constants + sum(table[:, codes[:, place]].T for place, table in enumerate(self._tables))

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Those at the start, from which nothing moves."""
        return Ends(self.at(x))
