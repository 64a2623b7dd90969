"""What detectors share."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors.source import Ahead, Seen, Source
from knowlimits.ood.detectors.view import View
from knowlimits.ood.sizes import LARGEST, check_size


class Needs(enum.Flag):
    """What a detector cannot be without."""

    FEATURES = enum.auto()
    LOGITS = enum.auto()
    LABELS = enum.auto()


class Detector(ABC):
    """A score of how unfamiliar an input is, larger meaning less familiar.

    A detector of one's own says what it needs, and has `measure` and `growth`, and `learn` if there is something to learn.
    `knowlimits.testing.check_detector` checks it.

    Args:
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    needs: ClassVar[Needs] = Needs.FEATURES
    #: Features with larger numbers are looked at as the end of a ray; by default those whose squares could overflow.
    largest: ClassVar[float] = LARGEST

    def __init__(self, layer: str | None = None):
        self.layer = layer
        self._source: Source | None = None

    def fit(self, model: Any, X: Any, y: Any = None) -> Self:
        """Learn what is familiar.

        Args:
            model: what `knowlimits.far_field` takes; or `knowlimits.detectors.Inputs`, to look at these instead.
            X: the training data, ``(n, ...)``.
            y: class labels ``(n,)``, for detectors that look at classes.

        Raises:
            ValueError: if labels are needed and not given, or do not fit.
        """
        source = _source(model, self.layer, Needs.FEATURES in self.needs)
        with one_blas_thread(), one_thread():
            return self.fit_seen(source, source.at(X), y)

    def score(self, X: Any) -> np.ndarray:
        """How unfamiliar inputs are, ``(n,)``; larger means less familiar."""
        return self.scored(self._fitted().at(X))

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> Growth:
        """How the score grows along rays x0 + a d, exactly.

        Args:
            origins: starts of the rays, ``(n, ...)``.
            directions: of the same shape, or ``"features"`` or ``"random"`` as `knowlimits.far_field` has them.
            random_state: seed of random directions.
        """
        return self.growth(self._fitted().along(origins, directions, random_state))

    def fit_seen(self, source: Source, seen: Seen, y: Any = None) -> Self:
        """Learn from data that a source has been asked about already; arguments as `fit` has them."""
        name = type(self).__name__
        if Needs.LOGITS in self.needs and not len(seen.logits):
            raise ValueError(f"model must be given for {name}, which looks at its logits. Got inputs alone.")
        if y is None and Needs.LABELS in self.needs:
            raise ValueError(f"y must be given for {name}. Got None instead.")
        labels = np.zeros(len(seen), dtype=int)
        if y is not None:
            labels = np.unique(np.asarray(y), return_inverse=True)[1]
            if labels.shape != (len(seen),):
                raise ValueError(f"y must have a label for each row of X, {len(seen)}. Got shape {np.shape(y)} instead.")
        check_size("features of the model at X", seen.features)
        self.learn(seen, labels)
        self._source = source
        return self

    def scored(self, seen: Seen) -> np.ndarray:
        """The score where a source has been looked at already, ``(n,)``.

        Where numbers pass `largest`, it is that of a ray from 0: its leading term, beside which others vanish.
        """
        sizes = np.abs(seen.features).max(1, initial=0.0)
        far = sizes > self.largest
        if not far.any():
            return self.measure(seen)
        sizes = sizes[far]
        start = Seen(np.zeros_like(seen.features[far]), np.zeros_like(seen.logits[:, far]))
        growth = self.growth(Ahead(seen.rows(far, sizes), start))
        scores = np.empty(len(seen))
        if not far.all():
            scores[~far] = self.measure(seen.rows(~far))
        with np.errstate(over="ignore"):
            scores[far] = growth.coefficient * sizes**growth.power
        return scores

    def learn(self, seen: Seen, labels: np.ndarray) -> None:  # noqa: B027
        """Learn from the training data; detectors with nothing to learn leave it.

        Args:
            seen: features and logits of all rows.
            labels: places of their classes, ``(n,)``; one class for all where none were given.
        """

    @abstractmethod
    def measure(self, seen: Seen) -> np.ndarray:
        """The score at points, ``(n,)``."""

    @abstractmethod
    def growth(self, ahead: Ahead) -> Growth:
        """How the score grows along rays."""

    def _fitted(self) -> Source:
        if self._source is None:
            raise ValueError(f"{type(self).__name__} must be fitted. Call fit(model, X, y) first.")
        return self._source


def fit_all(detectors: Sequence[Detector], model: Any, X: Any, y: Any = None) -> None:
    """Fit several detectors that look at the same layer; the model runs over the data once.

    Raises:
        ValueError: if they look at different layers.
    """
    if len({detector.layer for detector in detectors}) > 1:
        raise ValueError(f"detectors must have one layer. Got {sorted({str(d.layer) for d in detectors})}.")
    features = any(Needs.FEATURES in detector.needs for detector in detectors)
    source = _source(model, detectors[0].layer if detectors else None, features)
    seen = source.at(X)
    for detector in detectors:
        detector.fit_seen(source, seen, y)


def _source(model: Any, layer: str | None, features: bool) -> Source:
    if not isinstance(model, Source):
        return View(model, layer, features)
    if layer is not None:
        raise ValueError(f"layer must be None where there is no model but {type(model).__name__}. Got {layer!r} instead.")
    return model
