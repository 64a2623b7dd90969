"""Kinds of ONNX files, each with a tiny file of it: what `docs/onnx_files.py` lists, and what the library is held to.

To add a kind, give `KINDS` a `Kind`: what it is in a few words, and a function that makes a file of it, in single or in double
precision; numbers are such that both are the same. What it ends in, and whether it has limits and polytopes, is said beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.files.onnx_models import ML, node

FLOAT = TensorProto.FLOAT


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
        about: what it is, in a few words.
        make: a file of it, given the type of floats.
        shape: of one input.
        ends: what the file returns first of floats: "logits", "probabilities", or "labels" if it returns these alone.
        limits: why it has none, or "".
        polytopes: why it has none, or "".
        smooth: whether limits are only approached.
        held: columns with whole numbers from 0 to 2, which no ray moves.
        columns: whether each column is an input of its own.
        rows: the shape that it takes instead of rows, for a file of one input, or None.
        beside: whether its weights are in a second file.
        rounded: how much of the outputs' size is rounded as they are computed, if the file says so.
        refused: the beginning of what is said where it is not read, or "".
    """

    about: str
    make: Callable[[int], Any]
    shape: tuple[int, ...] = (4,)
    ends: str = "logits"
    limits: str = ""
    polytopes: str = ""
    smooth: bool = False
    held: tuple[int, ...] = ()
    columns: bool = False
    rows: tuple[int, ...] | None = None
    beside: bool = False
    rounded: float = 0.0
    refused: str = ""


def weights(*shape, seed=0):
    """Multiples of 1/64, which are the same in all precisions."""
    return np.random.default_rng([seed, *shape]).integers(-96, 96, shape) / 64


