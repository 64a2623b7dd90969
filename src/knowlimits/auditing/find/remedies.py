"""The model, last-layer Laplace and the guard in the same few lines: what each does far away, and what it costs near by."""

from typing import Any

import numpy as np
from scipy.special import xlogy

from knowlimits.auditing.find.detection import Detection
from knowlimits.auditing.find.directions import Directions
from knowlimits.auditing.find.features import Features
from knowlimits.auditing.find.settling import LEVEL
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, GUARDED, Panel


def beside(subject: Subject, panel: Panel, features: Features, directions: Directions, detection: Detection) -> Table:
    """A row for the model and each remedy."""
    sure_directions = dict(zip(directions.table["model"].tolist(), directions.table["sure"], strict=True))
    table = []
    for name, probs in panel.probabilities(subject.test_rows).items():
        row: dict[str, Any] = {
            "model": name,
            "sure_features": features.sure[name],
            "sure_directions": sure_directions.get(name, float("nan")),
            "confidence": features.confidence[name],
            "settled_sd": _settled(subject, panel, features, name),
            "auroc": detection.auroc[detection.scores.index(ENTROPIES[name]), 0, -1],
        }
        # The guard keeps what the model predicts, which need not be the likeliest class.
        predicted = subject.test_predictions if name in (AS_IT_IS, GUARDED) else probs.argmax(1)
        table.append(row | _near_by(probs, predicted, subject.test_labels))
    return Table.of(table)


def _settled(subject: Subject, panel: Panel, features: Features, name: str) -> float:
    """The median distance, over rays along columns, from which on the confidence is near its limit; nan if not known."""
    if name == AS_IT_IS:
        distances = features.table["settled_sd"]
        return float(np.nanmedian(distances)) if not np.isnan(distances).all() else float("nan")
    if name == GUARDED:
        both = np.concatenate([-subject.columns.steps, subject.columns.steps])
        distances = panel.guard.radii(subject.rows[:50], both[:, panel.guard.columns_.numeric], LEVEL)
        # A gap does not move.
        moving = distances[np.isfinite(distances)]
        return float(np.median(moving)) if len(moving) else float("nan")
    return float("nan")


def _near_by(probs: np.ndarray, predicted: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """Accuracy and mean log loss on the test rows; nan without labels."""
    if labels is None:
        return {"accuracy": float("nan"), "log_loss": float("nan")}
    right = probs[np.arange(len(labels)), labels]
    return {"accuracy": float((predicted == labels).mean()), "log_loss": float(-xlogy(1, right).mean())}
