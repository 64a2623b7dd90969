"""Rational arithmetic for signs in doubt: a model's units at a vertex, exactly.

Weights are dyadic rationals, and a vertex is the meeting of two affine forms, so it has integers for homogeneous coordinates.
These are taken times a power of two that is large enough for every number inside the model to be an integer too. Few vertices
need this, so that Python's integers are fast enough.
"""

import contextlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._torch import above_dispatch, results, returns_views, tree_map
from knowlimits.follow.evaluator import Traced
from knowlimits.follow.operations import Affine
from knowlimits.follow.parts import Call, Parts, first
from knowlimits.plane.mesh import Lineage
from knowlimits.plane.rows import RowEvaluator, copied_strides, free_of_strides, looked_at, new_strides


class _Fine(Exception):
    """A number is no integer: the power of two must be larger."""


class _Enough(Exception):
    """The units that were asked for are known."""


class Integers(Traced):
    """What stands for one input, a batch of length 1, at one homogeneous point, in integers.

    Attributes:
        numbers: Python integers, an object array.
        root, places, written: of views, as in `Rows`.
    """

    numbers: np.ndarray
    root: "Integers | None"
    places: Tensor | None
    written: int

    @staticmethod
    def __new__(
        cls,
        numbers: np.ndarray,
        strides: Any = None,
        root: "Integers | None" = None,
        places: Tensor | None = None,
        written: int = 0,
    ) -> "Integers":
        """Wrap integers; strides are those of floats in their place."""
        strides = strides or (None if places is None else places.stride())
        self = cls.wrap(numbers.shape, strides, torch.float64)
        self.numbers, self.root, self.places, self.written = numbers, root, places, written
        return self

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return torch.zeros((), dtype=torch.float64).expand(self.shape)


class ExactEvaluator(RowEvaluator):
    """Evaluates a model at one point with integer coordinates, and notes what enters its ReLUs.

    Args:
        weight: the last coordinate.
        matrices: of the affine operations met so far, by their place in the order of work; is added to.
        last: the refinement after whose units to stop.
    """

    def __init__(self, weight: int, matrices: dict[int, Any], last: int | None = None):
        super().__init__(torch.zeros(1, dtype=torch.float64))
        self.weight, self.matrices, self.last = weight, matrices, last
        self.units: list[np.ndarray] = []
        self._count = 0

    def current(self, x: Any) -> Any:
        """A tensor with what was written through other views of it."""
        if x.root is not None and x.written != x.root.written:
            x.numbers = self.current(x.root).numbers.reshape(-1)[x.places.numpy()]
            x.written = x.root.written
        return x

    def copy(self, x: Any, memory_format: torch.memory_format = torch.preserve_format) -> Any:
        """A copy, in which numbers lie as is said."""
        return Integers(self.current(x).numbers.copy(), copied_strides(x, memory_format))

    def write(self, target: Any, result: Any) -> Any:
        """Write into a tensor, or into that which it is a view of."""
        if isinstance(result, Integers):
            numbers = self.current(result).numbers
        else:
            numbers = self._times_weight(torch.as_tensor(result, dtype=torch.float64))
        numbers = np.broadcast_to(numbers, target.shape)
        if target.root is None:
            target.numbers = numbers.copy()
            target.written += 1
            return target
        whole = self.current(target.root).numbers.reshape(-1).copy()
        whole[target.places.numpy()] = numbers
        target.root.numbers = whole.reshape(target.root.shape)
        target.root.written += 1
        return self.current(target)

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Move places instead of numbers."""
        traced = [self.current(x) for x in traced]
        viewed, func = returns_views(func), free_of_strides(func)
        if viewed:
            root, seen = looked_at(traced[0])
            numbers = self.current(root).numbers.reshape(-1)
            places = func(seen, *args[1:], **kwargs)
            return tree_map(lambda p: Integers(numbers[p.numpy()], None, root, p, root.written), places)
        pool: list[np.ndarray] = []

        def places_of(a: Any) -> Any:
            if not isinstance(a, Tensor) or not (isinstance(a, Integers) or a.is_floating_point()):
                return a
            begin = sum(map(len, pool))
            size = 1 + sum((n - 1) * stride for n, stride in zip(a.shape, a.stride(), strict=True)) if a.numel() else 0
            index = torch.arange(begin, begin + size).as_strided(a.shape, a.stride())
            memory = np.zeros(size, dtype=object)
            memory[index.numpy() - begin] = a.numbers if isinstance(a, Integers) else self._times_weight(a)
            pool.append(memory)
            return index

        moved = func(*tree_map(places_of, args), **tree_map(places_of, kwargs))
        numbers = np.concatenate(pool)
        return tree_map(lambda index: Integers(numbers[index.numpy()], new_strides(index)), moved)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Multiply by the operation's matrices, which it gives for basis vectors, and add its constant part times w."""
        place, self._count = self._count, self._count + 1
        if place in self.matrices:
            self.matrices[place][0].check(func, args, kwargs)
        else:
            self.matrices[place] = Call(func, args, kwargs), _matrices(entry, func, args, kwargs, traced)
        matrices, constant, (shape, strides) = self.matrices[place][1]
        total: Any = 0
        for x, (matrix, scale) in zip(traced, matrices, strict=True):
            total = total + _divided(matrix.times(self.current(x).numbers.reshape(-1)), scale)
        if constant is not None:
            total = total + _divided(constant[0].reshape(-1) * self.weight, constant[1])
        result = Integers(np.asarray(total, dtype=object).reshape(shape), strides)
        extra = results(func) - 1
        return (result, *[torch.empty(0)] * extra) if extra else result

    def relu(self, x: Any) -> Any:
        """Note the units, and keep those that are positive."""
        self.current(x)
        self.units.append(x.numbers.reshape(-1).copy())
        if self.last is not None and len(self.units) > self.last:
            raise _Enough
        return Integers(np.where(x.numbers > 0, x.numbers, 0), new_strides(x))

    def numbers(self, out: Any) -> np.ndarray:
        """The integers of a result, which may be a constant."""
        return (self.current(out).numbers if isinstance(out, Integers) else self._times_weight(out)).reshape(-1)

    def _times_weight(self, constant: Tensor) -> np.ndarray:
        numbers, scale = integers(constant.double().numpy())
        return _divided(numbers * self.weight, scale)


