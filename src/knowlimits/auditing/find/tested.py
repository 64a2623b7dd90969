"""What the model and its guard say of each of the test rows, so that several models can be compared row by row."""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from knowlimits.auditing.find.subject import Subject
from knowlimits.ood.panel import AS_IT_IS, GUARDED, Panel


@dataclass(frozen=True, eq=False)
class Tested:
    """What is said of the test rows.

    Attributes:
        confidence: of the model as it is, ``(n,)``.
        right: whether what the model predicts is the row's label, ``(n,)``; None without labels.
        loss: the log losses of the model as it is, in nats, ``(n,)``; None without labels.
        guarded: the log losses with the guard, ``(n,)``; None without labels.
    """

    confidence: np.ndarray
    right: np.ndarray | None = None
    loss: np.ndarray | None = None
    guarded: np.ndarray | None = None


def on_test_rows(subject: Subject, panel: Panel) -> Tested:
    """Ask the model and its guard about the test rows."""
    probs, labels = panel.probabilities(subject.test_rows), subject.test_labels
    confidence = probs[AS_IT_IS].max(1)
    if labels is None:
        return Tested(confidence)
    loss, guarded = (-xlogy(1, probs[name][np.arange(len(labels)), labels]) for name in (AS_IT_IS, GUARDED))
    return Tested(confidence, subject.test_predictions == labels, loss, guarded)
