"""Which faults there are for a table: those that are likely in it, and those that somebody asks for."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from knowlimits.faults.categories import UnseenCategory
from knowlimits.faults.fault import Case, Fault
from knowlimits.faults.filling import Gap, Sentinel, ZeroFill
from knowlimits.faults.observed import Observed
from knowlimits.faults.order import Arrangement, ShuffledColumns, Swap
from knowlimits.faults.other import Other, arrives
from knowlimits.faults.scale import LostPoint, Sign, Unit
from knowlimits.faults.sensors import Drift, Saturation, Stuck
from knowlimits.ood.strange import shown

#: Stands among others for the faults that are tried by default.
DEFAULT = "default"
# Cases that the faults have together by default, at most.
_MOST_CASES = 1000
# Single places of inputs of several axes that are looked at by default.
_MOST_PLACES = 10

# What is tried, the first first; what makes too many cases together is left out.
_OF_ALL: tuple[Fault, ...] = (
    UnseenCategory(),
    Unit(10),
    Unit(1000),
    Unit(1 / 1000),
    Sentinel(),
    Gap(),
    ZeroFill(),
    Sign(),
    Stuck(),
    Swap(),
    Drift(3),
    Saturation(),
    Unit(1 / 10),
    Drift(-3),
    LostPoint(),
    Unit(100),
    Unit(1 / 100),
    Drift(1),
    Drift(-1),
)
_OF_TABLES: tuple[Fault, ...] = (ShuffledColumns(Arrangement.ALPHABETICAL), ShuffledColumns(Arrangement.SHIFTED))
# Brightness is written from 0 to 255, or from 0 to 1; an image may be its own negative; and RGB is taken for BGR.
_OF_INPUTS: tuple[Fault, ...] = (
    Unit(255, axis=()),
    Unit(1 / 255, axis=()),
    Sign(axis=()),
    ShuffledColumns(Arrangement.REVERSED),
)
#: Words for the default faults of a kind.
KINDS: dict[str, type[Fault]] = {
    "unit": Unit,
    "lost-point": LostPoint,
    "sentinel": Sentinel,
    "gap": Gap,
    "zero-fill": ZeroFill,
    "sign": Sign,
    "swap": Swap,
    "shuffled-columns": ShuffledColumns,
    "stuck": Stuck,
    "drift": Drift,
    "saturation": Saturation,
    "unseen-category": UnseenCategory,
}


def defaults(observed: Observed) -> tuple[Fault, ...]:
    """The faults that are likely in a table: those of the library that change something in it.

    Together they have at most 1,000 cases: each is tried as long as its cases do not make it more, the likeliest first.
    """
    return tuple(fault for fault, _ in _tried(observed))


def read_faults(given: Any, observed: Observed) -> list[Case]:
    """The cases of the faults that somebody asks for.

    Args:
        given: a fault; a function of a column's values that has a name; a dict of such, or of faults, by words for them; or
            several of these, of which ``"default"`` stands for the faults that `defaults` has, and a word of `KINDS` for those
            of a kind. None for all defaults alone, and ``()`` for none.
        observed: the table that they are for.

    Raises:
        ValueError: if one is none of these, changes nothing, or has the words of another.
    """
    if given is None:
        given = DEFAULT
    found: dict[tuple[str, str], Case] = {}
    for one in _flat(given):
        for case in _cases(one, observed):
            key = case.feature, case.words
            if key in found and _differ(found[key], case, observed):
                raise ValueError(f"faults must have words of their own. Got {case.words!r} twice for {shown(case.feature)}.")
            found.setdefault(key, case)
    return list(found.values())


def _tried(observed: Observed, kind: type[Fault] = Fault) -> Iterator[tuple[Fault, list[Case]]]:
    """The default faults of a kind that there is room for, and what they make."""
    room = _MOST_CASES
    for fault in (*(_OF_TABLES if observed.shape is None else _inputs(observed)), *_OF_ALL):
        cases = fault.cases(observed) if isinstance(fault, kind) else []
        if cases and len(cases) <= room:
            room -= len(cases)
            yield fault, cases


def _inputs(observed: Observed) -> tuple[Fault, ...]:
    """Those of inputs of several axes, with single places that may be dead or saturated."""
    every = observed.groups(None, tuple(range(len(observed.shape or ()))), observed.measured, _MOST_PLACES)
    places = tuple(group.places[0] for group in every)
    return (*_OF_INPUTS, *((ZeroFill(columns=places), Saturation(columns=places)) if places else ()))


def _flat(given: Any) -> Iterator[tuple[str, Any]]:
    """What was given one by one, each with words for it, or ``""``."""
    if isinstance(given, Mapping):
        for words, one in given.items():
            if not isinstance(words, str) or not words:
                raise ValueError(f"faults must have words, as in {{'pounds for kilograms': function}}. Got {shown(words)}.")
            yield words, one
    elif isinstance(given, Fault | str) or callable(given) or not isinstance(given, Iterable):
        yield "", given
    else:
        for one in given:
            yield from _flat(one)


def _cases(one: tuple[str, Any], observed: Observed) -> list[Case]:
    words, given = one
    if isinstance(given, str) and given == DEFAULT and not words:
        return [case for _, cases in _tried(observed) for case in cases]
    if isinstance(given, str) and given in KINDS and not words:
        found = [case for _, cases in _tried(observed, KINDS[given]) for case in cases]
        if not found:
            raise ValueError(f"faults must change something in X. Got {given!r}, which changes nothing: leave it out.")
        return found
    if isinstance(given, type) and issubclass(given, Fault):
        raise ValueError(f"faults must be values, such as kl.faults.{given.__name__}(). Got the class {given.__name__}.")
    fault = given if isinstance(given, Fault) else None
    if fault is None:
        if not callable(given):
            raise ValueError(
                f"faults must be those of kl.faults, functions of a column's values, or {DEFAULT!r} for those that are tried "
                f"without it, or words for some of these: {', '.join(KINDS)}. Got {shown(given)} instead."
            )
        fault = Other(given, words)
    cases = fault.cases(observed)
    if not cases:
        raise ValueError(
            f"faults must change something in X. Got {words or fault}, which changes nothing: leave it out, or name other "
            "columns with columns=."
        )
    if words and fault is given:
        quoted = [shown(case.feature) for case in cases]
        return [
            dataclasses.replace(case, words=words, clause=arrives(name, words))
            for case, name in zip(cases, quoted, strict=True)
        ]
    return cases


def _differ(one: Case, other: Case, observed: Observed) -> bool:
    """Whether cases that go by the same words do different things to what was observed."""
    if one.places != other.places:
        return True
    block = observed.block(one.places)
    a, b = (case.values(block.copy(), np.random.default_rng(0)) for case in (one, other))
    return not np.array_equal(a, b, equal_nan=True)
