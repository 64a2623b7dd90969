"""Several candidates side by side: the same audit of each, on the same rows, so that a difference is one of the models."""

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from knowlimits._machine import one_blas_thread
from knowlimits.auditing.find.candidates import Candidates, common_axes, faults_of, side_by_side
from knowlimits.auditing.find.disc import Disc, disc
from knowlimits.auditing.find.findings import Company, Findings, find
from knowlimits.auditing.find.subject import Subject, read_subject
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.report import Audit, audit_of, check_settings
from knowlimits.auditing.show import compare as words
from knowlimits.follow import UnsupportedOperation
from knowlimits.model.steps import Moves
from knowlimits.outputs import check_replaced, write_atomically, write_csv
from knowlimits.progress import progress_bar

# Columns that a message names.
_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """What audits of several candidates found. Arrays and names only, without the models.

    Attributes:
        verdict: sentences that help to choose, each with its numbers.
        table: a row for each candidate: `model`, its name, and `kind`. On the test rows `accuracy` with its 95% interval,
            `accuracy_low` and `accuracy_high` (Clopper and Pearson), and `accuracy_chance`, how often chance alone makes a
            difference to the most accurate as large as this (the exact test of McNemar, 1947); `log_loss` in nats, and
            `log_loss_behind`, by how much it is larger than the smallest, with the standard error of this difference over the
            same rows, `log_loss_behind_se`; `sure_test`, the share of them that it is sure on (confidence of 0.99 or more).
            `sure_ranges`: the share of rows that end sure at the ends of plausible ranges, on the mean over columns and ends.
            Far away, as `Audit` has them, `sure_features` and `sure_directions`, shares of ways along single columns and of
            random directions that end sure; `confidence`, the median limit; `settled_sd`, the median distance after which the
            confidence is near its limit, in standard deviations; `auroc_10_sd` and `auroc_inf`, how well its entropy tells
            rows of which one column moved. Of faults `faults_sure`, the share of them under which it stays sure on half of the
            rows or more, and means over faults: `faults_changed`, the share of rows that change their class, `faults_refused`
            and `faults_refused_guard`, the shares that its entropy and the guard refuse. With the guard `kept_guard`, the share
            of test rows that it accepts, and `log_loss_guard`. And `seconds` that its audit took.
        faults: a row for each fault and candidate, the worst faults first: `feature`, `fault`, `model`, and shares of rows:
            `sure`, `changed`, `refused` by its entropy, and `refused_guard`.
        audits: the audit of each candidate, by its name: what `knowlimits.audit` says of it alone, but for columns that do not
            move for another, and for fewer rows where another takes long for each.
        notes: what was the same for all.
    """

    verdict: tuple[str, ...]
    table: Table
    faults: Table
    audits: dict[str, Audit]
    notes: tuple[str, ...]
    _found: Candidates = field(repr=False)

    def __str__(self) -> str:
        return words.page(self._found)

    def to_frame(self) -> Any:
        """The table as a pandas DataFrame; the audits have theirs.

        Raises:
            ImportError: if pandas is not installed.
        """
        return self.table.to_frame()

    def to_csv(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the table as a CSV file with a line of names on top.

        Args:
            path: the file.
            overwrite: replace a file that is there.

        Raises:
            FileExistsError: if a file is there and `overwrite` is false.
            OSError: if it cannot be written.
        """
        check_replaced(path, overwrite)
        rows = [[None if value != value else value for value in row.values()] for row in self.table.rows()]
        write_csv(path, tuple(self.table.columns), rows)

    def to_html(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the comparison as one page that needs nothing else.

        Args:
            path: the file.
            overwrite: replace a file that is there.

        Raises:
            FileExistsError: if a file is there and `overwrite` is false.
            OSError: if it cannot be written.
        """
        from knowlimits.auditing.show.compare_html import render

        check_replaced(path, overwrite)
        write_atomically(path, render(self._found).encode())

    def _repr_html_(self) -> str:
        from knowlimits.auditing.show.compare_html import excerpt

        return excerpt(self._found)


def compare(
    models: Mapping[str, Any],
    X: Any,
    y: Any = None,
    feature_names: Any = None,
    continuous: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    *,
    ranges: Any = None,
    faults: Any = None,
    input_shape: Any = None,
    max_rows: int = 2000,
    random_state: int = 0,
    verbose: bool = False,
) -> Comparison:
    """The same audit of several candidates at once, to choose by: how they do, how they end, how soon, and what a guard makes.

    All candidates are asked about the same rows, the same test rows, moved along the same columns and directions, and spoilt by
    the same faults. A column that the steps of one candidate hold where it is stays for all of them.

    Args:
        models: candidates by their names, each as `knowlimits.audit` takes it: of any family, with steps of its own. Where one
            needs to be told more, as what a module returns, pass what `knowlimits.read` makes of it.
        X, y, feature_names, continuous, X_test, y_test, ranges, faults, input_shape: as `knowlimits.audit` has them. Without
            `X_test` a quarter of X stands for test rows, which candidates may have been trained on: accuracy says little then.
        max_rows, random_state, verbose: as `knowlimits.audit` has them.

    Raises:
        TypeError, ValueError: if a candidate cannot be read, or does not fit the data; the text names all such candidates. Also
            if they do not tell the same classes apart.

    Example:
        >>> import knowlimits as kl
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> c = kl.compare({"bayes": GaussianNB().fit(X, y), "tree": DecisionTreeClassifier().fit(X, y)}, X, y)
        >>> c.table["model"].tolist()
        ['bayes', 'tree']
    """
    check_settings(max_rows, random_state)
    _check_names(models)
    if not isinstance(random_state, int | np.integer):
        # One that draws further each time would give each candidate other rows.
        random_state = int(np.random.default_rng(random_state).integers(2**32))
    data = {"X": X, "y": y, "X_test": X_test, "y_test": y_test, "feature_names": feature_names, "input_shape": input_shape}
    data |= {"most_rows": max_rows, "random_state": random_state}
    subjects = _read(models, continuous, data)
    _check_classes(subjects)
    subjects, held = _same_columns(subjects, data)
    subjects, alone = _same_moves(subjects)
    with one_blas_thread(), progress_bar("candidates", len(subjects) + 1, verbose) as advance:
        found, seconds = {}, {}
        company = Company.of(list(subjects.values()), ranges)
        for name, subject in subjects.items():
            begin = time.perf_counter()
            with subject.model.threads():
                rng = np.random.default_rng(random_state)
                found[name] = find(subject, None, ranges, faults, rng, lambda _: None, company)
            seconds[name] = time.perf_counter() - begin
            if advance:
                advance(1, name)
        discs = _on_one_plane(subjects, found)
        if advance:
            advance(1, "planes of two columns")
    everything = Candidates(found, side_by_side(found, seconds), faults_of(found), discs, held, alone)
    return Comparison(
        verdict=tuple(words.verdict(everything)),
        table=everything.table,
        faults=everything.faults,
        audits={name: audit_of(one) for name, one in found.items()},
        notes=tuple(words.notes(everything)),
        _found=everything,
    )


def _on_one_plane(subjects: dict[str, Subject], found: dict[str, Findings]) -> dict[str, Disc]:
    """The plane of the same two columns for all candidates; none where no two span one."""
    axes = common_axes(found)
    discs = {}
    for name, subject in subjects.items() if axes else ():
        own = found[name].disc
        with subject.model.threads():
            same = own if own is not None and own.axes == axes else disc(subject, axes)
        if same is not None:
            discs[name] = same
    return discs


def _check_names(models: Any) -> None:
    if not isinstance(models, Mapping):
        raise TypeError(
            "models must be a dict of candidates by their names, such as {'mlp': m1, 'boosted': m2}. "
            f"Got {type(models).__name__} instead."
        )
    if not models:
        raise ValueError("models must have a candidate at least. Got none.")
    for name in models:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"models must have names that are text. Got {name!r} instead.")


