"""Evaluators on homogeneous points: what a module says at many points and directions of a plane at once.

An affine operation acts on a homogeneous point as ``linear part * h + w * constant part``, a maximum as ever, because it is
positively homogeneous; so a network is evaluated at infinity, w = 0, exactly like anywhere else. All maxima are brought down to
ReLUs, and what a ReLU does is all that tells the evaluators here apart: refine a mesh, follow given patterns, or note them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._torch import above_dispatch, name_of, results, returns_views, tree_leaves, tree_map
from knowlimits.follow.bounds import EPS, MOST_TERMS
from knowlimits.follow.evaluator import Evaluator, Traced
from knowlimits.follow.operations import Affine, Joint, Maximum, Smooth
from knowlimits.follow.parts import Parts, first
from knowlimits.plane import cut
from knowlimits.plane.mesh import Mesh, pack, unpack
from knowlimits.plane.tournaments import Tournament

# Products that take all points as the rows of one factor; vmap would make many small products of them.
_FOLDED = {"mm": 0, "addmm": 1}


class Rows(Traced):
    """What stands for one input in a model, a batch of length 1, at many homogeneous points.

    Attributes:
        values: ``(points, 1, ...)``.
        bounds: on the error of the numbers of each point, two numbers as the mesh has them, ``(points, 2)``.
        root, places: for a view the tensor that it looks at and the places of its numbers there, else None.
        written: how often it has been written to; of a view, how often its root had been when the values were taken from it.
        origin: what tells where numbers are exactly zero: the operation that made it and which of its results it is, or that
            it is what a ReLU made; None where nothing is known.
    """

    values: Tensor  # type: ignore[assignment]
    bounds: Tensor
    root: "Rows | None"
    places: Tensor | None
    written: int
    origin: "tuple[_Origin, int] | _FromRelu | None"

    @staticmethod
    def __new__(
        cls,
        values: Tensor,
        bounds: Tensor,
        strides: Any = None,
        root: "Rows | None" = None,
        places: Tensor | None = None,
        written: int = 0,
    ) -> "Rows":
        """Wrap values at points; `strides` where the values of one input would lie otherwise in memory than these do."""
        # They decide whether a reshape is a view, through which work in place is seen, or a copy.
        strides = strides or (values.stride()[1:] if places is None else places.stride())
        self = cls.wrap(values.shape[1:], strides, values.dtype, values.device)
        self.values, self.bounds, self.root, self.places, self.written = values, bounds, root, places, written
        self.origin = None
        return self

    @property
    def version(self) -> int:
        """Changes when somebody writes into the tensor, or into what it is a view of."""
        return self.written if self.root is None else self.root.written

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return self.values.new_empty(()).expand(self.shape)


class _FromRelu:
    """What a ReLU has put to zero is zero, and what it has not is not."""


@dataclass
class _Origin:
    """An operation on tensors, to be done again on where those may differ from zero."""

    given: list[Rows]
    versions: list[int]
    compute: Callable[[Callable[[Any], Any]], Any]

    def outdated(self) -> bool:
        """Whether an argument has been written to since."""
        return any(x.version != version for x, version in zip(self.given, self.versions, strict=True))


class RowEvaluator(Evaluator):
    """Pushes homogeneous points through a model.

    Args:
        weights: the last coordinate w of every point, ``(points,)``.
    """

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = weights
        self.tournaments: list[Tournament] = []
        self._steps = 0

    def current(self, x: Rows) -> Rows:
        """A tensor brought up to date: with values at all points, and with what was written through other views of it."""
        if x.root is not None and x.written != x.root.written:
            root = self.current(x.root)
            x.values = root.values.flatten(1)[:, x.places.flatten()].unflatten(1, x.shape)  # type: ignore[union-attr]
            x.bounds, x.written = root.bounds, root.written
            x.origin = None
        return x

    def _noted(self, result: Any, args: Any, compute: Callable[[Callable[[Any], Any]], Any]) -> Any:
        """Results that know where they may differ from zero, once that is asked, from where the arguments may."""
        given = [(x, x.version) for x in tree_leaves(args) if isinstance(x, Rows)]
        origin = _Origin([x for x, _ in given], [version for _, version in given], compute)
        for k, r in enumerate(x for x in tree_leaves(result) if isinstance(x, Rows)):
            r.origin = origin, k
        return result

    def may_differ(self, x: Rows) -> Tensor:
        """Where numbers may differ from zero, 1, or are exactly zero, 0: ``(points, 1, ...)``.

        Units that are dead on both sides of a comparison are zero there, not just small, and this tells so. It follows what a
        tensor was made of back to the last ReLUs, each tensor once, and without recursion, as there may be many.
        """
        known: dict[int, Tensor] = {}
        waiting = [x]
        while waiting:
            top = waiting[-1]
            if id(top) in known:
                waiting.pop()
                continue
            if isinstance(top.origin, _FromRelu):
                known[id(top)] = (self.current(top).values != 0).double()
            elif top.origin is None or top.origin[0].outdated():
                known[id(top)] = torch.ones_like(self.current(top).values)
            elif missing := [a for a in top.origin[0].given if id(a) not in known]:
                waiting += missing
            else:
                origin, k = top.origin
                whole = origin.compute(lambda a: Rows(known[id(a)], self.current(a).bounds))
                known[id(top)] = ([(r != 0).double() for r in tree_leaves(whole) if isinstance(r, Tensor)])[k]
        return known[id(x)]

    def copy(self, x: Rows, memory_format: torch.memory_format = torch.preserve_format) -> Rows:
        """A copy with memory of its own, in which the numbers of one input lie as is said."""
        x = self.current(x)
        return Rows(x.values.clone(), x.bounds.clone(), copied_strides(x, memory_format))

    def write(self, target: Rows, result: Any) -> Rows:
        """Write into a tensor, or into that which it is a view of."""
        target = self.current(target)
        if isinstance(result, Rows):
            result = self.current(result)
            values, bounds = result.values.expand(len(result.values), *target.shape), result.bounds
        else:
            constant = torch.as_tensor(result, dtype=target.values.dtype).expand(target.shape)
            values = self.weights.reshape(-1, *[1] * target.ndim) * constant
            bounds = values.new_zeros(len(values), 2)
        if target.root is None:
            target.values, target.bounds = values.clone(), bounds.clone()
            target.written += 1
            target.origin = None
            return target
        root = self.current(target.root)
        whole = root.values.flatten(1).clone()
        whole[:, target.places.flatten()] = values.flatten(1)  # type: ignore[union-attr]
        root.values, root.bounds = whole.unflatten(1, root.shape), torch.maximum(root.bounds, bounds)
        root.written += 1
        root.origin = None
        self.current(target)
        return target

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Rows]) -> Any:
        """Do an operation that moves numbers, point by point."""
        viewed = returns_views(func)
        func = free_of_strides(func)
        traced = [self.current(x) for x in traced]
        bounds = torch.stack([x.bounds for x in traced]).amax(0) if len(traced) > 1 else traced[0].bounds
        result = self._mapped(func, args, kwargs, homogeneous=True)

        def moved(taint: Callable[[Any], Any]) -> Any:
            return self._mapped(func, _each(args, taint), _each(kwargs, taint), homogeneous=True)

        if not viewed:
            strides = _strides(func, args, kwargs, traced)
            return self._noted(tree_map(lambda values: Rows(values, bounds, strides), result), (args, kwargs), moved)
        # A view: remembered as places in what it looks at, so that work in place on either is seen in the other.
        root, seen = looked_at(traced[0])
        places = func(seen, *args[1:], **kwargs)
        if isinstance(result, Tensor):
            return self._noted(Rows(result, bounds, None, root, places, root.written), (args, kwargs), moved)
        views = [Rows(r, bounds, None, root, p, root.written) for r, p in zip(result, places, strict=True)]
        return self._noted(views, (args, kwargs), moved)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Rows]) -> Any:
        """Do an affine operation: its linear part on the values, its constant part times w."""
        traced = [self.current(x) for x in traced]
        parts = Parts(entry, func, args, kwargs)
        linear = parts.without_constants(lambda x: x)
        name = name_of(func)
        fold = _FOLDED.get(name)
        beta = {"beta": 0} if entry.factors and 0 in entry.values and not isinstance(args[0], Rows) else {}
        kwargs = {**kwargs, **beta}
        if fold is not None and isinstance(args[fold], Rows) and args[fold].shape[0] == 1:
            folded = [a.values[:, 0] if isinstance(a, Rows) else a for a in linear]
            if fold and beta:
                folded[0] = folded[0][:1] if isinstance(folded[0], Tensor) and folded[0].ndim > 1 else folded[0]
            values = func(*folded, **kwargs)[:, None]
        else:
            values = first(self._mapped(func, linear, kwargs, homogeneous=False))
        constant = parts.constant()
        if constant is not None:
            values.addcmul_(self.weights.reshape(-1, *[1] * constant.ndim), constant)
        sizes = torch.stack([largest(x.values) for x in traced]).amax(0)
        bounds = torch.stack([x.bounds for x in traced]).amax(0)
        steep = parts.steepness()
        share = (min(parts.terms(), MOST_TERMS) + 2) * EPS
        shift = 0.0 if constant is None else float(constant.abs().max())
        bounds = steep * bounds
        bounds[:, 0] += share * (steep * sizes + shift * self.weights.abs())

        def sized(taint: Callable[[Any], Any]) -> Tensor:
            total = self._mapped(
                lambda *new, **_: parts.of_sizes(list(new)), parts.without_constants(taint), {}, homogeneous=False
            )
            if constant is not None:
                total = total + (self.weights.reshape(-1, *[1] * constant.ndim) * constant).abs()
            return total

        strides = _strides(func, parts.without_constants(lambda x: x), kwargs, traced)
        result = self._noted(Rows(values, bounds, strides), args, sized)
        extra = results(func) - 1
        return (result, *[values.new_empty(0)] * extra) if extra else result

    def maximum(self, entry: Maximum, args: list[Any]) -> Any:
        """Bring a maximum down to ReLUs: max(x, y) is y + ReLU(x - y), and along axes it is a tournament."""
        if entry.of == "relu":
            self._steps += 1
            return self.relu(self.current(args[0]))
        with self:
            if entry.of == "pair":
                return args[1] + torch.relu(args[0] - args[1])
            x, dims, keepdim = args[0], args[1] if len(args) > 1 else [], len(args) > 2 and args[2]
            dims = [d % x.ndim for d in ([dims] if isinstance(dims, int) else dims)] or list(range(x.ndim))
            rest = [axis for axis in range(x.ndim) if axis not in dims]
            flat = x.permute(*rest, *dims).reshape(*[x.shape[axis] for axis in rest], -1)
            if flat.shape[-1] > 1:
                self.tournaments.append(Tournament(self._steps, flat.shape[:-1].numel(), flat.shape[-1]))
            while (size := flat.shape[-1]) > 1:
                half = size // 2
                won = torch.maximum(flat[..., :half], flat[..., half : 2 * half])
                flat = torch.cat([won, flat[..., 2 * half :]], -1)
            shape = [1 if axis in dims else n for axis, n in enumerate(x.shape) if keepdim or axis not in dims]
            return flat.reshape(shape)

    def relu(self, x: Rows) -> Rows:
        """Do a ReLU."""
        raise NotImplementedError

    def smooth(self, entry: Smooth, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Refuse: not piecewise linear."""
        raise self.refuse(name_of(func), "curved")

    def joint(self, entry: Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Refuse: not piecewise linear."""
        raise self.refuse(name_of(func), "curved")

    def _mapped(self, func: Any, args: list[Any], kwargs: dict[str, Any], homogeneous: bool) -> Any:
        """An operation at every point; constants are multiplied by w if they take part as numbers."""
        places: list[Any] = []

        def given(a: Any) -> Any:
            if isinstance(a, Rows):
                places.append(self.current(a).values)
                return _Place(len(places) - 1)
            if homogeneous and isinstance(a, Tensor) and a.is_floating_point():
                places.append(self.weights.reshape(-1, *[1] * a.ndim) * a)
                return _Place(len(places) - 1)
            return a

        template = tree_map(given, (args, kwargs))

        def at(*values: Tensor) -> Any:
            new_args, new_kwargs = tree_map(lambda a: values[a.index] if isinstance(a, _Place) else a, template)
            return func(*new_args, **new_kwargs)

        with above_dispatch():
            return torch.vmap(at)(*places)


def _each(arguments: Any, function: Callable[[Any], Any]) -> Any:
    return tree_map(lambda a: function(a) if isinstance(a, Rows) else a, arguments)


class _Place:
    """Stands for an argument that differs from point to point."""

    def __init__(self, index: int):
        self.index = index


def largest(values: Tensor) -> Tensor:
    """The size of the largest number of every point."""
    flat = values.flatten(1)
    return torch.linalg.vector_norm(flat, torch.inf, dim=1) if flat.shape[1] else flat.new_zeros(len(flat))


def free_of_strides(func: Any) -> Any:
    """A move that does not care how numbers lie in memory: those at many points may lie otherwise than those at one."""
    return torch.ops.aten.reshape.default if name_of(func) in ("view", "_unsafe_view") else func


def looked_at(x: Any) -> tuple[Any, Tensor]:
    """What a tensor is a view of, itself if it is none, and the places of its numbers there."""
    if x.root is None:
        index = torch.arange(x.numel()).reshape(x.shape)
        return x, torch.empty_strided(x.shape, x.stride(), dtype=index.dtype).copy_(index)
    return x.root, x.places


def _strides(func: Any, args: Any, kwargs: Any, traced: list[Rows]) -> Any:
    """Strides of a result for one input, or None if those of its values at many points say it."""
    if all(x.values.stride()[1:] == x.stride() for x in traced):
        return None

    def one(a: Any) -> Any:
        return torch.empty_strided(a.shape, a.stride(), dtype=a.dtype, device=a.device) if isinstance(a, Rows) else a

    return first(func(*tree_map(one, args), **tree_map(one, kwargs))).stride()


def copied_strides(x: Tensor, memory_format: torch.memory_format) -> tuple[int, ...]:
    """Strides of a copy of a tensor."""
    return torch.empty_strided(x.shape, x.stride()).clone(memory_format=memory_format).stride()


def new_strides(x: Tensor) -> tuple[int, ...]:
    """Strides of what an operation number by number makes of a tensor: mostly its own."""
    return torch.empty_strided(x.shape, x.stride()).relu().stride()


class MeshEvaluator(RowEvaluator):
    """Refines a mesh where units of a model change their signs; the points are its vertices.

    Args:
        mesh: starts as the region that is asked for.
        exact: from a vertex, and how all of them came about, to the true signs and values of the units.
        limit: most cells that are allowed.
    """

    def __init__(self, mesh: Mesh, exact: Callable[..., Any], limit: int | None, report: Callable[[int], Any] | None = None):
        super().__init__(torch.from_numpy(mesh.points[:, 2].copy()))
        self.mesh, self.exact, self.limit, self.report = mesh, exact, limit, report

    def current(self, x: Rows) -> Rows:
        """A tensor with values at all vertices."""
        x = super().current(x)  # type: ignore[assignment]
        if len(x.values) < self.mesh.vertices:
            values, bounds = self.mesh.extend(x.values.flatten(1).contiguous().numpy(), x.bounds.numpy())
            x.values, x.bounds = torch.from_numpy(values).unflatten(1, x.shape), torch.from_numpy(bounds)
        return x

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Rows]) -> Any:
        """Do an affine operation, if its result at all vertices has room."""
        one = first(func(*_each(args, lambda x: torch.empty(x.shape, dtype=x.dtype)), **kwargs))
        self.mesh.room(one.numel(), 0, self.mesh.vertices, self.mesh.vertices)
        return super().affine(entry, func, args, kwargs, traced)

    def relu(self, x: Rows) -> Rows:
        """Split the cells where the units change their signs."""
        self.check_finite("a ReLU", x.values)
        zeros = None if x.origin is None else lambda: (self.may_differ(x).flatten(1) == 0).numpy()
        self.mesh, values, bounds, pos = self.mesh.refine(
            x.values.flatten(1).contiguous().numpy(), x.bounds.numpy(), self.exact, self.limit, zeros
        )
        self.weights = torch.from_numpy(self.mesh.points[:, 2].copy())
        cut.relu(values, pos)
        if self.report:
            self.report(self.mesh.cells)
        result = Rows(torch.from_numpy(values).unflatten(1, x.shape), torch.from_numpy(bounds.copy()), new_strides(x))
        result.origin = _FromRelu()
        return result


class PatternEvaluator(RowEvaluator):
    """Follows a pattern that is given for every point, and notes nothing.

    Args:
        weights: the last coordinate of every point.
        patterns: for every ReLU in turn the positive units, as bits, ``(points, words)``.
    """

    def __init__(self, weights: Tensor, patterns: list[np.ndarray]):
        super().__init__(weights)
        self._left = iter(patterns)

    def relu(self, x: Rows) -> Rows:
        """Keep the units that the pattern has as positive."""
        self.check_finite("a ReLU", x.values)
        kept = torch.from_numpy(unpack(next(self._left), x.numel()))
        return Rows(x.values * kept.reshape(x.values.shape), x.bounds, new_strides(x))


class NotingEvaluator(RowEvaluator):
    """Notes the pattern at every point."""

    def __init__(self, weights: Tensor):
        super().__init__(weights)
        self.patterns: list[np.ndarray] = []
        self.units: list[int] = []

    def relu(self, x: Rows) -> Rows:
        """Do a ReLU and note which units are positive."""
        positive = x.values > 0
        self.patterns.append(pack(positive.flatten(1).numpy()))
        self.units.append(x.numel())
        return Rows(x.values * positive, x.bounds, new_strides(x))
