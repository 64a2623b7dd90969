"""Decisions of support vector machines, and where they go along rays.

The decision between classes i and j, positive for i, is f = sum_s c_s k(x, s) + b over support vectors s (Chang and Lin,
"LIBSVM: a library for support vector machines", 2011, equation 4). Along a ray

- a linear kernel and ``(gamma (x . s) + coef0) ** degree`` are polynomials in `a`, of which the highest power says where f
  goes;
- ``exp(-gamma |x - s|^2)`` dies away as soon as anything moves, and f = b is left;
- ``tanh(gamma (x . s) + coef0)`` tends to -1 or 1, or stays.

Coefficients that rounding could make of 0 count as 0, which is not clear then. They are as exact as the c_s of a pair, whose
sum is 0 but for what was lost in fitting: so a column that is the same in all rows moves no decision.
"""

from enum import StrEnum
from math import comb

import numpy as np
from scipy.spatial.distance import cdist

from knowlimits.model.families.polynomials import Coefficients, Scores

# Values of a kernel that are in memory at a time.
_NUMBERS = 2**17
_EPS = float(np.finfo(np.float64).eps)
# An error of what is not known.
_HUGE = 1e300
# Weights of a pair that add up to a larger share of their sizes were not made to add up to 0.
_LOST = 1e-8


class Kernel(StrEnum):
    """How a point is compared with a support vector."""

    LINEAR = "linear"
    POLYNOMIAL = "poly"
    RADIAL = "rbf"
    SIGMOID = "sigmoid"


