"""`knowlimits check`: the rows of a table that a guarded model would refuse, and why."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from knowlimits.cli.mistakes import UsageError, option
from knowlimits.cli.preamble import check_outputs, load_model

# Columns of the table of refused rows.
_COLUMNS = ("row", "unfamiliarity", "reason")


def check(
    model: Path,
    data: Path,
    *,
    share: float = 0.2,
    out: Path | None = None,
    trusted: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
) -> int:
    """Which rows of a table a guarded model would refuse, and why, as CSV; status 1 where they are more than a share of all.

    Of rows like those that the guard has learnt from some are refused, too: 1 in 20, unless its --keep says otherwise.

    Parameters
    ----------
    model
        A file of `knowlimits guard`, of knowlimits.export or of knowlimits.save, with a guard in it.
    data
        CSV file with a line of names on top, among them those of the model's columns, in any order.
    share
        Of refused rows, above which the status is 1.
    out
        File for the refused rows; standard output without it. Their columns are the line of the file at which a row begins,
        how unfamiliar it is, and why.
    trusted
        Types that the model in a .safetensors file may make, beside those that skops trusts by itself.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"--share must be in 0 to 1. Got {share:g} instead.")
    check_outputs({"--out": out}, model, data)
    from knowlimits.cli.taken import chosen
    from knowlimits.files.mixed import read_mixed
    from knowlimits.outputs import write_csv

    guard = _guard(model, trusted)
    columns = guard.columns_
    kinds = _kinds(columns)
    if columns.named:
        table = chosen(read_mixed(data, kinds=dict(zip(columns.names, kinds, strict=True))), columns.names)
    else:
        table = read_mixed(data, kinds=kinds)
        if len(table.names) != len(kinds):
            raise UsageError(
                f"DATA: {data} must have the {len(kinds)} columns of the guard in their order, as it was fitted to an array, "
                f"which has no names. Got {len(table.names)}."
            )
    rows = table.array()
    unfamiliarity, reasons = guard.unfamiliarity(rows), guard.reasons(rows)
    refused = (~guard.accepts(rows)).nonzero()[0].tolist()
    found = [[table.lines[row], f"{unfamiliarity[row]:.6g}", reasons[row]] for row in refused]
    if out is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([_COLUMNS, *found])
    else:
        write_csv(out, _COLUMNS, found)
    ratio = len(refused) / len(table)
    where = "above" if ratio > share else "within"
    print(f"{len(refused):,} of {len(table):,} rows refused ({ratio:.1%}), {where} --share {share:g}.", file=sys.stderr)
    return int(ratio > share)


def _guard(path: Path, trusted: tuple[str, ...]) -> Any:
    """The guard in a file; that of an ONNX file knows its rows, and has no model."""
    from knowlimits.files.export.carried import carried
    from knowlimits.ood.remedies.guard import Guard

    with option("MODEL"):
        if path.suffix.lower() == ".onnx":
            if not path.is_file():
                raise FileNotFoundError(f"no such file: {path}")
            return carried(path.read_bytes(), str(path))
        loaded = load_model(path, trusted)
        if not isinstance(loaded, Guard):
            raise UsageError(
                f"MODEL: {path} must have a guard. Got {type(loaded).__name__} without one: knowlimits guard makes such a file."
            )
        return loaded


def _kinds(columns: Any) -> list[Any]:
    """What cells of columns are to be read as."""
    from knowlimits.files.mixed import Kind

    kinds = []
    for seen in columns.seen:
        types = {type(value) for value in seen or ()}
        kinds.append(Kind.NUMBERS if seen is None or types & {int, float} else Kind.TRUTH if types == {bool} else Kind.TEXT)
    return kinds
