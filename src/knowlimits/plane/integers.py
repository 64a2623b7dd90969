"""Python's integers at many points: a model in rational arithmetic.

Weights are dyadic rationals. Integers are taken times a power of two that is large enough for every number inside the model to
be an integer too.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from knowlimits.plane.matrices import Arithmetic, Beside, Form

# Products of integers in work at once: each takes some 100 bytes.
_PRODUCTS = 2**18


class Fine(Exception):
    """A number is no integer: the power of two must be larger."""


class Enough(Exception):
    """The units that were asked for are known."""


class Integers(Arithmetic):
    """Integers, whose units are noted.

    Args:
        weights: the last coordinate of every point.
        last: the refinement after whose units to stop, by `Enough`.

    Attributes:
        units: what enters each ReLU, ``(points, units)``.
    """

    def __init__(self, weights: np.ndarray, last: int | None = None):
        self.weights, self.last = weights, last
        self.units: list[np.ndarray] = []

    def constant(self, values: np.ndarray) -> tuple[np.ndarray, Beside]:
        """Constants times w, as integers."""
        numbers, scale = integers(values)
        return divided(self.weights.reshape(-1, *[1] * values.ndim) * numbers, scale), ()

    def product(self, form: Form, given: list[np.ndarray], beside: list[Beside]) -> tuple[np.ndarray, Beside]:
        """Multiply, and divide by the power of two that the weights are over."""
        matrices, constant = form.made(IntegerMatrix, integers)
        total = np.zeros((len(self.weights), form.shape.numel()), dtype=object)
        for x, matrix in zip(given, matrices, strict=True):
            total = total + matrix.times(x)
        if constant is not None:
            total = total + divided(self.weights[:, None] * constant[0].reshape(1, -1), constant[1])
        return total, ()

    def larger(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Choose by the difference, which is the unit."""
        difference = x - y
        self.units.append(difference.reshape(len(x), -1))
        if self.last is not None and len(self.units) > self.last:
            raise Enough
        return np.where(difference > 0, x, y)


class IntegerMatrix:
    """A matrix of floats as integers over a power of two, of which only those that are not zero are kept."""

    def __init__(self, sparse: csr_array):
        """Take a matrix ``(outputs, inputs)``."""
        matrix: Any = sparse
        self._inputs, self._outputs = matrix.indices, np.flatnonzero(np.diff(matrix.indptr))
        self._begins, self._width = matrix.indptr[self._outputs], matrix.shape[0]
        self._numbers, self._scale = integers(matrix.data)

    def times(self, vectors: np.ndarray) -> np.ndarray:
        """The products with vectors of integers ``(points, inputs)``, ``(points, outputs)``."""
        result = np.zeros((len(vectors), self._width), dtype=object)
        step = max(1, _PRODUCTS // max(1, len(self._numbers)))
        for begin in range(0, len(vectors) if len(self._numbers) else 0, step):
            some = slice(begin, begin + step)
            products = vectors[some][:, self._inputs] * self._numbers
            result[some, self._outputs] = np.add.reduceat(products, self._begins, axis=1)
        return divided(result, self._scale)


def integers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Floats as integers over a common power of two: ``values == numbers / 2**scale``."""
    flat = [float(v).as_integer_ratio() for v in values.reshape(-1)]
    scale = max((d.bit_length() - 1 for _, d in flat), default=0)
    numbers = np.empty(len(flat), dtype=object)
    numbers[:] = [n << (scale - d.bit_length() + 1) for n, d in flat]
    return numbers.reshape(values.shape), scale


def divided(numbers: np.ndarray, scale: int) -> np.ndarray:
    """Integers divided by ``2**scale``.

    Raises:
        Fine: if one of them cannot be.
    """
    if not scale or not numbers.size:
        return numbers
    if np.any(numbers & ((1 << scale) - 1)):
        raise Fine
    return numbers >> scale
