"""Floats as whole numbers modulo primes.

Weights are dyadic rationals, integers times powers of two, in which every odd prime has residues. They are below 2**20 in size,
so that products of matrices of floats are exact for so many terms as are taken at a time.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

# Primes are below this, and sums have so many terms: a sum of products of residues, of half a prime each, stays below 2**53.
_LARGEST, _TERMS = 2**21, 4096
# A matrix with fewer numbers than this share of its places is kept as sparse.
_DENSE = 0.25


@cache
def primes() -> list[int]:
    """Odd primes, the largest first."""
    prime = np.ones(_LARGEST, dtype=bool)
    prime[:3] = False
    prime[4::2] = False
    for n in range(3, math.isqrt(_LARGEST) + 1, 2):
        if prime[n]:
            prime[n * n :: n] = False
    return np.flatnonzero(prime)[::-1].tolist()


def reduced(values: Any, prime: int) -> Any:
    """Whole numbers in floats as residues, of half the prime in size."""
    return values - prime * (values / prime).round()


class Dyadic:
    """Floats as integers times powers of two.

    Attributes:
        bits: the common power of two that makes all of them integers.
        size: logarithm of base 2 of the largest in size.
    """

    def __init__(self, values: np.ndarray):
        shares, exponents = (np.asarray(part) for part in np.frexp(np.asarray(values, dtype=np.float64)))
        self._numbers = np.asarray(shares * 2.0**53).astype(np.int64)
        self._exponents = exponents.astype(np.int64) - 53
        used = self._numbers[self._numbers != 0]
        lowest = self._exponents[self._numbers != 0] + np.round(np.log2((used & -used).astype(np.float64))).astype(np.int64)
        self.bits = max(0, -int(lowest.min(initial=0)))
        self.size = float(exponents[self._numbers != 0].max(initial=0)) if len(used) else -math.inf

    def nonzero(self) -> np.ndarray:
        """Ones where they are not zero."""
        return (self._numbers != 0).astype(np.float64)

    def modulo(self, prime: int) -> np.ndarray:
        """The residues of all."""
        exponents, index = np.unique(self._exponents, return_inverse=True)
        powers = np.array([pow(2, int(e), prime) for e in exponents], dtype=np.int64)
        residues = (self._numbers % prime) * powers[index.reshape(self._numbers.shape)] % prime
        return np.asarray(reduced(residues.astype(np.float64), prime))


class DyadicMatrix:
    """The linear part of an operation in one of its arguments, from the images of basis vectors.

    Attributes:
        bits: the power of two that makes all its numbers integers.
        size: logarithm of base 2 of the largest sum of sizes that makes up one result.
    """

    def __init__(self, sparse: csr_array):
        """Take a matrix ``(outputs, inputs)``."""
        self.shape: Any = sparse.shape
        matrix: Any = sparse.toarray() if sparse.nnz > _DENSE * math.prod(self.shape) else sparse
        self._places, entries = None, matrix
        if isinstance(matrix, csr_array):
            listed: Any = matrix.tocoo()
            self._places, entries = (listed.row, listed.col), listed.data
        self._numbers = Dyadic(entries)
        self.bits = self._numbers.bits
        self.size = -math.inf
        if np.isfinite(self._numbers.size):
            # By the largest first, so that nothing overflows.
            scale = 2.0 ** -np.clip(self._numbers.size, -1000, 1000)
            sums = float(abs(matrix * scale).sum(1).max())
            self.size = math.log2(sums) - math.log2(scale) if sums > 0 else self._numbers.size + math.log2(self.shape[1])
        self._prime, self._parts = 0, []
        self._pattern: Any = None

    def reached(self, flags: Tensor) -> Tensor:
        """Which results hang on numbers that are flagged, by zeros and ones, ``(points, inputs)`` to ``(points, outputs)``."""
        if self._pattern is None:
            self._pattern = self._whole(self._numbers.nonzero())
        return self._product(flags, self._pattern).sign()

    def times(self, values: Tensor, prime: int) -> Tensor:
        """The residues of the product with residues, from ``(points, inputs)`` to ``(points, outputs)``."""
        if prime != self._prime:
            self._prime, self._parts = prime, list(self._cut(self._numbers.modulo(prime)))
        total = torch.zeros(len(values), self.shape[0], dtype=torch.float64)
        for begin, part in self._parts:
            total += reduced(self._product(values[:, begin : begin + _TERMS], part), prime)
        return reduced(total, prime)

    @staticmethod
    def _product(values: Tensor, matrix: Any) -> Tensor:
        if isinstance(matrix, Tensor):
            return values @ matrix.T
        return torch.from_numpy((matrix @ values.T.contiguous().numpy()).T)

    def _whole(self, numbers: np.ndarray) -> Any:
        """A matrix of other numbers in the same places."""
        if self._places is None:
            return torch.from_numpy(numbers)
        return csr_array((numbers, self._places), shape=self.shape)

    def _cut(self, residues: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Parts of so few columns that sums are exact."""
        whole = self._whole(residues)
        for begin in range(0, self.shape[1], _TERMS):
            part = whole[:, begin : begin + _TERMS]
            yield begin, part if isinstance(part, Tensor) else csr_array(part)
