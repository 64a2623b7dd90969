"""The tables of an audit as files: every number and every text comes back, and nothing is overwritten unasked."""

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.report import TABLES
from knowlimits.auditing.show.tables import write_tables

NAMES = ["a, b", 'say "x"', "two\nlines", "back\rhome", "=1+1", "  ωμέγα "]


@pytest.fixture(scope="module")
def audited():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    X = np.random.default_rng(0).normal(size=(60, 6))
    return kl.audit(net, X, feature_names=NAMES)


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        heading, *rows = csv.reader(file, strict=True)
    return heading, rows


def test_every_number_and_text_comes_back(audited, tmp_path):
    folder = tmp_path / "a" / "b"
    audited.to_csv(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.csv" for name in audited.to_frame())
    assert set(TABLES) == set(audited.to_frame())
    for name in TABLES:
        table = getattr(audited, name)
        heading, rows = read(folder / f"{name}.csv")
        assert heading == list(table.columns)
        assert len(rows) == len(table)
        for column, cells in zip(heading, zip(*rows, strict=True) if rows else [()] * len(heading), strict=True):
            values = table[column]
            if values.dtype.kind == "f":
                found = np.array([np.nan if cell == "" else float(cell) for cell in cells])
                np.testing.assert_array_equal(found, values)
            else:
                assert list(cells) == list(map(str, values.tolist()))
    assert set(NAMES) == {row[0] for row in read(folder / "features.csv")[1]}


def test_pandas_reads_them_as_the_frames_that_there_are(audited, tmp_path):
    audited.to_csv(tmp_path)
    for name, frame in audited.to_frame().items():
        found = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(found, frame, check_dtype=False, check_exact=True)


def test_a_table_without_rows_is_a_line_of_names(tmp_path):
    write_tables({"none": Table({"feature": np.empty(0, dtype=str), "refused, gate": np.empty(0)})}, tmp_path, False)
    assert (tmp_path / "none.csv").read_bytes() == b'feature,"refused, gate"\n'


def test_gaps_truth_values_and_infinities(tmp_path):
    columns = {"a": [np.nan, -np.inf, 0.1 + 0.2], "b": [True, False, True], "c": ["", "nan", "x"]}
    write_tables({"t": Table({name: np.array(values) for name, values in columns.items()})}, tmp_path, False)
    assert (tmp_path / "t.csv").read_text() == "a,b,c\n,True,\n-inf,False,nan\n0.30000000000000004,True,x\n"


def test_nothing_is_written_where_a_file_is_there(audited, tmp_path):
    (tmp_path / "remedies.csv").write_text("mine")
    with pytest.raises(FileExistsError, match=r"remedies\.csv is there already\. Pass overwrite=True to replace it\."):
        audited.to_csv(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["remedies.csv"]
    audited.to_csv(tmp_path, overwrite=True)
    assert read(tmp_path / "remedies.csv")[0] == list(audited.remedies.columns)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(OSError, match=r"cannot write to .*: it is no folder"):
        audited.to_csv(file)


def test_a_table_of_no_directions_has_the_columns_of_one(tmp_path):
    # Columns that go on ever more slowly move one by one alone.
    X = np.random.default_rng(0).lognormal(size=(60, 2))
    model = make_pipeline(PowerTransformer(), LogisticRegression()).fit(X, X[:, 0] > 1)
    kl.audit(model, X).to_csv(tmp_path)
    heading, rows = read(tmp_path / "directions.csv")
    assert (heading, rows) == (["model", "sure", "sure_low", "sure_high", "directions", "confidence"], [])
