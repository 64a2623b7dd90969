"""What happens to a table before the networks: found by what fitted steps do to rows, not by their names.

A table is an array of floats here (`knowlimits.model.tables`). Each column is moved alone, far to both sides, and how the
numbers behind the steps follow says what rays may move it (`knowlimits.model.moves`). `Steps.along` turns rays in the table
into rays in what the networks take.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from knowlimits.model.chains import Chain, known_values, labels_of
from knowlimits.model.culprits import through
from knowlimits.model.moves import RANKS, Moves, Sides, moved
from knowlimits.model.probing import Function
from knowlimits.model.rays import Along, Lines, rays
from knowlimits.model.tables import Layout

# Rows from which columns are moved together.
_BASES = 8
# Rows of which values of columns are taken.
_MOST = 200
_MOVEMENTS = {
    Moves.AFFINE: "in a straight line",
    Moves.SATURATING: "to an end",
    Moves.ENDLESS: "ever more slowly",
    Moves.HELD: "held",
}
# Calls that look for columns that may have gaps, if rows have none.
_TRIES = 7


@dataclass(frozen=True)
class Column:
    """A column of a table, and how it moves.

    Attributes:
        name: what it is called; None if it is not said.
        moves: the worse of its two sides. One that ends in another straight line than it begins with, as one that is clipped on
            one side, counts as saturating.
        why: what it goes through, ``""`` if it is affine.
        levels: what the codes of a column stand for that has no numbers, in their order; None for numbers.
        gaps: whether nan is taken.
    """

    name: str | None
    moves: Moves
    why: str = ""
    levels: tuple[Any, ...] | None = None
    gaps: bool = False


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``matrix @ row + shift``; ``(numbers, columns)`` and ``(numbers,)``."""

    matrix: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Steps:
    """The fitted steps before the networks.

    Attributes:
        columns: of the table.
        chain: the transformers.
        layout: how a table as they take it is made of floats.
        bases: some rows of it without gaps, ``(bases, columns)``.
        units: of the columns, ``(columns,)``: powers of two next to their deviations.
        sides: how the numbers behind the steps follow the columns.
        coded: whether tables are given as floats, as `encode` makes them.
    """

    columns: tuple[Column, ...]
    chain: Chain
    layout: Layout
    bases: np.ndarray
    units: np.ndarray
    sides: Sides
    coded: bool = False

    @classmethod
    def of(
        cls,
        transformers: Sequence[Any],
        rows: Any | None,
        n_columns: int,
        names: Sequence[Any] | None = None,
        gaps: bool = False,
    ) -> "Steps":
        """What fitted transformers do, one after another.

        Args:
            transformers: each with a `transform`. None and "passthrough" do nothing, nor do samplers (which have a
                `fit_resample`) at prediction.
            rows: a few rows of a table as the first takes them, an array or a DataFrame; the more, the more values of columns
                without numbers are known. Without them, drawn ones.
            n_columns: how many columns the table has.
            names: of the columns.
            gaps: whether what is behind them takes gaps, so that they may let them pass.

        Raises:
            TypeError: if the steps take no rows that could be made up, and none were given.
            ValueError: if the table has another number of columns.
        """
        if rows is not None and np.shape(rows)[1:] != (n_columns,):
            raise ValueError(f"X must be a table of {n_columns} columns. Got shape {np.shape(rows)} instead.")
        chain = Chain.of(transformers)
        known = known_values(chain, n_columns)
        layout = Layout.of(rows, n_columns, labels_of(chain, rows), names, known)
        given = None if rows is None else layout.encode("X", rows, [True] * n_columns)
        bases, units = _bases(given, layout, known)
        return _probed(chain, layout, bases, units, given, passing=gaps)

    @staticmethod
    def side_by_side(parts: Sequence["Steps"]) -> "Steps":
        """Several on the same table, their outputs one after another."""
        layout = Layout.joined([part.layout for part in parts])
        chain = Chain((_Beside(tuple((part.chain, part.layout.labels is not None) for part in parts)),))
        gaps = np.all([[column.gaps for column in part.columns] for part in parts], 0)
        bases = layout.encode("X", parts[0].layout.decode(parts[0].bases), gaps)
        return _probed(chain, layout, bases, parts[0].units, None, gaps)

    def encode(self, name: str, X: Any) -> np.ndarray:
        """A table as floats, ``(n, columns)``: values that are no numbers as codes, gaps as nan.

        Args:
            name: of the table, in messages.
            X: the table.

        Raises:
            ValueError: if a value is none that the column can have; with the table, the column and the row.
        """
        if self.coded:
            return np.array(X, dtype=np.float64)
        return self.layout.encode(name, X, [column.gaps for column in self.columns])

    def of_codes(self) -> "Steps":
        """The same of tables that are floats already, as `encode` makes them or with `unseen` codes, to compute with."""
        return dataclasses.replace(self, layout=self.layout.with_unseen(), coded=True)

    @property
    def unseen(self) -> np.ndarray:
        """For each column the code of a value that was never seen, nan where there is none, ``(columns,)``."""
        with_one = self.layout.with_unseen().levels
        return np.array(
            [
                np.nan if known is None or levels is None or len(levels) == len(known) else len(known)
                for known, levels in zip(self.layout.levels, with_one, strict=True)
            ]
        )

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """What comes out of the steps for rows as `encode` makes them, ``(n, numbers)``."""
        if not len(rows):
            return np.zeros((0, len(self.sides.rounding)))
        return self.chain(self.layout.decode(np.asarray(rows, dtype=np.float64)))

    def of_table(self, X: Any) -> np.ndarray:
        """What comes out of the steps for a person's table, ``(n, numbers)``."""
        return self.chain(X)

    @cached_property
    def affine(self) -> AffineMap:
        """The steps as an affine map of the table.

        Raises:
            TypeError: if they are none, with the columns and what they go through.
        """
        bent = [place for place, column in enumerate(self.columns) if column.moves is not Moves.AFFINE]
        if bent:
            raise TypeError(
                "model must have steps before its network that are affine: scalers, PCA, selections. "
                f"Got {self._shown(bent)} instead."
            )
        return AffineMap(self.sides.slopes[1].T.copy(), self._quiet(np.zeros((1, len(self.columns))))[0])

    def along(self, starts: np.ndarray, directions: np.ndarray) -> Along:
        """Rays in the table, ``(n, columns)`` each, behind the steps.

        Raises:
            TypeError: if a column moves that is held.
            ValueError: if a column moves that is missing in its row, or if columns that move together end in no straight line.
        """
        starts, directions = (np.asarray(rows, dtype=np.float64) for rows in (starts, directions))
        self._check(starts, directions)
        lines = Lines.of(self._quiet, starts, directions, self.units, str(self.chain))
        return rays(self.transform, self.sides, self.units, lines)

    def _quiet(self, rows: np.ndarray) -> np.ndarray:
        return self.chain.quietly(self.layout.decode(rows))

    def _check(self, starts: np.ndarray, directions: np.ndarray) -> None:
        moving = directions != 0
        ranks = self.sides.ranks[(directions > 0).astype(np.intp), np.arange(len(self.columns))]
        held = np.flatnonzero((moving & (ranks == RANKS.index(Moves.HELD))).any(0))
        if len(held):
            raise TypeError(
                f"directions must be 0 in columns that cannot move. Got rays along {self._shown(held)}: leave these columns "
                "where they are, or pass the model behind these steps, and rows as they make them."
            )
        check_gaps_stay(starts, directions, self.layout.names)

    def _name(self, place: int) -> str:
        return repr(self.layout.names[place])

    def _shown(self, places: Any) -> str:
        """Columns, and what they go through."""
        kinds: dict[str, list[str]] = {}
        for place in places:
            kinds.setdefault(self.columns[place].why, []).append(self._name(place))
        texts = []
        for why, names in kinds.items():
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            texts.append(f"{shown} ({why})" if why else shown)
        return "; ".join(texts)

    @property
    def movements(self) -> str:
        """How many columns move, and how, in words."""
        shown = []
        for moves, words in _MOVEMENTS.items():
            whys = [column.why for column in self.columns if column.moves is moves]
            through = ", ".join(list(dict.fromkeys(filter(None, whys)))[:3])
            if whys:
                shown.append(f"{len(whys)} {words}{f' ({through})' if through else ''}")
        return ", ".join(shown)

    def __str__(self) -> str:
        return str(self.chain)


