"""What stands for values that are missing, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlimits import faults
from tests.faults.tables import NAN, became, cases, observed, one, ward

NUMBERS = st.one_of(st.floats(-20000, 20000), st.sampled_from(faults.SENTINELS), st.integers(-5, 5).map(float))


def test_a_sentinel_is_in_every_row():
    table = ward()
    found = cases(faults.Sentinel(-999), table)
    assert list(found) == ["age", "lactate", "sick"]
    assert found["lactate"].words == "-999"
    assert found["lactate"].clause == "'lactate' is -999"
    np.testing.assert_array_equal(became(found["lactate"], table)[:, 1], [-999] * 3)
    np.testing.assert_array_equal(found["lactate"].ray(table.rows), [[0, -1, 0, 0]] * 3)
    # A code has no way to go on.
    assert found["sick"].ray is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((20, 80), ["99", "-999"]),
        ((0, 90), ["-1", "-999"]),
        ((2, 50000), ["-1", "-999"]),
        ((-2000, 3000), ["9999"]),
        ((-500, 3000), ["-999"]),
        ((-99999, 99999), []),
        ((NAN, NAN), []),
    ],
)
def test_the_likeliest_sentinels(values, words):
    assert [case.words for case in faults.Sentinel().cases(observed([[v] for v in values]))] == words


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.one_of(st.none(), st.sampled_from([*faults.SENTINELS, 0.0, 7.5])))
def test_a_sentinel_that_is_not_asked_for_lies_outside(values, value):
    table = observed([[v] for v in values])
    for case in faults.Sentinel(value).cases(table):
        assert not min(values) <= became(case, table)[0, 0] <= max(values)


def test_a_sentinel_may_be_inside_of_a_column_that_is_named():
    table = observed([[-5.0], [5.0]])
    assert faults.Sentinel(0).cases(table) == []
    case = one(faults.Sentinel(0, columns=[0]), table)
    np.testing.assert_array_equal(became(case, table), [[0], [0]])
    assert case.ray is None


def test_zero_is_filled_in_where_it_is_not_ordinary():
    rows = np.column_stack([np.arange(1.0, 1001), np.arange(1000.0) % 2, np.r_[[0.0] * 5, np.ones(994), NAN]])
    table = observed(rows, measured=[True, False, True])
    found = cases(faults.ZeroFill(), table)
    assert list(found) == ["a", "c"]
    assert became(found["c"], table)[:, 2].tolist() == [0.0] * 1000
    assert one(faults.ZeroFill(columns="b"), table).words == "0"


def test_a_gap():
    table = ward()
    found = cases(faults.Gap(), table)
    assert list(found) == ["age", "lactate", "sick", "ward"]
    assert np.isnan(became(found["ward"], table)[:, 3]).all()
    assert (found["ward"].words, found["ward"].clause) == ("missing", "'ward' is missing")
    assert faults.Gap().cases(observed([[NAN], [NAN]])) == []


def test_refused():
    with pytest.raises(ValueError, match=r"value must be a number; a gap is kl.faults.Gap\(\). Got nan instead."):
        faults.Sentinel(NAN)
