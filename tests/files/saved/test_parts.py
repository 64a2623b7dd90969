"""Guards of models of every family in files of ours: what comes back answers as what was saved, and nothing else is written."""

import io

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.files.saved.parts import FORMS, MOST
from tests.files.onnx_models import convolutional, perceptron
from tests.files.saved.lies import opened

RNG = np.random.RandomState(0)
X = RNG.randn(60, 3)
CODES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
TEXT = np.array(["low", "mid", "top"])[CODES]
TREE = "sklearn.tree._tree.Tree"
ADAM = "sklearn.neural_network._stochastic_optimizers.AdamOptimizer"


def network(ending=None, inputs=3):
    torch.manual_seed(0)
    layers = [nn.Linear(inputs, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 3)]
    return nn.Sequential(*layers, *([] if ending is None else [ending])).eval()


class Casts(nn.Module):
    """A network that says its own type."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x.float())


class Alone(nn.Module):
    """Its logits come in a tuple."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return (self.inner(x),)


class Pair(Alone):
    """Of what it returns one counts."""

    def forward(self, x):
        return x, self.inner(x)


def program():
    exported = torch.export.export(network(), (torch.zeros(3, 3),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def loaded(content, name, folder, **how):
    (folder / name).write_bytes(content)
    return kl.load(folder / name, **how)


def mlp(seed=0, labels=TEXT):
    return MLPClassifier((4,), solver="lbfgs", max_iter=5, random_state=seed).fit(X, labels)


def ours(kind=kl.NeuralNetwork, **how):
    return kind((3,), epochs=1, random_state=0, **how).fit(X, TEXT)


def xgb(**how):
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=3, max_depth=2, **how)


def lgb(**how):
    return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1, **how)


def cat(**how):
    return pytest.importorskip("catboost").CatBoostClassifier(
        iterations=3, depth=2, verbose=0, allow_writing_files=False, **how
    )


def stopped_early():
    return xgb(early_stopping_rounds=1, learning_rate=3.0).fit(
        X[:40], CODES[:40], eval_set=[(X[40:], CODES[40:])], verbose=False
    )


