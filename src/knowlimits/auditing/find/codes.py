"""What a classifier says for each value of columns that are codes, and for one that it has never seen.

A code says a kind, and measures nothing: a category, a truth value, a whole number of which there are few. Test rows are set to
each value of such a column, the others staying as they are, and put before the whole of the model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.asked import Reply, Respond, answers_of, ask, ask_one_by_one, single_rows
from knowlimits.auditing.find.columns import no_measurement
from knowlimits.auditing.find.features import classes_in_words, is_sure
from knowlimits.auditing.find.rays import at_once
from knowlimits.auditing.find.subject import Subject, some
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.find.trials import share
from knowlimits.limits.moving import WHOLE_NUMBERS
from knowlimits.model.steps import Moves
from knowlimits.ood.panel import UNFAMILIARITY, Panel

# Columns that are looked at, and values of each that are seen.
_COLUMNS, _VALUES = 40, 20
# Rows that are set to values, of all values together; of each so many at least, and at most.
_ROWS, _FEWEST, _MOST = 20_000, 25, 200
# Such rows are worked on in blocks, a fraction of those of rays: a model holds several arrays of a block at once.
_PARTS = 4
# Of models whose layers are large they are fewer, down to this many, for so many numbers of the largest layer in all.
_FEWEST_HEAVY, _HEAVY = 8, 100_000_000
# Whole numbers beyond it may be others than they were written as.
_WHOLE = 2.0**53
#: What stands for a gap, and for a category that was never seen.
MISSING, NEVER = "missing", "never seen"
# Columns of the table.
_TEXTS = ("feature", "value", "classes")
_NAMES = ("feature", "value", "seen", "sure", "confidence", "classes", "changed", "error", f"refused, {UNFAMILIARITY}")


@dataclass(frozen=True)
class ByCode:
    """What a classifier says for each value of columns that are codes.

    Attributes:
        table: a row for each value of each column, the most frequent first, and for one that was never seen, where there can be
            one, the last: `feature`; `value`, in words; `seen`, the share of the data that have it, 0 for the one never seen.
            With rows set to it, over those that the model answers, nan where there are none: `sure`, the share that it is sure
            of; `confidence`, the median; `classes` that it predicts; `changed`, the share whose predicted class is another than
            as they are. And over all rows: `error`, the share for which it raises one, or gives no numbers; and
            ``"refused, unfamiliarity"``, the share that the guard refuses, which does not ask the model.
        values: how many values were seen of each column of the table, by its name; of more than `_VALUES` these are the most
            frequent.
        left: how many more columns are codes.
        rows: how many rows were set to each value.
        single: on how many of them one by one, where the model raises an error.
        before: share of the rows at which the model is sure as they are.
        why: the first line of what it raises, by the names of columns.
    """

    table: Table
    values: dict[str, int]
    left: int
    rows: int
    single: int
    before: float
    why: dict[str, str]


@dataclass(frozen=True)
class _Value:
    """A value of a column.

    Attributes:
        place: of the column.
        code: what stands for it in the table.
        words: what it is called.
        count: of the rows that have it.
    """

    place: int
    code: float
    words: str
    count: int


def of_codes(subject: Subject, panel: Panel, rng: np.random.Generator, widest: int | None = None) -> ByCode:
    """Set columns that are codes to each of their values.

    Args:
        subject: the model and its data.
        panel: its guard.
        rng: what rows are drawn by.
        widest: as `along_features` has it.
    """
    data = np.concatenate([subject.rows, subject.test_rows])
    names = _names(subject)
    places = [place for place, name in enumerate(names) if _is_code(subject, data[:, place], place, name)]
    values = [value for place in places[:_COLUMNS] for value in _values(subject, data[:, place], place)]
    if not values:
        empty = {name: np.empty(0, dtype=str if name in _TEXTS else float) for name in _NAMES}
        return ByCode(Table(empty), {}, 0, 0, 0, float("nan"), {})
    heavy = max(_FEWEST_HEAVY, _HEAVY // (len(values) * (widest or subject.model.widest(data.shape[1]))))
    chosen = some(len(subject.test_rows), min(heavy, max(_FEWEST, min(_MOST, _ROWS // len(values)))), rng)
    answers, plain, _ = answers_of(subject, chosen)
    trials = _Trials(subject, panel, subject.test_rows[chosen], plain, answers, values)
    said = trials.said()
    errors = [value for value, one in zip(values, said, strict=True) if isinstance(one, str)]
    single = min(len(chosen), single_rows(len(errors)))
    rows = [
        {"feature": names[value.place], "value": value.words} | trials.row(value, one, single)
        for value, one in zip(values, said, strict=True)
    ]
    whys = {names[value.place]: one for value, one in zip(values[::-1], said[::-1], strict=True) if isinstance(one, str)}
    return ByCode(
        table=Table.of([{name: row[name] for name in _NAMES} for row in rows]),
        values={names[place]: len(np.unique(_present(data[:, place]))) for place in places[:_COLUMNS]},
        left=len(places[_COLUMNS:]),
        rows=len(chosen),
        single=single if errors else 0,
        before=float(is_sure(plain.probs.max(1)).mean()),
        why=whys,
    )


def _names(subject: Subject) -> list[str]:
    """What the columns of the table are called."""
    moved = dict(zip(subject.columns.places, subject.columns.names, strict=True))
    others = iter(subject.columns.left_out)
    return [moved[place] if place in moved else next(others) for place in range(subject.rows.shape[1])]


def _is_code(subject: Subject, values: np.ndarray, place: int, name: str) -> bool:
    """Whether a column is one of codes; a place of an input of several axes is none."""
    distinct, columns = np.unique(_present(values)), subject.columns
    if not len(distinct) or place in columns.places or columns.shape is not None:
        return False
    about = None if subject.model.steps is None else subject.model.steps.columns[place]
    if len(distinct) == 2 or (about is not None and about.levels is not None):
        return True
    if (distinct != np.round(distinct)).any():
        return False
    held = (about is not None and about.moves is Moves.HELD) or columns.left_out[name] == WHOLE_NUMBERS
    # Numbers of which hardly one comes twice measure something, whatever they go through.
    return no_measurement(values) != "" or (held and 2 * len(distinct) <= len(_present(values)))


def _values(subject: Subject, values: np.ndarray, place: int) -> list[_Value]:
    """The values of a column, the most frequent first, a gap among them, and one that was never seen."""
    distinct, counts = np.unique(_present(values), return_counts=True)
    steps = subject.model.steps
    levels = None if steps is None else steps.columns[place].levels
    dtypes = None if steps is None else steps.layout.dtypes
    truth = levels is None and dtypes is not None and getattr(dtypes[place], "kind", "") == "b"

    def words(code: float) -> str:
        if levels is not None:
            return str(levels[int(code)])
        return str(bool(code)) if truth else f"{code:.15g}"

    order = np.argsort(-counts, kind="stable")[:_VALUES]
    found = [_Value(place, code, words(code), int(n)) for code, n in zip(distinct[order].tolist(), counts[order], strict=True)]
    if gaps := int(np.isnan(values).sum()):
        found.append(_Value(place, np.nan, MISSING, gaps))
    found.sort(key=lambda value: -value.count)
    if levels is not None:
        if not np.isnan(code := float(subject.unseen[place])):
            found.append(_Value(place, code, NEVER, 0))
    elif not truth and (code := np.floor(subject.highest[place]) + 1) < _WHOLE:
        found.append(_Value(place, float(code), f"{code:.0f}, {NEVER}", 0))
    return found


def _present(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


@dataclass(frozen=True)
class _Trials:
    """Rows that are set to values.

    Attributes:
        subject, panel: as `of_codes` has them.
        rows: ``(n, columns)``.
        plain: what the model says of them as they are.
        answers: the model.
        values: of columns.
    """

    subject: Subject
    panel: Panel
    rows: np.ndarray
    plain: Reply
    answers: Respond
    values: list[_Value]

    def said(self) -> list[Reply | str]:
        """What the model says with all rows set to each value, or the first line of what it raises."""
        width = max(self.rows.shape[1], self.subject.model.widest(self.rows.shape[1]))
        size = max(1, at_once(width) // _PARTS // len(self.rows))
        found: dict[int, Reply | str] = {}
        # A model raises an error about values that were never seen, if about any.
        order = sorted(range(len(self.values)), key=lambda k: self.values[k].count == 0)
        for begin in range(0, len(order), size):
            block = order[begin : begin + size]
            found |= zip(block, ask(self.answers, [self._set(self.values[k]) for k in block]), strict=True)
        return [found[k] for k in range(len(order))]

    def row(self, value: _Value, said: Reply | str, single: int) -> dict[str, Any]:
        """Numbers of the table for a value; where the model raises an error so many single rows are asked."""
        rows, subject = self._set(value), self.subject
        if isinstance(said, str):
            said = ask_one_by_one(self.answers, rows, len(subject.classes), single, said)
        answered = said.answered
        confidence, classes = said.probs[answered].max(1, initial=0.0), said.classes[answered]
        refused = self.panel.guard.unfamiliarity(rows) > self.panel.thresholds[UNFAMILIARITY]
        return {
            "seen": value.count / (len(subject.rows) + len(subject.test_rows)),
            "sure": share(is_sure(confidence)),
            "confidence": float(np.median(confidence)) if len(confidence) else float("nan"),
            "classes": classes_in_words(np.eye(len(subject.classes))[classes][:, None], subject.classes)[0],
            "changed": share(classes != self.plain.classes[answered]),
            "error": said.error,
            f"refused, {UNFAMILIARITY}": share(refused),
        }

    def _set(self, value: _Value) -> np.ndarray:
        rows = self.rows.copy()
        rows[:, value.place] = value.code
        return rows
