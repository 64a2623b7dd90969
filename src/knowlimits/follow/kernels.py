"""Compiled loops, for what would be many passes over memory as tensor operations."""

import numpy as np

from knowlimits.compiling import compiled


@compiled(nogil=True)
def relu(
    rate: np.ndarray, offset: np.ndarray, new_rate: np.ndarray, new_offset: np.ndarray, radius: np.ndarray
) -> bool:  # pragma: no cover - compiled
    """ReLU of ``rate * a + offset`` as `a` grows, and the last change of sign in every row.

    Args:
        rate, offset: ``(rows, units)``.
        new_rate, new_offset: where the result goes.
        radius: where the largest ``-offset / rate`` of each row goes, ``(rows,)``; 0 if no sign changes.

    Returns:
        Whether all numbers are finite.
    """
    finite = True
    rows, units = rate.shape
    for row in range(rows):
        # Doubles above 0 have the order of their bits as integers, whose maximum runs on vectors, as all without branches does.
        last = np.int64(0)
        for unit in range(units):
            r, o = rate[row, unit], offset[row, unit]
            finite &= (r - r == 0) & (o - o == 0)
            kept = 1.0 if (r > 0) | ((r == 0) & (o > 0)) else 0.0
            new_rate[row, unit] = r * kept
            new_offset[row, unit] = o * kept
            crossing = np.float64(-o / (r if r != 0 else np.inf))
            last = max(last, crossing.view(np.int64))
        radius[row] = np.int64(last).view(np.float64)
    return finite


@compiled(nogil=True)
def relu_here(
    rate: np.ndarray, offset: np.ndarray, new_rate: np.ndarray, new_offset: np.ndarray, until: np.ndarray
) -> bool:  # pragma: no cover - compiled
    """ReLU of ``offset + rate * t`` from t = 0 on, and the first change of sign in every row.

    Args:
        rate, offset: ``(rows, units)``.
        new_rate, new_offset: where the result goes.
        until: where the smallest ``-offset / rate`` above 0 of each row goes, ``(rows,)``; infinite if no sign changes.

    Returns:
        Whether all numbers are finite.
    """
    finite = True
    rows, units = rate.shape
    never = np.float64(np.inf).view(np.int64)
    for row in range(rows):
        # As above: by the order of bits.
        soonest = never
        for unit in range(units):
            r, o = rate[row, unit], offset[row, unit]
            finite &= (r - r == 0) & (o - o == 0)
            kept = 1.0 if (o > 0) | ((o == 0) & (r > 0)) else 0.0
            new_rate[row, unit] = r * kept
            new_offset[row, unit] = o * kept
            crossing = np.float64((-o if o != 0 else np.inf) / r).view(np.int64)
            soonest = min(soonest, crossing if crossing >= 0 else never)
        until[row] = np.int64(soonest).view(np.float64)
    return finite
