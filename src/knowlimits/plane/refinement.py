"""A mesh refined by units: every cell is split where one of them changes its sign."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from knowlimits.follow.bounds import EPS
from knowlimits.plane import crossing, cut
from knowlimits.plane.mesh import Mesh, Step, UnitRows, empty_table, pack
from knowlimits.plane.status import Status

# Vertices in doubt are few, and cheaper to decide than to bound all once more, while they are fewer than this, and this share.
_MANY, _MANY_OF = 8, 1 / 2048


class Lineage(NamedTuple):
    """How vertices came about, those of a refinement that is under way included.

    Attributes:
        mesh: which is refined.
        points: coordinates of all vertices so far, ``(vertices, 3)``.
        parents, lines: of all of them, as those of `Mesh`.
    """

    mesh: Mesh
    points: np.ndarray
    parents: np.ndarray
    lines: np.ndarray

    @property
    def step(self) -> int:
        """The refinement that is under way."""
        return len(self.mesh.history)


@dataclass(frozen=True)
class Decided:
    """What exact arithmetic finds at vertices.

    Attributes:
        signs: of the units of the refinement under way, ``(n, units)``.
        places: the vertices, in the scale of what is stored, each number correct to a few units of rounding of the largest.
        in_integers: which of them took integers, ``(n,)``.
    """

    signs: np.ndarray
    places: np.ndarray
    in_integers: np.ndarray


class Decide(Protocol):
    """Decides signs that are in doubt."""

    def __call__(self, vertices: np.ndarray, cells: np.ndarray, lineage: Lineage) -> Decided:
        """The signs of all units at vertices, given a cell of the mesh that each is a corner of."""
        ...


class Imprecise(Exception):
    """Many signs are in doubt with one bound for all units of a vertex: each must have its own."""


def refine(
    mesh: Mesh, rows: UnitRows, exact: Decide, limit: int | None, zeros: Callable[[], np.ndarray] | None = None
) -> tuple[Mesh, UnitRows, np.ndarray, np.ndarray]:
    """Split every cell where a unit changes its sign.

    Args:
        mesh: whose cells.
        rows: the units at its vertices, affine on every cell.
        exact: decides what is in doubt.
        limit: most cells that are allowed.
        zeros: computes where values are exactly zero, ``(vertices, units)``; asked once, if many signs are in doubt although
            bounds are of every unit.

    Returns:
        The refined mesh, the units at all its vertices, and which of them are positive and negative there, as bits.

    Raises:
        MemoryError: if there are more cells than allowed, or values at vertices would take more memory.
        Imprecise: if many signs are in doubt, and bounds are not of every unit.
    """
    work = _Refinement(mesh, rows)
    status = mesh.status
    while (code := work.run()) != cut.DONE or work.at.put_off:
        if limit is not None and len(work.parts.origins) > limit and code == cut.PARTS:
            raise _too_many_cells(limit)
        if code != cut.DONE:
            work.grow(code)
            continue
        doubtful = work.put_off()
        many = status.resolved + len(doubtful) > max(_MANY, _MANY_OF * work.at.vertices)
        if many and rows.slopes.shape[1]:
            raise Imprecise
        if many and zeros is not None:
            work.structural(zeros())
            zeros = None
            continue
        found = exact(doubtful, work.vertices.owners[doubtful], work.lineage())
        work.decide(doubtful, found)
        status = status.with_more(len(doubtful), int(found.in_integers.sum()))
    if limit is not None and work.at.parts > limit:
        raise _too_many_cells(limit)
    return work.result(replace(status, every_unit=not rows.slopes.shape[1]))


class _Refinement:
    """A refinement that is under way: what it has come to, and the arrays that it works in, which grow."""

    def __init__(self, mesh: Mesh, rows: UnitRows):
        old, units = rows.values.shape
        words = (units + 63) // 64
        size = mesh.room(*rows.width, old, old + 64, 2 * old + 64)
        self.mesh, self.rows = mesh, rows
        self.at = cut.Progress(0, old, 0, 0, 0, int((mesh.diagonals[:, 3] >= 0).sum()))
        pos, neg, und = (np.zeros((size, words), np.uint64) for _ in range(3))
        owners = np.full(old, -1, dtype=np.int64)
        owners[mesh.corners] = np.repeat(np.arange(mesh.cells), np.diff(mesh.starts))
        known = (*rows, pos, neg, und, mesh.points, mesh.off, mesh.parents, mesh.shares, mesh.lines, owners)
        self.vertices = crossing.Vertices(*(_longer(array, size) for array in known))
        steep = np.empty(units)
        crossing.signs(self.vertices, old, mesh.starts, mesh.corners, steep)
        self.tables = cut.Tables(empty_table(1 << (2 * old + 64).bit_length()), mesh.diagonals.copy())
        self.which, self.later = np.arange(mesh.cells), np.empty(mesh.cells, np.int64)
        cells = 2 * mesh.cells + 64
        self.parts = cut.NewPolygons(
            starts=np.zeros(cells + 1, np.int64),
            corners=np.empty(2 * len(mesh.corners) + 256, np.int64),
            origins=np.empty(cells, np.int64),
            bits=np.empty((cells, words), np.uint64),
        )
        self.pieces = cut.Pieces(np.empty(1024, np.int64), np.empty((256, 2), np.int64), np.empty(words, np.uint64), steep)

    def run(self) -> int:
        """Go on until all is done or put off, or something is wanted."""
        cells = cut.Polygons(self.mesh.starts, self.mesh.corners)
        code, at = cut.refine(
            self.at, cells, self.which, self.later, self.vertices, self.tables, self.mesh.vertices, len(self.mesh.history),
            self.parts, self.pieces,
        )  # fmt: skip
        self.at = cut.Progress(*at)
        return code

    def grow(self, short: int) -> None:
        """Make room where it is short."""
        if short == cut.PIECES:
            heap, stack, positive, steep = self.pieces
            self.pieces = cut.Pieces(_doubled(heap), _doubled(stack), positive, steep)
        elif short == cut.VERTICES:
            size = len(self.vertices.values)
            rows = self.mesh.room(*self.rows.width, self.mesh.vertices + size, size + size // 8, 2 * size)
            self.vertices = crossing.Vertices(*(_longer(array, rows) for array in self.vertices))
        elif short in (cut.TABLE, cut.DIAGONALS):
            grown = list(self.tables)
            which = short == cut.DIAGONALS
            grown[which] = empty_table(2 * len(self.tables[which]))
            crossing.rehash(self.tables[which], grown[which])
            self.tables = cut.Tables(*grown)
        elif short == cut.PARTS:
            starts, corners, origins, bits = self.parts
            self.parts = cut.NewPolygons(_doubled(starts), corners, _doubled(origins), _doubled(bits))
        elif short == cut.CORNERS:
            starts, corners, origins, bits = self.parts
            self.parts = cut.NewPolygons(starts, _doubled(corners), origins, bits)

    def put_off(self) -> np.ndarray:
        """Take up the cells that were put off; the vertices in doubt, of those that are corners of cells."""
        self.which = np.sort(self.later[: self.at.put_off])
        self.at = self.at._replace(done=0, put_off=0)
        size = self.at.vertices
        return np.flatnonzero(self.vertices.und[:size].any(1) & (self.vertices.owners[:size] >= 0))

    def structural(self, zeros: np.ndarray) -> None:
        """Take what is exactly zero at vertices of the mesh out of doubt."""
        old = self.mesh.vertices
        und, off = self.vertices.und[:old], self.vertices.off[:old]
        known = und & pack(zeros)
        und &= ~known
        # A line of such a unit may go through the vertex, and is as far off at most as that.
        on = known.any(1)
        off[on, crossing.LINES] = np.maximum(off[on, crossing.LINES], off[on, crossing.VERTEX])

    def lineage(self) -> Lineage:
        """How all vertices so far came about."""
        size = self.at.vertices
        return Lineage(
            self.mesh, *(array[:size] for array in (self.vertices.points, self.vertices.parents, self.vertices.lines))
        )

    def decide(self, which: np.ndarray, found: Decided) -> None:
        """Put true signs and places at vertices that were in doubt."""
        pos, neg, points, off = self.vertices.pos, self.vertices.neg, self.vertices.points, self.vertices.off
        sure = (pos[which] & ~pack(found.signs > 0)) | (neg[which] & ~pack(found.signs < 0))
        moved = np.linalg.norm(points[which] - found.places, axis=1)
        error = 8 * EPS * np.linalg.norm(found.places, axis=1)
        away = off[which, crossing.VERTEX] + off[which, crossing.STORED] + error
        if sure.any() or (moved > 4 * away).any():
            raise ValueError(
                "model must do the same operations in the same order whenever it is called. "
                "Got one whose units have other signs when it is called again."
            )
        crossing.decide(self.vertices, which, found.signs)
        points[which] = found.places
        off[which, crossing.STORED] += moved
        # And so far at most are lines that go through it.
        off[which, crossing.VERTEX] = off[which, crossing.LINES] = off[which, crossing.STORED] + error

    def result(self, status: Status) -> tuple[Mesh, UnitRows, np.ndarray, np.ndarray]:
        """The refined mesh, the units at its vertices, and which are positive and negative."""
        size, made, used = self.at.vertices, self.at.parts, self.at.corners
        new, step = size - self.mesh.vertices, len(self.mesh.history)
        at = crossing.Vertices(*(array[:size] for array in self.vertices))
        starts, corners, origins, bits = self._in_order(made, used)
        seams = np.concatenate([self.mesh.seams, np.zeros(new, np.uint64)])
        crossing.seams(seams, at.parents, self.mesh.vertices)
        grown = replace(
            self.mesh,
            points=at.points,
            off=at.off,
            seams=seams,
            starts=starts,
            corners=corners,
            parents=at.parents,
            shares=at.shares,
            lines=at.lines,
            steps=np.concatenate([self.mesh.steps, np.full(new, step)]),
            diagonals=self.tables.diagonals,
            history=(*self.mesh.history, Step(origins, bits, self.rows.values.shape[1])),
            status=status,
        )
        return grown, UnitRows(at.values, at.errors, at.slopes), at.pos, at.neg

    def _in_order(self, made: int, used: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The resulting cells by those that they are parts of."""
        starts, corners = self.parts.starts[: made + 1], self.parts.corners[:used]
        origins, bits = self.parts.origins[:made], self.parts.bits[:made]
        order = np.argsort(origins, kind="stable")
        lengths = np.diff(starts)[order]
        after = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(starts[:-1][order] - after[:-1], lengths) + np.arange(used)
        return after, corners[places], origins[order], bits[order]


def _too_many_cells(limit: int) -> MemoryError:
    """An error."""
    return MemoryError(f"max_cells must be larger for this model. Got {limit}, which it has passed.")


def _doubled(array: np.ndarray) -> np.ndarray:
    return _longer(array, 2 * len(array))


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    result = np.empty((size, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result
