"""A module as matrices, for numbers that torch has no operations for.

Each affine operation is found out by basis vectors, once, and known again whenever it is called. Numbers move by their places,
and of maxima one is chosen. What is left to a kind of numbers is little: constants, products with a matrix, and who is larger.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor

from knowlimits._torch import above_dispatch, returns_views, tree_map
from knowlimits.follow.domain import Domain
from knowlimits.follow.operations import Affine, Joint, Jump, Maximum, Of, Smooth
from knowlimits.follow.parts import Call, Parts, first
from knowlimits.follow.refusals import Refused, on_a_plane
from knowlimits.model.families.family import Family
from knowlimits.plane import maxima
from knowlimits.plane.points import Points, copied, expanded, free_of_strides, looked_at, new_strides, overwrite, refresh, taken

# Numbers in a block of images of basis vectors.
_BLOCK = 2**22
#: What is known of numbers beside them; what is known of several is the largest of each.
Beside = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Form:
    """An affine operation as matrices.

    Attributes:
        call: by which the operation is known again.
        matrices: of its arguments, ``(outputs, inputs)``.
        constant: its constant part, or None.
        shape, strides: of its result.
    """

    call: Call
    matrices: list[csr_array]
    constant: np.ndarray | None
    shape: torch.Size
    strides: tuple[int, ...]
    _made: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> "Form":
        """Found out by basis vectors."""
        parts = Parts(entry, func, args, kwargs)

        def at(vectors: list[Tensor]) -> Tensor:
            # The same tensor may stand twice among the arguments: told apart by their order.
            order = iter(vectors)
            return first(func(*parts.without_constants(lambda _: next(order)), **kwargs))

        zeros = [torch.zeros((), dtype=torch.float64).expand(x.shape) for x in traced]
        one = at([torch.empty_strided(x.shape, x.stride(), dtype=torch.float64) for x in traced])
        matrices = []
        for chosen, x in enumerate(traced):
            size = x.numel()
            images = []
            step = max(1, _BLOCK // max(1, one.numel(), size))
            for begin in range(0, size, step):
                basis = torch.eye(min(step, size - begin), size, dtype=torch.float64)
                basis = basis.roll(begin, 1).reshape(-1, *x.shape)
                with above_dispatch():
                    block = torch.vmap(lambda v, k=chosen: at([v if i == k else z for i, z in enumerate(zeros)]))(basis)
                images.append(csr_array(block.reshape(len(basis), -1).numpy()))
            matrices.append(csr_array((vstack(images) if len(images) > 1 else images[0]).T))
        constant = parts.constant()
        shift = None if constant is None else constant.expand(one.shape).numpy()
        return cls(Call(func, args, kwargs), matrices, shift, one.shape, one.stride())

    def made(self, matrix: Callable[[csr_array], Any], constant: Callable[[np.ndarray], Any]) -> tuple[list[Any], Any]:
        """Its matrices and its constant part as some kind of numbers has them, each made once."""
        if matrix not in self._made:
            shift = None if self.constant is None else constant(self.constant)
            self._made[matrix] = [matrix(one) for one in self.matrices], shift
        return self._made[matrix]


class Arithmetic(ABC):
    """A kind of numbers at many homogeneous points.

    Attributes:
        weights: the last coordinate w of every point, ``(points,)``.
    """

    weights: np.ndarray

    @abstractmethod
    def constant(self, values: np.ndarray) -> tuple[np.ndarray, Beside]:
        """Constants times w, ``(points, ...)``."""

    @abstractmethod
    def product(self, form: Form, given: list[np.ndarray], beside: list[Beside]) -> tuple[np.ndarray, Beside]:
        """What an affine operation makes of its arguments ``(points, inputs)``, ``(points, outputs)``."""

    @abstractmethod
    def larger(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The larger of two, ``(points, ...)``; the second may be zero, with length 1 along all axes."""


