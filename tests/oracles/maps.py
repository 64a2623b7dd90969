"""Affine maps of a network under a pattern, in Python's integers: slow, cell by cell, and by no residues."""

from fractions import Fraction

import numpy as np
import torch

from knowlimits.plane.exact import ExactEvaluator, Integers, _Fine
from knowlimits.plane.mesh import unpack


class Following(ExactEvaluator):
    """Follows a given pattern instead of the signs."""

    def __init__(self, weight, matrices, pattern):
        super().__init__(weight, matrices)
        self._left = iter(pattern)

    def relu(self, x):
        self.current(x)
        kept = unpack(next(self._left)[None], x.numel()).reshape(x.shape)
        return Integers(np.where(kept, x.numbers, 0), x.stride())


class ExactMaps:
    """From patterns, as bits per refinement, to the numbers of the map from (x, y, 1) to the outputs, as fractions."""

    def __init__(self, run):
        self._run, self._power, self._matrices = run, 256, {}

    def __call__(self, pattern):
        while True:
            try:
                return [number for axis in range(3) for number in self._column(pattern, axis)]
            except _Fine:
                self._power *= 2

    def _column(self, pattern, axis):
        one = 1 << self._power
        evaluator = Following(one if axis == 2 else 0, self._matrices, pattern)
        start = np.zeros((1, 2), dtype=object)
        if axis < 2:
            start[0, axis] = one
        with torch.no_grad():
            results = self._run(evaluator, Integers(start))
        return [Fraction(int(n), one) for out in results for n in evaluator.numbers(out)]
