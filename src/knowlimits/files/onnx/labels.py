"""Labels that a file makes of the scores of a classifier: what they are picked by, and what they are called.

A label is the place of the largest score, or says whether a score is above a threshold; constants give it another name. So it
is followed back to the scores. What shows a part of probabilities, such as the largest or that of one class, likewise.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from knowlimits.files.onnx.graph import ML, Graph, Node
from knowlimits.files.onnx.logits import CLASSIFIERS, End, head_of, labels_of
from knowlimits.files.onnx.tracing import constant, is_input, source

_MOVES = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
# What is above a threshold: whether the number on the left must be the larger one.
_COMPARISONS = {"Greater": True, "GreaterOrEqual": True, "Less": False, "LessOrEqual": False}
# What probabilities of classes come from.
_MAKE_PROBABILITIES = {("", "Softmax"), ("", "LogSoftmax"), ("", "Sigmoid"), ("", "Concat"), (ML, "Normalizer")}
_MAKE_PROBABILITIES |= {(ML, kind) for kind in CLASSIFIERS}
_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
_LAST = (1, -1)


class How(StrEnum):
    """How a label is picked."""

    #: Where the score is largest.
    LARGEST = "the largest of"
    #: Where the score is smallest.
    SMALLEST = "the smallest of"
    #: By whether one score is above a threshold.
    THRESHOLD = "a threshold of"
    #: It is no label, but some of the scores.
    PART = "a part of"


@dataclass(frozen=True)
class Pick:
    """A label, or a part of the probabilities of classes.

    Attributes:
        output: its name.
        scores: name of the value that it is made of.
        how: in which way.
        classes: labels in the order of the scores, where constants give them.
    """

    output: str
    scores: str
    how: How
    classes: np.ndarray | None = None


@dataclass
class _Names:
    """What constants make of the places that labels are, the outermost first."""

    maps: list[np.ndarray] = field(default_factory=list)
    known: bool = True

    def add(self, labels: np.ndarray | None) -> None:
        self.known &= labels is not None
        self.maps += [] if labels is None else [labels]

    def classes(self) -> np.ndarray | None:
        """Labels by place, or None where they are not known or are the places themselves."""
        if not self.known or not self.maps:
            return None
        *outer, found = self.maps
        for labels in reversed(outer):
            if found.dtype.kind not in "iu" or not len(found) or not 0 <= found.min() <= found.max() < len(labels):
                return None
            found = labels[found]
        return found


def picked(graph: Graph, output: str, number: bool) -> Pick | None:
    """What an output is picked by, if it is a label or a part of probabilities.

    Args:
        graph: what the file says.
        output: name of the value.
        number: whether it is one of floats, with which files compute before anything is picked.
    """
    names, name, part = _Names(), output, False
    while (node := graph.producers.get(name)) is not None and node.inputs:
        kind = node.key[1]
        if node.key[0] == ML and kind in CLASSIFIERS and list(node.outputs).index(name) == 0:
            scores = node.outputs[1] if len(node.outputs) > 1 else ""
            return Pick(output, scores, How.LARGEST, names.classes()) if scores else None
        if part and node.key in _MAKE_PROBABILITIES and head_of(graph, name).makes_probabilities:
            return Pick(output, name, How.PART)
        if node.key[0] == ML:
            before = _named(graph, node, names)
            if before is None and _takes_columns(graph, node):
                before, part = node.inputs[0], True
            if before is None:
                return _above(graph, output, node, names, "") if kind == "Binarizer" else None
            name = before
        elif kind in _MOVES:
            name = node.inputs[0]
        elif kind in ("ArgMax", "ArgMin"):
            how = How.LARGEST if kind == "ArgMax" else How.SMALLEST
            return Pick(output, node.inputs[0], how, names.classes()) if node.get("axis", 0) in _LAST else None
        elif kind == "TopK":
            return _top(graph, output, node, name, names)
        elif kind == "ReduceMax":
            return _largest(graph, output, node)
        elif kind in _COMPARISONS or kind == "Round":
            return _above(graph, output, node, names, kind)
        elif kind == "OneHot":
            names.known = False
            name = node.inputs[0]
        elif kind == "Not":
            names.add(np.array([1, 0]))
            name = node.inputs[0]
        elif kind == "Where" and len(node.inputs) == 3:
            names.add(_of_two(constant(graph, node.inputs[2]), constant(graph, node.inputs[1])))
            name = node.inputs[0]
        elif kind == "Gather" and (labels := constant(graph, node.inputs[0])) is not None:
            names.add(labels.reshape(-1) if labels.size == max(labels.shape, default=1) else None)
            name = node.inputs[1]
        elif _takes_columns(graph, node):
            name, part = node.inputs[0], True
        elif kind in _ARITHMETIC and not number and (other := _other(graph, node)) is not None:
            names.known = False
            name = other
        else:
            return None
    return None


def _named(graph: Graph, node: Node, names: _Names) -> str | None:
    """The label that an operator of ai.onnx.ml gives another name."""
    if node.key[1] == "ArrayFeatureExtractor" and len(node.inputs) == 2:
        labels = constant(graph, node.inputs[0])
        if labels is None:
            return None
        names.add(labels.reshape(-1))
        return node.inputs[1]
    if node.key[1] == "LabelEncoder":
        keys = node.integers("keys_int64s")
        given = labels_of(node.value("values_int64s"), node.value("values_strings"))
        if given is None and (numbers := node.numbers("values_floats")) is not None:
            given = numbers.numpy()
        fits = keys is not None and given is not None and keys == list(range(len(given)))
        names.add(given if fits else None)
        return node.inputs[0]
    return None


def _takes_columns(graph: Graph, node: Node) -> bool:
    """Whether an operator hands on some columns of its first input."""
    kind = node.key[1]
    if node.key == (ML, "ArrayFeatureExtractor") and len(node.inputs) == 2:
        return constant(graph, node.inputs[1]) is not None
    if node.key[0] == ML:
        return False
    if kind == "Gather":
        return node.get("axis", 0) in _LAST and constant(graph, node.inputs[1]) is not None
    if kind == "Split":
        return node.get("axis", 0) in _LAST
    if kind != "Slice":
        return False
    axes = node.integers("axes") if len(node.inputs) < 4 else constant(graph, node.inputs[3])
    return axes is not None and len(np.ravel(axes)) == 1 and int(np.ravel(axes)[0]) in _LAST


def _top(graph: Graph, output: str, node: Node, name: str, names: _Names) -> Pick | None:
    if node.get("axis", -1) not in _LAST:
        return None
    place = list(node.outputs).index(name) == 1
    # The largest of anything else, as poolings take them, are no part of probabilities.
    if not place and not head_of(graph, node.inputs[0]).makes_probabilities:
        return None
    how = How.LARGEST if node.get("largest", 1) else How.SMALLEST
    return Pick(output, node.inputs[0], how if place else How.PART, names.classes())


def _largest(graph: Graph, output: str, node: Node) -> Pick | None:
    """The largest probability."""
    axes = node.integers("axes") if len(node.inputs) < 2 else constant(graph, node.inputs[1])
    last = axes is not None and len(np.ravel(axes)) == 1 and int(np.ravel(axes)[0]) in _LAST
    return Pick(output, node.inputs[0], How.PART) if last and head_of(graph, node.inputs[0]).makes_probabilities else None


def _above(graph: Graph, output: str, node: Node, names: _Names, kind: str) -> Pick | None:
    """A label that says whether one score is above a threshold."""
    if kind in _COMPARISONS:
        score = _other(graph, node)
        if score is None:
            return None
        threshold = constant(graph, node.inputs[0] if node.inputs[1] == score else node.inputs[1])
        if threshold is None or threshold.size != 1:
            return None
        at = float(threshold.reshape(()))
        if _COMPARISONS[kind] != (node.inputs[0] == score):
            names.add(np.array([1, 0]))
    else:
        score, at = node.inputs[0], 0.5 if kind == "Round" else node.get("threshold", 0.0)
    # Of two probabilities one will do.
    name, part = source(graph, score), False
    while (before := graph.producers.get(name)) is not None and _takes_columns(graph, before):
        name, part = source(graph, before.inputs[0]), True
    head = head_of(graph, name)
    if part:
        return Pick(output, name, How.LARGEST) if head.makes_probabilities and 0 < at < 1 else None
    if head.end is End.CLASSES:
        return None
    if head.end is End.SIGMOIDS:
        return Pick(output, name, How.THRESHOLD, names.classes()) if 0 < at < 1 else None
    # A logit is compared with 0; a number that is compared with another may be anything.
    plain = at == 0 and kind in _COMPARISONS and not is_input(graph, name)
    return Pick(output, name, How.THRESHOLD, names.classes()) if plain else None


def _other(graph: Graph, node: Node) -> str | None:
    """The one of two inputs that is no constant."""
    if len(node.inputs) != 2:
        return None
    others = [name for name in node.inputs if constant(graph, name) is None]
    return others[0] if len(others) == 1 else None


def _of_two(low: np.ndarray | None, high: np.ndarray | None) -> np.ndarray | None:
    if low is None or high is None or low.size != 1 or high.size != 1:
        return None
    return np.concatenate([low.reshape(-1), high.reshape(-1)])
