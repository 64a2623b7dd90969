"""A mesh of convex cells on the plane (or of segments on a line), refined by one affine function after another.

Points are homogeneous: (x, y, 1) is a point and (x, y, 0) a direction, so that a cell that runs to infinity is the cone of
its vertices like any other. The plane starts as cones round the origin, and a new vertex divides an edge, whether its ends
are finite or not. The edges inside a start are its seams: cells that differ by them alone are joined at the end. Whoever
refines carries values at all vertices, affine on every cell, and `Mesh` keeps how each vertex came about, so that older
values can be brought up to date, and so that a sign in doubt can be decided in rational arithmetic. A mesh is a value: one
that is refined is a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from knowlimits.follow.bounds import EPS
from knowlimits.plane import cut
from knowlimits.plane.status import Status

#: Most cones or strips of a start: each seam is a bit of a word.
MOST_STARTS = 64
#: Bytes that the values of one layer at all vertices may take, with what is needed to make them.
MOST_BYTES = 4 * 2**30
# Values of units in floats and in integers are farther apart than this only if they are those of other units.
_APART = 1e-6
# Vertices in doubt that are cheaper one by one than what tells structural zeros at all vertices.
_FEW = 8
# Units at vertices whose signs are found out together, at most: integers take some 100 bytes each.
_TOGETHER = 2**17


class Step(NamedTuple):
    """What a refinement did.

    Attributes:
        origins: per cell that which it is a part of.
        bits: its positive units, ``(cells, words)``.
        units: how many there are.
    """

    origins: np.ndarray
    bits: np.ndarray
    units: int


@dataclass(frozen=True)
class Mesh:
    """Cells and how they came about.

    Attributes:
        points: homogeneous coordinates of the vertices, ``(vertices, 3)``.
        doubts: bounds on the errors of the coordinates, ``(vertices, 2)``.
        seams: per vertex the seams that it is on, as bits.
        starts, corners: ``corners[starts[c]:starts[c + 1]]`` are the vertices of cell c in order.
        parents: per vertex the ends of the edge that it divides and the unit that put it there; -1 for starting vertices.
        shares: per vertex the shares of the two ends, and a bound on their errors.
        steps: per vertex the refinement that made it.
        history: what each refinement did.
        resolved: how many vertices had signs in doubt, which were decided in rational arithmetic.
        most_bytes: that the values of one layer at all vertices may take, with what is needed to make them.
    """

    points: np.ndarray
    doubts: np.ndarray
    seams: np.ndarray
    starts: np.ndarray
    corners: np.ndarray
    parents: np.ndarray
    shares: np.ndarray
    steps: np.ndarray
    history: tuple[Step, ...] = ()
    resolved: int = 0
    most_bytes: int = MOST_BYTES

    @classmethod
    def of_polygons(cls, points: np.ndarray, seams: np.ndarray, polygons: list[list[int]]) -> "Mesh":
        """A mesh that starts as given cells."""
        size = len(points)
        starts = np.cumsum([0, *map(len, polygons)]).astype(np.int64)
        corners = np.array([v for polygon in polygons for v in polygon], dtype=np.int64)
        parents = np.full((size, 3), -1, dtype=np.int64)
        shares, steps = np.zeros((size, 3)), np.full(size, -1, dtype=np.int64)
        points = np.asarray(points, dtype=np.float64)
        return cls(points, np.zeros((size, 2)), np.asarray(seams, np.uint64), starts, corners, parents, shares, steps)

    @classmethod
    def plane(cls, cones: int = 3) -> "Mesh":
        """The whole plane, as at least three cones round the origin."""
        directions = _round(cones)
        points = np.concatenate([[[0, 0, 1]], np.c_[directions, np.zeros(cones)]])
        bits = [1 << k for k in range(cones)]
        polygons = [[0, 1 + k, 1 + (k + 1) % cones] for k in range(cones)]
        return cls.of_polygons(points, np.array([sum(bits), *bits], np.uint64), polygons)

    @classmethod
    def box(cls, left: float, right: float, low: float, high: float, strips: int = 1) -> "Mesh":
        """A rectangle, as strips side by side."""
        x = np.linspace(left, right, strips + 1)
        points = np.array([[at, end, 1] for at in x for end in (low, high)])
        # The outer edges are no seams.
        seams = [0 if k in (0, strips) else 1 << k for k in range(strips + 1) for _ in range(2)]
        polygons = [[2 * k, 2 * k + 2, 2 * k + 3, 2 * k + 1] for k in range(strips)]
        return cls.of_polygons(points, np.array(seams, np.uint64), polygons)

    @classmethod
    def circle(cls) -> "Mesh":
        """All directions of the plane: three arcs at infinity."""
        return cls.of_polygons(np.c_[_round(3), np.zeros(3)], np.array([1, 2, 4]), [[0, 1], [1, 2], [2, 0]])

    def parts(self) -> "list[Mesh]":
        """Meshes of one starting cell each, with all starting vertices; before any refinement."""
        polygons = [self.corners[a:b].tolist() for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]
        return [Mesh.of_polygons(self.points, self.seams, [polygon]) for polygon in polygons]

    @property
    def vertices(self) -> int:
        """Number of vertices."""
        return len(self.steps)

    @property
    def status(self) -> Status:
        """How far the signs are proven: edges between starting vertices are known exactly, as are all on one line."""
        starting = int((self.parents[:, 0] < 0).sum())
        on_a_line = len(self.corners) == 2 * self.cells
        return Status.PROVEN if on_a_line or bool((self.parents[:, :2] < starting).all()) else Status.BOUNDED

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.starts) - 1

    def refine(
        self,
        values: np.ndarray,
        bounds: np.ndarray,
        exact: "Callable[[int, Lineage], tuple[list[int], np.ndarray]]",
        limit: int | None,
        zeros: Callable[[], np.ndarray] | None = None,
    ) -> "tuple[Mesh, np.ndarray, np.ndarray, np.ndarray]":
        """Split every cell where a unit changes its sign.

        Args:
            values: of the units at the vertices, affine on every cell, ``(vertices, units)``.
            bounds: on the error of each row, ``(vertices, 2)``: of the values, and by the place of the vertex.
            exact: from a vertex, and how all of them came about, to the true signs of its units and their values.
            limit: most cells that are allowed.
            zeros: computes where values are exactly zero, ``(vertices, units)``; asked once more than a few signs are in doubt.

        Returns:
            The refined mesh, values and bounds at all its vertices, and their positive units as bits.

        Raises:
            MemoryError: if there are more cells than allowed, or values at vertices would take more memory.
        """
        work, resolved = _Refinement(self, values, bounds), 0
        # The cells are asked for what they have in doubt, so that a doubtful vertex that no cell has any more costs nothing.
        while (code := work.run()) != cut.DONE:
            if limit is not None and code == cut.PARTS and len(work.parts.origins) > limit:
                raise _too_many_cells(limit)
            if code != cut.SIGN:
                work.grow(code)
            elif zeros is not None and resolved >= _FEW:
                work.vertices.und[: self.vertices] &= ~pack(zeros())
                zeros = None
            else:
                # What tells zeros takes many out of doubt, for which nothing else should be done before.
                work.resolve(exact, together=zeros is None)
                resolved += 1
        if limit is not None and work.at.parts > limit:
            raise _too_many_cells(limit)
        size, made, used = work.at.vertices, work.at.parts, work.at.corners
        new, step = size - self.vertices, len(self.history)
        at, parts = cut.Vertices(*(array[:size] for array in work.vertices)), work.parts
        seams = np.concatenate([self.seams, np.zeros(new, np.uint64)])
        cut.seams(seams, at.parents, self.vertices)
        grown = replace(
            self,
            seams=seams,
            starts=parts.starts[: made + 1].copy(),
            corners=parts.corners[:used].copy(),
            parents=at.parents,
            shares=at.shares,
            steps=np.concatenate([self.steps, np.full(new, step)]),
            history=(*self.history, Step(parts.origins[:made].copy(), parts.bits[:made].copy(), values.shape[1])),
            resolved=self.resolved + resolved,
        )
        points, doubts = grown.extend(self.points, self.doubts)
        return replace(grown, points=points, doubts=doubts), at.values, at.bounds, at.pos

    def room(self, units: int, held: int, least: int, wanted: int) -> int:
        """Rows of so many units to ask for beside those that are held: as many as wanted if they are allowed, or fewer.

        Raises:
            MemoryError: if the least that is needed takes more than `most_bytes`.
        """
        # Of each unit at each vertex a value, and three bits for its sign.
        row = max(8, 8 * units + 3 * 8 * ((units + 63) // 64))
        if (needed := (held + least) * row) > self.most_bytes:
            raise MemoryError(
                f"max_bytes must be larger for this model: the values of {units:,} units at {least:,} vertices would take "
                f"{needed / 2**30:.2f} GiB in all. Got {self.most_bytes / 2**30:.2f} GiB. To need less, take a smaller box=, "
                "or starts=, 16 say, which works on one part after another."
            )
        return max(least, min(wanted, self.most_bytes // row - held))

    def extend(self, values: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values at the first vertices, affine on every cell, as values at all of them."""
        begin, end = len(values), self.vertices
        if begin == end:
            return values, bounds
        self.room(values.shape[1], begin, end, end)
        longer, wider = np.empty((end, values.shape[1])), np.empty((end, 2))
        longer[:begin], wider[:begin] = values, bounds
        cut.extend(longer, wider, self.parents, self.shares, begin)
        return longer, wider

    def patterns(self) -> list[np.ndarray]:
        """Positive units of the cells as bits, an array ``(cells, words)`` for every refinement."""
        result, index = [], np.arange(self.cells)
        for origins, bits, _ in reversed(self.history):
            result.append(bits[index])
            index = origins[index]
        return result[::-1]

    def chain(self, first: int) -> np.ndarray:
        """The cells of a mesh of segments in order, from that which begins at a vertex."""
        after = {int(a): cell for cell, a in enumerate(self.corners[::2])}
        order = []
        vertex = first
        while vertex in after and len(order) < self.cells:
            order.append(after[vertex])
            vertex = int(self.corners[2 * after[vertex] + 1])
        return np.array(order, dtype=np.int64)


