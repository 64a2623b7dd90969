"""Numbers that stand for gaps, against trees that are asked at each place by themselves."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from knowlimits.model.endings import Outputs
from knowlimits.model.families.recoded import Codes, Recoded, Whole
from knowlimits.model.families.trees import Tree, Trees
from knowlimits.testing import check_family


def stump(column: int, threshold: float, gap_left: bool, output: int = 0) -> Tree:
    none = np.array([-1, -1])
    value = np.array([[0.0], [1.0], [2.0 + column]])
    ways = np.array([gap_left, False, False])
    return Tree(
        np.array([column, 0, 0]),
        np.array([threshold, 0, 0]),
        np.r_[1, none],
        np.r_[2, none],
        value,
        output,
        ways,
    )


def family(codes: Codes, *gap_left: bool) -> Recoded:
    return Recoded(Trees([stump(k, 1.0, left) for k, left in enumerate(gap_left)], 1, returns=Outputs.LOGITS), [codes])


@given(
    code=st.sampled_from([-5.0, 0.0, 0.5, 1.0, 3.0]),
    wide=st.sampled_from([0.0, 0.25]),
    gap_left=st.tuples(st.booleans(), st.booleans()),
    start=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    way=st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
)
@settings(max_examples=300, deadline=None)
def test_nothing_changes_beyond_the_radius_and_something_before(code, wide, gap_left, start, way):
    assume(not (wide and code == 1.0))
    found = family(Codes(code - wide, code + wide, (0, 1)), *gap_left)
    x, d = np.array([start], dtype=float), np.array([way], dtype=float)
    ends = found.along(x, d)
    radius = ends.radius[0]
    # All places where anything can change are multiples of an eighth.
    places = np.arange(0, 30, 1 / 16)[:, None]
    said = found.at(x + places * d)[:, 0]
    beyond = places[:, 0] > radius
    assert (said[beyond] == ends.offset[0, 0]).all()
    assert radius == 0 or (said[~beyond] != ends.offset[0, 0]).any()
    if radius > 0:
        near = (places[:, 0] <= radius) & (places[:, 0] > radius - 1 / 8)
        assert (said[near] != ends.offset[0, 0]).any()


def test_the_contract():
    x = np.random.default_rng(0).integers(-3, 4, (50, 2)) + 0.5
    check_family(family(Codes(-1.0, -1.0, (0,)), True, False), x)


@pytest.mark.parametrize(
    ("whole", "given", "expected"),
    [(Whole.TOWARDS_ZERO, [-0.5, 1.7, -1.7], [0, 1, -1]), (Whole.DOWN_SINGLE, [-0.5, 1.7, 2.999999999], [-1, 1, 3])],
)
def test_numbers_are_made_whole(whole: Whole, given: list[float], expected: list[int]):
    np.testing.assert_array_equal(whole.of(np.array(given)), expected)


def test_what_it_is_given_stays_as_it_is():
    x = np.array([[5.0, 5.0]])
    found = family(Codes(5.0, 5.0, (0, 1)), True, True)
    found.along(x, np.zeros_like(x))
    np.testing.assert_array_equal(x, 5.0)
    assert found.described == "2 trees"
