"""Affine maps of a network under a pattern, in Python's integers: slow, cell by cell, and by no residues."""

from fractions import Fraction

import numpy as np

from knowlimits.plane.integers import Fine, Integers
from knowlimits.plane.matrices import Arithmetic, Matrices
from knowlimits.plane.mesh import unpack
from knowlimits.plane.points import Points


class Following(Arithmetic):
    """Integers, of which a given pattern chooses instead of the signs."""

    def __init__(self, weights, pattern):
        self.weights, self._integers, self._left = weights, Integers(weights), iter(pattern)

    def constant(self, values):
        return self._integers.constant(values)

    def product(self, form, given, beside):
        return self._integers.product(form, given, beside)

    def larger(self, x, y):
        return np.where(unpack(next(self._left)[None], x[0].size).reshape(x.shape), x, y)


class ExactMaps:
    """From patterns, as bits per refinement, to the numbers of the map from (x, y, 1) to the outputs, as fractions."""

    def __init__(self, run):
        self._run, self._power, self._forms = run, 256, []

    def __call__(self, pattern):
        while True:
            try:
                return [number for axis in range(3) for number in self._column(pattern, axis)]
            except Fine:
                self._power *= 2

    def _column(self, pattern, axis):
        one = 1 << self._power
        start = np.zeros((1, 3), dtype=object)
        start[0, axis] = one
        domain = Matrices(Following(start[:, 2], pattern), self._forms)
        results = self._run(domain, Points(start[:, None, :2], ()))
        return [Fraction(int(n), one) for out in results for n in domain.numbers(out)[0].reshape(-1)]
