"""Rows that are made up are ones that a guard takes."""

import numpy as np
import pytest

from knowlimits.files.saved.rows import drawn_rows
from knowlimits.ood.columns import Columns

RNG = np.random.RandomState(0)


def drawn(X):
    columns = Columns.of(X)
    count = len(columns.numeric)
    return columns, drawn_rows(columns, np.arange(float(count)), np.ones(count))


def test_of_numbers_and_windows():
    columns, rows = drawn(RNG.randn(20, 3))
    assert (rows.shape, rows.dtype) == ((16, 3), np.float64)
    assert not columns.strange(rows).any()
    # Half are near, half are far.
    assert np.abs(rows[:8] - [0, 1, 2]).max() < 5 < np.abs(rows[8:] - [0, 1, 2]).max()
    columns, rows = drawn(RNG.randn(20, 3, 2))
    assert rows.shape == (16, 3, 2)
    np.testing.assert_array_equal(rows, drawn(RNG.randn(30, 3, 2))[1])


def test_gaps_are_where_there_were_some():
    X = RNG.randn(40, 3)
    X[::3, 1] = np.nan
    rows = drawn(X)[1]
    assert np.isnan(rows).any(0).tolist() == [False, True, False]


def mixed():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": RNG.randn(30), "b": ["x", "y", "z"] * 10, "c": [True, False] * 15})
    return frame.assign(d=pandas.Categorical(["u", "v"] * 15), e=np.nan)


def test_of_tables_of_all_kinds():
    frame = mixed()
    columns, rows = drawn(frame)
    assert list(rows) == list(frame)
    assert not columns.strange(rows).any()
    assert set(rows["b"]) <= {"x", "y", "z"}
    assert rows["c"].dtype == bool
    assert list(rows["d"].cat.categories) == ["u", "v"]
    assert rows["e"].isna().all()
    columns, rows = drawn(frame.to_numpy())
    assert rows.dtype == object
    assert not columns.strange(rows).any()


def test_without_pandas(monkeypatch):
    frame = mixed()
    monkeypatch.setattr("knowlimits.files.saved.rows.find_spec", lambda name: None)
    columns, rows = drawn(frame)
    assert isinstance(rows, np.ndarray)
    assert not columns.strange(rows).any()
