"""Operators of quantised networks, as the networks of real numbers that they stand for.

Integers q stand for real numbers (q - zero) scale. What is rounded to them is not rounded here: far fields and polytopes are
those of the numbers that it is rounded from. But it is clipped to the lowest and highest integer, as the file does: beyond
these it does not move any more, so that clips decide where the classifier ends. A ReLU may be nothing but such a clip.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from knowlimits.files.onnx import linear, windows
from knowlimits.files.onnx.activations import TABLE as ACTIVATIONS
from knowlimits.files.onnx.arithmetic import add, cast, multiply, subtract
from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.graph import UINT8, whole_range
from knowlimits.files.onnx.places import concat
from knowlimits.follow import UnsupportedOperation


@dataclasses.dataclass(frozen=True)
class Scale:
    """What integers stand for.

    Attributes:
        scale: of one step, a number or a tensor.
        zero: the integer that stands for 0, a number or a tensor.
        axis: along which those tensors lie.
        block: how many numbers along the axis have one of the scale's; 0 where the scale has one axis or none.
    """

    scale: float | Tensor
    zero: float | Tensor
    axis: int = 0
    block: int = 0

    @property
    def is_one(self) -> bool:
        """Whether all integers have the same."""
        return not isinstance(self.scale, Tensor) and not isinstance(self.zero, Tensor)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As functions here take it."""
        return self.scale, self.zero, self.axis, self.block


def to_integers(
    x: Tensor, scale: float | Tensor, zero: float | Tensor, axis: int, block: int, lowest: float, highest: float
) -> Tensor:
    """Where real numbers are on the scale of integers, clipped to their ends."""
    return torch.clamp(x / _along(scale, x, axis, block) + _along(zero, x, axis, block), lowest, highest)


def rounded_to_integers(
    x: Tensor, scale: float | Tensor, zero: float | Tensor, axis: int, block: int, lowest: float, highest: float
) -> Tensor:
    """The same for weights, which are rounded as files do it: in single precision, halves to even integers."""
    single, step = x.float(), torch.as_tensor(_along(scale, x, axis, block)).float()
    return torch.clamp(torch.round(single / step).double() + _along(zero, x, axis, block), lowest, highest)


def to_reals(q: Tensor, scale: float | Tensor, zero: float | Tensor, axis: int, block: int) -> Tensor:
    """What integers stand for."""
    return (q - _along(zero, q, axis, block)) * _along(scale, q, axis, block)


