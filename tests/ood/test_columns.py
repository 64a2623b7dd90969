"""What each column of a table is, and which cells of another are strange, against a plain reading cell by cell."""

import datetime
import decimal
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from knowlimits.ood.columns import Columns
from knowlimits.ood.strange import Strange

FRAME = pd.DataFrame(
    {
        "age": [30, 40, 50, 60],
        "lactate": [1.5, 2.5, np.nan, 0.5],
        "ward": ["a", "b", "a", None],
        "kind": pd.Categorical(["q", "p", "q", "p"], categories=["q", "p", "r"]),
        "code": pd.Categorical([2, 1, 2, 2]),
        "smokes": [True, False, True, True],
        "count": pd.array([7, None, 9, 7], dtype="Int64"),
        "score": pd.array([0.5, 1.5, 0.25, 2], dtype="Float64"),
        "alive": pd.array([True, None, True, True], dtype="boolean"),
        "text": pd.array(["x", pd.NA, "y", "x"], dtype="string"),
        "mixed": np.array([1, None, 2.5, True], dtype=object),
        "nothing": [None] * 4,
    }
)
NUMBERS = ["age", "lactate", "count", "score", "mixed"]


def changed(name, value, frame=FRAME):
    """A frame of objects, of one row, with another value in one column."""
    row = frame.iloc[[0]].astype(object)
    row[name] = pd.Series([value], dtype=object)
    return row


def test_what_the_columns_of_a_frame_are():
    columns = Columns.of(FRAME)
    assert columns.names == tuple(FRAME)
    assert columns.named
    assert [FRAME.columns[place] for place in columns.numeric] == NUMBERS
    assert dict(zip(columns.names, columns.seen, strict=True)) == {
        **dict.fromkeys(NUMBERS),
        **{"ward": ("a", "b"), "kind": ("p", "q"), "code": (1, 2), "smokes": (False, True), "alive": (True,)},
        **{"text": ("x", "y"), "nothing": ()},
    }
    assert [type(value) for value in columns.seen[columns.names.index("alive")]] == [bool]
    assert [name for name, gaps in zip(FRAME, columns.gaps, strict=True) if gaps] == [
        *("lactate", "ward", "count", "alive", "text", "mixed", "nothing")
    ]
    np.testing.assert_array_equal(columns.fill, [40, 1.5, 7, 0.5, 1])
    numbers, strange, _ = columns.read(FRAME)
    assert not strange.any()
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers[2], [50, 1.5, 9, 0.25, 2.5])
    assert columns.why(FRAME) == [""] * 4


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("age", None, Strange.GAP, "age is missing, which it never was"),
        ("age", pd.NA, Strange.GAP, "age is missing, which it never was"),
        ("age", pd.NaT, Strange.GAP, "age is missing, which it never was"),
        ("lactate", None, Strange.ORDINARY, ""),
        ("lactate", math.inf, Strange.INFINITE, "lactate is infinite"),
        ("lactate", 10**400, Strange.INFINITE, "lactate is infinite"),
        ("lactate", "1.5", Strange.NOT_A_NUMBER, "lactate is '1.5', which is no number"),
        ("lactate", 1j, Strange.NOT_A_NUMBER, "lactate is 1j, which is no number"),
        ("lactate", [1.5], Strange.NOT_A_NUMBER, "lactate is [1.5], which is no number"),
        ("lactate", np.ones(2), Strange.NOT_A_NUMBER, "lactate is array([1., 1.]), which is no number"),
        ("lactate", "x" * 99, Strange.NOT_A_NUMBER, f"lactate is '{'x' * 59} ..., which is no number"),
        ("lactate", decimal.Decimal("1.5"), Strange.ORDINARY, ""),
        ("lactate", decimal.Decimal("nan"), Strange.ORDINARY, ""),
        ("lactate", decimal.Decimal("snan"), Strange.ORDINARY, ""),
        ("lactate", np.float32(1.5), Strange.ORDINARY, ""),
        ("lactate", True, Strange.ORDINARY, ""),
        ("lactate", 130, Strange.OUT_OF_RANGE, "lactate is 130, above 120"),
        ("lactate", -0.5, Strange.OUT_OF_RANGE, "lactate is -0.5, below 0"),
        ("lactate", 120.00000001, Strange.OUT_OF_RANGE, "lactate is 120.00000001, above 120"),
        ("ward", "X9", Strange.UNSEEN, "ward is 'X9', never seen"),
        ("ward", ["a"], Strange.UNSEEN, "ward is ['a'], never seen"),
        ("ward", np.nan, Strange.ORDINARY, ""),
        ("kind", "r", Strange.UNSEEN, "kind is 'r', never seen"),
        ("kind", None, Strange.GAP, "kind is missing, which it never was"),
        ("code", 1.0, Strange.ORDINARY, ""),
        ("code", 3, Strange.UNSEEN, "code is 3, never seen"),
        ("code", "1", Strange.UNSEEN, "code is '1', never seen"),
        ("code", 2**53 + 1, Strange.UNSEEN, f"code is {2**53 + 1}, never seen"),
        ("smokes", 1, Strange.ORDINARY, ""),
        ("smokes", np.bool_(False), Strange.ORDINARY, ""),
        ("smokes", 2, Strange.UNSEEN, "smokes is 2, never seen"),
        ("alive", False, Strange.UNSEEN, "alive is False, never seen"),
        ("nothing", 0, Strange.UNSEEN, "nothing is 0, never seen"),
        ("nothing", None, Strange.ORDINARY, ""),
    ],
)
def test_one_cell_of_another_kind(name, value, code, words):
    columns = Columns.of(FRAME, {"lactate": (0, 120)})
    row = changed(name, value)
    numbers, strange, _ = columns.read(row)
    expected = np.zeros(len(columns.names))
    expected[columns.names.index(name)] = code
    np.testing.assert_array_equal(strange[0], expected)
    assert np.isfinite(numbers).all()
    assert columns.why(row) == [words]
    array = row.to_numpy(dtype=object)
    np.testing.assert_array_equal(columns.strange(array), strange)
    np.testing.assert_array_equal(columns.numbers(array), numbers)


