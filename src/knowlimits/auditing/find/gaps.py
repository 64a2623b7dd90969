"""Which rows with gaps can be moved: those whose gaps are filled with the same whatever is in the other columns."""

import numpy as np

from knowlimits.auditing.find.columns import Continuous, without_gaps
from knowlimits.model.model import Model

# Rows with gaps that are looked at, and how far they are moved, in standard deviations.
_ROWS, _SIZES = 50, (1.0, 10.0, 1000.0)
# Changes that are as near to each other, as a share of the larger ones, are the same.
_NEAR = 1e-6


def movable(model: Model | None, columns: Continuous, rows: np.ndarray) -> np.ndarray:
    """Places of the rows that can be moved: all, or those without gaps where what fills a gap hangs on other columns.

    Nearest neighbours fill a gap with other values the farther a row goes, in jumps, so that it goes in no straight line.

    Args:
        model: what takes the rows; None for a guard, in which gaps do not move.
        columns: that move.
        rows: of its table, ``(n, columns)``.
    """
    gaps = np.isnan(rows).any(1)
    if model is None or model.steps is None or not gaps.any() or _fills_apart(model, columns, rows):
        return np.arange(len(rows))
    return np.flatnonzero(~gaps)


def _fills_apart(model: Model, columns: Continuous, rows: np.ndarray) -> bool:
    """Whether rows with gaps change behind the steps as they do with something in the place of their gaps."""
    assert model.steps is not None
    some = np.flatnonzero(np.isnan(rows).any(1))
    some = some[np.unique(np.linspace(0, len(some) - 1, _ROWS).round().astype(int))]
    missing, filled = rows[some], without_gaps(rows)[some]
    sizes = np.zeros(rows.shape[1])
    sizes[list(columns.places)] = columns.deviations
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(_SIZES), *missing.shape))
    for size, sign in zip(_SIZES, signs, strict=True):
        change = np.where(np.isnan(missing), 0.0, size * sign * sizes)
        try:
            before, after, otherwise = (
                model.steps.transform(one) for one in (missing, missing + change, np.concatenate([filled, filled + change]))
            )
        except Exception:
            # A person's steps may raise anything about rows that no person has made.
            return False
        own, other = after - before, np.subtract(*np.split(otherwise, 2)[::-1])
        # Steps that let gaps pass have nan there.
        off = np.abs(own - other) > _NEAR * (1 + np.abs(other).max())
        if off[~np.isnan(own)].any():
            return False
    return True