class Machine(Scores):
    """Decisions between pairs of classes, or sums of these: ``(n, features) -> (n, columns)``.

    Args:
        kernel: of what kind it is.
        vectors: support vectors, ``(m, features)``.
        weights: what each counts in each pair, ``(m, pairs)``.
        shift: added to each pair, ``(pairs,)``.
        gamma, coef0, degree: of the kernel, where it has them.
        mix: whole numbers by which pairs are added up to columns, ``(pairs, columns)``; each is a column without it.
    """

    def __init__(
        self,
        kernel: Kernel,
        vectors: np.ndarray,
        weights: np.ndarray,
        shift: np.ndarray,
        gamma: float = 1.0,
        coef0: float = 0.0,
        degree: int = 1,
        mix: np.ndarray | None = None,
    ):
        super().__init__()
        if kernel is Kernel.LINEAR:
            gamma, coef0, degree = 1.0, 0.0, 1
        self.kernel, self.gamma, self.coef0, self.degree = kernel, float(gamma), float(coef0), int(degree)
        self.vectors, self.weights, self.shift = (np.array(part, dtype=np.float64) for part in (vectors, weights, shift))
        self.mix = np.eye(len(shift), dtype=int) if mix is None else np.asarray(mix, dtype=int)
        self.features, self.columns = self.vectors.shape[1], self.mix.shape[1]
        sizes = np.abs(self.weights).sum(0)
        lost = np.abs(self.weights.sum(0)) / np.where(sizes > 0, sizes, 1.0)
        self._lost = np.where(lost < _LOST, lost, 0.0)

    @property
    def described(self) -> str:
        """How many support vectors."""
        return f"{len(self.vectors)} support vector{'s' if len(self.vectors) != 1 else ''}"

    @property
    def fades(self) -> bool:
        """Whether what is left beside polynomials only dies away; else there is nothing."""
        return self.kernel in (Kernel.RADIAL, Kernel.SIGMOID)

    def mixed(self, mix: np.ndarray) -> "Machine":
        """Sums of its pairs."""
        parts = (self.kernel, self.vectors, self.weights, self.shift, self.gamma, self.coef0, self.degree)
        return Machine(*parts, mix=mix)

    def at(self, x: np.ndarray) -> np.ndarray:
        """Decisions at points.

        Raises:
            OverflowError: where numbers pass the largest float, so that there is no decision.
        """
        self.check(x)
        with np.errstate(over="ignore", invalid="ignore"):
            values = [(self._kernel(some) @ self.weights + self.shift) @ self.mix for some in self._blocks(x)]
        found = np.concatenate(values) if values else np.empty((0, self.columns))
        self._check_numbers(~np.isnan(found))
        return found

    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """Coefficients along rays, but for what dies away; the constant's error is huge where a tie decided it.

        Raises:
            OverflowError: where numbers pass the largest float.
        """
        self.check(x)
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [self._along(*some) for some in zip(self._blocks(x), self._blocks(d), strict=True)]
        if not parts:
            return self._along(x, d)
        values, errors = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "errors"))
        self._check_numbers(np.isfinite(values))
        return Coefficients.of(values, errors)

    @property
    def affine(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The weights ``(columns, features)`` and the shift of a linear function; None where it is none.

        Weights that rounding could have made of 0 are 0.
        """
        if self.fades or self.degree > 1:
            return None
        found = self._polynomials(np.zeros((self.features, self.features)), np.eye(self.features))
        weights = np.where(np.abs(found.values) > found.errors, found.values, 0.0)[..., 1:].sum(-1).T
        return weights, found.values[0, :, 0]

    def limits(self, found: Coefficients) -> tuple[np.ndarray, np.ndarray]:
        """Where decisions end of which coefficients were found, and whether that is clear, ``(n, columns)`` each."""
        value, clear = found.limits()
        return value, clear & (np.isinf(value) | (found.errors[..., 0] < _HUGE))

    def moving(self, d: np.ndarray) -> np.ndarray:
        """Whether something dies away along directions and is never quite gone, ``(n,)``."""
        if not self.fades or self.gamma == 0:
            return np.zeros(len(d), dtype=bool)
        seen = np.ones(self.features, dtype=bool) if self.kernel is Kernel.RADIAL else np.any(self.vectors, axis=0)
        return np.any((d != 0) & seen, axis=1)

    def check(self, x: np.ndarray) -> None:
        """Refuse points of another width.

        Raises:
            ValueError: with both.
        """
        if x.shape[1] != self.features:
            raise ValueError(f"X must have {self.features} columns. Got {x.shape[1]} instead.")

    def _check_numbers(self, fine: np.ndarray) -> None:
        if not fine.all():
            raise OverflowError(
                f"model must keep its numbers below {np.finfo(np.float64).max:.1e}. Got larger ones in {self.described}: scale "
                "the inputs."
            )

    def _blocks(self, x: np.ndarray) -> list[np.ndarray]:
        step = max(1, _NUMBERS // max(1, len(self.vectors)))
        return [x[begin : begin + step] for begin in range(0, len(x), step)]

    def _kernel(self, x: np.ndarray) -> np.ndarray:
        if self.kernel is Kernel.RADIAL:
            return np.exp(-self.gamma * cdist(x, self.vectors, "sqeuclidean"))
        inner = self.gamma * (x @ self.vectors.T) + self.coef0
        return np.tanh(inner) if self.kernel is Kernel.SIGMOID else _power(inner, self.degree)

    def _along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        if not self.fades:
            return self._polynomials(x, d)
        if self.kernel is Kernel.RADIAL:
            values, open_ = self._kernel(x), np.zeros(len(x), dtype=bool)
            values[self.moving(d)] = 0.0
        else:
            slope, start = d @ self.vectors.T, x @ self.vectors.T
            size = np.abs(d) @ np.abs(self.vectors.T)
            moves = (np.abs(slope) > _EPS * (self.features + 2) * size) & (self.gamma > 0)
            values = np.where(moves, np.sign(slope), np.tanh(self.gamma * start + self.coef0))
            # One that counts as 0 and may not be leaves open where it goes.
            open_ = np.any(~moves & (size > 0) & (self.gamma > 0), axis=1)
        constants = values @ self.weights + self.shift
        sizes = np.abs(values) @ np.abs(self.weights) + np.abs(self.shift)
        errors = np.where(open_[:, None], _HUGE, _EPS * (len(self.vectors) + 8) * sizes)
        return self._summed(constants[..., None], errors[..., None])

    def _polynomials(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        slope, start = self.gamma * (d @ self.vectors.T), self.gamma * (x @ self.vectors.T) + self.coef0
        sizes = [self.gamma * (np.abs(part) @ np.abs(self.vectors.T)) for part in (d, x)]
        sizes[1] += abs(self.coef0)
        p = self.degree
        values, errors = np.empty((2, len(x), len(self.shift), p + 1))
        share = _EPS * (p * (self.features + 4) + len(self.vectors) + 8) + 2 * self._lost
        for k in range(p + 1):
            values[..., k] = comb(p, k) * ((_power(slope, k) * _power(start, p - k)) @ self.weights)
            size = (_power(sizes[0], k) * _power(sizes[1], p - k)) @ np.abs(self.weights)
            errors[..., k] = share * comb(p, k) * size
        values[..., 0] += self.shift
        errors[..., 0] += share * np.abs(self.shift)
        return self._summed(values, errors)

    def _summed(self, values: np.ndarray, errors: np.ndarray) -> Coefficients:
        """Pairs ``(n, pairs, powers)`` added up to columns."""
        summed, bounds = (np.einsum("npk,pc->nck", part, mix) for part, mix in ((values, self.mix), (errors, abs(self.mix))))
        return Coefficients.of(summed, bounds)


def _power(base: np.ndarray, times: int) -> np.ndarray:
    """A whole power by squares, as LIBSVM does it, and many times as fast as numpy."""
    result = np.ones_like(base)
    while times > 0:
        if times % 2:
            result = result * base
        times //= 2
        base = base * base if times else base
    return result
