"""Files of boosting libraries: as they write them, damaged, and made to do harm."""

import copy
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine

import knowlimits as kl
from knowlimits.files.boosters import apart
from knowlimits.files.boosters import read as reading
from tests.command import run

pytestmark = pytest.mark.filterwarnings("ignore")
WINE, CANCER = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)


def xgb(X, y, **more: Any):
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(**{"n_estimators": 4, "max_depth": 2, "n_jobs": 1, **more}).fit(X, y)


def lgb(X, y, **more: Any):
    lightgbm = pytest.importorskip("lightgbm")
    settings = {"n_estimators": 4, "num_leaves": 4, "min_data_per_group": 1, "cat_smooth": 1, "n_jobs": 1, "verbose": -1}
    return lightgbm.LGBMClassifier(**{**settings, **more}).fit(X, y, categorical_feature=[2])


def cat(X, y, **more: Any):
    catboost = pytest.importorskip("catboost")
    settings = {"iterations": 4, "depth": 2, "verbose": False, "thread_count": 1, "allow_writing_files": False, **more}
    return catboost.CatBoostClassifier(**settings).fit(X, y)


def coded():
    draws = np.random.default_rng(0)
    X = np.column_stack([draws.normal(size=(300, 2)), draws.integers(0, 5, 300)])
    return X, (np.isin(X[:, 2], [1, 3]) ^ (X[:, 0] > 0)).astype(int)


def write(kind: str, path: Path) -> Any:
    """A file of a kind, and what its library's own class says."""
    if kind in ("json", "ubj"):
        model = xgb(*(WINE if kind == "json" else CANCER))
        model.save_model(path)
    elif kind == "txt":
        model = lgb(*coded())
        model.booster_.save_model(path)
    else:
        model = cat(*WINE)
        model.save_model(str(path), format="cbm" if kind == "cbm" else "json")
    return model


KINDS = [
    "json",
    "ubj",
    "txt",
    pytest.param("cbm", marks=pytest.mark.catboost),
    pytest.param("cat.json", marks=pytest.mark.catboost),
]


