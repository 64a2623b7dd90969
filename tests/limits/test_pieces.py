"""Piecewise-linear networks along segments, against kinks in fractions, softmax in more digits, and `kl.breakpoints`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from torch import nn

import knowlimits as kl
from knowlimits.follow import kernels
from knowlimits.limits import extremes, pieces, softmaxes
from knowlimits.limits.pieces import piecewise
from knowlimits.limits.stretches import SAME
from tests.oracles.segments import Confidence

F64 = torch.float64


def stack_of(members):
    """A `Stack` of members, each of weights and biases as lists of arrays."""
    weights, biases = zip(*members, strict=True)
    return kl.Stack(
        [torch.tensor(np.stack(w)) for w in zip(*weights, strict=True)],
        [torch.tensor(np.stack(b)) for b in zip(*biases, strict=True)],
    ).requires_grad_(False)


def drawn(seed, sizes, scale=1.0):
    rng = np.random.default_rng(seed)
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    return [scale * rng.normal(size=(o, i)) for i, o in pairs], [rng.normal(size=o) for _, o in pairs]


def oracle(members, start, end):
    return Confidence([([w.tolist() for w in ws], [b.tolist() for b in bs]) for ws, bs in members], list(start), list(end))


def check(members, starts, ends, level=0.9):
    """Hold what is found to the oracle, segment by segment."""
    found = piecewise(kl.read(stack_of(members)), starts, ends, level)
    assert found.exact.all()
    for k in range(len(starts)):
        truth = oracle(members, starts[k], ends[k])
        smallest, largest = truth.extremes()
        # A search may miss an extreme, which then is inside of what was found; what was found is taken where it says.
        assert found.smallest[k] <= smallest + 1e-9
        assert found.largest[k] >= largest - 1e-9
        for value, at in ((found.smallest[k], found.at_smallest[k]), (found.largest[k], found.at_largest[k])):
            assert 0 <= at <= 1
            assert abs(truth.at(at) - value) <= 1e-9
        np.testing.assert_allclose(found.probs[k], truth.probabilities([1.0])[0].astype(float), atol=1e-12)
        check_sure(truth, found.sure_from[k], level - SAME)
        check_changed(truth, found.changed_from[k])
    return found


def looked_at(truth):
    return np.unique(np.concatenate([truth.places, np.linspace(0, 1, 1001)]))


def beside(t, sign):
    return np.clip(t + sign * 10.0 ** -np.arange(10, 14), 0, 1)


def check_sure(truth, since, enough):
    if np.isnan(since):
        assert truth.probabilities([1.0]).max() < enough + 1e-12
        return
    looked = looked_at(truth)
    assert (truth.probabilities(looked[looked >= since]).max(1) >= enough - 1e-12).all()
    # Just before it is not sure.
    assert since == 0 or truth.probabilities(beside(since, -1)).max(1).min() < enough + 1e-12


def check_changed(truth, since):
    begin = truth.probabilities([0.0])[0]
    first = begin.argmax()
    if np.sort(begin)[-2] > begin[first] - 1e-12:
        # Of classes that are equally likely at the start, rounding says which is the first.
        return

    def lead(t):
        probs = truth.probabilities(t)
        return probs[:, first] - np.delete(probs, first, 1).max(1)

    looked = looked_at(truth)
    before = looked if np.isnan(since) else looked[looked < since]
    assert (lead(before) >= -SAME - 1e-12).all()
    assert np.isnan(since) or lead(beside(since, 1)).min() < -SAME + 1e-12


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (2, 6, 2)), (1, (3, 5, 5, 1)), (3, (2, 5, 3)), (4, (2, 4, 4, 1)), (2, (1, 6, 10)), (10, (2, 4, 2)), (1, (2, 3))],
)
def test_extremes_and_changes_are_those_of_the_oracle(count, sizes):
    rng = np.random.default_rng(len(sizes) + count)
    members = [drawn((count, k), sizes, 2.0) for k in range(count)]
    check(members, rng.normal(size=(3, sizes[0])), 4 * rng.normal(size=(3, sizes[0])))


degenerate = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**20),
        "members": st.sampled_from([1, 1, 2, 3]),
        "sizes": st.sampled_from([(1, 4, 2), (2, 4, 1), (2, 3, 3, 2), (3, 4, 3)]),
        "power": st.integers(-3, 10),
        "whole": st.booleans(),
        "changes": st.sets(st.sampled_from(["dead", "duplicate", "parallel", "no bias", "zero", "twin", "same", "kink"])),
    }
)


@settings(max_examples=25, deadline=None)
@given(degenerate)
def test_degenerate_networks(case):
    rng, sizes, changes = np.random.default_rng(case["seed"]), case["sizes"], case["changes"]
    members = []
    for _ in range(case["members"]):
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        draw = (lambda *n: rng.integers(-3, 4, n).astype(float)) if case["whole"] else (lambda *n: rng.normal(size=n))
        weights, biases = [draw(o, i) for i, o in pairs], [draw(o) for _, o in pairs]
        if "dead" in changes:
            weights[0][0], biases[0][0] = 0, -1
        if "duplicate" in changes:
            weights[0][1], biases[0][1] = weights[0][0], biases[0][0]
        if "parallel" in changes:
            weights[0][2], biases[0][2] = -2 * weights[0][0], biases[0][0]
        if "no bias" in changes:
            biases = [0 * b for b in biases]
        if "zero" in changes:
            weights[1][0] = 0
        if "twin" in changes and sizes[-1] > 1:
            weights[-1][1], biases[-1][1] = weights[-1][0], biases[-1][0]
        weights[-1] *= 2.0 ** case["power"]
        members.append((weights, biases))
    if "same" in changes:
        # Members that cancel.
        members = [(w, b) for weights, biases in members for w, b in ((weights, biases), (mirrored(weights), mirrored(biases)))]
    starts, ends = rng.normal(size=(2, 2, sizes[0]))
    if case["whole"]:
        starts, ends = np.round(starts), np.round(2 * ends)
    if "kink" in changes:
        starts[0] = 0
        ends[1] = starts[1]
    check(members, starts, ends)


def mirrored(layers):
    return [*layers[:-1], -layers[-1]]


class Residual(nn.Module):
    """Branches, in-place operations, a view that is written to, and activations of every kind of maximum."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.nn.functional.leaky_relu(self.first(x), 0.1)
        h = h + self.second(h).relu_()
        h[:, :2] = h[:, :2].abs()
        h = torch.maximum(h[:, :4], h[:, 4:].clamp(-1, 1))
        return 2 * self.last(h - h.amax(1, keepdim=True) / 4)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        )

    def forward(self, x):
        return 3 * self.layers(x.reshape(-1, 1, 4, 4))


