"""What a person's own model says of rows that nobody has made, and of which rows it says nothing but raises an error."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.auditing.find.features import SURE, is_sure
from knowlimits.auditing.find.subject import Subject
from knowlimits.model.arrays import first_line
from knowlimits.model.model import Model
from knowlimits.model.own import answered, labelled

#: Probabilities ``(n, classes)`` and places of the predicted classes ``(n,)`` of rows; it may raise anything.
Respond = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# What is said of rows at which a model raises nothing, and says nothing.
_NO_NUMBERS, _NO_SUM = "its probabilities are no numbers", "its probabilities do not add up to 1"
# Probabilities that add up to 1 up to so much do.
_OFF = 1e-3

# Where a model raises an error its rows are asked one by one, so many in all, and of each part this many at least.
_CALLS, _SINGLE = 240, 3


@dataclass(frozen=True)
class Reply:
    """What a model says of some rows.

    Attributes:
        probs: ``(n, classes)``; nan where it says nothing.
        classes: places of those that it predicts, ``(n,)``.
        asked: of which rows it was asked, ``(n,)``.
        answered: of which of these it says something, ``(n,)``.
        why: the first line of what it raises of others, or ``""``.
    """

    probs: np.ndarray
    classes: np.ndarray
    asked: np.ndarray
    answered: np.ndarray
    why: str = ""

    @property
    def error(self) -> float:
        """The share of the rows asked of which it says nothing; where all together raise an error, that of one at least."""
        share = np.mean(~self.answered[self.asked])
        return float(max(share, 1 / len(self.asked))) if self.why else 0.0


def by_itself(subject: Subject) -> Respond:
    """How to ask the model that a person brought, by its own methods; what has none is asked as it was read.

    An estimator of scikit-learn's kind checks more than is read of it: that there are no gaps, say.
    """
    brought, shape = subject.brought, subject.columns.shape
    methods = all(hasattr(brought, method) for method in ("predict", "predict_proba"))
    if not methods or isinstance(brought, Model | torch.nn.Module):
        return as_read(subject)

    def answers(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = subject.table_of(rows)
        if shape is not None:
            table = np.asarray(table).reshape(-1, *shape)
        probs = np.asarray(answered(brought.predict_proba, table))
        return probs, subject.places(labelled(brought.predict, table))

    return answers


def as_read(subject: Subject) -> Respond:
    """How to ask what was read of a model, and its own prediction where that is not the likeliest class."""

    def answers(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probs = subject.probabilities(rows).mean(0)
        return probs, probs.argmax(1) if subject.original.own is None else subject.predicted(rows)

    return answers


def answers_of(subject: Subject, chosen: np.ndarray) -> tuple[Respond, Reply, bool]:
    """How to ask the model of rows that nobody has made, what it says of some test rows as they are, and whether itself.

    Where what is made of the rows is not what the person gave, so that it predicts something else, it is asked as it was read.

    Args:
        subject: the model and its data.
        chosen: places of test rows.
    """
    rows = subject.test_rows[chosen]
    answers = by_itself(subject)
    plain = ask(answers, [rows])[0]
    if isinstance(plain, Reply) and np.array_equal(plain.classes, subject.test_predictions[chosen]):
        return answers, plain, True
    answers = as_read(subject)
    plain = ask(answers, [rows])[0]
    assert isinstance(plain, Reply)
    return answers, plain, False


def ask(answers: Respond, parts: Sequence[np.ndarray]) -> list[Reply | str]:
    """Ask of several parts of a table at once, and of each alone only where that raises an error.

    Args:
        answers: the model.
        parts: rows ``(n, columns)`` each.

    Returns:
        What it says of each part, or the first line of what it raises of it.
    """
    try:
        with quietly():
            probs, classes = answers(np.concatenate(parts))
    except Exception as error:
        # A person's model may raise anything of rows that no person has made.
        if len(parts) == 1:
            return [first_line(error) or type(error).__name__]
        middle = len(parts) // 2
        return ask(answers, parts[:middle]) + ask(answers, parts[middle:])
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [_said(*pair) for pair in zip(np.split(probs, ends), np.split(classes, ends), strict=True)]


def single_rows(parts: int) -> int:
    """Of how many rows of each of so many parts a model that raises an error is asked one by one."""
    return max(_SINGLE, _CALLS // max(1, parts))


def ask_one_by_one(answers: Respond, rows: np.ndarray, classes: int, count: int, why: str) -> Reply:
    """Ask of single rows, as of all together an error was raised.

    Args:
        answers: the model.
        rows: ``(n, columns)``.
        classes: how many there are.
        count: of so many rows, evenly spaced, at most.
        why: what was raised.
    """
    n = len(rows)
    probs, places = np.full((n, classes), np.nan), np.zeros(n, dtype=np.intp)
    asked, found = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    asked[np.linspace(0, n - 1, min(count, n)).round().astype(int)] = True
    for row in np.flatnonzero(asked):
        said = ask(answers, [rows[row : row + 1]])[0]
        if isinstance(said, Reply):
            probs[row], places[row], found[row] = said.probs[0], said.classes[0], said.answered[0]
    return Reply(probs, places, asked, found, why)


def newly_sure(said: Reply, before: Reply, level: float = SURE) -> np.ndarray:
    """Of which rows a model is sure, and was not of the same class before, ``(n,)``; not of those that it does not answer."""
    sure, was = (is_sure(np.nan_to_num(one.probs).max(1), level) for one in (said, before))
    return said.answered & sure & ~(was & (said.classes == before.classes))


def _said(probs: np.ndarray, classes: np.ndarray) -> Reply:
    finite = np.asarray(np.isfinite(probs).all(1))
    # One-vs-rest gives 0 for every class where all of them underflow.
    whole = np.abs(np.where(finite[:, None], probs, 0.0).sum(1) - 1) <= _OFF
    why = "" if whole.all() else _NO_SUM if finite.all() else _NO_NUMBERS
    return Reply(probs, classes, np.ones(len(probs), dtype=bool), finite & whole, why)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of which rows that no person has made are full."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
