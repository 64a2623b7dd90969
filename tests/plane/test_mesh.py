"""Meshes as values, cut by affine functions whose cells are known."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from knowlimits.plane.mesh import Mesh, UnitRows, pack
from knowlimits.plane.refinement import Decided, refine


def rows(values, error=0.0, slope=1e4):
    """Values known up to an error, of functions no steeper than this."""
    return UnitRows(values, *(np.full((len(values), 1), bound) for bound in (error, slope)))


def of_places(functions):
    """Decides signs of functions by the stored places, near which they are zero."""

    def exact(vertices, cells, lineage):
        values = lineage.points[vertices] @ np.array(functions, dtype=float).T
        signs = np.sign(np.where(np.abs(values) < 1e-9, 0, values))
        return Decided(signs.astype(np.int8), lineage.points[vertices], np.ones(len(vertices), bool))

    return exact


def refined(mesh, functions):
    """A mesh cut by functions ``(3, units)`` of homogeneous points, with their values and positive units."""
    exact = of_places(functions)
    values = mesh.points @ np.array(functions, dtype=float).T
    steepest = np.linalg.norm(np.array(functions, dtype=float), axis=1).max()
    mesh, found, pos, neg = refine(mesh, rows(values, slope=steepest), exact, None)
    np.testing.assert_allclose(found.values, mesh.points @ np.array(functions, dtype=float).T, atol=1e-9)
    np.testing.assert_array_equal(pos, pack(found.values > 0))
    np.testing.assert_array_equal(neg, pack(found.values < 0))
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
    """A unit that is in doubt where another has just put vertices: asked with their lines and places, and a cell."""
    asked = []

    def exact(vertices, cells, lineage):
        asked.append((vertices.tolist(), cells.tolist(), lineage))
        return Decided(np.zeros((len(vertices), 2), np.int8), lineage.points[vertices], np.ones(len(vertices), bool))

    mesh = Mesh.box(0, 2, 0, 2)
    # Both are zero at x = 1; the second is known so badly that its zeros are in doubt.
    values = (mesh.points @ np.array([[1.0, 1.0], [0, 0], [-1, -1 - 1e-12]])) * 1.0
    result, found, *_ = refine(mesh, rows(values, 1e-12), exact, None)
    ((vertices, cells, lineage),) = asked
    assert (sorted(vertices), cells, lineage.step) == ([4, 5], [0, 0], 0)
    for vertex in vertices:
        a, b, unit = lineage.parents[vertex].tolist()
        assert unit == 0
        assert {a, b} in ({0, 2}, {1, 3})
        assert lineage.lines[vertex].tolist() == [0, 0, -1 - a, b]
        np.testing.assert_allclose(lineage.points[vertex], result.points[vertex])
    assert (result.status.resolved, result.status.integers, result.cells) == (2, 2, 2)
    assert (found.values[[4, 5]] == 0).all()
    assert mesh.status.resolved == 0


def test_lines_of_edges_between_corners_that_were_there_are_kept():
    """A diagonal of a square, and a line that crosses it: the vertex lies on the two, not on a side of the square."""
    mesh = refined(Mesh.box(0, 1, 0, 1), [[1, -1, 0]])
    mesh = refined(mesh, [[1, 1, -1.25]])
    inner = np.flatnonzero((mesh.parents[:, 0] >= 0) & np.isclose(mesh.points[:, 0], 0.625))
    assert len(inner) == 1
    assert mesh.lines[inner[0]].tolist() == [1, 0, 0, 0]


def test_what_contradicts_a_proven_sign_is_an_error():
    """Exact arithmetic that has another sign where floats are sure is of another model."""

    def exact(vertices, cells, lineage):
        return Decided(np.full((len(vertices), 2), -1, np.int8), lineage.points[vertices], np.ones(len(vertices), bool))

    mesh = Mesh.box(0, 2, 0, 2)
    values = mesh.points @ np.array([[1.0, 1.0], [0, 0], [1, -1 - 1e-12]])
    with pytest.raises(ValueError, match="same operations in the same order"):
        refine(mesh, rows(values, 1.5), exact, None)