def file(kind, nodes, constants=None, shape=(4,), opset=17, inputs=None, outputs=None):
    """A model of nodes; constants that are floats are of the type given."""
    floats = np.float32 if kind == FLOAT else np.float64
    tensors = {name: np.asarray(value) for name, value in (constants or {}).items()}
    tensors = {name: value.astype(floats) if value.dtype.kind == "f" else value for name, value in tensors.items()}
    for place, one in enumerate(nodes):
        one.name = f"node {place}"
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs or [helper.make_tensor_value_info("x", kind, ["n", *shape])],
        outputs or [helper.make_tensor_value_info(nodes[-1].output[0], kind, ["n", None])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


HEAD = {"w": weights(4, 6), "b": weights(6), "v": weights(6, 3), "a": weights(3)}


def perceptron(*middle, after=(), constants=None, **settings):
    """Two layers with something between them, from `h` to `j`, and something behind."""
    nodes = [node("Gemm", "x w b", "h"), *middle, node("Gemm", "j v a", "z"), *after]
    return lambda kind: file(kind, nodes, {**HEAD, **(constants or {})}, **settings)


def labels():
    return [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]


def with_labels(kind):
    """Labels first, as scikit-learn's exporter has them, and probabilities behind."""
    after = [node("Softmax", "z", "p", axis=1), node("ArgMax", "p", "label", axis=1, keepdims=0)]
    outputs = [*labels(), helper.make_tensor_value_info("p", kind, ["n", 3])]
    return perceptron(node("Relu", "h", "j"), after=after, outputs=outputs)(kind)


def by_columns(kind):
    """An input for each column, as exporters have it for data frames."""
    inputs = [helper.make_tensor_value_info(name, kind, ["n", 1]) for name in "abcd"]
    nodes = [
        node("Concat", "a b c d", "x", axis=1),
        node("Gemm", "x w b0", "h"),
        node("Relu", "h", "j"),
        node("Gemm", "j v a0", "z"),
    ]
    return file(kind, nodes, {"w": HEAD["w"], "b0": HEAD["b"], "v": HEAD["v"], "a0": HEAD["a"]}, inputs=inputs)


def codes(kind):
    """A column of whole numbers behind OneHotEncoder, beside others."""
    nodes = [
        node("ArrayFeatureExtractor", "x last", "c", ML),
        node("OneHotEncoder", "c", "e", ML, cats_int64s=[0, 1, 2], zeros=1),
        node("Flatten", "e", "f"),
        node("ArrayFeatureExtractor", "x others", "o", ML),
        node("Cast", "f", "g", to=kind),
        node("Concat", "o g", "h", axis=1),
        node("Relu", "h", "j"),
        node("Gemm", "j v a", "z"),
    ]
    return file(kind, nodes, {"last": np.array([3]), "others": np.array([0, 1, 2]), "v": HEAD["v"], "a": HEAD["a"]})


def scaled(kind):
    """A scaler and a logistic regression, as scikit-learn's exporter writes them."""
    classifier = node(
        "LinearClassifier",
        "s",
        "label p",
        ML,
        classlabels_ints=[0, 1, 2],
        coefficients=list(weights(12)),
        intercepts=list(weights(3)),
        post_transform="SOFTMAX",
    )
    nodes = [node("Scaler", "x", "s", ML, offset=list(weights(4)), scale=[0.5, 1.0, 2.0, 0.25]), classifier]
    return file(kind, nodes, outputs=[*labels(), helper.make_tensor_value_info("p", FLOAT, ["n", 3])])


def text_columns(kind):
    inputs = [helper.make_tensor_value_info("age", kind, ["n", 1])]
    inputs.append(helper.make_tensor_value_info("sex", TensorProto.STRING, ["n", 1]))
    nodes = [node("OneHotEncoder", "sex", "e", ML, cats_strings=["f", "m"], zeros=1), node("Flatten", "e", "f")]
    nodes += [node("Concat", "age f", "h", axis=1), node("MatMul", "h w", "y")]
    return file(kind, nodes, {"w": weights(3, 2)}, inputs=inputs)


def of_one(kind):
    """A batch of one, which is written into a shape as well."""
    nodes = [node("Reshape", "x s", "f"), node("Gemm", "f w b", "h"), node("Relu", "h", "j"), node("Gemm", "j v a", "z")]
    inputs = [helper.make_tensor_value_info("x", kind, [1, 2, 2])]
    outputs = [helper.make_tensor_value_info("z", kind, [1, 3])]
    return file(kind, nodes, {**HEAD, "s": np.array([1, -1])}, inputs=inputs, outputs=outputs)


def without_batch(kind):
    """A vector, and layers that multiply it from the left."""
    nodes = [node("MatMul", "w x", "g"), node("Add", "g b", "h"), node("Relu", "h", "j"), node("MatMul", "v j", "z")]
    inputs, outputs = (helper.make_tensor_value_info(name, kind, [size]) for name, size in (("x", 4), ("z", 3)))
    return file(kind, nodes, {"w": weights(6, 4), "b": weights(6), "v": weights(3, 6)}, inputs=[inputs], outputs=[outputs])


def of_opset_one(kind):
    """Nothing of ONNX itself but Identity, for which skl2onnx writes the oldest opset there is."""
    classifier = node(
        "LinearClassifier",
        "x",
        "label q",
        ML,
        classlabels_ints=[0, 1, 2],
        coefficients=list(weights(12)),
        intercepts=[0.5, 0, -1],
    )
    outputs = [*labels(), helper.make_tensor_value_info("z", FLOAT, ["n", 3])]
    return file(kind, [classifier, node("Identity", "q", "z")], opset=1, outputs=outputs)


def of_opset_six(kind):
    return file(kind, [node("MatMul", "x w", "h"), node("Relu", "h", "j"), node("MatMul", "j v", "z")], HEAD, opset=6)


def several(*others, names):
    """The scores z, and what others make beside them."""

    def make(kind):
        outputs = [helper.make_tensor_value_info(name, kind, ["n", None]) for name in names.split()]
        constants = {"v2": weights(6, 1), "a2": weights(1)}
        return perceptron(node("Relu", "h", "j"), after=others, outputs=outputs, constants=constants)(kind)

    return make


def of_half_precision(kind):
    """Weights in half precision, cast before they are used."""
    nodes = [
        node("Cast", "w", "w1", to=kind),
        node("Gemm", "x w1 b", "h"),
        node("Relu", "h", "j"),
        node("Gemm", "j v a", "z"),
    ]
    model = file(kind, nodes, {name: HEAD[name] for name in "bva"})
    model.graph.initializer.append(numpy_helper.from_array(HEAD["w"].astype(np.float16), "w"))
    return model


def quantised(kind):
    """Steps before and behind a layer, of whose numbers the clip to 8 bits remains."""
    nodes = [node("QuantizeLinear", "x s o", "q"), node("DequantizeLinear", "q s o", "d")]
    nodes += [node("Gemm", "d w b", "h"), node("Relu", "h", "j"), node("Gemm", "j v a", "z")]
    return file(kind, nodes, {**HEAD, "s": np.array(1 / 32), "o": np.array(0, np.int8)})


def dynamically_quantised(kind):
    """Steps by the range of the input, and a product of whole numbers."""
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s o"),
        node("MatMulInteger", "q k o", "i"),
        node("Cast", "i", "f", to=FLOAT),
        node("Mul", "s t", "u"),
        node("Mul", "f u", "h"),
        node("Relu", "h", "j"),
        node("Gemm", "j v a", "z"),
    ]
    whole = np.random.default_rng(0).integers(-90, 90, (4, 6)).astype(np.int8)
    return file(kind, nodes, {"k": whole, "t": np.array(1 / 64), "v": HEAD["v"], "a": HEAD["a"]})


