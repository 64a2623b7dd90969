"""What a guard costs and what it refuses, on rows that it has not learnt from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.pipeline import Pipeline

from knowlimits.auditing.find.features import is_sure
from knowlimits.auditing.find.gaps import movable
from knowlimits.auditing.find.rays import rays
from knowlimits.auditing.find.settling import LEVEL
from knowlimits.auditing.find.subject import label_places, of_floats, read_table, some
from knowlimits.follow import UnsupportedOperation
from knowlimits.limits.far_field import far_field
from knowlimits.metrics import share_interval
from knowlimits.model.model import Model
from knowlimits.model.own import answered
from knowlimits.model.tables import rows_at
from knowlimits.ood.remedies.answers import answering, labels_of
from knowlimits.ood.remedies.calibration import Estimate
from knowlimits.ood.remedies.guard import Guard

#: Half-ranges from the middle of a column's range, to where it is moved.
FAR = 10.0
# Rows that are moved, of all columns together, and rays that are followed, at most; rows of one column, at least.
_MOVED, _RAYS, _FEWEST = 20_000, 20_000, 5
# Rows on which distances are taken, at most.
_DISTANCES = 50
# Rows by which a model is asked for its classes.
_FEW = 8


@dataclass(frozen=True)
class Cost:
    """What a guard costs and refuses; numbers and names, no model.

    Attributes:
        model: what the guarded model is called, such as by its file.
        kind: what it is, such as its class or "50 trees"; ``""`` where that says nothing.
        classes: how many it has.
        columns: names of all columns.
        learnt: how many rows the guard was given.
        tested: how many rows it was not.
        held_out: whether these were given as such; otherwise they are a part of the data.
        before, after: mean log loss on them, nan without labels.
        bound: on how much it grows, on rows like these.
        tolerance: what was asked for of it.
        kept: the share of them that is accepted, with its interval.
        keep: what was asked for of it.
        moved: names of the columns of numbers that vary.
        refused: for each the share of rows that are refused once it is moved to ten half-ranges, down or up, ``(moved,)``.
        sure: the share of rows and ways, each of these columns down and up, that the model ends sure along; nan if unknown.
        unknown: why it is.
        settled, settled_95: half-ranges after which the guard's confidence stays within 0.01 of uniform, the median and 95% of
            rows and ways.
        categories: how many values were seen of columns of categories.
        gaps: columns in which gaps are usual.
        ranges: columns with stated ranges.
    """

    model: str
    kind: str
    classes: int
    columns: tuple[str, ...]
    learnt: int
    tested: int
    held_out: bool
    before: float
    after: float
    bound: Estimate
    tolerance: float
    kept: Estimate
    keep: float
    moved: tuple[str, ...]
    refused: np.ndarray
    sure: float
    unknown: str
    settled: float
    settled_95: float
    categories: dict[str, int]
    gaps: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]


def places_of(model: Any, outputs: str | None, X: Any, y: Any) -> np.ndarray:
    """Places of labels among the classes of a model as its guard has them, ``(n,)``.

    Args:
        model, outputs, X: as a guard has them.
        y: the labels, of these or other rows.

    Raises:
        TypeError, ValueError: if the model is no classifier, or a label none of its classes.
    """
    answers = answering(model, outputs, X)
    return label_places(answers, y, len(labels_of(answers, X[:_FEW])), len(y))


def cost(
    guard: Guard,
    X: Any,
    X_test: Any,
    places: np.ndarray | None,
    *,
    name: str,
    held_out: bool,
    seed: int,
    step: Callable[[str], None],
) -> Cost:
    """Measure it.

    Args:
        guard: a fitted one.
        X: the rows that it was fitted to: an array, or a DataFrame.
        X_test: rows that it has not seen, of the same kind.
        places: of their classes among the guard's, ``(n,)``, or None.
        name: what the guarded model is called.
        held_out: whether they were given as such.
        seed: of what is drawn.
        step: is told what comes next.
    """
    rng = np.random.default_rng(seed)
    columns = guard.columns_
    usual = np.flatnonzero(~columns.read(X_test).refused)
    accepted = guard.accepts(X_test)
    before, after = _log_losses(guard, rows_at(X_test, usual), None if places is None else places[usual])
    middle, half = _ranges(columns.numbers(rows_at(X, np.flatnonzero(~columns.read(X).refused))))
    varying = np.flatnonzero(half > 0)
    step("columns moved out")
    refused = _refused(guard, X_test, columns.numeric[varying], middle[varying], half[varying], rng)
    step("columns to infinity")
    sure, unknown = _ends_sure(guard, X, rng)
    settled = _settled(guard, rows_at(X_test, usual), half, varying)
    low, high = share_interval(int(accepted.sum()), len(accepted))
    names = columns.names
    stated = {names[place]: columns.range_of(int(place)) for place in columns.numeric}
    step("the file")
    return Cost(
        model=name,
        kind=_kind(guard.model),
        classes=len(guard.classes_),
        columns=names,
        learnt=len(X),
        tested=len(X_test),
        held_out=held_out,
        before=before,
        after=after,
        bound=guard.loss_,
        tolerance=guard.tolerance,
        kept=Estimate(float(accepted.mean()), float(low), float(high)),
        keep=guard.keep,
        moved=tuple(names[place] for place in columns.numeric[varying]),
        refused=refused,
        sure=sure,
        unknown=unknown,
        settled=settled[0],
        settled_95=settled[1],
        categories={names[place]: len(columns.seen[place] or ()) for place in columns.categorical},
        gaps=tuple(name for name, usual in zip(names, columns.gaps, strict=True) if usual),
        ranges={name: ends for name, ends in stated.items() if np.isfinite(ends).any()},
    )


def _kind(model: Any) -> str:
    """What a model is: what it is made of, or its class, a Pipeline that of its last step; nothing for a module of a file."""
    if isinstance(model, Pipeline):
        return _kind(model.steps[-1][1])
    if isinstance(model, Model):
        return model.made_of or model.name
    return "" if type(model).__module__.startswith("knowlimits.files.") else type(model).__name__


def _log_losses(guard: Guard, X: Any, places: np.ndarray | None) -> tuple[float, float]:
    """The mean log loss of rows by the model and by the guard; nan without labels, or rows."""
    if places is None or not len(places):
        return float("nan"), float("nan")
    if not hasattr(X, "iloc") and not len(guard.columns_.categorical):
        # Of objects where other rows had text.
        X = np.asarray(X, dtype=np.float64)
    answers = answering(guard.model, guard.outputs, X)
    probs = np.asarray(answered(answers.predict_proba, X))

    def loss(probs: np.ndarray) -> float:
        return float(-xlogy(1, probs[np.arange(len(places)), places]).mean())

    return loss(probs), loss(guard.blend(X, probs))


def _ranges(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles and halves of the ranges of columns."""
    low, high = numbers.min(0), numbers.max(0)
    return low / 2 + high / 2, high / 2 - low / 2


