"""What becomes of a classifier as one column goes to an end of what it may plausibly be, and on the way there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.features import SURE, classes_in_words, is_sure
from knowlimits.auditing.find.rays import at_once
from knowlimits.auditing.find.subject import Subject, some
from knowlimits.auditing.find.table import Table
from knowlimits.files.ranges import read_ranges
from knowlimits.limits.segments import PLACES, along_segments, asked_along
from knowlimits.limits.stretches import mean_probabilities
from knowlimits.ood.ranges import DATA, Ranges, place_of
from knowlimits.ood.sizes import check_size
from knowlimits.ood.strange import shown

# Segments at most, of this many rows at least, and rows at most.
_SEGMENTS, _FEWEST, _MOST = 4_000, 20, 100
# Of models that are asked often along a segment, or have many weights, there are fewer rows, down to this many, for so many
# points in all, and products of weights with numbers.
_FEWEST_HEAVY, _POINTS, _HEAVY = 4, 200_000, 2**35
# Rows by which it is seen how often a model is asked.
_FEW = 4
#: Of the table.
COLUMNS = (
    *("feature", "towards", "value", "stated", "sure", "sure_before", "newly_sure"),
    *("confidence", "confidence_5", "confidence_95", "classes", "changed", "changed_within"),
    *("smallest", "largest", "sure_from", "exact"),
)


@dataclass(frozen=True)
class Plausible:
    """What becomes of a classifier within plausible ranges.

    Attributes:
        table: a row for every continuous column and end of its range.
        order: rows of the table, first where most rows become sure of what they were not, and among those where most change.
        rows: how many rows that is over.
        grid: how many places of a segment were looked at where no pieces or thresholds decide; 0 where they do.
    """

    table: Table
    order: np.ndarray
    rows: int
    grid: int


@dataclass(frozen=True, eq=False)
class PlausibleEnds:
    """Ends of what columns may plausibly be, those that are open left out.

    Attributes:
        feature: number of the column among those that move, ``(ends,)``.
        towards: -1 for a low end, 1 for a high one.
        value: the end.
        stated: whether somebody says so, or else the data have it.
    """

    feature: np.ndarray
    towards: np.ndarray
    value: np.ndarray
    stated: np.ndarray


def plausible_ends(columns: Continuous, given: Any) -> PlausibleEnds:
    """The ends of the ranges of the columns that move.

    Args:
        columns: they, with what the data have.
        given: what people say that columns may be, as `knowlimits.ood.ranges.Ranges.of` has it, or the path of a TOML file;
            columns that they say nothing of have the range of the data.

    Raises:
        ValueError: if that is no such thing, or of a column that is not there, or does not move.
        OSError: if a file cannot be read.
    """
    names = list(columns.all_names)
    given = _read(given, names, columns.shape)
    said = Ranges.of(given, names)
    places = {name: place for place, name in enumerate(names)}
    stated = np.zeros(len(names), dtype=bool)
    stated[[place_of(key, places) for key in given] if isinstance(given, Mapping) else []] = True
    for place in np.flatnonzero(stated):
        if place not in columns.places:
            raise ValueError(
                f"ranges must be of columns that move. Got one for {names[place]!r}, which stays where it is "
                f"({columns.left_out[names[place]]}): leave it out, or name it in continuous= if it is a measurement."
            )
    own = list(columns.places)
    stated = (stated & ~said.observed)[own]
    # Down and up, column by column.
    ends = np.stack([np.where(stated, said.low[own], columns.low), np.where(stated, said.high[own], columns.high)], 1).ravel()
    closed = np.flatnonzero(np.isfinite(ends))
    check_size("ranges", ends[closed])
    feature, side = np.divmod(closed, 2)
    return PlausibleEnds(feature, 2.0 * side - 1, ends[closed], stated[feature])


def within_ranges(subject: Subject, given: Any, rng: np.random.Generator, count: int | None = None) -> Plausible:
    """Move every continuous column of some rows to both ends of its range.

    Args:
        subject: the model and its data.
        given: as `plausible_ends` has it.
        rng: what rows are drawn by.
        count: from how many rows; as many as the model takes in a while without it.
    """
    ends = plausible_ends(subject.columns, given)
    ways = len(ends.value)
    if not ways:
        texts = {name: np.empty(0, dtype=str) for name in ("feature", "classes")}
        return Plausible(Table({name: texts.get(name, np.empty(0)) for name in COLUMNS}), np.empty(0, dtype=np.intp), 0, 0)
    rows = subject.rows[some(len(subject.rows), rows_moved(subject, ends) if count is None else count, rng)]
    before = mean_probabilities(subject.model, rows)
    # The ways of several columns together, as many as fit.
    size = max(1, at_once(rows.shape[1]) // len(rows))
    found = [_ways(subject, rows, before, ends, np.arange(k, min(k + size, ways))) for k in range(0, ways, size)]
    table = Table({name: np.concatenate([one[name] for one in found]) for name in COLUMNS})
    order = np.lexsort((-table["sure"], -table["changed"], -table["newly_sure"]))
    return Plausible(table, order, len(rows), 0 if table["exact"].all() else PLACES)


def _ways(
    subject: Subject, rows: np.ndarray, before: np.ndarray, ends: PlausibleEnds, some: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns of the table for some of the ends, given the probabilities of the rows as they are."""
    shape = (len(some), len(rows))
    starts, stops = _segments(subject, rows, ends, some)
    found = along_segments(subject.model, starts, stops, SURE)
    probs, start = found.probs.reshape(*shape, -1), np.tile(before, (len(some), 1, 1))
    moved = (starts.reshape(*shape, -1) != rows) & ~np.isnan(starts.reshape(*shape, -1))
    if (filled := moved.any(2)).any():
        start[filled] = mean_probabilities(subject.model, starts[filled.ravel()])
    confidence, changed = probs.max(2), probs.argmax(2) != start.argmax(2)
    sure, sure_before = is_sure(confidence), is_sure(start.max(2))
    low, middle, high = np.quantile(confidence, (0.05, 0.5, 0.95), axis=1)
    column = np.array(subject.columns.places)[ends.feature[some]]
    at = starts[np.arange(len(starts)), np.repeat(column, len(rows))].reshape(shape)
    reached = at + found.sure_from.reshape(shape) * (ends.value[some, None] - at)
    return {
        "feature": np.array(subject.columns.names)[ends.feature[some]],
        "towards": ends.towards[some],
        "value": ends.value[some],
        "stated": ends.stated[some],
        "sure": sure.mean(1),
        "sure_before": sure_before.mean(1),
        "newly_sure": (sure & ~(sure_before & ~changed)).mean(1),
        "confidence": middle,
        "confidence_5": low,
        "confidence_95": high,
        "classes": np.array(classes_in_words(np.moveaxis(probs, 0, 1), subject.classes)),
        "changed": changed.mean(1),
        "changed_within": (~np.isnan(found.changed_from)).reshape(shape).mean(1),
        "smallest": found.smallest.reshape(shape).min(1),
        "largest": found.largest.reshape(shape).max(1),
        "sure_from": np.array([np.median(one[~np.isnan(one)]) if (~np.isnan(one)).any() else np.nan for one in reached]),
        "exact": np.array([one.all() for one in found.exact.reshape(shape)]),
    }


