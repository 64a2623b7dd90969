"""Several candidates side by side: every number by brute force or from the audit of one, and the same rows for all."""

import dataclasses
import math
import pickle
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import knowlimits as kl
from knowlimits.auditing.show import compare as words

CANCER = load_breast_cancer(as_frame=True)
NAMES = ["mean radius", "mean texture", "mean smoothness", "mean symmetry"]
ALL = CANCER.data[NAMES]
LABELS = np.array(["malignant", "benign"])[CANCER.target]
X, Y, X_TEST, Y_TEST = ALL[:260], LABELS[:260], ALL[260:400], LABELS[260:400]
SIZES = {"max_rows": 200, "random_state": 3}
# Where faults are not what is looked at.
SMALL = {"max_rows": 60, "faults": ()}


def candidates():
    network = MLPClassifier((8,), max_iter=60, random_state=0)
    with pytest.warns(match="hasn't converged"):
        scaled = make_pipeline(StandardScaler(), network).fit(X, Y)
    return {
        "mlp": scaled,
        "boosted": HistGradientBoostingClassifier(max_iter=20).fit(X, Y),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
        "bayes": GaussianNB().fit(X, Y),
    }


@pytest.fixture(scope="module")
def models():
    return candidates()


@pytest.fixture(scope="module")
def compared(models):
    return kl.compare(models, X, Y, X_test=X_TEST, y_test=Y_TEST, **SIZES)


def same(one, other, but=("seconds",)):
    """Whether rows of two tables are the same to the last bit."""
    assert list(one) == list(other)
    for name, value in one.items():
        if name not in but:
            np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize("name", ["mlp", "boosted", "logistic", "bayes"])
def test_numbers_are_those_of_the_audit_of_each(compared, models, name):
    alone = kl.audit(models[name], X, Y, X_test=X_TEST, y_test=Y_TEST, **SIZES)
    for table in ("features", "directions", "steepest", "detection", "remedies", "ranges", "faults", "codes"):
        same(getattr(compared.audits[name], table).columns, getattr(alone, table).columns)
    assert str(compared.audits[name]) == str(alone)

    (row,) = compared.table.where(model=name).rows()
    assert row["sure_features"] == pytest.approx(alone.features["sure"].mean(), abs=1e-12)
    assert row["sure_directions"] == alone.directions.where(model="model")["sure"][0]
    plain = alone.remedies.where(model="model").rows()[0]
    assert [row[one] for one in ("confidence", "settled_sd", "auroc_inf")] == [
        plain[one] for one in ("confidence", "settled_sd", "auroc")
    ]
    along = alone.detection.where(way="one_column")
    assert row["auroc_10_sd"] == along.where(score="entropy", radius_sd=10.0)["auroc"][0]
    assert row["auroc_inf"] == along.where(score="entropy", radius_sd=np.inf)["auroc"][0]
    assert row["kept_guard"] == along.where(score="unfamiliarity")["kept"][0]
    if len(alone.ranges):
        assert row["sure_ranges"] == pytest.approx(alone.ranges["sure"].mean())
    if len(alone.faults):
        assert row["faults_sure"] == pytest.approx((alone.faults["sure"] >= 0.5).mean())
        assert row["faults_changed"] == pytest.approx(np.nanmean(alone.faults["changed"]))
        assert row["faults_refused"] == pytest.approx(np.nanmean(alone.faults["refused, entropy"]))
        assert row["faults_refused_guard"] == pytest.approx(np.nanmean(alone.faults["refused, unfamiliarity"]))


def losses(probs, classes, labels):
    return [-math.log(row[list(classes).index(label)]) for row, label in zip(probs.tolist(), labels, strict=True)]


