"""Files of guards when they lie: each is refused in one line, or means what it says."""

import io
import json
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import knowlimits as kl
from tests.files.onnx_models import perceptron
from tests.files.saved.lies import changed, check_refused, copy, drop, fill, give, opened, put, within, write

RNG = np.random.RandomState(0)
X = RNG.randn(60, 4)
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def table():
    """Two columns of numbers, one with gaps and one within a range, one of text and one of truth values."""
    rows = np.empty((60, 4), dtype=object)
    rows[:, 0], rows[:, 1] = X[:, 0], X[:, 1]
    rows[::9, 1] = np.nan
    rows[:, 2] = np.where(X[:, 2] > 0, "north", "south")
    rows[:, 3] = (X[:, 3] > 0).tolist()
    return rows


def of_first_column():
    """A model of rows of the table, of which it takes one column."""
    first = ColumnTransformer([("first", "passthrough", [0])])
    return make_pipeline(first, StandardScaler(), LogisticRegression()).fit(table(), Y)


def _guards(folder):
    """A guard of each form that takes no other library, and one of a table that is not of numbers alone."""
    (folder / "m.onnx").write_bytes(perceptron().SerializeToString())
    how = {"random_state": 0, "components": (1, 2), "ranges": {0: (-50, 50), 2: (None, 40.0)}}
    yield "ours", kl.Guard(kl.NeuralNetwork((3,), epochs=1, random_state=0).fit(X, Y), **how).fit(X)
    yield "onnx", kl.Guard(kl.load(folder / "m.onnx"), **how).fit(X)
    yield "modules", kl.Guard([nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), nn.Linear(4, 3)], **how).fit(X)
    yield "skops", kl.Guard(LogisticRegression().fit(X, Y), **how).fit(X)
    yield "table", kl.Guard(of_first_column(), random_state=0, components=(1,), ranges={0: (-50, 50)}).fit(table())


