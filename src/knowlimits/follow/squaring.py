"""Products, quotients and roots of numbers that grow as squares do, or as lines of which two are multiplied.

Of (q a^2 + r a + o + e) and (u a^2 + s a + p + f), e and f being what dies away, the product has the square q p + r s + o u if
there is no higher power in it, and the rate r p + o s and the offset o p. What is left of a number times one that moves dies
away if the one does so exponentially; else all that is known is what grows faster than their product may. The quotient tends to
q / u where u is not 0; the root is a line, with the rate of the root of q.
"""

from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import name_of
from knowlimits.follow import products
from knowlimits.follow.bounds import EPS, MOST_TERMS
from knowlimits.follow.changes import Changes
from knowlimits.follow.curve import Curve, bounds, check_clear, curve, endless, lines, moves, squares, unbounded
from knowlimits.follow.dual import Ray, tail_of
from knowlimits.follow.operations import Tail
from knowlimits.follow.refusals import Refused, TooLarge, check_finite

# Products of rates below this have lost digits, or are nothing.
_TINY = 2.0**-960


def product(func: Any, x: Curve | Ray, y: Curve | Ray, changes: Changes) -> Curve | Ray:
    """What is linear in each of two tensors.

    Raises:
        Refused: where a higher power than the square would come of it, or where the square is not known.
    """
    out = [endless(t) for t in (x, y)]
    (q, u), (r, s), (o, p) = (
        [part.double().masked_fill(gone, 0.0) for part, gone in zip(parts, out, strict=True)]
        for parts in (map(squares, (x, y)), (lines(x).rate, lines(y).rate), (lines(x).offset, lines(y).offset))
    )
    # What is not known of an offset is no number.
    check_finite(name_of(func), q, r.nan_to_num(0.0, torch.inf), o.nan_to_num(0.0, torch.inf, -torch.inf))
    check_finite(name_of(func), u, s.nan_to_num(0.0, torch.inf), p.nan_to_num(0.0, torch.inf, -torch.inf))

    def times(a: Tensor, b: Tensor) -> Tensor:
        return func(a.double(), b.double())

    if bool((times(q != 0, (u != 0) | (s != 0)) + times((q != 0) | (r != 0), u != 0)).any()):
        raise Refused("cube")
    owners = products.owners_of(func, lines(x), lines(y))
    square = times(q, p) + times(r, s) + times(o, u)
    _check_known(square)
    both = times(r != 0, s != 0)
    if bool(((both > 0) & (times(r.abs(), s.abs()) < _TINY)).any()):
        raise Refused("cancelled")
    terms = min(1 if name_of(func) == "mul" else max(x.numel(), y.numel()), MOST_TERMS)
    size = times(q.abs(), p.abs()) + times(r.abs(), s.abs()) + times(o.abs(), u.abs())
    bound = (terms + 3) * EPS * size + times(bounds(x), p.abs()) + times(o.abs(), bounds(y))
    errors = None
    if lines(x).errors and lines(y).errors:
        errors, more = _errors(func, x, y, times)
        bound = (bound + more).nan_to_num(torch.inf, torch.inf)
        may = [(t.rate != 0) | (t.errors[0] != 0) for t in lines([x, y])]
        changes.doubted((times(may[0], (u != 0) | (bounds(y) != 0)) + times((q != 0) | (bounds(x) != 0), may[1])) > 0, owners)
    rate, offset = times(r, p) + times(o, s), times(o, p)
    # What is left of one that is slow, times one that moves: less than that grows.
    for slow, at_square, at_rate in (
        (lines(x).rest.tail is Tail.SLOW, times(torch.ones_like(q), u != 0), times(torch.ones_like(q), s != 0)),
        (lines(y).rest.tail is Tail.SLOW, times(q != 0, torch.ones_like(u)), times(r != 0, torch.ones_like(u))),
    ):
        if slow:
            rate = torch.where(at_square > 0, torch.nan, rate)
            offset = torch.where((at_square > 0) | (at_rate > 0), torch.nan, offset)
    if bool(out[0].any()) or bool(out[1].any()):
        gone = times(out[0], torch.ones_like(u)) + times(torch.ones_like(q), out[1]) > 0
        if bool((times(out[0], moves(y)) + times(moves(x), out[1]) > 0).any()):
            raise TooLarge(name_of(func))
        square, rate = square.masked_fill(gone, torch.nan), rate.masked_fill(gone, 0.0)
        offset = torch.where(gone, times(lines(x).offset, lines(y).offset), offset)
    return curve(Ray(rate, offset, owners, errors, tail_of(lines([x, y]))), square, bound, changes)


