"""What an audit found of plausible ranges, in sentences and as lines of a table."""

import textwrap

import numpy as np

from knowlimits.auditing.find.features import SURE
from knowlimits.auditing.find.plausible import Plausible
from knowlimits.auditing.show.labels import value
from knowlimits.auditing.show.lines import aligned

# Rows of the table that a page shows.
_SHOWN = 12
# The share of rows whose class changes on the way, and is the same again at the end, from which on it is said.
_BACK = 0.05


def verdict(found: Plausible) -> list[str]:
    """The sentences, the most important first."""
    if not len(found.table):
        return []
    sure, before, changed = (f"{found.table[name].mean():.0%}" for name in ("sure", "sure_before", "changed"))
    return [
        f"Within plausible ranges ({_whose(found)}): with one column moved to an end of its range the model is sure "
        f"(confidence {SURE} or more) on {sure} of rows, where it was sure on {before}, and its class is another on {changed}. "
        + _worst(found),
        *_on_the_way(found),
    ]


def text(found: Plausible) -> list[str]:
    """Lines of a page; none where there is nothing to say."""
    if not len(found.table):
        return []
    shown = found.table.take(found.order[:_SHOWN]).columns
    ways = zip(shown["smallest"], shown["largest"], strict=True)
    table = aligned(
        {
            "column": shown["feature"].tolist(),
            "to": [f"{value(end)}{'*' if said else ''}" for end, said in zip(shown["value"], shown["stated"], strict=True)],
            "sure": _shares(shown["sure"]),
            "before": _shares(shown["sure_before"]),
            "newly": _shares(shown["newly_sure"]),
            "from": ["-" if np.isnan(one) else value(one) for one in shown["sure_from"]],
            "class": [textwrap.shorten(classes, 24, placeholder="...") for classes in shown["classes"].tolist()],
            "changed": _shares(shown["changed"]),
            "on the way": _shares(shown["changed_within"]),
            "confidence": [f"{low:.3f} to {high:.3f}" for low, high in ways],
        }
    )
    stated = "; * as stated" if found.table["stated"].any() else ""
    heading = f"Plausible ranges, the worst ends first ({len(table) - 1} of {len(found.table)}{stated})"
    return ["", heading, "", *table]


def notes(found: Plausible) -> list[str]:
    """What was sampled, and what is exact."""
    if not len(found.table):
        return []
    exact = found.table["exact"]
    how = "exact on the whole way, between pieces of the network or thresholds of trees"
    if not exact.any():
        how = f"looked at in {found.grid} places of the way, at equal distances"
    elif not exact.all():
        how = f"{how}, for {exact.sum():,} of {len(exact):,} ends; for the others looked at in {found.grid} places of the way"
    return [
        f"What is said of plausible ranges is over {found.rows:,} rows, and {how}. Newly sure is a row that ends sure and was "
        "not, or was of another class."
    ]


def _whose(found: Plausible) -> str:
    """Who says what the ranges are."""
    stated = len({*found.table["feature"][found.table["stated"]].tolist()})
    columns = len({*found.table["feature"].tolist()})
    if not stated:
        return "as the data have them"
    if stated == columns:
        return "as stated"
    return f"as the data have them; {stated} column{'s' if stated > 1 else ''} as stated"


def _worst(found: Plausible) -> str:
    """Of the end that makes the model newly sure, or changes its class, on most rows."""
    row = found.table.take(found.order[:1]).rows()[0]
    where = f"{str(row['feature'])!r} at {value(row['value'])}, its {'upper' if row['towards'] > 0 else 'lower'} end"
    if not row["newly_sure"]:
        nowhere = "Nowhere does it become sure of what it was not sure of"
        return (
            f"{nowhere}." if not row["changed"] else f"{nowhere}; its class changes most at {where}: on {row['changed']:.0%}."
        )
    return (
        f"Worst is {where}: {row['newly_sure']:.0%} of rows become sure on the way that were not, or were of another class. It "
        f"is sure there on {row['sure']:.0%}, from {value(row['sure_from'])} on in the median, of class {row['classes']}; on "
        f"the way its confidence goes from {row['smallest']:.2g} to {row['largest']:.2g}."
    )


def _on_the_way(found: Plausible) -> list[str]:
    """Of the column along which the class of most rows changes and changes back."""
    back = found.table["changed_within"] - found.table["changed"]
    place = int(back.argmax())
    if back[place] < _BACK:
        return []
    row = found.table.take(np.array([place])).rows()[0]
    return [
        f"On the way to {str(row['feature'])!r} = {value(row['value'])} the class changes on {row['changed_within']:.0%} of "
        f"rows, and at the end it is another on {row['changed']:.0%} only: it changes back."
    ]


def _shares(values: np.ndarray) -> list[str]:
    return [f"{share:.0%}" for share in values]
