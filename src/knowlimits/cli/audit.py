"""`knowlimits audit`: the report on a person's own model."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from knowlimits.cli.preamble import Faults, Outputs, check_outputs, check_seed, check_whole, load_model, read_kinds
from knowlimits.cli.taken import check_gaps, read_rows

# Stands for the ranges of the data.
_DATA = "data"
# Tables of an audit, which takes long to load; a test keeps them together.
TABLES = ("ranges", "faults", "codes", "features", "directions", "steepest", "detection", "remedies")


def audit(
    model: Path,
    data: Path,
    *,
    target: str | None = None,
    test: Path | None = None,
    continuous: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    ranges: Path | None = None,
    faults: Faults = (),
    outputs: Outputs = None,
    output: str | None = None,
    layer: str | None = None,
    input_shape: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    trusted: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    max_rows: int = 2000,
    seed: int = 0,
    html: Path | None = None,
    csv: Path | None = None,
    force: bool = False,
) -> None:
    """Where a model of your own is sure of itself without reason, how soon, and what helps.

    Parameters
    ----------
    model
        A file written by knowlimits.save, an ONNX file (.onnx), a torch.export program (.pt2), a file of skops (.skops), or a
        classifier that XGBoost (.json, .ubj), LightGBM (.txt) or CatBoost (.json, .cbm) has saved.
    data
        CSV file of data like those that the model was trained on, with a line of names on top: numbers, text, gaps.
    target
        Column of the labels in it; without it there are none.
    test
        CSV file of rows that the model has not seen, with the same columns.
    continuous
        Columns to move, or all; without it those that do not look like codes.
    ranges
        TOML file of what columns may plausibly be: below [ranges] lines such as age = [0, 120]. Or data, for what the data
        have, which is taken without it, too, and for columns that the file does not name.
    faults
        Kinds of faults in the data to try, or none of them; without it all that the data suggest.
    outputs
        What the model returns; told from the file without it.
    output
        Name of the output of an ONNX file, or of a value in between, that is the classifier; told from the file without it.
    layer
        Submodule whose input are the features that detectors look at; the last linear layer without it.
    input_shape
        Sizes of the axes of one input, for a model of windows, landmarks or images whose file does not say them: 21 2 for 21
        landmarks of two numbers each, the columns of the table in the order (0, 0), (0, 1), (1, 0) and so on.
    trusted
        Types that a file of skops may make, beside those that skops trusts by itself.
    max_rows
        Of larger tables so many rows are drawn.
    seed
        Fixes what is drawn.
    html
        Report to write, one file that needs nothing else.
    csv
        Folder for the tables, a CSV file each.
    force
        Replace files that are there.
    """
    check_seed(seed)
    check_whole("--max-rows", max_rows, 16)
    tried = read_kinds(faults)
    file = None if ranges is None or ranges == Path(_DATA) else ranges
    tables = () if csv is None else [csv / f"{name}.csv" for name in TABLES]
    check_outputs({"--html": html, "--csv": tables}, model, data, test, file, overwrite=force)
    from knowlimits.auditing import audit as run
    from knowlimits.auditing.find.subject import takes_numbers
    from knowlimits.files.ranges import read_ranges

    loaded = load_model(model, trusted, output)
    rows = read_rows(loaded, outputs, data, test, target, numbers=takes_numbers(loaded), infinite=False)
    check_gaps(loaded, outputs, input_shape, rows)
    said = None if ranges is None else _DATA if file is None else read_ranges(file, list(rows.table.names))
    columns = "all" if continuous == ("all",) else list(continuous) or None
    found = run(
        loaded,
        rows.X,
        rows.table.labels,
        feature_names=list(rows.table.names),
        continuous=columns,
        X_test=rows.X_test,
        y_test=None if rows.test is None else rows.test.labels,
        ranges=said,
        faults=tried,
        outputs=outputs,
        layer=layer,
        input_shape=input_shape or None,
        max_rows=max_rows,
        random_state=seed,
        verbose=sys.stderr.isatty(),
    )
    given = {
        "--target": target,
        "--test": test,
        "--ranges": file,
        "--outputs": outputs,
        "--output": output,
        "--seed": seed or None,
    }
    several = {"--input-shape": input_shape, "--trusted": trusted}
    found = dataclasses.replace(found, next_step=(_guarded(model, data, given, several),))
    if html is not None:
        found.to_html(html, overwrite=force)
    if csv is not None:
        found.to_csv(csv, overwrite=force)
    print(found)
    for what, path in (("report", html), ("tables", csv)):
        if path is not None:
            print(f"\nThe {what}: {path}")


def _guarded(model: Path, data: Path, given: dict[str, Any], several: dict[str, Sequence[Any]]) -> str:
    """The command that makes a guarded file of the same model, with the options that were given: of a value, and of several."""
    words = ["knowlimits", "guard", model, data]
    for name, value in given.items():
        words += [] if value is None else [name, value]
    for name, values in several.items():
        words += [name, *values] if values else []
    return shlex.join(map(str, [*words, "--out", "guarded.onnx"]))
