"""What an audit found of faults in the data, in sentences and as lines of a table."""

import textwrap

import numpy as np

from knowlimits.auditing.find.faults import Faults
from knowlimits.auditing.show.labels import label, percent
from knowlimits.auditing.show.lines import aligned
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, UNFAMILIARITY

# Faults that a page shows, and letters of what they are called.
_SHOWN, _LETTERS = 12, 30
# Shares of the rows from which on faults are counted.
_HALF, _TENTH = 0.5, 0.1
# Errors that are quoted, and letters of one.
_QUOTED, _LONGEST = 2, 100
# Faults that a note names.
_NAMED = 3
_ENTROPY, _GUARD = f"refused, {ENTROPIES[AS_IT_IS]}", f"refused, {UNFAMILIARITY}"


def verdict(found: Faults) -> list[str]:
    """The sentences, the most important first."""
    if not len(found.table):
        return []
    return [_overall(found), *(_of(found, place) for place in found.worst)]


def text(found: Faults) -> list[str]:
    """Lines of a page; none where there is nothing to say."""
    if not len(found.table):
        return []
    shown = found.table.take(found.order[:_SHOWN]).columns

    def shares(name: str) -> list[str]:
        return [percent(share, 0) for share in shown[name]]

    table = {
        "column": [textwrap.shorten(name, _LETTERS, placeholder="...") for name in shown["feature"].tolist()],
        "fault": [textwrap.shorten(words, _LETTERS, placeholder="...") for words in shown["fault"].tolist()],
        "sure": shares("sure"),
        "class changes": shares("changed"),
        "error": shares("error"),
        "refused by entropy": shares(_ENTROPY),
        "by the guard": shares(_GUARD),
        "sure at inf": shares("limit"),
    }
    count = len(found.table)
    return ["", f"Faults in the data, the most dangerous first ({min(count, _SHOWN)} of {count})", "", *aligned(table)]


def notes(found: Faults) -> list[str]:
    """How faults were tried, and what could not be said."""
    if not len(found.table):
        return []
    sentences = [
        f"Each fault was put before the whole of the model, on {found.rows:,} test rows. Shares are over the rows that the "
        "model answers; those of errors, and of what the guard refuses, which does not ask the model, over all."
    ]
    if not found.itself:
        sentences.append(
            "Under faults the model was asked as it was read: of rows that are made of the numbers of the table it says itself "
            "something else than of the table."
        )
    whys = [why for why in found.why if why]
    if whys:
        quoted = [textwrap.shorten(why, _LONGEST, placeholder="...") for why in dict.fromkeys(whys)]
        more = f", and {len(quoted) - _QUOTED} more" if len(quoted) > _QUOTED else ""
        sentences.append(
            f"Under {len(whys):,} of the faults it raises an error, or gives no numbers, on some rows at least: "
            f"{'; '.join(repr(why) for why in quoted[:_QUOTED])}{more}."
            + (f" Where it raises one, it was asked of {found.single:,} single rows." if found.single else "")
        )
    if found.unread:
        names = [f"{found.table['feature'][k]}, {found.table['fault'][k]}" for k in found.unread]
        more = f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        sentences.append(
            f"Under {len(names):,} of the faults its scores are not known, as numbers overflow, or the model itself says "
            f"something else than was read of it; the rest is as it says itself: {'; '.join(names[:_NAMED])}{more}."
        )
    return sentences


def _overall(found: Faults) -> str:
    """Under how many faults what happens."""

    def under(name: str, share: float) -> int:
        # Nothing is known of nan, which no share is as large as.
        return int((found.table[name] >= share).sum())

    count, columns = len(found.table), found.columns
    errors = under("error", 1.0)
    return (
        f"Of {count:,} {'faults' if count > 1 else 'fault'} tried on {columns:,} {'columns' if columns > 1 else 'column'}, the "
        f"model stays sure on half of the rows or more under {under('sure', _HALF):,} (as they are it is sure on "
        f"{found.before:.0%} of them), and changes its class on a tenth of the rows or more under "
        f"{under('changed', _TENTH):,}{f'; it raises an error on all under {errors:,}' if errors else ''}. Its entropy refuses "
        f"half of the rows or more under {under(_ENTROPY, _HALF):,}, the guard under {under(_GUARD, _HALF):,}."
    )


def _of(found: Faults, place: int) -> str:
    """What a fault does."""
    row = found.table.rows()[place]
    scores = [name.partition(", ")[2] for name in (_ENTROPY, _GUARD)]
    refused = [(f"its {label(scores[0])}", row[_ENTROPY]), ("the guard", row[_GUARD])]
    known = [(who, share) for who, share in refused if not np.isnan(share)]
    first = f"{known[0][0]} refuses {known[0][1]:.0%}"
    rest = "".join(f", {who} {share:.0%}" for who, share in known[1:])
    error = f"raises an error on {row['error']:.0%} of rows; of the others it " if row["error"] else ""
    return (
        f"If {found.clauses[place]}, the model {error}is sure on {row['sure']:.0%}{'' if error else ' of rows'} and changes "
        f"its class on {row['changed']:.0%}; {first}{rest}."
    )
