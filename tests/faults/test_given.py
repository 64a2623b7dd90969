"""Which faults are tried: by default, and as people ask for them."""

import inspect
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from knowlimits import faults
from knowlimits.faults.given import _MOST_CASES, _OF_ALL, _OF_INPUTS, _OF_TABLES
from tests.faults.tables import NAN, became, observed, ward

rng = np.random.default_rng(0)


def words(cases):
    return [(case.feature, case.words) for case in cases]


def test_the_default_faults_of_a_small_table():
    table = ward()
    found = Counter(text for _, text in words(faults.read_faults(None, table)))
    assert found == {
        "columns of numbers shifted by one": 1,
        "a category never seen": 1,
        "times 10": 2,
        "times 100": 2,
        "times 1,000": 2,
        "divided by 10": 2,
        "divided by 100": 2,
        "divided by 1,000": 2,
        "-999": 3,
        "-1": 3,
        "missing": 4,
        "0": 2,
        "sign flipped": 2,
        "stuck at one value": 2,
        "3 sd more": 2,
        "3 sd less": 2,
        "1 sd more": 2,
        "1 sd less": 2,
        "at its largest value": 2,
        "decimal point lost": 1,
    }


def test_every_fault_of_the_library_is_a_default_or_other():
    kinds = {value for value in vars(faults).values() if inspect.isclass(value) and issubclass(value, faults.Fault)}
    tried = {type(fault) for fault in (*_OF_ALL, *_OF_TABLES, *_OF_INPUTS)}
    assert tried == kinds - {faults.Fault, faults.Other} == set(faults.KINDS.values())


@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_word_stands_for_the_defaults_of_a_kind(kind):
    table = ward()
    every = faults.read_faults(None, table)
    own = [case for case in every if type(case.fault) is faults.KINDS[kind]]
    if kind == "swap":
        # No two columns of it are alike.
        assert not own
        return
    assert words(faults.read_faults(kind, table)) == words(own)
    assert words(faults.read_faults(["default", kind], table)) == words(every)
    assert words(faults.read_faults([kind, faults.Unit(7)], table))[: len(own)] == words(own)


def test_a_kind_of_which_there_are_none():
    table = observed(rng.normal(size=(30, 3)), list("abc"))
    with pytest.raises(ValueError, match=r"^faults must change something in X\. Got 'unseen-category', which changes nothing"):
        faults.read_faults(["unit", "unseen-category"], table)
    with pytest.raises(ValueError, match=r"or words for some of these: unit, lost-point, .* Got 'units' instead\.$"):
        faults.read_faults("units", table)
    # Others take no part in how many there may be.
    wide = observed(rng.normal(size=(30, 100)).round(2), [f"c{i}" for i in range(100)])
    assert len(faults.read_faults("drift", wide)) == 400


@pytest.mark.parametrize(("columns", "some"), [(30, 400), (50, 700), (100, 850), (1000, 850)])
def test_there_are_not_too_many(columns, some):
    table = observed(rng.normal(size=(30, columns)).round(2), [f"c{i}" for i in range(columns)])
    cases = faults.read_faults(None, table)
    assert some < len(cases) <= _MOST_CASES
    assert len(set(words(cases))) == len(cases)


def test_of_a_few_columns_all_are_tried():
    table = observed(rng.normal(size=(30, 30)).round(2), [f"c{i}" for i in range(30)])
    assert faults.defaults(table) == (*_OF_TABLES, *(f for f in _OF_ALL if not isinstance(f, faults.UnseenCategory)))


def test_images_have_faults_of_channels_and_of_some_places():
    table = observed(rng.random((20, 3 * 64)), range(192), (3, 8, 8))
    cases = faults.read_faults(None, table)
    assert len(cases) < 100
    found = words(cases)
    for one in [
        ("x[0, :, :]", "stuck at one value"),
        ("x[1, :, :]", "at its largest value"),
        ("x[2, :, :]", "0"),
        ("the whole input", "times 255"),
        ("the whole input", "sign flipped"),
        ("all channels", "channels in reversed order"),
    ]:
        assert one in found
    assert sum(len(case.places) == 1 for case in cases) == 20


