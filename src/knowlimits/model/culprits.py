"""Which of fitted steps a column cannot go through in a straight line: its name, for messages."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from knowlimits.model.chains import Chain, as_array, is_identity, parts_of, take
from knowlimits.model.tables import Layout

# How far a column is moved, in units; first not at all.
_SHIFTS = np.array([0.0, 1, -1, 1.3 * 2.0**20, -(2.0**20), 1.7 * 2.0**40, -(2.0**40)])
# What is straight to that part is so.
_STRAIGHT = 2.0**-16


def through(chain: Chain, layout: Layout, bases: np.ndarray, units: np.ndarray, ranks: np.ndarray) -> list[str]:
    """For each column what it goes through; ``""`` for those of rank 0.

    Columns that have the same rank, and go to the same parts of a ColumnTransformer, are taken to go through the same.
    """
    first = chain.transformers[0] if chain.transformers else None
    parts = parts_of(first, len(ranks), layout.labels) if hasattr(first, "transformers_") else []
    known: dict[Any, str] = {}
    whys = []
    for place, rank in enumerate(ranks):
        levels = layout.levels[place]
        kind = (rank, levels is None, tuple(k for k, (_, places) in enumerate(parts) if place in places))
        if rank and kind not in known:
            shifts = _SHIFTS * units[place] if levels is None else np.arange(min(2, len(levels)), dtype=float)
            rows = np.repeat(bases[:1], len(shifts), 0)
            rows[:, place] = rows[0, place] + shifts if levels is None else shifts
            found = _culprit(chain.transformers, layout.decode(rows), layout.labels, shifts if levels is None else None)
            known[kind] = found or ("no numbers" if levels is not None else str(chain))
        whys.append(known[kind] if rank else "")
    return whys


def _culprit(steps: Sequence[Any], table: Any, labels: Sequence[Any] | None, shifts: np.ndarray | None) -> str | None:
    """The name of the first step that bends a column, which in the rows of a table moves by `shifts`; None for no numbers."""
    for step in steps:
        if is_identity(step):
            continue
        try:
            after = step.transform(table)
            bends = _bends(after, shifts)
        except Exception:
            # Whatever a person's steps raise about rows.
            after, bends = None, True
        if bends:
            return _within(step, table, labels, shifts)
        table, labels = after, getattr(after, "columns", None)
    return None


def _within(step: Any, table: Any, labels: Sequence[Any] | None, shifts: np.ndarray | None) -> str | None:
    """The name of the step that bends a column within one that is known to."""
    if hasattr(step, "steps"):
        return _culprit([one for _, one in step.steps], table, labels, shifts) or _name(step)
    if hasattr(step, "transformers_"):
        for part, places in parts_of(step, table.shape[1], labels):
            chosen = take(table, places)
            if places and _moves(chosen):
                found = _culprit([part], chosen, None if labels is None else [labels[k] for k in places], shifts)
                if found:
                    return found
        return None if shifts is None else _name(step)
    if hasattr(step, "transformer_list"):
        return next(filter(None, (_culprit([one], table, labels, shifts) for _, one in step.transformer_list)), _name(step))
    if hasattr(step, "chains"):
        # Those of several models, side by side.
        each = (
            _culprit(chain.transformers, table if frame else np.asarray(table), labels, shifts) for chain, frame in step.chains
        )
        return next(filter(None, each), None)
    return _name(step)


def _bends(after: Any, shifts: np.ndarray | None) -> bool:
    """Whether what comes out of a step follows the column in no straight line; or is numbers, where it was none."""
    if shifts is None:
        values = (
            after.to_numpy()
            if hasattr(after, "to_numpy")
            else np.asarray(after.toarray() if hasattr(after, "toarray") else after)
        )
        return values.dtype.kind in "iufb" or all(isinstance(value, int | float) for value in values.ravel().tolist())
    with np.errstate(all="ignore"):
        gone = as_array(after)
        gone = gone - gone[0]
        slopes = gone[-1] / shifts[-1]
        line = shifts[:, None] * slopes
        return not bool((np.abs(gone - line) <= _STRAIGHT * np.abs(line)).all())


def _moves(table: Any) -> bool:
    """Whether rows of a table differ."""
    values = table.to_numpy() if hasattr(table, "to_numpy") else np.asarray(table)
    return any(len(set(map(repr, column))) > 1 for column in values.T.tolist())


def _name(step: Any) -> str:
    name = type(step).__name__
    if getattr(step, "clip", False) is True:
        return f"{name} with clip"
    if name == "FunctionTransformer" and step.func is not None:
        return f"{name} of {getattr(step.func, '__name__', 'a function')}"
    return name
