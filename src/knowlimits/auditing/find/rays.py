"""The rays of an audit: rows along columns, block by block, and directions that are drawn."""

from collections.abc import Iterator

import numpy as np

from knowlimits.auditing.find.columns import Continuous

# Numbers in a block of rays or of points, of which there are as many as columns squared in all.
_NUMBERS = 2**22


def rays(rows: np.ndarray, columns: Continuous) -> tuple[np.ndarray, np.ndarray]:
    """Every row along every column, towards minus and plus infinity, in the order ``(rows, columns, 2)``."""
    both = np.stack([-columns.steps, columns.steps], axis=1).reshape(-1, columns.steps.shape[1])
    directions = np.tile(both, (len(rows), 1))
    return columns.started(np.repeat(rows, len(both), axis=0), directions), directions


def blocks(rows: np.ndarray, columns: Continuous) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same rays, in their order, so few at a time that they take little memory."""
    both = np.stack([-columns.steps, columns.steps], axis=1).reshape(-1, columns.steps.shape[1])
    count = len(rows) * len(both)
    size = at_once(rows.shape[1])
    for begin in range(0, count, size):
        row, way = np.divmod(np.arange(begin, min(begin + size, count)), len(both))
        yield columns.started(rows[row], both[way]), both[way]


def at_once(width: int) -> int:
    """How many points or rays of so many numbers are worked on at a time."""
    return max(1, _NUMBERS // width)


def isotropic(count: int, together: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Directions of length 1, in standard deviations, of the columns that move together, ``(count, features)``."""
    drawn = rng.standard_normal((count, int(together.sum())))
    directions = np.zeros((count, len(together)))
    directions[:, together] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return directions
