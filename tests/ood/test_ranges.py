"""What people say that columns may be: read once for everything that takes `ranges`, with errors that name them."""

import math

import numpy as np
import pytest

from knowlimits.ood.ranges import DATA, Ranges

NAMES = ["age", "ward", "lactate"]
ROWS = np.array([[30.0, 1.5], [40.0, np.nan], [50.0, 0.5]])


def ends(ranges):
    return list(zip(ranges.low.tolist(), ranges.high.tolist(), strict=True))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [(-math.inf, math.inf)] * 2),
        ({}, [(-math.inf, math.inf)] * 2),
        ({"age": (0, 120)}, [(0, 120), (-math.inf, math.inf)]),
        ({2: [None, 20], "age": np.array([1, 2])}, [(1, 2), (-math.inf, 20)]),
        ({"age": (-math.inf, 120), "lactate": (0, None)}, [(-math.inf, 120), (0, math.inf)]),
        ({np.int64(0): (5, 5)}, [(5, 5), (-math.inf, math.inf)]),
        ({"lactate": DATA}, [(-math.inf, math.inf), (0.5, 1.5)]),
        (DATA, [(30, 50), (0.5, 1.5)]),
    ],
)
def test_what_is_said(given, expected):
    ranges = Ranges.of(given, NAMES, [0, 2])
    assert ranges.names == ("age", "lactate")
    said = ranges.in_data(ROWS)
    assert ends(said) == expected
    assert not said.observed.any()
    assert said.stated == any(math.isfinite(end) for pair in expected for end in pair)


def test_all_columns_may_be_of_numbers():
    assert ends(Ranges.of({"ward": (0, 1)}, NAMES))[1] == (0, 1)


def test_what_data_say_of_a_column_of_gaps_is_nothing():
    said = Ranges.of(DATA, ["a"]).in_data(np.array([[np.nan]]))
    assert ends(said) == [(-math.inf, math.inf)]


def test_what_is_outside():
    ranges = Ranges.of({"age": (0, 40), "lactate": (1, None)}, NAMES, [0, 2])
    assert ranges.outside(ROWS).tolist() == [[False, False], [False, False], [True, True]]
    # Nothing lies beyond an end that a narrower type has as infinite.
    wide = Ranges.of({0: (-1e300, 1e300)}, ["a"])
    assert not wide.outside(np.array([[3e38]]), [np.dtype(np.float32)]).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([(0, 1)], r"ranges must be a dict, such as {'age': \(0, 120\)}, or 'data' .* Got list instead"),
        ("observed", "ranges must be 'data', for what the data have, or numbers. Got 'observed' instead"),
        ({"aeg": (0, 1)}, "ranges must name columns of X, or count them from 0. Got 'aeg' instead: did you mean 'age'"),
        ({"x": (0, 1)}, "Got 'x' instead: they are age, ward, lactate."),
        ({3: (0, 1)}, "ranges must name columns of X, or count them from 0. Got 3 instead"),
        ({-1: (0, 1)}, "Got -1 instead"),
        ({True: (0, 1)}, "Got True instead"),
        ({"ward": (0, 1)}, "ranges must be of columns of numbers. Got one for 'ward', which has none"),
        ({"ward": DATA}, "ranges must be of columns of numbers. Got one for 'ward', which has none"),
        ({"age": (0, 1), 0: (0, 1)}, "ranges must say once what a column may be. Got 'age' and 0, which are one"),
        ({"age": (120, 0)}, r"ranges\['age'\] must have its lower end first. Got \(120, 0\) instead"),
        ({"age": 120}, r"ranges\['age'\] must be two numbers, \(low, high\), or 'data'.* Got 120 instead"),
        ({"age": (0, 1, 2)}, r"Got \(0, 1, 2\) instead"),
        ({"age": ("0", 1)}, r"Got \('0', 1\) instead"),
        ({"age": (False, 1)}, r"Got \(False, 1\) instead"),
        ({"age": None}, "Got None instead"),
        ({"age": {0, 1}}, r"Got {0, 1} instead"),
        ({"age": "01"}, r"ranges\['age'\] must be 'data'"),
        ({"age": (0, math.nan)}, r"ranges\['age'\] must have two numbers. Got \(0, nan\) instead"),
        ({"age": (math.inf, None)}, r"ranges\['age'\] must have numbers inside. Got \(inf, None\) instead"),
        ({"age": (0, 10**400)}, r"ranges\['age'\] must have numbers of at most 1.8e308"),
    ],
)
def test_what_is_no_range(given, message):
    with pytest.raises(ValueError, match=message):
        Ranges.of(given, NAMES, [0, 2])


def test_numbers_that_are_names():
    assert ends(Ranges.of({0: (0, 1)}, ["0", "1"]))[0] == (0, 1)
    assert ends(Ranges.of({"0": (0, 1)}, ["1", "0"]))[1] == (0, 1)
    assert ends(Ranges.of({7: (0, 1)}, ["5", "7"]))[1] == (0, 1)
    with pytest.raises(ValueError, match="Got 0, which counts one column and names another: say '0' for the one of this name"):
        Ranges.of({0: (0, 1)}, ["1", "0"])
