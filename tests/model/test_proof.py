"""The proof of a reading: readings that are wrong on purpose are caught, with the two numbers."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from torch import nn

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import modules, voting
from knowlimits.model.network import Axes, Network

X, Y = load_wine(return_X_y=True)
X = scale(X)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NUMBERS = r"probability of [\d.e-]+ as it was read, and of [\d.e-]+ by its own"


def network(*ending):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 3), *ending)


def planted(monkeypatch, wrong):
    """Has looking find something wrong."""
    right = modules.look
    monkeypatch.setattr(modules, "look", lambda *args: wrong(right(*args)))


def test_a_lost_ending_is_caught(monkeypatch):
    def wrong(found):
        lost = Network(found.module, found.axes, found.members)
        lost.probabilities = lambda x: found.returned(x).double().softmax(-1)
        # What it returns is still known, as probabilities.
        lost.ending, lost.forward = found.ending, found.returned
        return lost

    planted(monkeypatch, wrong)
    with pytest.raises(ValueError, match=NUMBERS):
        kl.read(network(nn.Softmax(1)), X=X)


def test_logits_read_for_probabilities_are_caught(monkeypatch):
    planted(monkeypatch, lambda found: Network(found.module, found.axes, found.members, None, Outputs.PROBABILITIES))
    with pytest.raises(ValueError, match=r"its own forward pass would have probabilities of a row that add up to -?[\d.]+"):
        kl.far_field(network(), X, X)


def test_probabilities_read_for_logits_are_caught(monkeypatch):
    planted(monkeypatch, lambda found: Network(found.module, found.axes, found.members))
    with pytest.raises(ValueError, match=r"read as logits, and those of a row add up to 1, from [\d.]+ to [\d.]+"):
        kl.far_field(network(nn.Softmax(1)), X, X)


def test_swapped_axes_are_caught(monkeypatch):
    class Members(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.last = nn.Linear(13, 24)

        def forward(self, x):
            return self.last(x).reshape(-1, 8, 3)

    planted(monkeypatch, lambda found: Network(found.module, Axes.MEMBERS_FIRST, found.members))
    with pytest.raises(ValueError, match=rf"{NUMBERS}|row by row"):
        kl.read(Members(), X=X)


def test_lost_weights_are_caught(monkeypatch):
    parts = [(str(k), MLPClassifier((5,), max_iter=40 * k + 1, random_state=k)) for k in range(2)]
    model = VotingClassifier(parts, voting="soft", weights=[5, 1]).fit(X, Y)
    np.testing.assert_allclose(kl.read(model, X=X).predict_proba(X), model.predict_proba(X), atol=1e-9)
    right = voting.mean
    monkeypatch.setattr(voting, "mean", lambda parts, weights, classes: right(parts, None, classes))
    with pytest.raises(ValueError, match=NUMBERS):
        kl.read(model, X=X)
