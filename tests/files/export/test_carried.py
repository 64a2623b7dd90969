"""What an ONNX file says of its guard comes back as a guard that says the same of rows, or is refused."""

import base64
import json

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.dummy import DummyClassifier

import knowlimits as kl
from knowlimits.files.export.carried import KEY, carried, said

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RNG.integers(20, 90, 200).astype(float),
        "pulse": np.where(RNG.random(200) < 0.2, np.nan, RNG.normal(70, 10, 200)),
        "ward": RNG.choice(["a", "b"], 200),
        "sober": RNG.random(200) < 0.5,
    }
)


def file(about):
    """An ONNX file of nothing that says this of itself."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y]))
    helper.set_model_props(model, about)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def guard():
    model = DummyClassifier(strategy="prior").fit(TABLE, np.arange(200) % 2)
    return kl.Guard(model, ranges={"age": (0, 120)}, random_state=0).fit(TABLE)


def test_it_knows_its_rows(guard):
    back = carried(file(said(guard)), "model.onnx")
    rows = TABLE.head(40).astype({"age": object, "sober": object})
    rows.loc[1, "age"] = 130
    rows.loc[2, "age"] = "old"
    rows.loc[3, "age"] = np.nan
    rows.loc[4, "age"] = -np.inf
    rows.loc[5, "ward"] = "c"
    rows.loc[6, "sober"] = None
    rows.loc[7, "pulse"] = 1e100
    np.testing.assert_array_equal(back.unfamiliarity(rows), guard.unfamiliarity(rows))
    np.testing.assert_array_equal(back.accepts(rows), guard.accepts(rows))
    assert back.reasons(rows) == guard.reasons(rows)
    assert not back.accepts(rows)[1:8].any()


def test_it_has_no_model(guard):
    back = carried(file(said(guard)), "model.onnx")
    for answer in (back.predict, back.predict_proba):
        with pytest.raises(ValueError, match="in the operators of its ONNX file: run them by onnxruntime"):
            answer(TABLE)


def changed(about, *path, value):
    """What is said, with something else at a place of it."""
    found = json.loads(about[KEY])
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return {KEY: json.dumps(found)}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 2, "install a newer knowlimits"),
        (["version"], "1", "entries other than"),
        (["more"], 1, "entries other than version, arrays, columns"),
        (["arrays"], [], "arrays that are no object"),
        (["arrays", "shift_"], [[], "!"], "no base64"),
        (["arrays", "shift_"], [[2], base64.b64encode(bytes(8)).decode()], "of another size than its shape says"),
        (["arrays", "shift_"], [[-1], ""], "without a shape"),
        (["arrays", "shift_"], 3, "not its shape and its bytes"),
        (["arrays", "shift_"], [[], base64.b64encode(np.array(np.nan).tobytes()).decode()], "shift_ of a guard must be finite"),
        (["arrays", "shift_"], [[], base64.b64encode(bytes(7)).decode()], "damaged guard"),
        (["columns"], {}, "columns must be what they were saved as"),
        (["columns", "fill"], [1.0], "columns must be what they were saved as"),
    ],
)
def test_what_is_damaged_is_refused(path, value, message, guard):
    with pytest.raises(ValueError, match=r"model\.onnx has a damaged guard") as error:
        carried(file(changed(said(guard), *path, value=value)), "model.onnx")
    assert message in str(error.value)


def test_factors_that_are_no_longer_regular_are_refused(guard):
    shape, _ = json.loads(said(guard)[KEY])["arrays"]["factors"]
    singular = [shape, base64.b64encode(np.ones(shape).tobytes()).decode()]
    with pytest.raises(ValueError, match="factors of a log ratio must be regular"):
        carried(file(changed(said(guard), "arrays", "factors", value=singular)), "model.onnx")


def test_factors_that_would_take_too_long_are_refused(guard, monkeypatch):
    monkeypatch.setattr("knowlimits.files.export.carried.MOST_STEPS", 1)
    with pytest.raises(ValueError, match="too many numbers to be checked"):
        carried(file(said(guard)), "model.onnx")


def test_nesting_and_other_text(guard):
    for text in ("", "[" * 100_000, "{}", "null", '{"version": null}', json.dumps(json.loads(said(guard)[KEY])["arrays"])):
        with pytest.raises(ValueError, match=r"model\.onnx has a damaged guard"):
            carried(file({KEY: text}), "model.onnx")


def test_files_without_a_guard():
    with pytest.raises(ValueError, match=r"must have a guard\. Got a file without one"):
        carried(file({}), "model.onnx")
    with pytest.raises(ValueError, match="is no ONNX file"):
        carried(b"\x08no file", "model.onnx")
    assert onnx.load_model_from_string(file({})).graph.name == "g"
