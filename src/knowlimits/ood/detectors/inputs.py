"""The detectors of the inputs, by their kind."""

from typing import Any, Self

import numpy as np

from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors import DETECTORS
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.source import Inputs


class InputDetector:
    """A detector on standardised inputs, larger meaning less familiar: a door to detectors that look at `Inputs`.

    Args:
        kind: ``"mahalanobis"``, ``"neighbours"`` (raw distances), ``"mixture"`` (a Gaussian for each class),
            ``"isolation_forest"`` or ``"local_outlier_factor"``.
        random_state: seed of the isolation forest.

    Raises:
        ValueError: for another kind.
    """

    def __init__(self, kind: str = "mahalanobis", random_state: Any = None):
        kinds = {name.removeprefix("input_"): entry for name, entry in DETECTORS.items() if entry.on_inputs}
        if kind not in kinds:
            raise ValueError(f"kind must be one of {', '.join(kinds)}. Got {kind!r} instead.")
        self.kind, self.random_state = kind, random_state
        self._detector: Detector = kinds[kind].build(random_state)

    def fit(self, model: Any, X: Any, y: Any = None) -> Self:
        """Learn what is familiar; `model` is there so that all detectors are called alike, and may be None.

        Args:
            model: not looked at.
            X: the training data, ``(n, ...)``.
            y: class labels ``(n,)``, for ``"mahalanobis"`` and ``"mixture"``; one class for all without them.
        """
        self._detector.fit(Inputs(X), X, np.zeros(len(X)) if y is None else y)
        return self

    def score(self, X: Any) -> np.ndarray:
        """How unfamiliar inputs are, ``(n,)``; larger means less familiar."""
        return self._detector.score(X)

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> Growth:
        """How the score grows along rays x0 + a d, exactly; arguments as `Detector.far_field` has them."""
        return self._detector.far_field(origins, directions, random_state)
