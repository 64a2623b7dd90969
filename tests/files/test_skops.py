"""Estimators in files of skops: what loads, what is refused until a person trusts it, and files that are broken or do harm."""

import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import knowlimits as kl
from tests.command import run

skops = pytest.importorskip("skops.io")

RNG = np.random.RandomState(0)
X = RNG.randn(60, 3)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
TREE = "sklearn.tree._tree.Tree"

FREE = [
    LogisticRegression(),
    LinearDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(),
    GaussianNB(),
    SVC(),
    make_pipeline(StandardScaler(), LogisticRegression()),
]
ASKED = [
    (RandomForestClassifier(3, random_state=0), [TREE]),
    (DecisionTreeClassifier(max_depth=2, random_state=0), [TREE]),
    (HistGradientBoostingClassifier(max_iter=2), ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]),
    (
        CalibratedClassifierCV(LinearSVC(), cv=2),
        ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"],
    ),
]


def written(model, path):
    skops.dump(model.fit(X, Y), path)
    return path


@pytest.mark.parametrize("model", FREE, ids=lambda model: type(model).__name__)
def test_estimators_that_load_by_themselves(model, tmp_path):
    loaded = kl.load(written(model, tmp_path / "model.skops"))
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize(("model", "types"), ASKED, ids=lambda value: type(value).__name__)
def test_other_types_are_listed_and_must_be_trusted(model, types, tmp_path):
    path = written(model, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="not trusted by themselves") as raised:
        kl.load(path)
    assert ", ".join(types) in str(raised.value)
    assert f"trusted={types}" in str(raised.value)
    loaded = kl.load(path, trusted=types)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_one_of_two_types_is_not_enough(tmp_path):
    path = written(CalibratedClassifierCV(RandomForestClassifier(2), cv=2), tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"by themselves: sklearn\.calibration\._Calib.*_SigmoidCalibration\."):
        kl.load(path, trusted=[TREE])


@pytest.mark.parametrize("trusted", [True, TREE, [object]])
def test_trust_is_given_by_names(trusted, tmp_path):
    path = written(LogisticRegression(), tmp_path / "model.skops")
    with pytest.raises(TypeError, match="trusted must be names of types"):
        kl.load(path, trusted=trusted)


@pytest.mark.parametrize("name", ["m", "m.zip", "m.pt2", "m.onnx"])
def test_a_file_is_known_by_what_is_in_it(name, tmp_path):
    assert isinstance(kl.load(written(LogisticRegression(), tmp_path / name)), LogisticRegression)


def test_a_loaded_forest_ends_where_its_original_does(tmp_path):
    model = RandomForestClassifier(5, random_state=0)
    loaded = kl.load(written(model, tmp_path / "model.skops"), trusted=[TREE])
    far, known = (kl.far_field(one, X[:5], X[5:10]) for one in (loaded, model))
    np.testing.assert_array_equal(far.probs, known.probs)


def test_the_command_line_takes_what_is_trusted(tmp_path):
    path, data = written(DecisionTreeClassifier(max_depth=2), tmp_path / "model.skops"), tmp_path / "data.csv"
    rows = [",".join(map(str, [*x, y])) for x, y in zip(X.tolist(), Y.tolist(), strict=True)]
    data.write_text("\n".join(["a,b,c,y", *rows]))
    refused = run("audit", str(path), str(data), "--target", "y")
    assert refused.returncode != 0
    assert "--trusted" in refused.stderr
    done = run("audit", str(path), str(data), "--target", "y", "--trusted", TREE)
    assert done.returncode == 0, done.stderr
    assert "DecisionTreeClassifier" in done.stdout


# --- broken and hostile -------------------------------------------------------------------------------------------------


def packed(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def entries_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def fitted():
    return skops.dumps(LogisticRegression().fit(X, Y))


def without_a_part():
    return packed(entries_of(fitted())[1:])


def of_another_type(module="os", name="system"):
    """A file that asks for a function to be called."""
    schema = {
        "__class__": name,
        "__module__": module,
        "__loader__": "ObjectNode",
        "__id__": 1,
        "content": None,
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    return packed([("schema.json", json.dumps(schema))])


def bomb():
    return packed([("schema.json", "{}"), ("zeros.npy", bytes(2**27))], zipfile.ZIP_DEFLATED)


def nested_bomb():
    inner = packed([("data.npy", bytes(2**27))], zipfile.ZIP_DEFLATED)
    return packed([("schema.json", "{}"), ("sparse.npz", inner)])


def deep():
    return packed([("schema.json", "[" * 10**5 + "]" * 10**5)])


def twice():
    schema = entries_of(fitted())
    with pytest.warns(UserWarning, match="Duplicate name"):
        return packed([*schema, schema[-1]])


HOSTILE = {
    "nothing": (lambda: b"", "is not a complete file of skops"),
    "text": (lambda: b"no such thing", "is not a complete file of skops"),
    "half": (lambda: fitted()[:-200], "is not a complete file of skops"),
    "no schema": (lambda: packed([("a", "b")]), "is not a complete file of skops"),
    "empty schema": (lambda: packed([("schema.json", "{}")]), "is not a complete file of skops"),
    "no JSON": (lambda: packed([("schema.json", "{")]), "is not a complete file of skops"),
    "a list": (lambda: packed([("schema.json", "[1, 2]")]), "is not a complete file of skops"),
    "deep": (deep, "is not a complete file of skops"),
    "a part missing": (without_a_part, "is not a complete file of skops"),
    "a call": (of_another_type, "not trusted by themselves: os.system"),
    "bomb": (bomb, "would unpack to 134,217,730 bytes"),
    "nested bomb": (nested_bomb, "would unpack to 134,217,728 bytes"),
    "twice": (twice, "entries of the same name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_and_hostile_files_are_one_clear_error(name, tmp_path):
    make, message = HOSTILE[name]
    path = tmp_path / "model.skops"
    path.write_bytes(make())
    with pytest.raises(ValueError, match=message):
        kl.load(path)


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 25))
def test_changed_files_load_or_are_one_clear_error(share, tmp_path):
    content = bytearray(fitted())
    content[int(share * len(content))] ^= 0x55
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    # A byte that nothing hangs on may change nothing.
    with contextlib.suppress(ValueError):
        kl.load(path)


def test_pickles_name_the_remedy(tmp_path):
    (tmp_path / "model.joblib").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=r"is a pickle, .*skops \(for scikit-learn\)"):
        kl.load(tmp_path / "model.joblib")
