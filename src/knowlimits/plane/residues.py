"""Whether affine maps are the same, exactly, for all cells at once.

Two cells mostly have one map because units that differ between them have no way to the outputs: they lose a maximum, or lead
to units that are off, or to weights of zero. That is seen by following what differs.

What is left is decided in the integers modulo primes. Weights are dyadic rationals, so that the numbers of a map under a
pattern are ``n / 2**bits`` with integers n. Two such numbers that agree modulo primes, in which 2 has an inverse, are the same
if the primes' product is larger than the difference of their n can be; two that differ modulo one prime are not.
"""

import math

import numpy as np
import torch

from knowlimits.plane.chosen import Run, basis, positive
from knowlimits.plane.dyadic import Dyadic, DyadicMatrix, primes, reduced
from knowlimits.plane.matrices import Arithmetic, Beside, Form, Matrices
from knowlimits.plane.points import Points

# Logarithms of sizes are rounded up by so much in every operation.
_SLACK = 1e-3


class Differing(Arithmetic):
    """Ones where numbers may differ between two cells; what is zero is the same in both.

    Args:
        first, second: for every ReLU in turn the positive units in the one cell and in the other, as bits, ``(pairs, words)``.
    """

    def __init__(self, first: list[np.ndarray], second: list[np.ndarray]):
        self.weights = np.zeros(len(first[0]) if first else 0)
        self._first, self._second = iter(first), iter(second)

    def constant(self, values: np.ndarray) -> tuple[np.ndarray, Beside]:
        """Differs nowhere."""
        return np.zeros((len(self.weights), *values.shape)), ()

    def product(self, form: Form, given: list[np.ndarray], beside: list[Beside]) -> tuple[np.ndarray, Beside]:
        """All that hangs on what differs may differ."""
        matrices, _ = form.made(DyadicMatrix, Dyadic)
        parts = [matrix.reached(torch.from_numpy(x)).numpy() for x, matrix in zip(given, matrices, strict=True)]
        return np.max(parts, axis=0), ()

    def larger(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What is chosen in both cells differs if it does itself; another choice makes a difference."""
        first, second = (positive(patterns, x.shape) for patterns in (self._first, self._second))
        return np.where(first != second, 1.0, np.where(first, x, y))


class Residues(Arithmetic):
    """Residues modulo a prime, three points a cell, under a pattern; beside them are their size and their bits, as of `Dyadic`.

    Args:
        cells: how many.
        patterns: for every ReLU in turn the positive units of each cell, as bits.
        prime: of the residues.
    """

    def __init__(self, cells: int, patterns: list[np.ndarray], prime: int):
        _, self.weights = basis(cells)
        self.prime = prime
        self._left = iter(patterns)

    def constant(self, values: np.ndarray) -> tuple[np.ndarray, Beside]:
        """Their residues times w."""
        dyadic = Dyadic(values)
        return self.weights.reshape(-1, *[1] * values.ndim) * dyadic.modulo(self.prime), (dyadic.size, dyadic.bits)

    def product(self, form: Form, given: list[np.ndarray], beside: list[Beside]) -> tuple[np.ndarray, Beside]:
        """The product with the operation's matrices, and its constant part times w."""
        matrices, constant = form.made(DyadicMatrix, Dyadic)
        total = np.zeros((len(self.weights), form.shape.numel()))
        size, bits = -math.inf, 0
        for x, matrix, (mine, its) in zip(given, matrices, beside, strict=True):
            total += matrix.times(torch.from_numpy(x), self.prime).numpy()
            size, bits = float(np.logaddexp2(size, mine + matrix.size)) + _SLACK, max(bits, int(its) + matrix.bits)
        if constant is not None:
            total += self.weights[:, None] * constant.modulo(self.prime).reshape(1, -1)
            size, bits = float(np.logaddexp2(size, constant.size)) + _SLACK, max(bits, constant.bits)
        return reduced(total, self.prime), (size, bits)

    def larger(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The one that the pattern has as larger."""
        return np.where(positive(self._left, x.shape), x, y)


def same_maps(run: Run, patterns: list[np.ndarray], first: np.ndarray, second: np.ndarray, at_a_time: int) -> np.ndarray:
    """Whether the affine maps of pairs of cells are the same, exactly, ``(pairs,)``.

    Args:
        run: pushes points of the plane through the models in a domain.
        patterns: for every ReLU in turn the positive units of all cells, as bits.
        first, second: the cells of each pair.
        at_a_time: cells that are worked on together.
    """
    same = np.ones(len(first), dtype=bool)
    forms: list[Form] = []
    differ = [np.zeros(0, dtype=bool)]
    for begin in range(0, len(first), at_a_time):
        some = slice(begin, begin + at_a_time)
        differ.append(_may_differ(run, [p[first[some]] for p in patterns], [p[second[some]] for p in patterns], forms))
    open_pairs = np.flatnonzero(np.concatenate(differ))
    known, needed = 0.0, math.inf
    for prime in primes():
        left = open_pairs[same[open_pairs]]
        if not len(left) or known > needed:
            return same
        cells, index = np.unique(np.stack([first[left], second[left]]), return_inverse=True)
        index = index.reshape(2, -1)
        found = []
        for begin in range(0, len(cells), at_a_time):
            some = cells[begin : begin + at_a_time]
            maps, needed = _maps(run, [p[some] for p in patterns], len(some), prime, forms)
            found.append(maps)
        maps = np.concatenate(found)
        same[left] = (maps[index[0]] == maps[index[1]]).all(1)
        known += math.log2(prime)
    raise RuntimeError("the weights span more powers of two than there are primes to tell them apart by.")


def _may_differ(run: Run, first: list[np.ndarray], second: list[np.ndarray], forms: list[Form]) -> np.ndarray:
    """Whether anything that differs between two cells has a way to the outputs, ``(pairs,)``."""
    pairs = len(first[0]) if first else 0
    domain = Matrices(Differing(first, second), forms)
    outputs = run(domain, Points(np.zeros((pairs, 1, 2)), ()))
    flags = [domain.current(out).numbers.reshape(pairs, -1).max(1) > 0 for out in outputs if isinstance(out, Points)]
    return np.any([np.zeros(pairs, dtype=bool), *flags], axis=0)


def _maps(run: Run, patterns: list[np.ndarray], cells: int, prime: int, forms: list[Form]) -> tuple[np.ndarray, float]:
    """Maps as residues, ``(cells, numbers)``, and the logarithm of what the difference of two integers in them can be."""
    domain = Matrices(Residues(cells, patterns, prime), forms)
    # Size and bits of the coordinates, which are 0 and 1.
    points = Points(basis(cells)[0], (0.0, 0.0))
    # An output that does not hang on the input is the same everywhere.
    outputs = [domain.current(out) for out in run(domain, points) if isinstance(out, Points)]
    values = [(out.numbers.reshape(cells, -1) % prime).astype(np.int32) for out in outputs]
    needed = max((2 + max(0.0, out.beside[0]) + out.beside[1] for out in outputs), default=0.0)
    return np.concatenate([np.zeros((cells, 0), np.int32), *values], axis=1), needed
