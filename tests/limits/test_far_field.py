"""Limits along rays: against extended precision at a radius of 1e50, against forward passes, and on real architectures."""

import copy
import pickle

import distributed
import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.testing import check_ray, draw_rays
from tests.architectures import ResNet18, SkipMLP, TabularTokens, randomized
from tests.oracles import scores_mp

SCORES = kl.scores.names()


def random_stack(seed, members=3, sizes=(2, 6, 5, 3), degenerate=False):
    """A stack of random networks; a degenerate one has dead, duplicate and parallel units, zero biases and small integers."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for i, o in zip(sizes[:-1], sizes[1:], strict=True):
        w, b = rng.normal(size=(members, o, i)), rng.normal(size=(members, o))
        if degenerate:
            w, b = rng.integers(-2, 3, w.shape).astype(float), rng.integers(-1, 2, b.shape).astype(float)
            w[:, 0], b[:, 0] = 0, -1
            if o > 2:
                w[:, 1], b[:, 1] = w[:, -1], b[:, -1]
                w[:, 2] = 2 * w[:, -1]
        weights.append(torch.tensor(w))
        biases.append(torch.tensor(b))
    return kl.Stack(weights, biases)


def plain(stack):
    return [w.detach() for w in stack.weights], [b.detach() for b in stack.biases]


@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_limits_are_those_of_extended_precision(classes, degenerate):
    stack = random_stack(classes, sizes=(2, 5, 4, classes), degenerate=degenerate)
    origins, directions = (t.numpy() for t in draw_rays((2,), 8, seed=classes))
    far = kl.far_field(stack, origins, directions)
    weights, biases = plain(stack)
    for i, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
        point = scores_mp.far_point(origin, direction, "1e50")
        np.testing.assert_allclose(far.probs[:, i], scores_mp.probabilities_at(weights, biases, point), rtol=1e-12, atol=1e-300)
        for name in SCORES:
            expected = float(scores_mp.score_at(weights, biases, point, name))
            assert far.score(name)[i] == pytest.approx(expected, rel=1e-9, abs=1e-15), (name, direction)


@pytest.mark.parametrize("degenerate", [False, True])
def test_gradient_lengths_are_those_of_extended_precision(degenerate):
    stack = random_stack(5, members=2, sizes=(2, 4, 3), degenerate=degenerate)
    origins, directions = (t.numpy() for t in draw_rays((2,), 8, seed=3))
    # Origins off every kink, where the gradient is one of several.
    origins = origins + np.random.default_rng(0).normal(size=origins.shape)
    far = kl.far_field(stack, origins, directions)
    weights, biases = plain(stack)
    for name in SCORES:
        lengths = kl.limits.gradient_magnitude(stack, far, name)
        for i, (origin, direction) in enumerate(zip(origins, directions, strict=True)):
            point = scores_mp.far_point(origin, direction, "1e50")
            expected = float(scores_mp.gradient_length(weights, biases, point, name))
            assert lengths[i] == pytest.approx(expected, rel=1e-8, abs=1e-13), (name, origin, direction)


class Worked(nn.Module):
    """The logits of the worked example: parallel to a boundary, the limit hangs on where the ray starts."""

    def forward(self, x):
        return torch.stack([x[:, 0], x[:, 0] + 2 * x[:, 1] - 0.7, -x[:, 0]], 1)


def test_worked_example_of_a_shared_largest_rate():
    far = kl.far_field(Worked(), [[0, 0.35], [0, 0]], [[1.0, 0], [1, 0]])
    np.testing.assert_allclose(far.probs[0], [[0.5, 0.5, 0], [0.66818777, 0.33181223, 0]], atol=1e-8)
    assert far.score("entropy")[0] == pytest.approx(np.log(2))
    # "Gradients vanish far away" is false here: each of the two probabilities has a gradient of length 2 * 1/4.
    assert kl.limits.gradient_magnitude(Worked(), far, "max_prob")[0] == pytest.approx(0.5)
    assert (far.radius == 0).all()


def test_opposite_members_keep_the_largest_disagreement():
    weights = [torch.tensor([[[3.0]], [[-3.0]]], dtype=torch.float64)]
    far = kl.far_field(kl.Stack(weights, [torch.zeros(2, 1, dtype=torch.float64)]), [[0.0]], [[1.0]])
    assert far.score("mutual_information")[0] == pytest.approx(np.log(2))
    assert far.score("variance")[0] == pytest.approx(0.5)


def test_no_direction_gives_the_prediction_at_the_origin():
    stack = random_stack(0)
    x = np.random.default_rng(0).normal(size=(5, 2))
    far = kl.far_field(stack, x, np.zeros_like(x))
    np.testing.assert_allclose(far.probs, stack(torch.tensor(x)).softmax(2).detach().numpy(), rtol=1e-12)
    assert (far.radius == 0).all()
    lengths = kl.limits.gradient_magnitude(stack, far, "entropy")
    np.testing.assert_allclose(lengths, kl.scores.gradient_magnitude(stack, x, "entropy"), rtol=1e-10)


def test_a_dead_cell_keeps_a_constant_of_its_own():
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.fill_(-1.0)
        net[0].bias.copy_(torch.tensor([3.0, 1.0]))
        net[2].bias.copy_(torch.tensor([2.0, 0.0]))
    far = kl.far_field(net, [[0.0]], [[1.0]])
    assert far.radius[0, 0] == 3
    np.testing.assert_allclose(far.probs[0, 0], torch.tensor([2.0, 0.0], dtype=torch.float64).softmax(0), rtol=1e-12)
    assert kl.limits.gradient_magnitude(net, far, "entropy")[0] == 0


def relu_signs(module, x):
    """Signs of everything that enters a ReLU of a module."""
    signs, handles = [], []
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            handles.append(part.register_forward_pre_hook(lambda _, inputs: signs.append(inputs[0].sign().flatten(1))))
    module(x)
    for handle in handles:
        handle.remove()
    return torch.cat(signs, 1)


@st.composite
def networks(draw):
    """Modules drawn from the table, degenerate ones among them."""
    torch.manual_seed(draw(st.integers(0, 2**20)))
    activations = [nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.Hardtanh, nn.Softshrink, nn.Hardsigmoid]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.ModuleList()
            width = 4
            self.kinds = draw(
                st.lists(st.sampled_from(("plain", "residual", "in place", "max", "joined")), min_size=1, max_size=4)
            )
            for _kind in self.kinds:
                inner = [nn.Linear(width, width), draw(st.sampled_from(activations))()]
                if draw(st.booleans()):
                    inner.insert(1, nn.BatchNorm1d(width))
                self.steps.append(nn.Sequential(*inner))
            self.last = nn.Linear(width, draw(st.integers(1, 3)))

        def forward(self, x):
            for kind, step in zip(self.kinds, self.steps, strict=True):
                y = step(x)
                if kind == "residual":
                    x = x + y
                elif kind == "in place":
                    y += x
                    y[:, 1:].clamp_(min=-1)
                    x = y
                elif kind == "max":
                    x = torch.maximum(x, y).abs()
                elif kind == "joined":
                    x = torch.cat([y[:, :2], x.flip(1)[:, :2]], 1)
                else:
                    x = y
            return self.last(x)

    network = randomized(Network()).double()
    if draw(st.booleans()):
        for parameter in network.parameters():
            parameter.data.mul_(4).round_().clamp_(-2, 2)
    return network


@given(networks(), st.integers(0, 1000))
@settings(max_examples=60)
def test_drawn_networks_agree_with_forward_passes(network, seed):
    check_ray(network, (4,), seed=seed)


@st.composite
def convolutional(draw):
    torch.manual_seed(draw(st.integers(0, 2**20)))
    pool = draw(st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.MaxPool2d(3, 1, 1), nn.AdaptiveMaxPool2d(2)]))
    padding = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    stride = draw(st.integers(1, 2))
    return randomized(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, stride, 1, padding_mode=padding),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            pool,
            nn.Conv2d(4, 3, 1, groups=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(3, 2),
        )
    ).double()


@given(convolutional(), st.integers(0, 1000))
@settings(max_examples=25)
def test_drawn_convolutional_networks_agree_with_forward_passes(network, seed):
    check_ray(network, (2, 6, 6), seed=seed)


class RaysFirst(nn.Module):
    """A module with its members after its rays, as `check_ray` wants it."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        out = self.module(x)
        return out.transpose(0, 1) if out.ndim == 3 else out


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (SkipMLP, (6,)),
        (lambda: ResNet18(width=8), (3, 32, 32)),
        (TabularTokens, (5,)),
    ],
    ids=["skip MLP", "ResNet-18", "tabular tokens"],
)
def test_public_architectures(make, shape):
    torch.manual_seed(0)
    network = randomized(make())
    check_ray(RaysFirst(copy.deepcopy(network)), shape, rays=6)
    origins, directions = draw_rays(shape, 6)
    far = kl.far_field(network, origins, directions)
    assert far.probs.shape[1] == 6
    assert next(network.parameters()).dtype == torch.float32, "the person's model must stay as it was"


