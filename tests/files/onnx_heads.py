"""Small ONNX files of one classifier, several or none: which of their values is taken, and which files are refused."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.files.onnx_models import ML, node, stump

RNG = np.random.RandomState(0)
X = RNG.randn(7, 3).astype("f4")
KINDS = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL, "s": TensorProto.STRING}
CONSTANTS = {
    "w": RNG.randn(3, 4),
    "w'": RNG.randn(3, 4),
    "w1": RNG.randn(3, 1),
    "w5": RNG.randn(3, 5),
    "v": RNG.randn(5, 4),
    "u": RNG.randn(4, 4),
    "w2": RNG.randn(3, 2),
    "back": RNG.randn(5, 3),
    "u1": RNG.randn(4, 1),
    "b": RNG.randn(4),
    "half": np.array(0.5),
    "zero": np.array(0.0),
    "one": np.array(1.0),
    "two": np.array(2.0),
    "depth": np.array(4),
    "offon": np.array([0, 1]),
    "names": np.array([10, 20, 30, 40]),
    "texts": np.array(["a", "b", "c", "d"]),
    "no": np.array(-1),
    "yes": np.array(1),
    "last": np.array([1]),
    "0": np.array([0]),
    "1": np.array([1]),
    "3": np.array([3]),
}


def typed(name, value):
    if value.dtype.kind == "U":
        return helper.make_tensor(name, TensorProto.STRING, value.shape, [text.encode() for text in value.tolist()])
    return numpy_helper.from_array(value.astype("f4") if value.dtype == float else value, name)


def stated(text):
    """``"y 4"`` is a float output y of shape (n, 4); ``"label:i"`` one of integers of shape (n,)."""
    name, *sizes = text.split()
    name, _, kind = name.partition(":")
    return helper.make_tensor_value_info(name, KINDS[kind or "f"], ["n", *(int(s) if s.isdigit() else s for s in sizes)])


def file(nodes, outputs, inputs=("x 3",), producer="", constants=CONSTANTS):
    used = {name for one in nodes for name in one.input}
    nodes = [onnx.NodeProto.FromString(one.SerializeToString()) for one in nodes]
    for place, one in enumerate(nodes):
        # onnxruntime wants each name once.
        one.name = str(place)
    tensors = [typed(name, value) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, "g", [stated(i) for i in inputs], [stated(o) for o in outputs], tensors)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name=producer)
    onnx.checker.check_model(model)
    return model


# What makes some values, by their names.
LOGITS = [node("Gemm", "x w b", "logits")]
SOFTMAX = [*LOGITS, node("Softmax", "logits", "p", axis=1)]
TWO = [node("MatMul", "x w2", "z"), node("Softmax", "z", "p", axis=1)]
ONE = [node("MatMul", "x w1", "f")]
SIGMOID = [*ONE, node("Sigmoid", "f", "p")]
HIDDEN = [node("MatMul", "x w5", "e"), node("Relu", "e", "h"), node("MatMul", "h v", "z")]
ARGMAX = node("ArgMax", "logits", "place", axis=1, keepdims=0)


@dataclass
class Taken:
    """A file that is read.

    Attributes:
        nodes: of it.
        outputs: of it.
        value: that is equal to what the module returns, after `form`.
        said: of it in words.
        form: what is done to what the module returns.
        classes: labels.
    """

    nodes: list[Any]
    outputs: list[str]
    value: str
    said: str
    form: str = "as it is"
    classes: list[Any] | None = None
    inputs: list[str] = field(default_factory=lambda: ["x 3"])


FORMS = {
    "as it is": lambda z: z,
    "softmax": lambda z: torch.softmax(z, 1),
    "log-softmax": lambda z: torch.log_softmax(z, 1),
    "sigmoid": torch.sigmoid,
    "squeezed": lambda z: torch.sigmoid(z)[:, 0],
    "pair": lambda z: torch.cat([torch.sigmoid(-z), torch.sigmoid(z)], 1),
}
BY_LABEL = "value 'logits' (4 columns), by which output 'label' is picked, taken as it is for logits"
BY_SIGN = "value 'f' (1 column), by which output 'label' is picked, taken as it is for logits"
BY_HALF = "value 'p' (1 column), by which output 'label' is picked, of which a Sigmoid is undone"
OF_P = "output 'p' (4 columns), of which a Softmax is undone"


def picked(*nodes, classes=None, kind="i", shape=""):
    return Taken([*LOGITS, *nodes], [f"label:{kind}{shape}"], "logits", BY_LABEL, classes=classes)


def above(*nodes, said=BY_HALF, classes=None, kind="i"):
    form = "as it is" if said == BY_SIGN else "sigmoid"
    return Taken([*SIGMOID, *nodes], [f"label:{kind} 1"], "f" if said == BY_SIGN else "p", said, form, classes)


TAKEN = {
    # One output.
    "logits": Taken(LOGITS, ["logits 4"], "logits", "output 'logits' (4 columns), taken as it is for logits"),
    "softmax": Taken(SOFTMAX, ["p 4"], "p", OF_P, "softmax"),
    "log-softmax": Taken(
        [*LOGITS, node("LogSoftmax", "logits", "p", axis=1)],
        ["p 4"],
        "p",
        "output 'p' (4 columns), of which a LogSoftmax is undone",
        "log-softmax",
    ),
    "sigmoid": Taken(SIGMOID, ["p 1"], "p", "output 'p' (1 column), of which a Sigmoid is undone", "sigmoid"),
    "squeezed sigmoid": Taken(
        [*SIGMOID, node("Squeeze", "p last", "y")],
        ["y"],
        "y",
        "output 'y' (1 column), of which a Sigmoid is undone",
        "squeezed",
    ),
    "pair": Taken(
        [*SIGMOID, node("Sub", "one p", "q"), node("Concat", "q p", "y", axis=1)],
        ["y 2"],
        "y",
        "output 'y' (2 columns), of which a Sigmoid is undone",
        "pair",
    ),
    "one logit": Taken(ONE, ["f 1"], "f", "output 'f' (1 column), taken as it is for logits"),
    "an autoencoder, which nothing tells from a classifier": Taken(
        [*HIDDEN[:2], node("MatMul", "h back", "y")], ["y 3"], "y", "output 'y' (3 columns), taken as it is for logits"
    ),
    # Several outputs that are one head.
    "logits and probabilities": Taken(SOFTMAX, ["logits 4", "p 4"], "p", OF_P, "softmax"),
    "probabilities and logits": Taken(SOFTMAX, ["p 4", "logits 4"], "p", OF_P, "softmax"),
    "twice": Taken([*SOFTMAX, node("Identity", "p", "q")], ["p 4", "q 4"], "p", OF_P, "softmax"),
    "probabilities and their logarithms": Taken(
        [*SOFTMAX, node("LogSoftmax", "logits", "l", axis=1)], ["p 4", "l 4"], "p", OF_P, "softmax"
    ),
    "probabilities and the logarithm of them": Taken(
        [*SOFTMAX, node("Log", "p", "l")], ["l 4", "p 4"], "p", OF_P.replace("'p'", "'l'").replace("Soft", "LogSoft"), "softmax"
    ),
    "an exponential of logarithms": Taken(
        [*LOGITS, node("LogSoftmax", "logits", "l", axis=1), node("Exp", "l", "p")], ["p 4"], "p", OF_P, "softmax"
    ),
    "a logit and its sigmoid": Taken(
        SIGMOID, ["f 1", "p 1"], "p", "output 'p' (1 column), of which a Sigmoid is undone", "sigmoid"
    ),
    "logits and a label": Taken(
        [*LOGITS, ARGMAX, node("Gather", "names place", "label")],
        ["logits 4", "label:i"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
        classes=[10, 20, 30, 40],
    ),
    "logits, a label as a float, and a confidence": Taken(
        [*SOFTMAX, ARGMAX, node("Cast", "place", "label", to=TensorProto.FLOAT), node("ReduceMax", "p", "c", axes=[1])],
        ["label", "c 1", "logits 4"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
    ),
    "a temperature": Taken(
        [*LOGITS, node("Div", "logits two", "t"), node("Softmax", "t", "p", axis=1)], ["logits 4", "p 4"], "p", OF_P, "softmax"
    ),
    # A softmax beside what is none.
    "a hidden layer": Taken([*HIDDEN, node("Softmax", "z", "p", axis=1)], ["h 5", "p 4"], "p", OF_P, "softmax"),
    "an embedding": Taken([*HIDDEN, node("Softmax", "z", "p", axis=1)], ["e 5", "p 4"], "p", OF_P, "softmax"),
    "a policy and a value": Taken([*SOFTMAX, *ONE], ["p 4", "f 1"], "p", OF_P, "softmax"),
    "a policy and a value, squeezed": Taken(
        [*SOFTMAX, *ONE, node("Squeeze", "f last", "value")], ["p 4", "value"], "p", OF_P, "softmax"
    ),
    "a policy and values of players": Taken(
        [*SOFTMAX, node("MatMul", "x w2", "t"), node("Tanh", "t", "values")], ["values 2", "p 4"], "p", OF_P, "softmax"
    ),
    "what is called logits and ends in a softmax": Taken(
        [node("Gemm", "x w b", "z"), node("Softmax", "z", "logits", axis=1)],
        ["logits 4"],
        "logits",
        "output 'logits' (4 columns), of which a Softmax is undone",
        "softmax",
    ),
    # What does not count.
    "a state that is passed through": Taken(
        [*LOGITS, node("Identity", "state", "out")],
        ["logits 4", "out 2"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
        inputs=["x 3", "state 2"],
    ),
    "a column of a state that is passed through": Taken(
        [*LOGITS, node("Identity", "state", "out")],
        ["out 1", "logits 4"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
        inputs=["state 1", "x 3"],
    ),
    "a tensor that goes nowhere": Taken(
        LOGITS,
        ["logits 4"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
        inputs=["other 8", "x 3"],
    ),
    "a constant": Taken(
        [*LOGITS, node("Identity", "b", "c")],
        ["c", "logits 4"],
        "logits",
        "output 'logits' (4 columns), taken as it is for logits",
    ),
    "a code of a hidden layer": Taken(
        [*HIDDEN, node("ArgMin", "e", "code", axis=1)],
        ["code:i 1", "z 4"],
        "z",
        "output 'z' (4 columns), taken as it is for logits",
    ),
    # Labels alone.
    "label": picked(node("ArgMax", "logits", "label", axis=1, keepdims=0)),
    "label of probabilities": Taken(
        [*SOFTMAX, node("ArgMax", "p", "label", axis=-1)],
        ["label:i 1"],
        "p",
        "value 'p' (4 columns), by which output 'label' is picked, of which a Softmax is undone",
        "softmax",
    ),
    "label, cast": picked(ARGMAX, node("Cast", "place", "i", to=6), node("Cast", "i", "label", to=7)),
    "label, a float": picked(ARGMAX, node("Cast", "place", "label", to=1), kind="f"),
    "label, squeezed": picked(node("ArgMax", "logits", "k", axis=1), node("Squeeze", "k last", "label")),
    "label, numbers": picked(ARGMAX, node("Gather", "names place", "label"), classes=[10, 20, 30, 40]),
    "label, texts": picked(ARGMAX, node("Gather", "texts place", "label"), classes=list("abcd"), kind="s"),
    "label of ai.onnx.ml": picked(
        ARGMAX, node("ArrayFeatureExtractor", "texts place", "label", ML), classes=list("abcd"), kind="s"
    ),
    "label, encoded": picked(
        ARGMAX,
        node("LabelEncoder", "place", "label", ML, keys_int64s=[0, 1, 2, 3], values_strings=list("abcd")),
        classes=list("abcd"),
        kind="s",
    ),
    "label, one hot": picked(ARGMAX, node("OneHot", "place depth offon", "label"), shape=" 4"),
    "label and the largest logit": Taken(
        [*LOGITS, node("ReduceMax", "logits", "most", axes=[1]), node("ArgMax", "logits", "label", axis=1)],
        ["most k", "label:i 1"],
        "logits",
        BY_LABEL,
    ),
    "label, added to": picked(ARGMAX, node("Add", "place yes", "label")),
    "label, the first of the largest": picked(
        node("TopK", "logits last", "t k"),
        node("Squeeze", "k last", "i"),
        node("Gather", "names i", "label"),
        classes=[10, 20, 30, 40],
    ),
    "label and confidence": Taken(
        [*SOFTMAX, ARGMAX, node("ReduceMax", "p", "c", axes=[1])],
        ["place:i", "c 1"],
        "p",
        "value 'logits' (4 columns), by which output 'place' is picked, taken as it is for logits",
        "softmax",
    ),
    # Labels by a threshold.
    "above half": above(node("Greater", "p half", "t"), node("Cast", "t", "label", to=7)),
    "above half, truth": above(node("GreaterOrEqual", "p half", "label"), kind="b"),
    "rounded": above(node("Round", "p", "label"), kind="f"),
    "not below half": above(
        node("Less", "p half", "t"), node("Not", "t", "n"), node("Cast", "n", "label", to=7), classes=[0, 1]
    ),
    "below half": above(node("Less", "p half", "t"), node("Where", "t yes no", "label"), classes=[1, -1]),
    "above half, named": above(node("Greater", "p half", "t"), node("Where", "t yes no", "label"), classes=[-1, 1]),
    "half is less": above(node("Less", "half p", "t"), node("Where", "t yes no", "label"), classes=[-1, 1]),
    "above zero": above(node("Greater", "f zero", "t"), node("Cast", "t", "label", to=7), said=BY_SIGN),
    "the second of two above half": Taken(
        [*TWO, node("Slice", "p 1 3 last", "s"), node("Greater", "s half", "label")],
        ["label:b 1"],
        "p",
        "value 'p' (2 columns), by which output 'label' is picked, of which a Softmax is undone",
        "softmax",
    ),
    # Parts of probabilities.
    "the probability of one class": Taken(
        [*TWO, node("Slice", "p 1 3 last", "y")],
        ["y 1"],
        "p",
        "value 'p' (2 columns), of which output 'y' is a part, of which a Softmax is undone",
        "softmax",
    ),
    "probabilities one by one": Taken(
        [*TWO, node("Gather", "p 0", "first", axis=1), node("Gather", "p 1", "second", axis=1)],
        ["first 1", "second 1"],
        "p",
        "value 'p' (2 columns), of which output 'first' is a part, of which a Softmax is undone",
        "softmax",
    ),
}
REGRESSION = dict(coefficients=[1.0, 2.0, 3.0], intercepts=[0.5])
TREES = stump("target", [0, 0], [-1.0, 2.0])
SCALER = [node("Scaler", "x", "y", ML, offset=[0.0], scale=[2.0])]
DOUBT = (
    r"several outputs of floats that could be its classes: .*Say which is the classifier: knowlimits\.load\(path, output='{}'"
)

# Nodes, outputs, the sentence, and more.
REFUSED = {
    "a severity": (
        [*LOGITS, *SIGMOID],
        ["logits 4", "p 1"],
        r"'logits' \(n, 4\), which ends in Gemm; 'p' \(n, 1\), which ends in Sigmoid\. "
        + DOUBT.format("logits").partition(".*")[2],
    ),
    "a softmax and a sigmoid": (
        [*SOFTMAX, *[node("MatMul", "x w1", "f"), node("Sigmoid", "f", "s")]],
        ["p 4", "s 1"],
        DOUBT.format("p"),
    ),
    "an auxiliary classifier": (
        [*SOFTMAX, node("MatMul", "x w2", "z"), node("Softmax", "z", "q", axis=1)],
        ["p 4", "q 2"],
        DOUBT.format("p"),
    ),
    "one as large": (
        [*SOFTMAX, node("MatMul", "x w'", "z"), node("Softmax", "z", "q", axis=1)],
        ["p 4", "q 4"],
        DOUBT.format("p"),
    ),
    "a coarse one that goes into a fine one": (
        [*SOFTMAX, node("MatMul", "p u", "z"), node("Softmax", "z", "q", axis=1)],
        ["p 4", "q 4"],
        DOUBT.format("p"),
    ),
    "weights of attention": ([*SOFTMAX, node("MatMul", "p u", "y")], ["p 4", "y 4"], DOUBT.format("p")),
    "a policy and a value, both plain": ([*LOGITS, *ONE], ["f 1", "logits 4"], DOUBT.format("logits")),
    "an embedding beside logits": (HIDDEN, ["h 5", "z 4"], DOUBT.format("h")),
    "a mean and the logarithm of a variance": (
        [*LOGITS, node("MatMul", "x w'", "log_var")],
        ["logits 4", "log_var 4"],
        DOUBT.format("logits"),
    ),
    "a softmax and a box": ([*SOFTMAX, node("MatMul", "x w'", "box")], ["p 4", "box 4"], DOUBT.format("p")),
    "a softmax, and a width that is not said": (
        [*SOFTMAX, node("MatMul", "x w'", "z"), node("Mul", "z z", "q")],
        ["p 4", "q k"],
        DOUBT.format("p"),
    ),
    "what is called probabilities and is none": (
        [*SOFTMAX, node("MatMul", "x w1", "f"), node("Tanh", "f", "probabilities")],
        ["p 4", "probabilities 1"],
        DOUBT.format("p"),
    ),
    "a softmax and sigmoids of the same": ([*SOFTMAX, node("Sigmoid", "logits", "s")], ["p 4", "s 4"], DOUBT.format("p")),
    "several labels": (
        [*LOGITS, ARGMAX, node("MatMul", "x w'", "z"), node("ArgMax", "z", "other", axis=1)],
        ["place:i", "other:i 1"],
        "scores of their own: 'place', of 'logits'; 'other', of 'z'",
    ),
    "a number beside the label of another classifier": (
        [*ONE, *LOGITS, ARGMAX],
        ["f 1", "place:i"],
        "scores of their own: 'f'; 'place', of 'logits'.*output='logits'",
    ),
    "one that is made of its scores": (
        [*LOGITS, ARGMAX, node("Gemm", "logits u1", "f"), node("Sigmoid", "f", "p")],
        ["p 1", "place:i"],
        "scores of their own: 'p'; 'place', of 'logits'",
    ),
    "probabilities beside the label of another classifier": (
        [*SOFTMAX, node("MatMul", "x w'", "z"), node("ArgMax", "z", "label", axis=1)],
        ["p 4", "label:i 1"],
        "scores of their own: 'p'; 'label', of 'z'",
    ),
    "labels that do not exclude each other": (
        [*LOGITS, node("Sigmoid", "logits", "y")],
        ["y 4"],
        r"multi-label.*Sigmoids of shape \[2, 4\].*several may be true",
    ),
    "the same, by a threshold": ([*LOGITS, node("Greater", "logits zero", "y")], ["y:b 4"], r"multi-label"),
    "the same, beside what is compared": (
        [*LOGITS, node("Greater", "logits zero", "y")],
        ["logits 4", "y:b 4"],
        r"multi-label",
    ),
    "a softmax of one": ([*ONE, node("Softmax", "f", "y", axis=1)], ["y 1"], "over one number, of which it makes 1"),
    "numbers that are rounded": (
        [*LOGITS, node("Round", "logits", "r"), node("Cast", "r", "y", to=7)],
        ["y:i 4"],
        "no output of floats",
    ),
    "a number above another than zero": ([*ONE, node("Greater", "f half", "y")], ["y:b 1"], "no output of floats"),
    "a scaler": (SCALER, ["y 3"], "is no classifier: output 'y' is that of a scaler, which prepares columns.*output='y'"),
    "a scaler and an imputer": (
        [
            node("Imputer", "x", "i", ML, imputed_value_floats=[0.0], replaced_value_float=np.nan),
            node("Scaler", "i", "y", ML, offset=[0.0], scale=[2.0]),
        ],
        ["y 3"],
        "that of an imputer and a scaler",
    ),
    "a linear regression": ([node("LinearRegressor", "x", "y", ML, **REGRESSION)], ["y 1"], "that of a linear regression"),
    "support vectors": (
        [
            node(
                "SVMRegressor",
                "x",
                "y",
                ML,
                coefficients=[1.0],
                n_supports=1,
                support_vectors=[1.0, 2.0, 3.0],
                rho=[0.0],
                kernel_params=[1.0, 0.0, 3.0],
                kernel_type="RBF",
            )
        ],
        ["y 1"],
        "that of a regression by support vectors",
    ),
    "trees": (
        [node("TreeEnsembleRegressor", "x", "t", ML, n_targets=1, **TREES), node("Add", "t one", "y")],
        ["y 1"],
        "that of a regression by trees",
    ),
    "a variable": (
        [*ONE[:0], node("MatMul", "x w1", "variable")],
        ["variable 1"],
        r"a regression or a transformation \(such as PCA\) of scikit-learn",
    ),
    "clusters": (
        [node("Gemm", "x w b", "d"), node("ArgMin", "d", "label", axis=1), node("Sqrt", "d", "scores")],
        ["label:i 1", "scores 4"],
        "where 'd' is smallest, so that these are distances",
    ),
    "several tensors": (
        [node("Add", "x state", "s"), node("MatMul", "s w", "y")],
        ["y 4"],
        r"'x' \(n, 3\), 'state' \(n, 3\): export it with one input",
        ["x 3", "state 3"],
    ),
}

BOTH = [*LOGITS, *ONE, node("Sigmoid", "f", "severity"), ARGMAX]
# Nodes, outputs, the name, the value that the module returns after a form of it.
NAMED = {
    "one head": (BOTH, ["logits 4", "severity 1"], "logits", "logits", "as it is"),
    "the other": (BOTH, ["logits 4", "severity 1"], "severity", "severity", "sigmoid"),
    "a value in between": (SIGMOID, ["p 1"], "f", "f", "as it is"),
    "a label": (BOTH, ["severity 1", "place:i"], "place", "logits", "as it is"),
    "weights of attention": ([*SOFTMAX, node("MatMul", "p u", "y")], ["p 4", "y 4"], "p", "p", "softmax"),
    "logits that are there beside probabilities": (SOFTMAX, ["p 4", "logits 4"], "logits", "logits", "as it is"),
    "a regression that is none": ([node("MatMul", "x w1", "variable")], ["variable 1"], "variable", "variable", "as it is"),
    "what an input is passed through to": ([*LOGITS, node("Neg", "x", "n")], ["logits 4", "n 3"], "n", "n", "as it is"),
}
