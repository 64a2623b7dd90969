"""What files spell out and torch has one name for: activations, layer norms, and the bias of a layer.

Exporters write activations as products where the opset has no operator for them, and products are not piecewise linear.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from knowlimits.files.onnx.activations import gelu, hard_sigmoid, softplus
from knowlimits.files.onnx.arithmetic import add, cast, divide, is_true, multiply, power, subtract
from knowlimits.files.onnx.building import Building, parameter
from knowlimits.files.onnx.linear import is_row
from knowlimits.files.onnx.norms import layer_norm
from knowlimits.files.onnx.places import concat
from knowlimits.files.onnx.reductions import reduce_mean, reduce_sum

# Constants come in float32.
_CLOSE = 1e-6
# Of what stands in the tanh of a GELU, and nodes that may make it up.
_CUBIC = math.sqrt(2 / math.pi) * np.array([0.0, 1.0, 0.0, 0.044715])
_MOST_NODES = 32
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
        if x is None:
            continue
        fused = None
        if _erf_argument(building, gate) is x:
            fused = building.call(F.gelu, x)
        elif _is_tanh_of_cubic(building, gate, x):
            fused = building.call(gelu, x, "tanh")
        if fused is not None:
            scale = first * second
            return fused if scale == 0.5 else building.call(multiply, fused, torch.tensor(2 * scale).double())
    return None


def _is_tanh_of_cubic(building: Building, gate: Any, x: fx.Node) -> bool:
    """Whether a value is ``1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))``, however the cubic is written."""
    if not _is(gate, add) or len(gate.args) != 2:
        return False
    for one, tanh in (gate.args, gate.args[::-1]):
        if building.scalar(one) == 1 and _is(tanh, torch.tanh):
            found = _polynomial(building, tanh.args[0], x, [_MOST_NODES])
            return found is not None and np.allclose(found, _CUBIC, rtol=0, atol=_CLOSE)
    return False


def _polynomial(building: Building, value: Any, x: fx.Node, left: list[int]) -> np.ndarray | None:
    """Coefficients of 1, x, x^2 and x^3 if a value is such a polynomial, from no more than so many nodes."""
    left[0] -= 1
    if left[0] < 0:
        return None
    if value is x:
        return np.array([0.0, 1.0, 0.0, 0.0])
    if (number := building.scalar(value)) is not None:
        return np.array([number, 0.0, 0.0, 0.0])
    if not _is(value, add, subtract, multiply, divide, power) or len(value.args) != 2:
        return None
    if value.target is power:
        exponent = building.scalar(value.args[1])
        base = _polynomial(building, value.args[0], x, left)
        return _product(base, base if exponent == 2 else _product(base, base)) if exponent in (2, 3) else None
    parts = [_polynomial(building, arg, x, left) for arg in value.args]
    first, second = parts
    if first is None or second is None:
        return None
    if value.target is divide:
        return first / second[0] if second[0] and not second[1:].any() else None
    return _product(first, second) if value.target is multiply else first + second if value.target is add else first - second


def _product(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """That of two polynomials, if it is no higher than a cubic."""
    if first is None or second is None:
        return None
    product = np.convolve(first, second)
    return None if product[4:].any() else product[:4]


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


def _quotient(building: Building, above: Any, below: Any) -> Any:
    """A sigmoid, sigmoids that are divided by their sum, or a layer norm."""
    if building.scalar(above) == 1:
        return _inverse(building, below)
    return _shares(building, above, below) or _standardized(building, above, below)


def _shares(building: Building, above: Any, below: Any) -> Any:
    """Sigmoids p as ``(p + m) / (sum p + m k)``, where m is 1 if the sum is 0 and else 0, so that k classes are then equal.

    The sum is 0 only where all of them are too small for floats: there those count that fall slowest, as everywhere.
    """
    if not (_is(above, add) and _is(below, add) and len(above.args) == len(below.args) == 2):
        return None
    for (p, mask), (total, masked) in itertools.product((above.args, above.args[::-1]), (below.args, below.args[::-1])):
        one_axis = _is(total, reduce_sum) and total.args[0] is p and total.args[2] and len(total.args[1]) == 1
        if one_axis and _is_mask(mask, total) and _is(masked, multiply) and mask in masked.args:
            sigmoids = p.args[:-1] if _is(p, concat) else (p,)
            if all(_is(sigmoid, torch.sigmoid) for sigmoid in sigmoids):
                parts = [sigmoid.args[0] for sigmoid in sigmoids]
                logits = building.call(concat, *parts, p.args[-1]) if len(parts) > 1 else parts[0]
                return building.call(torch.softmax, building.call(F.logsigmoid, logits), total.args[1][0])
    return None


def _is_mask(value: Any, total: Any) -> bool:
    """Whether a value is 1 where a sum is 0, and else 0."""
    if not (_is(value, cast) and _is(value.args[0], torch.logical_not)):
        return False
    truth = value.args[0].args[0]
    return _is(truth, is_true) and truth.args[0] is total


def _inverse(building: Building, below: Any) -> Any:
    """``1 / (1 + exp(x))`` is a sigmoid of -x, which ends where exp(x) does not."""
    if not _is(below, add) or len(below.args) != 2:
        return None
    for one, exponential in (below.args, below.args[::-1]):
        if building.scalar(one) == 1 and _is(exponential, torch.exp):
            return building.call(torch.sigmoid, building.call(torch.neg, exponential.args[0]))
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
_LAST = {add: _biased, multiply: _gated, divide: _quotient, torch.reciprocal: _inverse}
