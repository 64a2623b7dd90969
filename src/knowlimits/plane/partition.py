"""The polytopes of a network on a plane: every cell, unbounded ones included, and the affine map on each."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.plane.cells import Cells, following, gathered, joined, twins
from knowlimits.plane.mesh import MOST_BYTES, MOST_STARTS, Mesh, unpack
from knowlimits.plane.plane import Plane
from knowlimits.plane.regions import Regions
from knowlimits.plane.restriction import PlaneModel, at_a_time
from knowlimits.plane.tournaments import patterns
from knowlimits.progress import counter


class Partition:
    """The cells of a model on a plane: convex polygons, on each of which every unit has one sign and every maximum one winner.

    Attributes:
        vertices: homogeneous, ``(V, 3)``: (x, y, 1) a point, (x, y, 0) a direction.
        status: by what the signs of units were decided; `print` it for a sentence.
        complete: whether the whole plane was asked for, not a box.
    """

    def __init__(self, model: PlaneModel, cells: Cells, box: tuple[float, float, float, float] | None):
        self._model, self._box = model, box
        # What the model follows, which for maxima is more than what tells cells apart.
        self._steps, self._tournaments = cells.steps, cells.tournaments
        self._patterns, self._units = patterns(cells.steps, cells.units, cells.tournaments)
        self._starts = cells.starts
        self._lengths = np.diff(self._starts)
        self.complete, self.status = box is None, cells.status
        used = np.zeros(len(cells.points), dtype=bool)
        used[cells.corners] = True
        self._flat = (np.cumsum(used) - 1)[cells.corners]
        points = cells.points[used]
        finite = points[:, 2] > 0
        points[finite] /= points[finite, 2:]
        directions = ~finite
        points[directions] /= np.linalg.norm(points[directions], axis=1, keepdims=True)
        self.vertices = points

    @property
    def exact(self) -> bool:
        """Whether all signs are proven, and with them the cells: true of every partition, see docs/proven.md."""
        return True

    @property
    def resolved(self) -> int:
        """How many vertices had signs that bounds on rounding errors left open, which were decided in longer numbers."""
        return self.status.resolved

    def __len__(self) -> int:
        return len(self._lengths)

    def __repr__(self) -> str:
        where = "the whole plane" if self.complete else f"the box {self._box}"
        return f"Partition of {where}: {len(self)} cells, {int((~self.bounded).sum())} of them unbounded"

    def polygon(self, i: int) -> np.ndarray:
        """Ids of the vertices of a cell, counterclockwise."""
        return self._flat[self._starts[i] : self._starts[i + 1]]

    @cached_property
    def bounded(self) -> np.ndarray:
        """Whether a cell is bounded, ``(C,)``."""
        return np.minimum.reduceat(self.vertices[self._flat, 2], self._starts[:-1]) > 0

    @cached_property
    def area(self) -> np.ndarray:
        """Areas of the cells in units of the plane, ``(C,)``; infinite for unbounded cells."""
        x, y = self.vertices[self._flat, :2].T
        after = self._following
        # Relative to a corner of the cell, so that a small cell far out keeps its digits.
        x0, y0 = (c[np.repeat(self._starts[:-1], self._lengths)] for c in (x, y))
        cross = (x - x0) * (y[after] - y0) - (x[after] - x0) * (y - y0)
        return np.where(self.bounded, np.add.reduceat(cross, self._starts[:-1]) / 2, np.inf)

    @cached_property
    def angles(self) -> np.ndarray:
        """Directions in which a cell runs to infinity, from and to, radians counterclockwise, ``(C, 2)``; nan where bounded.

        Both are the same for a strip; a strip with two opposite directions has one of them here.
        """
        result = np.full((len(self), 2), np.nan)
        for i in np.flatnonzero(~self.bounded).tolist():
            directions = self.vertices[self.polygon(i)]
            far = directions[:, 2] == 0
            if far.all():
                result[i] = 0, 2 * np.pi
                continue
            angle = np.arctan2(directions[:, 1], directions[:, 0])
            first = np.flatnonzero(far & ~np.roll(far, 1))[0]
            last = first
            while far[(last + 1) % len(far)]:
                last = (last + 1) % len(far)
            begin, end = angle[first], angle[last]
            result[i] = begin, begin if first == last else begin + (end - begin) % (2 * np.pi)
        return result

    @cached_property
    def corners(self) -> np.ndarray:
        """Whether lines of units meet at a vertex, or one runs to infinity there, ``(V,)``.

        False for the corners of a box, and for the few points that only serve to describe a half-plane, or a line between two
        opposite directions.
        """
        edges = self._edges[0]
        inner = edges[(self.vertices[edges, 2] > 0).any(1)]
        degree = np.bincount(inner.ravel(), minlength=len(self.vertices))
        return np.where(self.vertices[:, 2] > 0, degree > 2, degree > 0)

    @cached_property
    def outermost(self) -> float:
        """Distance of the farthest vertex from the plane's origin, in units of the plane; 0 if there is none."""
        finite = self.vertices[(self.vertices[:, 2] > 0) & self.corners]
        return float(np.linalg.norm(finite[:, :2], axis=1).max(initial=0.0))

    @cached_property
    def affine(self) -> np.ndarray:
        """The affine map on each cell: the model's outputs are ``affine @ (x, y, 1)``, ``(C, outputs, 3)``.

        The outputs of members follow one another.
        """
        return self._maps[0]

    @cached_property
    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Affine maps, and bounds on the rounding errors of their numbers for x, y and 1, ``(C, 3)``."""
        size = at_a_time(self._steps)
        parts = [self._model.affine([p[k : k + size] for p in self._steps]) for k in range(0, len(self), size)]
        maps, doubts = (np.concatenate(part) for part in zip(*parts, strict=True))
        return maps.reshape(len(self), -1, 3), doubts

    def pattern(self, i: int) -> np.ndarray:
        """Whether each unit is positive on a cell, in the order in which the model computes them.

        A maximum along axes (max-pooling) has an entry for each of its arguments: whether it is the largest.
        """
        words = [unpack(p[i : i + 1], units)[0] for p, units in zip(self._patterns, self._units, strict=True)]
        return np.concatenate(words) if words else np.zeros(0, dtype=bool)

    def locate(self, points: Any) -> np.ndarray:
        """The cell of each point of the plane, ``(n,)``; -1 outside a box. A point on an edge is in a cell beside it."""
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError(f"points must be finite and of shape (n, 2). Got shape {points.shape} instead.")
        result = np.full(len(points), -1)
        inside = np.ones(len(points), dtype=bool)
        if self._box is not None:
            left, right, low, high = self._box
            inside = (points >= [left, low]).all(1) & (points <= [right, high]).all(1)
        rows = np.flatnonzero(inside)
        size = at_a_time(self._steps)
        for k in range(0, len(rows), size):
            part = rows[k : k + size]
            steps, units = self._model.patterns(points[part])
            keys = _keys(patterns(steps, units, self._tournaments)[0], len(part))
            result[part] = [self._index.get(key, -1) for key in keys]
        for i in np.flatnonzero(inside & (result < 0)):
            result[i] = self._nearest(points[i])
        return result

    @property
    def edges(self) -> np.ndarray:
        """Ends of the edges, ``(E, 2)`` ids of vertices; those between two directions lie at infinity."""
        return self._edges[0]

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Pairs of cells that share an edge, ``(E, 2)``."""
        return self._edges[1]

    @cached_property
    def separators(self) -> np.ndarray:
        """The first unit whose sign differs between two neighbours, ``(E,)``, an index into `pattern`."""
        first, second = self.neighbours.T
        result = np.full(len(first), -1)
        begin = 0
        for words, units in zip(self._patterns, self._units, strict=True):
            differ = unpack(words[first] ^ words[second], units)
            new = (result < 0) & differ.any(1)
            result[new] = begin + differ[new].argmax(1)
            begin += units
        return result

    def _same_maps(self) -> tuple[np.ndarray, int]:
        """Whether the affine maps of neighbours are the same, ``(E,)``, and for how many pairs exact arithmetic told."""
        first, second = self.neighbours.T
        if not self._steps:
            return np.ones(len(first), dtype=bool), 0
        maps, doubts = self._maps[0].transpose(0, 2, 1), self._maps[1]
        gap = np.abs(maps[first] - maps[second]).max(axis=2)
        same = (gap <= doubts[first] + doubts[second]).all(axis=1)
        doubtful = np.flatnonzero(same)
        same[doubtful] = self._model.same_maps(self._steps, first[doubtful], second[doubtful])
        return same, len(doubtful)

    def merged(self) -> Regions:
        """The linear regions: neighbouring cells with one affine map, exactly, as one."""
        return Regions.of(self)

    @cached_property
    def _following(self) -> np.ndarray:
        return following(self._starts)

    @cached_property
    def _owner(self) -> np.ndarray:
        return np.repeat(np.arange(len(self)), self._lengths)

    @cached_property
    def _twin(self) -> np.ndarray:
        return twins(self._flat, self._flat[self._following])

    @cached_property
    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges as pairs of vertices, each once, and the pairs of cells that share one."""
        number = np.arange(len(self._flat))
        once = self._twin < number
        inner = np.flatnonzero(once & (self._twin >= 0))
        ends = np.stack([self._flat, self._flat[self._following]], axis=1)[once]
        return ends, np.stack([self._owner[self._twin[inner]], self._owner[inner]], axis=1)

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {key: i for i, key in enumerate(_keys(self._patterns, len(self)))}

    def _nearest(self, point: np.ndarray) -> int:
        """The cell that a point is in or on, by its edges."""
        here = self.vertices[self._flat]
        there = here[self._following]
        side = np.cross(here, there) @ np.append(point, 1.0)
        side /= np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
        return int(np.minimum.reduceat(side, self._starts[:-1]).argmax())


def partition(
    model: Any,
    plane: Plane | None = None,
    box: tuple[float, float, float, float] | None = None,
    *,
    member: int | None = None,
    starts: int | None = None,
    jobs: int = 1,
    max_cells: int = 5_000_000,
    max_bytes: int = MOST_BYTES,
    outputs: str | None = None,
    verbose: bool = False,
) -> Partition:
    """Every polytope of a network on a plane, unbounded ones included.

    Signs of units are decided beyond bounds on rounding errors, or in longer numbers, and proven; docs/proven.md has the proof.
    A cell is where every unit has one sign. For an ensemble the cells are those of all members together. `Partition.merged`
    joins those with one affine map.

    Args:
        model: what `knowlimits.far_field` takes, with piecewise-linear operations only.
        plane: a plane of the input space; for models of two features the space itself.
        box: ``(xmin, xmax, ymin, ymax)`` in the coordinates of the plane; the whole plane without it.
        member: index of the one member to take of an ensemble.
        starts: work on so many cones round the origin, at least 3, or strips of the box, one after another. The result is the
            same. Only the cells of one are in work at a time, which bounds the memory for wide and convolutional networks.
        jobs: work on so many of them at a time, in processes of joblib, -1 for as many as there are cores; or on what
            `joblib.parallel_config` names, a Dask cluster for instance. If not given, `starts` is then four for each job.
        max_cells: give up beyond so many cells, before the machine runs out of memory.
        max_bytes: give up before the values of one layer at all vertices in work, which are what takes the memory of wide and
            convolutional networks, would need more than this. It hangs on the network and the plane alone, not on the machine.
        outputs: as `knowlimits.read` has it.
        verbose: show how many cells there are, and how many a second.

    Raises:
        UnsupportedOperation: if the model does something that is not piecewise linear.
        ValueError: if an argument is not as it should be, or the model has weights that are not finite.
        MemoryError: beyond `max_cells` or `max_bytes`; the text says what to do.

    Example:
        >>> import torch, knowlimits as kl
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
        >>> len(kl.partition(net))
        7
    """
    checked = None if box is None else _checked_box(box)
    if max_cells < 1:
        raise ValueError(f"max_cells must be at least 1. Got {max_cells} instead.")
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1. Got {max_bytes} instead.")
    meshes = [replace(mesh, most_bytes=max_bytes) for mesh in _starts(checked, starts, jobs)]
    on_plane = PlaneModel(model, plane, member, outputs)
    with counter("cells", verbose) as report:
        cells = joined(gathered(list(_refined(on_plane, meshes, jobs, max_cells, report))))
    return Partition(on_plane, cells, checked)


def _starts(box: tuple[float, float, float, float] | None, starts: int | None, jobs: int) -> list[Mesh]:
    """Meshes to work on apart."""
    least = 3 if box is None else 1
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0:
        raise ValueError(f"jobs must be a whole number other than 0. Got {jobs!r} instead.")
    if starts is None and jobs != 1:
        import joblib

        starts = min(max(least, 4 * joblib.effective_n_jobs(jobs)), MOST_STARTS)
    if starts is None:
        return [Mesh.plane() if box is None else Mesh.box(*box)]
    if not least <= starts <= MOST_STARTS:
        raise ValueError(f"starts must be in {least} to {MOST_STARTS}. Got {starts} instead.")
    return (Mesh.plane(starts) if box is None else Mesh.box(*box, strips=starts)).parts()


def _refined(model: PlaneModel, meshes: list[Mesh], jobs: int, limit: int, report: Any) -> Iterator[Cells]:
    """The cells of each mesh."""
    import joblib

    found = 0
    if jobs == 1:
        results: Any = (model.cells(mesh, limit, report and (lambda cells: report(found + cells))) for mesh in meshes)
    else:
        work = (joblib.delayed(model.cells)(mesh, limit) for mesh in meshes)
        results = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
    for cells in results:
        found += len(cells)
        if found > limit:
            raise MemoryError(f"max_cells must be larger for this model. Got {limit}, which it has passed.")
        if report:
            report(found)
        yield cells


def _checked_box(box: Any) -> tuple[float, float, float, float]:
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (4,) or not np.isfinite(values).all() or values[0] >= values[1] or values[2] >= values[3]:
        raise ValueError(
            f"box must be (xmin, xmax, ymin, ymax), finite, with xmin < xmax and ymin < ymax. Got {box!r} instead."
        )
    left, right, low, high = values.tolist()
    return left, right, low, high


def _keys(patterns: list[np.ndarray], n: int) -> list[bytes]:
    if not patterns:
        return [b""] * n
    whole = np.ascontiguousarray(np.concatenate(patterns, axis=1))
    return [row.tobytes() for row in whole]
