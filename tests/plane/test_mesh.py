"""Meshes as values, cut by affine functions whose cells are known."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from knowlimits.plane.mesh import Mesh, pack


def refined(mesh, functions, exact=None):
    """A mesh cut by functions ``(3, units)`` of homogeneous points, with their values and positive units."""
    values = mesh.points @ np.array(functions, dtype=float).T
    mesh, values, _, pos = mesh.refine(values, np.zeros((mesh.vertices, 2)), exact, None)
    np.testing.assert_allclose(values, mesh.points @ np.array(functions, dtype=float).T, atol=1e-9)
    np.testing.assert_array_equal(pos, pack(values > 0))
    return mesh


def polygons(mesh):
    return [mesh.corners[a:b].tolist() for a, b in zip(mesh.starts[:-1], mesh.starts[1:], strict=True)]


def area(mesh, polygon):
    x, y = mesh.points[polygon, :2].T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_a_line_through_corners_makes_no_vertices():
    mesh = refined(Mesh.box(0, 1, 0, 1), [[1, -1, 0]])
    assert mesh.vertices == 4
    assert [area(mesh, p) for p in polygons(mesh)] == [0.5, 0.5]


def test_a_line_through_one_corner_makes_one_vertex():
    mesh = refined(Mesh.box(0, 1, 0, 1), [[1, -2, 0]])
    assert mesh.vertices == 5
    assert sorted(area(mesh, p) for p in polygons(mesh)) == [0.25, 0.75]


def test_both_sides_share_the_vertices_of_a_cut():
    mesh = refined(Mesh.box(0, 1, 0, 1), [[1, 0, -0.25]])
    first, second = polygons(mesh)
    assert set(first) & set(second) == {4, 5}
    assert sorted([area(mesh, first), area(mesh, second)]) == [0.25, 0.75]
    assert mesh.parents[4:, 2].tolist() == [0, 0]


def test_a_segment_is_cut_once():
    mesh = refined(Mesh.of_polygons(np.array([[0, 0, 1], [1, 0, 0]]), np.zeros(2), [[0, 1]]), [[1, 0, -3]])
    assert polygons(mesh) == [[0, 2], [2, 1]]
    np.testing.assert_allclose(mesh.points[2] / mesh.points[2, 2], [3, 0, 1])


def test_lines_in_general_position_make_as_many_cells_as_they_must():
    """n lines cut the plane into 1 + n + n (n - 1) / 2 cells; enough of them that all room is short once, over two words."""
    n = 70
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, n)
    lines = np.c_[np.cos(angles), np.sin(angles), np.random.default_rng(1).normal(size=n)]
    start = Mesh.box(-1e4, 1e4, -1e4, 1e4)
    mesh = refined(start, lines)
    assert mesh.cells == 1 + n + n * (n - 1) // 2
    assert sum(area(mesh, p) for p in polygons(mesh)) == pytest.approx(4e8)
    # Two to a line at the rim, and one where two meet.
    assert mesh.vertices == 4 + 2 * n + n * (n - 1) // 2


def test_a_refined_mesh_is_a_new_value():
    start = Mesh.plane()
    before = {f.name: np.copy(getattr(start, f.name)) for f in fields(start) if isinstance(getattr(start, f.name), np.ndarray)}
    once = refined(start, [[1, 0, -1]])
    twice = refined(once, [[0, 1, -1], [1, 1, -1]])
    assert (len(start.history), len(once.history), len(twice.history)) == (0, 1, 2)
    assert start.cells == 3 < once.cells < twice.cells
    assert [len(p) for p in once.patterns()] == [once.cells]
    assert [len(p) for p in twice.patterns()] == [twice.cells] * 2
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(start, name), array)
    with pytest.raises(FrozenInstanceError):
        start.points = twice.points


def test_who_decides_a_sign_sees_the_vertices_that_are_under_way():
    """A unit that is in doubt where another has just put a vertex: asked with that vertex's edge and its place."""
    asked = []

    def exact(vertex, lineage):
        asked.append((vertex, lineage.step, lineage.provenance(vertex), lineage.point(vertex)))
        return [0, 0], np.zeros(2)

    mesh = Mesh.box(0, 2, 0, 2)
    # Both are zero at x = 1; the second is known so badly that its zeros are in doubt.
    values = (mesh.points @ np.array([[1.0, 1.0], [0, 0], [-1, -1 - 1e-12]])) * 1.0
    refined, values, _, _ = mesh.refine(values, np.full((4, 2), 1e-12), exact, None)
    assert [vertex for vertex, *_ in asked] == [5, 4]
    assert {step for _, step, *_ in asked} == {0}
    for vertex, _, (a, b, unit, step), point in asked:
        assert (unit, step) == (0, 0)
        assert {a, b} in ({0, 2}, {1, 3})
        np.testing.assert_allclose(point, refined.points[vertex])
    assert refined.resolved == 2
    assert refined.cells == 2
    assert (values[[4, 5]] == 0).all()
    assert mesh.resolved == 0