def _round(count: int) -> np.ndarray:
    """Directions round the origin, each less than half a turn from the next, ``(count, 2)``; the first is (1, 0)."""
    if count == 3:
        return np.array([[1.0, 0], [-1, 1], [-1, -1]])
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


class Lineage(NamedTuple):
    """How vertices came about, those of a refinement that is under way included.

    Attributes:
        mesh: which is refined.
        parents, shares: of all vertices so far, as those of `Mesh`.
        doubtful: the units in doubt of vertices that may be asked about together, as bits.
    """

    mesh: Mesh
    parents: np.ndarray
    shares: np.ndarray
    doubtful: np.ndarray

    @property
    def step(self) -> int:
        """The refinement that is under way."""
        return len(self.mesh.history)

    def point(self, vertex: int) -> np.ndarray:
        """Coordinates of a vertex."""
        if vertex < self.mesh.vertices:
            return self.mesh.points[vertex]
        (a, b, _), shares = self.parents[vertex], self.shares[vertex]
        return shares[0] * self.point(a) + shares[1] * self.point(b)

    def provenance(self, vertex: int) -> tuple[int, int, int, int]:
        """The edge that a vertex divides, the unit that put it there, and the refinement."""
        a, b, unit = (int(n) for n in self.parents[vertex])
        return a, b, unit, int(self.mesh.steps[vertex]) if vertex < self.mesh.vertices else self.step

    def others(self, vertex: int) -> list[int]:
        """Other vertices that will be asked about, as many as should be together, those after it first."""
        found = np.flatnonzero(self.doubtful.any(1))
        most = _TOGETHER // (64 * self.doubtful.shape[1])
        return np.roll(found, -np.searchsorted(found, vertex, "right"))[:most].tolist()


