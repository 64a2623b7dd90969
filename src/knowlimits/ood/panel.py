"""All scores of a model side by side: of its probabilities, detectors on it and on its inputs, and of what remedies make of it.

The registries say which there are. The model runs once over the points, or along the rays, for all of them.
"""

from collections.abc import Collection
from typing import Any, Self

import numpy as np
import torch

from knowlimits import scores
from knowlimits._machine import one_blas_thread
from knowlimits.limits.growth import Growth
from knowlimits.limits.probabilities import limiting_probabilities
from knowlimits.model.read import read
from knowlimits.ood.detectors import DETECTORS
from knowlimits.ood.detectors.source import Ahead, Seen
from knowlimits.ood.detectors.view import View
from knowlimits.ood.familiar import Shared, fitted_on
from knowlimits.ood.remedies import REMEDIES
from knowlimits.ood.remedies.applied import Applied, Guarded, Outward, Own
from knowlimits.ood.remedies.guard import Guard

#: The model and its remedies.
AS_IT_IS, LAPLACE, GUARDED = "model", "laplace", "guard"
#: The entropies of each, by their names as scores.
ENTROPIES = {remedy: one.score for remedy, one in REMEDIES.items()}
#: The guard's own score.
UNFAMILIARITY = REMEDIES[GUARDED].own


class Panel:
    """Every score of a model, larger meaning less familiar.

    Args:
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
        inputs: have detectors on the inputs themselves, too.

    Attributes:
        members: how many members the model has.
        remedies: the model as it is and its remedies, fitted, by their ids.
        without: why a remedy is none for this model, by its id.
        left_out: why a detector is none for it, by its name.
    """

    members: int
    remedies: dict[str, Applied]
    without: dict[str, str]
    left_out: dict[str, str]

    def __init__(self, layer: str | None = None, inputs: bool = True):
        self.layer, self.inputs = layer, inputs

    @one_blas_thread()
    def fit(
        self,
        model: Any,
        X: Any,
        y: Any,
        outputs: str | None = None,
        categories: Collection[int] = (),
        shared: Shared | None = None,
    ) -> Self:
        """Learn what is familiar.

        Args:
            model: what `knowlimits.far_field` takes.
            X: data like those that it was trained on, ``(n, features)``.
            y: class labels, ``(n,)``.
            outputs: as `knowlimits.read` has it.
            categories: places of columns whose numbers are codes of categories, for the guard.
            shared: what panels of other models have learnt already of the same rows.
        """
        model = read(model, outputs, X)
        self._view = View(model, self.layer, features=False)
        seen = self._view.at(X)
        self.members = len(seen.logits)
        self.left_out = {
            name: why
            for name, entry in DETECTORS.items()
            if not entry.on_inputs and (why := entry.build(random_state=0).missing(self._view))
        }
        self._on_model = fitted_on(self._view, seen, y, on_inputs=False, without=self.left_out)
        shared = Shared(remember=False) if shared is None else shared
        self._familiar = shared.familiar(X, y) if self.inputs else None
        self.remedies, self.without = {}, {}
        for name, remedy in REMEDIES.items():
            try:
                self.remedies[name] = shared.remedy(name, model, X, y, categories)
            except ValueError as error:
                if remedy.to_all:
                    raise
                self.without[name] = str(error)
        # Remedies look at the last layer, whatever the detectors look at.
        wanted = any(remedy.looks_at_features for remedy in self.remedies.values())
        self._last = (self._view if self.layer is None else View(model)) if wanted else None
        return self

    @one_blas_thread()
    def at(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """All scores at points ``(n, features)``, each ``(n,)``."""
        seen = self._view.at(X)
        members = torch.from_numpy(seen.logits).softmax(-1).numpy()
        found = {name: np.asarray(scores.score(members, name)) for name in self.of_probabilities}
        found |= {name: detector.scored(seen) for name, detector in self._on_model.items()}
        if self._familiar is not None:
            found |= self._familiar.at(X)
        found |= _entropies(self._probabilities(X, seen))
        return found | {name: own.at(X) for name, own in self._own.items()}

    @one_blas_thread()
    def along(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, Growth]:
        """How all scores grow along rays x0 + a d, exactly."""
        ahead = self._view.along(origins, directions)
        members = limiting_probabilities(ahead.rate.logits, ahead.offset.logits)
        found = {name: Growth.of(np.asarray(scores.score(members, name))) for name in self.of_probabilities}
        found |= {name: detector.growth(ahead) for name, detector in self._on_model.items()}
        if self._familiar is not None:
            found |= self._familiar.along(origins, directions)
        limits = self._limits(origins, directions, ahead)
        found |= {name: Growth.of(values) for name, values in _entropies(limits).items()}
        return found | {name: own.along(origins, directions) for name, own in self._own.items()}

    def probabilities(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Those of the model as it is and with each remedy, by their ids, at points, each ``(n, classes)``."""
        return self._probabilities(X, self._view.at(X))

    def limits(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        """The exact limits of these probabilities along rays, each ``(n, classes)``."""
        return self._limits(origins, directions, self._view.along(origins, directions))

    def _probabilities(self, X: np.ndarray, seen: Seen) -> dict[str, np.ndarray]:
        own = torch.from_numpy(seen.logits).softmax(-1).mean(0).numpy()
        last = seen if self._last is self._view else self._last and self._last.at(X)
        features = last.features if last else None
        return {name: remedy.at(X, own, features) for name, remedy in self.remedies.items()}

    def _limits(self, origins: np.ndarray, directions: np.ndarray, ahead: Ahead) -> dict[str, np.ndarray]:
        own = limiting_probabilities(ahead.rate.logits, ahead.offset.logits).mean(0)
        last = ahead if self._last is self._view else self._last and self._last.along(origins, directions)
        features = (last.rate.features, last.offset.features) if last else ()
        rays = Outward(origins, directions, *features)
        return {name: remedy.along(rays, own) for name, remedy in self.remedies.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """Those that scores bring themselves, by their names: scores above them are refused."""
        return {name: own.threshold for name, own in self._own.items()}

    @property
    def _own(self) -> dict[str, Own]:
        """Scores that remedies have of their own, by their names."""
        return {REMEDIES[name].own: remedy.own for name, remedy in self.remedies.items() if remedy.own is not None}

    @property
    def of_probabilities(self) -> tuple[str, ...]:
        """Names of the scores of probabilities: those that one member has, or all."""
        return scores.names(self.members)

    @property
    def without_laplace(self) -> str:
        """Why there is no last-layer Laplace, or ``""``."""
        return self.without.get(LAPLACE, "")

    @property
    def guard(self) -> Guard:
        """The model, guarded."""
        guarded = self.remedies[GUARDED]
        assert isinstance(guarded, Guarded)
        return guarded.guard


def _entropies(probabilities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The entropies of the remedies' probabilities."""
    return {
        REMEDIES[name].score: np.asarray(scores.entropy(probs[None]))
        for name, probs in probabilities.items()
        if name != AS_IT_IS
    }
