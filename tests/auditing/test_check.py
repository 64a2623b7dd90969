"""The assertion for other people's tests, with ranges and faults: its shares against counting by hand, and its words."""

import re

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import knowlimits as kl

X = np.random.default_rng(0).normal((5, 0, 0), size=(60, 3))
Y = (X[:, 0] + X[:, 1] > 5).astype(int)
NAMES = ["age", "dose", "pulse"]


def mlp():
    return MLPClassifier((8,), solver="lbfgs", alpha=0.1, max_iter=3000, random_state=0)


def linear(*weight):
    """A logit for the second class."""
    net = nn.Linear(3, 2, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], weight], dtype=torch.float64))
    return net


def becomes_sure(model, before, after, level=0.99):
    """The share of rows that one is sure of, and was not, or of another class."""

    def says(rows):
        with torch.no_grad():
            return (
                model(torch.from_numpy(rows)).softmax(1).numpy() if isinstance(model, nn.Module) else model.predict_proba(rows)
            )

    old, new = says(before), says(after)
    was = (old.max(1) >= level) & (old.argmax(1) == new.argmax(1))
    return ((new.max(1) >= level) & ~was).mean()


def said(model, rows=X, **arguments):
    """What is beyond the limit at ends of ranges and under faults: shares by words."""
    try:
        kl.assert_far_field(model, rows, 1.0, feature_names=NAMES, max_newly_sure_share=0.0, **arguments)
    except AssertionError as error:
        return {words: int(share) for words, share in re.findall(r"('[^()]+?) \((\d+)%\)", str(error))}
    return {}


def moved(column, value):
    rows = X.copy()
    rows[:, column] = value
    return rows


MODELS = {
    "network": linear(1.0, 2.0, 0.0),
    "pipeline": make_pipeline(StandardScaler(), mlp()).fit(X, Y),
    "forest": RandomForestClassifier(20, random_state=0).fit(X, Y),
}


@pytest.mark.parametrize("name", MODELS)
def test_shares_are_counted(name):
    model = MODELS[name]
    ends = {"'age' = 0": moved(0, 0.0), "'age' = 120": moved(0, 120.0)}
    ends |= {f"{NAMES[k]!r} = {end:g}": moved(k, end) for k in (1, 2) for end in (X[:, k].min(), X[:, k].max())}
    broken = {"'dose', times 10": X * [1, 10, 1], "'age', sign lost": np.c_[-X[:, 0], X[:, 1:]]}
    found = said(
        model, ranges={"age": (0, 120)}, faults=[kl.faults.Unit(10, columns=["dose"]), kl.faults.Sign(columns=["age"])]
    )
    expected = {words: becomes_sure(model, X, rows) for words, rows in ends.items()}
    fault_words = {words for words in found if ", " in words}
    assert {words: share for words, share in found.items() if words not in fault_words} == {
        words: round(100 * share) for words, share in expected.items() if share > 0
    }
    assert any(share > 0 for share in expected.values())
    assert found.get("'dose', times 10", 0) == round(100 * becomes_sure(model, X, broken["'dose', times 10"]))
    sign = next((share for words, share in found.items() if words.startswith("'age', ")), 0)
    assert sign == round(100 * becomes_sure(model, X, broken["'age', sign lost"]))


def test_rows_that_stay_sure_of_one_class_do_not_count():
    # It is always sure of the second class, and no column matters to it.
    sure = nn.Linear(3, 2).double()
    with torch.no_grad():
        sure.weight.zero_()
        sure.bias.copy_(torch.tensor([0.0, 9.0]))
    assert said(sure, ranges="data", faults="default") == {}
    # This one is sure of another class once the sign is lost, and no less sure.
    found = said(linear(9.0, 0.0, 0.0), faults=[kl.faults.Sign(columns=["age"])])
    assert list(found.values()) == [100]