def check_gaps_stay(starts: np.ndarray, directions: np.ndarray, names: Sequence[Any] | None = None) -> None:
    """Refuse rays ``(n, columns)`` that move what is missing.

    Raises:
        ValueError: with the column, by its name among `names` or else its place, and the row.
    """
    lost = (directions != 0) & np.isnan(starts)
    if lost.any():
        row, place = (int(at[0]) for at in np.nonzero(lost))
        name = f"column {place}" if names is None else repr(names[place])
        raise ValueError(
            f"directions must be 0 where there are gaps. Got a ray along {name}, which has none in row {row}: "
            "fill the gap, or move another column."
        )


@dataclass(frozen=True, eq=False)
class _Beside:
    """Several chains on one table, each with whether it takes a DataFrame."""

    chains: tuple[tuple[Chain, bool], ...]

    def transform(self, X: Any) -> np.ndarray:
        array = np.asarray(X)
        return np.concatenate([chain(X if frame else array) for chain, frame in self.chains], 1)


def _bases(given: np.ndarray | None, layout: Layout, known: dict[int, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rows without gaps to move columns from, and a natural unit of each column, a power of two."""
    count = len(layout.levels)
    if given is None or not len(given):
        random = np.random.default_rng(0)
        bases = np.concatenate([np.zeros((1, count)), random.normal(size=(3, count))])
        for place, levels in enumerate(layout.levels):
            if levels is not None:
                bases[:, place] = random.integers(len(levels), size=4)
            elif place in known:
                bases[:, place] = random.choice(np.asarray(known[place], dtype=np.float64), 4)
        return bases, np.ones(count)
    full = given[~np.isnan(given).any(1)]
    chosen = full if len(full) else given
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, _BASES).round().astype(int))].copy()
    for place in np.flatnonzero(np.isnan(chosen).any(0)):
        present = given[~np.isnan(given[:, place]), place]
        filling = np.quantile(present, 0.5, method="nearest") if len(present) else 0.0
        chosen[np.isnan(chosen[:, place]), place] = filling
    spread = np.array([np.std(values[~np.isnan(values)]) if (~np.isnan(values)).any() else 0.0 for values in given.T])
    size = np.where(spread > 0, spread, np.abs(chosen[0]))
    return chosen, 2.0 ** np.round(np.log2(np.where(size > 0, size, 1.0)))


def _probed(
    chain: Chain,
    layout: Layout,
    bases: np.ndarray,
    units: np.ndarray,
    given: np.ndarray | None,
    gaps: np.ndarray | None = None,
    passing: bool = False,
) -> Steps:
    def function(rows: np.ndarray) -> np.ndarray:
        return chain.quietly(layout.decode(rows))

    try:
        function(bases)
    except Exception as error:
        # Whatever a person's steps raise about rows.
        if given is not None:
            raise
        raise TypeError(
            "X must be given, a few rows of the table, as this model's steps take none that could be made up. "
            f"Got {type(error).__name__} from them: {error}"
        ) from error
    places = np.array([place for place, levels in enumerate(layout.levels) if levels is None], dtype=np.intp)
    some = bases if given is None else given[:: max(1, len(given) // _MOST)]
    sides = moved(function, bases, units, places, [_samples(values) for values in some.T])
    whys = through(chain, layout, bases, units, sides.ranks.max(0))
    gaps = _gaps(function, bases, given, passing) if gaps is None else gaps
    names = layout.names if layout.named else (None,) * len(units)
    columns = [
        Column(name, RANKS[rank], why, levels, bool(gap))
        for name, rank, why, levels, gap in zip(names, sides.ranks.max(0), whys, layout.levels, gaps, strict=True)
    ]
    return Steps(tuple(columns), chain, layout, bases, units, sides)


def _samples(values: np.ndarray) -> np.ndarray:
    """Some values of a column, from all over its range, and the one that is there most often, which may stand for a gap."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if not len(distinct):
        return np.zeros(1)
    chosen = distinct[np.unique(np.linspace(0, len(distinct) - 1, _BASES).round().astype(int))]
    return np.append(chosen, distinct[counts.argmax()])


def _gaps(function: Function, bases: np.ndarray, given: np.ndarray | None, passing: bool) -> np.ndarray:
    """Which columns may have gaps: with nan there, what comes out is finite, or nan where these may pass."""
    taken = np.zeros(bases.shape[1], dtype=bool)

    def take(places: np.ndarray) -> bool:
        row = bases[:1].copy()
        row[:, places] = np.nan
        try:
            found = function(row)
            return bool((np.isfinite(found) | (np.isnan(found) & passing)).all())
        except Exception:
            # Whatever a person's steps raise about gaps.
            return False

    # Whether gaps are taken at all is soon seen; where only some may have them, those that have some are asked for.
    open_ = [np.arange(bases.shape[1])]
    tries = _TRIES if given is None or not np.isnan(given).any() else 2 * bases.shape[1]
    while open_ and tries:
        places, tries = open_.pop(0), tries - 1
        if take(places):
            taken[places] = True
        elif len(places) > 1:
            open_ += np.array_split(places, 2)
    return taken
