"""Departures: how far numbers may be from straight lines, anywhere beyond some `a` on their rays.

Beyond the radius every number of a piecewise-linear network is ``rate * a + offset``. A unit whose last change lies far out
may have moved nothing by more than rounding long before. So with each number goes a line, and a bound on the distance from it
that holds at each `a` beyond the given one. The bound is one of two kinds, for each ray:

- *constant*: lines are the asymptotes, and the bound is the same everywhere beyond;
- *in proportion*: the bound is so much times `a`, and lines are those that suit best. Of a unit with a rate of 1e-15 what it is
  before it changes is as good as what it is afterwards, as far as growth decides.

Inputs are on their lines. An affine operation acts on bounds by the sizes of its coefficients. Of candidates z_j of a maximum,
within d_j of their lines l_j, one is chosen: the largest in the end, or, in proportion, that or the largest at the given `a`,
whichever gives the smaller bound. With c for it, the largest z_j is at least l_c - d_c, and at most the largest l_j + d_j. So
the bound is the larger of d_c and all d_j - m_j, where m_j bounds l_c - l_j = g a + h from below: its value at the given `a`
if c is the largest in the end; in proportion, g + h / a from there on, which is monotone, at the one end or the other. What
else there is (smooth functions, jumps, families) has no bound, unless what it is given is on its asymptotes.

Margins m_j are less by what rounding may have made of them. Where it may have made the rate that decides in the end, there is
no constant bound.
"""

from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import tree_leaves, tree_map
from knowlimits.follow import owners as owned
from knowlimits.follow.asymptotes import Asymptotes, candidates, leader
from knowlimits.follow.bounds import EPS
from knowlimits.follow.domain import Domain, Traced, moved
from knowlimits.follow.dual import Ray, constant, laid_out
from knowlimits.follow.operations import Affine, Joint, Jump, Maximum, Of, Smooth
from knowlimits.follow.parts import Parts
from knowlimits.model.families.family import Family

# For roundings of the bounds themselves, some to each operation.
_UP = 1 + 8 * EPS


class Departing(Traced):
    """A tensor of numbers near lines, and how far from these they may be.

    Attributes:
        ray: the lines, with bounds on their rounding errors.
        by: the bounds, in float64; infinite where nothing is known.
    """

    ray: Ray
    by: Tensor

    @staticmethod
    def __new__(cls, ray: Ray, by: Tensor) -> "Departing":
        """Wrap two tensors of one shape."""
        self = cls.wrap(ray.shape, ray.offset.stride(), ray.offset.dtype, ray.offset.device)
        self.ray, self.by = ray, laid_out(by, ray.offset)
        return self

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return self.ray.offset


