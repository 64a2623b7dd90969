"""From the nodes of a file to a `torch.fx.GraphModule`."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import fx, nn
from torch.nn import functional

from knowlimits.files.onnx.building import Building, Operation, Value
from knowlimits.files.onnx.graph import Graph, Key, Node, as_constant
from knowlimits.files.onnx.in_words import titled, unread
from knowlimits.files.onnx.logits import Head
from knowlimits.files.onnx.opsets import aligned
from knowlimits.files.onnx.reductions import reduce_squares
from knowlimits.files.onnx.spelled_out import fuse
from knowlimits.files.onnx.table import TABLE
from knowlimits.files.onnx.tracing import needed
from knowlimits.follow import UnsupportedOperation

# What torch, numpy and Python raise for shapes, types and numbers that do not fit.
MISFITS = (RuntimeError, IndexError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)


@contextmanager
def errors_name(name: object, what: str = "") -> Iterator[None]:
    """Errors name the file or the node, and are a ValueError or UnsupportedOperation."""
    try:
        yield
    except UnsupportedOperation as error:
        raise UnsupportedOperation(f"{name}: {what}{error}") from None
    except MISFITS as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name}: {what}{text.rstrip('.')}.") from error


def convert(
    graph: Graph, head: Head, building: Building, values: dict[str, Value], functions_of_file: set[Key]
) -> fx.GraphModule:
    """The module that computes the logits; whatever else the file computes is left alone.

    Args:
        graph: what the file says.
        head: which of its values are the logits.
        building: where the module grows.
        values: of the model's inputs, by name; all others are added.
        functions_of_file: operators that the file defines itself.

    Raises:
        UnsupportedOperation, ValueError: if an operator cannot be converted, or makes no logits.
    """
    wanted = needed(graph, [head.output], head.instead)

    def value(name: str) -> Value:
        if name and name not in values:
            if name not in graph.tensors:
                raise ValueError(f"value {name!r} is used before anything computes it, or has no counterpart in torch")
            values[name] = building.held(name, as_constant(graph.tensors[name]))
        return values[name] if name else None

    def replace(name: str, node: Node) -> None:
        source, operator = head.replaced[name]
        with errors_name(titled(node)):
            values[name] = operator(Operation(building, node, [value(source)]))

    for node in graph.nodes:
        made = [name for name in node.outputs if name in wanted]
        for name in made:
            if name in head.replaced:
                replace(name, node)
        if all(name in values for name in made):
            continue
        with errors_name(titled(node)):
            if node.key not in TABLE or node.key in functions_of_file:
                raise UnsupportedOperation(unread(node))
            results = TABLE[node.key](aligned(Operation(building, node, [value(name) for name in node.inputs])))
            values.update((n, r) for n, r in zip(node.outputs, results, strict=False) if n and r is not None)
    if head.output in head.replaced and head.output not in values:
        # A logit that no node of the file has under this name.
        replace(head.output, graph.nodes[-1])
    return _finished(building, value(head.output))


def _finished(building: Building, output: Value) -> fx.GraphModule:
    """The module whose result is a node."""
    if not isinstance(output, fx.Node) or output not in building.data:
        raise ValueError("its output does not hang on its input")
    building.graph.output(output)
    fuse(building)
    _without_metrics(building)
    for node in reversed(building.graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            building.graph.erase_node(node)
    # It takes over what the nodes that are left refer to.
    return fx.GraphModule(building.root, building.graph)


def _without_metrics(building: Building) -> None:
    """Layers at the end of which only squared lengths are taken become products, so that the last layer is that of classes.

    Of a guard's file such a one is behind all layers of its model.
    """
    for node in reversed(list(building.graph.nodes)):
        layer = building.module_of(node)
        if not isinstance(layer, nn.Linear):
            continue
        if _reaches_the_output(node):
            break
        with building.graph.inserting_before(node):
            bias = None if layer.bias is None else layer.bias.data
            product = building.call(functional.linear, node.args[0], layer.weight.data, bias)
        node.replace_all_uses_with(product)
        building.graph.erase_node(node)


def _reaches_the_output(node: fx.Node) -> bool:
    """Whether the model's result hangs on a value by more than squared lengths of it."""
    left, seen = [node], set()
    while left:
        for user in left.pop().users:
            if user.op == "output":
                return True
            if user not in seen and user.target is not reduce_squares:
                seen.add(user)
                left.append(user)
    return False
