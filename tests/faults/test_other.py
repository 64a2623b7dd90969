"""Faults by functions of people's own: what they are given, and what they may give."""

import functools
import re

import numpy as np
import pytest

from knowlimits import faults
from tests.faults.tables import NAN, became, cases, observed, one, ward


def half_of_it(values):
    return values / 2


def test_a_function_changes_measurements():
    table = ward()
    found = cases(faults.Other(half_of_it), table)
    assert list(found) == ["age", "lactate"]
    assert found["age"].words == "half of it"
    assert found["age"].clause == "'age' arrives changed (half of it)"
    np.testing.assert_array_equal(became(found["lactate"], table)[:, 1], [0.75, NAN, 0.125])


def test_a_function_changes_labels():
    table = ward()
    seen = []

    def moved(labels):
        seen.append(labels.tolist())
        return ["B", "C", None]

    case = one(faults.Other(moved, "moved", columns=["ward"]), table)
    assert seen == [["A", "B", None]]
    np.testing.assert_array_equal(became(case, table)[:, 3], [1, 2, NAN])


def test_a_function_cannot_change_the_table_itself():
    table = observed([[1.0], [2.0]])

    def wiped(values):
        values[:] = 0
        return values

    case = one(faults.Other(wiped), table)
    np.testing.assert_array_equal(case.values(table.rows, np.random.default_rng(0)), [[0], [0]])
    np.testing.assert_array_equal(table.rows, [[1], [2]])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, None], [1, 2, NAN]), ((True, False, NAN), [1, 0, NAN]), (np.array([1, 2, 3], dtype=np.int8), [1, 2, 3])],
)
def test_what_a_function_may_give(values, expected):
    table = ward()
    np.testing.assert_array_equal(became(one(faults.Other(lambda x: values, "w", columns=0), table), table)[:, 0], expected)


@pytest.mark.parametrize(
    ("function", "column", "message"),
    [
        (lambda x: x[:2], "age", "must give a value for each of 3 rows. Got shape (2,) for 'age'."),
        (lambda x: 0, "age", "must give a value for each of 3 rows. Got shape () for 'age'."),
        (lambda x: x[:, None], "age", "must give a value for each of 3 rows. Got shape (3, 1) for 'age'."),
        (lambda x: ["1", 2, 3], "age", "must give finite numbers, or None for gaps. Got '1' for 'age'."),
        (lambda x: [1, 2, 3j], "age", "must give finite numbers, or None for gaps. Got 3j for 'age'."),
        (lambda x: [1, 2, 10**400], "age", "must give finite numbers, or None for gaps. Got 1"),
        (lambda x: x / 0, "age", "must take the column 'age'. Got RuntimeWarning"),
        (lambda x: x + "a", "age", "must take the column 'age'. Got "),
        (lambda x: [1, 2, np.inf], "age", "must give finite numbers, or None for gaps. Got inf for 'age'."),
    ],
)
def test_refused(function, column, message):
    with pytest.raises(ValueError, match="^" + re.escape(f"faults, 'odd', {message}")):
        faults.Other(function, "odd", columns=[column]).cases(ward())


def test_labels_that_cannot_be():
    table = observed([[0.0], [1.0]], levels=[(False, True)], measured=[False])
    with pytest.raises(ValueError, match=r"faults, 'odd', must give labels that 'a' has, as there can be no others. Got 'C' i"):
        faults.Other(lambda labels: [True, "C"], "odd", columns=[0]).cases(table)


def test_a_function_without_a_name_needs_words():
    with pytest.raises(ValueError, match="words must say what a function without a name does"):
        faults.Other(lambda x: x)
    with pytest.raises(ValueError, match="words must say what a function without a name does"):
        faults.Other(functools.partial(half_of_it))


def test_a_function_is_needed():
    with pytest.raises(ValueError, match=r"function must be a function of a column's values. Got 3 instead."):
        faults.Other(3)
