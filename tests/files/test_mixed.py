"""Tables of numbers, text and gaps: a cell means what pandas makes of it, and what is dubious is an error with its line."""

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlimits.files.mixed import GAPS, Kind, read_mixed


def write(folder, text):
    path = folder / "t.csv"
    path.write_bytes(text.encode())
    return path


def same(ours, theirs):
    """Whether two columns hold the same values, gaps in the same places."""
    return [None if pd.isna(value) else value for value in ours] == [None if pd.isna(value) else value for value in theirs]


CELLS = st.lists(
    st.one_of(
        st.sampled_from(sorted(GAPS)),
        st.integers(-99, 99).map(str),
        st.floats(allow_nan=False).map(repr),
        st.sampled_from(["True", "FALSE", "true", "yes", " yes", "no ", "a,b", 'a"b', "-999", "1e5", "inf", " ", "0x1", "1_0"]),
    ),
    min_size=1,
    max_size=8,
)


@given(CELLS)
def test_cells_mean_what_pandas_makes_of_them(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("mixed") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "b"], *([text, "1"] for text in texts)])
    ours = read_mixed(path)
    theirs = pd.read_csv(path)["a"]
    if " " in texts:
        # Nothing but spaces is a gap to us, and a word to pandas.
        return
    if ours.columns[0].dtype == object:
        assert same(ours.columns[0], theirs.tolist())
    else:
        # Older versions of pandas err by a unit in the last place.
        np.testing.assert_allclose(ours.columns[0].astype(float), theirs.to_numpy(float), rtol=1e-15)


def test_kinds_of_columns(tmp_path):
    found = read_mixed(write(tmp_path, "n,t,b,g,m\n1,x,True,,1\n,y z,False,NA,2a\n2.5,NA,True,,3\n"))
    assert found.names == ("n", "t", "b", "g", "m")
    np.testing.assert_array_equal(found.columns[0], [1, np.nan, 2.5])
    assert found.columns[1].tolist() == ["x", "y z", None]
    assert found.columns[2].dtype == bool
    assert np.isnan(found.columns[3]).all()
    assert found.columns[4].tolist() == ["1", "2a", "3"]
    assert found.lines.tolist() == [2, 3, 4]
    assert found.kinds == {"n": "numbers", "t": "text", "b": "truth values", "g": "numbers", "m": "text"}
    assert found.array().dtype == object
    assert found.taken(["m", "n"]).frame().columns.tolist() == ["m", "n"]
    assert found.taken(["n", "g"]).array().dtype == np.float64


def test_kinds_that_are_known(tmp_path):
    path = write(tmp_path, "n,t,b,m\n1,7,True,1\nmany,8,maybe,2\n,,,\n")
    kinds = {"n": Kind.NUMBERS, "t": Kind.TEXT, "b": Kind.TRUTH}
    found = read_mixed(path, kinds=kinds)
    assert found.columns[0].tolist() == [1.0, "many", None]
    assert found.columns[1].tolist() == ["7", "8", None]
    assert found.columns[2].tolist() == [True, "maybe", None]
    assert found.columns[3].dtype == np.float64


def test_kinds_in_the_order_of_columns(tmp_path):
    found = read_mixed(write(tmp_path, "a,b\n1,1\nx,2\n"), kinds=[Kind.NUMBERS, Kind.TEXT])
    assert [column.tolist() for column in found.columns] == [[1.0, "x"], ["1", "2"]]


def test_lines_are_those_of_the_file(tmp_path):
    found = read_mixed(write(tmp_path, 'a,b\n"x\ny",1\n\nz,2\n'))
    assert found.lines.tolist() == [2, 5]


def test_labels_beside_it(tmp_path):
    found = read_mixed(write(tmp_path, "a,y,b\nx,1,2\nz,0,3\n"), "y")
    assert (found.names, found.labels.tolist()) == (("a", "b"), [1, 0])
    assert found.taken(["b"]).labels is found.labels


MEASURED = "a,b\n" + "".join(f"{k},1\n" for k in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", "must have names that differ. Got 'a' more than once"),
        (f"{MEASURED}error,1\n", r"row 42, column 'a', must be a number, as most others there are. Got 'error', 1 such in all"),
        ("a,b\n1\n", "row 2, must have 2 entries"),
        ("a,b\n", "must have a line of names and rows below it"),
    ],
)
def test_what_is_dubious_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_mixed(write(tmp_path, text))


def test_columns_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"Missing are 'c', 'd'\."):
        read_mixed(write(tmp_path, "a,b\n1,2\n")).taken(["a", "c", "d"])


def test_a_word_where_numbers_are_known_is_no_error(tmp_path):
    found = read_mixed(write(tmp_path, f"{MEASURED}error,1\n"), kinds={"a": Kind.NUMBERS})
    assert found.columns[0][-1] == "error"
