"""Curves: what numbers become along rays where models multiply what grows, as squared distances, gates and attention do.

Lines are done by `Asymptotes` as everywhere. Where two numbers that both move are multiplied a `Curve` begins, and what is
made of it is done here: sums and moves act on squares as on rates; a sign, a maximum or a comparison is that of the squares
first; what comes to a limit, or to a line, takes it from there. Nothing has a cube: that is refused.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import name_of
from knowlimits.follow import fixed
from knowlimits.follow import owners as owned
from knowlimits.follow.asymptotes import Asymptotes, candidates
from knowlimits.follow.bounds import NEAR
from knowlimits.follow.curve import (
    Curve,
    bounds,
    chosen_endless,
    curve,
    endless,
    lines,
    moves,
    note_last,
    outpaced,
    signs,
    squares,
    unbounded,
)
from knowlimits.follow.domain import Domain, moved
from knowlimits.follow.dual import Ray, constant, laid_out, tail_of
from knowlimits.follow.jumps import as_tensor, difference
from knowlimits.follow.operations import TABLE, Affine, Joint, Jump, Maximum, Move, Of, Smooth, Tail
from knowlimits.follow.parts import Parts, first
from knowlimits.follow.products import BILINEAR
from knowlimits.follow.refusals import Refused, TooLarge
from knowlimits.follow.squaring import product, quotient, root
from knowlimits.model.families.family import Family

# Operations by which a condition chooses, of which one side may be infinite.
_CHOOSING = {"where", "masked_fill"}
# Functions of several numbers that go by those that grow fastest.
_BY_THE_LARGEST = {"_softmax", "_safe_softmax", "_log_softmax", "logsumexp"}


class Squares(Domain):
    """Squares, rates and offsets.

    Args:
        straight: what does rates and offsets.
    """

    def __init__(self, straight: Asymptotes):
        self.straight, self.changes = straight, straight.changes

    def copy(self, x: Any, memory_format: torch.memory_format = torch.preserve_format) -> Any:
        """A copy with memory of its own, in which numbers lie as is said."""
        ray = self.straight.copy(lines(x), memory_format)
        return Curve(ray, x.quadratic.clone(), x.bound.clone()) if isinstance(x, Curve) else ray

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it."""
        if isinstance(result, tuple):
            return self.laid_out(func, args, kwargs, result[0]), *result[1:]
        if isinstance(result, Curve):
            ray = self.straight.laid_out(func, lines(args), lines(kwargs), result.ray)
            return Curve(ray, result.quadratic, result.bound)
        if not isinstance(result, Ray) or not _curved(args):
            return self.straight.laid_out(func, args, kwargs, result)
        return self.straight.laid_out(func, lines(args), lines(kwargs), result)

    def write(self, target: Any, result: Any) -> Any:
        """Write a result into the argument's own parts, so that views of it change too."""
        if not isinstance(target, Curve):
            if isinstance(result, Curve):
                raise Refused("written")
            return self.straight.write(target, result)
        self.straight.write(target.ray, lines(result))
        if isinstance(result, Curve | Ray):
            target.quadratic.copy_(squares(result))
            target.bound.copy_(bounds(result))
        else:
            target.quadratic.zero_()
            target.bound.zero_()
        return target

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Move all parts alike; constants have no squares."""
        if not _curved(traced):
            return self.straight.move(func, args, kwargs, traced)
        rays = self.straight.move(func, lines(args), lines(kwargs), lines(traced))
        zero = lambda c: torch.zeros_like(c, dtype=torch.float64)  # noqa: E731
        square, bound = (moved(func, args, kwargs, part, zero) for part in (squares, bounds))
        if isinstance(rays, Ray):
            return Curve(rays, square, bound)
        return [Curve(*each) for each in zip(rays, square, bound, strict=True)]

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do the linear part on squares, too."""
        if not _curved(traced):
            return self.straight.affine(entry, func, args, kwargs, traced)
        ray = self.straight.affine(entry, func, lines(args), lines(kwargs), lines(traced))
        parts = Parts(entry, func, args, kwargs)
        # The constant part is not read at all where the operation can leave it out.
        beta = {"beta": 0} if entry.factors and 0 in entry.values and not isinstance(args[0], Ray | Curve) else {}
        square = first(func(*parts.without_constants(squares), **{**kwargs, **beta}))
        carried = parts.of_sizes(parts.without_constants(bounds))
        bound = (carried + parts.rounding() * parts.of_sizes(parts.without_constants(squares))).nan_to_num(0.0, torch.inf)
        return curve(ray, square, bound, self.changes)

    def maximum(self, entry: Maximum, args: list[Any]) -> Any:
        """Take the lexicographically largest, by square, rate and offset."""
        if not _curved(args):
            return self.straight.maximum(entry, args)
        if entry.of is Of.ZERO:
            return self._larger(args[0], _traced(0, args))
        if entry.of is Of.AXES:
            return self._largest(*args)
        return self._larger(*(_traced(a, args) for a in args))

    def _larger(self, x: Any, y: Any) -> Any:
        between = _difference(x, y)
        if bool((between.ray.offset.isinf() & ~endless(between)).any()):
            raise TooLarge("a maximum")
        ahead = signs(between, self.changes) > 0
        # Of what is endless all but minus infinity is the largest, no number before all.
        high = [endless(t) & (lines(t).offset != -torch.inf) for t in (x, y)]
        first_ = high[0] & (lines(x).offset.isnan() | ~high[1] | ~lines(y).offset.isnan())
        ahead = torch.where(endless(between), first_ | (endless(y) & ~high[1]), ahead)
        note_last(between, self.changes)

        def chosen(part: Callable[[Any], Tensor]) -> Tensor:
            return torch.where(ahead, part(x), part(y))

        errors = None
        if between.ray.errors:
            errors = chosen(lambda t: lines(t).errors[0]), chosen(lambda t: lines(t).errors[1])
        rate, offset = chosen(lambda t: lines(t).rate), chosen(lambda t: lines(t).offset)
        ray = Ray(rate, offset, between.ray.owners, errors, tail_of(lines([x, y])))
        return curve(ray, chosen(squares), chosen(bounds), self.changes)

    def _largest(self, x: Curve, dim: Any = (), keepdim: bool = False) -> Any:
        """The largest along axes, by pairs."""
        shape = owned.reduced(x.ray.owners, dim, keepdim).shape

        def flat(t: Tensor) -> Tensor:
            return candidates(t, dim)

        def of(parts: list[Tensor]) -> Curve:
            errors = (parts[5], parts[6]) if x.ray.errors else None
            return Curve(Ray(parts[2], parts[3], owned.canonical(parts[4]), errors, x.ray.rest.tail), parts[0], parts[1])

        left: Any = of([flat(t) for t in _parts(x)])
        while (count := left.shape[-1]) > 1:
            parts, half = _parts(left), count // 2
            pairs = [(t[..., :half], t[..., half : 2 * half]) for t in parts]
            best = self._larger(of([a for a, _ in pairs]), of([b for _, b in pairs]))
            left = of([torch.cat([a, b[..., 2 * half :]], -1) for a, b in zip(_parts(best), parts, strict=True)])
        parts = [t.reshape(shape) for t in _parts(left)]
        whole = of(parts)
        return curve(whole.ray, whole.quadratic, whole.bound, self.changes)

    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """As lines have it: all maxima are done here."""
        return self.straight.in_words(entry)

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Take what a function tends to."""
        if not _curved(args):
            return self.straight.bent(entry, func, args, kwargs)
        if isinstance(entry, Smooth):
            return self._smooth(entry, func, args, kwargs)
        if name_of(func) not in _BY_THE_LARGEST or not isinstance(args[0], Curve) or _curved(args[1:]):
            raise Refused("square")
        return self._by_the_largest(entry, func, args, kwargs)

    def _smooth(self, entry: Smooth, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        x, number = args[0], args[0].quadratic.new_tensor
        below, above = entry.asymptotes(*args[1:], **kwargs)
        sign, moving = signs(x, self.changes), moves(x)
        slope, intercept = (torch.where(sign > 0, number(high), number(low)) for low, high in zip(below, above, strict=True))
        still = first(func(torch.where(moving, 0.0, x.ray.offset), *args[1:], **kwargs))
        straight = torch.where(slope == 0, 0.0, slope * x.ray.offset)
        offset = torch.where(moving, straight + intercept, still)
        rate = torch.where((slope == 0) | ~moving, 0.0, slope * x.ray.rate)
        tail = max(x.ray.rest.tail, entry.tail) if self.changes.moving(moving, x.ray.owners) else x.ray.rest.tail
        errors = None
        if x.ray.errors:
            # What comes to a limit, and moves for certain, has it without an error.
            ends = moving & (slope == 0)
            errors = unbounded(rate != 0), unbounded(~ends)
        ray = Ray(rate, offset, x.ray.owners, errors, tail)
        square = torch.where(moving, slope * x.quadratic, 0.0).masked_fill(~offset.isfinite() & endless(x), torch.nan)
        return curve(ray, square, slope.abs() * x.bound, self.changes)

    def _by_the_largest(self, entry: Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        x = args[0]
        axes = list(entry.combines(*args))
        if len(axes) != 1:
            raise Refused("square")
        owned.check_together(x.ray.owners, axes)
        high = endless(x) & (x.ray.offset != -torch.inf)
        reduces = name_of(func) == "logsumexp"
        if bool(high.any()):
            if not reduces:
                raise TooLarge(name_of(func))
            x = Curve(_with_offset(x.ray, x.ray.offset.masked_fill(high, -torch.inf)), x.quadratic, x.bound)
        top, ahead, alone = outpaced(x, axes[0], self.changes, either=reduces)
        if reduces:
            rate, offset = entry.rule(ahead.rate, ahead.offset, *args[1:], **kwargs)
        else:
            parts = (part.masked_fill(alone, 0.0) for part in (ahead.rate, ahead.offset))
            rate, offset = entry.rule(*parts, *args[1:], **kwargs)
        # Where nothing counts, nothing grows.
        rate = rate.masked_fill(rate == -torch.inf, 0.0)
        moving = moves(x)
        tail = max(x.ray.rest.tail, entry.tail) if self.changes.moving(moving, x.ray.owners) else x.ray.rest.tail
        square = torch.zeros_like(x.quadratic)
        if name_of(func) == "_log_softmax":
            # What falls behind does so by its own square and line, less those of the largest.
            square = torch.where(x.ray.offset == -torch.inf, 0.0, x.quadratic - top)
            most, level = TABLE["logsumexp"].rule(ahead.rate, ahead.offset, axes, True)  # type: ignore[union-attr]
            rate, offset = ((a - b).masked_fill(alone, 0.0) for a, b in ((x.ray.rate, most), (x.ray.offset, level)))
        elif reduces:
            square = top
        if bool(high.any()):
            # One that is infinite, or no number, is so of the sum.
            given = args[0].ray.offset.masked_fill(~high, -torch.inf).amax(axes, keepdim=True)
            square = square.masked_fill(high.any(axes[0], keepdim=True), torch.nan)
            offset = torch.where(square.isnan().reshape(offset.shape), given.reshape(offset.shape), offset)
        if reduces and rate.ndim < x.ndim:
            square = square.squeeze(axes[0])
            owners = owned.reduced(x.ray.owners, axes, False)
        else:
            owners = owned.resized(x.ray.owners, rate.shape)
        errors = (torch.full_like(rate, torch.inf), torch.full_like(rate, torch.inf)) if x.ray.errors else None
        if errors and name_of(func).endswith("_softmax") and name_of(func) != "_log_softmax":
            errors = torch.zeros_like(rate), errors[1]
        bound = x.bound.amax(axes, keepdim=square.ndim == x.ndim).expand(square.shape)
        if name_of(func) == "_log_softmax":
            bound = x.bound + bound
        elif not reduces:
            bound = torch.zeros_like(square)
        return curve(Ray(rate, offset, owners, errors, tail), square, bound, self.changes)

    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Any:
        """Take the value on the side of the jump on which numbers stay."""
        if not _curved(args):
            return self.straight.jump(entry, func, args)
        x, y = args[0], args[1] if entry.of is Of.PAIR else None
        one, other = (_traced(0 if a is None else a, args) for a in (x, y))
        between = _difference(one, other)
        if not isinstance(y, Ray | Curve):
            between = _beside_infinity(between, lines(other).offset)
        # Near to a jump rounding may have put the limit on its other side.
        near = between.ray.offset.abs() <= NEAR * (1 + lines(one).offset.abs() + lines(other).offset.abs())
        if tail_of(lines(args)) is not Tail.NONE and x is not y and bool((~moves(between) & near).any()):
            raise Refused("approached")
        side = signs(between, self.changes)
        note_last(between, self.changes)
        if y is None:
            value = func(torch.where(endless(one), lines(one).offset, side))
        else:
            # Against what is endless any number will do, and it against any.
            left = torch.where(endless(one), lines(one).offset, torch.where(endless(other), 0.0, side))
            value = getattr(torch, name_of(func))(left, torch.where(endless(other), lines(other).offset, 0.0))
        nothing = torch.zeros(value.shape, dtype=torch.float64, device=value.device)
        errors = (nothing, nothing) if between.ray.errors else None
        return Ray(torch.zeros_like(value), value, between.ray.owners, errors)

    def family(self, family: Family, x: Any) -> Any:
        """What a family says of its ends, of lines alone."""
        if isinstance(x, Curve):
            raise Refused("square")
        return self.straight.family(family, x)

    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do any operation at all on numbers that do not move, or give None where one does."""
        if _curved(traced):
            return None
        result = self.straight.fixed(func, args, kwargs, traced)
        return chosen_endless(result) if name_of(func) in _CHOOSING and result is not None else result

    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do what the table does not say, or refuse it."""
        name = name_of(func)
        try:
            if not _curved(traced):
                result = self.straight.otherwise(kind, func, args, kwargs, traced)
                return chosen_endless(result) if name in _CHOOSING else result
        except Refused as refused:
            if refused.kind not in ("product", "slow") or name not in BILINEAR | {"pow"}:
                raise
            squared = self._product(func, args)
            # Without a square in it nothing more is known of it than before.
            if not (isinstance(squared, Curve) and bool(squared.quadratic.any())):
                raise
            return squared
        if name in fixed.OF_FINITE:
            return fixed.of_finite(func, _known(traced[0]))
        if name in BILINEAR | {"pow"} and (result := self._product(func, args)) is not None:
            return result
        if name == "reciprocal" or (name == "div" and kwargs.get("rounding_mode") is None):
            above, below = args if name == "div" else (torch.ones(()), args[0])
            return quotient(_traced(above, args), _traced(below, args), self.changes)
        if name in ("sqrt", "rsqrt") or (name == "pow" and not isinstance(args[1], Tensor) and args[1] == 0.5):
            length = root(args[0], self.changes)
            return length if name != "rsqrt" else quotient(constant(torch.ones(()), [length]), length, self.changes)
        if name in fixed.FALLING:
            return self._falling(name, args[0])
        if (result := self._selected(func, args, kwargs)) is not None:
            return result
        raise Refused("square" if kind in ("product", "bending") else kind)

    def _product(self, func: Any, args: list[Any]) -> Any:
        """What is linear in each of two traced tensors, or the square of one; None where it is neither."""
        if name_of(func) == "pow":
            exponent = args[1]
            if isinstance(exponent, Ray | Curve) or not bool((torch.as_tensor(exponent) == 2).all()):
                return None
            x = args[0]
            if isinstance(exponent, Tensor) and torch.broadcast_shapes(x.shape, exponent.shape) != x.shape:
                return None
            return product(torch.ops.aten.mul.Tensor, x, x, self.changes)
        if not all(isinstance(a, Ray | Curve) for a in args[:2]):
            return None
        return product(func, args[0], args[1], self.changes)

    def _falling(self, name: str, x: Curve) -> Any:
        """A function that comes to a limit exponentially fast where its argument falls, of what falls or stays."""
        sign, moving = signs(x, self.changes), moves(x)
        if bool((moving & (sign > 0)).any()):
            raise Refused("bending")
        value = getattr(torch, name)(torch.where(moving, 0.0, x.ray.offset))
        offset = torch.where(moving, fixed.FALLING[name], value)
        tail = max(x.ray.rest.tail, Tail.FAST) if self.changes.moving(moving, x.ray.owners) else x.ray.rest.tail
        errors = (torch.zeros_like(offset), unbounded(~moving)) if x.ray.errors else None
        return chosen_endless(Ray(torch.zeros_like(offset), offset, x.ray.owners, errors, tail))

    def _selected(self, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Curves chosen by what is fixed, as by a condition; None where an operation does not choose."""
        entry = TABLE.get(name_of(func))
        if not isinstance(entry, Affine | Move):
            return None

        def do(chosen: list[Any]) -> Any:
            given = [a if isinstance(a, Curve) else b for a, b in zip(args, chosen, strict=True)]
            among = [a for a in given if isinstance(a, Ray | Curve)]
            if isinstance(entry, Affine):
                return self.affine(entry, func, given, kwargs, among)
            return self.move(func, given, kwargs, among)

        return fixed.selected(func, lines(args), do, self.changes)


