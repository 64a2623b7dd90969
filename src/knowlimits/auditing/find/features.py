"""What becomes of a classifier as one column grows without bound, the others staying as they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.settling import settled
from knowlimits.auditing.find.subject import Subject, some
from knowlimits.auditing.find.table import Table
from knowlimits.limits.far_field import far_field
from knowlimits.ood.panel import AS_IT_IS, Panel

#: A classifier with this confidence is sure of itself.
SURE = 0.99
# Rays of the limits of a model, of those of its remedies, and those that are followed to where they settle, of this many
# rows at least; rows of curves.
_RAYS, _OTHER_RAYS, _SETTLED_RAYS, _FEWEST, _CURVE_ROWS = 100_000, 3_000, 3_000, 50, 20
# In tables of many columns the rows of all but the first are fewer, down to this many, for so many rays; and those of curves,
# down to this many, for so many points.
_FEWEST_WIDE, _WIDE_RAYS, _FEWEST_CURVES, _CURVE_POINTS = 20, 20_000, 8, 100_000
#: Columns that have curves: those that an HTML report has room for.
CURVES = 250
# Numbers in a block of rays or of points, of which there are as many as columns squared in all.
_NUMBERS = 2**22
#: Standard deviations that curves of the confidence go through.
PLACES = np.concatenate([-np.geomspace(1000, 0.25, 20), [0.0], np.geomspace(0.25, 1000, 20)])


@dataclass(frozen=True)
class Features:
    """What becomes of a classifier along each column.

    Attributes:
        table: a row for every column and way.
        curves: confidence at `PLACES`, ``(features, places, 3)``: 5%, median and 95% of rows, by model or remedy; nan for
            columns that are not among the first `CURVES` by danger.
        rows: how many rows the limits are over, of those of the remedies, of the distances, and of the curves.
        sure: share of all rays that end sure of themselves, by the name of the model or remedy.
        limits: the limiting confidence of all rays, by the name of the model or remedy.
    """

    table: Table
    curves: dict[str, np.ndarray]
    rows: tuple[int, int, int, int]
    sure: dict[str, float]
    limits: dict[str, np.ndarray]


def along_features(subject: Subject, panel: Panel, rng: np.random.Generator) -> Features:
    """Follow every continuous column of the rows towards minus and plus infinity."""
    columns = subject.columns
    F = len(columns.names)
    fewest = min(_FEWEST, max(_FEWEST_WIDE, _WIDE_RAYS // (2 * F)))
    counts = ((_FEWEST, _RAYS), (fewest, _OTHER_RAYS), (fewest, _SETTLED_RAYS))
    most = [max(least, count // (2 * F)) for least, count in counts]
    rows = [subject.rows[some(len(subject.rows), count, rng)] for count in most]
    found = [_ends(subject, panel, *block) for block in blocks(rows[0], columns.steps)]
    ends = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    distances = _quantiles(_settled(subject, rows[2]), F)
    units = _quantiles(ends.pop("radius"), F)
    probs = ends.pop("probs")
    limits: dict[str, np.ndarray] = {}
    for name, parts in _of_remedies(panel, rows[1], columns.steps).items():
        limits[name] = np.concatenate(parts)
    confidence = limits[AS_IT_IS] = probs.max(1)
    ending = _quantiles(confidence, F)
    of_scores = {name: _quantiles(values, F) for name, values in ends.items()}
    classes = _classes(probs, subject, F)
    sure = {name: (values >= SURE).reshape(-1, F, 2).mean(0) for name, values in limits.items()}
    medians = {name: np.median(values.reshape(-1, F, 2), axis=0) for name, values in limits.items()}
    table = []
    for f, name in enumerate(columns.names):
        for way in range(2):
            row: dict[str, Any] = {"feature": name, "towards": (-np.inf, np.inf)[way], "sure": sure[AS_IT_IS][f, way]}
            row |= _spread("confidence", ending[:, f, way]) | {"classes": classes[f][way]}
            for what, values in (("settled", distances), ("last_unit", units)):
                row |= _spread(f"{what}_sd", values[:, f, way])
                row |= _spread(what, values[:, f, way] * columns.deviations[f])
            for score, values in of_scores.items():
                row |= _spread(score, values[:, f, way])
            for remedy in [name for name in limits if name != AS_IT_IS]:
                row[f"sure, {remedy}"] = sure[remedy][f, way]
                row[f"confidence, {remedy}"] = medians[remedy][f, way]
            table.append(row)
    whole = Table.of(table)
    curves = _curves(subject, panel, rng, columns_by_danger(whole)[:CURVES])
    used = (len(rows[0]), len(rows[1]), len(rows[2]), min(_curve_rows(F), len(subject.rows)))
    return Features(whole, curves, used, {name: float(values.mean()) for name, values in sure.items()}, limits)


def by_danger(table: Table) -> np.ndarray:
    """Rows of the table of features in order: the most often sure first, and among those the soonest for 95% of the rows."""
    return np.lexsort((table["settled_sd_95"], -table["sure"]))


def columns_by_danger(table: Table) -> list[int]:
    """Places of columns in the same order."""
    return list(dict.fromkeys((by_danger(table) // 2).tolist()))


def rays(rows: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every row along every step, towards minus and plus infinity, in the order ``(rows, steps, 2)``."""
    both = np.stack([-steps, steps], axis=1).reshape(-1, steps.shape[1])
    return np.repeat(rows, len(both), axis=0), np.tile(both, (len(rows), 1))


