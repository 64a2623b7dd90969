"""The linear and the constant part of an affine operation, for all evaluators."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits.piecewise.evaluator import Traced
from knowlimits.piecewise.operations import Affine


class Parts:
    """The linear and the constant part of an affine operation with its arguments.

    Args:
        entry: its entry in the table.
        func, args, kwargs: the operation.
    """

    def __init__(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any]):
        self.entry, self.func, self.args, self.kwargs = entry, func, args, kwargs
        self.factors = [p for p in entry.factors or () if isinstance(args[p], Traced)]

    def without_constants(self, pick: Callable[[Any], Any]) -> list[Any]:
        """Arguments of the linear part: constants among the values are zero, and so is a product of constants."""
        new = [pick(a) if isinstance(a, Traced) else a for a in self.args]
        zeroed = [p for p in self.entry.values if not isinstance(self.args[p], Traced)]
        if self.entry.factors and not self.factors:
            zeroed.append(self.entry.factors[0])
        for p in zeroed:
            if isinstance(new[p], Tensor):
                new[p] = new[p].new_zeros(()).expand(new[p].shape)
            elif new[p] is not None:
                new[p] = 0.0
        return new

    def constant(self) -> Tensor | None:
        """The constant part, or None where there is none."""
        fixed = [p for p in self.entry.values if not isinstance(self.args[p], Traced) and self.args[p] is not None]
        if self.entry.factors and not self.factors:
            fixed.append(self.entry.factors[0])
        if not fixed:
            return None
        return first(self.func(*[torch.zeros_like(a.like) if isinstance(a, Traced) else a for a in self.args], **self.kwargs))

    def absolute(self, pick: Callable[[Any], Any]) -> tuple[Callable[..., Any], list[Any]]:
        """The linear part with all coefficients made positive: a function and its arguments."""

        def positive(a: Any) -> Any:
            if isinstance(a, Tensor) and not isinstance(a, Traced) and a.is_floating_point():
                return a.abs()
            return abs(a) if isinstance(a, float | int) and not isinstance(a, bool) and self.entry.factors else a

        return self.entry.bound or self.func, [positive(a) for a in self.without_constants(pick)]

    def steepness(self) -> tuple[float, int]:
        """The largest sum of sizes of coefficients of a result, and how many numbers a result adds up at most."""
        function, ones = self.absolute(lambda x: torch.ones_like(x.like))
        sums = first(function(*ones, **self.kwargs))
        terms = max((a.numel() for a in self.args if isinstance(a, Tensor)), default=1) if self.entry.contracts else 2
        if self.entry.reduces is not None:
            terms = self.args[0].numel()
        return float(sums.abs().max()) if sums.numel() else 0.0, terms


def first(result: Any) -> Tensor:
    """The first result of an operation, which may have several."""
    return result[0] if isinstance(result, tuple | list) else result