def test_what_the_test_rows_say_is_so_by_brute_force(compared, models):
    drawn = np.random.default_rng(3)
    drawn = np.sort(drawn.permutation(len(X))[:200])  # the rows that stand for the data
    loss = {name: losses(model.predict_proba(X_TEST), model.classes_, Y_TEST) for name, model in models.items()}
    right = {name: model.predict(X_TEST) == Y_TEST for name, model in models.items()}
    n = len(Y_TEST)
    best = min(loss, key=lambda name: sum(loss[name]))
    first = min(right, key=lambda name: (-right[name].sum(), name))
    for row in compared.table.rows():
        name = row["model"]
        k = int(right[name].sum())
        assert row["accuracy"] == k / n
        assert row["accuracy_low"] < k / n < row["accuracy_high"]
        # Clopper and Pearson: at each end a tail has 2.5%.
        for end, counts in ((row["accuracy_low"], range(k, n + 1)), (row["accuracy_high"], range(k + 1))):
            assert sum(math.comb(n, i) * end**i * (1 - end) ** (n - i) for i in counts) == pytest.approx(0.025, rel=1e-6)
        # Of rows on which the two differ each is a toss: the chance of as few of one kind or fewer, both ways.
        a, b = int((right[name] & ~right[first]).sum()), int((right[first] & ~right[name]).sum())
        tail = sum(Fraction(math.comb(a + b, i), 2 ** (a + b)) for i in range(min(a, b) + 1))
        assert row["accuracy_chance"] == pytest.approx(float(min(Fraction(1), 2 * tail)))
        assert row["log_loss"] == pytest.approx(math.fsum(loss[name]) / n)
        differences = [p - q for p, q in zip(loss[name], loss[best], strict=True)]
        mean = math.fsum(differences) / n
        spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
        assert row["log_loss_behind"] == pytest.approx(mean, abs=1e-12)
        assert row["log_loss_behind_se"] == pytest.approx(spread / math.sqrt(n), abs=1e-12)
        assert row["sure_test"] == (models[name].predict_proba(X_TEST).max(1) >= 0.99).mean()
        guard = kl.Guard(models[name], random_state=0).fit(X.iloc[drawn])
        assert row["log_loss_guard"] == pytest.approx(
            np.mean(losses(guard.predict_proba(X_TEST), models[name].classes_, Y_TEST))
        )
        assert row["kept_guard"] == pytest.approx(guard.accepts(X_TEST).mean())
    assert compared.table.where(model=best)["log_loss_behind"][0] == 0
    assert compared.table.where(model=first)["accuracy_chance"][0] == 1


def test_faults_come_worst_first_as_the_audits_have_them(compared, models):
    faults = compared.faults
    count = len(faults) // len(models)
    assert faults["model"].tolist() == list(models) * count
    places = {}
    for name, one in compared.audits.items():
        table, order = one.faults, one._found.faults.order.tolist()
        for row in faults.where(model=name).rows():
            (k,) = np.flatnonzero((table["feature"] == row["feature"]) & (table["fault"] == row["fault"]))
            places.setdefault((row["feature"], row["fault"]), []).append(order.index(k))
            theirs = {"refused": "refused, entropy", "refused_guard": "refused, unfamiliarity"}
            for what in ("sure", "changed", "refused", "refused_guard"):
                np.testing.assert_array_equal(row[what], table[theirs.get(what, what)][k])
    means = [sum(one) for one in places.values()]
    assert means == sorted(means)


def test_without_faults_nothing_is_said_of_them(models):
    found = kl.compare({"bayes": models["bayes"], "logistic": models["logistic"]}, X, Y, **SMALL)
    assert len(found.faults) == 0
    assert np.isnan(found.table["faults_sure"]).all()
    assert not any("faults" in sentence for sentence in found.verdict)
    assert "Under faults" not in str(found)
    assert 'id="faults' not in render(found)
    assert "fault" not in found._repr_html_()


def test_what_people_say_of_ranges_and_faults_is_so_for_all(models):
    both = {name: models[name] for name in ("bayes", "logistic")}
    one = [kl.faults.Sentinel(-999)]
    found = kl.compare(both, X, Y, max_rows=60, ranges={"mean radius": (0, 99)}, faults=one)
    assert set(found.faults["fault"]) == {"-999"}
    for audit in found.audits.values():
        assert audit.ranges.where(feature="mean radius", towards=1.0)["value"].tolist() == [99]
    with pytest.raises(ValueError, match="ranges must name columns of X"):
        kl.compare(both, X, Y, max_rows=60, ranges={"nothing": (0, 1)})


