"""Products and quotients of numbers that all hang on the input, where they have an asymptote.

Of (r a + o + e) and (s a + p + f), e and f being what is left beside the asymptotes, the product has the asymptote
(r p + s o) a + o p wherever one of r and s is 0, and neither e s a nor f r a stays: what is left of a number times one that
moves must die away exponentially. The quotient tends to r / s where s is not 0, else it is a product with 1 / p.
"""

from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import name_of
from knowlimits.follow import owners as owned
from knowlimits.follow.bounds import EPS, MOST_TERMS
from knowlimits.follow.changes import Changes
from knowlimits.follow.dual import Ray, tail_of
from knowlimits.follow.operations import Tail
from knowlimits.follow.refusals import Refused, check_finite

#: Operations that are linear in each of two tensors: of numbers, or of matrices.
BILINEAR = frozenset({"mul", "mm", "bmm", "mv", "dot"})


def product(func: Any, x: Ray, y: Ray, changes: Changes) -> Ray:
    """What is linear in each of two tensors.

    Raises:
        Refused: where numbers that both move are multiplied, or one that moves by one that dies away too slowly.
    """
    check_finite(name_of(func), x.rate, x.offset, y.rate, y.offset)
    owners = owners_of(func, x, y)
    one, other = torch.ones_like(x.offset, dtype=torch.float64), torch.ones_like(y.offset, dtype=torch.float64)
    moves = [(t.rate != 0).to(torch.float64) for t in (x, y)]
    if bool(func(moves[0], moves[1]).any()):
        raise Refused("product")
    slow = [t.rest.tail is Tail.SLOW for t in (x, y)]
    if (slow[1] and bool(moves[0].any())) or (slow[0] and bool(moves[1].any())):
        raise Refused("slow")
    rate, offset = func(x.rate, y.offset) + func(x.offset, y.rate), func(x.offset, y.offset)
    errors = None
    if x.errors and y.errors:
        may = [((t.rate != 0) | (t.errors[0] != 0)).to(torch.float64) for t in (x, y)]  # type: ignore[index]
        doubt = func(may[0], may[1])
        if slow[0]:
            doubt = doubt + func(one, may[1])
        if slow[1]:
            doubt = doubt + func(may[0], other)
        changes.doubted(doubt > 0, owners)
        terms = 1 if name_of(func) == "mul" else max(x.numel(), y.numel())
        errors = _bounds(func, x, y, (min(terms, MOST_TERMS) + 3) * EPS)
    return Ray(rate, offset, owners, errors, tail_of([x, y]))


def quotient(x: Ray, y: Ray, changes: Changes) -> Ray:
    """One number by another.

    Raises:
        Refused: where the divisor tends to 0.
    """
    check_finite("div", x.rate, x.offset, y.rate, y.offset)
    owners = owned.broadcast([x.owners, y.owners], torch.broadcast_shapes(x.shape, y.shape))
    over = y.rate != 0
    if bool((~over & (y.offset == 0)).any()):
        raise Refused("pole")
    # As a number by its divisor's limit that is not infinite, where the divisor stays.
    if y.rest.tail is Tail.SLOW and bool((~over & (x.rate != 0)).any()):
        raise Refused("slow")
    rate = torch.where(over, 0.0, x.rate / torch.where(over, 1.0, y.offset))
    offset = torch.where(over, x.rate, x.offset) / torch.where(over, y.rate, y.offset)
    tail = Tail.SLOW if changes.moving(over.expand(offset.shape), owners) else tail_of([x, y])
    errors = None
    if x.errors and y.errors:
        errors = _quotient_bounds(x, y, rate, offset, owners, changes)
    return Ray(rate, offset, owners, errors, tail)


def _bounds(func: Any, x: Ray, y: Ray, share: float) -> tuple[Tensor, Tensor]:
    """Bounds on the errors of a product's rate and offset: those carried over, and those made here."""
    (r, o), (s, p) = [(t.rate.double().abs(), t.offset.double().abs()) for t in (x, y)]
    (dr, do), (ds, dp) = x.errors, y.errors  # type: ignore[misc]

    def carried(a: Tensor, da: Tensor, b: Tensor, db: Tensor) -> Tensor:
        # No number at all times one of unknown size is of unknown size, too.
        return (func(da, b + db) + func(a, db) + share * func(a, b)).nan_to_num(torch.inf, torch.inf)

    return carried(r, dr, p, dp) + carried(o, do, s, ds), carried(o, do, p, dp)


def _quotient_bounds(x: Ray, y: Ray, rate: Tensor, offset: Tensor, owners: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    over = y.rate != 0
    divisor = torch.where(over, y.rate, y.offset).abs()
    its = torch.where(over, y.errors[0], y.errors[1])  # type: ignore[index]
    # What the divisor's rate is decides all, and so does its sign.
    unsure = (its >= divisor) | (~over & (y.errors[0] != 0))  # type: ignore[index]
    changes.doubted(unsure.expand(offset.shape), owners)
    room = torch.where(unsure, 0.0, divisor - its)

    def bound(value: Tensor, above: Tensor) -> Tensor:
        return torch.where(room > 0, (above + value.abs() * its) / room + 2 * EPS * value.abs(), torch.inf)

    mine = torch.where(over, x.errors[0], x.errors[1])  # type: ignore[index]
    return torch.where(over, 0.0, bound(rate, x.errors[0])), bound(offset, mine)  # type: ignore[index]


def owners_of(func: Any, x: Ray, y: Ray) -> Tensor:
    """Owners of a product: those of both, without the axis that a product of matrices runs over."""
    name = name_of(func)
    mine, its = x.owners, y.owners
    if name == "mul":
        return owned.broadcast([mine, its], torch.broadcast_shapes(x.shape, y.shape))
    inner = 0 if name in ("mv", "dot") else -2
    owned.check_together(mine, [-1])
    owned.check_together(its, [inner])
    if inner:
        return owned.broadcast([mine[..., :1], its[..., :1, :]], (*x.shape[:-1], y.shape[-1]))
    return owned.broadcast([mine[..., 0], its[0].expand(x.shape[:-1])], x.shape[:-1])
