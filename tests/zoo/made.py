"""A model of the zoo that is built, and what is true of it far away."""

import warnings
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn import ensemble

import knowlimits as kl
from knowlimits.ood.detectors.view import View
from tests.zoo.entry import Entry, Table
from tests.zoo.models import ZOO

#: A classifier with this confidence is sure of itself.
SURE = 0.99
#: Probabilities that differ by no more are the same.
CLOSE = 1e-6


class Wrong(Exception):
    """A function says something that is not so."""


def few_trees() -> Any:
    """Isolation forests are small inside: they look at inputs only, and would be a third of the work."""
    return patch.object(ensemble, "IsolationForest", partial(ensemble.IsolationForest, n_estimators=5))


def require(true: Any, otherwise: str) -> None:
    if not true:
        raise Wrong(otherwise)


@dataclass(frozen=True, eq=False)
class Made:
    """A model of the zoo that is built.

    Attributes:
        entry: what it is.
        model: it.
    """

    entry: Entry
    model: Any

    @property
    def table(self) -> Table:
        return self.entry.table

    @property
    def asked(self) -> Any:
        """The model as functions take it: read beforehand where a person has to say something about it."""
        return kl.read(self.model, X=self.table.X, **self.entry.said) if self.entry.said else self.model

    @cached_property
    def audited(self) -> kl.Audit:
        """Its audit, of all rows."""
        table = self.table
        with few_trees():
            return kl.audit(self.asked, table.X, table.y, X_test=table.X, y_test=table.y)

    def seen_by(self, features: bool) -> View:
        """What detectors look at, read once for all that look at the same."""
        if features not in self._views:
            self._views[features] = View(self.asked, None, features, X=self.table.X)
        return self._views[features]

    @cached_property
    def _views(self) -> dict[bool, View]:
        return {}

    def truth(self, rows: Any) -> np.ndarray:
        """What the model itself says, ``(n, classes)``."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return np.asarray(self.entry.truth(self.model, rows), dtype=np.float64)

    @cached_property
    def at_data(self) -> np.ndarray:
        return self.truth(self.table.X)

    @cached_property
    def labels(self) -> np.ndarray:
        """What the model predicts for its data."""
        if hasattr(self.model, "predict") and hasattr(self.model, "predict_proba"):
            # CatBoost gives a column.
            return np.asarray(self.model.predict(self.table.X)).reshape(len(self.table.X))
        return self.classes[self.at_data.argmax(1)]

    @cached_property
    def classes(self) -> np.ndarray:
        """Labels of the classes of the truth."""
        one = self.model[0] if isinstance(self.model, list) else self.model
        classes = getattr(one, "classes_", None)
        return np.arange(self.at_data.shape[1]) if classes is None else np.sort(classes)

    @cached_property
    def rays(self) -> tuple[Any, np.ndarray]:
        """Rows, and steps of a standard deviation: along columns that may move, each way, and in random directions of them."""
        rng = np.random.default_rng(5)
        table, count = self.table, self.entry.count
        ways = np.concatenate([np.eye(len(table.deviations))[list(table.moves)] * way for way in (1, -1)])
        ways = ways[rng.permutation(len(ways))[: count if self.entry.alone else max(1, count // 2)]]
        count = len(ways) if self.entry.alone else count
        drawn = rng.normal(size=(count - len(ways), len(table.deviations)))
        steps = np.concatenate([ways, drawn / np.linalg.norm(drawn, axis=1, keepdims=True)]) * table.deviations
        rows = table.rows(rng.integers(len(table.X), size=count))
        if not table.is_frame:
            # What is missing does not move.
            steps = np.where(np.isnan(rows.reshape(count, -1)), 0, steps)
        return rows, steps

    @cached_property
    def far(self) -> list[np.ndarray]:
        """What the model says along the rays, radius by radius."""
        rows, steps = self.rays
        return [self.truth(self.table.moved(rows, radius * steps)) for radius in self.entry.radii]

    @cached_property
    def _columns(self) -> np.ndarray:
        """What the model says at the last two radii, of rows with each column moved: ``(2, rows, columns, 2, classes)``.

        A column that is missing moves from 0; rows with gaps are left out where what fills them hangs on other columns.
        """
        table = self.table
        rows = table.rows(table.complete if self.entry.filled_by_others else np.arange(len(table.X)))
        steps = [way * step for step in np.diag(table.deviations)[list(table.moves)] for way in (-1, 1)]
        ends = [
            [self.truth(table.moved(table.present(rows, step), np.tile(radius * step, (len(rows), 1)))) for step in steps]
            for radius in self.entry.radii[-2:]
        ]
        return np.moveaxis(ends, 1, 2).reshape(2, len(rows), len(table.moves), 2, -1)

    @property
    def along_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Confidences of all rows with each column moved down and up, at the last two radii: ``(rows, columns, 2)`` each."""
        before, last = self._columns.max(-1)
        return before, last

    @property
    def end_in(self) -> list[Any]:
        """The label that most rows end in, for each column down and up; None where that is not clear."""
        last = np.sort(self._columns[-1], axis=-1)
        clear = last[..., -1] - last[..., -2] > 1e-3
        classes = self.classes[self._columns[-1].argmax(-1)]
        found = []
        for column, way in np.ndindex(classes.shape[1:]):
            labels, counts = np.unique(classes[:, column, way], return_counts=True)
            known = clear[:, column, way].all() and counts.max() > 0.6 * counts.sum()
            found.append(labels[counts.argmax()] if known else None)
        return found

    @cached_property
    def sure(self) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the rows that end sure, along each column down and up, at least and at most, ``(columns, 2)`` each."""
        before, last = self.along_columns
        doubt = 2 * np.abs(last - before) + CLOSE
        return ((last - doubt) >= SURE).mean(0), ((last + doubt) >= SURE).mean(0)

    @cached_property
    def plane(self) -> kl.Plane:
        """A plane through a row, along columns that may move."""
        u, v = np.random.default_rng(6).normal(size=(2, len(self.table.deviations))) * self.table.deviations
        shape = self.table.X.shape[1:]
        origin = np.asarray(self.table.rows([0]), dtype=float)[0]
        return kl.Plane(origin, u.reshape(shape), v.reshape(shape))

    def on_plane(self, points: np.ndarray) -> np.ndarray:
        """What the model says at points of the plane, ``(n, 2)``."""
        rows = self.plane.lift(points)
        return self.truth(self.table.moved(self.table.rows([0] * len(rows)), (rows - self.plane.origin).reshape(len(rows), -1)))


@cache
def made(name: str) -> Made:
    """A model of the zoo, built once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Made(ZOO[name], ZOO[name].make())


