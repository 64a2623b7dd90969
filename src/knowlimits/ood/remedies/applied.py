"""What becomes of a model's probabilities under a remedy, for panels, which know already what the model says."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knowlimits.limits.growth import Growth
from knowlimits.ood.remedies.guard import Guard


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

    def along(self, rays: Outward, probs: np.ndarray) -> np.ndarray:
        """Uniform along every ray that moves, whatever the model says; a gap does not move."""
        limits = np.full_like(probs, 1 / probs.shape[1])
        still = self.guard.growth(rays.origins, rays.directions).power == 0
        if still.any():
            limits[still] = self.guard.blend(rays.origins[still], probs[still])
        return limits
