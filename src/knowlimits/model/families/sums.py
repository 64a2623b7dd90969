"""Sums of scores that are polynomials along rays, which are such scores again: means over members, odds, calibrations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from knowlimits.model.families.polynomials import ROUNDING, Coefficients, Scores


class Odds(Scores):
    """The second of two scores minus the first: the log-odds of the second class.

    Args:
        scores: two.
    """

    columns = 1

    def __init__(self, scores: Scores):
        super().__init__()
        self.scores, self.features = scores, scores.features

    @property
    def described(self) -> str:
        """What the two are."""
        return self.scores.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """Their difference."""
        first, second = self.scores.at(x).T
        return (second - first)[:, None]

    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """That of coefficients."""
        return self.scores.along(x, d).difference()


@dataclass(frozen=True, eq=False)
class Term:
    """Scores in a sum.

    Attributes:
        scores: they.
        columns: those of the sum that they are added to.
        weight: that they are multiplied by, a number or one for each, ``(columns,)``.
    """

    scores: Scores
    columns: Sequence[int]
    weight: np.ndarray | float = 1.0


class WeightedSum(Scores):
    """A weighted sum of scores, each a function of some of the numbers, ``(n, features) -> (n, columns)``.

    Args:
        terms: its terms, whose features lie side by side in their order.
        columns: how many columns it has.
        shift: what is added, a number or one for each column.
    """

    def __init__(self, terms: Sequence[Term], columns: int, shift: np.ndarray | float = 0.0):
        super().__init__()
        self.columns, self.features = columns, sum(term.scores.features for term in terms)
        self.terms = nn.ModuleList(term.scores for term in terms)
        self._about = [(list(term.columns), np.array(term.weight, dtype=np.float64)) for term in terms]
        self._shift = np.array(np.broadcast_to(shift, (columns,)), dtype=np.float64)
        ends = np.cumsum([term.scores.features for term in terms]).tolist()
        self._taken = [slice(end - term.scores.features, end) for end, term in zip(ends, terms, strict=True)]

    @property
    def described(self) -> str:
        """What the terms are."""
        return " and ".join(dict.fromkeys(term.described for term in self._scores))

    @property
    def _scores(self) -> list[Scores]:
        return list(self.terms)  # type: ignore[arg-type]

    def at(self, x: np.ndarray) -> np.ndarray:
        """The sum."""
        total = np.tile(self._shift, (len(x), 1))
        for scores, (columns, weight), taken in zip(self._scores, self._about, self._taken, strict=True):
            total[:, columns] += weight * scores.at(x[:, taken])
        return total

    def along(self, x: np.ndarray, d: np.ndarray) -> Coefficients:
        """That of coefficients."""
        found = [scores.along(x[:, taken], d[:, taken]) for scores, taken in zip(self._scores, self._taken, strict=True)]
        powers = max(one.values.shape[2] for one in found)
        values, errors = np.zeros((2, len(x), self.columns, powers))
        values[..., 0] = self._shift
        for one, (columns, weight) in zip(found, self._about, strict=True):
            weight, own = weight[..., None], slice(one.values.shape[2])
            added = weight * one.values
            values[:, columns, own] += added
            # An exact 0 stays one, and so does what nothing is added to.
            rounding = ROUNDING * len(found) * np.where((one.values == 0) & (one.errors == 0), 0.0, np.abs(added))
            errors[:, columns, own] += np.abs(weight) * one.errors + rounding
        (columns, weight), alone = self._about[0], len(found) == 1
        # What is scaled alike keeps its ties.
        scaled = alone and weight.ndim == 0 and columns == list(range(self.columns)) and not self._shift.any()
        return Coefficients.of(values, errors, found[0].same if scaled else None)
