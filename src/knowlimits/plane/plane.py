"""Planes in a model's input space."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Plane:
    """The points ``origin + x * u + y * v`` of an input space.

    Attributes:
        origin: ``(d,)``, or of the shape of one input.
        u, v: directions of the axes, of the same shape; neither need have length 1, nor need they be orthogonal.

    Raises:
        ValueError: if shapes differ, a number is not finite, or the axes are parallel.
    """

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray

    def __post_init__(self) -> None:
        for name in ("origin", "u", "v"):
            value = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite. Got {int((~np.isfinite(value)).sum())} values that are not.")
            object.__setattr__(self, name, value)
            if value.shape != self.origin.shape or not value.ndim:
                raise ValueError(f"{name} must have the shape of origin, {self.origin.shape}. Got {value.shape} instead.")
        u, v = (axis.ravel() / (np.linalg.norm(axis) or 1) for axis in (self.u, self.v))
        if np.linalg.norm(u - v * (u @ v)) < 1e-12 or not v.any():
            raise ValueError("u and v must not be parallel. Got axes that span a line or a point.")

    @classmethod
    def through(cls, a: Any, b: Any, c: Any) -> "Plane":
        """The plane through three points, at (0, 0), (1, 0) and (0, 1)."""
        a, b, c = (np.asarray(point, dtype=np.float64) for point in (a, b, c))
        return cls(a, b - a, c - a)

    @classmethod
    def pca(cls, X: Any) -> "Plane":
        """The plane of the first two principal components of data ``(n, ...)``: round the mean, in standard deviations."""
        from sklearn.decomposition import PCA

        rows = np.asarray(X, dtype=np.float64)
        shape = rows.shape[1:]
        fitted = PCA(2).fit(rows if rows.ndim < 3 else rows.reshape(len(rows), -1))
        u, v = fitted.components_ * np.sqrt(fitted.explained_variance_)[:, None]
        return cls(*(part.reshape(shape) for part in (fitted.mean_, u, v)))

    def lift(self, points: Any) -> np.ndarray:
        """Inputs ``(n, ...)`` at points of the plane, ``(n, 2)``."""
        points = np.asarray(points, dtype=np.float64)
        axes = np.stack([self.u, self.v]).reshape(2, -1)
        return (self.origin.ravel() + points @ axes).reshape(len(points), *self.origin.shape)