def _refused(
    guard: Guard, X: Any, places: np.ndarray, middle: np.ndarray, half: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """For each of some columns the share of rows that are refused once it is moved far out, down or up."""
    rows = some(len(X), max(_FEWEST, _MOVED // max(1, 2 * len(places))), rng)
    taken, found = rows_at(X, rows), np.empty(len(places))
    for at, place in enumerate(places):
        accepted = [guard.accepts(_with(taken, int(place), middle[at] + sign * FAR * half[at])).mean() for sign in (-1, 1)]
        found[at] = 1 - np.mean(accepted)
    return found


def _ends_sure(guard: Guard, X: Any, rng: np.random.Generator) -> tuple[float, str]:
    """The share of rays, from rows along continuous columns, along which the model ends sure; nan, and why it is not known."""
    try:
        table, model, rows = read_table(guard.model, X, None, guard.outputs)
        columns = table.continuous(rows, model)
        rows = rows[movable(model, columns, rows)]
        if not len(rows):
            return float("nan"), "every row has gaps"
        rows = rows[some(len(rows), max(_FEWEST, _RAYS // (2 * len(columns.names))), rng)]
        limits = far_field(of_floats(model), *rays(rows, columns)).confidence()
    except TypeError:
        # A guard takes more than can be followed.
        return float("nan"), f"{type(guard.model).__name__} is of no kind that can be followed"
    except (ValueError, UnsupportedOperation) as error:
        return float("nan"), str(error).rstrip(".")
    return float(is_sure(limits).mean()), ""


def _settled(guard: Guard, X: Any, half: np.ndarray, varying: np.ndarray) -> tuple[float, float]:
    """Half-ranges after which the confidence stays near uniform, over rays that move: the median, and where 95% are."""
    if not len(varying) or not len(X):
        return float("nan"), float("nan")
    steps = np.diag(half)[varying]
    found = guard.radii(rows_at(X, np.arange(min(len(X), _DISTANCES))), np.concatenate([-steps, steps]), LEVEL)
    # A gap does not move, so that what is said of its row stays as it is.
    found = found[np.isfinite(found)]
    return (float(np.median(found)), float(np.quantile(found, 0.95))) if len(found) else (float("nan"), float("nan"))


def _with(X: Any, place: int, value: float) -> Any:
    """A table with one number in all of a column."""
    X = X.copy()
    if hasattr(X, "iloc"):
        X.isetitem(place, np.full(len(X), value))
    else:
        X[:, place] = value
    return X
