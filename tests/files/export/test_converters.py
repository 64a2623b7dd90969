"""Guards and the classifiers of this library in skl2onnx, as people use it: alone, in pipelines, with options."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pandas
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import knowlimits as kl
from tests.files.export.test_guarded import windows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROWS, Y = load_iris(return_X_y=True)
X = ROWS.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
OURS = {
    "NeuralNetwork": lambda: kl.NeuralNetwork(epochs=2, random_state=0),
    "PlattScaled": lambda: kl.PlattScaled(epochs=2, random_state=0),
    "MCDropout": lambda: kl.MCDropout(epochs=2, random_state=0),
    "BayesByBackprop": lambda: kl.BayesByBackprop(epochs=2, random_state=0),
    "Ensemble": lambda: kl.Ensemble(epochs=2, members=2, random_state=0),
    "AnchoredEnsemble": lambda: kl.AnchoredEnsemble(epochs=2, members=2, random_state=0),
}
WITHOUT_DICTIONARIES = [{}, {"options": {"zipmap": False}}]


def run(model, some=X, **settings):
    """What onnxruntime gives for the file that skl2onnx makes of a model, by names."""
    made = skl2onnx.to_onnx(model, some[:1], **settings)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, {"X": some}), strict=True))


def guard_of(rows):
    ranges = {1: (np.quantile(rows[:, 1], 0.1), None)}
    return kl.Guard(LogisticRegression().fit(rows, NAMES), random_state=0, ranges=ranges).fit(rows)


def check(found, guard, rows):
    """Outputs are the guard's."""
    assert list(found) == ["label", "probabilities", "unfamiliarity", "accepted"]
    assert not np.isnan(found["probabilities"]).any()
    assert not np.isnan(found["unfamiliarity"]).any()
    np.testing.assert_allclose(found["probabilities"], guard.predict_proba(rows), atol=1e-5)
    with np.errstate(over="ignore"):
        wanted = guard.unfamiliarity(rows).astype(np.float32)
    np.testing.assert_allclose(found["unfamiliarity"], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found["accepted"], guard.accepts(rows))


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("settings", WITHOUT_DICTIONARIES)
def test_classifiers_of_ours(kind, settings):
    model = OURS[kind]().fit(X, NAMES)
    found = run(model, **settings)
    assert list(found) == ["label", "probabilities"]
    assert found["probabilities"].dtype == np.float32
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(found["label"], model.predict(X))


@pytest.mark.parametrize("settings", WITHOUT_DICTIONARIES)
def test_the_last_step_of_a_pipeline(settings):
    model = make_pipeline(StandardScaler(), OURS["NeuralNetwork"]()).fit(X, Y)
    found = run(model, **settings)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(found["label"], model.predict(X))


def test_options_by_class_and_by_object():
    model = OURS["NeuralNetwork"]().fit(X, Y)
    for key in (kl.NeuralNetwork, id(model)):
        assert list(run(model, options={key: {"zipmap": False}})) == ["label", "probabilities"]
    with pytest.raises(ValueError, match="zipmap"):
        run(model, options={"zipmap": "columns"})


def test_double_precision_stays():
    model = OURS["NeuralNetwork"]().fit(ROWS, Y)
    assert run(model, ROWS)["probabilities"].dtype == np.float64
    check(run(guard_of(ROWS), ROWS), guard_of(ROWS), ROWS)


@pytest.mark.parametrize("settings", WITHOUT_DICTIONARIES)
def test_a_guard(settings):
    guard = guard_of(X)
    rows = np.concatenate([X, X[::10] * 10, X[::50] * np.float32(1e30), X[:20]])
    rows[-20:].flat[::7] = np.tile(np.array([np.inf, -np.inf, np.nan, -3e38], np.float32), 3)[:12]
    found = run(guard, rows, **settings)
    check(found, guard, rows)
    np.testing.assert_array_equal(found["label"][: len(X)], guard.predict(X))


@pytest.mark.parametrize("settings", WITHOUT_DICTIONARIES)
def test_a_guard_behind_a_scaler(settings):
    scaler = StandardScaler().fit(X)
    guard = guard_of(scaler.transform(X))
    found = run(Pipeline([("scaler", scaler), ("guard", guard)]), **settings)
    check(found, guard, scaler.transform(X))


def test_a_guard_of_a_pipeline():
    model = make_pipeline(StandardScaler(), OURS["Ensemble"]()).fit(X, Y)
    guard = kl.Guard(model, random_state=0).fit(X)
    check(run(guard), guard, X)


def test_a_guard_of_a_torch_module():
    rows = X.reshape(-1, 2, 2)
    guard = kl.Guard(windows(), random_state=0).fit(rows)
    check(run(guard, rows), guard, rows)


def test_a_guard_of_a_table():
    table = pandas.DataFrame({"length": X[:, 0], "kind": np.where(X[:, 2] > 3, "wide", "slim"), "ward": np.arange(150) % 3})
    columns = make_column_transformer(
        (StandardScaler(), ["length"]), (OneHotEncoder(handle_unknown="ignore"), ["kind", "ward"])
    )
    guard = kl.Guard(make_pipeline(columns, LogisticRegression()).fit(table, Y), random_state=0).fit(table)
    kinds = [
        ("length", FloatTensorType([None, 1])),
        ("kind", StringTensorType([None, 1])),
        ("ward", Int64TensorType([None, 1])),
    ]
    made = skl2onnx.to_onnx(guard, initial_types=kinds)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    some = pandas.concat([table, table[:3]], ignore_index=True)
    some.loc[150, "kind"], some.loc[151, "length"], some.loc[152, "ward"] = "never seen", np.inf, 50
    feeds = {name: some[[name]].to_numpy() for name in some.columns}
    feeds["kind"] = feeds["kind"].astype(object)
    found = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))
    check(found, guard, some)
    assert np.isinf(found["unfamiliarity"][150:152]).all()
    swapped = [("length", FloatTensorType([None, 1])), ("kind", FloatTensorType([None, 1])), kinds[2]]
    with pytest.raises(ValueError, match="column 'kind' must be of texts, as the model takes it"):
        skl2onnx.to_onnx(guard, initial_types=swapped)


def test_inside_searches_and_votes():
    search = GridSearchCV(OURS["NeuralNetwork"](), {"epochs": [1, 2]}, cv=2).fit(X, Y)
    np.testing.assert_allclose(run(search)["probabilities"], search.predict_proba(X), atol=1e-5)
    members = [("ours", OURS["NeuralNetwork"]()), ("other", LogisticRegression())]
    vote = VotingClassifier(members, voting="soft", flatten_transform=False).fit(X, Y)
    found = run(vote, options={"zipmap": False})
    np.testing.assert_allclose(found["probabilities"], vote.predict_proba(X), atol=1e-5)


def test_old_operator_sets_are_refused():
    with pytest.raises(RuntimeError, match="requires at least opset 18"):
        run(OURS["NeuralNetwork"]().fit(X, Y), target_opset=15)


FIRST = """
import knowlimits as kl, numpy as np, sys, skl2onnx
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
assert not [name for name in sys.modules if name.startswith("knowlimits.files")]
X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
model = make_pipeline(StandardScaler(), kl.NeuralNetwork(epochs=1)).fit(X, np.arange(40) % 2)
made = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
print([one.name for one in made.graph.output])
"""


def test_nothing_has_to_be_called_before():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST], capture_output=True, text=True)
    assert done.stdout.strip() == "['label', 'probabilities']", done.stderr
