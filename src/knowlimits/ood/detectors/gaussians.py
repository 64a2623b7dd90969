"""Gaussians on the features: Mahalanobis distance, its relative form, and a density.

Covariances are shrunk (Ledoit and Wolf, 2004, as scikit-learn has it), so that units that are dead on the training data, or
more features than rows, do no harm. Along a ray of rate r each distance is eventually a polynomial of degree 2 in a.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf

from knowlimits.limits.growth import Growth, cleaned, smallest
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.view import Ahead, Seen


def _precision(centred: np.ndarray) -> np.ndarray:
    """The inverse covariance of centred rows."""
    covariance = np.asarray(ledoit_wolf(centred, assume_centered=True)[0])
    # Where no feature moves at all, shrinking leaves 0.
    floor = 1e-12 * (float(np.trace(covariance)) / len(covariance) or 1.0)
    return np.linalg.inv(covariance + floor * np.eye(len(covariance)))


def _class_means(h: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([h[labels == c].mean(0) for c in range(labels.max() + 1)])


def _form(left: np.ndarray, precision: np.ndarray, right: np.ndarray) -> np.ndarray:
    return ((left @ precision) * right).sum(1)


def _terms(ahead: Ahead, mean: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of a ** 0, a ** 1 and a ** 2 in the squared distance to a mean."""
    rate, offset = ahead.rate.features, ahead.offset.features - mean
    return _form(offset, precision, offset), 2 * _form(rate, precision, offset), _form(rate, precision, rate)


class Mahalanobis(Detector):
    """Squared Mahalanobis distance of the features to the nearest class (Lee et al., NeurIPS 2018)."""

    def _learn(self, seen: Seen, labels: np.ndarray | None) -> None:
        labels = self._labels(labels)
        h = seen.features
        self._means = _class_means(h, labels)
        self._precision = _precision(h - self._means[labels])

    def _score(self, seen: Seen) -> np.ndarray:
        h = seen.features
        return np.min([_form(h - mean, self._precision, h - mean) for mean in self._means], axis=0)

    def _growth(self, ahead: Ahead) -> Growth:
        terms = zip(*(_terms(ahead, mean, self._precision) for mean in self._means), strict=True)
        return Growth.of(*smallest(*(np.stack(term, axis=1) for term in terms)))


class RelativeMahalanobis(Mahalanobis):
    """Mahalanobis distance less that to the mean of all data (Ren et al., 2021).

    Its quadratic form has a rank of at most the number of classes less one, if the covariances are not shrunk: in most
    directions of the features it hardly sees how far away a point is.
    """

    def _learn(self, seen: Seen, labels: np.ndarray | None) -> None:
        super()._learn(seen, labels)
        self._mean = seen.features.mean(0)
        self._background = _precision(seen.features - self._mean)

    def _score(self, seen: Seen) -> np.ndarray:
        h = seen.features - self._mean
        return super()._score(seen) - _form(h, self._background, h)

    def _growth(self, ahead: Ahead) -> Growth:
        back = _terms(ahead, self._mean, self._background)
        per_class = [_terms(ahead, mean, self._precision) for mean in self._means]
        terms = []
        for power, other in enumerate(back):
            near = np.stack([term[power] for term in per_class], axis=1)
            terms.append(cleaned(near - other[:, None], np.abs(near) + np.abs(other[:, None])))
        return Growth.of(*smallest(*terms))


class GaussianMixture(Detector):
    """Minus the logarithm of the density of a Gaussian for each class on the features (DDU; Mukhoti et al., CVPR 2023)."""

    def _learn(self, seen: Seen, labels: np.ndarray | None) -> None:
        labels = self._labels(labels)
        self._gaussians = []
        means = _class_means(seen.features, labels)
        # One row has no covariance of its own.
        pooled = _precision(seen.features - means[labels]) if np.bincount(labels).min() == 1 else None
        for c, mean in enumerate(means):
            h = seen.features[labels == c]
            precision = _precision(h - mean) if len(h) > 1 or pooled is None else pooled
            constant = np.log(len(h) / len(labels)) + 0.5 * np.linalg.slogdet(precision / (2 * np.pi))[1]
            self._gaussians.append((mean, precision, constant))

    def _score(self, seen: Seen) -> np.ndarray:
        h = seen.features
        logs = [constant - 0.5 * _form(h - mean, precision, h - mean) for mean, precision, constant in self._gaussians]
        return -np.asarray(logsumexp(logs, axis=0))

    def _growth(self, ahead: Ahead) -> Growth:
        per_class = [(_terms(ahead, mean, precision), constant) for mean, precision, constant in self._gaussians]
        terms = [np.stack([t[power] / 2 - (c if power == 0 else 0) for t, c in per_class], axis=1) for power in range(3)]
        first, second, third = smallest(*terms)
        still = (ahead.rate.features == 0).all(1)
        if still.any():
            # All classes count where nothing moves.
            first = np.where(still, self._score(ahead.offset), first)
        return Growth.of(first, second, third)
