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
from knowlimits.auditing.show.tables import write_tables
from knowlimits.progress import progress_bar

#: Names of the tables of an audit.
TABLES = ("ranges", "faults", "codes", "features", "directions", "steepest", "detection", "remedies")


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
        ranges: a row for every continuous column and end of what it may plausibly be: `towards`, -1 for the low end and 1 for
            the high one; `value`, the end; `stated`, whether somebody says so, or the data have it; `sure`, the share of rows
            that end sure when the column alone goes there, and `sure_before`, the share of them that were; `newly_sure`, the
            share that ends sure and was not, or was of another class; `confidence` there, median with 5% and 95%; `classes`
            there; `changed`, the share of rows whose likeliest class is another than before, and `changed_within`, the share of
            those for which it is so anywhere on the way; `smallest` and `largest`, the extremes of the confidence over all rows
            and the whole way; `sure_from`, the value from which on rows that end sure are sure, the median of them; `exact`,
            whether that was decided piece by piece or threshold by threshold; else on a grid.
        faults: a row for each fault and column, as tried on test rows in front of the whole pipeline: `feature`; `fault`, in
            words; `sure`, the share of rows that the model is still sure on, and `newly_sure`, on which it was not, or of
            another class; `changed`, the share whose predicted class is
            another; `error`, the share for which the model itself raises; `limit`, the share that ends sure as the fault grows
            without bound, nan where it cannot; and of each score ``"refused, SCORE"``, the share that it refuses at its
            threshold in `detection`.
        codes: a row for each value of columns that are codes, ``"missing"`` among them where there are gaps, and for one that
            was never seen: `seen`, the share of rows that have it; with test rows set to it `sure`, `confidence` (median),
            `classes`, `changed`, `error` and ``"refused, unfamiliarity"``, as above.
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
    ranges: Table
    faults: Table
    codes: Table
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
        return {name: table.to_frame() for name, table in self._tables().items()}

    def to_csv(self, folder: str | os.PathLike, overwrite: bool = False) -> None:
        """Write all tables as CSV, each to a file of its name: ``features.csv`` and so on.

        Numbers have all their digits, cells are empty where there is none, and a table without rows is a line of names.

        Args:
            folder: where to; made if there is none.
            overwrite: replace files that are there.

        Raises:
            FileExistsError: if a file is there and `overwrite` is false.
            OSError: if one cannot be written.
        """
        write_tables(self._tables(), folder, overwrite)

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

    def _repr_html_(self) -> str:
        """The verdict and the worst, for notebooks."""
        from knowlimits.auditing.show.notebook import fragment

        return fragment(self._found)

    def _tables(self) -> dict[str, Table]:
        return {name: getattr(self, name) for name in TABLES}


def audit(
    model: Any,
    X: Any,
    y: Any = None,
    feature_names: Any = None,
    continuous: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    ranges: Any = None,
    faults: Any = None,
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
            model takes its inputs, each of whose places is a column then. Rows with gaps that the model takes are audited as
            they are.
        y: labels, ``(n,)``. Without them detectors of classes take the model's predictions.
        feature_names: of the columns; without them those of a DataFrame, of the model, or x0, x1 and so on. Those of inputs of
            more axes may have the shape of one input; without them x[3, 1] is what ``X[:, 3, 1]`` has.
        continuous: names or places of the columns to move, or ``"all"``; of inputs of more axes places such as (3, 1), too.
            Without it columns with two values, and those with few whole numbers, are taken for codes and stay.
        X_test: rows that the model and the detectors have not seen; a quarter of X without them.
        y_test: their labels.
        ranges: what columns may plausibly be, by name or place: ``(low, high)``, of which either may be None, or ``"data"`` for
            what the data have, which is taken for all others, too; or the path of a TOML file that says so.
        faults: those to try, of `knowlimits.faults`, or functions of a column by what they are called; without them those that
            the data suggest; an empty list for none.
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
    check_settings(max_rows, random_state)
    subject = read_subject(model, X, y, X_test, y_test, feature_names, continuous, max_rows, random_state, outputs, input_shape)
    with (
        one_blas_thread(),
        subject.model.threads(),
        progress_bar("detectors and remedies", 7, verbose) as advance,
    ):

        def step(text: str) -> None:
            if advance:
                advance(1, text)

        found = find(subject, layer, ranges, faults, np.random.default_rng(random_state), step)
    return audit_of(found, outputs)


def check_settings(max_rows: int, random_state: Any) -> None:
    """Raise unless rows can be drawn so."""
    if max_rows < 16:
        raise ValueError(f"max_rows must be at least 16. Got {max_rows} instead.")
    if isinstance(random_state, int) and random_state < 0:
        raise ValueError(f"random_state must not be negative. Got {random_state} instead.")


def audit_of(found: Findings, outputs: str | None = None) -> Audit:
    """What was found of a model that was read with such outputs, for people."""
    return Audit(
        verdict=tuple(verdict(found)),
        features=found.features.table,
        directions=found.directions.table,
        steepest=found.directions.steepest,
        detection=found.detection.table,
        remedies=found.remedies,
        ranges=found.plausible.table,
        faults=found.faults.table,
        codes=found.codes.table,
        left_out=found.columns.left_out,
        notes=tuple(notes(found)),
        next_step=guarded_file(outputs, found.columns.shape),
        _found=found,
    )