class Gated(nn.Module):
    """A product, a smooth function and a jump, all of a column that may stay where it is."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        gate = torch.sigmoid(x[:, :1]) * torch.where(x[:, :1] > 0, 1.0, 0.5).to(x.dtype)
        return self.last((self.first(x) * gate).relu()) / x[:, :1].cosh()


def module(kind, seed=0):
    torch.manual_seed(seed)
    return kind().double().eval().requires_grad_(False)


def confidences(model, starts, ends, t):
    at = torch.tensor(starts[:, None] + t[:, None] * (ends - starts)[:, None])
    return model.at(at.flatten(0, 1)).mean(0).max(-1).values.reshape(len(starts), -1).numpy()


@pytest.mark.parametrize(("kind", "columns"), [(Residual, 3), (Convolutional, 16)])
def test_any_module_of_straight_pieces(kind, columns):
    net = module(kind)
    model = kl.read(net, X=np.zeros((2, columns)))
    starts, ends = (scale * np.random.default_rng(k).normal(size=(4, columns)) for k, scale in enumerate((1, 3)))
    found = piecewise(model, starts, ends)
    assert found.exact.all()
    grid = confidences(model, starts, ends, np.linspace(0, 1, 4001))
    assert (found.smallest <= grid.min(1) + 1e-9).all()
    assert (found.largest >= grid.max(1) - 1e-9).all()
    np.testing.assert_allclose(found.smallest, grid.min(1), atol=1e-3)
    np.testing.assert_allclose(found.largest, grid.max(1), atol=1e-3)
    for k in range(4):
        # On the pieces of exact arithmetic, too: their ends are where extremes may be.
        cut = kl.breakpoints(net, starts[k], ends[k])
        kinks = confidences(model, starts[k : k + 1], ends[k : k + 1], cut.positions)[0]
        assert found.smallest[k] <= kinks.min() + 1e-9
        assert found.largest[k] >= kinks.max() - 1e-9


def test_pieces_are_those_of_exact_arithmetic():
    net, rng = module(Residual), np.random.default_rng(3)
    starts, ends = torch.tensor(rng.normal(size=(1, 3))), torch.tensor(3 * rng.normal(size=(1, 3)))
    marched = pieces._March(kl.read(net).networks[0], starts, ends).run(8, np.inf)
    cut = kl.breakpoints(net, starts[0].numpy(), ends[0].numpy())
    ends_of = np.concatenate([[0.0], cut.positions, [1.0]])
    assert len(ends_of) > 5
    # Where two straight functions on one piece are equal twice, they are equal.
    for share in (0.01, 0.99):
        t = ends_of[:-1] + share * np.diff(ends_of)
        theirs = np.einsum("kod,kd->ko", cut.affine, np.stack([t, np.ones_like(t)], 1))
        ours = np.stack([np.interp(t, marched.at, marched.logits[:, 0, c]) for c in range(3)], 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_members_of_different_networks_are_one_ensemble():
    nets = [module(Residual, 0), module(Residual, 1), nn.Linear(3, 3).double().requires_grad_(False)]
    model = kl.read(nets)
    starts, ends = np.random.default_rng(0).normal(size=(2, 5, 3)) * np.array([[[1.0]], [[4.0]]])
    found = piecewise(model, starts, ends)
    assert found.exact.all()
    grid = confidences(model, starts, ends, np.linspace(0, 1, 4001))
    for ours, theirs, sign in ((found.smallest, grid.min(1), 1), (found.largest, grid.max(1), -1)):
        assert (sign * (theirs - ours) >= -1e-9).all()
        assert (sign * (theirs - ours) <= 1e-3).all()


def test_what_bends_is_followed_where_it_stays_and_refused_where_it_moves():
    model, rng = kl.read(module(Gated)), np.random.default_rng(0)
    starts, ends = rng.normal(size=(2, 4, 3))
    assert piecewise(model, starts, ends) is None
    ends[:, 0] = starts[:, 0]
    found = piecewise(model, starts, ends)
    assert found.exact.all()
    grid = confidences(model, starts, ends, np.linspace(0, 1, 2001))
    np.testing.assert_allclose(found.smallest, grid.min(1), atol=1e-4)


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.GELU(), nn.Softmax(1), nn.Hardshrink(), nn.LayerNorm(4)])
def test_other_networks_are_none(layer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 2)).double().requires_grad_(False)
    assert piecewise(kl.read(net), np.zeros((1, 2)), np.ones((1, 2))) is None


def test_families_and_probabilities_are_none():
    from sklearn.tree import DecisionTreeClassifier

    X = np.random.default_rng(0).normal(size=(40, 2))
    tree = DecisionTreeClassifier().fit(X, X[:, 0] > 0)
    assert piecewise(kl.read(tree), X[:3], X[3:6]) is None

    class Mixed(nn.Module):
        def forward(self, x):
            return torch.stack([x.clamp(0, 1)[:, 0], 1 - x.clamp(0, 1)[:, 0]], 1)

    model = kl.read(Mixed(), "probabilities", X[:2])
    assert piecewise(model, X[:3], X[3:6]) is None


def test_an_end_that_is_taken_off_is_no_bend():
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(1)).double().requires_grad_(False)
    rng = np.random.default_rng(0)
    assert piecewise(kl.read(net), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))).exact.all()


def pipeline(*steps):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) * [1, 50, 0.01]
    y = (X[:, 0] + X[:, 1] / 50 > 0).astype(int)
    X[::9, 2] = np.nan
    return make_pipeline(*steps, MLPClassifier((8, 8), solver="lbfgs", alpha=3.0, random_state=0)).fit(X, y), X


def test_steps_that_fill_gaps_are_straight():
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    fitted, X = pipeline(SimpleImputer(), StandardScaler())
    model = kl.read(fitted, X=X)
    starts, ends = X[:20].copy(), X[:20].copy()
    ends[:, 0] += 5
    found = piecewise(model, starts, ends)
    assert found.exact.all()
    t = np.linspace(0, 1, 501)
    for k in range(20):
        probs = fitted.predict_proba(starts[k] + t[:, None] * (ends[k] - starts[k])).max(1)
        assert found.smallest[k] <= probs.min() + 1e-9
        assert found.largest[k] >= probs.max() - 1e-9
        np.testing.assert_allclose([found.smallest[k], found.largest[k]], [probs.min(), probs.max()], atol=1e-2)


def test_gaps_that_are_filled_otherwise_on_the_way_are_left_to_others():
    from sklearn.impute import KNNImputer
    from sklearn.preprocessing import StandardScaler

    fitted, X = pipeline(KNNImputer(n_neighbors=2), StandardScaler())
    starts, ends = X[:20].copy(), X[:20].copy()
    ends[:, 0] += 5
    found = piecewise(kl.read(fitted, X=X), starts, ends)
    # Other neighbours, unless nothing is to be filled.
    assert found.exact.tolist() == (~np.isnan(starts).any(1)).tolist()


def test_columns_that_bend_on_the_way_are_left_to_others():
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, StandardScaler

    bent = make_pipeline(SimpleImputer(), QuantileTransformer(n_quantiles=20))
    fitted, X = pipeline(ColumnTransformer([("bent", bent, [1, 2]), ("straight", StandardScaler(), [0])]))
    starts = np.repeat(X[1:2], 2, 0)
    ends = starts + np.array([[2, 0, 0], [0, 40, 0]])
    found = piecewise(kl.read(fitted, X=X), starts, ends)
    assert found.exact.tolist() == [True, False]
    assert np.isnan(found.smallest[1])
    assert np.isfinite(found.probs).all()
    assert piecewise(kl.read(fitted, X=X), starts[1:], ends[1:]) is None


@pytest.mark.parametrize("gap", [1e-300, 1e-3, 1.0, 1e3])
def test_gaps_of_logits_of_any_size(gap):
    weights, biases = [np.array([[gap], [-gap], [0.0]])], [np.array([0.1 * gap, 0.0, 0.0])]
    found = check([(weights, biases)], np.array([[-1.0], [2.0]]), np.array([[1.0], [3.0]]))
    assert (found.smallest >= 1 / 3 - 1e-12).all()


@pytest.mark.parametrize("gap", [1e18, 1e300])
def test_what_floats_cannot_show_is_not_said(gap):
    """The class changes between two neighbouring floats, where the confidence is 1/2 for less than a float."""
    net = nn.Linear(1, 2).double().requires_grad_(False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[gap], [-gap]], dtype=F64))
        net.bias.copy_(torch.tensor([0.3 * gap, 0.0], dtype=F64))
    found = piecewise(kl.read(net), np.array([[-1.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert found.exact.tolist() == [False, True]
    assert found.smallest[1] == 1


def test_long_ways_and_many_pieces():
    rng = np.random.default_rng(0)
    members = [([rng.normal(size=(300, 1)), rng.normal(size=(2, 300)) / 10], [rng.normal(size=300), rng.normal(size=2)])]
    model = kl.read(stack_of(members))
    found = piecewise(model, np.array([[-1e4], [-3.0]]), np.array([[1e4], [3.0]]))
    assert found.exact.all()
    grid = confidences(model, np.array([[-3.0]]), np.array([[3.0]]), np.linspace(0, 1, 20001))
    assert found.smallest.max() <= grid.min() + 1e-9
    np.testing.assert_allclose(found.smallest[1], grid.min(), atol=1e-5)


def test_a_network_of_too_many_pieces_is_none(monkeypatch):
    model = kl.read(stack_of([drawn(0, (2, 30, 30, 2))]))
    monkeypatch.setattr(pieces, "_MOST_WORK", 1e4)
    assert piecewise(model, -np.ones((3, 2)), np.ones((3, 2))) is None


def test_segments_do_not_touch_each_other():
    model = kl.read(stack_of([drawn(k, (3, 12, 12, 2)) for k in range(3)]))
    starts, ends = np.random.default_rng(0).normal(size=(2, 700, 3))
    found = piecewise(model, starts, ends)
    some = [5, 123, 500]
    alone = piecewise(model, starts[some], ends[some])
    for name in ("smallest", "largest", "sure_from", "changed_from"):
        np.testing.assert_allclose(getattr(found, name)[some], getattr(alone, name), atol=1e-9)


def test_ways_there_and_back_agree():
    model = kl.read(stack_of([drawn(k, (3, 8, 8, 3), 2.0) for k in range(4)]))
    starts, ends = np.random.default_rng(1).normal(size=(2, 60, 3))
    there, back = piecewise(model, starts, ends), piecewise(model, ends, starts)
    assert there.exact.all()
    np.testing.assert_allclose(there.smallest, back.smallest, atol=1e-9)
    np.testing.assert_allclose(there.largest, back.largest, atol=1e-9)


# --- negative controls --------------------------------------------------------------------------------------------------


def bump():
    """Two members whose confidence is largest inside a piece, far above its values at both ends."""
    members = [([np.array([[-k * 8.0], [k * 8.0]])], [np.array([0.0, 4.0 - k * 4.0])]) for k in (1.0, -0.5)]
    return members, np.array([[-1.0]]), np.array([[1.0]])


def test_without_the_search_the_tests_are_red(monkeypatch):
    check(*bump())
    monkeypatch.setattr(extremes, "TOLERANCE", 1.0)
    monkeypatch.setattr(extremes, "along", extremes.along.py_func)
    with pytest.raises(AssertionError):
        check(*bump())


def test_a_kink_that_is_lost_is_seen(monkeypatch):
    model = kl.read(stack_of([drawn(0, (2, 8, 8, 2), 2.0)]))
    starts, ends = np.random.default_rng(2).normal(size=(2, 20, 2))
    assert piecewise(model, starts, 3 * ends).exact.all()
    seen = kernels.relu_here

    def far_sighted(rate, offset, new_rate, new_offset, until):
        finite = seen(rate, offset, new_rate, new_offset, until)
        until *= 1.5
        return finite

    monkeypatch.setattr(kernels, "relu_here", far_sighted)
    assert not piecewise(model, starts, 3 * ends).exact.any()


def test_a_model_that_says_otherwise_is_seen(monkeypatch):
    model = kl.read(stack_of([drawn(0, (2, 8, 2))]))
    starts, ends = np.random.default_rng(2).normal(size=(2, 5, 2))
    found = extremes.along

    def off(chains, classes, enough, rows):
        found(chains, classes, enough, rows)
        rows[0, extremes.LARGEST] += 1e-6

    monkeypatch.setattr(extremes, "along", off)
    assert piecewise(model, starts, ends).exact.tolist() == [False, True, True, True, True]


# --- the bounds --------------------------------------------------------------------------------------------------------


def room_of(logits, steps):
    members, classes = logits.shape
    empty = np.empty((members, classes))
    bounds = np.empty((softmaxes.OFF + 1, classes))
    none = np.empty(members)
    return softmaxes.Room(logits, steps, bounds, empty, empty.copy(), none, none.copy(), np.zeros(1, int), none, none)


sized = st.floats(-1, 1).map(lambda v: v if abs(v) > 1e-12 else 0.0)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(2, 4), st.sampled_from([1e-3, 0.3, 1.0, 10.0, 1e3, 1e9]))
def test_bounds_hold_everywhere(data, members, classes, scale):
    draw = [data.draw(st.lists(sized, min_size=members * classes, max_size=members * classes)) for _ in range(2)]
    logits, steps = (size * np.array(rows).reshape(members, classes) for size, rows in zip((5.0, scale), draw, strict=True))
    room = room_of(logits, steps)
    softmaxes.bounds(room, 0.25, 0.75)
    lower, upper = room.bounds[softmaxes.LOWER], room.bounds[softmaxes.UPPER]
    leads = [softmaxes.lead(room, c) for c in range(classes)]
    s = np.linspace(0.25, 0.75, 201)[:, None, None]
    z = np.longdouble(logits) + s * np.longdouble(steps)
    p = np.exp(z - z.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).mean(1)
    # Floats of the logits themselves are no nearer.
    near = 1e-15 + 4 * np.finfo(float).eps * float(np.abs(z).max())
    assert (lower <= p.min(0) + near).all()
    assert (upper >= p.max(0) - near).all()
    for c in range(classes):
        assert leads[c] <= (p[:, [c]] - np.delete(p, c, 1)).min() + near
    if scale <= 1e-3:
        assert (upper - lower <= np.ptp(p, axis=0) + 1e-12).all()


@pytest.mark.parametrize("seed", range(6))
def test_fourth_derivatives_are_bounded(seed):
    rng = np.random.default_rng(seed)
    logits, slopes = rng.normal(size=(2, 2 + seed % 3)) * [[3.0], [1.0]]

    def p(s):
        parts = [mp.exp(mpf(a) + s * mpf(b)) for a, b in zip(logits, slopes, strict=True)]
        return parts[0] / sum(parts)

    spread = np.ptp(slopes)
    with mp.workdps(30):
        for s in np.linspace(-8, 8, 41):
            fourth, here = abs(mp.diff(p, mpf(s), 4)), p(mpf(s))
            assert fourth <= 384 * spread**4 * min(softmaxes._WHOLE, softmaxes._SHARE * float(min(here, 1 - here)))
