"""Networks whose integers have ranges that are known before, against onnxruntime, which computes with them.

Numbers that lie on the grids of all integers in a network are not rounded: there both must say the same.
"""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import knowlimits as kl
from knowlimits.files.onnx import quantised
from knowlimits.files.onnx.graph import MICROSOFT
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.rounding import STATIC
from tests.files.onnx_integers import (
    F4,
    FIRST,
    I1,
    IMAGE,
    LAST,
    NEAR_GRID,
    ON_GRID,
    U1,
    WEIGHTS,
    as_integers,
    images,
    kinds,
    one_operator,
    single,
    small,
)
from tests.files.onnx_models import draw, node
from tests.files.test_onnx import by_onnxruntime, mutate
from tests.files.test_onnx_dynamic import SCALED, WRONG_UNITS, dynamic


def on_grid(rows, shape):
    """Whole numbers near by, and so far away that everything is clipped."""
    near = np.random.RandomState(0).randint(-20, 21, (rows, *shape)).astype(float) * 2
    return np.concatenate([near, 1e7 * np.sign(near)])


@pytest.mark.parametrize("name", ON_GRID)
def test_on_the_grid_integers_are_as_onnxruntime_has_them(name):
    nodes, shape, constants = ON_GRID[name]
    model, x = one_operator(nodes, shape, constants), on_grid(20, shape)
    module = read_onnx(model.SerializeToString())
    expected = by_onnxruntime(model, x)[0]
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), expected, rtol=1e-6, atol=1e-6)
    assert module.notes_ == (STATIC,)
    directions = x[20:] / 1e7
    far = kl.far_field(module, x[:20], directions, outputs="logits")
    # Zeros stay where they are, and all else is clipped.
    np.testing.assert_array_equal(far.rate, 0)
    there = by_onnxruntime(model, x[:20] + 1e7 * directions)[0]
    np.testing.assert_allclose(far.offset[0], there, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NEAR_GRID)
def test_curves_are_within_a_step_of_those_of_onnxruntime(name):
    nodes, shape, constants = NEAR_GRID[name]
    nodes = [*nodes[:-1], node("DequantizeLinear", "p p4 zero8", "y")]
    model, x = one_operator(nodes, shape, constants), on_grid(20, shape)
    found = read_onnx(model.SerializeToString())(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, by_onnxruntime(model, x)[0], rtol=0, atol=2.0**-8)


def test_every_operator_of_integers_has_a_case():
    tried = {(one.domain, one.op_type) for nodes, *_ in [*ON_GRID.values(), *NEAR_GRID.values()] for one in nodes}
    tried |= {("", "DynamicQuantizeLinear"), (MICROSOFT, "DynamicQuantizeMatMul")}
    assert {("", kind) for kind in quantised.TABLE} | {(MICROSOFT, kind) for kind in quantised.OF_MICROSOFT} <= tried


def test_weights_are_rounded_as_files_do_it():
    """As they are in files of networks that were trained with the rounding: halves become even."""
    weights = np.array([[0.25, 0.75, -0.25], [1.3, -1.26, 900.0], [0.5, 0.3, -900.0], [0.1, 0.35, 2.5]])
    nodes = [node("QuantizeLinear", "w s zero", "k"), node("DequantizeLinear", "k s zero", "d"), node("MatMul", "x d", "y")]
    model, x = one_operator(nodes, (4,), {"w": weights}), draw(9, 4)
    module = read_onnx(model.SerializeToString())
    # Onnxruntime takes the liberty to quantise x as well.
    expected = ReferenceEvaluator(model).run(None, {"x": x.astype(F4)})[0]
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), expected, rtol=1e-5, atol=1e-4)
    assert [type(m) for m in module.graph.children()] == [torch.nn.Linear]


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_four_bits_in_blocks(kind):
    """Scales for blocks of rows, of which the last one is cut."""
    numbers = np.arange(15).reshape(5, 3) - (8 if kind == TensorProto.INT4 else 0)
    scales = np.array([[1.0, 2.0, 0.5], [0.25, 1.0, 3.0], [1.0, 1.0, 1.0]])
    nodes = [node("DequantizeLinear", "k sc", "w", axis=0, block_size=2), node("MatMul", "x w", "y")]
    model = single(nodes, (5,), {"sc": scales}, check=False)
    model.graph.initializer.append(helper.make_tensor("k", kind, numbers.shape, numbers.reshape(-1)))
    x = draw(9, 5)
    module = read_onnx(model.SerializeToString())
    assert module.notes_ == ()
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), x @ (numbers * scales.repeat(2, 0)[:5]), atol=1e-12)


