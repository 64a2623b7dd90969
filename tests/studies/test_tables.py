import csv

import numpy as np

from knowlimits.studies.tables.measure import measure
from knowlimits.studies.tables.sets import load_set
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
        # What is measured far out tends to the limit.
        for score in {row["score"] for row in rows}:
            assert abs(at[score, "one feature times 10,000", seed] - at[score, "one feature to infinity", seed]) < 0.1, score
    assert (tmp_path / "wine" / "figures" / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "| guarded entropy |" in (tmp_path / "wine" / "summary.md").read_text()

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
    for score, power in (("mahalanobis", 2), ("raw_neighbours", 1), ("neighbours", 0), ("entropy", 0), ("guarded_entropy", 0)):
        one = by_score[score]
        assert (one.predicted == power).mean() > 0.9, score
        if power:
            assert np.abs(one.measured[one.predicted == power] - power).max() < 0.2, score
