"""What becomes of a model's probabilities under a remedy, for panels, which know already what the model says."""

from abc import ABC, abstractmethod

import numpy as np

from knowlimits.ood.remedies.guard import Guard


class Applied(ABC):
    """A remedy that is fitted to a model."""

    #: Whether it looks at what goes into the last layer.
    looks_at_features = False

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
    def along(self, probs: np.ndarray, rate: np.ndarray | None, offset: np.ndarray | None) -> np.ndarray:
        """The limits of these along rays, ``(n, classes)``, by those of the model's own, and by rates and offsets."""


class AsItIs(Applied):
    """No remedy."""

    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """The model's own."""
        return probs

    def along(self, probs: np.ndarray, rate: np.ndarray | None, offset: np.ndarray | None) -> np.ndarray:
        """The model's own."""
        return probs


class Guarded(Applied):
    """What the guard of a model makes of it."""

    def __init__(self, guard: Guard):
        self.guard = guard

    def at(self, X: np.ndarray, probs: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """The model's own, blended with uniform ones."""
        return self.guard.blend(X, probs)

    def along(self, probs: np.ndarray, rate: np.ndarray | None, offset: np.ndarray | None) -> np.ndarray:
        """Uniform along every ray, whatever the model says."""
        return np.full_like(probs, 1 / probs.shape[1])
