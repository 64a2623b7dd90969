"""The `torch.fx` graph that is made of a file, and what one operator sees of file and graph while it is converted."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import Meter
from knowlimits.files.onnx.graph import Node, is_double
from knowlimits.files.onnx.sizes import ints
from knowlimits.follow import UnsupportedOperation

# A constant, something that is computed when the module runs, or an optional input that was left out.
Value = Tensor | fx.Node | None


class Building:
    """A graph that grows.

    Attributes:
        data: nodes that hang on the numbers of the input, not only on its shape.
        integers: those of them that are integers in the file, and float64 here.
        whole: those of them that are floats in the file and made of integers.
        doubles: those of them that are in double precision in the file.
        constants: values of the nodes that stand for constants.
        elements: data types of the file's constants by name, as it numbers them.
        meter: of what is computed at once, and kept.
    """

    def __init__(self, meter: Meter, elements: dict[str, int] | None = None) -> None:
        self.meter = meter
        self.elements = elements or {}
        self.root = nn.Module()
        self._numbers = itertools.count()
        self.graph = fx.Graph()
        self.data: set[fx.Node] = set()
        self.integers: set[fx.Node] = set()
        self.whole: set[fx.Node] = set()
        self.doubles: set[fx.Node] = set()
        self.constants: dict[fx.Node, Tensor] = {}

    def call(self, function: Callable[..., Any], *args: Any, of_shape: bool = False, open_: bool = False) -> Any:
        """A function of values, or of their shapes alone: computed at once if they are constants, else when the module runs.

        Args:
            function: it.
            args: of it.
            of_shape: whether it looks at shapes alone.
            open_: whether constants among the values may be infinite or no numbers.
        """
        nodes = [a for a in args if isinstance(a, fx.Node)]
        if not nodes:
            with self.meter:
                return function(*args)
        node = self.graph.call_function(function, tuple(self._node_of(a, open_) if isinstance(a, Tensor) else a for a in args))
        if not of_shape and not self.data.isdisjoint(nodes):
            self.data.add(node)
        return node

    def held(self, name: str, constant: Tensor) -> Tensor:
        """A constant of the file, whose memory counts."""
        self.meter.hold(name, constant)
        return constant

    def call_module(self, module: nn.Module, x: fx.Node) -> fx.Node:
        """A module of its own, so that others find layers by their class."""
        name = f"{type(module).__name__.lower()}{next(self._numbers)}"
        self.root.add_module(name, module)
        for parameter in module.parameters():
            self.meter.hold(name, parameter)
        node = self.graph.call_module(name, (x,))
        self.data.add(node)
        return node

    def module_of(self, node: Any) -> nn.Module | None:
        """The module that a node calls."""
        return self.root.get_submodule(str(node.target)) if isinstance(node, fx.Node) and node.op == "call_module" else None

    def _node_of(self, constant: Tensor, open_: bool) -> fx.Node:
        """A constant as a buffer."""
        # A copy: folded constants may be views of one number.
        copy = constant.clone(memory_format=torch.contiguous_format) if open_ else _own(constant)
        name = f"constant{len(self.constants)}"
        self.meter.hold(name, copy)
        self.root.register_buffer(name, copy)
        node = self.graph.get_attr(name)
        self.constants[node] = constant
        return node

    def scalar(self, value: Any) -> float | None:
        """The number that a node or argument stands for, if it is a constant with one."""
        value = self.constants.get(value) if isinstance(value, fx.Node) else value
        return float(value) if isinstance(value, Tensor) and value.numel() == 1 and value.ndim < 2 else None


def parameter(tensor: Tensor) -> nn.Parameter:
    """A constant as what a layer learned."""
    return nn.Parameter(_own(tensor), requires_grad=False)


def _own(tensor: Tensor) -> Tensor:
    """A copy, if all its numbers are finite."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError("it has weights that are NaN or infinite")
    return tensor.clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class Operation:
    """One node of the file, as the function that converts it sees it.

    Attributes:
        building: the graph that grows.
        node: what the file says, attributes among it.
        inputs: values of its inputs.
    """

    building: Building
    node: Node
    inputs: list[Value]

    @property
    def call(self) -> Callable[..., Any]:
        """`Building.call`."""
        return self.building.call

    @property
    def double(self) -> bool:
        """Whether it is given numbers in double precision."""
        return not self.building.doubles.isdisjoint(v for v in self.inputs if isinstance(v, fx.Node))

    def take(self, needed: int, optional: int = 0) -> list[Any]:
        """The first inputs: so many that must be there, and so many that may be left out, None for those."""
        values = [*self.inputs, *[None] * (needed + optional)][: needed + optional]
        for place, value in enumerate(values[:needed]):
            if value is None:
                raise ValueError(f"input {place} is missing")
        return values

    def constant(self, index: int, what: str) -> Tensor | None:
        """An input that must not be computed when the module runs."""
        value = self.take(0, index + 1)[index]
        if isinstance(value, fx.Node):
            raise UnsupportedOperation(f"{what} must be a constant. Got one that is computed instead")
        return value

    def sizes(self, index: int, older: str = "") -> Any:
        """An input that says sizes or places: a list of integers, or a node that hangs on the input's shape alone.

        Args:
            index: of the input.
            older: attribute that older operator sets have in its place.
        """
        if older and (listed := self.node.integers(older)) is not None:
            return listed
        value = self.places(index)
        return ints(value) if isinstance(value, Tensor) else value

    def places(self, index: int) -> Any:
        """The same as a tensor, whose axes count, and which may have many."""
        value = self.take(0, index + 1)[index]
        if isinstance(value, fx.Node) and value in self.building.data:
            raise UnsupportedOperation(f"input {index} says sizes or places. Got numbers that hang on the model's input")
        return value


