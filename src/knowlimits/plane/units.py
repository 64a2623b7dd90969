"""What becomes of a model's units at many points: they refine a mesh, follow given patterns, or are noted."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.follow.refusals import check_finite
from knowlimits.plane import crossing
from knowlimits.plane.mesh import Mesh, UnitRows, pack, unpack
from knowlimits.plane.refinement import Decide, refine


class Units(ABC):
    """What ReLUs do to floats at many homogeneous points.

    Attributes:
        weights: the last coordinate w of every point, ``(points,)``.
        stored: how far what is computed at a point may be from it, ``(points,)``.
        mesh: whose vertices the points are, which may become more; None where they are just points.
    """

    weights: Tensor
    stored: Tensor
    mesh: Any

    @abstractmethod
    def relu(self, rows: UnitRows, zeros: Callable[[], np.ndarray] | None) -> UnitRows:
        """ReLUs at all points that there are then.

        Args:
            rows: the units.
            zeros: computes where values are exactly zero, or None where that is not known.
        """


class Refining(Units):
    """Refines a mesh where units change their signs; the points are its vertices.

    Args:
        mesh: starts as the region that is asked for.
        exact: decides signs that are in doubt.
        limit: most cells that are allowed.
        report: is told how many there are.
    """

    def __init__(self, mesh: Mesh, exact: Decide, limit: int | None, report: Callable[[int], Any] | None = None):
        self.exact, self.limit, self.report = exact, limit, report
        self._take(mesh)

    def _take(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.weights = torch.from_numpy(mesh.points[:, 2].copy())
        self.stored = torch.from_numpy(mesh.off[:, crossing.STORED].copy())

    def relu(self, rows: UnitRows, zeros: Callable[[], np.ndarray] | None) -> UnitRows:
        """Split the cells where the units change their signs."""
        check_finite("a ReLU", torch.from_numpy(rows.values))
        mesh, rows, pos, neg = refine(self.mesh, rows, self.exact, self.limit, zeros)
        self._take(mesh)
        crossing.relu(rows.values, rows.errors, pos, neg)
        if self.report:
            self.report(mesh.cells)
        return rows


class Given(Units):
    """Follows patterns.

    Args:
        weights: the last coordinate of every point.
        patterns: for every ReLU in turn the positive units, as bits, ``(points, words)``.
    """

    def __init__(self, weights: Tensor, patterns: list[np.ndarray]):
        self.weights, self.stored, self.mesh = weights, torch.zeros_like(weights), None
        self._left = iter(patterns)

    def relu(self, rows: UnitRows, zeros: Callable[[], np.ndarray] | None) -> UnitRows:
        """Keep the units that the next pattern has as positive."""
        check_finite("a ReLU", torch.from_numpy(rows.values))
        return rows._replace(values=rows.values * unpack(next(self._left), rows.values.shape[1]))


class Noted(Units):
    """Notes which units are positive.

    Args:
        weights: the last coordinate of every point.

    Attributes:
        patterns: for every ReLU in turn the positive units, as bits, ``(points, words)``.
        counts: how many there are.
    """

    def __init__(self, weights: Tensor):
        self.weights, self.stored, self.mesh = weights, torch.zeros_like(weights), None
        self.patterns: list[np.ndarray] = []
        self.counts: list[int] = []

    def relu(self, rows: UnitRows, zeros: Callable[[], np.ndarray] | None) -> UnitRows:
        """Keep the positive units, and note them."""
        positive = rows.values > 0
        self.patterns.append(pack(positive))
        self.counts.append(rows.values.shape[1])
        return rows._replace(values=rows.values * positive)
