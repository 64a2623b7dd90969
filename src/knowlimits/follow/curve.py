"""Numbers that are eventually ``square * a**2 + rate * a + offset``, as a tensor, and what decides between them.

Of two such numbers that is the larger one in the end whose coefficients are lexicographically larger, from the square down. A
square that is a difference of others may be nothing but their rounding: with each goes a bound on that, and within it nothing
is decided.
"""

from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import tree_map
from knowlimits.follow.changes import Changes
from knowlimits.follow.domain import Traced
from knowlimits.follow.dual import Ray, laid_out
from knowlimits.follow.refusals import Refused, TooLarge


class Curve(Traced):
    """A tensor of numbers that grow as squares do, or as lines; exists inside `follow` only.

    Attributes:
        ray: rate and offset, with what else is known of a tensor. They are nan where they are not known, as of the product of
            what grows and what comes to a line too slowly.
        quadratic: coefficient of the square of `a`, always known; nan for numbers that are none, or infinite, as a choice by a
            condition has made them: these are what the offset is, wherever they are on the ray, and count as floats do.
        bound: on its rounding error: that of the operations from the first square on, and where errors are bounded all of it.
    """

    ray: Ray
    quadratic: Tensor
    bound: Tensor

    @staticmethod
    def __new__(cls, ray: Ray, square: Tensor, bound: Tensor) -> "Curve":
        """Wrap tensors of one shape."""
        self = cls.wrap(ray.shape, ray.offset.stride(), ray.offset.dtype, ray.offset.device)
        self.ray, self.quadratic, self.bound = ray, laid_out(square, ray.offset), laid_out(bound, ray.offset)
        return self

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return self.ray.offset

    @property
    def owners(self) -> Tensor:
        """The ray of every number."""
        return self.ray.owners


def curve(ray: Ray, square: Tensor, bound: Tensor, changes: Changes) -> Curve | Ray:
    """The two as one tensor, of lines where there is no square in it, but for doubts, which are noted.

    Raises:
        TooLarge: where numbers have passed the largest float.
    """
    if bool(square.isinf().any()) or bool(ray.rate.isinf().any()):
        raise TooLarge("a product")
    if bool(square.any()) or bool(ray.offset.isnan().any()):
        return Curve(ray, square, bound)
    if ray.errors:
        changes.doubted(bound != 0, ray.owners)
    return ray


def lines(tree: Any) -> Any:
    """The same with rates and offsets alone."""
    return tree_map(lambda a: a.ray if isinstance(a, Curve) else a, tree)


def squares(x: Any) -> Tensor:
    """The coefficients of squares of a traced tensor."""
    return x.quadratic if isinstance(x, Curve) else torch.zeros_like(x.offset, dtype=torch.float64)


def bounds(x: Any) -> Tensor:
    """Bounds on the errors of these."""
    return x.bound if isinstance(x, Curve) else torch.zeros_like(x.offset, dtype=torch.float64)


def unbounded(there: Tensor) -> Tensor:
    """Bounds on errors: infinite at these places, and 0 elsewhere."""
    return torch.zeros(there.shape, dtype=torch.float64, device=there.device).masked_fill(there, torch.inf)


def endless(x: Curve | Ray) -> Tensor:
    """Where numbers are infinite, or none, by choice."""
    return squares(x).isnan()


def moves(x: Curve | Ray) -> Tensor:
    """Where numbers move."""
    return ((squares(x) != 0) | (lines(x).rate != 0)) & ~endless(x)


def chosen_endless(ray: Ray) -> Curve | Ray:
    """What a condition has chosen, where that may be infinite or no number.

    What is minus infinity alone counts for nothing, which lines know of.
    """
    there = ray.offset.isnan() | (ray.offset == torch.inf)
    if not ray.is_floating_point() or not bool(there.any()):
        return ray
    square = torch.zeros_like(ray.offset).masked_fill(ray.offset.isnan() | ray.offset.isinf(), torch.nan)
    return Curve(ray, square, torch.zeros_like(square))