def quotient(x: Curve | Ray, y: Curve | Ray, changes: Changes) -> Curve | Ray:
    """One number by another.

    Raises:
        Refused: where the divisor tends to 0, or what is divided grows faster than it.
    """
    _check_ends(x, y)
    if isinstance(y, Curve):
        check_clear(y.quadratic, y.bound, y.ray.errors is not None)
    over = squares(y) != 0
    above, below = lines(x), lines(y)
    shape = torch.broadcast_shapes(above.shape, below.shape)
    still = below.rate == 0
    if bool((~over & ~still & (squares(x) != 0)).any()):
        raise Refused("cube")
    if below.rest.tail is Tail.SLOW and bool((~over & (squares(x) != 0)).any()):
        raise Refused("slow")
    safe = [torch.where(over, number, part) for number, part in ((0.0, below.rate), (1.0, below.offset))]
    plain = products.quotient(
        Ray(above.rate.nan_to_num(0.0), above.offset.nan_to_num(0.0), above.owners, above.errors, above.rest.tail),
        Ray(safe[0], safe[1], below.owners, below.errors, below.rest.tail),
        changes,
    )
    limit = squares(x) / torch.where(over, squares(y), 1.0)
    square = torch.where(over | ~still, 0.0, squares(x) / torch.where(over | ~still, 1.0, below.offset))
    unknown = ~over & (above.rate.isnan() | above.offset.isnan())
    rate = torch.where(over, 0.0, torch.where(unknown, torch.nan, plain.rate))
    offset = torch.where(over, limit, torch.where(unknown, torch.nan, plain.offset))
    tail = Tail.SLOW if changes.moving(over.expand(shape), plain.owners) else plain.rest.tail
    errors = None
    if plain.errors:
        wide = over | (squares(x) != 0)
        doubt = (over & (squares(y).abs() <= bounds(y))) | (~over & (bounds(y) != 0))
        changes.doubted(doubt.expand(shape), plain.owners)
        errors = torch.where(over, 0.0, plain.errors[0]), torch.where(wide, torch.inf, plain.errors[1])
    bound = torch.where(square != 0, (bounds(x) + 4 * EPS * squares(x).abs()) / below.offset.abs(), 0.0)
    if plain.errors:
        bound = torch.where(square != 0, torch.inf, bound)
    return curve(Ray(rate, offset, plain.owners, errors, tail), square, bound, changes)


def root(x: Curve, changes: Changes) -> Ray:
    """The square root: a line where there is a square, as of a sum of squares.

    Raises:
        Refused: where it has none, as of what falls, or grows as a line.
    """
    _check_ends(x)
    ray, over = x.ray, x.quadratic != 0
    check_clear(x.quadratic, x.bound, ray.errors is not None)
    if bool((over & (x.quadratic < 0)).any()):
        raise Refused("pole")
    if bool((~over & (ray.rate != 0)).any()):
        raise Refused("bending")
    if bool((~over & ray.offset.isnan()).any()):
        raise Refused("slow")
    exact = ray.rest.tail is Tail.NONE
    if bool((~over & ((ray.offset < 0) | ((ray.offset == 0) & (not exact)))).any()):
        raise Refused("pole")
    rate = torch.where(over, x.quadratic, 0.0).sqrt()
    # Without a rate that is known there is nothing to be multiplied with it.
    if bool((over & ray.rate.isnan()).any()):
        raise Refused("slow")
    half = ray.rate / (2 * torch.where(over, rate, 1.0))
    offset = torch.where(over, half, torch.where(over, 1.0, ray.offset).sqrt())
    tail = Tail.SLOW if changes.moving(over, ray.owners) else ray.rest.tail
    errors = None
    if ray.errors:
        changes.doubted((over & (x.quadratic <= x.bound)) | (~over & (x.bound != 0)), ray.owners)
        errors = unbounded(over), torch.full_like(offset, torch.inf)
    return Ray(rate, offset, ray.owners, errors, tail)


def _check_ends(*given: Curve | Ray) -> None:
    if any(bool(endless(x).any()) for x in given):
        raise TooLarge("a quotient or root")


def _check_known(square: Tensor) -> None:
    if bool(square.isnan().any()):
        raise Refused("slow")


def _errors(func: Any, x: Curve | Ray, y: Curve | Ray, times: Any) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Bounds on the errors of rate and offset, and what those of rates make of the square beside its own."""
    known = [t.nan_to_num(0.0) for one in lines([x, y]) for t in (one.rate.double().abs(), one.offset.double().abs())]
    r, o, s, p = known
    (dr, do), (ds, dp) = lines(x).errors, lines(y).errors  # type: ignore[misc]
    share = (min(1 if name_of(func) == "mul" else max(x.numel(), y.numel()), MOST_TERMS) + 3) * EPS

    def carried(a: Tensor, da: Tensor, b: Tensor, db: Tensor) -> Tensor:
        return times(da, b + db) + times(a, db) + share * times(a, b)

    q, u, dq, du = squares(x).abs(), squares(y).abs(), bounds(x), bounds(y)
    more = carried(r, dr, s, ds) + carried(q, dq, p, dp) + carried(o, do, u, du)
    errors = carried(r, dr, p, dp) + carried(o, do, s, ds), carried(o, do, p, dp)
    return tuple(e.nan_to_num(torch.inf, torch.inf) for e in errors), more  # type: ignore[return-value]
