"""Where a classifier ends in every direction of a plane, exactly."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits import scores
from knowlimits.limits.far_field import far_field
from knowlimits.model.model import Model
from knowlimits.model.read import check_logits, read
from knowlimits.plane import Plane
from knowlimits.plane.mesh import Mesh
from knowlimits.plane.restriction import PlaneModel, check_has_cells, rows_of
from knowlimits.plane.tournaments import patterns


@dataclass(frozen=True)
class Horizon:
    """Limits in all directions of a plane: arcs, on each of which every unit and the order of the largest logits are fixed.

    Attributes:
        angles: of the arcs, from and to, radians counterclockwise in the coordinates of the plane, ``(A, 2)``; they follow one
            another round the circle.
        probs: limiting probabilities on each arc, ``(members, A, classes)``. On its ends, a set of measure zero, they differ.
    """

    angles: np.ndarray
    probs: np.ndarray

    def __len__(self) -> int:
        return len(self.angles)

    def score(self, name: str = "entropy", base: float | None = None) -> np.ndarray:
        """The limit of an uncertainty score on each arc, ``(A,)``."""
        return scores.score(self.probs, name, base=base)

    def confidence(self) -> np.ndarray:
        """The limiting probability of the likeliest class on each arc, ``(A,)``."""
        return self.probs.mean(0).max(-1)

    def share(self, confidence: float = 0.99) -> float:
        """The exact share of directions in which the limiting confidence is at least `confidence`."""
        lengths = self.angles[:, 1] - self.angles[:, 0]
        return float(lengths[self.confidence() >= confidence].sum() / lengths.sum())


def horizon(model: Any, plane: Plane | None = None, *, member: int | None = None, outputs: str | None = None) -> Horizon:
    """The limiting probabilities of a classifier in all directions of a plane, exactly.

    Args:
        model: what `knowlimits.far_field` takes, with piecewise-linear operations only but for a final softmax or sigmoid.
        plane: a plane of the input space; for models of two features the space itself.
        member: index of the one member to take of an ensemble.
        outputs: as `knowlimits.read` has it.

    Raises:
        UnsupportedOperation: if the model is no network, or does something that is not piecewise linear.

    Example:
        >>> import torch, knowlimits as kl
        >>> kl.horizon(torch.nn.Linear(2, 2)).share(confidence=0.99)
        1.0
    """
    model = read(model, outputs, rows_of(plane))
    model = model if member is None else model.member(member)
    check_has_cells(model)
    check_logits(model)
    model = model.straight()
    # Member by member, as all units of all members at all ends of arcs would be many numbers.
    ends = np.unique(np.concatenate([_ends_of_arcs(one, plane) for one in model.one_by_one()]))
    edges = np.append(ends, ends[0] + 2 * np.pi) if len(ends) else np.array([0.0, 2 * np.pi])
    arcs = np.stack([edges[:-1], edges[1:]], axis=1)
    middles = arcs.mean(1)
    directions = np.stack([np.cos(middles), np.sin(middles)], axis=1)
    origin = np.zeros((1, 2))
    if plane is not None:
        directions = plane.lift(directions) - plane.origin
        origin = plane.lift(origin)
    far = far_field(model, np.repeat(origin, len(arcs), axis=0), directions)
    return Horizon(arcs, far.probs)


def _ends_of_arcs(model: Model, plane: Plane | None) -> np.ndarray:
    """Angles at which a unit changes its sign at infinity, or the order of the largest outputs."""
    mesh, maxima = PlaneModel(model, plane).refine(Mesh.circle(), outputs=True)
    order = mesh.chain(0)
    steps = [p[order] for p in mesh.patterns()]
    # Where no unit changes, and another class only comes second, nothing ends.
    differs = [(p != np.roll(p, 1, axis=0)).any(1) for p in patterns(steps, [units for _, _, units in mesh.history], maxima)[0]]
    kept = mesh.corners[::2][order][np.any(differs, axis=0)] if differs else []
    return np.arctan2(mesh.points[kept, 1], mesh.points[kept, 0])