def signs(x: Curve, changes: Changes) -> Tensor:
    """The sign that each number has in the end: -1, 0 or 1.

    What is infinite has its own, and what is no number has none.

    Raises:
        Refused: where squares cancel up to their rounding, or what decides is not known.
    """
    q, ray = torch.where(endless(x), x.ray.offset, x.quadratic), x.ray
    r, o = ray.rate, ray.offset
    check_clear(q, x.bound, ray.errors is not None)
    if bool(((q == 0) & (r.isnan() | ((r == 0) & o.isnan()))).any()):
        raise Refused("slow")
    if ray.errors:
        of_rate, of_offset = ray.errors
        line = (r.abs() > of_rate) | ((r == 0) & (of_rate == 0) & ((o.abs() > of_offset) | (of_offset == 0)))
        same = (q == 0) & (r == 0) & (o == 0)
        changes.doubted(~((q.abs() > x.bound) | ((q == 0) & (x.bound == 0) & line) | same), ray.owners)
    return torch.where(q != 0, q, torch.where(r != 0, r, o)).sign()


def check_clear(square: Tensor, bound: Tensor, noted: bool) -> None:
    """Refuse squares that may be nothing but rounding, unless such doubts are noted."""
    if not noted and bool(((square != 0) & (square.abs() <= bound)).any()):
        raise Refused("cancelled")


def note_last(x: Curve, changes: Changes) -> None:
    """Note the last `a` at which numbers are 0; those of which that is not known are taken to move for ever."""
    q, r, o = x.quadratic, x.ray.rate, x.ray.offset
    inside = r * r - 4 * q * o
    # The larger root, by the one that does not cancel.
    half = -(r + torch.where(r < 0, -1.0, 1.0) * inside.clamp_min(0.0).sqrt()) / 2
    roots = torch.maximum(half / torch.where(q == 0, 1.0, q), torch.where(half == 0, 0.0, o / half))
    roots = torch.where((inside < 0) & (q != 0), -torch.inf, roots)
    last = torch.where(q == 0, torch.where(r == 0, -torch.inf, -o / r), roots)
    last = last.masked_fill(endless(x), -torch.inf)
    changes.met(last.nan_to_num(-torch.inf), x.ray.owners)
    changes.moving(last.isnan(), x.ray.owners)


def outpaced(x: Curve, dim: int, changes: Changes, either: bool = False) -> tuple[Tensor, Ray, Tensor]:
    """Of numbers along an axis those that grow fastest: their square, lines, and whether one does so alone.

    An offset of minus infinity is that of a number that counts for nothing, as those do that grow more slowly.

    Args:
        x: the numbers.
        dim: the axis.
        changes: where doubts are noted.
        either: whether it makes no difference to the square which of several is the largest up to rounding; then their lines
            are not known.

    Raises:
        Refused: where squares cancel up to their rounding, or what else decides is not known.
    """
    there = x.ray.offset != -torch.inf
    square = torch.where(there, x.quadratic, -torch.inf)
    top, best = square.amax(dim, keepdim=True), square.argmax(dim, keepdim=True)
    behind = torch.where(there, top - x.quadratic, 0.0)
    bound = torch.where(there, x.bound + x.bound.gather(dim, best), 0.0)
    leads, level = there & (behind == 0), (behind != 0) & (behind <= bound)
    # One alone needs nothing else to decide, so that nothing else of it must be known.
    alone = leads & (leads.sum(dim, keepdim=True) < 2)
    if not either:
        check_clear(behind, bound, x.ray.errors is not None)
        if bool((leads & ~alone & (x.ray.rate.isnan() | x.ray.offset.isnan())).any()):
            raise Refused("slow")
    if x.ray.errors:
        others = torch.ones_like(leads).scatter_(dim, best, False)
        changes.doubted(there & others & (behind <= bound), x.ray.owners)
    rate, offset = torch.where(leads, x.ray.rate, 0.0), torch.where(leads, x.ray.offset, -torch.inf)
    if either and bool(level.any()):
        offset = torch.where(level.any(dim, keepdim=True), torch.nan, offset)
    return top.nan_to_num(neginf=0.0), Ray(rate, offset, x.ray.owners, x.ray.errors, x.ray.rest.tail), alone
