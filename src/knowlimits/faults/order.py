"""Columns that arrive in each other's place: two that are swapped, or all of them in another order. Gaps go along."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from knowlimits.faults.fault import Case, Change, Fault, case, numbers
from knowlimits.faults.observed import Group, Observed
from knowlimits.ood.strange import shown
from knowlimits.options import check_choice

# Columns are alike if so many of the values of each are in the range of the other.
_ALIKE = 0.95
# Columns in another order that are named.
_NAMED = 3


@dataclass(frozen=True)
class Swap(Fault):
    """Two columns of like range are swapped, which no check of ranges would notice.

    Each of them has at least 95% of its values in the range that was observed of the other; of those that a column could be
    swapped with, it is the one whose range overlaps with its own the most. Two columns that are named are swapped, whatever
    they have; of more that are named, those that are alike.
    """

    def cases(self, observed: Observed) -> list[Case]:
        """One for each pair of measurements, or channels, of which one is the most alike to the other: no more than columns."""
        groups = numbers(self, observed, observed.measured)
        if self.columns is not None and len(groups) < 2:
            raise ValueError(f"columns must be two at least, which Swap swaps. Got {shown(self.columns)} instead.")
        told = self.columns is not None and len(groups) == 2
        found = []
        for a, b in [(0, 1)] if told else _alike([observed.present(group.places) for group in groups]):
            first, second = groups[a], groups[b]
            both = Group(f"{first.feature} and {second.feature}", first.places + second.places)
            order = np.roll(np.arange(len(both.places)), len(first.places))
            clause = f"{first.quoted} and {second.quoted} are swapped"
            found += case(self, observed, both, "swapped", clause, _in_order(order))
        return found


class Arrangement(StrEnum):
    """An order in which columns may arrive."""

    #: Sorted by their names, as many tools write them.
    ALPHABETICAL = "alphabetical"
    #: Each is where the one behind it belongs, as with a column too many in front of all; the last one comes first.
    SHIFTED = "shifted"
    #: The last one first, as the channels of an image are in BGR for RGB.
    REVERSED = "reversed"


_WORDS = {
    Arrangement.ALPHABETICAL: "in alphabetical order",
    Arrangement.SHIFTED: "shifted by one",
    Arrangement.REVERSED: "in reversed order",
}


@dataclass(frozen=True)
class ShuffledColumns(Fault):
    """Columns of numbers arrive in another order, all at once; for inputs of several axes it is the channels.

    Their values change places while names stay, as where names are lost on the way, or put on anew: a model that goes by names
    would put right what still has its own. Columns of categories stay where they are: text in the place of a number is noticed.

    Args:
        order: a member of `Arrangement`, or its word; channels have no names to be sorted by.
    """

    order: Arrangement | str = Arrangement.ALPHABETICAL

    def __post_init__(self):
        check_choice("order", self.order, Arrangement)

    def cases(self, observed: Observed) -> list[Case]:
        """One, if that is not the order in which they are."""
        arrangement = Arrangement(self.order)
        channels = observed.shape is not None and self.columns is None
        if channels and arrangement is Arrangement.ALPHABETICAL:
            raise ValueError(f"order must be 'shifted' or 'reversed' for channels, which have no names. Got {self.order!r}.")
        if arrangement is Arrangement.ALPHABETICAL and observed.names == tuple(f"x{at}" for at in range(len(observed.names))):
            # Nobody sorts by names that were made up.
            return []
        groups = numbers(self, observed, observed.every, len(observed.names))
        order = np.arange(len(groups))
        if arrangement is Arrangement.ALPHABETICAL:
            order = np.array(sorted(order, key=lambda at: groups[at].feature), dtype=int)
        else:
            order = np.roll(order, 1) if arrangement is Arrangement.SHIFTED else order[::-1]
        if not len(order):
            return []
        kind = "channels" if channels else "columns" if observed.numeric.all() else "columns of numbers"
        feature = f"all {kind}" if self.columns is None else _listed([group.feature for group in groups])
        what = kind if self.columns is None else feature
        words = f"{kind if self.columns is None else 'columns'} {_WORDS[arrangement]}"
        places = np.array([group.places for group in groups])
        at = np.arange(places.size).reshape(places.shape)[order].ravel()
        every = Group(feature, tuple(places.ravel().tolist()))
        clause = f"{what} arrive {_WORDS[arrangement]}{'' if channels else ', their names lost'}"
        return case(self, observed, every, words, clause, _in_order(at))


def _in_order(order: np.ndarray) -> Change:
    """Columns in another order: where each takes its values from."""
    return lambda block, rng: block[:, order]


def _alike(columns: list[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of columns that have like ranges: each with the one that is most alike, by their values."""
    count = len(columns)
    if count < 2:
        return []
    columns = [np.sort(values) if len(values) else np.array([np.nan]) for values in columns]
    low, high = np.array([(values[0], values[-1]) for values in columns]).T
    inside = np.array([np.searchsorted(v, high, "right") - np.searchsorted(v, low, "left") for v in columns])
    inside = inside / np.array([len(values) for values in columns])[:, None]
    overlap = np.minimum.outer(high, high) - np.maximum.outer(low, low)
    union = np.maximum.outer(high, high) - np.minimum.outer(low, low)
    alike = np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)
    alike[(np.minimum(inside, inside.T) < _ALIKE) | np.isnan(alike) | np.eye(count, dtype=bool)] = -1.0
    best = alike.argmax(1)
    pairs = {tuple(sorted((at, int(best[at])))) for at in range(count) if alike[at, best[at]] >= 0}
    return sorted((a, b) for a, b in pairs)


def _listed(names: list[str]) -> str:
    """Names of columns in a row, of many the first ones and how many there are beside them."""
    first, rest = names[:_NAMED], len(names) - _NAMED
    return f"{', '.join(first)} and {rest} more" if rest > 0 else f"{', '.join(first[:-1])} and {first[-1]}"
