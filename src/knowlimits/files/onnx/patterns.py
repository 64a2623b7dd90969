"""Activations and layer norms that a file spells out in products, which are not piecewise linear by themselves.

Exporters do so where the opset has no operator for them.
"""

import math
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from knowlimits.files.onnx import functions
from knowlimits.files.onnx.building import Building

# Constants come in float32.
_CLOSE = 1e-6


def _is(value: Any, *wanted: Any) -> bool:
    return isinstance(value, fx.Node) and value.op == "call_function" and value.target in wanted


def gated(building: Building, a: Any, b: Any) -> Any:
    """The product of two values as one activation: SiLU, Hardswish, Mish or GELU; None if it is none of them."""
    for x, gate in ((a, b), (b, a)):
        if _is(gate, torch.sigmoid) and gate.args[0] is x:
            return building.call(F.silu, x)
        if _is(gate, functions.hard_sigmoid) and gate.args[0] is x:
            slope, shift = gate.args[1:]
            if abs(slope - 1 / 6) < _CLOSE and shift == 0.5:
                return building.call(F.hardswish, x)
        if _is(gate, torch.tanh) and _is(gate.args[0], functions.softplus) and gate.args[0].args[0] is x:
            return building.call(F.mish, x)
    return _gelu(building, a, b)


def _gelu(building: Building, a: Any, b: Any) -> Any:
    """``x * (1 + erf(x / sqrt(2)))`` with any constant factor is that of GELU(x), twice."""
    scale, others = 1.0, []
    for value in (a, b):
        factor, rest = _factors(building, value)
        scale, others = scale * factor, others + rest
    if len(others) != 2:
        return None
    for x, gate in (others, others[::-1]):
        if _erf_argument(building, gate) is x:
            result = building.call(F.gelu, x)
            return result if scale == 0.5 else building.call(functions.multiply, result, torch.tensor(2 * scale).double())
    return None


def _factors(building: Building, value: Any) -> tuple[float, list[fx.Node]]:
    """A value as a number times nodes that are no products with numbers."""
    if _is(value, functions.multiply, functions.divide):
        a, b = value.args
        if (number := building.scalar(b)) is not None and number != 0:
            factor, rest = _factors(building, a)
            return (factor * number if value.target is functions.multiply else factor / number), rest
        if value.target is functions.multiply and (number := building.scalar(a)) is not None:
            factor, rest = _factors(building, b)
            return factor * number, rest
    number = building.scalar(value)
    if number is not None:
        return number, []
    return 1.0, [value] if isinstance(value, fx.Node) else [None, None, None]  # type: ignore[list-item]


def _erf_argument(building: Building, gate: Any) -> Any:
    """x of ``1 + erf(x / sqrt(2))``."""
    if not _is(gate, functions.add) or len(gate.args) != 2:
        return None
    for one, erf in (gate.args, gate.args[::-1]):
        if building.scalar(one) == 1 and _is(erf, torch.erf):
            factor, rest = _factors(building, erf.args[0])
            if abs(factor - math.sqrt(0.5)) < _CLOSE and len(rest) == 1:
                return rest[0]
    return None


def standardized(building: Building, centred: Any, spread: Any) -> Any:
    """``(x - mean) / sqrt(variance + eps)`` over last axes as one layer norm; None if the quotient is another."""
    if not (_is(centred, functions.subtract) and _is(spread, torch.sqrt) and _is(spread.args[0], functions.add)):
        return None
    x, mean = centred.args
    first, second = spread.args[0].args[:2]
    variance, eps = (first, building.scalar(second)) if _is(first, functions.reduce_mean) else (second, building.scalar(first))
    if not (_is(mean, functions.reduce_mean) and mean.args[0] is x and _is(variance, functions.reduce_mean)) or eps is None:
        return None
    square, axes = variance.args[0], mean.args[1]
    squared = _is(square, functions.multiply) and square.args == (centred, centred)
    squared |= _is(square, functions.power) and square.args[0] is centred and building.scalar(square.args[1]) == 2
    if not squared or mean.args[1:] != variance.args[1:] or mean.args[2] is not True or not isinstance(axes, list | tuple):
        return None
    if sorted(axes) != list(range(-len(axes), 0)):
        return None
    return building.call(functions.layer_norm, x, -len(axes), eps)