class Matrices(Domain):
    """Numbers of any kind at many points.

    Args:
        arithmetic: of their kind.
        forms: of the affine operations met so far, in their order; is added to.
    """

    def __init__(self, arithmetic: Arithmetic, forms: list[Form]):
        self.arithmetic, self.forms = arithmetic, forms
        self._count = 0

    def current(self, x: Points) -> Points:
        """A tensor with what was written through other views of it."""
        refresh(x, self.current)
        return x

    def copy(self, x: Points, memory_format: torch.memory_format = torch.preserve_format) -> Points:
        """A copy with memory of its own, in which numbers lie as is said."""
        return copied(self.current(x), memory_format)

    def write(self, target: Points, result: Any) -> Points:
        """Write into a tensor, or into that which it is a view of."""
        if target.root is not None:
            self.current(target.root)
        numbers, beside = self.numbers(result if isinstance(result, Tensor) else torch.as_tensor(result, dtype=torch.float64))
        overwrite(target, numbers, beside, _together)
        return self.current(target)

    def numbers(self, x: Any) -> tuple[np.ndarray, Beside]:
        """The numbers of a tensor, which may be a constant, and what is known of them."""
        if isinstance(x, Points):
            return self.current(x).numbers, x.beside
        return self.arithmetic.constant(x.double().numpy())

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Any:
        """Move places instead of numbers."""
        viewed, func = returns_views(func), free_of_strides(func)
        if viewed:
            x = self.current(traced[0])
            root, seen = looked_at(x)
            held = self.current(root).numbers
            places = func(seen, *args[1:], **kwargs)
            return tree_map(lambda p: Points(taken(held, p), x.beside, None, root, p), places)
        pool: list[np.ndarray] = []
        known: list[Beside] = []

        def places_of(a: Any) -> Any:
            if not isinstance(a, Tensor) or not (isinstance(a, Points) or a.is_floating_point()):
                return a
            begin = sum(memory.shape[1] for memory in pool)
            size = 1 + sum((n - 1) * stride for n, stride in zip(a.shape, a.stride(), strict=True)) if a.numel() else 0
            index = torch.arange(begin, begin + size).as_strided(a.shape, a.stride())
            numbers, beside = self.numbers(a)
            memory = np.zeros((len(numbers), size), dtype=numbers.dtype)
            memory[:, index.numpy() - begin] = numbers
            pool.append(memory)
            known.append(beside)
            return index

        moved = func(*tree_map(places_of, args), **tree_map(places_of, kwargs))
        held, beside = np.concatenate(pool, axis=1), _together(known)
        return tree_map(lambda index: Points(held[:, index.numpy()], beside, new_strides(index)), moved)

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Points]) -> Points:
        """Multiply by the operation's matrices, and add its constant part times w."""
        traced = [self.current(x) for x in traced]
        place, self._count = self._count, self._count + 1
        if place < len(self.forms):
            self.forms[place].call.check(func, args, kwargs)
        else:
            self.forms.append(Form.of(entry, func, args, kwargs, traced))
        form = self.forms[place]
        given = [x.numbers.reshape(len(x.numbers), -1) for x in traced]
        numbers, beside = self.arithmetic.product(form, given, [x.beside for x in traced])
        return Points(numbers.reshape(-1, *form.shape), beside, form.strides)

    def in_words(self, entry: Maximum | Jump) -> Callable[..., Any] | None:
        """Maxima along axes, as those of two."""
        return maxima.largest if entry.of is Of.AXES else None

    def maximum(self, entry: Maximum, args: list[Any]) -> Points:
        """Choose the larger of two; in a ReLU the second is zero."""
        strides = [torch.empty_strided(a.shape, a.stride()) for a in args if isinstance(a, Tensor)]
        if entry.of is Of.ZERO:
            x, beside = self.numbers(args[0])
            chosen = self.arithmetic.larger(x, np.zeros((1,) * x.ndim, dtype=x.dtype))
            return Points(chosen, beside, torch.relu(strides[0]).stride())
        shape = torch.broadcast_shapes(args[0].shape, args[1].shape)
        (x, mine), (y, its) = (self.numbers(a) for a in args)
        chosen = self.arithmetic.larger(expanded(x, shape), expanded(y, shape))
        return Points(chosen, _together([mine, its]), torch.maximum(*strides).stride())

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
        """As it is: whoever made it saw to it."""
        return result


def _together(beside: list[Beside]) -> Beside:
    return tuple(max(each) for each in zip(*beside, strict=True))
