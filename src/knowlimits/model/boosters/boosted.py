"""What comes of the text of a boosted classifier, whichever library wrote it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.endings import Outputs
from knowlimits.model.families.recoded import Codes, Recoded, Whole
from knowlimits.model.families.trees import Tree, Trees

# Classes and columns that a text may name, as whatever is computed has a number for each.
MOST_CLASSES, MOST_COLUMNS = 10_000, 1_000_000
_KINDS = {dict: "object", list: "list", str: "text"}


@dataclass(frozen=True, eq=False)
class Boosted:
    """A classifier that a library has written.

    Attributes:
        library: which.
        module: its logits, ``(n, columns) -> (n, outputs)``; one is that of the second class.
        columns: how many it takes.
        names: of them; None where the text has none.
        classes: their labels; None where the text has none.
        levels: what the codes of columns stand for, by their places, where the library makes codes of a DataFrame's categories.
    """

    library: str
    module: nn.Module
    columns: int
    names: tuple[str, ...] | None = None
    classes: np.ndarray | None = None
    levels: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)


def summed(
    trees: Sequence[Tree],
    outputs: int,
    base: Any,
    whole: Whole = Whole.TOWARDS_ZERO,
    codes: Sequence[Codes] = (),
    single: bool = False,
) -> Trees | Recoded:
    """A sum of trees as logits.

    Args:
        trees: they; none is a sum of nothing.
        outputs: how many logits.
        base: what is added to their sum, ``(outputs,)``.
        whole: what whole number an input is that chooses a category.
        codes: numbers that stand for gaps.
        single: whether the library adds them up in single precision.

    Raises:
        ValueError: if it is not finite.
    """
    require(bool(np.isfinite(base).all()), "has a base score that is no finite number")
    nothing = np.full(1, -1)
    trees = trees or [Tree(nothing, np.zeros(1), nothing, nothing, np.zeros((1, outputs)), gap_left=np.zeros(1, dtype=bool))]
    family = Trees(trees, outputs, base, Outputs.LOGITS)
    found = Recoded(family, codes, whole) if codes or family.held else family
    found.single = single
    return found


def require(right: bool, otherwise: str) -> None:
    """Refuse what a text says.

    Raises:
        ValueError: with what is wrong, as what follows the name of the text.
    """
    if not right:
        raise ValueError(otherwise)


def whole_number(value: Any, what: str, most: int, least: int = 0) -> int:
    """A whole number that a text has, as a number or as text.

    Raises:
        ValueError: if it is none, or none that can be.
    """
    good = isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal() and len(value) < 20)
    require(good and least <= int(value) <= most, f"has {shown(value)} as {what}, which must be a whole number up to {most:,}")
    return int(value)


def entry(document: Any, *path: str, kind: type = object) -> Any:
    """An entry of nested objects, of a type.

    Raises:
        ValueError: if there is none, or it is of another.
    """
    for place, name in enumerate(path):
        require(isinstance(document, dict) and name in document, f"has no entry {'.'.join(path[: place + 1])}")
        document = document[name]
    require(isinstance(document, kind), f"has an entry {'.'.join(path)} that is no {_KINDS.get(kind)}")
    return document


def numbers(values: Any, what: str, whole: bool = False) -> np.ndarray:
    """A list of numbers as an array in float64, or in int64.

    Raises:
        ValueError: if it is none.
    """
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        array = np.empty((0, 0))
    kinds = "iub" if whole else "iufb"
    require(array.ndim == 1 and (array.dtype.kind in kinds or not array.size), f"has {what} that are no list of numbers")
    require(not whole or not array.size or int(array.max()) < 2**62, f"has {what} that are too large")
    return array.astype(np.int64 if whole else np.float64)


def names_of(values: Any, columns: int) -> tuple[str, ...] | None:
    """Names of columns; None where there are none.

    Raises:
        ValueError: if they are not as many texts as there are columns.
    """
    if values is None or (isinstance(values, list) and not values):
        return None
    good = isinstance(values, list) and len(values) == columns and all(isinstance(name, str) for name in values)
    require(good, f"has names of columns that are not {columns} texts")
    return tuple(values)


def shown(value: Any) -> str:
    """A value in an error, in one line of a few letters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
