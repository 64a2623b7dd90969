"""What becomes of a classifier where its rows arrive broken: faults of a table, put before the whole of the model.

Every number is what a person would find who breaks the rows of the table by hand and asks the model itself, steps and all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.asked import answers_of
from knowlimits.auditing.find.columns import Continuous, no_measurement, without_gaps
from knowlimits.auditing.find.detection import Detection
from knowlimits.auditing.find.features import is_sure
from knowlimits.auditing.find.subject import Subject, some
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.find.trials import Trials, share
from knowlimits.faults import Case, Observed, read_faults
from knowlimits.limits.far_field import far_field
from knowlimits.limits.moving import moving_columns
from knowlimits.model.model import Model
from knowlimits.model.steps import Moves
from knowlimits.ood.panel import Panel

#: Faults that a verdict names, at most.
WORST = 5
# Rows that are broken, of all faults together; of each so many at least, and at most.
_ROWS, _FEWEST, _MOST = 16_000, 25, 300
# Of models whose layers are large they are fewer, down to this many, for so many numbers of the largest layer in all.
_FEWEST_HEAVY, _HEAVY = 8, 100_000_000
# So many columns of a fault, at most, count as named by it.
_FEW = 2


@dataclass(frozen=True)
class Faults:
    """What faults do to a classifier.

    Attributes:
        table: a row for each fault of each column: `feature`; `fault`, in words; and shares of the broken rows. `error`: the
            model raises one, or gives no numbers. Over those that it answers, nan where there are none: `sure`, it is sure of
            itself; `newly_sure`, it is, and was not, or of another class; `changed`, it predicts another class than before; and
            ``refused, SCORE``, what each score refuses at its threshold (`Detection.thresholds`), nan where it is not known;
            but the guard's own, which does not ask the model, is over all. `limit`: over all, those that end sure where the
            fault grows without bound, exactly; nan where it cannot.
        clauses: of each, as a condition: "'dose' arrives ten times too large".
        order: rows of the table, the most dangerous first.
        worst: of them `WORST` at most that do harm, of columns that none before has named; of those that are as dangerous the
            first of a kind of fault that has not been named.
        why: of each, the first line of what the model raises, or ``""``.
        unread: rows of the table at which the reading is not what the model itself says, which is all that is told of them.
        rows: how many rows each fault was tried on.
        single: on how many of them one by one, where the model raises an error.
        asked: of how many rows of each the model was asked.
        become_sure: of how many of these it is sure, and was not, or of another class.
        columns: how many columns the faults are about.
        before: share of the rows at which the model is sure as they are.
        itself: whether the model itself was asked; else as it was read.
    """

    table: Table
    clauses: tuple[str, ...]
    order: np.ndarray
    worst: tuple[int, ...]
    why: tuple[str, ...]
    unread: tuple[int, ...]
    rows: int
    single: int
    asked: np.ndarray
    become_sure: np.ndarray
    columns: int
    before: float
    itself: bool


def under_faults(
    subject: Subject, panel: Panel, detection: Detection, given: Any, rng: np.random.Generator, widest: int | None = None
) -> Faults:
    """Break the rows in every way, one by one, and look at what the model, its scores, detectors and the guard make of them.

    The worst are those at which most rows are dangerous and least noticed: the model is sure of another class than before,
    and its entropy accepts the row; of those that are alike there, it predicts another class, sure or not, which its entropy
    accepts; and then it is sure, of whatever class, which its entropy accepts. Of those that are alike in all that comes first
    what `knowlimits.faults` has first, as the likelier. Rows at which the model raises an error do no harm.

    Args:
        subject: the model and its data.
        panel: its scores.
        detection: what their thresholds are.
        given: faults, as `knowlimits.faults.read_faults` takes them.
        rng: what rows are drawn by, and what faults draw.
        widest: as `along_features` has it.
    """
    held = _held(subject.model, subject.rows)
    cases = read_faults(given, observed(subject.columns, subject.rows, subject.model, subject.unseen))
    rows, width = subject.test_rows, subject.test_rows.shape[1]
    heavy = max(_FEWEST_HEAVY, _HEAVY // (max(1, len(cases)) * (widest or subject.model.widest(width))))
    count = min(heavy, max(_FEWEST, min(_MOST, _ROWS // max(1, len(cases)))))
    chosen = some(len(rows), count, rng)
    rows = rows[chosen]
    answers, plain, itself = answers_of(subject, chosen)
    trials = Trials(subject, panel, detection, rows, plain, answers, cases, rng.integers(2**63, size=len(cases)))
    tried, single = trials.all()
    limits = _limits(subject, cases, rows, is_sure(plain.probs.max(1)), held)
    names = ("sure", "newly_sure", "changed", "error", "limit", *(f"refused, {score}" for score in detection.scores))
    shares = [one.shares | {"limit": limit} for one, limit in zip(tried, limits, strict=True)]
    table = {"feature": np.array([case.feature for case in cases], dtype=str)}
    table |= {"fault": np.array([case.words for case in cases], dtype=str)}
    table |= {name: np.array([one[name] for one in shares], dtype=np.float64) for name in names}
    danger = np.array([one.danger for one in tried]).reshape(-1, 3)
    order = np.lexsort(-danger.T[::-1])
    return Faults(
        table=Table(table),
        clauses=tuple(case.clause for case in cases),
        order=order,
        worst=_worst(cases, order, danger),
        why=tuple(one.why for one in tried),
        unread=tuple(k for k, one in enumerate(tried) if not one.read),
        rows=len(rows),
        single=single,
        asked=np.array([one.asked for one in tried], dtype=np.intp),
        become_sure=np.array([one.become_sure for one in tried], dtype=np.intp),
        columns=len({place for case in cases for place in case.places}),
        before=float(is_sure(plain.probs.max(1)).mean()),
        itself=itself,
    )


def _worst(cases: Sequence[Case], order: np.ndarray, danger: np.ndarray) -> tuple[int, ...]:
    """The first that do harm: of each column one, and so of what has many columns, as a channel.

    Of those that are as dangerous the first of a kind of fault that has not been named.
    """
    named: set[Any] = set()
    kinds: set[type] = set()
    found: list[int] = []
    left = [k for k in order.tolist() if danger[k].any()]
    while left and len(found) < WORST:
        alike = [k for k in left if np.array_equal(danger[k], danger[left[0]])]
        first = next((k for k in alike if type(cases[k].fault) not in kinds), alike[0])
        found.append(first)
        named |= _about(cases[first])
        kinds.add(type(cases[first].fault))
        left = [k for k in left if not _about(cases[k]) & named]
    return tuple(found)


def _about(case: Case) -> set[Any]:
    """What a fault names: its columns, or what is called by one name."""
    return {*case.places} if len(case.places) <= _FEW else {case.feature}


def observed(columns: Continuous, rows: np.ndarray, model: Model | None, unseen: np.ndarray) -> Observed:
    """The table as faults are made for it: columns that the audit moves are measurements, and what is like them.

    Args:
        columns: those that move.
        rows: the table as floats.
        model: what takes it; None where all columns are numbers, and can move.
        unseen: for each column the code of a category that was never seen, nan where there is none.
    """
    moved, count = set(columns.places), rows.shape[1]
    levels = [None] * count if model is None or model.steps is None else [column.levels for column in model.steps.columns]
    held = np.zeros(count, dtype=bool) if model is None else _held(model, rows)
    # What a step holds may be a measurement that it takes no other values of; whole numbers are codes then.
    whole = held & (np.isnan(rows) | (rows == np.round(rows))).all(0)
    like = [levels[k] is None and not whole[k] and not no_measurement(rows[:, k]) for k in range(count)]
    return Observed(
        names=columns.all_names,
        rows=rows,
        levels=tuple(levels),
        measured=np.array([place in moved or like[place] for place in range(count)]),
        unseen=unseen,
        shape=columns.shape,
    )


def _held(model: Model, rows: np.ndarray) -> np.ndarray:
    """Which columns cannot go to infinity, ``(columns,)``."""
    return np.array([why != "" for _, why in moving_columns(model, without_gaps(rows))])


def _limits(subject: Subject, cases: Sequence[Case], rows: np.ndarray, sure: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The share of rows that end sure where each fault grows without bound, ``(cases,)``; nan where it cannot.

    Args:
        subject: the model.
        cases: the faults.
        rows: that they happen to, ``(n, columns)``; one that does not move stays as it is.
        sure: which of them the model is sure of as they are, ``(n,)``.
        held: which columns cannot move, ``(columns,)``.
    """
    steps = subject.model.steps
    endless = np.array([steps is not None and steps.columns[k].moves is Moves.ENDLESS for k in range(rows.shape[1])])
    limits = np.full(len(cases), np.nan)
    # Faults of one column have the same rays, most of them.
    known: dict[bytes, float] = {}
    for k, case in enumerate(cases):
        if case.ray is None:
            continue
        directions = case.ray(rows)
        moving = directions.any(0)
        if (moving & held).any() or ((moving & endless).any() and moving.sum() > 1):
            continue
        longest = np.abs(directions).max(1, keepdims=True)
        directions = np.divide(directions, longest, out=np.zeros_like(directions), where=longest > 0)
        key = directions.tobytes()
        if key not in known:
            known[key] = share(_ends_sure(subject, rows, directions, sure))
        limits[k] = known[key]
    return limits


def _ends_sure(subject: Subject, rows: np.ndarray, directions: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Which rows end sure, ``(n,)``: where they do not move, those that are."""
    ends, moves = sure.copy(), directions.any(1)
    if moves.any():
        starts = subject.columns.started(rows[moves], directions[moves])
        ends[moves] = is_sure(far_field(subject.model, starts, directions[moves]).confidence())
    return ends
