"""A model on a plane: its members one after another in a domain."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._machine import are_small, one_thread
from knowlimits.follow.domain import Domain
from knowlimits.follow.evaluator import Evaluator
from knowlimits.follow.operations import UnsupportedOperation
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from knowlimits.model.read import read_at
from knowlimits.plane.bounding import Bounding, OfPoints, OfUnits
from knowlimits.plane.cells import Cells
from knowlimits.plane.exact import Exact
from knowlimits.plane.floats import Floats
from knowlimits.plane.mesh import Mesh
from knowlimits.plane.plane import Plane
from knowlimits.plane.points import Points
from knowlimits.plane.refinement import Imprecise
from knowlimits.plane.residues import same_maps
from knowlimits.plane.tournaments import Tournament
from knowlimits.plane.units import Given, Noted, Refining

# Numbers of a layer at all points that are worked on together.
_NUMBERS = 2**20


def check_has_cells(model: Model) -> None:
    """Refuse a model that is no network.

    Raises:
        UnsupportedOperation: with what it is made of.
    """
    if model.no_network:
        raise UnsupportedOperation(
            f"model must be a network, with cells on which it is affine. {model.no_network}, without any: knowlimits.far_field "
            "takes it, along any rays.",
            "family",
        )


class PlaneModel:
    """The members of a model as functions of a plane.

    Args:
        model: what `knowlimits.far_field` takes.
        plane: None for models of two features.
        member: the one member to take, or None for all.
        outputs: as `knowlimits.read` has it.

    Raises:
        ValueError: if weights are not finite, or there is no such member.
    """

    def __init__(self, model: Any, plane: Plane | None = None, member: int | None = None, outputs: str | None = None):
        # Its cells are the same, whatever it returns.
        read_model = read_at(model, "plane", rows_of(plane), outputs, Outputs.LOGITS)
        read_model = read_model if member is None else read_model.member(member)
        check_has_cells(read_model)
        read_model = read_model.straight()
        if plane is None and read_model.n_features_in_ not in (None, 2):
            raise ValueError(f"plane must be given for a model of {read_model.n_features_in_} features. Got None instead.")
        self.plane = plane
        # One product of matrices takes all points, where a `Stack` would have one for each.
        self._networks = [network for one in read_model.one_by_one() for network in one.networks]
        self.axes = self.origin = None
        if plane is not None:
            self.axes = torch.tensor(np.stack([plane.u.ravel(), plane.v.ravel()]))
            self.origin = torch.tensor(plane.origin.reshape(1, -1))

    def run(self, domain: Domain, x: Points) -> list[Any]:
        """What the members return for traced points of the plane."""
        evaluator = Evaluator(domain)
        with torch.no_grad(), one_thread(are_small(self._networks, 2 if self.plane is None else self.plane.origin.size)):
            return [
                evaluator.run(lambda point, m=module: m(self._input(point)), domain.copy(x, torch.preserve_format), module)
                for module in self._networks
            ]

    def _input(self, point: Tensor) -> Tensor:
        if self.plane is None:
            return point
        return torch.addmm(self.origin, point, self.axes).reshape(1, *self.plane.origin.shape)  # type: ignore[arg-type]

    def refine(
        self, mesh: Mesh, limit: int | None = None, report: Any = None, outputs: bool = False
    ) -> tuple[Mesh, list[Tournament]]:
        """Refine a mesh until every unit has one sign on every cell; with `outputs`, until one output is largest, too.

        Returns:
            The refined mesh, and the maxima along axes among the refinements.
        """
        try:
            return self._refined(mesh, OfPoints(), limit, report, outputs)
        except Imprecise:
            return self._refined(mesh, OfUnits(), limit, report, outputs)

    def _refined(
        self, mesh: Mesh, bounding: Bounding, limit: int | None, report: Any, outputs: bool
    ) -> tuple[Mesh, list[Tournament]]:
        exact = Exact(lambda domain, x: self._run_compared(domain, x, outputs))
        units = Refining(mesh, exact, limit, report)
        domain = Floats(units, bounding)
        self._run_compared(domain, _floats(mesh.points, bounding), outputs)
        return units.mesh, domain.tournaments

    def cells(self, mesh: Mesh, limit: int | None = None, report: Any = None) -> Cells:
        """The cells that a mesh is refined to."""
        return Cells.of_mesh(*self.refine(mesh, limit, report))

    def _run_compared(self, domain: Domain, x: Points, outputs: bool) -> None:
        result = self.run(domain, x)
        if outputs:
            with Evaluator(domain), torch.no_grad():
                for out in result:
                    # A maximum splits cells where what it compares changes its order.
                    torch.amax(out, -1) if out.ndim > 1 and out.shape[-1] > 1 else torch.relu(out)

    def patterns(self, points: np.ndarray) -> tuple[list[np.ndarray], list[int]]:
        """Positive units at points of the plane ``(n, 2)``, as bits, and the numbers of units."""
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        units = Noted(torch.ones(len(points), dtype=torch.float64))
        self.run(Floats(units, OfPoints()), _floats(homogeneous, OfPoints()))
        return units.patterns, units.counts

    def affine(self, patterns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The map from (x, y, 1) to the outputs under given patterns, ``(cells, outputs, 3)``.

        Returns:
            The maps, and bounds on the rounding errors of the numbers for x, y and 1, ``(cells, 3)``.
        """
        cells = len(patterns[0]) if patterns else 1
        points = np.tile(np.eye(3), (cells, 1))
        bounding = OfPoints()
        domain = Floats(Given(torch.from_numpy(points[:, 2].copy()), [p.repeat(3, axis=0) for p in patterns]), bounding)
        outputs = [domain.current(o) if isinstance(o, Points) else o for o in self.run(domain, _floats(points, bounding))]
        out = [o.numbers.reshape(cells, 3, -1) if isinstance(o, Points) else _fixed(o, cells) for o in outputs]
        doubts = torch.stack([o.beside[:, 0] if isinstance(o, Points) else torch.zeros(3 * cells) for o in outputs]).amax(0)
        return torch.cat(out, 2).transpose(1, 2).numpy(), doubts.reshape(cells, 3).numpy()

    def same_maps(self, patterns: list[np.ndarray], first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether the maps of pairs of cells are the same, exactly; `patterns` are those of all cells."""
        return same_maps(self.run, patterns, first, second, at_a_time(patterns))


def rows_of(plane: Plane | None) -> np.ndarray:
    """A few points of a plane as a model takes them, on which it is looked at."""
    points = np.random.default_rng(0).normal(size=(3, 2))
    if plane is None:
        return points
    axes = np.stack([plane.u.ravel(), plane.v.ravel()])
    return (plane.origin.ravel() + points @ axes).reshape(3, *plane.origin.shape)


def at_a_time(patterns: list[np.ndarray]) -> int:
    """Cells whose maps are computed together, by the most units of a refinement."""
    return max(1, _NUMBERS // (3 * 64 * max((p.shape[1] for p in patterns), default=1)))


def _fixed(out: Tensor, cells: int) -> Tensor:
    """An output that does not hang on the input."""
    return torch.stack([torch.zeros_like(out), torch.zeros_like(out), out]).reshape(1, 3, -1).expand(cells, 3, -1)


def _floats(points: np.ndarray, bounding: Bounding) -> Points:
    values = torch.from_numpy(np.ascontiguousarray(points[:, :2]))[:, None]
    return bounding.start(values, torch.zeros(len(points), dtype=torch.float64))