@pytest.mark.parametrize("seed", range(5))
def test_just_inside_the_radius_a_unit_differs(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    origins, directions = (torch.randn(10, 3, dtype=torch.float64) for _ in range(2))
    radius = torch.tensor(kl.far_field(network, origins, directions).radius[0])[:, None]
    with torch.no_grad():
        inside, outside, beyond = (relu_signs(network, origins + f * radius * directions) for f in (0.99, 1.01, 1000))
    assert torch.equal(outside, beyond)
    assert (inside != outside).any(1).all()


def test_every_member_of_a_stack_has_its_own_radius():
    stack = random_stack(3, members=4)
    origins, directions = draw_rays((2,), 20)
    far = kl.far_field(stack, origins, directions)
    each = [kl.far_field(stack.member(m), origins, directions) for m in range(4)]
    np.testing.assert_allclose(far.radius, np.concatenate([e.radius for e in each]), rtol=1e-12)
    together = kl.far_field([stack.member(m) for m in range(4)], origins, directions, batch_size=7)
    np.testing.assert_allclose(far.probs, together.probs, atol=1e-12)
    assert len(set(far.radius[:, 5])) == 4


def test_compiled_relu_equals_tensors():
    stack = random_stack(1, degenerate=True)
    origins, directions = draw_rays((2,), 40)
    compiled = kl.far_field(stack, origins, directions)
    tensors = kl.far_field(stack, origins, directions, certify=True)
    for name in ("rate", "offset", "radius"):
        np.testing.assert_allclose(getattr(compiled, name), getattr(tensors, name), rtol=1e-12, atol=1e-12)


def test_certified_signs():
    origins, directions = draw_rays((2,), 40)
    generic = kl.far_field(random_stack(1), origins[1::4], directions[1::4] + 0.123, certify=True)
    assert generic.certified.all()
    # Two units that cancel but for rounding: 0.1 + 0.2 - 0.3 is 5.6e-17 in float64 and 0 in truth.
    net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.1, 0.2, -0.3]], dtype=torch.float64))
    doubtful = kl.far_field(net, np.zeros((1, 3)), np.ones((1, 3)), certify=True)
    assert not doubtful.certified.any()
    assert kl.far_field(net, np.zeros((1, 3)), np.eye(3)[:1], certify=True).certified.all()


