"""Limits of probabilities: the classes that grow fastest share them by their offsets, and all others have none."""

import numpy as np
import torch

from knowlimits._machine import one_thread, rows_at_a_time
from knowlimits.follow.joints import softmax


def leading(rate: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest rate along the last axis, without it, and the offsets with minus infinity where the rate is smaller."""
    largest = rate.max(-1, keepdims=True)
    return largest[..., 0], np.where(rate == largest, offset, -np.inf)


def limiting_probabilities(rate: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Limits of the probabilities of logits that are eventually ``rate * a + offset``, of the same shape; classes are last."""
    rows = rows_at_a_time(rate[..., :1, :].size)
    with one_thread():
        parts = [torch.from_numpy(a).split(rows, -2) for a in (rate, offset)]
        return torch.cat([softmax(r, o, -1)[1] for r, o in zip(*parts, strict=True)], -2).numpy()