def _segments(subject: Subject, rows: np.ndarray, ends: PlausibleEnds, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of segments from rows, end by end of the ranges; a column that is missing starts at its median."""
    starts = np.tile(rows, (len(some), 1))
    feature = np.repeat(ends.feature[some], len(rows))
    column, row = np.array(subject.columns.places)[feature], np.arange(len(starts))
    own = starts[row, column]
    starts[row, column] = np.where(np.isnan(own), subject.columns.medians[feature], own)
    stops = starts.copy()
    stops[row, column] = np.repeat(ends.value[some], len(rows))
    return starts, stops


def rows_moved(subject: Subject, ends: PlausibleEnds) -> int:
    """From how many rows columns are moved to so many ends that a model takes in a while."""
    ways, width = len(ends.value), subject.rows.shape[1]
    wanted = min(_MOST, max(_FEWEST, _SEGMENTS // ways))
    few = subject.rows[np.unique(np.linspace(0, len(subject.rows) - 1, _FEW).astype(np.intp))]
    size = max(1, at_once(width) // len(few))
    points = sum(
        asked_along(subject.model, *_segments(subject, few, ends, np.arange(k, min(k + size, ways)))).sum()
        for k in range(0, ways, size)
    ) / len(few)
    weights = sum(p.numel() for network in subject.model.networks for p in network.parameters())
    heavy = min(_POINTS // points, _HEAVY // (points * max(1, weights)))
    return max(min(wanted, int(heavy)), _FEWEST_HEAVY)


def _read(given: Any, names: list[str], shape: tuple[int, ...] | None) -> Any:
    """What people say, in the terms of `Ranges.of`."""
    if isinstance(given, Mapping):
        # Places of inputs of more axes.
        return {_flat(key, shape): ends for key, ends in given.items()}
    if not isinstance(given, str | os.PathLike) or given == DATA:
        return given
    if not os.path.exists(given):
        raise ValueError(
            f"ranges must be a dict, {DATA!r}, or the path of a TOML file. Got {shown(given)} instead, which is none."
        )
    return read_ranges(given, names)


def _flat(key: Any, shape: tuple[int, ...] | None) -> Any:
    inside = shape is not None and isinstance(key, tuple) and len(key) == len(shape)
    if inside and all(isinstance(k, int) and 0 <= k < n for k, n in zip(key, shape, strict=True)):  # type: ignore[arg-type]
        return int(np.ravel_multi_index(key, shape))  # type: ignore[arg-type]
    return key
