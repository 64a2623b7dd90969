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


def check_rows(y: np.ndarray) -> None:
    """Raise unless labels can be split so.

    Raises:
        ValueError: if there is one class, or a class has too few rows.
    """
    classes, counts = np.unique(y, return_counts=True)
    labels = classes.tolist()
    if len(labels) < 2:
        raise ValueError(f"y must have at least 2 classes. Got one class, {labels[0]!r}, instead.")
    if counts.min() < 4:
        rare = labels[counts.argmin()]
        raise ValueError(f"y must have at least 4 rows of each class, to be split. Got {counts.min()} of class {rare!r}.")
