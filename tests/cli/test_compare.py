"""`knowlimits compare`: what `knowlimits.compare` says, of files."""

import csv
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops

import knowlimits as kl
from knowlimits.cli.preamble import read_kinds
from tests.command import run

WINE = load_wine(as_frame=True)
NAMES = list(WINE.data)[:4]
X, Y = WINE.data[NAMES], np.array(["a", "b", "c"])[WINE.target]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    table = X.assign(kind=Y)
    order = np.random.default_rng(0).permutation(len(table))
    table.iloc[order[:120]].to_csv(folder / "data.csv", index=False)
    table.iloc[order[120:]].to_csv(folder / "test.csv", index=False)
    rows = pd.read_csv(folder / "data.csv")
    models = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[NAMES], rows["kind"]),
        "bayes": GaussianNB().fit(rows[NAMES].to_numpy(), rows["kind"]),
    }
    for name, model in models.items():
        skops.dump(model, folder / f"{name}.skops")
    return folder


def test_it_says_what_the_library_says(files):
    given = (files / "logistic.skops", files / "bayes.skops", files / "data.csv")
    (files / "ranges.toml").write_text(f"[ranges]\n{NAMES[0]} = [0, 99]\n")
    result = run(
        *("compare", *given, "--target", "kind", "--test", files / "test.csv", "--seed", 4, "--continuous", *NAMES[:3]),
        *("--ranges", files / "ranges.toml", "--faults", "unit"),
        *("--html", files / "page.html", "--csv", files / "table.csv"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    data, test = (pd.read_csv(files / f"{name}.csv") for name in ("data", "test"))
    models = {path.stem: kl.load(path) for path in given[:2]}
    rest = {"X_test": test[NAMES], "y_test": test["kind"], "continuous": NAMES[:3], "random_state": 4}
    rest |= {"ranges": {NAMES[0]: (0, 99)}, "faults": read_kinds(("unit",))}
    found = kl.compare(models, data[NAMES], data["kind"], **rest)
    for sentence in found.verdict:
        assert " ".join(sentence.split()) in " ".join(result.stdout.split())
    with (files / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["logistic", "bayes"]
    for row, own in zip(rows, found.table.rows(), strict=True):
        for name, value in own.items():
            if name != "seconds":
                assert row[name] == ("" if value != value else str(value)), name
    assert "<h1>2 candidates: 3 classes, 3 continuous columns" in (files / "page.html").read_text()
    assert result.stdout.endswith(f"The page: {files / 'page.html'}\n\nThe table: {files / 'table.csv'}\n")
    again = run("compare", *given, "--target", "kind", "--html", files / "page.html")
    assert (again.returncode, again.stdout) == (2, "")
    assert "--html" in again.stderr
    assert "Give --force to replace it." in again.stderr


def test_mistakes_are_a_line(files, tmp_path):
    data, logistic = files / "data.csv", files / "logistic.skops"

    def said(*arguments):
        result = run("compare", *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1
        return result.stderr

    assert "files must be one model at least, and data. Got 1 file." in said(data)
    assert f"MODEL: each model must be given once. Got {logistic} more often." in said(logistic, logistic, data)
    assert "MODEL" in (text := said(logistic, tmp_path / "none.skops", data))
    assert "none.skops" in text
    (tmp_path / "broken.skops").write_bytes(b"PK")
    assert "broken.skops" in said(logistic, tmp_path / "broken.skops", data, "--target", "kind")
    assert "--seed must be at least 0" in said(logistic, data, "--seed", -1)
    # Of files of one name the folder tells which is which.
    shutil.copy(logistic, tmp_path / "logistic.skops")
    narrow = X.iloc[:, :3].assign(kind=Y)
    narrow.to_csv(tmp_path / "narrow.csv", index=False)
    assert NAMES[3] in said(logistic, tmp_path / "logistic.skops", tmp_path / "narrow.csv", "--target", "kind")


def test_candidates_are_called_by_what_tells_them_apart(files, tmp_path):
    from knowlimits.cli.compare import _names

    one, two = files / "logistic.skops", tmp_path / "logistic.skops"
    assert _names([one, files / "bayes.skops"]) == ["logistic", "bayes"]
    assert _names([one, tmp_path / "logistic.onnx"]) == ["logistic.skops", "logistic.onnx"]
    assert _names([one, two]) == [str(one), str(two)]