def _read(models: Mapping[str, Any], continuous: Any, data: dict[str, Any]) -> dict[str, Subject]:
    """All candidates with their data.

    Raises:
        TypeError, ValueError: if some cannot be read, with what is wrong with each.
    """
    subjects: dict[str, Subject] = {}
    wrong: dict[str, Exception] = {}
    for name, model in models.items():
        try:
            subjects[name] = read_subject(model, continuous=continuous, **data)
        except (TypeError, ValueError, UnsupportedOperation) as error:
            wrong[name] = error
        except Exception as error:
            # A candidate's own steps may raise anything.
            error.add_note(f"This was candidate {name!r}.")
            raise
    if not wrong:
        return subjects
    texts = {name: str(error) for name, error in wrong.items()}
    kind = TypeError if all(isinstance(error, TypeError) for error in wrong.values()) else ValueError
    if len(wrong) == len(models) > 1 and len(set(texts.values())) == 1:
        # It is the data's mistake, or all candidates'.
        raise kind(next(iter(texts.values()))) from None
    raise kind(" ".join(f"Candidate {name!r}: {text}" for name, text in texts.items())) from next(iter(wrong.values()))


def _check_classes(subjects: dict[str, Subject]) -> None:
    """Refuse candidates that do not tell the same classes apart, in whatever order."""
    first, *others = subjects.items()
    for name, subject in others:
        if set(subject.classes.tolist()) != set(first[1].classes.tolist()):
            raise ValueError(
                f"models must tell the same classes apart, in any order. Got {first[1].classes.tolist()} of {first[0]!r} and "
                f"{subject.classes.tolist()} of {name!r}; one that has no labels of its own takes those of y."
            )


def _same_columns(subjects: dict[str, Subject], data: dict[str, Any]) -> tuple[dict[str, Subject], dict[str, str]]:
    """The same candidates with those columns alone that can move for all of them, and why others stay."""
    held: dict[str, str] = {}
    for name, subject in subjects.items():
        for column, why in subject.columns.left_out.items():
            if any(column in other.columns.names for other in subjects.values()):
                held.setdefault(column, f"as for {name!r}: {why}")
    if not held:
        return subjects, held
    first = next(iter(subjects.values()))
    common = [column for column in first.columns.names if column not in held]
    if not common:
        reasons = "; ".join(f"{column!r}, {why}" for column, why in list(held.items())[:_NAMED])
        raise ValueError(f"models must have a continuous column that can move for all of them. Got none ({reasons}).")
    # What has been read once is not read again.
    return {name: read_subject(subject.original, continuous=common, **data) for name, subject in subjects.items()}, held


def _same_moves(subjects: dict[str, Subject]) -> tuple[dict[str, Subject], dict[str, str]]:
    """The same candidates, of which columns move alone that do so for one of them, and for whom that is."""
    alone: dict[str, str] = {}
    for name, subject in subjects.items():
        columns = subject.columns
        for column, together in zip(columns.names, columns.together, strict=True):
            if not together:
                alone.setdefault(column, f"as the steps of {name!r} slow it down without end")

    def moved(subject: Subject) -> Subject:
        columns = subject.columns
        moves = tuple(
            Moves.ENDLESS if column in alone else how for column, how in zip(columns.names, columns.moves, strict=True)
        )
        return dataclasses.replace(subject, columns=dataclasses.replace(columns, moves=moves))

    return ({name: moved(subject) for name, subject in subjects.items()}, alone) if alone else (subjects, alone)
