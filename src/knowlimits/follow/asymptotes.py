"""Asymptotes: what numbers become along rays x0 + a d, as a grows without bound.

Every number of a piecewise-linear network is eventually ``rate * a + offset``, and a `Ray` tensor carries the two. An affine
operation acts on both, its constant part on the offset alone; a maximum is lexicographic; a smooth function becomes its
asymptote.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._torch import name_of, returns_views, tree_map
from knowlimits.follow import fixed
from knowlimits.follow import owners as owned
from knowlimits.follow.bounds import EPS, SMOOTH
from knowlimits.follow.changes import Changes
from knowlimits.follow.domain import Domain, moved
from knowlimits.follow.dual import Ray, constant, is_fixed, is_still, laid_out, tail_of
from knowlimits.follow.entries import OWN
from knowlimits.follow.jumps import difference, jump
from knowlimits.follow.operations import TABLE, Affine, Joint, Jump, Maximum, Move, Of, Smooth, Tail
from knowlimits.follow.parts import Parts, first
from knowlimits.follow.products import BILINEAR, product, quotient
from knowlimits.follow.refusals import Refused, TooLarge, check_finite
from knowlimits.model.families.family import Family


class Asymptotes(Domain):
    """Rates and offsets.

    Args:
        changes: where units change, which is noted there.
    """

    def __init__(self, changes: Changes):
        self.changes = changes

    def copy(self, x: Ray, memory_format: torch.memory_format = torch.preserve_format) -> Ray:
        """A copy with memory of its own, in which numbers lie as is said."""
        # The others are laid out as the offset is.
        errors = x.errors and (x.errors[0].clone(), x.errors[1].clone())
        return Ray(x.rate.clone(), x.offset.clone(memory_format=memory_format), x.owners, errors, x.rest.tail)

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it."""
        if isinstance(result, tuple):
            return self.laid_out(func, args, kwargs, result[0]), *result[1:]
        if not isinstance(result, Ray):
            return result
        if all(a.is_contiguous() for a in args if isinstance(a, Tensor)):
            like: Any = torch.empty(result.shape, device="meta")
        else:
            like = first(func(*tree_map(_unfilled, args), **tree_map(_unfilled, kwargs)))
        if result.stride() == like.stride():
            return result
        rate, offset = (laid_out(part, like) for part in (result.rate, result.offset))
        return Ray(rate, offset, result.owners, result.errors, result.rest.tail)

    def write(self, target: Ray, result: Any) -> Ray:
        """Write a result into the argument's own parts, so that views of it change too."""
        if isinstance(result, Ray):
            owned.broadcast([target.owners, result.owners], target.shape)
            target.rest.tail = max(target.rest.tail, result.rest.tail)
            target.rate.copy_(result.rate)
            target.offset.copy_(result.offset)
            if target.errors and result.errors:
                for mine, theirs in zip(target.errors, result.errors, strict=True):
                    mine.copy_(theirs)
        else:
            target.rate.zero_()
            target.offset.copy_(result) if isinstance(result, Tensor) else target.offset.fill_(result)
            for error in target.errors or ():
                error.zero_()
        return target

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Move rates, offsets and owners alike."""

        def labels(constant: Tensor) -> Tensor:
            return owned.broadcast([traced[0].owners], torch.broadcast_shapes(constant.shape, (1,) * traced[0].ndim))

        def same_ray(constant: Tensor) -> Tensor:
            label = owned.core(traced[0].owners)
            # A constant that is joined to rays belongs to those beside it.
            return label.expand(constant.shape) if label.ndim == constant.ndim else labels(constant)

        zero = torch.zeros_like
        rate = moved(func, args, kwargs, lambda t: t.rate, zero)
        offset = moved(func, args, kwargs, lambda t: t.offset, lambda c: c)
        owners = tree_map(owned.canonical, moved(func, args, kwargs, lambda t: t.owners, same_ray))
        errors = (None, None)
        if traced[0].errors:
            errors = tuple(moved(func, args, kwargs, lambda t, k=k: t.errors[k], zero) for k in range(2))
        result = _wrapped(rate, offset, owners, errors, tail_of(traced))
        if returns_views(func):
            # What is written to one is seen in the other.
            for view in result if isinstance(result, list) else [result]:
                view.rest = traced[0].rest
        return result

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Ray:
        """Do the linear part on rates, and all of it on offsets."""
        parts = Parts(entry, func, args, kwargs)
        offset = first(func(*[a.offset if isinstance(a, Ray) else a for a in args], **kwargs))
        # The constant part is not read at all where the operation can leave it out.
        beta = {"beta": 0} if entry.factors and 0 in entry.values and not isinstance(args[0], Ray) else {}
        rate = first(func(*parts.without_constants(lambda t: t.rate), **{**kwargs, **beta}))
        owners = self._owners(entry, args, traced, parts.factors, offset.shape)
        if name_of(func) not in OWN:
            _check_rays_apart(lambda pick: first(func(*parts.without_constants(pick), **{**kwargs, **beta})), traced, owners)
        return Ray(rate, offset, owners, self._bounds(parts) if traced[0].errors else None, tail_of(traced))

    def _owners(self, entry: Affine, args: list[Any], traced: list[Ray], factors: list[int], shape: torch.Size) -> Tensor:
        if entry.reduces is not None:
            dims = args[entry.reduces] if len(args) > entry.reduces else None
            keepdim = len(args) > entry.reduces + 1 and bool(args[entry.reduces + 1])
            return owned.reduced(traced[0].owners, dims, keepdim)
        if entry.combines is not None:
            owned.check_together(traced[0].owners, entry.combines(*args))
            return owned.resized(traced[0].owners, shape)
        if not entry.contracts:
            return owned.broadcast([t.owners for t in traced], shape)
        source = args[factors[0]] if factors else traced[0]
        if factors:
            # The axis that a product runs over: the last of the first factor, the last but one of the second.
            axis = -1 if factors[0] == entry.factors[0] else -min(2, source.ndim)  # type: ignore[index]
            owned.check_together(source.owners, [axis])
            if source.ndim != len(shape):
                label = owned.core(source.owners).squeeze(axis)
                return label.expand(shape)
        if source.ndim != len(shape):
            return owned.broadcast([source.owners], shape)
        return owned.resized(source.owners, shape)

    def _bounds(self, parts: Parts) -> tuple[Tensor, Tensor]:
        """Bounds on the rounding errors of rate and offset: those carried over, and those made here."""

        def bound(carried: list[Any], made: list[Any]) -> Tensor:
            # No number at all of what is of unknown size is of unknown size, too.
            return (parts.of_sizes(carried) + parts.rounding() * parts.of_sizes(made)).nan_to_num(torch.inf, torch.inf)

        rate = bound(parts.without_constants(lambda t: t.errors[0]), parts.without_constants(lambda t: t.rate))
        values = [a.offset if isinstance(a, Ray) else a for a in parts.args]
        return rate, bound(parts.without_constants(lambda t: t.errors[1]), values)

    def maximum(self, entry: Maximum, args: list[Any]) -> Ray:
        """Take the lexicographically largest, by rate and then by offset."""
        if entry.of is Of.ZERO:
            return self._relu(args[0])
        if entry.of is Of.AXES:
            return self._largest(*args)
        return self._larger(*(a if isinstance(a, Ray) else constant(a, args) for a in args))

    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """The words of a jump that has some; all maxima are done here."""
        return entry.words if isinstance(entry, Jump) else None

    def _relu(self, x: Ray) -> Ray:
        if x.errors is None and x.device.type == "cpu" and not (x.rate.requires_grad or x.offset.requires_grad):
            return self._relu_compiled(x)
        kept = ((x.rate > 0) | ((x.rate == 0) & (x.offset > 0))).to(x.dtype)
        self.changes.crossed(x.rate, x.offset, x.owners, x.errors)
        errors = x.errors and (x.errors[0] * kept, x.errors[1] * kept)
        return Ray(x.rate * kept, x.offset * kept, x.owners, errors, x.rest.tail)

    def _relu_compiled(self, x: Ray) -> Ray:
        from knowlimits.follow import kernels

        # Axes along which the ray changes go first, so that every row of what follows is of one ray.
        order = owned.varying_axes(x.owners)
        order += [axis for axis in range(x.ndim) if axis not in order]
        rate, offset = (t.permute(order).contiguous() for t in (x.rate, x.offset))
        labels = owned.core(x.owners).reshape(-1)
        parts = [torch.empty_like(rate), torch.empty_like(offset)]
        radius = torch.empty(len(labels), dtype=rate.dtype)
        rows = [t.reshape(len(labels), -1).numpy() for t in (rate, offset, *parts)]
        if not kernels.relu(rows[0], rows[1], rows[2], rows[3], radius.numpy()):
            raise TooLarge("a ReLU")
        self.changes.last(labels, radius)
        back = [order.index(axis) for axis in range(x.ndim)]
        return Ray(parts[0].permute(back), parts[1].permute(back), x.owners, None, x.rest.tail)

    def _larger(self, x: Ray, y: Ray) -> Ray:
        rate, offset, owners, errors = difference(x, y)
        first = (rate > 0) | ((rate == 0) & (offset > 0))
        chosen = None
        if x.errors and y.errors:
            chosen = torch.where(first, x.errors[0], y.errors[0]), torch.where(first, x.errors[1], y.errors[1])
        self.changes.crossed(rate, offset, owners, errors)
        rate, offset = torch.where(first, x.rate, y.rate), torch.where(first, x.offset, y.offset)
        return Ray(rate, offset, owners, chosen, tail_of([x, y]))

    def _largest(self, x: Ray, dim: Any = (), keepdim: bool = False) -> Ray:
        """The lexicographic maximum of rate and offset along axes."""
        owners = owned.reduced(x.owners, dim, keepdim)

        def flat(t: Tensor) -> Tensor:
            return candidates(t, dim)

        rate, offset = flat(x.rate), flat(x.offset)
        winner = leader(rate, offset)

        def chosen(t: Tensor) -> Tensor:
            picked = flat(t).gather(-1, winner)[..., 0]
            return picked.reshape(owners.shape)

        best = rate.gather(-1, winner), offset.gather(-1, winner)
        errors = None
        if x.errors:
            errors = tuple(flat(e) + flat(e).gather(-1, winner) for e in x.errors)
            sizes = (rate.abs() + best[0].abs(), offset.abs() + best[1].abs())
            errors = tuple(e + size * EPS for e, size in zip(errors, sizes, strict=True))
        # The winner has no rival in itself.
        others = torch.ones_like(rate).scatter_(-1, winner, 0.0)
        self.changes.crossed(best[0] - rate, best[1] - offset, flat(x.owners), errors, others)
        bounds = (chosen(x.errors[0]), chosen(x.errors[1])) if x.errors else None
        return Ray(chosen(x.rate), chosen(x.offset), owners, bounds, x.rest.tail)

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Ray:
        """Take what a function tends to."""
        bent = self._smooth if isinstance(entry, Smooth) else self._joint
        return bent(entry, func, args, kwargs)  # type: ignore[arg-type]

    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Ray:
        """Take the value on the side of the jump on which numbers stay."""
        return jump(entry, func, args, self.changes)

    def family(self, family: Family, x: Ray) -> Ray:
        """Take what a family says of its ends."""
        if x.ndim != 2 or owned.varying_axes(x.owners) not in ([], [0]):
            raise Refused("mixed")
        if bool(x.rate[:, list(family.held)].any()):
            raise Refused("codes")
        ends = family.along(*(np.ascontiguousarray(part.detach().cpu().numpy()) for part in (x.offset, x.rate)))
        rate, offset, radius, clear = (
            torch.from_numpy(np.ascontiguousarray(part)).to(x.device)
            for part in (ends.rate, ends.offset, ends.radius, ends.clear)
        )
        tail = max(x.rest.tail, ends.tail)
        if x.rest.tail is not Tail.NONE:
            # What it is given only comes near to where it was asked.
            if family.jumps and not bool(clear.all()):
                raise Refused("approached")
            if x.rest.tail is Tail.SLOW and not family.jumps and not is_still(x):
                raise Refused("slow")
        owners = x.owners[:, :1]
        self.changes.last(owned.core(owners).reshape(-1).expand(len(radius)), radius.nan_to_num(0.0))
        self.changes.moving(radius.isnan()[:, None], owners)
        errors = None
        if x.errors:
            moved = (x.errors[0] != 0).any(1) | (x.errors[1] != 0).any(1)
            self.changes.doubted((~clear | moved)[:, None], owners)
            errors = torch.where(rate == 0, torch.zeros_like(rate), torch.inf), torch.full_like(offset, torch.inf)
        return Ray(rate, offset, owners.expand(offset.shape), errors, tail)

    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Do any operation at all on numbers that do not move, or give None where one does."""
        return fixed.fixed(func, args, kwargs, traced, self.changes) if all(map(is_fixed, traced)) else None

    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Ray]) -> Any:
        """Do what the table does not say, or refuse it."""
        name, entry = name_of(func), TABLE.get(name_of(func))
        if name in fixed.OF_FINITE:
            return fixed.of_finite(func, args[0])
        if name in BILINEAR and isinstance(args[0], Ray) and isinstance(args[1], Ray):
            return product(func, args[0], args[1], self.changes)
        if name == "reciprocal" or (name == "div" and kwargs.get("rounding_mode") is None):
            above, below = args if name == "div" else (torch.ones(()), args[0])
            return quotient(above if isinstance(above, Ray) else constant(above, args), below, self.changes)
        if all(map(is_fixed, traced)):
            return fixed.fixed(func, args, kwargs, traced, self.changes)

        def do(args: list[Any]) -> Ray:
            moved = [a for a in args if isinstance(a, Ray)]
            if isinstance(entry, Affine):
                return self.affine(entry, func, args, kwargs, moved)
            return self.move(func, args, kwargs, moved)

        if isinstance(entry, Affine | Move) and (result := fixed.selected(func, args, do, self.changes)) is not None:
            return result
        if name in fixed.FALLING and (result := fixed.falling(func, args[0], self.changes)) is not None:
            return result
        if all(map(is_still, traced)):
            continuous = fixed.is_continuous(func, args, kwargs)
            if continuous:
                return fixed.limits(func, args, kwargs, traced, self.changes)
            raise Refused("approached" if continuous is None else "pole")
        raise Refused(kind)

    def _smooth(self, entry: Smooth, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Ray:
        x = args[0]
        (slope_below, below), (slope_above, above) = entry.asymptotes(*args[1:], **kwargs)
        # A constant of minus infinity, as where a choice rules something out, has the limit itself.
        ruled_out = (x.offset == -torch.inf) & (x.rate == 0) & (slope_below == 0)
        check_finite(name_of(func), x.rate, torch.where(ruled_out, 0.0, x.offset))
        value = first(func(x.offset, *args[1:], **kwargs))
        moves, up = x.rate != 0, x.rate > 0
        tail = max(x.rest.tail, entry.tail) if self.changes.moving(moves, x.owners) else x.rest.tail
        number = x.rate.new_tensor
        slope = torch.where(up, number(slope_above), number(slope_below))
        intercept = torch.where(up, number(above), number(below))
        offset = torch.where(moves, slope * x.offset + intercept, value)
        errors = None
        if x.errors:
            self.changes.crossed(x.rate, torch.ones_like(x.offset), x.owners, (x.errors[0], torch.zeros_like(x.offset)))
            steepness = entry.steepness(*args[1:], **kwargs)
            made = SMOOTH * (steepness * (1 + torch.where(ruled_out, 0.0, x.offset).abs()) + offset.abs())
            for place, height in entry.steps(*args[1:], **kwargs):
                made = made + height * ((x.offset - place).abs() <= x.errors[1] + EPS * abs(place))
            errors = (steepness * x.errors[0] + EPS * (slope * x.rate).abs(), steepness * x.errors[1] + made)
        return Ray(slope * x.rate, offset, x.owners, errors, tail)

    def _joint(self, entry: Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Ray:
        x = args[0]
        if any(isinstance(a, Ray) for a in args[1:]):
            raise Refused("product")
        check_finite(name_of(func), x.rate, x.offset.clamp_min(0.0) if entry.masked else x.offset)
        owned.check_together(x.owners, entry.combines(*args))
        rate, offset = entry.rule(x.rate, x.offset, *args[1:], **kwargs)
        tail = max(x.rest.tail, entry.tail) if self.changes.moving(x.rate != 0, x.owners) else x.rest.tail
        owners = (
            owned.resized(x.owners, rate.shape)
            if rate.ndim == x.ndim
            else owned.reduced(x.owners, list(entry.combines(*args)), False)
        )
        errors = None
        if x.errors:
            # Which rates are largest is not bounded here, so nothing is certain where they differ.
            open_ = (x.rate != 0) | (x.errors[0] != 0)
            self.changes.doubted(open_, x.owners)
            errors = torch.zeros_like(rate), torch.full_like(offset, torch.inf)
        return Ray(rate, offset, owners, errors, tail)


def candidates(t: Tensor, dim: int | Sequence[int] = ()) -> Tensor:
    """The same numbers with those of some axes, or of all, behind one another in the last."""
    dims = [d % t.ndim for d in ([dim] if isinstance(dim, int) else dim)] or list(range(t.ndim))
    rest = [axis for axis in range(t.ndim) if axis not in dims]
    return t.permute(*rest, *dims).flatten(len(rest))


def leader(rate: Tensor, offset: Tensor) -> Tensor:
    """The place of the lexicographically largest along the last axis, which has length 1 then."""
    leading = torch.where(rate == rate.amax(-1, keepdim=True), offset, -torch.inf)
    return leading.argmax(-1, keepdim=True)


def _check_rays_apart(linear: Callable[[Callable[[Ray], Tensor]], Tensor], traced: list[Ray], owners: Tensor) -> None:
    """Raise unless each number of a linear function hangs on its own ray alone.

    A person's entry in the table may be wrong about that. Any two rays differ in a bit of their labels; where the rays that
    have it are some numbers and the others zero, the others' results are zero.
    """
    highest = max(int(owned.core(t.owners).max()) for t in traced)
    for bit in range(highest.bit_length()):
        for wanted in (0, 1):

            def pick(t: Ray, bit: int = bit, wanted: int = wanted) -> Tensor:
                # Roots, as numbers at equal distances cancel in differences.
                numbers = torch.arange(1, t.numel() + 1, dtype=t.dtype, device=t.device).sqrt().reshape(t.shape)
                return numbers * ((t.owners >> bit & 1) == wanted)

            if bool((linear(pick) * ((owners >> bit & 1) != wanted)).any()):
                raise Refused("mixed")


def _unfilled(a: Any) -> Any:
    """A tensor of the same make without numbers."""
    if not isinstance(a, Tensor):
        return a
    return torch.empty_strided(a.shape, a.stride(), dtype=a.dtype, device="meta")


def _wrapped(rate: Any, offset: Any, owners: Any, errors: Any, tail: Tail) -> Any:
    if isinstance(offset, Tensor):
        return Ray(rate, offset, owners, _pair(errors), tail)
    pairs = zip(*errors, strict=True) if errors[0] is not None else [(None, None)] * len(offset)
    return [Ray(r, o, own, _pair(e), tail) for r, o, own, e in zip(rate, offset, owners, pairs, strict=True)]


def _pair(errors: Any) -> Any:
    return None if errors is None or errors[0] is None else tuple(errors)
