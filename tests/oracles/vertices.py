"""The units of a model at vertices of a mesh in rational arithmetic, by recursion: an edge that is divided has known ends.

Unlike the library it knows nothing of cells or of lines. A vertex is the mean of two ends, weighed by the sizes of the unit
that put it there, and of two numbers the larger is the larger.
"""

import contextlib
from fractions import Fraction

import numpy as np
import torch

from knowlimits.plane.chosen import Enough
from knowlimits.plane.matrices import Arithmetic, Matrices
from knowlimits.plane.points import Points
from knowlimits.plane.refinement import Decided


def fractions(values):
    return np.array([Fraction(float(v)) for v in np.ravel(values)] + [None], dtype=object)[:-1].reshape(np.shape(values))


class Rationals(Arithmetic):
    """Fractions at points; what enters each ReLU is noted until `last`."""

    def __init__(self, weights, last):
        self.weights, self.last, self.units = weights, last, []

    def constant(self, values):
        return self.weights.reshape(-1, *[1] * values.ndim) * fractions(values), ()

    def product(self, form, given, beside):
        matrices, constant = form.made(rows_of, fractions)
        total = np.full((len(self.weights), form.shape.numel()), Fraction(0), dtype=object)
        for x, rows in zip(given, matrices, strict=True):
            for k, row in enumerate(rows):
                for j, w in row:
                    total[:, k] += x[:, j] * w
        if constant is not None:
            total = total + self.weights[:, None] * constant.reshape(1, -1)
        return total, ()

    def larger(self, x, y):
        self.units.append((x - y).reshape(len(x), -1))
        if len(self.units) > self.last:
            raise Enough
        return np.where(x > y, x, y)


def rows_of(sparse):
    """A matrix as pairs of column and fraction, row by row."""
    ends = zip(sparse.indptr[:-1], sparse.indptr[1:], strict=True)
    return [[(int(sparse.indices[k]), Fraction(float(sparse.data[k]))) for k in range(a, b)] for a, b in ends]


class ByHistory:
    """Decides what `knowlimits.plane.exact.Exact` decides."""

    def __init__(self, run):
        self._run, self._forms, self._coordinates, self._units = run, [], {}, {}

    def __call__(self, vertices, cells, lineage):
        self.find(vertices.tolist(), lineage.step, lineage)
        units = np.array([self._units[v][lineage.step] for v in vertices.tolist()])
        places = []
        for v in vertices.tolist():
            size, scale = max(map(abs, self._coordinates[v])), Fraction(float(np.abs(lineage.points[v]).max()))
            places.append([float(n * scale / size) for n in self._coordinates[v]])
        signs = (units > 0).astype(np.int8) - (units < 0).astype(np.int8)
        return Decided(signs, np.array(places), np.ones(len(vertices), bool))

    def find(self, vertices, step, lineage):
        """Find the units of refinements up to one at vertices."""
        missing = [v for v in vertices if step >= len(self._units.get(v, ()))]
        if not missing:
            return
        self.place(missing, lineage)
        points = np.array([self._coordinates[v] for v in missing], dtype=object)
        arithmetic = Rationals(points[:, 2], step)
        with torch.no_grad(), contextlib.suppress(Enough):
            self._run(Matrices(arithmetic, self._forms), Points(points[:, None, :2], ()))
        for k, v in enumerate(missing):
            self._units[v] = [units[k] for units in arithmetic.units]

    def place(self, vertices, lineage):
        """Find homogeneous coordinates; a vertex has a larger number than the ends of its edge."""
        missing, waiting = set(), list(vertices)
        while waiting:
            v = waiting.pop()
            if v >= 0 and v not in self._coordinates and v not in missing:
                missing.add(v)
                waiting += lineage.parents[v, :2].tolist()
        for v in sorted(missing):
            a, b, unit = lineage.parents[v].tolist()
            if a < 0:
                self._coordinates[v] = tuple(fractions(lineage.points[v]))
                continue
            step = int(lineage.mesh.steps[v]) if v < lineage.mesh.vertices else lineage.step
            self.find([a, b], step, lineage)
            at_a, at_b = (abs(self._units[end][step][unit]) for end in (a, b))
            ends = zip(self._coordinates[a], self._coordinates[b], strict=True)
            self._coordinates[v] = tuple((at_b * x + at_a * y) / (at_a + at_b) for x, y in ends)
