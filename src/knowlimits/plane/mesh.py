"""A mesh of convex cells on the plane (or of segments on a line), refined by one affine function after another.

Points are homogeneous: (x, y, 1) is a point and (x, y, 0) a direction, so that a cell that runs to infinity is the cone of
its vertices like any other. The plane starts as cones round the origin, and a new vertex divides an edge, whether its ends
are finite or not. The edges inside a start are its seams: cells that differ by them alone are joined at the end. Whoever
refines carries values at all vertices, affine on every cell, and `Mesh` keeps how each vertex came about, so that older
values can be brought up to date, and so that a sign in doubt can be decided in rational arithmetic.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

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


@dataclass
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
        history: per refinement the cell that each cell is a part of, its positive units as bits, and the number of units.
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
    history: list[tuple[np.ndarray, np.ndarray, int]] = field(default_factory=list)
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

    def point(self, vertex: int) -> np.ndarray:
        """Coordinates of a vertex, which may be of a refinement that is under way."""
        if vertex < len(self.points):
            return self.points[vertex]
        (a, b, _), shares = self.parents[vertex], self.shares[vertex]
        return shares[0] * self.point(a) + shares[1] * self.point(b)

    def provenance(self, vertex: int) -> tuple[int, int, int, int]:
        """The edge that a vertex divides, the unit that put it there, and the refinement; the last may be under way."""
        a, b, unit = (int(n) for n in self.parents[vertex])
        return a, b, unit, int(self.steps[vertex]) if vertex < len(self.steps) else len(self.history)

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
        exact: Callable[[int], tuple[list[int], np.ndarray]],
        limit: int | None,
        zeros: Callable[[], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Split every cell where a unit changes its sign.

        Args:
            values: of the units at the vertices, affine on every cell, ``(vertices, units)``.
            bounds: on the error of each row, ``(vertices, 2)``: of the values, and by the place of the vertex.
            exact: from a vertex to the true signs of its units and their values.
            limit: most cells that are allowed.
            zeros: computes where values are exactly zero, ``(vertices, units)``; asked once more than a few signs are in doubt.

        Returns:
            Values and bounds at all vertices, new ones included, and their positive units as bits.

        Raises:
            MemoryError: if there are more cells than allowed, or values at vertices would take more memory.
        """
        old, units = self.vertices, values.shape[1]
        words = (units + 63) // 64
        room, resolved = _Room(self, values, bounds, words), self.resolved
        cut.signs(room.values, room.bounds, room.pos, room.neg, room.und, old)
        # The cells are asked for what they have in doubt, so that a doubtful vertex that no cell has any more costs nothing.
        while True:
            code = room.run(self)
            if code == cut.DONE:
                break
            if limit is not None and code == cut.CELLS and len(room.origins) > limit:
                raise MemoryError(f"max_cells must be larger for this model. Got {limit}, which it has passed.")
            if code == cut.SIGN and zeros is not None and self.resolved - resolved >= _FEW:
                room.und[:old] &= ~pack(zeros())
                zeros = None
            elif code == cut.SIGN:
                self._resolve(room, int(room.state[4]), exact)
            else:
                room.grow(code, self)
        vertices, made, used = (int(n) for n in room.state[1:4])
        if limit is not None and made > limit:
            raise MemoryError(f"max_cells must be larger for this model. Got {limit}, which it has passed.")
        self.parents = room.parents[:vertices]
        self.shares = room.shares[:vertices]
        self.steps = np.concatenate([self.steps, np.full(vertices - old, len(self.history))])
        self.seams = np.concatenate([self.seams, np.zeros(vertices - old, np.uint64)])
        cut.seams(self.seams, self.parents, old)
        self.history.append((room.origins[:made].copy(), room.bits[:made].copy(), units))
        self.points, self.doubts = self.extend(self.points, self.doubts)
        self.starts, self.corners = room.new_starts[: made + 1].copy(), room.new_corners[:used].copy()
        return room.values[:vertices], room.bounds[:vertices], room.pos[:vertices]

    def _resolve(self, room: "_Room", vertex: int, exact: Callable[[int], tuple[list[int], np.ndarray]]) -> None:
        self.parents, self.shares = room.parents, room.shares
        true, numbers = exact(vertex)
        size, bound = np.abs(room.values[vertex]).max(), room.bounds[vertex].sum()
        if not np.abs(numbers - room.values[vertex]).max() <= _APART * size + 1000 * bound:
            raise ValueError(
                "model must do the same operations in the same order whenever it is called. "
                f"Got one whose units are up to {np.abs(numbers - room.values[vertex]).max():.3g} apart between two calls."
            )
        self.resolved += 1
        room.und[vertex] = 0
        for masks, wanted in ((room.pos, 1), (room.neg, -1)):
            masks[vertex] = 0
            for unit, sign in enumerate(true):
                if sign == wanted:
                    masks[vertex, unit >> 6] |= np.uint64(1 << (unit & 63))
        room.values[vertex] = numbers
        room.bounds[vertex] = 4 * 2.0**-52 * np.abs(numbers).max(), 0

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
        cut.extend(longer, wider, self.parents, self.shares, begin, end)
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


class _Room:
    """The arrays that a refinement works in, which grow."""

    def __init__(self, mesh: Mesh, values: np.ndarray, bounds: np.ndarray, words: int):
        old, units = values.shape
        size = mesh.room(units, old, old + 64, 2 * old + 64)
        self.values = _longer(values, size)
        self.bounds = _longer(bounds, size)
        self.pos, self.neg, self.und = (np.zeros((size, words), np.uint64) for _ in range(3))
        self.parents, self.shares = _longer(mesh.parents, size), _longer(mesh.shares, size)
        self.table = np.full((1 << (2 * old + 64).bit_length(), 4), -1, dtype=np.int64)
        cells = 2 * mesh.cells + 64
        self.new_starts = np.zeros(cells + 1, np.int64)
        self.new_corners = np.empty(2 * len(mesh.corners) + 256, np.int64)
        self.origins, self.bits = np.empty(cells, np.int64), np.empty((cells, words), np.uint64)
        self.heap, self.stack = np.empty(1024, np.int64), np.empty((256, 2), np.int64)
        self.state = np.array([0, old, 0, 0, -1, old], dtype=np.int64)

    def run(self, mesh: Mesh) -> int:
        return cut.refine(
            self.state, mesh.starts, mesh.corners, self.values, self.bounds, self.pos, self.neg, self.und, self.parents,
            self.shares, self.table, self.new_starts, self.new_corners, self.origins, self.bits, self.heap, self.stack,
        )  # fmt: skip

    def grow(self, short: int, mesh: Mesh) -> None:
        """Make room where it is short."""
        names = {
            cut.HEAP: ("heap", "stack"),
            cut.VERTICES: ("values", "bounds", "pos", "neg", "und", "parents", "shares"),
            cut.CELLS: ("origins", "bits", "new_starts"),
            cut.CORNERS: ("new_corners",),
        }
        size, first = len(self.values), int(self.state[5])
        rows = mesh.room(self.values.shape[1], first + size, size + size // 8, 2 * size) if short == cut.VERTICES else 0
        for name in names.get(short, ()):
            array = getattr(self, name)
            setattr(self, name, _longer(array, rows or 2 * len(array)))
        if short == cut.TABLE:
            table = np.full((2 * len(self.table), 4), -1, dtype=np.int64)
            cut.rehash(self.table, table)
            self.table = table


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
