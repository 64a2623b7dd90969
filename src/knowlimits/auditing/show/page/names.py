"""Names of columns as a page has room for them."""

from dataclasses import replace

import numpy as np

from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.find.table import Table

# Letters that a name may have.
_LETTERS = 80


def with_short_names(found: Findings) -> Findings:
    """The same with names of which the long ones are cut, and numbered, so that no two are alike."""
    tables = (found.features.table, found.directions.steepest, found.plausible.table, found.faults.table, found.codes.table)
    names = dict.fromkeys(name for table in tables for name in table["feature"].tolist())
    short = {
        name: f"{name[:_LETTERS].rstrip()}… ({number})" for number, name in enumerate(names, start=1) if len(name) > _LETTERS
    }
    if not short:
        return found
    features, steepest, plausible, faults, codes = (
        Table(table.columns | {"feature": np.array([short.get(name, name) for name in table["feature"].tolist()], dtype=str)})
        for table in tables
    )
    columns = found.columns
    return replace(
        found,
        columns=replace(columns, names=tuple(short.get(name, name) for name in columns.names)),
        features=replace(found.features, table=features),
        directions=replace(found.directions, steepest=steepest),
        plausible=replace(found.plausible, table=plausible),
        faults=replace(found.faults, table=faults),
        codes=replace(found.codes, table=codes, values={short.get(name, name): k for name, k in found.codes.values.items()}),
    )
