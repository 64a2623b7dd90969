"""The comparison of several candidates as one HTML page, and as an excerpt for notebooks."""

from dataclasses import replace
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from knowlimits.auditing.find.candidates import Candidates, faults_of
from knowlimits.auditing.show.compare import notes, parts, title, verdict
from knowlimits.auditing.show.labels import numbers
from knowlimits.auditing.show.page.names import with_short_names
from knowlimits.auditing.show.pictures import of_disc
from knowlimits.auditing.show.template import fill

# Faults that the table lists, so that the file stays small, and what it shows of them.
_LISTED = 200
_SHOWN = {
    "sure": "rows on which it stays sure",
    "changed": "rows whose class changes",
    "refused": "rows that its entropy refuses",
    "refused_guard": "rows that the guard refuses",
}
# Discs that have all their places; of more every second place is enough, so that the file stays small.
_WHOLE = 8


def render(found: Candidates) -> str:
    """The page as text."""
    # Sentences have names of columns in full.
    sentences, said, headline = verdict(found), notes(found), title(found)
    short = {name: with_short_names(one) for name, one in found.found.items()}
    found = replace(found, found=short, faults=faults_of(short))
    names = list(found.found)
    first = next(iter(found.found.values()))
    every = 1 if len(found.discs) <= _WHOLE else 2
    faults, count = _faults(found), len(found.faults) // len(names)
    return fill(
        "compare.html",
        {
            "classes": [str(one) for one in first.classes],
            "discs": [of_disc(disc, found.found[name].columns, every) for name, disc in found.discs.items()],
            "faults": {"shown": list(_SHOWN), "values": faults["values"]},
        },
        kind="Comparison of candidates",
        title=headline,
        verdict=sentences,
        rows=_rows(found),
        names=names,
        drawn=list(found.discs),
        exact=all(disc.exact for disc in found.discs.values()),
        has_ranges=not np.isnan(found.table["sure_ranges"]).all(),
        has_faults=count > 0,
        shown=_SHOWN,
        cases=faults["cases"],
        count=count,
        test_rows=first.test_rows,
        notes=said,
    )


def excerpt(found: Candidates) -> str:
    """The verdict and the table, for a notebook."""
    lines = [f"<h3>{escape(title(found))}</h3>", "<ul>", *(f"<li>{escape(one)}</li>" for one in verdict(found)), "</ul>"]
    for heading, columns in parts(found.table):
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in zip(*columns.values(), strict=True)]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        lines.append(f"<table><caption>{escape(heading)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return str(Markup("\n").join(map(Markup, lines)))


def _rows(found: Candidates) -> list[dict[str, Any]]:
    """Rows of the table, with the text of numbers in few digits under `few`."""
    few = ("accuracy_chance", "log_loss", "log_loss_behind", "log_loss_behind_se", "settled_sd", "log_loss_guard")
    texts = {name: numbers(found.table[name]) for name in few}
    return [row | {"few": {name: texts[name][k] for name in few}} for k, row in enumerate(found.table.rows())]


def _faults(found: Candidates) -> dict[str, Any]:
    """The faults that are listed, by what they are, and their shares in thousandths, ``(shown, faults, candidates)``."""
    shape = (-1, len(found.found))
    table = found.faults
    features, words = (table[name].reshape(shape)[:_LISTED, 0].tolist() for name in ("feature", "fault"))
    values = [_thousandths(table[name].reshape(shape)[:_LISTED]) for name in _SHOWN]
    cases = [
        {"feature": feature, "fault": fault, "shares": shares}
        for feature, fault, shares in zip(features, words, values[0], strict=True)
    ]
    return {"cases": cases, "values": values}


def _thousandths(shares: np.ndarray) -> list[list[int | None]]:
    return [[None if np.isnan(share) else round(1000 * share) for share in row] for row in shares.tolist()]
