"""A network along a line: every kink of a segment or of a ray to infinity, and the affine map between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.plane.mesh import Mesh
from knowlimits.plane.restriction import PlaneModel


@dataclass(frozen=True)
class Breakpoints:
    """The pieces of a network along ``start + t * direction``.

    Attributes:
        positions: the t at which a unit changes its sign, increasing, ``(K,)``.
        points: the inputs there, ``(K, ...)``.
        affine: the map on each piece: the outputs are ``affine @ (t, 1)``, ``(K + 1, outputs, 2)``.
        end: the t at which the last piece ends: 1 for a segment, infinite for a ray.
    """

    positions: np.ndarray
    points: np.ndarray
    affine: np.ndarray
    end: float

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class _Line:
    """A line in place of a plane: its second axis is nothing."""

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray


def breakpoints(
    model: Any,
    start: Any,
    end: Any = None,
    direction: Any = None,
    *,
    member: int | None = None,
    outputs: str | None = None,
) -> Breakpoints:
    """Every kink of a network along a segment, or along a ray to infinity, exactly.

    Args:
        model: what `knowlimits.far_field` takes, with piecewise-linear operations only.
        start: one input, ``(d,)`` or of the shape that the model takes.
        end: the end of a segment, at t = 1; or
        direction: the direction of a ray.
        member: index of the one member to take of an ensemble; the kinks of all members without it.
        outputs: as `knowlimits.read` has it.

    Raises:
        UnsupportedOperation: if the model does something that is not piecewise linear.
        ValueError: unless just one of `end` and `direction` is given, of the shape of `start` and finite.

    Example:
        >>> import torch, knowlimits as kl
        >>> kl.breakpoints(torch.nn.ReLU(), [-1.0], direction=[2.0]).positions
        array([0.5])
    """
    if (end is None) == (direction is None):
        raise ValueError("end or direction must be given, and not both.")
    start = np.asarray(start, dtype=np.float64)
    name, other = ("end", end) if direction is None else ("direction", direction)
    other = np.asarray(other, dtype=np.float64)
    for label, value in (("start", start), (name, other)):
        if not value.ndim or value.shape != start.shape or not np.isfinite(value).all():
            raise ValueError(f"{label} must be finite and of the shape of start. Got shape {value.shape} instead.")
    along = other - start if direction is None else other
    if not along.any():
        raise ValueError(f"{name} must lead away from start. Got a line of length 0.")
    last = [1.0, 0.0, 1.0] if direction is None else [1.0, 0.0, 0.0]
    mesh = Mesh.of_polygons(np.array([[0, 0, 1], last]), np.zeros(2), [[0, 1]])
    on_line = PlaneModel(model, _Line(start, along, np.zeros_like(along)), member, outputs)  # type: ignore[arg-type]
    mesh, _ = on_line.refine(mesh)
    order = mesh.chain(0)
    ends = mesh.corners.reshape(-1, 2)[order]
    kinks = mesh.points[ends[1:, 0]]
    positions = kinks[:, 0] / kinks[:, 2]
    maps, _ = on_line.affine([p[order] for p in mesh.patterns()])
    maps = np.broadcast_to(maps, (len(order), *maps.shape[1:]))[:, :, [0, 2]]
    points = start + positions.reshape(-1, *[1] * start.ndim) * along
    return Breakpoints(positions, points, maps, 1.0 if direction is None else np.inf)
