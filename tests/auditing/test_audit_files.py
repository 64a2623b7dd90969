"""The audit from files: every format a model comes in, the command line, and the examples."""

import csv
import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from tests import command

X, Y = load_wine(return_X_y=True)
NAMES = load_wine().feature_names


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), MLPClassifier((12, 12), max_iter=400, random_state=0)).fit(X, Y)


@pytest.fixture(scope="module")
def folder(pipeline, tmp_path_factory):
    """The same model in three formats, and the data as CSV."""
    from skl2onnx import to_onnx

    folder = tmp_path_factory.mktemp("files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        onnx = to_onnx(pipeline, X[:1].astype("float32"), options={"zipmap": False})
    (folder / "wine.onnx").write_bytes(onnx.SerializeToString())
    module = kl.read(pipeline).networks[0]
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(module, (torch.tensor(X[:8]),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "wine.pt2")
    network = kl.NeuralNetwork(hidden_sizes=(12,), epochs=5, random_state=0).fit(StandardScaler().fit_transform(X), Y)
    kl.save(network, folder / "wine.safetensors")
    write(folder / "wine.csv", [*NAMES, "cultivar"], np.c_[X, Y])
    return folder


def write(path, names, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def run(*arguments):
    result = command.run("audit", *arguments)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("name", ["wine.onnx", "wine.pt2"])
def test_a_model_from_a_file_is_audited_as_the_model_itself(name, folder, pipeline):
    found, own = (kl.audit(model, X, Y, feature_names=NAMES) for model in (kl.load(folder / name), pipeline))
    for column in ("sure", "confidence", "settled_sd_95", "last_unit_sd", "entropy", "confidence_laplace"):
        # ONNX has its weights in float32.
        np.testing.assert_allclose(found.features[column], own.features[column], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.detection["auroc"], own.detection["auroc"], atol=5e-3)
    assert list(found.features["classes"]) == list(own.features["classes"])


@pytest.mark.parametrize("name", ["wine.onnx", "wine.pt2", "wine.safetensors"])
def test_the_command(name, folder, tmp_path):
    report = tmp_path / "report.html"
    options = ["--target", "cultivar", "--html", report]
    status, out, err = run(folder / name, folder / "wine.csv", *options)
    assert (status, err) == (0, "")
    assert "3 classes, 13 continuous columns" in out
    assert "'proline'" in out or "proline" in out
    assert report.read_text().startswith("<!doctype html>")
    status, _, err = run(folder / name, folder / "wine.csv", *options)
    assert status == 2
    assert err == f"knowlimits: --html: {report} is there already. Give --force to replace it.\n"
    report.write_text("old")
    assert run(folder / name, folder / "wine.csv", *options, "--force")[0] == 0
    assert report.read_text() != "old"


def test_options_of_the_command(folder, tmp_path):
    test = write(tmp_path / "test.csv", [*NAMES, "cultivar"], np.c_[X, Y][::3])
    model, data = folder / "wine.onnx", folder / "wine.csv"
    status, out, _ = run(model, data, "--target", "cultivar", "--test", test, "--continuous", "alcohol", "hue")
    assert status == 0
    assert "2 continuous columns" in out
    assert "test rows (given)" in " ".join(out.split())
    # Without labels all columns are features.
    plain = write(tmp_path / "plain.csv", NAMES, X)
    assert "No labels were given" in run(model, plain, "--continuous", "all")[1]
    # Columns are told by their names.
    rows = np.c_[X, Y][::3]
    turned = np.c_[rows[:, 0], rows[:, :-1][:, ::-1], rows[:, -1]]
    other = write(tmp_path / "other.csv", ["more", *NAMES[::-1], "cultivar"], turned)
    pages = [run(model, data, "--target", "cultivar", "--test", path) for path in (test, other)]
    assert pages[0][1].replace("test.csv", "other.csv") == pages[1][1]
    assert pages[1][2] == f"{other}: left aside, as the model has no such columns: more.\n"
    less = write(tmp_path / "less.csv", [*NAMES[1:], "cultivar"], rows[:, 1:])
    _, _, err = run(model, data, "--target", "cultivar", "--test", less)
    assert f"{less} must have the model's columns. Missing are 'alcohol'." in err


def changed(place, value, rows=None):
    table = np.c_[X, Y].astype(object)
    table[place] = value
    return table


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (NAMES, changed((3, 4), ""), "row 5, column 'magnesium', must be a number. Got nothing."),
        (NAMES, changed((3, 4), "many"), "row 5, column 'magnesium', must be a number. Got 'many'."),
        (NAMES, changed((3, 4), "inf"), "row 5, column 'magnesium', must be finite. Got inf."),
        (NAMES[1:], np.c_[X[:, 1:], Y], "X must have 13 columns, which the model was made for. Got 12 instead."),
        (NAMES, changed((slice(None), 13), 1), "y must have two classes at least. Got 1 only."),
        (NAMES, changed((0, 13), 7), "y must have labels of [0, 1, 2]. Got 7 instead."),
    ],
    ids=["missing", "text", "infinite", "a column too few", "one class", "unknown class"],
)
def test_a_table_that_does_not_fit_gives_one_line(names, rows, message, folder, tmp_path):
    data = write(tmp_path / "data.csv", [*names, "cultivar"], rows)
    status, out, err = run(folder / "wine.onnx", data, "--target", "cultivar")
    assert (status, out) == (2, "")
    assert err.endswith(f"{message}\n")
    assert err.count("\n") == 1


def test_columns_in_another_order_than_the_models(tmp_path):
    pandas = pytest.importorskip("pandas")
    network = kl.NeuralNetwork(hidden_sizes=(4,), epochs=2, random_state=0).fit(pandas.DataFrame(X, columns=NAMES), Y)
    kl.save(network, tmp_path / "wine.safetensors")
    data = write(tmp_path / "data.csv", [*NAMES[::-1], "cultivar"], np.c_[X[:, ::-1], Y])
    same = write(tmp_path / "same.csv", [*NAMES, "cultivar"], np.c_[X, Y])
    found, expected = (run(tmp_path / "wine.safetensors", path, "--target", "cultivar") for path in (data, same))
    assert found[0] == 0, found[2]
    assert found[1] == expected[1].replace("same.csv", "data.csv")


def test_a_constant_column_stays_and_is_named(folder, tmp_path):
    data = write(tmp_path / "data.csv", [*NAMES, "cultivar"], changed((slice(None), 2), 2.5))
    status, out, _ = run(folder / "wine.onnx", data, "--target", "cultivar")
    assert status == 0
    assert "Left as they are: ash (constant, 2.5)." in out


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.joblib", "model.ckpt"])
def test_pickles_are_refused_with_a_reason(name, folder, tmp_path):
    torch.save({}, tmp_path / name)
    with pytest.raises(ValueError, match="is a pickle, which runs code when it is loaded"):
        kl.load(tmp_path / name)
    status, _, err = run(tmp_path / name, folder / "wine.csv")
    assert status == 2
    assert "MODEL:" in err
    assert err.count("\n") == 1


def test_files_that_are_none(folder, tmp_path):
    for name in ("a.onnx", "a.pt2", "a.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        status, _, err = run(tmp_path / name, folder / "wine.csv")
        assert status == 2
        assert err.startswith("knowlimits: MODEL: ")
        assert name in err
        assert err.count("\n") == 1
    assert "no such file" in run(tmp_path / "b.onnx", folder / "wine.csv")[2]
    assert "No such file" in run(folder / "wine.onnx", tmp_path / "b.csv")[2]


@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")
def test_examples(tmp_path):
    from examples import files, medical, tables

    audits = medical.main(out=tmp_path / "medical", models=("NN", "NNEnsemble"))
    assert audits["NN"].features["sure"].mean() > audits["NNEnsemble"].features["sure"].mean()
    summary = (tmp_path / "medical" / "summary.md").read_text()
    assert "| NN | as it is | 100.0% |" in summary
    assert (tmp_path / "medical" / "NN.html").exists()
    links = re.findall(r"\]\(([^)]+)\)", summary)
    assert len(links) == 2
    assert all((tmp_path / "medical" / link).exists() for link in links)
    with pytest.raises(FileExistsError):
        medical.main(out=tmp_path / "medical", models=("NN",))
    audits = tables.main(out=tmp_path / "tables")
    assert "200,000 rows were given" in audits["large"].notes[0]
    assert len(audits["digits"].left_out) == 3
    files.main(out=tmp_path / "files")
    assert (tmp_path / "files" / "wine.pt2.html").exists()


def test_the_example_of_a_boosted_model_is_what_xgboost_itself_says(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    from examples import boosted

    audit = boosted.main(out=tmp_path)
    assert (tmp_path / "cancer.html").exists()
    assert (tmp_path / "cancer.txt").read_text() == f"{audit}\n"
    own = xgboost.XGBClassifier()
    own.load_model(tmp_path / "cancer.ubj")
    data = load_breast_cancer()
    rows = train_test_split(data.data, test_size=0.3, random_state=0, stratify=data.target)[0]
    for row in audit.features.rows():
        far = rows.copy()
        column = list(data.feature_names).index(row["feature"])
        far[:, column] = 1e9 * np.sign(row["towards"])
        p = own.predict_proba(far)
        assert row["sure"] == pytest.approx((p.max(1) >= 0.99).mean(), abs=0.01)
        # Any value will do where the column never matters.
        last = row["last_value"] if np.isfinite(row["last_value"]) else 0.0
        far[:, column] = last + np.sign(row["towards"]) * 1e-6 * abs(last)
        np.testing.assert_array_equal(own.predict_proba(far), p)
    with pytest.raises(FileExistsError):
        boosted.main(out=tmp_path)
