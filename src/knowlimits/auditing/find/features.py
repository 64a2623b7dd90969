"""What becomes of a classifier as one column grows without bound, the others staying as they are."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.rays import at_once, blocks
from knowlimits.auditing.find.settling import settled
from knowlimits.auditing.find.subject import Subject, some
from knowlimits.auditing.find.table import Table
from knowlimits.limits.far_field import far_field
from knowlimits.ood.panel import AS_IT_IS, Panel

#: A classifier with this confidence is sure of itself.
SURE = 0.99
# Confidences that differ by so little are the same.
_SAME = 1e-9
# A column makes the model sure of itself if it does so for this share of the rows.
_MOST = 0.5
# Rays of the limits of a model, of those of its remedies, and those that are followed to where they settle, of this many
# rows at least; rows of curves.
_RAYS, _OTHER_RAYS, _SETTLED_RAYS, _FEWEST, _CURVE_ROWS = 100_000, 3_000, 3_000, 50, 20
# In tables of many columns the rows of all but the first are fewer, down to this many, for so many rays; and those of curves,
# down to this many, for so many points.
_FEWEST_WIDE, _WIDE_RAYS, _FEWEST_CURVES, _CURVE_POINTS = 20, 20_000, 8, 100_000
# Of models whose layers are large they are fewer still, down to this many, for so many numbers of the largest layer in all.
_FEWEST_HEAVY, _HEAVY = 8, 100_000_000
# Values of so few standard deviations are 0.
_ROUNDING = 1e-12
#: Columns that have curves: those that an HTML report has room for.
CURVES = 250
#: Standard deviations that curves of the confidence go through.
PLACES = np.concatenate([-np.geomspace(1000, 0.25, 20), [0.0], np.geomspace(0.25, 1000, 20)])


@dataclass(frozen=True)
class Curves:
    """The confidence along the columns that matter most; dictionaries are by the ids of the model and its remedies.

    Attributes:
        columns: places of the columns, the first `CURVES` by danger.
        confidence: at `PLACES`, ``(columns, places, 3)``: 5%, median and 95% of rows.
        ends: the median limits, ``(columns, 2)``: towards minus and plus infinity.
    """

    columns: tuple[int, ...]
    confidence: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]


class Rows(NamedTuple):
    """How many rows limits of the model, those of its remedies, distances and curves are over."""

    limits: int
    remedies: int
    distances: int
    curves: int


@dataclass(frozen=True)
class Features:
    """What becomes of a classifier along each column; dictionaries are by the ids of the model and its remedies.

    Attributes:
        table: a row for every column and way.
        order: rows of the table, the most often sure first, and among those the soonest for 95% of the rows.
        caught: names of the columns along which, up or down, half of the rows or more end sure of themselves.
        curves: of the columns that come first.
        rows: how many rows that is over.
        sure: share of all rays that end sure of themselves.
        confidence: median limit of all rays.
        negligible: whether units change beyond what is called the last change, and bend no output by more than rounding.
    """

    table: Table
    order: np.ndarray
    caught: tuple[str, ...]
    curves: Curves
    rows: Rows
    sure: dict[str, float]
    confidence: dict[str, float]
    negligible: bool

    def by_place(self, name: str, columns: Continuous) -> np.ndarray:
        """A column of the table of features by the columns of the data, ``(2, columns)``: down and up, nan where one stays."""
        if columns.shape is None:
            raise ValueError("X must have inputs of several axes, to have a map of their places. Got a table.")
        found = np.full((2, math.prod(columns.shape)), np.nan)
        found[:, columns.places] = self.table[name].reshape(-1, 2).T
        return found

    @property
    def ends(self) -> bool:
        """Whether a column stops to matter at some value."""
        return not np.isnan(self.table["last_value"]).all()

    @property
    def approached(self) -> bool:
        """Whether the limit of a ray is only approached, so that there is no last place at which something changes."""
        return bool(np.isnan(self.table["last_unit"]).any())


def is_sure(confidence: np.ndarray, level: float = SURE) -> np.ndarray:
    """Which confidences are so large; 297 votes of 300 are 0.99, whatever rounding makes of them."""
    return confidence >= level - _SAME


def along_features(subject: Subject, panel: Panel, rng: np.random.Generator, widest: int | None = None) -> Features:
    """Follow every continuous column of the rows towards minus and plus infinity.

    Args:
        subject: the model and its data.
        panel: every score of it.
        rng: what rows are drawn by.
        widest: numbers of the largest layer, by which rows of heavy models are fewer; the model's own without it. Models that
            are compared have that of the heaviest, so that they are asked about the same rows.
    """
    columns = subject.columns
    F = len(columns.names)
    fewest = min(_FEWEST, max(_FEWEST_WIDE, _WIDE_RAYS // (2 * F)))
    counts = ((_FEWEST, _RAYS), (fewest, _OTHER_RAYS), (fewest, _SETTLED_RAYS))
    heavy = max(_FEWEST_HEAVY, _HEAVY // (2 * F * (widest or subject.model.widest(subject.rows.shape[1]))))
    rows = [subject.rows[some(len(subject.rows), min(heavy, max(least, most // (2 * F))), rng)] for least, most in counts]
    found = [_ends(subject, panel, *block) for block in blocks(rows[0], columns)]
    ends = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    last, still, negligible = ends.pop("last"), ends.pop("still"), bool(ends.pop("negligible").any())
    distances, units = _quantiles(_settled(subject, rows[2]), F), _quantiles(last, F)
    probs = ends.pop("probs")
    limits = _of_remedies(panel, rows[1], columns) | {AS_IT_IS: probs.max(1)}
    sure = {name: is_sure(values).reshape(-1, F, 2).mean(0) for name, values in limits.items()}
    medians = {name: np.median(values.reshape(-1, F, 2), axis=0) for name, values in limits.items()}
    # Of every column down and up, in this order.
    table = {"feature": np.repeat(columns.names, 2), "towards": np.tile([-np.inf, np.inf], F), "sure": sure[AS_IT_IS].ravel()}
    table |= _spread("confidence", _quantiles(limits[AS_IT_IS], F)) | {
        "classes": np.array(classes_in_words(probs.reshape(-1, 2 * F, probs.shape[1]), subject.classes))
    }
    for what, values in (("settled", distances), ("last_unit", units)):
        table |= _spread(f"{what}_sd", values) | _spread(what, values * columns.deviations[:, None])
    constant = (still & np.isfinite(last)).reshape(-1, 2 * F).all(0)
    table["last_value"] = np.where(constant, _last_values(subject, rows[0], last) if constant.any() else 0.0, np.nan)
    for score, values in ends.items():
        table |= _spread(score, _quantiles(values, F))
    for remedy in [name for name in limits if name != AS_IT_IS]:
        table |= {f"sure_{remedy}": sure[remedy].ravel(), f"confidence_{remedy}": medians[remedy].ravel()}
    order = np.lexsort((table["settled_sd_95"], -table["sure"]))
    curves = _curves(subject, panel, rng, columns_by_danger(order)[:CURVES], medians)
    return Features(
        Table(table),
        order,
        tuple(name for name, share in zip(columns.names, sure[AS_IT_IS].max(1), strict=True) if share >= _MOST),
        curves,
        Rows(len(rows[0]), len(rows[1]), len(rows[2]), min(_curve_rows(F), len(subject.rows))),
        {name: float(values.mean()) for name, values in sure.items()},
        {name: float(np.median(values)) for name, values in limits.items()},
        negligible,
    )


def columns_by_danger(order: np.ndarray) -> list[int]:
    """Places of columns in the order of their rows in the table of features."""
    return list(dict.fromkeys((order // 2).tolist()))


def _quantiles(values: np.ndarray, features: int) -> np.ndarray:
    """5%, median and 95% over the rows, ``(3, features, 2)``."""
    return np.quantile(values.reshape(-1, features, 2), (0.05, 0.5, 0.95), axis=0)


def _spread(name: str, quantiles: np.ndarray) -> dict[str, np.ndarray]:
    low, middle, high = quantiles.reshape(3, -1)
    return {name: middle, f"{name}_5": low, f"{name}_95": high}


def _ends(subject: Subject, panel: Panel, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
    """What the model ends with along rays: the last change, mean probabilities, their scores, whether logits stand still."""
    far = far_field(subject.model, origins, directions)
    assert far.radius is not None
    assert far.settled is not None
    assert far.rate is not None
    found = {"last": far.settled.max(0), "probs": far.probs.mean(0), "still": (far.rate == 0).all((0, 2))}
    found["negligible"] = found["last"] < far.radius.max(0)
    return found | {name: far.score(name) for name in panel.of_probabilities}


def _last_values(subject: Subject, rows: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Values of the columns beyond which no row meets anything more that changes its outputs, down and up, ``(2 * features,)``.

    Of trees they are the last thresholds. Where nothing is met at all, every value lies beyond: they are infinite.

    Args:
        subject: the model and its data, of which test rows are looked at, too: the last row of a leaf may be one of them.
        rows: of the table, ``(n, columns)``.
        last: where their rays have settled, in the order ``(n, features, 2)``; nan where something changes for ever.
    """
    columns = subject.columns
    if np.isfinite(last).any():
        tested = subject.test_rows[: len(rows)]
        found = [far_field(subject.model, *block).settled for block in blocks(tested, columns)]
        rows = np.concatenate([rows, tested])
        last = np.concatenate([last, *(one.max(0) for one in found if one is not None)])
    ways = np.array([-1.0, 1.0])
    # Values of the columns that move, and how far they go.
    starts = rows[:, list(columns.places)]
    starts = np.where(np.isnan(starts), columns.medians, starts)
    gone = last.reshape(len(rows), -1, 2) * columns.deviations[:, None]
    values = ways * starts[..., None] + gone
    # From below, either way.
    # What is 0 but for rounding is 0.
    values = np.where(np.abs(values) <= _ROUNDING * columns.deviations[:, None], 0.0, values)
    return (ways * np.where(gone == 0, -np.inf, values).max(0)).ravel()


