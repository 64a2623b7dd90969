"""Where the logits of a classifier are in its ONNX graph, and the labels of its classes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from knowlimits.files.onnx import functions
from knowlimits.files.onnx.building import Operation, as_constant, kind_of
from knowlimits.files.onnx.layers import linear_classifier
from knowlimits.files.onnx.operators import ML

_PASSED = {("", "Identity"), ("", "Flatten"), ("", "Reshape"), (ML, "ZipMap"), (ML, "Normalizer")}


@dataclass
class Graph:
    """A graph of the file with its parts by name.

    Attributes:
        nodes: in an order in which they can run.
        producers: the node that makes a value.
        tensors: constants by name: initializers and values of Constant nodes.
        outputs: the graph's outputs.
        versions: of the operator sets, by domain.
    """

    nodes: list[Any]
    producers: dict[str, Any]
    tensors: dict[str, Any]
    outputs: list[Any]
    versions: dict[str, int]

    @staticmethod
    def of(graph: Any, versions: dict[str, int]) -> "Graph":
        """The parts of a graph."""
        tensors = {t.name: t for t in graph.initializer}
        for node in graph.node:
            if key_of(node) == ("", "Constant") and node.output:
                tensors.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        producers = {name: node for node in graph.node for name in node.output if name}
        return Graph(list(graph.node), producers, tensors, list(graph.output), versions)


@dataclass
class Ending:
    """The end of a classifier.

    Attributes:
        output: name of the value that the module returns.
        replaced: values that are computed otherwise than the file says: the value they come from and how.
        classes: labels, or None.
    """

    output: str
    replaced: dict[str, tuple[str, Callable[[Operation], Any]]] = field(default_factory=dict)
    classes: np.ndarray | None = None


def key_of(node: Any) -> tuple[str, str]:
    """Domain and operator; the domain of ONNX itself has two names."""
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type


def find_logits(graph: Graph) -> Ending:
    """The one output of floats, without what makes probabilities of logits."""
    endings = {output.name: _ending(graph, output.name) for output in graph.outputs if _is_float(output.type)}
    if not endings:
        raise ValueError("it has no output of floats: export the classifier with its logits or probabilities")
    if len(endings) > 1:
        endings = {name: ending for name, ending in endings.items() if ending.replaced} or endings
    if len(endings) > 1:
        raise ValueError(f"it has several outputs of floats, {', '.join(endings)}: export it with the logits alone")
    (ending,) = endings.values()
    if ending.classes is None:
        ending.classes = _labels(graph)
    return ending


def _is_float(kind: Any) -> bool:
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        value = kind.sequence_type.elem_type
        return value.WhichOneof("value") == "map_type" and _is_float(value.map_type.value_type)
    return which == "tensor_type" and kind_of(kind.tensor_type.elem_type) == "float"


def _ending(graph: Graph, output: str) -> Ending:
    ending = Ending(output)
    # What is named so, or is made into a map of labels, is no logit even where nothing is found to be undone.
    probabilities, normalized, name = "prob" in output.lower(), False, output
    while (node := graph.producers.get(name)) is not None:
        key, operation = key_of(node), _Named(node)
        if key == (ML, "LinearClassifier") and list(node.output).index(name) == 1:
            ending.replaced[name] = (node.input[0], linear_classifier)
            ending.classes = _labels_of(operation.get("classlabels_ints"), operation.get("classlabels_strings"))
            return ending
        if key in (("", "Softmax"), ("", "LogSoftmax")):
            if normalized and key[1] == "LogSoftmax":
                break
            flat = graph.versions.get("", 0) < 13
            axis = operation.get("axis", 1 if flat else -1)
            ending.replaced[name] = (node.input[0], _stripped_softmax(axis, flat))
            return ending
        if key == ("", "Sigmoid") and not normalized:
            return _binary(ending, node.input[0])
        if key == ("", "Concat") and (logit := _binary_logit(graph, node)) is not None:
            return _binary(ending, logit)
        if not (key in _PASSED or (key == ("", "Cast") and kind_of(operation.get("to", 0)) == "float")):
            break
        if key == (ML, "ZipMap"):
            probabilities = True
            ending.classes = _labels_of(operation.get("classlabels_int64s"), operation.get("classlabels_strings"))
            # A sequence of maps has no counterpart here.
            ending.output = node.input[0]
        if key == (ML, "Normalizer"):
            if operation.get("norm", b"MAX") != b"L1":
                break
            # Probabilities that add up to one stay as they are, and nothing else does.
            probabilities = normalized = True
            ending.replaced[name] = (node.input[0], lambda o: o.input(0))
        name = node.input[0]
    if probabilities:
        raise ValueError(
            f"output {output!r} are probabilities that cannot be traced back to logits, as neither Softmax nor one Sigmoid is "
            "at its end: export the logits"
        )
    return ending


def _stripped_softmax(axis: int, flat: bool) -> Callable[[Operation], Any]:
    return lambda o: o.call(functions.class_logits, o.input(0), axis, flat)


def _binary(ending: Ending, logit: str) -> Ending:
    """One logit is returned in place of the output, whose shape may be another."""
    replaced = "one logit"
    while replaced in (ending.output, logit):
        replaced += "'"
    return Ending(replaced, {replaced: (logit, lambda o: o.call(functions.one_logit, o.input(0)))}, ending.classes)


class _Named:
    """The attributes of a node by name."""

    def __init__(self, node: Any) -> None:
        self._attributes = {a.name: a for a in node.attribute}

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        from onnx import helper

        return helper.get_attribute_value(self._attributes[name]) if name in self._attributes else default


def _binary_logit(graph: Graph, concat: Any) -> str | None:
    """z, if a node puts 1 - p and p side by side for p = sigmoid(z)."""
    if len(concat.input) != 2 or _Named(concat).get("axis") not in (1, -1):
        return None
    other, p = concat.input
    subtract = graph.producers.get(other)
    if subtract is None or key_of(subtract) != ("", "Sub") or subtract.input[1] != p or subtract.input[0] not in graph.tensors:
        return None
    one = as_constant(graph.tensors[subtract.input[0]])
    if one.numel() != 1 or one.item() != 1:
        return None
    while (node := graph.producers.get(p)) is not None:
        if key_of(node) == ("", "Sigmoid"):
            return node.input[0]
        if key_of(node) not in {("", "Identity"), ("", "Reshape"), ("", "Flatten"), ("", "Cast")}:
            return None
        p = node.input[0]
    return None


def _labels(graph: Graph) -> np.ndarray | None:
    """The constant that another output picks labels from."""
    for output in graph.outputs:
        name = output.name
        while (node := graph.producers.get(name)) is not None and node.input:
            if key_of(node) == (ML, "ArrayFeatureExtractor"):
                tensor = graph.tensors.get(node.input[0])
                return None if tensor is None else _array(tensor)
            if key_of(node) not in {("", "Identity"), ("", "Cast"), ("", "Reshape"), ("", "Flatten"), ("", "Squeeze")}:
                break
            name = node.input[0]
    return None


def _array(tensor: Any) -> np.ndarray | None:
    from onnx import TensorProto

    if tensor.data_type == TensorProto.STRING:
        return _labels_of(None, list(tensor.string_data))
    return as_constant(tensor).reshape(-1).numpy() if kind_of(tensor.data_type) is not None else None


def _labels_of(whole: Any, strings: Any) -> np.ndarray | None:
    if whole:
        return np.array([int(v) for v in whole])
    return np.array([s.decode() if isinstance(s, bytes) else str(s) for s in strings]) if strings else None
