"""Cells of the plane and of lines: against rational arithmetic, closed forms, forward passes and each other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import knowlimits as kl
from knowlimits.plane import Status, zeros
from tests.architectures import SkipMLP, randomized
from tests.oracles.cells import affine_map, cells


def stack(weights, biases):
    return kl.Stack(
        [torch.tensor(np.asarray(w, dtype=float))[None] for w in weights],
        [torch.tensor(np.asarray(b, dtype=float))[None] for b in biases],
    )


def lines(weights, biases):
    """A network with one hidden layer, of which every unit is a line."""
    return stack([weights, np.ones((1, len(weights)))], [biases, [0.0]])


def drawn(seed):
    """A small network; four of five are degenerate: small integers, zero biases, parallel, duplicate, dead, nearly parallel."""
    rng = np.random.default_rng(seed)
    sizes = [2, *rng.integers(1, 6, rng.integers(1, 4)), 1]
    weights, biases = [], []
    for i, o in zip(sizes[:-1], sizes[1:], strict=True):
        w, b = rng.normal(size=(o, i)), rng.normal(size=o)
        if seed % 5 == 1:
            w, b = rng.integers(-2, 3, (o, i)).astype(float), rng.integers(-1, 2, o).astype(float)
        elif seed % 5 == 2:
            w, b = w.round(1), np.zeros(o)
        elif seed % 5 == 3:
            w, b = w.round(1), b.round(1)
            if o > 1:
                # Times 0.3 and 0.1 they are parallel but for rounding: they meet beyond 1e15, or not at all.
                w[1], b[1] = w[0] * rng.choice([1, 2, -1, 0.5, 0.3]), b[0] * rng.choice([1, 2, 0.3])
            if o > 2:
                w[2] = 0
        elif seed % 5 == 4 and o > 1:
            w[1], b[1] = (v[0] + 10.0 ** -rng.integers(5, 15) * rng.normal(size=v[0].shape) for v in (w, b))
        weights.append(w)
        biases.append(b)
    return weights, biases


@pytest.mark.parametrize("block", range(10))
def test_cells_are_those_of_rational_arithmetic(block):
    """A thousand networks: the same patterns, and the same cells unbounded."""
    for seed in range(100 * block, 100 * block + 100):
        weights, biases = drawn(seed)
        expected = cells([w.tolist() for w in weights], [b.tolist() for b in biases])
        p = kl.partition(stack(weights, biases))
        assert {tuple(p.pattern(i).tolist()): not p.bounded[i] for i in range(len(p))} == expected, seed
        assert len(p) == len(expected)


def test_signs_in_doubt_are_decided_in_rational_arithmetic():
    """Three lines meet at (1/3, 1/3), which is no float; a generic network has no sign in doubt."""
    p = kl.partition(lines([[3, 0], [0, 3], [3, -3]], [-1, -1, 0]))
    assert counts(p) == (6, 6, 1)
    assert p.resolved > 0
    assert kl.partition(random_network(0)).resolved == 0


def counts(p):
    """Cells, unbounded cells, finite vertices at which lines meet."""
    return len(p), int((~p.bounded).sum()), int((p.corners & (p.vertices[:, 2] > 0)).sum())


NORMAL = np.random.default_rng(0).normal(size=(7, 2))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (lines(NORMAL, np.arange(7) - 2.5), (29, 14, 21)),
        (lines([[1, 2]] * 4, [0, 1, 2, 3]), (5, 5, 0)),
        (lines([[1, 0], [1, 1], [0, 1], [-1, 1], [2, 1]], [0] * 5), (10, 10, 1)),
        (lines([[1, 0], [1, 1], [0, 1], [-1, 1]], [-3, -4, -1, 2]), (8, 8, 1)),
        (lines([[1, 0]] * 3 + [[0, 1]] * 2, [0, 1, 2, 0, -1]), (12, 10, 6)),
        (lines([[1, 0], [2, 0], [0, 0]], [0, 0, -1]), (2, 2, 0)),
        (lines([[1, 0], [-1, 0], [0, 1], [0, -1]], [0] * 4), (4, 4, 1)),
        (lines([[0, 0]], [1]), (1, 1, 0)),
        (lines([[1, 0]], [-3]), (2, 2, 0)),
    ],
    ids=["general", "parallel", "concurrent", "concurrent off the origin", "grid", "duplicate", "abs", "none", "one"],
)
def test_closed_forms(network, expected):
    p = kl.partition(network)
    assert counts(p) == expected
    # The directions of the wedges are all directions, once.
    assert np.nansum(p.angles[:, 1] - p.angles[:, 0]) == pytest.approx(2 * np.pi)


def random_network(seed, sizes=(2, 16, 16, 2), members=1):
    generator = torch.Generator().manual_seed(seed)
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    weights = [torch.randn(members, o, i, generator=generator, dtype=torch.float64) for i, o in pairs]
    return kl.Stack(weights, [torch.randn(members, o, generator=generator, dtype=torch.float64) for _, o in pairs])


@pytest.mark.parametrize("seed", range(5))
def test_eulers_formula(seed):
    p = kl.partition(random_network(seed))
    edges = p._edges[0]
    inner = (p.vertices[edges, 2] > 0).any(1)
    finite = (p.vertices[:, 2] > 0) & p.corners
    assert finite.sum() - inner.sum() + len(p) == 1
    assert np.nansum(p.angles[:, 1] - p.angles[:, 0]) == pytest.approx(2 * np.pi)
    assert len(p.neighbours) == inner.sum()


def test_areas_in_a_box_add_up_to_the_box():
    p = kl.partition(random_network(0), box=(-3, 5, -2, 1))
    assert p.bounded.all()
    assert (p.area > 0).all()
    assert p.area.sum() == pytest.approx(24, rel=1e-12)
    assert not p.complete
    assert (p.locate([[9.0, 0], [0, 0]]) >= 0).tolist() == [False, True]


def test_cells_of_a_box_are_those_of_the_plane():
    network = random_network(1)
    whole, part = kl.partition(network), kl.partition(network, box=(-1e6, 1e6, -1e6, 1e6))
    assert whole.outermost < 1e6
    assert {w.tobytes() for w in map(whole.pattern, range(len(whole)))} == {
        w.tobytes() for w in map(part.pattern, range(len(part)))
    }


@pytest.mark.parametrize("members", [1, 3])
def test_locate_and_affine_agree_with_the_network(members):
    network = random_network(2, members=members)
    p = kl.partition(network)
    points = 4 * np.random.default_rng(0).normal(size=(100_000, 2))
    cell = p.locate(points)
    assert (cell >= 0).all()
    outputs = np.einsum("nok,nk->no", p.affine[cell], np.c_[points, np.ones(len(points))])
    expected = network(torch.tensor(points)).permute(1, 0, 2).reshape(len(points), -1)
    np.testing.assert_allclose(outputs, expected.detach(), rtol=1e-9, atol=1e-9)
    # Geometry says the same as the pattern.
    for i in range(0, 1000):
        assert p._nearest(points[i]) == cell[i]


def test_affine_maps_are_jacobians():
    network = random_network(3)
    p = kl.partition(network)
    for i in np.flatnonzero(p.bounded)[:50]:
        centre = p.vertices[p.polygon(i), :2].mean(0)
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None])[0, 0], torch.tensor(centre))
        np.testing.assert_allclose(p.affine[i, :, :2], jacobian, rtol=1e-9, atol=1e-12)


def test_neighbours_differ_in_the_unit_that_separates_them():
    p = kl.partition(random_network(4))
    for (a, b), unit in zip(p.neighbours[:300], p.separators[:300], strict=True):
        differ = np.flatnonzero(p.pattern(a) != p.pattern(b))
        assert differ[0] == unit


def described(p):
    """What tells a cell, in whatever order they come: its pattern, whether it is bounded, its corners and its area."""
    corners = [sorted(map(tuple, p.vertices[p.polygon(i)].round(6).tolist())) for i in range(len(p))]
    areas = p.area.round(6).tolist()
    return {p.pattern(i).tobytes(): (bool(p.bounded[i]), corners[i], areas[i]) for i in range(len(p))}


@pytest.mark.parametrize("box", [None, (-1.5, 2.0, -1.0, 1.0)])
def test_starts_do_not_change_the_cells(box):
    for seed in range(60):
        network = stack(*drawn(seed))
        one = kl.partition(network, box=box)
        other = kl.partition(network, box=box, starts=3 + seed % 9)
        assert len(one) == len(other)
        assert {w.tobytes() for w in map(one.pattern, range(len(one)))} == {
            w.tobytes() for w in map(other.pattern, range(len(other)))
        }
        assert counts(one) == counts(other), seed
        if box:
            assert one.area.sum() == pytest.approx(7.0) == other.area.sum()


def test_jobs_in_processes_give_the_same_cells():
    network = random_network(8)
    assert described(kl.partition(network, jobs=2)) == described(kl.partition(network))
    assert described(kl.partition(network, box=(-1, 1, -1, 1), jobs=2)) == described(kl.partition(network, box=(-1, 1, -1, 1)))
    with pytest.raises(MemoryError, match="max_cells must be larger"):
        kl.partition(network, starts=16, max_cells=150)


def test_linear_regions_are_those_of_rational_arithmetic():
    """Cells are joined where the maps that follow from their patterns are equal as fractions, and only there."""
    joined = 0
    for seed in range(100):
        weights, biases = drawn(seed)
        if seed % 3 == 0:
            # Units that nothing looks at.
            weights[-1][:, 0] = 0
        p = kl.partition(stack(weights, biases))
        regions = p.merged()
        maps = [affine_map(weights, biases, p.pattern(i).tolist()) for i in range(len(p))]
        group = {i: i for i in range(len(p))}

        def leader(i, group=group):
            return i if group[i] == i else leader(group[i])

        for a, b in p.neighbours.tolist():
            if maps[a] == maps[b]:
                group[leader(a)] = leader(b)
        expected = {frozenset(i for i in group if leader(i) == root) for root in {leader(i) for i in group}}
        assert {frozenset(np.flatnonzero(regions.number == r).tolist()) for r in range(len(regions))} == expected, seed
        joined += len(p) - len(regions)
    assert joined > 100


def test_a_region_with_a_hole():
    """1 - abs(x) - abs(y) where it is positive, else 0: four slopes, and all the rest of the plane."""
    first, second = [[1, 0], [-1, 0], [0, 1], [0, -1]], [[-1, -1, -1, -1]]
    p = kl.partition(stack([first, second, [[1.0]]], [[0] * 4, [1.0], [0.0]]))
    regions = p.merged()
    assert (len(p), len(regions)) == (8, 5)
    outside = int(regions.locate([[5.0, 5.0]])[0])
    outer, hole = regions.rings(outside)
    assert (regions.vertices[outer, 2] == 0).all()
    assert sorted(map(tuple, regions.vertices[hole].tolist())) == [(-1, 0, 1), (0, -1, 1), (0, 1, 1), (1, 0, 1)]
    x, y = regions.vertices[hole, :2].T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0
    assert regions.bounded.sum() == 4
    assert regions.area[regions.bounded].tolist() == [0.5] * 4
    assert not regions.affine[outside].any()
    assert len(regions.neighbours) == 8
    # Round the square, and from its centre to its corners.
    assert (regions.vertices[regions.edges, 2] > 0).any(1).sum() == 8


def test_rings_go_round_their_region():
    network = random_network(9, (2, 10, 10, 2))
    network.weights[2].data[:, :, :5] = 0
    regions = kl.partition(network, box=(-2, 2, -2, 2)).merged()
    assert len(regions) < len(regions.cells)
    for i in range(len(regions)):
        area = 0.0
        for ring in regions.rings(i):
            x, y = regions.vertices[ring, :2].T
            area += (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2
        assert area == pytest.approx(regions.area[i])


@pytest.mark.parametrize("planes", [2, 3, 5, 8])
def test_a_maximum_has_a_cell_for_each_winner(planes):
    """Tangent planes of a cone: each is the largest in one wedge, whoever comes second there."""
    angles = 2 * np.pi * np.arange(planes) / planes + 0.1
    linear = nn.Linear(2, planes).double()
    linear.weight.data = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    linear.bias.data.zero_()

    class Largest(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, x):
            return self.linear(x).amax(-1, keepdim=True)

    p = kl.partition(Largest())
    assert (len(p), (~p.bounded).sum()) == (planes, planes)
    winners = [np.flatnonzero(p.pattern(i)).tolist() for i in range(planes)]
    assert sorted(winners) == [[k] for k in range(planes)]
    middles = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert [winners[i] for i in p.locate(middles)] == [[k] for k in range(planes)]
    assert np.nansum(p.angles[:, 1] - p.angles[:, 0]) == pytest.approx(2 * np.pi)


def test_an_affine_change_of_the_plane_changes_no_count():
    network = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    rng = np.random.default_rng(0)
    origin, u, v = rng.normal(size=(3, 5))
    one = kl.partition(network, kl.Plane(origin, u, v))
    other = kl.partition(network, kl.Plane(origin + 2 * u - v, u + v, 3 * v - u))
    assert counts(one) == counts(other)
    points = rng.normal(size=(500, 2))
    values = np.einsum("nok,nk->no", one.affine[one.locate(points)], np.c_[points, np.ones(500)])
    lifted = kl.Plane(origin, u, v).lift(points)
    np.testing.assert_allclose(values, network(torch.tensor(lifted)).detach(), atol=1e-10)


def test_planes():
    X = np.random.default_rng(0).normal(size=(50, 4))
    through = kl.Plane.through(*X[:3])
    np.testing.assert_allclose(through.lift([[0, 0], [1, 0], [0, 1]]), X[:3])
    np.testing.assert_allclose(kl.Plane.pca(X).lift([[0, 0]])[0], X.mean(0))
    with pytest.raises(ValueError, match="must not be parallel"):
        kl.Plane([0, 0, 0], [1, 2, 3], [2, 4, 6])
    with pytest.raises(ValueError, match="v must have the shape of origin"):
        kl.Plane([0, 0], [1, 0], [1, 0, 0])
    with pytest.raises(ValueError, match="u must be finite"):
        kl.Plane([0, 0], [np.nan, 0], [1, 0])


class InPlace(nn.Module):
    """Views, work in place on them, and a residual connection."""

    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(2, 6), nn.Linear(6, 2)

    def forward(self, x):
        n = x.shape[0]
        h = self.enter(x)
        pairs = h.view(n, 2, 3)
        pairs[:, 0].relu_()
        h = h + torch.nn.functional.hardtanh(self.enter(x), -1, 1)
        return self.leave(torch.nn.functional.leaky_relu(h, 0.1))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 2),
    )


@pytest.mark.parametrize(
    ("make", "shape"),
    [(InPlace, (2,)), (SkipMLP, (6,)), (convolutional, (1, 6, 6)), (lambda: nn.Sequential(nn.Linear(2, 8), nn.ReLU6()), (2,))],
    ids=["in place", "skip MLP", "convolutional", "ReLU6"],
)
def test_any_piecewise_linear_module(make, shape):
    torch.manual_seed(0)
    network = randomized(make()).double()
    rng = np.random.default_rng(0)
    plane = None if shape == (2,) else kl.Plane(*rng.normal(size=(3, *shape)))
    p = kl.partition(network, plane)
    points = 2 * rng.normal(size=(2000, 2))
    cell = p.locate(points)
    values = np.einsum("nok,nk->no", p.affine[cell], np.c_[points, np.ones(2000)])
    inputs = points if plane is None else plane.lift(points)
    with torch.no_grad():
        expected = network(torch.tensor(inputs)).reshape(2000, -1)
    np.testing.assert_allclose(values, expected, atol=1e-9)
    assert len(p) > 10
    for i in range(200):
        assert p._nearest(points[i]) == cell[i]


def test_exact_signs_of_a_convolutional_network():
    """Small integers everywhere, so that vertices lie on many lines at once, in a module that is no Stack."""
    torch.manual_seed(1)
    network = convolutional().double().eval()
    for parameter in network.parameters():
        parameter.data.mul_(3).round_()
    plane = kl.Plane(*np.random.default_rng(0).integers(-1, 2, size=(3, 1, 6, 6)))
    p = kl.partition(network, plane)
    assert p.resolved > 0
    assert np.nansum(p.angles[:, 1] - p.angles[:, 0]) == pytest.approx(2 * np.pi)
    points = np.random.default_rng(0).normal(size=(500, 2))
    cell = p.locate(points)
    values = np.einsum("nok,nk->no", p.affine[cell], np.c_[points, np.ones(500)])
    with torch.no_grad():
        np.testing.assert_allclose(values, network(torch.tensor(plane.lift(points))), atol=1e-9)


def tent(times):
    one = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        one[0].weight.copy_(torch.tensor([[1.0], [1.0]]))
        one[0].bias.copy_(torch.tensor([0.0, -0.5]))
        one[2].weight.copy_(torch.tensor([[2.0, -4.0]]))
        one[2].bias.zero_()
    return nn.Sequential(*[one] * times)


@pytest.mark.parametrize("times", [1, 2, 3, 6])
def test_tents_on_a_line(times):
    inside = kl.breakpoints(tent(times), [0.0], [1.0])
    assert len(inside) + 1 == 2**times
    np.testing.assert_array_equal(np.abs(inside.affine[:, 0, 0]), 2**times)
    np.testing.assert_array_equal(inside.positions, np.arange(1, 2**times) / 2**times)
    left, right = (kl.breakpoints(tent(times), [0.5], direction=[d]) for d in (-1.0, 1.0))
    middle = {1: 3}.get(times, 2**times + 2)
    # The kink at 1/2, where both rays begin, is in neither.
    assert len(left) + len(right) + 2 == middle
    assert right.end == np.inf


@pytest.mark.parametrize("times", [1, 2, 3])
def test_serras_bound_is_met(times):
    one = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        one[0].weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
        one[0].bias.copy_(torch.tensor([-0.25, -0.5, 0.75]))
        one[2].weight.copy_(torch.tensor([[-12.0, 8.0, -8.0]]))
        one[2].bias.fill_(5.0)
    network = nn.Sequential(*[one] * times)
    # From far left to far right: a segment long enough to hold every kink.
    assert len(kl.breakpoints(network, [-50.3], [50.9])) + 1 == 4**times


def test_breakpoints_are_where_a_line_crosses_the_partition():
    network = random_network(5)
    p = kl.partition(network)
    start, direction = np.array([0.3, -0.2]), np.array([1.0, 0.37])
    kinks = kl.breakpoints(network, start, direction=direction)
    middles = np.concatenate([[kinks.positions[0] / 2], (kinks.positions[1:] + kinks.positions[:-1]) / 2])
    crossed = p.locate(start + middles[:, None] * direction)
    assert (np.diff(crossed) != 0).all()
    assert len(set(crossed.tolist())) == len(crossed)
    for position in kinks.positions:
        before, after = p.locate(start + (position + np.array([[-1e-7], [1e-7]])) * direction)
        assert before != after
    t = np.linspace(0, 2 * kinks.positions[-1], 300)
    piece = np.searchsorted(kinks.positions, t)
    values = np.einsum("nok,nk->no", kinks.affine[piece], np.c_[t, np.ones(300)])
    expected = network(torch.tensor(start + t[:, None] * direction))[0].detach()
    np.testing.assert_allclose(values, expected, rtol=1e-8, atol=1e-8)
    assert kinks.positions[-1] == pytest.approx(kl.far_field(network, start[None], direction[None]).radius[0, 0])


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", [1, 3])
def test_horizon_agrees_with_far_field(members, classes):
    network = random_network(6, (2, 12, 12, classes), members)
    h = kl.horizon(network)
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 3000)
    far = kl.far_field(network, np.full((3000, 2), 0.7), np.stack([np.cos(angles), np.sin(angles)], axis=1))
    begin = h.angles[0, 0]
    arc = np.searchsorted(h.angles[:, 0], (angles - begin) % (2 * np.pi) + begin, side="right") - 1
    np.testing.assert_allclose(h.probs[:, arc], far.probs, atol=1e-9)
    assert abs(h.share(0.99) - (far.confidence() >= 0.99).mean()) < 0.05
    assert (h.angles[:, 1] - h.angles[:, 0]).sum() == pytest.approx(2 * np.pi)
    assert h.score("entropy").shape == h.confidence().shape == (len(h),)
    # No arc goes on beyond its ends: the limits, or a unit at least, change there.
    assert len(h) >= 2


def test_a_horizon_without_any_change():
    network = lines([[0.0, 0.0]], [1.0])
    h = kl.horizon(network)
    assert len(h) == 1
    assert h.share(0.99) == 0.0
    assert h.angles[0, 1] - h.angles[0, 0] == pytest.approx(2 * np.pi)


def test_members_apart_and_together():
    network = random_network(7, (2, 8, 2), members=3)
    alone = [kl.partition(network, member=m) for m in range(3)]
    together = kl.partition(network)
    assert len(together) > max(map(len, alone))
    as_list = kl.partition([network.member(m) for m in range(3)])
    assert counts(as_list) == counts(together)
    with pytest.raises(ValueError, match=r"member must be in 0 to 2. Got 3"):
        kl.partition(network, member=3)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_dead_and_duplicate_units_change_no_count(seed):
    weights, biases = drawn(seed)
    w, b = weights[0], biases[0]
    following = weights[1]
    more = stack(
        [np.vstack([w, w[:1], np.zeros((1, 2))]), np.hstack([following, following[:, :2] * 0 + 0.0])[:, : len(w) + 2]]
        if following.shape[1] > 1
        else [np.vstack([w, w[:1], np.zeros((1, 2))]), np.hstack([following, np.zeros((len(following), 2))])],
        [np.concatenate([b, b[:1], [-1.0]]), biases[1]],
    )
    plain = stack([w, following], [b, biases[1]])
    assert counts(kl.partition(more)) == counts(kl.partition(plain))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: kl.partition(net, box=(1, 0, 0, 1)), "box must be"),
        (lambda net: kl.partition(net, max_cells=20), "max_cells must be larger"),
        (lambda net: kl.partition(net, max_cells=0), "max_cells must be at least 1"),
        (lambda net: kl.partition(net, max_bytes=0), "max_bytes must be at least 1"),
        (lambda net: kl.partition(net, starts=2), "starts must be in 3 to 64. Got 2"),
        (lambda net: kl.partition(net, box=(0, 1, 0, 1), starts=65), "starts must be in 1 to 64. Got 65"),
        (lambda net: kl.partition(net, jobs=0), "jobs must be a whole number other than 0"),
        (lambda net: kl.partition(net).locate([[np.nan, 0]]), "points must be finite"),
        (lambda net: kl.breakpoints(net, [0, 0]), "end or direction must be given"),
        (lambda net: kl.breakpoints(net, [0, 0], [0, 0]), "must lead away"),
        (lambda net: kl.breakpoints(net, [0, 0], [1, 0, 0]), "end must be finite and of the shape of start"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises((ValueError, MemoryError), match=message):
        call(random_network(0))


def test_what_has_no_polytopes_is_refused():
    smooth = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    with pytest.raises(kl.UnsupportedOperation, match=r"tanh in 1 \(Tanh\).*not piecewise linear"):
        kl.partition(smooth)
    broken = nn.Linear(2, 2)
    broken.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"finite weights. Got weight"):
        kl.partition(broken)


class Recurrent(nn.Module):
    """Uses every number twice at each of its steps between two ReLUs, where dead units meet dead units."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        torch.manual_seed(1)
        self.first = nn.Linear(2, 16).double()
        # Alike on both sides of the difference, so that it is zero on many cells, and in doubt on the others.
        self.first.weight.data[8:] = self.first.weight.data[:8]
        self.first.bias.data[8:] = self.first.bias.data[:8]

    def forward(self, x):
        h = self.first(x).relu()
        for _ in range(self.steps):
            h = h + 0.5 * h
        return (h[:, :8] * 1.25 - h[:, 8:] * 1.25 + 0 * h[:, :8]).relu()[:, :2]