def blocks(rows: np.ndarray, steps: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same rays, in their order, so few at a time that they take little memory."""
    both = np.stack([-steps, steps], axis=1).reshape(-1, steps.shape[1])
    count = len(rows) * len(both)
    size = at_once(steps.shape[1])
    for begin in range(0, count, size):
        row, way = np.divmod(np.arange(begin, min(begin + size, count)), len(both))
        yield rows[row], both[way]


def at_once(width: int) -> int:
    """How many points or rays of so many numbers are worked on at a time."""
    return max(1, _NUMBERS // width)


def isotropic(count: int, features: int, rng: np.random.Generator) -> np.ndarray:
    """Directions of length 1, in standard deviations, ``(count, features)``."""
    drawn = rng.standard_normal((count, features))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _quantiles(values: np.ndarray, features: int) -> np.ndarray:
    """5%, median and 95% over the rows, ``(3, features, 2)``."""
    return np.quantile(values.reshape(-1, features, 2), (0.05, 0.5, 0.95), axis=0)


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{name}": values[1], f"{name}_5": values[0], f"{name}_95": values[2]}


def _ends(subject: Subject, panel: Panel, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
    """What the model ends with along rays: the last unit, mean probabilities and their scores."""
    far = far_field(subject.model, origins, directions)
    assert far.radius is not None
    found = {"radius": far.radius.max(0), "probs": far.probs.mean(0)}
    return found | {name: far.score(name) for name in panel.of_probabilities}


def _settled(subject: Subject, rows: np.ndarray) -> np.ndarray:
    """From where on the confidence along each ray is near its limit."""
    parts = blocks(rows, subject.columns.steps)
    return np.concatenate([settled(subject.probabilities, far_field(subject.model, *part)) for part in parts])


def _of_remedies(panel: Panel, rows: np.ndarray, steps: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The limiting confidence of the model and its remedies, block by block."""
    found: dict[str, list[np.ndarray]] = {}
    for block in blocks(rows, steps):
        for name, probs in panel.limits(*block).items():
            found.setdefault(name, []).append(probs.max(1))
    return found


def _classes(probs: np.ndarray, subject: Subject, features: int) -> list[list[str]]:
    """The classes that rays end in, with their shares of the rows; those that end level are named together."""
    probs = probs.reshape(-1, features, 2, len(subject.classes))
    # Of those that are as likely as the likeliest, as none of them wins.
    level = probs >= probs.max(-1, keepdims=True) * (1 - 1e-9)
    found = []
    for f in range(features):
        found.append([])
        for way in range(2):
            sets, counts = np.unique(level[:, f, way], axis=0, return_counts=True)
            order = np.argsort(-counts, kind="stable")
            parts = [f"{' = '.join(map(str, subject.classes[sets[i]]))} ({counts[i] / counts.sum():.0%})" for i in order[:3]]
            found[f].append(", ".join(parts) + (", ..." if len(order) > 3 else ""))
    return found


def _curve_rows(features: int) -> int:
    """How many rows curves are over."""
    points = len(PLACES) * min(features, CURVES)
    return min(_CURVE_ROWS, max(_FEWEST_CURVES, _CURVE_POINTS // points))


def _curves(subject: Subject, panel: Panel, rng: np.random.Generator, chosen: list[int]) -> dict[str, np.ndarray]:
    rows = subject.rows[some(len(subject.rows), _curve_rows(len(subject.columns.names)), rng)]
    steps = subject.columns.steps
    found: dict[str, np.ndarray] = {}
    size = max(1, at_once(rows.shape[1]) // (len(PLACES) * len(rows)))
    for begin in range(0, len(chosen), size):
        part = chosen[begin : begin + size]
        points = rows + (PLACES[:, None] * steps[part][:, None])[:, :, None]
        for name, probs in panel.probabilities(points.reshape(-1, rows.shape[1])).items():
            curves = found.setdefault(name, np.full((len(steps), len(PLACES), 3), np.nan))
            confidence = probs.max(1).reshape(points.shape[:3])
            curves[part] = np.moveaxis(np.quantile(confidence, (0.05, 0.5, 0.95), axis=2), 0, 2)
    return found