def check_limits(given: np.ndarray, radii: tuple[float, ...], seen: list[np.ndarray], close: float = CLOSE) -> None:
    """Check limits ``(n, ...)`` against what is seen at growing radii.

    Each is right where two radii running are as close to it as they should, as rounding may spoil the last; or where what is
    seen is on its way: with each radius nearer, as smooth functions approach their limits like 1 / a.
    """
    flat = [np.asarray(one, dtype=float).reshape(len(given), -1) for one in seen]
    errors = np.array([np.abs(one - given.reshape(len(given), -1)).max(1) for one in flat])
    errors = np.where(np.isnan(errors), np.inf, errors)
    there = (np.maximum(errors[1:], errors[:-1]) <= close).any(0)
    on_its_way = (errors[1:] < 0.9 * errors[:-1]).all(0) & (errors[-1] <= 1e3 * close)
    bad = ~(there | on_its_way)
    if bad.any():
        ray = int(np.where(bad, np.minimum(errors[-1], errors[-2]), -1).argmax())
        shown = [np.array2string(np.asarray(one)[ray], precision=5, suppress_small=True) for one in (given, seen[-1])]
        off = f"{int(bad.sum())} of {len(bad)} limits are off by up to {errors[-1][ray]:.2g}"
        raise Wrong(f"{off}: {shown[0]}, the model has {shown[1]} at {radii[-1]:.0e}")
