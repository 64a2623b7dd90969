"""What becomes of a model's units at many points: they refine a mesh, follow given patterns, or are noted."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.follow.refusals import check_finite
from knowlimits.plane import cut
from knowlimits.plane.mesh import Mesh, pack, unpack


class Units(ABC):
    """What ReLUs do to floats at many homogeneous points.

    Attributes:
        weights: the last coordinate w of every point, ``(points,)``.
        mesh: whose vertices the points are, which may become more; None where they are just points.
    """

    weights: Tensor
    mesh: Any

    @abstractmethod
    def relu(self, values: Tensor, bounds: Tensor, zeros: Callable[[], np.ndarray] | None) -> tuple[Tensor, Tensor]:
        """ReLUs of values ``(points, units)``, with their bounds, at all points that there are then.

        Args:
            values: of the units.
            bounds: on their errors, ``(points, 2)``.
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

    def __init__(self, mesh: Mesh, exact: Callable[..., Any], limit: int | None, report: Callable[[int], Any] | None = None):
        self.mesh, self.exact, self.limit, self.report = mesh, exact, limit, report
        self.weights = torch.from_numpy(mesh.points[:, 2].copy())

    def relu(self, values: Tensor, bounds: Tensor, zeros: Callable[[], np.ndarray] | None) -> tuple[Tensor, Tensor]:
        """Split the cells where the units change their signs."""
        check_finite("a ReLU", values)
        self.mesh, new, wider, pos = self.mesh.refine(
            values.contiguous().numpy(), bounds.numpy(), self.exact, self.limit, zeros
        )
        self.weights = torch.from_numpy(self.mesh.points[:, 2].copy())
        cut.relu(new, pos)
        if self.report:
            self.report(self.mesh.cells)
        return torch.from_numpy(new), torch.from_numpy(wider.copy())


class Given(Units):
    """Follows patterns.

    Args:
        weights: the last coordinate of every point.
        patterns: for every ReLU in turn the positive units, as bits, ``(points, words)``.
    """

    def __init__(self, weights: Tensor, patterns: list[np.ndarray]):
        self.weights, self.mesh = weights, None
        self._left = iter(patterns)

    def relu(self, values: Tensor, bounds: Tensor, zeros: Callable[[], np.ndarray] | None) -> tuple[Tensor, Tensor]:
        """Keep the units that the next pattern has as positive."""
        check_finite("a ReLU", values)
        return values * torch.from_numpy(unpack(next(self._left), values.shape[1])), bounds


class Noted(Units):
    """Notes which units are positive.

    Args:
        weights: the last coordinate of every point.

    Attributes:
        patterns: for every ReLU in turn the positive units, as bits, ``(points, words)``.
        counts: how many there are.
    """

    def __init__(self, weights: Tensor):
        self.weights, self.mesh = weights, None
        self.patterns: list[np.ndarray] = []
        self.counts: list[int] = []

    def relu(self, values: Tensor, bounds: Tensor, zeros: Callable[[], np.ndarray] | None) -> tuple[Tensor, Tensor]:
        """Keep the positive units, and note them."""
        positive = values > 0
        self.patterns.append(pack(positive.numpy()))
        self.counts.append(values.shape[1])
        return values * positive, bounds
