"""All scores of a model side by side: of its probabilities, detectors on its features and inputs, and its two remedies.

The model runs once over the points, or along the rays, for all of them.
"""

from typing import Any, Self

import numpy as np
import torch

from knowlimits import scores
from knowlimits._machine import one_blas_thread
from knowlimits.limits.growth import Growth
from knowlimits.limits.probabilities import limiting_probabilities
from knowlimits.model.model import Model
from knowlimits.model.read import read_logits
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.gaussians import GaussianMixture, Mahalanobis, RelativeMahalanobis
from knowlimits.ood.detectors.inputs import KINDS, InputDetector
from knowlimits.ood.detectors.logits import Energy, MaxLogit
from knowlimits.ood.detectors.neighbours import NearestNeighbours
from knowlimits.ood.detectors.view import Ahead, Seen, View
from knowlimits.ood.detectors.vim import ViM
from knowlimits.ood.remedies.guard import Guard
from knowlimits.ood.remedies.laplace import LastLayerLaplace

#: Ids of the model and its remedies.
AS_IT_IS, LAPLACE, GUARDED = "model", "laplace", "guard"
#: The entropies of each, by their names as scores.
ENTROPIES = {AS_IT_IS: "entropy", LAPLACE: "laplace_entropy", GUARDED: "guarded_entropy"}
OF_PROBABILITIES = ("max_prob", "entropy", "expected_entropy", "variance", "mutual_information")
# Beyond so many weights in a last layer the matrix over them is too large to be worth it.
_MOST_WEIGHTS = 4000


