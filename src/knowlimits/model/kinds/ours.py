"""The classifiers of this library."""

from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.copies import copied
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.model import Model, check_numbers


def read_ours(model: Any, asked: Asked) -> Model:
    """Its networks, which are a `Stack` already.

    Raises:
        ValueError: if it is not fitted.
    """
    check_fitted(model, "stack_")
    stacks: Any = copied([model.stack_])
    check_numbers(stacks[0])
    return proven(Model(type(model).__name__, stacks, **about(model)), model, asked)
