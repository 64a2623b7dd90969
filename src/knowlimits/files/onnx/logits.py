"""What a value of an ONNX graph ends in: where the logits are that probabilities are made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from torch import Tensor

from knowlimits.files.onnx.activations import softmax_axis
from knowlimits.files.onnx.building import Operation
from knowlimits.files.onnx.graph import ML, Graph, Node, as_constant
from knowlimits.files.onnx.ml import linear_logits, linear_shares
from knowlimits.files.onnx.tracing import keeps, source, texts
from knowlimits.files.onnx.trees import ends_in_logits, gives_opposite_scores, tree_logits

# What may be done to probabilities that stay probabilities.
_SHARED = {(ML, "ZipMap"), (ML, "Normalizer")}


def class_logits(x: Tensor, axis: int, flat: bool) -> Tensor:
    """The input of a final softmax, if it has one axis of classes for each input and nothing else."""
    axis = axis % x.ndim if -x.ndim <= axis < x.ndim else axis
    classes = math.prod(x.shape[axis:]) if flat else x.shape[axis]
    if axis == 0 or x.shape[0] * classes != x.numel():
        raise ValueError(f"the last Softmax of the model is not over one axis of classes. Got shape {list(x.shape)} instead.")
    if classes == 1:
        raise ValueError("the last Softmax of the model is over one number, of which it makes 1: it must be over all classes.")
    return x


def one_logit(x: Tensor) -> Tensor:
    """The input of a final sigmoid, if it has one number for each input."""
    if x.ndim == 0 or x.numel() != x.shape[0]:
        raise ValueError(
            f"the model is multi-label: it ends in Sigmoids of shape {list(x.shape)}, for labels of which several may be true "
            "or as an autoencoder does, and not in classes that exclude each other. Export one of these labels alone, or a "
            "Softmax over classes."
        )
    return x.reshape(-1, 1)


def second_of_two(x: Tensor) -> Tensor:
    """The logit of two sigmoids of -f and f, ``(n, 2) -> (n, 1)``."""
    return x[:, 1:]


class End(StrEnum):
    """What a value ends in."""

    #: Scores of classes that exclude each other: a softmax, a classifier, maps of labels.
    CLASSES = "classes"
    #: One sigmoid or several.
    SIGMOIDS = "sigmoids"
    #: Anything else.
    OTHER = "other"


@dataclass
class Head:
    """The end of a classifier.

    Attributes:
        name: of the value that is taken.
        output: name of the value that the module returns.
        root: name of the value that the logits are, behind what only hands numbers on.
        end: what it ends in.
        replaced: values that are computed otherwise than the file says: the value they come from and how.
        undone: the operator that is left off, such as "Softmax"; ``""`` for none.
        classes: labels, or None.
        probabilities: whether it says that these are probabilities.
        picked: what else is said of the value: the label that is picked by it.
    """

    name: str
    output: str
    root: str = ""
    end: End = End.OTHER
    replaced: dict[str, tuple[str, Callable[[Operation], Any]]] = field(default_factory=dict)
    undone: str = ""
    classes: np.ndarray | None = None
    probabilities: bool = False
    picked: str = ""

    @property
    def outputs(self) -> str | None:
        """What the module returns, where that is known."""
        return "logits" if self.replaced else "probabilities" if self.probabilities else None

    @property
    def instead(self) -> dict[str, str]:
        """Values that are made of another one than the file says."""
        return {name: before for name, (before, _) in self.replaced.items()}

    @property
    def makes_probabilities(self) -> bool:
        """Whether it has probabilities of classes, or their logarithms."""
        return self.end is End.CLASSES and bool(self.undone or self.probabilities)


def head_of(graph: Graph, output: str) -> Head:
    """What a value ends in, and what of it is left off."""
    head = Head(output, output)
    # What is named so, or is made into a map of labels, is no logit even where nothing is found to be undone.
    head.probabilities = "prob" in output.lower()
    # Probabilities that add up to one stay as they are when they are divided by their sum.
    unchanged: dict[str, tuple[str, Callable[[Operation], Any]]] = {}
    name = output
    while (node := graph.producers.get(name)) is not None:
        key = node.key
        if key[0] == ML and key[1] in CLASSIFIERS:
            _classified(head, node, name, unchanged)
            break
        if (found := _softmax(graph, node)) is not None:
            softmax, undone = found
            if not (unchanged and undone == "LogSoftmax"):
                logits = softmax.inputs[0]
                head.replaced = {**unchanged, name: (logits, _without(softmax))}
                head.end, head.undone, head.root = End.CLASSES, undone, source(graph, logits)
            break
        if key == ("", "Sigmoid") and not unchanged:
            if (scores := _opposite_scores(graph, node.inputs[0])) is not None:
                head.replaced[name] = (node.inputs[0], lambda o: o.call(second_of_two, *o.take(1)))
                head.classes = _classes(scores) if head.classes is None else head.classes
                head.end, head.undone, head.root = End.CLASSES, key[1], source(graph, node.inputs[0])
                break
            return one_of_two(graph, head, node.inputs[0], End.SIGMOIDS)
        if key == ("", "Concat") and (logit := _binary_logit(graph, node)) is not None:
            return one_of_two(graph, head, logit, End.CLASSES)
        if not (keeps(node) or key in _SHARED):
            break
        if key == (ML, "ZipMap"):
            head.probabilities, head.end = True, End.CLASSES
            head.classes = labels_of(node.value("classlabels_int64s"), node.value("classlabels_strings"))
            # A sequence of maps has no counterpart here.
            head.output = node.inputs[0]
        if key == (ML, "Normalizer"):
            if node.get("norm", "MAX") != "L1":
                break
            head.probabilities = True
            unchanged[name] = (node.inputs[0], lambda o: o.take(1)[0])
        name = node.inputs[0]
    head.root = head.root or name
    return head


def one_of_two(graph: Graph, head: Head, logit: str, end: End, undone: str = "Sigmoid") -> Head:
    """One logit is returned in place of the output, whose shape may be another."""
    name = "one logit"
    while name in (head.output, logit):
        name += "'"
    replaced = {name: (logit, lambda o: o.call(one_logit, *o.take(1)))}
    root, found = source(graph, logit), (head.classes, head.probabilities, head.picked)
    return Head(head.name, name, root, end, replaced, undone, *found)


def _classified(head: Head, node: Node, name: str, unchanged: dict[str, tuple[str, Callable[[Operation], Any]]]) -> None:
    """What is known of an output that comes from a classifier of ai.onnx.ml, of which it is the scores."""
    if node.outputs.index(name) != 1:
        return
    head.classes, head.end = _classes(node), End.CLASSES
    logits, ends = CLASSIFIERS[node.key[1]]
    if ends(node):
        head.replaced = {**unchanged, name: (node.inputs[0], logits)}
        head.undone = {"LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}.get(node.get("post_transform", "NONE"), "")
    elif node.key[1] == "LinearClassifier" and unchanged:
        head.replaced, head.undone = {**unchanged, name: (node.inputs[0], linear_shares)}, "Sigmoid"
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
    return labels_of(whole, classifier.value("classlabels_strings"))


def _linear_ends(node: Node) -> bool:
    after, classes = node.get("post_transform", "NONE"), node.value("classlabels_ints") or node.value("classlabels_strings")
    return after != "LOGISTIC" or len(classes or []) < 3


# By their names what gives logits of them, and whether they make probabilities of logits, or give logits themselves.
CLASSIFIERS = {
    "LinearClassifier": (linear_logits, _linear_ends),
    "TreeEnsembleClassifier": (tree_logits, ends_in_logits),
    "SVMClassifier": (None, lambda node: False),
}


def _without(softmax: Node) -> Callable[[Operation], Any]:
    """What is returned in place of a softmax."""
    return lambda o: o.call(class_logits, *o.take(1), *softmax_axis(softmax))


def _softmax(graph: Graph, node: Node) -> tuple[Node, str] | None:
    """The softmax that a node is, or whose logarithm it takes, and which it is then; the same the other way round."""
    if node.key in (("", "Softmax"), ("", "LogSoftmax")):
        return node, node.key[1]
    before = graph.producers.get(node.inputs[0]) if node.inputs else None
    if before is not None and (node.key, before.key) == (("", "Log"), ("", "Softmax")):
        return before, "LogSoftmax"
    if before is not None and (node.key, before.key) == (("", "Exp"), ("", "LogSoftmax")):
        return before, "Softmax"
    return None


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
    node = graph.producers.get(source(graph, p))
    return node.inputs[0] if node is not None and node.key == ("", "Sigmoid") else None


def labels_of(whole: Any, strings: Any) -> np.ndarray | None:
    """Labels as attributes list them, whole numbers or texts; None where there are none."""
    if whole:
        return np.array([int(v) for v in whole])
    return texts(strings) if strings else None
