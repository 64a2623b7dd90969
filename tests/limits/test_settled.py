"""From where on logits are on their lines up to rounding, in rational arithmetic; and what it has to say nothing of."""

from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import knowlimits as kl
from knowlimits.follow import follow
from knowlimits.limits import settled
from tests.files.onnx_models import model_of, node
from tests.oracles.corners import corners


def layers(seed, sizes, powers=0, decayed=(), kept=()):
    """Weights and biases of a random network.

    Args:
        seed: of all that is drawn.
        sizes: of the layers.
        powers: units' weights, in and out, are scaled by powers of 2 up to this one, or down.
        decayed, kept: units of the first layer with weights of 2**-50 going in, or coming in and going out.
    """
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(o, i)) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
    biases = [rng.normal(size=o) for o in sizes[1:]]
    for before, after in zip(weights[:-1], weights[1:], strict=True):
        before *= 2.0 ** rng.integers(-powers, powers + 1, (len(before), 1))
        after *= 2.0 ** rng.integers(-powers, powers + 1, len(before))
    for unit in decayed:
        weights[0][unit] *= 2.0**-50
        weights[1][:, unit] *= 2.0**-50
    for unit in kept:
        weights[0][unit] *= 2.0**-50
    return weights, biases


def as_stack(*members):
    weights, biases = zip(*members, strict=True)
    return kl.Stack(
        [torch.tensor(np.stack(w)) for w in zip(*weights, strict=True)],
        [torch.tensor(np.stack(b)) for b in zip(*biases, strict=True)],
    ).requires_grad_(False)


def rays(seed, n, features):
    return np.random.default_rng(seed).normal(size=(2, n, features))


def two(values):
    return [Fraction(0), *values] if len(values) == 1 else list(values)


def check(members, x, d):
    """Hold what is said of a stack to exact values at every kink, and return how many rays settle before the radius."""
    stack = as_stack(*members)
    far = kl.far_field(stack, x, d)
    shape = (len(members), *x.shape)
    with torch.no_grad():
        both = torch.tensor(x).expand(shape), torch.tensor(d).expand(shape)
        errors = follow(stack.forward_members, *both, batch_axes=2, certify=True).errors
    early = far.settled < far.radius
    assert ((far.settled <= far.radius / 2) | ~early).all()
    for m, i in zip(*np.nonzero(early), strict=True):
        rate, offset = ([Fraction(float(v)) for v in part[m, i]] for part in (far.rate, far.offset))
        rounding = [[Fraction(float(v)) for v in part[m, i]] for part in errors]
        shares = [r == max(rate) and rate.count(r) > 1 for r in rate]
        fastest, begin = rate.index(max(rate)), Fraction(float(far.settled[m, i]))
        places = list(corners(*members[m], x[i], d[i], begin))
        for a, values in places:
            for k, (value, at_first) in enumerate(zip(two(values), two(places[0][1]), strict=True)):
                if shares[k]:
                    apart, allowed = value - rate[k] * a - offset[k], rounding[0][k] * a + 2 * rounding[1][k]
                else:
                    apart = value - at_first - rate[k] * (a - begin)
                    allowed = 4 * max(rounding[0][k], rounding[0][fastest]) * a
                    # Beside a shared largest rate others are near their asymptotes, too.
                    allowed += 4 * rounding[1][k] if any(shares) else 0
                assert abs(apart) <= allowed, (m, i, k, float(a))
    return int(early.sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 3, 2), (2, 4, 3), (2, 3, 3, 2), (3, 4, 1)]), st.data())
def test_logits_are_on_their_lines_up_to_rounding(seed, sizes, data):
    """Of units with weights scaled at random, dead ones, duplicates, classes that share a rate; members apart."""
    members = []
    for member in range(2):
        weights, biases = layers(seed + member, sizes, data.draw(st.sampled_from([0, 20, 60])))
        if data.draw(st.booleans(), "a dead unit"):
            weights[0][0], biases[0][0] = 0, -1
        if data.draw(st.booleans(), "a unit twice"):
            weights[0][1], biases[0][1] = weights[0][2], biases[0][2]
        if data.draw(st.booleans(), "a class twice"):
            weights[-1][0] = weights[-1][-1]
        if data.draw(st.booleans(), "a last layer that dies"):
            weights[-2] = -np.abs(weights[-2])
            biases[-2] = np.abs(biases[-2])
        members.append((weights, biases))
    x, d = rays(seed, 4, sizes[0])
    check(members, x, np.abs(d) if data.draw(st.booleans(), "one way") else d)


