"""Small tables that faults are made for."""

import numpy as np

from knowlimits import faults

NAN = float("nan")


def observed(rows, names=None, shape=None, levels=None, measured=None, unseen=None):
    """A table of measurements, unless something else is said."""
    rows = np.array(rows, dtype=float)
    count = rows.shape[1]
    return faults.Observed(
        tuple(names) if names is not None else tuple("abcdefghij"[:count]),
        rows,
        (None,) * count if levels is None else tuple(levels),
        np.array([True] * count if measured is None else measured),
        np.full(count, np.nan) if unseen is None else np.array(unseen, dtype=float),
        shape,
    )


def ward():
    """Two measurements, of which one has a gap, a code, and a category of which two values were seen."""
    return observed(
        [[30, 1.5, 0, 0], [40, NAN, 1, 1], [50, 0.25, 1, NAN]],
        ["age", "lactate", "sick", "ward"],
        levels=[None, None, None, ("A", "B")],
        measured=[True, True, False, False],
        unseen=[NAN, NAN, NAN, 2],
    )


def became(case, table, seed=0):
    """What becomes of the rows that were observed."""
    return case.change(table.rows, np.random.default_rng(seed))


def cases(fault, table):
    """The cases of a fault by what goes wrong."""
    found = fault.cases(table)
    assert len({(case.feature, case.words) for case in found}) == len(found)
    return {case.feature: case for case in found}


def one(fault, table):
    """The one case of a fault."""
    (case,) = fault.cases(table)
    return case
