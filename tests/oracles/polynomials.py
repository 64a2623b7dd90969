"""Probabilities of scores that are polynomials in `a`, in fractions and in many digits: where they are, and where they end."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import mpmath
import numpy as np

Polynomial = Sequence[Fraction | int | float]

mpmath.mp.dps = 60


def value(polynomial: Polynomial, a: float) -> mpmath.mpf:
    """At `a`; coefficients ascend."""
    return sum((_number(c) * mpmath.mpf(a) ** k for k, c in enumerate(polynomial)), mpmath.mpf(0))


def softmax(polynomials: Sequence[Polynomial], a: float) -> np.ndarray:
    """Shares of exponentials."""
    return _shares([value(p, a) for p in polynomials])


def sigmoids(polynomials: Sequence[Polynomial], a: float) -> np.ndarray:
    """Sigmoids, divided by their sum."""
    return _shares([-mpmath.log1p(mpmath.exp(-v)) if v > -1000 else v for v in (value(p, a) for p in polynomials)])


def winners(polynomials: Sequence[Polynomial], but: int = 1) -> list[int]:
    """Places of those polynomials of which no other one is ahead in the coefficients from the power `but` up, exactly."""
    powers = max(map(len, polynomials))
    keys = [tuple(Fraction(p[k]) if k < len(p) else Fraction(0) for k in reversed(range(but, powers))) for p in polynomials]
    return [place for place, key in enumerate(keys) if key == max(keys)]


def limit_of_softmax(polynomials: Sequence[Polynomial]) -> np.ndarray:
    """Where shares of exponentials end."""
    ahead = winners(polynomials)
    return _spread(_shares([_number(polynomials[k][0]) for k in ahead]), ahead, len(polynomials))


def limit_of_sigmoids(polynomials: Sequence[Polynomial]) -> np.ndarray:
    """Where sigmoids that are divided by their sum end."""
    ends = [next((c for c in reversed(p[1:]) if c != 0), None) for p in polynomials]
    if all(end is not None and end < 0 for end in ends):
        return limit_of_softmax(polynomials)
    each = [
        mpmath.mpf(end > 0) if end is not None else 1 / (1 + mpmath.exp(-_number(p[0])))
        for end, p in zip(ends, polynomials, strict=True)
    ]
    return np.array([float(p / sum(each)) for p in each])


Limit = Callable[[Sequence[Polynomial]], np.ndarray]


def _number(c: Fraction | float) -> mpmath.mpf:
    return mpmath.mpf(c.numerator) / c.denominator if isinstance(c, Fraction) else mpmath.mpf(c)


def _shares(logs: Sequence[mpmath.mpf]) -> np.ndarray:
    top = max(logs)
    each = [mpmath.exp(v - top) for v in logs]
    return np.array([float(e / sum(each)) for e in each])


def _spread(p: np.ndarray, places: Sequence[int], count: int) -> np.ndarray:
    spread = np.zeros(count)
    spread[list(places)] = p
    return spread


def fraction(number: float) -> Fraction:
    """A double, exactly."""
    return Fraction(float(number))
