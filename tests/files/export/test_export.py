"""What is exported does what the model does, in onnxruntime, and is read back with the same far field."""

import sys

import numpy as np
import onnx
import onnxruntime
import pandas
import pytest
import torch
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import knowlimits as kl
from knowlimits.files.export import check
from knowlimits.files.export.export import exported
from knowlimits.files.export.graph import IR_VERSION, ML_OPSET, OPSET
from tests.files.export.models import ESTIMATORS, THREE, TWO, Scores, fitted, seeded


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


def rows_near(X):
    """Rows of data, moved ones, ones far out, and the same row several times."""
    random = np.random.default_rng(5)
    near = X[:40] + random.normal(size=X[:40].shape) * np.nanstd(X, 0)
    return np.concatenate([X[::7], near, 1e6 * random.normal(size=(10, *X.shape[1:])), X[:1], X[:1]])


def assert_same(model, path, rows):
    label, p = session(path).run(None, {"X": rows})
    probs = model.predict_proba(rows)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, probs, atol=1e-5)
    best = np.sort(probs, 1)
    untied = best[:, -1] - best[:, -2] > 1e-6
    assert label[untied].tolist() == np.ravel(model.predict(rows))[untied].tolist()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_file_does_what_the_estimator_does(name, tmp_path):
    model, X = fitted(name)
    path = tmp_path / "model.onnx"
    kl.export(model, path, X)
    assert_same(model, path, rows_near(X))
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    assert {(one.domain, one.version) for one in file.opset_import} == {("", OPSET), ("ai.onnx.ml", ML_OPSET)}
    assert file.ir_version == IR_VERSION
    for n in (1, 7):
        label, p = session(path).run(None, {"X": X[:n]})
        assert (label.shape, p.shape) == ((n,), (n, len(model.classes_)))


# Whatever skl2onnx writes is not read in full, nor promised to be.
CLOSED = [
    *("NeuralNetwork", "NeuralNetwork, one logit", "PlattScaled", "MCDropout", "Ensemble", "tree", "forest", "forest of two"),
    *("gradient boosting", "gradient boosting of two", "histogram boosting", "AdaBoost", "XGBoost", "LightGBM of two"),
    *("logistic regression", "logistic regression of two", "linear discriminant", "perceptron", "XGBoost, linear"),
]


@pytest.mark.parametrize("name", CLOSED)
def test_a_file_is_read_back_with_the_same_far_field(name, tmp_path):
    model, X = fitted(name)
    path = tmp_path / "model.onnx"
    kl.export(model, path)
    read = kl.load(path)
    assert np.asarray(read.classes_).tolist() == np.asarray(model.classes_).tolist()
    starts = np.nan_to_num(X[::30], nan=1.0)
    steps = np.random.default_rng(0).normal(size=starts.shape)
    there, here = kl.far_field(read, starts, steps), kl.far_field(model, starts, steps)
    np.testing.assert_allclose(there.probs.mean(0), here.probs.mean(0), atol=1e-6)
    label, p = session(path).run(None, {"X": X[:0]})
    assert (label.shape, p.shape) == ((0,), (0, len(model.classes_)))


def test_rows_at_thresholds_go_the_way_that_they_go_in_the_library(tmp_path):
    """float32(x) <= t is decided for doubles between two floats as scikit-learn decides it."""
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 2))
    tree = DecisionTreeClassifier(random_state=0).fit(X, random.integers(0, 2, 200))
    kl.export(tree, tmp_path / "tree.onnx")
    rows = np.repeat(random.normal(size=(1, 2)), 600, 0)
    thresholds = tree.tree_.threshold[tree.tree_.feature == 0]
    ulps = random.integers(-(2**30), 2**30, 600)
    rows[:, 0] = random.choice(thresholds, 600)
    rows[:, 0] += ulps * np.spacing(rows[:, 0])
    rows[:, 1] = random.choice(X[:, 1], 600)
    label, p = session(tmp_path / "tree.onnx").run(None, {"X": rows})
    np.testing.assert_array_equal(p, tree.predict_proba(rows).astype(np.float32))
    np.testing.assert_array_equal(label, tree.predict(rows))