#: By name: the model, made in a folder; how a guard of it is made; and what its file needs to be trusted.
MODELS = {
    "ours": (lambda folder: ours(), {}, []),
    "ours with members": (lambda folder: ours(kl.Ensemble, members=2), {}, []),
    "a list of ours": (lambda folder: [ours(), ours(kl.MCDropout)], {}, []),
    "a linear model": (lambda folder: LogisticRegression().fit(X, TEXT), {}, []),
    "numbers as labels": (lambda folder: GaussianNB().fit(X, CODES - 1), {}, []),
    "a pipeline": (lambda folder: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, TEXT), {}, []),
    "a forest": (lambda folder: RandomForestClassifier(3, random_state=0).fit(X, TEXT), {}, [TREE]),
    "a vote": (
        lambda folder: VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft").fit(X, TEXT),
        {},
        ["sklearn.utils._bunch.Bunch"],
    ),
    "a threshold": (lambda folder: FixedThresholdClassifier(GaussianNB(), threshold=0.9).fit(X, CODES > 0), {}, []),
    "a perceptron": (lambda folder: mlp(), {}, []),
    "a list of perceptrons": (lambda folder: [mlp(0), mlp(1)], {}, []),
    "a perceptron of scikit-learn that was read": (lambda folder: kl.read(mlp()), {}, []),
    "XGBoost, two classes": (lambda folder: xgb().fit(X, CODES > 0), {}, []),
    "XGBoost": (lambda folder: stopped_early(), {}, []),
    "XGBoost's booster": (lambda folder: xgb().fit(X, CODES > 1).get_booster(), {}, []),
    "LightGBM": (lambda folder: lgb().fit(X, TEXT), {}, []),
    "LightGBM's booster": (lambda folder: lgb().fit(X, CODES).booster_, {}, []),
    "CatBoost": (lambda folder: cat().fit(X, TEXT), {}, []),
    "a module": (lambda folder: network(), {}, []),
    "a module that is said to have logits": (lambda folder: nn.Linear(3, 3), {"outputs": "logits"}, []),
    "a module that casts": (lambda folder: Casts(), {}, []),
    "modules": (lambda folder: [network(), nn.Linear(3, 3)], {}, []),
    "modules by name that return different things": (
        lambda folder: {"a": network(nn.LogSoftmax(1)), "b": network(nn.Softmax(1))},
        {},
        [],
    ),
    "a module that was read": (lambda folder: kl.read(nn.Linear(3, 3), "logits"), {}, []),
    "a module of simpler operations": (
        lambda folder: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        {"outputs": "logits"},
        [],
    ),
    "a module that returns more": (lambda folder: kl.read(Pair(), "logits", output=1), {}, []),
    "a module that returns a tuple": (lambda folder: Alone(), {"outputs": "logits"}, []),
    "a program": (lambda folder: loaded(program(), "m.pt2", folder), {}, []),
    "an ONNX file": (lambda folder: loaded(perceptron().SerializeToString(), "m.onnx", folder), {}, []),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Boosted files are held to their libraries in the tests of that door; each time takes seconds."""
    monkeypatch.setattr("knowlimits.files.boosters.read.installed", lambda package: False)


def guarded(name, folder):
    make, how, trusted = MODELS[name]
    rows = X if name != "an ONNX file" else RNG.randn(60, 4)
    return kl.Guard(make(folder), random_state=0, components=(1, 2), ranges={0: (-50, 50)}, **how).fit(rows), rows, trusted


def check_same(guard, again, rows, single=False):
    """That two guards answer alike: near the data, far away, at gaps and outside of ranges."""
    far = np.vstack([rows, 3 * rows, 1e3 * rows, np.full((1, rows.shape[1]), 60.0)])
    gaps = rows[:2].copy()
    gaps[:, 0] = np.nan, np.inf
    assert guard.accepts(far).any()
    assert not guard.accepts(far).all()
    np.testing.assert_array_equal(again.predict(far), guard.predict(far))
    assert again.predict(far).dtype == again.classes_.dtype or again.predict(far).dtype == guard.predict(far).dtype
    np.testing.assert_allclose(again.predict_proba(far), guard.predict_proba(far), rtol=0, atol=2e-7 if single else 1e-13)
    np.testing.assert_array_equal(again.predict_proba(gaps), guard.predict_proba(gaps))
    for given in (far, gaps):
        for method in ("unfamiliarity", "weight", "accepts", "parts", "reasons"):
            np.testing.assert_array_equal(getattr(again, method)(given), getattr(guard, method)(given))
    np.testing.assert_array_equal(again.bound(rows, 1.0), guard.bound(rows, 1.0))
    np.testing.assert_array_equal(again.settled(rows, "random", random_state=0), guard.settled(rows, "random", random_state=0))
    np.testing.assert_array_equal(again.far_field(rows, rows).probs, guard.far_field(rows, rows).probs)
    for name in ("classes_", "n_features_in_", "shift_", "threshold_", "loss_", "kept_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(guard, name))
    assert np.asarray(again.classes_).dtype == np.asarray(guard.classes_).dtype


@pytest.mark.filterwarnings("ignore:.*(feature names|valid feature|lbfgs failed)")
@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_answers_as_what_was_saved(name, tmp_path):
    guard, rows, trusted = guarded(name, tmp_path)
    kl.save(guard, tmp_path / "guard.safetensors")
    again = kl.load(tmp_path / "guard.safetensors", trusted=trusted)
    assert type(again) is kl.Guard
    parameters, own = (one.get_params(deep=False) for one in (again, guard))
    assert {key: value for key, value in parameters.items() if key != "model"} == {k: v for k, v in own.items() if k != "model"}
    check_same(guard, again, rows, single=name.startswith("XGBoost"))
    # It is a guard like any other: it is saved again, and fitted again.
    kl.save(again, tmp_path / "again.safetensors")
    last = kl.load(tmp_path / "again.safetensors", trusted=trusted)
    check_same(again, last, rows)
    assert last.fit(rows).predict(rows).tolist() == guard.predict(rows).tolist()


def test_there_is_a_guard_of_every_form(tmp_path):
    forms = set()
    for name in ("ours", "a linear model", "XGBoost", "LightGBM", "CatBoost", "a module", "an ONNX file"):
        guard, *_ = guarded(name, tmp_path)
        kl.save(guard, tmp_path / "g")
        forms |= {part["form"] for part in opened(tmp_path / "g")[0]["model"]["parts"]}
    # The two others are read where a person has loaded them.
    assert forms == set(FORMS) - {".cbm"}


def table():
    """Numbers with gaps, text, categories and truth values."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": 50 + 10 * X[:, 0], "weight": 70 + X[:, 1]})
    frame.loc[::7, "weight"] = np.nan
    frame["ward"] = np.array(["north", "south"])[(X[:, 2] > 0).astype(int)]
    frame["unit"] = pandas.Categorical(np.array(["a", "b", "c"])[RNG.randint(0, 3, len(X))])
    frame["acute"] = X[:, 1] > 0.5
    return frame


