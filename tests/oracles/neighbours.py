"""Neighbours by brute force, in arithmetic without rounding: all distances at points of a ray, however far out."""

from fractions import Fraction

import mpmath
import numpy as np

# So far out that no two rows of ordinary numbers pass each other beyond, and digits enough to tell them apart there.
FAR = 2**400
_DIGITS = 1200


def powers(rows, point, p, weights=None):
    """Powers p of Minkowski's distances of a point of fractions to rows; the distance itself where p is infinite."""
    weights = np.ones(rows.shape[1]) if weights is None else weights
    differences = [[abs(a - Fraction(float(b))) for a, b in zip(point, row, strict=True)] for row in rows]
    if np.isinf(p):
        return [max(one) for one in differences]
    w = [Fraction(float(weight)) for weight in weights]
    if float(p).is_integer():
        return [sum(v * u ** int(p) for v, u in zip(w, one, strict=True)) for one in differences]
    with mpmath.workdps(_DIGITS):

        def number(value):
            return mpmath.mpf(value.numerator) / value.denominator

        return [
            mpmath.fsum(number(v) * number(u) ** mpmath.mpf(float(p)) for v, u in zip(w, one, strict=True))
            for one in differences
        ]


def nearest(rows, x, d, a, k, p=2, weights=None):
    """Which rows are among the k nearest at x + a d for certain, and which are equally near for the places that are left."""
    point = [Fraction(float(start)) + Fraction(a) * Fraction(float(step)) for start, step in zip(x, d, strict=True)]
    distances = powers(rows, point, p, weights)
    last = sorted(distances)[k - 1]
    # Powers that are not whole have digits enough for what differs, and some less for what does not.
    same = [distance == last or abs(distance - last) < abs(last) * _small(p) for distance in distances]
    nearer = np.array([distance < last and not equal for distance, equal in zip(distances, same, strict=True)])
    tied = np.array(same)
    return nearer | tied & (nearer.sum() + tied.sum() == k), tied & (nearer.sum() + tied.sum() != k)


def _small(p):
    return 0 if np.isinf(p) or float(p).is_integer() else mpmath.mpf(10) ** -(_DIGITS - 100)
