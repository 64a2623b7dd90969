"""What an ONNX file says: its nodes, attributes and constants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
# Of data types, as files number them.
UINT8 = 2
Key = tuple[str, str]

# Bits of a number by the names of types.
_FLOATS = {"FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16}
_INTS = {f"{sign}INT{bits}": bits for sign in ("", "U") for bits in (4, 8, 16, 32, 64)}
_TYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_}
Attribute = TypeVar("Attribute", int, float, str)


def type_name(element: int) -> str:
    """What ONNX calls a data type, such as ``"FLOAT16"``; ``""`` where there is none of this number."""
    from onnx import TensorProto

    return TensorProto.DataType.Name(element) if element in TensorProto.DataType.values() else ""  # type: ignore[arg-type]


def kind_of(element: int) -> str | None:
    """``"float"``, ``"int"`` or ``"bool"`` for a data type of ONNX, None for others."""
    name = type_name(element)
    return "float" if name in _FLOATS else "int" if name in _INTS else "bool" if name == "BOOL" else None


def bits_of(element: int) -> int | None:
    """Bits of a number of a data type of ONNX; None for those that are not read."""
    return {**_FLOATS, **_INTS, "BOOL": 8}.get(type_name(element))


def whole_range(element: int) -> tuple[int, int] | None:
    """The lowest and the highest integer of a data type of ONNX; None for other types."""
    name = type_name(element)
    if name not in _INTS:
        return None
    return (0, 2 ** _INTS[name] - 1) if name.startswith("U") else (-(2 ** (_INTS[name] - 1)), 2 ** (_INTS[name] - 1) - 1)


def is_double(element: int) -> bool:
    """Whether a data type of ONNX is that of floats in double precision."""
    from onnx import TensorProto

    return element == TensorProto.DOUBLE


def as_constant(tensor: Any) -> Tensor:
    """A tensor of the file; floats in float64, integers in int64."""
    from onnx import numpy_helper

    kind = kind_of(tensor.data_type)
    if kind is None:
        raise ValueError(
            f"tensor {tensor.name!r} must hold numbers. Got {type_name(tensor.data_type) or tensor.data_type} instead"
        )
    return torch.from_numpy(np.array(numpy_helper.to_array(tensor), dtype=_TYPES[kind], order="C"))


@dataclass(frozen=True)
class Node:
    """One node of a file.

    Attributes:
        key: domain and operator; the domain of ONNX itself, which has two names, is empty.
        version: of the domain's operator set.
        name: of the node.
        inputs: names of values, empty for those that are left out.
        outputs: names of values.
        attributes: as the file has them, by name.
    """

    key: Key
    version: int
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"operator {self.key[1]} of domain {self.key[0] or 'ai.onnx'} (node {self.name!r})"

    def value(self, name: str) -> Any:
        """An attribute as it stands in the file, or None."""
        from onnx import helper

        if name not in self.attributes:
            return None
        if self.attributes[name].ref_attr_name:
            raise ValueError(f"attribute {name} refers to that of a function")
        return helper.get_attribute_value(self.attributes[name])

    def get(self, name: str, default: Attribute) -> Attribute:
        """An attribute that is a number or text, whichever the default is."""
        value = self.value(name)
        if isinstance(default, str):
            return default if value is None else value.decode()
        if isinstance(default, int):
            return default if value is None else int(value)
        # ONNX has its defaults in float32, too.
        number = float(np.float32(default) if value is None else value)
        if not np.isfinite(number):
            raise ValueError(f"attribute {name} must be finite. Got {number} instead")
        return number

    def integers(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers, or None."""
        value = self.value(name)
        return None if value is None else [int(v) for v in value]

    def numbers(self, name: str) -> Tensor | None:
        """An attribute that is a list of floats, or None."""
        value = self.value(name)
        return None if value is None else torch.tensor([float(v) for v in value], dtype=torch.float64)


@dataclass(frozen=True)
class Graph:
    """A graph of the file with its parts by name.

    Attributes:
        nodes: in an order in which they can run.
        producers: the node that makes a value.
        tensors: constants by name: initializers and values of Constant nodes.
        outputs: the graph's outputs.
    """

    nodes: list[Node]
    producers: dict[str, Node]
    tensors: dict[str, Any]
    outputs: list[Any]

    @staticmethod
    def of(graph: Any, versions: dict[str, int]) -> "Graph":
        """The parts of a graph, given the versions of operator sets by domain."""
        nodes = []
        for n in graph.node:
            domain = "" if n.domain == "ai.onnx" else n.domain
            attributes = {a.name: a for a in n.attribute}
            nodes.append(Node((domain, n.op_type), versions.get(domain, 1), n.name, list(n.input), list(n.output), attributes))
        tensors = {t.name: t for t in graph.initializer}
        for node in nodes:
            if node.key == ("", "Constant") and len(node.attributes) != 1:
                # Of several, others may take another one.
                there = ", ".join(node.attributes) or "none"
                raise ValueError(f"{node} must have one attribute, its value. Got {there} instead")
            if node.key == ("", "Constant") and node.outputs and "value" in node.attributes:
                tensors[node.outputs[0]] = node.attributes["value"].t
        producers = {name: node for node in nodes for name in node.outputs if name}
        return Graph(nodes, producers, tensors, list(graph.output))
