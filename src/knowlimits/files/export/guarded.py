"""A guard as an ONNX file: the graph of its model and the gate behind it, held to the guard before it is saved."""

import json
import math
from typing import Any

import numpy as np

from knowlimits.files.export.carried import said
from knowlimits.files.export.check import started
from knowlimits.files.export.gate import Blend, Feed, Gated, gate
from knowlimits.files.export.graph import LABEL, PROBABILITIES, Draft, Exported
from knowlimits.files.export.original import as_rows
from knowlimits.files.export.strange import familiar, with_strange_cells
from knowlimits.ood.remedies.guard import Guard

#: What outputs of a guard are called, beside those of a model.
UNFAMILIARITY, ACCEPTED = "unfamiliarity", "accepted"
#: The same with their types in ONNX.
OUTPUTS = ((UNFAMILIARITY, "FLOAT"), (ACCEPTED, "BOOL"))
# How far numbers of a file may be from those of the guard, of their size or of 1: they are in single precision.
_CLOSE = 1e-6


def rows_for(guard: Guard, X: Any) -> Any:
    """Rows that say what the columns of a guard's model are: a person's, or made ones; None where all are numbers of a table.

    Raises:
        ValueError: if the guard is not fitted, or its model does not take rows that are made.
    """
    if not hasattr(guard, "threshold_"):
        raise ValueError("Guard must be fitted. Call fit(X) first.")
    plain = not len(guard.columns_.categorical) and len(guard.columns_.shape) == 1
    if X is not None or plain:
        return X
    made = familiar(guard.columns_, guard.ratio_)
    try:
        guard.predict_proba(made)
    except Exception as error:
        # Whatever a person's model raises about rows that nobody has measured.
        raise ValueError(
            "X must be given, a few rows as the model takes them, as it takes none that could be made up. Got "
            f"{type(error).__name__} from it: {error}"
        ) from error
    return made


def guarded(guard: Guard, part: Exported, X: Any = None) -> Any:
    """The ``ModelProto`` of a guard, held to it.

    Args:
        guard: a fitted one.
        part: the graph of its model.
        X: rows as the model takes them; made without them.

    Raises:
        ValueError: if the columns of the graph are not those of the guard, or the file does something else than it.
    """
    model = written(guard, part)
    answer, own = started(model), started(part.model())
    rows = familiar(guard.columns_, guard.ratio_) if X is None else as_rows(X)
    for some in with_strange_cells(rows, guard.columns_):
        feeds = part.feeds(some)
        # What the model itself says was held to the model before.
        (probs,) = own(feeds, [PROBABILITIES])
        reason = _difference(guard, some, probs, *answer(feeds, [PROBABILITIES, UNFAMILIARITY, ACCEPTED]))
        if reason is not None:
            raise ValueError(
                "model must be a guard that can be written as ONNX so that the file does what it does. Got one of "
                f"{part.name}: {reason}."
            )
    return model


def written(guard: Guard, part: Exported) -> Any:
    """The ``ModelProto`` of a guard: the model's own label, blended probabilities, unfamiliarity, and whether it accepts.

    Raises:
        ValueError: if the columns of the graph are not those of the guard.
    """
    taken = [one.name for one in part.inputs if one.name in (UNFAMILIARITY, ACCEPTED)]
    if taken:
        raise ValueError(
            f"columns of X must have names other than {UNFAMILIARITY!r} and {ACCEPTED!r}, which are what the file gives. Got "
            f"{taken[0]!r}: rename it, and fit the model again."
        )
    draft, classes = part.draft(), len(guard.classes_)
    blend = Blend(part.probabilities, classes, guard.shift_, guard.threshold_)
    feeds = _feeds(draft, guard, part)
    gate(draft, feeds, guard.columns_, guard.ratio_, blend, Gated(PROBABILITIES, UNFAMILIARITY, ACCEPTED))
    draft.call("Identity", part.label, result=LABEL)
    outputs: dict[str, tuple[str, tuple[int, ...]]] = {
        LABEL: (part.label_kind, ()),
        PROBABILITIES: ("FLOAT", (classes,)),
        **{name: (kind, ()) for name, kind in OUTPUTS},
    }
    return part.whole(draft, outputs, said(guard) | {"guard": json.dumps({"threshold": guard.threshold_, "keep": guard.keep})})


def _feeds(draft: Draft, guard: Guard, part: Exported) -> list[Feed]:
    """Where the cells of the guard's columns are in the graph of its model."""
    count = len(guard.columns_.names)
    numbers, texts = np.dtype(np.float64), np.dtype(object)
    if part.table:
        feeds = [Feed(one.name, texts if one.text else numbers) for one in part.inputs]
    else:
        (whole,) = part.inputs
        width = math.prod(whole.shape)
        rows = whole.name if len(whole.shape) == 1 else draft.call("Flatten", whole.name, axis=1)
        feeds = [Feed(rows, numbers, place, width) for place in range(width)]
    if len(feeds) != count:
        raise ValueError(f"the guard must have as many columns as the model takes. Got {count} and {len(feeds)}.")
    return feeds


def _difference(
    guard: Guard, X: Any, own: np.ndarray, p: np.ndarray, unfamiliarity: np.ndarray, accepted: np.ndarray
) -> str | None:
    """In words where a file differs from a guard; None where it does not.

    Args:
        guard: it.
        X: rows.
        own: what the graph of its model says of them, ``(n, classes)``.
        p, unfamiliarity, accepted: what the file says of them.
    """
    wanted = guard.unfamiliarity(X)
    with np.errstate(over="ignore", invalid="ignore"):
        single = wanted.astype(np.float32)
        # Infinite alike, or close.
        close = (single == unfamiliarity) | (np.abs(single - unfamiliarity) <= _CLOSE * np.maximum(1, np.abs(single)))
    if not close.all():
        row = int(close.argmin())
        return f"of a row it says that it has an unfamiliarity of {unfamiliarity[row]:g}, and the guard {wanted[row]:g}"
    probs = guard.blend(X, own.astype(np.float64))
    # Of a row of which its model says what is no number the file says that it knows nothing.
    sound = np.isfinite(probs).all(1)
    probs[~sound] = 1 / probs.shape[1]
    close = np.abs(p - probs).max(1) <= _CLOSE
    if not close.all():
        row = int(close.argmin())
        return f"of a row it says {p[row, :4].tolist()}, and the guard {probs[row, :4].tolist()}"
    at = np.abs(wanted - guard.threshold_) <= _CLOSE * max(1.0, abs(guard.threshold_))
    if (differs := (accepted != (sound & (wanted <= guard.threshold_))) & ~at).any():
        return f"a row with an unfamiliarity of {wanted[int(differs.argmax())]:g} is accepted by one of the two alone"
    return None
