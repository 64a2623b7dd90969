"""The polytopes of a network on a plane: every cell, unbounded ones included, and the affine map on each."""

from collections import defaultdict
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.piecewise.mesh import Mesh, unpack
from knowlimits.piecewise.plane import Plane
from knowlimits.piecewise.runner import PlaneModel
from knowlimits.progress import counter

# Cells whose affine maps are computed at a time.
_CHUNK = 20_000


class Partition:
    """The cells of a model on a plane: convex polygons, on each of which every unit has one sign.

    Attributes:
        vertices: homogeneous, ``(V, 3)``: (x, y, 1) a point, (x, y, 0) a direction.
        exact: whether every sign was decided: by a bound on the rounding error, or else in rational arithmetic.
        resolved: how many vertices had signs that needed rational arithmetic.
        complete: whether the whole plane was asked for, not a box.
    """

    exact = True

    def __init__(self, model: PlaneModel, mesh: Mesh, box: tuple[float, float, float, float] | None):
        self._model, self._box = model, box
        self._units = [units for _, _, units in mesh.history]
        self._patterns, self._starts, corners = _without_seams(mesh)
        self._lengths = np.diff(self._starts)
        self.complete, self.resolved = box is None, mesh.resolved
        used = np.zeros(len(mesh.points), dtype=bool)
        used[corners] = True
        self._flat = (np.cumsum(used) - 1)[corners]
        points = mesh.points[used]
        finite = points[:, 2] > 0
        points[finite] /= points[finite, 2:]
        directions = ~finite
        points[directions] /= np.linalg.norm(points[directions], axis=1, keepdims=True)
        self.vertices = points

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
        following = self._next()
        # Relative to a corner of the cell, so that a small cell far out keeps its digits.
        x0, y0 = (c[np.repeat(self._starts[:-1], self._lengths)] for c in (x, y))
        cross = (x - x0) * (y[following] - y0) - (x[following] - x0) * (y - y0)
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
        chunks = range(0, len(self), _CHUNK)
        parts = [self._model.affine([p[k : k + _CHUNK] for p in self._patterns]) for k in chunks]
        return np.concatenate(parts).reshape(len(self), -1, 3)

    def pattern(self, i: int) -> np.ndarray:
        """Whether each unit is positive on a cell, in the order in which the model computes them."""
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
        for k in range(0, len(rows), _CHUNK):
            part = rows[k : k + _CHUNK]
            keys = _keys(self._model.patterns(points[part]), len(part))
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

    @cached_property
    def regions(self) -> np.ndarray:
        """A number for every cell, ``(C,)``: connected cells with the same affine map, the linear regions, share theirs."""
        first, second = self.neighbours.T
        maps = self.affine
        scale = 1e-9 * (1 + np.abs(maps).max(axis=(1, 2)))
        same = np.abs(maps[first] - maps[second]).max(axis=(1, 2)) <= np.minimum(scale[first], scale[second])
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(int(same.sum())), (first[same], second[same])), shape=(len(self), len(self)))
        return connected_components(graph, directed=False)[1]

    def _next(self) -> np.ndarray:
        following = np.arange(1, len(self._flat) + 1)
        following[self._starts[1:] - 1] = self._starts[:-1]
        return following

    @cached_property
    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges as pairs of vertices, each once, and the pairs of cells that share one."""
        cell = np.repeat(np.arange(len(self)), self._lengths)
        ends = np.stack([self._flat, self._flat[self._next()]], axis=1)
        ends.sort(axis=1)
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        ends, cell = ends[order], cell[order]
        twins = np.flatnonzero((ends[1:] == ends[:-1]).all(1))
        once = np.ones(len(ends), dtype=bool)
        once[twins + 1] = False
        return ends[once], np.stack([cell[twins], cell[twins + 1]], axis=1)

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {key: i for i, key in enumerate(_keys(self._patterns, len(self)))}

    def _nearest(self, point: np.ndarray) -> int:
        """The cell that a point is in or on, by its edges."""
        here = self.vertices[self._flat]
        there = here[self._next()]
        side = np.cross(here, there) @ np.append(point, 1.0)
        side /= np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
        return int(np.minimum.reduceat(side, self._starts[:-1]).argmax())


def partition(
    model: Any,
    plane: Plane | None = None,
    box: tuple[float, float, float, float] | None = None,
    *,
    member: int | None = None,
    max_cells: int = 5_000_000,
    verbose: bool = False,
) -> Partition:
    """Every polytope of a network on a plane, exactly, unbounded ones included.

    A cell is where every unit has one sign. For an ensemble the cells are those of all members together.

    Args:
        model: what `knowlimits.far_field` takes, with piecewise-linear operations only.
        plane: a plane of the input space; for models of two features the space itself.
        box: ``(xmin, xmax, ymin, ymax)`` in the coordinates of the plane; the whole plane without it.
        member: index of the one member to take of an ensemble.
        max_cells: give up beyond so many cells, before the machine runs out of memory.
        verbose: show how many cells there are, and how many a second.

    Raises:
        UnsupportedOperation: if the model does something that is not piecewise linear.
        ValueError: if an argument is not as it should be, or the model has weights that are not finite.
        MemoryError: beyond `max_cells`.

    Example:
        >>> import torch, knowlimits as kl
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
        >>> len(kl.partition(net))
        7
    """
    mesh = Mesh.plane() if box is None else Mesh.box(*_checked_box(box))
    if max_cells < 1:
        raise ValueError(f"max_cells must be at least 1. Got {max_cells} instead.")
    on_plane = PlaneModel(model, plane, member)
    with counter("cells", verbose) as report:
        on_plane.refine(mesh, max_cells, report)
    return Partition(on_plane, mesh, box)


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


def _without_seams(mesh: Mesh) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Patterns, starts and corners of the cells, after pieces on two sides of a starting edge are joined into one.

    A fixed pattern is an intersection of half-planes, so what is joined is convex, and its edges go on where the starting edge
    was; the points there that nothing else needs go too.
    """
    patterns = mesh.patterns()
    lengths = np.diff(mesh.starts)
    if not mesh.seams.any():
        return patterns, mesh.starts, mesh.corners
    touched = np.flatnonzero(np.bitwise_or.reduceat(mesh.seams[mesh.corners], mesh.starts[:-1]))
    polygons = {c: mesh.corners[mesh.starts[c] : mesh.starts[c + 1]].tolist() for c in touched.tolist()}
    keys = dict(zip(polygons, _keys([p[touched] for p in patterns], len(touched)), strict=True))
    seams = mesh.seams.tobytes()
    group = {c: c for c in polygons}

    def leader(c: int) -> int:
        while group[c] != c:
            group[c] = group[group[c]]
            c = group[c]
        return c

    sides: dict[tuple[int, int], int] = {}
    for cell, polygon in polygons.items():
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if not seams[a] & seams[b]:
                continue
            other = sides.pop((b, a), None)
            if other is None:
                sides[a, b] = cell
            elif keys[cell] == keys[other]:
                group[leader(cell)] = leader(other)
    joined: dict[int, list[list[int]]] = defaultdict(list)
    for cell, polygon in polygons.items():
        joined[leader(cell)].append(polygon)
    leaders = list(joined)
    changed = _straightened(mesh, [_outline(parts) if len(parts) > 1 else parts[0] for parts in joined.values()])

    same = np.ones(mesh.cells, dtype=bool)
    same[touched] = False
    order = np.concatenate([np.flatnonzero(same), leaders])
    starts = np.concatenate([[0], np.cumsum([*lengths[same].tolist(), *map(len, changed)])])
    corners = np.concatenate([mesh.corners[np.repeat(same, lengths)], *changed])
    return [p[order] for p in patterns], starts, corners