def encoded(*models):
    return make_pipeline(
        make_column_transformer((OneHotEncoder(), ["ward", "unit", "acute"]), remainder="passthrough"), *models
    )


TABLES = {
    "scikit-learn": (lambda: encoded(HistGradientBoostingClassifier(max_iter=2)), ["ward", "unit", "acute"]),
    "LightGBM": (lambda: lgb(), []),
    "XGBoost": (lambda: xgb(enable_categorical=True), []),
}


@pytest.mark.filterwarnings("ignore:.*categories")
@pytest.mark.parametrize("name", TABLES)
def test_guards_of_tables_with_categories_and_gaps(name, tmp_path):
    make, text = TABLES[name]
    frame = table()
    frame = frame if text else frame.assign(ward=frame["ward"].astype("category"))
    model = make().fit(frame, CODES if name == "XGBoost" else TEXT)
    guard = kl.Guard(model, random_state=0, ranges={"age": (0, 120), 1: (None, 200)}).fit(frame)
    kl.save(guard, tmp_path / "g")
    again = kl.load(
        tmp_path / "g", trusted=["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"] if text else []
    )
    assert again.ranges == {"age": (0, 120), 1: (None, 200)}
    strange = frame.copy()
    strange.loc[:2, "age"] = [-1.0, np.nan, 130.0]
    assert np.isinf(again.unfamiliarity(strange)[:3]).all()
    for given in (frame, strange):
        for method in ("predict", "unfamiliarity", "accepts", "parts", "reasons"):
            np.testing.assert_array_equal(getattr(again, method)(given), getattr(guard, method)(given))
        np.testing.assert_allclose(again.predict_proba(given), guard.predict_proba(given), rtol=0, atol=2e-7)


