"""Every departure in the module's list: the published behaviour is what the list says it is, and ours is not."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

import knowlimits as kl
from knowlimits.studies.half_moons import draw_data, model_names
from knowlimits.studies.paper import departures, published


@pytest.fixture(scope="module")
def measured():
    results = departures.measure_departures([draw_data(0), draw_data(1)], model_names())
    return {(d.number, d.measure): d for d in results}


def one(measured, number, start=""):
    (found,) = (d for (n, measure), d in measured.items() if n == number and measure.startswith(start))
    return found


def test_list_and_table_have_the_same_numbers(measured):
    numbers = [line[: line.index(".")] for line in departures.__doc__.splitlines() if line[:1].isdigit()]
    assert sorted({str(n) for n, _ in measured}) == sorted(numbers) == [str(i) for i in range(1, 10)]


def test_only_departures_of_the_models_that_were_asked_for():
    numbers = {d.number for d in departures.measure_departures([draw_data(0)], ["NN", "PlattScalingNN"])}
    assert numbers == {5, 7, 8}


def test_1_eval_mode_has_no_variance(measured):
    d = one(measured, 1)
    assert d.published == 0
    assert d.ours > 0.02


def test_2_published_mutual_information_is_five_bits_minus_expected_entropy(measured):
    p = np.random.default_rng(0).uniform(0.01, 0.99, (10, 7))
    probs = np.stack([1 - p, p], 2)
    expected = 5 - kl.scores.expected_entropy(probs, base=2)
    np.testing.assert_allclose(published.mutual_information(probs), expected, atol=1e-6)
    low, high, rank = (one(measured, 2, start) for start in ("smallest", "largest", "rank"))
    assert 4 <= low.published < high.published <= 5
    assert 0 <= low.ours < high.ours <= 1
    assert rank.published == pytest.approx(-1, abs=1e-3)
    assert rank.ours > 0


def test_3_whole_kl_hardly_learns(measured):
    assert one(measured, 3, "test AUC").published < one(measured, 3, "test AUC").ours
    loss = one(measured, 3, "test log loss")
    assert loss.published > 1.5 * loss.ours


def test_4_training_on_all_data_undoes_the_bootstrap(measured):
    d = one(measured, 4)
    assert abs(d.published) < 0.1 < d.ours


def test_5_auc_of_hard_labels_is_the_balanced_accuracy(measured):
    rng = np.random.default_rng(0)
    y, guess = rng.integers(0, 2, (2, 200))
    assert roc_auc_score(y, guess) == pytest.approx(balanced_accuracy_score(y, guess))
    d = one(measured, 5)
    assert d.published < d.ours - 0.05


def test_6_published_penalty_pulls_alike_from_any_distance(measured):
    anchors = published.prior(3, np.random.default_rng(0))
    # He's standard deviation would be sqrt(2 / 25) = 0.28
    assert anchors[2].std().item() == pytest.approx((2 / 25) ** 0.25, rel=0.05)
    penalty = published.penalty(anchors)
    pulls = []
    for distance in (0.01, 1.0):
        layers = [(a + distance).requires_grad_() for a in anchors]
        penalty(layers, 64).sum().backward()
        pulls.append([layer.grad for layer in layers])
    for near, far in zip(*pulls, strict=True):
        torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-8)
    variance = one(measured, 6, "mean class variance")
    assert variance.published > 1.5 * variance.ours


def test_7_mini_batches_end_platt_scaling_early(measured):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=1000)
    y = (rng.random(1000) < 1 / (1 + np.exp(-4 * logits))).astype(float)
    slope, shift = published.platt_scaling(logits, y, 0)
    fitted = log_loss(y, 1 / (1 + np.exp(-(slope * logits + shift))))
    best = log_loss(y, 1 / (1 + np.exp(-4 * logits)))
    assert fitted > best + 0.02
    d = one(measured, 7)
    assert d.published > d.ours


def test_8_epsilon_and_float32_cut_gradients_off(measured):
    stack = kl.Stack([torch.tensor([[[4.0, 0.0]]])], [torch.zeros(1, 1)])
    points = np.array([[0.5, 0.0], [20.0, 0.0]])
    theirs = published.entropy_gradient(stack, points)
    ours = kl.scores.gradient_magnitude(stack, points, "entropy", base=2)
    assert theirs[0] == pytest.approx(ours[0], rel=1e-4)
    assert theirs[1] == 0 < ours[1]
    d = one(measured, 8)
    assert d.published > 0 == d.ours


def test_9_maps_change_from_call_to_call(measured):
    d = one(measured, 9)
    assert d.published > 0.1
    assert d.ours == 0


def test_published_loop_learns_and_stops_networks_one_by_one():
    data = draw_data(0)
    rows = np.tile(np.arange(len(data.X)), (2, 1))
    layers = published.start(2, np.random.default_rng(0))

    def trained(penalty=None):
        return published.train(layers, data, [rows], np.random.default_rng(1), penalty)

    losses = iter(range(10_000))
    free = trained()
    # The loss of the second network grows all the time, without changing its gradient: it stops after five epochs.
    stopped = trained(lambda layers, batch: torch.tensor([0.0, float(next(losses))]))
    assert torch.equal(free.weights[0][0], stopped.weights[0][0])
    assert not torch.equal(free.weights[0][1], stopped.weights[0][1])
    for member in departures._members(free)(data.X_test):
        assert roc_auc_score(data.y_test, member[:, 1]) > 0.9
