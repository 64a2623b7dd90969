"""Gaussians on features, which several detectors are made of.

Covariances are shrunk (Ledoit and Wolf, 2004, as scikit-learn has it), so that units that are dead on the training data, or
more features than rows, do no harm. Along a ray each distance is a polynomial of degree 2 in a.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf

from knowlimits.limits.growth import quadratic
from knowlimits.ood.detectors.source import Ahead


@dataclass(frozen=True)
class Gaussian:
    """A mean ``(features,)`` and the inverse of a covariance."""

    mean: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, h: np.ndarray) -> "Gaussian":
        """That of rows."""
        return cls(mean := h.mean(0), precision_of(h - mean))

    def distance(self, h: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distances of rows to the mean, ``(n,)``."""
        centred = h - self.mean
        return ((centred @ self.precision) * centred).sum(1)

    def terms(self, ahead: Ahead) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients of a ** 0, a ** 1 and a ** 2 in these distances along rays."""
        return quadratic(ahead.rate.features, ahead.offset.features - self.mean, self.precision)


def class_means(h: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Means of the rows of each class, ``(classes, features)``."""
    return np.stack([h[labels == c].mean(0) for c in range(labels.max() + 1)])


def with_one_covariance(h: np.ndarray, labels: np.ndarray) -> list[Gaussian]:
    """A Gaussian for each class, all of the covariance that rows have round the means of their classes."""
    means = class_means(h, labels)
    precision = precision_of(h - means[labels])
    return [Gaussian(mean, precision) for mean in means]


def precision_of(centred: np.ndarray) -> np.ndarray:
    """The inverse covariance of centred rows."""
    covariance = np.asarray(ledoit_wolf(centred, assume_centered=True)[0])
    # Where no feature moves at all, shrinking leaves 0.
    floor = 1e-12 * (float(np.trace(covariance)) / len(covariance) or 1.0)
    return np.linalg.inv(covariance + floor * np.eye(len(covariance)))