def test_company_and_order_change_nothing(compared, models):
    turned = kl.compare(dict(reversed(models.items())), X, Y, X_test=X_TEST, y_test=Y_TEST, **SIZES)
    assert turned.table["model"].tolist() == list(models)[::-1]
    for name in models:
        same(*(one.table.where(model=name).columns for one in (compared, turned)))
    assert {*compared._found.discs} == {*turned._found.discs}
    assert len({one.axes for found in (compared, turned) for one in found._found.discs.values()}) == 1
    own = ("seconds", "accuracy_chance", "log_loss_behind", "log_loss_behind_se")
    alone = kl.compare({"mlp": models["mlp"]}, X, Y, X_test=X_TEST, y_test=Y_TEST, **SIZES)
    same(alone.table.columns, compared.table.where(model="mlp").columns, but=own)
    assert f"Accuracy is {alone.table['accuracy'][0]:.1%}, and log loss" in alone.verdict[0]


def test_the_discs_are_of_the_same_two_columns(compared, models):
    (axes,) = {disc.axes for disc in compared._found.discs.values()}
    found = compared._found.found
    columns = next(iter(found.values())).columns
    middle = np.median(X.to_numpy()[np.sort(np.random.default_rng(3).permutation(len(X))[:200])], axis=0)
    for name, disc in compared._found.discs.items():
        arcs = disc.arcs.mean(1)
        far = middle + 1e7 * np.stack([np.cos(arcs), np.sin(arcs)], axis=1) @ columns.steps[list(axes)]
        probs = models[name].predict_proba(pd.DataFrame(far, columns=NAMES))
        np.testing.assert_allclose(probs.max(1), disc.limits, atol=2e-3, err_msg=name)


def test_what_hangs_on_the_rows_is_learnt_once(models, monkeypatch):
    learnt = []
    from knowlimits.ood.detectors.isolation_forest import IsolationForest
    from knowlimits.ood.remedies import guard

    forest, ratio = IsolationForest.learn, guard.fitted
    monkeypatch.setattr(IsolationForest, "learn", lambda *given: learnt.append("forest") or forest(*given))
    monkeypatch.setattr(guard, "fitted", lambda *given: learnt.append("ratio") or ratio(*given))
    kl.compare({name: models[name] for name in ("logistic", "bayes", "boosted")}, X, Y, **SMALL)
    assert sorted(learnt) == ["forest", "ratio"]


def test_a_heavy_candidate_has_the_same_rows_as_the_others(models, monkeypatch):
    for name, heavy in (("features", 20_000), ("plausible", 30_000), ("faults", 20_000)):
        monkeypatch.setattr(sys.modules[f"knowlimits.auditing.find.{name}"], "_HEAVY", heavy)
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2)).double()
    found = kl.compare({"wide": wide, "bayes": models["bayes"]}, X.to_numpy(), Y, max_rows=100)._found.found
    alone = kl.audit(models["bayes"], X, Y, max_rows=100)._found
    for one in (lambda f: f.features.rows.limits, lambda f: f.plausible.rows, lambda f: f.faults.rows):
        assert one(found["wide"]) == one(found["bayes"]) < one(alone)


def test_a_column_that_one_holds_stays_for_all(models):
    binned = make_pipeline(
        make_column_transformer((KBinsDiscretizer(3), ["mean texture"]), remainder="passthrough"), GaussianNB()
    ).fit(X, Y)
    both = kl.compare({"binned": binned, "bayes": models["bayes"]}, X, Y, **SMALL)
    moved = [set(one.features["feature"]) for one in both.audits.values()]
    named = kl.audit(binned, X, Y, **SMALL).features["feature"]
    assert moved[0] == moved[1] == set(named)
    if "mean texture" not in moved[0]:
        assert any("Left as it is for all: 'mean texture', as for 'binned'" in note for note in both.notes)
        alone = kl.audit(models["bayes"], X, Y, **SMALL, continuous=[name for name in NAMES if name != "mean texture"])
        same(both.audits["bayes"].features.columns, alone.features.columns)


def test_a_column_that_one_slows_down_moves_alone_for_all(models):
    slow = make_pipeline(
        make_column_transformer((PowerTransformer(), ["mean radius"]), remainder="passthrough"),
        LogisticRegression(max_iter=2000),
    ).fit(X, Y)
    both = kl.compare({"slow": slow, "logistic": models["logistic"]}, X, Y, **SMALL)
    for one in both._found.found.values():
        assert one.columns.together.tolist() == [name != "mean radius" for name in NAMES]
    assert any(note.startswith("Moved one by one for all: 'mean radius', as the steps of 'slow'") for note in both.notes)


