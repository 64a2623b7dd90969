"""Any classifier as an ONNX file that runs without this library."""

import dataclasses
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from knowlimits.files.export.check import Said, cannot_run, difference, started
from knowlimits.files.export.drawn import in_doubles, probabilities
from knowlimits.files.export.estimators import converted, likeliest, opened
from knowlimits.files.export.grafted import Gives, graft, imported
from knowlimits.files.export.graph import MATRIX, Draft, Exported, GraphInput, label_constant
from knowlimits.files.export.guarded import OUTPUTS, guarded, rows_for
from knowlimits.files.export.modules import as_exported
from knowlimits.files.export.original import Original
from knowlimits.files.export.rows import rows_at_thresholds, rows_beside, rows_drawn, rows_given
from knowlimits.model.kinds.fitted import several_labels
from knowlimits.model.network import Network
from knowlimits.model.own import answered, labelled
from knowlimits.ood.remedies.guard import Guard
from knowlimits.outputs import check_output, write_atomically

#: What the names of files end in.
SUFFIX = (".onnx",)
# How far the operators of a file, most of them in float32, may be from what was read of it, in float64.
_ROUNDED = 1e-3


def export(model: Any, path: str | os.PathLike, X: Any = None, *, outputs: str | None = None) -> None:
    """Write a classifier as an ONNX file that takes the columns as the model does, and runs without this library.

    The file has an input for each column of a table, ``(N, 1)``, numbers as float64 and texts as strings, or one input ``X``
    of all numbers, ``(N, ...)`` in float64, for models of arrays. A gap is nan among numbers and ``""`` among texts. It gives
    ``label``, ``(N,)``, texts or whole numbers, and ``probabilities``, ``(N, classes)`` in float32, the mean over members. Its
    operators are of opset 18 and ai.onnx.ml 3, which onnxruntime has run since 1.14.

    What is written is run first, by onnxruntime, and held to the model: probabilities to 1e-5, and labels,
    but for rows whose two likeliest classes are equal to six digits. Torch modules compute in their own precision, as they do.

    The file of a `knowlimits.Guard`, or of a Pipeline that ends in one, has its probabilities beside the model's own label, and
    gives two more: ``unfamiliarity``, ``(N,)`` in float32, and ``accepted``, ``(N,)`` truth values. An unfamiliarity is
    infinite where a row is refused whatever the density says: for a gap where there was none, an infinite number, one outside
    of its range, or a category never seen; and beyond 3.4e38. The probabilities of such a row are 1 / K, and nothing that the
    file gives is nan, whatever the model makes of the row.

    Args:
        model: a fitted classifier: what `knowlimits.far_field` takes, another one of scikit-learn that skl2onnx knows, or a
            guard of either.
        path: the file, which ends in .onnx; replaced if it is there.
        X: a few rows of data as the model takes them, ``(n, ...)``: a DataFrame for a model of tables. On them and on rows that
            are made of them the file is held to the model; they say which columns are texts. Without them rows are drawn.
        outputs: as `knowlimits.read` has it; a guard has its own.

    Raises:
        TypeError: if the model is of no kind that is known.
        ValueError: if it is not fitted, has several labels per row, cannot be written as ONNX, or what was written does
            something else than it.
        ImportError: if the package onnx or onnxruntime is not installed, or skl2onnx or onnxscript, where the model needs it.
        OSError: if the file cannot be written.
    """
    check_output(path, SUFFIX)
    if isinstance(model, Guard):
        if outputs is not None:
            raise ValueError(f"outputs must be left out for a guard, which has its own. Got {outputs!r} instead.")
        made = guard_exported(model, X)
    else:
        made = exported(model, X, outputs=outputs).model()
    write_atomically(path, made.SerializeToString())


def exported(model: Any, X: Any = None, *, outputs: str | None = None) -> Exported:
    """The graph of a classifier, held to it: what `export` writes, as a value.

    Args:
        model, X, outputs: as `export` has them.

    Raises:
        TypeError, ValueError, ImportError: as `export` does.
    """
    check_onnx(type(model).__name__)
    original = Original.of(model, X, outputs)
    truth = Truth.of(original)
    reasons = []
    for write in _ways(original, truth.classes):
        try:
            made = write()
        except ValueError as error:
            reasons.append(str(error).rstrip("."))
            continue
        reason = truth.difference(made)
        if reason is None:
            return made.exported
        reasons.append(reason)
    raise ValueError(
        f"model must be one that can be written as ONNX so that the file does what it does. Got {original.name}: "
        f"{'; or '.join(dict.fromkeys(reasons))}."
    )


