"""Cells that are followed through a model by their patterns, which say what every maximum is on them.

Under a pattern a model is linear in homogeneous coordinates, so three points tell a cell: the basis vectors, for x, y and w.
What enters a ReLU at them are the three numbers of each unit's linear form.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from knowlimits.follow.domain import Domain
from knowlimits.plane.mesh import unpack
from knowlimits.plane.points import Points

#: Pushes points of the plane, ``(1, 2)`` each, through models in a domain.
Run = Callable[[Domain, Points], Any]


class Enough(Exception):
    """The forms that were asked for are known."""


def basis(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The basis vectors for every cell: their coordinates in the plane, ``(3 * cells, 1, 2)``, and their last ones."""
    return np.tile(np.eye(3, 2), (cells, 1))[:, None], np.tile([0.0, 0.0, 1.0], cells)


def positive(patterns: Iterator[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Whether units are positive by the next of some patterns, each of which is for as many points.

    Args:
        patterns: for every ReLU in turn the positive units as bits, ``(patterns, words)``.
        shape: of the units, ``(points, ...)``.
    """
    words = next(patterns)
    units = unpack(words, math.prod(shape[1:]))
    return units.repeat(shape[0] // max(1, len(words)), axis=0).reshape(shape)


class Course:
    """The forms of units of some cells, noted while basis vectors go through a model.

    Args:
        patterns: for every ReLU in turn the positive units of each cell, as bits, up to that whose units are asked for.
        cells: how many.
        wanted: units of the ReLUs before whose forms are asked for, too: of which cell, which ReLU, and which unit, ``(n, 3)``.

    Attributes:
        cells: see above.
        units: the forms of all units that enter the ReLU after the patterns, each of three numbers of `parts` parts,
            ``(parts, cells, 3, units)``.
    """

    def __init__(self, patterns: list[np.ndarray], cells: int, wanted: np.ndarray):
        self.cells, self.units = cells, np.zeros(0)
        self._left, self._step, self._last = iter(patterns), 0, len(patterns)
        self._wanted = wanted = np.unique(wanted[wanted[:, 1] < self._last], axis=0)
        self._places = {tuple(line): k for k, line in enumerate(wanted.tolist())}
        self._found: Any = None

    def choose(self, x: np.ndarray, y: np.ndarray, units: np.ndarray) -> np.ndarray:
        """The larger of two, by the next pattern.

        Args:
            x, y: of what, ``(parts * 3 * cells, ...)``; the second may be of length 1 along all axes.
            units: their difference.

        Raises:
            Enough: if there is no pattern any more.
        """
        units = units.reshape(-1, self.cells, 3, math.prod(units.shape[1:]))
        if self._found is None:
            self._found = np.zeros((len(units), len(self._wanted), 3), dtype=units.dtype)
        if self._step == self._last:
            self.units = units
            raise Enough
        here = self._wanted[:, 1] == self._step
        cell, _, unit = self._wanted[here].T
        self._found[:, here] = units.transpose(0, 1, 3, 2)[:, cell, unit]
        self._step += 1
        chosen = positive(self._left, (3 * self.cells, *x.shape[1:]))
        return np.where(np.concatenate([chosen] * len(units)), x, y)

    def has(self, lines: np.ndarray) -> bool:
        """Whether all of some forms are known, ``(n, 3)`` as those that are wanted."""
        return all(step == self._last or (cell, step, unit) in self._places for cell, step, unit in lines.tolist())

    def forms(self, lines: np.ndarray) -> np.ndarray:
        """Forms of these, ``(parts, n, 3)``."""
        result = np.empty((len(self.units), len(lines), 3), dtype=self.units.dtype)
        last = lines[:, 1] == self._last
        cell, _, unit = lines[last].T
        result[:, last] = self.units.transpose(0, 1, 3, 2)[:, cell, unit]
        result[:, ~last] = self._found[:, [self._places[tuple(line)] for line in lines[~last].tolist()]]
        return result
