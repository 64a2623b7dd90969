"""The guard as a torch module: the guard's own numbers, gradients, precision, and programs of torch.export."""

import functools
import itertools

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)


def mlp():
    return MLPClassifier((6,), max_iter=30, random_state=0)


def network(*last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), *last).eval()


class Casts(nn.Module):
    """A module that has only ever been used in single precision."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x.float())


class Windows(nn.Module):
    """A module of inputs of two axes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.last = nn.Conv1d(2, 3, 2), nn.Linear(3, 3)

    def forward(self, x):
        return self.last(self.convolution(x).relu().flatten(1))


MODELS = {
    "pipeline": lambda: make_pipeline(StandardScaler(), mlp()).fit(X, Y),
    "ours": lambda: kl.NeuralNetwork(epochs=3, random_state=0).fit(X, Y),
    "members": lambda: kl.Ensemble(epochs=2, members=3, random_state=0).fit(X, Y),
    "list": lambda: [mlp().fit(X, Y), mlp().fit(X[::2], Y[::2])],
    "logits": network,
    "probabilities": lambda: network(nn.Softmax(1)),
    "log-probabilities": lambda: network(nn.LogSoftmax(1)),
    "casts": lambda: Casts().eval(),
    "windows": lambda: Windows().eval(),
    "program": lambda: torch.export.export(network(), (torch.zeros(2, 4),), dynamic_shapes=({0: torch.export.Dim("N")},)),
}
STRANGE = (1e1, -1e3, 1e19, -3e38, np.inf, -np.inf, np.nan)


@functools.cache
def guarded(name):
    return kl.Guard(MODELS[name](), random_state=0).fit(shaped(name, X))


def shaped(name, rows):
    return rows.reshape(-1, 2, 2) if name == "windows" else rows


def rows_of_all_kinds():
    """Familiar rows, rows of which one or two cells are strange, and rows that are moved as a whole."""
    pairs = [(i, j, a, b) for i, j in itertools.combinations(range(4), 2) for a in (None, *STRANGE) for b in STRANGE]
    rows = np.repeat(X[70:71], len(pairs), 0)
    for row, (i, j, a, b) in zip(rows, pairs, strict=True):
        row[i], row[j] = row[i] if a is None else a, b
    return np.concatenate([X[::10], X[::10] * 3, X[::50] * 1e100, X[::50] * 1e300, rows])