def test_bounds_on_rounding_hold():
    """Errors of float64 against the same network in exact arithmetic lie within the bounds."""
    from fractions import Fraction

    from knowlimits.follow import follow

    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(6, 4)), rng.normal(size=(6, 6)), rng.normal(size=(2, 6))]
    biases = [rng.normal(size=6), rng.normal(size=6), rng.normal(size=2)]
    layers = []
    for w, b in zip(weights, biases, strict=True):
        layer = nn.Linear(*w.shape[::-1]).double()
        layer.weight.data, layer.bias.data = torch.tensor(w), torch.tensor(b)
        layers += [layer, nn.ReLU()]
    origins, directions = (
        torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    network = nn.Sequential(*layers[:-1]).requires_grad_(False)
    rays = follow(network, origins, directions, certify=True)
    assert rays.certain.all()
    for i in range(10):
        rate = [Fraction(v) for v in directions[i].tolist()]
        offset = [Fraction(v) for v in origins[i].tolist()]
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            rate, offset = (
                [sum(Fraction(x) * h for x, h in zip(row, value, strict=True)) for row in w.tolist()]
                for value in (rate, offset)
            )
            offset = [o + Fraction(c) for o, c in zip(offset, b.tolist(), strict=True)]
            if layer < 2:
                alive = [r > 0 for r in rate]
                rate = [r if a else Fraction(0) for r, a in zip(rate, alive, strict=True)]
                offset = [o if a else Fraction(0) for o, a in zip(offset, alive, strict=True)]
        for exact, number, bound in ((rate, rays.rate, rays.errors[0]), (offset, rays.offset, rays.errors[1])):
            for e, n, limit in zip(exact, number[i].tolist(), bound[i].tolist(), strict=True):
                assert abs(e - Fraction(n)) <= Fraction(limit)
                assert limit < 1e-11


X, Y = make_moons(200, noise=0.1, random_state=0)


def models():
    quick = {"epochs": 3, "random_state": 0, "hidden_sizes": (8,)}
    yield from (
        kl.NeuralNetwork(**quick),
        kl.PlattScaled(**quick),
        kl.MCDropout(members=4, dropout=0.3, **quick),
        kl.BayesByBackprop(members=4, **quick),
        kl.Ensemble(members=4, **quick),
        kl.AnchoredEnsemble(members=4, **quick),
    )


@pytest.mark.parametrize("model", list(models()), ids=lambda m: type(m).__name__)
def test_our_estimators(model):
    model.fit(X, Y)
    far = kl.far_field(model, X[:5], "features")
    assert far.probs.shape == (len(model.predict_members(X[:1])), 20, 2)
    np.testing.assert_array_equal(far.directions[:4], [[-1, 0], [1, 0], [0, -1], [0, 1]])
    at = far.origins + (1e6 + far.radius.max(0)[:, None]) * far.directions
    np.testing.assert_allclose(model.predict_proba(at), far.probs.mean(0), atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("classes", [2, 3])
def test_sklearn_mlp_behind_affine_steps(activation, classes):
    y = np.arange(len(X)) % 3 if classes == 3 else Y
    columns = ColumnTransformer([("a", MinMaxScaler(), [1]), ("b", make_pipeline(RobustScaler(), MaxAbsScaler()), [0])])
    network = MLPClassifier((9,), activation=activation, max_iter=30, random_state=0)
    pipeline = make_pipeline(StandardScaler(), PCA(2, whiten=True, random_state=0), columns, "passthrough", network).fit(X, y)
    far = kl.far_field(pipeline, X[:20], "random", random_state=0)
    at = far.origins + (1e9 + np.nan_to_num(far.radius).max(0)[:, None]) * far.directions
    np.testing.assert_allclose(pipeline.predict_proba(at), far.probs[0], atol=1e-6)
    here = kl.far_field(pipeline, X, np.zeros_like(X))
    np.testing.assert_allclose(pipeline.predict_proba(X), here.probs[0], atol=1e-12)
    smooth = activation in ("tanh", "logistic")
    assert np.isnan(far.radius).all() == smooth


def test_what_is_no_model_is_refused():
    network = MLPClassifier((3,), max_iter=2)
    with pytest.raises(TypeError, match=r"model must be a fitted classifier.*Got str"):
        kl.far_field("net.pt", X, "random")
    with pytest.raises(ValueError, match="must be fitted"):
        kl.far_field(network, X, "random")
    with pytest.warns(match="Maximum iterations"):
        pipeline = make_pipeline(PolynomialFeatures(), network).fit(X, Y)
    with pytest.raises(TypeError, match=r"cannot move.*PolynomialFeatures"):
        kl.far_field(pipeline, X, "random")


# torch's own deprecation, within its copy of a program.
@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
def test_exported_programs():
    network = randomized(SkipMLP()).eval()
    origins, directions = draw_rays((6,), 8)
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.randn(4, 6),), dynamic_shapes={"x": {0: batch}})
    far, same = (kl.far_field(model, origins, directions) for model in (program, network))
    np.testing.assert_allclose(far.probs, same.probs, atol=1e-12)
    np.testing.assert_allclose(far.radius, same.radius, rtol=1e-12)


