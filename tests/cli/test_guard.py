"""`knowlimits guard`: what the page says is what the guard in the file says, and mistakes are told before the work."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import log_loss

import knowlimits as kl
from tests.cli.guards import TRUSTED, mixed, numbers
from tests.command import run


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return numbers(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return mixed(tmp_path_factory.mktemp("mixed"))


def page_of(result):
    """The page as one line of words."""
    assert result.returncode == 0, result.stderr
    return " ".join(result.stdout.split())


def held_out(case, seed):
    """The rows that the command does not learn from, by its documented draw: the first quarter of a permutation."""
    order = np.random.default_rng(seed).permutation(len(case.table))
    return case.table.iloc[order[: len(order) // 4]]


def test_the_page_of_a_network_says_what_the_guard_says(net, tmp_path):
    out = tmp_path / "guarded.safetensors"
    page = page_of(run("guard", net.path, net.data, "--target", "outcome", "--out", out, "--seed", 3))
    guard = kl.load(out)
    test = held_out(net, 3)
    X, y = test[net.columns].to_numpy(), test["outcome"]
    before, after = (log_loss(y, one.predict_proba(X)) for one in (net.model, guard))
    assert f"Log loss on test rows: {before:.4f} before, {after:.4f} after ({after - before:+.4f})." in page
    kept = guard.accepts(X).mean()
    assert f"{kept:.1%} of test rows are accepted" in page
    loss = guard.loss_
    assert f"expected to grow by at most {loss.value:.3g} " in page
    assert f"(95% interval {loss.low:.3g} to {loss.high:.3g})" in page
    assert "Learnt from 300 rows; the numbers below are of 100 others" in page
    sure = (kl.far_field(net.model, X, "features").confidence() >= 0.99).mean()
    assert (float(re.search(r"ends sure of itself along ([\d.]+)%", page)[1]) > 0) == (sure > 0)
    assert f"knowlimits check {out} NEW.csv" in page
    np.testing.assert_array_equal(guard.predict(X), net.model.predict(X))
    assert guard.columns_.names == ("pulse", "weight")


def test_shares_that_are_refused_by_column(net, tmp_path):
    page = run("guard", net.path, net.data, "--target", "outcome", "--out", tmp_path / "g.safetensors").stdout
    guard = kl.load(tmp_path / "g.safetensors")
    order = np.random.default_rng(0).permutation(len(net.table))
    table = net.table[net.columns].to_numpy()
    rest, test = table[order[len(order) // 4 :]], table[order[: len(order) // 4]]
    for place, name in enumerate(net.columns):
        low, high = rest[:, place].min(), rest[:, place].max()
        refused = []
        for end in (-10, 10):
            moved = test.copy()
            moved[:, place] = (low + high) / 2 + end * (high - low) / 2
            refused.append(1 - guard.accepts(moved).mean())
        assert re.search(rf"^{name} +{np.mean(refused):.0%}$", page, re.M), page


def test_columns_of_text_and_with_gaps(pipeline, tmp_path):
    ranges = tmp_path / "ranges.toml"
    ranges.write_text("[ranges]\nweight = [20, 300]\n")
    out = tmp_path / "guarded.onnx"
    arguments = ["guard", pipeline.path, pipeline.data, "--target", "outcome", "--out", out, *TRUSTED, "--ranges", ranges]
    page = page_of(run(*arguments))
    assert "The guard of mixed.skops (LogisticRegression): 2 classes, 4 columns" in page
    assert "of which no other is accepted: 'ward' (3)." in page
    assert "Columns in which gaps are usual: 'lactate'; in others none is." in page
    assert "Stated ranges, outside of which a row is refused: 'weight' from 20 to 300." in page
    model = onnx.load(out)
    for value in (*model.graph.input, *model.graph.output):
        assert value.name in page
    assert re.search(rf"operators of .*{model.opset_import[0].version}", page)
    session = onnxruntime.InferenceSession(out)
    X = pipeline.table[pipeline.columns].head(5)
    feeds = {name: X[[name]].fillna("").to_numpy(object) if name == "ward" else X[[name]].to_numpy() for name in X}
    label, probabilities, _, accepted = session.run(None, feeds)
    assert label.tolist() == pipeline.model.predict(X).tolist()
    assert (probabilities.shape, accepted.shape) == ((5, 2), (5,))
    assert "is there already. Give --force" in run(*arguments).stderr
    assert run(*arguments, "--force").returncode == 0


def test_rows_that_were_not_seen_in_a_file_of_their_own(net, tmp_path):
    test = tmp_path / "test.csv"
    # The other way round, as columns are told by their names; a cell that is no number is a row that is refused.
    table = net.table.head(40)[["outcome", "weight", "pulse"]].astype({"pulse": object})
    table.loc[7, "pulse"] = "error"
    table.to_csv(test, index=False)
    out = tmp_path / "g.safetensors"
    page = page_of(run("guard", net.path, net.data, "--target", "outcome", "--test", test, "--out", out))
    assert "Learnt from 400 rows; the numbers below are of 40 others, that were given for it." in page
    guard, X = kl.load(out), table[net.columns].to_numpy(dtype=object)
    kept = guard.accepts(X).mean()
    assert not guard.accepts(X)[7]
    known = np.arange(40) != 7
    after = log_loss(table["outcome"][known], guard.predict_proba(X[known].astype(float)))
    assert f"{after:.4f} after" in page
    assert f"{kept:.1%} of test rows are accepted" in page


def test_without_labels_there_is_no_loss(net, tmp_path):
    data = tmp_path / "x.csv"
    net.table[net.columns].to_csv(data, index=False)
    page = page_of(run("guard", net.path, data, "--out", tmp_path / "g.safetensors", "--keep", "0.8", "--tolerance", "0.05"))
    assert "Log loss" not in page
    assert "0.8 was asked for" in page
    assert "0.05 was asked for" in page


def test_what_the_model_does_not_take_is_left_aside_with_a_note(pipeline, tmp_path):
    data, other = tmp_path / "more.csv", tmp_path / "less.csv"
    pipeline.table.assign(id=range(400))[["id", *reversed(pipeline.table.columns)]].to_csv(data, index=False)
    result = run("guard", pipeline.path, data, "--target", "outcome", "--out", tmp_path / "g.onnx", *TRUSTED)
    assert result.returncode == 0, result.stderr
    assert f"{data}: left aside, as the model has no such columns: id." in result.stderr
    pipeline.table.drop(columns="pulse").to_csv(other, index=False)
    missing = run("guard", pipeline.path, other, "--out", tmp_path / "g.onnx", *TRUSTED, "--force")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "must have the model's columns. Missing are 'pulse'." in missing.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "g.txt"], "--out must end in .onnx or .safetensors"),
        (["--out", "folder.onnx"], "--out: folder.onnx is a folder"),
        (["--out", "file/g.onnx"], "--out: cannot write to file: it is no folder"),
        (["--out", "there.onnx"], "Give --force to replace it"),
        (["--out", "net.safetensors", "--force"], "which has another part here"),
        (["--out", "g.onnx", "--keep", "1"], "--keep must be between 0 and 1. Got 1 instead."),
        (["--out", "g.onnx", "--keep", "nan"], "--keep must be between 0 and 1"),
        (["--out", "g.onnx", "--tolerance", "0"], "--tolerance must be above 0. Got 0 instead."),
        (["--out", "g.onnx", "--seed", "-1"], "--seed must be at least 0"),
        ([], "--out"),
    ],
)
def test_what_is_refused_beforehand(options, message, net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "there.onnx").write_text("x")
    (tmp_path / "net.safetensors").write_bytes(net.path.read_bytes())
    monkeypatch.setattr(kl.Guard, "fit", lambda *_: pytest.fail("the work has begun"))
    result = run("guard", "net.safetensors", net.data, *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "there.onnx").read_text() == "x"


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["pulse,weight,outcome", "1,2,worse", "1,x,stable"], [], "Got text in 'weight', and it says: could not convert"),
        (["pulse,weight", "1,worse", "1,stable"], ["--seed", "0"], "If that is the column of labels, name it: --target."),
        (["pulse,weight,outcome", *["1,2,worse", "1,3,dead"] * 20], [], "Got 'dead' instead"),
        (["pulse,outcome", *["1,worse", "1,stable"] * 20], [], "2 features"),
        (["pulse,weight,outcome", "1,2,worse"], ["--target", "fate"], "must have one column 'fate'"),
    ],
)
def test_data_that_do_not_fit(lines, options, message, net, tmp_path):
    data = tmp_path / "d.csv"
    data.write_text("\n".join(lines) + "\n")
    result = run("guard", net.path, data, "--out", tmp_path / "g.onnx", *(options or ["--target", "outcome"]))
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "g.onnx").exists()


def test_ranges_of_columns_that_are_not_there(net, tmp_path):
    ranges = tmp_path / "r.toml"
    ranges.write_text("[ranges]\nwieght = [0, 300]\n")
    result = run("guard", net.path, net.data, "--target", "outcome", "--ranges", ranges, "--out", tmp_path / "g.onnx")
    assert result.returncode == 2
    assert "did you mean 'weight'" in result.stderr
