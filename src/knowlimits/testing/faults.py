"""A check of data faults: that cases change what they say, and nothing else."""

import numpy as np

from knowlimits.faults import Case, Fault, Observed


def check_fault(fault: Fault, observed: Observed, *, seed: int = 0) -> None:
    """Check that a fault is what the library takes it for, on a table.

    Each case must change something in it, never in place, the same again for the same random numbers, and take tables of any
    number of rows; and say so in words that no other case has. The directions of a case that is a ray must be finite, and not
    all 0.

    Args:
        fault: to be checked.
        observed: a table in which it can happen.
        seed: of random numbers.

    Raises:
        AssertionError: where the fault is not as it should be; the text says what.

    Example:
        >>> import knowlimits as kl
        >>> from knowlimits.testing import check_fault
        >>> table = kl.faults.Observed.of([[31.0, 1.2], [58.0, 0.75]], names=["age", "lactate"])
        >>> check_fault(kl.faults.Unit(1000), table)
    """
    cases = fault.cases(observed)
    assert cases, "a fault must have a case in a table in which it can happen"
    texts = [(case.feature, case.words) for case in cases]
    assert len(set(texts)) == len(texts), "the words of each case must be its own"
    before = observed.rows.copy()
    for case in cases:
        name = f"{case.feature}, {case.words}:"
        assert all((case.feature, case.words, case.clause)), "a case must have words for tables and sentences"
        assert case.fault is fault, f"{name} fault must be the one that the case is of"
        assert 0 < len(set(case.places)) == len(case.places), f"{name} places must be columns, each of them once"
        assert {*case.places} <= {*range(len(observed.names))}, f"{name} places must be those of columns"
        _check_change(case, name, observed.rows, seed)
        assert np.array_equal(observed.rows, before, equal_nan=True), f"{name} the table must stay as it was"
        if case.ray is not None:
            _check_ray(case, name, observed.rows)


def _check_change(case: Case, name: str, rows: np.ndarray, seed: int) -> None:
    changed, again = (case.change(rows, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(changed, again, equal_nan=True), f"{name} change must be the same for the same random numbers"
    assert not np.array_equal(changed, rows, equal_nan=True), f"{name} change must change something"
    block = rows[:, list(case.places)].copy()
    case.values(block, np.random.default_rng(seed))
    assert np.array_equal(block, rows[:, list(case.places)], equal_nan=True), f"{name} values must not change what they take"
    for some in (rows[:0], rows[:1], np.concatenate([rows, rows])):
        case.change(some, np.random.default_rng(seed))


def _check_ray(case: Case, name: str, rows: np.ndarray) -> None:
    assert case.ray is not None
    directions = case.ray(rows)
    assert np.isfinite(directions).all(), f"{name} directions must be finite, and 0 for what does not move, such as gaps"
    assert directions.any(), f"{name} some row must move"
