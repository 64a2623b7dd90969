"""Last-layer Laplace for models of several members."""

from typing import Any

import numpy as np

from knowlimits.model.read import check_logits, read
from knowlimits.ood.detectors.view import View
from knowlimits.ood.remedies.applied import Applied, Outward
from knowlimits.ood.remedies.laplace import LastLayerLaplace

# Beyond so many weights in a last layer the matrix over them is too large to be worth it.
_MOST_WEIGHTS = 4000


class LaplaceMembers(Applied):
    """Last-layer Laplace for every member of a model, and the mean of their probabilities (Eschenhagen et al., 2021).

    Raises:
        ValueError: where a model is no network, a member has no linear last layer, or too large a one.
    """

    looks_at_features = True

    def __init__(self, model: Any, X: Any, y: Any):
        self._members = []
        model = read(model, X=X)
        check_logits(model)
        # One logit stays one: a Gaussian over the weights of (0, f) would be another.
        for member in model.one_by_one(pad=False):
            view = View(member)
            view.at(X[:2])
            if view.without_features:
                raise ValueError(view.without_features)
            if (count := sum(part.size for part in view.last_layer())) > _MOST_WEIGHTS:
                raise ValueError(f"the last layer has {count:,} weights, and {_MOST_WEIGHTS:,} are the most.")
            self._members.append(LastLayerLaplace(member).fit(X, y))
        self._ends = np.cumsum([member.weights_.shape[1] - 1 for member in self._members])[:-1]

    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """The mean over members."""
        return np.mean(
            [member.probabilities(part) for member, part in zip(self._members, self._split(features), strict=True)], axis=0
        )

    def along(self, rays: Outward, probs: np.ndarray) -> np.ndarray:
        """The mean over members of their limits."""
        parts = zip(self._members, self._split(rays.rate), self._split(rays.offset), strict=True)
        return np.mean([member.limiting_probabilities(r, o) for member, r, o in parts], axis=0)

    def _split(self, features: np.ndarray | None) -> list[np.ndarray]:
        if features is None:
            raise ValueError("features must be given, as the remedy looks at them. Got None instead.")
        return np.split(features, self._ends, axis=1)
