"""What is written is run, and held to the model on rows: probabilities to 1e-5, and each label."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from knowlimits.files.export.graph import LABEL, PROBABILITIES

#: What a file gives, by the rows and the names of outputs.
Answer = Callable[..., list[Any]]
#: How far probabilities of a file may be from those of the model.
TOLERANCE = 1e-5
#: Classes whose probabilities are no farther apart tie: a file may have the label of either.
TIE = 2.0**-20


def run(model: Any, feeds: dict[str, np.ndarray], outputs: list[str] | None = None) -> list[Any]:
    """What a file gives for some rows, as `started` has it."""
    return started(model)(feeds, outputs)


def started(model: Any) -> Answer:
    """What a file gives for rows, by onnxruntime: onnx's own evaluator has no trees in float64.

    Args:
        model: a ``ModelProto``.

    Returns:
        A function of rows by the names of inputs, and of the names of outputs that are wanted, all for None.

    Raises:
        ImportError: if the package onnxruntime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feeds, outputs=None: list(session.run(outputs, feeds))


@dataclass(frozen=True, eq=False)
class Said:
    """What a model says of rows.

    Attributes:
        probs: ``(n, classes)``; rows without numbers are not compared.
        labels: ``(n,)``.
        compared: which rows are, ``(n,)``.
        slack: how far the precision that the model computes in is from `probs`.
    """

    probs: np.ndarray
    labels: np.ndarray
    compared: np.ndarray
    slack: float = 0.0


def difference(
    answer: Answer, feeds: dict[str, np.ndarray], said: Said, beside: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
) -> str | None:
    """In words where a file differs from a model; None where it does not.

    Args:
        answer: gives what the file says.
        feeds: rows, as it takes them.
        said: what the model says of them.
        beside: gives what the model says of rows that are next to these, of which a file may say the same: where a model jumps,
            steps before it may round to the other side.
    """
    try:
        label, p = answer(feeds, [LABEL, PROBABILITIES])
    except Exception as error:
        # Whatever an evaluator raises about a graph.
        return cannot_run(error)
    if p.shape != said.probs.shape or label.shape != (len(p),):
        return f"it gives probabilities of shape {p.shape} and labels of shape {label.shape} for {len(said.probs)} rows"
    wrong = _wrong(label, p, said)
    for probs, labels in beside() if wrong.any() else ():
        wrong &= _wrong(label, p, replace(said, probs=probs, labels=labels))
    if not wrong.any():
        return None
    row = int(wrong.argmax())
    return (
        f"of a row it says {label[row]!r} with probabilities {_shown(p[row])}, and the model {said.labels[row]!r} with "
        f"{_shown(said.probs[row])}"
    )


def cannot_run(error: Exception) -> str:
    """What is said of a file that an evaluator does not take."""
    return f"it cannot be run: {' '.join(str(error).split())[:300]}"


def _wrong(label: np.ndarray, p: np.ndarray, said: Said) -> np.ndarray:
    """Rows of which a file says something else, ``(n,)``."""
    known = np.isfinite(said.probs).all(1) & said.compared
    off = np.where(np.isnan(p), np.inf, np.abs(p - said.probs)).max(1)
    kind = str if label.dtype == object else np.float64
    best = np.sort(said.probs, 1)
    tie = best[:, -1] - best[:, -2] <= TIE + 2 * said.slack
    return known & ((off > TOLERANCE + said.slack) | ((label.astype(kind) != said.labels.astype(kind)) & ~tie))


def _shown(probs: np.ndarray) -> str:
    shown = ", ".join(f"{p:.6g}" for p in probs[:4].tolist())
    return f"[{shown}{', ...' if len(probs) > 4 else ''}]"
