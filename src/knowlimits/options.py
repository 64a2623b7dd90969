"""Options that are words: an enumeration each, of which people give a member or its plain string."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

Option = TypeVar("Option", bound=StrEnum)


def chosen(kind: type[Option], name: str, value: Any, beside: str = "") -> Option:
    """The member of an enumeration that was given; arguments and errors are those of `check_choice`."""
    check_choice(name, value, kind, beside)
    return kind(value)


def check_choice(name: str, value: Any, choices: Iterable[str], beside: str = "") -> None:
    """Raise unless `value` is one of `choices`, an enumeration's members or a registry's names.

    Args:
        name: of the parameter.
        value: what was given.
        choices: what is accepted.
        beside: what else is accepted, and has been checked for, as text that goes on after the last choice.
    """
    names = [str(choice) for choice in choices]
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}{beside}. Got {value!r} instead.")
