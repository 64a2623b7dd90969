"""Files of baselines: JSON that people read in a repository, one line for each number, in an order that does not change.

    {
      "knowlimits baseline": 1,
      "tests": {
        "tests/test_model.py::test_next_version": {
          "triage": {
            "columns": {
              "data": "5f0c9a3d1b7e2f64",
              "shares": {
                "'age' to +inf": {"rows": 12, "of": 40},
                ...

The parts are those of `PARTS`, under the name of a test and of an audit in it.
"""

import json
import os
from typing import Any, NoReturn

from knowlimits.baseline.shares import PARTS, Counted, Share, Shares
from knowlimits.outputs import write_atomically

_FORMAT, _VERSION = "knowlimits baseline", 1
# Bytes of a file: those of a few hundred audits of a hundred columns with all their faults.
_MOST = 2**24

#: Shares by tests and by names of audits.
Tests = dict[str, dict[str, Shares]]


def read_baseline(path: str | os.PathLike) -> Tests:
    """Read a file of baselines.

    Raises:
        ValueError: if it is none, or one of another version; the text says so in one line.
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise ValueError(f"{path} must have at most {_MOST:,} bytes. Got more.")
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"{path} is no baseline: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{path} is no baseline, or a part of one: {error}.") from None
    if not isinstance(found, dict) or _FORMAT not in found:
        raise ValueError(f"{path} is no baseline: it must begin with {_FORMAT!r}. Move it away, or name another file.")
    if found[_FORMAT] != _VERSION or isinstance(found[_FORMAT], bool):
        raise ValueError(
            f"{path} must be a baseline of version {_VERSION}. Got {_shown(found[_FORMAT])} instead: delete it, and "
            "write another with --knowlimits-update."
        )
    try:
        return _tests(found)
    except _Wrong as error:
        raise ValueError(f"{path} is no baseline: {error}") from None


def update_baseline(path: str | os.PathLike, measured: Tests) -> None:
    """Put what was measured into a file, in the place of what it has of the same tests and names; other things stay.

    Raises:
        ValueError: if the file is there and is no baseline, or would have too many bytes.
        OSError: if it cannot be read or written.
    """
    tests = read_baseline(path) if os.path.lexists(path) else {}
    for test, audits in measured.items():
        tests[test] = tests.get(test, {}) | audits
    content = _text(tests).encode("utf-8")
    if len(content) > _MOST:
        raise ValueError(f"{path} must have at most {_MOST:,} bytes. Got {len(content):,}: keep fewer audits in one file.")
    write_atomically(path, content)


def as_json(shares: Shares) -> dict[str, Any]:
    """Shares as lists, dictionaries, text and numbers."""
    return {
        part: {"data": counted.data, "shares": {name: share._asdict() for name, share in counted.shares.items()}}
        for part, counted in shares.items()
    }


def of_json(found: Any) -> Shares:
    """The way back.

    Raises:
        ValueError: if these are none.
    """
    shares: Shares = {}
    for part, counted in _keys(found, "an audit").items():
        if part not in PARTS:
            raise _Wrong(f"it must have the parts {', '.join(PARTS)}. Got {_shown(part)}.")
        if set(_keys(counted, part)) != {"data", "shares"}:
            raise _Wrong(f"{part} must have data and shares. Got {_shown(list(counted))}.")
        if not isinstance(data := counted["data"], str | None):
            raise _Wrong(f"data must be text or null. Got {_shown(data)}.")
        shares[part] = Counted(data, {name: _share(one) for name, one in _keys(counted["shares"], part).items()})
    return shares


class _Wrong(ValueError):
    """What is no baseline."""


def _tests(found: dict[str, Any]) -> Tests:
    if set(found) != {_FORMAT, "tests"}:
        raise _Wrong(f"it must have {_FORMAT!r} and 'tests'. Got {_shown(list(found))}.")
    return {
        test: {name: of_json(shares) for name, shares in _keys(audits, test).items()}
        for test, audits in _keys(found["tests"], "tests").items()
    }


def _keys(found: Any, what: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _Wrong(f"{_shown(what)} must have names. Got {_shown(found)}.")
    return found


def _share(found: Any) -> Share:
    if not isinstance(found, dict) or set(found) != {"rows", "of"} or not all(type(n) is int for n in found.values()):
        raise _Wrong(f"a share must have whole numbers, rows and of. Got {_shown(found)}.")
    if not 0 <= found["rows"] <= found["of"] or not found["of"]:
        raise _Wrong(f"a share must be of one row at least, and have no more rows than that. Got {_shown(found)}.")
    return Share(found["rows"], found["of"])


def _shown(found: Any) -> str:
    text = json.dumps(found)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary, of which no name comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{_shown(next(name for name in names if names.count(name) > 1))} comes twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _text(tests: Tests) -> str:
    """A file's text, a number in one line."""
    return f'{{\n  "{_FORMAT}": {_VERSION},\n  "tests": {_lines(tests, 1)}\n}}\n'


def _lines(found: Any, depth: int) -> str:
    """JSON of dictionaries, by names in their order; of shares, and of what is no dictionary, in one line."""
    if isinstance(found, Counted):
        return _lines({"data": found.data, "shares": found.shares}, depth)
    if isinstance(found, Share):
        return json.dumps(found._asdict())
    if not isinstance(found, dict) or not found:
        return json.dumps(found, ensure_ascii=False)
    margin = "  " * depth
    inner = (f"{margin}  {json.dumps(name, ensure_ascii=False)}: {_lines(found[name], depth + 1)}" for name in sorted(found))
    return "{\n" + ",\n".join(inner) + f"\n{margin}}}"
