"""Germs: what numbers are at a point and a little way on, along x + t d.

From any point on, every number of a piecewise-linear network is ``offset + rate * t`` as long as no unit changes. So a `Ray`
tensor carries the two, as it does for asymptotes, and all that is affine is done alike; only which candidate of a maximum is
the largest is decided by the offset first, and by the rate where offsets are equal. That holds up to the first `t` at which
a difference of candidates changes its sign.

What bends or jumps is followed where nothing that it is given moves. A number that does not move here may move farther on,
where it is looked at again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import among, name_of
from knowlimits.follow import fixed
from knowlimits.follow import owners as owned
from knowlimits.follow.asymptotes import Asymptotes, candidates, leader
from knowlimits.follow.changes import Changes
from knowlimits.follow.domain import Domain
from knowlimits.follow.dual import Ray, constant, is_fixed
from knowlimits.follow.evaluator import Evaluator
from knowlimits.follow.jumps import difference
from knowlimits.follow.operations import Affine, Joint, Jump, Maximum, Of, Smooth
from knowlimits.follow.parts import Parts, first
from knowlimits.follow.refusals import Refused, TooLarge, check_finite
from knowlimits.model.families.family import Family

# What takes as long as so many terms of a product of matrices, about: a term of a convolution, and a number in a maximum.
_CONVOLVED, _COMPARED = 4, 64


@dataclass(frozen=True)
class Piece:
    """A model from some points on.

    Attributes:
        value, slope: the model's output is ``value + t * slope``.
        until: up to this `t`, by label; infinite where no unit changes any more.
        work: about how much was done: as many terms of products of matrices take as long.
    """

    value: Tensor
    slope: Tensor
    until: Tensor
    work: int


def follow_piece(module: Callable[[Tensor], Any], points: Tensor, directions: Tensor, batch_axes: int = 1) -> Piece:
    """Push points through a module, each with a little of the way on from it.

    Args:
        module: in float64; its parameters need no gradient.
        points: float64; one for every place along the first `batch_axes` axes, its label.
        directions: of the same shape.
        batch_axes: number of axes that count points.

    Raises:
        UnsupportedOperation: for what is not piecewise linear.
        OverflowError: where numbers pass the largest float.
    """
    labels = owned.labels(points, batch_axes)
    germs = Germs(points.shape[:batch_axes].numel(), points)
    evaluator = Evaluator(germs)
    # Clones: a model may work in place on its input.
    out = evaluator.run(module, Ray(directions.clone(), points.clone(), labels))
    if not isinstance(out, Ray):
        # The output does not hang on the input at all.
        return Piece(out, torch.zeros_like(out), germs.until, germs.work)
    value, slope = out.offset.double(), out.rate.double()
    if not (value.isfinite().all() and slope.isfinite().all()):
        raise evaluator.overflow("the output")
    if not torch.equal(placed := owned.core(out.owners).reshape(-1), torch.arange(len(placed), device=placed.device)):
        raise evaluator.refuse("the output", "mixed")
    return Piece(value, slope, germs.until, germs.work)


class Germs(Domain):
    """Offsets, and rates at which they change.

    Args:
        points: how many, by their labels.
        like: a tensor of the same type and on the same device as their numbers.

    Attributes:
        until: the first `t` at which a unit changes, by label.
        work: about how much was done, as in `Piece`.
    """

    def __init__(self, points: int, like: Tensor):
        self.until, self.work = like.new_full((points,), torch.inf), 0
        self._changes = Changes(points, like)
        self._straight = Asymptotes(self._changes)

    def copy(self, x: Ray, memory_format: torch.memory_format = torch.preserve_format) -> Ray:
        """A copy with memory of its own, in which numbers lie as is said."""
        return self._straight.copy(x, memory_format)

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it."""
        return self._straight.laid_out(func, args, kwargs, result)

    def write(self, target: Ray, result: Any) -> Ray:
        """Write a result into the argument's own parts, so that views of it change too."""
        return self._straight.write(target, result)

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Move rates and offsets alike."""
        return self._straight.move(func, args, kwargs, traced)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Ray:
        """Do the linear part on rates, and all of it on offsets."""
        result = self._straight.affine(entry, func, args, kwargs, traced)
        # Once for values and once for slopes.
        terms = 2 * result.numel() * Parts(entry, func, args, kwargs).terms()
        self.work += _CONVOLVED * terms if name_of(func) == "convolution" else terms
        return result

    def maximum(self, entry: Maximum, args: list[Any]) -> Ray:
        """Take the lexicographically largest, by offset and then by rate."""
        self.work += _COMPARED * max(a.numel() for a in args if isinstance(a, Ray))
        if entry.of is Of.ZERO:
            return self._relu(args[0])
        if entry.of is Of.AXES:
            return self._largest(*args)
        return self._larger(*(a if isinstance(a, Ray) else constant(a, args) for a in args))

    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """The words of a jump that has some; all maxima are done here."""
        return self._straight.in_words(entry)

    def _relu(self, x: Ray) -> Ray:
        if x.device.type == "cpu":
            return self._relu_compiled(x)
        kept = ((x.offset > 0) | ((x.offset == 0) & (x.rate > 0))).to(x.dtype)
        self._crossed(x.rate, x.offset, x.owners)
        return Ray(x.rate * kept, x.offset * kept, x.owners)

    def _relu_compiled(self, x: Ray) -> Ray:
        from knowlimits.follow import kernels

        # Axes along which the point changes go first, so that every row of what follows is of one point.
        order = owned.varying_axes(x.owners)
        order += [axis for axis in range(x.ndim) if axis not in order]
        rate, offset = (t.permute(order).contiguous() for t in (x.rate, x.offset))
        labels = owned.core(x.owners).reshape(-1)
        parts = [torch.empty_like(rate), torch.empty_like(offset)]
        until = torch.empty(len(labels), dtype=rate.dtype)
        rows = [t.reshape(len(labels), -1).numpy() for t in (rate, offset, *parts)]
        if not kernels.relu_here(rows[0], rows[1], rows[2], rows[3], until.numpy()):
            raise TooLarge("a ReLU")
        self.until.scatter_reduce_(0, labels, until, "amin")
        back = [order.index(axis) for axis in range(x.ndim)]
        return Ray(parts[0].permute(back), parts[1].permute(back), x.owners)

    def _larger(self, x: Ray, y: Ray) -> Ray:
        rate, offset, owners, _ = difference(x, y)
        ahead = (offset > 0) | ((offset == 0) & (rate > 0))
        self._crossed(rate, offset, owners)
        return Ray(torch.where(ahead, x.rate, y.rate), torch.where(ahead, x.offset, y.offset), owners)

    def _largest(self, x: Ray, dim: Any = (), keepdim: bool = False) -> Ray:
        owners = owned.reduced(x.owners, dim, keepdim)
        rate, offset = candidates(x.rate, dim), candidates(x.offset, dim)
        winner = leader(offset, rate)
        best = rate.gather(-1, winner), offset.gather(-1, winner)
        self._crossed(best[0] - rate, best[1] - offset, candidates(x.owners, dim))
        return Ray(best[0].reshape(owners.shape), best[1].reshape(owners.shape), owners)

    def _crossed(self, rate: Tensor, offset: Tensor, owners: Tensor) -> None:
        """Note the first `t` at which differences of candidates change their sign."""
        check_finite("a maximum", rate, offset)
        meets = ((offset > 0) & (rate < 0)) | ((offset < 0) & (rate > 0))
        crossing = torch.where(meets, -offset / torch.where(meets, rate, 1.0), torch.inf)
        self.until = torch.minimum(self.until, -owned.largest(-crossing, owners, len(self.until)))

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """The value, where nothing moves."""
        return first(self._still("curved", func, args, kwargs))

    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Any:
        """The value, where nothing moves."""
        return self._still(entry.kind, func, args, {})

    def _still(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        traced = among(args, Ray)
        if not all(map(is_fixed, traced)):
            raise Refused(kind)
        return fixed.fixed(func, args, kwargs, traced, self._changes)

    def family(self, family: Family, x: Ray) -> Any:
        """Refuse: not piecewise linear."""
        raise Refused("family")

    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Do any operation at all on numbers that do not move, or give None where one does."""
        return self._straight.fixed(func, args, kwargs, traced)

    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Do what the table does not say as asymptotes have it, but for what comes to a limit only."""
        name = name_of(func)
        bends = {"div": args[1:2], "reciprocal": args[:1]}.get(name, args[:1] if name in fixed.FALLING else [])
        if any(isinstance(a, Ray) and not is_fixed(a) for a in bends):
            raise Refused(kind)
        return self._straight.otherwise(kind, func, args, kwargs, traced)
