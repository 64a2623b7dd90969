"""What is said of files that round, and half precision, which is read without."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import knowlimits as kl
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.rounding import HALF, STATIC
from tests.files.onnx_integers import as_integers, small
from tests.files.onnx_models import draw, node, perceptron
from tests.files.test_onnx import by_onnxruntime


def halved(kind):
    """A classifier whose weights and numbers in between are halves."""
    model = perceptron(None, TensorProto.FLOAT)
    model.graph.output[0].name = "y"
    for tensor in model.graph.initializer:
        numbers = numpy_helper.to_array(tensor)
        made = helper.make_tensor(tensor.name, kind, numbers.shape, numbers.reshape(-1))
        tensor.CopyFrom(made)
    model.graph.node[0].input[0] = "half"
    model.graph.node.insert(0, node("Cast", "x", "half", to=kind))
    model.graph.node[-1].output[0] = "last"
    model.graph.node.append(node("Cast", "last", "y", to=TensorProto.FLOAT))
    model.graph.node[-1].name = "the last"
    return model


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_is_read_as_exact_arithmetic(kind):
    model, x = halved(kind), draw(9, 4)
    module = read_onnx(model.SerializeToString())
    assert module.notes_ == (HALF,)
    w, b, v, a = (
        numpy_helper.to_array(t).astype(float) for t in sorted(model.graph.initializer, key=lambda t: "wbva".index(t.name))
    )
    expected = np.maximum(x @ w + b, 0) @ v + a
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), expected, atol=1e-12)
    if kind == TensorProto.FLOAT16:
        np.testing.assert_allclose(by_onnxruntime(model, x)[0], expected, rtol=0.02, atol=0.02)


def test_notes_are_shown(tmp_path):
    from onnxruntime.quantization import QuantFormat

    module = read_onnx(as_integers(small("Gemm"), tmp_path, quant_format=QuantFormat.QDQ).SerializeToString())
    shown = str(kl.read(module))
    assert f"  notes     {STATIC}." in shown
    assert "notes" not in str(kl.read(read_onnx(small("Gemm").SerializeToString())))
    report = kl.audit(module, draw(60, 4), random_state=0)
    assert f"{STATIC}." in report.notes
