"""Functions along lines, whose ends are known: slopes, offsets and thresholds, and what is said to have none."""

import numpy as np
import pytest

from knowlimits.model import probing


def settled(function, start=0.3):
    """Where a function of one number settles, up from a start and down from it."""
    starts, ways, points = np.array([[start]]), np.ones((1, 1)), probing.grid(True)

    def rows(x):
        return np.asarray(function(x), dtype=np.float64)

    with np.errstate(all="ignore"):
        values = probing.on_lines(rows, starts, ways, points)
        line = probing.straight(starts, ways, points, values)
        up = probing.settle(rows, starts, ways, points, values)
        down = probing.settle(rows, starts, -ways, points, values[:, ::-1])
    return line, up, down


def test_a_straight_line():
    line, up, down = settled(lambda x: np.hstack([3 * x - 1, 0 * x + 7]))
    assert line.whole.all()
    np.testing.assert_array_equal(line.slopes, [[3, 0]])
    for side, sign in ((up, 1), (down, -1)):
        assert side.found.all()
        assert np.isneginf(side.thresholds).all()
        np.testing.assert_array_equal(side.slopes, [[3 * sign, 0]])
        np.testing.assert_allclose(side.offsets, [[-0.1, 7]], rtol=1e-14)


# A function, and the slope, offset and threshold of its end upwards from 0.3.
ENDS = {
    "ReLU": (lambda x: np.maximum(x, 0), 1, 0.3, -0.3),
    "clip": (lambda x: np.clip(x, -2, 5e7), 0, 5e7, 5e7 - 0.3),
    "two bends": (lambda x: np.abs(x - 4) + np.maximum(x - 1e5, 0), 2, 0.3 - 4 + 0.3 - 1e5, 1e5 - 0.3),
    "a step": (lambda x: np.floor(np.clip(x, 0, 9.5)), 0, 9, 8.7),
    "a shift": (lambda x: np.where(x > 1e6, x + 1, x), 1, 1.3, 1e6 - 0.3),
    "tanh": (np.tanh, 0, 1, None),
    "hyperbola": (lambda x: np.sqrt(x**2 + 1), 1, 0.3, None),
    "reciprocal": (lambda x: 1 / (1 + np.abs(x)), 0, 0, None),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name):
    function, slope, offset, threshold = ENDS[name]
    line, up, _ = settled(function)
    assert not line.whole.any()
    assert up.found.all()
    assert up.slopes == slope
    np.testing.assert_allclose(up.offsets, [[offset]], rtol=1e-7, atol=1e-6)
    if threshold is not None:
        np.testing.assert_allclose(up.thresholds, [threshold], rtol=1e-12, atol=1e-13)
    beyond = up.thresholds[0] + np.array([[0], [1], [1e3], [1e6]])
    np.testing.assert_allclose(function(0.3 + beyond), up.offsets + up.slopes * beyond, rtol=1e-10, atol=1e-8)


NOWHERE = {
    "sine": np.sin,
    "waves": lambda x: x + np.sin(x),
    "root": lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    "logarithm": lambda x: np.sign(x) * np.log1p(np.abs(x)),
    "square": np.square,
    "slowly straight": lambda x: x + np.log1p(np.abs(x)),
    "rounded": np.round,
    "a slow power": lambda x: (1 + np.abs(x)) ** -0.1,
    "beyond floats": np.exp,
}


@pytest.mark.parametrize("name", NOWHERE)
def test_what_does_not_settle_is_said_not_to(name):
    line, up, _ = settled(NOWHERE[name])
    assert not line.whole.any()
    assert not up.found.any()


def test_errors_of_rows_are_the_errors_of_their_side():
    def picky(x):
        if (x < 0).any():
            raise ValueError("below")
        return np.minimum(x, 2)

    starts, ways, points = np.array([[1.0], [3.0]]), np.array([[1.0], [0.0]]), probing.grid(True)
    values = probing.on_lines(picky, starts, ways, points)
    assert np.isnan(values[0, points < 0]).all()
    assert (values[1] == 2).all()
    np.testing.assert_array_equal(values[0, points >= 0, 0], np.minimum(1 + points[points >= 0], 2))
    each = probing.on_lines(picky, starts[:1], ways[:1], points[points > -1], sides=False)
    assert np.isfinite(each).all()


@pytest.mark.parametrize("edge", [0.0, -3.5, 1e-300, 7.25e90, np.pi])
def test_brackets_are_narrowed_to_neighbouring_floats(edge):
    found = probing.narrowed(lambda at: at >= edge, np.array([-10.0, edge - 1]), np.array([1e100, edge + 1]))
    np.testing.assert_array_equal(found, [edge, edge])