def rows_of(kind: str) -> np.ndarray:
    return {"ubj": CANCER[0], "txt": coded()[0]}.get(kind, WINE[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_what_was_written(kind: str, tmp_path: Path):
    own = write(kind, tmp_path / f"model.{kind}")
    found = kl.load(tmp_path / f"model.{kind}")
    X = rows_of(kind)
    assert found.n_features_in_ == X.shape[1]
    np.testing.assert_allclose(found.predict_proba(X), own.predict_proba(X), atol=1e-6)
    assert kl.read(found) is found


@pytest.mark.parametrize("kind", ["ubj", "txt"])
def test_a_file_of_a_model_that_takes_text(kind: str, tmp_path: Path):
    draws = np.random.default_rng(0)
    X = pd.DataFrame({"a": draws.normal(size=300), "city": pd.Categorical(draws.choice(["Basel", "Turin", "Wien"], 300))})
    y = ((X.city == "Turin") ^ (X.a > 0)).astype(int)
    if kind == "ubj":
        own = xgb(X, y, enable_categorical=True)
        own.save_model(tmp_path / "m")
    else:
        own = pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(X, y)
        own.booster_.save_model(tmp_path / "m")
    found = kl.load(tmp_path / "m")
    np.testing.assert_allclose(found.predict_proba(X), own.predict_proba(X), atol=1e-6)
    far = kl.far_field(found, X[:50], np.tile([-1.0, 0], (50, 1)))
    np.testing.assert_allclose(far.probs[0], own.predict_proba(X[:50].assign(a=-1e9)), atol=1e-6)
    assert set(kl.audit(found, X, y).features["feature"]) == {"a"}


@pytest.mark.parametrize("name", ["m", "m.onnx", "m.json", "m.safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_told_by_what_is_in_it(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if kind != "cbm":
        monkeypatch.setattr(reading, "installed", lambda package: False)
    write(kind, tmp_path / f"own.{kind}")
    (tmp_path / f"own.{kind}").rename(tmp_path / name)
    assert kl.load(tmp_path / name).name == {"txt": "LightGBM", "json": "XGBoost", "ubj": "XGBoost"}.get(kind, "CatBoost")


@pytest.mark.parametrize("name", ["m.json", "m.ubj", "m.txt", "m.cbm"])
@pytest.mark.parametrize(
    "content", [b"", b"no such thing", b"\x00" * 40, b"{", b"{}", b"[]", b"tree", b"tree\n", b"CBM1", b"{L"]
)
def test_what_is_no_model(name: str, content: bytes, tmp_path: Path):
    if name == "m.cbm" or content == b"CBM1":
        pytest.importorskip("catboost")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / name))}") as raised:
        kl.load(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_without_catboost_a_cbm_file_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "installed", lambda package: False)
    (tmp_path / "m").write_bytes(b"CBM1 and so on")
    with pytest.raises(ImportError, match="pip install catboost, or write it with save_model"):
        kl.load(tmp_path / "m")


def test_dumps_of_lightgbm_are_told(tmp_path: Path):
    (tmp_path / "m.json").write_text(json.dumps(lgb(*coded()).booster_.dump_model()))
    with pytest.raises(ValueError, match="write it with save_model"):
        kl.load(tmp_path / "m.json")


def document() -> Any:
    return json.loads(bytes(xgb(*CANCER).get_booster().save_raw("json")))


def test_newer_versions_are_refused(tmp_path: Path):
    (tmp_path / "m.json").write_text(json.dumps({**document(), "version": [4, 0, 0]}))
    with pytest.raises(ValueError, match="is of XGBoost 4, and up to 3 is known: install a newer knowlimits"):
        kl.load(tmp_path / "m.json")


def test_the_best_round_counts_where_the_class_wrote_the_file(tmp_path: Path):
    (X, y), half = WINE, np.arange(len(WINE[0])) % 2 == 0
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=100, n_jobs=1, early_stopping_rounds=2)
    model.fit(X[half], y[half], eval_set=[(X[~half], y[~half])], verbose=False)
    model.save_model(tmp_path / "class.ubj")
    model.get_booster().set_attr(scikit_learn=None)
    model.get_booster().save_model(tmp_path / "booster.ubj")
    np.testing.assert_allclose(kl.load(tmp_path / "class.ubj").predict_proba(X), model.predict_proba(X), atol=1e-6)
    own = model.get_booster().predict(xgboost.DMatrix(X))
    np.testing.assert_allclose(kl.load(tmp_path / "booster.ubj").predict_proba(X), own, atol=1e-6)
    assert np.abs(own - model.predict_proba(X)).max() > 1e-4


