"""Files that onnx's checker refuses and onnxruntime runs, and others that neither does."""

import random

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import knowlimits as kl
from knowlimits.files.onnx.mended import sort
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import draw, model_of, node, perceptron
from tests.files.test_onnx import by_onnxruntime

X = draw(5, 4)


def single(ending="Softmax"):
    return perceptron(ending, TensorProto.FLOAT)


def backwards(model):
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def constant_in_the_end(model):
    tensor = model.graph.initializer[0]
    model.graph.node.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[0]


def output_type(model):
    return model.graph.output[0].type.tensor_type


def listed(model, **kind):
    entry = model.graph.input.add(name="w")
    for name, value in kind.items():
        setattr(entry.type.tensor_type, name, value)


HARMLESS = {
    "nodes backwards": backwards,
    "a constant in the end": constant_in_the_end,
    "an output without a shape": lambda model: output_type(model).ClearField("shape"),
    "an output without a type": lambda model: model.graph.output[0].ClearField("type"),
    "an input without a shape": lambda model: model.graph.input[0].type.tensor_type.ClearField("shape"),
    "a weight among the inputs": listed,
    "a weight among the inputs, with a type": lambda model: listed(model, elem_type=1),
    "no name": lambda model: model.graph.ClearField("name"),
    **{f"version {version}": lambda model, v=version: setattr(model, "ir_version", v) for version in (1, 2, 3)},
    "notes twice": lambda model: [model.metadata_props.add(key="a", value=text) for text in "bc"],
    "a weight without a name": lambda model: model.graph.initializer.append(numpy_helper.from_array(np.ones(2, "f4"), "")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_onnxruntime_runs_is_read(name):
    model = single()
    HARMLESS[name](model)
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    module = read_onnx(model.SerializeToString())
    probabilities = module(torch.from_numpy(X)).softmax(1).detach()
    np.testing.assert_allclose(probabilities, by_onnxruntime(model, X)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kl.far_field(module, X, draw(5, 4)).probs.sum(-1), 1)


def test_files_as_they_were_say_the_same():
    """What is set right changes nothing of what is read."""
    model = single()
    expected = read_onnx(model.SerializeToString())
    for name in ("nodes backwards", "a weight among the inputs", "no name"):
        HARMLESS[name](model)
    module = read_onnx(model.SerializeToString())
    assert torch.equal(module(torch.from_numpy(X)), expected(torch.from_numpy(X)))
    assert [str(m) for m in module.graph.children()] == [str(m) for m in expected.graph.children()]


def circle(model):
    model.graph.node[0].input[0] = "j"


def never_made(model):
    model.graph.node[0].input[0] = "nothing"


def made_twice(model):
    model.graph.node[1].output[0] = "h"
    model.graph.node[2].input[0] = "h"


def over_a_weight(model):
    model.graph.node.append(node("Relu", "x", "b"))


def twice(model):
    model.graph.initializer.append(model.graph.initializer[0])


def attribute(model):
    model.graph.node[2].attribute.append(helper.make_attribute("odd", 1))


def two_values(model):
    model.graph.initializer[0].float_data.extend([1.0] * 20)


WRONG = {
    "a circle": (circle, "its operators go round in a circle"),
    "a value that is never made": (never_made, "value 'nothing' is used and never made"),
    "a value that is made twice": (made_twice, "value 'h' is made by two of its operators"),
    "a value that is a weight": (over_a_weight, "no valid ONNX file: .*single static assignment"),
    "a weight that is there twice": (twice, "no valid ONNX file: w initializer name is not unique"),
    "an unknown attribute": (attribute, "no valid ONNX file: Unrecognized attribute: odd for operator Relu"),
    "numbers twice": (two_values, "no valid ONNX file: .*one and only one value field"),
    "an input without a type": (lambda model: model.graph.input[0].ClearField("type"), "no valid ONNX file: Field 'type'"),
    "no version": (lambda model: model.ClearField("ir_version"), "no valid ONNX file: The model does not have an ir_version"),
    "a later version": (lambda model: setattr(model, "ir_version", 99), "higher than the checker's"),
    "no opset": (lambda model: model.ClearField("opset_import"), "must specify opset_import"),
    "two opsets": (lambda model: model.opset_import.add(domain="ai.onnx", version=13), "imports opset 21 and opset 13 at once"),
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_refused(name):
    change, message = WRONG[name]
    model = single(None)
    change(model)
    with pytest.raises(ValueError, match=f"^some.onnx: .*{message}"):
        read_onnx(model.SerializeToString(), "some.onnx")


def types(*nodes, opset=21):
    """Types of outputs that say none, one for each node."""
    outputs = [helper.make_empty_tensor_value_info(one.output[0]) for one in nodes]
    model = model_of(list(nodes), (4,), {"w": draw(4, 3)}, opset, output=outputs, check=False)
    for entry in model.graph.output:
        entry.ClearField("type")
    return model


def test_types_of_outputs_are_those_that_operators_say():
    """A label is no classifier's output of floats."""
    nodes = [
        node("MatMul", "x w", "z"),
        node("ArgMax", "z", "best", axis=1, keepdims=0),
        node("Cast", "best", "number", to=TensorProto.INT32),
        node("Greater", "z z", "truth"),
    ]
    module = read_onnx(types(*nodes).SerializeToString())
    assert module(torch.from_numpy(X)).shape == (5, 3)


def test_a_type_that_stays_open_is_missed():
    """Scores and labels of several kinds."""
    linear = {"coefficients": [1.0] * 8, "intercepts": [0.5, -0.5], "classlabels_ints": [0, 1]}
    model = types(node("LinearClassifier", "x", "label scores", "ai.onnx.ml", **linear))
    with pytest.raises(ValueError, match="no valid ONNX file: Field 'type' of 'value_info' is required"):
        read_onnx(model.SerializeToString())


def test_many_outputs_without_a_type_take_no_time():
    nodes = [node("Relu", f"h{i}" if i else "x", f"h{i + 1}") for i in range(10_000)]
    with pytest.raises(ValueError, match="10,000 outputs: 100 are allowed"):
        read_onnx(types(*nodes).SerializeToString())


@pytest.mark.parametrize("seed", range(5))
def test_any_order_becomes_one_that_runs(seed):
    """Of nodes that look at up to three values before them."""
    generator = random.Random(seed)
    nodes = [node("Sum", " ".join(generator.choices(["x", *(f"v{j}" for j in range(i))], k=3)), f"v{i}") for i in range(30)]
    generator.shuffle(nodes)
    graph = model_of(nodes, (4,), check=False).graph
    sort(graph)
    there = {"x"}
    for one in graph.node:
        assert set(one.input) <= there
        there |= set(one.output)
    again = [one.output[0] for one in graph.node]
    sort(graph)
    assert [one.output[0] for one in graph.node] == again


def test_graphs_within_are_behind_what_they_look_at():
    inner = helper.make_graph(
        [node("Identity", "h", "inner")], "g", [], [helper.make_tensor_value_info("inner", TensorProto.DOUBLE, None)]
    )
    nodes = [node("If", "yes", "y", then_branch=inner, else_branch=inner), node("Abs", "x", "h")]
    graph = model_of(nodes, (4,), {"yes": np.array(True)}, check=False).graph
    sort(graph)
    assert [one.op_type for one in graph.node] == ["Abs", "If"]
