"""Which of the values that an ONNX file gives is its classifier, beyond doubt or as a person says.

Of several outputs of floats that is the one that ends in a softmax over classes, or where none does the one that is called
probabilities and has several columns, if no other could be a classifier as well. What it is called is held to that by its
numbers, when it is read. What is an input passed through, a constant, the same scores once more, a label or a part of the
probabilities does not count.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.files.onnx.blends import is_made_class_by_class
from knowlimits.files.onnx.graph import ML, Graph, kind_of
from knowlimits.files.onnx.labels import How, Pick, picked
from knowlimits.files.onnx.logits import End, Head, head_of, one_of_two
from knowlimits.files.onnx.no_classifier import check_classifier
from knowlimits.files.onnx.tracing import (
    columns,
    constant,
    ends_in,
    hanging,
    needed,
    passed_on,
    shape_in_words,
    source,
    stated_sizes,
    without_constants,
)

# Outputs that are looked at, values that are searched for one of a similar name, and that are listed.
_MOST, _SEARCHED, _SHOWN = 100, 2_000, 8
# Activations: what ends in one has bounds, or is a hidden layer, and no scores of classes where others end in a softmax.
_ACTIVATIONS = {"Relu", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Gelu", "Tanh", "HardSwish", "Mish", "Swish", "Softplus"}


@dataclass(frozen=True)
class _Outputs:
    """What the outputs of a file are.

    Attributes:
        floats: those that could be scores of classes.
        picks: labels, and parts of probabilities.
    """

    floats: list[Head]
    picks: list[Pick]


def find_head(graph: Graph, wanted: str | None = None, producer: str = "") -> Head:
    """The value that is the classifier, without what makes probabilities of logits.

    Args:
        graph: what the file says.
        wanted: name of the value, where a person gives one.
        producer: what wrote the file.

    Raises:
        ValueError: if there is none or it cannot be told which it is, or none of that name.
    """
    if len(graph.outputs) > _MOST:
        raise ValueError(f"it has {len(graph.outputs):,} outputs: {_MOST} are allowed")
    outputs = _outputs(graph)
    if wanted is not None:
        head = _wanted(graph, wanted)
    else:
        head = _chosen(graph, outputs)
        check_classifier(graph, head, outputs.picks, producer)
        _check_labels(graph, head, outputs.picks)
        head = _told_by(graph, head, [pick for pick in outputs.picks if _root(graph, pick) == head.root])
    if head.classes is None:
        head.classes = _classes(graph, head, outputs)
    return head


def taken_inputs(graph: Graph, head: Head, inputs: Iterable[Any]) -> list[Any]:
    """The inputs of a file that are those of its classifier.

    Columns that nothing hangs on are features all the same. A state that goes into other outputs alone is none, nor is a
    tensor that the classifier does not hang on.
    """
    inputs = [one for one in inputs if one.name not in graph.tensors]
    if len(inputs) < 2:
        return inputs
    wanted = needed(graph, [head.output], head.instead)
    others = needed(graph, [output.name for output in graph.outputs])
    features = [one for one in inputs if one.name in wanted or one.name not in others]
    return features if all(map(_is_column, features)) else [one for one in inputs if one.name in wanted] or features[:1]


def _is_column(entry: Any) -> bool:
    dims = entry.type.tensor_type.shape.dim
    return len(dims) == 2 and dims[1].dim_value == 1


def _outputs(graph: Graph) -> _Outputs:
    moving, passed = hanging(graph), passed_on(graph)
    floats, picks, others = [], [], []
    for output in graph.outputs:
        number = _is_float(output.type)
        pick = picked(graph, output.name, number)
        if pick is not None:
            picks.append(pick)
        elif number:
            aside = output.name not in moving or output.name in passed
            (others if aside else floats).append(head_of(graph, output.name))
    labelled = {_root(graph, pick) for pick in picks if pick.how is How.LARGEST}
    floats = [head for head in floats if not _is_largest(graph, head, labelled)]
    # Where there is nothing else, what it is shows when it is run.
    return _Outputs(floats if floats or picks else others, picks)


def _is_largest(graph: Graph, head: Head, labelled: set[str]) -> bool:
    """Whether a value is the largest of scores that a label is picked by."""
    node = graph.producers.get(head.root)
    return node is not None and node.key in (("", "ReduceMax"), ("", "TopK")) and source(graph, node.inputs[0]) in labelled


def _is_float(kind: Any) -> bool:
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        value = kind.sequence_type.elem_type
        return value.WhichOneof("value") == "map_type" and _is_float(value.map_type.value_type)
    return which == "tensor_type" and kind_of(kind.tensor_type.elem_type) == "float"


def _chosen(graph: Graph, outputs: _Outputs) -> Head:
    """The classifier beyond doubt."""
    groups = _groups(outputs.floats)
    if not groups:
        return _behind(graph, outputs.picks)
    if len(groups) == 1:
        return _best(graph, groups[0])
    certain = [group for group in groups if any(head.end is End.CLASSES for head in group)]
    certain = certain or [group for group in groups if any(_is_called_probabilities(graph, head) for head in group)]
    if len(certain) == 1:
        head = _best(graph, certain[0])
        before = needed(graph, [head.output], head.instead)
        rivals = [group for group in groups if group is not certain[0] and _may_be_classes(graph, group, before)]
        if not rivals and _columns(graph, head) != 1:
            return head
    raise _doubt(graph, [head for group in groups for head in group])


def _is_called_probabilities(graph: Graph, head: Head) -> bool:
    """Whether an output is called so, and has several columns, as the file states."""
    return head.probabilities and (_columns(graph, head) or 0) > 1


def _groups(heads: Sequence[Head]) -> list[list[Head]]:
    """Outputs that are the same up to a softmax."""
    groups: dict[str, list[Head]] = {}
    for head in heads:
        groups.setdefault(head.root, []).append(head)
    return list(groups.values())


def _best(graph: Graph, group: Sequence[Head]) -> Head:
    """Of the same scores those of which most is known."""
    undone = [head for head in group if head.end is not End.OTHER]
    if len({head.end for head in undone if _columns(graph, head) != 1}) > 1:
        raise _doubt(graph, group)
    return min(group, key=lambda head: (head.end is not End.CLASSES, head.end is End.OTHER, head.outputs is None))


def _may_be_classes(graph: Graph, group: Sequence[Head], before: set[str]) -> bool:
    """Whether outputs could be scores of classes, beside one that certainly is, and the values that it hangs on."""
    if any(head.end is not End.OTHER or head.probabilities for head in group):
        return True
    head = group[0]
    return not (head.root in before or ends_in(graph, head.root) in _ACTIVATIONS or _columns(graph, head) == 1)


def _behind(graph: Graph, picks: Sequence[Pick]) -> Head:
    """The scores that labels are picked by, where there is nothing else."""
    if not picks:
        sequences = [one.name for one in graph.outputs if one.type.WhichOneof("value") == "sequence_type"]
        if sequences:
            raise ValueError(
                f"its output {sequences[0]!r} is a sequence, as of several classifiers in one (multi-output): export each by "
                "itself"
            )
        raise ValueError("it has no output of floats: export the classifier with its logits or probabilities")
    by_root: dict[str, Pick] = {}
    for pick in picks:
        by_root.setdefault(_root(graph, pick), pick)
    first, *others = by_root.values()
    if others:
        raise _several([first, *others])
    return _scores(graph, first)


def _several(picks: Sequence[Pick], head: Head | None = None) -> ValueError:
    """Labels, and a value beside them, that are those of several classifiers."""
    shown = [f"{pick.output!r}, of {pick.scores!r}" for pick in picks[:_SHOWN]]
    listed = "; ".join(shown if head is None else [repr(head.name), *shown])
    return ValueError(
        f"it has several outputs that are made of scores of their own: {listed}. Say which is the classifier: "
        f"{_remedy(picks[0].scores)}"
    )


def _check_labels(graph: Graph, head: Head, picks: Sequence[Pick]) -> None:
    """Refuse a classifier beside the label of another one."""
    one = head.end is End.SIGMOIDS or _columns(graph, head) == 1
    behind = without_constants(graph, head.root)
    before = needed(graph, [head.root])
    for pick in picks:
        root = _root(graph, pick)
        if pick.how is How.SMALLEST or root in behind or head.root in without_constants(graph, root):
            continue
        # Scores may be made probabilities by more than is understood here, but not one number of several.
        if one or not (root in before or head.root in needed(graph, [root])):
            raise _several([pick], head)


def _scores(graph: Graph, pick: Pick) -> Head:
    """The scores that a label is picked by, or that something is a part of."""
    head = head_of(graph, pick.scores)
    # A name that nobody gave to an output says nothing.
    head.probabilities &= head.end is End.CLASSES
    which = "of which output {!r} is a part" if pick.how is How.PART else "by which output {!r} is picked"
    head.picked = which.format(pick.output)
    return _told_by(graph, head, [pick])


def _told_by(graph: Graph, head: Head, picks: Sequence[Pick]) -> Head:
    """A head of scores of which labels say by a threshold whether they are true, as one logit: several would be multi-label."""
    if head.end is not End.OTHER or not any(pick.how is How.THRESHOLD for pick in picks):
        return head
    return one_of_two(graph, head, head.output, End.SIGMOIDS, undone="")


def _wanted(graph: Graph, wanted: str) -> Head:
    """The value of a name, or the scores that it is picked by."""
    stated = {output.name: output for output in graph.outputs}
    if not isinstance(wanted, str) or wanted not in graph.producers:
        listed = _listed(graph, [head_of(graph, name) for name in stated])
        close = difflib.get_close_matches(str(wanted), [*stated, *list(graph.producers)[:_SEARCHED]], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"output must be the name of an output of the file, or of a value in between. Got {wanted!r} instead.{hint} Its "
            f"outputs are {listed}"
        )
    number = wanted not in stated or _is_float(stated[wanted].type)
    if (pick := picked(graph, wanted, number)) is not None:
        if pick.how is How.SMALLEST:
            raise ValueError(
                f"output {wanted!r} is where {pick.scores!r} is smallest: these are distances, and no scores of classes"
            )
        return _scores(graph, pick)
    if not number:
        raise ValueError(f"output {wanted!r} holds no floats, and what it is picked by is not known: name the scores instead")
    return head_of(graph, wanted)


def _root(graph: Graph, pick: Pick) -> str:
    return head_of(graph, pick.scores).root


def _columns(graph: Graph, head: Head) -> int | None:
    """How many classes a head has; None where it cannot be told without running it."""
    return columns(graph, head.name)


def _classes(graph: Graph, head: Head, outputs: _Outputs) -> np.ndarray | None:
    """What labels that are made of the scores are called."""
    alone = len(_groups(outputs.floats)) < 2
    for pick in outputs.picks:
        if pick.classes is None:
            continue
        root = _root(graph, pick)
        if alone or root == head.root or is_made_class_by_class(graph, head.root, root):
            return pick.classes
    return _picked_from(graph) if alone else None


def _picked_from(graph: Graph) -> np.ndarray | None:
    """The constant that an output picks labels from, by whatever."""
    for output in graph.outputs:
        name = output.name
        while (node := graph.producers.get(name)) is not None and node.inputs:
            if node.key == (ML, "ArrayFeatureExtractor"):
                labels = constant(graph, node.inputs[0])
                return None if labels is None else labels.reshape(-1)
            if node.key[0] or node.key[1] not in ("Identity", "Cast", "Reshape", "Flatten", "Squeeze"):
                break
            name = node.inputs[0]
    return None


def _doubt(graph: Graph, heads: Sequence[Head]) -> ValueError:
    return ValueError(
        f"it has several outputs of floats that could be its classes: {_listed(graph, heads)}. Say which is the classifier: "
        f"{_remedy(_likeliest(graph, heads))}"
    )


def _likeliest(graph: Graph, heads: Sequence[Head]) -> str:
    """The output that a message has as its example."""
    names = [head.name for head in heads]
    called = [name for name in names if "logit" in name.lower()]
    wide = [head.name for head in heads if head.end is not End.SIGMOIDS and _columns(graph, head) not in (None, 1)]
    return next(iter((*called, *wide, *names)))


def _remedy(name: str) -> str:
    return f"knowlimits.load(path, output={name!r}), or --output {name} in a command"


def _listed(graph: Graph, heads: Sequence[Head]) -> str:
    """Outputs with their shapes and what they end in."""
    stated = {output.name: output for output in graph.outputs}
    shown = []
    for head in heads[:_SHOWN]:
        name = head.name
        sizes, count = stated_sizes(stated.get(name)), _columns(graph, head)
        if sizes is None or (len(sizes) == 1 and count is not None):
            sizes = None if count is None else [count]
        shape = "" if sizes is None else f" {shape_in_words([0, *sizes])}"
        last = head.undone or ends_in(graph, name)
        shown.append(f"{name!r}{shape}, which {f'ends in {last}' if last else 'is an input passed through'}")
    more = f"; and {len(heads) - _SHOWN} more" if len(heads) > _SHOWN else ""
    return "; ".join(shown) + more
