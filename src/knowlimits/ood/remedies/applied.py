"""What becomes of a model's probabilities under a remedy, for panels, which know already what the model says."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.limits.growth import Growth
from knowlimits.ood.remedies.answers import answering, labels_of
from knowlimits.ood.remedies.guard import Guard

# Rows that a model is asked about its classes on.
_FEW = 8


@dataclass(frozen=True)
class Own:
    """A score that a remedy has of its own, larger meaning less familiar.

    Attributes:
        at: the score at points ``(n, features)``, ``(n,)``.
        along: how it grows along rays x0 + a d, exactly, by origins and directions ``(n, features)``.
        threshold: above which the remedy refuses a row.
    """

    at: Callable[[np.ndarray], np.ndarray]
    along: Callable[[np.ndarray, np.ndarray], Growth]
    threshold: float


@dataclass(frozen=True, eq=False)
class Outward:
    """Rays, for remedies.

    Attributes:
        origins, directions: ``(n, features)``.
        rate, offset: of what goes into the last layer, of all members side by side, ``(n, all features)``; None where no remedy
            looks at it.
    """

    origins: np.ndarray
    directions: np.ndarray
    rate: np.ndarray | None = None
    offset: np.ndarray | None = None


class Applied(ABC):
    """A remedy that is fitted to a model."""

    #: Whether it looks at what goes into the last layer.
    looks_at_features = False
    #: A score of its own, whose name its entry in the registry has.
    own: Own | None = None

    @abstractmethod
    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """Probabilities at points, ``(n, classes)``.

        Args:
            X: the points, ``(n, features)``.
            probs: the model's own probabilities, ``(n, classes)``.
            features: what goes into the last layer, of all members side by side, ``(n, all features)``; None where the remedy
                does not look at it.
        """

    @abstractmethod
    def along(self, rays: Outward, probs: np.ndarray) -> np.ndarray:
        """The limits of these along rays, ``(n, classes)``.

        Args:
            rays: what is known of them.
            probs: the limits of the model's own probabilities, ``(n, classes)``.
        """

    def again(self, model: Any, X: Any) -> "Applied | None":
        """The same for another model of the same rows; None where it has learnt nothing that does not hang on the model.

        Args:
            model: the other one.
            X: the rows that this was fitted to, ``(n, features)``.
        """
        return None


class AsItIs(Applied):
    """No remedy."""

    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """The model's own."""
        return probs

    def along(self, rays: Outward, probs: np.ndarray) -> np.ndarray:
        """The model's own."""
        return probs


class Guarded(Applied):
    """What the guard of a model makes of it."""

    def __init__(self, guard: Guard):
        self.guard = guard
        self.own = Own(guard.unfamiliarity, guard.growth, guard.threshold_)

    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """The model's own, blended with uniform ones."""
        return self.guard.blend(X, probs)

    def again(self, model: Any, X: Any) -> "Applied | None":
        """With the same densities, for a model of as many classes, on whose number the weight of these hangs."""
        guard = Guard(**(self.guard.get_params(deep=False) | {"model": model}))
        classes = labels_of(answering(model, guard.outputs, X), X[:_FEW])
        return Guarded(guard.restored(*self.guard.state(), classes, X)) if len(classes) == len(self.guard.classes_) else None

    def along(self, rays: Outward, probs: np.ndarray) -> np.ndarray:
        """Uniform along every ray that moves, whatever the model says; a gap does not move."""
        limits = np.full_like(probs, 1 / probs.shape[1])
        still = self.guard.growth(rays.origins, rays.directions).power == 0
        if still.any():
            limits[still] = self.guard.blend(rays.origins[still], probs[still])
        return limits
