"""The experiment that the paper's title calls for: how well every score tells test data from points far away.

Beyond the paper: its scores, detectors, the guard and last-layer Laplace, at a distance from all data and at
infinity, where the limits are exact.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.metrics import auroc
from knowlimits.ood.panel import Panel
from knowlimits.ood.remedies.guard import Guard
from knowlimits.ood.remedies.laplace import LastLayerLaplace
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import Split

#: DetectionByDistance from all data that the table and the figure show; the last is infinity.
DISTANCES = (*np.geomspace(1, 1e4, 13), np.inf)
# Directions, and test points, that are compared.
_ANGLES, _TEST = 360, 1000


@dataclass(frozen=True)
class DetectionByDistance:
    """How well a score of a model tells points far away from test data.

    Attributes:
        model: its published name.
        score: the score's name.
        aurocs: area under the ROC curve at each of `DISTANCES`.
    """

    model: str
    score: str
    aurocs: tuple[float, ...]


def measure_detection(name: str, model: StackClassifier, data: Split) -> list[DetectionByDistance]:
    """All scores of a model, on points at a distance from the ball that holds the data."""
    centre = data.X.mean(0)
    radius = np.linalg.norm(data.X - centre, axis=1).max()
    angles = 2 * np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rim = centre + radius * directions
    panel = Panel(inputs=False).fit(model, data.X, data.y)
    inside = panel.at(data.X_test[:_TEST])
    outside = [panel.at(rim + distance * directions) for distance in DISTANCES[:-1]]
    outside.append({score: growth.limit for score, growth in panel.along(rim, directions).items()})
    return [
        DetectionByDistance(name, score, tuple(auroc(near, far[score]) for far in outside)) for score, near in inside.items()
    ]


def remedies(models: dict[str, StackClassifier], data: Split) -> dict[str, Any]:
    """The first single network of some models, the ensemble if it is there, and what is proposed to do about the network."""
    single = next((name for name, model in models.items() if model.stack_.members == 1), None)
    shown: dict[str, Any] = {}
    if single is not None:
        shown[single] = models[single]
    shown |= {name: model for name, model in models.items() if name == "NNEnsemble"}
    first = models[single] if single is not None else next(iter(models.values()))
    if single is not None:
        shown[f"{single}, last-layer Laplace"] = LastLayerLaplace(first).fit(data.X, data.y)
    name = single or next(iter(models))
    return {**shown, f"{name}, guarded": Guard(first, random_state=0).fit(data.X)}