class Panel:
    """Every score of a model, larger meaning less familiar.

    Args:
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
        inputs: have detectors on the inputs themselves, too.

    Attributes:
        guard: the model, guarded.
        laplace: last-layer Laplace for each member; None where it cannot be.
        without_laplace: why it cannot be, or ``""``.
    """

    guard: Guard
    laplace: "LaplaceMembers | None"
    without_laplace: str

    def __init__(self, layer: str | None = None, inputs: bool = True):
        self.layer, self.inputs = layer, inputs

    @one_blas_thread()
    def fit(self, model: Any, X: Any, y: Any) -> Self:
        """Learn what is familiar.

        Args:
            model: what `knowlimits.far_field` takes.
            X: data like those that it was trained on, ``(n, features)``.
            y: class labels, ``(n,)``.
        """
        model = read_logits(model)
        self._view = View(model, self.layer)
        seen = self._view.at(X)
        self.members = len(seen.logits)
        self._detectors: dict[str, Detector] = {
            "energy": Energy(self.layer),
            "max_logit": MaxLogit(self.layer),
            "mahalanobis": Mahalanobis(self.layer),
            "relative_mahalanobis": RelativeMahalanobis(self.layer),
            "mixture": GaussianMixture(self.layer),
            "neighbours": NearestNeighbours(layer=self.layer),
            "raw_neighbours": NearestNeighbours(normalized=False, layer=self.layer),
            "vim": ViM(layer=self.layer),
        }
        for detector in self._detectors.values():
            detector._fit_seen(self._view, seen, y)
        kinds = KINDS if self.inputs else ()
        self._inputs = {_input_name(kind): InputDetector(kind, random_state=0).fit(None, X, y) for kind in kinds}
        self.laplace, self.without_laplace = None, ""
        try:
            self.laplace = LaplaceMembers(model, X, y)
        except ValueError as error:
            self.without_laplace = str(error)
        self._last = self._view if self.layer is None or self.laplace is None else View(model)
        self.guard = Guard(model, random_state=0).fit(X)
        return self

    @one_blas_thread()
    def at(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """All scores at points ``(n, features)``, each ``(n,)``."""
        seen = self._view.at(X)
        members = torch.from_numpy(seen.logits).softmax(-1).numpy()
        found = {name: np.asarray(scores.score(members, name)) for name in self.of_probabilities}
        found |= {name: detector.scored(seen) for name, detector in self._detectors.items()}
        found |= {name: detector.score(X) for name, detector in self._inputs.items()}
        return found | _entropies(self._probabilities(X, seen))

    @one_blas_thread()
    def along(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, Growth]:
        """How all scores grow along rays x0 + a d, exactly."""
        ahead = self._view.along(origins, directions)
        members = limiting_probabilities(ahead.rate.logits, ahead.offset.logits)
        found = {name: Growth.of(np.asarray(scores.score(members, name))) for name in self.of_probabilities}
        found |= {name: detector._growth(ahead) for name, detector in self._detectors.items()}
        found |= {name: detector.far_field(origins, directions) for name, detector in self._inputs.items()}
        limits = self._probabilities_along(origins, directions, ahead)
        return found | {name: Growth.of(values) for name, values in _entropies(limits).items()}

    def probabilities(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Those of the model, of last-layer Laplace if it can be, and of the guard at points, each ``(n, classes)``."""
        return self._probabilities(X, self._view.at(X))

    def limits(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        """The exact limits of these probabilities along rays, each ``(n, classes)``."""
        return self._probabilities_along(origins, directions, self._view.along(origins, directions))

    def _probabilities(self, X: np.ndarray, seen: Seen) -> dict[str, np.ndarray]:
        own = torch.from_numpy(seen.logits).softmax(-1).mean(0).numpy()
        found = {AS_IT_IS: own}
        if self.laplace is not None:
            # Its features are those before the last layer, whatever the detectors look at.
            last = seen if self.layer is None else self._last.at(X)
            found[LAPLACE] = self.laplace.probabilities(last.features)
        return found | {GUARDED: self.guard.blend(X, own)}

    def _probabilities_along(self, origins: np.ndarray, directions: np.ndarray, ahead: Ahead) -> dict[str, np.ndarray]:
        found = {AS_IT_IS: limiting_probabilities(ahead.rate.logits, ahead.offset.logits).mean(0)}
        if self.laplace is not None:
            last = ahead if self.layer is None else self._last.along(origins, directions)
            found[LAPLACE] = self.laplace.limiting_probabilities(last.rate.features, last.offset.features)
        # Uniform along every ray, whatever the model says.
        return found | {GUARDED: np.full((len(ahead.rate), len(self.guard.classes_)), 1 / len(self.guard.classes_))}

    @property
    def of_probabilities(self) -> tuple[str, ...]:
        """Names of the scores of probabilities: those that one member has, or all."""
        return OF_PROBABILITIES if self.members > 1 else OF_PROBABILITIES[:2]


class LaplaceMembers:
    """Last-layer Laplace for every member of a model, and the mean of their probabilities (Eschenhagen et al., 2021).

    Features are those of all members side by side, as a `View` of the model has them.

    Raises:
        ValueError: where a member has no linear last layer, or too large a one.
    """

    def __init__(self, model: Model, X: Any, y: Any):
        self._members = []
        # One logit stays one: a Gaussian over the weights of (0, f) would be another.
        for member in model.one_by_one(pad=False):
            laplace = LastLayerLaplace(member)
            if (count := laplace.n_weights()) > _MOST_WEIGHTS:
                raise ValueError(f"the last layer has {count:,} weights, and {_MOST_WEIGHTS:,} are the most.")
            self._members.append(laplace.fit(X, y))
        self._ends = np.cumsum([member.weights_.shape[1] - 1 for member in self._members])[:-1]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities, ``(n, classes)``, by features ``(n, all features)``."""
        parts = np.split(features, self._ends, axis=1)
        return np.mean([member.probabilities(part) for member, part in zip(self._members, parts, strict=True)], axis=0)

    def limiting_probabilities(self, rate: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Limits of the probabilities, ``(n, classes)``, by rates and offsets of the features."""
        parts = zip(self._members, np.split(rate, self._ends, axis=1), np.split(offset, self._ends, axis=1), strict=True)
        return np.mean([member.limiting_probabilities(r, o) for member, r, o in parts], axis=0)


def _entropies(probabilities: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The entropies of the remedies' probabilities."""
    return {
        ENTROPIES[name]: np.asarray(scores.entropy(probs[None])) for name, probs in probabilities.items() if name != AS_IT_IS
    }


def _input_name(kind: str) -> str:
    return kind if "_" in kind else f"input_{kind}"