def test_labels_in_another_order_are_the_same_classes(models):
    class Turned(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.linear, self.classes_ = nn.Linear(4, 2).double(), np.array(classes)

        def forward(self, x):
            return self.linear(x)

    first, second = Turned(["benign", "malignant"]), Turned(["malignant", "benign"])
    with torch.no_grad():
        second.linear.weight.copy_(first.linear.weight.flip(0))
        second.linear.bias.copy_(first.linear.bias.flip(0))
    found = kl.compare({"a": first, "b": second}, X.to_numpy(), Y, X_test=X_TEST.to_numpy(), y_test=Y_TEST, **SMALL)
    a, b = (found.table.where(model=name).rows()[0] for name in "ab")
    for name in ("accuracy", "log_loss", "sure_test", "sure_features", "sure_directions", "auroc_inf", "kept_guard"):
        assert a[name] == pytest.approx(b[name]), name


def never(*_, **__):
    raise AssertionError("work has begun")


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ([1, 2], TypeError, r"models must be a dict of candidates by their names.* Got list instead\."),
        ({}, ValueError, r"models must have a candidate at least\. Got none\."),
        ({3: None}, ValueError, r"models must have names that are text\. Got 3 instead\."),
        ({" ": None}, ValueError, r"models must have names that are text\. Got ' ' instead\."),
    ],
)
def test_candidates_are_a_dict_by_names(given, kind, message):
    with pytest.raises(kind, match=message):
        kl.compare(given, X, Y)


def test_all_candidates_that_cannot_be_read_are_named_before_any_work(models, monkeypatch):
    # The package has the function under the module's name.
    monkeypatch.setattr(sys.modules["knowlimits.auditing.compare"], "find", never)
    narrow = GaussianNB().fit(X.to_numpy()[:, :2], Y)
    with pytest.raises(ValueError, match=r"Candidate 'narrow': X must have 2 columns.*Candidate 'raw': .*fit.*") as found:
        kl.compare({"fine": models["bayes"], "narrow": narrow, "raw": GaussianNB()}, X, Y)
    assert "'fine'" not in str(found.value)
    with pytest.raises(TypeError, match="Candidate 'text': model must be"):
        kl.compare({"fine": models["bayes"], "text": "a.onnx"}, X, Y)
    # What is wrong with the data is so for all, and is said once.
    with pytest.raises(ValueError, match=r"^y must have a label for each of 260 rows"):
        kl.compare({name: models[name] for name in ("bayes", "logistic")}, X, Y[:5])
    with pytest.raises(ValueError, match="max_rows must be at least 16"):
        kl.compare(models, X, Y, max_rows=3)
    three = GaussianNB().fit(X, np.arange(len(X)) % 3)
    with pytest.raises(
        ValueError, match=r"same classes apart, in any order\. Got \['benign', 'malignant'\] of 'bayes' and \[0, 1, 2\]"
    ):
        kl.compare({"bayes": models["bayes"], "three": three}, X)


def test_what_a_candidate_raises_of_its_own_is_noted(models):
    class Own(GaussianNB):
        def predict_proba(self, X):
            raise RuntimeError("out of licences")

    with pytest.raises(Exception, match="out of licences") as found:
        kl.compare({"bayes": models["bayes"], "own": Own().fit(X, Y)}, X, Y)
    assert "'own'" in str(found.value) + "".join(getattr(found.value, "__notes__", []))


def test_without_labels_nothing_is_said_of_accuracy(models):
    found = kl.compare({name: models[name] for name in ("bayes", "logistic")}, X, **SMALL)
    assert np.isnan(found.table["accuracy"]).all()
    assert np.isnan(found.table["accuracy_chance"]).all()
    assert found.verdict[0] == "No labels were given, so that nothing is said of accuracy."
    assert "<html" in render(found)


def test_rows_that_may_have_been_trained_on_rank_nobody(models):
    found = kl.compare(models, X, Y, **SMALL)
    assert "may have been trained on" in found.verdict[0]
    assert not any(name in found.verdict[0] for name in models)


