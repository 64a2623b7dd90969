"""The tables of an audit as CSV files, one each: numbers in as many digits as tell them apart, text as it is."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from knowlimits.auditing.find.table import Table
from knowlimits.outputs import check_folder, check_replaced, write_csv


def table_files(folder: str | os.PathLike, names: tuple[str, ...]) -> list[Path]:
    """The files that tables of these names are written to."""
    return [Path(folder) / f"{name}.csv" for name in names]


def write_tables(tables: Mapping[str, Table], folder: str | os.PathLike, overwrite: bool) -> None:
    """Write tables, by their names, into a folder, which is made where there is none.

    All files are looked at before the first is written, and each is written whole or not at all.

    Raises:
        FileExistsError: if a file is there and `overwrite` is false.
        OSError: if one cannot be written.
    """
    files = table_files(folder, tuple(tables))
    check_folder(folder)
    for file in files:
        check_replaced(file, overwrite)
    for file, table in zip(files, tables.values(), strict=True):
        write_csv(file, list(table.columns), zip(*map(_cells, table.columns.values()), strict=True))


def _cells(values: np.ndarray) -> list[object]:
    """A column, with nothing where there is no number."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]