@pytest.mark.parametrize("sizes", [(2, 6, 3), (3, 6, 5, 2), (2, 6, 1)])
def test_a_unit_that_decay_has_left_counts_for_nothing(sizes):
    """The logits settle where the network without it has its radius."""
    weights, biases = layers(1, sizes, decayed=[2])
    x, d = rays(0, 20, sizes[0])
    assert check([(weights, biases)], x, d) > 5
    far = kl.far_field(as_stack((weights, biases)), x, d)
    rest = [i for i in range(sizes[1]) if i != 2]
    without = [weights[0][rest], weights[1][:, rest], *weights[2:]], [biases[0][rest], *biases[1:]]
    np.testing.assert_allclose(far.settled, kl.far_field(as_stack(without), x, d).radius, rtol=1e-8)


def test_a_unit_whose_outgoing_weights_are_large_keeps_its_radius():
    """Where it brings in as much growth as others have; with ordinary weights its share is far below their rounding."""
    weights, biases = layers(1, (2, 6, 3), kept=[2])
    x, d = rays(0, 20, 2)
    assert check([(weights, biases)], x, d) > 5
    weights[1][:, 2] *= 2.0**50
    far = kl.far_field(as_stack((weights, biases)), x, d)
    assert (far.radius > 1e12).sum() > 5
    np.testing.assert_array_equal(far.settled, far.radius)


def test_it_is_the_radius_to_the_last_bit_of_ordinary_networks():
    far = kl.far_field(as_stack(layers(0, (2, 8, 8, 3)), layers(1, (2, 8, 8, 3))), *rays(0, 200, 2))
    np.testing.assert_array_equal(far.settled, far.radius)


def test_members_settle_apart():
    usual, silly = layers(3, (2, 6, 3)), layers(3, (2, 6, 3), decayed=[2])
    x, d = rays(0, 30, 2)
    far = kl.far_field(as_stack(usual, silly), x, d)
    alone = kl.far_field(as_stack(silly), x, d)
    np.testing.assert_array_equal(far.settled[0], far.radius[0])
    np.testing.assert_allclose(far.settled[1], alone.settled[0], rtol=1e-9)
    listed = kl.far_field([as_stack(usual), as_stack(silly)], x, d)
    np.testing.assert_allclose(listed.settled, far.settled, rtol=1e-9)