@dataclass(frozen=True)
class Operator:
    """An entry of the table.

    Attributes:
        convert: from an `Operation` to the value of its output, or values of its outputs; None for one without a counterpart.
        takes_integers: whether its input may be integers that hang on that of the model, which are float64 here; the others
            would have to compute as integers do.
        moves: whether its output has the numbers of its input, which stay integers then.
    """

    convert: Callable[[Operation], Any]
    takes_integers: bool = False
    moves: bool = False

    def __call__(self, operation: Operation) -> list[Any]:
        """The values of a node's outputs.

        Raises:
            UnsupportedOperation: if it would compute with integers.
        """
        building = operation.building
        integers = not building.integers.isdisjoint(v for v in operation.inputs if isinstance(v, fx.Node))
        if integers and not self.takes_integers:
            raise UnsupportedOperation(
                "it computes with integers that hang on the model's input: cast the input to floats first"
            )
        result = self.convert(operation)
        results = list(result) if isinstance(result, tuple | list) else [result]
        made = [r for r in results if isinstance(r, fx.Node)]
        if integers and self.moves:
            building.integers.update(made)
        if is_double(operation.node.get("to", 0)) if operation.node.key == ("", "Cast") else operation.double:
            building.doubles.update(made)
        return results


def moving(convert: Callable[[Operation], Any]) -> Operator:
    """An operator that moves numbers and leaves them as they are."""
    return Operator(convert, takes_integers=True, moves=True)


def plain(function: Callable[..., Any], open_: bool = False) -> Operator:
    """An operator whose inputs are the arguments of a function; constants may be infinite or no numbers where it is open."""
    return Operator(lambda o: o.call(function, *o.take(len(o.inputs)), open_=open_))


def scaled(function: Callable[..., Any], **defaults: float) -> Operator:
    """A function of one input and of attributes that are numbers, whose defaults are given."""
    return Operator(lambda o: o.call(function, *o.take(1), *(o.node.get(name, default) for name, default in defaults.items())))
