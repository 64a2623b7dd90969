"""An entry of the zoo: a model as people write it, its data, and what it says itself, found without this library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Why a function refuses a model on purpose, in the few words that the page has for it.
SMOOTH = {"partition": "smooth", "horizon": "smooth"}
MEMBERS = {"LastLayerLaplace": "several members"}
NO_LAST = {"LastLayerLaplace": "no linear layer last"}
# Outputs that are no logits any more: what looks at logits refuses them.
NO_LOGITS = dict.fromkeys(("energy", "max_logit", "vim", "LastLayerLaplace"), "no logits")
PROBABILITIES = {**dict.fromkeys(("partition", "horizon"), "probabilities"), **NO_LOGITS}
_OF_MODELS = (
    "read far_field partition horizon audit assert_far_field Guard energy max_logit mahalanobis relative_mahalanobis mixture "
    "neighbours raw_neighbours vim LastLayerLaplace gradient_magnitude"
)


NO_FEATURES = dict.fromkeys(
    ("mahalanobis", "relative_mahalanobis", "mixture", "neighbours", "raw_neighbours", "vim", "LastLayerLaplace"),
    "no `nn.Linear`: say `layer=`",
)
# Whole numbers inside a network jump.
CODES = {"partition": "codes", "horizon": "codes"}
# Steps that are not affine: limits and features are known behind them, cells and gradients are not.
BENT = dict.fromkeys(("partition", "horizon", "gradient_magnitude"), "steps that bend")
# Growth in powers of a is none of numbers that grow at another pace.
PACED = BENT | dict.fromkeys(
    ("energy", "max_logit", "mahalanobis", "relative_mahalanobis", "mixture", "neighbours", "raw_neighbours", "vim"),
    "another pace",
)


# A family has no layers, no cells, and no gradients that torch could take.
FAMILY = dict.fromkeys(("partition", "horizon", "gradient_magnitude"), "a family")
FAMILY |= NO_LOGITS | dict.fromkeys(
    ("mahalanobis", "relative_mahalanobis", "mixture", "neighbours", "raw_neighbours"), "no layers"
)


def refused(why: str, *but: str) -> dict[str, str]:
    """All functions that look at a model, but some."""
    return {name: why for name in _OF_MODELS.split() if name not in but}


def not_followed(why: str) -> dict[str, str]:
    """All functions that follow rays or cells."""
    return refused(why, "read", "Guard", "gradient_magnitude")


@dataclass(frozen=True)
class Table:
    """Data of a model.

    Attributes:
        X: rows as the model takes them: an array ``(n, ...)`` or a DataFrame.
        y: their labels.
        moves: places of the numbers of a row that may grow, counted through all axes; all of them without it.
    """

    X: Any
    y: np.ndarray
    moves: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.moves:
            object.__setattr__(self, "moves", tuple(range(int(np.prod(self.X.shape[1:])))))

    @property
    def is_frame(self) -> bool:
        return hasattr(self.X, "iloc")

    @property
    def names(self) -> list[str]:
        """What the columns are called where nobody says it."""
        if self.is_frame:
            return list(self.X.columns)
        if self.X.ndim == 2:
            return [f"x{place}" for place in range(self.X.shape[1])]
        return [f"x{list(place)}" for place in np.ndindex(self.X.shape[1:])]

    @property
    def complete(self) -> np.ndarray:
        """Places of the rows without gaps."""
        gaps = self.X.isna().to_numpy() if self.is_frame else np.isnan(self.X.reshape(len(self.X), -1))
        return np.flatnonzero(~gaps.any(1))

    def rows(self, places: Any) -> Any:
        """Some of the rows."""
        return self.X.iloc[places].reset_index(drop=True) if self.is_frame else self.X[places]

    def present(self, rows: Any, step: np.ndarray) -> Any:
        """Rows without gaps in the numbers that a step moves: 0 stands for them."""
        if self.is_frame or not np.isnan(rows).any():
            return rows
        lost = np.isnan(rows) & (step.reshape(rows.shape[1:]) != 0)
        return np.where(lost, 0.0, rows)

    @property
    def deviations(self) -> np.ndarray:
        """Standard deviations of the numbers of a row, 0 where they stay, ``(numbers,)``."""
        sizes = np.zeros(int(np.prod(self.X.shape[1:])))
        for place in self.moves:
            values = self.X.iloc[:, place] if self.is_frame else self.X.reshape(len(self.X), -1)[:, place]
            sizes[place] = np.nanstd(np.asarray(values, dtype=float)) or 1
        return sizes

    def moved(self, rows: Any, steps: np.ndarray) -> Any:
        """Rows with steps added to their numbers, ``(n, numbers)``."""
        if not self.is_frame:
            return rows + steps.reshape(rows.shape)
        result = rows.copy()
        for place in self.moves:
            name = result.columns[place]
            result[name] = result[name].astype(float) + steps[:, place]
        return result


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        about: what it is, for the page.
        make: builds it, as people write it.
        table: its data.
        truth: ``truth(model, X)``: the probabilities that the model itself gives at any rows, in float64, ``(n, classes)``.
        refused: functions that refuse it on purpose, and why in a few words.
        said: what a person has to say about it, as arguments of `knowlimits.read`.
        needs: packages without which it cannot be built.
        radii: standard deviations, growing, at which it is compared with its limits.
        count: rays along which it is.
        alone: whether columns are moved one at a time only.
        filled_by_others: whether what fills a gap hangs on other columns.
        file: where it is written, for those that are read from files.
        ours: whether `knowlimits.save` writes it.
    """

    about: str
    make: Callable[[], Any]
    table: Table
    truth: Callable[[Any, Any], np.ndarray]
    refused: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    radii: tuple[float, ...] = (1e6, 1e7, 1e8, 1e9)
    count: int = 32
    alone: bool = False
    filled_by_others: bool = False
    file: str | None = None
    ours: bool = False

    @property
    def refusals(self) -> Mapping[str, str]:
        """All that refuse it on purpose."""
        return self.refused if self.ours else {"save": "not one of ours", **self.refused}

    def expected(self, function: str) -> str:
        """What is to come of a function: ``right`` or ``refused``."""
        return "refused" if function in self.refusals else "right"