def test_versions_before_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without what has come since: ends of rounds, categories, kinds of splits, lists of base scores."""
    monkeypatch.setattr(reading, "installed", lambda package: False)
    model = xgb(*CANCER, num_parallel_tree=2)
    old = json.loads(bytes(model.get_booster().save_raw("json")))
    old["version"] = [1, 3, 0]
    about, booster = old["learner"]["learner_model_param"], old["learner"]["gradient_booster"]["model"]
    about["base_score"] = about["base_score"].strip("[]")
    del about["num_target"], about["boost_from_average"], booster["iteration_indptr"], booster["cats"]
    del old["learner"]["feature_names"], old["learner"]["feature_types"]
    for tree in booster["trees"]:
        for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes", "split_type"):
            del tree[name]
        tree["default_left"] = [bool(left) for left in tree["default_left"]]
    (tmp_path / "m.json").write_text(json.dumps(old))
    np.testing.assert_allclose(kl.load(tmp_path / "m.json").predict_proba(CANCER[0]), model.predict_proba(CANCER[0]), atol=1e-6)
    old["learner"]["attributes"] = {"scikit_learn": "{}", "best_iteration": "1"}
    (tmp_path / "m.json").write_text(json.dumps(old))
    part = model.predict_proba(CANCER[0], iteration_range=(0, 2))
    np.testing.assert_allclose(kl.load(tmp_path / "m.json").predict_proba(CANCER[0]), part, atol=1e-6)


# --- harm ---------------------------------------------------------------------------------------------------------------


def tree_of(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]["trees"][0]


HARM = {
    "a cycle": (lambda o: tree_of(o)["left_children"].__setitem__(1, 0), "two parents"),
    "a child far away": (lambda o: tree_of(o)["left_children"].__setitem__(0, 10**6), "not there"),
    "a column far away": (lambda o: tree_of(o)["split_indices"].__setitem__(0, 10**6), "none of its 30"),
    "a short list": (lambda o: tree_of(o)["split_conditions"].pop(), "lists of several lengths"),
    "a threshold": (lambda o: tree_of(o)["split_conditions"].__setitem__(0, float("nan")), "no number"),
    "a leaf": (lambda o: tree_of(o)["split_conditions"].__setitem__(-1, float("inf")), "no finite number"),
    "many columns": (lambda o: o["learner_model_param"].update(num_feature="2000000000"), "whole number up to 1,000,000"),
    "many classes": (lambda o: o["learner_model_param"].update(num_class="2000000000"), "whole number up to 10,000"),
    "many labels": (lambda o: o["learner_model_param"].update(num_target="7"), "several labels"),
    "a class": (lambda o: o["gradient_booster"]["model"].update(tree_info=[7, 0, 0, 0]), "class that is not there"),
    "categories": (
        lambda o: tree_of(o).update(categories=[1], categories_nodes=[0], categories_segments=[0], categories_sizes=[10**9]),
        "categories that are not there",
    ),
    "large numbers": (lambda o: tree_of(o)["left_children"].__setitem__(0, 10**400), "no list of numbers"),
    "a long objective": (lambda o: o["objective"].update(name="x\n" * 10**6), "has the objective 'x"),
    "nothing": (lambda o: o.clear(), "has no entry"),
}


@pytest.mark.parametrize("name", HARM)
def test_harmful_documents(name: str, tmp_path: Path):
    change, message = HARM[name]
    harmful = document()
    change(harmful["learner"])
    (tmp_path / "m.json").write_text(json.dumps(harmful))
    with pytest.raises(ValueError, match=message) as raised:
        kl.load(tmp_path / "m.json")
    assert str(raised.value).startswith(str(tmp_path / "m.json"))
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


LINES = {
    "a cycle": (r"left_child=0 0 -1", "two parents"),
    "a short list": (r"left_child=1", "in place of 3"),
    "a child far away": (r"left_child=1000000 -1 -2", "not there"),
    "a leaf far away": (r"left_child=1 -1 -2000000", "not there"),
    "many leaves": (r"num_leaves=500000000", "in place of"),
    "categories far away": (r"cat_threshold=", "categories that are not there"),
    "no numbers": (r"leaf_value=a b c d", "no list of numbers"),
    "no number": (r"leaf_value=nan 1 1 1", "no finite number"),
    "linear functions": (r"is_linear=1", "linear functions"),
}


@pytest.mark.parametrize("name", LINES)
def test_harmful_lines(name: str, tmp_path: Path):
    line, message = LINES[name]
    key = line.partition("=")[0]
    text = lgb(*coded()).booster_.model_to_string()
    changed, done = [], False
    for one in text.split("\n"):
        here = one.startswith(f"{key}=") and not done
        done |= here
        changed.append(line if here else one)
    assert done
    (tmp_path / "m.txt").write_text("\n".join(changed))
    with pytest.raises(ValueError, match=message):
        kl.load(tmp_path / "m.txt")


@pytest.mark.parametrize("content", [b"[" * 10**6, b'{"learner":' * 10**5, b"{" + b"L\0\0\0\0\0\0\0\1a{" * 10**5])
def test_deep_nesting(content: bytes, tmp_path: Path):
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.json"):
        kl.load(tmp_path / "m.json")


JUNK = [None, True, -1, 2**70, 1.5, float("nan"), "", "9" * 30, [], {}, ["a"], [[1]], [None], [2**63], [-1] * 15, [0] * 15]


def damaged(document: Any, draws: random.Random) -> Any:
    """A copy with one thing in it that is another, or missing."""
    document = copy.deepcopy(document)
    inside, key = None, None
    one = document
    while isinstance(one, dict | list) and one and (inside is None or draws.random() < 0.85):
        inside, key = one, draws.choice(list(one)) if isinstance(one, dict) else draws.randrange(len(one))
        one = inside[key]
    assert inside is not None
    if draws.random() < 0.2:
        del inside[key]
    else:
        inside[key] = copy.deepcopy(draws.choice(JUNK))
    return document


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_refused_in_one_line_or_does_none(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "installed", lambda package: False)
    draws = random.Random(seed)
    whole, binary = document(), bytes(xgb(*CANCER).get_booster().save_raw("ubj"))
    text = lgb(*coded()).booster_.model_to_string().encode()
    outcomes = set()
    for _ in range(100):
        some = bytearray(draws.choice([text, binary]))
        for _ in range(draws.choice([1, 3])):
            some[draws.randrange(4, len(some))] = draws.choice(
                b"0123456789-. e\n=" if some[:4] == b"tree" else bytes(range(256))
            )
        some = some[: draws.choice([len(some), draws.randrange(len(some))])]
        bytewise = reading.read_text if some[:4] == b"tree" else reading.read_ubjson
        for read, content in ((reading.read_json, json.dumps(damaged(whole, draws)).encode()), (bytewise, bytes(some))):
            outcomes.add(outcome(read, content))
    assert outcomes == {"refused", "read"}


def outcome(read: Any, content: bytes) -> str:
    try:
        found = read(content, "file")
    except ValueError as error:
        said = str(error)
    else:
        if found.n_features_in_ and found.steps is None:
            assert np.isfinite(found.predict_proba(np.zeros((2, found.n_features_in_)))).all()
        return "read"
    assert said.startswith("file ")
    assert "\n" not in said
    return "refused"


# --- the library itself ---------------------------------------------------------------------------------------------------


def test_a_file_is_held_to_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write("ubj", tmp_path / "m.ubj")
    right = reading.own_predictions
    monkeypatch.setattr(reading, "own_predictions", lambda *given: right(*given) + 0.1)
    with pytest.raises(ValueError, match="by its own prediction of XGBoost"):
        kl.load(tmp_path / "m.ubj")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('so it is')", "none that xgboost itself reads: ValueError: so it is"),
        ("import os; os.kill(os.getpid(), 11)", "it ended with -11"),
        ("pass", "it ended with 0"),
        ("while True: pass", "more than 1 seconds"),
    ],
)
def test_a_library_that_fails(code: str, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(apart._ANSWERS, "xgboost", code)
    monkeypatch.setattr(apart, "_SECONDS", 1)
    with pytest.raises(ValueError, match=message):
        apart.own_predictions("xgboost", b"", ".json", np.zeros((1, 1)))


@pytest.mark.parametrize("kind", ["ubj", pytest.param("cbm", marks=pytest.mark.catboost)])
def test_the_command_line(kind: str, tmp_path: Path):
    write(kind, tmp_path / f"m.{kind}")
    X, y = CANCER if kind == "ubj" else WINE
    lines = [",".join([*(f"x{k}" for k in range(X.shape[1])), "kind"])]
    lines += [",".join([*map(repr, map(float, row)), str(label)]) for row, label in zip(X[::4], y[::4], strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    result = run("audit", tmp_path / f"m.{kind}", tmp_path / "data.csv", "--target", "kind")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith({"ubj": "XGBoost", "cbm": "CatBoost"}[kind])
