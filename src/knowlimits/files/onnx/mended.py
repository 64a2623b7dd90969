"""What ONNX's own checker asks for and nothing hangs on, set right before it is asked.

Files are written in many ways, and onnxruntime runs some that the checker refuses: nodes in any order, outputs without a shape
or type, weights that are listed as inputs without one, a graph without a name. What the checker says about anything else stays
a reason to refuse a file.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# The first version of the format in which weights need not be listed among the inputs.
_WEIGHTS_APART = 4
_TENSOR = "tensor("


@contextmanager
def mended(model: Any) -> Iterator[None]:
    """A model as the checker wants it; only what says how inputs are shaped is taken back.

    Raises:
        ValueError: if its nodes cannot run in any order.
    """
    graph = model.graph
    # The version itself is checked; below this one the same is said in more words.
    model.ir_version = max(model.ir_version, _WEIGHTS_APART) if model.ir_version > 0 else 0
    graph.name = graph.name or "graph"
    del model.metadata_props[:], model.training_info[:]
    _drop(graph.initializer, lambda tensor: not tensor.name)
    weights = {tensor.name for tensor in graph.initializer}
    _drop(graph.input, lambda entry: entry.name in weights)
    sort(graph)
    _type_outputs(graph, {"" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import})
    for entry in graph.output:
        if entry.type.HasField("tensor_type") and not entry.type.tensor_type.HasField("shape"):
            entry.type.tensor_type.shape.SetInParent()
    bare = [i for i in graph.input if i.type.HasField("tensor_type") and not i.type.tensor_type.HasField("shape")]
    for entry in bare:
        entry.type.tensor_type.shape.SetInParent()
    yield
    for entry in bare:
        entry.type.tensor_type.ClearField("shape")


def _drop(entries: Any, unwanted: Callable[[Any], bool]) -> None:
    """Leave out some of many, the others in their order."""
    if count := sum(map(unwanted, entries)):
        entries.sort(key=unwanted)
        del entries[-count:]


def sort(graph: Any) -> None:
    """Put the nodes of a graph into an order in which they can run, the first of several as it stands.

    Raises:
        ValueError: if there is none.
    """
    makers: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers:
                raise ValueError(f"value {name!r} is made by two of its operators")
            makers[name] = place
    there = {tensor.name for tensor in graph.initializer} | {entry.name for entry in graph.input}
    missing = next((name for node in graph.node for name in node.input if name and name not in there | makers.keys()), None)
    if missing is not None:
        raise ValueError(f"value {missing!r} is used and never made")
    after: list[list[int]] = [[] for _ in graph.node]
    waiting = []
    for place, node in enumerate(graph.node):
        first = {makers[name] for name in _used(node) if name in makers}
        waiting.append(len(first))
        for other in first:
            after[other].append(place)
    ready = [place for place, count in enumerate(waiting) if count == 0]
    order = []
    while ready:
        order.append(place := heapq.heappop(ready))
        for other in after[place]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, other)
    if len(order) < len(waiting):
        raise ValueError("its operators go round in a circle")
    if order != sorted(order):
        ranks = {place: rank for rank, place in enumerate(order)}
        # By what they make, as nothing else tells nodes apart; those that make nothing come last.
        graph.node.sort(key=lambda node: next((ranks[makers[name]] for name in node.output if name), len(order)))


def _used(node: Any) -> Iterator[str]:
    """Names of the values that a node looks at, and the graphs within it."""
    yield from node.input
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs]:
            for one in inner.node:
                yield from _used(one)
            yield from (entry.name for entry in inner.output)


def _type_outputs(graph: Any, versions: dict[str, int]) -> None:
    """Say of which type those outputs are that have none, where operators say what types theirs have."""
    bare = [entry for entry in graph.output if not entry.HasField("type")]
    if not bare:
        return
    elements = {entry.name: entry.type.tensor_type.elem_type for entry in graph.input}
    elements |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        elements |= zip(node.output, _elements(node, versions, [elements.get(name, 0) for name in node.input]), strict=False)
    for entry in bare:
        if element := elements.get(entry.name, 0):
            entry.type.tensor_type.elem_type = element


def _elements(node: Any, versions: dict[str, int], given: list[int]) -> Iterator[int]:
    """The data types of a node's outputs, of those of its inputs; 0 for what it leaves open."""
    from onnx import TensorProto, defs

    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = defs.get_schema(node.op_type, versions.get(domain, 1), domain)
    except defs.SchemaError:
        return
    known = {said.type_str: element for said, element in zip(schema.inputs, given, strict=False)}
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    cast = [a.i for a in node.attribute if a.name == "to"] if node.op_type == "Cast" else []
    for made in schema.outputs:
        kinds = list(allowed.get(made.type_str, [made.type_str]))
        if len(kinds) == 1 and kinds[0].startswith(_TENSOR):
            yield TensorProto.DataType.Value(kinds[0].removeprefix(_TENSOR).rstrip(")").upper())
        else:
            yield known.get(made.type_str, cast[0] if cast else 0)
