"""Figures 3, 5 and 6 of the paper: scores of a model on a grid, and the lengths of their gradients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knowlimits import scores
from knowlimits.plots.maps import Extent
from knowlimits.studies.half_moons import measure, settings
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import Split


@dataclass(frozen=True)
class Map:
    """A score of a model on a grid, and the length of the score's gradient on a wider one.

    Attributes:
        model: the model's published name.
        score: the score's name.
        extent: of the score's grid: x from, x to, y from, y to.
        values: the score, ``(rows, columns)``, entropies in bits as in the paper.
        gradient_extent: of the gradient's grid.
        gradients: the gradient's length, ``(rows, columns)``.
        auc: area under the ROC curve on the test data.
    """

    model: str
    score: str
    extent: Extent
    values: np.ndarray
    gradient_extent: Extent
    gradients: np.ndarray
    auc: float


def grid(extent: Sequence[float]) -> tuple[np.ndarray, tuple[int, int]]:
    """Points of a grid, row by row from below, and its shape; `extent` ends with the step."""
    left, right, low, high, step = extent
    # Counted, not accumulated: the end is excluded whatever the rounding.
    x = left + step * np.arange(round((right - left) / step))
    y = low + step * np.arange(round((high - low) / step))
    xx, yy = np.meshgrid(x, y)
    return np.stack([xx.ravel(), yy.ravel()], axis=1), xx.shape


def maps(name: str, model: StackClassifier, data: Split) -> list[Map]:
    """All maps that the paper draws of a model."""
    auc = measure(model, data)["auc"]
    extents = settings()["grid"]
    points, shape = grid(extents["scores"])
    wide, wide_shape = grid(extents["gradients"])
    probs = model.predict_members(points)
    return [
        Map(
            model=name,
            score=score,
            extent=tuple(extents["scores"][:4]),
            values=scores.score(probs, score, base=2).reshape(shape),
            gradient_extent=tuple(extents["gradients"][:4]),
            gradients=scores.gradient_magnitude(model, wide, score, base=2).reshape(wide_shape),
            auc=auc,
        )
        for score in settings()["models"][name]["scores"]
    ]
