"""A wrong reading is told before it is used, by the model's own predictions: faults are planted, and two numbers shown."""

import pytest

import knowlimits as kl
from knowlimits.model import kinds, looking, network
from knowlimits.model.endings import Outputs
from knowlimits.model.network import Axes, Network
from tests.zoo.made import made
from tests.zoo.models import ZOO

pytestmark = pytest.mark.filterwarnings("ignore")

TWO_NUMBERS = r"class \d has a probability of \d[\d.e-]* as it was read, and of \d[\d.e-]* by its own"


def lost_bias(monkeypatch):
    """Copies lose their biases."""

    def copied(modules, device=None):
        copies = real(modules, device)
        for copy in copies:
            for name, parameter in copy.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
        return copies

    real = kinds.modules.copied
    monkeypatch.setattr(kinds.modules, "copied", copied)


def lost_layer(monkeypatch):
    """A layer of scikit-learn's network is read without its biases."""
    real = kinds.perceptron.linear
    monkeypatch.setattr(kinds.perceptron, "linear", lambda weight, bias: real(weight, 0 * bias))


def lost_weights(monkeypatch):
    """A weighted mean is read as a mean."""
    real = kinds.voting.mean
    monkeypatch.setattr(kinds.voting, "mean", lambda parts, weights, classes: real(parts, None, classes))


def other_classes(monkeypatch):
    """Classes are taken in another order."""
    real = Network.spread
    monkeypatch.setattr(Network, "spread", lambda self, values, otherwise=0.0: real(self, values, otherwise).flip(-1))


def logits_for_probabilities(monkeypatch):
    """What a module ends in is not seen, and taken for logits."""
    monkeypatch.setattr(looking, "_ending", lambda *arguments: (None, Outputs.LOGITS))


def probabilities_for_logits(monkeypatch):
    """A network that returns logits is said to return their softmax's logarithm."""
    real = network.as_probabilities
    monkeypatch.setattr(network, "as_probabilities", lambda output, outputs: real(real(output, outputs), Outputs.LOGITS))


def swapped_axes(monkeypatch):
    """Members are taken for rows."""
    real = looking._layout
    other = {Axes.MEMBERS_FIRST: Axes.MEMBERS_SECOND, Axes.MEMBERS_SECOND: Axes.MEMBERS_FIRST}
    monkeypatch.setattr(looking, "_layout", lambda *seen: other[real(*seen)])


# What is planted, and models in which it is told.
PLANTED = [
    (lost_bias, "logits softmax sigmoid members_first members_second pt2_softmax half"),
    (lost_layer, "mlp mlp_logistic standard grid_search voting calibrated one_vs_rest list_of_text fixed_threshold"),
    (lost_weights, "voting_weighted voting_text"),
    (other_classes, "mlp standard voting calibrated list_of_text skorch"),
    (logits_for_probabilities, "skorch skorch_pipeline skorch_search"),
    (probabilities_for_logits, "logits softmax members_second one_logit pt2 skorch_cross_entropy"),
]
CASES = [(fault, name) for fault, names in PLANTED for name in names.split()]


def read(name):
    for package in ZOO[name].needs:
        pytest.importorskip(package)
    return kl.read(made(name).model, X=made(name).table.X)


@pytest.mark.parametrize(("fault", "name"), CASES, ids=[f"{fault.__name__}-{name}" for fault, name in CASES])
def test_a_wrong_reading_is_told_by_two_numbers(fault, name, monkeypatch):
    read(name)
    fault(monkeypatch)
    with pytest.raises(ValueError, match=TWO_NUMBERS):
        read(name)


@pytest.mark.parametrize(
    "name", ["members_first", "members_second", "members_second_softmax", "all_three", "members_one_logit"]
)
def test_swapped_axes_are_told_by_rows_that_change_with_others(name, monkeypatch):
    read(name)
    swapped_axes(monkeypatch)
    with pytest.raises(ValueError, match="must treat each row by itself"):
        read(name)
