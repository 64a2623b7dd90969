"""The page on faults says what the library does."""

import inspect
import re
from pathlib import Path

from knowlimits import faults
from knowlimits.faults.filling import _ORDINARY
from knowlimits.faults.given import _MOST_CASES, _MOST_PLACES, _OF_ALL, _OF_INPUTS, _OF_TABLES
from knowlimits.faults.observed import MOST_GROUPS
from knowlimits.faults.order import _ALIKE

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


def section(title):
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def listed(text):
    """The faults in the items of a list, as values."""
    items = "\n".join(line for line in text.splitlines() if line.startswith("- "))
    return tuple(eval(code, vars(faults)) for code in re.findall(r"`(\w+\([^`]*\))`", items))


def test_the_table_has_every_fault():
    rows = re.findall(r"^\| `(\w+)\(", section("What there is"), re.MULTILINE)
    kinds = {name for name, one in vars(faults).items() if inspect.isclass(one) and issubclass(one, faults.Fault)}
    assert sorted(rows) == sorted(kinds - {"Fault"})


def test_what_is_tried_by_default():
    assert listed(section("What is tried by default")) == (*_OF_TABLES, *_OF_ALL)
    assert listed(section("Windows and images")) == _OF_INPUTS


def test_numbers_on_the_page():
    tried = section("What is tried by default")
    assert f"no more than {_MOST_CASES:,} cases" in tried
    assert f"of more than {MOST_GROUPS} columns that a fault may happen to, {MOST_GROUPS} are" in tried
    *first, last = (f"{value:g}" for value in faults.SENTINELS)
    assert f"the nearest of {', '.join(first)} and {last} that" in tried
    assert f"of {_MOST_PLACES} places" in section("Windows and images")
    assert f"at least {_ALIKE:.0%} of the values" in PAGE
    assert _ORDINARY == 1 / 100
    assert "fewer than one value in a hundred is 0" in PAGE
