"""ONNX files of networks of integers, put together by hand and by onnxruntime's own tool."""

import logging

import numpy as np
import onnx
from onnx import TensorProto

from knowlimits.files.onnx.graph import MICROSOFT
from tests.files.onnx_models import model_of, node

F4, U1, I1 = np.float32, np.uint8, np.int8


def whole(lowest, highest, *shape, kind=I1):
    return np.random.RandomState(len(shape)).randint(lowest, highest + 1, shape).astype(kind)


def single(nodes, shape, constants, opset=21, check=True):
    """A model in single precision that may have operators of com.microsoft."""
    constants = {name: value.astype(F4) if value.dtype == float else value for name, value in constants.items()}
    for place, one in enumerate(nodes):
        # Names of nodes must be different for onnxruntime and its tools.
        one.name = f"{one.op_type} {place}"
    model = model_of(nodes, shape, constants, opset, kind=TensorProto.FLOAT, check=False)
    model.opset_import.add(domain=MICROSOFT, version=1)
    if check:
        onnx.checker.check_model(model)
    return model


# --- one operator, or two -------------------------------------------------------------------------------------------

SCALES = {"s": np.array(0.5), "z": np.array(8, U1), "t": np.array(0.25), "u": np.array(16, U1), "one": np.array(1.0)}
SCALES |= {"r": np.array(0.25), "v": np.array(100, U1), "i": np.array(-5, I1), "zero": np.array(0, I1)}
FIRST, LAST = node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "p r v", "y")
WEIGHTS = {"w": whole(-2, 2, 4, 3), "wz": np.array(1, I1), "b": whole(-9, 9, 3, kind=np.int32)}
KERNEL = {"w": whole(-2, 2, 2, 1, 3, 3), "b": whole(-9, 9, 2, kind=np.int32)}
IMAGE = (1, 4, 4)


def of(kind, inputs, domain="", **attributes):
    """From integers to integers."""
    return [FIRST, node(kind, inputs, "p", domain, **attributes), LAST]


def ms(kind, inputs, **attributes):
    return of(kind, inputs, MICROSOFT, **attributes)


