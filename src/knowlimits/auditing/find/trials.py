"""Faults tried on a classifier: what it says of broken rows, what its scores, detectors and the guard refuse of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from knowlimits import scores
from knowlimits.auditing.find.asked import Reply, Respond, ask, ask_one_by_one, newly_sure, quietly, single_rows
from knowlimits.auditing.find.detection import Detection
from knowlimits.auditing.find.features import is_sure
from knowlimits.auditing.find.rays import at_once
from knowlimits.auditing.find.subject import Subject
from knowlimits.faults import Case
from knowlimits.model.kinds.fitted import in_single_precision
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, UNFAMILIARITY, Panel

# Broken rows are worked on in blocks, a fraction of those of rays: scores hold several arrays of a block at once.
_PARTS = 4
# Rows of each fault at which a reading is held to all probabilities of the model itself.
_HELD_TO = 8
# Rounding errors of a model grow with its inputs: by so many times their size, in those of the data.
_ROUNDINGS = 100


@dataclass(frozen=True)
class Tried:
    """A fault that was tried.

    Attributes:
        shares: by columns of the table.
        danger: shares of the rows asked that the entropy accepts: sure of another class, predicting another, sure.
        why: what the model raises, or ``""``.
        asked: how many rows it was asked of.
        become_sure: of how many of these it is sure, and was not, or of another class.
        read: whether the reading says what the model says.
    """

    shares: dict[str, float]
    danger: tuple[float, float, float]
    why: str
    asked: int
    become_sure: int
    read: bool


@dataclass(frozen=True)
class Trials:
    """Faults to be tried.

    Attributes:
        subject, panel, detection: as `under_faults` has them.
        rows: that are broken, ``(n, columns)``.
        plain: what the model says of them as they are.
        answers: the model.
        cases: the faults.
        seeds: of what each draws.
    """

    subject: Subject
    panel: Panel
    detection: Detection
    rows: np.ndarray
    plain: Reply
    answers: Respond
    cases: Sequence[Case]
    seeds: np.ndarray

    def all(self) -> tuple[list[Tried], int]:
        """What comes of each, and how many rows were asked one by one where errors were raised."""
        found: dict[int, Tried] = {}
        errors: dict[int, str] = {}
        # A model raises errors about one kind of fault rather than about one column.
        for block in self._blocks(sorted(range(len(self.cases)), key=lambda k: type(self.cases[k].fault).__name__)):
            parts = [self._broken(k) for k in block]
            said = ask(self.answers, parts)
            errors |= {k: one for k, one in zip(block, said, strict=True) if isinstance(one, str)}
            answered = [(k, p, s) for k, p, s in zip(block, parts, said, strict=True) if isinstance(s, Reply)]
            found |= self._tried(answered)
        single = min(len(self.rows), single_rows(len(errors)))
        classes = len(self.subject.classes)
        for block in self._blocks(list(errors)):
            parts = [self._broken(k) for k in block]
            said = [ask_one_by_one(self.answers, p, classes, single, errors[k]) for k, p in zip(block, parts, strict=True)]
            found |= self._tried(list(zip(block, parts, said, strict=True)))
        return [found[k] for k in range(len(self.cases))], single if errors else 0

    def _blocks(self, order: list[int]) -> Iterator[list[int]]:
        """Faults, so few at a time that their rows take little memory."""
        width = self.rows.shape[1]
        points = at_once(max(width, self.subject.model.widest(width))) // _PARTS
        size = max(1, points // len(self.rows))
        return (order[begin : begin + size] for begin in range(0, len(order), size))

    def _broken(self, k: int) -> np.ndarray:
        """The rows as a fault leaves them."""
        return self.cases[k].change(self.rows, np.random.default_rng(self.seeds[k]))

    def _tried(self, block: list[tuple[int, np.ndarray, Reply]]) -> dict[int, Tried]:
        """What comes of faults, by the broken rows and what the model says of them."""
        if not block:
            return {}
        scored = self._scored([(rows[said.answered], said.probs[said.answered]) for _, rows, said in block])
        unfamiliar = self.panel.guard.unfamiliarity(np.concatenate([rows for _, rows, _ in block]))
        ends = np.cumsum([len(rows) for _, rows, _ in block])[:-1]
        return {
            k: self._one(said, found, guarded)
            for (k, _, said), found, guarded in zip(block, scored, np.split(unfamiliar, ends), strict=True)
        }

    def _one(self, said: Reply, found: dict[str, np.ndarray] | None, unfamiliar: np.ndarray) -> Tried:
        """What comes of a fault.

        Args:
            said: what the model says.
            found: the scores of the rows that it answers; None where they are not to be had.
            unfamiliar: what the guard says of all rows.
        """
        answered = said.answered
        thresholds = dict(zip(self.detection.scores, self.detection.thresholds, strict=True))
        sure = is_sure(said.probs[answered].max(1, initial=0.0))
        changed = said.classes[answered] != self.plain.classes[answered]
        refused = {name: found[name] > thresholds[name] for name in thresholds} if found else {}
        newly = newly_sure(said, self.plain)
        shares = {"sure": share(sure), "newly_sure": share(newly[answered])}
        shares |= {"changed": share(changed), "error": said.error}
        shares |= {f"refused, {name}": share(refused[name]) if found else np.nan for name in thresholds}
        shares[f"refused, {UNFAMILIARITY}"] = share(unfamiliar > thresholds[UNFAMILIARITY])
        entropy = ENTROPIES[AS_IT_IS]
        # What the scores cannot say, the model's own probabilities do.
        noticed = refused[entropy] if found else scores.entropy(said.probs[None, answered]) > thresholds[entropy]
        asked = said.asked.sum()
        harm = (sure & changed & ~noticed, changed & ~noticed, sure & ~noticed)
        danger = tuple(float(one.sum() / asked) for one in harm)
        return Tried(shares, danger, said.why, int(asked), int(newly.sum()), found is not None)  # type: ignore[arg-type]

    def _scored(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, np.ndarray] | None]:
        """All scores of the rows of each part, None for one at which the reading is not what the model says.

        Args:
            parts: rows and the model's own probabilities.
        """
        rows, probs = (np.concatenate(one) for one in zip(*parts, strict=True))
        if not len(rows):
            return [{name: np.zeros(0) for name in self.detection.scores}] * len(parts)
        try:
            with quietly():
                found = self.panel.at(rows)
        except Exception:
            # Numbers that overflow in one way or another, behind steps that may raise anything.
            if len(parts) == 1:
                return [None]
            middle = len(parts) // 2
            return self._scored(parts[:middle]) + self._scored(parts[middle:])
        ends = np.cumsum([len(one) for one, _ in parts])
        right = self._as_read(rows, probs, found["max_prob"], np.split(np.arange(len(rows)), ends[:-1]))
        each = [np.split(values, ends[:-1]) for values in found.values()]
        return [dict(zip(found, values, strict=True)) if so else None for so, *values in zip(right, *each, strict=True)]

    def _as_read(self, rows: np.ndarray, probs: np.ndarray, unsure: np.ndarray, parts: list[np.ndarray]) -> list[bool]:
        """Whether the reading says what the model says, of each part of some rows.

        The confidence is compared at all of them, and all probabilities at a few.

        Args:
            rows, probs: rows, and the model's own probabilities.
            unsure: 1 less the confidence as it was read.
            parts: places of rows.
        """
        precision = np.finfo(np.float32 if probs.dtype == np.float32 or self._single else np.float64).eps
        tolerance = precision**0.5 + precision * _ROUNDINGS * self._sizes(rows)
        off = np.abs(1 - unsure - probs.max(1))
        few = np.concatenate(
            [part[np.unique(np.linspace(0, len(part) - 1, _HELD_TO).round().astype(int))] for part in parts if len(part)]
        )
        read = self.subject.probabilities(rows[few]).mean(0)
        off[few] = np.maximum(off[few], np.abs(read - probs[few]).max(1))
        return [bool((off[part] <= tolerance[part]).all()) for part in parts]

    @cached_property
    def _single(self) -> bool:
        return in_single_precision(self.subject.original)

    def _sizes(self, rows: np.ndarray) -> np.ndarray:
        """How many times as large as the data rows are, at most, ``(n,)``."""
        known = np.nan_to_num(np.abs(self.subject.rows)).max(0)
        return np.nan_to_num(np.abs(rows) / np.where(known > 0, known, 1.0)).max(1).clip(1.0)


def share(of: np.ndarray) -> float:
    """The share of rows, nan of none."""
    return float(of.mean()) if len(of) else float("nan")
