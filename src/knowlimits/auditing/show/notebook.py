"""The audit in a notebook: the verdict, the worst faults and columns, as a little HTML without colours, styles or programs."""

from collections.abc import Iterator
from typing import Any

from markupsafe import escape

from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.show.labels import numbers, percent
from knowlimits.auditing.show.lines import shortened
from knowlimits.auditing.show.sentences import title, verdict
from knowlimits.auditing.show.template import fill
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, UNFAMILIARITY

# Letters of the verdict and of its sentences, as HTML; letters of the title; rows of the tables, and letters of a name there.
_VERDICT, _SENTENCE, _TITLE, _ROWS, _LETTERS = 8_000, 1_000, 200, 8, 24


def fragment(found: Findings) -> str:
    """The HTML."""
    tables = [_faults(found), _columns(found)]
    sentences = list(_told(verdict(found)))
    return fill(
        "notebook.html", {}, title=_short(title(found), 200), verdict=sentences, tables=[t for t in tables if t["rows"]]
    )


def _told(sentences: list[str]) -> Iterator[str]:
    """As many of the sentences as there is room for, however long the names in them are."""
    room = _VERDICT
    for sentence in sentences:
        size = len(escape(sentence))
        if size > _SENTENCE:
            sentence = _short(sentence, _SENTENCE * len(sentence) // size)
        if (room := room - min(size, _SENTENCE)) < 0:
            yield "..."
            return
        yield sentence


def _faults(found: Findings) -> dict[str, Any]:
    """The worst faults."""
    order = found.faults.order[:_ROWS] if len(found.faults.table) else []
    rows = found.faults.table.rows()
    entropy, guard = f"refused, {ENTROPIES[AS_IT_IS]}", f"refused, {UNFAMILIARITY}"
    shown = [rows[k] for k in order]
    return {
        "caption": f"Faults in the data, the most dangerous first ({len(shown)} of {len(rows)})",
        "columns": ["column", "fault", "sure", "class changes", "refused by entropy", "by the guard"],
        "rows": [
            [
                *(_short(row[name]) for name in ("feature", "fault")),
                *(percent(row[name], 0) for name in ("sure", "changed", entropy, guard)),
            ]
            for row in shown
        ],
    }


def _columns(found: Findings) -> dict[str, Any]:
    """The columns along which most rows end sure."""
    features = found.features
    shown = features.table.take(features.order[:_ROWS])
    settled = numbers(shown["settled_sd_95"])
    return {
        "caption": f"Columns to infinity, the surest first ({len(shown)} of {len(features.table)} ways)",
        "columns": ["column", "to", "sure", "confidence", "class", "95% settled, sd"],
        "rows": [
            [
                _short(row["feature"]),
                "+inf" if row["towards"] > 0 else "-inf",
                percent(row["sure"], 0),
                f"{row['confidence']:.3f}",
                _short(row["classes"]),
                settled[k],
            ]
            for k, row in enumerate(shown.rows())
        ],
    }


def _short(text: object, letters: int = _LETTERS) -> str:
    return shortened(text, letters)
