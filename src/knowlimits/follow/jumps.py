"""Jumps: functions of a sign, which every number has for good from somewhere on along a ray.

The sign is that of the rate, and of the offset where the rate is 0. Where numbers only tend to their offsets, it is that of an
offset other than 0; a limit of 0 may be come to from either side, and is refused.
"""

from typing import Any

import torch
from torch import Tensor

from knowlimits.follow import owners as owned
from knowlimits.follow.bounds import NEAR
from knowlimits.follow.changes import Changes
from knowlimits.follow.dual import Ray, constant, tail_of
from knowlimits.follow.operations import Jump, Of, Tail
from knowlimits.follow.refusals import Refused


def jump(entry: Jump, func: Any, args: list[Any], changes: Changes) -> Ray:
    """The value on the side of a jump on which numbers stay, and where they come to it.

    Raises:
        Refused: where what only tends to a limit tends to the jump, or rows of the batch are compared with each other.
    """
    x, y = args[0], args[1] if entry.of is Of.PAIR else None
    size = torch.ones(())
    if y is None:
        rate, offset, owners, errors = x.rate, x.offset, x.owners, x.errors
    else:
        one, other = (a if isinstance(a, Ray) else constant(as_tensor(a), args) for a in (x, y))
        rate, offset, owners, errors = difference(one, other)
        size = 1 + one.offset.abs() + other.offset.abs()
        if not isinstance(y, Ray):
            # All numbers are on one side of what is infinite.
            rate = torch.where(other.offset.isinf(), 0.0, rate)
            offset = torch.where(other.offset.isinf(), -other.offset.sign(), offset)
    # Near to a jump rounding may have put the limit on its other side.
    if tail_of(args) is not Tail.NONE and x is not y and bool(((rate == 0) & (offset.abs() <= NEAR * size)).any()):
        raise Refused("approached")
    changes.crossed(rate, offset, owners, errors)
    side = torch.where(rate == 0, offset, rate).sign()
    value = func(side) if y is None else func(side, torch.zeros_like(side) if isinstance(y, Tensor) else 0)
    zero = torch.zeros(value.shape, dtype=torch.float64, device=value.device)
    return Ray(torch.zeros_like(value), value, owners, (zero, zero) if errors else None)


def difference(x: Ray, y: Ray) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Rate, offset and owners of a difference, and bounds on errors by which its signs may be wrong.

    Those made here are none of them: a difference of floats has the sign that it has without rounding.
    """
    rate, offset = x.rate - y.rate, x.offset - y.offset
    owners = owned.broadcast([x.owners, y.owners], rate.shape)
    if not (x.errors and y.errors):
        return rate, offset, owners, None
    return rate, offset, owners, (x.errors[0] + y.errors[0], x.errors[1] + y.errors[1])


def as_tensor(a: Any) -> Tensor:
    """What is compared, as a tensor."""
    # A number would be rounded to torch's default precision.
    return a if isinstance(a, Tensor) else torch.tensor(a, dtype=torch.float64)
