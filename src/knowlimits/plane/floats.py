"""Floats at many homogeneous points: what a module says at points and directions of a plane at once.

An affine operation acts on a homogeneous point as ``linear part * h + w * constant part``, a maximum as ever, because it is
positively homogeneous; so a network is evaluated at infinity, w = 0, exactly like anywhere else. All maxima are brought down to
ReLUs, and what becomes of their units is said by `units.py`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import above_dispatch, name_of, returns_views, tree_map
from knowlimits.follow.bounds import EPS, MOST_TERMS
from knowlimits.follow.domain import Domain
from knowlimits.follow.operations import Affine, Joint, Maximum, Of, Smooth
from knowlimits.follow.parts import Parts, first
from knowlimits.follow.refusals import Refused, on_a_plane
from knowlimits.model.families.family import Family
from knowlimits.plane import maxima
from knowlimits.plane.points import Points, copied, free_of_strides, looked_at, new_strides, overwrite, refresh
from knowlimits.plane.tournaments import Tournament
from knowlimits.plane.units import Units
from knowlimits.plane.zeros import RELU, may_differ, noted

# Products that take all points as the rows of one factor; vmap would make many small products of them.
_FOLDED = {"mm": 0, "addmm": 1}


class Floats(Domain):
    """Floats at many points; beside the numbers of a tensor are bounds on their errors, two a point, as a mesh has them.

    Args:
        units: what becomes of units.

    Attributes:
        tournaments: the maxima along axes that were met.
    """

    def __init__(self, units: Units):
        self.units = units
        self.tournaments: list[Tournament] = []
        self._steps = 0

    def current(self, x: Points) -> Points:
        """A tensor brought up to date: with values at all points, and with what was written through other views of it."""
        refresh(x, self.current)
        mesh = self.units.mesh
        if mesh is not None and len(x.numbers) < mesh.vertices:
            values, bounds = mesh.extend(x.numbers.flatten(1).contiguous().numpy(), x.beside.numpy())
            x.numbers, x.beside = torch.from_numpy(values).unflatten(1, x.shape), torch.from_numpy(bounds)
        return x

    def copy(self, x: Points, memory_format: torch.memory_format = torch.preserve_format) -> Points:
        """A copy with memory of its own, in which the numbers of one input lie as is said."""
        return copied(self.current(x), memory_format)

    def write(self, target: Points, result: Any) -> Points:
        """Write into a tensor, or into that which it is a view of."""
        target = self.current(target)
        if isinstance(result, Points):
            values, bounds = self.current(result).numbers, result.beside
        else:
            values = self._homogeneous(torch.as_tensor(result, dtype=torch.float64))
            bounds = values.new_zeros(len(values), 2)
        if target.root is not None:
            self.current(target.root)
        overwrite(target, values, bounds, _largest_bounds)
        return self.current(target)

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Any:
        """Move numbers, point by point."""
        viewed = returns_views(func)
        func = free_of_strides(func)
        bounds = _largest_bounds([self.current(x).beside for x in traced])
        result = self._mapped(func, args, kwargs, homogeneous=True)

        def moved(taint: Callable[[Any], Any]) -> Any:
            return self._mapped(func, _each(args, taint), _each(kwargs, taint), homogeneous=True)

        if not viewed:
            strides = _strides(func, args, kwargs, traced)
            return noted(tree_map(lambda values: Points(values, bounds, strides), result), (args, kwargs), moved)
        root, seen = looked_at(traced[0])
        places = func(seen, *args[1:], **kwargs)
        if isinstance(result, Tensor):
            return noted(Points(result, bounds, None, root, places), (args, kwargs), moved)
        views = [Points(r, bounds, None, root, p) for r, p in zip(result, places, strict=True)]
        return noted(views, (args, kwargs), moved)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Points:
        """Do the linear part on values, and the constant part times w."""
        if (mesh := self.units.mesh) is not None:
            one = first(func(*_each(args, lambda x: torch.empty(x.shape, dtype=x.dtype)), **kwargs))
            # Refused before there is a layer at all vertices, not after.
            mesh.room(one.numel(), 0, mesh.vertices, mesh.vertices)
        traced = [self.current(x) for x in traced]
        parts = Parts(entry, func, args, kwargs)
        linear = parts.without_constants(lambda x: x)
        beta = {"beta": 0} if entry.factors and 0 in entry.values and not isinstance(args[0], Points) else {}
        kwargs = {**kwargs, **beta}
        fold = _FOLDED.get(name_of(func))
        if fold is not None and isinstance(args[fold], Points) and args[fold].shape[0] == 1:
            folded = [a.numbers[:, 0] if isinstance(a, Points) else a for a in linear]
            if fold and beta:
                folded[0] = folded[0][:1] if isinstance(folded[0], Tensor) and folded[0].ndim > 1 else folded[0]
            values = func(*folded, **kwargs)[:, None]
        else:
            values = first(self._mapped(func, linear, kwargs, homogeneous=False))
        constant = parts.constant()
        if constant is not None:
            values.addcmul_(self._weights(constant), constant)
        bounds = self._bounds(parts, traced, constant)

        def sized(taint: Callable[[Any], Any]) -> Tensor:
            total = self._mapped(
                lambda *new, **_: parts.of_sizes(list(new)), parts.without_constants(taint), {}, homogeneous=False
            )
            return total if constant is None else total + self._homogeneous(constant).abs()

        strides = _strides(func, parts.without_constants(lambda x: x), kwargs, traced)
        return noted(Points(values, bounds, strides), args, sized)

    def _bounds(self, parts: Parts, traced: list[Points], constant: Tensor | None) -> Tensor:
        """Bounds on the errors of an affine operation's result: those carried over, and those made here."""
        sizes = torch.stack([_size(x.numbers) for x in traced]).amax(0)
        steep = parts.steepness()
        share = (min(parts.terms(), MOST_TERMS) + 2) * EPS
        shift = 0.0 if constant is None else float(constant.abs().max())
        bounds = steep * _largest_bounds([x.beside for x in traced])
        bounds[:, 0] += share * (steep * sizes + shift * self.units.weights.abs())
        return bounds

    def in_words(self, entry: Maximum) -> Callable[..., Any] | None:
        """Maxima as ReLUs."""
        if entry.of is Of.AXES:
            return partial(maxima.largest, met=self._enter)
        return maxima.larger if entry.of is Of.PAIR else None

    def _enter(self, rows: int, size: int) -> None:
        self.tournaments.append(Tournament(self._steps, rows, size))

    def maximum(self, entry: Maximum, args: list[Any]) -> Points:
        """Do a ReLU."""
        self._steps += 1
        x = self.current(args[0])
        zeros = None if x.origin is None else lambda: (may_differ(x, self.current).flatten(1) == 0).numpy()
        values, bounds = self.units.relu(x.numbers.flatten(1), x.beside, zeros)
        result = Points(values.unflatten(1, x.shape), bounds, new_strides(x))
        result.origin = RELU
        return result

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Refuse: not piecewise linear."""
        raise Refused("curved")

    def family(self, family: Family, x: Points) -> Any:
        """Refuse: not piecewise linear."""
        raise Refused("family")

    def fixed(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> None:
        """None: on a plane all numbers may move."""

    def otherwise(self, kind: str, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Any:
        """Refuse: there is nothing beside the table."""
        raise Refused(on_a_plane(kind))

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """As it is: ReLUs see to it."""
        return result

    def _weights(self, constant: Tensor) -> Tensor:
        return self.units.weights.reshape(-1, *[1] * constant.ndim)

    def _homogeneous(self, constant: Tensor) -> Tensor:
        """A constant at every point."""
        return self._weights(constant) * constant

    def _mapped(self, func: Any, args: list[Any], kwargs: dict[str, Any], homogeneous: bool) -> Any:
        """An operation at every point; constants are multiplied by w if they take part as numbers."""
        places: list[Any] = []

        def given(a: Any) -> Any:
            if isinstance(a, Points):
                places.append(self.current(a).numbers)
                return _Place(len(places) - 1)
            if homogeneous and isinstance(a, Tensor) and a.is_floating_point():
                places.append(self._homogeneous(a))
                return _Place(len(places) - 1)
            return a

        template = tree_map(given, (args, kwargs))

        def at(*values: Tensor) -> Any:
            new_args, new_kwargs = tree_map(lambda a: values[a.index] if isinstance(a, _Place) else a, template)
            return func(*new_args, **new_kwargs)

        with above_dispatch():
            return torch.vmap(at)(*places)


class _Place:
    """Stands for an argument that differs from point to point."""

    def __init__(self, index: int):
        self.index = index


def _each(arguments: Any, function: Callable[[Any], Any]) -> Any:
    return tree_map(lambda a: function(a) if isinstance(a, Points) else a, arguments)


def _largest_bounds(bounds: list[Tensor]) -> Tensor:
    return torch.stack(bounds).amax(0) if len(bounds) > 1 else bounds[0]


def _size(values: Tensor) -> Tensor:
    """The size of the largest number of every point."""
    flat = values.flatten(1)
    return torch.linalg.vector_norm(flat, torch.inf, dim=1) if flat.shape[1] else flat.new_zeros(len(flat))


def _strides(func: Any, args: Any, kwargs: Any, traced: list[Points]) -> Any:
    """Strides of a result for one input, or None if those of its values at many points say it."""
    if all(x.numbers.stride()[1:] == x.stride() for x in traced):
        return None
    made = _each((args, kwargs), lambda a: torch.empty_strided(a.shape, a.stride(), dtype=a.dtype))
    return first(func(*made[0], **made[1])).stride()