def _curved(args: list[Any]) -> bool:
    return any(type(a) is Curve for a in args)


def _traced(a: Any, args: list[Any]) -> Any:
    """An argument as one that is traced, for company with those that are."""
    return a if isinstance(a, Ray | Curve) else constant(as_tensor(a), lines(args))


def _parts(x: Any) -> list[Tensor]:
    """What a curve or a ray is made of."""
    ray = lines(x)
    return [squares(x), bounds(x), ray.rate, ray.offset, ray.owners, *(ray.errors or ())]


def _difference(x: Any, y: Any) -> Curve:
    """The difference of two, as a curve, whether it has a square or not."""
    rate, offset, owners, errors = difference(lines(x), lines(y))
    return Curve(
        Ray(rate, offset, owners, errors),
        laid_out(squares(x) - squares(y), offset),
        laid_out(bounds(x) + bounds(y), offset),
    )


def _with_offset(ray: Ray, offset: Tensor) -> Ray:
    return Ray(ray.rate, offset, ray.owners, ray.errors, ray.rest.tail)


def _beside_infinity(between: Curve, compared: Tensor) -> Curve:
    """Differences from constants, where all numbers are on one side of those that are infinite."""
    far, ray = compared.isinf(), between.ray
    rate, offset = torch.where(far, 0.0, ray.rate), torch.where(far, -compared.sign(), ray.offset)
    square, bound = (torch.where(far, 0.0, part) for part in (between.quadratic, between.bound))
    return Curve(Ray(rate, offset, ray.owners, ray.errors), square, bound)


def _known(x: Curve) -> Ray:
    """The lines of a curve, with some finite numbers where they are not known."""
    ray = x.ray
    return Ray(
        ray.rate.nan_to_num(0.0), torch.where(ray.offset.isnan(), 0.0, ray.offset), ray.owners, ray.errors, ray.rest.tail
    )
