"""What makes a row strange whatever its numbers are: why, and how to say it."""

from enum import IntEnum
from typing import Any

import numpy as np

# Letters of a value that are shown.
_SHOWN = 60


class Strange(IntEnum):
    """Why a cell makes its row one that is refused, whatever the numbers of the row say."""

    #: Nothing is wrong with it.
    ORDINARY = 0
    #: It has no value, in a column that always had one.
    GAP = 1
    #: Its value is none that the column has had; this is of categories.
    UNSEEN = 2
    #: It is an infinite number.
    INFINITE = 3
    #: It is something else than a number, in a column of numbers.
    NOT_A_NUMBER = 4
    #: It is outside of what people say that the column may have.
    OUT_OF_RANGE = 5


def in_words(name: str, why: int, value: Any, ends: tuple[float, float]) -> str:
    """What is strange about a cell.

    Args:
        name: of its column.
        why: a value of `Strange`.
        value: what it has.
        ends: what its column may be at least and at most.
    """
    if why == Strange.GAP:
        return f"{name} is missing, which it never was"
    if why == Strange.UNSEEN:
        return f"{name} is {shown(value)}, never seen"
    if why == Strange.INFINITE:
        return f"{name} is infinite"
    if why == Strange.NOT_A_NUMBER:
        return f"{name} is {shown(value)}, which is no number"
    side, end = ("below", ends[0]) if float(value) < ends[0] else ("above", ends[1])
    short = f"{value:.6g}"
    return f"{name} is {short if abs(float(short) - end) > 1e-4 * abs(end) else shown(value)}, {side} {shown(end)}"


def shown(value: Any) -> str:
    """A value as people write it: numbers without more digits than they need, text in quotes, shortened."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    text = str(value) if isinstance(value, int) else repr(value)
    # Spaces in text tell it from other text; those that some objects are laid out with do not.
    text = text if isinstance(value, str) else " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
