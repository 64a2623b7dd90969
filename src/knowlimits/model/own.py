"""What a person's own estimator says of rows, by its own methods."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.model.signature import in_shape


def labelled(method: Callable[[Any], Any], X: Any) -> np.ndarray:
    """What a method predicts of rows, ``(n,)``: CatBoost gives labels of more than two classes as a column."""
    found = np.asarray(answered(method, X))
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def answered(method: Callable[[Any], Any], X: Any) -> Any:
    """What a method says of rows; given in float32 where torch inside it stops at float64."""
    try:
        return method(X)
    except RuntimeError:
        # Torch's own for a wrong type, and for much else, which comes again then.
        return method(X.astype(np.float32) if hasattr(X, "astype") else np.asarray(X, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class OwnOfShape:
    """A person's own estimator, of rows of a table as well.

    Attributes:
        own: it.
        shape: of one input that it takes.
    """

    own: Any
    shape: tuple[int, ...]

    def predict(self, X: Any) -> Any:
        """What it predicts of rows ``(n, columns)`` or inputs ``(n, *shape)``."""
        return self.own.predict(in_shape("X", np.asarray(X), self.shape))