STATICS = [
    # Model, format, type of activations, by channels.
    ("Gemm", "QDQ", "QUInt8", False),
    ("MatMul", "QDQ", "QInt8", True),
    ("Gemm", "QOperator", "QUInt8", True),
    ("MatMul", "QOperator", "QInt8", False),
    ("images", "QDQ", "QUInt8", True),
    ("images", "QOperator", "QUInt8", False),
]


@pytest.mark.parametrize(("kind", "form", "activations", "by_channels"), STATICS)
def test_ranges_that_are_known_before(kind, form, activations, by_channels, tmp_path):
    """What is clipped ends at a constant, where the network that was quantised goes on."""
    from onnxruntime.quantization import QuantFormat, QuantType

    origin = images() if kind == "images" else small(kind)
    options = {"quant_format": QuantFormat[form], "activation_type": QuantType[activations], "weight_type": QuantType.QInt8}
    model = as_integers(origin, tmp_path, per_channel=by_channels, **options)
    assert kinds(model) & {"QuantizeLinear", "QLinearConv", "QGemm"}
    module, before = (read_onnx(one.SerializeToString()) for one in (model, origin))
    assert module.notes_ == (STATIC,)
    shape = IMAGE if kind == "images" else (4,)
    x, d = draw(20, *shape), draw(20, *shape)
    ended = (lambda out: out) if kind == "images" else (lambda out: torch.as_tensor(out).softmax(-1).numpy())
    assert module.outputs_ == (None if kind == "images" else "logits")
    far, unclipped = (kl.far_field(one, x, d, outputs="logits") for one in (module, before))
    np.testing.assert_array_equal(far.rate, 0)
    assert np.abs(unclipped.rate).max() > 1
    size = np.ptp(by_onnxruntime(model, x)[0])
    for rows, found in ((x, module(torch.from_numpy(x)).detach().numpy()), (x + 1e6 * d, far.offset[0])):
        assert np.abs(ended(found) - by_onnxruntime(model, rows)[0]).max() < 0.05 * size


def test_the_end_of_a_clipped_network_is_within_its_steps():
    """Two layers by hand: what is rounded is the hidden layer and the output, as inputs are clipped to integers far out."""
    w, v = draw(4, 6), draw(6, 3)
    constants = {"w": w, "v": v, "s": np.array(0.05), "z": np.array(128, U1), "t": np.array(0.04), "u": np.array(0, U1)}
    constants |= {"r": np.array(0.03), "k": np.array(-3, I1)}
    nodes = [
        *(node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "xx"), node("MatMul", "xx w", "h")),
        # No other ReLU than this clip.
        *(node("QuantizeLinear", "h t u", "qh"), node("DequantizeLinear", "qh t u", "hh"), node("MatMul", "hh v", "o")),
        *(node("QuantizeLinear", "o r k", "qo"), node("DequantizeLinear", "qo r k", "y")),
    ]
    model, x, d = single(nodes, (4,), constants), draw(50, 4), draw(50, 4)
    far = kl.far_field(read_onnx(model.SerializeToString()), x, d, outputs="logits")
    error = np.abs(far.offset[0] - by_onnxruntime(model, x + 1e6 * d)[0])
    assert (error <= np.abs(v).sum(0) * 0.04 / 2 + 0.03 / 2 + 1e-5).all()
    hidden = np.clip(np.where(d > 0, 0.05 * 127, -0.05 * 128) @ w, 0, 0.04 * 255)
    np.testing.assert_allclose(far.offset[0], np.clip(hidden @ v, 0.03 * (-128 + 3), 0.03 * (127 + 3)), atol=1e-5)


