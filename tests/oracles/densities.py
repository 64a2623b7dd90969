"""Log-posteriors of classes with normal densities along a ray, as polynomials: in fractions, and constants in many digits."""

from collections.abc import Sequence
from fractions import Fraction

import mpmath
import numpy as np

from tests.oracles.polynomials import Polynomial


def independent(
    means: np.ndarray, variances: np.ndarray, priors: Sequence[float], x: np.ndarray, d: np.ndarray
) -> list[Polynomial]:
    """Of independent features; what naive Bayes says of numbers."""
    found = []
    for mean, variance, prior in zip(means.tolist(), variances.tolist(), priors, strict=True):
        z = [Fraction(own) - Fraction(m) for own, m in zip(x.tolist(), mean, strict=True)]
        v, steps = [Fraction(one) for one in variance], [Fraction(one) for one in d.tolist()]
        constant = mpmath.log(prior) - sum(mpmath.log(2 * mpmath.pi * one) for one in variance) / 2
        found.append(
            [
                constant - _mp(sum(a * a / b for a, b in zip(z, v, strict=True))) / 2,
                -sum(a * s / b for a, s, b in zip(z, steps, v, strict=True)),
                -sum((s * s / b for s, b in zip(steps, v, strict=True)), Fraction(0)) / 2,
            ]
        )
    return found


def dependent(
    means: np.ndarray, factors: Sequence[np.ndarray], constants: Sequence[float], x: np.ndarray, d: np.ndarray
) -> list[Polynomial]:
    """By factors of inverse covariances; what quadratic discriminants say."""
    found = []
    for mean, factor, constant in zip(means.tolist(), factors, constants, strict=True):
        z = [Fraction(own) - Fraction(m) for own, m in zip(x.tolist(), mean, strict=True)]
        steps = [Fraction(one) for one in d.tolist()]
        columns = [[Fraction(one) for one in column] for column in factor.T.tolist()]
        u = [sum((a * b for a, b in zip(z, column, strict=True)), Fraction(0)) for column in columns]
        v = [sum((a * b for a, b in zip(steps, column, strict=True)), Fraction(0)) for column in columns]
        found.append(
            [
                mpmath.mpf(float(constant)) - _mp(sum(a * a for a in u)) / 2,
                -sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0)),
                -sum((a * a for a in v), Fraction(0)) / 2,
            ]
        )
    return found


def _mp(number: Fraction | int) -> mpmath.mpf:
    return mpmath.mpf(number.numerator) / number.denominator
