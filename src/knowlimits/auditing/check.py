"""A test for a person's own test suite: that their model does not end sure of itself."""

from typing import Any

import numpy as np

from knowlimits.auditing.find.columns import TableReader
from knowlimits.auditing.find.features import SURE, is_sure
from knowlimits.auditing.find.places import as_table, axes_of, shape_of_inputs
from knowlimits.auditing.find.rays import rays
from knowlimits.auditing.find.subject import of_floats, read_table, some
from knowlimits.limits.far_field import far_field
from knowlimits.model.model import Model
from knowlimits.ood.remedies.laplace import LastLayerLaplace

# Rays that are followed, at most.
_RAYS = 100_000
# Columns that the message names.
_NAMED = 10


def assert_far_field(
    model: Any,
    X: Any,
    max_confident_share: float = 0.2,
    *,
    outputs: str | None = None,
    confidence: float = SURE,
    feature_names: Any = None,
    continuous: Any = None,
    input_shape: Any = None,
    random_state: int = 0,
) -> None:
    """Fail unless few rows end sure of themselves, whichever continuous column grows without bound; for test suites.

    Args:
        model: what `knowlimits.audit` takes, or a fitted `knowlimits.Guard` or `knowlimits.LastLayerLaplace`.
        X: data like those that the model was trained on, ``(n, columns)``, or ``(n, ...)`` as the model takes its inputs; rows
            with gaps are left out.
        max_confident_share: the largest share of the rows that may end sure, along each column and way.
        outputs: as `knowlimits.read` has it.
        confidence: from which on a row counts as sure.
        feature_names, continuous, input_shape: as `knowlimits.audit` has them.
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
    table, found, rows = _read(model, X, feature_names, outputs, input_shape)
    rows = rows[np.isfinite(rows).all(1)]
    if not len(rows):
        raise ValueError("X must have a row without gaps at least. Got none.")
    columns = table.continuous(rows, found, continuous)
    most = max(1, _RAYS // (2 * len(columns.names)))
    rows = rows[some(len(rows), most, np.random.default_rng(random_state))]
    limits = _limits(model, found, axes_of("X", X)[1:], *rays(rows, columns.steps))
    shares = is_sure(limits, confidence).reshape(len(rows), -1).mean(0)
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


def _read(
    model: Any, X: Any, feature_names: Any, outputs: str | None, input_shape: Any
) -> tuple[TableReader, Model | None, np.ndarray]:
    """What reads tables, the model that says which columns can move, and the table as floats, ``(n, columns)``."""
    if isinstance(model, LastLayerLaplace):
        return read_table(model.model, X, feature_names, model.outputs, input_shape)
    if _is_remedy(model):
        # A guard ends in the same whichever column moves.
        shape = shape_of_inputs(model.model, X, input_shape)
        X = as_table("X", X, shape)
        table = TableReader(model, X, feature_names, shape)
        return table, None, table.rows("X", X, None)
    return read_table(model, X, feature_names, outputs, input_shape)


def _limits(model: Any, found: Model | None, axes: tuple[int, ...], origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The limiting confidence along rays in a table of floats; a guard and last-layer Laplace know theirs themselves.

    They were fitted to what has such axes, as the data have.
    """
    if not _is_remedy(model) and found is not None:
        return far_field(of_floats(found), origins, directions).confidence()
    starts = origins if found is None or found.steps is None else found.steps.layout.decode(origins)
    if len(axes) > 1:
        starts, directions = (rows.reshape(-1, *axes) for rows in (np.asarray(starts), directions))
    return model.far_field(starts, directions).confidence()


def _is_remedy(model: Any) -> bool:
    return hasattr(model, "far_field")
