"""Rows of CSV files as a person's model takes them."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowlimits.cli.mistakes import UsageError

if TYPE_CHECKING:
    import numpy as np

    from knowlimits.files.mixed import Mixed

# Columns that a note names.
_NAMED = 10


@dataclass(frozen=True, eq=False)
class TakenRows:
    """Rows of files as a model takes them.

    Attributes:
        table: the data.
        test: rows that the model has not seen; None where there is no file of them.
        X, X_test: both as the model takes them: DataFrames where it knows its columns by name, else arrays.
    """

    table: "Mixed"
    test: "Mixed | None"
    X: Any
    X_test: Any


def read_rows(
    model: Any,
    outputs: str | None,
    data: Path,
    test: Path | None,
    target: str | None,
    *,
    numbers: bool = False,
    infinite: bool = True,
) -> TakenRows:
    """Rows of files with the columns of a model, or, where it has no names for them, of the data; in that order.

    Args:
        model: as it was loaded.
        outputs: as `knowlimits.read` has it.
        data: CSV file.
        test: one of the same columns, or None.
        target: the column of labels, or None.
        numbers: whether the model takes nothing but finite numbers.
        infinite: whether there may be infinite ones.

    Raises:
        ValueError: if the data are no table, or none of the model's columns.
    """
    from knowlimits.files.mixed import read_finite, read_mixed

    def read(path: Path, kinds: Any = None) -> "Mixed":
        return read_finite(path, target) if numbers else read_mixed(path, target, kinds, infinite)

    table = read(data)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        table = chosen(table, tuple(map(str, names)))

    # Numbers in the model's order do without names.
    framed = names is not None and (bool(_no_numbers(table)) or find_spec("pandas") is not None)

    def rows(table: "Mixed") -> Any:
        return table.frame() if framed else table.array()

    X = rows(table)
    _check_text(model, outputs, X, table)
    if test is None:
        return TakenRows(table, None, X, None)
    others = chosen(read(test, table.kinds), table.names)
    return TakenRows(table, others, X, rows(others))


@dataclass(frozen=True, eq=False)
class ModelData:
    """A model, and the rows that a guard of it is fitted to and held to.

    Attributes:
        model: it, of rows of tables.
        names: of the columns.
        X, X_test: the rows, as the model takes them: DataFrames where it knows its columns by name, else arrays.
        places: of the classes of those in `X_test` among the model's, ``(n,)``; None without labels.
    """

    model: Any
    names: tuple[str, ...]
    X: Any
    X_test: Any
    places: Any


def read_taken(
    model: Any,
    outputs: str | None,
    input_shape: tuple[int, ...],
    data: Path,
    test: Path | None,
    target: str | None,
    seed: int,
) -> ModelData:
    """A model with its data, of which a quarter is for tests where no others are given.

    Args:
        model: as it was loaded.
        outputs, input_shape: as `knowlimits.read` has them.
        data: CSV file.
        test: one of the same columns, or None.
        target: the column of labels, or None.
        seed: of what is drawn.

    Raises:
        ValueError: if the data are no table, or none of the model's columns and classes.
    """
    import numpy as np

    from knowlimits.auditing.find.cost import places_of
    from knowlimits.model.read import read
    from knowlimits.model.tables import rows_at

    given = read_rows(model, outputs, data, test, target)
    X, labels = given.X, given.table.labels
    if input_shape:
        model = read(model, outputs, X, input_shape=input_shape)
    if given.test is None:
        order = np.random.default_rng(seed).permutation(len(X))
        held, rest = order[: len(order) // 4], order[len(order) // 4 :]
        X, X_test = rows_at(X, rest), rows_at(X, held)
    else:
        X_test, held = given.X_test, np.arange(len(given.test)) + len(X)
        labels = None if labels is None or given.test.labels is None else np.concatenate([labels, given.test.labels])
    # All of them together, as a model that has no labels has those of the data.
    places = None if labels is None else places_of(model, outputs, X, labels)[held]
    return ModelData(model, given.table.names, X, X_test, places)


def _check_text(model: Any, outputs: str | None, X: Any, table: "Mixed") -> None:
    """Refuse text that the model does not take, and gaps beside text."""
    import numpy as np

    from knowlimits.model.tables import rows_at

    text = _no_numbers(table)
    if not text or not (says := _refusal(model, outputs, X)):
        return
    must = f"DATA: {table.path} must have rows that the model takes."
    gaps = _gaps(table)
    complete = np.flatnonzero(~gaps.any(1))
    if gaps.any() and len(complete) and not _refusal(model, outputs, rows_at(X, complete)):
        names = [table.names[place] for place in np.flatnonzero(gaps.any(0))]
        raise UsageError(f"{must} Got gaps in {_named(names)}, and it says: {says}")
    raise UsageError(
        f"{must} Got text in {_named(text)}, and it says: {says} If that is the column of labels, name it: --target."
    )


def _no_numbers(table: "Mixed") -> list[str]:
    """Names of columns of text or truth values."""
    from knowlimits.files.mixed import Kind

    return [name for name, kind in table.kinds.items() if kind is not Kind.NUMBERS]


def _refusal(model: Any, outputs: str | None, X: Any) -> str:
    """What a model says of rows that it does not take, in a line; ``""`` if it takes them."""
    from knowlimits.ood.remedies.answers import answering, labels_of

    try:
        labels_of(answering(model, outputs, X), X)
    except Exception as error:
        # A person's model may raise anything for text.
        says = str(error).strip().splitlines()
        return says[0] if says else type(error).__name__
    return ""


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(map(repr, names[:_NAMED]))}{more}"


def check_gaps(model: Any, outputs: str | None, input_shape: tuple[int, ...], rows: TakenRows) -> None:
    """Refuse gaps in columns where a model, as it is read, takes none.

    Raises:
        ValueError: with the line of the file.
    """
    import numpy as np

    from knowlimits.auditing.find.subject import looked_at
    from knowlimits.model.read import read

    tables = [table for table in (rows.table, rows.test) if table is not None]
    gaps = [_gaps(table) for table in tables]
    if not any(map(np.any, gaps)):
        return
    found = read(model, outputs, looked_at(rows.X), input_shape=input_shape or None)
    columns = None if found.steps is None else found.steps.columns
    for table, missing in zip(tables, gaps, strict=True):
        for place in np.flatnonzero(missing.any(0)):
            if not (found.gaps if columns is None else columns[place].gaps):
                at, count = int(missing[:, place].argmax()), int(missing[:, place].sum())
                raise ValueError(
                    f"{table.path}, row {table.lines[at]}, column {table.names[place]!r}, must have no gaps, which the model "
                    f"does not take there. Got nothing, {count:,} such in all."
                )


def _gaps(table: "Mixed") -> "np.ndarray":
    """Which cells have no value, ``(n, columns)``."""
    import numpy as np

    def missing(column: np.ndarray) -> np.ndarray:
        return np.isnan(column) if column.dtype.kind == "f" else np.array([value is None for value in column.tolist()])

    return np.stack([missing(column) for column in table.columns], 1)


def chosen(table: "Mixed", names: tuple[str, ...]) -> "Mixed":
    """The columns of these names, with a note on standard error of what else there is."""
    found = table.taken(names)
    if others := [name for name in table.names if name not in names]:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        print(
            f"{table.path}: left aside, as the model has no such columns: {', '.join(others[:_NAMED])}{more}.", file=sys.stderr
        )
    return found