class Departures(Domain):
    """Lines, and how far numbers may depart from them.

    Args:
        asymptotes: what does rates and offsets.
        beyond: the `a` beyond which bounds hold, of each ray by its label.
        in_proportion: whether bounds are in proportion to `a`, by label; else they are constant.

    Attributes:
        before: the last `a` up to that one at which a unit changes, by label; 0 where none does.
    """

    def __init__(self, asymptotes: Asymptotes, beyond: Tensor, in_proportion: Tensor):
        self.asymptotes, self.beyond, self.in_proportion = asymptotes, beyond, in_proportion
        self.before = torch.zeros_like(beyond)

    def copy(self, x: Departing, memory_format: torch.memory_format = torch.preserve_format) -> Departing:
        """A copy with memory of its own, in which numbers lie as is said."""
        return Departing(self.asymptotes.copy(x.ray, memory_format), x.by.clone())

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it."""
        if isinstance(result, tuple):
            return self.laid_out(func, args, kwargs, result[0]), *result[1:]
        if not isinstance(result, Departing):
            return result
        return Departing(self.asymptotes.laid_out(func, _rays(args), _rays(kwargs), result.ray), result.by)

    def write(self, target: Departing, result: Any) -> Departing:
        """Write a result into the argument's own parts, so that views of it change too."""
        self.asymptotes.write(target.ray, _rays(result))
        if isinstance(result, Departing):
            target.by.copy_(result.by)
        else:
            target.by.zero_()
        return target

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Departing]) -> Any:
        """Move all of it alike; constants are where they are."""
        rays = self.asymptotes.move(func, _rays(args), _rays(kwargs), _rays(traced))
        by = moved(func, args, kwargs, lambda t: t.by, lambda c: torch.zeros_like(c, dtype=torch.float64))
        if isinstance(rays, Ray):
            return Departing(rays, by)
        return [Departing(*each) for each in zip(rays, by, strict=True)]

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Departing]) -> Departing:
        """Do bounds with the sizes of coefficients."""
        ray = self.asymptotes.affine(entry, func, _rays(args), _rays(kwargs), _rays(traced))
        parts = Parts(entry, func, args, kwargs)
        by = parts.of_sizes(parts.without_constants(lambda t: t.by)) * (1 + parts.rounding())
        # No number at all of what is unknown is unknown, too.
        return Departing(ray, by.nan_to_num(torch.inf, torch.inf))

    def in_words(self, entry: Maximum | Jump) -> Any:
        """As asymptotes have it: all maxima are done here."""
        return self.asymptotes.in_words(entry)

    def maximum(self, entry: Maximum, args: list[Any]) -> Departing:
        """Bound by the candidate that is chosen, and by how near the others come."""
        rays = _rays(args)
        # It notes what is to be noted.
        result = self.asymptotes.maximum(entry, rays)
        if entry.of is Of.AXES:
            return self._largest(result, *args)
        if entry.of is Of.ZERO:
            args = [args[0], _on_line(constant(args[0].by.new_zeros(()), rays))]
        return self._larger(result, *(a if isinstance(a, Departing) else _on_line(constant(a, rays)) for a in args))

    def _larger(self, result: Ray, x: Departing, y: Departing) -> Departing:
        labels = owned.core(result.owners)
        beyond, free = self.beyond[labels], self.in_proportion[labels]
        pairs = list(zip(_lines(x), _lines(y), strict=True))
        g, h = (a - b for a, b in pairs[:2])
        errors = [a + b for a, b in pairs[2:]]
        self._note(g, h, result.owners, beyond)
        first = (g > 0) | ((g == 0) & (h > 0))
        of_x = torch.maximum(x.by, y.by - _margin(g, h, errors, beyond, free))
        of_y = torch.maximum(y.by, x.by - _margin(-g, -h, errors, beyond, free))
        last, other = torch.where(first, of_x, of_y), torch.where(first, of_y, of_x)
        better = free & (other < last)
        chosen = first ^ better
        lines = [torch.where(chosen, a, b) for a, b in pairs]
        return _departing(result, lines, torch.where(better, other, last))

    def _largest(self, result: Ray, x: Departing, dim: Any = (), keepdim: bool = False) -> Departing:
        lines, by = [candidates(part, dim) for part in _lines(x)], candidates(x.by, dim)
        owners = candidates(x.ray.owners, dim)
        labels = owned.core(owners)
        beyond, free = self.beyond[labels], self.in_proportion[labels]

        def bound(at: Tensor) -> Tensor:
            g, h = (part.gather(-1, at) - part for part in lines[:2])
            errors = [part.gather(-1, at) + part for part in lines[2:]]
            # A number that is there twice is one candidate, and nothing comes nearer to itself.
            errors = [torch.where((g == 0) & (h == 0), 0.0, error) for error in errors]
            return torch.maximum(by.gather(-1, at), (by - _margin(g, h, errors, beyond, free)).amax(-1, keepdim=True))

        last = leader(*lines[:2])
        g, h = (part.gather(-1, last) - part for part in lines[:2])
        self._note(g, h, owners, beyond)
        now = (lines[0] * beyond + lines[1]).argmax(-1, keepdim=True)
        of_last, of_now = bound(last), bound(now)
        better = free[..., :1] & (of_now < of_last)
        at = torch.where(better, now, last)
        lines = [part.gather(-1, at).reshape(result.shape) for part in lines]
        return _departing(result, lines, torch.where(better, of_now, of_last).reshape(result.shape))

    def _note(self, rate: Tensor, offset: Tensor, owners: Tensor, beyond: Tensor) -> None:
        """Note the last `a`, up to the one beyond which bounds hold, at which differences change their signs."""
        crossing = torch.where(rate == 0, -torch.inf, -offset / rate)
        crossing = torch.where(crossing <= beyond, crossing, -torch.inf)
        self.before = torch.maximum(self.before, owned.largest(crossing, owners, len(self.before)))

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Nothing is known, unless what it is given is on its lines."""
        return self._of_lines(args, self.asymptotes.bent(entry, func, _rays(args), _rays(kwargs)))

    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Departing:
        """Nothing is known: where it jumps last may lie beyond."""
        return _unknown(self.asymptotes.jump(entry, func, _rays(args)))

    def family(self, family: Family, x: Departing) -> Departing:
        """Nothing is known."""
        return _unknown(self.asymptotes.family(family, x.ray))

    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Departing]) -> Any:
        """Nothing is known, unless what it is given is on its lines."""
        return self._of_lines([args, kwargs], self.asymptotes.fixed(func, _rays(args), _rays(kwargs), _rays(traced)))

    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Departing]) -> Any:
        """Nothing is known, unless what it is given is on its lines."""
        return self._of_lines([args, kwargs], self.asymptotes.otherwise(kind, func, _rays(args), _rays(kwargs), _rays(traced)))

    def _of_lines(self, given: Any, result: Any) -> Any:
        """A result of arguments that are on their lines, or of which nothing is known, ray by ray."""
        departs = torch.zeros(len(self.beyond), dtype=torch.bool, device=self.beyond.device)
        for x in (leaf for leaf in tree_leaves(given) if isinstance(leaf, Departing)):
            departs |= owned.largest(x.by, x.ray.owners, len(departs)) > 0

        def wrapped(a: Any) -> Any:
            if not isinstance(a, Ray):
                return a
            by = torch.where(departs[owned.core(a.owners)], torch.inf, torch.zeros((), dtype=torch.float64, device=a.device))
            return Departing(a, by.expand(a.shape))

        return tree_map(wrapped, result)


def _rays(tree: Any) -> Any:
    """The same with lines alone."""
    return tree_map(lambda a: a.ray if isinstance(a, Departing) else a, tree)


def _unknown(ray: Ray) -> Departing:
    return Departing(ray, torch.full(ray.shape, torch.inf, dtype=torch.float64, device=ray.device))


def _on_line(ray: Ray) -> Departing:
    return Departing(ray, torch.zeros_like(ray.offset, dtype=torch.float64))


def _lines(x: Departing) -> list[Tensor]:
    """Rates, offsets, and bounds on the errors of these."""
    assert x.ray.errors is not None
    return [x.ray.rate, x.ray.offset, *x.ray.errors]


def _departing(like: Ray, lines: list[Tensor], by: Tensor) -> Departing:
    """A result by what `_lines` gives of it, of the owners of another."""
    rate, offset, of_rate, of_offset = lines
    return Departing(Ray(rate, offset, like.owners, (of_rate, of_offset), like.rest.tail), by * _UP)


def _margin(g: Tensor, h: Tensor, errors: list[Tensor], beyond: Tensor, free: Tensor) -> Tensor:
    """A bound from below on ``g a + h`` at any `a` beyond; on that over `a` for bounds in proportion, which are `free`.

    Args:
        g, h: of the differences of a chosen candidate from others.
        errors: bounds on what the rounding errors of both make of them.
        beyond, free: of each number.
    """
    # The rounding of a difference is a share of itself.
    low_g, low_h = (part - (error + 4 * EPS * part.abs()) for part, error in zip((g, h), errors, strict=True))
    growing = low_g + torch.where(low_h < 0, low_h / beyond, 0.0)
    # What decides in the end, unless rounding may have made it.
    known = (low_g > 0) | ((g == 0) & (errors[0] == 0))
    return torch.where(free, growing, torch.where(known, low_g * beyond + low_h, -torch.inf))
