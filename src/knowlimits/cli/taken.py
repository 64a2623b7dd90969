"""Rows of CSV files as a person's model takes them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowlimits.cli.mistakes import UsageError

if TYPE_CHECKING:
    from knowlimits.files.mixed import Mixed

# Columns that a note names.
_NAMED = 10


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
    from knowlimits.files.mixed import read_mixed
    from knowlimits.model.read import read
    from knowlimits.model.tables import rows_at

    table = read_mixed(data, target)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        table = chosen(table, tuple(map(str, names)))
    named = names is not None

    def rows(table: "Mixed") -> Any:
        return table.frame() if named else table.array()

    X, y = rows(table), table.labels
    _check_text(model, outputs, X, table)
    if input_shape:
        model = read(model, outputs, X, input_shape=input_shape)
    if test is None:
        order = np.random.default_rng(seed).permutation(len(table))
        held, rest = order[: len(order) // 4], order[len(order) // 4 :]
        X, X_test, labels = rows_at(X, rest), rows_at(X, held), y
    else:
        others = chosen(read_mixed(test, target, table.kinds), table.names)
        X_test, held = rows(others), np.arange(len(others)) + len(table)
        labels = None if y is None or others.labels is None else np.concatenate([y, others.labels])
    # All of them together, as a model that has no labels has those of the data.
    places = None if labels is None else places_of(model, outputs, X, labels)[held]
    return ModelData(model, table.names, X, X_test, places)


def _check_text(model: Any, outputs: str | None, X: Any, table: "Mixed") -> None:
    """Refuse text that the model does not take."""
    from knowlimits.files.mixed import Kind
    from knowlimits.ood.remedies.answers import answering, labels_of

    text = [name for name, kind in table.kinds.items() if kind is not Kind.NUMBERS]
    if not text:
        return
    try:
        labels_of(answering(model, outputs, X), X)
    except Exception as error:
        # A person's model may raise anything for text.
        more = f" and {len(text) - _NAMED} more" if len(text) > _NAMED else ""
        raise UsageError(
            f"DATA: {table.path} must have rows that the model takes. Got text in {', '.join(map(repr, text[:_NAMED]))}{more}, "
            f"and it says: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__} If that is the "
            "column of labels, name it: --target."
        ) from None


def chosen(table: "Mixed", names: tuple[str, ...]) -> "Mixed":
    """The columns of these names, with a note on standard error of what else there is."""
    found = table.taken(names)
    if others := [name for name in table.names if name not in names]:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        print(
            f"{table.path}: left aside, as the model has no such columns: {', '.join(others[:_NAMED])}{more}.", file=sys.stderr
        )
    return found
