"""Tables of results: named columns of one length."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Named columns of one length; ``table["sure"]`` is one of them.

    Attributes:
        columns: arrays ``(rows,)`` by their names, in order.
    """

    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def where(self, **values: Any) -> "Table":
        """The rows that have these values in these columns."""
        kept = np.ones(len(self), dtype=bool)
        for name, value in values.items():
            kept &= self.columns[name] == value
        return self.take(kept)

    def take(self, places: np.ndarray) -> "Table":
        """Rows by their places, in that order, or by a boolean for each."""
        return Table({name: column[places] for name, column in self.columns.items()})

    def distinct(self, name: str) -> list[Any]:
        """The values of a column, each once, in their order."""
        return list(dict.fromkeys(self.columns[name].tolist()))

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row; `of` is the way back."""
        return [{name: column[k] for name, column in self.columns.items()} for k in range(len(self))]

    def to_frame(self) -> Any:
        """As a pandas DataFrame.

        Raises:
            ImportError: if pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas.") from None
        return DataFrame(self.columns)

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> "Table":
        """From a dictionary for each row, all with the same keys."""
        return cls({name: np.array([row[name] for row in rows]) for name in rows[0]})
