"""The density of a Gaussian for each class."""

import numpy as np
from scipy.special import logsumexp

from knowlimits.limits.growth import Growth, smallest
from knowlimits.ood.detectors.base import Detector, Needs
from knowlimits.ood.detectors.gaussian import Gaussian, class_means, precision_of
from knowlimits.ood.detectors.source import Ahead, Seen


class GaussianMixture(Detector):
    """Minus the logarithm of the density of a Gaussian for each class on the features (DDU; Mukhoti et al., CVPR 2023)."""

    needs = Needs.FEATURES | Needs.LABELS

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Learn each class's mean, covariance and share."""
        means, counts = class_means(seen.features, labels), np.bincount(labels)
        # One row has no covariance of its own.
        pooled = precision_of(seen.features - means[labels]) if counts.min() == 1 else None
        self._gaussians, self._constants = [], []
        for c, mean in enumerate(means):
            h = seen.features[labels == c]
            precision = precision_of(h - mean) if len(h) > 1 or pooled is None else pooled
            self._gaussians.append(Gaussian(mean, precision))
            self._constants.append(np.log(len(h) / len(labels)) + 0.5 * np.linalg.slogdet(precision / (2 * np.pi))[1])

    def measure(self, seen: Seen) -> np.ndarray:
        """Minus the logarithm of the density at points."""
        return self._measure(seen.features)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the class of the largest density far out."""
        per_class = [one.terms(ahead) for one in self._gaussians]
        terms = [np.stack(term, axis=1) / 2 for term in zip(*per_class, strict=True)]
        terms[0] = terms[0] - np.array(self._constants)
        first, second, third = smallest(*terms)
        still = (ahead.rate.features == 0).all(1)
        if still.any():
            # All classes count where nothing moves.
            first = np.where(still, self._measure(ahead.offset.features), first)
        return Growth.of(first, second, third)

    def _measure(self, h: np.ndarray) -> np.ndarray:
        pairs = zip(self._gaussians, self._constants, strict=True)
        return -np.asarray(logsumexp([constant - 0.5 * one.distance(h) for one, constant in pairs], axis=0))
