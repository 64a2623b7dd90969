"""Signs in doubt: a model's units at vertices of a mesh, exactly.

A vertex is the meeting of two affine forms, so it has integers for homogeneous coordinates, and so has everything that a model
makes of them. All vertices that are asked about go through the model at once.
"""

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from knowlimits.follow.domain import Domain
from knowlimits.plane.integers import Enough, Fine, Integers, integers
from knowlimits.plane.matrices import Form, Matrices
from knowlimits.plane.mesh import Lineage
from knowlimits.plane.points import Points


class Exact:
    """Signs of units at vertices of a mesh while it is refined, in rational arithmetic.

    Args:
        run: pushes points of the plane, ``(1, 2)`` each, through the models in a domain.
    """

    def __init__(self, run: Callable[[Domain, Points], Any]):
        self._run = run
        self._power = 256
        self._coordinates: dict[int, tuple[int, ...]] = {}
        self._units: dict[int, list[np.ndarray]] = {}
        self._forms: list[Form] = []

    def __call__(self, vertex: int, lineage: Lineage) -> tuple[list[int], np.ndarray]:
        """Signs of the units of the refinement under way, and their values in the scale of the mesh's own coordinates."""
        step = lineage.step
        while step >= len(self._units.get(vertex, ())):
            try:
                # Others will be asked about, too.
                self._evaluate([vertex, *lineage.others(vertex)], step, lineage)
            except Fine:
                self._power *= 2
                self._units.clear()
        units, coordinates = self._units[vertex][step], self._coordinates[vertex]
        axis = max(range(3), key=lambda k: abs(coordinates[k]))
        share, of = float(lineage.point(vertex)[axis]).as_integer_ratio()
        of *= coordinates[axis] << self._power
        # Python rounds the quotient of two integers once.
        return [(n > 0) - (n < 0) for n in units], np.array([n * share / of for n in units])

    def _evaluate(self, vertices: Iterable[int], step: int, lineage: Lineage) -> None:
        """Find the units of all refinements up to one, times ``2**power``."""
        missing = [v for v in vertices if step >= len(self._units.get(v, ()))]
        if not missing:
            return
        self._place(missing, lineage)
        points = np.array([[n << self._power for n in self._coordinates[v]] for v in missing], dtype=object)
        arithmetic = Integers(points[:, 2], step)
        with torch.no_grad(), contextlib.suppress(Enough):
            self._run(Matrices(arithmetic, self._forms), Points(points[:, None, :2], ()))
        for k, vertex in enumerate(missing):
            self._units[vertex] = [units[k] for units in arithmetic.units]

    def _place(self, vertices: Iterable[int], lineage: Lineage) -> None:
        """Find homogeneous coordinates of vertices, integers without a common factor."""
        for generation in self._generations(vertices, lineage):
            origins = {v: lineage.provenance(v) for v in generation}
            for step in {step for a, _, _, step in origins.values() if a >= 0}:
                ends = {end for a, b, _, at in origins.values() if a >= 0 and at == step for end in (a, b)}
                self._evaluate(ends, step, lineage)
            for vertex, (a, b, unit, step) in origins.items():
                if a < 0:
                    numbers = [int(n) for n in integers(lineage.mesh.points[vertex])[0]]
                else:
                    size_a, size_b = (abs(self._units[v][step][unit]) for v in (a, b))
                    ends = zip(self._coordinates[a], self._coordinates[b], strict=True)
                    numbers = [size_b * x + size_a * y for x, y in ends]
                divisor = math.gcd(*numbers)
                self._coordinates[vertex] = tuple(n // divisor for n in numbers)

    def _generations(self, vertices: Iterable[int], lineage: Lineage) -> list[list[int]]:
        """Vertices and their ancestors, of those without coordinates: the ends of an edge come before what divides it."""
        missing, waiting = set(), list(vertices)
        while waiting:
            vertex = waiting.pop()
            if vertex >= 0 and vertex not in self._coordinates and vertex not in missing:
                missing.add(vertex)
                waiting += lineage.provenance(vertex)[:2]
        generation: dict[int, int] = {}
        result: list[list[int]] = []
        # A vertex has a larger number than the ends of its edge.
        for vertex in sorted(missing):
            a, b, *_ = lineage.provenance(vertex)
            generation[vertex] = 1 + max(generation.get(a, -1), generation.get(b, -1))
            if generation[vertex] == len(result):
                result.append([])
            result[generation[vertex]].append(vertex)
        return result
