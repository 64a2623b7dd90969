"""Rows as a guard takes them, which are made up out of what it has learnt of its columns."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from knowlimits.ood.columns import Columns

_ROWS = 16
# Half of them are so many times as far out, where nothing of the model is left.
_FAR = 30.0
_GAPS = 0.2


def drawn_rows(columns: Columns, centre: np.ndarray, scale: np.ndarray) -> Any:
    """Rows near the data of a guard and further away: an array, or a DataFrame where columns have names and pandas is there.

    Args:
        columns: of the guard.
        centre: middles of the columns of numbers.
        scale: how far these go, about.
    """
    random = np.random.default_rng(0)
    spread = np.repeat([1.0, _FAR], _ROWS // 2)[:, None]
    numbers = centre + scale * spread * random.normal(size=(_ROWS, len(centre)))
    numbers[(random.random(numbers.shape) < _GAPS) & columns.gaps[columns.numeric]] = np.nan
    if not columns.named and not len(columns.categorical):
        return numbers.reshape(_ROWS, *columns.shape)
    values: dict[int, np.ndarray] = dict(zip(columns.numeric.tolist(), numbers.T, strict=True))
    for place in columns.categorical.tolist():
        seen = columns.seen[place] or (None,)
        values[place] = np.empty(_ROWS, dtype=object)
        values[place][:] = [seen[int(random.integers(len(seen)))] for _ in range(_ROWS)]
    if not columns.named or find_spec("pandas") is None:
        table = np.empty((_ROWS, len(values)), dtype=object)
        for place, one in values.items():
            table[:, place] = one
        return table
    import pandas

    made = {name: values[place] for place, name in enumerate(columns.names)}
    frame = pandas.DataFrame(made)
    for place in columns.categorical.tolist():
        known = columns.seen[place] or ()
        if not all(isinstance(value, bool) for value in known):
            frame[columns.names[place]] = pandas.Categorical(values[place], categories=list(known))
        elif known:
            frame[columns.names[place]] = values[place].astype(bool)
    return frame
