"""ONNX files for tests: one operator alone, and small classifiers, put together by hand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
RNG = np.random.RandomState(0)


def draw(*shape):
    return RNG.randn(*shape)


def ints(*values):
    return np.array(values, dtype=np.int64)


def model_of(nodes, shape, constants=None, opset=21, output=None, kind=TensorProto.DOUBLE, batch="n", check=True):
    """A model with one input `x` of shape ``(n, *shape)``; its output is that of the last node, unless others are given."""
    outputs = output or [helper.make_tensor_value_info(nodes[-1].output[0], kind, ["n", None])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, [batch, *shape])],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    if check:
        onnx.checker.check_model(model)
    return model


def node(kind, inputs, outputs, domain="", **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), domain=domain, name=f"the {kind}", **attributes)


# What a case may have as its first input in place of `x`, made of the sizes of x after the first.
OF = {
    "x": [],
    "nothing": [],
    "shape": [node("Shape", "x", "shape", start=1)],
    "size": [node("Shape", "x", "shape", start=1), node("Squeeze", "shape", "size")],
    "truth": [node("Shape", "x", "shape", start=1), node("Greater", "shape three", "truth")],
}


@dataclass
class Case:
    """One operator: its inputs are `x` and constants; its first output becomes that of a classifier.

    Attributes:
        of: its first input, one of `OF`.
        older: whether onnx's converter makes one of the newest opset of it, if it is of an older one.
        labels: whether its first output are labels, which are left alone.
        added: whether its output has no row for each input: then the mean of it is added to `x`.
        far: whether far fields can be computed.
        judge: ``"onnx"`` or ``"onnxruntime"``, where the former is wrong.
    """

    kind: str
    shape: tuple[int, ...] = (4,)
    constants: list[Any] = field(default_factory=list)
    opset: int = 21
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""
    first: bool = True
    far: bool = True
    judge: str = "onnx"
    tolerance: float = 1e-12
    of: str = "x"
    added: bool = False
    labels: bool = False
    older: bool = True

    def __str__(self):
        return "-".join([self.kind, str(self.opset), *self.attributes])

    def model(self):
        values = {f"c{i}": value for i, value in enumerate(self.constants) if isinstance(value, np.ndarray)}
        names = [f"c{i}" if f"c{i}" in values else value or "" for i, value in enumerate(self.constants)]
        first = [] if self.of == "nothing" else [self.of]
        inputs = [*first, *names] if self.first else [*names, *first]
        outputs = [*(["labels"] if self.labels else []), *(f"y{i}" for i in range(self.outputs))]
        nodes = [*OF[self.of], helper.make_node(self.kind, inputs, outputs, domain=self.domain, **self.attributes)]
        if self.of == "truth":
            values["three"] = ints(3)
        if self.added:
            cast = node("Cast", "y0", "number", to=TensorProto.DOUBLE)
            nodes += [
                cast,
                node("ReduceMean", "number", "mean", keepdims=0),
                node("Add", "x mean", "sum"),
                node("Flatten", "sum", "out"),
            ]
            return model_of(nodes, self.shape, values, self.opset)
        # Each output counts, and none may be taken for the end of a classifier.
        nodes += [node("Flatten", f"y{i}", f"f{i}", axis=1) for i in range(self.outputs)]
        nodes += [node("Concat", " ".join(f"f{i}" for i in range(self.outputs)), "all", axis=1), node("Neg", "all", "out")]
        kind = TensorProto.FLOAT if self.judge == "onnxruntime" else TensorProto.DOUBLE
        values = {n: v.astype("f4") if kind == TensorProto.FLOAT and v.dtype == float else v for n, v in values.items()}
        return model_of(nodes, self.shape, values, self.opset, kind=kind)


def c(
    kind, shape=(4,), *constants, opset=21, outputs=1, domain="", first=True, far=True, judge="onnx", tol=1e-12, of="x", **rest
):
    values = [v if v is None or isinstance(v, str) else np.asarray(v) for v in constants]
    added, labels = rest.pop("added", of != "x"), rest.pop("labels", False)
    older = rest.pop("older", True)
    return Case(kind, shape, values, opset, rest, outputs, domain, first, far, judge, tol, of, added, labels, older)


V, W, IMAGE, SEQUENCE, VOLUME = draw(4), draw(4, 3), (3, 7, 6), (3, 9), (2, 5, 4, 5)
KERNEL, BIAS = draw(4, 3, 3, 3), draw(4)
CHANNELS = [draw(3), draw(3), draw(3), abs(draw(3)) + 0.1]
SCALES = abs(draw(4)) + 0.1


# Rows of coefficients, classes, and what comes after the scores.
LINEAR = [(1, 2, "NONE"), (1, 2, "LOGISTIC"), (2, 2, "LOGISTIC"), (2, 2, "SOFTMAX"), (3, 3, "NONE"), (3, 3, "LOGISTIC")]
LINEAR += [(3, 3, "SOFTMAX")]


def of_ml(labels=True):
    """Operators whose judge computes in single precision."""
    return {"judge": "onnxruntime", "tol": 1e-6, **({"labels": True} if labels else {})}


def ort():
    return {"judge": "onnxruntime", "tol": 1e-5}


def linear(rows, classes, after):
    coefficients, intercepts = list(draw(4 * rows)), list(draw(rows))
    labels = list(range(classes))
    return c(
        "LinearClassifier",
        domain=ML,
        coefficients=coefficients,
        intercepts=intercepts,
        classlabels_ints=labels,
        post_transform=after,
        **of_ml(),
    )


def stump(of, ids, weights):
    """A tree of one split and two leaves, which have as many weights each."""
    half = len(ids) // 2
    return {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 0],
        "nodes_values": [0.125, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        f"{of}_treeids": [0] * len(ids),
        f"{of}_nodeids": [1] * half + [2] * half,
        f"{of}_ids": ids,
        f"{of}_weights": weights,
        **({"classlabels_int64s": [0, 1]} if of == "class" else {}),
    }


def machine(kernel, classes=3):
    """A support vector machine of two vectors for each class, with probabilities."""
    vectors, pairs = 2 * classes, classes * (classes - 1) // 2
    return {
        "classlabels_ints": list(range(classes)),
        "vectors_per_class": [2] * classes,
        "support_vectors": list(draw(4 * vectors)),
        "coefficients": list(draw((classes - 1) * vectors)),
        "rho": list(draw(pairs)),
        "prob_a": list(-1 - draw(pairs) ** 2),
        "prob_b": list(draw(pairs)),
        "kernel_type": kernel,
        "kernel_params": [0.25, 0.5, 2.0],
    }


CASES = [
    # Arithmetic.
    c("Add", (4,), V),
    c("Add", (4,), V, first=False, opset=7),
    c("Sub", (4,), V),
    c("Sub", (4,), draw(1, 4), first=False),
    c("Mul", (4,), V),
    c("Mul", (2, 3), draw(3)),
    c("Div", (4,), V),
    c("Neg"),
    c("Sum", (4,), V, draw(1, 4)),
    c("Mean", (4,), V, draw(1, 4)),
    c("Max", (4,), V, draw(1, 4)),
    c("Min", (4,), V),
    c("Pow", (4,), np.array(1.0)),
    c("Pow", (4,), np.array(2.0), far=False),
    c("Pow", (4,), np.array(3, dtype=np.int64), far=False),
    c("Abs"),
    c("Identity"),
    c("Sqrt", far=False),
    c("Exp", far=False),
    c("Log", far=False),
    c("Reciprocal", far=False),
    c("Where", (4,), np.array([True, False, True, False]), V, first=False),
    # Activations.
    c("Relu", opset=7),
    c("Relu"),
    c("LeakyRelu"),
    c("LeakyRelu", alpha=0.3),
    c("LeakyRelu", alpha=-0.3, opset=7),
    c("PRelu", (4,), V),
    c("PRelu", IMAGE, draw(3, 1, 1)),
    c("PRelu", (4,), draw(1), opset=7),
    c("Elu"),
    c("Elu", alpha=0.4),
    c("Celu", opset=12, judge="onnxruntime", tol=1e-6),
    c("Celu", alpha=0.4, opset=12, judge="onnxruntime", tol=1e-6),
    c("Selu"),
    c("Selu", alpha=1.2, gamma=0.7),
    c("Gelu", tol=1e-6),
    c("Gelu", approximate="tanh", tol=1e-6),
    c("Sigmoid"),
    c("HardSigmoid"),
    c("HardSigmoid", alpha=0.7, beta=0.1),
    c("HardSwish", judge="onnxruntime", tol=1e-6),
    c("Tanh"),
    c("Atan"),
    c("Erf", tol=1e-6),
    c("Mish"),
    c("Swish", opset=24),
    c("Swish", opset=24, alpha=1.5),
    c("Softplus"),
    c("Softmax", axis=1),
    c("Softmax", (3, 4)),
    c("Softmax", (3, 4), axis=1),
    c("Softmax", (3, 4), opset=12, judge="onnxruntime", tol=1e-6),
    c("Softmax", (3, 4), axis=2, opset=11, judge="onnxruntime", tol=1e-6),
    c("LogSoftmax", axis=-1),
    c("LogSoftmax", (3, 4), opset=12, judge="onnxruntime", tol=1e-5),
    c("Clip", (4,), np.array(-0.5), np.array(0.7)),
    c("Clip", (4,), None, np.array(0.7)),
    c("Clip", (4,), np.array(-0.5), opset=11),
    c("Clip", (4,), np.array(0.7), np.array(-0.5)),
    c("Clip", (4,), np.array(0.0), np.array(np.inf)),
    c("Clip", min=-0.5, max=0.5, opset=7),
    c("Clip", min=0.0, opset=10),
    c("Clip"),
    c("Dropout", opset=7),
    c("Dropout", ratio=0.3, opset=10),
    c("Dropout", (4,), np.array(0.3, dtype=np.float32), opset=12),
    c("Dropout", (4,), np.array(0.3, dtype=np.float32), np.array(False)),
    c("Cast", to=TensorProto.DOUBLE),
    c("CastLike", (4,), V),
    # Layers.
    c("MatMul", (4,), W),
    c("MatMul", (3, 4), W),
    c("MatMul", (3, 4), draw(2, 3), first=False),
    c("MatMul", (4,), V[:, None]),
    c("MatMul", (2, 3, 4), draw(2, 4, 2)),
    c("Gemm", (4,), W),
    c("Gemm", (4,), W, draw(3), opset=7),
    c("Gemm", (4,), W.T, draw(3), transB=1, alpha=0.5, beta=2.0),
    c("Gemm", (4,), W, draw(1), opset=11),
    c("Gemm", (4,), W, np.array(0.5)),
    c("Gemm", (4,), W, draw(1, 3)),
    c("Gemm", (3,), draw(3, 3), "x", alpha=0.5, beta=2.0),
    c("Conv", SEQUENCE, draw(2, 3, 3), draw(2), strides=[2], pads=[1, 1], dilations=[2]),
    c("Conv", IMAGE, KERNEL, BIAS),
    c("Conv", IMAGE, KERNEL, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 1]),
    c("Conv", IMAGE, KERNEL, BIAS, pads=[0, 1, 2, 0], opset=7),
    c("Conv", IMAGE, draw(6, 1, 2, 3), group=3),
    c("Conv", IMAGE, KERNEL, auto_pad="SAME_UPPER", strides=[2, 2], judge="onnxruntime", tol=1e-5),
    c("Conv", IMAGE, KERNEL, auto_pad="SAME_LOWER", strides=[3, 2], judge="onnxruntime", tol=1e-5),
    c("Conv", IMAGE, KERNEL, auto_pad="VALID"),
    c("Conv", VOLUME, draw(3, 2, 2, 2, 2)),
    c("BatchNormalization", (3,), *CHANNELS, opset=7, judge="onnxruntime", tol=1e-5),
    c("BatchNormalization", IMAGE, *CHANNELS, opset=9, epsilon=0.01, judge="onnxruntime", tol=1e-5),
    c("BatchNormalization", IMAGE, *CHANNELS, opset=14),
    c("BatchNormalization", SEQUENCE, *CHANNELS),
    c("LayerNormalization", (4,), V, V, opset=17, tol=1e-6),
    c("LayerNormalization", (4,), V, epsilon=0.1, tol=1e-6),
    c("LayerNormalization", (3, 4), draw(3, 4), axis=1, tol=1e-6),
    c("LayerNormalization", (3, 4), V, V, axis=1, tol=1e-6),
    c("InstanceNormalization", IMAGE, *CHANNELS[:2], tol=1e-6),
    c("GroupNormalization", (4, 5), V, V, num_groups=2, tol=1e-6),
    # Reductions and windows.
    *[c(kind, (2, 3), opset=11, axes=[1]) for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")],
    *[c(kind, (2, 3), opset=11, axes=[-1, 1], keepdims=0) for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")],
    *[c(kind, (2, 3), ints(1, 2), opset=18) for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")],
    c("ReduceSum", (2, 3), ints(2), opset=13, keepdims=0),
    c("ReduceSum", (2, 3), noop_with_empty_axes=1),
    c("ReduceMean", (2, 3), ints(-1), keepdims=0),
    c("ReduceLogSumExp", (2, 3), ints(1)),
    c("ReduceL1", (2, 3), opset=13, axes=[1]),
    c("ReduceL1", (2, 3), ints(-1), keepdims=0),
    c("MaxPool", SEQUENCE, kernel_shape=[3], strides=[2]),
    c("MaxPool", IMAGE, kernel_shape=[3, 2], pads=[1, 1, 1, 1], opset=8),
    c("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 1], strides=[1, 2]),
    c("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], judge="onnxruntime", tol=1e-6),
    c("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", judge="onnxruntime", tol=1e-6),
    c("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[3, 2], auto_pad="SAME_LOWER", judge="onnxruntime", tol=1e-6),
    c("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, judge="onnxruntime", tol=1e-6),
    c("MaxPool", VOLUME, kernel_shape=[2, 2, 2]),
    c("AveragePool", SEQUENCE, kernel_shape=[3], strides=[2], pads=[1, 1]),
    c("AveragePool", IMAGE, kernel_shape=[3, 2], strides=[2, 2]),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 1, 0], opset=7),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 1, 0], count_include_pad=1),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[2, 2, 2, 2], strides=[2, 2]),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", judge="onnxruntime", tol=1e-6),
    c("AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, judge="onnxruntime", tol=1e-6),
    c("AveragePool", VOLUME, kernel_shape=[2, 2, 2]),
    c("GlobalAveragePool", IMAGE),
    c("GlobalMaxPool", SEQUENCE, judge="onnxruntime", tol=1e-6),
    # Shapes and places.
    c("Flatten", IMAGE),
    c("Flatten", IMAGE, axis=-3),
    c("Reshape", (2, 6), ints(0, -1, 3)),
    c("Reshape", (2, 6), ints(-1, 12), allowzero=1),
    c("Transpose", IMAGE, perm=[0, 3, 1, 2]),
    c("Squeeze", (1, 4), opset=12, axes=[1]),
    c("Squeeze", (1, 4), ints(-2)),
    c("Squeeze", (1, 4)),
    c("Unsqueeze", (4,), opset=12, axes=[1, 3]),
    c("Unsqueeze", (4,), ints(-1, 1)),
    c("Concat", (4,), "x", axis=1),
    c("Split", (4,), opset=12, axis=1, outputs=2),
    c("Split", (4,), opset=12, axis=1, split=[1, 3], outputs=2),
    c("Split", (4,), ints(1, 2, 1), axis=-1, outputs=3),
    c("Split", (5,), axis=1, num_outputs=3, outputs=3),
    c("Slice", IMAGE, opset=9, starts=[1, -4], ends=[3, 6], axes=[1, 3]),
    c("Slice", IMAGE, ints(1, 5), ints(9, 1), ints(1, -1), ints(1, -2)),
    c("Slice", IMAGE, ints(0, 1), ints(100, 2)),
    c("Slice", (4,), ints(-1), ints(-(2**63)), ints(1), ints(-1)),
    c("Gather", (4,), ints(2, 0, -1), axis=1),
    c("Gather", (4, 3), np.array(1), axis=1),
    c("Gather", (4, 3), ints(0, 2)[None], axis=-1),
    c("DepthToSpace", (8, 2, 3), blocksize=2),
    c("DepthToSpace", (18, 2, 3), blocksize=3, mode="CRD"),
    c("Expand", (1, 4), ints(3, 1)),
    c("Tile", (2, 3), ints(1, 2, 3)),
    c("Pad", (4,), opset=10, pads=[0, 1, 0, 2], value=0.5),
    c("Pad", (4,), ints(0, 1, 0, 2), np.array(-1.5), opset=11),
    c("Pad", (4,), ints(0, -1, 0, 2), judge="onnxruntime", tol=1e-6),
    c("Pad", IMAGE, ints(1, 2), None, ints(-1), mode="constant"),
    c("Pad", IMAGE, ints(0, 0, 2, 1, 0, 1, 1, 3), mode="reflect"),
    c("Pad", IMAGE, ints(0, 0, 2, 1, 0, 0, 1, 3), mode="edge", opset=13),
    c("Pad", IMAGE, ints(0, 0, 2, 1, 0, 0, 1, 3), mode="wrap", judge="onnxruntime", tol=1e-6),
    # Transposed convolutions, other sizes, lengths.
    c("ConvTranspose", SEQUENCE, draw(3, 2, 3), draw(2), strides=[2], pads=[1, 0], dilations=[2], output_padding=[1]),
    c("ConvTranspose", IMAGE, draw(3, 2, 3, 2), strides=[2, 3]),
    c("ConvTranspose", IMAGE, draw(3, 2, 2, 2), draw(6), group=3, kernel_shape=[2, 2], **ort()),
    c("ConvTranspose", IMAGE, draw(3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER", **ort()),
    c("ConvTranspose", IMAGE, draw(3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER", **ort()),
    c("ConvTranspose", IMAGE, draw(3, 2, 3, 3), strides=[2, 2], output_shape=[14, 12], **ort()),
    c("ConvTranspose", IMAGE, draw(3, 2, 4, 4), strides=[2, 2], output_shape=[13, 12], output_padding=[1, 0], **ort()),
    c("ConvTranspose", IMAGE, draw(3, 2, 3, 3), auto_pad="VALID", opset=9, **ort()),
    c("ConvTranspose", VOLUME, draw(2, 3, 2, 2, 2), strides=[1, 2, 1], **ort()),
    c("Upsample", IMAGE, opset=7, scales=[1.0, 1.0, 2.0, 3.0], mode="nearest", older=False, **ort()),
    c("Upsample", IMAGE, np.array([1, 1, 2, 1.5], dtype="f4"), opset=9, mode="linear", older=False, **ort()),
    c("Resize", IMAGE, np.array([1, 1, 2, 0.5], dtype="f4"), opset=10, older=False, **ort()),
    c("Resize", IMAGE, None, np.array([1, 1, 2, 3], dtype="f4"), mode="nearest"),
    c("Resize", IMAGE, np.zeros(0, "f4"), np.array([1, 1, 0.5, 2.5], dtype="f4"), opset=11, mode="linear", **ort()),
    c("Resize", IMAGE, None, None, ints(5, 9), axes=[2, 3], mode="linear", opset=18),
    c("Resize", IMAGE, None, None, ints(9), axes=[-1], mode="linear", coordinate_transformation_mode="align_corners", **ort()),
    *[
        c("Resize", IMAGE, None, None, ints(10, 4), axes=[2, 3], coordinate_transformation_mode=m, nearest_mode=n, **ort())
        for m in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")
        for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ],
    *[
        c("Resize", SEQUENCE, None, np.array([1, 1, f], dtype="f4"), mode="linear", coordinate_transformation_mode=m, **ort())
        for m in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric")
        for f in (0.1875, 2.25)
    ],
    c("Resize", VOLUME, None, np.array([1, 1, 2, 1, 2], dtype="f4"), mode="linear", **ort()),
    c("LpPool", SEQUENCE, kernel_shape=[3], strides=[2], pads=[1, 1]),
    c("LpPool", IMAGE, kernel_shape=[3, 2], p=1, auto_pad="SAME_UPPER", **ort()),
    c("LpPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 1], p=3, **ort()),
    c("GlobalLpPool", IMAGE, p=3, **ort()),
    c("GlobalLpPool", IMAGE, **ort()),
    c("ReduceL2", (2, 3), ints(1), keepdims=0),
    c("ReduceL2", (2, 3), opset=13, axes=[1, 2]),
    c("ReduceSumSquare", (2, 3), ints(1), far=False),
    c("ReduceLogSum", (2, 3), ints(1), far=False),
    c("ReduceProd", (2, 3), ints(1, 2), far=False),
    c("ReduceProd", (2, 1, 3), ints(2), keepdims=0),
    c("RMSNormalization", (4,), V, opset=23, tol=1e-6),
    c("RMSNormalization", (3, 4), draw(3, 4), axis=1, epsilon=0.1, opset=23, tol=1e-6),
    c("LpNormalization", (4,), axis=1, p=1, **ort()),
    c("LpNormalization", (3, 4)),
    c("MeanVarianceNormalization", IMAGE, axes=[2, 3], **ort()),
    c("Einsum", (3, 4), draw(4, 2), equation="bij,jk->bik"),
    c("Einsum", (3, 4), draw(4, 2), draw(3), equation="bij, jk, i -> bk"),
    c("Einsum", (4, 4), equation="...ii->...i"),
    c("CumSum", (4, 3), np.array(1)),
    c("CumSum", (4, 3), np.array(-1), exclusive=1, reverse=1),
    c("CumSum", (4, 3), ints(1), reverse=1, **ort()),
    c("SpaceToDepth", (2, 4, 6), blocksize=2),
    c("Trilu", (3, 4)),
    c("Trilu", (3, 4), np.array(-1), upper=0),
    c("OneHot", (3, 2), np.array(4), np.array([-1.0, 2.0]), of="shape", axis=0),
    c("OneHot", (3, 2), np.array(5), np.array([0, 1]), of="shape"),
    c("EyeLike", (3,), far=False, dtype=TensorProto.DOUBLE, added=True),
    c("EyeLike", (3,), far=False, dtype=TensorProto.DOUBLE, k=-1, added=True),
    # Jumps and steps.
    c("Sign"),
    c("ThresholdedRelu"),
    c("ThresholdedRelu", alpha=0.0),
    c("Shrink", lambd=0.5, bias=0.5),
    c("Shrink", lambd=0.75, bias=0.25),
    c("Hardmax", (3, 4), far=False),
    c("Hardmax", (3, 4), opset=11, far=False, older=False, **ort()),
    c("Softsign"),
    *[c(name, far=False) for name in ("Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Asinh")],
    *[c(name, far=False) for name in ("Asin", "Acos", "Acosh", "Atanh")],
    c("Mod", (4,), V, fmod=1, far=False),
    c("Mod", (4, 3, 4), ints(-2), of="shape"),
    *[c(k, (4,), np.array(0.25), added=True, far=False) for k in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    c("IsInf", (4,), added=True),
    c("IsInf", (4,), detect_negative=0, added=True, far=False),
    c("Xor", (4, 3, 4), np.array([True, True, False]), of="truth"),
    # Of shapes.
    c("Shape", (3, 2), start=1, added=True),
    c("Shape", (3, 2), start=-2, end=-1, added=True),
    c("Shape", far=False, added=True),
    c("Size", (3, 2), far=False, added=True),
    c("Size", (3, 2), of="shape"),
    *[c(k, (3, 2), ints(3, 3), of="shape") for k in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")],
    c("Greater", (3, 2), ints(3), of="shape", first=False),
    *[c(k, (4, 3, 4), np.array([True, True, False]), of="truth") for k in ("And", "Or")],
    c("Not", (4, 3, 4), of="truth"),
    c("Where", (4, 3, 4), ints(5, 6, 7), ints(10), of="truth"),
    c("Constant", of="nothing", value=numpy_helper.from_array(draw(3))),
    c("Constant", of="nothing", value_floats=[0.5, 1.5]),
    c("Constant", of="nothing", value_float=0.5),
    c("Constant", of="nothing", value_ints=[3, 5]),
    c("Constant", of="nothing", value_int=3),
    c("ConstantOfShape", (3, 2), of="shape"),
    c("ConstantOfShape", (3, 2), of="shape", value=numpy_helper.from_array(np.array([2.5]))),
    c("Range", (4,), np.array(2), np.array(19), of="size", first=False),
    c("Range", (4,), np.array(-9), np.array(-2), of="size"),
    # Classical machine learning.
    c("Scaler", (4,), domain=ML, offset=list(V), scale=list(SCALES), judge="onnxruntime", tol=1e-6),
    c("Scaler", (4,), domain=ML, offset=[0.5], scale=[2.0], judge="onnxruntime", tol=1e-6),
    c("ArrayFeatureExtractor", (4,), ints(2, 0), domain=ML),
    c("FeatureVectorizer", (4,), "x", domain=ML, inputdimensions=[4, 4], judge="onnxruntime", tol=1e-6),
    c("Imputer", domain=ML, imputed_value_floats=[1.0], replaced_value_float=np.nan, judge="onnxruntime", tol=1e-6),
    c("Imputer", domain=ML, imputed_value_floats=[1.0, 2.0, 3.0, 4.0], judge="onnxruntime", tol=1e-6, far=False),
    c("OneHotEncoder", (4,), domain=ML, cats_int64s=[2, 0, -1], zeros=1, judge="onnxruntime", far=False),
    c("LabelEncoder", (4,), domain=ML, keys_floats=[0.5, 1.0], values_floats=[2.0, 3.0], judge="onnxruntime", far=False),
    c("Binarizer", (4,), domain=ML, threshold=0.25, judge="onnxruntime"),
    c("Normalizer", (4,), domain=ML, norm="L1", judge="onnxruntime", tol=1e-6),
    c("Normalizer", (4,), domain=ML, norm="L2", judge="onnxruntime", tol=1e-6),
    *[linear(rows, classes, after) for rows, classes, after in LINEAR],
    c("TreeEnsembleClassifier", (4,), domain=ML, **stump("class", [0, 1, 0, 1], [0.25, 0.75, 0.5, 0.5]), **of_ml()),
    c("TreeEnsembleClassifier", (4,), domain=ML, **stump("class", [0, 0], [-1.0, 2.0]), post_transform="LOGISTIC", **of_ml()),
    c("TreeEnsembleRegressor", (4,), domain=ML, **stump("target", [0, 0], [-1.0, 2.0]), n_targets=1, **of_ml(labels=False)),
    *[c("SVMClassifier", domain=ML, **machine(kernel), **of_ml()) for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID")],
    c("ArgMax", (4,), axis=1, far=False, added=True),
    c("ArgMin", (4,), axis=-1, keepdims=0, far=False, added=True),
    c("IsNaN", (4,), added=True),
]


ROOT = {"root": np.array(np.sqrt(2)), "one": np.array(1.0), "half": np.array(0.5), "two": np.array(2.0), "eps": np.array(1e-3)}
ROOT |= {"three": np.array(3.0), "small": np.array(0.044715), "slope": np.array(np.sqrt(2 / np.pi))}
# What some exporters write in place of one operator.
SPELLED_OUT = {
    "silu": [node("Sigmoid", "x", "s"), node("Mul", "s x", "y")],
    "hardswish": [node("HardSigmoid", "x", "s", alpha=1 / 6, beta=0.5), node("Mul", "x s", "y")],
    "mish": [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x t", "y")],
    "gelu": [
        node("Div", "x root", "r"),
        node("Erf", "r", "e"),
        node("Add", "one e", "g"),
        node("Mul", "x half", "h"),
        node("Mul", "h g", "y"),
    ],
    "gelu without a half": [
        node("Div", "x root", "r"),
        node("Erf", "r", "e"),
        node("Add", "e one", "g"),
        node("Mul", "g x", "h"),
        node("Mul", "h two", "y"),
    ],
    "softsign": [node("Abs", "x", "a"), node("Add", "one a", "b"), node("Div", "x b", "y")],
    "gelu with tanh": [
        node("Pow", "x three", "c"),
        node("Mul", "c small", "d"),
        node("Add", "x d", "e"),
        node("Mul", "e slope", "f"),
        node("Tanh", "f", "t"),
        node("Add", "t one", "g"),
        node("Mul", "x half", "h"),
        node("Mul", "h g", "y"),
    ],
    "gelu with tanh of products": [
        node("Mul", "x x", "q"),
        node("Mul", "small q", "c"),
        node("Add", "c one", "d"),
        node("Mul", "slope x", "e"),
        node("Mul", "e d", "f"),
        node("Tanh", "f", "t"),
        node("Add", "one t", "g"),
        node("Mul", "x g", "h"),
        node("Mul", "half h", "y"),
    ],
    "layer norm": [
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "c"),
        node("Mul", "c c", "q"),
        node("ReduceMean", "q", "v", axes=[-1]),
        node("Add", "eps v", "w"),
        node("Sqrt", "w", "s"),
        node("Div", "c s", "y"),
    ],
}
# The same but for a number, so that it is no operator, and has no far field.
LOOKALIKES = {
    "hardswish": [node("HardSigmoid", "x", "s", alpha=0.2, beta=0.5), node("Mul", "x s", "y")],
    "gelu": [node("Div", "x two", "r"), *SPELLED_OUT["gelu"][1:]],
    "gelu with tanh": [node("Mul", "x one", "c"), *SPELLED_OUT["gelu with tanh"][1:]],
    "layer norm": [node("ReduceMean", "x", "m", axes=[0]), *SPELLED_OUT["layer norm"][1:]],
}


def spelled_out(nodes):
    """A model of an activation that is put together from several operators."""
    used = {name for n in nodes for name in n.input}
    nodes = [*nodes, node("Neg", "y", "out")]
    return model_of(nodes, (4,), {name: value for name, value in ROOT.items() if name in used}, opset=13)


def perceptron(ending="Softmax", kind=TensorProto.DOUBLE, classes=3):
    """A small classifier that ends in an operator."""
    constants = {"w": draw(4, 5), "b": draw(5), "v": draw(5, classes), "a": draw(classes), "one": np.array(1.0)}
    if kind == TensorProto.FLOAT:
        constants = {name: value.astype("f4") for name, value in constants.items()}
    nodes = [node("MatMul", "x w", "h"), node("Add", "h b", "i"), node("Relu", "i", "j"), node("Gemm", "j v a", "z")]
    if ending == "Concat":
        nodes += [node("Sigmoid", "z", "p"), node("Sub", "one p", "q"), node("Concat", "q p", "y", axis=1)]
    elif ending is not None:
        nodes.append(node(ending, "z", "y", **({"axis": 1} if ending == "Softmax" else {})))
    used = {name for n in nodes for name in n.input}
    return model_of(nodes, (4,), {name: value for name, value in constants.items() if name in used}, kind=kind)


def convolutional():
    """A small classifier of images."""
    constants = {"w": draw(2, 1, 3, 3), "s": draw(2), "t": abs(draw(2)), "v": draw(8, 3), "a": draw(3), "shape": ints(0, -1)}
    nodes = [
        node("Conv", "x w", "h", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "h s s s t", "i"),
        node("Relu", "i", "j"),
        node("MaxPool", "j", "k", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "k shape", "l"),
        node("Gemm", "l v a", "y"),
    ]
    return model_of(nodes, (1, 4, 4), constants)


def shapely():
    """A small classifier that computes with shapes."""
    constants = {"zero": np.array(0), "axes": ints(0), "rest": ints(-1), "v": draw(6, 2), "c": draw(2, 1), "two": ints(1, 2)}
    nodes = [
        node("Shape", "x", "size"),
        node("Gather", "size zero", "n", axis=0),
        node("Unsqueeze", "n axes", "m"),
        node("Concat", "m rest", "shape", axis=0),
        node("Clip", "x", "u"),
        node("Reshape", "u shape", "flat"),
        node("Slice", "flat axes m axes", "s"),
        node("MatMul", "s v", "w"),
        node("Transpose", "w", "t", perm=[1, 0]),
        node("Add", "t c", "r"),
        node("Transpose", "r", "y"),
    ]
    return model_of(nodes, (2, 3), constants)