def test_outputs_that_are_probabilities():
    torch.manual_seed(0)
    logits = nn.Linear(2, 3)
    origins, directions = draw_rays((2,), 10)
    expected = kl.far_field(logits, origins, directions).probs
    far = kl.far_field(nn.Sequential(logits, nn.Softmax(1)), origins, directions, outputs="probabilities")
    np.testing.assert_allclose(far.probs, expected, atol=1e-15)
    one = nn.Linear(2, 1)
    squashed, own = nn.Sequential(one, nn.Sigmoid()), kl.far_field(one, origins, directions)
    far = kl.far_field(squashed, origins, directions, outputs="probabilities")
    np.testing.assert_allclose(far.probs, own.probs, atol=1e-15)
    lengths = kl.limits.gradient_magnitude(squashed, far, "max_prob", outputs="probabilities")
    np.testing.assert_allclose(lengths, kl.limits.gradient_magnitude(one, own, "max_prob"))
    with pytest.raises(ValueError, match="must be 'logits' for this model"):
        kl.far_field(one, origins, directions, outputs="probabilities")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origins": [1.0, 2.0]}, r"origins must have shape \(n, features\)"),
        ({"origins": [[1.0, np.nan]]}, "origins must be finite. Got 1 values"),
        ({"origins": [["a", "b"]]}, "origins must be an array of real numbers"),
        ({"directions": [[1.0, 2.0, 3.0]]}, r"shape of origins, \(1, 2\). Got \(1, 3\)"),
        ({"directions": "feature"}, "one of 'features', 'random', or an array. Got 'feature'"),
        ({"outputs": "scores"}, "outputs must be one of 'logits', 'log-probabilities', 'probabilities'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_bad_arguments(changes, message):
    arguments = {"model": nn.Linear(2, 2), "origins": [[1.0, 2.0]], "directions": [[1.0, 0.0]], **changes}
    with pytest.raises((ValueError, TypeError), match=message):
        kl.far_field(arguments.pop("model"), arguments.pop("origins"), arguments.pop("directions"), **arguments)


@pytest.mark.parametrize(
    ("origins", "error", "message"),
    [
        (np.zeros((0, 2)), ValueError, r"at least one row and one feature. Got shape \(0, 2\)"),
        (np.zeros((2, 0)), ValueError, r"at least one row and one feature. Got shape \(2, 0\)"),
        (np.zeros((1, 2), complex), TypeError, "real numbers. Got complex"),
        (torch.zeros(1, 2, dtype=torch.complex64), TypeError, "real numbers. Got complex"),
        (sparse.csr_array((1, 2)), TypeError, "real numbers. Got csr_array"),
        (np.array([[None, 1.0]]), ValueError, "finite"),
        (np.array([["a", 1.0]], dtype=object), TypeError, "real numbers"),
        ([[1.0], [1.0, 2.0]], TypeError, "real numbers"),
    ],
)
@pytest.mark.parametrize("directions", ["features", "random", "as origins"])
def test_points_that_are_none(origins, error, message, directions):
    with pytest.raises(error, match=message):
        kl.far_field(nn.Linear(2, 2), origins, origins if directions == "as origins" else directions)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::-1][::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(object),
        lambda x: x.tolist(),
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).to_sparse(),
        lambda x: x[:, ::-1][:, ::-1],
    ],
)
def test_points_of_any_make_are_the_same_points(change):
    net = nn.Linear(2, 2)
    x = np.random.default_rng(0).normal(size=(5, 2))
    expected = kl.far_field(net, x, np.ones((5, 2)))
    np.testing.assert_array_equal(kl.far_field(net, change(x), np.ones((5, 2))).offset, expected.offset)


