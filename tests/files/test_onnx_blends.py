"""Probabilities that a file makes of others class by class: which output is the classifier, and what its classes are called."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import node

CLASSES = ["calm", "odd", "wild"]


def file(*blend, outputs=("probabilities", "unfamiliarity"), **constants):
    """A softmax ``p``, a label of it, one number ``w`` for each row, ``(n, 1)``, and what is made of them."""
    made = [
        node("Gemm", "x w1", "z"),
        node("Softmax", "z", "p", axis=1),
        node("ArgMax", "p", "at", axis=1, keepdims=0),
        node("Gather", "names at", "label"),
        node("ReduceSumSquare", "x one", "far", keepdims=1),
        node("Neg", "far", "down"),
        node("Sigmoid", "down", "w"),
        node("Sub", "unit w", "v"),
        node("Squeeze", "far one", "unfamiliarity"),
        *blend,
    ]
    given = {
        "w1": np.random.default_rng(0).normal(size=(4, 3)),
        "names": np.array(CLASSES, dtype=object),
        "one": np.array([1]),
        "unit": np.array(1.0),
        "share": np.array([1 / 3]),
        "shares": np.array([0.5, 0.25, 0.25]),
        "turned": np.array([2, 0, 1]),
        **constants,
    }
    shapes = {"probabilities": ["n", 3], "unfamiliarity": ["n"], "prob_of_model": ["n", 3], "wide": ["n", 3]}
    double = TensorProto.DOUBLE
    graph = helper.make_graph(
        made,
        "blend",
        [helper.make_tensor_value_info("x", double, ["n", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            *[helper.make_tensor_value_info(name, double, shapes[name]) for name in outputs],
        ],
        [numpy_helper.from_array(value, name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


BLEND = [node("Mul", "p w", "kept"), node("Mul", "v share", "rest"), node("Add", "kept rest", "probabilities")]
CHOSEN = [
    *BLEND[:2],
    node("Add", "kept rest", "mixed"),
    node("ReduceMax", "mixed one", "most", keepdims=1),
    node("LessOrEqual", "most unit", "sound"),
    node("Where", "sound mixed share", "probabilities"),
]


@pytest.mark.parametrize("blend", [BLEND, CHOSEN], ids=["sum", "choice"])
def test_one_that_is_made_class_by_class_has_the_names_of_its_model(blend):
    model = read_onnx(file(*blend))
    assert model.taken_ == "output 'probabilities' (3 columns)"
    assert model.outputs_ == "probabilities"
    assert list(model.classes_) == CLASSES


OTHERWISE = {
    "columns that change places": [node("Gather", "p turned", "q", axis=1), node("Mul", "q w", "kept"), *BLEND[1:]],
    "another share for each class": [BLEND[0], node("Mul", "v shares", "rest"), BLEND[2]],
    "a product of matrices": [node("MatMul", "p mixing", "q"), node("Mul", "q w", "kept"), *BLEND[1:]],
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_names_are_taken_of_nothing_else(name):
    """Which class a column is hangs on more than the one column of the scores that the label is picked by."""
    assert read_onnx(file(*OTHERWISE[name], mixing=np.full((3, 3), 1 / 3))).classes_ is None


def test_beside_the_label_of_other_scores_it_is_in_doubt():
    own = [node("Gemm", "x w1", "t"), node("Softmax", "t", "q", axis=1), node("Mul", "q w", "kept"), *BLEND[1:]]
    with pytest.raises(ValueError, match="made of scores of their own"):
        read_onnx(file(*own))


def test_two_that_are_called_probabilities_are_in_doubt():
    content = file(*BLEND, node("Identity", "kept", "prob_of_model"), outputs=("probabilities", "prob_of_model"))
    with pytest.raises(ValueError, match="several outputs of floats that could be its classes"):
        read_onnx(content)
    assert read_onnx(content, output="probabilities").classes_.tolist() == CLASSES


def test_one_beside_scores_of_another_kind_is_in_doubt():
    with pytest.raises(ValueError, match="several outputs of floats that could be its classes"):
        read_onnx(file(*BLEND, node("Gemm", "x w1", "wide"), outputs=("probabilities", "wide")))