MODULES = {
    "plain": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, 3)), (4,)),
    "plain softmax": (lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(-1)), (4,)),
    "plain sigmoid": (lambda: nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), (4,)),
    "one logit": (lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.Sigmoid(), nn.Linear(5, 1)), (4,)),
    "in float64": (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double(), (4,)),
    "of its own": (Scores, (4,)),
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2), nn.LogSoftmax(1)
        ),
        (2, 8),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_file_does_what_the_module_does(name, tmp_path):
    build, shape = MODULES[name]
    module = seeded(build)
    X = np.random.default_rng(0).normal(size=(20, *shape))
    path = tmp_path / "model.onnx"
    kl.export(module, path, X)
    one = session(path)
    model = kl.read(module, X=X)
    for rows in (X, X[:1], X[:7]):
        label, p = one.run(None, {"X": rows})
        np.testing.assert_allclose(p, model.predict_proba(rows), atol=1e-5)
        np.testing.assert_array_equal(label, model.predict(rows))
    # Far out in the precision of the module.
    dtype = next(module.parameters()).dtype
    with torch.no_grad():
        far = kl.read(module, X=X).networks[0].around(module)
        own = far.probabilities(torch.from_numpy(1e6 * X).to(dtype)).mean(0).numpy()
    np.testing.assert_allclose(one.run(["probabilities"], {"X": 1e6 * X})[0], own, atol=1e-5)


def test_members_are_one_mean(tmp_path):
    stack, single = fitted("Ensemble")[0].stack_, seeded(lambda: nn.Linear(4, 2))
    members = [stack, single, fitted("forest of two")[0]]
    with pytest.raises(ValueError, match="same classes"):
        kl.export([*members[:2], fitted("forest")[0]], tmp_path / "model.onnx", TWO[0])
    kl.export(members, tmp_path / "model.onnx")
    rows = TWO[0]
    p = session(tmp_path / "model.onnx").run(["probabilities"], {"X": rows})[0]
    each = kl.read(members).predict_members(rows)
    assert len(each) == 5
    np.testing.assert_allclose(p, each.mean(0), atol=1e-5)


def test_what_was_read_is_exported_as_it_was_read(tmp_path):
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    program = torch.export.export(module, (torch.zeros(2, 4),))
    for place, model in enumerate((kl.read(module, outputs="logits"), program)):
        kl.export(model, tmp_path / f"{place}.onnx")
    rows = TWO[0]
    both = [session(tmp_path / f"{place}.onnx").run(["probabilities"], {"X": rows})[0] for place in range(2)]
    np.testing.assert_allclose(*both, atol=1e-6)
    np.testing.assert_allclose(both[0], torch.softmax(module(torch.tensor(rows).float()), 1).detach().numpy(), atol=1e-6)


def mixed_table():
    """A table of numbers, whole numbers, texts and gaps, and labels."""
    random = np.random.default_rng(0)
    age, city = random.normal(50, 10, 120), random.choice(["Bergen", "Oslo", "Voss"], 120).astype(object)
    y = np.where((age > 50) ^ (city == "Oslo"), "yes", "no")
    age[::9], city[::11] = np.nan, np.nan
    return pandas.DataFrame({"age": age, "visits": random.integers(0, 9, 120), "home town": city}), y


def pipeline(last):
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    return make_pipeline(ColumnTransformer([("n", numbers, ["age", "visits"]), ("t", texts, ["home town"])]), last)


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(4, random_state=0), GaussianNB()], ids=str)
def test_a_table_has_an_input_for_each_column(last, tmp_path):
    X, y = mixed_table()
    model = pipeline(last).fit(X, y)
    path = tmp_path / "model.onnx"
    kl.export(model, path, X)
    one = session(path)
    assert [(i.name, i.type, i.shape) for i in one.get_inputs()] == [
        ("age", "tensor(double)", ["N", 1]),
        ("visits", "tensor(double)", ["N", 1]),
        ("home town", "tensor(string)", ["N", 1]),
    ]
    rows = X.head(40).copy()
    rows.loc[3, "home town"] = "elsewhere"
    feeds = {
        "age": rows[["age"]].to_numpy(),
        "visits": rows[["visits"]].to_numpy(float),
        "home town": rows[["home town"]].fillna("").to_numpy(object),
    }
    label, p = one.run(None, feeds)
    np.testing.assert_allclose(p, model.predict_proba(rows), atol=1e-5)
    np.testing.assert_array_equal(label, model.predict(rows))
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert said["columns"] == '["age", "visits", "home town"]'
    assert said["classes"] == '["no", "yes"]'
    assert said["knowlimits"] == kl.__version__


@pytest.mark.parametrize(
    "labels", [[True, False], [0.0, 1.0], np.array(["x", "y"], dtype=object)], ids=["bool", "float", "object"]
)
@pytest.mark.parametrize("build", [DecisionTreeClassifier, GaussianNB])
def test_labels_of_all_types(build, labels, tmp_path):
    y = np.asarray(labels)[(TWO[1] > 3).astype(int)]
    model = build().fit(TWO[0], y)
    kl.export(model, tmp_path / "model.onnx", TWO[0])
    label = session(tmp_path / "model.onnx").run(["label"], {"X": TWO[0]})[0]
    assert label.dtype == (object if y.dtype == object else np.int64)
    np.testing.assert_array_equal(label, model.predict(TWO[0]))


