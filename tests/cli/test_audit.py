"""`knowlimits audit`: tables of numbers, text, truth values and gaps, and what the command says is what the audit says."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops import io as skops

import knowlimits as kl
from knowlimits import auditing
from tests.cli.guards import TRUSTED, WARDS, mixed, numbers
from tests.command import run


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return numbers(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return mixed(tmp_path_factory.mktemp("mixed"))


def without_next_step(page):
    return page[: page.index("To ship it with the guard")]


def refused(*arguments):
    result = run("audit", *arguments)
    assert (result.returncode, result.stdout) == (2, ""), result
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_pipeline_of_text_and_gaps_is_audited_from_its_files(pipeline):
    result = run("audit", pipeline.path, pipeline.data, "--target", "outcome", *TRUSTED)
    assert (result.returncode, result.stderr) == (0, "")
    own = kl.audit(pipeline.model, pipeline.table[pipeline.columns], pipeline.table["outcome"].to_numpy())
    assert without_next_step(result.stdout) == without_next_step(str(own))


def test_columns_are_told_by_their_names(pipeline, tmp_path):
    data, test = tmp_path / "d.csv", tmp_path / "t.csv"
    pipeline.table.assign(id="x")[["outcome", "ward", "id", "weight", "lactate", "pulse"]].to_csv(data, index=False)
    pipeline.table.iloc[::2, ::-1].to_csv(test, index=False)
    result = run("audit", pipeline.path, data, "--target", "outcome", "--test", test, *TRUSTED)
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"{data}: left aside, as the model has no such columns: id.\n"
    X, y = pipeline.table[pipeline.columns], pipeline.table["outcome"].to_numpy()
    own = kl.audit(pipeline.model, X, y, X_test=X[::2], y_test=y[::2])
    assert without_next_step(result.stdout) == without_next_step(str(own))


def test_truth_values(tmp_path):
    rng = np.random.default_rng(0)
    ill = rng.random(80) < 0.5
    X = pd.DataFrame({"pulse": rng.normal(70 + 9 * ill, 8), "smokes": rng.random(80) < 0.3, "ward": rng.choice(WARDS, 80)})
    columns = make_column_transformer((StandardScaler(), ["pulse"]), (OneHotEncoder(), ["smokes", "ward"]))
    model = make_pipeline(columns, LogisticRegression()).fit(X, ill)
    skops.dump(model, tmp_path / "m.skops")
    X.assign(ill=ill.astype(int)).to_csv(tmp_path / "d.csv", index=False)
    result = run("audit", tmp_path / "m.skops", tmp_path / "d.csv", *TRUSTED)
    assert result.returncode == 0, result.stderr
    assert without_next_step(result.stdout) == without_next_step(str(kl.audit(model, X)))
    assert "smokes (goes through OneHotEncoder)" in result.stdout


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((5, "pulse"), np.inf, "row 7, column 'pulse', must be finite. Got inf."),
        ((5, "pulse"), "high", "row 7, column 'pulse', must be a number, as most others there are. Got 'high'"),
        ((slice(None), "pulse"), "high", "Got text in 'pulse', 'ward', and it says: Cannot use"),
    ],
)
def test_cells_that_a_pipeline_does_not_take(place, value, message, pipeline, tmp_path):
    table = pipeline.table.astype({"pulse": object})
    table.loc[place] = value
    table.to_csv(tmp_path / "d.csv", index=False)
    assert message in refused(pipeline.path, tmp_path / "d.csv", "--target", "outcome", *TRUSTED)


def test_gaps_where_a_model_takes_none(net, pipeline, tmp_path):
    table = net.table.copy()
    table.loc[[5, 9], "weight"] = np.nan
    table.to_csv(tmp_path / "d.csv", index=False)
    message = (
        "d.csv, row 7, column 'weight', must have no gaps, which the model does not take there. Got nothing, 2 such in all."
    )
    assert message in refused(net.path, tmp_path / "d.csv", "--target", "outcome")
    assert message in refused(net.path, net.data, "--target", "outcome", "--test", tmp_path / "d.csv")
    X = pipeline.table[pipeline.columns]
    columns = make_column_transformer((StandardScaler(), ["pulse", "lactate"]), (OneHotEncoder(), ["ward"]))
    model = make_pipeline(columns, LogisticRegression()).fit(X.fillna(1.0), pipeline.table["outcome"])
    skops.dump(model, tmp_path / "m.skops")
    told = refused(tmp_path / "m.skops", pipeline.data, "--target", "outcome", *TRUSTED)
    assert "Got gaps in 'lactate', and it says: Input X contains NaN." in told


def test_a_column_that_a_model_has_and_a_table_not(pipeline, tmp_path):
    pipeline.table.drop(columns="ward").to_csv(tmp_path / "d.csv", index=False)
    message = "must have the model's columns. Missing are 'ward'."
    assert message in refused(pipeline.path, tmp_path / "d.csv", "--target", "outcome", *TRUSTED)
    assert message in refused(pipeline.path, pipeline.data, "--target", "outcome", "--test", tmp_path / "d.csv", *TRUSTED)


# --- options --------------------------------------------------------------------------------------------------------------


def test_tables_in_a_folder(net, tmp_path):
    folder = tmp_path / "tables"
    arguments = ["audit", net.path, net.data, "--target", "outcome", "--csv", folder]
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"\nThe tables: {folder}\n")
    own = kl.audit(net.model, net.table[net.columns], net.table["outcome"].to_numpy())
    frames = own.to_frame()
    assert {path.stem for path in folder.iterdir()} == set(frames)
    for name, frame in frames.items():
        found = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(found, frame, check_dtype=False)
    again = run(*arguments)
    assert again.returncode == 2
    assert f"--csv: {folder / 'ranges.csv'} is there already. Give --force to replace it." in again.stderr
    (folder / "codes.csv").write_text("old")
    assert run(*arguments, "--force").returncode == 0
    assert (folder / "codes.csv").read_text().startswith("feature,value,seen,")


def test_ranges_and_faults_are_those_of_the_audit(net, tmp_path):
    ranges = tmp_path / "ranges.toml"
    ranges.write_text("[ranges]\npulse = [20, 300]\n")
    X, y = net.table[net.columns], net.table["outcome"].to_numpy()
    options = ["--target", "outcome", "--ranges", ranges, "--faults", "unit", "unseen-category"]
    result = run("audit", net.path, net.data, *options[:-1], "drift")
    assert result.returncode == 0, result.stderr
    own = kl.audit(net.model, X, y, ranges={"pulse": (20, 300)}, faults=["unit", "drift"])
    assert without_next_step(result.stdout) == without_next_step(str(own))
    assert f"--ranges {ranges}" in result.stdout.splitlines()[-1]
    assert "Got 'unseen-category', which changes nothing: leave it out." in refused(net.path, net.data, *options)
    none = run("audit", net.path, net.data, "--target", "outcome", "--faults", "none", "--ranges", "data")
    assert without_next_step(none.stdout) == without_next_step(str(kl.audit(net.model, X, y, ranges="data", faults=())))
    assert "--ranges" not in none.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--faults", "unit", "none"], "--faults must be none, or some of the others. Got unit none."),
        (["--faults", "unti"], "Got 'unti' instead. Did you mean unit?"),
        (["--ranges", "none.toml"], "none.toml: No such file or directory."),
        (
            ["--ranges", "r.toml"],
            "r.toml, ranges must name columns of X, or count them from 0. Got 'wieght' instead: did you mean",
        ),
        (["--csv", "file"], "--csv: cannot write to file: it is no folder"),
        (["--csv", "tables"], "--csv: tables/faults.csv is there already. Give --force to replace it."),
        (["--csv", "tables", "--force", "--html", "tables/faults.csv"], "has another part here"),
    ],
)
def test_mistakes_are_told_before_the_work(options, message, net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(auditing, "audit", lambda *_, **__: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "r.toml").write_text("[ranges]\nwieght = [0, 300]\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "faults.csv").write_text("x")
    assert message in refused(net.path, net.data, "--target", "outcome", *options)
    assert (tmp_path / "tables" / "faults.csv").read_text() == "x"
