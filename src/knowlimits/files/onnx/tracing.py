"""What values of a graph hang on, come from and look like, as far as the file says it without being run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from knowlimits.files.budget import MOST_PARTS
from knowlimits.files.onnx.graph import ML, Graph, Node, as_constant, kind_of

# Operators that hand on the numbers of their first input.
_KEPT = {("", kind) for kind in ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")}
# And those that pick some of them, put them elsewhere or together.
_MOVED = _KEPT | {("", kind) for kind in ("Transpose", "Slice", "Gather", "Split", "Concat", "Expand", "Tile")}
_MOVED |= {(ML, "ArrayFeatureExtractor"), (ML, "FeatureVectorizer")}
_OF_SHAPES = {("", "Shape"), ("", "Size")}
# Operators whose output has as many columns as their first input.
_AS_WIDE = {
    *(
        ("", kind)
        for kind in (
            "Identity",
            "Cast",
            "Dropout",
            "Sigmoid",
            "Softmax",
            "LogSoftmax",
            "Relu",
            "LeakyRelu",
            "Elu",
            "Tanh",
            "Exp",
            "Log",
            "Neg",
        )
    ),
    *(("", kind) for kind in ("Clip", "Softplus", "BatchNormalization", "LayerNormalization", "HardSigmoid")),
    *((ML, kind) for kind in ("Scaler", "Normalizer", "Imputer", "ZipMap")),
}
ARITHMETIC = {("", kind) for kind in ("Add", "Sub", "Mul", "Div")}


def needed(graph: Graph, names: Iterable[str], instead: Mapping[str, str] | None = None) -> set[str]:
    """Names of all values that some values hang on, these among them.

    Args:
        graph: what the file says.
        names: of the values.
        instead: values that are made of another one than the file says.
    """
    found: set[str] = set()
    names, instead = list(names), instead or {}
    while names:
        name = names.pop()
        if name in found:
            continue
        found.add(name)
        if name in instead:
            names.append(instead[name])
        elif name in graph.producers:
            names += graph.producers[name].inputs
    return found - {""}


def is_input(graph: Graph, name: str) -> bool:
    """Whether a value is an input of the model."""
    return bool(name) and name not in graph.producers and name not in graph.tensors


def hanging(graph: Graph) -> set[str]:
    """Values that hang on the numbers of inputs, and not only on their shapes."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.key not in _OF_SHAPES and any(name in found or is_input(graph, name) for name in node.inputs):
            found.update(node.outputs)
    return found - {""}


def passed_on(graph: Graph) -> set[str]:
    """Values that have nothing but numbers of inputs, as they are."""
    moving = hanging(graph)
    found: set[str] = set()
    for node in graph.nodes:
        given = [name for name in node.inputs if name in moving or is_input(graph, name)]
        if node.key in _MOVED and given and all(name in found or is_input(graph, name) for name in given):
            found.update(node.outputs)
    return found - {""}


def keeps(node: Node) -> bool:
    """Whether a node hands on the numbers of its first input, all of them and in their order."""
    return node.key in _KEPT and (node.key != ("", "Cast") or kind_of(node.get("to", 0)) == "float")


def source(graph: Graph, name: str) -> str:
    """The value whose numbers a value has, all of them and in their order."""
    while (node := graph.producers.get(name)) is not None and keeps(node):
        name = node.inputs[0]
    return name


def without_constants(graph: Graph, name: str) -> list[str]:
    """A value, and those that it is made of by arithmetic with constants, or as their root, one after another."""
    found = [name]
    while (node := graph.producers.get(name)) is not None:
        others = [one for one in node.inputs if one not in graph.tensors and constant(graph, one) is None]
        if not (keeps(node) or node.key == ("", "Sqrt") or (node.key in ARITHMETIC and len(others) == 1)):
            break
        name = node.inputs[0] if keeps(node) else others[0]
        found.append(name)
    return found


def ends_in(graph: Graph, name: str) -> str:
    """The operator that the numbers of a value come from; ``""`` for those of an input or constants."""
    node = graph.producers.get(source(graph, name))
    return "" if node is None else node.key[1]


