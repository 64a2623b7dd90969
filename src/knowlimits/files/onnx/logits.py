"""Where the logits of a classifier are in its ONNX graph, and the labels of its classes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from knowlimits.files.onnx.activations import softmax_axis
from knowlimits.files.onnx.building import Operation
from knowlimits.files.onnx.graph import ML, Graph, Node, as_constant, kind_of
from knowlimits.files.onnx.ml import linear_logits, linear_shares
from knowlimits.files.onnx.trees import ends_in_logits, gives_opposite_scores, tree_logits

_MOVED = {("", "Identity"), ("", "Cast"), ("", "Reshape"), ("", "Flatten"), ("", "Squeeze")}
_PASSED = {("", "Identity"), ("", "Flatten"), ("", "Reshape"), (ML, "ZipMap"), (ML, "Normalizer")}


def class_logits(x: Tensor, axis: int, flat: bool) -> Tensor:
    """The input of a final softmax, if it has one axis of classes for each input and nothing else."""
    axis = axis % x.ndim if -x.ndim <= axis < x.ndim else axis
    classes = math.prod(x.shape[axis:]) if flat else x.shape[axis]
    if axis == 0 or x.shape[0] * classes != x.numel():
        raise ValueError(f"the last Softmax of the model is not over one axis of classes. Got shape {list(x.shape)} instead.")
    return x


def one_logit(x: Tensor) -> Tensor:
    """The input of a final sigmoid, if it has one number for each input."""
    if x.ndim == 0 or x.numel() != x.shape[0]:
        raise ValueError(f"the model ends in Sigmoids of shape {list(x.shape)}: it must have one, or Softmax over classes")
    return x.reshape(-1, 1)


def second_of_two(x: Tensor) -> Tensor:
    """The logit of two sigmoids of -f and f, ``(n, 2) -> (n, 1)``."""
    return x[:, 1:]


@dataclass
class Head:
    """The end of a classifier.

    Attributes:
        output: name of the value that the module returns.
        replaced: values that are computed otherwise than the file says: the value they come from and how.
        classes: labels, or None.
        probabilities: whether it says that these are probabilities.
    """

    output: str
    replaced: dict[str, tuple[str, Callable[[Operation], Any]]] = field(default_factory=dict)
    classes: np.ndarray | None = None
    probabilities: bool = False

    @property
    def outputs(self) -> str | None:
        """What the module returns, where that is known."""
        return "logits" if self.replaced else "probabilities" if self.probabilities else None


def find_logits(graph: Graph) -> Head:
    """The one output of floats, without what makes probabilities of logits."""
    heads = {output.name: _head(graph, output.name) for output in graph.outputs if _is_float(output.type)}
    heads = heads or {name: _head(graph, name) for output in graph.outputs if (name := _behind_label(graph, output.name))}
    if not heads:
        raise ValueError("it has no output of floats: export the classifier with its logits or probabilities")
    if len(heads) > 1:
        heads = {name: head for name, head in heads.items() if head.outputs} or heads
    if len(heads) > 1:
        raise ValueError(f"it has several outputs of floats, {', '.join(heads)}: export it with the logits alone")
    (head,) = heads.values()
    if head.classes is None:
        head.classes = _labels(graph)
    return head


def _is_float(kind: Any) -> bool:
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        value = kind.sequence_type.elem_type
        return value.WhichOneof("value") == "map_type" and _is_float(value.map_type.value_type)
    return which == "tensor_type" and kind_of(kind.tensor_type.elem_type) == "float"


def _head(graph: Graph, output: str) -> Head:
    head = Head(output)
    # What is named so, or is made into a map of labels, is no logit even where nothing is found to be undone.
    head.probabilities = "prob" in output.lower()
    # Probabilities that add up to one stay as they are when they are divided by their sum.
    unchanged: dict[str, tuple[str, Callable[[Operation], Any]]] = {}
    name = output
    while (node := graph.producers.get(name)) is not None:
        key = node.key
        if key[0] == ML and key[1] in _CLASSIFIERS:
            _classified(head, node, name, unchanged)
            return head
        if key in (("", "Softmax"), ("", "LogSoftmax")):
            if not (unchanged and key[1] == "LogSoftmax"):
                head.replaced = {**unchanged, name: (node.inputs[0], _stripped_softmax)}
            return head
        if key == ("", "Sigmoid") and not unchanged:
            if (scores := _opposite_scores(graph, node.inputs[0])) is not None:
                head.replaced[name] = (node.inputs[0], lambda o: o.call(second_of_two, *o.take(1)))
                head.classes = _classes(scores) if head.classes is None else head.classes
                return head
            return _binary(head, node.inputs[0])
        if key == ("", "Concat") and (logit := _binary_logit(graph, node)) is not None:
            return _binary(head, logit)
        if not (key in _PASSED or (key == ("", "Cast") and kind_of(node.get("to", 0)) == "float")):
            return head
        if key == (ML, "ZipMap"):
            head.probabilities = True
            head.classes = _labels_of(node.value("classlabels_int64s"), node.value("classlabels_strings"))
            # A sequence of maps has no counterpart here.
            head.output = node.inputs[0]
        if key == (ML, "Normalizer"):
            if node.get("norm", "MAX") != "L1":
                return head
            head.probabilities = True
            unchanged[name] = (node.inputs[0], lambda o: o.take(1)[0])
        name = node.inputs[0]
    return head


def _classified(head: Head, node: Node, name: str, unchanged: dict[str, tuple[str, Callable[[Operation], Any]]]) -> None:
    """What is known of an output that comes from a classifier of ai.onnx.ml, of which it is the scores."""
    if node.outputs.index(name) != 1:
        return
    head.classes = _classes(node)
    logits, ends = _CLASSIFIERS[node.key[1]]
    if ends(node):
        head.replaced = {**unchanged, name: (node.inputs[0], logits)}
    elif node.key[1] == "LinearClassifier" and unchanged:
        head.replaced = {**unchanged, name: (node.inputs[0], linear_shares)}
    else:
        head.probabilities |= node.key[1] != "LinearClassifier"


def _opposite_scores(graph: Graph, name: str) -> Node | None:
    """The classifier whose scores -f and f of two classes numbers are, as they are or times a number."""
    node = graph.producers.get(name)
    if node is not None and node.key == ("", "Mul"):
        scaled = [one for one in node.inputs if one not in graph.tensors]
        numbers = [as_constant(graph.tensors[one]) for one in node.inputs if one in graph.tensors]
        if len(scaled) != 1 or numbers[0].numel() != 1:
            return None
        name, node = scaled[0], graph.producers.get(scaled[0])
    if node is None or node.key != (ML, "TreeEnsembleClassifier") or node.outputs.index(name) != 1:
        return None
    return node if gives_opposite_scores(node) else None


def _classes(classifier: Node) -> np.ndarray | None:
    whole = classifier.value("classlabels_ints") or classifier.value("classlabels_int64s")
    return _labels_of(whole, classifier.value("classlabels_strings"))


def _linear_ends(node: Node) -> bool:
    after, classes = node.get("post_transform", "NONE"), node.value("classlabels_ints") or node.value("classlabels_strings")
    return after != "LOGISTIC" or len(classes or []) < 3


# By their names what gives logits of them, and whether they make probabilities of logits, or give logits themselves.
_CLASSIFIERS = {
    "LinearClassifier": (linear_logits, _linear_ends),
    "TreeEnsembleClassifier": (tree_logits, ends_in_logits),
    "SVMClassifier": (None, lambda node: False),
}


def _stripped_softmax(o: Operation) -> Any:
    return o.call(class_logits, *o.take(1), *softmax_axis(o.node))


def _binary(head: Head, logit: str) -> Head:
    """One logit is returned in place of the output, whose shape may be another."""
    replaced = "one logit"
    while replaced in (head.output, logit):
        replaced += "'"
    return Head(replaced, {replaced: (logit, lambda o: o.call(one_logit, *o.take(1)))}, head.classes, head.probabilities)


def _binary_logit(graph: Graph, concat: Node) -> str | None:
    """z, if a node puts 1 - p and p side by side for p = sigmoid(z)."""
    if len(concat.inputs) != 2 or concat.get("axis", 0) not in (1, -1):
        return None
    other, p = concat.inputs
    subtract = graph.producers.get(other)
    if subtract is None or subtract.key != ("", "Sub") or subtract.inputs[1] != p or subtract.inputs[0] not in graph.tensors:
        return None
    one = as_constant(graph.tensors[subtract.inputs[0]])
    if one.numel() != 1 or one.item() != 1:
        return None
    while (node := graph.producers.get(p)) is not None:
        if node.key == ("", "Sigmoid"):
            return node.inputs[0]
        if node.key not in {("", "Identity"), ("", "Reshape"), ("", "Flatten"), ("", "Cast")}:
            return None
        p = node.inputs[0]
    return None


def _behind_label(graph: Graph, name: str) -> str | None:
    """The scores of classes by which a label is picked, if it is the largest of them."""
    while (node := graph.producers.get(name)) is not None and node.inputs:
        if node.key[0] == ML and node.key[1] in _CLASSIFIERS:
            return node.outputs[1] if len(node.outputs) > 1 and node.outputs[1] else None
        if node.key == ("", "ArgMax"):
            return node.inputs[0] if node.get("axis", 0) in (1, -1) else None
        # Labels are picked by places, which come second.
        picks = node.key == (ML, "ArrayFeatureExtractor") and len(node.inputs) == 2
        if not picks and node.key not in _MOVED:
            return None
        name = node.inputs[1 if picks else 0]
    return None


def _labels(graph: Graph) -> np.ndarray | None:
    """The constant that another output picks labels from."""
    for output in graph.outputs:
        name = output.name
        while (node := graph.producers.get(name)) is not None and node.inputs:
            if node.key == (ML, "ArrayFeatureExtractor"):
                tensor = graph.tensors.get(node.inputs[0])
                return None if tensor is None else _array(tensor)
            if node.key not in _MOVED:
                break
            name = node.inputs[0]
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
