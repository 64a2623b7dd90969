"""What goes wrong together: columns of a table, channels and places of windows and images."""

import numpy as np
import pytest

from knowlimits.faults.observed import MOST_GROUPS, Observed
from tests.faults.tables import observed, ward


def table_of(*shape):
    count = int(np.prod(shape))
    return observed(np.zeros((1, count)), [f"x[{', '.join(map(str, at))}]" for at in np.ndindex(*shape)], shape)


def found(table, columns=None, axis=None, among=None):
    return {group.feature: group.places for group in table.groups(columns, axis, table.every if among is None else among)}


def test_a_table_of_measurements():
    table = Observed.of([[1, 2, 3, 4]], "abcd", (2, 2))
    assert table.names == ("a", "b", "c", "d")
    assert table.measured.all()
    assert table.numeric.all()
    assert np.isnan(table.unseen).all()
    with pytest.raises(ValueError, match=r"rows must be a table of 2 columns, as there are names\. Got shape \(1, 3\) instead"):
        Observed.of([[1, 2, 3]], ["a", "b"])
    with pytest.raises(ValueError, match=r"shape must have as many places as there are names, 2\. Got \(2, 2\) instead\."):
        Observed.of([[1, 2]], ["a", "b"], (2, 2))


def test_each_column_of_a_table():
    table = ward()
    assert found(table) == {"age": (0,), "lactate": (1,), "sick": (2,), "ward": (3,)}
    assert found(table, among=table.measured) == {"age": (0,), "lactate": (1,)}
    assert found(table, columns=["ward", 0]) == {"ward": (3,), "age": (0,)}
    assert found(table, columns="lactate") == {"lactate": (1,)}
    assert found(table, columns=np.array([2])) == {"sick": (2,)}


@pytest.mark.parametrize(
    ("shape", "features"),
    [
        ((3, 4, 4), ["x[0, :, :]", "x[1, :, :]", "x[2, :, :]"]),
        ((4, 4, 3), ["x[:, :, 0]", "x[:, :, 1]", "x[:, :, 2]"]),
        ((2, 5), ["x[0, :]", "x[1, :]"]),
        ((5, 2), ["x[:, 0]", "x[:, 1]"]),
        ((2, 2), ["x[0, :]", "x[1, :]"]),
        ((1, 8, 8), ["x[0, :, :]"]),
        ((70, 80), ["the whole input"]),
    ],
)
def test_channels_are_the_shorter_of_the_first_and_the_last_axis(shape, features):
    assert list(found(table_of(*shape))) == features


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 3), (2, 3, 2, 2)])
def test_places_of_groups_are_those_that_an_index_takes(shape):
    table = table_of(*shape)
    columns = np.arange(np.prod(shape)).reshape(shape)
    for axis in [*range(len(shape)), (0, 1), ()]:
        groups = found(table, axis=axis)
        for feature, places in groups.items():
            taken = columns if feature == "the whole input" else eval(feature, {"x": columns})
            np.testing.assert_array_equal(places, taken.ravel())
        assert sorted(place for places in groups.values() for place in places) == list(range(len(table.names)))


def test_a_channel_of_which_nothing_is_measured_is_left_out():
    table = table_of(2, 3)
    among = np.array([False, False, False, False, True, False])
    assert found(table, among=among) == {"x[1, :]": (3, 4, 5)}


def test_places_may_be_given_by_their_indices():
    assert found(table_of(2, 3), columns=[(1, 2), (0, 0)]) == {"x[1, 2]": (5,), "x[0, 0]": (0,)}


def test_of_many_columns_some_are_taken_from_all_over():
    table = observed(np.zeros((1, 1000)), [f"c{i}" for i in range(1000)])
    places = [place for (place,) in found(table).values()]
    assert len(set(places)) == MOST_GROUPS
    assert (places[0], places[-1]) == (0, 999)
    assert max(np.diff(places)) <= 11
    assert len(found(table, columns=range(500))) == 500


@pytest.mark.parametrize(
    ("table", "columns", "axis", "message"),
    [
        (ward(), ["agee"], None, "columns must name columns of X, which are 'age', 'lactate', 'sick', 'ward', or count them f"),
        (ward(), [4], None, r"or count them from 0\. Got 4 instead"),
        (ward(), [True], None, "Got True instead"),
        (ward(), 1.5, None, r"Got 1\.5 instead"),
        (ward(), [-1], None, "Got -1 instead"),
        (ward(), [(0, 1)], None, r"Got \(0, 1\) instead"),
        (ward(), ["age", 0], None, r"columns must differ\. Got 'age' more than once"),
        (ward(), None, 0, r"axis must be left out for a table, which has one of columns alone\. Got 0 instead"),
        (table_of(2, 3), ["x[0, 1]"], 0, r"columns or axis must be left out, as each says what goes wrong together\. Got both"),
        (table_of(2, 3), [(2, 0)], None, r"Got \(2, 0\) instead"),
        (table_of(2, 3), None, 2, r"axis must count the axes of one input, of shape \(2, 3\), from 0: one, or a tuple"),
        (table_of(2, 3), None, (0, 0), "Got \\(0, 0\\) instead"),
        (table_of(2, 3), None, "time", "Got 'time' instead"),
        (table_of(2, 3), None, -1, "Got -1 instead"),
    ],
)
def test_refused(table, columns, axis, message):
    with pytest.raises(ValueError, match=message):
        table.groups(columns, axis, table.every)