def test_each_limit_is_its_own():
    net = linear(1.0, 0.0, 0.0)
    share = becomes_sure(net, X, X * [10, 1, 1])
    fault = kl.faults.Unit(10, columns=[0])
    assert 0.1 < share < 1
    kl.assert_far_field(net, X, 1.0, faults=fault, max_newly_sure_share=share)
    with pytest.raises(
        AssertionError, match=r"^the model becomes sure, .* under 1 of 1 faults: 'x0', times 10 \(\d+%\)\. know"
    ):
        kl.assert_far_field(net, X, 1.0, faults=fault, max_newly_sure_share=share - 0.01)
    with pytest.raises(
        AssertionError,
        match=r"^the model ends sure.* along 6 of 6 ways: 'x0' to -inf.*; it becomes sure.* at 1 of 6 ends of ranges: 'x0'",
    ):
        kl.assert_far_field(net, X, 0.2, ranges={"x0": (4, 50)}, max_newly_sure_share=share - 0.01)
    # As ever without them.
    with pytest.raises(AssertionError) as caught:
        kl.assert_far_field(net, X)
    assert "becomes" not in str(caught.value)


def test_the_audit_says_the_same():
    model = MODELS["pipeline"]
    faults = [kl.faults.Unit(10), kl.faults.Sign()]
    audit = kl.audit(model, X, feature_names=NAMES, X_test=X, faults=faults, ranges={"age": (0, 120)})
    found = said(model, faults=faults, ranges={"age": (0, 120)})
    for row in audit.faults.rows():
        assert found.get(f"{str(row['feature'])!r}, {row['fault']}", 0) == round(100 * row["newly_sure"])
    for row in audit.ranges.rows():
        assert found.get(f"{str(row['feature'])!r} = {row['value']:g}", 0) == round(100 * row["newly_sure"])
    assert len(found) > 6


def test_the_worst_come_first_and_few_are_named():
    wide = np.random.default_rng(1).normal(size=(40, 14))
    net = nn.Linear(14, 2, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0] * 14, np.linspace(0.1, 3, 14).tolist()]))
    with pytest.raises(AssertionError) as caught:
        kl.assert_far_field(net, wide, 1.0, faults=kl.faults.Unit(100), max_newly_sure_share=0.01)
    shares = [int(share) for share in re.findall(r"\((\d+)%\)", str(caught.value))]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    assert str(caught.value).count(", and 4 more") == 1


def test_gaps_and_models_that_raise():
    gaps = X.copy()
    gaps[::5, 1] = np.nan
    model = make_pipeline(SimpleImputer(), StandardScaler(), mlp()).fit(gaps, Y)
    high = np.nanmax(gaps[:, 1])
    started = np.where(np.isnan(gaps), np.nanmedian(gaps, axis=0), gaps)
    after = started.copy()
    after[:, 1] = high
    found = said(model, gaps, ranges="data")
    assert found.get(f"'dose' = {high:g}", 0) == round(100 * becomes_sure(model, started, after))
    # This network takes no gaps, and raises: no answer, no harm.
    plain = make_pipeline(StandardScaler(), mlp()).fit(X, Y)
    assert said(plain, faults=kl.faults.Gap()) == {}


def test_remedies():
    model = MODELS["pipeline"]
    guard = kl.Guard(model, random_state=0).fit(X)
    fault = kl.faults.Unit(1000)
    assert max(said(model, faults=fault).values()) > 20
    assert said(guard, faults=fault) == {}
    kl.assert_far_field(guard, X, 0.0, ranges={0: (-1e6, 1e6)}, faults=fault, max_newly_sure_share=0.2)
    laplace = kl.LastLayerLaplace(kl.NeuralNetwork(epochs=5, random_state=0).fit(X, Y)).fit(X, Y)
    after = X * [1, 1000, 1]
    expected = round(100 * becomes_sure(laplace, X, after, 0.8))
    found = said(laplace, faults=kl.faults.Unit(1000, columns=["dose"]), confidence=0.8)
    assert found.get("'dose', times 1,000", 0) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_newly_sure_share": -0.1}, "max_newly_sure_share must be in 0 to 1. Got -0.1 instead"),
        ({"ranges": {"weight": (0, 1)}}, "ranges must name columns of X"),
        ({"ranges": 3}, "ranges must be a dict"),
        ({"faults": "all"}, "faults must be those of kl.faults"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kl.assert_far_field(MODELS["network"], X, 1.0, feature_names=NAMES, **arguments)
