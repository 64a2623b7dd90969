"""Sensors that are stuck, drift or saturate, by hand."""

import numpy as np
import pytest

from knowlimits import faults
from tests.faults.tables import NAN, became, cases, observed, one, ward


def test_a_stuck_sensor_repeats_a_reading():
    table = observed([[1.0, 5, 7], [2, NAN, 7], [4, 6, 7]])
    found = cases(faults.Stuck(), table)
    # One that has always said the same may be stuck already.
    assert list(found) == ["a", "b"]
    drawn = {tuple(became(found["b"], table, seed)[:, 1]) for seed in range(20)}
    assert drawn == {(5.0,) * 3, (6.0,) * 3}
    np.testing.assert_array_equal(became(found["b"], table, 3), became(found["b"], table, 3))
    assert found["a"].ray is None


def test_a_stuck_sensor_repeats_what_was_observed_in_other_rows():
    table = observed([[1.0], [2.0]])
    assert one(faults.Stuck(), table).change(np.array([[50.0], [60.0]]), np.random.default_rng(0))[0, 0] in (1.0, 2.0)


@pytest.mark.parametrize(
    ("deviations", "words", "clause"),
    [
        (3, "3 sd more", "'a' drifts up by 3 standard deviations"),
        (-1.0, "1 sd less", "'a' drifts down by 1 standard deviation"),
        (0.5, "0.5 sd more", "'a' drifts up by 0.5 standard deviations"),
    ],
)
def test_drift(deviations, words, clause):
    # Standard deviation 2.
    table = observed([[1.0, 3], [5, 3], [NAN, 3]])
    case = one(faults.Drift(deviations), table)
    assert (case.words, case.clause) == (words, clause)
    np.testing.assert_array_equal(became(case, table)[:, 0], [1 + 2 * deviations, 5 + 2 * deviations, NAN])
    np.testing.assert_array_equal(case.ray(table.rows), [[2 * deviations, 0]] * 2 + [[0, 0]])


def test_saturation():
    table = ward()
    found = cases(faults.Saturation(), table)
    assert list(found) == ["age", "lactate"]
    assert became(found["lactate"], table)[:, 1].tolist() == [1.5] * 3
    assert found["age"].clause == "'age' is at its largest value"
    assert found["age"].ray is None


def test_refused():
    with pytest.raises(ValueError, match=r"deviations must be another number than 0. Got 0."):
        faults.Drift(0)
    with pytest.raises(ValueError, match=r"deviations must be a number. Got inf instead."):
        faults.Drift(float("inf"))
