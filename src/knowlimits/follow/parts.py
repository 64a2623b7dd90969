"""The linear and the constant part of an affine operation, for all domains."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import name_of, tree_flatten
from knowlimits.follow.bounds import EPS, MOST_TERMS
from knowlimits.follow.domain import Traced
from knowlimits.follow.operations import Affine


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

    def of_sizes(self, values: list[Any]) -> Tensor:
        """The operation with all coefficients made positive, of the sizes of arguments: what bounds of errors are made of.

        Args:
            values: the operation's arguments, with tensors in place of those that are traced.
        """
        places = {*self.entry.values, *(self.entry.factors or ())}

        def size(position: int, a: Any) -> Any:
            if isinstance(a, Tensor):
                if a.dtype == torch.bool and position in places:
                    return a.double()
                return a.abs() if a.is_floating_point() or position in places else a
            # Of numbers only those that take part: others are lengths of windows, or axes.
            return abs(a) if position in places and isinstance(a, int | float) and not isinstance(a, bool) else a

        sizes = [size(position, a) for position, a in enumerate(values)]
        kwargs = {k: abs(v) if k in ("alpha", "beta") else v for k, v in self.kwargs.items()}
        if self.entry.bound is not None:
            return self.entry.bound(*sizes, **kwargs)
        if "batch_norm" in name_of(self.func):
            # The running mean enters with a minus.
            sizes[3] = -sizes[3]
        return first(self.func(*sizes, **kwargs))

    def steepness(self) -> float:
        """The largest sum of sizes of coefficients of a result."""
        sums = self.of_sizes(self.without_constants(lambda x: torch.ones_like(x.like)))
        return float(sums.abs().max()) if sums.numel() else 0.0

    def terms(self) -> int:
        """How many numbers a result adds up at most."""
        if self.entry.contracts and self.entry.factors:
            return self.args[self.entry.factors[0]].shape[-1] + 1
        if name_of(self.func) == "convolution":
            weight = self.args[1]
            # Of a transposed one the channels that come in are first.
            return weight.numel() // max(1, min(weight.shape[:2])) + 1
        if self.entry.reduces is not None or self.entry.combines is not None:
            return max((a.numel() for a in self.args if isinstance(a, Tensor)), default=1)
        return 2

    def rounding(self) -> float:
        """The share of what `of_sizes` gives by which a result may be off in floats."""
        return (min(self.terms(), MOST_TERMS) + 2) * EPS


class Call:
    """An operation with its arguments, by which what is kept of it is known again; traced ones count by their shapes."""

    def __init__(self, func: Any, args: list[Any], kwargs: dict[str, Any]):
        leaves, self._structure = tree_flatten((args, kwargs))
        self._func = func
        self._leaves = [tuple(a.shape) if isinstance(a, Traced) else a for a in leaves]

    def check(self, func: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Raise unless this is the same operation with the same constants.

        Raises:
            ValueError: if the model does something else this time.
        """
        other = Call(func, args, kwargs)
        same = self._func is other._func and self._structure == other._structure
        if not same or not all(map(_alike, self._leaves, other._leaves)):
            raise ValueError(
                "model must do the same operations in the same order whenever it is called. "
                f"Got one that does {name_of(func)} where it did {name_of(self._func)} with "
                "other numbers before."
            )


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b))
    return a == b


def first(result: Any) -> Tensor:
    """The first result of an operation, which may have several."""
    return result[0] if isinstance(result, tuple | list) else result
