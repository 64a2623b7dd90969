import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import knowlimits as kl
from knowlimits.scores import SCORES, gradient_magnitude, probabilities
from tests.oracles import scores_mp

NAMES = ["max_prob", "entropy", "expected_entropy", "variance", "mutual_information"]


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


@pytest.mark.parametrize("name", sorted(SCORES))
def test_larger_means_less_sure(name):
    sure = np.array([[[0.99, 0.01]], [[0.98, 0.02]]])
    unsure = np.array([[[0.9, 0.1]], [[0.2, 0.8]]])
    assert SCORES[name](unsure)[0] > SCORES[name](sure)[0]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_probabilities_underflow(name):
    z = torch.tensor([[[0.0, 2000.0, -3000.0]], [[1500.0, 0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(SCORES[name](z.softmax(2)).sum(), z)
    assert bool(gradient.isfinite().all())


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
    module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1)).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    first, second = (gradient_magnitude(module, np.ones((3, 2)), "entropy") for _ in range(2))
    np.testing.assert_array_equal(first, second)  # dropout is off
    assert module.training
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
