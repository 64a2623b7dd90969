"""A category that was never seen."""

import numpy as np
import pytest

from knowlimits import faults
from tests.faults.tables import NAN, became, one, ward


def test_a_category_never_seen():
    table = ward()
    case = one(faults.UnseenCategory(), table)
    assert (case.feature, case.words) == ("ward", "a category never seen")
    assert case.clause == "'ward' has a category that was never seen"
    np.testing.assert_array_equal(became(case, table), [[30, 1.5, 0, 2], [40, NAN, 1, 2], [50, 0.25, 1, 2]])
    assert case.ray is None


def test_refused():
    with pytest.raises(ValueError, match=r"UnseenCategory must have columns of categories. Got 'age', in which"):
        faults.UnseenCategory(columns=["age"]).cases(ward())
