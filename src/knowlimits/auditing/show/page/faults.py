"""Faults on a page: columns by kinds of faults, and the list of the worst."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.faults import Faults
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show.labels import label
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, UNFAMILIARITY

# Faults that are listed, and columns and kinds of faults that the picture has room for.
_LISTED, _COLUMNS, _KINDS = 1000, 60, 30
# What columns of the table that a score refuses are called, and scores that are always shown.
_REFUSED, _ENTROPY = "refused, ", ENTROPIES[AS_IT_IS]
# What the picture can show, by its column of the table.
_SHOWN = {
    "sure": "rows still sure",
    "changed": "rows whose class changes",
    _REFUSED + _ENTROPY: "rows that the entropy refuses",
    _REFUSED + UNFAMILIARITY: "rows that the guard refuses",
}


@dataclass(frozen=True)
class Matrix:
    """Columns by kinds of faults.

    Attributes:
        features: columns of the data, the worst first.
        kinds: faults in words.
        places: rows of the table of faults, ``(features, kinds)``; -1 where there is no such fault.
        left: how many columns there was no room for.
    """

    features: list[str]
    kinds: list[str]
    places: np.ndarray
    left: int


def shown(found: Faults) -> dict[str, Any]:
    """What faults.html shows."""
    table = found.table
    listed, chosen, matrix = table.take(found.order[:_LISTED]), _best(table), _matrix(found)
    refused = {"entropy": _ENTROPY, "guard": UNFAMILIARITY, "chosen": chosen}
    sure = _cells(table["sure"], matrix)
    return {
        "rows": [row | {name: row[_REFUSED + score] for name, score in refused.items()} for row in listed.rows()],
        "total": len(table),
        "kinds": listed.distinct("fault"),
        "scores": [{"id": score, "label": label(score)} for score in _scores(table)],
        "chosen": chosen,
        "limits": bool(np.isfinite(table["limit"]).any()),
        "errors": bool((table["error"] > 0).any()),
        "matrix": matrix,
        "sure": list(zip(matrix.features, sure, strict=True)),
        "shown": [{"id": name, "label": said} for name, said in _SHOWN.items()],
    }


def drawn(found: Faults) -> dict[str, Any]:
    """What the program fills in, in thousandths: what scores refuse of the listed faults, and what the picture may show."""
    table = found.table
    listed, matrix = table.take(found.order[:_LISTED]), _matrix(found)
    return {
        "refused": {score: _thousandths(listed[_REFUSED + score]) for score in _scores(table)},
        "cells": {name: [one for line in _cells(table[name], matrix) for one in line] for name in _SHOWN},
    }


def _matrix(found: Faults) -> Matrix:
    """The picture of faults.

    Where several things happen to a column, and things to several columns, what happens once, as that two columns are swapped,
    would have a line of its own with little else in it: the list has it.
    """
    names, words = found.table["feature"].tolist(), found.table["fault"].tolist()
    pictured = _repeated(_repeated(found.order.tolist(), names), words)
    often = Counter(words[k] for k in pictured)
    common = {word for word, _ in often.most_common(_KINDS)}
    kinds = [word for word in dict.fromkeys(words) if word in common]
    at = {(names[k], words[k]): k for k in pictured if words[k] in common}
    features = list(dict.fromkeys(name for name, _ in at))
    places = [[at.get((name, word), -1) for word in kinds] for name in features[:_COLUMNS]]
    return Matrix(features[:_COLUMNS], kinds, np.array(places, dtype=int).reshape(-1, len(kinds)), len(features[_COLUMNS:]))


def _repeated(places: list[int], values: list[str]) -> list[int]:
    """Those places whose value others have, too; all where no value is repeated."""
    often = Counter(values[k] for k in places)
    return [k for k in places if often[values[k]] > 1] or places


def _cells(values: np.ndarray, matrix: Matrix) -> list[list[int | None]]:
    """Shares at the places of the picture: None where there is no fault, -1 where there is none that is known."""
    return [[None if k < 0 else _thousandths(values[k : k + 1])[0] for k in line] for line in matrix.places.tolist()]


def _thousandths(shares: np.ndarray) -> list[int]:
    """Whole numbers; -1 where a share is not known."""
    return [-1 if np.isnan(share) else round(1000 * share) for share in shares.tolist()]


def _scores(table: Table) -> list[str]:
    """Ids of the scores that say what they refuse."""
    return [name.removeprefix(_REFUSED) for name in table.columns if name.startswith(_REFUSED)]


def _best(table: Table) -> str:
    """The score that refuses most of the faulty rows, beside those that are always shown."""
    others = [name for name in _scores(table) if name not in (_ENTROPY, UNFAMILIARITY)] or [_ENTROPY]
    return max(others, key=lambda name: float(np.nansum(table[_REFUSED + name])))
