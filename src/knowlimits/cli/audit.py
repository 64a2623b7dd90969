"""`knowlimits audit`: the report on a person's own model."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from knowlimits.cli.mistakes import UsageError
from knowlimits.cli.preamble import Outputs, check_outputs, check_seed, check_whole, load_model


def audit(
    model: Path,
    data: Path,
    *,
    target: str | None = None,
    test: Path | None = None,
    continuous: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    outputs: Outputs = None,
    output: str | None = None,
    layer: str | None = None,
    input_shape: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    trusted: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    max_rows: int = 2000,
    seed: int = 0,
    html: Path | None = None,
    force: bool = False,
) -> None:
    """Where a model of your own is sure of itself without reason, how soon, and what helps.

    Parameters
    ----------
    model
        A file written by knowlimits.save, an ONNX file (.onnx), a torch.export program (.pt2), a file of skops (.skops), or a
        classifier that XGBoost (.json, .ubj), LightGBM (.txt) or CatBoost (.json, .cbm) has saved.
    data
        CSV file of data like those that the model was trained on, with a line of names on top.
    target
        Column of the labels in it; without it there are none.
    test
        CSV file of rows that the model has not seen, with the same columns.
    continuous
        Columns to move, or all; without it those that do not look like codes.
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
    force
        Replace a report that is there.
    """
    check_seed(seed)
    check_whole("--max-rows", max_rows, 16)
    check_outputs({"--html": html}, model, data, test, overwrite=force)
    from knowlimits.auditing import audit as run
    from knowlimits.files.tables import read_numbers, read_table

    def read(path: Path) -> tuple[Any, Any, list[str]]:
        if target is not None:
            return read_table(path, target)
        values, names = read_numbers(path)
        return values, None, names

    loaded = load_model(model, trusted, output)
    X, y, names = read(data)
    X_test = y_test = None
    if test is not None:
        X_test, y_test, others = read(test)
        if others != names:
            raise UsageError(f"--test: {test} must have the columns of {data}, in their order. Got {', '.join(others)}.")
    columns = "all" if continuous == ("all",) else list(continuous) or None
    found = run(
        loaded,
        X,
        y,
        feature_names=names,
        continuous=columns,
        X_test=X_test,
        y_test=y_test,
        outputs=outputs,
        layer=layer,
        input_shape=input_shape or None,
        max_rows=max_rows,
        random_state=seed,
        verbose=sys.stderr.isatty(),
    )
    given = {"--target": target, "--test": test, "--outputs": outputs, "--output": output, "--seed": seed or None}
    several = {"--input-shape": input_shape, "--trusted": trusted}
    found = dataclasses.replace(found, next_step=(_guarded(model, data, given, several),))
    if html is not None:
        found.to_html(html, overwrite=force)
    print(found)
    if html is not None:
        print(f"\nThe report: {html}")


def _guarded(model: Path, data: Path, given: dict[str, Any], several: dict[str, Sequence[Any]]) -> str:
    """The command that makes a guarded file of the same model, with the options that were given: of a value, and of several."""
    words = ["knowlimits", "guard", model, data]
    for name, value in given.items():
        words += [] if value is None else [name, value]
    for name, values in several.items():
        words += [name, *values] if values else []
    return shlex.join(map(str, [*words, "--out", "guarded.onnx"]))
