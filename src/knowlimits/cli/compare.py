"""`knowlimits compare`: the same audit of several candidates, to choose by."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from knowlimits.cli.mistakes import UsageError, option
from knowlimits.cli.preamble import Faults, check_outputs, check_seed, check_whole, load_model, read_kinds
from knowlimits.cli.taken import TakenRows, check_gaps, read_rows

# Stands for the ranges of the data.
_DATA = "data"


def compare(
    *files: Path,
    target: str | None = None,
    test: Path | None = None,
    continuous: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    ranges: Path | None = None,
    faults: Faults = (),
    input_shape: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    trusted: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    max_rows: int = 2000,
    seed: int = 0,
    html: Path | None = None,
    csv: Path | None = None,
    force: bool = False,
) -> None:
    """The same audit of several models, side by side: how they do, how they end, how soon, under faults, and with a guard.

    Parameters
    ----------
    files
        Files of models, as knowlimits audit takes them, and last a CSV file of data like those that they were trained on, with
        a line of names on top. A candidate is called by the name of its file.
    target
        Column of the labels in it; without it there are none.
    test
        CSV file of rows that no model has seen, with the same columns.
    continuous
        Columns to move, or all; without it those that do not look like codes.
    ranges
        TOML file of what columns may plausibly be: below [ranges] lines such as age = [0, 120]. Or data, for what the data
        have, which is taken without it, too, and for columns that the file does not name.
    faults
        Kinds of faults in the data to try, or none of them; without it all that the data suggest.
    input_shape
        Sizes of the axes of one input, for models of windows, landmarks or images whose files do not say them.
    trusted
        Types that a file of skops may make, beside those that skops trusts by itself.
    max_rows
        Of larger tables so many rows are drawn.
    seed
        Fixes what is drawn.
    html
        Page to write, one file that needs nothing else.
    csv
        Table to write: a row for each candidate.
    force
        Replace files that are there.
    """
    if len(files) < 2:
        raise UsageError(f"files must be one model at least, and data. Got {len(files)} file{'s' if len(files) != 1 else ''}.")
    *models, data = files
    check_seed(seed)
    check_whole("--max-rows", max_rows, 16)
    tried = read_kinds(faults)
    file = None if ranges is None or ranges == Path(_DATA) else ranges
    check_outputs({"--html": html, "--csv": csv}, *files, test, file, overwrite=force)
    names = _names(models)
    from knowlimits.auditing import compare as run
    from knowlimits.files.ranges import read_ranges

    loaded = {name: _loaded(path, trusted) for name, path in zip(names, models, strict=True)}
    rows = _rows(loaded, data, test, target, input_shape)
    found = run(
        loaded,
        rows.X,
        rows.table.labels,
        feature_names=list(rows.table.names),
        continuous="all" if continuous == ("all",) else list(continuous) or None,
        X_test=rows.X_test,
        y_test=None if rows.test is None else rows.test.labels,
        ranges=None if ranges is None else _DATA if file is None else read_ranges(file, list(rows.table.names)),
        faults=tried,
        input_shape=input_shape or None,
        max_rows=max_rows,
        random_state=seed,
        verbose=sys.stderr.isatty(),
    )
    if html is not None:
        found.to_html(html, overwrite=force)
    if csv is not None:
        found.to_csv(csv, overwrite=force)
    print(found)
    for what, path in (("page", html), ("table", csv)):
        if path is not None:
            print(f"\nThe {what}: {path}")


def _names(models: list[Path]) -> list[str]:
    """Names of candidates: those of their files, with as much of the path as tells them apart."""
    for names in ([path.stem for path in models], [path.name for path in models], list(map(str, models))):
        if len(set(names)) == len(names):
            return names
    twice = next(name for name, count in Counter(map(str, models)).items() if count > 1)
    raise UsageError(f"MODEL: each model must be given once. Got {twice} more often.")


def _loaded(path: Path, trusted: tuple[str, ...]) -> Any:
    try:
        return load_model(path, trusted)
    except UsageError as error:
        # Which of them it is; errors of files name it already.
        text = str(error)
        raise error if os.fspath(path) in text else UsageError(f"{path}: {text}") from None


def _rows(models: dict[str, Any], data: Path, test: Path | None, target: str | None, input_shape: tuple[int, ...]) -> TakenRows:
    """Rows of files as the candidates take them: by names where one knows its columns by these, and in its order."""
    from knowlimits.auditing.find.subject import takes_numbers

    named = [model for model in models.values() if getattr(model, "feature_names_in_", None) is not None]
    numbers = all(map(takes_numbers, models.values()))
    rows = read_rows([*named, *models.values()][0], None, data, test, target, numbers=numbers, infinite=False)
    for name, model in models.items():
        with option(f"Candidate {name!r}"):
            check_gaps(model, None, input_shape, rows)
    return rows
