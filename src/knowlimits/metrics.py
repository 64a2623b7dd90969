"""Metrics that the library needs faster, or in another convention, than `sklearn.metrics` has them."""

import numpy as np
from scipy.stats import rankdata


def auroc(in_scores: np.ndarray, ood_scores: np.ndarray) -> float:
    """The chance that a score of the second kind is larger than one of the first, ties counting half.

    That is the area under the ROC curve.

    Args:
        in_scores: of what should have small scores, ``(n,)``.
        ood_scores: of what should have large ones, ``(m,)``.

    Raises:
        ValueError: if one of them is empty or has a nan.
    """
    n, m = len(in_scores), len(ood_scores)
    together = np.concatenate([in_scores, ood_scores]).astype(np.float64)
    if not n or not m or np.isnan(together).any():
        raise ValueError(
            f"in_scores and ood_scores must have a number each at least, and no nan. Got {n} and {m} numbers, "
            f"{int(np.isnan(together).sum())} of them nan."
        )
    # The rank sum of Mann and Whitney (1947).
    return float((rankdata(together)[n:].sum() - m * (m + 1) / 2) / (n * m))
