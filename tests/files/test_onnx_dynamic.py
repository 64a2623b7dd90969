"""Networks that quantise numbers by their own range: read where the scale certainly goes out again."""

import numpy as np
import pytest
import torch

import knowlimits as kl
from knowlimits.files.onnx.graph import MICROSOFT
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.rounding import DYNAMIC
from tests.files.onnx_integers import I1, IMAGE, WEIGHTS, as_integers, images, kinds, single, small, whole
from tests.files.onnx_models import draw, node
from tests.files.test_onnx import by_onnxruntime


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "images"])
def test_ranges_of_the_numbers_themselves(kind, tmp_path):
    """Row by row, as the range is that of all rows at once."""
    origin = images() if kind == "images" else small(kind)
    model = as_integers(origin, tmp_path, op_types_to_quantize=["Conv", "MatMul", "Gemm"])
    assert "DynamicQuantizeLinear" in kinds(model)
    module = read_onnx(model.SerializeToString())
    assert module.notes_ == (DYNAMIC,)
    shape = IMAGE if kind == "images" else (4,)
    x, d = draw(10, *shape), draw(10, *shape)
    found = module(torch.from_numpy(x)).detach()
    found = found if kind == "images" else found.softmax(1)
    size = np.abs(found.numpy()).max()
    for row, out in zip(x, found.numpy(), strict=True):
        assert np.abs(by_onnxruntime(model, row[None])[0] - out).max() < 0.05 * size
    if kind == "images":
        rate = kl.far_field(module, x, d, outputs="logits").rate[0]
        there = [by_onnxruntime(model, 1e6 * row[None])[0][0] / 1e6 for row in d]
        assert np.abs(rate - there).max() < 0.05 * np.abs(rate).max()


def dynamic(*behind, **constants):
    """A network that is quantised by its own range, up to the product of integers."""
    first = [node("DynamicQuantizeLinear", "x", "q s z"), node("MatMulInteger", "q w z wz", "h"), node("Cast", "h", "f", to=1)]
    return single([*first, *behind], (4,), {**WEIGHTS, "ws": np.array(0.25), **constants}, check=False)


SCALED = [
    [node("Mul", "s ws", "m"), node("Mul", "f m", "y")],
    [node("Mul", "ws s", "m"), node("Mul", "m f", "y")],
    [node("Mul", "f ws", "g"), node("Mul", "s g", "y")],
    [node("Reshape", "f shape", "g"), node("Mul", "g s", "k"), node("Mul", "k ws", "y")],
]


@pytest.mark.parametrize("behind", SCALED, ids=range(len(SCALED)))
def test_scales_may_be_multiplied_in_any_order(behind):
    model, x = dynamic(*behind, shape=np.array([0, 3])), draw(9, 4)
    module = read_onnx(model.SerializeToString())
    weights = 0.25 * (WEIGHTS["w"].astype(float) - 1)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), x @ weights, atol=1e-12)
    for row in x:
        bound = np.abs(weights).sum(0).max() * np.ptp([*row, 0]) / 255
        assert np.abs(by_onnxruntime(model, row[None])[0] - row @ weights).max() < bound + 1e-6


def test_products_that_quantise_their_input_themselves():
    constants = {"w": WEIGHTS["w"], "ws": np.array([0.25, 1.0, 2.0]), "wz": np.array([1, 0, -1], I1), "fb": np.ones(3)}
    model = single([node("DynamicQuantizeMatMul", "x w ws wz fb", "y", MICROSOFT)], (4,), constants, check=False)
    module, x = read_onnx(model.SerializeToString()), draw(9, 4)
    assert module.notes_ == (DYNAMIC,)
    weights = constants["ws"] * (constants["w"].astype(float) - constants["wz"])
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), x @ weights + 1, atol=1e-12)
    row = x[:1]
    assert np.abs(by_onnxruntime(model, row)[0] - row @ weights - 1).max() < np.abs(weights).sum(0).max() * np.ptp(row) / 100


def test_two_factors_that_are_quantised_by_their_own_ranges():
    """As in attention: the scale is the product of both."""
    nodes = [
        *(node("DynamicQuantizeLinear", "x", "q s z"), node("Transpose", "x", "xt", perm=[0, 2, 1])),
        *(
            node("DynamicQuantizeLinear", "xt", "q2 s2 z2"),
            node("MatMulInteger", "q q2 z z2", "h"),
            node("Cast", "h", "f", to=1),
        ),
        *(node("Mul", "s2 s", "m"), node("Mul", "f m", "p"), node("Flatten", "p", "y")),
    ]
    module, x = read_onnx(single(nodes, (2, 3), {}).SerializeToString()), draw(9, 2, 3)
    np.testing.assert_allclose(module(torch.from_numpy(x)), (x @ x.transpose(0, 2, 1)).reshape(9, 4), atol=1e-12)


WRONG_UNITS = {
    "without the scale": [node("Identity", "f", "y")],
    "times a number": [node("Mul", "f ws", "y")],
    "times the scale twice": [node("Mul", "f s", "g"), node("Mul", "g s", "y")],
    "plus a bias before the scale": [node("Add", "f ws", "g"), node("Mul", "g s", "y")],
    "of the scale alone": [node("Mul", "x s", "y")],
    "of the integers alone": [node("Cast", "q", "y", to=1)],
    "through a ReLU": [node("Relu", "f", "g"), node("Mul", "g s", "y")],
    "times another scale": [node("DynamicQuantizeLinear", "f", "q2 s2 z2"), node("Mul", "f s2", "y")],
    "less another zero point": [
        node("DynamicQuantizeLinear", "x", "q2 s2 z2"),
        node("MatMulInteger", "q w z2", "h2"),
        node("Cast", "h2", "f2", to=1),
        node("Mul", "f2 s", "y"),
    ],
    "without the zero point": [node("MatMulInteger", "q w", "h2"), node("Cast", "h2", "f2", to=1), node("Mul", "f2 s", "y")],
    "of the zero point": [node("Cast", "z", "g", to=1), node("Mul", "x g", "y")],
    "of the integers as weights": [
        node("MatMulInteger", "wt q", "h2"),
        node("Cast", "h2", "f2", to=1),
        node("Mul", "f2 s", "y"),
    ],
}


@pytest.mark.parametrize("name", WRONG_UNITS)
def test_scales_that_do_not_go_out_again_are_refused(name):
    with pytest.raises(kl.UnsupportedOperation, match=r"DynamicQuantizeLinear (makes otherwise than by products|chooses)"):
        read_onnx(dynamic(*WRONG_UNITS[name], wt=whole(-2, 2, 3, 4)).SerializeToString())
