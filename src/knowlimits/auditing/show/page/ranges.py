"""Plausible ranges on a page: each column as a bar from one end to the other, and both ends in numbers."""

from typing import Any

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.plausible import Plausible
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show.labels import values

# Columns that are listed.
_LISTED = 150
# Where nothing is said of an end, the picture goes on for so many standard deviations.
_OPEN = 3.0
# Units of the picture's width.
_WIDTH = 100.0


def shown(found: Plausible, columns: Continuous) -> dict[str, Any]:
    """What ranges.html shows: `pictures`, a row for each column; `rows`, one for each end; the worst come first.

    Args:
        found: what becomes of the model there.
        columns: those that were moved.
    """
    ordered = found.table.take(found.order)
    names = ordered.distinct("feature")
    listed = names[:_LISTED]
    rows = _with_text(ordered.take(np.isin(ordered["feature"], listed)))
    ends: dict[str, dict[str, Any]] = {name: {} for name in listed}
    for row in rows:
        ends[row["feature"]]["high" if row["towards"] > 0 else "low"] = row
    return {
        "pictures": [_picture(name, columns, **ends[name]) for name in listed],
        "rows": rows,
        "columns": len(names),
        "grid": found.grid,
        "stated": bool(found.table["stated"].any()),
    }


def drawn(found: Plausible) -> dict[str, Any]:
    """What the program draws: of each column both ends, their values with the confidence there, or nothing."""
    ends: dict[str, list] = {}
    for row in found.table.rows():
        at_end = [float(row[name]) for name in ("value", "confidence_5", "confidence", "confidence_95")]
        ends.setdefault(str(row["feature"]), [None, None])[int(row["towards"] > 0)] = [float(f"{one:.6g}") for one in at_end]
    return ends


def _with_text(table: Table) -> list[dict[str, Any]]:
    texts = {name: values(table[name]) for name in ("value", "sure_from")}
    return [row | {"text": {name: texts[name][k] for name in texts}} for k, row in enumerate(table.rows())]


def _picture(
    name: str, columns: Continuous, low: dict[str, Any] | None = None, high: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Where things are on the bar of a column."""
    place = columns.names.index(name)
    median, deviation = columns.medians[place], columns.deviations[place]
    begin = low["value"] if low else min(median - _OPEN * deviation, high["value"] - deviation if high else median)
    end = high["value"] if high else max(median + _OPEN * deviation, begin + deviation)

    def at(value: float) -> float:
        return float(np.clip((value - begin) / (end - begin), 0, 1) * _WIDTH)

    sure = []
    for row, edge in ((low, 0.0), (high, _WIDTH)):
        if row and not np.isnan(row["sure_from"]):
            here = at(row["sure_from"])
            sure.append({"x": min(here, edge), "width": abs(here - edge), "share": row["sure"]})
    return {
        "feature": name,
        "low": low,
        "high": high,
        "median": at(median),
        "spread": (at(median - deviation), at(median + deviation)),
        "sure": sure,
        "data": (at(columns.low[place]), at(columns.high[place])),
        "said": values([columns.low[place], median, columns.high[place]]),
    }
