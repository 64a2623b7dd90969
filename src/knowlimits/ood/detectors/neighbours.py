"""Distance to the k-th nearest neighbour among the training data's features (Sun et al., ICML 2022)."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from knowlimits.limits.growth import Growth, norm
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.source import Ahead, Seen


class NearestNeighbours(Detector):
    """Distance of the features to their k-th nearest neighbour.

    Args:
        k: which neighbour; the last one if there are fewer rows.
        normalized: scale features to length 1 first, as Sun et al. do. Far away the score is then constant.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    def __init__(self, k: int = 50, normalized: bool = True, layer: str | None = None):
        super().__init__(layer)
        if k < 1:
            raise ValueError(f"k must be at least 1. Got {k} instead.")
        self.k, self.normalized = k, normalized

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Keep the training data."""
        self._neighbours = NearestNeighbors(n_neighbors=min(self.k, len(seen))).fit(self._scaled(seen.features))

    def measure(self, seen: Seen) -> np.ndarray:
        """The distance at points."""
        return self._distance(self._scaled(seen.features))

    def growth(self, ahead: Ahead) -> Growth:
        """That of the distance to any one row; of lengths 1, the distance of the direction."""
        rate, offset = ahead.rate.features, ahead.offset.features
        moves = (rate != 0).any(1)
        if self.normalized:
            return Growth.of(self._distance(self._scaled(np.where(moves[:, None], rate, offset))))
        still = np.zeros(len(rate))
        still[~moves] = self._distance(offset[~moves]) if not moves.all() else 0
        return Growth.of(still, norm(rate, offset)[1])

    def _distance(self, h: np.ndarray) -> np.ndarray:
        return self._neighbours.kneighbors(h)[0][:, -1]

    def _scaled(self, h: np.ndarray) -> np.ndarray:
        if not self.normalized:
            return h
        length = np.linalg.norm(h, axis=1, keepdims=True)
        return h / np.where(length > 0, length, 1)
