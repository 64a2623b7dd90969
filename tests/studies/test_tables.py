import csv

import numpy as np
import pytest

import knowlimits as kl
from knowlimits.studies.tables import families
from knowlimits.studies.tables.ends import Ended, csv_of, ends, section
from knowlimits.studies.tables.figures import discs
from knowlimits.studies.tables.measure import measure
from knowlimits.studies.tables.sets import load_set
from knowlimits.studies.tables.splits import fitted, scaled
from tests.command import run


def test_detect_on_a_set_and_on_a_persons_own_files(tmp_path):
    result = run("detect", "--sets", "wine", "--models", "nn", "--seeds", "2", "--out", tmp_path / "wine")
    assert result.returncode == 0, result.stderr
    with (tmp_path / "wine" / "tables" / "detection.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = {row["out of distribution"] for row in rows}
    assert kinds == {"class left out", *(f"one feature times {f:,}" for f in (10, 100, 1000, 10000)), "one feature to infinity"}
    at = {(row["score"], row["out of distribution"], row["seed"]): float(row["auroc"]) for row in rows}
    for seed in "01":
        assert at["mahalanobis", "one feature times 10,000", seed] > 0.99
        assert at["guarded_entropy", "one feature to infinity", seed] > 0.99
        assert at["unfamiliarity", "one feature to infinity", seed] == 1
        # What is measured far out tends to the limit.
        for score in {row["score"] for row in rows}:
            assert abs(at[score, "one feature times 10,000", seed] - at[score, "one feature to infinity", seed]) < 0.1, score
    assert (tmp_path / "wine" / "figures" / "growth.png").read_bytes().startswith(b"\x89PNG")
    summary = (tmp_path / "wine" / "summary.md").read_text()
    assert "| guarded entropy |" in summary
    assert "| guard's unfamiliarity |" in summary

    rng = np.random.default_rng(0)
    own = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.normal(size=(80, 2))]
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *own]))
    (tmp_path / "other.csv").write_text("\n".join(["b,a", *(f"{b:.3f},{a:.3f}" for a, b in 9 + rng.normal(size=(30, 2)))]))
    arguments = ["detect", "--data", tmp_path / "own.csv", "--target", "label", "--models", "nn", "--seeds", "1"]
    result = run(*arguments, "--ood", tmp_path / "other.csv", "--out", tmp_path / "own")
    assert result.returncode == 0, result.stderr
    assert "## own, NN" in (tmp_path / "own" / "summary.md").read_text()
    assert "other" in (tmp_path / "own" / "summary.md").read_text()
    (tmp_path / "other.csv").write_text("b,c\n1,2\n")
    wrong = run(*arguments, "--ood", tmp_path / "other.csv", "--out", tmp_path / "own")
    assert wrong.returncode == 2
    assert "Missing are ['a']" in wrong.stderr
    assert "--sets must be of" in run("detect", "--sets", "iris", "--out", tmp_path).stderr


def test_measured_growth_is_what_the_algebra_predicts():
    _, orders = measure(load_set("breast_cancer"), ["NN"], 0)
    by_score = {one.score: one for one in orders}
    grown = {"mahalanobis": 2, "raw_neighbours": 1, "neighbours": 0, "entropy": 0, "guarded_entropy": 0, "unfamiliarity": 2}
    for score, power in grown.items():
        one = by_score[score]
        assert (one.predicted == power).mean() > 0.9, score
        if power:
            assert np.abs(one.measured[one.predicted == power] - power).max() < 0.2, score


# --- where classifiers end ------------------------------------------------------------------------------------------------


def test_families_are_taken_by_name_beside_the_papers_models(tmp_path):
    models = ["nn", "randomforest", "LOGISTICREGRESSION"]
    result = run("detect", "--sets", "wine", "--models", *models, "--seeds", "1", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "tables" / "ends.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["NN", "RandomForest", "LogisticRegression"]
    assert float(rows["NN"]["sure"]) > 0.9
    assert float(rows["RandomForest"]["sure"]) < 0.5
    assert rows["NN"]["constant_sd"] == rows["LogisticRegression"]["constant_sd"] == ""
    assert 0 < float(rows["RandomForest"]["constant_sd"]) < 10
    with (tmp_path / "tables" / "detection.csv").open() as file:
        scored = {(row["model"], row["score"]) for row in csv.DictReader(file)}
    assert {("RandomForest", "entropy"), ("RandomForest", "guarded_entropy"), ("LogisticRegression", "energy")} <= scored
    assert ("RandomForest", "energy") not in scored
    summary = (tmp_path / "summary.md").read_text()
    assert "## Where each classifier ends" in summary
    assert "| LogisticRegression | 1.00 | 0.00 |" in summary
    assert (tmp_path / "figures" / "ends.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_installed_is_said_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setitem(families.FAMILIES, "XGBoost", families.Contender(lambda seed, columns: None, "nowhere_to_be_found"))
    assert "XGBoost" not in families.installed()
    with pytest.raises(ImportError, match=r"XGBoost needs its own install: pip install nowhere_to_be_found\."):
        families.check_installed(["NN", "RandomForest", "XGBoost"])


def test_tables_of_ends_have_means_and_say_what_is_only_approached():
    ended = [
        Ended("wine", "One", 0, 1.0, 1.0, 0.25, 0.5, np.nan),
        Ended("wine", "One", 1, 0.5, 0.9, 0.75, 1.0, np.nan),
        Ended("wine", "Two", 0, 0.0, 0.6, 0.9, 1.0, 1.2345),
    ]
    text = "\n".join(section(ended))
    assert "| One | 0.75 | 0.950 | 0.50 | 0.750 | approached |" in text
    assert "| Two | 0.00 | 0.600 | 0.90 | 1.000 | 1.2 |" in text
    assert [row[-1] for row in csv_of(ended)[1]] == ["", "", "1.2345"]


def test_the_discs_are_of_twelve_at_most_families_first():
    figure = discs(["NN", "LogisticRegression"])
    # Without axes that are there for a row to be full.
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["LogisticRegression", "NN"]
    assert figure.axes[-1].get_ylabel() == "entropy (bits)"


@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_family_ends_where_it_says_itself_far_out(name):
    pytest.importorskip(families.FAMILIES[name].needs)
    table = load_set("wine")
    (ended,) = ends(table, [name], 0)
    data = scaled(table, 0).data
    model, ways = fitted(name, data, 0), np.concatenate([-np.eye(13), np.eye(13)])
    probs = model.predict_proba((data.X_test[:60, None] + 1e6 * ways).reshape(-1, 13))
    far = probs.max(1)
    assert ended.sure == pytest.approx((far >= 0.99).mean(), abs=0.01)
    assert ended.confidence == pytest.approx(np.median(far), abs=1e-4)
    assert ended.accuracy == (model.predict(data.X_test).ravel() == data.y_test).mean()
    # Without the last bits, so that ties are ties.
    near, out = (np.asarray(kl.scores.entropy(p[None])).astype("f4") for p in (model.predict_proba(data.X_test), probs))
    assert ended.auroc == pytest.approx(kl.metrics.auroc(near, out), abs=0.01)
    if not np.isnan(ended.constant):
        # Beyond the median of what each way needs half of them are constant.
        beyond = model.predict_proba((data.X_test[:60, None] + (ended.constant + 1e-6) * ways).reshape(-1, 13)).max(1)
        assert (np.abs(beyond - far) < 1e-9).mean() > 0.45