def test_telling_zeros_takes_work_by_the_number_of_operations(monkeypatch):
    counts = {}
    for steps in (5, 10, 20, 400):
        calls = []
        init = zeros.Origin.__init__

        def counting(self, given, versions, compute, init=init, calls=calls):
            def counted(taint):
                calls.append(1)
                return compute(taint)

            init(self, given, versions, counted)

        with monkeypatch.context() as patch:
            patch.setattr(zeros.Origin, "__init__", counting)
            kl.partition(Recurrent(steps))
        counts[steps] = len(calls)
    assert counts[5] > 0
    assert counts[20] - counts[10] == 2 * (counts[10] - counts[5])
    assert counts[400] - counts[20] == 38 * (counts[20] - counts[10])


def test_memory_is_bounded_beforehand():
    """More rows of values than allowed are never asked for; with parts of the plane, or less of it, there is enough."""
    network = convolutional().double().eval()
    plane = kl.Plane(*np.random.default_rng(0).normal(size=(3, 1, 6, 6)))
    whole = kl.partition(network, plane)
    most = 400_000
    with pytest.raises(MemoryError, match=r"max_bytes must be larger.*units at [\d,]+ vertices would take.*box=.*starts="):
        kl.partition(network, plane, max_bytes=most)
    in_parts = kl.partition(network, plane, max_bytes=most, starts=32)
    assert described(in_parts).keys() == described(whole).keys()
    assert len(kl.partition(network, plane, box=(-0.1, 0.1, -0.1, 0.1), max_bytes=most)) < len(whole)


