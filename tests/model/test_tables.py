"""A table as floats and back: codes for what is no number, nan for gaps, and errors with the table, the column and the row."""

import datetime

import numpy as np
import pandas as pd
import pytest

from knowlimits.model.tables import Layout, is_gap

FRAME = pd.DataFrame(
    {
        "size": [1.5, 2.5, np.nan],
        "whole": np.array([3, 4, 5], dtype=np.int8),
        "word": ["b", "a", None],
        "kind": pd.Categorical(["q", "p", "q"], categories=["q", "p", "r"]),
        "code": pd.Categorical([2, 1, 2]),
        "yes": [True, False, True],
        "count": pd.array([7, None, 9], dtype="Int64"),
        "text": pd.array(["x", pd.NA, "y"], dtype="string"),
        "mixed": np.array([1, None, 2.5], dtype=object),
        "day": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-01"]),
    }
)
ALL = [True] * FRAME.shape[1]


def layout(rows, labels=None, names=None, known=None):
    return Layout.of(rows, np.shape(rows)[1], labels, names, known or {})


def test_a_frame_comes_back_as_it_was():
    made = layout(FRAME, list(FRAME.columns))
    rows = made.encode("X", FRAME, ALL)
    assert rows.dtype == np.float64
    assert made.levels[2:5] == (("a", "b"), ("p", "q", "r"), (1, 2))
    assert [levels is None for levels in made.levels] == [True, True, False, False, False, True, True, False, True, False]
    np.testing.assert_array_equal(rows[:, 2], [1, 0, np.nan])
    again = made.decode(rows)
    same = [name for name in FRAME if name not in ("word", "mixed")]
    pd.testing.assert_frame_equal(again[same], FRAME[same])
    assert again["word"].tolist()[:2] == ["b", "a"]
    assert again["word"].isna().tolist() == [False, False, True]


def test_numbers_far_away_are_floats():
    made = layout(FRAME, list(FRAME.columns))
    rows = made.encode("X", FRAME, ALL)
    rows[0, [1, 5, 6]] = 2.0**100
    again = made.decode(rows)
    assert [str(again[name].dtype) for name in ("whole", "yes", "count")] == ["float64"] * 3
    assert again["whole"][0] == 2.0**100


def test_an_array_stays_as_it_is():
    table = np.arange(6.0).reshape(3, 2)
    made = layout(table)
    assert made.decode(made.encode("X", table, [False] * 2)) is not table
    np.testing.assert_array_equal(made.decode(table), table)
    assert made.names == ("x0", "x1")
    mixed = np.array([[1, "a"], [2.5, "b"]], dtype=object)
    made = layout(mixed, names=["u", "v"])
    rows = made.encode("X", mixed, [False] * 2)
    np.testing.assert_array_equal(rows, [[1, 0], [2.5, 1]])
    assert made.decode(rows).tolist() == [[1.0, "a"], [2.5, "b"]]
    lists = layout([[1, 2], [3, 4]])
    np.testing.assert_array_equal(lists.encode("X", [[1, 2], [3, 4]], [False] * 2), [[1, 2], [3, 4]])


WRONG = {
    "a word": ([[1, "z"]], r"X, column 'v', must have values that are known.*Got 'z' in row 0"),
    "no number": ([[1, "a"], ["1.5", "a"]], r"X, column 'u', must be numbers\. Got '1\.5' in row 1"),
    "infinity": ([[1, "a"], [np.inf, "a"]], r"X, column 'u', must be finite\. Got inf in row 1, 1 such in all"),
    "a gap": ([[1, "a"], [None, "a"]], r"X, column 'u', must have no gaps.*Got nothing in row 1, 1 such in all"),
    "a complex number": ([[1 + 2j, "a"]], r"X, column 'u', must be real numbers\. Got complex ones"),
    "a column too many": ([[1, "a", 2]], r"X must be a table of 2 columns\. Got shape \(1, 3\) instead"),
    "one axis": ([1, 2], r"X must be a table of 2 columns\. Got shape \(2,\) instead"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_place(name):
    rows, words = WRONG[name]
    made = layout(np.array([[1, "a"], [2.5, "b"]], dtype=object), names=["u", "v"])
    with pytest.raises(ValueError, match=words):
        made.encode("X", np.array(rows, dtype=object), [False] * 2)


def test_values_that_steps_know_are_levels():
    made = layout(FRAME[["word"]], known={0: np.array(["a", "c"], dtype=object)})
    assert made.levels == (("a", "b", "c"),)
    assert Layout.of(None, 2, None, None, {1: np.array(["s", "t"], dtype=object)}).levels == (None, ("s", "t"))
    assert Layout.of(None, 1, None, None, {0: np.array([1.0, 2.0])}).levels == (None,)
    joined = Layout.joined([made, layout(FRAME[["word"]], ["word"], known={0: ["d"]})])
    assert joined.levels == (("a", "b", "c", "d"),)
    assert joined.labels == ("word",)
    assert set(layout(np.array([["a"], [3]], dtype=object)).levels[0]) == {"a", 3}


@pytest.mark.parametrize("value", [None, np.nan, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT")])
def test_gaps(value):
    assert is_gap(value)


@pytest.mark.parametrize("value", [0, "", False, np.float64(1), "nan", datetime.date(2026, 1, 1)])
def test_no_gaps(value):
    assert not is_gap(value)


def test_a_value_that_was_never_seen_has_a_code_of_its_own():
    made = layout(FRAME, list(FRAME.columns))
    wider = made.with_unseen()
    rows = wider.encode("X", FRAME, ALL)
    np.testing.assert_array_equal(rows, made.encode("X", FRAME, ALL))
    for name, value in {"word": "never seen", "kind": "never seen", "code": 3, "text": "never seen"}.items():
        place = list(FRAME.columns).index(name)
        assert wider.levels[place] == (*made.levels[place], value)
        rows[:, place] = len(made.levels[place])
        # Of a pandas category, too, in which what is no category would be a gap.
        assert wider.decode(rows)[name].tolist() == [value] * 3
    assert [len(a or ()) - len(b or ()) for a, b in zip(wider.levels, made.levels, strict=True)] == [
        0,
        0,
        1,
        1,
        1,
        0,
        0,
        1,
        0,
        1,
    ]


def test_a_value_never_seen_is_none_that_there_is():
    made = layout(np.array([["never seen"], ["a"]], dtype=object))
    assert made.with_unseen().levels == (("a", "never seen", "never seen!"),)
    assert layout(np.array([[True], [False]], dtype=object), known={0: [False, True]}).with_unseen().levels == (None,)
