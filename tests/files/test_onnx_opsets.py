"""Opsets 1 to 6, against the same graph in words of today."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, defs, helper, numpy_helper

import knowlimits as kl
from knowlimits.files.onnx import opsets
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.table import TABLE
from knowlimits.testing import check_ray
from tests.files.onnx_models import ML, V, draw, ints, model_of, node
from tests.files.test_onnx import by_onnxruntime

B, C, ONE = draw(3), draw(4, 5), np.array([[2.0]])
IMAGE = (3, 4, 5)
STATISTICS = {"s": draw(3), "b": draw(3), "m": draw(3), "v": abs(draw(3)) + 0.1}


def then(kind, names="x", **attributes):
    return [node(kind, names, "y", **attributes)]


def laid(kind, now, before=(), **attributes):
    """An operator with a second operand, and today's with the operand laid out."""
    return then(kind, "x c", **attributes), [*before, node(kind, f"x {now}", "y")]


LATER = [node("Unsqueeze", "c ax", "d")]
# By name: opset, nodes of that opset, nodes of opset 13, shape of an input, constants.
SAME = {
    **{
        f"{kind}-1": (1, then(kind, consumed_inputs=[0]), then(kind), (4,), {})
        for kind in ("Abs", "Elu", "HardSigmoid", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Tanh", "Exp")
    },
    "Relu-5": (5, then("Relu"), then("Relu"), (4,), {}),
    "Add broadcast": (6, *laid("Add", "c", broadcast=1), (4,), {"c": V}),
    "Sub to the last axes": (1, *laid("Sub", "c", broadcast=1, consumed_inputs=[0, 0]), IMAGE, {"c": C}),
    "Mul along axis 1": (6, *laid("Mul", "d", LATER, broadcast=1, axis=1), IMAGE, {"c": B, "ax": ints(1, 2)}),
    "Div along axis -3": (6, *laid("Div", "d", LATER, broadcast=1, axis=-3), IMAGE, {"c": B, "ax": ints(1, 2)}),
    "Add along axes 1 and 2": (6, *laid("Add", "d", LATER, broadcast=1, axis=1), IMAGE, {"c": draw(3, 4), "ax": ints(2)}),
    "Mul by one number": (6, *laid("Mul", "c", broadcast=1), (4,), {"c": ONE}),
    "Add of one shape": (6, *laid("Add", "c"), (4,), {"c": draw(1, 4)}),
    "Add of two values": (
        6,
        [node("Abs", "x", "h"), node("Add", "x h", "y")],
        [node("Abs", "x", "h"), node("Add", "x h", "y")],
        (4,),
        {},
    ),
    "PRelu of channels": (6, *laid("PRelu", "d", LATER), IMAGE, {"c": B, "ax": ints(1, 2)}),
    "PRelu of one slope": (1, *laid("PRelu", "c"), IMAGE, {"c": np.array([0.5])}),
    "Gemm": (
        6,
        then("Gemm", "x w c", broadcast=1, transB=1, alpha=0.5),
        then("Gemm", "x w c", transB=1, alpha=0.5),
        (4,),
        {"w": draw(5, 4), "c": draw(5)},
    ),
    "Reshape": (
        1,
        then("Reshape", shape=[0, -1, 2], consumed_inputs=[0]),
        then("Reshape", "x s"),
        (2, 6),
        {"s": ints(0, -1, 2)},
    ),
    "Reshape-5": (5, then("Reshape", "x s"), then("Reshape", "x s"), (2, 6), {"s": ints(0, -1, 2)}),
    "Pad": (
        1,
        then("Pad", paddings=[0, 1, 0, 2], value=0.5),
        then("Pad", "x p v"),
        (4,),
        {"p": ints(0, 1, 0, 2), "v": np.array(0.5)},
    ),
    "Concat": (1, then("Concat", "x c0"), then("Concat", "x c0", axis=1), (4,), {}),
    "Concat of axis 1": (1, then("Concat", "x x", axis=1), then("Concat", "x x", axis=1), (4,), {}),
    "Split": (
        1,
        [node("Split", "x", "p q", axis=1, split=[1, 3]), node("Identity", "q", "y")],
        [node("Split", "x s", "p q", axis=1), node("Identity", "q", "y")],
        (4,),
        {"s": ints(1, 3)},
    ),
    "Clip": (1, then("Clip", min=-0.5, consumed_inputs=[0]), then("Clip", "x low"), (4,), {"low": np.array(-0.5)}),
    "Selu": (1, then("Selu"), then("Selu", alpha=1.6732, gamma=1.0507), (4,), {}),
    "Cast": (1, then("Cast", to="DOUBLE"), then("Cast", to=TensorProto.DOUBLE), (4,), {}),
    "Dropout": (6, then("Dropout", is_test=1), then("Dropout"), (4,), {}),
    "BatchNormalization": (
        6,
        then("BatchNormalization", "x s b m v", is_test=1),
        then("BatchNormalization", "x s b m v"),
        IMAGE,
        STATISTICS,
    ),
    "InstanceNormalization": (
        1,
        then("InstanceNormalization", "x s b", consumed_inputs=[0]),
        then("InstanceNormalization", "x s b"),
        IMAGE,
        {"s": draw(3), "b": draw(3)},
    ),
    "AveragePool": (
        1,
        then("AveragePool", kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
        then("AveragePool", kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
        IMAGE,
        {},
    ),
    "Softmax over all axes behind": (
        1,
        then("Softmax"),
        [node("Flatten", "x", "g"), node("Softmax", "g", "y", axis=1)],
        (2, 3),
        {},
    ),
}


def made(nodes, shape, constants, opset):
    """With what an operator makes as one row, behind which nothing is left off."""
    used = {name for one in nodes for name in one.input}
    nodes = [*nodes, node("Flatten", "y", "f"), node("Dropout", "f", "out", **({"is_test": 1} if opset < 7 else {}))]
    there = {name: value for name, value in constants.items() if name in used}
    return model_of(nodes, shape, there, opset, kind=TensorProto.DOUBLE, check=False)


@pytest.mark.parametrize("name", SAME)
def test_old_operators_are_as_those_of_today(name):
    opset, old, new, shape, constants = SAME[name]
    if name == "Concat":
        old, new = (
            [node("Abs", "x", "c0"), *old],
            [node("Abs", "x", "c0"), *new],
        )
    model, today = (made(nodes, shape, constants, o) for nodes, o in ((old, opset), (new, 13)))
    onnx.checker.check_model(today)
    before, now = (read_onnx(one.SerializeToString()) for one in (model, today))
    x = torch.from_numpy(draw(5, *shape))
    torch.testing.assert_close(before(x), now(x), rtol=0, atol=1e-12)
    if name not in ("Exp-1",):
        check_ray(before, shape, smooth=True)


def test_every_changed_operator_has_a_case():
    changed = {
        kind
        for domain, kind in TABLE
        if not domain
        and any(
            version_of(kind, 7) not in (0, version_of(kind, version)) and version_of(kind, version) for version in range(1, 7)
        )
    }
    # Refused by name.
    assert changed - set(opsets._CHANGED) == {"Tile", "LpPool", "GlobalLpPool", "Upsample"}
    assert set(opsets._CHANGED) <= changed
    tried = {one.op_type for opset, old, *_ in SAME.values() for one in old}
    # These differ from others by their name alone.
    assert set(opsets._CHANGED) - tried <= {
        *("Log", "Max", "Mean", "Min", "Sum", "Reciprocal", "Sqrt", "Ceil", "Floor"),
        *("Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"),
    }


def version_of(kind, opset):
    try:
        return defs.get_schema(kind, opset).since_version
    except defs.SchemaError:
        return 0


@pytest.mark.parametrize("kind", [kind for kind, change in opsets._CHANGED.items() if change is opsets._same])
def test_what_is_taken_as_the_same_has_the_same_schema(kind):
    """But for where a value may be written over."""

    def said(version):
        schema = defs.get_schema(kind, version)
        # The bounds of Clip are those of floats in single precision, which bound nothing.
        values = {n: (a.type, a.required, str(a.default_value) * (kind != "Clip")) for n, a in schema.attributes.items()}
        added = {"consumed_inputs", "count_include_pad"}
        return [i.name for i in schema.inputs], {name: value for name, value in values.items() if name not in added}

    assert all(said(version) == said(7) for version in range(1, 7))


REFUSED = {
    "Tile": (
        then("Tile", "x n ax"),
        1,
        (4,),
        {"n": np.array([2.0]), "ax": np.array([1.0])},
        "Tile of opset 1 .* has changed since",
    ),
    "training": (then("Dropout"), 6, (4,), {}, "Dropout of opset 6 .* is in training mode"),
    "statistics": (then("BatchNormalization", "x s b m v"), 6, IMAGE, STATISTICS, "is in training mode: export it again with"),
    "axis": (then("Add", "x c", axis=1), 6, (4,), {"c": V}, "has an axis and no broadcast"),
    "shapes": (then("Add", "x c"), 6, (4,), {"c": V}, r"of shape \[4\] does not lie along one of shape \[2, 4\]"),
    "other axes": (then("Add", "x c", broadcast=1), 6, IMAGE, {"c": draw(3, 4)}, r"shape \[3, 4\] does not lie along"),
    "repeated": (then("Add", "x c", broadcast=1), 6, (4,), {"c": draw(2, 1)}, r"shape \[2, 1\] does not lie along"),
    "split": (
        [node("Split", "x s", "p q", axis=1), node("Identity", "q", "y")],
        1,
        (4,),
        {"s": np.array([1.0, 3.0])},
        "Split of opset 1 .* has sizes as an input",
    ),
    "cast": (then("Cast", to="NOTHING"), 1, (4,), {}, "casts to 'NOTHING'"),
    "no shape": (then("Reshape"), 1, (4,), {}, "Reshape of opset 1 .* has no shape"),
    "newer": (then("Erf"), 6, (4,), {}, "No Op registered for Erf with domain_version of 6"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_meant_something_else_is_refused_by_name(name):
    nodes, opset, shape, constants, message = REFUSED[name]
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=message):
        read_onnx(made(nodes, shape, constants, opset).SerializeToString())


def test_integers_are_seen_behind_operands_that_are_laid_out():
    nodes = [node("Cast", "x", "i", to="INT64"), node("Add", "i i", "j"), node("Cast", "j", "y", to="DOUBLE")]
    with pytest.raises(kl.UnsupportedOperation, match="computes with integers that hang on the model's input"):
        read_onnx(made(nodes, (4,), {}, 1).SerializeToString())


def test_a_classifier_as_skl2onnx_writes_it_with_opset_1():
    linear = {"coefficients": [1.0, 2.0, 3.0, -1.0, -2.0, -3.0], "intercepts": [0.5, -0.5], "classlabels_ints": [0, 1]}
    nodes = [
        node("LinearClassifier", "x", "label p", ML, post_transform="LOGISTIC", **linear),
        node("Identity", "p", "probabilities"),
    ]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]
    outputs.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]))
    model = model_of(nodes, (3,), opset=1, output=outputs, kind=TensorProto.FLOAT)
    x = draw(5, 3)
    module = read_onnx(model.SerializeToString())
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).sigmoid()[:, 0].detach(), by_onnxruntime(model, x)[1][:, 1], atol=1e-6
    )


def test_onnxruntime_runs_what_did_not_change():
    nodes = [
        node("Conv", "x w b", "h", pads=[1, 1, 1, 1]),
        node("Relu", "h", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        node("MatMul", "f v", "y"),
    ]
    constants = {"w": draw(2, 1, 3, 3), "b": draw(2), "v": draw(8, 3)}
    constants = {name: value.astype("f4") for name, value in constants.items()}
    model, x = model_of(nodes, (1, 4, 4), constants, opset=6, kind=TensorProto.FLOAT), draw(5, 1, 4, 4)
    module = read_onnx(model.SerializeToString())
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), by_onnxruntime(model, x)[0], rtol=1e-4, atol=1e-5)


def test_names_that_are_taken_are_left_alone():
    graph = made(then("Reshape", shape=[0, -1]), (4,), {}, 1).graph
    graph.initializer.append(numpy_helper.from_array(ints(1), "constant 0"))
    opsets.modernise(graph, 1)
    assert [tensor.name for tensor in graph.initializer] == ["constant 0", "constant 1"]
