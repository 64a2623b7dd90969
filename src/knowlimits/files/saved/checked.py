"""What a header says, checked as it is read; and what is said in one, as JSON has it."""

import itertools
import json
import re
from typing import Any

import numpy as np
from torch import Tensor

# Labels as numpy has them; text of at most 999 letters, as each prediction takes as much memory as the longest.
_DTYPES = re.compile(r"object|\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U[1-9]\d{0,2}")


def require(true: bool, otherwise: str) -> None:
    """Refuse what a header says.

    Raises:
        ValueError: with what is wrong.
    """
    if not true:
        raise ValueError(f"{short(otherwise)}.")


def short(text: str) -> str:
    """A text in one line of an error."""
    text = " ".join(text.split())
    return text if len(text) < 200 else f"{text[:200]} ..."


def has_entries(value: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    """An object of a header with just these entries.

    Raises:
        ValueError: if it is none.
    """
    require(isinstance(value, dict) and set(value) == set(names), f"{what} has not the entries {', '.join(names)}")
    return value


def whole_numbers(value: Any) -> bool:
    """Whether a value is a list of whole numbers of 64 bits."""
    return isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**63 for v in value)


def real_numbers(value: Any) -> bool:
    """Whether a value is a list of numbers."""
    return isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)


def texts(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def as_text(value: Any) -> str:
    """A value as JSON, to be compared."""
    return json.dumps(value, sort_keys=True)


def plain(value: Any) -> Any:
    """A value as JSON has it; numpy's numbers become Python's.

    Raises:
        TypeError: if it has no form in JSON.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"cannot be saved: {value!r}. Parameters and labels must be numbers, strings, truth values or None.")


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raise unless all numbers that are to be written are finite.

    Raises:
        ValueError: as said.
    """
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"model must have finite numbers in {key}. Got some that are not.")


def said_of_labels(classes: np.ndarray) -> dict[str, Any]:
    """Labels of classes, in order, and their type.

    Raises:
        TypeError: for labels that are neither numbers nor text.
    """
    dtype = "object" if classes.dtype == object else classes.dtype.str
    if classes.dtype.kind == "U":
        dtype = f"{dtype[:2]}{max(1, *map(len, classes.tolist()))}"
    if not _DTYPES.fullmatch(dtype):
        raise TypeError(
            f"cannot be saved: labels of type {classes.dtype}. Labels must be numbers or text of up to 999 letters."
        )
    return {"classes": [plain(label) for label in classes], "classes_dtype": dtype}


def labels(said: Any, dtype: Any, count: int | None = None) -> np.ndarray:
    """Labels as they were said.

    Args:
        said: they, a list.
        dtype: their type.
        count: how many there must be; two or more without it.

    Raises:
        ValueError: if they are no such labels.
    """
    good = isinstance(said, list) and (len(said) > 1 if count is None else len(said) == count)
    require(good, f"classes are not {'two' if count is None else count} labels, one for each class")
    require(isinstance(dtype, str) and _DTYPES.fullmatch(dtype) is not None, f"classes_dtype {dtype!r} is no type of labels")
    require(all(isinstance(label, str | int | float | bool) for label in said), "classes are no labels")
    if dtype[1:2] == "U":
        # The type is as long as the longest of them, whatever is said.
        require(all(isinstance(label, str) for label in said), "classes are no text")
        require(max(map(len, said)) <= int(dtype[2:]), f"classes do not fit in {dtype!r}")
        array = np.array(said, dtype=dtype[:2])
    else:
        array = np.array(said, dtype=dtype)
    require(as_text([plain(label) for label in array]) == as_text(said), f"classes are not of the type {dtype!r}")
    return array


def check_order(said: list[Any]) -> None:
    """Raise unless labels are in order, each once.

    Raises:
        ValueError: as said.
    """
    require(all(a < b for a, b in itertools.pairwise(said)), "classes are not in order, each once")
