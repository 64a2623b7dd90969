"""The audit as one HTML file that needs nothing else: page/report.html with its styles, its program and the numbers inside."""

import base64
import json
import os
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from knowlimits.auditing.find.detection import WAYS
from knowlimits.auditing.find.disc import SCALE, Disc, disc
from knowlimits.auditing.find.features import CURVES, PLACES, by_danger, columns_by_danger
from knowlimits.auditing.find.table import Table, number
from knowlimits.ood.panel import AS_IT_IS, LAPLACE
from knowlimits.outputs import check_output, write_atomically

# Ways along columns that the table lists, so that the file stays small.
_LISTED = 600


def write_report(audit: Any, path: str | os.PathLike, overwrite: bool) -> None:
    """Write the report.

    Raises:
        FileExistsError: if a file is there and `overwrite` is false.
        OSError: if it cannot be written.
    """
    try:
        check_output(path, overwrite=overwrite)
    except FileExistsError as error:
        raise FileExistsError(f"{error} Pass overwrite=True to replace it.") from None
    write_atomically(path, render(audit).encode())


def render(audit: Any) -> str:
    """The report as text."""
    environment = Environment(
        loader=PackageLoader("knowlimits.auditing.show", "page"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    order = by_danger(audit.features)
    rows = audit.features.rows()
    columns = columns_by_danger(audit.features)
    picture, axes = _picture(audit, columns)
    page = files("knowlimits.auditing.show") / "page"
    return environment.get_template("report.html").render(
        title=audit._title,
        verdict=audit.verdict,
        rows=[rows[k] for k in order[:_LISTED]],
        ways=len(audit.features),
        radii=audit.detection.distinct("radius_sd"),
        ways_moved=WAYS,
        remedies=audit.remedies.rows(),
        directions=audit.directions.rows(),
        steepest=audit.steepest.rows()[:10],
        rarest=audit._directions.rarest,
        has_laplace=LAPLACE in audit._features.curves,
        picture=picture,
        left_out=audit.left_out,
        notes=audit.notes,
        style=Markup((page / "report.css").read_text(encoding="utf-8")),
        program=Markup((page / "report.js").read_text(encoding="utf-8")),
        data=_json(_data(audit, columns[:CURVES], picture, axes)),
    )


def _picture(audit: Any, found: list[int]) -> tuple[Disc | None, tuple[int, int]]:
    """The disc of the two columns that make the model sure of itself the most often and the soonest."""
    if len(found) < 2:
        return None, (0, 0)
    # Two columns may move the network's inputs alike, and then span no plane.
    for second in found[1:]:
        try:
            return disc(audit._subject, found[0], second), (found[0], second)
        except ValueError:
            continue
    return None, (0, 0)


def _data(audit: Any, shown: list[int], picture: Disc | None, axes: tuple[int, int]) -> dict[str, Any]:
    """What the program draws."""
    columns, features = audit._subject.columns, audit._features
    ends = {AS_IT_IS: audit.features["confidence"].reshape(-1, 2)[shown]}
    for name in features.curves:
        if name != AS_IT_IS:
            ends[name] = audit.features[f"confidence, {name}"].reshape(-1, 2)[shown]
    return {
        "classes": [str(label) for label in audit._subject.classes],
        "columns": [
            {"name": columns.names[f], "deviation": columns.deviations[f], "median": columns.medians[f]} for f in shown
        ],
        "places": PLACES.round(4).tolist(),
        "curves": {name: _packed(curve[shown]) for name, curve in features.curves.items()},
        "ends": {name: values.round(4).tolist() for name, values in ends.items()},
        "detection": {
            "radii": [radius if np.isfinite(radius) else None for radius in audit.detection.distinct("radius_sd")],
            "scores": _scores(audit.detection),
        },
        "disc": None
        if picture is None
        else {
            "side": len(picture.confidence),
            "scale": SCALE,
            "confidence": _packed(np.nan_to_num(picture.confidence)),
            "winner": _packed(picture.winner / 65535),
            "arcs": np.c_[picture.arcs, picture.limits, picture.winners].round(5).tolist(),
            "names": [columns.names[f] for f in axes],
            "deviations": [columns.deviations[f] for f in axes],
            "medians": [columns.medians[f] for f in axes],
        },
    }


def _scores(detection: Table) -> list[dict[str, Any]]:
    """The scores, with their numbers by way of moving and radius."""
    found = []
    for name in detection.distinct("score"):
        ways = {}
        for way in WAYS:
            own = detection.where(score=name, way=way)
            columns = ("auroc", "auroc_low", "auroc_high", "refused")
            ways[way] = {column: own[column].round(4).tolist() for column in columns}
        first = detection.where(score=name)["threshold"][0]
        found.append({"name": name.replace("_", " "), "threshold": float(first), "ways": ways})
    return found


def _packed(values: np.ndarray) -> str:
    """Numbers from 0 to 1 as base64 of unsigned 16-bit integers, the low byte first."""
    return base64.b64encode((np.clip(values, 0, 1) * 65535).round().astype("<u2").tobytes()).decode()


def _json(value: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