def _matrices(entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
    """Linear and constant parts of an affine operation as integers with a power of two as common denominator."""
    parts = Parts(entry, func, args, kwargs)
    linear = []
    laid_out = parts.without_constants(lambda x: torch.empty_strided(x.shape, x.stride(), dtype=x.dtype))
    one = first(func(*laid_out, **kwargs))
    for chosen in range(len(traced)):
        size = traced[chosen].numel()
        basis = torch.eye(size, dtype=torch.float64).reshape(size, *traced[chosen].shape)

        def along(vector: Tensor, chosen: int = chosen) -> Tensor:
            # The same tensor may stand twice among the arguments: told apart by their order.
            vectors = iter([vector if k == chosen else torch.zeros(x.shape, dtype=torch.float64) for k, x in enumerate(traced)])
            return first(func(*parts.without_constants(lambda _: next(vectors)), **kwargs))

        with above_dispatch():
            images = torch.vmap(along)(basis)
        linear.append(_Sparse.of(images.reshape(size, -1).numpy()))
    constant = parts.constant()
    shift = None if constant is None else integers(constant.expand(one.shape).numpy())
    return linear, shift, (tuple(one.shape), one.stride())


class _Sparse:
    """A matrix of integers, of which only those that are not zero are kept, as a convolution has few."""

    def __init__(self, inputs: np.ndarray, outputs: np.ndarray, numbers: np.ndarray, width: int):
        self.inputs, self.outputs, self.numbers, self.width = inputs, outputs, numbers, width

    @classmethod
    def of(cls, matrix: np.ndarray) -> "tuple[_Sparse, int]":
        """From floats ``(inputs, outputs)``, with the power of two that the integers are over."""
        outputs, inputs = np.nonzero(matrix.T)
        numbers, scale = integers(matrix[inputs, outputs])
        return cls(inputs, outputs, numbers, matrix.shape[1]), scale

    def times(self, vector: np.ndarray) -> np.ndarray:
        """The product of a vector of integers and the matrix."""
        result = np.zeros(self.width, dtype=object)
        # Half of what comes out of a ReLU is zero.
        kept = np.flatnonzero((vector != 0)[self.inputs])
        if len(kept):
            outputs = self.outputs[kept]
            begins = np.flatnonzero(np.append(True, outputs[1:] != outputs[:-1]))
            result[outputs[begins]] = np.add.reduceat(vector[self.inputs[kept]] * self.numbers[kept], begins)
        return result


def integers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Floats as integers over a common power of two: ``values == numbers / 2**scale``."""
    flat = [float(v).as_integer_ratio() for v in values.reshape(-1)]
    scale = max((d.bit_length() - 1 for _, d in flat), default=0)
    numbers = np.empty(len(flat), dtype=object)
    numbers[:] = [n << (scale - d.bit_length() + 1) for n, d in flat]
    return numbers.reshape(values.shape), scale


def _divided(numbers: np.ndarray, scale: int) -> np.ndarray:
    """Integers divided by ``2**scale``.

    Raises:
        _Fine: if one of them cannot be.
    """
    if not scale:
        return numbers
    rest = (1 << scale) - 1
    if any(n & rest for n in numbers.reshape(-1)):
        raise _Fine
    return numbers >> scale


class Exact:
    """Signs of units at vertices of a mesh while it is refined, in rational arithmetic.

    Args:
        run: pushes a point of the plane, ``(1, 2)``, through the models under an evaluator.
    """

    def __init__(self, run: Callable[[ExactEvaluator, Integers], Any]):
        self._run = run
        self._power = 256
        self._coordinates: dict[int, tuple[int, ...]] = {}
        self._units: dict[int, list[np.ndarray]] = {}
        self._matrices: dict[int, Any] = {}

    def __call__(self, vertex: int, lineage: Lineage) -> tuple[list[int], np.ndarray]:
        """Signs of the units of the refinement under way, and their values in the scale of the mesh's own coordinates."""
        while True:
            try:
                units = self.units(vertex, lineage.step, lineage)
                break
            except _Fine:
                self._power *= 2
                self._units.clear()
        coordinates = self.coordinates(vertex, lineage)
        axis = max(range(3), key=lambda k: abs(coordinates[k]))
        factor = Fraction(float(lineage.point(vertex)[axis])) / (coordinates[axis] << self._power)
        return [(n > 0) - (n < 0) for n in units], np.array([float(n * factor) for n in units])

    def coordinates(self, vertex: int, lineage: Lineage) -> tuple[int, ...]:
        """Homogeneous coordinates of a vertex, integers without a common factor."""
        if vertex not in self._coordinates:
            a, b, unit, step = lineage.provenance(vertex)
            if a < 0:
                numbers = [int(n) for n in integers(lineage.mesh.points[vertex])[0]]
            else:
                size_a, size_b = (abs(self.units(v, step, lineage)[unit]) for v in (a, b))
                ends = zip(self.coordinates(a, lineage), self.coordinates(b, lineage), strict=True)
                numbers = [size_b * x + size_a * y for x, y in ends]
            divisor = math.gcd(*numbers)
            self._coordinates[vertex] = tuple(n // divisor for n in numbers)
        return self._coordinates[vertex]

    def units(self, vertex: int, step: int, lineage: Lineage) -> np.ndarray:
        """The units of a refinement at a vertex, times ``2**power``."""
        if step >= len(self._units.get(vertex, ())):
            x, y, w = (n << self._power for n in self.coordinates(vertex, lineage))
            evaluator = ExactEvaluator(w, self._matrices, step)
            start = np.empty((1, 2), dtype=object)
            start[0] = x, y
            with torch.no_grad(), contextlib.suppress(_Enough):
                self._run(evaluator, Integers(start))
            self._units[vertex] = evaluator.units
        return self._units[vertex][step]
