"""Rays through any module: a model along x0 + a d, as a grows without bound."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from knowlimits._machine import rows_at_a_time
from knowlimits.follow import owners as owned
from knowlimits.follow.asymptotes import Asymptotes
from knowlimits.follow.changes import Changes
from knowlimits.follow.curve import Curve, endless
from knowlimits.follow.curves import Squares
from knowlimits.follow.departures import Departing, Departures
from knowlimits.follow.dual import Ray
from knowlimits.follow.evaluator import Evaluator


@dataclass
class Rays:
    """Where a model ends along rays.

    Attributes:
        rate, offset: the model's output is eventually ``rate * a + offset``.
        radius: largest `a` at which a unit changes, by label; 0 where none does, nan where a smooth function still moves.
        certain: whether every decision lay beyond the bound on its rounding error, by label; None unless asked for.
        errors: bounds on the rounding errors of rate and offset, or None.
        largest: how many numbers the largest tensor had on the way.
        axes: along which of the output's axes the ray changes; none where there is one ray, or where it makes no difference.
        curved: where the output grows as a square does, so that rate and offset say nothing; None where it does nowhere.
    """

    rate: Tensor
    offset: Tensor
    radius: Tensor
    certain: Tensor | None
    errors: tuple[Tensor, Tensor] | None
    largest: int
    axes: list[int]
    curved: Tensor | None = None


@dataclass
class Beyond:
    """What is known of a model on rays beyond some `a`, which may lie before the radius.

    Attributes:
        rays: the lines that outputs are near to, with bounds on rounding errors: the asymptotes, or in proportion others whose
            rates differ from theirs by no more than the departure.
        departure: how far at most each output is from its line at any larger `a`, in proportion so much times `a`; of the
            output's shape, infinite where there is no bound. Nothing is rounded there: numbers are those of the weights as they
            are, and lines those that rate and offset are computed for.
        before: the last `a` up to that one at which a unit changes, by label; 0 where none does.
    """

    rays: Rays
    departure: Tensor
    before: Tensor


# How many times as many numbers as an input the largest tensor is thought to have before one was seen.
_FIRST = 1024


def blocks(
    origins: Tensor, directions: Tensor, rows: int | None, device: Any = "cpu"
) -> Iterator[tuple[Tensor, Tensor, Callable[[int], None]]]:
    """Rays in blocks on a device, each with a function to tell how many numbers the model's largest tensor had on it.

    Args:
        origins, directions: of the rays, ``(n, ...)``.
        rows: how many make a block; without it as many as keep the largest tensor in the cache, learnt from the blocks before.
    """
    begin, most = 0, 1
    while begin < len(origins):
        # Nothing is known at first.
        size = rows or rows_at_a_time(most if begin else _FIRST * origins[0].numel(), device)
        part = slice(begin, begin + size)
        begin += size
        x, d = origins[part].to(device), directions[part].to(device)

        def noted(largest: int, rows: int = len(x)) -> None:
            nonlocal most
            most = max(most, -(-largest // rows))

        yield x, d, noted


def follow(
    module: Callable[[Tensor], Any],
    origins: Tensor,
    directions: Tensor,
    batch_axes: int = 1,
    certify: bool = False,
    errors: tuple[Tensor, Tensor] | None = None,
    squares: bool = False,
) -> Rays:
    """Push rays through a module.

    Args:
        module: in float64; its parameters need no gradient.
        origins: starts of the rays, float64; a ray for every place along the first `batch_axes` axes, its label.
        directions: of the same shape.
        batch_axes: number of axes that count rays.
        certify: bound the rounding errors and say which rays were decided beyond them.
        errors: bounds on errors that directions and origins come with, of their shape; without them these are exact.
        squares: whether the output may grow as a square does, which is said in `curved` then.

    Raises:
        UnsupportedOperation: for an operation that has no entry in the table, or not with these arguments.
        OverflowError: where numbers pass the largest float.
    """
    changes, evaluator, traced = _start(origins, directions, batch_axes, certify, errors)
    return _rays(evaluator.run(module, traced), changes, evaluator, certify, squares)


def follow_several(module: Callable[[Tensor], tuple[Tensor, ...]], origins: Tensor, directions: Tensor) -> tuple[Rays, ...]:
    """Push rays through a module that returns several tensors: where each of them ends.

    Args:
        module: in float64; its parameters need no gradient.
        origins, directions: of the rays, ``(n, ...)``.

    Raises:
        UnsupportedOperation: for an operation that has no entry in the table, or not with these arguments.
        OverflowError: where numbers pass the largest float.
    """
    changes, evaluator, traced = _start(origins, directions)
    return tuple(_rays(out, changes, evaluator) for out in evaluator.outputs(module, traced))


def follow_beyond(
    module: Callable[[Tensor], Any],
    origins: Tensor,
    directions: Tensor,
    beyond: Tensor,
    in_proportion: Tensor,
    batch_axes: int = 1,
) -> Beyond:
    """Push rays through a module, and bound how far its outputs depart from lines beyond some `a`.

    Args:
        module, origins, directions, batch_axes: as `follow` has them.
        beyond: of each ray, by its label.
        in_proportion: whether bounds are in proportion to `a`, by label; else they are constant, and of the asymptotes.

    Raises:
        UnsupportedOperation: for an operation that has no entry in the table, or not with these arguments.
        OverflowError: where numbers pass the largest float.
    """
    changes, _, ray = _start(origins, directions, batch_axes, certify=True)
    departures = Departures(Asymptotes(changes), beyond, in_proportion)
    evaluator = Evaluator(departures)
    out = evaluator.run(module, Departing(ray, torch.zeros_like(origins)))
    known = isinstance(out, Departing)
    rays = _rays(out.ray if known else out, changes, evaluator, certify=True)
    return Beyond(rays, out.by if known else torch.zeros_like(rays.offset), departures.before)


def _start(
    origins: Tensor,
    directions: Tensor,
    batch_axes: int = 1,
    certify: bool = False,
    errors: tuple[Tensor, Tensor] | None = None,
) -> tuple[Changes, Evaluator, Ray]:
    """What notes changes, an evaluator, and the input that it is to push."""
    labels = owned.labels(origins, batch_axes)
    if certify and errors is None:
        errors = torch.zeros_like(origins), torch.zeros_like(origins)
    changes = Changes(origins.shape[:batch_axes].numel(), origins)
    # A clone: a model may work in place on its input.
    return changes, Evaluator(Squares(Asymptotes(changes))), Ray(directions.clone(), origins.clone(), labels, errors)


def _rays(out: Tensor, changes: Changes, evaluator: Evaluator, certify: bool = False, squares: bool = False) -> Rays:
    """What is known of an output when the model has run."""
    curved = None
    if isinstance(out, Curve):
        if bool(endless(out).any()):
            raise evaluator.refuse("the output", "endless")
        if not squares:
            raise evaluator.refuse("the output", "square")
        curved, out = (out.quadratic != 0) | out.ray.offset.isnan(), out.ray
        out = Ray(torch.where(curved, 0.0, out.rate), torch.where(curved, 0.0, out.offset), out.owners, out.errors)
    if not isinstance(out, Ray):
        # The output does not hang on the input at all.
        zero = torch.zeros_like(out)
        owners = torch.zeros((), dtype=torch.long, device=out.device).expand(out.shape)
        out = Ray(zero, out, owners, (zero, zero) if certify else None)
    if not out.is_floating_point():
        out = Ray(out.rate.double(), out.offset.double(), out.owners, out.errors)
    if not (out.rate.isfinite().all() and out.offset.isfinite().all()):
        raise evaluator.overflow("the output")
    if not torch.equal(placed := owned.core(out.owners).reshape(-1), torch.arange(len(placed), device=placed.device)):
        raise evaluator.refuse("the output", "mixed")
    certain = ~changes.undecided if certify else None
    return Rays(
        out.rate, out.offset, changes.radius, certain, out.errors, evaluator.largest, owned.varying_axes(out.owners), curved
    )
