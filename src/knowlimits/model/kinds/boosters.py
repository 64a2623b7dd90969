"""Boosted classifiers of other libraries: what is asked of all of them, whether they are read in memory or from a file."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.model.arrays import first_line
from knowlimits.model.asked import Asked
from knowlimits.model.boosters.boosted import Boosted
from knowlimits.model.families.oblivious import Oblivious
from knowlimits.model.families.recoded import Recoded
from knowlimits.model.families.trees import Trees
from knowlimits.model.kinds.fitted import proven
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.steps import Steps
from knowlimits.model.tables import column, is_gap

# Rows that a reading is held to where none are given.
_ROWS = 64
_GAPS = 0.1


def model_of(found: Boosted, name: str, about: Mapping[str, Any], rows: Any = None) -> Model:
    """A model of what was read.

    Args:
        found: it.
        name: what it is called.
        about: fields of a `Model` that are known otherwise; None where they are not.
        rows: a few rows as it takes them.
    """
    said = {"classes_": found.classes, "n_features_in_": found.columns, "feature_names_in_": found.names}
    said |= {key: value for key, value in about.items() if value is not None}
    steps = None
    if found.levels and (rows is None or hasattr(rows, "iloc")):
        table = Codebook(found.levels, said["feature_names_in_"], found.columns)
        steps = Steps.of([table], rows, found.columns, said["feature_names_in_"], gaps=True)
    returns = found.module.returns if isinstance(found.module, Trees | Oblivious | Recoded) else None
    network = Network(found.module) if returns is None else Network(found.module, returns=returns)
    return Model(name, (network,), steps, **said)


def held(found: Model, model: Any, asked: Asked) -> Model:
    """What was read, held to a library's own `predict_proba`, on rows near all thresholds where none are given."""
    if asked.rows is None and found.steps is None:
        asked = dataclasses.replace(asked, rows=likely_rows(found))
    return proven(found, model, asked)


def likely_rows(found: Model) -> np.ndarray:
    """Rows that come to many leaves: near thresholds of all columns, with gaps where such are taken."""
    family, columns = found.networks[0].module, found.n_features_in_ or 0  # type: ignore[union-attr]
    random = np.random.default_rng(0)
    rows = random.normal(size=(_ROWS, columns))
    if not isinstance(family, Trees | Oblivious | Recoded):
        return rows
    for place, thresholds in enumerate(family.thresholds):
        if len(thresholds):
            chosen = random.choice(thresholds, _ROWS)
            rows[:, place] = chosen + rows[:, place] * max(float(np.ptp(thresholds)), np.abs(chosen).max(), 1e-30) * 0.1
    rows[:, list(family.held)] = random.integers(0, 8, (_ROWS, len(family.held)))
    rows[random.random(rows.shape) < _GAPS] = np.nan
    return rows


@contextmanager
def read_as(what: str) -> Iterator[None]:
    """What is raised inside about a text of a library is raised with its name.

    Raises:
        ValueError: as said.
    """
    try:
        yield
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply.") from None
    except (OverflowError, MemoryError, TypeError, KeyError, IndexError, AttributeError) as error:
        # Whatever else a lie may bring about on its way to a model.
        raise ValueError(f"{what} is damaged: {first_line(error) or type(error).__name__}.") from None
    except ValueError as error:
        raise ValueError(f"{what} {first_line(error)}.") from None


@dataclass(frozen=True)
class Answering:
    """A model of a library that has no `predict_proba`, with one.

    Attributes:
        predict_proba: it.
    """

    predict_proba: Callable[[Any], np.ndarray]


def pair(p: np.ndarray) -> np.ndarray:
    """Probabilities ``(n, classes)`` of those of the second class, ``(n,)``, or as they are."""
    return np.column_stack([1 - p, p]) if p.ndim == 1 else p


@dataclass(frozen=True, eq=False)
class Codebook:
    """What a library makes of a table: codes of the values of columns that have categories, in a fixed order.

    Attributes:
        levels: of these columns, by their places.
        feature_names_in_: what the columns are called; None for arrays.
        n_features_in_: how many there are.
    """

    levels: Mapping[int, tuple[Any, ...]]
    feature_names_in_: tuple[str, ...] | None
    n_features_in_: int

    @property
    def categories_(self) -> list[np.ndarray]:
        """Values that columns may have, for rows that are made up; of numbers some."""
        return [_values(self.levels.get(place, (-1.0, 0.0, 1.0))) for place in range(self.n_features_in_)]

    def transform(self, X: Any) -> np.ndarray:
        """Numbers as they are, codes of categories, and gaps of what is none of these."""
        out = np.empty(X.shape)
        for place in range(self.n_features_in_):
            values = column(X, place)
            if place not in self.levels:
                out[:, place] = [np.nan if is_gap(value) else value for value in values.tolist()]
                continue
            codes = {value: float(code) for code, value in enumerate(self.levels[place])}
            out[:, place] = [np.nan if is_gap(value) else codes.get(value, np.nan) for value in values.tolist()]
        return out


def _values(levels: tuple[Any, ...]) -> np.ndarray:
    if all(isinstance(level, bool | int | float) for level in levels):
        return np.array(levels, dtype=np.float64)
    values = np.empty(len(levels), dtype=object)
    values[:] = levels
    return values
