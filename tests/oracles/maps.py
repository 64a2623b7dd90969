"""Affine maps of a network under a pattern, in fractions: slow, cell by cell, and by no residues."""

from fractions import Fraction

import numpy as np

from knowlimits.plane.matrices import Matrices
from knowlimits.plane.mesh import unpack
from knowlimits.plane.points import Points
from tests.oracles.vertices import Rationals


class Following(Rationals):
    """Fractions, of which a given pattern chooses instead of the signs."""

    def __init__(self, weights, pattern):
        super().__init__(weights, len(pattern))
        self._left = iter(pattern)

    def larger(self, x, y):
        return np.where(unpack(next(self._left)[None], x[0].size).reshape(x.shape), x, y)


class ExactMaps:
    """From patterns, as bits per refinement, to the numbers of the map from (x, y, 1) to the outputs, as fractions."""

    def __init__(self, run):
        self._run, self._forms = run, []

    def __call__(self, pattern):
        return [number for axis in range(3) for number in self._column(pattern, axis)]

    def _column(self, pattern, axis):
        start = np.full((1, 3), Fraction(0), dtype=object)
        start[0, axis] = Fraction(1)
        domain = Matrices(Following(start[:, 2], pattern), self._forms)
        results = self._run(domain, Points(start[:, None, :2], ()))
        return [n for out in results for n in domain.numbers(out)[0].reshape(-1)]
