"""The audit as a page of text."""

import textwrap
from typing import Any

import numpy as np

from knowlimits.auditing.find.detection import WAYS
from knowlimits.auditing.find.features import by_danger
from knowlimits.auditing.find.table import number

_WIDTH = 110
# Rows of the table of features that a page shows.
_SHOWN = 12


def page(audit: Any) -> str:
    """The verdict, the columns that matter most, directions, scores by distance, and remedies."""
    table = audit.features
    lines = [audit._title, "=" * len(audit._title), ""]
    for sentence in audit.verdict:
        lines += textwrap.wrap(sentence, _WIDTH, initial_indent="- ", subsequent_indent="  ")
    shown = by_danger(table)[:_SHOWN]
    lines += ["", f"Columns, the surest first ({len(shown)} of {len(table)} ways)", ""]
    lines += _aligned(
        ["column", "to", "sure", "confidence", "5% to 95%", "class", "settled, sd", "95%", "own unit", "last unit, sd"],
        [
            [
                str(table["feature"][k]),
                "+inf" if table["towards"][k] > 0 else "-inf",
                f"{table['sure'][k]:.0%}",
                f"{table['confidence'][k]:.3f}",
                f"{table['confidence_5'][k]:.3f} to {table['confidence_95'][k]:.3f}",
                textwrap.shorten(str(table["classes"][k]), 24, placeholder="..."),
                number(table["settled_sd"][k]),
                number(table["settled_sd_95"][k]),
                number(table["settled"][k]),
                number(table["last_unit_sd"][k]),
            ]
            for k in shown
        ],
    )
    lines += ["", "Area under the ROC curve of moved rows against familiar ones, by standard deviations", ""]
    lines += _by_radius(audit)
    remedies = audit.remedies
    lines += ["", "As it is, and with remedies", ""]
    lines += _aligned(
        ["", "sure, columns", "sure, directions", "confidence", "settled, sd", "AUROC at inf", "accuracy", "log loss"],
        [
            [
                str(remedies["model"][k]),
                f"{remedies['sure_features'][k]:.1%}",
                f"{remedies['sure_directions'][k]:.1%}",
                f"{remedies['confidence'][k]:.3f}",
                number(remedies["settled_sd"][k]),
                f"{remedies['auroc'][k]:.2f}",
                number(remedies["accuracy"][k]),
                number(remedies["log_loss"][k]),
            ]
            for k in range(len(remedies))
        ],
    )
    if audit.left_out:
        parts = [f"{name} ({why})" for name, why in audit.left_out.items()]
        more = "" if len(parts) <= _SHOWN else f", and {len(parts) - _SHOWN} more"
        lines += ["", *textwrap.wrap(f"Left as they are: {', '.join(parts[:_SHOWN])}{more}.", _WIDTH)]
    for note in audit.notes:
        lines += ["", *textwrap.wrap(note, _WIDTH)]
    return "\n".join(lines)


def _by_radius(audit: Any) -> list[str]:
    table = audit.detection.where(way=WAYS[0])
    radii = table.distinct("radius_sd")
    rows: list[list[str]] = []
    for name in table.distinct("score"):
        own = table.where(score=name)
        low, high = own["auroc_low"][-1], own["auroc_high"][-1]
        aurocs = [f"{value:.2f}" for value in own["auroc"]]
        rows.append([name.replace("_", " "), *aurocs, f"{low:.2f} to {high:.2f}", f"{own['refused'][-1]:.0%}"])
    headings = ["inf" if np.isinf(radius) else f"{radius:g}" for radius in radii]
    return _aligned(["score", *headings, "95% interval", "refused at inf"], rows)


def _aligned(headings: list[str], rows: list[list[Any]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [headings, *rows]
    ]
