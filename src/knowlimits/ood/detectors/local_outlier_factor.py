"""Local outlier factor: how thin the data are round a point beside round its neighbours (Breunig et al., SIGMOD 2000)."""

import numpy as np
from scipy.spatial.distance import cdist
from sklearn import neighbors

from knowlimits.limits.growth import Growth, norm
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.source import Ahead, Seen


class LocalOutlierFactor(Detector):
    """The mean density of the nearest neighbours over that round the features, by scikit-learn.

    Args:
        k: how many neighbours; all others if there are fewer rows.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    # Farther out the distances to all rows are the same number, which says nothing of the nearest.
    largest = 1e10

    def __init__(self, k: int = 20, layer: str | None = None):
        super().__init__(layer)
        if k < 1:
            raise ValueError(f"k must be at least 1. Got {k} instead.")
        self.k = k

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Keep the training data and the density round each row."""
        self._rows = seen.features
        self._factor = neighbors.LocalOutlierFactor(n_neighbors=min(self.k, len(seen) - 1), novelty=True).fit(self._rows)
        # As scikit-learn has it: over the mean distance to the neighbours, but not within their own.
        distances, places = self._factor.kneighbors()
        self._densities = 1 / (np.maximum(distances, distances[places, -1]).mean(1) + 1e-10)

    def measure(self, seen: Seen) -> np.ndarray:
        """The factor at points, about 1 within the data."""
        return -self._factor.score_samples(seen.features)

    def growth(self, ahead: Ahead) -> Growth:
        """The mean density of the neighbours times the mean distance to them, which grows like the length of the rate.

        The neighbours far out are the training rows that lie farthest along the direction, and of those that lie equally far
        the nearest across it.
        """
        rate, offset = ahead.rate.features, ahead.offset.features
        length = norm(rate, offset)[1]
        moves = length > 0
        along = np.round(rate / np.where(moves, length, 1)[:, None] @ self._rows.T, 12)
        across = cdist(offset, self._rows)
        chosen = np.lexsort((across, -along), axis=1)[:, : self._factor.n_neighbors_]
        still = np.where(moves, 0.0, 1.0)
        if not moves.all():
            still[~moves] = -self._factor.score_samples(offset[~moves])
        return Growth.of(still, length * self._densities[chosen].mean(1))
