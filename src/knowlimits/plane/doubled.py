"""Floats of double length: numbers as sums of two floats, each with a bound on its error, and what is made of them.

The error of a sum of two floats is a float (Knuth, "The Art of Computer Programming", volume 2, 4.2.2, theorem B), and so is
that of a product (Dekker, "A floating-point technique for extending the available precision", 1971), which Veltkamp's
splitting finds without a fused operation, unless something leaves the range of floats. So of ``sum w_j (h_j + l_j)`` the
products ``w_j h_j`` and what is lost in them and in adding them up are known exactly, and only sums of what is lost are
rounded: this is the sum of Ogita, Rump and Oishi, "Accurate sum and dot product", 2005, with the low halves added. Sums and
products of two numbers drop the same terms as those of Joldes, Muller and Popescu, "Tight and rigorous error bounds for basic
building blocks of double-word arithmetic", 2017.

**Bounds.** Those that are proven there know sizes only; here the errors are added up as they are made. An operation of floats
with result r is off by at most ``u |r|``, u being half of `EPS` (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, section 3.3). So, with b_j the bounds of what goes in, and r_k the results of all operations that are not exact,

    bound of a sum of products = sum |w_j| b_j + u sum |r_k|,
    bound of x + y = b_x + b_y + u sum |r_k|,
    bound of x y = |x| b_y + (|y| + b_y) b_x + |l_x l_y| + u sum |r_k|,

as the product of the two low halves is left out. Bounds are made of numbers that are not negative, and each operation takes
off a share of u at most, so that they are raised by some `EPS` for each. If all results r_k are zero, as in sums of small
integers, so is the bound, and then a zero is a zero.

**The ends of the range.** What overflows leaves infinities, or what is no number, which decide nothing. Products below `TINY`
may have errors that are no floats: what a weight would take there is moved into the bound before. No bound is smaller than
`LEAST` unless it is zero, which stands for what is lost below the range.
"""

import numpy as np
from scipy.sparse import csr_array

from knowlimits.compiling import compiled
from knowlimits.follow.bounds import EPS
from knowlimits.plane.chosen import Course, basis
from knowlimits.plane.matrices import Arithmetic, Beside, Form

#: The product of two floats of this size is a float and an error that is one, as 2**-1074 is the smallest float: 106 bits.
TINY = 2.0**-960
#: Stands for all that a few operations lose below the range of floats.
LEAST = 2.0**-1000
_UNIT = EPS / 2
# Times this and less this times the rest is the upper half of a float (Veltkamp).
_SPLIT = 2.0**27 + 1
# Points whose products are added up together: as many as are at hand in the nearest memory.
_BLOCK = 32


