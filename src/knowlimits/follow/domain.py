"""What a model is followed in: floats, integers or asymptotes, and what each kind of operation does to them.

The evaluator sees a model's operations and finds their entries in the table; a domain does them. So there is one evaluator,
and a domain for each kind of number.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import Wrapper, name_of, tree_map
from knowlimits.follow.operations import INDEXED, Affine, Joint, Jump, Maximum, Smooth
from knowlimits.model.families.family import Family


class Traced(Wrapper):
    """A tensor that is pushed through a model in place of the numbers of one input; exists inside an evaluator only.

    Attributes:
        like: a plain tensor of the same shape.
    """

    like: Tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse: outside an evaluator nothing knows what to do."""
        raise RuntimeError(
            f"{func} met a tensor of knowlimits after its evaluation had ended: the model keeps one between calls."
        )


def moved(
    func: Any,
    args: list[Any],
    kwargs: dict[str, Any],
    part: Callable[[Any], Tensor],
    constant: Callable[[Tensor], Tensor],
) -> Any:
    """A part of traced numbers, moved as an operation of kind `Move` moves numbers.

    Args:
        func, args, kwargs: the operation.
        part: the part, of those that are traced.
        constant: what stands for it, of constants that come along.
    """
    name = name_of(func)
    if name in ("view", "_unsafe_view"):
        # The parts may lie in memory otherwise than the whole says.
        func = torch.ops.aten.reshape.default

    def pick(a: Any) -> Any:
        if isinstance(a, Traced):
            return part(a)
        return constant(a) if isinstance(a, Tensor) and name not in INDEXED else a

    return func(*tree_map(pick, args), **tree_map(pick, kwargs))


class Domain(ABC):
    """Numbers that a model is followed in.

    Methods take an operation's arguments at their positions, those that were left at their defaults too, of which one at least
    is traced, and return a traced result. They raise `Refused` where there is none, and `TooLarge` beyond the largest float.
    """

    @abstractmethod
    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Move numbers; where the operation gives a view, what is written to either is seen in the other."""

    @abstractmethod
    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do what is linear in those arguments that are traced, together with some constants."""

    @abstractmethod
    def maximum(self, entry: Maximum, args: list[Any]) -> Any:
        """Do a maximum."""

    @abstractmethod
    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """A maximum or jump in words of other operations of the table, or None where the domain does it itself."""

    @abstractmethod
    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Do what is not piecewise linear, and has an asymptote or a limit."""

    @abstractmethod
    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Any:
        """Do what changes where a sign changes, and nowhere else."""

    @abstractmethod
    def family(self, family: Family, x: Any) -> Any:
        """Do what a family of classifiers does of a table."""

    @abstractmethod
    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do any operation at all where no argument hangs on where the input is, or give None where one does."""

    @abstractmethod
    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do what the table does not say, or not for such arguments, or refuse it with the kind of hint that is given."""

    @abstractmethod
    def copy(self, x: Any, memory_format: torch.memory_format) -> Any:
        """A copy with memory of its own, in which numbers lie as is said."""

    @abstractmethod
    def write(self, target: Any, result: Any) -> Any:
        """Write a result, traced or constant, into the memory of a traced tensor, so that views of it change too."""

    @abstractmethod
    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it.

        It decides whether a reshape of the result is a view or a copy.
        """
