"""What an audit found of columns that are codes, in sentences and as lines of a table."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from knowlimits.auditing.find.codes import MISSING, ByCode
from knowlimits.auditing.show.labels import percent
from knowlimits.auditing.show.lines import aligned, shortened
from knowlimits.ood.panel import UNFAMILIARITY

# Columns that the verdict names, those that a page shows, and letters of what they are called.
_NAMED, _SHOWN, _LETTERS = 2, 12, 24
# A value never seen matters where it changes the class of so many rows, or makes the model sure on so many more.
_CHANGED, _SURER = 0.05, 0.1
# Columns that a note names, and letters of an error.
_LISTED, _LONGEST = 5, 100
_GUARD = f"refused, {UNFAMILIARITY}"


def verdict(found: ByCode, told: Collection[str] = ()) -> list[str]:
    """A sentence for each of the worst columns in which a value that was never seen matters.

    Args:
        found: what was found.
        told: columns of which it has been told what goes wrong.
    """
    rows = [row for row in _never_seen(found) if row["feature"] not in told and _matters(found, row)]
    return [_of(found, row) for row in rows[:_NAMED]]


def text(found: ByCode) -> list[str]:
    """Lines of a page, one for each column; none where there is nothing to say."""
    if not len(found.table):
        return []
    unseen = {row["feature"]: row for row in _never_seen(found)}
    # Columns in which every value has been seen come last.
    order = [*unseen, *(name for name in found.values if name not in unseen)]
    shown = order[:_SHOWN]

    def shares(name: str) -> list[str]:
        return [percent(unseen[column][name], 0) if column in unseen else "-" for column in shown]

    table = {
        "column": [_short(name) for name in shown],
        "values": [f"{found.values[name]:,}" for name in shown],
        "sure on each": [_spread(found, name) for name in shown],
        "one more": [_short(unseen[name]["value"]) if name in unseen else "-" for name in shown],
        "sure": shares("sure"),
        "class changes": shares("changed"),
        **({"error": shares("error")} if found.table["error"].any() else {}),
        "refused by the guard": shares(_GUARD),
    }
    heading = f"Columns that are codes, all rows set to one value ({len(shown)} of {len(order)} columns)"
    return ["", heading, "", *aligned(table)]


def notes(found: ByCode) -> list[str]:
    """How values were tried, and what was left out."""
    if not len(found.table):
        return []
    sentences = [
        f"{found.rows:,} test rows were set to each value of columns that are codes, and to one that was never seen; as they "
        f"are the model is sure on {found.before:.0%} of them."
    ]
    cut = [name for name, count in found.values.items() if count > len(_seen(found, name))]
    if cut:
        sentences.append(f"Of many values of such a column the most frequent: {_named(cut)}.")
    if found.left:
        more = f"{found.left:,} more columns are codes" if found.left > 1 else "One more column is of codes"
        sentences.append(f"{more}, and stayed as they are.")
    if found.why:
        first = _short(next(iter(found.why.values())), _LONGEST)
        sentences.append(
            f"At values of {_named(list(found.why))} the model raises an error, such as {first!r}. There it was asked of "
            f"{found.single:,} single rows."
        )
    return sentences


def _never_seen(found: ByCode) -> list[dict[str, Any]]:
    """Rows of the table for values that were never seen, the most dangerous first."""
    table = found.table.where(seen=0)
    # The last is what is looked at first, and nan is less than any share.
    order = np.lexsort([-np.nan_to_num(table[name], nan=-1.0) for name in ("sure", "changed")])
    return table.take(order).rows()


def _seen(found: ByCode, name: str) -> list[dict[str, Any]]:
    """Rows of the table for values of a column that there are."""
    return [row for row in found.table.where(feature=name).rows() if row["seen"] > 0 and row["value"] != MISSING]


def _matters(found: ByCode, row: dict[str, Any]) -> bool:
    return bool(row["changed"] >= _CHANGED or row["sure"] >= found.before + _SURER)


def _of(found: ByCode, row: dict[str, Any]) -> str:
    count = found.values[row["feature"]]
    values = f"{count:,} values" if count > 1 else "one value"
    error = f"raises an error on {row['error']:.0%} of rows; of the others it " if row["error"] else ""
    return (
        f"{str(row['feature'])!r} has {values}; on one that was never seen the model {error}is sure on {row['sure']:.0%}"
        f"{'' if error else ' of rows'} and changes its class on {row['changed']:.0%}; the guard refuses {row[_GUARD]:.0%}."
    )


def _spread(found: ByCode, name: str) -> str:
    """The least and the largest share of sure rows over the values of a column."""
    shares = found.table.where(feature=name)["sure"][found.table.where(feature=name)["seen"] > 0]
    shares = shares[~np.isnan(shares)]
    if not len(shares):
        return "-"
    low, high = f"{shares.min():.0%}", f"{shares.max():.0%}"
    return low if low == high else f"{low} to {high}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more columns" if len(names) > _LISTED else ""
    return f"{', '.join(map(repr, names[:_LISTED]))}{more}"


def _short(text: object, letters: int = _LETTERS) -> str:
    return shortened(text, letters)
