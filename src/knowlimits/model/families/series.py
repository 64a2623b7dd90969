"""Distances of order p along a ray in falling powers of `a`, without rounding, to decide between rows that are nearly alike.

Floats are whole numbers times a power of two, so sums of products are computed in whole numbers. Powers that are not whole
are computed to 80 digits, and what agrees in 50 of them is equal. Two rows of which sums of powers agree, for as many powers
as they have numbers, have the same numbers (Vandermonde's determinant is not 0), so that they are equally near for ever.
"""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

# Digits of powers that are not whole, and how many of them are compared.
_DIGITS, _COMPARED = 80, 50
# No more terms of a series are looked at.
_MOST = 64


def terms(x: np.ndarray, d: np.ndarray, rows: np.ndarray, weights: np.ndarray, p: float) -> list[tuple]:
    """What orders rows along one ray in the end: coefficients of falling powers of `a`, but for what all share; less is nearer.

    Args:
        x, d: of the ray, ``(columns,)``.
        rows: ``(rows, columns)``.
        weights: of the columns.
        p: of the distance.
    """
    if math.isinf(p) or p.is_integer():
        (start, *others), _ = _whole(np.vstack([x, rows]))
        return [_terms(start - one, _whole(d)[0], _whole(weights)[0], p) for one in others]
    with localcontext() as context:
        context.prec = _DIGITS
        return _decimal_terms(x, d, rows, weights, p)


def crossing(x: np.ndarray, d: np.ndarray, inside: np.ndarray, outside: np.ndarray, weights: np.ndarray) -> float:
    """Where a row inside is passed by one outside for the last time, of p = 2; 0 where none is."""
    # Distances are lines but for what all share.
    lines = terms(x, d, np.concatenate([inside, outside]), weights, 2.0)
    unit = Fraction(2) ** (_whole(np.vstack([x, inside, outside]))[1] - _whole(d)[1])
    last = Fraction(0)
    for rate, start in lines[: len(inside)]:
        for other, other_start in lines[len(inside) :]:
            if other != rate:
                last = max(last, Fraction(start - other_start, other - rate) * unit)
    return float(last)


def _terms(u: np.ndarray, d: np.ndarray, w: np.ndarray, p: float) -> tuple:
    moving = d != 0
    along, size, still = (np.sign(d) * u)[moving], np.abs(d[moving]), np.abs(u[~moving])
    if math.isinf(p):
        return (max(along[size == size.max()]),)
    if p == 1:
        return ((w[moving] * along).sum() + (w[~moving] * still).sum(),)
    power = int(p)
    found = [math.comb(power, m) * (w[moving] * size ** (power - m) * along**m).sum() for m in range(1, power + 1)]
    found[-1] += (w[~moving] * still**power).sum()
    return tuple(found)


def _decimal_terms(x: np.ndarray, d: np.ndarray, rows: np.ndarray, weights: np.ndarray, p: float) -> list[tuple]:
    """Terms in shares of the largest number in them, rounded."""
    power, moving = Decimal(p), np.flatnonzero(d)
    still = np.flatnonzero(d == 0)
    x, sizes, w = _decimals(x), _decimals(np.abs(d)), _decimals(weights)
    differences = [x - _decimals(one) for one in rows]
    sums = [(Decimal(0), [[w[j] * abs(u[j]) ** power for j in still] for u in differences])]
    binomial = Decimal(1)
    for m in range(1, min(2 * len(moving), _MOST) + 1):
        binomial *= (power - m + 1) / m
        sums.append(
            (
                power - m,
                [
                    [binomial * w[j] * sizes[j] ** (power - m) * (u[j] if d[j] > 0 else -u[j]) ** m for j in moving]
                    for u in differences
                ],
            )
        )
    columns = []
    for _, each in sorted(sums, key=lambda term: -term[0]):
        largest = max((abs(value) for one in each for value in one), default=Decimal(0)) or Decimal(1)
        columns.append([round(sum(one, Decimal(0)) / largest, _COMPARED) for one in each])
    return list(zip(*columns, strict=True))


def _decimals(values: np.ndarray) -> np.ndarray:
    return np.array([Decimal(float(value)) for value in values], dtype=object)


def _whole(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Floats as whole numbers times two to some power, which is the second."""
    mantissas, powers = np.frexp(values)
    numbers = np.ldexp(mantissas, 53).astype(np.int64).astype(object)
    lowest = int(powers[mantissas != 0].min(initial=0))
    shifts = np.where(mantissas != 0, powers - lowest, 0).astype(object)
    return numbers * 2**shifts, lowest - 53
