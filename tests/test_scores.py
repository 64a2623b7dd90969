import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import knowlimits as kl
from knowlimits.scores import SCORES, gradient_magnitude, probabilities
from knowlimits.testing import check_score
from tests.oracles import scores_mp

NAMES = kl.scores.names()


def test_every_score_has_its_definition():
    assert set(scores_mp.DEFINITIONS) == set(NAMES) == set(SCORES)


def test_names_are_those_that_say_something_of_so_many_members():
    assert kl.scores.names(1) == ("max_prob", "entropy")
    probs = probabilities(torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0)))
    alone = {name: SCORES[name](probs) for name in NAMES}
    # Of one member the others are constant, or one of these.
    for name in set(NAMES) - set(kl.scores.names(1)):
        assert bool((alone[name] == 0).all()) or torch.equal(alone[name], alone["entropy"]), name


@pytest.mark.parametrize(("name", "also"), [(name, also) for name, one in SCORES.items() for also in one.also])
def test_other_names_are_the_same_score(name, also):
    probs = probabilities(torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(kl.scores.score(probs, also, base=2), kl.scores.score(probs, name, base=2), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_called_by_name_as_by_function(name):
    probs = probabilities(torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(getattr(kl.scores, name)(probs, base=2), kl.scores.score(probs, name, base=2))


def test_a_score_of_ones_own_is_one_entry(monkeypatch):
    def margin(probs):
        first, second = probs.mean(0).topk(2, dim=1).values.unbind(1)
        return 1 - (first - second)

    monkeypatch.setitem(SCORES, "margin", kl.scores.Score(margin, also=("gap",)))
    check_score(SCORES["margin"])
    probs = np.array([[[0.7, 0.2, 0.1]]])
    np.testing.assert_allclose(kl.scores.score(probs, "gap", base=2), 0.5)
    far = kl.far_field(torch.nn.Linear(2, 3), np.zeros((2, 2)), "random", random_state=0)
    np.testing.assert_allclose(far.score("margin"), 0, atol=1e-12)


@st.composite
def logits(draw):
    members, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-6, 0.1, 1.0, 30.0, 300.0]))
    return rng.normal(size=(members, 3, classes)) * scale


@pytest.mark.parametrize("name", NAMES)
@given(z=logits())
def test_equals_mpmath(name, z):
    probs = probabilities(torch.tensor(z)).numpy()
    expected = [float(scores_mp.score(probs[:, i], name)) for i in range(probs.shape[1])]
    # The input itself is rounded: members' differences, which variance and mutual information square, have errors of 1e-16.
    floor = 1e-15 * np.sqrt(expected) + 1e-30 if name in ("variance", "mutual_information") else 1e-300
    assert np.all(np.abs(SCORES[name](probs) - expected) <= 1e-9 * np.abs(expected) + floor)


def test_negative_control_published_mutual_information_differs():
    """The published code averages over the classes where it should average over the members."""
    probs = probabilities(torch.randn(10, 4, 2, generator=torch.Generator().manual_seed(0))).numpy()
    wrong = [scores_mp.published_mutual_information(probs[:, i]) for i in range(4)]
    right = kl.scores.mutual_information(probs, base=2)
    assert np.all(np.abs(np.array(wrong, dtype=float) - right) > 3)


def test_no_clamp_where_probabilities_are_tiny():
    probs = np.array([[[1.0, 1e-200]]])
    assert kl.scores.max_prob(probs)[0] == 1e-200
    np.testing.assert_allclose(kl.scores.entropy(probs)[0], 1e-200 * (1 - np.log(1e-200)), rtol=1e-12)


def test_opposite_members():
    probs = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    np.testing.assert_allclose(kl.scores.mutual_information(probs), np.log(2))
    np.testing.assert_allclose(kl.scores.mutual_information(probs, base=2), 1.0)
    np.testing.assert_allclose(kl.scores.variance(probs), 0.5)


