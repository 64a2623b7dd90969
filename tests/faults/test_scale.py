"""Numbers in another scale, by hand."""

import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlimits import faults
from knowlimits.faults.scale import without_point
from tests.faults.tables import NAN, became, cases, observed, one, ward


def test_a_unit_multiplies_measurements_and_leaves_gaps():
    table = ward()
    found = cases(faults.Unit(1000), table)
    assert list(found) == ["age", "lactate"]
    np.testing.assert_array_equal(became(found["lactate"], table)[:, 1], [1500, NAN, 250])
    np.testing.assert_array_equal(became(found["age"], table)[:, 0], [30000, 40000, 50000])


@pytest.mark.parametrize(
    ("factor", "plus", "words", "how"),
    [
        (10, 0, "times 10", "arrives ten times too large"),
        (1000, 0, "times 1,000", "arrives a thousand times too large"),
        (1 / 1000, 0, "divided by 1,000", "arrives a thousand times too small"),
        (0.1, 0, "divided by 10", "arrives ten times too small"),
        (1 / 255, 0, "divided by 255", "arrives 255 times too small"),
        (2.54, 0, "times 2.54", "arrives 2.54 times too large"),
        (0.4536, 0, "times 0.4536", "arrives times 0.4536"),
        (1.8, 32, "times 1.8 plus 32", "arrives times 1.8 plus 32"),
        (1, 273.15, "plus 273.15", "arrives plus 273.15"),
        (1, -273.15, "minus 273.15", "arrives minus 273.15"),
    ],
)
def test_units_in_words(factor, plus, words, how):
    table = observed([[1.0], [2.0]], ["t"])
    case = one(faults.Unit(factor, plus), table)
    assert (case.words, case.clause) == (words, f"'t' {how}")
    np.testing.assert_allclose(became(case, table)[:, 0], [factor + plus, 2 * factor + plus], rtol=1e-15)


def test_a_unit_goes_on_along_the_row_itself():
    table = observed([[2.0, 5], [-3, 6], [0, 7], [NAN, 8]])
    case = cases(faults.Unit(10), table)["a"]
    np.testing.assert_array_equal(case.ray(table.rows), [[2, 0], [-3, 0], [0, 0], [0, 0]])
    # Every larger factor is on it.
    larger = cases(faults.Unit(1000), table)["a"]
    np.testing.assert_array_equal(became(larger, table), table.rows + 999 * case.ray(table.rows))


@pytest.mark.parametrize("fault", [faults.Unit(0.1), faults.Unit(1.8, 32), faults.Sign(), faults.LostPoint()])
def test_what_does_not_grow_is_no_ray(fault):
    assert one(fault, observed([[1.5], [2.25]])).ray is None


def test_columns_that_are_named_may_be_codes():
    table = ward()
    found = one(faults.Unit(10, columns="sick"), table)
    np.testing.assert_array_equal(became(found, table)[:, 2], [0, 10, 10])
    # They cannot move on, as measurements can.
    assert found.ray is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: faults.Unit(0), "factor must be a number above 0. Got 0 instead."),
        (lambda: faults.Unit(-1), "factor must be a number above 0. Got -1 instead."),
        (lambda: faults.Unit(NAN), "factor must be a number above 0. Got nan instead."),
        (lambda: faults.Unit("10"), "factor must be a number above 0. Got '10' instead."),
        (lambda: faults.Unit(True), "factor must be a number above 0. Got True instead."),
        (lambda: faults.Unit(10, float("inf")), "plus must be a number. Got inf instead."),
        (lambda: faults.Unit(1), "factor must be another number than 1, or plus than 0. Got neither."),
        (
            lambda: faults.Sign(columns=["ward"]).cases(ward()),
            "Sign must have columns of numbers. Got 'ward', which has categories: for these there is UnseenCategory, or Other",
        ),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make()


def test_a_sign_is_flipped_unless_all_is_zero():
    table = observed([[1.0, 0, 2], [-1, 0, NAN]])
    found = cases(faults.Sign(), table)
    assert list(found) == ["a", "c"]
    np.testing.assert_array_equal(became(found["c"], table), [[1, 0, -2], [-1, 0, NAN]])
    assert found["a"].clause == "the sign of 'a' is flipped"


def test_a_lost_point():
    table = observed([[3.75, 4.0, 1 / 3], [4.1, 5.0, 0.5], [4.0, NAN, 1.0], [-0.002, 7.0, 2.0]])
    case = one(faults.LostPoint(), table)
    # Whole numbers have no point, and nobody writes a third with one.
    assert case.feature == "a"
    np.testing.assert_array_equal(became(case, table)[:, 0], [375, 41, 4, -2])
    assert case.clause == "'a' loses its decimal point"


@given(st.decimals(-9999, 9999, allow_nan=False, places=6))
def test_a_lost_point_is_that_of_the_decimal(value):
    text = format(value.normalize(), "f")
    assert without_point(np.array([float(value)]))[0] == float(Decimal(text.replace(".", "")))


def test_large_numbers_have_no_point():
    assert faults.LostPoint().cases(observed([[1e305], [2e305]])) == []