class Shared(nn.Module):
    """Two classes that grow alike, to whose difference a unit that changes at 1e15 adds its share."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x):
        grows, late = x[:, 0], torch.relu(1 - 1e-15 * x[:, 0])
        return torch.stack([grows + 1 + self.share * late, grows + 2, -grows], 1)


def test_of_classes_that_share_the_largest_rate_the_offsets_decide():
    """What is far below the rounding of their growth still moves their difference."""
    x, d = [[0.0]], [[1.0]]
    matters, nothing = (kl.far_field(Shared(share), x, d) for share in (1e-3, 1e-20))
    np.testing.assert_allclose(matters.radius, 1e15)
    np.testing.assert_array_equal(matters.settled, matters.radius)
    assert (nothing.settled < 10).all()
    # One class that grows faster alone: the same is below the rounding of its growth where that is large.
    alone = kl.far_field(One(), x, d)
    np.testing.assert_allclose(alone.radius, 1e15)
    assert (alone.settled < 10).all()


class One(Shared):
    """The same without the second of the classes that grow alike."""

    def __init__(self):
        super().__init__(1e-3)

    def forward(self, x):
        return super().forward(x)[:, [0, 2]]


def test_units_of_all_scales():
    """Of which some rays settle early: what is drawn above is no idle claim."""
    early = [check([layers(seed, (2, 4, 3), 30), layers(seed + 100, (2, 4, 3), 60)], *rays(seed, 6, 2)) for seed in range(8)]
    assert sum(early) > 10


def test_a_file_with_a_unit_that_decay_has_left(tmp_path):
    nodes = [node("Gemm", "x w b", "h"), node("Relu", "h", "r"), node("Gemm", "r v", "y")]
    w, v = np.array([[1, 1e-15], [-1, 0]]), np.array([[1, 0], [1e-15, 0]])
    onnx.save(model_of(nodes, (2,), {"w": w, "b": np.array([0.0, -1.0]), "v": v}), tmp_path / "net.onnx")
    far = kl.far_field(kl.load(tmp_path / "net.onnx"), [[0.0, 0.0], [0.0, 5.0]], [[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(far.radius, 1e15)
    # The first unit changes at 5 on the second ray, and nowhere on the first.
    np.testing.assert_allclose(far.settled[0], [0, 5], rtol=1e-8)


def test_no_claim_for_what_is_smooth_or_no_network():
    smooth = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    far = kl.far_field(smooth, *rays(0, 5, 2))
    assert np.isnan(far.radius).all()
    assert np.isnan(far.settled).all()
    from sklearn.tree import DecisionTreeClassifier

    X = np.random.default_rng(0).normal(size=(50, 2)) * 1e9
    tree = DecisionTreeClassifier().fit(X, X[:, 0] > 0)
    far = kl.far_field(tree, *rays(0, 20, 2))
    assert (far.radius > 1e7).any()
    np.testing.assert_array_equal(far.settled, far.radius)


class Behind(nn.Module):
    """A function of a unit that changes at 1e15, and of one that changes at 3."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        inner = 1 + 1e-20 * torch.relu(1 - 1e-15 * x) + torch.relu(3 - x)
        return torch.cat([self.function(inner), 0 * x + 1], 1)


@pytest.mark.parametrize("function", [torch.tanh, lambda x: x.exp(), lambda x: x.round()])
def test_no_claim_behind_what_is_not_piecewise_linear(function):
    far = kl.far_field(Behind(function), [[0.0]], [[1.0]], outputs="logits")
    np.testing.assert_allclose(far.radius, 1e15)
    np.testing.assert_array_equal(far.settled, far.radius)
    plain = kl.far_field(Behind(lambda x: 2 * x), [[0.0]], [[1.0]])
    assert plain.settled.max() < 3.001 < 1e15 <= 1.1 * plain.radius.max()


def test_remedies_say_nothing():
    X = np.random.default_rng(0).normal(size=(60, 2))
    guard = kl.Guard(nn.Linear(2, 2), random_state=0).fit(X)
    assert guard.far_field(X[:2], X[:2]).settled is None


def test_certify_is_as_it_was():
    stack = as_stack(layers(1, (2, 6, 3), decayed=[2]))
    x, d = rays(0, 20, 2)
    with torch.no_grad():
        certain = follow(stack.member(0), torch.tensor(x), torch.tensor(d), certify=True).certain
    far = kl.far_field(stack, x, d, certify=True)
    assert (far.certified[0] <= certain.numpy()).all()
    np.testing.assert_array_equal(far.settled, kl.far_field(stack, x, d).settled)


def test_negative_control_of_proofs(monkeypatch):
    """If departures count for nothing, exact values disagree."""
    near = settled._End.is_near
    monkeypatch.setattr(settled._End, "is_near", lambda *args: near(*args) | True)
    with pytest.raises(AssertionError):
        check([layers(1, (2, 6, 3), decayed=[2])], *rays(0, 20, 2))


def test_steps_before_the_model_are_undone():
    """Behind a scaler the same distances, in the table's own units."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) * [1, 100]
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=2000, random_state=0)).fit(X, X[:, 0] > 0)
    model[-1].coefs_[0][:, 2] *= 1e-15
    model[-1].coefs_[1][2] *= 1e-15
    far = kl.far_field(model, X[:5], "features")
    # Along the first column others grow; and of these the settled ones are in its units.
    assert (far.radius.reshape(5, 4)[:, :2] > 1e12).all()
    assert (far.settled.reshape(5, 4)[:, :2] < 1e3).all()