class Clipped(nn.Module):
    """Keeps its numbers small in the end, so that only a look inside sees what was lost."""

    def __init__(self, scale, last):
        super().__init__()
        self.first = nn.Linear(2, 3).double()
        self.second = nn.Linear(3, 2).double()
        self.last = last
        for layer in (self.first, self.second):
            layer.weight.data *= scale

    def forward(self, x):
        return self.last(self.second(self.first(x)))


@pytest.mark.parametrize(
    "last", [nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Softmax(1), nn.LayerNorm(2), nn.LeakyReLU()], ids=repr
)
@pytest.mark.parametrize("certify", [False, True])
@pytest.mark.parametrize(("scale", "size"), [(1e200, 1.0), (1e10, 1.7e308)])
def test_numbers_that_pass_the_largest_float_are_an_error(last, certify, scale, size):
    torch.manual_seed(0)
    x = size * np.ones((2, 2))
    with pytest.raises(OverflowError, match=r"model must keep its numbers below 1.8e\+308. Got larger ones at"):
        kl.far_field(Clipped(scale, last).double(), x, x, certify=certify, outputs="logits")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: kl.far_field(m, x, "features"),
        lambda m, x: kl.scores.gradient_magnitude(m, x, "entropy"),
        lambda m, x: kl.partition(m),
        lambda m, x: kl.horizon(m),
        lambda m, x: kl.detectors.MaxLogit().fit(m, x),
        lambda m, x: kl.Guard(m).fit(x),
        lambda m, x: kl.LastLayerLaplace(m).fit(x, np.arange(60) % 2),
        lambda m, x: kl.audit(m, x),
        lambda m, x: kl.assert_far_field(m, x),
    ],
)
def test_weights_that_are_not_finite_are_named(call, value):
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    net[2].weight.data[0, 1] = value
    with pytest.raises(ValueError, match=r"finite weights. Got 2.weight with 1 of 6 that are not"):
        call(net, np.random.default_rng(0).normal(size=(60, 2)))


