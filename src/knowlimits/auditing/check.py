"""A test for a person's own test suite: that their model does not end sure of itself."""

from typing import Any

import numpy as np

from knowlimits.auditing.find.columns import TableReader
from knowlimits.auditing.find.features import SURE
from knowlimits.auditing.find.rays import rays
from knowlimits.auditing.find.subject import some
from knowlimits.limits.far_field import far_field
from knowlimits.model.read import read_logits

# Rays that are followed, at most.
_RAYS = 100_000
# Columns that the message names.
_NAMED = 10


def assert_far_field(
    model: Any,
    X: Any,
    max_confident_share: float = 0.2,
    *,
    confidence: float = SURE,
    feature_names: Any = None,
    continuous: Any = None,
    random_state: int = 0,
) -> None:
    """Fail unless few rows end sure of themselves, whichever continuous column grows without bound; for test suites.

    Args:
        model: what `knowlimits.audit` takes, or a fitted `knowlimits.Guard` or `knowlimits.LastLayerLaplace`.
        X: data like those that the model was trained on, ``(n, columns)``.
        max_confident_share: the largest share of the rows that may end sure, along each column and way.
        confidence: from which on a row counts as sure.
        feature_names, continuous: as `knowlimits.audit` has them.
        random_state: seed of the rows that are drawn from large tables.

    Raises:
        AssertionError: if a column breaks it; the text names those that do.
        ValueError: if an argument is not what is accepted.

    Example:
        >>> import torch, knowlimits as kl
        >>> kl.assert_far_field(torch.nn.Linear(2, 2), torch.randn(50, 2))
        Traceback (most recent call last):
        AssertionError: the model ends sure of itself ...
    """
    if not 0 <= max_confident_share <= 1:
        raise ValueError(f"max_confident_share must be in 0 to 1. Got {max_confident_share} instead.")
    if not 0 < confidence <= 1:
        raise ValueError(f"confidence must be above 0 and at most 1. Got {confidence} instead.")
    # A guard and last-layer Laplace know their far field themselves.
    remedy = hasattr(model, "far_field")
    model = model if remedy else read_logits(model)
    source = TableReader(model, X, feature_names)
    rows = source.rows("X", X)
    columns = source.continuous(X, continuous)
    most = max(1, _RAYS // (2 * len(columns.names)))
    rows = rows[some(len(rows), most, np.random.default_rng(random_state))]
    origins, directions = rays(rows, columns.steps)
    far = model.far_field(origins, directions) if remedy else far_field(model.behind, origins, directions)
    limits = far.confidence()
    shares = (limits >= confidence).reshape(len(rows), -1).mean(0)
    broken = np.argsort(-shares, kind="stable")[: int((shares > max_confident_share).sum())]
    if not len(broken):
        return
    named = [f"{columns.names[k // 2]!r} to {'+' if k % 2 else '-'}inf ({shares[k]:.0%})" for k in broken[:_NAMED]]
    more = f", and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    raise AssertionError(
        f"the model ends sure of itself, with a confidence of {confidence:g} or more, on more than {max_confident_share:.0%} "
        f"of the rows along {len(broken)} of {len(shares)} ways: {', '.join(named)}{more}. knowlimits.audit says more, and "
        "knowlimits.Guard is a remedy."
    )