@given(z=logits())
def test_bounds(z):
    probs = probabilities(torch.tensor(z))
    information, total = kl.scores.mutual_information(probs), kl.scores.entropy(probs)
    assert bool((information >= 0).all())
    assert bool((information <= total * (1 + 1e-12) + 1e-15).all())
    assert bool((total <= np.log(z.shape[2]) * (1 + 1e-12)).all())
    torch.testing.assert_close(total - kl.scores.expected_entropy(probs), information, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("members", [1, 3, 7])
@pytest.mark.parametrize("name", ["variance", "mutual_information"])
def test_exactly_zero_where_members_agree(name, members):
    probs = probabilities(torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(1))).expand(members, 50, 4)
    assert bool((SCORES[name](probs) == 0).all())


@pytest.mark.parametrize("name", NAMES)
@given(z=logits(), seed=st.integers(0, 99))
def test_invariant_under_permutations(name, z, seed):
    rng = np.random.default_rng(seed)
    probs = probabilities(torch.tensor(z)).numpy()
    shuffled = probs[rng.permutation(len(probs))][:, :, rng.permutation(probs.shape[2])]
    np.testing.assert_allclose(SCORES[name](shuffled), SCORES[name](probs), rtol=1e-9, atol=1e-30)


@pytest.mark.parametrize(("members", "classes"), [(2, 2), (3, 2), (4, 3), (5, 10)])
@pytest.mark.parametrize("name", NAMES)
def test_every_score_is_what_limits_rest_on(name, members, classes):
    check_score(SCORES[name], members=members, classes=classes)
    probs = probabilities(torch.randn(members, 20, classes, generator=torch.Generator().manual_seed(0)))
    bits = kl.scores.score(probs, name, base=2)
    in_bits = torch.isclose(bits, kl.scores.score(probs, name) / np.log(2))
    assert bool(in_bits.all()) == SCORES[name].in_nats == (name not in ("max_prob", "variance"))


def votes(probs):
    """How many members vote for each class, (n, classes)."""
    return torch.nn.functional.one_hot(probs.argmax(2), probs.shape[2]).sum(0).double()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        # The share of members that do not vote for the class with most votes.
        pytest.param(lambda p: 1 - votes(p).amax(1) / len(p), "must be continuous", id="variation ratio"),
        pytest.param(lambda p: (p[0].argmax(1) != p[1].argmax(1)).double(), "must be continuous", id="disagreement"),
        pytest.param(lambda p: (p.mean(0) > 0.1).sum(1).double(), "must be continuous", id="classes above a threshold"),
        pytest.param(
            lambda p: kl.scores.entropy(p) + (p.mean(0) == p.mean(0).amax(1, keepdim=True)).sum(1),
            "must be continuous",
            id="ties",
        ),
        pytest.param(lambda p: p.mean(0).amax(1), "larger must mean less sure", id="confidence"),
        pytest.param(lambda p: 0 * p.sum((0, 2)), "larger must mean less sure", id="constant"),
        pytest.param(
            lambda p: kl.scores.entropy(p) - 5 * kl.scores.variance(p), "surer than certainty", id="certainty is not least"
        ),
        pytest.param(lambda p: kl.scores.entropy(p)[:, None], r"shape \(n,\)", id="shape"),
        pytest.param(lambda p: kl.scores.entropy(p).tolist(), "must return a tensor", id="list"),
        pytest.param(lambda p: -(p.mean(0) * p.mean(0).log()).sum(1), "must be finite, got nan", id="logarithm of zero"),
        pytest.param(lambda p: kl.scores.entropy(p.detach()), "must have a gradient", id="no gradient"),
        pytest.param(
            lambda p: torch.xlogy(p, p).sum(2).mean(0).neg() + p.mean(0).amin(1).sqrt(),
            "gradients .* must be finite",
            id="root",
        ),
        pytest.param(lambda p: kl.scores.entropy(p) * (1 + p.mean((0, 1, 2)) + p[0, :, 0].mean()), "other rows", id="rows"),
    ],
)
def test_negative_controls_of_the_check(score, message):
    with pytest.raises(AssertionError, match=message):
        check_score(score)