def test_infinity_in_a_mask_is_no_weight():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

        def forward(self, x):
            return self.layer(x) + self.mask.clamp(min=-1e3)

    kl.far_field(Masked(), np.zeros((1, 2)), "features")
    masked = Masked()
    masked.mask[0] = torch.nan
    with pytest.raises(ValueError, match="mask with values that are not a number"):
        kl.far_field(masked, np.zeros((1, 2)), "features")


def through_dask(value):
    header, frames = distributed.protocol.serialize(value)
    return distributed.protocol.deserialize(header, frames)


def answers():
    """A far field of each kind of classifier."""
    rays = np.random.default_rng(0).normal(size=(2, 20, 2))
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    yield kl.far_field(random_stack(0), *rays)
    yield kl.far_field(net, *rays, certify=True)
    yield kl.Guard(net).fit(rays[0]).far_field(*rays)
    yield kl.LastLayerLaplace(net).fit(rays[0], np.arange(20) % 2).far_field(*rays)


@pytest.mark.parametrize("through", [lambda far: pickle.loads(pickle.dumps(far)), through_dask], ids=["pickle", "Dask"])
def test_far_fields_of_all_classifiers_are_plain_arrays_that_travel(through):
    for far in answers():
        again = through(far)
        for name, value in vars(far).items():
            assert value is None or (type(value) is np.ndarray and value.shape[:1] in ((20,), (len(far.probs),))), name
            np.testing.assert_array_equal(getattr(again, name), value)
        np.testing.assert_array_equal(again.score("entropy"), far.score("entropy"))
        assert len(pickle.dumps(far)) < 2000 + sum(value.nbytes for value in vars(far).values() if value is not None)


