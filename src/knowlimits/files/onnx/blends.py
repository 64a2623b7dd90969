"""Probabilities that are made of others class by class, as those of a guard are of its model's.

What else goes into them is one number for each row, so that a column of the ones is the same class as that of the others.
"""

from knowlimits.files.onnx.graph import Graph, Node
from knowlimits.files.onnx.logits import head_of
from knowlimits.files.onnx.tracing import columns, constant, keeps

# Operators that do the same to each number.
_EACH = {"Add", "Sub", "Mul", "Div", "Neg", "Where", "Sum", "Mean", "Min", "Max", "Clip", "Abs", "Exp", "Log", "Sqrt", "Pow"}
_EACH |= {"Sigmoid", "Tanh", "Relu", "IsNaN", "IsInf", "Not", "And", "Or", "Xor", "Equal", "Cast", "Identity"}
_EACH |= {"Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
# Of these the first input alone is one of numbers for each class.
_ONE_INPUT = {"Clip", "Cast", "Identity"}
_LAST = (1, -1)
# Values that are looked at.
_MOST = 500


def is_made_class_by_class(graph: Graph, name: str, root: str) -> bool:
    """Whether each column of a value is a function of one column of scores, the same for all, and of numbers of the row.

    Args:
        graph: what the file says.
        name: of the value, ``(n, classes)``.
        root: of the scores, as `Head.root` has it.
    """
    left, found, seen = [name], False, set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _MOST:
            return False
        if head_of(graph, name).root == root:
            found = True
            continue
        node = graph.producers.get(name)
        if node is None or node.key[0] or not (keeps(node) or node.key[1] in _EACH):
            return False
        left += [one for one in _numbers_of(node) if not _is_one_for_each_row(graph, one)]
    return found


def _numbers_of(node: Node) -> list[str]:
    """The inputs of an operator that numbers are made of."""
    given = node.inputs[:1] if keeps(node) or node.key[1] in _ONE_INPUT else node.inputs
    return [name for name in given if name]


def _is_one_for_each_row(graph: Graph, name: str) -> bool:
    """Whether a value is surely one number for each row, or one for all."""
    left, seen = [name], set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _MOST:
            return False
        if (value := constant(graph, name)) is not None:
            if value.shape and value.shape[-1] != 1:
                return False
            continue
        node = graph.producers.get(name)
        if node is None:
            return False
        if _leaves_one(graph, node) or columns(graph, name) == 1:
            continue
        if node.key[0] or node.key[1] not in _EACH:
            return False
        left += _numbers_of(node)
    return True


def _leaves_one(graph: Graph, node: Node) -> bool:
    """Whether an operator makes one number of each row, and keeps it as a column."""
    if node.key[0] or not node.key[1].startswith("Reduce") or not node.get("keepdims", 1):
        return False
    axes = node.integers("axes")
    if axes is None and len(node.inputs) > 1:
        value = constant(graph, node.inputs[1])
        axes = None if value is None else [int(axis) for axis in value.reshape(-1)]
    return axes is not None and len(axes) == 1 and axes[0] in _LAST