TRUSTED = ["sklearn.utils._bunch.Bunch"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Header and tensors by name."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("good")
    found = {}
    for name, guard in _guards(folder):
        kl.save(guard, folder / name)
        found[name] = opened(folder / name)
    return found


def content(value):
    """Bytes in the place of a model."""
    return lambda header, tensors: tensors.update({"model.0": torch.from_numpy(np.frombuffer(value, np.uint8).copy())})


def cut(count):
    return lambda header, tensors: tensors.update({"model.0": tensors["model.0"][:-count].clone()})


def part(key, value):
    return lambda header, tensors: header["model"]["parts"][0].update({key: value})


def column(key, value):
    return within("columns", key, value)


def floats(*shape, value=0.0):
    return torch.full(shape, value, dtype=torch.float64)


def _archive():
    """A program in which a weight is a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    return buffer.getvalue()


HEADERS = {
    "no version": ("ours", drop("version")),
    "version true": ("ours", put("version", True)),
    "unknown entry": ("ours", put("more", 1)),
    "no guard": ("ours", drop("guard")),
    "a guard without parameters": ("ours", put("guard", {})),
    "a guard that is text": ("ours", put("guard", "yes")),
    "components text": ("ours", within("guard", "components", "many")),
    "components none": ("ours", within("guard", "components", [0])),
    "components empty": ("ours", within("guard", "components", [])),
    "width 1": ("ours", within("guard", "width", 1)),
    "width NaN": ("ours", within("guard", "width", float("nan"))),
    "tolerance text": ("ours", within("guard", "tolerance", "low")),
    "tolerance 0": ("ours", within("guard", "tolerance", 0)),
    "keep 1": ("ours", within("guard", "keep", 1)),
    "keep null": ("ours", within("guard", "keep", None)),
    "a seed with a fraction": ("ours", within("guard", "random_state", 0.5)),
    "outputs a number": ("ours", within("guard", "outputs", 3)),
    "outputs of no kind": ("modules", within("guard", "outputs", 3)),
    "ranges of no column": ("ours", within("guard", "ranges", [[9, [0, 1]]])),
    "ranges that are no pairs": ("ours", within("guard", "ranges", [[0, [0, 1], 2]])),
    "ranges of a list": ("ours", within("guard", "ranges", [[[0], [0, 1]]])),
    "ranges of one column twice": ("ours", within("guard", "ranges", [[0, [-50, 50]], [0, [-50, 50]]])),
    "ranges from above": ("ours", within("guard", "ranges", [[0, [50, -50]]])),
    "ranges in a word": ("ours", within("guard", "ranges", "all")),
    "other ranges": ("ours", within("guard", "ranges", [[0, [-50, 60]], [2, [None, 40]]])),
    "fewer ranges": ("ours", within("guard", "ranges", None)),
    "no columns": ("ours", put("columns", None)),
    "columns of another count": ("ours", column("seen", [None] * 3)),
    "columns of a shape": ("ours", column("shape", [2, 3])),
    "a column of 10**18": ("ours", column("shape", [10**18])),
    "a median too few": ("ours", column("fill", [0.0] * 3)),
    "a median NaN": ("ours", column("fill", [float("nan")] * 4)),
    "gaps elsewhere": ("ours", column("gaps", [4])),
    "names twice": ("ours", column("names", ["a"] * 4)),
    "names that are numbers": ("ours", column("names", [1, 2, 3, 4])),
    "ranges that the columns do not have": ("ours", column("ranges", [[0, -1e9, 1e9]])),
    "ranges of the columns twice": ("ours", lambda h, t: h["columns"]["ranges"].append(h["columns"]["ranges"][-1])),
    "gaps in another order": ("ours", column("gaps", [1, 0])),
    "categories in the place of numbers": ("ours", column("seen", [None, None, None, ["a"]])),
    "numbers in the place of categories": ("table", column("seen", [None, None, None, [False, True]])),
    "a category that is a list": ("table", column("seen", [None, None, [["north"]], [False, True]])),
    "a category that is null": ("table", column("seen", [None, None, [None], [False, True]])),
    "a category twice": ("table", column("seen", [None, None, ["north", "north"], [False, True]])),
    "categories in one text": ("table", column("seen", [None, None, "north", [False, True]])),
    "one label": ("ours", put("classes", ["no"])),
    "other labels": ("ours", put("classes", ["no", "yet"])),
    "labels of an estimator": ("skops", put("classes", ["a", "b"])),
    "three labels for two classes": ("ours", put("classes", ["a", "b", "c"])),
    "two labels for three classes": ("onnx", put("classes", [0, 1])),
    "four labels for three classes": ("modules", put("classes", [0, 1, 2, 3])),
    "labels of another type": ("ours", put("classes_dtype", "<i8")),
    "500 million letters": ("ours", put("classes_dtype", "<U500000000")),
    "no model": ("ours", drop("model")),
    "a model that is text": ("ours", put("model", "mine")),
    "no parts": ("ours", within("model", "parts", [])),
    "listed text": ("ours", within("model", "listed", "yes")),
    "a part of more": ("ours", part("code", "x")),
    "a part without a form": ("ours", within("model", "parts", [{}])),
    "a form that is unknown": ("ours", part("form", ".pkl")),
    "a form that is a list": ("ours", part("form", [".onnx"])),
    "an output that is a number": ("onnx", part("output", 1)),
    "a shape that is text": ("onnx", part("input_shape", "4")),
    "parts without bytes": ("ours", lambda h, t: h["model"]["parts"].append(dict(h["model"]["parts"][0]))),
    "a thousand parts": (
        "ours",
        lambda h, t: (
            h["model"].update(parts=h["model"]["parts"] * 1000),
            t.update({f"model.{i}": t["model.0"].clone() for i in range(1000)}),
        ),
    ),
    "bytes without a part": ("ours", give("model.1", torch.zeros(3, dtype=torch.uint8))),
    "bytes that are numbers": ("ours", give("model.0", torch.zeros(3))),
    "bytes in a table": ("ours", give("model.0", torch.zeros(3, 3, dtype=torch.uint8))),
    "a tensor of nothing": ("ours", give("more", floats(1))),
    "NaN": ("ours", fill("guard.factors", float("nan"))),
    "infinity": ("ours", fill("guard.shifts", float("inf"))),
    "an infinite shift": ("ours", fill("guard.shift_", float("inf"))),
    "a threshold NaN": ("ours", fill("guard.threshold_", float("nan"))),
    "an interval that ends before it starts": ("ours", lambda h, t: t.update({"guard.kept_": t["guard.kept_"][[0, 2, 1]]})),
    "whole numbers": ("ours", lambda h, t: t.update({"guard.shifts": t["guard.shifts"].long()})),
    "float32": ("ours", lambda h, t: t.update({"guard.factors": t["guard.factors"].float()})),
    "no factors": ("ours", drop("guard.factors")),
    "a tensor more of the guard": ("ours", give("guard.more", floats(1))),
    "no components": (
        "ours",
        lambda h, t: t.update({k: t[k][:0] for k in ("guard.factors", "guard.shifts", "guard.constants")}),
    ),
    "factors of fewer components": ("ours", lambda h, t: t.update({"guard.factors": t["guard.factors"][:0]})),
    "factors that are not square": ("ours", lambda h, t: t.update({"guard.factors": t["guard.factors"][:, :, :3].clone()})),
    "centres of other columns": ("ours", give("guard.centre", floats(7))),
    "a guard that never fades": ("ours", lambda h, t: t["guard.factors"].zero_()),
    "a guard that does not fade along one column": ("ours", lambda h, t: t["guard.factors"][:, :, 0].zero_()),
    "a guard that hardly fades along one": ("ours", lambda h, t: t["guard.factors"][:, :, 0].mul_(1e-20)),
    "columns on top of each other": ("ours", fill("guard.scale", 0.0)),
    "a column the other way round": ("ours", fill("guard.scale", -1.0)),
}


@pytest.mark.parametrize("lie", HEADERS)
def test_a_lie_about_a_guard_is_refused_in_one_line(files, lie, tmp_path):
    base, change = HEADERS[lie]
    header, tensors = copy(*files[base])
    change(header, tensors)
    path = write(tmp_path / "g.safetensors", header, tensors)
    if base == "table":
        with pytest.raises(ValueError, match=r"g\.safetensors has a damaged header"):
            kl.load(path, trusted=TRUSTED)
    else:
        check_refused(path, r"g\.safetensors has a damaged header")


PICKLE = pickle.dumps({"a": 1}, protocol=4)
#: What is in the place of a model's file, and what is said of it.
CONTENTS = {
    "a pickle as a file of ours": ("ours", content(PICKLE), "is not a complete safetensors file"),
    "a pickle as a file of skops": ("skops", content(PICKLE), "is not a complete file of skops"),
    "a pickle as an ONNX file": ("onnx", content(PICKLE), "is no ONNX file"),
    "a pickle as a program": ("modules", content(PICKLE), "is a pickle, which runs code"),
    "a pickle in a program": ("modules", content(_archive()), "is a pickle, which runs code"),
    "a pickle as XGBoost's": (
        "ours",
        lambda h, t: (content(PICKLE)(h, t), part("form", ".ubj")(h, t)),
        "has a type .* that is not known",
    ),
    "a pickle as LightGBM's": ("ours", lambda h, t: (content(PICKLE)(h, t), part("form", ".txt")(h, t)), "is no text in UTF-8"),
    "a pickle as CatBoost's": (
        "ours",
        lambda h, t: (content(PICKLE)(h, t), part("form", ".json")(h, t)),
        "is no complete JSON",
    ),
    "nothing": ("ours", content(b""), "is not a complete safetensors file"),
    "half of ours": ("ours", cut(100), "is not a complete safetensors file"),
    "half of skops": ("skops", cut(100), "is not a complete file of skops"),
    "half of ONNX": ("onnx", cut(20), "is no ONNX file, or an incomplete one"),
    "half of a program": ("modules", cut(100), "is not a complete torch.export archive"),
    "another form": ("onnx", part("form", ".pt2"), "is not a complete torch.export archive"),
    "another output": ("onnx", part("output", "elsewhere"), "elsewhere"),
    "another shape": ("onnx", part("input_shape", [2, 2]), "cannot be read"),
    "outputs of no kind": ("onnx", part("outputs", "numbers"), "cannot be read"),
}


@pytest.mark.parametrize("lie", CONTENTS)
def test_a_lie_in_the_place_of_a_model_is_refused_at_its_door(files, lie, tmp_path):
    base, change, match = CONTENTS[lie]
    header, tensors = copy(*files[base])
    change(header, tensors)
    check_refused(write(tmp_path / "g.safetensors", header, tensors), rf"^the model in .*g\.safetensors.*{match}")


def test_another_model_in_the_place_of_a_model(files, tmp_path):
    """A header that names another class, or columns that are not those of the model."""
    header, tensors = copy(*files["ours"])
    inner, weights = _inner(tensors["model.0"], tmp_path)
    for change in ({"class": "StackClassifier"}, {"class": "MCDropout2"}, {"version": 2}, {"classes": ["yes", "no"]}):
        path = write(tmp_path / "inner", {**inner, **change}, weights)
        content(path.read_bytes())(header, tensors)
        check_refused(write(tmp_path / "g", header, tensors), "the model in .* has (a damaged header|format 2)")
    wide = kl.NeuralNetwork((3,), epochs=1, random_state=0).fit(np.hstack([X, X]), Y)
    kl.save(wide, tmp_path / "wide")
    content((tmp_path / "wide").read_bytes())(header, tensors)
    check_refused(write(tmp_path / "g", header, tensors), "the model has 8 columns, and the guard 4")
    # A guard within a guard has no end.
    content(write(tmp_path / "g", *files["ours"]).read_bytes())(header, tensors)
    check_refused(write(tmp_path / "g", header, tensors), "the model in .* has (a damaged header|format 2)")


def _inner(tensor, folder):
    (folder / "inner").write_bytes(tensor.numpy().tobytes())
    return opened(folder / "inner")


def test_guards_of_an_older_format_are_to_be_fitted_again(files, tmp_path):
    header, tensors = _inner(files["ours"][1]["model.0"], tmp_path)
    header["guard"] = {"components": [1], "width": 4.0, "tolerance": 0.01, "random_state": 0}
    tensors |= {"guard.shift_": floats(1)}
    check_refused(
        write(tmp_path / "g", header, tensors), r"an older knowlimits, which had another density: fit the guard again"
    )


def test_guards_of_a_newer_format(files, tmp_path):
    header, tensors = copy(*files["ours"])
    check_refused(write(tmp_path / "g", {**header, "version": 3}, tensors), "has format 3. This version reads up to 2: install")


@pytest.mark.filterwarnings("ignore")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_a_changed_header_is_refused_or_means_what_it_says(files, data, tmp_path):
    base = data.draw(st.sampled_from(["ours", "table", "skops", "onnx"]))
    header, tensors = copy(*files[base])
    changed(data, header)
    path = write(tmp_path / "g", header, tensors)
    try:
        guard = kl.load(path, trusted=TRUSTED)
    except ValueError:
        return
    original = kl.load(write(tmp_path / "good", *files[base]), trusted=TRUSTED)
    rows = table() if base == "table" else X
    # A file that is written again says the same; and what is no column's answers as before.
    kl.save(guard, tmp_path / "again")
    again, same = opened(tmp_path / "again")
    for key in ("guard", "columns", "model", "classes"):
        assert json.dumps(again[key]) == json.dumps(header[key]) or again[key] == header[key], key
    assert all(torch.equal(same[key], tensor) for key, tensor in tensors.items() if key.startswith("guard."))
    if header["columns"] == files[base][0]["columns"]:
        np.testing.assert_array_equal(guard.unfamiliarity(rows), original.unfamiliarity(rows))
        np.testing.assert_array_equal(guard.predict_proba(rows), original.predict_proba(rows))
    probs = guard.predict_proba(rows)
    assert probs.shape == (60, len(guard.classes_))
    np.testing.assert_allclose(probs.sum(1), 1)
    assert set(guard.predict(rows)) <= set(guard.classes_.tolist())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_changed_bytes_are_refused_or_load(files, data, tmp_path):
    base = data.draw(st.sampled_from(["ours", "onnx"]))
    changed_bytes = bytearray(write(tmp_path / "g", *files[base]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed_bytes[data.draw(st.integers(0, len(changed_bytes) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "g").write_bytes(changed_bytes)
    try:
        guard = kl.load(tmp_path / "g")
    except (ValueError, OSError, NotImplementedError):
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        assert guard.unfamiliarity(X).shape == (60,)