def test_far_fields_and_models_go_through_joblib(tmp_path):
    model, rays = kl.read(random_stack(0)), np.random.default_rng(0).normal(size=(2, 20, 2))
    far = kl.far_field(model, *rays)
    parts = joblib.Parallel(n_jobs=2)(joblib.delayed(kl.far_field)(model, *rays[:, k::2]) for k in range(2))
    for k, part in enumerate(parts):
        np.testing.assert_allclose(part.probs, far.probs[:, k::2], rtol=1e-12)
    joblib.dump(far, tmp_path / "far")
    np.testing.assert_array_equal(joblib.load(tmp_path / "far").probs, far.probs)


def test_a_far_field_keeps_its_rays_whatever_becomes_of_them():
    origins, directions = draw_rays((2,), 5)
    before = origins.numpy().copy()
    far = kl.far_field(nn.Linear(2, 2), origins, directions)
    origins += 1
    np.testing.assert_array_equal(far.origins, before)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_that_are_as_many_as_members_are_not_mixed_up(axis):
    class Members(nn.Module):
        """Returns (n, members, classes), as TabM does, or (members, n, classes)."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3 * 3)

        def forward(self, x):
            return self.layer(x).reshape(-1, 3, 3).movedim(1, axis)

    module = Members().double()
    for rows in (1, 2, 3, 7):
        x = np.random.default_rng(0).normal(size=(rows, 2))
        far = kl.far_field(module, x, np.ones((rows, 2)), batch_size=3)
        expected = module.layer(torch.tensor(x + 1e9)).reshape(-1, 3, 3).softmax(-1).movedim(1, 0)
        np.testing.assert_allclose(far.probs, expected.detach(), atol=1e-6)


def test_dropout_members_are_fixed_functions_of_one_module():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, 2)).train()
    members = kl.dropout_members(network, 30, random_state=0)
    x = torch.randn(6, 2)
    with torch.no_grad():
        outputs = torch.stack([member(x) for member in members])
        again = torch.stack([member(x[:1]) for member in members])
        whole = copy.deepcopy(network).eval()(x)
    torch.testing.assert_close(outputs[:, :1], again)
    assert outputs.std(0).min() > 0.01
    assert ((outputs.mean(0) - whole).abs() < 5 * outputs.std(0) / 30**0.5).all()
    assert network.training
    assert members[0].module[0].weight is network[0].weight
    far = kl.far_field(members, x, "random", random_state=0)
    assert far.probs.shape == (30, 6, 2)
    assert far.score("mutual_information").max() > 0
    # Half of the units of each member are dropped, the same for all rows.
    hidden = members[0].module[:4](torch.randn(50, 2))
    dropped = (hidden == 0).all(0).sum()
    assert 10 <= dropped <= 35


class Functional(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.drop = layer

    def forward(self, x):
        return nn.functional.dropout(self.drop(x), 0.3, self.training)


def test_dropout_that_would_be_off_without_a_word_is_an_error():
    with pytest.raises(ValueError, match=r"has no dropout layer.*torch.nn.functional cannot be seen"):
        kl.dropout_members(Functional(nn.Identity()))
    with pytest.raises(ValueError, match="p = 0"):
        kl.dropout_members(nn.Sequential(nn.Dropout(0.0)))
    with pytest.raises(ValueError, match="AlphaDropout at '0'"):
        kl.dropout_members(nn.Sequential(nn.AlphaDropout(0.5)))
    hidden = kl.dropout_members(Functional(nn.Dropout(0.2)), 1)[0]
    with pytest.raises(ValueError, match=r"calls torch.nn.functional.dropout"):
        hidden(torch.ones(1, 2))
    with pytest.raises(ValueError, match="members must be"):
        kl.dropout_members(nn.Sequential(nn.Dropout(0.5)), 0)


def test_dropout_of_channels_drops_whole_channels():
    member = kl.dropout_members(nn.Sequential(nn.Dropout2d(0.5)), 1, random_state=0)[0]
    out = member(torch.ones(3, 64, 4, 4))
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert (out == out[:1, :, :1, :1]).all()
