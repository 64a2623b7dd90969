"""Isolation forest: how few random cuts set a point apart (Liu, Ting and Zhou, ICDM 2008)."""

from typing import Any

import numpy as np
from sklearn import ensemble

from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.source import Ahead, Seen

# Trees compare float32 numbers with thresholds: the largest of them is beyond all.
_LARGEST = float(np.finfo(np.float32).max)


class IsolationForest(Detector):
    """How near the roots of random trees the features come to rest, by scikit-learn.

    Args:
        random_state: seed of the trees.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    # Each axis is looked at by itself, so that one that is far says nothing of the others.
    largest = np.inf

    def __init__(self, random_state: Any = None, layer: str | None = None):
        super().__init__(layer)
        self.random_state = random_state

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Grow the trees."""
        self._forest = ensemble.IsolationForest(random_state=self.random_state).fit(seen.features)

    def measure(self, seen: Seen) -> np.ndarray:
        """The anomaly score at points, in 0 to 1."""
        return -self._forest.score_samples(np.clip(seen.features, -_LARGEST, _LARGEST))

    def growth(self, ahead: Ahead) -> Growth:
        """The leaves of whatever moves are those at the ends of its axes."""
        rate, offset = ahead.rate.features, ahead.offset.features
        return Growth.of(-self._forest.score_samples(np.where(rate != 0, np.copysign(_LARGEST, rate), offset)))
