"""Tables as CSV: what a cell says is what is read, and an error says on which line of the file it is."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlimits.files.tables import read_numbers, read_table
from knowlimits.studies.tables.sets import own_set


def write(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    return path


def labels(tmp_path, *texts):
    return read_table(write(tmp_path, "a,y\n" + "".join(f"1,{text}\n" for text in texts)), "y")[1].tolist()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("0", "12", "-3"), [0, 12, -3]),
        (("9007199254740992", "9007199254740993", "-9223372036854775808"), [2**53, 2**53 + 1, -(2**63)]),
        # Each of these is another label, and numbers would not tell.
        (("9223372036854775807", "9223372036854775808"), ["9223372036854775807", "9223372036854775808"]),
        (("1e5", "100000"), ["1e5", "100000"]),
        (("1", "1.0"), ["1", "1.0"]),
        (("7", "07"), ["7", "07"]),
        (("0", "-0"), ["0", "-0"]),
        (("5", "+5"), ["5", "+5"]),
        (("10", "1_0"), ["10", "1_0"]),
        (("3", "\u0663"), ["3", "\u0663"]),
        (("9" * 999, "1"), ["9" * 999, "1"]),
        (('"p\nq"', "pq"), ["p\nq", "pq"]),
        (('"p\r\nq"', '"p\nq"'), ["p\r\nq", "p\nq"]),
        (('"a,b"', '"a""b"'), ["a,b", 'a"b']),
        (("one\u2028two", "x\u0085y", "v\fw", "r\x1cs"), ["one\u2028two", "x\u0085y", "v\fw", "r\x1cs"]),
        ((" yes ", "\tno"), ["yes", "no"]),
    ],
)
def test_labels(tmp_path, texts, expected):
    assert labels(tmp_path, *texts) == expected


LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(lambda t: t.strip(" \t"))


@given(st.lists(LABELS, min_size=1))
def test_labels_are_told_apart_as_they_are_in_the_file(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("labels") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "y"], *([1, text] for text in texts)])
    found = read_table(path, "y")[1].tolist()
    assert list(map(str, found)) == [text.strip(" \t") for text in texts]


@pytest.mark.parametrize("text", ["1_0", "\u0661", "0x10", "1,5", "1 2", "1e", "--1", "1\u00a0", "True", '"1\n"'])
def test_what_is_no_number_everywhere_is_none(tmp_path, text):
    cell = text if text.startswith('"') else f'"{text}"'
    with pytest.raises(ValueError, match="row 2, column 'a', must be a number"):
        read_table(write(tmp_path, f"a,y\n{cell},0\n"), "y")


def test_numbers_as_others_write_them(tmp_path):
    rows = read_numbers(write(tmp_path, "a\n1.\n.5\n+3\n 7 \n-2E+3\n1e-400\n"))[0]
    np.testing.assert_array_equal(rows[:, 0], [1, 0.5, 3, 7, -2000, 0])


def test_names_keep_what_is_in_quotes(tmp_path):
    assert read_table(write(tmp_path, '"a\nb",y\r\n1,0\r\n2,1\r\n'), "y")[2] == ["a\nb"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n\n1,0\n\n\nx,1\n", "row 6, column 'a', must be a number"),
        ("\n\na,y\n1,0\n1\n", "row 5, must have 2 entries. Got 1"),
        ("a,y\r\r1,0\rinf,1\r", "row 4, column 'a', must be finite"),
        ('a,y\n1,"two\nlines"\n2,\n', "row 4, column 'y', must have a label"),
        (f"a,y\n1,{'9' * 1000}\n2,b\n", "row 2, column 'y', must have at most 999 letters. Got 1,000"),
        ("a,y\n1,b\0\n2,b\n", "row 2, column 'y', must be text. Got a NUL"),
        ('a,y\n1,"one\n2,two\n', "row 2, is not CSV"),
        ('a,y\n1,"on"e\n2,two\n', "row 2, is not CSV"),
        (f"a,y\n1,{'x' * 200_000}\n", "row 2, is not CSV.*field limit"),
        (f"a,y\n{'x' * 2_000},1\n", "must be a number. Got 'x{60}' and 1,940 letters more"),
    ],
)
def test_errors_say_the_line_of_the_file(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_table(write(tmp_path, text), "y")
    assert len(str(error.value)) < 1000


def test_foreign_rows_have_the_columns_of_the_data(tmp_path):
    (tmp_path / "own.csv").write_text("a,b,y\n" + "1,2,0\n3,4,1\n" * 8)
    foreign = tmp_path / "other.csv"
    foreign.write_text('b,"what\never",a\n7,"x\ny",8\n')
    np.testing.assert_array_equal(own_set(tmp_path / "own.csv", "y", foreign).foreign["other"], [[8, 7]])
    for text, message in (
        ("b,c\n1,2\n", r"Missing are \['a'\]"),
        ("a,b,c,d\n1,2,3,4\n", r"too many \['d'\]"),
        ("a,b,a\n1,2,3\n", r"too many \['a'\]"),
    ):
        foreign.write_text(text)
        with pytest.raises(ValueError, match=message):
            own_set(tmp_path / "own.csv", "y", foreign)
    (tmp_path / "own.csv").write_text("a,b,y\n1,2,yes\n3,4,no\n")
    foreign.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"at least 4 rows of each class, to be split\. Got 1 of class 'no'"):
        own_set(tmp_path / "own.csv", "y", foreign)
