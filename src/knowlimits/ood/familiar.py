"""What is known of familiar rows whatever the model: detectors on the inputs themselves, and the density of a guard.

Several models that are held to the same rows share it, and what detectors have found at the same points.
"""

import hashlib
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors import DETECTORS
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.source import Inputs, Seen, Source
from knowlimits.ood.remedies import REMEDIES
from knowlimits.ood.remedies.applied import Applied

# Numbers that are remembered, at most: 256 MB.
_REMEMBERED = 2**25


class Familiar:
    """Detectors on inputs, fitted to rows; they see the median, or a value next to it, where there is a gap.

    Args:
        X: the rows, ``(n, features)``.
        y: class labels, ``(n,)``.
        remember: keep what was found at points, for those who ask about the same ones again.
    """

    def __init__(self, X: Any, y: Any, remember: bool = False):
        self._X, self._y = X, y
        self._medians = _medians(X)
        self._inputs = Inputs(self._filled(X))
        self._detectors = fitted_on(self._inputs, self._inputs.at(self._filled(X)), y, on_inputs=True)
        self._found: dict[bytes, dict[str, Any]] | None = {} if remember else None
        self._room = _REMEMBERED

    def is_of(self, X: Any, y: Any) -> bool:
        """Whether it was fitted to these rows and labels."""
        return _same(X, self._X) and np.array_equal(y, self._y)

    def at(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """The detectors' scores at points ``(n, features)``, each ``(n,)``."""

        def find() -> dict[str, np.ndarray]:
            inputs = self._inputs.at(self._filled(X))
            return {name: detector.scored(inputs) for name, detector in self._detectors.items()}

        return self._remembered(find, len(X), X)

    def along(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, Growth]:
        """How these grow along rays x0 + a d, exactly."""

        def find() -> dict[str, Growth]:
            inputs = self._inputs.along(self._filled(origins), directions)
            return {name: detector.growth(inputs) for name, detector in self._detectors.items()}

        # Of a growth there are two numbers for each ray.
        return self._remembered(find, 2 * len(origins), origins, directions)

    def _remembered(self, find: Callable[[], dict[str, Any]], size: int, *arrays: np.ndarray) -> dict[str, Any]:
        """What was found where somebody asked about such arrays before, or else is found now."""
        if self._found is None:
            return find()
        key = hashlib.blake2b(digest_size=16)
        for array in arrays:
            key.update(repr(array.shape).encode())
            key.update(np.ascontiguousarray(array).data)
        name = key.digest()
        if name in self._found:
            return dict(self._found[name])
        found = find()
        size *= len(found)
        if size <= self._room:
            self._room -= size
            self._found[name] = dict(found)
        return found

    def _filled(self, X: Any) -> Any:
        """Rows as detectors see them."""
        if self._medians is None or not np.isnan(X).any():
            return X
        return np.where(np.isnan(X), self._medians, X)


class Shared:
    """What panels of several models have in common: each part is learnt once for the same rows.

    Args:
        remember: keep what detectors on inputs have found, too.
    """

    def __init__(self, remember: bool = True):
        self._remember = remember
        self._familiar: list[Familiar] = []
        self._remedies: dict[str, list[tuple[Any, tuple[int, ...], Applied]]] = {}

    def familiar(self, X: Any, y: Any) -> Familiar:
        """The detectors on inputs, fitted to rows ``(n, features)`` and labels ``(n,)``."""
        for one in self._familiar:
            if one.is_of(X, y):
                return one
        self._familiar.append(Familiar(X, y, self._remember))
        return self._familiar[-1]

    def remedy(self, name: str, model: Any, X: Any, y: Any, categories: Collection[int]) -> Applied:
        """A remedy of the registry for a model, with what it has learnt of the same rows for another.

        Raises:
            ValueError: if it is none for this model.
        """
        known = self._remedies.setdefault(name, [])
        for rows, places, applied in known:
            if places == tuple(categories) and _same(rows, X) and (again := applied.again(model, X)) is not None:
                return again
        applied = REMEDIES[name].fit(model, X, y, categories)
        known.append((X, tuple(categories), applied))
        return applied


def fitted_on(source: Source, seen: Seen, y: Any, on_inputs: bool, without: Collection[str] = ()) -> dict[str, Detector]:
    """The detectors that look at a source, by their names."""
    return {
        name: entry.build(random_state=0).fit_seen(source, seen, y)
        for name, entry in DETECTORS.items()
        if entry.on_inputs == on_inputs and name not in without
    }


def _same(X: Any, other: Any) -> bool:
    return X is other or np.array_equal(X, other, equal_nan=True)


def _medians(X: Any) -> np.ndarray | None:
    """What stands for gaps, ``(features,)``; None where X is no table of numbers in memory."""
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.dtype.kind != "f":
        return None
    return np.array([np.quantile(known, 0.5, method="nearest") if len(known := one[~np.isnan(one)]) else 0.0 for one in X.T])
