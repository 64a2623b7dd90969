"""A split of a data set in standard deviations, and models fitted to it by their names."""

from typing import Any, NamedTuple

import numpy as np

from knowlimits.studies import half_moons
from knowlimits.studies.tables import families
from knowlimits.studies.tables.sets import DataSet
from knowlimits.train.classifiers.holdout import Split, split_rows

# Settings of the paper's models that fit these sets; the paper's own are those of the half-moons.
_PARAMETERS = {"hidden_sizes": (32, 32), "learning_rate": 0.01, "epochs": 40, "batch_size": 32}


class ScaledSplit(NamedTuple):
    """A split in standard deviations of the rows to learn from.

    Attributes:
        data: its rows.
        foreign: those that are foreign to them, in the same units.
        varies: which columns are no constants, ``(columns,)``.
    """

    data: Split
    foreign: dict[str, np.ndarray]
    varies: np.ndarray


def scaled(table: DataSet, seed: int) -> ScaledSplit:
    """Split a data set."""
    raw = split_rows(table.X, table.y, seed)
    varies = raw.X.std(0) > 0
    mean, deviation = raw.X.mean(0), np.where(varies, raw.X.std(0), 1.0)
    X, X_val, X_test = ((part - mean) / deviation for part in (raw.X, raw.X_val, raw.X_test))
    foreign = {kind: (rows - mean) / deviation for kind, rows in table.foreign.items()}
    return ScaledSplit(Split(X, raw.y, X_val, raw.y_val, X_test, raw.y_test), foreign, varies)


def fitted(name: str, data: Split, seed: int) -> Any:
    """A model by its name, one of the paper's or of `FAMILIES`, fitted."""
    if name in families.FAMILIES:
        return families.fitted(name, data.X, data.y, seed)
    return half_moons.build(name, seed, parameters=_PARAMETERS).fit(data.X, data.y, data.X_val, data.y_val)