class _Refinement:
    """A refinement that is under way: what it has come to, and the arrays that it works in, which grow."""

    def __init__(self, mesh: Mesh, values: np.ndarray, bounds: np.ndarray):
        old, units = values.shape
        words = (units + 63) // 64
        size = mesh.room(units, old, old + 64, 2 * old + 64)
        self.mesh = mesh
        self.at = cut.Progress(0, old, 0, 0, -1)
        pos, neg, und = (np.zeros((size, words), np.uint64) for _ in range(3))
        self.vertices = cut.Vertices(
            _longer(values, size), _longer(bounds, size), pos, neg, und, _longer(mesh.parents, size), _longer(mesh.shares, size)
        )
        cut.signs(self.vertices, old)
        self.table = _table(1 << (2 * old + 64).bit_length())
        cells = 2 * mesh.cells + 64
        self.parts = cut.NewPolygons(
            starts=np.zeros(cells + 1, np.int64),
            corners=np.empty(2 * len(mesh.corners) + 256, np.int64),
            origins=np.empty(cells, np.int64),
            bits=np.empty((cells, words), np.uint64),
        )
        self.pieces = cut.Pieces(np.empty(1024, np.int64), np.empty((256, 2), np.int64), np.empty(words, np.uint64))

    def run(self) -> int:
        """Go on until all is done, or something is wanted."""
        cells = cut.Polygons(self.mesh.starts, self.mesh.corners)
        code, at = cut.refine(self.at, cells, self.vertices, self.table, self.mesh.vertices, self.parts, self.pieces)
        self.at = cut.Progress(*at)
        return code

    def grow(self, short: int) -> None:
        """Make room where it is short."""
        if short == cut.PIECES:
            heap, stack, positive = self.pieces
            self.pieces = cut.Pieces(_doubled(heap), _doubled(stack), positive)
        elif short == cut.VERTICES:
            size, units = self.vertices.values.shape
            rows = self.mesh.room(units, self.mesh.vertices + size, size + size // 8, 2 * size)
            self.vertices = cut.Vertices(*(_longer(array, rows) for array in self.vertices))
        elif short == cut.TABLE:
            old, self.table = self.table, _table(2 * len(self.table))
            cut.rehash(old, self.table)
        elif short == cut.PARTS:
            starts, corners, origins, bits = self.parts
            self.parts = cut.NewPolygons(_doubled(starts), corners, _doubled(origins), _doubled(bits))
        elif short == cut.CORNERS:
            starts, corners, origins, bits = self.parts
            self.parts = cut.NewPolygons(starts, _doubled(corners), origins, bits)

    def resolve(self, exact: Callable[[int, Lineage], tuple[list[int], np.ndarray]], together: bool) -> None:
        """Put true signs and values at the vertex that is in doubt; others are told of if they may be found out together."""
        vertex, (values, bounds, pos, neg, und, parents, shares) = self.at.doubtful, self.vertices
        true, numbers = exact(vertex, Lineage(self.mesh, parents, shares, und[: self.at.vertices if together else 0]))
        apart, bound = np.abs(numbers - values[vertex]).max(), bounds[vertex].sum()
        if not apart <= _APART * np.abs(values[vertex]).max() + 1000 * bound:
            raise ValueError(
                "model must do the same operations in the same order whenever it is called. "
                f"Got one whose units are up to {apart:.3g} apart between two calls."
            )
        signs = np.array(true)[None]
        pos[vertex], neg[vertex], und[vertex] = pack(signs > 0)[0], pack(signs < 0)[0], 0
        values[vertex] = numbers
        bounds[vertex] = 4 * EPS * np.abs(numbers).max(), 0


def _table(size: int) -> np.ndarray:
    return np.full((size, 4), -1, dtype=np.int64)


def _too_many_cells(limit: int) -> MemoryError:
    return MemoryError(f"max_cells must be larger for this model. Got {limit}, which it has passed.")


def _doubled(array: np.ndarray) -> np.ndarray:
    return _longer(array, 2 * len(array))


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    result = np.empty((size, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result


def pack(bits: np.ndarray) -> np.ndarray:
    """Booleans ``(n, units)`` as words of 64 bits, the first unit lowest."""
    n, units = bits.shape
    words = (units + 63) // 64
    wide = np.zeros((n, words * 64), dtype=bool)
    wide[:, :units] = bits
    return np.packbits(wide, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def unpack(words: np.ndarray, units: int) -> np.ndarray:
    """Words of 64 bits as booleans ``(n, units)``."""
    packed = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(packed, axis=1, count=units, bitorder="little").astype(bool)
