"""Operator sets 1 to 6 of ONNX, whose operators are put into the words of the seventh.

Most operators of theirs are as they were there. Some have attributes that say what later became a rule, and a few had another
meaning: these are refused by name.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from knowlimits.files.onnx.building import Operation
from knowlimits.follow import UnsupportedOperation

FIRST_AS_TODAY = 7
# Where a value may be written over, which changes no number.
_IN_PLACE = "consumed_inputs"
# An attribute of ours: from which axis of the first operand on the second one lies along it. Today the last axes do.
_ALONG = "along"
# In its place: the last axes, or both have one shape.
_LAST, _ALIKE = -(2**31), -(2**31) + 1


def modernise(graph: Any, version: int) -> None:
    """Put the nodes of a graph of an old operator set into the words of the seventh, but for operands, for which see `aligned`.

    Args:
        graph: it.
        version: of the operator set.

    Raises:
        UnsupportedOperation: if an operator meant something else, or was another one.
    """
    from onnx import defs

    fresh = _fresh_names(graph)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        try:
            then, later = (defs.get_schema(node.op_type, v).since_version for v in (version, FIRST_AS_TODAY))
        except defs.SchemaError:
            raise _refused(node, version, "is none of it") from None
        if then == later:
            continue
        _take(node, _IN_PLACE)
        if node.op_type not in _CHANGED:
            raise _refused(node, version)
        _CHANGED[node.op_type](graph, node, version, fresh)


def aligned(operation: Operation) -> Operation:
    """An operation whose second operand has as many axes as numpy's rules need."""
    node = operation.node
    # Of other domains nobody knows which attributes they have.
    if node.key[0] or _ALONG not in node.attributes:
        return operation
    (a, b, *rest), building = operation.inputs, operation.building
    laid = operation.call(laid_along, a, b, node.get(_ALONG, 0), of_shape=b not in building.data)
    for marked in (building.integers, building.doubles):
        marked.update([laid] if b in marked else [])
    return dataclasses.replace(operation, inputs=[a, laid, *rest])


def laid_along(a: Tensor, b: Tensor, along: int) -> Tensor:
    """The second of two operands with axes of length one behind its own, so that it lies along axes of the first."""
    if along == _ALIKE:
        # A batch of one may have become one of any size.
        if b.shape[1:] == a.shape[1:] and b.ndim == a.ndim and b.shape[:1] in ((1,), a.shape[:1]):
            return b
    elif b.numel() == 1 and b.ndim <= a.ndim:
        return b.reshape(())
    else:
        start = a.ndim - b.ndim if along == _LAST else along + a.ndim if along < 0 else along
        if start >= 0 and a.shape[start : start + b.ndim] == b.shape:
            return b.reshape([*b.shape, *[1] * (a.ndim - start - b.ndim)])
    raise ValueError(
        f"an operand of shape {list(b.shape)} does not lie along one of shape {list(a.shape)}, as old opsets have it"
    )


def _refused(node: Any, version: int, why: str = "has changed since") -> UnsupportedOperation:
    return UnsupportedOperation(
        f"operator {node.op_type} of opset {version} (node {node.name!r}) {why}: export it again with opset {FIRST_AS_TODAY} "
        "or a newer one"
    )


def _take(node: Any, name: str) -> Any:
    """The value of an attribute, which is taken off the node; None where it has none."""
    from onnx import helper

    for place, attribute in enumerate(node.attribute):
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            del node.attribute[place]
            return value
    return None


def _give(node: Any, name: str, value: Any) -> None:
    from onnx import helper

    node.attribute.append(helper.make_attribute(name, value))


def _fresh_names(graph: Any) -> Iterator[str]:
    """Names that no value has."""
    taken = {name for node in graph.node for name in [*node.input, *node.output]}
    taken |= {tensor.name for tensor in graph.initializer} | {entry.name for entry in [*graph.input, *graph.output]}
    count = 0
    while True:
        if (name := f"constant {count}") not in taken:
            yield name
        count += 1


def _same(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """But for `consumed_inputs`, or for what is allowed today beside it."""


def _aligned(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """Two operands of one shape, or the second as long as some axes of the first, from an axis on."""
    axis, broadcast = _take(node, "axis"), _take(node, "broadcast")
    if not broadcast and axis is not None:
        raise _refused(node, version, "has an axis and no broadcast")
    _give(node, _ALONG, _ALIKE if not broadcast else _LAST if axis is None else axis)


def _sloped(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """A slope for each channel, which are the second axis, or one for all."""
    _give(node, _ALONG, 1)


def _tested(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """It draws numbers, or takes statistics of the batch, unless it says that it is used."""
    if not _take(node, "is_test"):
        raise _refused(node, version, "is in training mode")


def _gemm(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """What is added has the shape of the product, or may be shorter, as today."""
    _take(node, "broadcast")


def _cast(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """Types have numbers today, and had names."""
    from onnx import TensorProto

    kind = _take(node, "to")
    name = kind.decode() if isinstance(kind, bytes) else ""
    if name not in list(TensorProto.DataType.keys()):
        raise _refused(node, version, f"casts to {name!r}")
    _give(node, "to", TensorProto.DataType.Value(name))


def _split(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """Sizes may be an input."""
    if len(node.input) > 1:
        raise _refused(node, version, "has sizes as an input")


def _concat(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """The axis may be left out."""
    axis = _take(node, "axis")
    _give(node, "axis", 1 if axis is None else axis)


def _selu(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """Its numbers had fewer digits."""
    for name, default in (("alpha", 1.6732), ("gamma", 1.0507)):
        value = _take(node, name)
        _give(node, name, default if value is None else value)


def _reshape(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """The shape is an attribute."""
    from onnx import numpy_helper

    shape = _take(node, "shape")
    if shape is None:
        raise _refused(node, version, "has no shape")
    name = next(fresh)
    graph.initializer.append(numpy_helper.from_array(np.array(shape, dtype=np.int64), name))
    node.input.append(name)


def _pad(graph: Any, node: Any, version: int, fresh: Iterator[str]) -> None:
    """The attribute has another name."""
    _give(node, "pads", _take(node, "paddings") or [])


_CHANGED: dict[str, Callable[[Any, Any, int, Iterator[str]], None]] = {
    **dict.fromkeys(("Abs", "Elu", "Exp", "HardSigmoid", "InstanceNormalization", "LeakyRelu", "Log", "Neg"), _same),
    **dict.fromkeys(
        ("Max", "Mean", "Min", "Sum", "Reciprocal", "Relu", "Sigmoid", "Sqrt", "Tanh", "Clip", "Ceil", "Floor"), _same
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"), _aligned),
    **dict.fromkeys(("BatchNormalization", "Dropout"), _tested),
    "AveragePool": _same,
    "PRelu": _sloped,
    "Gemm": _gemm,
    "Cast": _cast,
    "Split": _split,
    "Concat": _concat,
    "Selu": _selu,
    "Reshape": _reshape,
    "Pad": _pad,
}