def test_a_table_of_numbers_is_named_by_what_was_fitted(tmp_path):
    X = pandas.DataFrame(TWO[0], columns=["a", "b", "c", "d"])
    for place, model in enumerate((RandomForestClassifier(3, random_state=0), make_pipeline(StandardScaler(), GaussianNB()))):
        path = tmp_path / f"{place}.onnx"
        kl.export(model.fit(X, TWO[1]), path)
        one = session(path)
        assert [i.name for i in one.get_inputs()] == list("abcd")
        label, p = one.run(None, {name: X[[name]].to_numpy() for name in X})
        np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(label, model.predict(X))


def test_an_array_with_texts_has_an_input_for_each_column():
    X, y = mixed_table()
    array = X.dropna().to_numpy(object)
    encoder = ColumnTransformer([("t", OneHotEncoder(sparse_output=False), [2])], remainder="passthrough")
    model = make_pipeline(encoder, GaussianNB()).fit(array, y[X.notna().all(axis=1)])
    found = exported(model, array)
    assert [(one.name, one.text) for one in found.inputs] == [("x0", False), ("x1", False), ("x2", True)]


class TestRefused:
    def test_models_that_are_not_fitted(self, tmp_path):
        for model in (GaussianNB(), kl.NeuralNetwork(), make_pipeline(StandardScaler(), GaussianNB())):
            with pytest.raises(ValueError, match=r"must be fitted.*call fit first"):
                kl.export(model, tmp_path / "model.onnx")

    def test_what_is_no_classifier(self, tmp_path):
        with pytest.raises(TypeError, match=r"model must be a fitted classifier of knowlimits.* Got str instead"):
            kl.export("model", tmp_path / "model.onnx")

    def test_several_labels_per_row(self, tmp_path):
        X, y = TWO
        forest = RandomForestClassifier(2).fit(X, np.stack([y, y[::-1]], 1))
        several = OneVsRestClassifier(GaussianNB()).fit(X, np.stack([y == 3, y[::-1] == 3], 1))
        for model in (forest, several):
            with pytest.raises(ValueError, match="one label per row"):
                kl.export(model, tmp_path / "model.onnx")

    def test_other_names_of_files(self, tmp_path):
        with pytest.raises(ValueError, match=r"model.pb must end in \.onnx"):
            kl.export(fitted("tree")[0], tmp_path / "model.pb")

    def test_folders_that_are_not_there(self, tmp_path):
        with pytest.raises(OSError, match=r"nowhere"):
            kl.export(fitted("tree")[0], tmp_path / "nowhere" / "model.onnx")

    def test_labels_that_onnx_does_not_have(self, tmp_path):
        model = GaussianNB().fit(*TWO)
        model.classes_ = np.array([0.5, 1.25])
        with pytest.raises(ValueError, match=r"texts or whole numbers, which ONNX knows. Got \[0.5, 1.25\]"):
            kl.export(model, tmp_path / "model.onnx")

    def test_modules_that_look_at_values(self, tmp_path):
        class Looks(nn.Module):
            def __init__(self):
                super().__init__()
                self.last = nn.Linear(4, 2)

            def forward(self, x):
                return self.last(x) if float(x.sum()) > -1e9 else self.last(-x)

        with pytest.raises(ValueError, match=r"that torch.onnx.export takes, with any number of rows. Got Looks, of which"):
            kl.export(seeded(Looks), tmp_path / "model.onnx")
        assert not list(tmp_path.iterdir())

    def test_columns_that_are_named_as_outputs(self, tmp_path):
        X = pandas.DataFrame(TWO[0], columns=["a", "b", "c", "label"])
        with pytest.raises(ValueError, match=r"names of their own.*Got 'label': rename it"):
            kl.export(GaussianNB().fit(X, TWO[1]), tmp_path / "model.onnx", X)

    def test_tables_of_which_no_rows_can_be_made_up(self, tmp_path):
        X, y = mixed_table()
        with pytest.raises(
            ValueError, match="X must be given, a few rows as the model takes them, where its first step chooses columns"
        ):
            kl.export(pipeline(GaussianNB()).fit(X, y), tmp_path / "model.onnx")

    def test_what_has_no_counterpart_and_what_ties_are_broken_in(self, tmp_path):
        X, y = THREE
        same = KNeighborsClassifier(4).fit(np.round(X), y)
        with pytest.raises(ValueError, match=r"so that the file does what it does. Got KNeighborsClassifier: of a row it says"):
            kl.export(same, tmp_path / "model.onnx", np.round(X))

        class Own(GaussianNB):
            def predict_proba(self, X):
                return super().predict_proba(X)[:, ::-1]

        with pytest.raises(ValueError, match="Got Own: "):
            kl.export(Own().fit(*TWO), tmp_path / "model.onnx")

    def test_a_predict_of_its_own(self, tmp_path):
        class Careful(RandomForestClassifier):
            def predict(self, X):
                return np.where(self.predict_proba(X)[:, 1] > 0.2, self.classes_[1], self.classes_[0])

        with pytest.raises(ValueError, match=r"of a row it says .* and the model"):
            kl.export(Careful(4, random_state=0).fit(*TWO), tmp_path / "model.onnx", TWO[0])

    @pytest.mark.parametrize("package", ["onnx", "onnxruntime", "skl2onnx", "onnxscript"])
    def test_packages_that_are_not_installed(self, package, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, package, None)
        model = seeded(Scores) if package == "onnxscript" else fitted("naive Bayes")[0]
        with pytest.raises(ImportError, match=rf"needs the package {package}: pip install 'know-your-limits\[export\]'"):
            kl.export(model, tmp_path / "model.onnx")


