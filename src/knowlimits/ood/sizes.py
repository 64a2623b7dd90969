"""Numbers so large that their squares overflow."""

import numpy as np

#: Squares of larger numbers, times a precision, could be beyond the largest float, which is 1.8e308.
LARGEST = 1e100


def check_size(name: str, values: np.ndarray) -> None:
    """Raise unless variances and covariances of rows are finite.

    Raises:
        ValueError: if a number is too large; `name` is theirs in the message.
    """
    if values.size and (largest := float(np.abs(values).max())) > LARGEST:
        raise ValueError(f"{name} must have numbers of at most {LARGEST:g} in size to learn from. Got {largest:g}: scale them.")


def too_large(values: np.ndarray) -> np.ndarray:
    """Which rows have numbers whose squares could overflow, ``(n,)``."""
    return np.abs(values).max(1, initial=0.0) > LARGEST


def sizes_of(values: np.ndarray) -> np.ndarray:
    """The largest number of each row, ``(n,)``, and 1 where squares are no trouble."""
    return np.where(too_large(values), np.abs(values).max(1, initial=0.0), 1.0)
