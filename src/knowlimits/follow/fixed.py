"""Operations on numbers that do not move, which may be any, and on their limits, which must be continuous.

What is equal to its offset beyond the radius goes through any operation that hangs on numbers alone, be it a jump, as that
through an embedding is: the result is what the operation makes of the offsets. What only tends to its offset goes through an
operation that is continuous there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import depends_on_data, is_pointwise, name_of, tree_leaves, tree_map
from knowlimits.follow import owners as owned
from knowlimits.follow.bounds import NEAR
from knowlimits.follow.changes import Changes
from knowlimits.follow.dual import Ray, tail_of
from knowlimits.follow.operations import INDEXED, TABLE, Jump, Tail
from knowlimits.follow.refusals import Refused

# Operations whose results are numbers that they were given, or whole ones: floats without an error.
_CHOOSING = frozenset(
    {
        "embedding",
        "index",
        "index_select",
        "gather",
        "take",
        "take_along_dim",
        "sort",
        "topk",
        "where",
        "masked_fill",
        "scatter",
    }
)
_CHOOSING |= {"_to_copy", "round", "floor", "ceil", "trunc", "sign", "max", "min", "median", "kthvalue", "mode"}
_CHOOSING |= {"max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"}


#: Functions that come to a limit exponentially fast where their argument falls without end, and what it is.
FALLING = {"exp": 0.0, "exp2": 0.0, "expm1": -1.0}
#: Operations that only tell what is finite from what is not.
OF_FINITE = frozenset({"isnan", "isinf"})


def _everywhere(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def _above(bound: float) -> Callable[..., Tensor]:
    return lambda x, *_, **__: x > bound


def _between_steps(first: float) -> Callable[..., Tensor]:
    """Where a function with steps at whole numbers, the first of which is given, is constant, and not only by rounding."""
    return lambda x, *_, **__: (x - first - (x - first).round()).abs() > NEAR * (1 + x.abs())


def _inside_one(x: Tensor) -> Tensor:
    return x.abs() < 1


# Functions with steps without end.
_STEPS = {**dict.fromkeys(("floor", "ceil", "trunc"), _between_steps(0.0)), "round": _between_steps(0.5)}
#: Functions that are no entries of the table, as they have no straight asymptote, and where they are continuous.
CONTINUOUS: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sin", "cos", "sinh", "cosh", "asinh", "erfc", "sinc"), _everywhere),
    **dict.fromkeys(("sqrt", "rsqrt", "log", "log2", "log10"), _above(0.0)),
    "log1p": _above(-1.0),
    "acosh": _above(1.0),
    "logit": lambda x, *_: (x > 0) & (x < 1),
    **dict.fromkeys(("asin", "acos", "atanh"), _inside_one),
    "tan": lambda x: x.cos() != 0,
    **_STEPS,
    **dict.fromkeys(("var", "prod", "cumsum", "cumprod", "logcumsumexp"), _everywhere),
}


def fixed(func: Any, args: list[Any], kwargs: dict[str, Any], rays: list[Ray], changes: Changes) -> Any:
    """Any operation on numbers that are equal to their offsets beyond the radius.

    Raises:
        Refused: if Python is to read the result, or if rows of the batch are combined.
    """
    name = name_of(func)
    if _has_mask(name, args):
        raise Refused("mask")
    if depends_on_data(func) and name != "index":
        raise Refused("control")
    if name not in TABLE or isinstance(TABLE[name], Jump):
        for x in rays:
            # What may move, or lie on the other side of a jump.
            if x.errors:
                changes.doubted((x.errors[0] != 0) | ((x.errors[1] != 0) & (name not in CONTINUOUS)), x.owners)
    return _on_offsets(func, args, kwargs, rays)


def of_finite(func: Any, x: Ray) -> Tensor:
    """What is the same for all finite numbers, whether they move or not: an operation of `OF_FINITE`, which says no of them."""
    result = func(x.offset)
    # Where it says no everywhere it hangs on no row.
    return Ray(torch.zeros_like(result), result, x.owners, _no_errors(x, result)) if bool(result.any()) else result


def falling(func: Any, x: Ray, changes: Changes) -> Ray | None:
    """A function of `FALLING` of numbers that fall without end or stay; None if one grows."""
    if bool((x.rate > 0).any()):
        return None
    falls = x.rate < 0
    offset = torch.where(falls, FALLING[name_of(func)], func(torch.where(falls, 0.0, x.offset)))
    tail = max(x.rest.tail, Tail.FAST) if changes.moving(falls, x.owners) else x.rest.tail
    errors = None
    if x.errors:
        # What falls for certain is at its limit; how steep the function is at others has no bound.
        changes.doubted(x.errors[0] >= x.rate.abs().clamp_min(torch.finfo(x.dtype).tiny), x.owners)
        errors = torch.zeros_like(offset), torch.where(falls, torch.zeros_like(offset), torch.inf)
    return Ray(torch.zeros_like(offset), offset, x.owners, errors, tail)


def is_continuous(func: Any, args: list[Any], kwargs: dict[str, Any]) -> bool | None:
    """Whether an operation is continuous at the offsets of its arguments; None where it jumps, or nobody has said otherwise."""
    name = name_of(func)
    if name == "pow":
        base, exponent = args
        if isinstance(exponent, Ray):
            return bool((torch.as_tensor(_value(base)) > 0).all())
        base, exponent = base.offset, torch.as_tensor(exponent)
        return bool(((base > 0) | ((exponent == exponent.round()) & ((exponent >= 0) | (base != 0)))).all())
    if name not in CONTINUOUS:
        return None
    everywhere = bool(CONTINUOUS[name](*tree_map(_value, args), **kwargs).all())
    return None if name in _STEPS and not everywhere else everywhere


def limits(func: Any, args: list[Any], kwargs: dict[str, Any], rays: list[Ray], changes: Changes) -> Any:
    """An operation that is continuous at what numbers tend to that do not grow.

    Raises:
        Refused: if rows of the batch are combined.
    """
    for x in rays:
        if x.errors:
            changes.doubted(x.errors[0] != 0, x.owners)
    return _on_offsets(func, args, kwargs, rays)


def selected(func: Any, args: list[Any], do: Callable[[list[Any]], Ray], changes: Changes) -> Ray | None:
    """Numbers chosen by others that are fixed, as by codes or a condition; None where an operation does not choose.

    Args:
        func, args: the operation.
        do: what does it for arguments of which those that choose are constants.
        changes: where doubts are noted.

    Raises:
        Refused: if rows of the batch are combined.
    """
    name = name_of(func)
    places = {"where": [0], "masked_fill": [1]}.get(name, list(range(1, len(args))) if name in INDEXED else [])
    choosing = [a for place in places for a in tree_leaves(args[place]) if isinstance(a, Ray)]
    if not choosing or any(a.is_floating_point() for a in choosing):
        return None
    if _has_mask(name, args):
        raise Refused("mask")
    if not any(isinstance(a, Ray) for place, a in enumerate(args) if place not in places):
        return None
    result = do([tree_map(_value, a) if place in places else a for place, a in enumerate(args)])
    for a in choosing:
        owned.broadcast([result.owners, _at(name, args, a, result)], result.shape)
        if a.errors:
            changes.doubted(a.errors[1] != 0, a.owners)
    return result


def _at(name: str, args: list[Any], chosen: Ray, result: Ray) -> Tensor:
    """Owners of what chooses, so that they broadcast to the result."""
    if name == "index_select":
        after = result.ndim - 1 - args[1] % max(1, result.ndim)
        return chosen.owners.reshape(-1, *[1] * after)
    if name != "index":
        return chosen.owners
    at = [place for place, a in enumerate(args[1]) if a is not None]
    axes = max(args[1][place].ndim for place in at)
    # Indices that do not lie side by side put their axes in front.
    begin = at[0] if at == list(range(at[0], at[-1] + 1)) else 0
    return chosen.owners[(..., *[None] * (result.ndim - begin - axes))]


def _has_mask(name: str, args: list[Any]) -> bool:
    """Whether an operation chooses by a mask, so that the shape of its result hangs on numbers."""
    masks = [a for a in tree_leaves(args[1:2]) if isinstance(a, Tensor) and a.dtype == torch.bool]
    return bool(masks) and name in ("index", "index_put", "masked_select")


def _value(a: Any) -> Any:
    return a.offset if isinstance(a, Ray) else a


def _on_offsets(func: Any, args: list[Any], kwargs: dict[str, Any], rays: list[Ray]) -> Any:
    # Casts to other floats stay in float64, as everywhere.
    kwargs = {k: torch.float64 if isinstance(v, torch.dtype) and v.is_floating_point else v for k, v in kwargs.items()}

    def run(pick: Callable[[Any], Any]) -> list[Any]:
        result = func(*tree_map(pick, args), **tree_map(pick, kwargs))
        return [r.double() if r.is_floating_point() else r for r in (result if isinstance(result, tuple | list) else [result])]

    results = run(_value)
    if is_pointwise(func) or name_of(func) == "_to_copy":
        owners = [owned.broadcast([x.owners for x in rays], results[0].shape)]
    else:
        owners = _owners(run, rays, results)
    tail = tail_of(rays)
    # Where the table does the numbers, places may be asked for that nobody looks at: in doubt once somebody does.
    late = name_of(func) in TABLE
    known = not any(bool(e.any()) for x in rays for e in x.errors or ())

    def wrapped(offset: Tensor, owners: Tensor) -> Ray:
        errors = _no_errors(rays[0], offset)
        exact = (known and name_of(func) in _CHOOSING) if offset.is_floating_point() else (known or not late)
        if errors and not exact:
            errors = errors[0], torch.full_like(errors[1], torch.inf)
        return Ray(torch.zeros_like(offset), offset, owners, errors, tail)

    made = [wrapped(*one) for one in zip(results, owners, strict=True)]
    return made[0] if len(made) == 1 else tuple(made)


def _no_errors(x: Ray, offset: Tensor) -> tuple[Tensor, Tensor] | None:
    """Bounds of 0, if an argument has bounds."""
    zero = torch.zeros(offset.shape, dtype=torch.float64, device=offset.device)
    return (zero, zero) if x.errors else None


def _owners(run: Callable[[Callable[[Any], Any]], list[Any]], rays: list[Ray], results: list[Tensor]) -> list[Tensor]:
    """Owners of what an operation, of which nothing is known, makes of numbers of several rays.

    It is done again on some of the rays only, whose results must be the same. Any two rays differ in a bit of their places.
    """
    cores = [owned.core(x.owners) for x in rays]
    labels = max(cores, key=Tensor.numel).reshape(-1)
    if any(not torch.equal(core.reshape(-1), labels) for core in cores):
        raise Refused("mixed")
    n = len(labels)
    if n == 1:
        return [labels.reshape([1] * r.ndim).expand(r.shape) for r in results]
    varying = [owned.varying_axes(x.owners) for x in rays]
    if any(len(axes) != 1 for axes in varying):
        raise Refused("mixed")
    axis_of = {id(x): axes[0] for x, axes in zip(rays, varying, strict=True)}
    axes = [{axis for axis, size in enumerate(r.shape) if size == n} for r in results]
    places = torch.arange(n, device=labels.device)
    for bit in range((n - 1).bit_length()):
        for wanted in (0, 1):
            some = places[places >> bit & 1 == wanted]
            # Constants are taken whole, or their rows with those of the rays.
            tries = [_on_some(run, axis_of, some, varying[0][0] if rows else None, n) for rows in (False, True)]
            for k, whole in enumerate(results):
                parts = [each[k] for each in tries if each is not None]
                axes[k] = {axis for axis in axes[k] if any(_same(part, whole.index_select(axis, some)) for part in parts)}
    if not all(axes):
        raise Refused("mixed")
    found = [min(each) for each in axes]
    sides = [[-1 if k == axis else 1 for k in range(r.ndim)] for axis, r in zip(found, results, strict=True)]
    return [labels.reshape(side).expand(r.shape) for side, r in zip(sides, results, strict=True)]


def _on_some(
    run: Callable[[Callable[[Any], Any]], list[Any]], axis_of: dict[int, int], some: Tensor, axis: int | None, n: int
) -> list[Any] | None:
    """An operation on some of the rays, and on such rows of constants if an axis is given; None where shapes do not fit."""

    def pick(a: Any) -> Any:
        if isinstance(a, Ray):
            return a.offset.index_select(axis_of[id(a)], some)
        if axis is not None and isinstance(a, Tensor) and a.ndim > axis and a.shape[axis] == n:
            return a.index_select(axis, some)
        return a

    try:
        return run(pick)
    except (RuntimeError, IndexError, ValueError):
        # What torch says of shapes.
        return None


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return torch.allclose(a, b, rtol=1e-9, atol=0.0, equal_nan=True) if a.is_floating_point() else torch.equal(a, b)