def _outline(polygons: list[list[int]]) -> list[int]:
    """The union of polygons that share edges."""
    after: dict[int, set[int]] = defaultdict(set)
    for polygon in polygons:
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            if a in after.get(b, ()):
                after[b].remove(a)
            else:
                after[a].add(b)
    start = next(a for a, following in after.items() if following)
    outline = [start]
    while (following := after[outline[-1]].pop()) != start:
        outline.append(following)
    return outline


def _straightened(mesh: Mesh, rings: list[list[int]]) -> list[list[int]]:
    """Polygons without the points on starting edges that no edge ends at."""
    seams = mesh.seams.tobytes()
    cells: dict[int, list[int]] = defaultdict(list)
    for i, ring in enumerate(rings):
        for v in ring:
            if seams[v]:
                cells[v].append(i)

    def sides(v: int, ring: list[int]) -> tuple[int, int]:
        k = ring.index(v)
        return ring[k - 1], ring[(k + 1) % len(ring)]

    for v, around in cells.items():
        ends = {frozenset(sides(v, rings[i])) for i in around}
        if len(ends) > 1 or min(len(rings[i]) for i in around) <= 3:
            continue
        a, b = sides(v, rings[around[0]])
        weights = mesh.points[[a, v, b], 2]
        if weights[1] == 0:
            # A direction between two others: they must span less than half a turn without it.
            (ax, ay), (bx, by) = mesh.points[a, :2], mesh.points[b, :2]
            if weights[0] or weights[2] or ax * by <= ay * bx:
                continue
        elif weights[0] == weights[2] == 0:
            # The one finite point between two opposite directions.
            continue
        for i in around:
            rings[i].remove(v)
    return rings
