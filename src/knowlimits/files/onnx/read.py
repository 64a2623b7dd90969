"""Classifiers in ONNX files, as torch modules that return logits.

Nothing of a file runs but the operators of `onnx_operators.py`, which are functions of our own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import MOST_OPERATIONS, Meter, Taken
from knowlimits.files.onnx import shapes
from knowlimits.files.onnx.building import Building, Operation, Value, as_constant, convert, finish, kind_of
from knowlimits.files.onnx.logits import Ending, Graph, find_logits, key_of
from knowlimits.files.onnx.operators import TABLE
from knowlimits.follow import UnsupportedOperation
from knowlimits.follow.evaluator import Traced

_OLDEST = 7
# Bytes for a byte of a weight in the file, which become those of a copy in 64 bits.
_WIDEST = 8
# Inputs of the first evaluation, which says what one takes.
_FEW = 2
# What torch, numpy and Python raise for shapes, types and numbers that do not fit.
_MISFITS = (RuntimeError, IndexError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)


class ImportedModel(nn.Module):
    """A classifier from an ONNX file, in float64.

    Attributes:
        graph: the file's operators as a `torch.fx.GraphModule`.
        classes_: labels, if the file states them, else None.
        feature_names_in_: names of the features, if each is an input of its own in the file, else None.
        n_features_in_: number of features, or None for inputs of other shapes than ``(n, features)``.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        name: str,
        classes: np.ndarray | None = None,
        feature_names: np.ndarray | None = None,
        n_features: int | None = None,
    ):
        super().__init__()
        self.graph = graph
        self.name = name
        self.classes_ = classes
        self.feature_names_in_ = feature_names
        self.n_features_in_ = n_features
        self._first: Taken | None = None
        self._known: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` or ``(n, 1)`` of inputs ``(n, ...)``.

        Raises:
            ValueError: if the input does not fit, or operators of the file do not fit together.
        """
        # Without GraphModule's own call, which prints errors.
        if isinstance(x, Traced):
            return self._metered(x)
        x = x.to(torch.float64)
        with _errors_name(self.name, f"cannot be evaluated for inputs of shape {tuple(x.shape)}: "):
            return self._metered(x)

    def _metered(self, x: Tensor) -> Tensor:
        """The same, of a shape that was evaluated before or under the budget."""
        shape = tuple(x.shape)
        if shape in self._known:
            return self.graph.forward(x)
        if self._first is None and shape[0] > _FEW:
            with torch.no_grad():
                self._metered(torch.zeros(_FEW, *shape[1:], dtype=torch.float64))
        with Meter(shape[0], self._first) as meter:
            out = self.graph.forward(x)
        self._first = self._first or meter.taken()
        self._known.add(shape)
        return out


def read_onnx(content: bytes, name: str = "model") -> ImportedModel:
    """The classifier in an ONNX file as a torch module in float64 that returns logits.

    A final Softmax, or Sigmoid of one number, is left off, and so is what only makes labels. The file must hold its weights
    itself, and have a dynamic first axis for the batch.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        UnsupportedOperation: if the logits hang on an operator that cannot be converted.
        ValueError: if it is no valid ONNX file, or no classifier with logits.
        ImportError: if the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ImportError(f"reading {name} needs the package onnx: pip install 'know-your-limits[onnx]'") from None
    with _errors_name(name):
        return _read(content, name)


@contextmanager
def _errors_name(name: str, what: str = "") -> Iterator[None]:
    """Errors name the file, and are a ValueError or UnsupportedOperation."""
    try:
        yield
    except UnsupportedOperation as error:
        raise UnsupportedOperation(f"{name}: {what}{error}") from None
    except _MISFITS as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name}: {what}{text.rstrip('.')}.") from error


def _read(content: bytes, name: str) -> ImportedModel:
    model = _checked(content)
    versions = _versions(model)
    graph = Graph.of(model.graph, versions)
    ending = find_logits(graph)
    building = Building(Meter(held=_WIDEST * len(content)))
    names, shape, values = _inputs(model.graph, building)
    functions_of_file = {(f.domain, f.name) for f in model.functions}
    output = _convert(graph, ending, building, values, functions_of_file)
    if not isinstance(output, fx.Node) or output not in building.data:
        raise ValueError("its output does not hang on its input")
    n_features = shape[0] if len(shape) == 1 and shape[0] else None
    imported = ImportedModel(finish(building, output), name, ending.classes, names, n_features).eval()
    _try_out(imported, shape)
    return imported


def _checked(content: bytes) -> Any:
    """The parsed file, if it is valid and holds its weights itself."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.checker import ValidationError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ValueError("it is no ONNX file, or an incomplete one") from error
    if not model.HasField("graph") or not model.graph.node:
        raise ValueError("it is no ONNX file, or one without operators")
    if len(model.graph.node) > MOST_OPERATIONS["onnx"]:
        raise ValueError(f"it has {len(model.graph.node):,} operators: {MOST_OPERATIONS['onnx']:,} are allowed")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError("its weights are in another file: save the model as one file")
    if model.graph.sparse_initializer:
        raise UnsupportedOperation("it has sparse weights: save the model with dense ones")
    try:
        onnx.checker.check_model(model)
    except ValidationError as error:
        raise ValueError(f"it is no valid ONNX file: {str(error).strip().splitlines()[0]}") from error
    return model


def _tensors(graph: Any) -> Iterator[Any]:
    """Tensors of a graph and of the graphs within."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for inner in [attribute.g, *attribute.graphs]:
                yield from _tensors(inner)


def _versions(model: Any) -> dict[str, int]:
    """Versions of the operator sets by domain."""
    from onnx import defs

    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ValueError(f"it imports opset {versions[domain]} and opset {entry.version} at once")
    version, newest = versions.get("", _OLDEST), defs.onnx_opset_version()
    if not _OLDEST <= version <= newest:
        raise ValueError(f"its opset must be in {_OLDEST} to {newest}. Got {version} instead: export it again, or update onnx")
    return versions


def _inputs(graph: Any, building: Building) -> tuple[np.ndarray | None, list[int], dict[str, Value]]:
    """Names of features, the shape of one input (0 for what is not stated), and values by name."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [i for i in graph.input if i.name not in weights]
    sizes = [_shape(i) for i in inputs]
    if not inputs:
        raise ValueError("it has no input")
    kinds = [kind_of(i.type.tensor_type.elem_type) for i in inputs]
    if not set(kinds) <= {"float", "int"}:
        raise ValueError("its inputs must be numbers: encode texts and truth values before the model")
    x = building.graph.placeholder("x")
    building.data.add(x)
    if len(inputs) == 1:
        nodes = [x]
    else:
        if any(size != [1] for size in sizes):
            raise ValueError("its inputs must be one tensor, or a column of shape (n, 1) for each feature")
        nodes = [building.call(shapes.slice_axes, x, [i], [i + 1], [1], None) for i in range(len(inputs))]
    building.integers.update(node for node, kind in zip(nodes, kinds, strict=True) if kind == "int")
    values: dict[str, Value] = {i.name: node for i, node in zip(inputs, nodes, strict=True)}
    if len(inputs) == 1:
        return None, sizes[0], values
    return np.array([i.name for i in inputs], dtype=object), [len(inputs)], values


def _shape(entry: Any) -> list[int]:
    """Sizes of an input's axes after the first, 0 for those that are not stated."""
    if entry.type.WhichOneof("value") != "tensor_type":
        raise ValueError(f"input {entry.name!r} must be a tensor")
    dims = entry.type.tensor_type.shape.dim
    if dims and dims[0].dim_value:
        raise ValueError(f"it takes batches of {dims[0].dim_value} only: export it with a dynamic batch axis")
    return [max(dim.dim_value, 0) for dim in dims[1:]]


def _convert(
    graph: Graph, ending: Ending, building: Building, values: dict[str, Value], functions_of_file: set[tuple[str, str]]
) -> Value:
    """The value of the logits; whatever else the file computes is left alone."""
    needed = _needed(graph, ending)
    users: dict[str, int] = {ending.output: 1}
    for node in graph.nodes:
        for entry in node.input:
            users[entry] = users.get(entry, 0) + 1

    def value(name: str) -> Value:
        if name and name not in values:
            if name not in graph.tensors:
                raise ValueError(f"value {name!r} is used before anything computes it, or has no counterpart in torch")
            values[name] = as_constant(graph.tensors[name])
        return values[name] if name else None

    def replace(name: str, node: Any) -> None:
        source, operator = ending.replaced[name]
        with _errors_name(_where(node)):
            values[name] = operator(Operation(building, node, [value(source)], graph.versions.get(node.domain, 1)))

    for node in graph.nodes:
        made = [name for name in node.output if name in needed]
        for name in made:
            if name in ending.replaced:
                replace(name, node)
        if all(name in values for name in made):
            continue
        with _errors_name(_where(node)):
            key = key_of(node)
            if key not in TABLE or key in functions_of_file:
                raise UnsupportedOperation(
                    "it cannot be converted: replace it in the model, or give the model as a torch.nn.Module instead of a file"
                )
            inputs = [value(name) for name in node.input]
            version = graph.versions.get(key[0], 1)
            results = convert(TABLE[key], Operation(building, node, inputs, version, [users.get(n, 0) for n in node.input]))
            values.update((n, r) for n, r in zip(node.output, results, strict=False) if n and r is not None)
    if ending.output in ending.replaced and ending.output not in values:
        # A logit that no node of the file has under this name.
        replace(ending.output, graph.nodes[-1])
    return value(ending.output)


def _where(node: Any) -> str:
    domain, kind = key_of(node)
    return f"operator {kind} of domain {domain or 'ai.onnx'} (node {node.name!r})"


def _needed(graph: Graph, ending: Ending) -> set[str]:
    """Names of the values that the logits hang on."""
    needed: set[str] = set()
    names = [ending.output]
    while names:
        name = names.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in ending.replaced:
            names.append(ending.replaced[name][0])
        elif name in graph.producers:
            names += graph.producers[name].input
    return needed


def _try_out(imported: ImportedModel, shape: list[int]) -> None:
    """See with two inputs whether the module works, where their shape is known."""
    if not shape or 0 in shape:
        return
    x = torch.zeros(shapes.allow([_FEW, *shape]), dtype=torch.float64)
    with torch.no_grad():
        out = imported._metered(x)
    if out.ndim != 2 or out.shape[0] != _FEW or not out.is_floating_point():
        raise ValueError(f"its output must have shape (n, classes). Got {tuple(out.shape)} for n = {_FEW} instead")
    classes = max(out.shape[1], 2)
    if imported.classes_ is not None and len(imported.classes_) != classes:
        raise ValueError(f"it names {len(imported.classes_)} classes and has logits for {classes}")
