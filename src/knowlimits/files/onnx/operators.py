"""The table of ONNX operators: each is a function from an `Operation` to the value or values of its outputs.

To add one, write what it does in `functions.py` or `shapes.py` where torch has no such function, enter it here, and
give `tests/onnx_models.py` a case.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from knowlimits.files.onnx import functions, layers, patterns, shapes
from knowlimits.files.onnx.building import Operation, as_constant, kind_of
from knowlimits.follow import UnsupportedOperation

Operator = Callable[[Operation], Any]
TABLE: dict[tuple[str, str], Operator] = {}


def _enter(names: str, operator: Operator, domain: str = "") -> None:
    for name in names.split():
        TABLE[domain, name] = operator


def _plain(function: Callable[..., Any], *more: Any) -> Operator:
    """An operator whose inputs are the arguments of a function."""
    return lambda o: o.call(function, *(o.input(i) for i in range(len(o.inputs))), *more)


def _with(function: Callable[..., Any], **numbers: float) -> Operator:
    """A function of one input and of attributes that are numbers, whose defaults are given."""
    return lambda o: o.call(function, o.input(0), *(o.number(name, default) for name, default in numbers.items()))


# --- arithmetic and activations ----------------------------------------------------------------------------------------


def _multiply(o: Operation) -> Any:
    fused = patterns.gated(o.building, o.input(0), o.input(1))
    return o.call(functions.multiply, o.input(0), o.input(1)) if fused is None else fused


def _divide(o: Operation) -> Any:
    fused = patterns.standardized(o.building, o.input(0), o.input(1))
    return o.call(functions.divide, o.input(0), o.input(1)) if fused is None else fused


def _power(o: Operation) -> Any:
    exponent = o.building.scalar(o.input(1))
    return o.input(0) if exponent == 1 and o.input(1).ndim == 0 else o.call(functions.power, o.input(0), o.input(1))


def _cast(o: Operation) -> Any:
    return _cast_to(o, kind_of(o.integer("to", 0)))


def _cast_like(o: Operation) -> Any:
    other = o.input(1)
    if isinstance(other, Tensor):
        return _cast_to(o, "float" if other.is_floating_point() else "bool" if other.dtype == torch.bool else "int")
    return _cast_to(o, "int" if other in o.building.integers or other not in o.building.data else "float")


def _cast_to(o: Operation, kind: str | None) -> Any:
    x, building = o.input(0), o.building
    if kind is None:
        raise UnsupportedOperation("it casts to what is no number of a type that torch computes with")
    if not isinstance(x, fx.Node) or x not in building.data or kind == "float":
        return o.call(functions.cast, x, kind)
    if kind == "bool" or x not in building.integers | building.whole:
        raise UnsupportedOperation("it casts numbers that hang on the model's input to integers or truth values, which jump")
    # Integers stay float64: a node of its own, as they are integers from here on.
    node = o.call(functions.cast, x, "float")
    building.integers.add(node)
    return node


def _clip(o: Operation) -> Any:
    if o.version < 11:
        low, high = o.attribute("min"), o.attribute("max")
        return o.call(functions.clip, o.input(0), *(None if b is None else _bound(float(b)) for b in (low, high)))
    bounds = [_bound(float(b)) if isinstance(b, Tensor) and b.numel() == 1 else b for b in (o.optional(1), o.optional(2))]
    return o.call(functions.clip, o.input(0), *bounds)


def _bound(value: float) -> float | None:
    if value != value:
        raise ValueError("a bound must be a number. Got NaN instead")
    return None if abs(value) == float("inf") else value


def _softmax(logarithm: bool) -> Operator:
    def operator(o: Operation) -> Any:
        if o.version < 13:
            return o.call(functions.flat_softmax, o.input(0), o.integer("axis", 1), logarithm)
        return o.call(torch.log_softmax if logarithm else torch.softmax, o.input(0), o.integer("axis", -1))

    return operator


def _gelu(o: Operation) -> Any:
    return o.call(_gelu_of, o.input(0), o.text("approximate", "none"))


def _gelu_of(x: Tensor, approximate: str) -> Tensor:
    return F.gelu(x, approximate=approximate)


def _dropout(o: Operation) -> Any:
    training = o.constant(2, "training_mode")
    if training is not None and bool(training.any()):
        raise UnsupportedOperation("it drops numbers at random: export the model in eval mode")
    return o.input(0)


_enter("Add", layers.add)
_enter("Mul", _multiply)
_enter("Div", _divide)
_enter("Pow", _power)
_enter("Cast", _cast)
_enter("CastLike", _cast_like)
_enter("Clip", _clip)
_enter("Softmax", _softmax(False))
_enter("LogSoftmax", _softmax(True))
_enter("Gelu", _gelu)
_enter("Dropout", _dropout)
_enter("Sub", _plain(functions.subtract))
_enter("Sum", _plain(functions.add))
_enter("Mean", _plain(functions.mean))
_enter("Max", _plain(functions.maximum))
_enter("Min", _plain(functions.minimum))
_enter("Where", _plain(functions.where))
_enter("Identity", lambda o: o.input(0))
_enter("Neg", _plain(torch.neg))
_enter("Abs", _plain(torch.abs))
_enter("Relu", _plain(torch.relu))
_enter("Sigmoid", _plain(torch.sigmoid))
_enter("Tanh", _plain(torch.tanh))
_enter("Atan", _plain(torch.atan))
_enter("Erf", _plain(torch.erf))
_enter("Exp", _plain(torch.exp))
_enter("Log", _plain(torch.log))
_enter("Sqrt", _plain(torch.sqrt))
_enter("Reciprocal", _plain(torch.reciprocal))
_enter("Mish", _plain(F.mish))
_enter("HardSwish", _plain(F.hardswish))
_enter("Softplus", _plain(functions.softplus))
_enter("PRelu", _plain(functions.prelu))
_enter("LeakyRelu", _with(F.leaky_relu, alpha=0.01))
_enter("Elu", _with(F.elu, alpha=1.0))
_enter("Celu", _with(F.celu, alpha=1.0))
_enter("Selu", _with(functions.selu, alpha=1.6732632423543772, gamma=1.0507009873554805))
_enter("HardSigmoid", _with(functions.hard_sigmoid, alpha=0.2, beta=0.5))
_enter("Swish", _with(functions.swish, alpha=1.0))
# Of shapes; far fields refuse them, as they jump.
_enter("Equal", _plain(functions.equal))
_enter("Greater", _plain(functions.greater))
_enter("GreaterOrEqual", _plain(functions.greater_or_equal))
_enter("Less", _plain(functions.less))
_enter("LessOrEqual", _plain(functions.less_or_equal))
_enter("Not", _plain(torch.logical_not))
_enter("And", _plain(functions.both))
_enter("Or", _plain(functions.either))

# --- layers and windows --------------------------------------------------------------------------------------------------

_enter("MatMul", layers.matmul)
_enter("Gemm", layers.gemm)
_enter("Conv", layers.convolution)
_enter("BatchNormalization", layers.batch_norm)
_enter("LayerNormalization", layers.layer_norm)
_enter("InstanceNormalization", layers.instance_norm)
_enter("GroupNormalization", layers.group_norm)
_enter("MaxPool", layers.max_pool)
_enter("AveragePool", layers.average_pool)
_enter("GlobalAveragePool", _plain(functions.global_average))
_enter("GlobalMaxPool", _plain(functions.global_max))

# --- reductions --------------------------------------------------------------------------------------------


def _reduce(function: Callable[..., Any], input_since: int = 18) -> Operator:
    def operator(o: Operation) -> Any:
        axes = o.integers("axes") if o.version < input_since else o.sizes(1)
        if isinstance(axes, list) and not axes:
            axes = None
        if axes is None and o.integer("noop_with_empty_axes", 0):
            return o.input(0)
        return o.call(function, o.input(0), axes, bool(o.integer("keepdims", 1)))

    return operator


_enter("ReduceSum", _reduce(functions.reduce_sum, 13))
_enter("ReduceMean", _reduce(functions.reduce_mean))
_enter("ReduceMax", _reduce(functions.reduce_max))
_enter("ReduceMin", _reduce(functions.reduce_min))
_enter("ReduceLogSumExp", _reduce(functions.reduce_logsumexp))

# --- shapes and places -------------------------------------------------------------------------------------------------


def _constant(o: Operation) -> Any:
    for name, kind in (("value_float", torch.float64), ("value_floats", torch.float64), ("value_int", torch.int64)):
        if (value := o.attribute(name)) is not None:
            return torch.tensor(value, dtype=kind)
    if (whole := o.integers("value_ints")) is not None:
        return torch.tensor(whole, dtype=torch.int64)
    if (value := o.attribute("value")) is None:
        raise UnsupportedOperation("only constants that are dense tensors of numbers can be converted")
    return as_constant(value)


def _filled(o: Operation) -> Any:
    value = o.attribute("value")
    value = torch.zeros(1, dtype=torch.float64) if value is None else as_constant(value)
    return o.call(shapes.filled, o.sizes(0), value)


def _split(o: Operation) -> Any:
    sizes = o.integers("split") if o.version < 13 else o.sizes(1)
    if o.integer("num_outputs", o.outputs) != o.outputs:
        raise ValueError(f"num_outputs must be the number of outputs, {o.outputs}. Got {o.integer('num_outputs', 0)} instead")
    if sizes is None and o.version < 18:
        return _parts(o, o.call(shapes.equal_split, o.input(0), o.integer("axis", 0), o.outputs))
    return _parts(o, o.call(shapes.split, o.input(0), o.integer("axis", 0), sizes, o.outputs))


def _parts(o: Operation, parts: Any) -> Any:
    return [o.call(shapes.part, parts, i) for i in range(o.outputs)] if isinstance(parts, fx.Node) else parts


def _slice(o: Operation) -> Any:
    if o.version < 10:
        arguments = [o.integers("starts"), o.integers("ends"), o.integers("axes"), None]
    else:
        arguments = [o.sizes(i) for i in range(1, 5)]
    if arguments[0] is None or arguments[1] is None:
        raise ValueError("Slice needs starts and ends")
    return o.call(shapes.slice_axes, o.input(0), *arguments)


def _places(o: Operation) -> Any:
    """Indices: as a tensor, since its axes count, and there may be many."""
    return o.of_shapes(1)


def _pad(o: Operation) -> Any:
    mode, axes = o.text("mode", "constant"), None
    if o.version < 11:
        pads, value = o.integers("pads"), o.number("value", 0.0)
    else:
        pads, axes = o.sizes(1), o.sizes(3)
        given = o.constant(2, "the number to pad with")
        value = 0.0 if given is None or given.numel() == 0 else given.item()
        if value - value != 0:
            raise ValueError(f"the number to pad with must be finite. Got {value} instead")
    if pads is None:
        raise ValueError("Pad needs pads")
    return o.call(shapes.pad, o.input(0), pads, value, axes, mode)


def _axes_of(function: Callable[..., Any]) -> Operator:
    def operator(o: Operation) -> Any:
        return o.call(function, o.input(0), o.integers("axes") if o.version < 13 else o.sizes(1))

    return operator


def _needed(o: Operation, index: int) -> Any:
    o.input(index)
    return o.sizes(index)


def _concat(o: Operation) -> Any:
    return o.call(shapes.concat, *(o.input(i) for i in range(len(o.inputs))), o.integer("axis", 0))


_enter("Constant", _constant)
_enter("ConstantOfShape", _filled)
_enter("Split", _split)
_enter("Slice", _slice)
_enter("Pad", _pad)
_enter("Concat", _concat)
_enter("Squeeze", _axes_of(shapes.squeeze))
_enter("Unsqueeze", _axes_of(shapes.unsqueeze))
_enter("Gather", lambda o: o.call(shapes.gather, o.input(0), _places(o), o.integer("axis", 0)))
_enter("Reshape", lambda o: o.call(shapes.reshape, o.input(0), _needed(o, 1), bool(o.integer("allowzero", 0))))
_enter("Flatten", lambda o: o.call(shapes.flatten, o.input(0), o.integer("axis", 1)))
_enter("Transpose", lambda o: o.call(shapes.transpose, o.input(0), o.integers("perm")))
_enter("Expand", lambda o: o.call(shapes.expand, o.input(0), _needed(o, 1)))
_enter("Tile", lambda o: o.call(shapes.tile, o.input(0), _needed(o, 1)))
_enter("Shape", lambda o: o.call(shapes.shape_of, o.input(0), o.integer("start", 0), o.attribute("end")))
_enter("Size", _plain(shapes.size_of))
_enter("Range", _plain(shapes.arange))

# --- ai.onnx.ml --------------------------------------------------------------------------------------------------------

ML = "ai.onnx.ml"


def _scaler(o: Operation) -> Any:
    x = o.call(functions.cast, o.input(0), "float")
    offset, scale = o.numbers("offset"), o.numbers("scale")
    x = x if offset is None else o.call(functions.subtract, x, offset)
    return x if scale is None else o.call(functions.multiply, x, scale)


def _vectorizer(o: Operation) -> Any:
    columns = [o.input(i) for i in range(len(o.inputs))]
    result = o.call(shapes.vectorize_features, *columns, o.integers("inputdimensions"))
    if all(isinstance(column, fx.Node) and column in o.building.integers for column in columns):
        o.building.whole.add(result)
    return result


_enter("Scaler", _scaler, ML)
_enter("FeatureVectorizer", _vectorizer, ML)
_enter("ArrayFeatureExtractor", lambda o: o.call(shapes.extract_features, o.input(0), _places(o)), ML)
