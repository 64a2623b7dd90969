"""What people read in place of ids and numbers: the one place that has labels."""

from collections.abc import Iterable, Mapping

import numpy as np

from knowlimits.ood.remedies import REMEDIES

# Scores that remedies have of their own are theirs.
_OWN = {one.own: f"{one.label}'s {one.own}" for one in REMEDIES.values() if one.own}
# Columns that are left out and named, of each reason.
_NAMED = 12


def label(name: str) -> str:
    """What a remedy, a score or a way of moving is called, by its id."""
    return REMEDIES[name].label if name in REMEDIES else _OWN.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """A number in few digits, a dash where there is none."""
    if np.isnan(value):
        return "-"
    size = abs(value)
    return f"{value:.3g}" if size < 1000 else f"{value:,.0f}" if size < 1e6 else f"{value:.1e}"


def value(one: float) -> str:
    """A value of a column in as many digits as tell it from its neighbours; a word where there is none."""
    return "-" if np.isnan(one) else "any" if np.isinf(one) else f"{one:.5g}"


def values(many: Iterable[float]) -> list[str]:
    """All of them so."""
    return [value(one) for one in many]


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, a dash where there is none."""
    return "-" if np.isnan(share) else f"{share:.{digits}%}"


def numbers(values: Iterable[float]) -> list[str]:
    """All of them so."""
    return [number(value) for value in values]


def left_out(columns: Mapping[str, str]) -> list[str]:
    """Columns that stay as they are, by their names and why: of many with one reason the first, and how many there are."""
    by_reason: dict[str, list[str]] = {}
    for name, why in columns.items():
        by_reason.setdefault(why, []).append(name)
    found = []
    for why, names in by_reason.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        found.append(f"{', '.join(names[:_NAMED])}{more} ({why})")
    return found
