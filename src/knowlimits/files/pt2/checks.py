"""Checks that copy what they allow of data from JSON, and refuse everything that they do not mention."""

import json
import re
from collections.abc import Callable
from typing import Any

# From a value and the place where it was met to a checked copy of it.
Check = Callable[[Any, str], Any]


# Of a list or dictionary. torch reads each through layers of classes, which takes a millisecond.
_MOST_ENTRIES = 20_000


def refusal(where: str, wanted: str, value: Any) -> ValueError:
    """The error for a value that is not allowed."""
    text = value if isinstance(value, str) else repr(value)
    return ValueError(f"{where} must be {wanted}. Got {text if len(text) <= 100 else text[:97] + '...'} instead.")


def one_of(*choices: Any) -> Check:
    """One of some plain values."""

    def check(value: Any, where: str) -> Any:
        for choice in choices:
            # True == 1, but torch tells them apart.
            if type(value) is type(choice) and value == choice:
                return choice
        raise refusal(where, " or ".join(json.dumps(choice) for choice in choices), value)

    return check


def matching(wanted: str, pattern: str) -> Check:
    """Text that a regular expression describes as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise refusal(where, wanted, value)
        return value

    return check


def each(check: Check, most: int = _MOST_ENTRIES) -> Check:
    """A list."""

    def checks(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise refusal(where, f"a list of at most {most:,}", f"{len(value):,}" if isinstance(value, list) else value)
        return [check(item, f"{where}[{i}]") for i, item in enumerate(value)]

    return checks


def mapping(key: Check, check: Check) -> Check:
    """A dictionary from any number of names."""

    def checks(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > _MOST_ENTRIES:
            wanted = f"a dictionary of at most {_MOST_ENTRIES:,}"
            raise refusal(where, wanted, f"{len(value):,}" if isinstance(value, dict) else value)
        return {key(k, f"the key in {where}"): check(v, f"{where}.{k}") for k, v in value.items()}

    return checks


def record(optional: str = "", **checks: Check) -> Check:
    """A dictionary of these keys, of which some may be missing."""

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refusal(where, "a dictionary", value)
        for key in value.keys() - checks.keys():
            raise refusal(where, f"made of {', '.join(checks)}", key)
        for key in checks.keys() - value.keys() - set(optional.split()):
            raise refusal(where, f"complete with {key}", ", ".join(value) or "nothing")
        return {k: one(value[k], f"{where}.{k}") for k, one in checks.items() if k in value}

    return check


def union(**checks: Check) -> Check:
    """A dictionary of exactly one of these keys."""

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= checks.keys():
            raise refusal(where, f"one of {', '.join(checks)}", ", ".join(value) if isinstance(value, dict) else value)
        ((key, content),) = value.items()
        return {key: checks[key](content, f"{where}.{key}")}

    return check


def nullable(check: Check) -> Check:
    """The same or null."""
    return lambda value, where: None if value is None else check(value, where)


def instead(replacement: Any) -> Check:
    """Anything, in whose place torch gets something else."""
    return lambda value, where: replacement


def integer(value: Any, where: str) -> int:
    """An integer of 64 bits."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise refusal(where, "an integer of 64 bits", value)
    return value


def number(value: Any, where: str) -> float | str:
    """A floating-point number; torch writes infinity as text."""
    if value in ("Infinity", "-Infinity"):
        return value
    if type(value) not in (int, float):
        raise refusal(where, "a number", value)
    return float(integer(value, where)) if isinstance(value, int) else value


def parsed(content: bytes | str, where: str) -> Any:
    """What JSON says; a key that is there twice, of which readers may take either, is refused."""
    try:
        return json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} must be JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError(f"a dictionary has a key twice among {', '.join(key for key, _ in pairs)}")
    return dict(pairs)
