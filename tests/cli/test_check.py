"""`knowlimits check`: rows that a guarded file refuses are those that its guard refuses, with their reasons and a status."""

import csv

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper

import knowlimits as kl
from tests.cli.guards import TRUSTED, faulty, mixed, numbers, patients, rows_of
from tests.command import run


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return mixed(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def guard(pipeline):
    return kl.Guard(pipeline.model, random_state=0).fit(pipeline.table[pipeline.columns])


@pytest.fixture(scope="module")
def guarded(guard, tmp_path_factory):
    path = tmp_path_factory.mktemp("guarded") / "guarded.onnx"
    kl.export(guard, path)
    return path


@pytest.fixture(scope="module")
def day():
    return faulty(patients(60, seed=1))


def test_a_faulty_day(guard, guarded, day, pipeline, tmp_path):
    table, faults = day
    path = tmp_path / "day.csv"
    # Columns in another order, with one more.
    table[["outcome", *reversed(pipeline.columns)]].to_csv(path, index=False)
    result = run("check", guarded, path, "--share", 0.5)
    assert result.returncode == 0, result.stderr
    rows = {int(row["row"]) - 2: row for row in rows_of(result.stdout)}
    for row, words in faults.items():
        assert words in rows[row]["reason"]
    plain = table[pipeline.columns]
    unfamiliarity = guard.unfamiliarity(plain)
    assert sorted(rows) == np.flatnonzero(~guard.accepts(plain)).tolist()
    for row, reason in enumerate(guard.reasons(plain)):
        assert reason == (rows[row]["reason"] if row in rows else "")
    found = [float(row["unfamiliarity"]) for row in rows.values()]
    np.testing.assert_allclose(found, unfamiliarity[sorted(rows)], rtol=1e-5)
    last = result.stderr.splitlines()[-1]
    assert last == f"{len(rows)} of 60 rows refused ({len(rows) / 60:.1%}), within --share 0.5."
    assert f"{path}: left aside, as the model has no such columns: outcome." in result.stderr


def test_the_file_refuses_the_same_rows_in_onnxruntime(guarded, pipeline, tmp_path):
    table = patients(300, seed=2)
    path = tmp_path / "day.csv"
    table.to_csv(path, index=False)
    refused = {int(row["row"]) - 2 for row in rows_of(run("check", guarded, path).stdout)}
    X = table[pipeline.columns]
    feeds = {name: X[[name]].to_numpy(object if name == "ward" else float) for name in X}
    accepted = onnxruntime.InferenceSession(guarded).run(["accepted"], feeds)[0]
    assert refused == set(np.flatnonzero(~accepted).tolist())
    assert refused


def test_the_status_says_whether_there_are_too_many(guarded, day, tmp_path):
    path, out = tmp_path / "day.csv", tmp_path / "new" / "refused.csv"
    day[0].to_csv(path, index=False)
    share = len(rows_of(run("check", guarded, path).stdout)) / 60
    assert 0.1 < share < 0.5
    for at, status in ((share - 0.01, 1), (share, 0), (0, 1), (1, 0)):
        result = run("check", guarded, path, "--share", at, "--out", out)
        assert (result.returncode, result.stdout) == (status, "")
        assert ("above" if status else "within") in result.stderr
    assert pd.read_csv(out).columns.tolist() == ["row", "unfamiliarity", "reason"]
    assert len(pd.read_csv(out)) == round(60 * share)


def test_a_day_without_faults_is_a_table_without_rows(guard, guarded, pipeline, tmp_path):
    path = tmp_path / "day.csv"
    usual = pipeline.table[guard.accepts(pipeline.table[pipeline.columns])]
    usual.to_csv(path, index=False)
    result = run("check", guarded, path, "--share", 0)
    assert (result.returncode, result.stdout) == (0, "row,unfamiliarity,reason\n")
    assert f"0 of {len(usual)} rows refused (0.0%)" in result.stderr


def test_a_guard_that_was_saved(tmp_path):
    case = numbers(tmp_path)
    out = tmp_path / "g.safetensors"
    made = run("guard", case.path, case.data, "--target", "outcome", "--out", out)
    assert made.returncode == 0, made.stderr
    table = case.table.head(50).copy()
    table.loc[4, "weight"] = 1e6
    table.to_csv(tmp_path / "day.csv", index=False)
    rows = rows_of(run("check", out, tmp_path / "day.csv").stdout)
    assert "weight is 1e+06" in next(row["reason"] for row in rows if row["row"] == "6")


def test_a_guard_of_an_array_has_columns_in_their_order(tmp_path):
    case = numbers(tmp_path)
    guard = kl.Guard(case.model, random_state=0).fit(case.table[case.columns].to_numpy())
    kl.export(guard, tmp_path / "g.onnx")
    table = case.table[case.columns].head(30).rename(columns={"pulse": "heart rate"})
    table.loc[4, "weight"] = 1e6
    table.to_csv(tmp_path / "day.csv", index=False)
    result = run("check", tmp_path / "g.onnx", tmp_path / "day.csv")
    assert result.returncode == 0, result.stderr
    assert "x1 is 1e+06" in next(row["reason"] for row in rows_of(result.stdout) if row["row"] == "6")
    wide = run("check", tmp_path / "g.onnx", case.data)
    assert (wide.returncode, wide.stdout) == (2, "")
    assert "must have the 2 columns of the guard in their order" in wide.stderr


def test_rows_are_lines_of_the_file(guarded, tmp_path):
    path = tmp_path / "day.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["pulse", "weight", "lactate", "ward"], ["80", "76", "1", "a\nb"], ["80", "76", "", "surgery"], []])
        writer.writerow(["-999", "76", "1", "surgery"])
    assert [row["row"] for row in rows_of(run("check", guarded, path, "--share", 1).stdout)] == ["2", "6"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("pulse,weight,lactate\n1,2,3\n", [], "must have the model's columns. Missing are 'ward'."),
        ("pulse,weight,lactate,ward,ward\n1,2,3,a,b\n", [], "must have names that differ. Got 'ward' more than once"),
        ("pulse,weight,lactate,ward\n1,2,3\n", [], "row 2, must have 4 entries"),
        ("pulse,weight,lactate,ward\n", [], "must have a line of names and rows below it"),
        ("pulse,weight,lactate,ward\n1,2,3,a\n", ["--share", "1.5"], "--share must be in 0 to 1. Got 1.5 instead."),
        ("pulse,weight,lactate,ward\n1,2,3,a\n", ["--share", "nan"], "--share must be in 0 to 1"),
        ("pulse,weight,lactate,ward\n1,2,3,a\n", ["--out", "."], "--out: . is a folder"),
        ("pulse,weight,lactate,ward\n1,2,3,a\n", ["--out", "day.csv"], "which has another part here"),
    ],
)
def test_mistakes_are_one_line_and_status_2(text, options, message, guarded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(text)
    result = run("check", guarded, "day.csv", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_files_without_a_guard(pipeline, tmp_path):
    case = numbers(tmp_path)
    bare, broken = tmp_path / "bare.onnx", tmp_path / "broken.onnx"
    x = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])]
    y = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])]
    onnx.save(helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", x, y)), bare)
    broken.write_bytes(b"\x08no file")
    for model, options, message in (
        (bare, [], "must have a guard. Got a file without one: knowlimits guard makes one"),
        (broken, [], "is no ONNX file, or an incomplete one"),
        (case.path, [], "must have a guard. Got NeuralNetwork without one"),
        (pipeline.path, TRUSTED, "must have a guard. Got Pipeline without one"),
        (tmp_path / "none.onnx", [], "no such file"),
    ):
        result = run("check", model, case.data, *options)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("knowlimits: MODEL: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