# --- Whole tables, cell by cell ---

GAPS = (None, math.nan, pd.NA)
REALS = st.floats(-10, 10) | st.integers(-5, 5) | st.sampled_from([1e300, -0.0, 2**60])
TEXT = st.sampled_from(["a", "b", "c", "", "1", "nan"])
KINDS = {
    "numbers": REALS,
    "truths": st.booleans(),
    "text": TEXT,
    "nothing": st.none(),
    "mixed": REALS | TEXT | st.booleans(),
}


@st.composite
def tables(draw):
    """A table to learn from, another of other cells, and ranges."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    rows = draw(st.integers(1, 6))
    gaps = [draw(st.booleans()) for _ in kinds]
    familiar = [
        [draw(st.sampled_from(GAPS) | KINDS[kind] if gap else KINDS[kind]) for kind, gap in zip(kinds, gaps, strict=True)]
        for _ in range(rows)
    ]
    anything = REALS | TEXT | st.booleans() | st.sampled_from([*GAPS, math.inf, -math.inf])
    others = [[draw(KINDS[kind] | anything) for kind in kinds] for _ in range(draw(st.integers(1, 6)))]
    ends = st.none() | st.integers(-5, 5)
    ranges = {
        place: draw(st.just("data") | st.tuples(ends, ends).map(lambda pair: pair if None in pair else tuple(sorted(pair))))
        for place, kind in enumerate(kinds)
        if kind == "numbers" and draw(st.booleans())
    }
    return familiar, others, ranges


def is_gap(value):
    return value is None or value is pd.NA or value != value


def is_number(value):
    return isinstance(value, int | float) and not is_gap(value)


def plainly(familiar, others, ranges):
    """What `Columns` says: kinds, numbers and codes, cell by cell, or None where no row is inside of the ranges."""

    def outside(value, ends):
        low, high = (None, None) if ends == "data" else ends
        return is_number(value) and ((low is not None and value < low) or (high is not None and value > high))

    learnt = [row for row in familiar if not any(outside(row[place], ends) for place, ends in ranges.items())]
    if not learnt:
        return None
    seen, fills, gaps, limits = [], {}, [], {}
    for place in range(len(familiar[0])):
        ever = [row[place] for row in familiar if not is_gap(row[place])]
        values = [row[place] for row in learnt if not is_gap(row[place])]
        gaps.append(len(values) < len(learnt))
        numeric = all(map(is_number, ever)) and not (ever and all(isinstance(value, bool) for value in ever))
        if numeric and values:
            seen.append(None)
            fills[place] = sorted(map(float, values))[(len(values) - 1) // 2]
            ends = ranges.get(place, (None, None))
            limits[place] = (min(values), max(values)) if ends == "data" else ends
        else:
            seen.append(set(values))
    numbers, codes = [], []
    for row in others:
        usable = {place: is_number(row[place]) and abs(row[place]) < math.inf for place in fills}
        numbers.append([float(row[place]) if usable[place] else fill for place, fill in fills.items()])
        codes.append([])
        for place, value in enumerate(row):
            if is_gap(value):
                code = Strange.ORDINARY if gaps[place] else Strange.GAP
            elif seen[place] is not None:
                code = Strange.ORDINARY if value in seen[place] else Strange.UNSEEN
            elif not is_number(value):
                code = Strange.NOT_A_NUMBER
            elif abs(value) == math.inf:
                code = Strange.INFINITE
            else:
                code = Strange.OUT_OF_RANGE if outside(value, limits[place]) else Strange.ORDINARY
            codes[-1].append(code)
    return seen, np.reshape(numbers, (len(others), len(fills))), np.array(codes)


def as_objects(rows):
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    for place, row in enumerate(rows):
        array[place] = row
    return array


def as_frame(rows):
    """A table whose types pandas finds out."""
    return pd.DataFrame({f"x{place}": list(values) for place, values in enumerate(zip(*rows, strict=True))})


@given(tables())
def test_tables_are_read_as_cell_by_cell(table):
    familiar, others, ranges = table
    expected = plainly(*table)
    # Of numbers and truth values, numpy makes numbers of a list.
    truths = any(isinstance(value, bool) for row in familiar for value in row)
    for make in (as_objects, as_frame, *[list] * (not truths)):
        if expected is None:
            with pytest.raises(ValueError, match="ranges must have rows of X inside"):
                Columns.of(make(familiar), ranges)
            continue
        seen, numbers, codes = expected
        columns = Columns.of(make(familiar), ranges)
        assert [None if values is None else set(values) for values in columns.seen] == seen
        for learnt in (columns, Columns.restored(json.loads(json.dumps(columns.state())))):
            for other in (as_objects, as_frame, list):
                found = learnt.read(other(others))
                np.testing.assert_array_equal(found.strange, codes)
                np.testing.assert_array_equal(found.numbers, numbers)
        assert columns.read(as_frame(others)).refused.tolist() == codes.any(1).tolist()
        assert [bool(words) for words in columns.why(as_frame(others))] == codes.any(1).tolist()
        kept = [row for row, good in zip(familiar, ~columns.strange(make(familiar)).any(1), strict=True) if good]
        assert kept, "what was learnt from is not strange"
        assert not columns.strange(make(kept)).any()


# --- Kinds of tables ---


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint64, bool])
def test_arrays_of_numbers(dtype):
    rows = np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)
    columns = Columns.of(rows)
    assert columns.names == ("x0", "x1")
    assert not columns.named
    assert columns.seen == (None, None)
    numbers, strange, _ = columns.read(rows)
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, rows)
    assert not strange.any()


def test_an_array_of_floats_is_not_copied():
    rows = np.arange(6.0).reshape(3, 2)
    assert np.shares_memory(Columns.of(rows).numbers(rows), rows)
    rows[1, 1] = np.nan
    filled = Columns.of(rows).numbers(rows)
    assert np.isnan(rows[1, 1])
    assert filled[1, 1] == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32])
def test_tensors(dtype):
    rows = torch.tensor([[1, 2], [3, 4]], dtype=dtype)
    rows = rows.requires_grad_() if dtype.is_floating_point else rows
    columns = Columns.of(rows)
    np.testing.assert_array_equal(columns.numbers(rows), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(columns.numbers(rows.to_sparse()), [[1, 2], [3, 4]])


def test_inputs_of_several_axes():
    rows = np.arange(24.0).reshape(4, 3, 2)
    columns = Columns.of(rows, {"x[2, 1]": (0, 20)})
    assert columns.shape == (3, 2)
    assert columns.names[:3] == ("x[0, 0]", "x[0, 1]", "x[1, 0]")
    assert columns.why(rows) == ["", "", "", "x[2, 1] is 23, above 20"]
    np.testing.assert_array_equal(columns.numbers(rows.reshape(4, 6)), rows.reshape(4, 6))
    with pytest.raises(ValueError, match=r"X must have rows of shape \(3, 2\). Got \(2, 3\) instead"):
        columns.read(rows.reshape(4, 2, 3))
    again = Columns.restored(json.loads(json.dumps(columns.state())))
    assert again.shape == (3, 2)
    assert again.names == columns.names


def test_masks_are_gaps():
    rows = np.ma.MaskedArray([[1, 2], [3, 4], [5, 999]], mask=[[0, 0], [0, 0], [0, 1]])
    columns = Columns.of(rows)
    assert columns.gaps.tolist() == [False, True]
    assert columns.numbers(rows)[2].tolist() == [5, 2]
    assert columns.seen == (None, None)
    text = np.ma.MaskedArray(np.array([["a"], ["b"]], dtype=object), mask=[[0], [1]])
    assert Columns.of(text).seen == (("a",),)


def test_text_that_says_numbers_is_text():
    columns = Columns.of(np.array([["1", "x"], ["2", "y"]]))
    assert columns.seen == (("1", "2"), ("x", "y"))
    assert columns.why(np.array([[1, "x"], ["2", "z"]], dtype=object)) == ["x0 is 1, never seen", "x1 is 'z', never seen"]


class Polars:
    """A DataFrame that has columns by name alone, as that of polars, which is not installed here."""

    def __init__(self, columns):
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        self.columns, self.shape = list(columns), (len(next(iter(columns.values()))), len(columns))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, name):
        return self._columns[name]

    def to_numpy(self):
        return np.stack(list(self._columns.values()), axis=1)


def test_other_frames():
    frame = Polars({"age": [30, 40], "ward": np.array(["a", None], dtype=object), "smokes": [True, False]})
    columns = Columns.of(frame, {"age": (0, 120)})
    assert columns.names == ("age", "ward", "smokes")
    assert columns.seen == (None, ("a",), (False, True))
    other = Polars({"age": [130.0, np.nan], "ward": ["b", "a"], "smokes": [True, True]})
    assert columns.why(other) == ["age is 130, above 120; ward is 'b', never seen", "age is missing, which it never was"]
    numbers = Polars({"age": [1, 2], "size": [0.5, 1.5]})
    np.testing.assert_array_equal(Columns.of(numbers).numbers(numbers), [[1, 0.5], [2, 1.5]])


def test_many_strange_cells_are_counted():
    columns = Columns.of(np.zeros((2, 5)))
    assert columns.why([[math.nan] * 5]) == [
        "x0 is missing, which it never was; x1 is missing, which it never was; x2 is missing, which it never was; and 2 more"
    ]


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, pd.DataFrame, lambda rows: pd.DataFrame(rows, dtype="Float32")])
def test_ends_of_ranges_are_rounded_as_the_numbers_are(make):
    tenth = np.array([[0.1, 1]], dtype=np.float32)
    assert float(tenth[0, 0]) > 0.1
    columns = Columns.of(make(tenth), {0: (None, 0.1)})
    assert not columns.strange(make(tenth)).any()
    beyond = np.nextafter(tenth, np.float32(1))
    assert columns.strange(make(beyond)).tolist() == [[Strange.OUT_OF_RANGE, 0]]
    assert columns.strange(tenth.astype(np.float64)).tolist() == [[Strange.OUT_OF_RANGE, 0]]


def test_what_is_filled_is_inside_however_ends_are_rounded():
    columns = Columns.of(np.array([[0.1], [np.nan]]), {0: (0.1, None)})
    assert columns.strange(np.array([[np.nan]], dtype=np.float32)).tolist() == [[Strange.ORDINARY]]
    assert columns.strange(np.array([[0.0]], dtype=np.float32)).tolist() == [[Strange.OUT_OF_RANGE]]


def test_what_data_say_leaves_out_gaps():
    columns = Columns.of([[3.0, 1.0], [np.nan, 2.0], [-2.0, -1.0]], "data")
    assert [columns.range_of(place) for place in (0, 1)] == [(-2, 3), (-1, 2)]
    assert Columns.of([[3.0, 1.0], [np.nan, 2.0]], "data").range_of(0) == (3, 3)


def test_dates_where_something_else_was():
    days = [pd.Timestamp(5), pd.Timestamp(6), pd.NaT]
    frame = pd.DataFrame({"number": days, "code": days})
    columns = Columns.of(pd.DataFrame({"number": [5, 6, None], "code": pd.Categorical([5, 6, None])}))
    wrong = [[Strange.NOT_A_NUMBER, Strange.UNSEEN]] * 2 + [[Strange.ORDINARY] * 2]
    for table in (frame, frame.apply(lambda days: days.dt.tz_localize("UTC")), frame.astype(object)):
        assert columns.strange(table).tolist() == wrong
        assert np.isfinite(columns.numbers(table)).all()


def test_truth_values_among_numbers():
    """They equal some: False is 0."""
    columns = Columns.of(np.array([[False, True, True], [0.0, 1, math.nan]], dtype=object))
    assert columns.seen == (None, None, (True,))


def test_rows_outside_of_ranges_are_not_learnt_from():
    frame = pd.DataFrame({"age": [30, 40, np.inf, -1], "ward": ["a", "b", "c", "a"], "score": [1.0, 2.0, None, 3.0]})
    columns = Columns.of(frame, {"age": (0, 120), "score": "data"})
    assert columns.seen[1] == ("a", "b")
    assert not columns.gaps.any()
    np.testing.assert_array_equal(columns.fill, [30, 1])
    assert columns.range_of(0) == (0, 120)
    assert columns.range_of(1) == (-math.inf, math.inf)
    assert columns.range_of(2) == (1, 2)
    assert columns.why(frame) == [
        "",
        "",
        "age is infinite; ward is 'c', never seen; score is missing, which it never was",
        "age is -1, below 0; score is 3, above 2",
    ]


def test_a_column_of_gaps_has_seen_nothing():
    rows = np.array([[1.0, np.nan], [2.0, np.nan]])
    columns = Columns.of(rows, {1: (0, 1)})
    assert columns.numeric.tolist() == [0]
    assert columns.categorical.tolist() == [1]
    assert columns.why([[1.0, 0.5], [1.0, np.nan]]) == ["x1 is 0.5, never seen", ""]


def test_medians_of_large_numbers_are_finite():
    assert Columns.of([[1.5e308], [1.5e308], [1.5e308], [np.nan]]).fill.tolist() == [1.5e308]
    assert Columns.of([[4.0], [1.0], [3.0], [2.0]]).fill.tolist() == [2]


# --- What is refused ---


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((0, 3)), ValueError, r"X must have at least one row and one feature. Got shape \(0, 3\) instead"),
        (FRAME.iloc[:0], ValueError, "X must have at least one row"),
        (FRAME[[]], ValueError, "X must have at least one row and one feature"),
        ([1.0, 2.0], ValueError, r"X must have shape \(n, features\) or more axes. Got \(2,\) instead"),
        (FRAME["age"], ValueError, r"X must have shape \(n, features\)"),
        ([[1.0, 2.0], [1.0]], ValueError, "X must be one table|X must have shape"),
        ("text", TypeError, "X must be an array of real numbers, text and gaps. Got str of object"),
        (sparse.csr_matrix(np.eye(2)), TypeError, r"Got csr_matrix of object: pass X.toarray\(\)"),
        (np.ones((2, 2)) * 1j, TypeError, "Got complex numbers"),
        (torch.ones(2, 2) * 1j, TypeError, "Got complex numbers"),
        (np.array([[b"a"]]), TypeError, r"Got ndarray of \|S1"),
        (np.array([["2026-01-01"]], dtype="datetime64[D]"), TypeError, r"Got ndarray of datetime64\[D\]"),
        (np.full((2, 2, 2), "a"), TypeError, "X must be numbers where it has more than two axes"),
        (np.array([[1.0, np.inf], [np.inf, 1.0]]), ValueError, "X, column 'x1', must be finite. Got inf in row 0, 2 such in"),
        (pd.DataFrame({"a": [10**400]}), ValueError, "X, column 'a', must be finite. Got inf in row 0"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ValueError, "columns of different names. Got 'a' more than once"),
        (pd.DataFrame({"on": pd.to_datetime(["2026-01-01"])}), TypeError, "X, column 'on', .* Got datetime64.* days since"),
        (pd.DataFrame({"on": pd.to_datetime(["2026-01-01"], utc=True)}), TypeError, "X, column 'on', .* Got datetime64"),
        (pd.DataFrame({"on": [datetime.date(2026, 1, 1)]}), TypeError, "X, column 'on', .* Got date: turn it into"),
        (pd.DataFrame({"in": pd.period_range("2026", periods=1)}), TypeError, "X, column 'in', .* Got Period"),
        (pd.DataFrame({"z": [1j]}), TypeError, "X, column 'z', .* Got complex128"),
        (pd.DataFrame({"z": [1j, "a"]}), TypeError, "X, column 'z', .* Got complex:"),
        (pd.DataFrame({"l": [[1], [2]]}), TypeError, "X, column 'l', .* Got list"),
        (pd.DataFrame({"c": pd.Categorical([(1,), (2,)])}), TypeError, "X, column 'c', .* Got tuple"),
        (pd.DataFrame({"c": pd.Categorical([math.inf, 1.0])}), TypeError, "X, column 'c', .* Got float"),
    ],
    ids=map(str, range(25)),
)
def test_what_is_no_table_to_learn_from(X, error, message):
    with pytest.raises(error, match=message):
        Columns.of(X)


def test_text_that_hardly_ever_comes_again():
    names = [f"id{k}" for k in range(30)]
    with pytest.raises(ValueError, match=r"X, column 'id', must have values that come again. Got 30 in 40 rows .* Pipeline"):
        Columns.of(pd.DataFrame({"id": names + ["other"] * 10}))
    assert len(Columns.of(pd.DataFrame({"id": names + ["other"] * 40})).seen[0]) == 31
    assert len(Columns.of(pd.DataFrame({"id": names[:20]})).seen[0]) == 20
    with pytest.raises(ValueError, match=r"Got 41 in 41 rows that come once, numbers and text, .* as a gap"):
        Columns.of(pd.DataFrame({"lab": [*(k / 7 for k in range(40)), "n/a"]}))


def test_names_and_their_order():
    columns = Columns.of(FRAME[["age", "lactate", "count"]])
    columns.read(FRAME[["age", "lactate", "count"]].to_numpy())
    with pytest.raises(ValueError, match=r"X must have its columns in the order learnt. Got 'count' in the place of 'lactate'"):
        columns.read(FRAME[["age", "count", "lactate"]])
    with pytest.raises(ValueError, match=r"origins must have the columns that were learnt. Missing are lactate"):
        columns.numbers(FRAME[["age", "count", "score"]], "origins")
    with pytest.raises(ValueError, match=r"X must have 3 features. Got 2 instead"):
        columns.strange(FRAME[["age", "lactate"]])
    with pytest.raises(ValueError, match=r"X must have shape \(n, features\)"):
        columns.strange([1.0, 2.0, 3.0])
    unnamed = Columns.of(np.zeros((2, 2)))
    unnamed.read(pd.DataFrame({"a": [1], "b": [2]}))


def test_names_that_a_person_gives():
    columns = Columns.of(np.zeros((2, 2)), {"b": (0, 1)}, ["a", "b"])
    assert columns.why([[0, 2]]) == ["b is 2, above 1"]
    with pytest.raises(ValueError, match="Got 'b' in the place of 'a'"):
        columns.read(pd.DataFrame({"b": [1], "a": [2]}))
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="names must be 2, one for each column of X"):
            Columns.of(np.zeros((2, 2)), names=names)
    with pytest.raises(ValueError, match=r"names must be those of X, in their order. Got 'b' where X has 'a'"):
        Columns.of(pd.DataFrame({"a": [1], "b": [2]}), names=["b", "a"])


def test_no_row_is_inside_of_the_ranges():
    with pytest.raises(ValueError, match="Got none of 3: 'x1' is outside of 5 to inf in 3"):
        Columns.of(np.arange(6.0).reshape(3, 2) % 4, {0: (0, 1), 1: (5, None)})


# --- Saved and read again ---


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("names", ["a"], "names that are not one for each column"),
        ("names", ["a", "a", "c"], "names that are not one for each column"),
        ("names", [1, 2, 3], "names that are no text"),
        ("shape", [2], "another shape"),
        ("shape", [-1, -3], "another shape"),
        ("shape", 3, "another shape"),
        ("seen", [], "no columns"),
        ("seen", [None, None, 3], "values seen that are no lists"),
        ("seen", [None, None, [[]]], "values seen that are no categories, each once"),
        ("seen", [None, None, ["a", "a"]], "values seen that are no categories, each once"),
        ("seen", [None, None, [None]], "values seen that are no categories, each once"),
        ("seen", [None, None, [math.nan]], "values seen that are no categories, each once"),
        ("seen", [None, None, None], "other numbers to fill"),
        ("gaps", [3], "gaps in other columns"),
        ("gaps", [1, 1], "gaps in other columns"),
        ("gaps", [True], "gaps that are no places"),
        ("fill", [1.0], "other numbers to fill"),
        ("fill", [1.0, math.inf], "other numbers to fill"),
        ("fill", [1.0, "2"], "other numbers to fill"),
        ("fill", [1.0, 200.0], "numbers to fill outside of ranges"),
        ("ranges", [[2, 0, 1]], "ranges of other columns"),
        ("ranges", [[0, 0]], "no ranges"),
        ("ranges", [[0, math.nan, 1]], "ranges that are no numbers"),
        ("ranges", [[0, 3, 1]], "numbers to fill outside of ranges"),
        ("more", 1, "entries other than names, shape, seen, gaps, fill, ranges"),
    ],
)
def test_lies_are_refused(key, value, message):
    columns = Columns.of(pd.DataFrame({"a": [1.0, 2.0], "b": [10.0, None], "c": ["x", "y"]}), {"b": (0, 120)})
    state = columns.state()
    assert Columns.restored(state).state() == state
    with pytest.raises(ValueError, match=f"columns must be what they were saved as. Got {message}"):
        Columns.restored({**state, key: value})
    with pytest.raises(ValueError, match="Got entries other than"):
        Columns.restored(None)


def test_values_come_back_as_what_they_were():
    frame = pd.DataFrame({"v": np.array([True, 2, 2.5, "2", "\ud800 x", 2**62 + 1], dtype=object)})
    columns = Columns.of(frame)
    again = Columns.restored(json.loads(json.dumps(columns.state())))
    assert again.seen == columns.seen
    assert [type(value) for value in again.seen[0]] == [type(value) for value in columns.seen[0]]
    assert not again.strange(frame).any()
