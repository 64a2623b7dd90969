"""What holds for every case of every fault, on random tables."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from knowlimits import faults
from knowlimits.faults.given import _OF_ALL, _OF_INPUTS, _OF_TABLES
from tests.faults.tables import NAN, observed

FAULTS = [*_OF_ALL, *_OF_TABLES, faults.Unit(1.8, 32), faults.Other(np.abs, "absolute"), faults.Sentinel(9999, columns=[0, 2])]
NUMBERS = st.one_of(st.floats(-1e6, 1e6, allow_subnormal=False), st.sampled_from([0.0, 1.0, -999.0, NAN]))
ROWS = arrays(float, (5, 3), elements=NUMBERS)
CODES = arrays(float, (5, 1), elements=st.sampled_from([0.0, 1.0, NAN]))
# These say something of rows that have no value.
FILL = faults.Sentinel | faults.ZeroFill | faults.Saturation | faults.Stuck | faults.UnseenCategory
MOVE_GAPS = faults.Swap | faults.ShuffledColumns | faults.Gap


def table_of(rows, codes):
    return observed(
        np.hstack([rows, codes]),
        ["b", "c", "a", "ward"],
        levels=[None, None, None, ("A", "B")],
        measured=[True, True, True, False],
        unseen=[NAN, NAN, NAN, 2],
    )


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@settings(max_examples=12)
@given(rows=ROWS, codes=CODES, others=ROWS, other_codes=CODES)
def test_only_its_places_change_and_never_in_place(fault, rows, codes, others, other_codes):
    table, tried = table_of(rows, codes), np.hstack([others, other_codes])
    before, observed_before = tried.copy(), table.rows.copy()
    for case in fault.cases(table):
        changed, again = (case.change(tried, np.random.default_rng(1)) for _ in range(2))
        np.testing.assert_array_equal(changed, again)
        np.testing.assert_array_equal(tried, before)
        np.testing.assert_array_equal(table.rows, observed_before)
        assert changed.shape == tried.shape
        still = np.setdiff1d(np.arange(4), case.places)
        np.testing.assert_array_equal(changed[:, still], tried[:, still])
        assert case.fault is fault
        assert case.words
        assert case.clause
        gaps = np.isnan(tried[:, list(case.places)])
        if isinstance(fault, FILL):
            assert not np.isnan(changed[:, list(case.places)]).any()
        elif not isinstance(fault, MOVE_GAPS):
            np.testing.assert_array_equal(np.isnan(changed[:, list(case.places)]), gaps)


@pytest.mark.parametrize("fault", [f for f in FAULTS if not isinstance(f, faults.Sentinel)], ids=repr)
@settings(max_examples=12)
@given(rows=ROWS, codes=CODES)
def test_a_fault_that_is_a_ray_moves_rows_along_it(fault, rows, codes):
    table = table_of(rows, codes)
    for case in fault.cases(table):
        if case.ray is None:
            continue
        directions = case.ray(table.rows)
        assert directions.shape == table.rows.shape
        assert np.isfinite(directions).all()
        assert not directions[:, np.setdiff1d(np.arange(4), case.places)].any()
        moved = case.change(table.rows, np.random.default_rng(0)) - table.rows
        moved[np.isnan(moved)] = 0.0
        # A positive multiple, which is 0 where a gap stays one.
        place = case.places[0]
        sizes = np.abs(directions[:, place])
        assume((sizes < 1e-3).sum() == (sizes == 0).sum())
        ratio = moved[sizes > 0, place] / directions[sizes > 0, place]
        assert (moved[sizes == 0] == 0).all()
        assert (ratio > 0).all()
        np.testing.assert_allclose(ratio, ratio[:1].repeat(len(ratio)), rtol=1e-3)


@settings(max_examples=10)
@given(arrays(float, (3, 12), elements=st.sampled_from([0.0, 0.5, 1.0])))
def test_channels_change_as_a_whole(rows):
    table = observed(rows, range(12), (2, 2, 3))
    for fault in (*_OF_INPUTS, *_OF_ALL):
        for case in fault.cases(table):
            changed = case.change(rows, np.random.default_rng(0))
            still = np.setdiff1d(np.arange(12), case.places)
            np.testing.assert_array_equal(changed[:, still], rows[:, still])
            assert len(case.places) in (6, 12)
            if isinstance(fault, faults.Stuck | faults.Saturation | faults.ZeroFill | faults.Sentinel):
                assert len(np.unique(changed[:, list(case.places)])) == 1


def test_a_case_knows_nothing_of_its_rows():
    """Rows of another table, of other values, with whole numbers."""
    case = faults.Unit(10).cases(table_of(np.ones((2, 3)), np.zeros((2, 1))))[0]
    rows = np.array([[1, 2, 3, 0]])
    np.testing.assert_array_equal(case.change(rows, np.random.default_rng(0)), [[10, 2, 3, 0]])
    assert rows.tolist() == [[1, 2, 3, 0]]