def test_what_is_written_wrong_is_seen(monkeypatch, tmp_path):
    """A negative control: trees whose gaps go the other way, and a network with another weight."""
    model, X = fitted("LightGBM")
    found = exported(model, X)
    for node in found.nodes:
        for attribute in node.attribute:
            if attribute.name == "nodes_missing_value_tracks_true":
                attribute.ints[:] = [1 - one for one in attribute.ints]
    monkeypatch.setattr("knowlimits.files.export.export._of_networks", lambda *a: exported_as(found))
    with pytest.raises(ValueError, match="of a row it says"):
        kl.export(model, tmp_path / "model.onnx", X)
    assert not list(tmp_path.iterdir())


def exported_as(found):
    from knowlimits.files.export.export import Made

    return Made(found)


def test_categories_go_the_way_that_they_go_in_the_library(tmp_path):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=300), random.integers(0, 6, 300)]).astype(float)
    y = ((X[:, 0] > 0) ^ np.isin(X[:, 1], [1, 4])).astype(int)
    X[::20, 1] = np.nan
    model = LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(X, y, categorical_feature=[1])
    kl.export(model, tmp_path / "model.onnx", X)
    rows = X[:60].copy()
    rows[:40, 1] = random.choice([-3, -0.5, 0.5, 1.9, 4.0, 5.0, 6.0, 1e6, np.nan], 40)
    p = session(tmp_path / "model.onnx").run(["probabilities"], {"X": rows})[0]
    np.testing.assert_allclose(p, model.predict_proba(rows), atol=1e-6)


def test_zeros_that_are_gaps(tmp_path):
    X = np.where(np.random.default_rng(0).random(TWO[0].shape) < 0.2, 0.0, TWO[0])
    model = LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1, zero_as_missing=True).fit(X, TWO[1])
    kl.export(model, tmp_path / "model.onnx", X)
    p = session(tmp_path / "model.onnx").run(["probabilities"], {"X": X})[0]
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-6)


@pytest.mark.catboost
@pytest.mark.parametrize("grow_policy", ["SymmetricTree", "Lossguide"])
def test_catboost(grow_policy, tmp_path):
    from catboost import CatBoostClassifier

    X = fitted("histogram boosting")[1]
    settings = {"iterations": 4, "depth": 3, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    model = CatBoostClassifier(grow_policy=grow_policy, **settings).fit(X, THREE[1])
    kl.export(model, tmp_path / "model.onnx", X)
    assert_same(model, tmp_path / "model.onnx", rows_near(np.nan_to_num(X)))
    np.testing.assert_allclose(
        session(tmp_path / "model.onnx").run(["probabilities"], {"X": X})[0], model.predict_proba(X), atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:.*prob:FutureWarning")
def test_a_label_that_is_not_the_likeliest_class_is_the_model_s_own(tmp_path):
    """Platt's probabilities of few rows disagree with the votes of a support vector machine."""
    random = np.random.default_rng(3)
    X, y = random.normal(size=(60, 2)), random.integers(0, 3, 60)
    model = SVC(probability=True, random_state=0).fit(X, y)
    kl.export(model, tmp_path / "model.onnx", X)
    label, p = session(tmp_path / "model.onnx").run(None, {"X": X})
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(label, model.predict(X))
    assert (label != p.argmax(1)).any()


def test_categories_inside_an_estimator_are_refused(tmp_path):
    X = np.column_stack([TWO[0][:, 0], np.random.default_rng(0).integers(0, 4, len(TWO[0]))])
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[1]).fit(X, TWO[1])
    with pytest.raises(ValueError, match="Got HistGradientBoostingClassifier"):
        kl.export(model, tmp_path / "model.onnx", X)


def test_an_evaluator_that_fails_is_a_difference():
    said = check.Said(np.ones((1, 3)), np.array(["a"]), np.ones(1, dtype=bool))
    found = check.started(exported(fitted("tree")[0]).model())
    assert "cannot be run" in (check.difference(found, {"Y": np.zeros((1, 4))}, said, lambda: ()) or "")
