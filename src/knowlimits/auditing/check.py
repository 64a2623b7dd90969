"""A test for a person's own test suite: that their model does not become sure of itself without reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from knowlimits.auditing.find.asked import Reply, Respond, ask, ask_one_by_one, newly_sure, single_rows
from knowlimits.auditing.find.columns import Continuous, TableReader
from knowlimits.auditing.find.faults import observed
from knowlimits.auditing.find.features import SURE, is_sure
from knowlimits.auditing.find.gaps import movable
from knowlimits.auditing.find.places import as_table, axes_of, shape_of_inputs
from knowlimits.auditing.find.plausible import plausible_ends
from knowlimits.auditing.find.rays import at_once, rays
from knowlimits.auditing.find.subject import as_given, of_floats, read_table, some
from knowlimits.faults import Case, Observed, read_faults
from knowlimits.limits.far_field import far_field
from knowlimits.model.model import Model
from knowlimits.model.own import answered
from knowlimits.ood.remedies.laplace import LastLayerLaplace

# Rays that are followed, at most, and rows that are moved to ends of ranges, or broken.
_RAYS = 100_000
# Ways, ends and faults that the message names of each.
_NAMED = 10


def assert_far_field(
    model: Any,
    X: Any,
    max_confident_share: float = 0.2,
    *,
    ranges: Any = None,
    faults: Any = None,
    max_newly_sure_share: float = 0.2,
    outputs: str | None = None,
    confidence: float = SURE,
    feature_names: Any = None,
    continuous: Any = None,
    input_shape: Any = None,
    random_state: int = 0,
) -> None:
    """Fail unless few rows end sure of themselves, whichever continuous column grows without bound; for test suites.

    With `ranges` and `faults` neither may the model become sure on more than a few rows where a column goes to an end of what
    it may plausibly be, or where the data arrive broken. A row on which it was sure before, and stays so of the same class,
    does not count, as a column need not matter; one that it does not answer, neither.

    Args:
        model: what `knowlimits.audit` takes, or a fitted `knowlimits.Guard` or `knowlimits.LastLayerLaplace`.
        X: data like those that the model was trained on, ``(n, columns)``, or ``(n, ...)`` as the model takes its inputs.
        max_confident_share: the largest share of the rows that may end sure, along each column and way.
        ranges: what columns may plausibly be, as `knowlimits.audit` has them; ``"data"`` for what they are in X. Without it no
            column is moved there.
        faults: what may go wrong with the data, as `knowlimits.audit` has it; ``"default"`` for what the data suggest. Without
            it nothing is broken.
        max_newly_sure_share: the largest share of the rows on which the model may become sure, or sure of another class, at
            each end of a range and under each fault.
        outputs: as `knowlimits.read` has it.
        confidence: from which on a row counts as sure.
        feature_names, continuous, input_shape: as `knowlimits.audit` has them.
        random_state: seed of the rows that are drawn from large tables, and of faults.

    Raises:
        AssertionError: if a column or a fault breaks it; the text names those that do, the worst first.
        ValueError: if an argument is not what is accepted.

    Example:
        >>> import torch, knowlimits as kl
        >>> kl.assert_far_field(torch.nn.Linear(2, 2), torch.randn(50, 2))
        Traceback (most recent call last):
        AssertionError: the model ends sure of itself ...
    """
    for name, share in (("max_confident_share", max_confident_share), ("max_newly_sure_share", max_newly_sure_share)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be in 0 to 1. Got {share} instead.")
    if not 0 < confidence <= 1:
        raise ValueError(f"confidence must be above 0 and at most 1. Got {confidence} instead.")
    checked = _read(model, X, feature_names, continuous, outputs, input_shape)
    # What is wrong with these is said before the work.
    ends = [] if ranges is None else _to_ends(checked.columns, ranges)
    broken = [] if faults is None else _broken(checked, faults, random_state)
    along = _ends_sure(checked, confidence, random_state)
    at_ends, faulty = (_become_sure(checked, changes, confidence, random_state) for changes in (ends, broken))
    clauses = [
        _clause(f"{what}, with a confidence of {confidence:g} or more", most, where, shares)
        for what, most, where, shares in (
            ("ends sure of itself", max_confident_share, "along {} ways", along),
            ("becomes sure", max_newly_sure_share, "at {} ends of ranges", at_ends),
            ("becomes sure", max_newly_sure_share, "under {} faults", faulty),
        )
    ]
    if any(clauses):
        text = "; it ".join(filter(None, clauses))
        raise AssertionError(f"the model {text}. knowlimits.audit says more, and knowlimits.Guard is a remedy.")


@dataclass(frozen=True, eq=False)
class _Checked:
    """A model or a remedy, and the rows that it is checked on.

    Attributes:
        columns: that move.
        rows: the table as floats, ``(n, columns)``, with gaps where the model takes them.
        limits: the limiting confidence along rays, ``(n,)``.
        answers: what the model says of rows.
        observed: the table as faults are made for it.
    """

    columns: Continuous
    rows: np.ndarray
    limits: Callable[[np.ndarray, np.ndarray], np.ndarray]
    answers: Respond
    observed: Observed

    def drawn(self, parts: int, random_state: int) -> np.ndarray:
        """So many of the rows that together with all that is done to them they are not too many."""
        return self.rows[some(len(self.rows), max(1, _RAYS // max(1, parts)), np.random.default_rng(random_state))]


class _Change(NamedTuple):
    """Something that is done to rows.

    Attributes:
        words: what.
        start: rows as they are before.
        done: as they are then.
    """

    words: str
    start: Callable[[np.ndarray], np.ndarray]
    done: Callable[[np.ndarray], np.ndarray]


def _ends_sure(checked: _Checked, level: float, random_state: int) -> list[tuple[str, float]]:
    """The share of rows that end sure, for each column and way."""
    columns = checked.columns
    rows = checked.drawn(2 * len(columns.names), random_state)
    shares = is_sure(checked.limits(*rays(rows, columns)), level).reshape(len(rows), -1).mean(0)
    ways = [f"{name!r} to {way}" for name in columns.names for way in ("-inf", "+inf")]
    return list(zip(ways, shares.tolist(), strict=True))


def _to_ends(columns: Continuous, ranges: Any) -> list[_Change]:
    """Columns that go to the ends of what they may be."""
    ends = plausible_ends(columns, ranges)

    def change(feature: int, value: float) -> _Change:
        place, step = columns.places[feature], columns.steps[feature]

        def moved(rows: np.ndarray) -> np.ndarray:
            moved = rows.copy()
            moved[:, place] = value
            return moved

        return _Change(f"{columns.names[feature]!r} = {value:g}", lambda rows: columns.started(rows, step), moved)

    return [change(int(feature), float(value)) for feature, value in zip(ends.feature, ends.value, strict=True)]


def _broken(checked: _Checked, faults: Any, random_state: int) -> list[_Change]:
    """Faults of the data."""

    def change(number: int, case: Case) -> _Change:
        return _Change(
            f"{case.feature!r}, {case.words}",
            lambda rows: rows,
            lambda rows: case.change(rows, np.random.default_rng((random_state, number))),
        )

    return [change(number, case) for number, case in enumerate(read_faults(faults, checked.observed))]


def _become_sure(checked: _Checked, changes: list[_Change], level: float, random_state: int) -> list[tuple[str, float]]:
    """The share of rows on which the model becomes sure, or sure of another class, for each change."""
    if not changes:
        return []
    rows = checked.drawn(len(changes), random_state)
    size = max(1, at_once(rows.shape[1]) // len(rows))
    single = single_rows(len(changes))
    plain, shares = _said(checked.answers, rows), []
    for begin in range(0, len(changes), size):
        block = changes[begin : begin + size]
        parts = [change.done(rows) for change in block]
        for change, done, after in zip(block, parts, ask(checked.answers, parts), strict=True):
            start = change.start(rows)
            before = plain if start is rows else _said(checked.answers, start)
            if isinstance(after, str):
                after = ask_one_by_one(checked.answers, done, before.probs.shape[1], single, after)
            shares.append((change.words, float(newly_sure(after, before, level)[after.asked].mean())))
    return shares


def _said(answers: Respond, rows: np.ndarray) -> Reply:
    """What is said of rows that nothing is wrong with."""
    said = ask(answers, [rows])[0]
    if isinstance(said, str):
        raise ValueError(f"X must have rows that the model answers. Got an error from it instead: {said}")
    return said


def _clause(what: str, most: float, where: str, shares: list[tuple[str, float]]) -> str:
    """What is beyond the limit, the worst first; ``""`` if nothing is."""
    broken = sorted(((words, share) for words, share in shares if share > most), key=lambda one: -one[1])
    if not broken:
        return ""
    named = ", ".join(f"{words} ({share:.0%})" for words, share in broken[:_NAMED])
    more = f", and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    places = where.format(f"{len(broken)} of {len(shares)}")
    return f"{what}, on more than {most:.0%} of the rows {places}: {named}{more}"


def _read(model: Any, X: Any, feature_names: Any, continuous: Any, outputs: str | None, input_shape: Any) -> _Checked:
    """What is checked."""
    found = None
    if isinstance(model, LastLayerLaplace):
        table, found, rows = read_table(model.model, X, feature_names, model.outputs, input_shape)
    elif _is_remedy(model):
        # A guard ends in the same whichever column moves.
        shape = shape_of_inputs(model.model, X, input_shape)
        data = as_table("X", X, shape)
        table = TableReader(model, data, feature_names, shape)
        rows = table.rows("X", data, None)
    else:
        table, found, rows = read_table(model, X, feature_names, outputs, input_shape)
    if not len(rows):
        raise ValueError("X must have a row at least. Got none.")
    columns = table.continuous(rows, found, continuous)
    rows = rows[movable(found, columns, rows)]
    if not len(rows):
        raise ValueError("X must have a row without gaps at least, as what fills them hangs on other columns. Got none.")
    read = found and of_floats(found)
    named = tuple(X.columns) if hasattr(X, "iloc") else None
    # A remedy was fitted to what has such axes, as the data have.
    axes = axes_of("X", X)[1:] if _is_remedy(model) else columns.shape or ()

    def inputs(rows: np.ndarray, named: Sequence[Any] | None) -> Any:
        given = as_given(read, named, rows)
        return np.asarray(given).reshape(-1, *axes) if len(axes) > 1 else given

    def limits(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        if not _is_remedy(model):
            return far_field(read, origins, directions).confidence()
        towards = directions.reshape(-1, *axes) if len(axes) > 1 else directions
        return model.far_field(inputs(origins, None), towards).confidence()

    def answers(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(model, Model | torch.nn.Module) or not hasattr(model, "predict_proba"):
            assert read is not None
            probs = read.at(torch.from_numpy(rows)).numpy().mean(0)
        else:
            probs = np.asarray(answered(model.predict_proba, inputs(rows, named)))
        return probs, probs.argmax(1)

    unseen = np.full(rows.shape[1], np.nan) if found is None or found.steps is None else found.steps.unseen
    return _Checked(columns, rows, limits, answers, observed(columns, rows, read, unseen))


def _is_remedy(model: Any) -> bool:
    return hasattr(model, "far_field")
