"""Signs and places of vertices: against recursion in fractions, of every vertex by every cell that it is a corner of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

import knowlimits as kl
from knowlimits.follow.bounds import EPS
from knowlimits.plane import exact, integers, meeting, restriction, units
from knowlimits.plane.integers import Fine, IntegerMatrix, divided
from knowlimits.plane.mesh import Mesh
from knowlimits.plane.refinement import Lineage
from knowlimits.plane.restriction import PlaneModel
from tests.oracles.vertices import ByHistory
from tests.plane.test_partition import InPlace, convolutional, described, drawn, lines, stack


class Asked:
    """Asks about all vertices after each refinement, and counts; `decided` are the answers."""

    def __init__(self, monkeypatch, model, plane=None, mesh=None, outputs=False):
        on_plane = PlaneModel(model, plane)

        def run(domain, x):
            return on_plane._run_compared(domain, x, outputs)

        self.exact, self.decided, self.expected = exact.Exact(run), [], []
        refine, oracle = units.refine, ByHistory(run)

        def refined(mesh, *args):
            nonlocal oracle
            if not mesh.history:
                # From the beginning, maybe once more with bounds of every unit.
                self.exact, oracle, self.decided, self.expected = exact.Exact(run), ByHistory(run), [], []
            result = refine(mesh, *args)
            grown = result[0]
            lineage = Lineage(mesh, grown.points, grown.parents, grown.lines)
            origins = np.repeat(grown.history[-1].origins, np.diff(grown.starts))
            vertices, cells = np.unique([grown.corners, origins], axis=1)
            self.decided.append(self.exact(vertices, cells, lineage))
            # Whatever cell is asked about, the oracle says the same.
            each, index = np.unique(vertices, return_inverse=True)
            known = oracle(each, None, lineage)
            self.expected.append((known.signs[index], known.places[index]))
            return result

        with monkeypatch.context() as patch:
            patch.setattr(units, "refine", refined)
            on_plane.refine(Mesh.plane() if mesh is None else mesh, outputs=outputs)

    def check(self):
        """Signs and places are the oracle's."""
        for decided, (signs, places) in zip(self.decided, self.expected, strict=True):
            np.testing.assert_array_equal(decided.signs, signs)
            assert (np.abs(decided.places - places).max(1) <= 4 * EPS * np.abs(places).max(1)).all()
        return self

    @property
    def in_integers(self):
        return sum(int(decided.in_integers.sum()) for decided in self.decided)

    @property
    def vertices(self):
        return sum(len(decided.signs) for decided in self.decided)


@pytest.mark.parametrize("seed", range(30))
def test_signs_are_those_of_recursion(monkeypatch, seed):
    """Four of five are degenerate: small integers, zero biases, parallel, duplicate, dead and nearly parallel units."""
    Asked(monkeypatch, stack(*drawn(seed))).check()


def concurrent(times=1.0):
    """Three lines through (1/3, 1/3), which is no float, and one that passes it by 2**-60."""
    weights, biases = np.array([[3.0, 0], [0, 3], [3, -3], [3, 3]]), np.array([-1.0, -1, 0, -2 + 2.0**-51])
    return stack([weights * times, np.eye(4), np.ones((1, 4))], [biases * times, [0.0, 0, 0, -(2.0**-60) * times], [0.0]])


def integer_network():
    """Small integers everywhere, so that vertices lie on many lines at once."""
    torch.manual_seed(1)
    network = convolutional().double().eval()
    for parameter in network.parameters():
        parameter.data.mul_(3).round_()
    return network, kl.Plane(*np.random.default_rng(0).integers(-1, 2, size=(3, 1, 6, 6)))


def rounded(module):
    """Weights of few bits, with which fractions stay short."""
    module = module.double().eval()
    for parameter in module.parameters():
        parameter.data.mul_(8).round_().div_(8)
    return module