class Nearing(torch.nn.Module):
    """A logit that tends to 0 from below or above, and never is."""

    def __init__(self, sign):
        super().__init__()
        self.sign = sign

    def forward(self, x):
        return self.sign * (1 - torch.tanh(x))


def test_variation_ratio_is_why_scores_must_be_continuous():
    model = [Nearing(1.0), Nearing(-1.0)]
    far = torch.from_numpy(kl.far_field(model, np.zeros((1, 1)), np.ones((1, 1))).probs)
    points = torch.tensor([[5.0], [9.0], [15.0]], dtype=torch.float64)
    way = probabilities(torch.stack([torch.nn.functional.pad(m(points), (1, 0)) for m in model]))
    # It is 1/2 for ever, and its value at the limiting probabilities is 0; entropy is on its way to its own.
    assert (1 - votes(way).amax(1) / 2).tolist() == [0.5, 0.5, 0.5]
    assert (1 - votes(far).amax(1) / 2).tolist() == [0.0]
    torch.testing.assert_close(kl.scores.entropy(way)[-1:], kl.scores.entropy(far))


def test_check_score_says_what_it_needs():
    with pytest.raises(ValueError, match="at least 2"):
        check_score(kl.scores.entropy, members=1)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_probabilities_underflow(name):
    z = torch.tensor([[[0.0, 2000.0, -3000.0]], [[1500.0, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(SCORES[name](z.softmax(2)).sum(), z)
    assert bool(gradient.isfinite().all())


def test_gradients_are_finite_where_probabilities_are_denormal():
    """The reciprocal of such a number is infinite: the gradient of mutual information was nan."""
    z = torch.tensor([[[-3000.0, 0.0]], [[-720.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    assert 0 < z.softmax(2)[1, 0, 0] < 1e-310
    for name in NAMES:
        (gradient,) = torch.autograd.grad(SCORES[name](z.softmax(2)).sum(), z)
        assert bool(gradient.isfinite().all()), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("radius", [0.3, 3.0, 30.0])
def test_gradient_magnitude_equals_extended_differences(name, radius):
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(2, o, i, dtype=torch.float64, generator=generator) for i, o in ((2, 5), (5, 3))]
    biases = [torch.randn(2, o, dtype=torch.float64, generator=generator) for o in (5, 3)]
    stack = kl.Stack(weights, biases)
    X = radius * np.array([[0.6, 0.8], [-0.28, 0.96]])
    expected = [float(scores_mp.gradient_length(weights, biases, x, name)) for x in X]
    np.testing.assert_allclose(gradient_magnitude(stack, X, name), expected, rtol=1e-6, atol=1e-15)


def test_gradient_magnitude_leaves_a_module_as_it_was():
    module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1)).eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    first, second = (gradient_magnitude(module, np.ones((3, 2)), "entropy") for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not module.training
    assert all(p.grad is None and p.requires_grad and p.dtype == torch.float32 for p in module.parameters())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.ones((3, 2)) / 2, "Add a member axis"),
        (np.ones((1, 3, 2), dtype=int), "floating point"),
        (np.full((1, 3, 2), np.nan), r"in \[0, 1\]"),
        (np.full((1, 3, 2), 0.2), "add up to 1"),
        (np.ones((1, 3, 1)), "two classes"),
    ],
)
def test_bad_probabilities(probs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kl.scores.entropy(probs)


def test_bad_names_and_bases():
    probs = np.array([[[0.5, 0.5]]])
    with pytest.raises(ValueError, match="Did you mean 'entropy'"):
        kl.scores.score(probs, "entropi")
    with pytest.raises(ValueError, match="base must be positive"):
        kl.scores.entropy(probs, base=1)
    with pytest.raises(TypeError, match="fitted classifier"):
        gradient_magnitude("no model", np.ones((1, 2)), "entropy")


def test_oracle_itself():
    with mpmath.workdps(30):
        assert abs(scores_mp.score(np.array([[0.5, 0.5]]), "entropy") - mpmath.log(2)) < 1e-25
