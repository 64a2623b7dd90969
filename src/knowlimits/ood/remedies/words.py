"""Why a row is refused, in words."""

from typing import Any

import numpy as np

from knowlimits.ood.columns import Columns
from knowlimits.ood.density.ratio import LogRatio

# Columns that are named, and the share of all that makes a row unfamiliar which they stand for together.
_MOST, _SHARE = 3, 0.5


def reasons(columns: Columns, ratio: LogRatio, X: Any, accepted: np.ndarray, parts: np.ndarray) -> list[str]:
    """Why rows are refused; ``""`` for those that are accepted.

    Args:
        columns: what is known of the columns.
        ratio: the log ratio of the columns of numbers.
        X: the rows.
        accepted: ``(n,)``.
        parts: what columns add to the unfamiliarity, ``(n, columns)``; infinite where a cell is strange.
    """
    cells = columns.read(X)
    words = columns.why(X, cells.strange)
    low, high = ratio.seen
    for row in np.flatnonzero(~accepted & ~cells.refused):
        own = parts[row, columns.numeric]
        words[row] = "; ".join(
            _in_words(columns.names[columns.numeric[at]], cells.numbers[row, at], low[at], high[at], own[at] / total)
            for at, total in _largest(own)
        )
    return words


def _largest(parts: np.ndarray) -> list[tuple[int, float]]:
    """The places of the largest parts, and the sum of all that make a row unfamiliar."""
    raising = np.maximum(parts, 0)
    total = float(raising.sum())
    order = np.argsort(-raising)[:_MOST]
    count = 1 + int(np.searchsorted(np.cumsum(raising[order]), _SHARE * total))
    return [(int(at), total) for at in order[:count]]


def _in_words(name: str, value: float, low: float, high: float, share: float) -> str:
    shown, ends = f"{value:.4g}", (f"{low:.4g}", f"{high:.4g}")
    seen = f"always {ends[0]}" if ends[0] == ends[1] else f"seen from {ends[0]} to {ends[1]}"
    if low <= value <= high:
        return f"{name} is {shown}, unusual beside the other columns ({share:.0%})"
    return f"{name} is {shown}, {seen} ({share:.0%})"
