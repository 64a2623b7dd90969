"""What detectors share."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors.view import Ahead, Seen, View
from knowlimits.ood.sizes import check_size, sizes_of, too_large


class Detector:
    """A score of how unfamiliar an input is to a model, larger meaning less familiar.

    Args:
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    _looks_at_features = True

    def __init__(self, layer: str | None = None):
        self.layer = layer
        self._view: View | None = None

    def fit(self, model: Any, X: Any, y: Any = None) -> Self:
        """Learn what is familiar.

        Args:
            model: what `knowlimits.far_field` takes.
            X: the training data, ``(n, ...)``.
            y: class labels ``(n,)``, for detectors that look at classes.

        Raises:
            ValueError: if labels are needed and not given, or do not fit.
        """
        view = View(model, self.layer, self._looks_at_features)
        with one_blas_thread(), one_thread():
            return self._fit_seen(view, view.at(X), y)

    def score(self, X: Any) -> np.ndarray:
        """How unfamiliar inputs are, ``(n,)``; larger means less familiar."""
        return self.scored(self._fitted().at(X))

    def scored(self, seen: Seen) -> np.ndarray:
        """The score where a model has been looked at already, ``(n,)``.

        Where squares of features would overflow, it is that of a ray from 0: its leading term, beside which others vanish.
        """
        far = too_large(seen.features)
        if not far.any():
            return self._score(seen)
        sizes = sizes_of(seen.features)[far]
        start = Seen(np.zeros_like(seen.features[far]), np.zeros_like(seen.logits[:, far]))
        growth = self._growth(Ahead(seen.rows(far, sizes), start))
        scores = np.empty(len(seen))
        if not far.all():
            scores[~far] = self._score(seen.rows(~far))
        with np.errstate(over="ignore"):
            scores[far] = growth.coefficient * sizes**growth.power
        return scores

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> Growth:
        """How the score grows along rays x0 + a d, exactly.

        Args:
            origins: starts of the rays, ``(n, ...)``.
            directions: of the same shape, or ``"features"`` or ``"random"`` as `knowlimits.far_field` has them.
            random_state: seed of random directions.
        """
        return self._growth(self._fitted().along(origins, directions, random_state))

    def _fitted(self) -> View:
        if self._view is None:
            raise ValueError(f"{type(self).__name__} must be fitted. Call fit(model, X, y) first.")
        return self._view

    def _fit_seen(self, view: View, seen: Seen, y: Any) -> Self:
        labels = None
        if y is not None:
            labels = np.unique(np.asarray(y), return_inverse=True)[1]
            if labels.shape != (len(seen),):
                raise ValueError(f"y must have a label for each row of X, {len(seen)}. Got shape {np.shape(y)} instead.")
        check_size("features of the model at X", seen.features)
        self._learn(seen, labels)
        self._view = view
        return self

    def _learn(self, seen: Seen, labels: np.ndarray | None) -> None:
        """Learn from the training data; detectors with nothing to learn leave it."""

    def _score(self, seen: Seen) -> np.ndarray:
        raise NotImplementedError

    def _growth(self, ahead: Ahead) -> Growth:
        raise NotImplementedError

    def _labels(self, labels: np.ndarray | None) -> np.ndarray:
        if labels is None:
            raise ValueError(f"y must be given for {type(self).__name__}. Got None instead.")
        return labels


def fit_all(detectors: Sequence[Detector], model: Any, X: Any, y: Any = None) -> None:
    """Fit several detectors that look at the same layer; the model runs over the data once.

    Raises:
        ValueError: if they look at different layers.
    """
    if len({detector.layer for detector in detectors}) > 1:
        raise ValueError(f"detectors must have one layer. Got {sorted({str(d.layer) for d in detectors})}.")
    features = any(detector._looks_at_features for detector in detectors)
    view = View(model, detectors[0].layer if detectors else None, features)
    seen = view.at(X)
    for detector in detectors:
        detector._fit_seen(view, seen, y)
