"""The audit as a page of text."""

import textwrap

import numpy as np

from knowlimits.auditing.find.detection import RADII, Detection
from knowlimits.auditing.find.features import Features
from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show import codes, faults, ranges
from knowlimits.auditing.show.labels import label, numbers, percent, values
from knowlimits.auditing.show.lines import WIDTH, aligned
from knowlimits.auditing.show.sentences import notes, title, verdict

# Rows of the table of features that a page shows.
_SHOWN = 12


def page(found: Findings, next_step: tuple[str, ...]) -> str:
    """The verdict, the columns that matter most, directions, scores by distance, remedies, and what makes a guarded file."""
    headline = title(found)
    lines = [headline, "=" * len(headline), ""]
    for sentence in verdict(found):
        lines += textwrap.wrap(sentence, WIDTH, initial_indent="- ", subsequent_indent="  ")
    lines += [*ranges.text(found.plausible), *faults.text(found.faults), *codes.text(found.codes)]
    ways = len(found.features.order)
    lines += ["", f"Columns, the surest first ({min(ways, _SHOWN)} of {ways} ways)", "", *_features(found.features)]
    lines += ["", "Area under the ROC curve of moved rows against familiar ones, by standard deviations", ""]
    lines += [*_detection(found.detection), "", "As it is, and with remedies", "", *_remedies(found.remedies)]
    if left_out := found.columns.left_out:
        parts = [f"{name} ({why})" for name, why in left_out.items()]
        more = "" if len(parts) <= _SHOWN else f", and {len(parts) - _SHOWN} more"
        lines += ["", *textwrap.wrap(f"Left as they are: {', '.join(parts[:_SHOWN])}{more}.", WIDTH)]
    for note in notes(found):
        lines += ["", *textwrap.wrap(note, WIDTH)]
    return "\n".join([*lines, "", "To ship it with the guard", "", *(f"    {line}" for line in next_step)])


def _features(found: Features) -> list[str]:
    shown = found.table.take(found.order[:_SHOWN]).columns
    spread = zip(shown["confidence_5"], shown["confidence_95"], strict=True)
    return aligned(
        {
            "column": shown["feature"].tolist(),
            "to": ["+inf" if towards > 0 else "-inf" for towards in shown["towards"]],
            "sure": [f"{share:.0%}" for share in shown["sure"]],
            "confidence": [f"{value:.3f}" for value in shown["confidence"]],
            "5% to 95%": [f"{low:.3f} to {high:.3f}" for low, high in spread],
            "class": [textwrap.shorten(classes, 24, placeholder="...") for classes in shown["classes"].tolist()],
            **({"beyond": values(shown["last_value"])} if found.ends else {}),
            "settled, sd": numbers(shown["settled_sd"]),
            "95%": numbers(shown["settled_sd_95"]),
            "own unit": numbers(shown["settled"]),
            "last change, sd": numbers(shown["last_unit_sd"]),
        }
    )


def _detection(found: Detection) -> list[str]:
    # Along one column.
    low, auroc, high, refused = (values[:, 0] for values in (found.auroc_low, found.auroc, found.auroc_high, found.refused))
    columns = {"score": [label(score) for score in found.scores]}
    for radius, rates in zip(RADII, auroc.T, strict=True):
        columns["inf" if np.isinf(radius) else f"{radius:g}"] = [f"{rate:.2f}" for rate in rates]
    columns["95% interval"] = [f"{a:.2f} to {b:.2f}" for a, b in zip(low[:, -1], high[:, -1], strict=True)]
    columns["kept"] = [f"{share:.0%}" for share in found.kept]
    return aligned(columns | {"refused at inf": [f"{share:.0%}" for share in refused[:, -1]]})


def _remedies(table: Table) -> list[str]:
    columns = table.columns
    return aligned(
        {
            "": [label(model) for model in columns["model"].tolist()],
            "sure, columns": [f"{share:.1%}" for share in columns["sure_features"]],
            "sure, directions": [percent(share) for share in columns["sure_directions"]],
            "confidence": [f"{value:.3f}" for value in columns["confidence"]],
            "settled, sd": numbers(columns["settled_sd"]),
            "AUROC at inf": [f"{value:.2f}" for value in columns["auroc"]],
            "accuracy": numbers(columns["accuracy"]),
            "log loss": numbers(columns["log_loss"]),
        }
    )
