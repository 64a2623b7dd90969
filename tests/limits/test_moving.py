"""Which columns can move: those that steps hold, and those whose whole numbers choose something inside a module."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import knowlimits as kl
from knowlimits.limits.moving import WHOLE_NUMBERS, moving_columns

ROWS = np.c_[np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 5]
LABELS = (ROWS[:, 0] + ROWS[:, 3] > 2).astype(int)


class Codes(nn.Module):
    """A table whose last column is a code."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.how, self.embedding = how, nn.Embedding(5, 5)
        self.net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        codes = x[:, 3].long()
        chosen = self.embedding(codes) if self.how == "embedding" else nn.functional.one_hot(codes, 5).to(x.dtype)
        return self.net(torch.cat([x[:, :3], chosen], 1))


@pytest.mark.parametrize("how", ["embedding", "one hot"])
def test_codes_are_found_and_the_other_columns_are_audited(how):
    net = Codes(how)
    assert moving_columns(kl.read(net, X=ROWS), ROWS) == [(0, ""), (1, ""), (2, ""), (3, WHOLE_NUMBERS)]
    # Asked for all the same: it does not become a measurement by that.
    found = kl.audit(net, ROWS, LABELS, X_test=ROWS, y_test=LABELS, continuous="all")
    assert found.left_out == {"x3": "goes through whole numbers inside the model"}
    for row in found.features.rows():
        far = ROWS.copy()
        far[:, int(row["feature"][1:])] += np.sign(row["towards"]) * 1e7
        confidence = net.double()(torch.tensor(far)).softmax(1).amax(1).detach().numpy()
        assert row["confidence"] == pytest.approx(np.median(confidence), abs=1e-5)
    with pytest.raises(AssertionError, match="the model ends sure of itself"):
        kl.assert_far_field(net, ROWS, confidence=0.5)


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_steps_hold_columns():
    model = make_pipeline(FunctionTransformer(np.sin), MLPClassifier((4,), max_iter=20)).fit(ROWS, LABELS)
    whys = moving_columns(kl.read(model, X=ROWS), ROWS)
    assert whys == [(place, "goes through FunctionTransformer of sin") for place in range(4)]


def test_a_refusal_of_another_kind_holds_no_column():
    class Product(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0] * x[:, 1], x[:, 2] + x[:, 3]], 1)

    assert moving_columns(kl.read(Product(), X=ROWS), ROWS) == [(place, "") for place in range(4)]
