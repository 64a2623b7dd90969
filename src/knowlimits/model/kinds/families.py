"""Estimators that are one family each: what is asked of all of them, and the proof."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from knowlimits.model.asked import Asked
from knowlimits.model.families.family import Family
from knowlimits.model.kinds.fitted import about, proven
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.steps import Steps


def family_kind(build: Callable[[Any], Family]) -> Callable[[Any, Asked], Model]:
    """How an estimator is read that is a family.

    Args:
        build: makes the family of the estimator, or raises what `read` raises.
    """

    def read(model: Any, asked: Asked) -> Model:
        return read_family(model, build(model), asked)

    return read


def read_family(
    model: Any,
    family: Family,
    asked: Asked,
    decision: nn.Module | None = None,
    own: Any = None,
    steps: Steps | None = None,
) -> Model:
    """A model that is one family, held to the estimator's own predictions.

    Args:
        model: the estimator.
        family: what was made of it.
        asked: as kinds have it.
        decision: its decision function, ``(n, features) -> (n, columns)``, where that is another than its logits.
        own: the estimator again, where its `predict` is another than its likeliest class.
        steps: that it has inside, before the family.
    """
    network = Network(family, returns=family.returns, decision=decision)
    return proven(Model(type(model).__name__, (network,), steps, own=own, **about(model)), model, asked)


class Scaled(nn.Module):
    """A decision function that is what a family returns times a number, ``(n, features) -> (n, outputs)``.

    Args:
        family: it.
        factor: the number.
    """

    def __init__(self, family: Family, factor: float):
        super().__init__()
        self.family, self.factor = family, float(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return self.family(x) * self.factor
