"""Mahalanobis distance to the nearest class, alone and beside that to the mean of all data."""

import numpy as np

from knowlimits.limits.growth import Growth, cleaned, smallest
from knowlimits.ood.detectors.base import Detector, Needs
from knowlimits.ood.detectors.gaussian import Gaussian, with_one_covariance
from knowlimits.ood.detectors.source import Ahead, Seen


class Mahalanobis(Detector):
    """Squared Mahalanobis distance of the features to the nearest class (Lee et al., NeurIPS 2018)."""

    needs = Needs.FEATURES | Needs.LABELS

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Learn the classes' means and their common covariance."""
        self._classes = with_one_covariance(seen.features, labels)

    def measure(self, seen: Seen) -> np.ndarray:
        """The distance at points."""
        return _nearest(self._classes, seen)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the class that is nearest far out."""
        return Growth.of(*smallest(*_terms(self._classes, ahead)))


class RelativeMahalanobis(Detector):
    """Mahalanobis distance less that to the mean of all data (Ren et al., 2021).

    Its quadratic form has a rank of at most the number of classes less one, if the covariances are not shrunk: in most
    directions of the features it hardly sees how far away a point is.
    """

    needs = Needs.FEATURES | Needs.LABELS

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Learn the classes, and one Gaussian for all data."""
        self._classes = with_one_covariance(seen.features, labels)
        self._all = Gaussian.of(seen.features)

    def measure(self, seen: Seen) -> np.ndarray:
        """The difference of the distances at points."""
        return _nearest(self._classes, seen) - self._all.distance(seen.features)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the class that is nearest far out."""
        terms = []
        for near, other in zip(_terms(self._classes, ahead), self._all.terms(ahead), strict=True):
            terms.append(cleaned(near - other[:, None], np.abs(near) + np.abs(other[:, None])))
        return Growth.of(*smallest(*terms))


def _nearest(classes: list[Gaussian], seen: Seen) -> np.ndarray:
    return np.min([one.distance(seen.features) for one in classes], axis=0)


def _terms(classes: list[Gaussian], ahead: Ahead) -> list[np.ndarray]:
    """Coefficients of a ** 0, a ** 1 and a ** 2 in the distances to all classes, each ``(n, classes)``."""
    return [np.stack(term, axis=1) for term in zip(*(one.terms(ahead) for one in classes), strict=True)]
