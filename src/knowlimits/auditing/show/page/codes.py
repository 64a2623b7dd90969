"""Codes on a page: a table for each column, a row for each of its values."""

from typing import Any

from knowlimits.auditing.find.codes import ByCode


def shown(found: ByCode) -> dict[str, Any]:
    """What codes.html shows: `columns`, each with its rows, how many values it has, and whether these are all."""
    columns = []
    for name in found.table.distinct("feature"):
        own, values = found.table.where(feature=name), found.values[name]
        columns.append({"feature": name, "rows": own.rows(), "values": values, "all": values <= (own["seen"] > 0).sum()})
    return {"columns": columns, "left": found.left}
