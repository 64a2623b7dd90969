"""Detectors, one a file, and the registry of them: what panels, audits, tables and tests go through."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.isolation_forest import IsolationForest
from knowlimits.ood.detectors.local_outlier_factor import LocalOutlierFactor
from knowlimits.ood.detectors.logits import Energy, MaxLogit
from knowlimits.ood.detectors.mahalanobis import Mahalanobis, RelativeMahalanobis
from knowlimits.ood.detectors.mixture import GaussianMixture
from knowlimits.ood.detectors.neighbours import NearestNeighbours
from knowlimits.ood.detectors.vim import ViM


@dataclass(frozen=True)
class Entry:
    """A detector in the registry.

    Attributes:
        make: makes it, with the settings that it has beside others.
        on_inputs: whether it looks at the inputs; else at the model.
        seeded: whether it draws random numbers, and `make` takes a `random_state`.
    """

    make: Callable[..., Detector]
    on_inputs: bool = False
    seeded: bool = False

    def build(self, random_state: Any = None) -> Detector:
        """A new one."""
        return self.make(random_state=random_state) if self.seeded else self.make()


#: By names as scores. A detector of one's own: write its file, enter it here.
DETECTORS: dict[str, Entry] = {
    "energy": Entry(Energy),
    "max_logit": Entry(MaxLogit),
    "mahalanobis": Entry(Mahalanobis),
    "relative_mahalanobis": Entry(RelativeMahalanobis),
    "mixture": Entry(GaussianMixture),
    "neighbours": Entry(NearestNeighbours),
    "raw_neighbours": Entry(lambda: NearestNeighbours(normalized=False)),
    "vim": Entry(ViM),
    "input_mahalanobis": Entry(Mahalanobis, on_inputs=True),
    "input_neighbours": Entry(lambda: NearestNeighbours(normalized=False), on_inputs=True),
    "input_mixture": Entry(GaussianMixture, on_inputs=True),
    "isolation_forest": Entry(IsolationForest, on_inputs=True, seeded=True),
    "local_outlier_factor": Entry(LocalOutlierFactor, on_inputs=True),
}