@pytest.mark.parametrize("kind", ["module", "module with its shape", "file"])
def test_guards_of_images(kind, tmp_path):
    torch.manual_seed(0)
    images = RNG.randn(40, 1, 4, 4)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    if kind == "file":
        model = loaded(convolutional().SerializeToString(), "m.onnx", tmp_path)
    else:
        model = module if kind == "module" else kl.read(module, "logits", input_shape=(1, 4, 4))
    guard = kl.Guard(model, random_state=0, components=(1,)).fit(images)
    kl.save(guard, tmp_path / "g")
    again = kl.load(tmp_path / "g")
    np.testing.assert_allclose(again.predict_proba(images), guard.predict_proba(images), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(again.unfamiliarity(images), guard.unfamiliarity(images))
    if kind != "module":
        flat = images.reshape(40, 16)
        np.testing.assert_allclose(again.predict_proba(flat), guard.predict_proba(flat), rtol=0, atol=1e-13)


class Doubled(TransformerMixin, BaseEstimator):
    """A step of one's own, in a module."""

    def fit(self, X, y=None):
        self.factor_ = 2.0
        return self

    def transform(self, X):
        return X * self.factor_


def test_steps_of_ones_own_load_where_they_are_named(tmp_path):
    guard = kl.Guard(make_pipeline(Doubled(), LogisticRegression()).fit(X, TEXT), random_state=0).fit(X)
    kl.save(guard, tmp_path / "g")
    with pytest.raises(
        ValueError, match=r"the model in .*g holds types that are not trusted.*\['tests.files.saved.test_parts.Do"
    ):
        kl.load(tmp_path / "g")
    again = kl.load(tmp_path / "g", trusted=[f"{__name__}.Doubled"])
    np.testing.assert_array_equal(again.predict_proba(X), guard.predict_proba(X))


class Forgetful(LogisticRegression):
    """Its file holds less than it does."""

    def __getstate__(self):
        return {**super().__getstate__(), "coef_": 0 * self.coef_}


class Plain:
    """Nothing but a classifier."""

    classes_ = np.array([0, 1])

    def predict(self, X):
        return np.zeros(len(X), dtype=int)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


class Depends(nn.Module):
    """What it computes hangs on its numbers, which no program says."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x) if x.sum() < 1e6 else self.layer(-x)


class Looked(nn.Module):
    """It looks rows of a table up, which no program from a file may."""

    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(2, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(x) + self.table((x[:, 2] > 1e9).long())


def local():
    class Local(Doubled):
        pass

    return make_pipeline(Local(), LogisticRegression()).fit(X, TEXT)


REFUSED = {
    "a function without a name": (
        lambda: make_pipeline(FunctionTransformer(lambda rows: rows), LogisticRegression()).fit(X, TEXT),
        r"Got Pipeline, which holds .*<lambda>: no other program finds",
    ),
    "a class of a function": (
        local,
        r"Got Pipeline, whose file would be refused \(the model in its file is not a complete file",
    ),
    "an estimator that forgets": (
        lambda: Forgetful().fit(X, TEXT),
        "Got Forgetful, which answers otherwise once it is read back",
    ),
    "a class of no library": (Plain, "Got Plain, of a kind that has no format without code"),
    "a module that decides": (lambda: kl.read(Depends(), "logits"), "Got Depends, which torch.export does not take"),
    "a module that is refused": (
        lambda: kl.read(Looked(), "logits"),
        r"Got Looked, whose program would be refused \(model was",
    ),
    "a forest that was read": (
        lambda: kl.read(RandomForestClassifier(2, random_state=0).fit(X, TEXT)),
        "Got Model, of a kind that has no format without code",
    ),
    "gaps by another name": (lambda: xgb(missing=-99).fit(X, CODES), "Got XGBClassifier, which takes -99 for a gap"),
    "many members": (lambda: [GaussianNB().fit(X, CODES)] * (MOST + 1), "Got list, of 101 members, of which 100 are saved"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_file_without_code_is_refused_before_anything_is_written(case, tmp_path):
    make, match = REFUSED[case]
    guard = kl.Guard(make(), random_state=0, components=(1,)).fit(X)
    (tmp_path / "g").write_text("as it was")
    with pytest.raises(TypeError, match=match) as raised:
        kl.save(guard, tmp_path / "g")
    assert "knowlimits.export(guard, 'model.onnx')" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as it was"]


def test_skorch_is_refused(tmp_path):
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(nn.Linear, module__in_features=3, module__out_features=3, criterion=nn.CrossEntropyLoss)
    net.set_params(max_epochs=1, verbose=0, train_split=None)
    guard = kl.Guard(net.fit(X.astype(np.float32), CODES), random_state=0).fit(X.astype(np.float32))
    with pytest.raises(TypeError, match="Got NeuralNetClassifier, of a kind that has no format without code"):
        kl.save(guard, tmp_path / "g")


def test_weights_beside_an_onnx_file_are_saved_within(tmp_path):
    import onnx

    (tmp_path / "m").mkdir()
    onnx.save(perceptron(), tmp_path / "m" / "m.onnx", save_as_external_data=True, size_threshold=0)
    rows = RNG.randn(60, 4)
    guard = kl.Guard(kl.load(tmp_path / "m" / "m.onnx"), random_state=0).fit(rows)
    kl.save(guard, tmp_path / "g")
    (tmp_path / "m").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(kl.load(tmp_path / "g").predict_proba(rows), guard.predict_proba(rows))
