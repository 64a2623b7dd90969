"""Files of guards: onnxruntime against the guard, for models of all kinds, on familiar and on strange rows."""

import functools
import itertools
import json

import numpy as np
import onnx
import onnxruntime
import pandas
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.files.export.export import exported, guard_exported
from knowlimits.files.export.graph import NO_TEXT, OPSET
from knowlimits.files.export.guarded import guarded, written

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)
GAPS = np.where(np.arange(X.size).reshape(X.shape) % 21 == 1, np.nan, X)
GAPS[:, 2:] = X[:, 2:]
TABLE = pandas.DataFrame(
    {
        "length": GAPS[:, 1],
        "kind": np.where(np.arange(150) % 3 == 0, None, np.where(X[:, 2] > 3, "wide", "slim")),
        "ward": np.arange(150) % 4,
        "open": X[:, 3] > 1,
        "size": X[:, 0],
    }
)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]


def text_pipeline():
    """A pipeline of a table of numbers, texts, codes and truth values, with gaps."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["length", "size"]),
        (texts, ["kind"]),
        (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
        ("passthrough", ["open"]),
    )
    return make_pipeline(columns, LogisticRegression())


def windows():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3, 3)).eval()


RANGES = {0: (4.0, 8.0), 3: (None, 2.6)}
# Model, rows, labels and ranges.
CASES = {
    "naive Bayes": (GaussianNB, X, Y, None),
    "forest": (lambda: RandomForestClassifier(3, random_state=0), X, NAMES, RANGES),
    "boosting with gaps": (lambda: HistGradientBoostingClassifier(max_iter=3), GAPS, Y, None),
    "pipeline": (lambda: make_pipeline(StandardScaler(), MLPClassifier((4,), random_state=0)), X, NAMES, RANGES),
    "imputer": (lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), GAPS, Y, None),
    "ours": (lambda: kl.Ensemble(epochs=2, members=2, random_state=0), X, NAMES, None),
    "torch": (windows, X.reshape(-1, 2, 2), None, None),
    "table": (text_pipeline, TABLE, NAMES, {"size": (4, 8)}),
}


@functools.cache
def case(name):
    """A guard, its rows, its file, and what runs the file on rows."""
    make, rows, labels, ranges = CASES[name]
    model = make() if labels is None else make().fit(rows, labels)
    guard = kl.Guard(model, random_state=0, ranges=ranges).fit(rows)
    part = exported(model, rows)
    file = guarded(guard, part, rows)
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    return guard, rows, file, lambda some: session.run(None, part.feeds(some))


CELLS = (None, 1e1, -1e3, 1e10, 1e19, -1e30, 3e38, 1e200, np.inf, -np.inf, np.nan)
# What becomes of cells that are no floats.
OTHERS = {"kind": ("never seen", None, "slim"), "ward": (17, 2, 3), "open": (False, True, False)}


def strange(rows):
    """Each pair of cells of one row made strange in each way, and rows moved as a whole."""
    if isinstance(rows, np.ndarray):
        flat = rows.reshape(len(rows), -1)
        pairs = [(i, j, a, b) for i, j in itertools.combinations(range(flat.shape[1]), 2) for a in CELLS for b in CELLS]
        many = np.repeat(flat[75:76], len(pairs), 0)
        for row, (i, j, a, b) in zip(many, pairs, strict=True):
            row[i] = row[i] if a is None else a
            row[j] = row[j] if b is None else b
        moved = [flat[::30] * factor for factor in (2.0, -10.0, 1e19, 1e38, 1e300)]
        return np.concatenate([flat, many, *moved]).reshape(-1, *rows.shape[1:])
    values = {name: OTHERS.get(name, (5.0, *CELLS[1:])) for name in rows.columns}
    parts = [rows]
    for one, other in itertools.combinations(rows.columns, 2):
        cells = list(itertools.product(values[one], values[other]))
        some = pandas.concat([rows.iloc[70:71]] * len(cells), ignore_index=True)
        for name, column in zip((one, other), zip(*cells, strict=True), strict=True):
            some[name] = pandas.Series(list(column), dtype=rows[name].dtype)
        parts.append(some)
    return pandas.concat(parts, ignore_index=True)


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_the_guard(name):
    guard, rows, _, run = case(name)
    some = strange(rows)
    label, p, unfamiliarity, accepted = run(some)
    for values in (p, unfamiliarity):
        assert not np.isnan(values).any()
    np.testing.assert_allclose(p, guard.predict_proba(some), atol=1e-5)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(unfamiliarity, guard.unfamiliarity(some).astype(np.float32), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(accepted, guard.accepts(some))
    refused = np.isinf(guard.unfamiliarity(some))
    assert 0.2 < refused.mean() < 0.9
    assert (p[refused] == np.float32(1 / 3)).all()
    np.testing.assert_array_equal(label[: len(rows)], guard.predict(rows))


@pytest.mark.parametrize("name", CASES)
def test_batches_of_all_sizes(name):
    _, rows, file, run = case(name)
    whole = run(rows)
    # Of no rows onnxruntime has no result where skl2onnx writes the label.
    nothing = {"ArrayFeatureExtractor"}.isdisjoint(node.op_type for node in file.graph.node)
    for n in (0, 1, 3) if nothing else (1, 3):
        part = run(rows[:n])
        assert part[1].shape == (n, 3)
        for found, all_ in zip(part, whole, strict=True):
            assert found.shape == (n, *all_.shape[1:])
            if found.dtype == np.float32:
                np.testing.assert_allclose(found, all_[:n], rtol=1e-4, atol=1e-6)
            else:
                np.testing.assert_array_equal(found, all_[:n])


def test_what_is_in_the_file():
    guard, _, file, _ = case("table")
    onnx.checker.check_model(file, full_check=True)
    assert {entry.domain: entry.version for entry in file.opset_import}[""] == OPSET
    assert [value.name for value in file.graph.input] == list(TABLE.columns)
    assert [value.name for value in file.graph.output] == ["label", "probabilities", "unfamiliarity", "accepted"]
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in (*file.graph.input, *file.graph.output)} == {"N"}
    said = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(said["guard"]) == {"threshold": guard.threshold_, "keep": 0.95}


def test_a_gap_among_texts_is_an_empty_one():
    *_, run = case("table")
    some = TABLE.iloc[1:4].copy()
    known = run(some)
    some["kind"] = [NO_TEXT, "", None]
    assert np.isfinite(run(some)[2]).all()
    assert np.isfinite(known[2]).all()


def test_a_label_behind_a_threshold_is_the_models_own(tmp_path):
    two = (Y > 0).astype(int)
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.9).fit(X, two)
    guard = kl.Guard(model, random_state=0).fit(X)
    kl.export(guard, tmp_path / "guard.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "guard.onnx")
    label, p, _, _ = session.run(None, {"X": X})
    np.testing.assert_array_equal(label, model.predict(X))
    assert (label != (p[:, 1] > 0.5)).any()


@pytest.mark.parametrize("name", ["forest", "table"])
def test_without_rows(name):
    guard, rows, file, run = case(name)
    made = guard_exported(guard)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [value.name for value in made.graph.input] == [value.name for value in file.graph.input]
    feeds = exported(guard.model, rows).feeds(rows)
    for found, wanted in zip(session.run(None, feeds), run(rows), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", [torch.tensor, np.ndarray.tolist])
def test_rows_of_any_kind(tmp_path, kind):
    guard, rows, _, run = case("naive Bayes")
    kl.export(guard, tmp_path / "guard.onnx", kind(rows))
    session = onnxruntime.InferenceSession(tmp_path / "guard.onnx")
    for found, wanted in zip(session.run(None, {"X": rows}), run(rows), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("first", [StandardScaler(), SimpleImputer()])
def test_the_last_step_of_a_pipeline(tmp_path, first):
    rows = GAPS if isinstance(first, SimpleImputer) else X
    inside = first.fit(rows).transform(rows)
    guard = kl.Guard(LogisticRegression().fit(inside, Y), random_state=0).fit(inside)
    kl.export(Pipeline([("first", first), ("guard", guard)]), tmp_path / "pipeline.onnx", rows)
    session = onnxruntime.InferenceSession(tmp_path / "pipeline.onnx")
    label, p, unfamiliarity, accepted = session.run(["label", "probabilities", "unfamiliarity", "accepted"], {"X": rows})
    np.testing.assert_array_equal(label, guard.predict(inside))
    np.testing.assert_allclose(p, guard.predict_proba(inside), atol=1e-5)
    np.testing.assert_allclose(unfamiliarity, guard.unfamiliarity(inside), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(accepted, guard.accepts(inside))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [("shift_", 1e-2, "of a row it says .*, and the guard"), ("threshold_", -2.0, "is accepted by one of the two alone")],
)
def test_a_file_that_does_something_else_is_not_written(monkeypatch, name, change, message):
    guard, rows, _, _ = case("naive Bayes")
    part, other = exported(guard.model, rows), kl.Guard(guard.model)
    vars(other).update({**vars(guard), name: getattr(guard, name) + change})
    file = written(other, part)
    monkeypatch.setattr("knowlimits.files.export.guarded.written", lambda guard, part: file)
    with pytest.raises(ValueError, match=message):
        guarded(guard, part, rows)


def test_names_of_outputs_are_no_names_of_columns(tmp_path):
    table = pandas.DataFrame(X[:, :2], columns=["unfamiliarity", "b"])
    guard = kl.Guard(LogisticRegression().fit(table, Y), random_state=0).fit(table)
    with pytest.raises(ValueError, match="columns of X must have names other than 'unfamiliarity' and 'accepted'"):
        kl.export(guard, tmp_path / "guard.onnx", table)
    assert not list(tmp_path.iterdir())


def test_a_guard_must_be_fitted_and_has_its_own_outputs(tmp_path):
    with pytest.raises(ValueError, match="Guard must be fitted"):
        kl.export(kl.Guard(GaussianNB().fit(X, Y)), tmp_path / "guard.onnx")
    guard, rows, _, _ = case("naive Bayes")
    with pytest.raises(ValueError, match="outputs must be left out for a guard"):
        kl.export(guard, tmp_path / "guard.onnx", rows, outputs="logits")
