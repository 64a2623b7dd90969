"""Maxima along axes as tournaments, which is how comparisons of two cut cells where a maximum of many changes its winner.

Of n numbers the first n // 2 meet the next n // 2, and whoever is left over goes on to the next round with the winners, until
one is left. A round is a refinement: its units are those of the first half less those that they meet, so that a positive unit
says that the first has won. Who evaluates a model plays on values; who reads the cells plays again on places, by the signs
that are kept of every cell, to know who has won in the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.plane.mesh import pack, unpack

# Cells whose winners are found out at a time.
_CHUNK = 20_000


@dataclass(frozen=True)
class Tournament:
    """A maximum along an axis, which is brought down to comparisons of two.

    Attributes:
        step: the refinement that is its first round.
        rows: how many maxima are taken at once.
        size: how many numbers each is taken of.
    """

    step: int
    rows: int
    size: int


def one_round(left: Any, better: Callable[[Any, Any], Any], concatenate: Callable[..., Any]) -> Any:
    """Those who are left after one more round along the last axis.

    Args:
        left: who plays, an array or a tensor.
        better: from those of the first half and those that they meet to the winners.
        concatenate: of arrays or of tensors.
    """
    half = left.shape[-1] // 2
    return concatenate([better(left[..., :half], left[..., half : 2 * half]), left[..., 2 * half :]], -1)


def patterns(
    steps: list[np.ndarray], units: list[int], tournaments: Sequence[Tournament]
) -> tuple[list[np.ndarray], list[int]]:
    """Patterns that say what the function on a cell is made of, as bits, and their lengths.

    These are the signs of units; but of a tournament only who has won it, a bit for each that takes part, as who came second
    makes no difference.
    """
    result, lengths = [], []
    by_step = {t.step: t for t in tournaments}
    step = 0
    while step < len(steps):
        tournament = by_step.get(step)
        if tournament is None:
            result.append(steps[step])
            lengths.append(units[step])
            step += 1
            continue
        rounds = (tournament.size - 1).bit_length()
        played, entered = steps[step : step + rounds], units[step : step + rounds]
        parts = [_winners([p[k : k + _CHUNK] for p in played], entered, tournament) for k in range(0, len(played[0]), _CHUNK)]
        result.append(np.concatenate(parts) if parts else np.zeros((0, 1), np.uint64))
        lengths.append(tournament.rows * tournament.size)
        step += rounds
    return result, lengths


def _winners(played: list[np.ndarray], entered: list[int], tournament: Tournament) -> np.ndarray:
    """A bit for each that takes part in each maximum: whether it has won."""
    n, rows, size = len(played[0]), tournament.rows, tournament.size
    left = np.broadcast_to(np.arange(size), (n, rows, size))
    for words, units in zip(played, entered, strict=True):
        first_won = unpack(words, units).reshape(n, rows, -1)
        left = one_round(left, lambda first, second, kept=first_won: np.where(kept, first, second), np.concatenate)
    return pack((left == np.arange(size)).reshape(n, rows * size))
