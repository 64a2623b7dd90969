"""What detectors look at: features and logits, at points and along rays."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from knowlimits.model.arrays import as_points, as_rays
from knowlimits.ood.sizes import check_size


@dataclass(frozen=True)
class Seen:
    """What is seen at points.

    Attributes:
        features: of all members side by side, ``(n, features)``.
        logits: ``(members, n, classes)``; no members where there is no model.
    """

    features: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: np.ndarray, sizes: np.ndarray | float = 1.0) -> "Seen":
        """Some of the points, divided by sizes, ``(chosen,)``."""
        divisors = np.broadcast_to(sizes, chosen.sum())
        return Seen(self.features[chosen] / divisors[:, None], self.logits[:, chosen] / divisors[:, None])


@dataclass(frozen=True)
class Ahead:
    """What is seen along rays, far out: ``rate * a + offset``.

    Attributes:
        rate, offset: of features and logits.
        straight: ``(n,)``: whether that is in terms of `a`, and not of something that grows ever more slowly, as the logarithm
            of a column does; None where it always is.
    """

    rate: Seen
    offset: Seen
    straight: np.ndarray | None = None


class Source(ABC):
    """Something that detectors look at."""

    @property
    def without_features(self) -> str:
        """Why there are no features; ``""`` where there are."""
        return ""

    @property
    def without_logits(self) -> str:
        """Why there are no logits; ``""`` where there are."""
        return ""

    @abstractmethod
    def at(self, X: Any) -> Seen:
        """What is seen at points ``(n, ...)``."""

    @abstractmethod
    def along(self, origins: Any, directions: Any, random_state: Any = None) -> Ahead:
        """What is seen along rays; `directions` as `knowlimits.far_field` has them."""


class Inputs(Source):
    """The inputs themselves, standardised, for detectors to look at in place of a model.

    Args:
        X: data, ``(n, ...)``, whose means and standard deviations the units are.

    Raises:
        ValueError: if they are too large to have variances.

    Example:
        >>> import numpy as np, knowlimits as kl
        >>> X = np.random.default_rng(0).normal(size=(100, 3))
        >>> detector = kl.detectors.NearestNeighbours(normalized=False).fit(kl.detectors.Inputs(X), X)
        >>> bool(detector.score(X + 9).min() > detector.score(X).max())
        True
    """

    def __init__(self, X: Any):
        rows = _rows(X)
        check_size("X", rows)
        self._scaler = StandardScaler().fit(rows)

    def at(self, X: Any) -> Seen:
        """The rows ``(n, ...)`` in standard deviations.

        Raises:
            ValueError: if they are not finite.
        """
        with np.errstate(over="ignore"):
            inputs = np.asarray(self._scaler.transform(_rows(X)))
        if not np.isfinite(inputs).all():
            raise ValueError("X must be finite in standard deviations. Got numbers that overflow.")
        return _without_logits(inputs)

    def along(self, origins: Any, directions: Any, random_state: Any = None) -> Ahead:
        """The rays in standard deviations; `directions` as `knowlimits.far_field` has them."""
        starts, steps = as_rays(origins, directions, random_state)
        offset = np.asarray(self._scaler.transform(starts.flatten(1).numpy()))
        return Ahead(_without_logits(steps.flatten(1).numpy() / self._scaler.scale_), _without_logits(offset))


def _rows(X: Any) -> np.ndarray:
    return as_points("X", X).flatten(1).numpy()


def _without_logits(inputs: np.ndarray) -> Seen:
    return Seen(inputs, np.empty((0, len(inputs), 0)))