class Doubles(Arithmetic):
    """Numbers of double length, three points a cell, under patterns.

    An array has the high halves of all points, then the low halves, then the bounds, ``(3 * points, ...)``.

    Args:
        course: of the cells.

    Attributes:
        start: the coordinates of the basis vectors in the plane.
    """

    def __init__(self, course: Course):
        points, self.weights = basis(course.cells)
        self.start, self._course = _exactly(points), course

    def constant(self, values: np.ndarray) -> tuple[np.ndarray, Beside]:
        """Constants times w, which is 0 or 1."""
        return _exactly(self.weights.reshape(-1, *[1] * values.ndim) * values), ()

    def product(self, form: Form, given: list[np.ndarray], beside: list[Beside]) -> tuple[np.ndarray, Beside]:
        """Multiply, and add up from the constant part on."""
        matrices, constant = form.made(DoubleMatrix, np.ravel)
        points = len(self.weights)
        total = np.zeros((3, points, form.shape.numel()))
        if constant is not None:
            total[0] = self.weights[:, None] * constant
        for x, matrix in zip(given, matrices, strict=True):
            matrix.add(total, np.ascontiguousarray(x).reshape(3, points, -1))
        return total.reshape(3 * points, -1), ()

    def larger(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The one that the pattern has as larger; the unit is the difference."""
        units = x
        if len(y) > 1:
            first, second = (np.ascontiguousarray(z).reshape(3, -1) for z in (x, y))
            units = np.empty_like(first)
            subtract(first, second, units)
            units = units.reshape(x.shape)
        return self._course.choose(x, y, units)


def _exactly(values: np.ndarray) -> np.ndarray:
    """Floats as numbers of double length."""
    return np.concatenate([values, np.zeros_like(values), np.zeros_like(values)])


class DoubleMatrix:
    """A matrix of floats, of which only those that are not zero are kept."""

    def __init__(self, sparse: csr_array):
        """Take a matrix ``(outputs, inputs)``."""
        matrix = csr_array(sparse)
        matrix.eliminate_zeros()
        self._begins, self._inputs, self._numbers = matrix.indptr, matrix.indices, matrix.data
        # Numbers that all weights take to where products are exact are at least so large.
        self._least = TINY / float(np.abs(matrix.data).min(initial=np.inf)) if matrix.nnz else 0.0

    def add(self, total: np.ndarray, vectors: np.ndarray) -> None:
        """Add the products with vectors ``(3, points, inputs)`` to a total ``(3, points, outputs)``."""
        _, points, inputs = vectors.shape
        room, sums = np.zeros(3 * _BLOCK * inputs), np.zeros(4 * _BLOCK)
        for begin in range(0, points, _BLOCK):
            end = min(begin + _BLOCK, points)
            load(vectors, begin, end, self._least, room)
            add_products(self._begins, self._inputs, self._numbers, room, total, begin, end, sums)


@compiled(allocates=False)
def load(vectors: np.ndarray, begin: int, end: int, least: float, room: np.ndarray) -> None:  # pragma: no cover - compiled
    """Put vectors of a block of points side by side, each number's three parts behind one another.

    Args:
        vectors: ``(3, points, inputs)``.
        begin, end: of the block.
        least: what is smaller than this is moved into the bound, unless it is zero.
        room: for the numbers, ``(inputs * 3 * block,)``.
    """
    for q in range(end - begin):
        for j in range(vectors.shape[2]):
            high, low, bound = vectors[0, begin + q, j], vectors[1, begin + q, j], vectors[2, begin + q, j]
            if low != 0 and abs(low) < least:
                bound += abs(low)
                low = 0.0
                if abs(high) < least:
                    bound += abs(high)
                    high = 0.0
            elif high != 0 and abs(high) < least:
                bound += abs(high)
                high = 0.0
            if bound > 0:
                bound = max(bound * (1 + 4 * EPS), least)
            at = 3 * _BLOCK * j + q
            room[at], room[at + _BLOCK], room[at + 2 * _BLOCK] = high, low, bound


@compiled(allocates=False)
def add_products(
    begins: np.ndarray,
    inputs: np.ndarray,
    numbers: np.ndarray,
    room: np.ndarray,
    total: np.ndarray,
    begin: int,
    end: int,
    sums: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Add the products of a matrix with vectors of a block of points to a total.

    Args:
        begins, inputs, numbers: the matrix by its rows.
        room: the vectors, as `load` puts them.
        total: of all points, ``(3, points, outputs)``.
        begin, end: of the block.
        sums: room for four numbers of each point of the block.
    """
    for i in range(total.shape[2]):
        for q in range(end - begin):
            for part in range(3):
                sums[part * _BLOCK + q] = total[part, begin + q, i]
            sums[3 * _BLOCK + q] = 0.0
        for k in range(begins[i], begins[i + 1]):
            w = numbers[k]
            upper = _upper(w)
            lower, size = w - upper, abs(w)
            at = 3 * _BLOCK * inputs[k]
            # All lanes, used or not: the loop is one of vectors then.
            for q in range(_BLOCK):
                high, low = room[at + q], room[at + _BLOCK + q]
                h_upper = _upper(high)
                h_lower = high - h_upper
                product = w * high
                error = ((upper * h_upper - product) + upper * h_lower + lower * h_upper) + lower * h_lower
                before = sums[q]
                after = before + product
                given = after - before
                first = error + ((before - (after - given)) + (product - given))
                second = w * low
                third = first + second
                rest = sums[_BLOCK + q] + third
                sums[q], sums[_BLOCK + q] = after, rest
                sums[2 * _BLOCK + q] += size * room[at + 2 * _BLOCK + q]
                sums[3 * _BLOCK + q] += (abs(first) + abs(second)) + (abs(third) + abs(rest))
        raised = 1 + EPS * (8 * (begins[i + 1] - begins[i]) + 16)
        for q in range(end - begin):
            high, low = two_sum(sums[q], sums[_BLOCK + q])
            bound, rounded = sums[2 * _BLOCK + q], sums[3 * _BLOCK + q]
            if bound > 0 or rounded > 0:
                bound = max((bound + _UNIT * rounded) * raised, LEAST)
            total[0, begin + q, i], total[1, begin + q, i], total[2, begin + q, i] = high, low, bound


@compiled(allocates=False)
def _upper(x: float) -> float:  # pragma: no cover - compiled
    """The upper half of a float's bits."""
    t = _SPLIT * x
    return t - (t - x)


@compiled(allocates=False)
def two_sum(x: float, y: float) -> tuple[float, float]:  # pragma: no cover - compiled
    """The sum of two floats, and its error."""
    total = x + y
    given = total - x
    return total, (x - (total - given)) + (y - given)


@compiled(allocates=False)
def two_product(x: float, y: float) -> tuple[float, float]:  # pragma: no cover - compiled
    """The product of two floats, and its error."""
    product = x * y
    x_upper, y_upper = _upper(x), _upper(y)
    x_lower, y_lower = x - x_upper, y - y_upper
    return product, ((x_upper * y_upper - product) + x_upper * y_lower + x_lower * y_upper) + x_lower * y_lower


Number = tuple[float, float, float]


@compiled(allocates=False)
def plus(x: Number, y: Number) -> Number:  # pragma: no cover - compiled
    """The sum of two numbers of double length: two halves and a bound."""
    high, lost = two_sum(x[0], y[0])
    low = x[1] + y[1]
    rest = low + lost
    bound = x[2] + y[2] + _UNIT * (abs(low) + abs(rest))
    if bound > 0 or low != 0 or rest != 0:
        bound = max(bound * (1 + 8 * EPS), LEAST)
    high, low = two_sum(high, rest)
    return high, low, bound


@compiled(allocates=False)
def minus(x: Number, y: Number) -> Number:  # pragma: no cover - compiled
    """The difference of two numbers of double length."""
    return plus(x, (-y[0], -y[1], y[2]))


@compiled(allocates=False)
def times(x: Number, y: Number) -> Number:  # pragma: no cover - compiled
    """The product of two numbers of double length."""
    if (x[0] == 0 and x[1] == 0 and x[2] == 0) or (y[0] == 0 and y[1] == 0 and y[2] == 0):
        return 0.0, 0.0, 0.0
    product, error = two_product(x[0], y[0])
    first, second = x[0] * y[1], x[1] * y[0]
    third = first + second
    rest = error + third
    size_x, size_y = abs(x[0]) + abs(x[1]), abs(y[0]) + abs(y[1])
    bound = size_x * y[2] + (size_y + y[2]) * x[2] + abs(x[1] * y[1])
    bound += _UNIT * (abs(first) + abs(second) + abs(third) + abs(rest))
    if x[0] != 0 and y[0] != 0 and abs(product) < TINY:
        # The error may be none.
        product, rest = 0.0, 0.0
        bound += 4 * TINY
    if x[1] != 0 or y[1] != 0 or x[2] > 0 or y[2] > 0:
        bound += LEAST
    high, low = two_sum(product, rest)
    return high, low, bound * (1 + 16 * EPS)


@compiled(allocates=False)
def subtract(x: np.ndarray, y: np.ndarray, result: np.ndarray) -> None:  # pragma: no cover - compiled
    """The differences of numbers of double length, ``(3, n)``."""
    for j in range(x.shape[1]):
        result[0, j], result[1, j], result[2, j] = minus((x[0, j], x[1, j], x[2, j]), (y[0, j], y[1, j], y[2, j]))
