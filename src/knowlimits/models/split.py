"""Rows to train, validate and test on."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split


@dataclass(frozen=True)
class Split:
    """Rows to learn from, to stop early by, and to score on."""

    X: np.ndarray
    y: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split_rows(X: np.ndarray, y: np.ndarray, seed: int) -> Split:
    """Half of the rows to learn from, a quarter to stop by, a quarter to score on, each class in its share."""
    rows = np.arange(len(y))
    learn, rest = map(np.asarray, train_test_split(rows, test_size=0.5, random_state=seed, stratify=y))
    stop, score = train_test_split(rest, test_size=0.5, random_state=seed, stratify=y[rest])
    return Split(X[learn], y[learn], X[stop], y[stop], X[score], y[score])
