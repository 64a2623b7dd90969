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

    def fit(self, model: Any, X: Any, y: Any = None, outputs: str | None = None) -> Self:
        """Learn what is familiar.

        Args:
            model: what `knowlimits.far_field` takes; or `knowlimits.detectors.Inputs`, to look at these instead.
            X: the training data, ``(n, ...)``.
            y: class labels ``(n,)``, for detectors that look at classes.
            outputs: as `knowlimits.read` has it.

        Raises:
            ValueError: if labels are needed and not given, or do not fit.
        """
        source = _source(model, self.layer, Needs.FEATURES in self.needs, outputs, X)
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
        ahead = self._fitted().along(origins, directions, random_state)
        if ahead.straight is not None and not ahead.straight.all():
            raise ValueError(
                "directions must be such that the model's numbers grow in proportion to a, for a growth in powers of a. "
                f"Got a ray in row {int((~ahead.straight).argmax())} along a column that a step slows down without end: move "
                "others, or pass the model behind its steps."
            )
        return self.growth(ahead)

    def fit_seen(self, source: Source, seen: Seen, y: Any = None) -> Self:
        """Learn from data that a source has been asked about already; arguments as `fit` has them."""
        name = type(self).__name__
        if Needs.LOGITS in self.needs and not len(seen.logits):
            raise ValueError(f"model must be given for {name}, which looks at its logits. Got inputs alone.")
        if why := self.missing(source):
            raise ValueError(why)
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

    @classmethod
    def missing(cls, source: Source) -> str:
        """Why a source does not have what the detector needs; ``""`` where it has."""
        features = source.without_features if Needs.FEATURES in cls.needs else ""
        return features or (source.without_logits if Needs.LOGITS in cls.needs else "")

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


def fit_all(detectors: Sequence[Detector], model: Any, X: Any, y: Any = None, outputs: str | None = None) -> None:
    """Fit several detectors that look at the same layer; the model runs over the data once.

    Raises:
        ValueError: if they look at different layers.
    """
    if len({detector.layer for detector in detectors}) > 1:
        raise ValueError(f"detectors must have one layer. Got {sorted({str(d.layer) for d in detectors})}.")
    features = any(Needs.FEATURES in detector.needs for detector in detectors)
    source = _source(model, detectors[0].layer if detectors else None, features, outputs, X)
    seen = source.at(X)
    for detector in detectors:
        detector.fit_seen(source, seen, y)


def _source(model: Any, layer: str | None, features: bool, outputs: str | None, X: Any) -> Source:
    if not isinstance(model, Source):
        return View(model, layer, features, outputs=outputs, X=X)
    if layer is not None:
        raise ValueError(f"layer must be None where there is no model but {type(model).__name__}. Got {layer!r} instead.")
    return model
