"""Columns in each other's place, by hand and by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from knowlimits import faults
from tests.faults.tables import NAN, became, observed, one, ward

# 0 to 9, 1 to 10, 0 to 99: no check of ranges tells the first two apart but for one value of each.
ROWS = np.column_stack([np.arange(40) % 10, np.arange(40) % 10 + 0.1, np.arange(40) * 2.5]).astype(float)


def test_columns_of_like_range_are_swapped():
    table = observed(np.r_[ROWS, [[9.1, 0.0, 3.0]]], ["age", "height", "cost"])
    case = one(faults.Swap(), table)
    assert (case.feature, case.words, case.clause) == ("age and height", "swapped", "'age' and 'height' are swapped")
    assert case.places == (0, 1)
    np.testing.assert_array_equal(became(case, table), table.rows[:, [1, 0, 2]])


def like(a, b):
    """The definition, value by value: whether most of each are in the range of the other, and how much of both these share."""
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        return -1.0
    for x, y in ((a, b), (b, a)):
        if sum(min(y) <= value <= max(y) for value in x) < 0.95 * len(x):
            return -1.0
    union = max(*a, *b) - min(*a, *b)
    return (min(max(a), max(b)) - max(min(a), min(b))) / union if union else 0.0


@given(arrays(float, (6, 4), elements=st.sampled_from([0.0, 1, 2, 3, 9, NAN])))
def test_the_pairs_are_the_most_alike(rows):
    table = observed(rows)
    found = {case.places for case in faults.Swap().cases(table)}
    pairs = set()
    for a in range(4):
        alike = [like(rows[:, a], rows[:, b]) if b != a else -1.0 for b in range(4)]
        if max(alike) >= 0:
            pairs.add(tuple(sorted((a, alike.index(max(alike))))))
    changing = {(a, b) for a, b in pairs if not np.array_equal(rows[:, a], rows[:, b], equal_nan=True)}
    assert found == changing


def test_two_columns_that_are_named_are_swapped_whatever_they_have():
    table = ward()
    case = one(faults.Swap(columns=["lactate", "age"]), table)
    np.testing.assert_array_equal(became(case, table), table.rows[:, [1, 0, 2, 3]])
    with pytest.raises(ValueError, match=r"columns must be two at least, which Swap swaps. Got 'age' instead."):
        faults.Swap(columns="age").cases(table)


def test_columns_in_alphabetical_order():
    table = observed([[1.0, 2, 3], [4, 5, 6]], ["b", "c", "a"])
    case = one(faults.ShuffledColumns(), table)
    assert (case.feature, case.words) == ("all columns", "columns in alphabetical order")
    assert case.clause == "columns arrive in alphabetical order, their names lost"
    # Where b belongs there is a now.
    np.testing.assert_array_equal(became(case, table), [[3, 1, 2], [6, 4, 5]])
    assert faults.ShuffledColumns().cases(observed([[1.0, 2]], ["a", "b"])) == []
    # x10 comes before x2, but these are no names.
    assert faults.ShuffledColumns().cases(observed([np.arange(12.0)], [f"x{i}" for i in range(12)])) == []


def test_columns_in_other_orders():
    table = observed([[1.0, 2, 3]])
    shifted, reversed_ = (one(faults.ShuffledColumns(order), table) for order in ("shifted", "reversed"))
    np.testing.assert_array_equal(became(shifted, table), [[3, 1, 2]])
    np.testing.assert_array_equal(became(reversed_, table), [[3, 2, 1]])
    assert shifted.clause == "columns arrive shifted by one, their names lost"


def test_categories_stay_where_they_are():
    table = ward()
    case = one(faults.ShuffledColumns("shifted"), table)
    assert (case.feature, case.words) == ("all columns of numbers", "columns of numbers shifted by one")
    np.testing.assert_array_equal(became(case, table), table.rows[:, [2, 0, 1, 3]])


def test_some_columns_in_another_order():
    table = observed([[1.0, 2, 3, 4, 5]])
    case = one(faults.ShuffledColumns("reversed", columns=["a", "b", "e"]), table)
    assert (case.feature, case.words) == ("a, b and e", "columns in reversed order")
    np.testing.assert_array_equal(became(case, table), [[5, 2, 3, 4, 1]])
    case = one(faults.ShuffledColumns("reversed", columns=["a", "b", "c", "d"]), table)
    assert case.feature == "a, b, c and 1 more"


def test_channels_in_another_order():
    rows = np.arange(48.0)[None]
    table = observed(rows, range(48), shape=(3, 4, 4))
    case = one(faults.ShuffledColumns("reversed"), table)
    assert (case.feature, case.words) == ("all channels", "channels in reversed order")
    assert case.clause == "channels arrive in reversed order"
    np.testing.assert_array_equal(became(case, table), rows.reshape(3, 16)[::-1].reshape(1, 48))
    with pytest.raises(ValueError, match=r"order must be 'shifted' or 'reversed' for channels, which have no names."):
        faults.ShuffledColumns().cases(table)


def test_refused():
    with pytest.raises(ValueError, match=r"order must be one of 'alphabetical', 'shifted', 'reversed'. Got 'random' instead."):
        faults.ShuffledColumns("random")
