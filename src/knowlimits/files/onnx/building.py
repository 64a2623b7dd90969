"""From the nodes of an ONNX graph to a `torch.fx.GraphModule`: values, constants, and what one operator sees of them."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import Meter
from knowlimits.files.onnx import shapes
from knowlimits.follow import UnsupportedOperation

# A constant, something that is computed when the module runs, or an optional input that was left out.
Value = Tensor | fx.Node | None

_FLOATS = {"FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"}
_INTS = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
# Operators that leave integers as they are; the others, but for casts, would have to compute as integers do.
_MOVES = {"Concat", "Identity", "ArrayFeatureExtractor", "Gather", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice"}
_CASTS = {"Cast", "CastLike", "Scaler", "FeatureVectorizer", "Shape", "Size"}


def kind_of(element: int) -> str | None:
    """``"float"``, ``"int"`` or ``"bool"`` for a data type of ONNX, None for others."""
    import onnx

    names = {value: key for key, value in onnx.TensorProto.DataType.items()}
    name = names.get(element)
    return "float" if name in _FLOATS else "int" if name in _INTS else "bool" if name == "BOOL" else None


def as_constant(tensor: Any) -> Tensor:
    """A tensor of the file; floats in float64, integers in int64."""
    from onnx import numpy_helper

    kind = kind_of(tensor.data_type)
    if kind is None:
        raise ValueError(f"tensor {tensor.name!r} must hold numbers. Got data type {tensor.data_type} instead")
    array = numpy_helper.to_array(tensor)
    return torch.from_numpy(np.array(array, dtype={"float": np.float64, "int": np.int64, "bool": np.bool_}[kind], order="C"))


class Building:
    """A graph that grows.

    Attributes:
        data: nodes that hang on the numbers of the input, not only on its shape.
        integers: those of them that are integers in the file, and float64 here.
        whole: those of them that are floats in the file and made of integers.
        constants: values of the nodes that stand for constants.
        meter: of what is computed at once, and kept.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.root = nn.Module()
        self._numbers = itertools.count()
        self.graph = fx.Graph()
        self.data: set[fx.Node] = set()
        self.integers: set[fx.Node] = set()
        self.whole: set[fx.Node] = set()
        self.constants: dict[fx.Node, Tensor] = {}

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """A function of values: computed at once if they are constants, else when the module runs."""
        nodes = [a for a in args if isinstance(a, fx.Node)]
        if not nodes:
            with self.meter:
                return function(*args)
        arguments = tuple(self.node_of(a) if isinstance(a, Tensor) else a for a in args)
        node = self.graph.call_function(function, arguments)
        if function not in (shapes.shape_of, shapes.size_of) and any(n in self.data for n in nodes):
            self.data.add(node)
        return node

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

    def node_of(self, constant: Tensor) -> fx.Node:
        """A constant as a buffer."""
        check_finite(constant)
        name = f"constant{len(self.constants)}"
        # A copy: folded constants may be views of one number.
        copy = constant.clone(memory_format=torch.contiguous_format)
        self.meter.hold(name, copy)
        self.root.register_buffer(name, copy)
        node = self.graph.get_attr(name)
        self.constants[node] = constant
        return node

    def scalar(self, value: Any) -> float | None:
        """The number that a node or argument stands for, if it is a constant with one."""
        value = self.constants.get(value) if isinstance(value, fx.Node) else value
        return float(value) if isinstance(value, Tensor) and value.numel() == 1 and value.ndim < 2 else None


def check_finite(tensor: Tensor) -> None:
    """Refuse weights that are not finite."""
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError("it has weights that are NaN or infinite")


class Operation:
    """One node of the file, as the function that converts it sees it.

    Attributes:
        inputs: values of its inputs.
        outputs: how many outputs it has.
        version: of the operator set.
        users: number of nodes that use a value of the file, by its inputs.
    """

    def __init__(self, building: Building, node: Any, inputs: Sequence[Value], version: int, users: Sequence[int] = ()) -> None:
        self.building = building
        self.node = node
        self.inputs = list(inputs)
        self.users = list(users)
        self.outputs = len(node.output)
        self.version = version
        self.attributes = {a.name: a for a in node.attribute}
        self.call = building.call

    def input(self, index: int) -> Any:
        """An input that must be there."""
        value = self.optional(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def optional(self, index: int) -> Value:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int, what: str) -> Tensor | None:
        """An input that must not be computed when the module runs."""
        value = self.optional(index)
        if isinstance(value, fx.Node):
            raise UnsupportedOperation(f"{what} must be a constant. Got one that is computed instead")
        return value

    def sizes(self, index: int) -> Any:
        """An input that says sizes or places: a list of integers, or a node that hangs on the input's shape alone."""
        value = self.of_shapes(index) if self.optional(index) is not None else None
        return shapes.ints(value) if isinstance(value, Tensor) else value

    def of_shapes(self, index: int) -> Any:
        """An input that hangs on the shape of the model's input at most."""
        value = self.input(index)
        if isinstance(value, fx.Node) and value in self.building.data:
            raise UnsupportedOperation(f"input {index} says sizes or places. Got numbers that hang on the model's input")
        return value

    def attribute(self, name: str) -> Any:
        """An attribute as it stands in the file, or None."""
        from onnx import helper

        if name not in self.attributes:
            return None
        if self.attributes[name].ref_attr_name:
            raise ValueError(f"attribute {name} refers to that of a function")
        return helper.get_attribute_value(self.attributes[name])

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.attribute(name)
        # ONNX has its defaults in float32, too.
        value = float(np.float32(default)) if value is None else float(value)
        if not np.isfinite(value):
            raise ValueError(f"attribute {name} must be finite. Got {value} instead")
        return value

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attribute(name)
        return default if value is None else int(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attribute(name)
        return default if value is None else value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers, or None."""
        value = self.attribute(name)
        return None if value is None else [int(v) for v in value]

    def numbers(self, name: str) -> Tensor | None:
        """An attribute that is a list of floats, or None."""
        value = self.attribute(name)
        return None if value is None else torch.tensor([float(v) for v in value], dtype=torch.float64)


def convert(operator: Callable[[Operation], Any], operation: Operation) -> list[Any]:
    """The values of a node's outputs, None for those that have no counterpart."""
    kind, building = operation.node.op_type, operation.building
    integers = any(isinstance(v, fx.Node) and v in building.integers for v in operation.inputs)
    if integers and kind not in _MOVES | _CASTS:
        raise UnsupportedOperation("it computes with integers that hang on the model's input: cast the input to floats first")
    result = operator(operation)
    results = list(result) if isinstance(result, tuple | list) else [result]
    if integers and kind in _MOVES:
        building.integers.update(r for r in results if isinstance(r, fx.Node))
    return results


def finish(building: Building, output: fx.Node) -> fx.GraphModule:
    """The module whose result is a node."""
    building.graph.output(output)
    for node in reversed(building.graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            building.graph.erase_node(node)
    # It takes over what the nodes that are left refer to.
    return fx.GraphModule(building.root, building.graph)
