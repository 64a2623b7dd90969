"""A mesh of convex cells on the plane (or of segments on a line), refined by one affine function after another.

Points are homogeneous: (x, y, 1) is a point and (x, y, 0) a direction, so that a cell that runs to infinity is the cone of
its vertices like any other. The plane starts as cones round the origin, and a new vertex divides an edge, whether its ends
are finite or not. The edges inside a start are its seams: cells that differ by them alone are joined at the end. Whoever
refines carries values at all vertices, affine on every cell, and `Mesh` keeps how each vertex came about, so that older
values can be brought up to date, and so that a sign in doubt can be decided exactly. A mesh is a value: one
that is refined is a new one.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from knowlimits.plane import crossing
from knowlimits.plane.status import Status

#: Most cones or strips of a start: each seam is a bit of a word.
MOST_STARTS = 64
#: Bytes that the values of one layer at all vertices may take, with what is needed to make them.
MOST_BYTES = 4 * 2**30


class UnitRows(NamedTuple):
    """Numbers at vertices that are affine on every cell, and bounds, as `crossing.Vertices` has them.

    Attributes:
        values: of every unit, ``(vertices, units)``.
        errors: of every unit, or one for all units of a vertex, ``(vertices, units or 1)``.
        slopes: one for all units of a vertex, ``(vertices, 1)``, or none, ``(vertices, 0)``.
    """

    values: np.ndarray
    errors: np.ndarray
    slopes: np.ndarray

    @property
    def width(self) -> tuple[int, int]:
        """How many units there are, and how many bounds a vertex that are of units."""
        units = self.values.shape[1]
        return units, 0 if self.slopes.shape[1] else units


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
        off: how far what is known at the vertices is from them, as `crossing.Vertices` has it, ``(vertices, 3)``.
        seams: per vertex the seams that it is on, as bits.
        starts, corners: ``corners[starts[c]:starts[c + 1]]`` are the vertices of cell c in order.
        parents: per vertex the ends of the edge that it divides and the unit that put it there; -1 for starting vertices.
        shares: per vertex the shares of the two ends.
        lines: per vertex the two lines that meet there, as `crossing.Vertices` has it, ``(vertices, 4)``.
        steps: per vertex the refinement that made it.
        diagonals: hash table of the lines of edges between vertices that were there before, as `cut.Tables` has it.
        history: what each refinement did.
        status: by what signs were decided.
        most_bytes: that the values of one layer at all vertices may take, with what is needed to make them.
    """

    points: np.ndarray
    off: np.ndarray
    seams: np.ndarray
    starts: np.ndarray
    corners: np.ndarray
    parents: np.ndarray
    shares: np.ndarray
    lines: np.ndarray
    steps: np.ndarray
    diagonals: np.ndarray
    history: tuple[Step, ...] = ()
    status: Status = field(default_factory=Status)
    most_bytes: int = MOST_BYTES

    @classmethod
    def of_polygons(cls, points: np.ndarray, seams: np.ndarray, polygons: list[list[int]]) -> "Mesh":
        """A mesh that starts as given cells."""
        size = len(points)
        starts = np.cumsum([0, *map(len, polygons)]).astype(np.int64)
        corners = np.array([v for polygon in polygons for v in polygon], dtype=np.int64)
        parents, lines = (np.full((size, columns), -1, dtype=np.int64) for columns in (3, 4))
        return cls(
            points=np.asarray(points, dtype=np.float64),
            off=np.zeros((size, 3)),
            seams=np.asarray(seams, np.uint64),
            starts=starts,
            corners=corners,
            parents=parents,
            shares=np.zeros((size, 2)),
            lines=lines,
            steps=np.full(size, -1, dtype=np.int64),
            diagonals=empty_table(64),
        )

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
    def cells(self) -> int:
        """Number of cells."""
        return len(self.starts) - 1

    def room(self, units: int, bounds: int, held: int, least: int, wanted: int) -> int:
        """UnitRows of so many units and bounds to ask for beside those that are held: as many as wanted if allowed, or fewer.

        Raises:
            MemoryError: if the least that is needed takes more than `most_bytes`.
        """
        # Of each unit at each vertex a value, and three bits for its sign.
        row = max(8, 8 * (units + bounds + 3 * ((units + 63) // 64)))
        if (needed := (held + least) * row) > self.most_bytes:
            raise MemoryError(
                f"max_bytes must be larger for this model: the values of {units:,} units at {least:,} vertices would take "
                f"{needed / 2**30:.2f} GiB in all. Got {self.most_bytes / 2**30:.2f} GiB. To need less, take a smaller box=, "
                "or starts=, 16 say, which works on one part after another."
            )
        return max(least, min(wanted, self.most_bytes // row - held))

    def extend(self, rows: "UnitRows") -> "UnitRows":
        """Values at the first vertices, affine on every cell, as values at all of them."""
        begin, end = len(rows.values), self.vertices
        if begin == end:
            return rows
        self.room(*rows.width, begin, end, end)
        longer = UnitRows(*(np.concatenate([part, np.empty((end - begin, part.shape[1]))]) for part in rows))
        crossing.extend(*longer, self.parents, self.shares, begin)
        return longer

    def patterns(self) -> list[np.ndarray]:
        """Positive units of the cells as bits, an array ``(cells, words)`` for every refinement."""
        return self.patterns_of(np.arange(self.cells))

    def patterns_of(self, cells: np.ndarray) -> list[np.ndarray]:
        """The same of some cells."""
        result = []
        for origins, bits, _ in reversed(self.history):
            result.append(bits[cells])
            cells = origins[cells]
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


def empty_table(size: int) -> np.ndarray:
    """A hash table for so many entries, as `crossing.slot` has it."""
    return np.full((size, 4), -1, dtype=np.int64)


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
