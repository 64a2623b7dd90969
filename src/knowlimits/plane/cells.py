"""Cells after the work is done: those of several meshes put together, and those that a seam alone divides joined.

A polygon with n corners has n half-edges, the k-th from its k-th corner to the next; the same edge seen from the other side is
the twin of a half-edge. To join cells is to leave out half-edges and their twins, and to go round what they divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from knowlimits.plane.mesh import Mesh
from knowlimits.plane.status import Status
from knowlimits.plane.tournaments import Tournament, patterns


@dataclass(frozen=True)
class Cells:
    """Convex cells of the plane.

    Attributes:
        points: homogeneous coordinates of vertices, ``(V, 3)``.
        seams: per vertex the seams that it is on, as bits, ``(V,)``.
        starting: per vertex whether it is one that the mesh started with, ``(V,)``.
        starts, corners: ``corners[starts[c]:starts[c + 1]]`` are the vertices of cell c, counterclockwise.
        steps: per refinement the positive units of every cell as bits, ``(C, words)``.
        units: per refinement the number of units.
        tournaments: the maxima along axes among the refinements.
        status: by what signs were decided.
    """

    points: np.ndarray
    seams: np.ndarray
    starting: np.ndarray
    starts: np.ndarray
    corners: np.ndarray
    steps: list[np.ndarray]
    units: list[int]
    tournaments: Sequence[Tournament]
    status: Status

    @classmethod
    def of_mesh(cls, mesh: Mesh, tournaments: Sequence[Tournament]) -> "Cells":
        """The cells of a refined mesh."""
        units = [units for _, _, units in mesh.history]
        return cls(
            mesh.points, mesh.seams, mesh.parents[:, 0] < 0, mesh.starts, mesh.corners, mesh.patterns(), units, tournaments,
            mesh.status,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.starts) - 1


def gathered(parts: list[Cells]) -> Cells:
    """The cells of parts that share starting vertices and, along their seams, those between.

    What a function does along a seam does not depend on the side from which it is seen, so that both have the same vertices
    there, in the same order.

    Raises:
        RuntimeError: if they have not.
    """
    if len(parts) == 1:
        return parts[0]
    shared = int(parts[0].starting.sum())
    known: dict[int, list[int]] = {}
    size = shared
    pieces = {name: [getattr(parts[0], name)[:shared]] for name in ("points", "seams", "starting")}
    corners = []
    for part in parts:
        number = np.concatenate([np.arange(shared), np.full(len(part.points) - shared, -1)])
        chains = _chains(part)
        for seam, chain in chains.items():
            if (twin := known.get(seam)) is None:
                continue
            if len(chain) != len(twin):
                raise RuntimeError("two sides of a seam differ, which is a mistake in knowlimits: please report the model.")
            number[chain] = twin
        new = np.flatnonzero(number < 0)
        number[new] = size + np.arange(len(new))
        size += len(new)
        for name, whole in pieces.items():
            whole.append(getattr(part, name)[new])
        for seam, chain in chains.items():
            known[seam] = number[chain].tolist()
        corners.append(number[part.corners])
    lengths = np.concatenate([np.diff(part.starts) for part in parts])
    return Cells(
        **{name: np.concatenate(whole) for name, whole in pieces.items()},
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        corners=np.concatenate(corners),
        steps=[np.concatenate(step) for step in zip(*(part.steps for part in parts), strict=True)],
        units=parts[0].units,
        tournaments=parts[0].tournaments,
        status=reduce(Status.and_of, (part.status for part in parts)),
    )


def _chains(part: Cells) -> dict[int, list[int]]:
    """Per seam at the rim of a part its vertices in order, from the starting vertex of the smaller number."""
    tails, heads = part.corners, part.corners[following(part.starts)]
    on = part.seams[tails] & part.seams[heads]
    beside = np.flatnonzero(on)
    neighbours: dict[int, dict[int, list[int]]] = {}
    for bit, a, b in zip(on[beside].tolist(), tails[beside].tolist(), heads[beside].tolist(), strict=True):
        around = neighbours.setdefault(bit, {})
        around.setdefault(a, []).append(b)
        around.setdefault(b, []).append(a)
    result = {}
    for bit, around in neighbours.items():
        ends = sorted(v for v, others in around.items() if len(others) == 1)
        if len(ends) != 2:
            # Seen from both sides: within the part, not at its rim.
            continue
        chain, before = [ends[0]], -1
        while chain[-1] != ends[1]:
            step = next(v for v in around[chain[-1]] if v != before)
            before = chain[-1]
            chain.append(step)
        result[bit] = chain
    return result


def following(starts: np.ndarray) -> np.ndarray:
    """Per half-edge the one after it in its polygon."""
    result = np.arange(1, starts[-1] + 1)
    result[starts[1:] - 1] = starts[:-1]
    return result


def twins(tails: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Per half-edge the one that is the same edge from the other side, or -1."""
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    order = np.lexsort((high, low))
    first = np.flatnonzero((low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1]))
    result = np.full(len(tails), -1)
    result[order[first]], result[order[first + 1]] = order[first + 1], order[first]
    return result