def test_clips_have_polytopes():
    constants = {"w": draw(2, 3), "s": np.array(0.05), "z": np.array(128, U1)}
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "h"), node("MatMul", "h w", "y")]
    parts = kl.partition(read_onnx(single(nodes, (2,), constants).SerializeToString()), outputs="logits")
    assert len(parts) == 9


REFUSED = {
    "a scale that is computed": (
        [node("Abs", "x", "c"), node("QuantizeLinear", "x c z", "p"), LAST],
        "a scale must be a constant",
    ),
    "a negative scale": ([node("QuantizeLinear", "x minus z", "p"), LAST], "scales must be positive and finite"),
    "a scale of zero": ([node("QuantizeLinear", "x none z", "p"), LAST], "scales must be positive and finite"),
    "scales of another length": (
        [node("QuantizeLinear", "x three zzz", "p"), LAST],
        r"do not lie along axis 1 of shape \[2, 4\]",
    ),
    "zero points of another shape": ([node("QuantizeLinear", "x three zz", "p"), LAST], "do not go with zero points of"),
    "a type that is not known": (
        [node("Identity", "z", "zi"), node("QuantizeLinear", "x s zi", "p"), LAST],
        "to one that its zero point does not tell",
    ),
    "floats of eight bits": (
        [node("QuantizeLinear", "x s", "p", output_dtype=TensorProto.FLOAT8E4M3FN), node("DequantizeLinear", "p r", "y")],
        "quantised to a type that is no integer",
    ),
    "channels that come last": (
        [FIRST, node("QLinearGlobalAveragePool", "q s z r v", "p", MICROSOFT, channels_last=1), LAST],
        "its channels must come second",
    ),
    "sums of integers": ([FIRST, node("Add", "q q", "p"), LAST], "computes with integers that hang on the model's input"),
    "a scale that is missing": ([FIRST, node("QLinearAdd", "q  z q s z r v", "p", MICROSOFT), LAST], "."),
    "blocks below nothing": ([node("QuantizeLinear", "x sq zq", "p", block_size=-2), LAST], "do not lie along axis"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_left_open_is_refused(name):
    nodes, message = REFUSED[name]
    constants = {"minus": np.array(-1.0), "none": np.array(0.0), "three": np.ones(3), "zzz": np.zeros(3, U1)}
    constants |= {"zz": np.zeros(2, U1), "sq": np.ones((1, 2)), "zq": np.zeros((1, 2), U1)}
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=f"^some.onnx: .*{message}") as raised:
        read_onnx(one_operator(nodes, (4,), constants).SerializeToString(), "some.onnx")
    assert "\n" not in str(raised.value)


def test_blocks_of_any_size_take_no_memory():
    nodes = [node("DequantizeLinear", "k sc", "w", axis=0, block_size=2**62), node("MatMul", "x w", "y")]
    model = single(nodes, (4,), {"k": WEIGHTS["w"], "sc": np.full((1, 3), 0.5)}, check=False)
    x = draw(5, 4)
    found = read_onnx(model.SerializeToString())(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(found, x @ (0.5 * WEIGHTS["w"]), atol=1e-12)


SEEDS = [one_operator(*case) for case in ON_GRID.values()]
SEEDS += [dynamic(*nodes, shape=np.array([0, 3])) for nodes in [*SCALED, *WRONG_UNITS.values()]]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_files_of_integers_are_refused_or_read(data):
    model = onnx.ModelProto()
    model.CopyFrom(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(model, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knowlimits.files.onnx.sizes.LARGEST", 10**5)
        try:
            module = read_onnx(model.SerializeToString())
            sizes = [dim.dim_value if dim.dim_value > 0 else 2 for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
            if np.prod(sizes, dtype=float) < 10**4:
                module(torch.zeros(3, *sizes))
        except (ValueError, kl.UnsupportedOperation) as error:
            assert str(error).startswith("model: ")  # noqa: PT017