def image(*middle, flat, shape=(1, 4, 4), **constants):
    """Something of an image, flattened, and a layer."""
    nodes = [*middle, node("Flatten", "j", "f"), node("Gemm", "f v a", "z")]
    return lambda kind: file(kind, nodes, {"v": weights(flat, 3), "a": weights(3), **constants}, shape=shape, opset=18)


JUMPS = "it jumps"
SMOOTH = "smooth"
KINDS: dict[str, list[Kind]] = {
    "How files are written": [
        Kind("logits, dynamic batch", perceptron(node("Relu", "h", "j"))),
        Kind(
            "a final Softmax",
            perceptron(node("Relu", "h", "j"), after=[node("Softmax", "z", "p", axis=1)]),
            ends="probabilities",
        ),
        Kind("labels beside probabilities", with_labels, ends="probabilities"),
        Kind(
            "labels behind ArgMax alone",
            perceptron(node("Relu", "h", "j"), after=[node("ArgMax", "z", "label", axis=1, keepdims=0)], outputs=labels()),
            ends="labels",
        ),
        Kind("opset 7", perceptron(node("Relu", "h", "j"), opset=7)),
        Kind("opset 6", of_opset_six),
        Kind("opset 1, where nothing has changed since", of_opset_one),
        Kind("a batch of one, the exporters' default", of_one, shape=(2, 2), rows=(1, 2, 2)),
        Kind("no batch axis at all", without_batch, rows=(4,)),
        Kind("weights in a second file", perceptron(node("Relu", "h", "j")), beside=True),
        Kind("weights in half precision", of_half_precision),
        Kind("static quantisation: clips, without the rounding", quantised, rounded=0.1),
        Kind("dynamic quantisation: the network of real numbers", dynamically_quantised, rounded=0.1),
        Kind("logits and probabilities", several(node("Softmax", "z", "p", axis=1), names="z p")),
        Kind(
            "a Softmax beside a layer",
            several(node("Softmax", "z", "p", axis=1), names="p j"),
            ends="probabilities",
        ),
        Kind(
            "logits beside another head",
            several(node("Gemm", "j v2 a2", "t"), node("Sigmoid", "t", "severity"), names="z severity"),
            refused="it has several outputs of floats that could be its classes",
        ),
        Kind(
            "several sigmoids, for labels that do not exclude each other",
            perceptron(node("Relu", "h", "j"), after=[node("Sigmoid", "z", "p")]),
            refused="the model is multi-label",
        ),
        Kind(
            "a scaler alone",
            lambda kind: file(kind, [node("Scaler", "x", "z", ML, offset=[0.0] * 4, scale=[1.0] * 4)]),
            refused="it is no classifier",
        ),
        Kind("an input for each column", by_columns, columns=True),
        Kind("a Scaler and a LinearClassifier, by skl2onnx", scaled, ends="probabilities"),
        Kind("whole numbers behind OneHotEncoder, which no ray moves", codes, polytopes="whole numbers", held=(3,)),
        Kind(
            "columns of text behind OneHotEncoder",
            text_columns,
            columns=True,
            refused="its inputs must be numbers: encode texts",
        ),
    ],
    "Layers": [
        Kind(
            "convolution and pooling",
            image(
                node("Conv", "x k", "c", pads=[1, 1, 1, 1]),
                node("Relu", "c", "r"),
                node("MaxPool", "r", "j", kernel_shape=[2, 2], strides=[2, 2]),
                flat=8,
                k=weights(2, 1, 3, 3),
            ),
            (1, 4, 4),
        ),
        Kind(
            "transposed convolution",
            image(
                node("ConvTranspose", "x k", "c", strides=[2, 2]),
                node("Relu", "c", "j"),
                flat=32,
                shape=(1, 2, 2),
                k=weights(1, 2, 2, 2),
            ),
            (1, 2, 2),
        ),
        Kind(
            "other sizes, by straight lines",
            image(
                helper.make_node("Resize", ["x", "", "s"], ["c"], mode="linear"),
                node("Relu", "c", "j"),
                flat=16,
                shape=(1, 2, 2),
                s=np.array([1.0, 1.0, 2.0, 2.0]),
            ),
            (1, 2, 2),
        ),
        Kind(
            "sums over named axes",
            perceptron(
                node("Einsum", "h u", "e", equation="bi,ij->bj"), node("Relu", "e", "j"), constants={"u": weights(6, 6)}
            ),
        ),
    ],
    "Activations": [
        Kind("LeakyRelu", perceptron(node("LeakyRelu", "h", "j", alpha=0.25))),
        Kind("Clip", perceptron(node("Clip", "h lo hi", "j"), constants={"lo": np.array(-1.0), "hi": np.array(2.0)})),
        Kind("Tanh", perceptron(node("Tanh", "h", "j")), polytopes=SMOOTH, smooth=True),
        Kind(
            "radial functions: exponentials of squares that fall",
            perceptron(node("Mul", "h h", "q"), node("Neg", "q", "f"), node("Exp", "f", "j")),
            polytopes=SMOOTH,
            smooth=True,
        ),
        Kind(
            "squares behind Tanh",
            perceptron(node("Mul", "h h", "q"), node("Tanh", "q", "j")),
            polytopes=SMOOTH,
            smooth=True,
        ),
        Kind(
            "Softsign, written out",
            perceptron(
                node("Abs", "h", "s"), node("Add", "s one", "t"), node("Div", "h t", "j"), constants={"one": np.array(1.0)}
            ),
            polytopes=SMOOTH,
            smooth=True,
        ),
    ],
    "Jumps": [
        Kind("Sign, of binarised networks", perceptron(node("Sign", "h", "j")), polytopes=JUMPS),
        Kind(
            "Where by a comparison",
            perceptron(
                node("Greater", "h t", "g"),
                node("Neg", "h", "m"),
                node("Where", "g h m", "j"),
                constants={"t": np.array(0.5)},
            ),
            polytopes=JUMPS,
        ),
        Kind("Binarizer", perceptron(node("Binarizer", "h", "j", ML, threshold=0.5)), polytopes=JUMPS),
        Kind("ThresholdedRelu", perceptron(node("ThresholdedRelu", "h", "j", alpha=0.5)), polytopes=JUMPS),
        Kind(
            "Floor of what is clipped",
            perceptron(
                node("Clip", "h lo hi", "s"), node("Floor", "s", "j"), constants={"lo": np.array(-1.25), "hi": np.array(2.5)}
            ),
            polytopes=JUMPS,
        ),
        Kind("Floor", perceptron(node("Floor", "h", "j")), limits="steps without end", polytopes=JUMPS),
        Kind("Sin", perceptron(node("Sin", "h", "j")), limits="no straight line", polytopes=SMOOTH),
    ],
}
ALL = {kind.about: kind for kinds in KINDS.values() for kind in kinds}