# By name: nodes, shape of an input, constants beside the scales.
ON_GRID = {
    "QuantizeLinear": ([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")], (4,), {}),
    "QuantizeLinear on another scale": (
        [node("QuantizeLinear", "x r v", "q"), node("DequantizeLinear", "q t u", "y")],
        (4,),
        {},
    ),
    "QuantizeLinear of int8": ([node("QuantizeLinear", "x s i", "q"), node("DequantizeLinear", "q s i", "y")], (4,), {}),
    "QuantizeLinear without zero points": (
        [node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "y")],
        (4,),
        {},
    ),
    "QuantizeLinear of int16": (
        [node("QuantizeLinear", "x s k", "q"), node("DequantizeLinear", "q s k", "y")],
        (4,),
        {"k": np.array(-32700, np.int16)},
    ),
    "QuantizeLinear by an attribute": (
        [node("QuantizeLinear", "x s", "q", output_dtype=TensorProto.INT8), node("DequantizeLinear", "q s", "y")],
        (4,),
        {},
    ),
    "QuantizeLinear of columns": (
        [node("QuantizeLinear", "x ss zz", "q", axis=1), node("DequantizeLinear", "q ss zz", "y", axis=-1)],
        (4,),
        {"ss": np.array([0.5, 0.25, 1.0, 0.5]), "zz": np.array([0, 8, 100, 255], U1)},
    ),
    "QuantizeLinear of com.microsoft": (
        [node("QuantizeLinear", "x s z", "q", MICROSOFT), node("DequantizeLinear", "q s z", "y", MICROSOFT)],
        (4,),
        {},
    ),
    "integers that move": (
        [
            FIRST,
            node("Transpose", "q", "a", perm=[0, 2, 3, 1]),
            node("Flatten", "a", "b"),
            node("Split", "b parts", "c d", axis=1),
            node("Concat", "d c", "p", axis=1),
            LAST,
        ],
        IMAGE,
        {"parts": np.array([5, 11])},
    ),
    "MaxPool of integers": (
        [FIRST, node("MaxPool", "q", "a", kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", "a", "p"), LAST],
        IMAGE,
        {},
    ),
    "QLinearMatMul": (of("QLinearMatMul", "q s z w one wz r v"), (4,), WEIGHTS),
    "QLinearMatMul of columns": (
        of("QLinearMatMul", "q s z w tt wzz r v"),
        (4,),
        {**WEIGHTS, "tt": np.array([0.5, 2.0, 1.0]), "wzz": np.array([0, 1, -1], I1)},
    ),
    "QLinearConv": (
        [FIRST, node("QLinearConv", "q s z w one zero r v b", "a", pads=[1] * 4), node("Flatten", "a", "p"), LAST],
        IMAGE,
        KERNEL,
    ),
    "QLinearConv of channels": (
        [FIRST, node("QLinearConv", "q s z w tt zz r v", "a", strides=[2, 2]), node("Flatten", "a", "p"), LAST],
        IMAGE,
        {**KERNEL, "tt": np.array([0.5, 2.0]), "zz": np.array([0, 0], I1)},
    ),
    "QGemm": (ms("QGemm", "q s z w one wz b r v"), (4,), WEIGHTS),
    "QGemm with alpha, turned": (
        ms("QGemm", "q s z wt one wz b r v", transB=1, alpha=2.0),
        (4,),
        {**WEIGHTS, "wt": WEIGHTS["w"].T.copy()},
    ),
    "QGemm to real numbers": ([FIRST, node("QGemm", "q s z w one wz b", "y", MICROSOFT)], (4,), WEIGHTS),
    "QLinearAdd": (
        [FIRST, node("QuantizeLinear", "x t u", "q2"), node("QLinearAdd", "q s z q2 t u r v", "p", MICROSOFT), LAST],
        (4,),
        {},
    ),
    "QLinearMul": (ms("QLinearMul", "q s z c one wz r v"), (4,), {"c": np.array([[1, 3, 2, 0]], U1), "wz": np.array(1, U1)}),
    "QLinearLeakyRelu": (ms("QLinearLeakyRelu", "q s z r v", alpha=0.5), (4,), {}),
    "QLinearConcat": (
        [FIRST, node("QuantizeLinear", "x t u", "q2"), node("QLinearConcat", "r v q s z q2 t u", "p", MICROSOFT, axis=1), LAST],
        (4,),
        {},
    ),
    "QLinearAveragePool": (
        [
            FIRST,
            node("QLinearAveragePool", "q s z t u", "a", MICROSOFT, kernel_shape=[1, 2], strides=[2, 2]),
            node("Flatten", "a", "b"),
            node("DequantizeLinear", "b t u", "y"),
        ],
        IMAGE,
        {},
    ),
    "QLinearGlobalAveragePool": (
        [
            FIRST,
            node("QLinearGlobalAveragePool", "q s z r v", "a", MICROSOFT, channels_last=0),
            node("Flatten", "a", "p"),
            LAST,
        ],
        (2, 1, 1),
        {},
    ),
    "MatMulInteger": (
        [FIRST, node("MatMulInteger", "q w z wz", "h"), node("Cast", "h", "f", to=1), node("Mul", "f s", "y")],
        (4,),
        WEIGHTS,
    ),
    "ConvInteger": (
        [
            FIRST,
            node("ConvInteger", "q w z zero", "h", pads=[1] * 4),
            node("Cast", "h", "f", to=1),
            node("Mul", "f s", "g"),
            node("Flatten", "g", "y"),
        ],
        IMAGE,
        KERNEL,
    ),
    "MatMulIntegerToFloat": (
        [FIRST, node("MatMulIntegerToFloat", "q w s one z wz fb", "y", MICROSOFT)],
        (4,),
        {**WEIGHTS, "fb": np.array([1.0, 2.0, 3.0])},
    ),
}
# Where no grid is kept.
NEAR_GRID = {
    "QLinearSigmoid": (ms("QLinearSigmoid", "q s z p4 zero8"), (4,), {}),
    "QLinearSoftmax": (ms("QLinearSoftmax", "q s z p4 zero8", opset=13, axis=1), (4,), {}),
    "QLinearSoftmax of opset 12": (ms("QLinearSoftmax", "q s z p4 zero8", opset=12, axis=1), (4,), {}),
}
SHARES = {"p4": np.array(2.0**-8), "zero8": np.array(0, U1)}


def one_operator(nodes, shape, constants):
    there = {**SCALES, **SHARES, **constants}
    used = {name for one in nodes for name in one.input}
    # Behind which nothing is left off.
    nodes = [*nodes, node("Dropout", "y", "out")]
    return single(nodes, shape, {name: value for name, value in there.items() if name in used}, check=False)


# --- networks ----------------------------------------------------------------------------------------------------


class Rows:
    """Rows by which ranges are found."""

    def __init__(self, x):
        self.left = [{"x": x}]

    def get_next(self):
        return self.left.pop() if self.left else None


def small(product):
    """A classifier in single precision, with biases as layers have them."""
    generator = np.random.RandomState(1)
    constants = {"w": generator.randn(4, 6), "b": generator.randn(6), "v": generator.randn(6, 3), "a": generator.randn(3)}
    if product == "Gemm":
        nodes = [node("Gemm", "x w b", "h"), node("Relu", "h", "r"), node("Gemm", "r v a", "z")]
    else:
        nodes = [node("MatMul", "x w", "g"), node("Add", "g b", "h"), node("Relu", "h", "r")]
        nodes += [node("MatMul", "r v", "k"), node("Add", "k a", "z")]
    return single([*nodes, node("Softmax", "z", "y", axis=1)], (4,), constants)


def images():
    generator = np.random.RandomState(2)
    constants = {
        "w": generator.randn(3, 1, 3, 3),
        "b": generator.randn(3),
        "v": generator.randn(12, 3),
        "a": generator.randn(3),
    }
    nodes = [
        node("Conv", "x w b", "h", pads=[1] * 4),
        node("Relu", "h", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "m", "f"),
        node("Gemm", "f v a", "y"),
    ]
    return single(nodes, IMAGE, constants)


def as_integers(model, folder, **options):
    """What onnxruntime's own tool makes of a model; static if the format is given."""
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    logging.getLogger().setLevel(logging.ERROR)
    onnx.save(model, folder / "float.onnx")
    if "quant_format" in options:
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        rows = np.random.RandomState(0).randn(64, *shape).astype(F4)
        quantize_static(folder / "float.onnx", folder / "whole.onnx", Rows(rows), **options)
    else:
        quantize_dynamic(folder / "float.onnx", folder / "whole.onnx", **options)
    return onnx.load(folder / "whole.onnx")


def kinds(model):
    return {one.op_type for one in model.graph.node}
