"""What files spell out and torch has one name for: activations, layer norms, and the bias of a layer.

Exporters write activations as products where the opset has no operator for them, and products are not piecewise linear.
"""

import math
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from knowlimits.files.onnx.activations import hard_sigmoid, softplus
from knowlimits.files.onnx.arithmetic import add, divide, multiply, power, subtract
from knowlimits.files.onnx.building import Building, parameter
from knowlimits.files.onnx.linear import is_row
from knowlimits.files.onnx.norms import layer_norm
from knowlimits.files.onnx.reductions import reduce_mean

# Constants come in float32.
_CLOSE = 1e-6
# Numbers that one factor of a GELU may be multiplied with, one after another.
_MOST_NUMBERS = 4


def fuse(building: Building) -> None:
    """Put one node in the place of those that spell it out."""
    for node in list(building.graph.nodes):
        if node.op != "call_function" or node.target not in _LAST:
            continue
        with building.graph.inserting_before(node):
            fused = _LAST[node.target](building, *node.args)
        if fused is not None:
            node.replace_all_uses_with(fused)
            # Left there, it would count as a use of its arguments.
            building.graph.erase_node(node)


def _is(value: Any, *wanted: Any) -> bool:
    return isinstance(value, fx.Node) and value.op == "call_function" and value.target in wanted


def _biased(building: Building, *terms: Any) -> Any:
    """The layer of a product, with what is added to it as its bias."""
    if len(terms) != 2:
        return None
    for product, bias in (terms, terms[::-1]):
        layer, value = building.module_of(product), building.constants.get(bias)
        # Nobody else may see the product without its bias.
        if not isinstance(layer, nn.Linear) or layer.bias is not None or len(product.users) > 1:
            continue
        if isinstance(value, Tensor) and is_row(value, layer.out_features):
            layer.bias = parameter(value.reshape(-1).expand(layer.out_features))
            return product
    return None


def _gated(building: Building, a: Any, b: Any) -> Any:
    """The product of two values as one activation: SiLU, Hardswish, Mish or GELU; None if it is none of them."""
    for x, gate in ((a, b), (b, a)):
        if _is(gate, torch.sigmoid) and gate.args[0] is x:
            return building.call(F.silu, x)
        if _is(gate, hard_sigmoid) and gate.args[0] is x:
            slope, shift = gate.args[1:]
            if abs(slope - 1 / 6) < _CLOSE and shift == 0.5:
                return building.call(F.hardswish, x)
        if _is(gate, torch.tanh) and _is(gate.args[0], softplus) and gate.args[0].args[0] is x:
            return building.call(F.mish, x)
    return _gelu(building, a, b)


def _gelu(building: Building, a: Any, b: Any) -> Any:
    """``x * (1 + erf(x / sqrt(2)))`` with any constant factor is that of GELU(x), twice."""
    (first, one), (second, other) = _factored(building, a), _factored(building, b)
    for x, gate in ((one, other), (other, one)):
        if x is not None and _erf_argument(building, gate) is x:
            result, scale = building.call(F.gelu, x), first * second
            return result if scale == 0.5 else building.call(multiply, result, torch.tensor(2 * scale).double())
    return None


def _factored(building: Building, value: Any) -> tuple[float, fx.Node | None]:
    """A value as a number times a node that is no product with a number; None in its place if there is but the number."""
    factor = 1.0
    for _ in range(_MOST_NUMBERS):
        if not _is(value, multiply, divide):
            break
        a, b = value.args
        if (number := building.scalar(b)) is not None and number != 0:
            factor, value = factor * number if value.target is multiply else factor / number, a
        elif value.target is multiply and (number := building.scalar(a)) is not None:
            factor, value = factor * number, b
        else:
            break
    number = building.scalar(value)
    return (factor, value) if number is None else (factor * number, None)


def _erf_argument(building: Building, gate: Any) -> Any:
    """x of ``1 + erf(x / sqrt(2))``."""
    if not _is(gate, add) or len(gate.args) != 2:
        return None
    for one, erf in (gate.args, gate.args[::-1]):
        if building.scalar(one) == 1 and _is(erf, torch.erf):
            factor, x = _factored(building, erf.args[0])
            return x if abs(factor - math.sqrt(0.5)) < _CLOSE else None
    return None


def _standardized(building: Building, centred: Any, spread: Any) -> Any:
    """``(x - mean) / sqrt(variance + eps)`` over last axes as one layer norm; None if the quotient is another."""
    if not (_is(centred, subtract) and _is(spread, torch.sqrt) and _is(spread.args[0], add)):
        return None
    x, mean = centred.args
    first, second = spread.args[0].args[:2]
    variance, eps = (first, building.scalar(second)) if _is(first, reduce_mean) else (second, building.scalar(first))
    if not (_is(mean, reduce_mean) and mean.args[0] is x and _is(variance, reduce_mean)) or eps is None:
        return None
    square, axes = variance.args[0], mean.args[1]
    squared = _is(square, multiply) and square.args == (centred, centred)
    squared |= _is(square, power) and square.args[0] is centred and building.scalar(square.args[1]) == 2
    if not squared or mean.args[1:] != variance.args[1:] or mean.args[2] is not True or not isinstance(axes, list | tuple):
        return None
    if sorted(axes) != list(range(-len(axes), 0)):
        return None
    return building.call(layer_norm, x, -len(axes), eps)


# By the function that comes last.
_LAST = {add: _biased, multiply: _gated, divide: _standardized}