@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_of_the_guard(name):
    guard = guarded(name)
    module, rows = guard.to_module(), shaped(name, rows_of_all_kinds())
    answer = module(torch.tensor(rows))
    assert all(not part.isnan().any() for part in answer)
    np.testing.assert_allclose(answer.probabilities.numpy(), guard.predict_proba(rows), atol=1e-12)
    np.testing.assert_allclose(answer.unfamiliarity.numpy(), guard.unfamiliarity(rows), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(answer.accepted.numpy(), guard.accepts(rows))
    assert 0 < answer.accepted.sum() < len(rows)
    assert module(torch.tensor(rows[:0])).probabilities.shape == (0, 3)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_numbers_everywhere(name):
    guard = guarded(name)
    rows = torch.tensor(shaped(name, rows_of_all_kinds()), requires_grad=True)
    answer = guard.to_module()(rows)
    answer.probabilities[:, 0].sum().backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()
    refused = answer.unfamiliarity.isinf()
    assert (rows.grad[refused] == 0).all()
    assert (rows.grad[answer.accepted] != 0).any()


def test_gradients_are_differences():
    guard = guarded("pipeline")
    module, rows = guard.to_module(), torch.tensor(X[::40], requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: module(x)[:2], rows)


@pytest.mark.parametrize("name", ["pipeline", "members", "probabilities", "windows"])
def test_exported_with_any_number_of_rows(name):
    guard = guarded(name)
    module, rows = guard.to_module(), torch.tensor(shaped(name, rows_of_all_kinds()))
    program = torch.export.export(module, (rows[:3],), dynamic_shapes=({0: torch.export.Dim("N")},)).module()
    for n in (0, 1, len(rows)):
        for found, wanted in zip(program(rows[:n]), module(rows[:n]), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)


def test_what_casts_to_single_precision_is_exported_in_it():
    module = guarded("casts").to_module().to(torch.float32)
    rows = torch.tensor(X[:5], dtype=torch.float32)
    program = torch.export.export(module, (rows[:3],), dynamic_shapes=({0: torch.export.Dim("N")},)).module()
    for found, wanted in zip(program(rows), module(rows), strict=True):
        torch.testing.assert_close(found, wanted)


def test_single_precision_is_the_networks_alone():
    guard = guarded("pipeline")
    # Rows that float32 has, so that the guard sees the same.
    rows = rows_of_all_kinds()
    rows = rows[np.isfinite(rows).all(1) & (np.abs(rows) < 1e38).all(1)].astype(np.float32)
    module = guard.to_module().to(torch.float32)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    answer = module(torch.tensor(rows))
    assert answer.unfamiliarity.dtype == torch.float64
    np.testing.assert_allclose(answer.unfamiliarity.numpy(), guard.unfamiliarity(rows), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(answer.probabilities.detach().numpy(), guard.predict_proba(rows), atol=1e-6)
    half = module.half()(torch.tensor(rows))
    assert not half.probabilities.isnan().any()
    np.testing.assert_array_equal(half.unfamiliarity.numpy(), answer.unfamiliarity.numpy())


def test_it_is_moved():
    module = guarded("logits").to_module().to("meta")
    assert all(part.device.type == "meta" for part in module(torch.zeros(2, 4, device="meta")))


def test_the_guard_and_its_model_stay():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    guard = kl.Guard(model, random_state=0).fit(X)
    p = guard.predict_proba(X)
    module = guard.to_module().half()
    for parameter in module.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(guard.predict_proba(X), p)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_gaps_are_filled_where_there_were_some():
    data = X.copy()
    data[::5, 1] = np.nan
    guard = kl.Guard(GapsAreZero(), random_state=0).fit(data)
    rows = np.concatenate([data[:20], data[:20]])
    rows[-3:, 2] = np.nan
    # The network makes nothing of gaps: of such rows no probabilities are kept, which the guard itself hands on.
    answer = guard.to_module()(torch.tensor(rows))
    np.testing.assert_allclose(answer.unfamiliarity.numpy(), guard.unfamiliarity(rows), rtol=1e-12, atol=1e-12)
    assert answer.unfamiliarity.isinf().tolist() == np.isnan(rows[:, 2]).tolist()
    assert not answer.probabilities.isnan().any()


class GapsAreZero(nn.Module):
    """A module that says that it takes gaps."""

    gaps_ = True

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(torch.where(x.isnan(), 0.0, x))


def test_a_network_that_gives_no_number_is_not_accepted():
    guard = kl.Guard(network(), random_state=0).fit(X)
    module = guard.to_module()
    assert module(torch.tensor(X)).accepted.any()
    with torch.no_grad():
        next(module.networks.parameters()).fill_(torch.nan)
    answer = module(torch.tensor(X))
    assert (answer.probabilities == 1 / 3).all()
    assert answer.unfamiliarity.isfinite().all()
    assert not answer.accepted.any()


@given(st.integers(0, 2**32), st.floats(-3, 10), st.floats(-3, 10))
def test_ranges(seed, a, b):
    low, high = sorted((a, b))
    random = np.random.default_rng(seed)
    data = random.normal(size=(40, 4)) * 3
    data[:8, 0] = random.uniform(low, high, 8)
    guard = kl.Guard(network(), components=(1,), random_state=0, ranges={0: (low, high), 2: (None, 99)}).fit(data)
    rows = np.concatenate([data, np.array([[low, 0, 0, 0], [high, 0, 99, 0], [np.nextafter(high, 99), 0, 0, 0]])])
    for some in (rows, rows.astype(np.float32)):
        answer = guard.to_module()(torch.tensor(some))
        np.testing.assert_allclose(answer.unfamiliarity.numpy(), guard.unfamiliarity(some), rtol=1e-12, atol=1e-12)
        assert answer.unfamiliarity[-3:-1].isfinite().all()


def test_what_becomes_no_module():
    text = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.where(X[:, 2] > 3, "long", "short")})
    columns = make_column_transformer((StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["kind"]))
    guard = kl.Guard(make_pipeline(columns, mlp()).fit(text, Y), random_state=0).fit(text)
    with pytest.raises(TypeError, match=r"columns must be numbers .* Got kind: .*knowlimits\.export"):
        guard.to_module()
    guard = kl.Guard(RandomForestClassifier(3).fit(X, Y), random_state=0).fit(X)
    with pytest.raises(TypeError, match=r"model must be a network .* Got RandomForestClassifier.*knowlimits\.export"):
        guard.to_module()
    gaps = X.copy()
    gaps[::9, 0] = np.nan
    guard = kl.Guard(make_pipeline(SimpleImputer(), mlp()).fit(gaps, Y), random_state=0).fit(gaps)
    with pytest.raises(TypeError, match=r"model must have steps that are layers, .*knowlimits\.export"):
        guard.to_module()
    with pytest.raises(ValueError, match="Guard must be fitted"):
        kl.Guard(network()).to_module()
