"""The log ratio: what it is of, how it falls along rays, what bounds it in balls, and what its columns add."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp

from knowlimits.ood.density.ratio import LogRatio


def drawn(seed, d, k, reach=4.0, steepness=2.0):
    """A random ratio of regular factors."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) / np.sqrt(max(d, 1)) + np.eye(d)
    parts = rng.normal(size=d), rng.uniform(0.1, 10, size=d), rng.normal(size=k), factors, rng.normal(size=(k, d))
    return LogRatio(*parts, reach, steepness), rng


RATIOS = st.tuples(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4))


def by_definition(ratio, x):
    """Row by row, as the module says it."""
    values = []
    for row in x:
        z = (row - ratio.centre) / ratio.scale
        terms = [
            c - 0.5 * ((f @ z - s) ** 2).sum() for c, f, s in zip(ratio.constants, ratio.factors, ratio.shifts, strict=True)
        ]
        beyond = sum(max(abs(each) - ratio.reach, 0) ** 2 for each in z)
        values.append(logsumexp(terms) - ratio.steepness * beyond)
    return np.array(values)


@given(RATIOS)
@settings(max_examples=25, deadline=None)
def test_it_is_what_its_definition_says(drawing):
    ratio, rng = drawn(*drawing)
    x = ratio.centre + ratio.scale * rng.normal(size=(20, len(ratio.centre))) * rng.choice([1, 10], size=(20, 1))
    np.testing.assert_allclose(ratio(x), by_definition(ratio, x), rtol=1e-10, atol=1e-10)


@given(RATIOS)
@settings(max_examples=25, deadline=None)
def test_parts_add_up_to_the_nearest_component(drawing):
    ratio, rng = drawn(*drawing)
    x = ratio.centre + 5 * ratio.scale * rng.normal(size=(20, len(ratio.centre)))
    terms = ratio.of_components(ratio.standardized(x))
    beyond = ratio.steepness * (np.maximum(np.abs(ratio.standardized(x)) - ratio.reach, 0) ** 2).sum(1)
    expected = ratio.constants[terms.argmax(0)] - terms.max(0) + beyond
    np.testing.assert_allclose(ratio.parts(x).sum(1), expected, rtol=1e-9, atol=1e-9)


@given(RATIOS)
@settings(max_examples=25, deadline=None)
def test_it_falls_along_rays_as_its_growth_says(drawing):
    ratio, rng = drawn(*drawing)
    d = len(ratio.centre)
    starts, directions = rng.normal(size=(2, 12, d))
    directions[0], directions[1, 1:] = 0, 0
    growth = ratio.growth(starts, directions)
    far = 1e12
    np.testing.assert_array_equal(growth.power, [0] + [2] * 11)
    assert (growth.coefficient[1:] > 0).all()
    np.testing.assert_allclose(-ratio(starts + far * directions)[1:] / far**2, growth.coefficient[1:], rtol=1e-5)
    assert growth.coefficient[0] == pytest.approx(-ratio(starts[:1])[0], rel=1e-12)


@given(RATIOS, st.floats(-30, 0))
@settings(max_examples=25, deadline=None)
def test_it_stays_below_a_level_beyond_its_radii(drawing, level):
    ratio, rng = drawn(*drawing)
    starts, directions = rng.normal(size=(2, 12, len(ratio.centre)))
    radii = ratio.radii(starts, directions, level)
    assert np.isfinite(radii).all()
    for factor in (1.0, 1.1, 2.0, 100.0):
        assert (ratio(starts + factor * radii[:, None] * directions) <= level + 1e-9 * (1 + abs(level))).all()
    every = ratio.radii(starts[:, None], directions, level)
    np.testing.assert_allclose(every.diagonal(), radii, rtol=1e-9)


def test_radii_are_reached_by_one_component_without_a_reach():
    ratio, rng = drawn(3, 3, 1, reach=np.inf, steepness=0.0)
    starts, directions = ratio.centre + rng.normal(size=(10, 3)) * 0.1, rng.normal(size=(10, 3))
    level = float(ratio(starts).min()) - 1
    radii = ratio.radii(starts, directions, level)
    np.testing.assert_allclose(ratio(starts + radii[:, None] * directions), level, rtol=1e-9)