def constant(graph: Graph, name: str) -> np.ndarray | None:
    """The constant that a value is, numbers or texts, if the file has it as one, and it is no larger than lists of labels."""
    from onnx import TensorProto

    tensor = graph.tensors.get(name)
    if tensor is not None and math.prod(tensor.dims) > MOST_PARTS:
        return None
    if tensor is not None:
        if tensor.data_type == TensorProto.STRING:
            return texts(tensor.string_data)
        return as_constant(tensor).numpy() if kind_of(tensor.data_type) is not None else None
    node = graph.producers.get(name)
    if node is None or node.key != ("", "Constant"):
        return None
    for attribute in ("value_float", "value_floats", "value_int", "value_ints"):
        if (value := node.value(attribute)) is not None:
            return np.array(value)
    strings = node.value("value_strings")
    return None if strings is None else texts(strings)


def texts(strings: Iterable[Any]) -> np.ndarray:
    """Texts as files have them."""
    return np.array([s.decode() if isinstance(s, bytes) else str(s) for s in strings])


def columns(graph: Graph, name: str) -> int | None:
    """How many columns a value ``(n, columns)`` has, by the weights that it is made with, else as an output states it."""
    stated = {output.name: output for output in graph.outputs}
    while True:
        node = graph.producers.get(name)
        if node is not None and (count := made_columns(graph, node, name)) is not None:
            return count
        sizes = stated_sizes(stated.get(name))
        if sizes is not None and len(sizes) == 1 and sizes[0]:
            return sizes[0]
        # A number for each row, unless that is one row of several numbers.
        if (
            sizes == []
            and stated[name].type.tensor_type.shape.dim[:1]
            and stated[name].type.tensor_type.shape.dim[0].dim_value < 2
        ):
            return 1
        before = None if node is None else _as_wide(graph, node)
        if before is None:
            return None
        name = before


def stated_sizes(output: Any) -> list[int] | None:
    """Sizes of the axes after the first of an output of the graph, 0 where open; None where nothing is said."""
    if output is None or output.type.WhichOneof("value") != "tensor_type" or not output.type.tensor_type.HasField("shape"):
        return None
    return [max(dim.dim_value, 0) for dim in output.type.tensor_type.shape.dim[1:]]


def shape_in_words(sizes: Sequence[int]) -> str:
    """A shape as a person writes it, the first axis that of the rows, 0 for what is open."""
    rest = [str(size or "?") for size in sizes[1:]]
    return f"(n, {', '.join(rest)})" if rest else "(n,)"


def made_columns(graph: Graph, node: Node, name: str) -> int | None:
    """Columns of what an operator makes, where its own weights say so."""
    if node.key in (("", "Gemm"), ("", "MatMul")) and len(node.inputs) > 1:
        weight = graph.tensors.get(node.inputs[1])
        if weight is None or len(weight.dims) != 2:
            return None
        return int(weight.dims[0 if node.key[1] == "Gemm" and node.get("transB", 0) else 1])
    if node.key in ARITHMETIC:
        # What is added may be wider than what it is added to.
        widths = [int(graph.tensors[one].dims[-1]) for one in node.inputs if one in graph.tensors and graph.tensors[one].dims]
        return max(widths) if widths and max(widths) > 1 else None
    if node.key[0] != ML:
        return None
    if node.key[1] == "TreeEnsembleRegressor":
        return node.get("n_targets", 1)
    if node.key[1] in ("LinearRegressor", "SVMRegressor"):
        return node.get("targets", 1)
    labels = next((node.value(one) for one in node.attributes if one.startswith("classlabels_")), None)
    of_classifier = node.key[1].endswith("Classifier") and list(node.outputs).index(name) == 1
    return len(labels) if labels and (of_classifier or node.key[1] == "ZipMap") else None


def _as_wide(graph: Graph, node: Node) -> str | None:
    """An input of an operator whose output has as many columns."""
    if node.key in _AS_WIDE and node.inputs:
        return node.inputs[0]
    if node.key in ARITHMETIC:
        others = [name for name in node.inputs if name not in graph.tensors]
        return others[0] if len(others) == 1 else None
    return None
