"""Numbers that are eventually ``rate * a + offset``, as a tensor, and how what they are beside that dies away."""

from typing import Any

import torch
from torch import Tensor

from knowlimits.follow import owners as owned
from knowlimits.follow.domain import Traced
from knowlimits.follow.operations import Tail


class Rest:
    """What is left of numbers beside their asymptotes, as one value for all tensors that lie in the same memory.

    Attributes:
        tail: how it dies away, that of the slowest.
    """

    __slots__ = ("tail",)

    def __init__(self, tail: Tail = Tail.NONE):
        self.tail = tail


class Ray(Traced):
    """A tensor of numbers that are eventually ``rate * a + offset``; exists inside `follow` only.

    Whole numbers and truth values are there too, of rate 0: what became of numbers that do not move.

    Attributes:
        rate: growth per unit of `a`.
        offset: value of the asymptote at ``a = 0``.
        owners: the ray of every number (see `owners.py`).
        errors: bounds on the rounding errors of rate and offset, or None.
        rest: what is left beside the asymptote.
    """

    rate: Tensor
    offset: Tensor
    owners: Tensor
    errors: tuple[Tensor, Tensor] | None
    rest: Rest

    @staticmethod
    def __new__(
        cls,
        rate: Tensor,
        offset: Tensor,
        owners: Tensor,
        errors: tuple[Tensor, Tensor] | None = None,
        tail: Tail = Tail.NONE,
    ) -> "Ray":
        """Wrap two tensors of one shape."""
        self = cls.wrap(offset.shape, offset.stride(), offset.dtype, offset.device)
        self.rate, self.offset, self.owners = laid_out(rate, offset), offset, owners
        self.errors = errors and (laid_out(errors[0], offset), laid_out(errors[1], offset))
        self.rest = Rest(tail)
        return self

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return self.offset


def tail_of(tensors: Any) -> Tail:
    """How what is left beside asymptotes dies away, of the slowest of some tensors; constants have none."""
    return max((t.rest.tail for t in tensors if isinstance(t, Ray)), default=Tail.NONE)


def is_still(x: Ray) -> bool:
    """Whether no number moves along any ray."""
    return not x.is_floating_point() or not bool(x.rate.any())


def is_fixed(x: Ray) -> bool:
    """Whether all numbers are equal to their offsets beyond the radius."""
    return x.rest.tail is Tail.NONE and is_still(x)


def laid_out(part: Tensor, like: Tensor) -> Tensor:
    """The same numbers, in memory as those of another tensor, so that a view of one is a view of the other."""
    if part.stride() == like.stride() or 0 in like.stride():
        return part
    return torch.empty_strided(like.shape, like.stride(), dtype=part.dtype, device=part.device).copy_(part)


def constant(value: Tensor, args: list[Any]) -> Ray:
    """A constant as a ray that does not move, for company with one that does."""
    beside = next(a for a in args if isinstance(a, Ray))
    value = value.to(beside.dtype).expand(torch.broadcast_shapes(value.shape, beside.shape))
    zero = torch.zeros_like(value)
    owners = owned.core(beside.owners).expand(value.shape)
    return Ray(zero, value, owners, (zero, zero) if beside.errors else None)
