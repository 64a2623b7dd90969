"""Detectors on the inputs themselves, by scikit-learn; the model plays no part."""

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from knowlimits.limits.growth import Growth
from knowlimits.model.arrays import as_points, as_rays
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.gaussians import GaussianMixture, Mahalanobis
from knowlimits.ood.detectors.neighbours import NearestNeighbours
from knowlimits.ood.detectors.view import Ahead, Seen, View
from knowlimits.ood.sizes import check_size, sizes_of, too_large

# Trees compare float32 numbers.
_LARGEST = float(np.finfo(np.float32).max)
KINDS = ("mahalanobis", "neighbours", "mixture", "isolation_forest", "local_outlier_factor")


class InputDetector:
    """A detector on standardised inputs, larger meaning less familiar.

    Args:
        kind: ``"mahalanobis"``, ``"neighbours"`` (raw distances), ``"mixture"`` (a Gaussian for each class),
            ``"isolation_forest"`` or ``"local_outlier_factor"``.
        random_state: seed of the isolation forest.

    Raises:
        ValueError: for another kind.
    """

    def __init__(self, kind: str = "mahalanobis", random_state: Any = None):
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}. Got {kind!r} instead.")
        self.kind, self.random_state = kind, random_state

    def fit(self, model: Any, X: Any, y: Any = None) -> "InputDetector":
        """Learn what is familiar; `model` is there so that all detectors are called alike, and may be None.

        Args:
            model: not looked at.
            X: the training data, ``(n, ...)``.
            y: class labels ``(n,)``, for ``"mahalanobis"`` and ``"mixture"``; one class for all without them.
        """
        rows = self._rows(X)
        check_size("X", rows)
        self._scaler = StandardScaler().fit(rows)
        inputs = np.asarray(self._scaler.transform(rows))
        labels = np.zeros(len(inputs)) if y is None else y
        if self.kind == "isolation_forest":
            self._forest = IsolationForest(random_state=self.random_state).fit(inputs)
        elif self.kind == "local_outlier_factor":
            self._factor = LocalOutlierFactor(n_neighbors=min(20, len(inputs) - 1), novelty=True).fit(inputs)
        else:
            self._detector: Detector = {
                "mahalanobis": Mahalanobis,
                "neighbours": lambda: NearestNeighbours(normalized=False),
                "mixture": GaussianMixture,
            }[self.kind]()
            self._detector._fit_seen(_Nothing(), self._seen(inputs), labels)
        return self

    def score(self, X: Any) -> np.ndarray:
        """How unfamiliar inputs are, ``(n,)``; larger means less familiar."""
        with np.errstate(over="ignore"):
            inputs = np.asarray(self._scaler.transform(self._rows(X)))
        if not np.isfinite(inputs).all():
            raise ValueError("X must be finite in standard deviations. Got numbers that overflow.")
        if self.kind == "isolation_forest":
            return -self._forest.score_samples(np.clip(inputs, -_LARGEST, _LARGEST))
        if self.kind == "local_outlier_factor":
            far = too_large(inputs)
            scores = np.empty(len(inputs))
            if not far.all():
                scores[~far] = -self._factor.score_samples(inputs[~far])
            sizes = sizes_of(inputs)[far]
            scores[far] = sizes * self._growth_of_factor(inputs[far] / sizes[:, None], np.zeros_like(inputs[far])).coefficient
            return scores
        return self._detector.scored(self._seen(inputs))

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> Growth:
        """How the score grows along rays x0 + a d, exactly; arguments as `Detector.far_field` has them."""
        starts, steps = as_rays(origins, directions, random_state)
        offset = np.asarray(self._scaler.transform(starts.flatten(1).numpy()))
        rate = steps.flatten(1).numpy() / self._scaler.scale_
        if self.kind == "isolation_forest":
            # Trees compare float32 numbers with thresholds: the largest of them is beyond all.
            far = np.where(rate != 0, np.copysign(_LARGEST, rate), offset)
            return Growth.of(-self._forest.score_samples(far))
        if self.kind == "local_outlier_factor":
            return self._growth_of_factor(rate, offset)
        return self._detector._growth(Ahead(self._seen(rate), self._seen(offset)))

    def _growth_of_factor(self, rate: np.ndarray, offset: np.ndarray) -> Growth:
        """The mean density of the neighbours times the mean distance to them, which grows like the length of the rate.

        The neighbours far out are the training rows that lie farthest along the direction, and of those that lie equally far
        the nearest across it.
        """
        length = np.linalg.norm(rate, axis=1)
        X, k = np.asarray(self._factor._fit_X), self._factor.n_neighbors_
        along = np.round(rate / np.where(length > 0, length, 1)[:, None] @ X.T, 12)
        across = cdist(offset, X)
        chosen = np.lexsort((across, -along), axis=1)[:, :k]
        still = np.where(length > 0, 0.0, 1.0)
        if (length == 0).any():
            still[length == 0] = -self._factor.score_samples(offset[length == 0])
        return Growth.of(still, length * self._factor._lrd[chosen].mean(1))

    def _rows(self, X: Any) -> np.ndarray:
        return as_points("X", X).flatten(1).numpy()

    def _seen(self, inputs: np.ndarray) -> Seen:
        return Seen(inputs, np.zeros((1, len(inputs), 1)))


class _Nothing(View):
    """No model."""

    def __init__(self) -> None:
        pass