@settings(max_examples=30)
@given(arrays(float, (4, 4), elements=st.sampled_from([0.0, 1, -1, 0.5, 99, -999, 1e5, NAN])))
def test_what_is_tried_changes_something_and_a_sentinel_lies_outside(rows):
    table = observed(rows)
    for case in faults.read_faults(None, table):
        assert not np.array_equal(became(case, table), rows, equal_nan=True)
        if isinstance(case.fault, faults.Sentinel):
            (place,) = case.places
            present = rows[~np.isnan(rows[:, place]), place]
            assert not present.min() <= float(case.words) <= present.max()


def half_of_it(values):
    return values / 2


def test_what_may_be_given():
    table = ward()
    lost = ("lactate", "decimal point lost")
    both = [("age", "half of it"), ("lactate", "half of it")]
    assert faults.read_faults((), table) == []
    assert words(faults.read_faults(faults.LostPoint(), table)) == [lost]
    assert words(faults.read_faults(half_of_it, table)) == both
    assert words(faults.read_faults([faults.LostPoint(), half_of_it], table)) == [lost, *both]
    assert words(faults.read_faults((fault for fault in [faults.LostPoint()]), table)) == [lost]
    named = {"a comma": faults.LostPoint(), "tripled": lambda x: 3 * x}
    renamed = faults.read_faults([named], table)
    assert words(renamed) == [("lactate", "a comma"), ("age", "tripled"), ("lactate", "tripled")]
    assert renamed[0].clause == "'lactate' arrives changed (a comma)"
    assert renamed[0].fault == faults.LostPoint()
    np.testing.assert_array_equal(became(renamed[1], table)[:, 0], [90, 120, 150])
    assert words(faults.read_faults("default", table)) == words(faults.read_faults(None, table))


def test_what_is_given_twice_is_tried_once():
    table = ward()
    by_default = words(faults.read_faults(None, table))
    more = faults.read_faults(["default", faults.Unit(10), faults.Sentinel(-999), faults.Unit(7, columns="age")], table)
    assert words(more) == [*by_default, ("age", "times 7")]
    # ZeroFill is a sentinel of 0.
    assert words(faults.read_faults([faults.ZeroFill(columns=0), faults.Sentinel(0, columns=0)], table)) == [("age", "0")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"^faults must be those of kl\.faults, functions of a column's values, or 'default' for those .* Got 3 instead\.$"),
        ("units", "Got 'units' instead"),
        ([None], "Got None instead"),
        ({"w": "default"}, "Got 'default' instead"),
        (faults.Gap, r"^faults must be values, such as kl\.faults\.Gap\(\)\. Got the class Gap\.$"),
        ([faults.Stuck, half_of_it], "Got the class Stuck"),
        ({3: half_of_it}, r"^faults must have words, as in \{'pounds for kilograms': function\}\. Got 3\.$"),
        (lambda x: x, "words must say what a function without a name does"),
        ({"nothing": lambda x: x}, r"^faults must change something in X\. Got nothing, which changes nothing: leave it out"),
        (
            faults.LostPoint(),
            r"^faults must change something in X\. Got LostPoint\(.*\), which changes nothing: leave it out, ",
        ),
        ([{"w": half_of_it}, {"w": lambda x: x + 1}], r"^faults must have words of their own\. Got 'w' twice for 'age'\.$"),
        ([faults.Unit(10), {"times 10": half_of_it}], r"Got 'times 10' twice for 'age'\."),
    ],
)
def test_refused(given, message):
    table = observed([[30.0, 1], [40, 2], [50, 3]], ["age", "visits"], measured=[True, False])
    with pytest.raises(ValueError, match=message):
        faults.read_faults(given, table)
