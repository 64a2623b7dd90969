"""Files that say what the columns of a table may be, in TOML:

    [ranges]
    age = [0, 120]
    "heart rate" = [0, inf]
    lactate = "data"

Ends are numbers, of which `-inf` and `inf` say nothing; `"data"` stands for what the data have. `ranges = "data"` in the place
of the table says so of all columns of numbers.
"""

import os
import tomllib
from typing import Any

from knowlimits.ood.ranges import DATA, check_word, checked, place_of
from knowlimits.ood.strange import shown

_TABLE = "ranges"
# Bytes of a file: a range for each of 15,000 columns takes so many. And dots of a line, as a name that is made of many parts
# takes the time of their square to read.
_MOST, _DOTS = 2**19, 20


def read_ranges(path: str | os.PathLike, names: list[str] | None = None) -> dict[str, Any] | str:
    """Read what columns may be from a TOML file: `ranges` as `knowlimits.Guard` and `knowlimits.audit` take it.

    Args:
        path: the file.
        names: of the columns that there are; without them columns are not looked for.

    Returns:
        ``(low, high)`` or ``"data"`` for each column that the file names, or ``"data"`` for all.

    Raises:
        ValueError: if it is no such file; the text says where and why.
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise ValueError(f"{path} must have at most {_MOST:,} bytes. Got more.")
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.count(b".") > _DOTS:
            raise ValueError(f"{path}, line {number}, must have at most {_DOTS} dots. Got {line.count(b'.')}.")
    try:
        found = tomllib.loads(text.decode("utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not a TOML file of ranges: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a TOML file: {error}.") from None
    others = [key for key in found if key != _TABLE]
    if others or _TABLE not in found:
        got = f"{shown(others[0])} beside it" if _TABLE in found else shown(others[0]) if others else "nothing"
        raise ValueError(f"{path} must have one table, [{_TABLE}], with a line such as age = [0, 120]. Got {got}.")
    try:
        return _checked(found[_TABLE], names)
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None


def _checked(given: Any, names: list[str] | None) -> dict[str, Any] | str:
    """What the table of a file says, as `ranges` are given."""
    if isinstance(given, str):
        check_word(_TABLE, given)
        return DATA
    if not isinstance(given, dict):
        raise ValueError(f"{_TABLE} must be a table, or {DATA!r} for what the data have. Got {shown(given)} instead.")
    ranges, places = {}, {name: place for place, name in enumerate(names or ())}
    for name, ends in given.items():
        if isinstance(ends, dict):
            # A dot in a name that is not in quotes.
            raise ValueError(
                f"{_TABLE}[{shown(name)}] must be [low, high] or {DATA!r}. Got a table instead: put a name that has a dot in "
                "quotes."
            )
        if names is not None:
            place_of(name, places)
        if isinstance(ends, str):
            check_word(f"{_TABLE}[{shown(name)}]", ends)
            ranges[name] = DATA
        else:
            ranges[name] = checked(f"{_TABLE}[{shown(name)}]", ends)
    return ranges
