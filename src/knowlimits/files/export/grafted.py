"""What was loaded from an ONNX file, written again as the operators of that file: nothing is translated twice."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from knowlimits.files.export.graph import Draft
from knowlimits.files.onnx.read import ImportedModel
from knowlimits.model.model import Model
from knowlimits.model.network import Network

#: The first operator set on which more can be written.
FIRST = 13


class Gives(StrEnum):
    """What the value that is the classifier has for each row; which it is shows when the file is run."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    PROBABILITY = "probability"
    LOGIT = "logit"


def imported(found: Model) -> ImportedModel | None:
    """The model in a file that all of what was read is, without steps before it; None for anything else."""
    (first, *others) = found.inner
    module = first.brought if isinstance(first, Network) else None
    alone = isinstance(module, ImportedModel) and not others and found.steps is None
    return module if alone and module.file_ is not None else None  # type: ignore[return-value]


def graft(draft: Draft, x: str, model: ImportedModel, form: Gives) -> str:
    """The probabilities, ``(N, classes)`` in float64, by the operators of a file, of whose sets the draft is then.

    Args:
        draft: of the graph.
        x: name of the rows, ``(N, ...)`` in float64.
        model: from a file.
        form: what is taken for what its classifier gives.

    Raises:
        ValueError: if it takes a fixed number of rows, or other inputs than columns.
    """
    import onnx
    from onnx import TensorProto, inliner

    assert model.file_ is not None
    proto = onnx.load_model_from_string(model.file_.content)
    proto = inliner.inline_local_functions(proto) if proto.functions else proto
    sets = {entry.domain if entry.domain != "ai.onnx" else "": entry.version for entry in proto.opset_import}
    # What a newer set changes in the file's operators shows when the whole is held to the model.
    sets[""] = max(FIRST, sets.get("", FIRST))
    graph, value = proto.graph, _tensor(proto.graph, model.value_)
    own = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in own]
    nodes, wanted = _behind(graph, value)
    if model.feature_names_in_ is not None:
        columns = {str(name): place for place, name in enumerate(model.feature_names_in_)}
    elif len(inputs) == 1:
        columns = {inputs[0].name: None}
    else:
        raise ValueError(f"its file must have one input, or one for each column. Got {len(inputs)}")
    taken = [one for one in inputs if one.name in wanted]
    values = {}
    for one in taken:
        if one.name not in columns:
            raise ValueError(f"its file must have inputs that are columns. Got {one.name!r} beside them")
        tensor = one.type.tensor_type
        sizes = [size.dim_value for size in tensor.shape.dim]
        if len(sizes) < 2 or sizes[0] > 0:
            raise ValueError("its file must take any number of rows. Got one of one row, or of a fixed number")
        place = columns[one.name]
        if place is None:
            rows = draft.call("Reshape", x, draft.constant(np.array([0, *_shape(model)])))
        else:
            rows = draft.call("Gather", x, draft.constant(np.array([place])), axis=1)
        values[one.name] = draft.cast(rows, TensorProto.DataType.Name(tensor.elem_type))
    part = onnx.ModelProto()
    part.graph.name = graph.name
    part.graph.node.extend(nodes)
    part.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in wanted)
    part.graph.input.extend(taken)
    part.graph.output.append(onnx.ValueInfoProto(name=value))
    (made,) = draft.take_in(part, values)
    draft.sets, draft.ir_version = {**draft.sets, **sets}, max(draft.ir_version, proto.ir_version)
    return _probabilities(draft, draft.cast(made, "DOUBLE"), form)


def _shape(model: ImportedModel) -> Sequence[int]:
    """Of one input."""
    return model.input_shape_ if model.input_shape_ is not None else [-1]


def _tensor(graph: Any, name: str) -> str:
    """The tensor of which a value is made: of maps from labels to probabilities the latter."""
    makers = {output: node for node in graph.node for output in node.output}
    while name in makers and makers[name].op_type == "ZipMap":
        name = makers[name].input[0]
    return name


def _behind(graph: Any, name: str) -> tuple[list[Any], set[str]]:
    """The nodes on which a value hangs, in their order, and the names of all that goes into them."""
    wanted, nodes = {name}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(_taken(node))
    return nodes[::-1], wanted


def _taken(node: Any) -> Iterator[str]:
    """Names of what goes into a node, and into graphs within it."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for one in inner.node:
                yield from _taken(one)
            yield from (output.name for output in inner.output)


def _probabilities(draft: Draft, value: str, form: Gives) -> str:
    """Probabilities, ``(N, classes)``, of what the classifier gives."""
    if form is Gives.PROBABILITIES:
        return value
    if form is Gives.LOGITS:
        return draft.call("Softmax", value, axis=1)
    p = draft.call("Reshape", value, draft.constant(np.array([-1, 1])))
    p = draft.call("Sigmoid", p) if form is Gives.LOGIT else p
    return draft.call("Concat", draft.call("Sub", draft.constant(np.float64(1)), p), p, axis=1)
