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

from knowlimits._torch import above_dispatch, name_of, returns_views, tree_leaves, tree_map
from knowlimits.follow.domain import Domain
from knowlimits.follow.operations import Affine, Joint, Jump, Maximum, Of, Smooth
from knowlimits.follow.parts import Parts, first
from knowlimits.follow.refusals import Refused, on_a_plane
from knowlimits.model.families.family import Family
from knowlimits.plane import maxima
from knowlimits.plane.bounding import Bounding
from knowlimits.plane.points import Points, copied, free_of_strides, looked_at, new_strides, overwrite, refresh
from knowlimits.plane.tournaments import Tournament
from knowlimits.plane.units import Units
from knowlimits.plane.zeros import RELU, may_differ, noted

# Products that take all points as the rows of one factor; vmap would make many small products of them.
_FOLDED = {"mm": 0, "addmm": 1}


class Floats(Domain):
    """Floats at many points, with bounds on their errors.

    Args:
        units: what becomes of units.
        bounding: where bounds are kept.

    Attributes:
        tournaments: the maxima along axes that were met.
    """

    def __init__(self, units: Units, bounding: Bounding):
        self.units, self.bounding = units, bounding
        self.tournaments: list[Tournament] = []
        self._steps = 0

    def current(self, x: Points) -> Points:
        """A tensor brought up to date: with values at all points, and with what was written through other views of it."""
        refresh(x, self.current)
        mesh = self.units.mesh
        if mesh is not None and len(x.numbers) < self.bounding.rows * mesh.vertices:
            x.numbers, x.beside = self.bounding.put(mesh.extend(self.bounding.taken(x)), x.shape)
        return x

    def values(self, x: Points) -> Tensor:
        """The values of a tensor at all points."""
        return self.bounding.values(self.current(x))

    def copy(self, x: Points, memory_format: torch.memory_format = torch.preserve_format) -> Points:
        """A copy with memory of its own, in which the numbers of one input lie as is said."""
        return copied(self.current(x), memory_format)

    def write(self, target: Points, result: Any) -> Points:
        """Write into a tensor, or into that which it is a view of."""
        target = self.current(target)
        if isinstance(result, Points):
            numbers, beside = self.current(result).numbers, result.beside
        else:
            numbers, beside = self._constant(torch.as_tensor(result, dtype=torch.float64))
        if target.root is not None:
            self.current(target.root)
        overwrite(target, numbers, beside, self.bounding.together)
        return self.current(target)

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Any:
        """Move numbers, point by point."""
        viewed = returns_views(func)
        func = free_of_strides(func)
        constants = [self._constant(a) for a in tree_leaves((args, kwargs)) if _is_constant(a)]
        beside = self.bounding.together([self.current(x).beside for x in traced] + [c[1] for c in constants])
        result = self._mapped(func, args, kwargs, lambda x: self.current(x).numbers, lambda c: self._constant(c)[0])

        def moved(taint: Callable[[Any], Any]) -> Any:
            return self._mapped(func, _each(args, taint), _each(kwargs, taint), _numbers, self._homogeneous)

        if not viewed:
            strides = _strides(func, args, kwargs, traced)
            return noted(tree_map(lambda numbers: Points(numbers, beside, strides), result), (args, kwargs), moved)
        root, seen = looked_at(traced[0])
        places = func(seen, *args[1:], **kwargs)
        if isinstance(result, Tensor):
            return noted(Points(result, beside, None, root, places), (args, kwargs), moved)
        views = [Points(r, beside, None, root, p) for r, p in zip(result, places, strict=True)]
        return noted(views, (args, kwargs), moved)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Points:
        """Do the linear part on values, and the constant part times w."""
        if (mesh := self.units.mesh) is not None:
            one = first(func(*_each(args, lambda x: torch.empty(x.shape, dtype=x.dtype)), **kwargs))
            # Refused before there is a layer at all vertices, not after.
            mesh.room(one.numel(), (self.bounding.rows - 1) * one.numel(), 0, mesh.vertices, mesh.vertices)
        traced = [self.current(x) for x in traced]
        parts = Parts(entry, func, args, kwargs)
        beta = {"beta": 0} if entry.factors and 0 in entry.values and not isinstance(args[0], Points) else {}
        kwargs = {**kwargs, **beta}
        fold = _FOLDED.get(name_of(func))
        folds = fold is not None and isinstance(args[fold], Points) and args[fold].shape[0] == 1

        def apply(function: Callable[..., Any], pick: Callable[[Points], Tensor]) -> Tensor:
            linear = parts.without_constants(lambda x: x)
            if not folds:
                return first(self._mapped(function, linear, kwargs, pick, None))
            folded = [pick(a)[:, 0] if isinstance(a, Points) else a for a in linear]
            if fold and beta and isinstance(folded[0], Tensor) and folded[0].ndim > 1:
                folded[0] = folded[0][:1]
            return function(*folded, **kwargs)[:, None]

        values = apply(func, self.bounding.values)
        constant = parts.constant()
        if constant is not None:
            values.addcmul_(self._weights(constant), constant)
        numbers, beside = self.bounding.affine(apply, parts, values, traced, constant, self.units.weights, self.units.stored)

        def sized(taint: Callable[[Any], Any]) -> Tensor:
            total = self._mapped(
                lambda *new, **_: parts.of_sizes(list(new)), parts.without_constants(taint), {}, _numbers, None
            )
            return total if constant is None else total + self._homogeneous(constant).abs()

        strides = _strides(func, parts.without_constants(lambda x: x), kwargs, traced)
        return noted(Points(numbers, beside, strides), args, sized)

    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """Maxima as ReLUs."""
        if isinstance(entry, Jump):
            return None
        if entry.of is Of.AXES:
            return partial(maxima.largest, met=self._enter)
        return maxima.larger if entry.of is Of.PAIR else None

    def _enter(self, rows: int, size: int) -> None:
        self.tournaments.append(Tournament(self._steps, rows, size))

    def maximum(self, entry: Maximum, args: list[Any]) -> Points:
        """Do a ReLU."""
        self._steps += 1
        x = self.current(args[0])
        zeros = None if x.origin is None else lambda: (may_differ(x, self.values).flatten(1) == 0).numpy()
        rows = self.units.relu(self.bounding.taken(x), zeros)
        result = Points(*self.bounding.put(rows, x.shape), new_strides(x))
        result.origin = RELU
        return result

    def bent(self, entry: Smooth | Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Refuse: not piecewise linear."""
        raise Refused("curved")

    def jump(self, entry: Jump, func: Any, args: list[Any]) -> Any:
        """Refuse: not continuous."""
        raise Refused(on_a_plane(entry.kind))

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
        """The values of a constant at every point."""
        return self._weights(constant) * constant

    def _constant(self, constant: Tensor) -> tuple[Tensor, Any]:
        """A constant at every point, and what is beside it."""
        return self.bounding.constant(constant.double(), self.units.weights, self.units.stored)

    def _mapped(
        self, func: Any, args: Any, kwargs: Any, pick: Callable[[Points], Tensor], constant: Callable[[Tensor], Tensor] | None
    ) -> Any:
        """An operation at every point.

        Args:
            func, args, kwargs: the operation.
            pick: what is taken of a traced tensor.
            constant: what is taken of a constant if it takes part as numbers do, else None.
        """
        places: list[Any] = []

        def given(a: Any) -> Any:
            if isinstance(a, Points):
                places.append(pick(a))
            elif constant is not None and _is_constant(a):
                places.append(constant(a))
            else:
                return a
            return _Place(len(places) - 1)

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


def _is_constant(a: Any) -> bool:
    return isinstance(a, Tensor) and not isinstance(a, Points) and a.is_floating_point()


def _numbers(x: Points) -> Tensor:
    return x.numbers


def _strides(func: Any, args: Any, kwargs: Any, traced: list[Points]) -> Any:
    """Strides of a result for one input, or None if those of its values at many points say it."""
    if all(x.numbers.stride()[1:] == x.stride() for x in traced):
        return None
    made = _each((args, kwargs), lambda a: torch.empty_strided(a.shape, a.stride(), dtype=a.dtype))
    return first(func(*made[0], **made[1])).stride()
