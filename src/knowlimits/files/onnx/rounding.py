"""What files round and is read without rounding, and what is said of it."""

import dataclasses
from typing import Any

from knowlimits.files.onnx.graph import MICROSOFT, Graph, Node, type_name

_HALVES = ("FLOAT16", "BFLOAT16")
_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
_ENDS = ("Softmax", "Sigmoid")

HALF = (
    "The file computes in half precision, which rounds to 3 digits and may end at 65,504: it is read as exact arithmetic with "
    "its weights"
)
STATIC = (
    "The file rounds activations to integers: they are read without the rounding, and clipped to the range of the integers as "
    "it does"
)
DYNAMIC = (
    "The file rounds activations to integers on a scale of their own, which it takes from all rows that it is given at once: "
    "they are read without the rounding"
)


def rounded(graph: Graph, file: Any) -> tuple[str, ...]:
    """Sentences on what a file rounds beyond single precision.

    Args:
        graph: of its nodes.
        file: the graph as the file has it, whose inputs have types.
    """
    types = [tensor.data_type for tensor in graph.tensors.values()]
    types += [entry.type.tensor_type.elem_type for entry in file.input]
    types += [node.get("to", 0) for node in graph.nodes if node.key == ("", "Cast")]
    kinds = {node.key[1] for node in graph.nodes if node.key[0] in ("", MICROSOFT)}
    said = [HALF] if any(type_name(element) in _HALVES for element in types) else []
    if any(kind == _QUANTISE or kind.startswith("QLinear") or kind == "QGemm" for kind in kinds):
        said.append(STATIC)
    if any(kind.startswith("DynamicQuantize") for kind in kinds):
        said.append(DYNAMIC)
    return tuple(said)


def without_last_rounding(graph: Graph) -> Graph:
    """A graph whose outputs are probabilities themselves, where the file rounds them to integers and these back again.

    Clips of the logits before stay. Those of probabilities, whose range ends at 0 and 1 or a step before, go with the rounding.
    """
    changed: dict[str, list[Node]] = {}
    for output in graph.outputs:
        back = graph.producers.get(output.name)
        to = _producer(graph, back, _DEQUANTISE)
        if back is None or to is None:
            continue
        last = _producer(graph, to, _QUANTISE)
        # Scale and zero point of the output are the last two.
        if list(back.inputs[1:3]) != list(to.inputs[-2:]):
            continue
        if last is not None and last.key in [("", name) for name in _ENDS]:
            changed[output.name] = [dataclasses.replace(back, key=("", "Identity"), inputs=[to.inputs[0]], attributes={})]
        elif to.key in [(MICROSOFT, f"QLinear{name}") for name in _ENDS]:
            changed[output.name] = _of_integers(graph, back, to)
    if not changed:
        return graph
    made = {name: node for nodes in changed.values() for node in nodes for name in node.outputs}
    nodes = [one for node in graph.nodes for one in next((changed[name] for name in node.outputs if name in changed), [node])]
    return dataclasses.replace(graph, nodes=nodes, producers={**graph.producers, **made})


def _of_integers(graph: Graph, back: Node, last: Node) -> list[Node]:
    """A softmax or sigmoid of integers as one of the real numbers that they stand for."""
    reals = back.outputs[0]
    while reals in graph.producers or reals in graph.tensors:
        reals += "'"
    key, version = ("", last.key[1].removeprefix("QLinear")), last.get("opset", back.version)
    first = dataclasses.replace(back, inputs=list(last.inputs[:3]), outputs=[reals])
    return [first, dataclasses.replace(last, key=key, version=version, inputs=[reals], outputs=list(back.outputs))]


def _producer(graph: Graph, node: Node | None, kind: str) -> Node | None:
    """What makes the first input of a node of a kind; None if it is of another one."""
    if node is None or node.key not in (("", kind), (MICROSOFT, kind)) or not node.inputs:
        return None
    return graph.producers.get(node.inputs[0])
