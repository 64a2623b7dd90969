"""The audit of a person's own model: where it is sure of itself without reason, how soon, and what helps."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from knowlimits._machine import one_blas_thread
from knowlimits.auditing.find.findings import Findings, find
from knowlimits.auditing.find.subject import read_subject
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show import text
from knowlimits.auditing.show.sentences import guarded_file, notes, verdict
from knowlimits.progress import progress_bar


@dataclass(frozen=True)
class Audit:
    """What an audit found; `print` shows a page of text, `to_html` writes a report. Arrays and names only, without the model.

    The model as it is, last-layer Laplace and the guard are ``"model"``, ``"laplace"`` and ``"guard"`` in all tables.

    Attributes:
        verdict: sentences in plain words, each with its number.
        features: a row for each continuous column and way: `sure`, the share of rows that end with a confidence of 0.99 or
            more; `confidence` and every score at infinity, medians with 5% and 95% of the rows; `classes` that they end in;
            `settled_sd` and `settled`, how far until the confidence is within 0.01 of its limit, in standard deviations and in
            the column's own unit; `last_unit_sd` and `last_unit`, beyond which the outputs change no more but in straight
            lines, up to rounding (`FarField.settled`): how far until the last unit of a network changes that matters, the last
            threshold of a tree is met, the last neighbour comes in, nan where a limit is only approached; `last_value`, the
            column's value beyond which the column matters to none of the rows any more (the last threshold of trees), infinite
            where it never matters, nan where it always does; `sure_laplace`,
            `confidence_laplace`, `sure_guard` and `confidence_guard`, the same with each remedy.
        directions: a row for the model and each remedy: the share of directions that end sure, with an interval. Empty where no
            columns can move together.
        steepest: the direction in which the model is most confident of the rarest class, a row for each column that moves what
            the networks take in a straight line.
        detection: a row for each way, ``"one_column"`` or ``"any_direction"``, radius and score: area under the ROC curve, and
            shares of the test rows that a threshold keeps and of the moved rows that it refuses. It is that which accepts 95%
            of the test rows; of ``"unfamiliarity"`` the guard's own, `Guard.threshold_`.
        remedies: a row for the model and each remedy: what it does far away, and what it costs near by.
        left_out: columns that were not moved, and why.
        notes: what was sampled, and what could not be done.
        next_step: the lines that make a guarded file of the model: of Python, or for a shell.
    """

    verdict: tuple[str, ...]
    features: Table
    directions: Table
    steepest: Table
    detection: Table
    remedies: Table
    left_out: dict[str, str]
    notes: tuple[str, ...]
    next_step: tuple[str, ...]
    _found: Findings = field(repr=False)

    def __str__(self) -> str:
        return text.page(self._found, self.next_step)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one input, whose places the columns are; None where X was a table that is one."""
        return self._found.columns.shape

    def on_places(self, name: str) -> np.ndarray:
        """A column of numbers of `features` by places of the inputs, ``(2, *shape)``: as each goes down, and up.

        It is nan where a place was not moved. `knowlimits.plots.places` draws it.

        Args:
            name: of the column, such as ``"sure"``.

        Raises:
            ValueError: if there is no such column of numbers, or X was a table.
        """
        numbers = [one for one, values in self.features.columns.items() if values.dtype.kind == "f" and one != "towards"]
        if name not in numbers:
            raise ValueError(f"name must be one of {', '.join(numbers)}. Got {name!r} instead.")
        found = self._found.features.by_place(name, self._found.columns)
        return found.reshape(2, *(self.input_shape or ()))

    def to_frame(self) -> dict[str, Any]:
        """All tables as pandas DataFrames, by their names.

        Raises:
            ImportError: if pandas is not installed.
        """
        names = ("features", "directions", "steepest", "detection", "remedies")
        return {name: getattr(self, name).to_frame() for name in names}

    def to_html(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the report as one file that needs nothing else.

        Args:
            path: the file.
            overwrite: replace a file that is there.

        Raises:
            FileExistsError: if a file is there and `overwrite` is false.
            OSError: if it cannot be written.
        """
        from knowlimits.auditing.show.html import write_report

        write_report(self._found, self.next_step, path, overwrite)


def audit(
    model: Any,
    X: Any,
    y: Any = None,
    feature_names: Any = None,
    continuous: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    *,
    outputs: str | None = None,
    layer: str | None = None,
    input_shape: Any = None,
    max_rows: int = 2000,
    random_state: int = 0,
    verbose: bool = False,
) -> Audit:
    """Where a classifier is sure of itself without reason, how soon, and what helps: the report on a person's own model.

    Columns are moved towards minus and plus infinity, one by one and together, and what becomes of the model there is
    computed exactly. Encoded categories stay as they are.

    Args:
        model: what `knowlimits.far_field` takes; the steps of a Pipeline may encode categories, fill gaps, or clip.
        X: data like those that the model was trained on, ``(n, columns)``: an array or a DataFrame; or ``(n, ...)`` as the
            model takes its inputs, each of whose places is a column then. Rows with gaps are left out.
        y: labels, ``(n,)``. Without them detectors of classes take the model's predictions.
        feature_names: of the columns; without them those of a DataFrame, of the model, or x0, x1 and so on. Those of inputs of
            more axes may have the shape of one input; without them x[3, 1] is what ``X[:, 3, 1]`` has.
        continuous: names or places of the columns to move, or ``"all"``; of inputs of more axes places such as (3, 1), too.
            Without it columns with two values, and those with few whole numbers, are taken for codes and stay.
        X_test: rows that the model and the detectors have not seen; a quarter of X without them.
        y_test: their labels.
        outputs: as `knowlimits.read` has it.
        layer: name of the submodule whose input are the features that detectors look at; the last `torch.nn.Linear` without it.
        input_shape: the shape of one input, as ``(21, 2)``, where X is a table and the model, which does not say so itself,
            takes windows, landmarks or images: the columns are its places, the last axis the fastest.
        max_rows: of larger tables so many rows are drawn.
        random_state: seed of everything that is drawn.
        verbose: show a progress bar.

    Raises:
        TypeError: if the model is none that `knowlimits.far_field` takes.
        ValueError: if data and model do not fit; the text says where.
        UnsupportedOperation: if the model does something that the table of operations has no entry for.

    Example:
        >>> import knowlimits as kl
        >>> from sklearn.datasets import load_wine
        >>> X, y = load_wine(return_X_y=True)
        >>> a = kl.audit(kl.NeuralNetwork(epochs=2, random_state=0).fit(X, y), X, y)
        >>> len(a.features)  # 13 columns, up and down
        26
    """
    if max_rows < 16:
        raise ValueError(f"max_rows must be at least 16. Got {max_rows} instead.")
    if isinstance(random_state, int) and random_state < 0:
        raise ValueError(f"random_state must not be negative. Got {random_state} instead.")
    subject = read_subject(model, X, y, X_test, y_test, feature_names, continuous, max_rows, random_state, outputs, input_shape)
    with (
        one_blas_thread(),
        subject.model.threads(),
        progress_bar("detectors and remedies", 5, verbose) as advance,
    ):

        def step(text: str) -> None:
            if advance:
                advance(1, text)

        found = find(subject, layer, np.random.default_rng(random_state), step)
    return Audit(
        verdict=tuple(verdict(found)),
        features=found.features.table,
        directions=found.directions.table,
        steepest=found.directions.steepest,
        detection=found.detection.table,
        remedies=found.remedies,
        left_out=found.columns.left_out,
        notes=tuple(notes(found)),
        next_step=guarded_file(outputs, found.columns.shape),
        _found=found,
    )
