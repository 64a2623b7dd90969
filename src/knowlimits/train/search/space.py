"""Search spaces: a table from parameters to what they are drawn from.

A value is a list of choices; a table with `low` and `high`, whole numbers for a whole number, and `log = true` for a
logarithmic scale; or else fixed. `layers` and `width` together are `hidden_sizes` of equal widths.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

_LAYOUT = ("layers", "width")


@dataclass(frozen=True)
class Space:
    """What the parameters of an estimator are drawn from.

    Attributes:
        drawn: from names to distributions of Optuna.
        fixed: from names to values.
    """

    drawn: dict[str, BaseDistribution]
    fixed: dict[str, Any]

    @classmethod
    def of(cls, table: "Mapping[str, Any] | Space", accepted: list[str]) -> "Space":
        """A space from a table, for parameters of which there are those `accepted`.

        Raises:
            TypeError: if it is no table.
            ValueError: if a name is unknown, or an entry is not as it should be.
        """
        if isinstance(table, Space):
            return table
        if not isinstance(table, Mapping):
            raise TypeError(f"space must be a table from parameters to choices or ranges. Got {type(table).__name__} instead.")
        unknown = sorted(set(table) - set(accepted) - set(_LAYOUT))
        if unknown:
            raise ValueError(
                f"space must have parameters of the model. Got {unknown}, accepted are {sorted([*accepted, *_LAYOUT])}."
            )
        if len(set(table) & set(_LAYOUT)) == 1:
            raise ValueError("space must have layers and width together. Got only one of them.")
        for name in _LAYOUT:
            _check_counts(name, table.get(name, 1))
        drawn, fixed = {}, {}
        for name, entry in table.items():
            if isinstance(entry, BaseDistribution):
                drawn[name] = entry
            elif isinstance(entry, Mapping):
                drawn[name] = _range(name, entry)
            elif isinstance(entry, list | tuple):
                if not entry:
                    raise ValueError(f"{name} in space must have a choice at least. Got an empty list.")
                drawn[name] = CategoricalDistribution([_plain(choice) for choice in entry])
            else:
                fixed[name] = entry
        if not drawn:
            raise ValueError("space must have a parameter to draw. Got fixed values only.")
        return cls(drawn, fixed)

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of an estimator from what was drawn."""
        chosen = {**self.fixed, **{name: _original(value) for name, value in values.items()}}
        if "layers" in chosen:
            layers, width = chosen.pop("layers"), chosen.pop("width")
            chosen["hidden_sizes"] = (width,) * layers
        return chosen

    def to_json(self) -> dict[str, Any]:
        """What tells this space from another."""
        return {**self.fixed, **{name: json.loads(distribution_to_json(d)) for name, d in self.drawn.items()}}


def read_spaces(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a TOML file, one for each model.

    Raises:
        ValueError: if the file is not TOML or has something else than tables.
        OSError: if it cannot be read.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{path} must have a table for each model. Got {name} = {table!r} instead.")
    return tables


def _check_counts(name: str, entry: Any) -> None:
    """Raise unless layers or widths are drawn from whole numbers of at least 1."""
    if isinstance(entry, BaseDistribution):
        bad = [] if isinstance(entry, IntDistribution) and entry.low > 0 else [entry]
        entry = getattr(entry, "choices", bad)
    if isinstance(entry, Mapping):
        entry = [entry.get("low", 1), entry.get("high", 1)]
    for value in entry if isinstance(entry, list | tuple) else [entry]:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} in space must be whole numbers of at least 1. Got {value!r} instead.")


def _range(name: str, entry: Mapping[str, Any]) -> BaseDistribution:
    unknown = sorted(set(entry) - {"low", "high", "log"})
    if unknown or not {"low", "high"} <= set(entry):
        raise ValueError(f"{name} in space must have low, high and, if need be, log. Got {dict(entry)} instead.")
    low, high, log = entry["low"], entry["high"], bool(entry.get("log", False))
    whole = isinstance(low, int) and isinstance(high, int)
    try:
        return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} in space is no range: {error}") from None


def _plain(choice: Any) -> Any:
    """A choice as databases keep it: lists as text."""
    return json.dumps(list(choice)) if isinstance(choice, list | tuple) else choice


def _original(value: Any) -> Any:
    return tuple(json.loads(value)) if isinstance(value, str) and value.startswith("[") else value
