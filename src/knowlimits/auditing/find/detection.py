"""How well each score tells familiar rows from those that were moved out, by distance and at infinity."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.rays import isotropic
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.metrics import auroc_ends, aurocs, share_interval, threshold
from knowlimits.ood.panel import Panel

#: Standard deviations by which rows are moved out.
RADII = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, np.inf)
#: The place of one that stands for rows that are not at infinity, in words.
NEARER = RADII.index(10.0)
# Rows that are moved, and familiar rows that they are compared with, at most.
_MOVED, _FAMILIAR = 300, 1000


class Way(StrEnum):
    """How rows are moved out."""

    ONE_COLUMN = "one_column"
    ANY_DIRECTION = "any_direction"


@dataclass(frozen=True)
class Detection:
    """How well scores tell rows apart; arrays are ``(scores, ways, radii)``, radii as `RADII` has them.

    Attributes:
        scores: ids of the scores.
        ways: how rows were moved; in any direction only where columns can move together.
        thresholds: the smallest that accept 95% of the familiar rows; of a score that a remedy has of its own that by which it
            refuses, set on other rows, ``(scores,)``.
        kept, kept_low, kept_high: shares of the familiar rows up to the threshold, and 95% intervals, ``(scores,)``.
        auroc, auroc_low, auroc_high: areas under the ROC curve, and 95% intervals.
        refused, refused_low, refused_high: shares of the moved rows above the threshold, and 95% intervals.
    """

    scores: tuple[str, ...]
    ways: tuple[Way, ...]
    thresholds: np.ndarray
    kept: np.ndarray
    kept_low: np.ndarray
    kept_high: np.ndarray
    auroc: np.ndarray
    auroc_low: np.ndarray
    auroc_high: np.ndarray
    refused: np.ndarray
    refused_low: np.ndarray
    refused_high: np.ndarray

    @cached_property
    def best(self) -> int:
        """Place of the score that tells rows at infinity along one column apart the best, of those refuses the most, and of
        those that are alike there tells rows apart the best nearer by, on the mean over radii.
        """
        auroc = self.auroc[:, 0]
        return int(np.lexsort((auroc[:, :-1].mean(-1), self.refused[:, 0, -1], auroc[:, -1]))[-1])

    @cached_property
    def table(self) -> Table:
        """A row for each way, radius and score."""
        shape = self.auroc.shape

        def column(values: np.ndarray) -> np.ndarray:
            return np.moveaxis(np.broadcast_to(values, shape), 0, -1).ravel()

        return Table(
            {
                "score": column(np.array(self.scores)[:, None, None]),
                "way": column(np.array([way.value for way in self.ways])[:, None]),
                "radius_sd": column(np.array(RADII)),
                "auroc": column(self.auroc),
                "auroc_low": column(self.auroc_low),
                "auroc_high": column(self.auroc_high),
                "threshold": column(self.thresholds[:, None, None]),
                "kept": column(self.kept[:, None, None]),
                "kept_low": column(self.kept_low[:, None, None]),
                "kept_high": column(self.kept_high[:, None, None]),
                "refused": column(self.refused),
                "refused_low": column(self.refused_low),
                "refused_high": column(self.refused_high),
            }
        )


def detection(subject: Subject, panel: Panel, rng: np.random.Generator) -> Detection:
    """Move test rows out in each way, by each radius and to infinity, and compare their scores with those of familiar rows."""
    columns = subject.columns
    ways = tuple(Way) if columns.together.any() else (Way.ONE_COLUMN,)
    familiar = subject.test_rows[:_FAMILIAR]
    drawn = [
        (subject.test_rows[rng.integers(len(subject.test_rows), size=_MOVED)], _drawn(way, columns, rng) @ columns.steps)
        for way in ways
    ]
    origins, directions = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    origins = columns.started(origins, directions)
    near = panel.at(np.concatenate([familiar, *(origins + radius * directions for radius in RADII[:-1])]))
    ends = panel.along(origins, directions)
    inside = np.stack([values[: len(familiar)] for values in near.values()])
    moved = np.stack([np.concatenate([values[len(familiar) :], ends[name].limit]) for name, values in near.items()])
    # From (scores, radii, ways, rows).
    moved = moved.reshape(len(near), len(RADII), len(ways), _MOVED).swapaxes(1, 2)
    own = panel.thresholds
    thresholds = np.array([own.get(name, threshold(values, 0.95)) for name, values in zip(near, inside, strict=True)])
    kept = (inside <= thresholds[:, None]).sum(-1)
    auroc = aurocs(inside[:, None, None], moved)
    refused = (moved > thresholds[:, None, None, None]).sum(-1)
    auroc_low, auroc_high = auroc_ends(auroc, len(familiar), _MOVED)
    refused_low, refused_high = share_interval(refused, _MOVED)
    kept_low, kept_high = share_interval(kept, len(familiar))
    return Detection(
        scores=tuple(near),
        ways=ways,
        thresholds=thresholds,
        kept=kept / len(familiar),
        kept_low=kept_low,
        kept_high=kept_high,
        auroc=auroc,
        auroc_low=auroc_low,
        auroc_high=auroc_high,
        refused=refused / _MOVED,
        refused_low=refused_low,
        refused_high=refused_high,
    )


def _drawn(way: Way, columns: Continuous, rng: np.random.Generator) -> np.ndarray:
    """Directions in standard deviations, of length 1: a column and a sign, or isotropic."""
    features = len(columns.names)
    if way is Way.ANY_DIRECTION:
        return isotropic(_MOVED, columns.together, rng)
    drawn = np.zeros((_MOVED, features))
    drawn[np.arange(_MOVED), rng.integers(features, size=_MOVED)] = rng.choice([-1.0, 1.0], size=_MOVED)
    return drawn
