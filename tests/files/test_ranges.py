"""Ranges of columns from a TOML file: what is read, and in one line what is wrong."""

import math

import pytest

from knowlimits.files.ranges import read_ranges

NAMES = ["age", "heart rate", "lactate", "pCO2 [mmHg]", "b.p."]


def written(tmp_path, text):
    path = tmp_path / "ranges.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_a_file_says(tmp_path):
    text = """
    # What is plausible at admission.
    [ranges]
    age = [0, 120]
    "heart rate" = [0, inf]
    lactate = "data"
    "pCO2 [mmHg]" = [
        1.5,
        +2e2,
    ]
    'b.p.' = [-inf, 300]
    """
    found = read_ranges(written(tmp_path, text), NAMES)
    assert found == {
        **{"age": (0, 120), "heart rate": (0, math.inf), "lactate": "data", "pCO2 [mmHg]": (1.5, 200)},
        "b.p.": (-math.inf, 300),
    }
    assert read_ranges(written(tmp_path, text)) == found


def test_the_data_may_say_it_all(tmp_path):
    assert read_ranges(written(tmp_path, 'ranges = "data"'), NAMES) == "data"
    assert read_ranges(written(tmp_path, "[ranges]")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ranges\nage = [0, 120]", r"is not a TOML file: Expected ']' .* \(at line 1, column 8\)"),
        ("[ranges]\nage = [0, 120]\nage = [0, 1]", "is not a TOML file: Cannot overwrite a value"),
        ("[ranges]\nage = ", r"is not a TOML file: Invalid value"),
        (b"[ranges]\nage = '\xff'", "is not a TOML file: 'utf-8' codec can't decode byte 0xff"),
        (f"[ranges]\nage = [0, {'9' * 400}]", r"ranges\['age'\] must have numbers of at most 1.8e308. Got a larger one"),
        (f"[ranges]\nage = [0, {'9' * 5000}]", "is not a TOML file: Exceeds the limit"),
        ("[ranges]\na = " + "[" * 5000, "is not a TOML file of ranges: it is nested too deeply"),
        ("# ...\n[" + "a." * 21 + "a]", "line 2, must have at most 20 dots. Got 21"),
        ("#\n" * (2**18 + 1), "must have at most 524,288 bytes. Got more"),
        ("", r"must have one table, \[ranges\], with a line such as age = \[0, 120\]. Got nothing"),
        ("age = [0, 120]", r"must have one table, \[ranges\], .* Got 'age'"),
        ("[ranges]\nage = [0, 1]\n[limits]", "Got 'limits' beside it"),
        ("ranges = 3", "ranges must be a table, or 'data' for what the data have. Got 3 instead"),
        ("ranges = 'date'", "ranges must be 'data', for what the data have, or numbers. Got 'date' instead"),
        ("[[ranges]]\nage = [0, 1]", "ranges must be a table, or 'data'"),
        ("[ranges]\nage = 'observed'", r"ranges\['age'\] must be 'data', .* Got 'observed' instead"),
        ("[ranges]\nb.p. = [0, 1]", "is not a TOML file"),
        ("[ranges]\nb.p = [0, 1]", r"ranges\['b'\] must be .* put a name that has a dot in quotes"),
        ("[ranges]\nage = [0]", r"ranges\['age'\] must be two numbers, .* Got \[0\] instead"),
        ("[ranges]\nage = [0, true]", r"Got \[0, True\] instead"),
        ("[ranges]\nage = [0, '120']", r"Got \[0, '120'\] instead"),
        ("[ranges]\nage = 2026-01-01", r"ranges\['age'\] must be two numbers"),
        ("[ranges]\nage = [0, nan]", "must have two numbers"),
        ("[ranges]\nage = [120, 0]", r"must have its lower end first. Got \[120, 0\]"),
        ("[ranges]\nage = [inf, inf]", "must have numbers inside"),
        ("[ranges]\naeg = [0, 120]", "ranges must name columns of X, .* Got 'aeg' instead: did you mean 'age'"),
        (f"[ranges]\n{'x' * 999} = [0, 120]", "Got 'x{59} ... instead: they are age"),
        ("[ranges]\nx = [0, 120]", "Got 'x' instead: they are age, heart rate, lactate, pCO2 .*, b.p."),
    ],
    ids=map(str, range(28)),
)
def test_what_is_wrong_with_a_file(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_ranges(path, NAMES)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_ranges(tmp_path / "none.toml")