def guard_exported(guard: Guard, X: Any = None) -> Any:
    """The ``ModelProto`` of a guard, held to it.

    Args:
        guard: a fitted one.
        X: as `export` has it.

    Raises:
        TypeError, ValueError, ImportError: as `export` does.
    """
    check_onnx(type(guard).__name__)
    rows = rows_for(guard, X)
    return guarded(guard, exported(guard.model, rows, outputs=guard.outputs), rows)


def check_onnx(name: str) -> None:
    """Refuse to go on where what every file is written and run by is not installed.

    Raises:
        ImportError: with the command to install it.
    """
    for package in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ImportError(f"exporting {name} needs the package {package}: pip install 'know-your-limits[export]'") from None


@dataclass(frozen=True, eq=False)
class Made:
    """A graph that is still to be held to its model.

    Attributes:
        exported: it.
        own: what the model says of rows ``(n, ...)`` in the precision that it computes in; None for float64.
        slack: how far from the model the graph may be where it rounds in a precision of its own.
    """

    exported: Exported
    own: Callable[[np.ndarray], np.ndarray] | None = None
    slack: float = 0.0


@dataclass(frozen=True, eq=False)
class Truth:
    """Rows, and what a model says of them.

    Attributes:
        original: the model.
        rows: arrays or tables, as it takes them.
        probs, labels: of each of these.
        classes: labels of the classes.
    """

    original: Original
    rows: list[Any]
    probs: list[np.ndarray]
    labels: list[np.ndarray]
    classes: np.ndarray

    @classmethod
    def of(cls, original: Original) -> "Truth":
        """Ask a model.

        Raises:
            ValueError: if it answers none of the rows that could be made up.
        """
        rows, probs, labels, refused = [], [], [], None
        for number, some in enumerate(_rows(original)):
            try:
                p = np.asarray(answered(original.model.predict_proba, some), dtype=np.float64)
                label = labelled(original.model.predict, some)
            except Exception as error:
                # Whatever a person's model raises about rows that nobody has measured.
                if number == 0 and original.X is not None:
                    raise
                refused = refused or error
                continue
            rows.append(some)
            probs.append(p)
            labels.append(label)
        if not rows:
            raise ValueError(
                f"X must be given, a few rows as the model takes them, as {original.name} takes none that could be made up. "
                f"Got {type(refused).__name__} from it: {refused}"
            ) from refused
        if probs[0].ndim != 2 or labels[0].ndim != 1:
            raise several_labels(original.model)
        classes = np.arange(probs[0].shape[1]) if original.classes is None else original.classes
        return cls(original, rows, probs, labels, classes)

    def difference(self, made: Made) -> str | None:
        """In words where a graph differs from the model; None where it does not."""
        try:
            answer = started(made.exported.model())
        except Exception as error:
            # Whatever an evaluator raises about a graph.
            return cannot_run(error)
        for some, probs, labels in zip(self.rows, self.probs, self.labels, strict=True):
            slack = made.slack
            if made.own is not None:
                off = np.abs(made.own(np.asarray(some, dtype=np.float64)) - probs)
                slack = 4 * float(off[np.isfinite(off)].max(initial=0))
            # One row is a batch, too.
            for count in (len(probs), 1):
                part = some.iloc[:count] if hasattr(some, "iloc") else some[:count]
                said = Said(probs[:count], labels[:count], self._compared(part), slack)
                found = difference(answer, made.exported.feeds(part), said, lambda part=part: self._beside(part))
                if found is not None:
                    return found
        return None

    def _compared(self, rows: Any) -> np.ndarray:
        """Which rows are compared: none with gaps where what was read takes none, and a file says nan."""
        found = self.original.found
        if found is None or found.gaps:
            return np.ones(len(rows), dtype=bool)
        return np.isfinite(np.asarray(rows, dtype=np.float64).reshape(len(rows), -1).sum(1))

    def _beside(self, rows: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What the model says of rows next to these, no farther than by rounding in float64."""
        for some in rows_beside(rows):
            p = np.asarray(answered(self.original.model.predict_proba, some), dtype=np.float64)
            yield p, labelled(self.original.model.predict, some)


def _rows(original: Original) -> Iterator[Any]:
    """Rows to hold a graph to a model on, as the model takes them."""
    if original.X is not None:
        yield from rows_given(original.X)
    else:
        yield from map(original.as_taken, rows_drawn(original.shape))
    if original.found is not None and original.found.steps is None:
        yield from map(original.as_taken, rows_at_thresholds(original.found, original.shape[0]))


def _ways(original: Original, classes: np.ndarray) -> Iterator[Callable[[], Made]]:
    """Ways to write a model, the most exact first."""
    if original.found is None:
        by_matrix = [False, True] if original.by_name else [True, False]
        for double, ours in ((True, True), (False, True), (False, False)):
            for matrix in by_matrix if original.numbers_only else [False]:
                if original.table or matrix:
                    yield lambda d=double, o=ours, m=matrix: _of_estimator(original, classes, d, o, m)
        return
    if imported(original.found) is not None:
        for form in Gives:
            yield lambda f=form: _of_file(original, classes, f)
        return
    singles = [False] if in_doubles(original.found) else [True, False] if original.single else [False, True]
    for single in singles:
        yield lambda s=single: _of_networks(original, classes, s)


def _of_networks(original: Original, classes: np.ndarray, single: bool) -> Made:
    """A graph of what was read."""
    assert original.found is not None
    draft = Draft([one.name for one in original.inputs])
    x = _matrix(draft, original.inputs)
    p = probabilities(draft, x, original.found, original.shape, single)
    made = _finished(original, draft, p, likeliest(draft, p, classes), classes)
    if not single:
        return Made(made)
    found = original.found

    def own(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [as_exported(one, True)(torch.from_numpy(rows)) * one.members for one in found.networks]  # type: ignore
        return (torch.stack(parts).sum(0) / found.members).numpy()

    return Made(made, own if all(isinstance(one, Network) for one in found.networks) else None)


def _of_file(original: Original, classes: np.ndarray, form: Gives) -> Made:
    """A graph of the operators of a file that the model was loaded from, which compute as they do there."""
    assert original.found is not None
    model = imported(original.found)
    assert model is not None
    draft = Draft([one.name for one in original.inputs])
    p = graft(draft, _matrix(draft, original.inputs), model, form)
    return Made(_finished(original, draft, p, likeliest(draft, p, classes), classes), slack=_ROUNDED)


def _of_estimator(original: Original, classes: np.ndarray, double: bool, ours: bool, matrix: bool) -> Made:
    """A graph by skl2onnx.

    Args:
        double, ours: as `converted` has them.
        matrix: whether all columns go into it as one input.
    """
    draft = Draft([one.name for one in original.inputs])
    first, last = opened(original.written) if ours else (original.written, None)
    if first is None:
        made = [_matrix(draft, original.inputs)]
    else:
        inputs = [GraphInput(MATRIX, original.shape)] if matrix else original.inputs
        model = converted(first, inputs, double, ours)
        values = [_matrix(draft, original.inputs)] if matrix else [one.name for one in original.inputs]
        if not double:
            values = [value if one.text else draft.cast(value, "FLOAT") for value, one in zip(values, inputs, strict=True)]
        made = draft.take_in(model, {one.name: value for one, value in zip(inputs, values, strict=True)})
    if last is None:
        label, p = made[0], draft.cast(made[1], "DOUBLE")
    else:
        p = probabilities(draft, draft.cast(made[0], "DOUBLE"), last, (last.n_features_in_ or 0,))
        label = likeliest(draft, p, classes)
    found = _finished(original, draft, p, label, classes)
    # Of a Pipeline whose last step is a guard.
    beside = tuple((*of, value) for of, value in zip(OUTPUTS, made[2:], strict=False))
    return Made(dataclasses.replace(found, beside=beside))


def _matrix(draft: Draft, inputs: tuple[GraphInput, ...]) -> str:
    names = [one.name for one in inputs]
    return draft.call("Concat", *names, axis=1) if len(names) > 1 else names[0]


def _finished(original: Original, draft: Draft, p: str, label: str, classes: np.ndarray) -> Exported:
    _, kind = label_constant(classes)
    if original.threshold is not None:
        label = original.threshold.label(draft, p, classes)
    return Exported(
        original.name,
        original.inputs,
        original.table,
        tuple(draft.nodes),
        tuple(draft.tensors),
        p,
        label,
        classes,
        kind,
        sets=tuple(draft.sets.items()),
        ir_version=draft.ir_version,
    )
