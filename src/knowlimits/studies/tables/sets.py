"""Data sets, and what is foreign to them: those that scikit-learn ships, or a person's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images, load_wine

from knowlimits.files.tables import read_numbers, read_table
from knowlimits.ood.sizes import check_size
from knowlimits.train.classifiers.holdout import check_rows

#: Those that scikit-learn ships.
SETS = ("breast_cancer", "wine", "digits")


@dataclass(frozen=True)
class DataSet:
    """A data set, and what is foreign to it."""

    name: str
    X: np.ndarray
    y: np.ndarray
    foreign: dict[str, np.ndarray]


def load_set(name: str) -> DataSet:
    """One of `SETS`; the last class of wine and digits is left out, and photographs are foreign to digits."""
    if name == "breast_cancer":
        X, y = map(np.asarray, load_breast_cancer(return_X_y=True))
        return DataSet(name, X, y, {})
    X, y = map(np.asarray, load_wine(return_X_y=True) if name == "wine" else load_digits(return_X_y=True))
    last = y == y.max()
    foreign = {"class left out": X[last]}
    if name == "digits":
        foreign["photographs"] = _photographs()
    return DataSet(name, X[~last], y[~last], foreign)


def own_set(data: Path, target: str, ood: Path) -> DataSet:
    """A person's own data and what is foreign to them, from CSV files; the second may have the column of labels or not.

    Raises:
        ValueError: if a file is no table, or the columns differ.
    """
    X, y, names = read_table(data, target)
    try:
        check_rows(y)
    except ValueError as error:
        raise ValueError(f"{data}, column {target!r}: {error}") from None
    # A column that is no feature can stand for the labels, as they are not looked at.
    foreign = read_numbers(ood, names)[0]
    for path, rows in ((data, X), (ood, foreign)):
        check_size(str(path), rows)
    return DataSet(data.stem, X, y, {ood.stem: foreign})


def _photographs() -> np.ndarray:
    """Patches of 8 by 8 of the photographs that scikit-learn ships, in the digits' range of grey."""
    patches = []
    for image in load_sample_images().images:
        grey = np.asarray(image, dtype=np.float64).mean(2) / 255 * 16
        rows, columns = (size // 8 * 8 for size in grey.shape)
        blocks = grey[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8).swapaxes(1, 2).reshape(-1, 64)
        patches.append(blocks[:: max(1, len(blocks) // 150)])
    return np.concatenate(patches)
