"""Values of many rows, and the graph that is made of them.

A value whose first axis has length one in the file has its rows there, any other has them in a new axis before all of its own.
So what was written for a batch of one becomes what it would have been with a free axis, and what has no such axis gets one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import Meter


class MixedRows(ValueError):
    """Inputs of a batch would hang on each other."""


class NoBatch(ValueError):
    """What was taken for the axis of the batch is one of features or channels."""


@dataclass(frozen=True)
class PerRow:
    """A value of every row.

    Attributes:
        node: ``(n, *shape[1:])`` if the shape begins with 1, else ``(n, *shape)``.
        shape: that the value has of one row.
        batch: which of these axes is the batch, or None if there is none, or it is not known any more.
    """

    node: fx.Node
    shape: tuple[int, ...]
    batch: int | None


def of_rows(x: Tensor, sizes: list[int]) -> Tensor:
    """Another shape of each row."""
    return x.reshape(x.shape[0], *sizes)


def all_rows(x: Tensor) -> Tensor:
    """What all rows have one after another, ``(n, m, ...) -> (n * m, ...)``."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def each_row(x: Tensor, count: int) -> Tensor:
    """What each row has of it, ``(n * count, ...) -> (n, count, ...)``."""
    return x.reshape(x.shape[0] // count, count, *x.shape[1:])


def repeated(constant: Tensor, x: Tensor, new: bool) -> Tensor:
    """A constant for each row of `x`, along a new first axis or along its own of length one."""
    return constant.expand(x.shape[0], *(constant.shape if new else constant.shape[1:]))


def expanded(x: Tensor, sizes: list[int]) -> Tensor:
    """PerRow repeated along axes of length one."""
    return x.expand(x.shape[0], *sizes)


class EachRow(nn.Module):
    """A function of one row for all rows, for functions without a rule.

    Args:
        function: of tensors of one row and of constants.
        along: for each argument whether it has rows.
    """

    def __init__(self, function: Callable[..., Any], along: Sequence[bool]):
        super().__init__()
        self.function, self.along = function, tuple(0 if one else None for one in along)

    def forward(self, *args: Any) -> Any:
        """The function of each row."""
        return torch.vmap(self.function, self.along)(*args)


# From a node of the file and the shape of its result there to its rows.
Rule = Callable[["Rewriting", fx.Node, tuple[int, ...]], Any]


class Rewriting:
    """The graph of rows as it grows, beside that of one row or of a batch of fixed length.

    Attributes:
        length: of the batch in the file.
        rows: values that hang on the input, by the nodes of the file; several where an operator has several results.
        constants: all others.
        done_before: values of nodes that have been done together with one before.
    """

    def __init__(self, module: fx.GraphModule, length: int, meter: Meter):
        self.length = length
        self._module, self._meter = module, meter
        self._graph = fx.Graph()
        self.rows: dict[fx.Node, Any] = {}
        self.constants: dict[fx.Node, Any] = {}
        self.done_before: dict[fx.Node, PerRow] = {}
        self._copied: dict[fx.Node, fx.Node] = {}

    def row(self, shape: tuple[int, ...], batch: int | None) -> tuple[int, ...]:
        """The shape of one row, of that which the file has."""
        if self.length == 1:
            return shape
        if batch is None or shape[batch] != self.length:
            raise MixedRows(f"has shape {list(shape)}, where no axis is known to be that of the {self.length} inputs")
        return (*shape[:batch], 1, *shape[batch + 1 :])

    def call(self, function: Any, *args: Any) -> fx.Node:
        """A node of the new graph."""
        return self._graph.call_function(function, args)

    def finished(self, output: fx.Node) -> fx.GraphModule:
        """The module of the new graph, with what it needs of that of the file."""
        self._graph.output(output)
        return fx.GraphModule(self._module, self._graph)

    def input(self) -> fx.Node:
        """The input of the new graph."""
        return self._graph.placeholder("x")

    def layer(self, target: Any, x: fx.Node) -> fx.Node:
        """A module of the new graph."""
        return self._graph.call_module(target, (x,))

    def by_rows(self, function: Any, args: Sequence[Any], along: Sequence[bool]) -> fx.Node:
        """A node that does each row by itself."""
        return self._graph.call_module(self.add(EachRow(function, along)), tuple(args))

    def add(self, module: nn.Module) -> str:
        """A module for the new graph, by its name."""
        name = f"{type(module).__name__.lower()}_of_rows{len(self._graph.nodes)}"
        for parameter in module.parameters():
            self._meter.hold(name, parameter)
        self._module.add_submodule(name, module)
        return name

    def learned(self, argument: Any) -> Tensor | None:
        """A constant that the file holds."""
        held = isinstance(argument, fx.Node) and argument.op == "get_attr"
        return self._module.get_buffer(str(argument.target)) if held else None

    def shaped(self, node: fx.Node, sizes: Sequence[int], wanted: Sequence[int]) -> fx.Node:
        """A node whose rows have these sizes, with others."""
        return node if list(sizes) == list(wanted) else self.call(of_rows, node, list(wanted))

    def front(self, value: PerRow) -> fx.Node:
        """The value with all axes of a row after that of the rows."""
        return self.shaped(value.node, inside(value.shape), value.shape)

    def settled(self, node: fx.Node, sizes: Sequence[int], shape: tuple[int, ...], batch: int | None) -> PerRow:
        """The value of a node, whose rows have these sizes, of a shape in the file."""
        row = self.row(shape, batch)
        return PerRow(self.shaped(node, sizes, inside(row)), row, batch)

    def along(self, value: PerRow, axes: Sequence[int]) -> tuple[fx.Node, int]:
        """A node for what works along axes, and by how many places they are further back there."""
        if value.shape[:1] == (1,) and 0 not in axes:
            return value.node, 0
        return self.front(value), 1

    def done(self, node: fx.Node, shift: int, shape: tuple[int, ...], batch: int | None) -> PerRow:
        """The value that such a node has made, of a shape in the file."""
        row = self.row(shape, batch)
        return self.settled(node, row if shift else row[1:], shape, batch)

    def value(self, argument: Any) -> Any:
        """PerRow, a constant tensor, or an argument as it stands."""
        if not isinstance(argument, fx.Node):
            return argument
        return self.rows[argument] if argument in self.rows else self.constants[argument]

    def stated(self, value: PerRow) -> tuple[int, ...]:
        """The shape that a value has in the file."""
        return tuple(self.length if k == value.batch else size for k, size in enumerate(value.shape))

    def kept(self, shape: Sequence[int], batch: int | None) -> int | None:
        """The place of the batch, if there is still such an axis there."""
        return batch if batch is not None and 0 <= batch < len(shape) and shape[batch] == self.length else None

    def constant(self, argument: Any, tensor: Any = None) -> Any:
        """An argument that has no rows, in the new graph, or a tensor in its place."""
        if not isinstance(argument, fx.Node):
            return argument
        made = tensor if tensor is not None else self.constants[argument]
        if not isinstance(made, Tensor):
            return made
        if tensor is None and argument in self._copied:
            return self._copied[argument]
        if tensor is None and argument.op == "get_attr":
            node = self._graph.get_attr(str(argument.target))
        else:
            name = f"rows_constant{len(self._graph.nodes)}"
            copy = made.clone(memory_format=torch.contiguous_format)
            self._meter.hold(name, copy)
            self._module.register_buffer(name, copy)
            node = self._graph.get_attr(name)
        if tensor is None:
            self._copied[argument] = node
        return node

    def of_one(self, argument: Any, place: int) -> Any:
        """A constant that may have numbers for each input of the batch, which must be the same; `place` is from the end."""
        constant = self.constants.get(argument)
        if (
            self.length > 1
            and isinstance(constant, Tensor)
            and constant.ndim >= place
            and constant.shape[-place] == self.length
        ):
            first = constant.narrow(-place, 0, 1)
            if not bool((constant == first).all()):
                raise MixedRows("does something else to each input of a batch")
            return self.constant(argument, first)
        return self.constant(argument)


def inside(shape: Sequence[int]) -> list[int]:
    """The sizes after that of the rows."""
    return list(shape[1:] if tuple(shape[:1]) == (1,) else shape)


def axes_of(axes: Any, rank: int) -> list[int]:
    """Axes counted from the start."""
    return [axis % max(rank, 1) for axis in ([axes] if isinstance(axes, int) else torch.as_tensor(axes).tolist())]


def widened(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """A shape with axes of length one before it."""
    return (1,) * (rank - len(shape)) + shape


def agreed(places: Sequence[int | None]) -> int | None:
    """The one place of the batch that values give which come together."""
    known = {place for place in places if place is not None}
    if len(known) > 1:
        raise MixedRows("puts inputs of a batch together with each other")
    return known.pop() if known else None


def check_not_along(batch: int | None, axes: Sequence[int]) -> None:
    """Refuse what is computed along the axis of the batch."""
    if batch in axes:
        raise MixedRows("computes along the axis of the batch")