def _along(values: float | Tensor, x: Tensor, axis: int, block: int) -> float | Tensor:
    """Numbers that lie along an axis, or each for a block of it."""
    if not isinstance(values, Tensor):
        return values
    shape = list(values.shape)
    axis = axis + x.ndim if axis < 0 else axis
    if values.ndim == (x.ndim if block else 1) and 0 <= axis < x.ndim and block >= 0:
        if block:
            # The last block may be cut.
            values = values.index_select(axis, torch.arange(x.shape[axis], device=values.device) // block)
        else:
            values = values.reshape([*values.shape, *[1] * (x.ndim - axis - 1)])
        if all(n in (1, m) for n, m in zip(reversed(values.shape), reversed(x.shape), strict=False)):
            return values
    raise ValueError(f"scales or zero points of shape {shape} do not lie along axis {axis} of shape {list(x.shape)}")


def _input(o: Operation, place: int) -> Any:
    """An input that must be there, whatever comes before it."""
    value = o.take(0, place + 1)[place]
    if value is None:
        raise ValueError(f"input {place} is missing")
    return value


def _scale(o: Operation, scale: int, zero: int, axis: int = 0, block: int = 0) -> Scale:
    """What integers stand for, given by two inputs, of which the second may be left out."""
    _input(o, scale)
    values = [v for v in (o.constant(scale, "a scale"), o.constant(zero, "a zero point")) if v is not None]
    if not bool((values[0].isfinite() & (values[0] > 0)).all()):
        raise ValueError("scales must be positive and finite")
    if values[0].shape != values[-1].shape and max(v.numel() for v in values) > 1:
        raise ValueError(f"scales of shape {list(values[0].shape)} do not go with zero points of {list(values[-1].shape)}")
    numbers = [float(v) if v.numel() == 1 else v.double() for v in values]
    return Scale(numbers[0], numbers[1] if len(values) > 1 else 0.0, axis, block)


def _ends(o: Operation, zero: int, otherwise: int = UINT8) -> tuple[int, int]:
    """The lowest and the highest integer of the type of a zero point, or of another type where there is none."""
    name = o.node.inputs[zero] if len(o.node.inputs) > zero else ""
    element = o.building.elements.get(name, 0) if name else otherwise
    ends = whole_range(element)
    if ends is None:
        raise UnsupportedOperation("it is quantised to a type that is no integer, or to one that its zero point does not tell")
    return ends


def _clipped(o: Operation, value: Any, scale: Scale, ends: tuple[int, int]) -> Any:
    """Real numbers as integers."""
    known = isinstance(value, Tensor)
    return _marked(o, o.call(rounded_to_integers if known else to_integers, _as_float(o, value), *scale.arguments, *ends))


def _as_float(o: Operation, value: Any) -> Any:
    """A constant as floats; what hangs on the input is floats already."""
    return o.call(cast, value, "float") if isinstance(value, Tensor) else value


def _marked(o: Operation, result: Any) -> Any:
    if isinstance(result, fx.Node):
        o.building.integers.add(result)
    return result


def _real(o: Operation, q: Any, scale: Scale) -> Any:
    """Integers as real numbers; those that have just been made of them are clipped alone."""
    if isinstance(q, fx.Node) and q.op == "call_function" and q.target is to_integers and scale.is_one:
        x, known, zero, *_, lowest, highest = q.args
        if (known, zero) == (scale.scale, scale.zero):
            ends: Any = (lowest, highest)
            return o.call(torch.clamp, x, *((end - scale.zero) * scale.scale for end in ends))
    if scale.is_one and (scale.scale, scale.zero) == (1, 0):
        return o.call(cast, q, "float")
    return o.call(to_reals, _as_float(o, q), *scale.arguments)


def _quantize(o: Operation) -> Any:
    (x,) = o.take(1)
    block = o.node.get("block_size", 0)
    kind = o.node.get("output_dtype", 0) or UINT8
    return _clipped(o, x, _scale(o, 1, 2, o.node.get("axis", 1), block), _ends(o, 2, kind))


def _dequantize(o: Operation) -> Any:
    (q,) = o.take(1)
    return _real(o, q, _scale(o, 1, 2, o.node.get("axis", 1), o.node.get("block_size", 0)))


def _dynamic(o: Operation) -> list[Any]:
    """Numbers are quantised by their own range: nothing is clipped, and any scale does as well. See `dynamic.py`."""
    (x,) = o.take(1)
    # A node of its own, as it is integers in the file.
    q = _marked(o, o.call(cast, x, "float"))
    return [q, torch.tensor(1.0, dtype=torch.float64), torch.tensor(0)]


def _less_zero(o: Operation, values: list[Any], zeros: Sequence[int]) -> list[Any]:
    """Integers without their zero points, which are inputs."""
    result = []
    for value, place, axis in zip(values, zeros, (-2, 0 if "Conv" in o.node.key[1] else -1), strict=True):
        zero = o.constant(place, "a zero point")
        value = _as_float(o, value)
        if zero is not None and bool((zero != 0).any()):
            one = zero.numel() == 1
            number = zero.reshape(()).double() if one else _spread(zero.double(), value, axis)
            value = o.call(subtract, value, number)
        result.append(value)
    return result


def _spread(numbers: Tensor, value: Any, axis: int) -> Tensor:
    """Numbers along an axis of a constant."""
    if not isinstance(value, Tensor) or numbers.ndim != 1:
        raise UnsupportedOperation("only constants may have a zero point for each row or column")
    found = _along(numbers, value, axis, 0)
    return found if isinstance(found, Tensor) else numbers


def _product(o: Operation, inputs: list[Any], kind: str) -> Any:
    return {**linear.TABLE, **windows.TABLE}[kind].convert(dataclasses.replace(o, inputs=inputs))


def _integer_product(kind: str) -> Operator:
    """Products of integers less their zero points."""

    def convert(o: Operation) -> Any:
        return _marked(o, _product(o, _less_zero(o, o.take(2), (2, 3)), kind))

    return Operator(convert, takes_integers=True)


def _linear_product(o: Operation) -> Any:
    a, b = _input(o, 0), _input(o, 3)
    scales = _scale(o, 1, 2), _scale(o, 4, 5, -1)
    if not scales[0].is_one:
        raise UnsupportedOperation("only constants may have a scale for each row or column")
    product = _product(o, [_real(o, a, scales[0]), _real(o, b, scales[1])], "MatMul")
    return _clipped(o, product, _scale(o, 6, 7), _ends(o, 7))


def _linear_convolution(o: Operation) -> Any:
    x, w = _input(o, 0), _input(o, 3)
    scales, bias = (_scale(o, 1, 2), _scale(o, 4, 5)), o.constant(8, "the bias")
    inputs = [_real(o, x, scales[0]), _real(o, w, scales[1]), _bias(o, bias, *scales)]
    return _clipped(o, _product(o, inputs, "Conv"), _scale(o, 6, 7), _ends(o, 7))


def _gemm(o: Operation) -> Any:
    """Of com.microsoft; without a scale of the output, this is real numbers."""
    a, b = _input(o, 0), _input(o, 3)
    turned = bool(o.node.get("transB", 0))
    scales, bias = (_scale(o, 1, 2), _scale(o, 4, 5, 0 if turned else 1)), o.constant(6, "the bias")
    added = _bias(o, bias, *scales)
    alpha = o.node.get("alpha", 1.0)
    added = added if added is None or alpha == 1 else o.call(multiply, added, torch.tensor(alpha).double())
    product = _product(o, [_real(o, a, scales[0]), _real(o, b, scales[1]), added], "Gemm")
    if o.take(0, 9)[7] is None:
        return product
    return _clipped(o, product, _scale(o, 7, 8), _ends(o, 8))


def _bias(o: Operation, bias: Tensor | None, of_input: Scale, of_weight: Scale) -> Any:
    """Integers on the scale of a product."""
    if not of_input.is_one:
        raise UnsupportedOperation("only constants may have a scale for each row or column")
    return None if bias is None else o.call(multiply, bias.double(), of_input.scale * torch.as_tensor(of_weight.scale).double())


def _of_reals(function: Callable[[Operation], Any], operands: int = 1) -> Operator:
    """An operator of com.microsoft that does to integers what another one does to the real numbers that they stand for."""

    def convert(o: Operation) -> Any:
        reals = [_real(o, _input(o, 3 * i), _scale(o, 3 * i + 1, 3 * i + 2)) for i in range(operands)]
        result = function(dataclasses.replace(o, inputs=reals))
        return _clipped(o, result, _scale(o, 3 * operands, 3 * operands + 1), _ends(o, 3 * operands + 1))

    return Operator(convert, takes_integers=True)


def _concat(o: Operation) -> Any:
    """Scale and zero point of the output come first."""
    places = range(2, len(o.inputs), 3)
    reals = [_real(o, _input(o, place), _scale(o, place + 1, place + 2)) for place in places]
    return _clipped(o, o.call(concat, *reals, o.node.get("axis", 0)), _scale(o, 0, 1), _ends(o, 1))


def _softmax(o: Operation) -> Any:
    version = o.node.get("opset", 0)
    return ACTIVATIONS["Softmax"].convert(dataclasses.replace(o, node=dataclasses.replace(o.node, version=version)))


def _pool(name: str) -> Callable[[Operation], Any]:
    def convert(o: Operation) -> Any:
        if o.node.get("channels_last", 0):
            raise UnsupportedOperation("its channels must come second, and not last")
        return windows.TABLE[name].convert(o)

    return convert


def _dynamic_product(o: Operation) -> Any:
    """Of com.microsoft: quantises its first input itself, and multiplies it by a matrix."""
    x, b, _, _, bias = o.take(3, 2)
    product = _product(o, [x, _real(o, b, _scale(o, 2, 3, -1))], "MatMul")
    return product if bias is None else o.call(add, product, bias)


def _product_to_reals(o: Operation) -> Any:
    """Of com.microsoft: the product of integers, as real numbers."""
    a, b = o.take(2)
    scales = _scale(o, 2, 4), _scale(o, 3, 5, -1)
    if not scales[0].is_one:
        raise UnsupportedOperation("only constants may have a scale for each row or column")
    product = _product(o, [_real(o, a, scales[0]), _real(o, b, scales[1])], "MatMul")
    bias = o.take(0, 7)[6]
    return product if bias is None else o.call(add, product, bias)


_LINEAR = Operator(_quantize, takes_integers=True), Operator(_dequantize, takes_integers=True)
TABLE = {
    "QuantizeLinear": _LINEAR[0],
    "DequantizeLinear": _LINEAR[1],
    "DynamicQuantizeLinear": Operator(_dynamic),
    "MatMulInteger": _integer_product("MatMul"),
    "ConvInteger": _integer_product("Conv"),
    "QLinearMatMul": Operator(_linear_product, takes_integers=True),
    "QLinearConv": Operator(_linear_convolution, takes_integers=True),
}
# Of the domain com.microsoft.
OF_MICROSOFT = {
    "QuantizeLinear": _LINEAR[0],
    "DequantizeLinear": _LINEAR[1],
    "QGemm": Operator(_gemm, takes_integers=True),
    "QLinearAdd": _of_reals(lambda o: o.call(add, *o.take(2)), 2),
    "QLinearMul": _of_reals(lambda o: o.call(multiply, *o.take(2)), 2),
    "QLinearSigmoid": _of_reals(lambda o: o.call(torch.sigmoid, *o.take(1))),
    "QLinearLeakyRelu": _of_reals(lambda o: o.call(F.leaky_relu, *o.take(1), o.node.get("alpha", 0.01))),
    "QLinearSoftmax": _of_reals(_softmax),
    "QLinearAveragePool": _of_reals(_pool("AveragePool")),
    "QLinearGlobalAveragePool": _of_reals(_pool("GlobalAveragePool")),
    "QLinearConcat": Operator(_concat, takes_integers=True),
    "DynamicQuantizeMatMul": Operator(_dynamic_product),
    "MatMulIntegerToFloat": Operator(_product_to_reals, takes_integers=True),
}