class Largest(nn.Module):
    """The largest of several along an axis, added to what goes round it."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(2, 5)

    def forward(self, x):
        h = self.enter(x)
        return torch.relu(h.amax(-1, keepdim=True) - 0.3 * h)


torch.manual_seed(0)


@pytest.mark.parametrize(
    ("model", "mesh"),
    [
        (concurrent(), Mesh.plane()),
        (concurrent(2.0**-600), Mesh.plane()),
        (concurrent(2.0**500), Mesh.plane(5)),
        (concurrent(), Mesh.box(-0.7, 1.9, -1 / 3, 0.6, 3)),
        (concurrent(), Mesh.circle()),
        (concurrent(), Mesh.of_polygons(np.array([[0, 0, 1], [1, 1, 0]]), np.zeros(2), [[0, 1]])),
        (rounded(InPlace()), Mesh.box(-1, 1, -1, 1)),
        (rounded(Largest()), Mesh.box(-2, 3, -1, 1)),
    ],
    ids=["concurrent", "small", "large", "box", "directions", "ray", "in place", "largest"],
)
def test_signs_of_modules_are_those_of_recursion(monkeypatch, model, mesh):
    Asked(monkeypatch, model, mesh=mesh).check()
    Asked(monkeypatch, model, mesh=mesh, outputs=True).check()


def test_signs_of_a_convolutional_network_are_those_of_recursion(monkeypatch):
    network, plane = integer_network()
    asked = Asked(monkeypatch, network, plane, Mesh.box(-0.1, 0.4, -0.2, 0.3)).check()
    assert asked.vertices > 100
    assert any((decided.signs == 0).sum() > len(decided.signs) for decided in asked.decided)


def joined_in_a_second_layer(shift):
    """Lines of weights with all their bits, and a unit of both that is as much as `shift` where they meet."""
    return stack([np.random.default_rng(0).normal(size=(2, 2)), [[0.7, 0.6]], [[1.0]]], [[0.3, -0.2], [shift], [0.0]])


@pytest.mark.parametrize(
    ("shift", "by_integers"), [(1e-20, False), (-1e-20, False), (1e-40, True), (-1e-40, True), (0.0, True)]
)
def test_double_length_decides_signs_of_1e_20_of_their_terms(monkeypatch, shift, by_integers):
    asked = Asked(monkeypatch, joined_in_a_second_layer(shift)).check()
    # In the directions of a line, a unit of a multiple of its form is zero.
    decided = asked.decided[1]
    assert decided.in_integers[decided.places[:, 2] > 0].any() == by_integers
    assert np.sign(shift) in decided.signs


def test_zeros_of_small_integers_take_no_integers(monkeypatch):
    """All that is made of them is a float: three lines meet in (1, 2), and in a second layer again."""
    weights, biases = [[1, 0], [0, 1], [1, 1]], [-1, -2, -3]
    asked = Asked(monkeypatch, stack([weights, [[1, 1, -1], [2, 1, 0]], [[1, 1]]], [biases, [0, 0], [0]])).check()
    assert (asked.decided[1].signs == 0).sum() > 3
    assert asked.in_integers == 0


def test_cells_go_through_the_model_a_number_at_a_time_and_each_once(monkeypatch):
    """In any portions the answers are the same, and vertices that share a cell are decided together."""
    followed = []
    find = exact.Exact._meetings

    def noted(self, kind, vertices, owners, cells, lineage):
        followed.append((self, kind.meet is meeting.in_doubles, len(cells)))
        return find(self, kind, vertices, owners, cells, lineage)

    def of(asked, in_doubles):
        return [cells for who, kind, cells in followed if who is asked.exact and kind == in_doubles]

    monkeypatch.setattr(exact.Exact, "_meetings", noted)
    rng = np.random.default_rng(0)
    weights = [0.3 * rng.integers(-2, 3, size) for size in ((6, 2), (6, 6), (1, 6))]
    network = stack(weights, [0.1 * np.arange(6.0)] * 2 + [[0.0]])
    whole = Asked(monkeypatch, network)
    assert len(of(whole, True)) == len(whole.decided)
    assert sum(of(whole, True)) < whole.vertices / 4
    for kind in ("_DOUBLES", "_INTEGERS"):
        monkeypatch.setattr(exact, kind, getattr(exact, kind)._replace(numbers=1500))
    monkeypatch.setattr(meeting, "_PRODUCTS", 40)
    portions = Asked(monkeypatch, network)
    assert sum(of(portions, True)) == sum(of(whole, True))
    assert len(of(portions, True)) > len(of(whole, True))
    assert len(of(portions, False)) > len(of(whole, False)) > 0
    for one, other in zip(whole.decided, portions.decided, strict=True):
        for name in ("signs", "places", "in_integers"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_larger_power_is_found(monkeypatch):
    plain, small = (Asked(monkeypatch, concurrent(share)).check() for share in (1.0, 2.0**-600))
    assert plain.exact._power == 256
    assert small.exact._power == 1024
    assert small.in_integers > 0


def two_lines(monkeypatch):
    """A model of two units, how often it was run, the vertex where their lines meet, and how it came about."""
    model, runs, asked = PlaneModel(lines([[1, 0], [0, 1]], [0, 0])), [], []
    refine = units.refine
    with monkeypatch.context() as patch:
        patch.setattr(units, "refine", lambda mesh, *args: asked.append((mesh, refine(mesh, *args))) or asked[-1][1])
        model.refine(Mesh.box(-1, 1, -1, 1))
    mesh, (grown, *_) = asked[0]
    vertex = np.flatnonzero((np.sort(grown.lines.reshape(-1, 2, 2), axis=1) == [[0, 0], [0, 1]]).all((1, 2)))
    assert len(vertex) == 1
    return (
        exact.Exact(lambda *args: runs.append(1) or model.run(*args)),
        runs,
        vertex,
        Lineage(mesh, grown.points, grown.parents, grown.lines),
    )


def test_cells_that_are_asked_about_again_are_kept(monkeypatch):
    decide, runs, vertex, lineage = two_lines(monkeypatch)
    cells = np.zeros(1, np.int64)
    for vertices in (vertex, vertex, np.array([0])):
        decide(vertices, cells, lineage)
        assert len(runs) == 1
    # Those of another mesh are others.
    decide(vertex, cells, lineage._replace(mesh=replace(lineage.mesh)))
    assert len(runs) == 2


def test_lines_that_are_the_same_are_an_error_and_no_sign(monkeypatch):
    decide, _, vertex, lineage = two_lines(monkeypatch)
    cells = np.zeros(1, np.int64)
    assert decide(vertex, cells, lineage).signs.tolist() == [[0, 0]]
    wrong = lineage.lines.copy()
    wrong[vertex, 2:] = wrong[vertex, :2]
    with pytest.raises(RuntimeError, match="two lines of a vertex are the same"):
        decide(vertex, cells, lineage._replace(lines=wrong))


def test_vertices_in_doubt_are_decided_together(monkeypatch):
    """A partition asks about many vertices at once; cells are those that recursion finds."""
    network, plane = integer_network()
    asked = []
    call = exact.Exact.__call__
    with monkeypatch.context() as patch:
        patch.setattr(exact.Exact, "__call__", lambda self, *args: asked.append(len(args[0])) or call(self, *args))
        cells = kl.partition(network, plane)
    # What was found out with bounds that were too coarse is asked again.
    assert sum(asked) >= cells.resolved > 10
    assert len(asked) < cells.resolved / 4
    monkeypatch.setattr(restriction, "Exact", ByHistory)
    assert described(kl.partition(network, plane)) == described(cells)


def test_products_are_those_of_fractions(monkeypatch):
    """With rows and columns of zeros, points of zeros, at more points than are worked on together."""
    monkeypatch.setattr(integers, "_PRODUCTS", 40)
    rng = np.random.default_rng(0)
    matrix = rng.integers(-3, 4, (6, 5)) / 8
    matrix[2] = matrix[5] = matrix[:, 1] = 0
    vectors = (rng.integers(-9, 10, (10, 5)) * 8).astype(object)
    vectors[3:6] = 0
    vectors[6:, 2:] = 0
    products = IntegerMatrix(csr_array(matrix)).times(vectors)
    assert products.dtype == object
    assert products.tolist() == (vectors.astype(int) @ (8 * matrix.T).astype(int) // 8).tolist()
    assert IntegerMatrix(csr_array(np.zeros((2, 5)))).times(vectors).tolist() == [[0, 0]] * 10


def test_what_is_no_integer_asks_for_a_larger_power():
    assert divided(np.array([8, -4, 0], dtype=object), 2).tolist() == [2, -1, 0]
    with pytest.raises(Fine):
        divided(np.array([8, -3], dtype=object), 2)
