"""Linear regions: neighbouring cells on which a network is one and the same affine map, joined."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.plane.cells import bridged

# A `Partition`, whose module makes regions and so is above this one.
_Cells = Any


@dataclass(frozen=True)
class Regions:
    """The linear regions of a model on a plane: connected sets of cells with one affine map, which need not be convex.

    Whether two maps are equal is decided beyond the bound on their rounding errors, or else in exact arithmetic.

    Attributes:
        cells: the `Partition` that they are made of.
        number: the region of each cell, ``(C,)``.
        resolved: how many pairs of neighbours needed exact arithmetic.
    """

    cells: _Cells
    number: np.ndarray
    resolved: int

    @classmethod
    def of(cls, cells: _Cells) -> "Regions":
        """Join the cells of a partition."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        same, resolved = cells._same_maps()
        first, second = cells.neighbours[same].T
        graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(cells), len(cells)))
        return cls(cells, connected_components(graph, directed=False)[1], resolved)

    def __len__(self) -> int:
        return int(self.number.max()) + 1

    def __repr__(self) -> str:
        return f"{len(self)} linear regions, {int((~self.bounded).sum())} of them unbounded, of a {self.cells!r}"

    @property
    def vertices(self) -> np.ndarray:
        """Homogeneous vertices, those of the cells, ``(V, 3)``."""
        return self.cells.vertices

    @cached_property
    def bounded(self) -> np.ndarray:
        """Whether a region is bounded, ``(R,)``."""
        return np.bincount(self.number, ~self.cells.bounded, len(self)) == 0

    @cached_property
    def area(self) -> np.ndarray:
        """Areas in units of the plane, ``(R,)``; infinite for unbounded regions."""
        return np.bincount(self.number, self.cells.area, len(self))

    @cached_property
    def affine(self) -> np.ndarray:
        """The affine map on each region: the model's outputs are ``affine @ (x, y, 1)``, ``(R, outputs, 3)``."""
        return self.cells.affine[np.unique(self.number, return_index=True)[1]]

    def locate(self, points: Any) -> np.ndarray:
        """The region of each point of the plane, ``(n,)``; -1 outside a box. A point on an edge is in a region beside it."""
        cell = self.cells.locate(points)
        return np.where(cell < 0, -1, self.number[cell])

    @cached_property
    def neighbours(self) -> np.ndarray:
        """Pairs of regions that share an edge, each once, ``(N, 2)``."""
        pairs = np.sort(self.number[self.cells.neighbours], axis=1)
        return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)

    @cached_property
    def edges(self) -> np.ndarray:
        """Ends of the edges round regions, ``(E, 2)`` ids of vertices; those between two directions lie at infinity."""
        kept = np.flatnonzero(~self._inner & (self.cells._twin < np.arange(len(self._inner))))
        return np.stack([self.cells._flat[kept], self.cells._flat[self.cells._following[kept]]], axis=1)

    def rings(self, i: int) -> list[np.ndarray]:
        """Ids of the vertices round a region in order: the outer ring counterclockwise, then its holes clockwise.

        A ring that comes back to a vertex has it twice. One of an unbounded region goes over directions.
        """
        after, flat = self._after, self.cells._flat
        left = set(np.flatnonzero((self.number[self.cells._owner] == i) & ~self._inner).tolist())
        rings = []
        while left:
            ring, k = [], min(left)
            while k in left:
                left.remove(k)
                ring.append(k)
                k = int(after[k])
            rings.append(flat[ring])
        # Infinity is outside of everything; else the outer ring is the one that runs counterclockwise.
        outer = [k for k, ring in enumerate(rings) if (self.vertices[ring, 2] == 0).any() or _area(self.vertices[ring]) > 0]
        return [rings.pop(outer[0]), *rings]

    @cached_property
    def _inner(self) -> np.ndarray:
        """Whether a half-edge lies within a region."""
        twin, owner = self.cells._twin, self.cells._owner
        return (twin >= 0) & (self.number[owner] == self.number[owner[twin]])

    @cached_property
    def _after(self) -> np.ndarray:
        return bridged(self.cells._following, self.cells._twin, self._inner)


def _area(ring: np.ndarray) -> float:
    x, y = (ring[:, :2] - ring[0, :2]).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
