"""How well each score tells familiar rows from those that were moved out, by distance and at infinity."""

import numpy as np

from knowlimits.auditing.find.features import isotropic
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.metrics import auroc, auroc_interval, share_interval, threshold
from knowlimits.ood.panel import Panel

#: Standard deviations by which rows are moved out.
RADII = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, np.inf)
# Rows that are moved, and familiar rows that they are compared with, at most.
_MOVED, _FAMILIAR = 300, 1000
WAYS = ("one column", "any direction")


def detection(subject: Subject, panel: Panel, rng: np.random.Generator) -> Table:
    """A row for each score, way of moving and radius: area under the ROC curve, and what the usual threshold refuses.

    The threshold is the smallest that accepts 95% of the familiar rows; intervals are at 95%.
    """
    steps = subject.columns.steps
    familiar = panel.at(subject.test_rows[:_FAMILIAR])
    thresholds = {name: threshold(values, 0.95) for name, values in familiar.items()}
    table = []
    for way in WAYS:
        origins = subject.test_rows[rng.integers(len(subject.test_rows), size=_MOVED)]
        directions = _drawn(way, len(steps), rng) @ steps
        near = panel.at(np.concatenate([origins + radius * directions for radius in RADII[:-1]]))
        ends = panel.along(origins, directions)
        for k, radius in enumerate(RADII):
            moved = {
                name: ends[name].limit if np.isinf(radius) else near[name][k * _MOVED : (k + 1) * _MOVED] for name in familiar
            }
            for name, values in moved.items():
                low, high = auroc_interval(familiar[name], values)
                refused = int((values > thresholds[name]).sum())
                refused_low, refused_high = share_interval(refused, len(values))
                table.append(
                    {
                        "score": name,
                        "way": way,
                        "radius_sd": radius,
                        "auroc": auroc(familiar[name], values),
                        "auroc_low": low,
                        "auroc_high": high,
                        "threshold": thresholds[name],
                        "refused": refused / len(values),
                        "refused_low": float(refused_low),
                        "refused_high": float(refused_high),
                    }
                )
    return Table.of(table)


def _drawn(way: str, features: int, rng: np.random.Generator) -> np.ndarray:
    """Directions in standard deviations, of length 1: a column and a sign, or isotropic."""
    if way == WAYS[0]:
        drawn = np.zeros((_MOVED, features))
        drawn[np.arange(_MOVED), rng.integers(features, size=_MOVED)] = rng.choice([-1.0, 1.0], size=_MOVED)
        return drawn
    return isotropic(_MOVED, features, rng)
