"""Tables with texts, categories and gaps go through the steps of a pipeline in a file as they do in scikit-learn."""

import numpy as np
import onnxruntime
import pandas
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier

import knowlimits as kl

N = 90


def table():
    """Numbers and texts with gaps, whole numbers, truth values, categories of texts and of numbers."""
    random = np.random.default_rng(0)
    age, town = random.normal(50, 10, N), random.choice(["a", "b", "c"], N, p=[0.6, 0.3, 0.1]).astype(object)
    labels = np.where((age > 50) ^ (town == "a"), 1, 0)
    age[::9], town[::11] = np.nan, None
    return pandas.DataFrame(
        {
            "age": age,
            "town": town,
            "visits": random.integers(0, 4, N),
            "smokes": random.random(N) < 0.5,
            "group": pandas.Categorical(random.choice(["u", "v"], N)),
            "ward": pandas.Categorical(random.integers(1, 4, N)),
            "note": random.choice(["x", "y"], N),
        }
    ), labels


IGNORE = {"handle_unknown": "ignore"}
FILLED = make_pipeline(SimpleImputer(), StandardScaler())
#: Columns and what they go through; others are left out.
STEPS = {
    "gaps that are filled": [
        (FILLED, ["age"]),
        (make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(**IGNORE)), ["town"]),
    ],
    "gaps that are marked": [(SimpleImputer(strategy="median", add_indicator=True), ["age", "visits"])],
    "gaps that are a category": [(FILLED, ["age"]), (OneHotEncoder(**IGNORE), ["town"])],
    "numbers that are categories": [(OneHotEncoder(**IGNORE), ["visits", "ward"])],
    "truth values and categories": [("passthrough", ["smokes", "visits"]), (OneHotEncoder(), ["group"])],
    "a level that is left out": [(OneHotEncoder(drop="first", **IGNORE), ["group", "ward"])],
    "levels that are rare": [(OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"), ["town", "note"])],
    "codes": [
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["note", "visits"]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1), ["town"]),
    ],
    "columns by their type": [(OneHotEncoder(**IGNORE), make_column_selector(dtype_include="category"))],
}


def fitted(name, last):
    X, y = table()
    steps = [(str(place), *step) for place, step in enumerate(STEPS[name])]
    return make_pipeline(ColumnTransformer(steps), last).fit(X, y), X


def run(path, rows):
    session = onnxruntime.InferenceSession(str(path))
    texts = {i.name for i in session.get_inputs() if i.type == "tensor(string)"}
    assert [i.name for i in session.get_inputs()] == list(rows)
    return session.run(
        None,
        {
            name: np.array([["" if pandas.isna(v) else v] for v in rows[name]], dtype=object)
            if name in texts
            else rows[[name]].to_numpy(np.float64)
            for name in rows
        },
    )


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(4, random_state=0)], ids=["linear", "forest"])
@pytest.mark.parametrize("name", STEPS)
def test_a_file_does_what_the_pipeline_does(name, last, tmp_path):
    model, X = fitted(name, last)
    kl.export(model, tmp_path / "model.onnx", X)
    rows = X.copy()
    if name not in ("truth values and categories",):
        # What no row had.
        rows["town"] = np.where(np.arange(N) % 7 == 1, "elsewhere", rows["town"])
        rows["visits"] = rows["visits"] + 0.5 * (np.arange(N) % 5 == 2)
    label, p = run(tmp_path / "model.onnx", rows)
    np.testing.assert_allclose(p, model.predict_proba(rows), atol=1e-6)
    np.testing.assert_array_equal(label, model.predict(rows))


def test_steps_before_a_booster(tmp_path):
    X, y = table()
    X = X[["age", "visits", "note"]]
    encoder = ColumnTransformer([("t", OneHotEncoder(sparse_output=False), ["note"])], remainder="passthrough")
    model = make_pipeline(encoder, XGBClassifier(n_estimators=4, n_jobs=1)).fit(X, y)
    kl.export(model, tmp_path / "model.onnx", X)
    label, p = run(tmp_path / "model.onnx", X)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(label, model.predict(X))


def test_what_has_no_counterpart_is_named(tmp_path):
    X, y = table()
    steps = [("0", SimpleImputer(strategy="most_frequent", add_indicator=True), ["town"])]
    model = make_pipeline(ColumnTransformer(steps), OneHotEncoder(**IGNORE), LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="SimpleImputer with add_indicator=True has no counterpart for texts"):
        kl.export(model, tmp_path / "model.onnx", X)
    assert not list(tmp_path.iterdir())
