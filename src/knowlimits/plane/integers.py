"""Python's integers: a model under patterns in rational arithmetic.

Weights are dyadic rationals. Integers are taken times a power of two that is large enough for every number inside the model to
be an integer too.
"""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from knowlimits.plane.chosen import Course, basis
from knowlimits.plane.matrices import Arithmetic, Beside, Form

# Products of integers in work at once, which are zero for all points or for none: as few as pay.
_PRODUCTS = 2**13


class Fine(Exception):
    """A number is no integer: the power of two must be larger."""


class Integers(Arithmetic):
    """Integers, three points a cell, under patterns.

    Args:
        course: of the cells.
        power: of two, that the basis vectors are taken times.

    Attributes:
        start: the coordinates of the basis vectors in the plane.
    """

    def __init__(self, course: Course, power: int):
        self.start, self.weights = ((part.astype(np.int64).astype(object) << power) for part in basis(course.cells))
        self._course = course

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
        """The one that the pattern has as larger; the unit is the difference."""
        return self._course.choose(x, y, x - y)


class IntegerMatrix:
    """A matrix of floats as integers over a power of two, of which only those that are not zero are kept."""

    def __init__(self, sparse: csr_array):
        """Take a matrix ``(outputs, inputs)``."""
        matrix: Any = sparse
        self._width = matrix.shape[0]
        self._inputs, self._outputs = matrix.indices, np.repeat(np.arange(self._width), np.diff(matrix.indptr))
        self._numbers, self._scale = integers(matrix.data)

    def times(self, vectors: np.ndarray) -> np.ndarray:
        """The products with vectors of integers ``(points, inputs)``, ``(points, outputs)``."""
        result = np.zeros((len(vectors), self._width), dtype=object)
        # The points of a cell have zeros in the same places, which are left out.
        step = 3 * max(1, _PRODUCTS // max(1, 3 * len(self._numbers)))
        for begin in range(0, len(vectors), step):
            some = vectors[begin : begin + step]
            used = np.flatnonzero((some != 0).any(0)[self._inputs])
            if len(used):
                outputs = self._outputs[used]
                begins = np.flatnonzero(np.diff(outputs, prepend=-1))
                products = some[:, self._inputs[used]] * self._numbers[used]
                result[begin : begin + step, outputs[begins]] = np.add.reduceat(products, begins, axis=1)
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
