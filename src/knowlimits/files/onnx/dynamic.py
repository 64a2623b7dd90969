"""Networks that quantise numbers by the range that these have, all rows together, before each product.

Their integers q, scale s and zero point z hang on the numbers x: (q - z) s is x but for rounding. So the same network comes out
for any s and z, if nothing but s takes s out again: it is read with q = x, s = 1 and z = 0, and whether that may be done is
told from what becomes of the three. They are followed through the graph as units are through a formula.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from knowlimits.files.onnx.graph import MICROSOFT, Graph, Key, Node
from knowlimits.follow import UnsupportedOperation


@dataclass(frozen=True)
class Dimension:
    """What a value hangs on beside real numbers.

    Attributes:
        kind: ``"integers"`` and their ``"zero"``; ``"scale"`` and what must still be multiplied by it, a ``"product"``.
        of: outputs that are the integers of these, in alphabetical order.
    """

    kind: str
    of: tuple[str, ...]


def check_units(graph: Graph) -> None:
    """See that scales of numbers that are quantised by their own range go out of what is computed.

    Raises:
        UnsupportedOperation: if they do not, or it cannot be told.
    """
    units: dict[str, Dimension] = {}
    for node in graph.nodes:
        if node.key == ("", "DynamicQuantizeLinear"):
            kinds = zip(node.outputs, ("integers", "scale", "zero"), strict=False)
            units |= {name: Dimension(kind, (node.outputs[0],)) for name, kind in kinds if name}
            continue
        given = [units.get(name) for name in node.inputs]
        if any(given):
            result = _RULES[node.key](given) if node.key in _RULES else _WRONG
            if result is _WRONG:
                raise _refused(node)
            if isinstance(result, Dimension):
                units |= {name: result for name in node.outputs if name}
    if out := next((output.name for output in graph.outputs if output.name in units), None):
        raise UnsupportedOperation(f"output {out!r} has numbers in units that DynamicQuantizeLinear chooses")


def _refused(node: Node) -> UnsupportedOperation:
    return UnsupportedOperation(
        f"{node} computes with what DynamicQuantizeLinear makes otherwise than by products of integers that are multiplied by "
        "their scale in the end: give the network as it was before it was quantised"
    )


_WRONG = object()
Given = list[Dimension | None]


def _moved(given: Given) -> object:
    """Numbers stay what they are; places and sizes have no unit."""
    first, *rest = given
    return first if first is not None and first.kind != "zero" and not any(rest) else _WRONG


def _multiplied(given: Given) -> object:
    a, b = given
    if a is None or b is None:
        unit = a or b
        return unit if unit is not None and unit.kind in ("scale", "product") else _WRONG
    if a.kind == b.kind == "scale":
        return Dimension("scale", tuple(sorted(a.of + b.of)))
    return None if {a.kind, b.kind} == {"scale", "product"} and a.of == b.of else _WRONG


def _with_zeros(pairs: Iterable[tuple[int, int]]) -> Callable[[Given], object]:
    """Products of integers, given the places of these and of their zero points."""

    def rule(given: Given) -> object:
        of = _owners(given, pairs, [])
        return Dimension("product", of) if of else _WRONG

    return rule


def _with_scales(triples: Iterable[tuple[int, int, int]]) -> Callable[[Given], object]:
    """Products of integers that are multiplied by their scales at once, given the places of these, of scales and of zeros."""

    def rule(given: Given) -> object:
        return None if _owners(given, [(q, z) for q, _, z in triples], [(q, s) for q, s, _ in triples]) else _WRONG

    return rule


def _owners(given: Given, zeros: Iterable[tuple[int, int]], scales: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Whose the integers are, if all that has a unit belongs together; else none."""
    wanted: dict[int, Dimension] = {}
    for kind, pairs in (("zero", zeros), ("scale", scales)):
        for place, other in pairs:
            unit = given[place] if place < len(given) else None
            if unit is not None:
                wanted |= {place: Dimension("integers", unit.of), other: Dimension(kind, unit.of)}
    there = {place: unit for place, unit in enumerate(given) if unit is not None}
    return tuple(sorted(name for unit in wanted.values() if unit.kind == "integers" for name in unit.of)) * (there == wanted)


_MOVERS = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice")
_RULES: dict[Key, Callable[[Given], object]] = {
    **{("", name): _moved for name in _MOVERS},
    **{("", name): lambda given: None for name in ("Shape", "Size")},
    ("", "Mul"): _multiplied,
    ("", "MatMulInteger"): _with_zeros([(0, 2), (1, 3)]),
    ("", "ConvInteger"): _with_zeros([(0, 2)]),
    ("", "DequantizeLinear"): _with_scales([(0, 1, 2)]),
    (MICROSOFT, "MatMulIntegerToFloat"): _with_scales([(0, 2, 4), (1, 3, 5)]),
}
