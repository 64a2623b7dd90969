"""Files of baselines: what comes back, what a person reads in them, what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlimits.baseline import file
from knowlimits.baseline.file import as_json, of_json, read_baseline, update_baseline
from knowlimits.baseline.shares import PARTS, Counted, Share

SHARES = {
    "columns": Counted("5f0c9a3d1b7e2f64", {"'Größe' to -inf": Share(0, 40), "'Größe' to +inf": Share(12, 40)}),
    "directions": Counted(None, {"random directions": Share(900, 2000)}),
}
TEXT = """{
  "knowlimits baseline": 1,
  "tests": {
    "t.py::test_a": {
      "model": {
        "columns": {
          "data": "5f0c9a3d1b7e2f64",
          "shares": {
            "'Größe' to +inf": {"rows": 12, "of": 40},
            "'Größe' to -inf": {"rows": 0, "of": 40}
          }
        },
        "directions": {
          "data": null,
          "shares": {
            "random directions": {"rows": 900, "of": 2000}
          }
        }
      }
    }
  }
}
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "baseline.json"


def test_people_can_read_it(path):
    update_baseline(path, {"t.py::test_a": {"model": SHARES}})
    assert path.read_text(encoding="utf-8") == TEXT
    assert read_baseline(path) == {"t.py::test_a": {"model": SHARES}}


names = st.text(max_size=5).filter(lambda text: text.isprintable() or "\n" in text or "\\" in text)
shares = st.integers(1, 50).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))
counted = st.builds(Counted, st.none() | names, st.dictionaries(names, shares, max_size=3))
tests = st.dictionaries(
    names, st.dictionaries(names, st.dictionaries(st.sampled_from(list(PARTS)), counted), max_size=2), max_size=3
)


@given(tests)
def test_everything_comes_back(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("baseline") / "b.json"
    update_baseline(path, found)
    assert read_baseline(path) == found
    before = path.read_bytes()
    # Whatever order it comes in.
    update_baseline(path, dict(reversed(found.items())))
    assert path.read_bytes() == before
    for audits in found.values():
        for one in audits.values():
            assert of_json(json.loads(json.dumps(as_json(one)))) == one


def test_what_was_not_measured_stays(path):
    other = {"columns": Counted("b", {"x": Share(1, 2)})}
    update_baseline(path, {"a": {"one": SHARES, "two": SHARES}, "b": {"model": SHARES}})
    update_baseline(path, {"a": {"two": other}, "c": {"model": other}})
    assert read_baseline(path) == {
        "a": {"one": SHARES, "two": other},
        "b": {"model": SHARES},
        "c": {"model": other},
    }
    assert [one.name for one in path.parent.iterdir()] == ["baseline.json"]


def changed(old, new):
    assert old in TEXT
    return TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no baseline, or a part of one: Expecting value"),
        (TEXT[: len(TEXT) // 2], "is no baseline, or a part of one: "),
        (TEXT[:-4], "is no baseline, or a part of one: "),
        ("[]", "must begin with 'knowlimits baseline'"),
        ('{"benchmarks": []}', "must begin with 'knowlimits baseline'.*name another file"),
        (changed(": 1,", ": 2,"), "must be a baseline of version 1. Got 2 instead: delete it.*--knowlimits-update"),
        (changed(": 1,", ": true,"), "version 1. Got true instead"),
        (changed('"tests"', '"test"'), "must have 'knowlimits baseline' and 'tests'"),
        (changed('"columns"', '"rows"'), 'must have the parts columns, .*. Got "rows"'),
        (changed('"shares"', '"share"'), "columns must have data and shares"),
        (changed('"5f0c9a3d1b7e2f64"', "5"), "data must be text or null. Got 5"),
        (changed("12,", "41,"), "no more rows than that"),
        (changed("12,", "-1,"), "no more rows than that"),
        (changed("12,", "1.5,"), "must have whole numbers"),
        (changed("12,", "true,"), "must have whole numbers"),
        (changed("12,", "NaN,"), "NaN is no number"),
        (changed('12, "of": 40', '0, "of": 0'), "must be of one row at least"),
        (changed('"rows": 12, ', ""), "must have whole numbers, rows and of"),
        (changed("'Größe' to +inf", "'Größe' to -inf"), "comes twice"),
        (changed("12,", "9" * 5000 + ","), "is no baseline"),
        ("[" * 100_000, "nested too deeply"),
        ("\udcff", "is no baseline"),
        (changed("null", "{}"), "data must be text or null"),
        (changed('{"rows": 900, "of": 2000}', "7"), "must have whole numbers"),
    ],
)
def test_what_is_no_baseline_is_refused_in_one_line_and_left_as_it_is(path, text, message):
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for function in (lambda: read_baseline(path), lambda: update_baseline(path, {"t": {"model": SHARES}})):
        with pytest.raises(ValueError, match=message) as caught:
            function()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
        assert str(path) in str(caught.value)
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_no_more_bytes_than_are_read_again_are_written(path, monkeypatch):
    monkeypatch.setattr(file, "_MOST", len(TEXT.encode()) - 1)
    with pytest.raises(ValueError, match="must have at most"):
        update_baseline(path, {"t.py::test_a": {"model": SHARES}})
    assert not path.exists()
    path.write_text(TEXT)
    with pytest.raises(ValueError, match="must have at most"):
        read_baseline(path)
