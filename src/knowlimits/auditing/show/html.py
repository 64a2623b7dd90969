"""The audit as one HTML file that needs nothing else."""

import os
from typing import Any

import numpy as np

from knowlimits.auditing.find.detection import RADII, Detection
from knowlimits.auditing.find.features import PLACES
from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.find.places import panel_names, panels
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show.labels import label, left_out, numbers, values
from knowlimits.auditing.show.page import codes, faults, ranges
from knowlimits.auditing.show.page.names import with_short_names
from knowlimits.auditing.show.pictures import of_column, of_disc
from knowlimits.auditing.show.sentences import notes, title, verdict
from knowlimits.auditing.show.template import fill, packed
from knowlimits.ood.panel import LAPLACE
from knowlimits.outputs import check_replaced, write_atomically

# Panels and places that a map has room for.
_PANELS, _PLACES = 8, 6000
# What it shows.
_SHOWN = {"sure": "rows that end sure", "confidence": "median confidence", "settled_sd_95": "sd until 95% of rows are settled"}
# Ways along columns that the table lists, so that the file stays small, and columns of the steepest direction.
_LISTED, _STEEPEST = 600, 10
# Columns of tables whose numbers the page writes in few digits.
_IN_FEW_DIGITS = ("settled_sd", "settled_sd_95", "settled", "last_unit_sd", "last_unit", "accuracy", "log_loss")
# And those whose values it writes in more.
_VALUES = ("last_value",)


def write_report(found: Findings, next_step: tuple[str, ...], path: str | os.PathLike, overwrite: bool) -> None:
    """Write the report.

    Raises:
        FileExistsError: if a file is there and `overwrite` is false.
        OSError: if it cannot be written.
    """
    check_replaced(path, overwrite)
    write_atomically(path, render(found, next_step).encode())


def render(found: Findings, next_step: tuple[str, ...]) -> str:
    """The report as text; it ends with the lines that make a guarded file."""
    # Sentences have names in full.
    sentences, said, headline = verdict(found), notes(found), title(found)
    found = with_short_names(found)
    features, directions, data = found.features, found.directions, _data(found)
    return fill(
        "report.html",
        data,
        kind="Far-field audit",
        title=headline,
        verdict=sentences,
        ranges=ranges.shown(found.plausible, found.columns) if len(found.plausible.table) else None,
        faults=faults.shown(found.faults) if len(found.faults.table) else None,
        codes=codes.shown(found.codes) if len(found.codes.table) else None,
        rows=_rows(features.table.take(features.order[:_LISTED])),
        ways=len(features.order),
        radii=RADII,
        ways_moved=found.detection.ways,
        remedies=_rows(found.remedies),
        directions=directions.table.rows(),
        steepest=directions.steepest.rows()[:_STEEPEST] if directions.alike < directions.tried else [],
        alike=directions.alike,
        rarest=directions.rarest,
        columns=len(found.columns.names),
        together=int(found.columns.together.sum()),
        has_laplace=LAPLACE in features.curves.confidence,
        disc=found.disc,
        places=data["map"] and found.columns.shape,
        made_of=found.made_of,
        ends=found.features.ends,
        approached=found.features.approached,
        infinity=float("inf"),
        left_out=left_out(found.columns.left_out),
        notes=said,
        next_step=next_step,
    )


def _rows(table: Table) -> list[dict[str, Any]]:
    """Rows of a table, with the text of their numbers in few digits under `few`."""
    texts = {name: numbers(column) for name, column in table.columns.items() if name in _IN_FEW_DIGITS}
    texts |= {name: values(table[name]) for name in _VALUES if name in table.columns}
    return [row | {"few": {name: texts[name][k] for name in texts}} for k, row in enumerate(table.rows())]


def _data(found: Findings) -> dict[str, Any]:
    """What the program draws; it finds remedies, scores and ways by their ids."""
    columns, curves = found.columns, found.features.curves
    return {
        "classes": [str(one) for one in found.classes],
        "columns": [of_column(columns, place) for place in curves.columns],
        "places": PLACES.round(4).tolist(),
        "curves": [
            {
                "id": name,
                "label": label(name),
                "confidence": packed(confidence),
                "ends": curves.ends[name].round(4).tolist(),
            }
            for name, confidence in curves.confidence.items()
        ],
        "ranges": ranges.drawn(found.plausible) if len(found.plausible.table) else None,
        "faults": faults.drawn(found.faults) if len(found.faults.table) else None,
        "radii": [radius if np.isfinite(radius) else None for radius in RADII],
        "scores": _scores(found.detection),
        "disc": None if found.disc is None else of_disc(found.disc, columns),
        "map": _map(found),
    }


def _map(found: Findings) -> dict[str, Any] | None:
    """The places of one input in their own layout, with what becomes of each; None for a table, and for what is too large."""
    shape = found.columns.shape
    if shape is None or (places := panels(shape)).size > _PLACES or len(places) > _PANELS:
        return None
    names = dict(zip(found.columns.places, found.columns.names, strict=True))
    values = {name: found.features.by_place(name, found.columns)[:, places.ravel()] for name in _SHOWN}
    # What is the same everywhere, as where all rows end sure, comes later.
    order = sorted(values, key=lambda name: len(np.unique(values[name][np.isfinite(values[name])])) < 2)
    return {
        "shape": places.shape,
        "panels": panel_names(shape),
        # Of places that stay there is no name.
        "names": [names.get(place) for place in places.ravel().tolist()],
        "shown": [{"id": name, "label": _SHOWN[name], "values": [_known(way) for way in values[name]]} for name in order],
    }


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]


def _scores(detection: Detection) -> list[dict[str, Any]]:
    """The scores, with their numbers by way of moving and radius."""
    values = {name: getattr(detection, name).round(4) for name in ("auroc", "auroc_low", "auroc_high", "refused")}
    return [
        {
            "id": score,
            "label": label(score),
            "threshold": float(detection.thresholds[k]),
            "kept": round(float(detection.kept[k]), 4),
            "ways": {
                way: {name: value[k, w].tolist() for name, value in values.items()} for w, way in enumerate(detection.ways)
            },
        }
        for k, score in enumerate(detection.scores)
    ]
