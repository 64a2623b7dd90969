"""What a baseline keeps of an audit, against counting by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.table import Table
from knowlimits.baseline.shares import Share, shares_of

RNG = np.random.default_rng(0)
X, X_TEST = RNG.normal(size=(40, 3)), RNG.normal(size=(25, 3))
Y, Y_TEST = (X[:, 0] + 0.5 * RNG.normal(size=40) > 0).astype(int), (X_TEST[:, 0] > 0.4).astype(int)


@pytest.fixture(scope="module")
def net():
    # How sure it ends as one column grows hangs on the others.
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Tanh(), nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        net[2].weight.copy_(torch.tensor([[0.0, 0.0], [6.0, 2.0]]))
    return net


@pytest.fixture(scope="module")
def audit(net):
    return kl.audit(net, X, Y, feature_names=["age", "dose", "pulse"], X_test=X_TEST, y_test=Y_TEST)


def says(net, rows):
    with torch.no_grad():
        return net(torch.from_numpy(rows)).softmax(1).numpy()


def test_shares_are_counted(net, audit):
    shares = shares_of(audit)
    expected = {}
    for column, name in enumerate(["age", "dose", "pulse"]):
        for way, sign in (("-inf", -1), ("+inf", 1)):
            far = X.copy()
            far[:, column] += sign * 1e9
            expected[f"{name!r} to {way}"] = Share(int((says(net, far).max(1) >= 0.99).sum()), 40)
    assert shares["columns"].shares == expected
    assert len(set(expected.values())) > 1
    wrong = int((says(net, X_TEST).argmax(1) != Y_TEST).sum())
    assert shares["test rows"].shares == {"test rows": Share(wrong, 25)}
    assert 0 < wrong < 25
    of = shares["directions"].shares["random directions"]
    assert of.value == audit.directions.where(model="model")["sure"][0]
    assert of.of == 2000


def test_what_becomes_sure_is_counted(net, audit):
    shares, before = shares_of(audit), says(net, X)
    expected = {}
    for column, name in enumerate(["age", "dose", "pulse"]):
        for side, end in (("low", X[:, column].min()), ("high", X[:, column].max())):
            moved = X.copy()
            moved[:, column] = end
            expected[f"{name!r} is at its {side} end"] = newly_sure(before, says(net, moved))
    assert shares["ranges"].shares == {name: Share(count, 40) for name, count in expected.items()}
    assert len(set(expected.values())) > 2
    broken = X_TEST.copy()
    broken[:, 1] *= 10
    expected = Share(newly_sure(says(net, X_TEST), says(net, broken)), 25)
    assert shares["faults"].shares["'dose', times 10"] == expected
    assert 0 < expected.rows < 25
    assert len(shares["faults"].shares) == len(audit.faults)


def newly_sure(before, after):
    """Rows that one is sure of, and was not, or of another class."""
    return sum(
        a.max() >= 0.99 and not (b.max() >= 0.99 and a.argmax() == b.argmax()) for b, a in zip(before, after, strict=True)
    )


def test_the_same_rows_are_known(net, audit):
    def data(**changes):
        given = {"X": X, "y": Y, "feature_names": ["age", "dose", "pulse"], "X_test": X_TEST, "y_test": Y_TEST}
        found = shares_of(kl.audit(net, **(given | changes)))
        return [None if part not in found else found[part].data for part in ("columns", "directions", "test rows")]

    columns, directions, test_rows = (shares_of(audit)[part].data for part in ("columns", "directions", "test rows"))
    assert columns is not None
    assert test_rows is not None
    # Which directions are drawn hangs on what else is.
    assert directions is None
    assert data() == [columns, None, test_rows]
    for changes in ({"X": X + 1e-12}, {"X_test": X_TEST[:-1], "y_test": Y_TEST[:-1]}, {"y_test": 1 - Y_TEST}):
        other = data(**changes)
        assert other[0] != columns
        assert other[2] != test_rows
    assert data(random_state=1)[0] != columns


def test_without_labels_nothing_is_wrong(net):
    assert "test rows" not in shares_of(kl.audit(net, X))


def test_names_that_are_one_are_refused(audit):
    columns = audit.features.columns | {"feature": np.full(len(audit.features), "age")}
    with pytest.raises(ValueError, match=r"must have names of their own\. Got 'age' to -inf twice"):
        shares_of(replace(audit, features=Table(columns)))
