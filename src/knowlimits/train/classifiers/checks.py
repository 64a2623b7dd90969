"""Errors about parameters, in one form: what must hold, and what was given instead."""

from numbers import Integral, Real
from typing import Any

import torch


def check_integer(name: str, value: Any, minimum: int) -> None:
    """Raise unless `value` is an integer of at least `minimum`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer of at least {minimum}. Got {value!r} instead.")
    if value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}. Got {value!r} instead.")


def check_real(name: str, value: Any, low: float, high: float = float("inf"), bounds: str = "()") -> None:
    """Raise unless `value` is a finite number between `low` and `high`; a bracket in `bounds` includes that end."""
    accepted = f"{name} must be a number in {bounds[0]}{low}, {high}{bounds[1]}. Got {value!r} instead."
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(accepted)
    number = float(value)
    above = number >= low if bounds[0] == "[" else number > low
    below = number <= high if bounds[1] == "]" else number < high
    if not (above and below):
        raise ValueError(accepted)


def check_device(device: Any) -> None:
    """Raise unless torch can compute in float64 on `device`."""
    try:
        works = torch.ones(1, dtype=torch.float64, device=device).add(1).item() == 2
        reason = "it computes something else."
    except (RuntimeError, AssertionError, ImportError, AttributeError, TypeError, ValueError) as error:
        # Each kind of device that is not there has an error of its own kind.
        works, reason = False, (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]
    if not works:
        raise ValueError(f"device must be one that works here, and torch cannot use {device!r}: {reason}")