@given(RATIOS, st.floats(0, 20))
@settings(max_examples=25, deadline=None)
def test_no_point_of_a_ball_is_above_its_bound(drawing, radius):
    ratio, rng = drawn(*drawing)
    d = len(ratio.centre)
    centres = ratio.centre + 5 * ratio.scale * rng.normal(size=(10, d))
    bounds = ratio.largest_in_ball(centres, radius)
    for _ in range(200):
        way = rng.normal(size=(10, d))
        way *= radius * rng.uniform(size=(10, 1)) ** (1 / d) / np.linalg.norm(way, axis=1, keepdims=True)
        assert (ratio(centres + way) <= bounds + 1e-8 * (1 + np.abs(bounds))).all()


def test_the_bound_in_a_ball_is_what_an_optimiser_finds():
    ratio, _ = drawn(5, 5, 1, reach=np.inf, steepness=0.0)
    centre = ratio.centre + 4 * ratio.scale
    for radius in (0.01, 3.0, 1e4):
        ball = {"type": "ineq", "fun": lambda s, radius=radius: 1 - (s @ s) / radius**2}
        found = [
            -minimize(
                lambda s: -float(ratio((centre + s)[None])[0]), start * radius, constraints=[ball], options={"maxiter": 500}
            ).fun
            for start in np.eye(5) * 0.5
        ]
        assert ratio.largest_in_ball(centre[None], radius)[0] == pytest.approx(max(found), rel=1e-5, abs=1e-5)


def test_where_squares_overflow_it_is_the_leading_term():
    ratio, _ = drawn(1, 3, 2)
    ways = np.array([[1.0, -1, 1], [1, 0, 0], [0, -1, 2]])
    rises = ratio.growth(np.zeros((3, 3)), ways).coefficient
    for size, near in ((1e99, 1e-6), (1e101, 1e-12), (1e150, 1e-12)):
        np.testing.assert_allclose(ratio(size * ways), -rises * size**2, rtol=near)
    # Beyond all floats, without a nan: so too where the units are so small that the rows themselves overflow.
    assert (ratio(1e300 * ways) == -np.inf).all()
    with np.errstate(over="ignore"):
        assert (replace(ratio, scale=ratio.scale * 1e-200)(1e300 * ways) == -np.inf).all()
    assert np.isfinite(ratio(np.array([[1e300, 0, 0], [0.0, 0, 0]]))[1])


def test_without_numbers_it_is_constant():
    ratio = LogRatio(np.zeros(0), np.zeros(0), np.zeros(1), np.zeros((1, 0, 0)), np.zeros((1, 0)), 0.0, 0.0)
    x = np.zeros((4, 0))
    np.testing.assert_array_equal(ratio(x), 0)
    assert ratio.parts(x).shape == (4, 0)
    np.testing.assert_array_equal(ratio.largest_in_ball(x, 3.0), 0)


def test_arrays_bring_it_back():
    ratio, rng = drawn(2, 4, 3)
    x = rng.normal(size=(10, 4)) * 20
    np.testing.assert_array_equal(LogRatio.of_arrays(ratio.arrays())(x), ratio(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"factors": np.zeros_like(a["factors"])}, "factors of a log ratio must be regular"),
        (lambda a: a | {"factors": a["factors"] * np.array([1, 1, 0.0])}, "factors of a log ratio must be regular"),
        (lambda a: a | {"scale": -a["scale"]}, "scale, reach and steepness of a log ratio must be positive"),
        (lambda a: a | {"steepness": np.array(-1.0)}, "scale, reach and steepness of a log ratio must be positive"),
        (lambda a: a | {"centre": a["centre"] * np.nan}, "centre of a log ratio must be finite"),
        (lambda a: a | {"shifts": a["shifts"][:1]}, r"shifts of a log ratio must have shape \(2, 3\)"),
        (lambda a: {}, "Got nothing instead"),
        (lambda a: a | {"more": np.zeros(1)}, "Got centre, constants, factors, more"),
    ],
)
def test_arrays_of_what_would_not_fall_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LogRatio.of_arrays(change(drawn(0, 3, 2)[0].arrays()))


def test_parts_of_numbers_without_end_are_numbers():
    ratio, _ = drawn(1, 3, 2)
    parts = ratio.parts(np.array([[1e300, 0, 1e99], [-1e308, 1e308, 0]]))
    assert np.isfinite(parts).all()
    assert parts[0].argmax() == 0
