"""What a baseline keeps of an audit: shares of rows, the smaller the better, with what they were counted over."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from knowlimits.auditing import Audit
    from knowlimits.auditing.find.table import Table


class Share(NamedTuple):
    """So many rows of so many."""

    rows: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.rows / self.of


class ShareKind(NamedTuple):
    """A kind of shares.

    Attributes:
        words: what is counted, in front of the name of a share.
        comes_and_goes: whether single ones are there or not by what the data are.
    """

    words: str
    comes_and_goes: bool = False


#: By the ids that files have, in the order of tables.
PARTS = {
    "columns": ShareKind("ends sure along"),
    "directions": ShareKind("ends sure in"),
    "ranges": ShareKind("becomes sure as"),
    "faults": ShareKind("becomes sure under", comes_and_goes=True),
    "test rows": ShareKind("wrong on"),
}


@dataclass(frozen=True)
class Counted:
    """The shares of one part.

    Attributes:
        data: stands for the rows that were counted: as many shares of the same are over the same rows; None where these were
            drawn for this model, so that those of another model need not be the same.
        shares: by their names.
    """

    data: str | None
    shares: dict[str, Share]


#: What a baseline keeps of an audit, by ids of parts.
Shares = dict[str, Counted]


def shares_of(audit: "Audit") -> Shares:
    """What a baseline keeps of an audit.

    Raises:
        ValueError: if two of its numbers have one name.
    """
    found = audit._found
    named = {
        "columns": [f"{name!r} to {towards:+g}" for name, towards in _pairs(audit.features, "towards")],
        "ranges": [f"{name!r} is at its {'high' if side > 0 else 'low'} end" for name, side in _pairs(audit.ranges, "towards")],
        "faults": [f"{name!r}, {fault}" for name, fault in _pairs(audit.faults, "fault")],
    }
    parts = {
        "columns": _counted(named["columns"], audit.features["sure"], found.features.rows.limits, found.data),
        "ranges": _counted(named["ranges"], audit.ranges["newly_sure"], found.plausible.rows, found.data),
        "faults": _counted(named["faults"], found.faults.become_sure / found.faults.asked, found.faults.asked, found.data),
    }
    if len(audit.directions):
        # Which these are hangs on which columns can move together, in this model.
        own = audit.directions.where(model="model")
        parts["directions"] = _counted(["random directions"], own["sure"], own["directions"], None)
    if found.labelled:
        right = audit.remedies.where(model="model")["accuracy"]
        parts["test rows"] = _counted(["test rows"], 1 - right, found.test_rows, found.data)
    return {part: counted for part, counted in parts.items() if counted.shares}


def _pairs(table: "Table", column: str) -> list[tuple[str, Any]]:
    """Features of a table with another of its columns."""
    return list(zip(table["feature"].tolist(), table[column].tolist(), strict=True))


def _counted(names: list[str], shares: Any, of: Any, data: str | None) -> Counted:
    """Shares as counts.

    Args:
        names: of the shares.
        shares: they, ``(n,)``.
        of: how many rows they are over, ``(n,)`` or one number.
        data: as `Counted` has it.
    """
    counted: dict[str, Share] = {}
    counts = [of] * len(names) if isinstance(of, int) else of.tolist()
    for name, share, rows in zip(names, shares.tolist(), counts, strict=True):
        if name in counted:
            raise ValueError(f"what a baseline keeps must have names of their own. Got {name} twice: call them apart.")
        counted[name] = Share(round(share * rows), rows)
    return Counted(data, counted)
