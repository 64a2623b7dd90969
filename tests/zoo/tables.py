"""The data of the zoo: small, as there are many models."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import scale

from tests.zoo.entry import Table

_ROWS = 48


def _drawn(load, columns, scaled=True):
    X, y = load(return_X_y=True)
    kept = np.random.default_rng(0).permutation(len(X))[:_ROWS]
    return np.ascontiguousarray((scale(X) if scaled else X)[kept][:, columns]), y[kept]


def _mixed():
    """Three measurements, a category as text, and a code."""
    X, y = _drawn(load_wine, [0, 9, 12], scaled=False)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(X, columns=["alcohol", "colour", "proline"])
    frame["city"] = rng.choice(["Basel", "Turin", "Vienna"], len(X))
    frame["grade"] = rng.integers(1, 4, len(X))
    return Table(frame, y, (0, 1, 2))


def _with_gaps(table, share=0.05):
    X = table.X.copy()
    X[np.random.default_rng(2).random(X.shape) < share] = np.nan
    return Table(X, table.y)


def _with_codes(table, codes=5):
    """A table whose last column is a code."""
    drawn = np.random.default_rng(3).integers(0, codes, len(table.X))
    places = table.X.shape[1]
    return Table(np.column_stack([table.X, drawn]), table.y, tuple(range(places)))


def _windows():
    """Sensor windows ``(n, times, channels)`` of three kinds of movement."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, _ROWS)
    times = np.arange(8)[None, :, None]
    X = np.sin(times * (1 + y[:, None, None]) / 2 + rng.uniform(0, 1, (_ROWS, 1, 1))) + 0.2 * rng.normal(size=(_ROWS, 8, 2))
    return Table(X, y)


def _images():
    X, y = load_digits(n_class=3, return_X_y=True)
    X = X[:_ROWS] / 16
    # Pixels with one value or two stay.
    moves = tuple(place for place, values in enumerate(X.T) if len(np.unique(values)) > 2)
    return Table(X.reshape(-1, 1, 8, 8), y[:_ROWS], moves)


def _labelled(table, names):
    return Table(table.X, np.array(names)[table.y], table.moves)


# Standardised and as they were measured.
WINE, CANCER = Table(*_drawn(load_wine, [0, 6, 9, 11, 12])), Table(*_drawn(load_breast_cancer, [0, 1, 7, 21, 27]))
RAW = Table(*_drawn(load_wine, [0, 6, 9, 11, 12], scaled=False))
RAW_CANCER = Table(*_drawn(load_breast_cancer, [0, 1, 7, 21, 27], scaled=False))
NAMED = _labelled(RAW, ["red", "green", "white"])
MIXED, GAPS, CODED, WINDOWS, IMAGES = _mixed(), _with_gaps(RAW), _with_codes(WINE), _windows(), _images()
FRAME = Table(pd.DataFrame(RAW.X, columns=["alcohol", "flavanoids", "colour", "dilution", "proline"]), RAW.y)
