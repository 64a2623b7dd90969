"""How a score grows along a ray, and the algebra of it: lengths, quadratic forms and the largest or smallest of several."""

from dataclasses import dataclass

import numpy as np

# Numbers below this share of what they are differences of are rounding errors.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Growth:
    """How scores grow along rays x0 + a d: like ``coefficient * a ** power``.

    Attributes:
        power: 0, 1 or 2, ``(n,)``.
        coefficient: ``(n,)``; where the power is 0 the limit itself.
    """

    power: np.ndarray
    coefficient: np.ndarray

    @property
    def limit(self) -> np.ndarray:
        """The limits of the scores, infinite where they grow, ``(n,)``."""
        return np.where(self.power == 0, self.coefficient, np.copysign(np.inf, self.coefficient))

    @classmethod
    def of(cls, *terms: np.ndarray) -> "Growth":
        """From the coefficients of a ** 0, a ** 1 and so on, each ``(n,)``; those that are exactly 0 are left out."""
        power, coefficient = np.zeros(len(terms[0]), dtype=int), np.array(terms[0], dtype=np.float64)
        for k, term in enumerate(terms[1:], 1):
            moves = term != 0
            power[moves], coefficient[moves] = k, term[moves]
        return cls(power, coefficient)


def cleaned(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Differences, with exact zeros for those that are only rounding errors of numbers of given sizes."""
    return np.where(np.abs(values) <= _ROUNDING * sizes, 0.0, values)


def smallest(*terms: np.ndarray) -> list[np.ndarray]:
    """Of several polynomials of a, ``(n, candidates)`` for each power from 0, that which is smallest far out, ``(n,)`` each."""
    left = np.ones(terms[0].shape, dtype=bool)
    for term in terms[::-1]:
        least = np.where(left, term, np.inf).min(1, keepdims=True)
        left &= term <= least + _ROUNDING * np.abs(least)
    chosen = left.argmax(1)[:, None]
    return [np.take_along_axis(term, chosen, 1)[:, 0] for term in terms]


def norm(rate: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a ** 0 and a ** 1 in the length of ``rate * a + offset``, rows of ``(n, features)``, far out."""
    length = np.linalg.norm(rate, axis=1)
    moves = length > 0
    # |r a + o| is |r| a + r.o / |r| up to what vanishes.
    across = (rate * offset).sum(1) / np.where(moves, length, 1)
    return np.where(moves, across, np.linalg.norm(offset, axis=1)), length


def quadratic(rate: np.ndarray, offset: np.ndarray, form: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of a ** 0, a ** 1 and a ** 2 in the quadratic form of ``rate * a + offset``, rows of ``(n, features)``."""
    at_rate = rate @ form
    return _dot(offset @ form, offset), 2 * _dot(at_rate, offset), _dot(at_rate, rate)


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(1)