def test_a_loss_that_is_infinite(models):
    tree = DecisionTreeClassifier(random_state=0).fit(X, Y)
    found = kl.compare({"tree": tree, "bayes": models["bayes"]}, X, Y, X_test=X_TEST, y_test=Y_TEST, **SMALL)
    row = found.table.where(model="tree").rows()[0]
    assert row["log_loss"] == row["log_loss_behind"] == np.inf
    assert np.isnan(row["log_loss_behind_se"])
    assert "'bayes' is the best by log loss" in " ".join(found.verdict)
    assert "inf" in render(found)
    twice = kl.compare({"a": tree, "b": tree}, X, Y, X_test=X_TEST, y_test=Y_TEST, **SMALL)
    assert twice.table["log_loss_behind"].tolist() == [0, 0]


# --- words ---


@pytest.fixture(scope="module")
def three(models):
    return kl.compare(dict.fromkeys("abc", models["bayes"]), X, Y, X_test=X_TEST, y_test=Y_TEST, **SMALL)._found


@pytest.mark.parametrize(
    ("columns", "said", "not_said"),
    [
        (
            {"accuracy": [0.96, 0.95, 0.94], "accuracy_chance": [1, 0.7, 0.06], "log_loss_behind": [0, 0.1, 0.1]},
            "Neither accuracy (94.0% to 96.0%) nor log loss",
            "most accurate",
        ),
        (
            {"accuracy": [0.96, 0.95, 0.80], "accuracy_chance": [1, 0.7, 0.01], "log_loss_behind": [0, 0.1, 0.1]},
            "'a' and 'b' are the most accurate, and not told apart; behind them by more than chance is 'c': 80.0% to 96.0%",
            "'a' is the most accurate",
        ),
        (
            {"accuracy": [0.96, 0.85, 0.80], "accuracy_chance": [1, 0.04, 0.01], "log_loss_behind": [0, 0.1, 0.1]},
            "'a' is the most accurate, 96.0%, ahead of the others by more than chance",
            "best by log loss",
        ),
        (
            {"accuracy": [0.96, 0.95, 0.94], "accuracy_chance": [1, 0.7, 0.06], "log_loss_behind": [0.0, 0.1, 0.3]},
            "'a' and 'b' are the best by log loss, and not told apart; behind them by more than chance is 'c'",
            "most accurate",
        ),
    ],
)
def test_nobody_is_ahead_by_chance(three, columns, said, not_said):
    columns = {"log_loss": [0.1, 0.2, 0.4], "log_loss_behind_se": [0.0, 0.06, 0.1]} | columns
    table = dataclasses.replace(three.table, columns={**three.table.columns, **{k: np.array(v) for k, v in columns.items()}})
    sentences = " ".join(words.verdict(dataclasses.replace(three, table=table)))
    assert said in sentences
    assert not_said not in sentences
    assert len(words.verdict(dataclasses.replace(three, table=table))) <= 5


def test_who_ends_sure_the_least_and_the_most(three):
    def sentences(sure):
        table = dataclasses.replace(three.table, columns={**three.table.columns, "sure_features": np.array(sure)})
        return " ".join(words.verdict(dataclasses.replace(three, table=table)))

    assert "'a' ends sure along 10.0% of the ways, 'b' and 'c' along 50.0%." in sentences([0.1, 0.5, 0.5001])
    assert "all end sure along 50.0% of the ways." in sentences([0.5, 0.5, 0.5])


# --- what is written ---


def render(found):
    from knowlimits.auditing.show.compare_html import render

    return render(found._found)


def test_tables_in_other_shapes(compared, tmp_path):
    pd.testing.assert_frame_equal(compared.to_frame(), pd.DataFrame(compared.table.columns))
    compared.to_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "table.csv"), compared.to_frame(), check_exact=False, check_dtype=False
    )
    with pytest.raises(FileExistsError, match=r"is there already\. Pass overwrite=True"):
        compared.to_csv(tmp_path / "table.csv")
    compared.to_csv(tmp_path / "table.csv", overwrite=True)
    for name in compared.audits:
        assert name in str(compared)
    excerpt = compared._repr_html_()
    assert all(sentence.replace("'", "&#39;") in excerpt for sentence in compared.verdict)
    assert excerpt.count("<table>") >= 3


def test_it_comes_without_the_models(compared, tmp_path):
    other = pickle.loads(pickle.dumps(compared))
    assert str(other) == str(compared)
    other.to_html(tmp_path / "other.html")
    compared.to_html(tmp_path / "own.html")
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "own.html").read_bytes()
    with pytest.raises(FileExistsError, match=r"is there already\. Pass overwrite=True"):
        compared.to_html(tmp_path / "own.html")