def bridged(after: np.ndarray, twin: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Per half-edge the one after it, when those that are dropped, with their twins, no longer count."""
    after = after.copy()
    # Those that are dropped themselves could go round a vertex for ever.
    kept = np.flatnonzero(~dropped)
    while (over := kept[dropped[after[kept]]]).size:
        after[over] = after[twin[after[over]]]
    return after


def joined(cells: Cells) -> Cells:
    """Cells of one pattern on two sides of a seam, or of a comparison that decides nothing, as one.

    A fixed pattern is an intersection of half-planes, so what is joined is convex. Its edges go on where the inner edge ended;
    points there that nothing else needs go too.
    """
    if not cells.seams.any() and not cells.tournaments:
        return cells
    keys, _ = patterns(cells.steps, cells.units, cells.tournaments)
    lengths = np.diff(cells.starts)
    if cells.tournaments:
        touched = np.arange(len(cells))
    else:
        touched = np.flatnonzero(np.bitwise_or.reduceat(cells.seams[cells.corners], cells.starts[:-1]))
    same = np.ones(len(cells), dtype=bool)
    same[touched] = False
    starts = np.concatenate([[0], np.cumsum(lengths[touched])])
    tails = cells.corners[np.repeat(~same, lengths)]
    after = following(starts)
    heads = tails[after]
    dropped = _unneeded(cells, keys, np.repeat(touched, lengths[touched]), tails, heads)
    twin = np.full(len(tails), -1)
    twin[dropped] = dropped[twins(tails[dropped], heads[dropped])]
    gone = np.zeros(len(tails), dtype=bool)
    gone[dropped] = True
    # A cell's number is that of its first member.
    leader, rings = _rings(bridged(after, twin, gone), gone, np.repeat(touched, lengths[touched]), tails)
    rings = _straightened(rings, set(tails[dropped].tolist()), cells)

    order = np.concatenate([np.flatnonzero(same), leader]).astype(np.int64)
    sizes = np.concatenate([lengths[same], np.fromiter(map(len, rings), np.int64, len(rings))])
    return replace(
        cells,
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        corners=np.concatenate([cells.corners[np.repeat(same, lengths)], *map(np.array, rings)]).astype(np.int64),
        steps=[step[order] for step in cells.steps],
    )


def _unneeded(cells: Cells, keys: list[np.ndarray], owner: np.ndarray, tails: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Half-edges between cells of one pattern."""
    inner = np.arange(len(tails)) if cells.tournaments else np.flatnonzero(cells.seams[tails] & cells.seams[heads])
    twin = twins(tails[inner], heads[inner])
    inner, other = inner[twin >= 0], inner[twin[twin >= 0]]
    equal = np.ones(len(inner), dtype=bool)
    for key in keys:
        equal &= (key[owner[inner]] == key[owner[other]]).all(1)
    return inner[equal]


def _rings(after: np.ndarray, gone: np.ndarray, owner: np.ndarray, tails: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """The polygons that half-edges go round, each with the cell that it begins in."""
    successor, vertex, cell = after.tolist(), tails.tolist(), owner.tolist()
    seen = gone.tolist()
    leader, rings = [], []
    for h in range(len(seen)):
        if seen[h]:
            continue
        ring, k = [], h
        while not seen[k]:
            seen[k] = True
            ring.append(vertex[k])
            k = successor[k]
        leader.append(cell[h])
        rings.append(ring)
    return leader, rings


def _straightened(rings: list[list[int]], ends: set[int], cells: Cells) -> list[list[int]]:
    """Polygons without those ends of dropped edges that no other edge ends at."""
    around: dict[int, list[int]] = {}
    for i, ring in enumerate(rings):
        for v in ring:
            if v in ends:
                around.setdefault(v, []).append(i)

    def sides(v: int, ring: list[int]) -> tuple[int, int]:
        k = ring.index(v)
        return ring[k - 1], ring[(k + 1) % len(ring)]

    for v, beside in around.items():
        # The corners of a box are corners whatever happens inside.
        if cells.starting[v] and not cells.seams[v]:
            continue
        a, b = sides(v, rings[beside[0]])
        if min(len(rings[i]) for i in beside) <= 3 or any({a, b} != set(sides(v, rings[i])) for i in beside[1:]):
            continue
        weights = cells.points[[a, v, b], 2]
        if weights[1] == 0:
            # A direction between two others: they must span less than half a turn without it.
            (ax, ay), (bx, by) = cells.points[a, :2], cells.points[b, :2]
            if weights[0] or weights[2] or ax * by <= ay * bx:
                continue
        elif weights[0] == weights[2] == 0:
            # The one finite point between two opposite directions.
            continue
        for i in beside:
            rings[i].remove(v)
    return rings