def _settled(subject: Subject, rows: np.ndarray) -> np.ndarray:
    """From where on the confidence along each ray is near its limit."""
    parts = blocks(rows, subject.columns)
    return np.concatenate([settled(subject.probabilities, far_field(subject.model, *part)) for part in parts])


def _of_remedies(panel: Panel, rows: np.ndarray, columns: Continuous) -> dict[str, np.ndarray]:
    """The limiting confidence of the model and its remedies."""
    parts = [{name: probs.max(1) for name, probs in panel.limits(*block).items()} for block in blocks(rows, columns)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def classes_in_words(probs: np.ndarray, classes: np.ndarray) -> list[str]:
    """The likeliest classes of rows, with their shares, for each way, given probabilities ``(rows, ways, classes)``.

    Those that are as likely as one another are named together.
    """
    # Of those that are as likely as the likeliest, as none of them wins.
    level = probs >= probs.max(-1, keepdims=True) * (1 - 1e-9)
    found = []
    for way in range(probs.shape[1]):
        sets, counts = np.unique(level[:, way], axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        parts = [f"{' = '.join(map(str, classes[sets[i]]))} ({counts[i] / counts.sum():.0%})" for i in order[:3]]
        found.append(", ".join(parts) + (", ..." if len(order) > 3 else ""))
    return found


def _curve_rows(features: int) -> int:
    """How many rows curves are over."""
    points = len(PLACES) * min(features, CURVES)
    return min(_CURVE_ROWS, max(_FEWEST_CURVES, _CURVE_POINTS // points))


def _curves(
    subject: Subject, panel: Panel, rng: np.random.Generator, chosen: list[int], medians: dict[str, np.ndarray]
) -> Curves:
    rows = subject.rows[some(len(subject.rows), _curve_rows(len(subject.columns.names)), rng)]
    parts: dict[str, list[np.ndarray]] = {}
    size = max(1, at_once(rows.shape[1]) // (len(PLACES) * len(rows)))
    for begin in range(0, len(chosen), size):
        steps = subject.columns.steps[chosen[begin : begin + size]]
        starts = np.stack([subject.columns.started(rows, step) for step in steps])
        points = starts[:, None] + (PLACES[:, None] * steps[:, None])[:, :, None]
        for name, probs in panel.probabilities(points.reshape(-1, rows.shape[1])).items():
            confidence = probs.max(1).reshape(points.shape[:3])
            parts.setdefault(name, []).append(np.moveaxis(np.quantile(confidence, (0.05, 0.5, 0.95), axis=2), 0, 2))
    return Curves(
        tuple(chosen),
        {name: np.concatenate(curves) for name, curves in parts.items()},
        {name: medians[name][chosen] for name in parts},
    )