def test_what_is_asked_for_stays_below_what_is_allowed(monkeypatch):
    """Every array of values at vertices, beside those that are held, from the smallest allowance to one that is enough."""
    from knowlimits.plane import refinement

    network, asked = random_network(0, (2, 40, 40, 2)), []
    longer = refinement._longer
    monkeypatch.setattr(refinement, "_longer", lambda array, size: asked.append(size * array[:1].nbytes) or longer(array, size))
    for power in range(12, 30):
        asked.clear()
        try:
            kl.partition(network, max_bytes=2**power)
            break
        except MemoryError:
            assert max(asked, default=0) < 2**power
    assert 15 < power < 29
    assert max(asked) < 2**power


def test_the_status_says_by_what_signs_were_decided():
    # Three lines through a point that is no float: sums of forms that are exact, of weights of 40 bits.
    forms = np.round(np.random.default_rng(0).normal(size=(2, 3)) * 2.0**40) / 2.0**40
    forms = np.concatenate([forms, forms[:1] + forms[1:], forms[:1] - forms[1:]])
    plain = kl.partition(random_network(0)).status
    assert plain == kl.partition(random_network(0), starts=5).status == Status()
    met = kl.partition(lines(forms[:, :2], forms[:, 2]))
    assert len(met) == 8
    assert met.status.integers > 0
    assert met.resolved == met.status.doubled + met.status.integers
    assert f"{met.status.integers:,} by integers" in str(met.status)
    assert kl.partition(lines(forms[:, :2], forms[:, 2]), starts=4).status.integers > 0


class Alternating(nn.Module):
    """The same function each time, of layers that change their turns."""

    def __init__(self, same_shape=True):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(2, 4), nn.Linear(2, 4)
        # Lines that meet in one point, so that signs have to be decided otherwise, and one that does not.
        self.first.bias.data = torch.tensor([0.0, 0, 0, 1])
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls % 2:
            a, b = self.first(x).relu(), self.second(x).relu()
        else:
            b, a = self.second(x).relu(), self.first(x).relu()
        return torch.cat([a, b], 1)[:, :2] + (a - b).relu().sum(1, keepdim=True)


def test_a_model_that_changes_its_order_is_refused():
    with pytest.raises(ValueError, match="same operations in the same order"):
        kl.partition(Alternating())
