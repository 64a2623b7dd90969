"""ONNX files that would crash the process, hang, or take all memory."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.files import budget
from knowlimits.files.onnx import arithmetic, places
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import ints, model_of, node, perceptron

MANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
LOWEST = -(2**63)


def file(*nodes, shape=(2,), **constants):
    return model_of(list(nodes), shape, constants).SerializeToString()


def added(value):
    """The input plus the mean of an integer or float."""
    cast = node("Cast", value, "as_float", to=TensorProto.DOUBLE)
    return [cast, node("ReduceMean", "as_float", "the_mean", keepdims=0), node("Add", "x the_mean", "y")]


def filled(name, shape, number=1.0):
    return node("ConstantOfShape", shape, name, value=numpy_helper.from_array(np.array([number])))


# --- whole numbers -------------------------------------------------------------------------------------------------------

BORDERS = st.one_of(st.sampled_from([LOWEST, LOWEST + 1, 2**63 - 1, -1, 0, 1, 2]), st.integers(LOWEST, 2**63 - 1))


def quotient(a, b):
    """Towards zero, within 64 bits."""
    exact = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return (exact - LOWEST) % 2**64 + LOWEST


@MANY
@given(st.lists(BORDERS, min_size=1, max_size=5), BORDERS)
@example([LOWEST], -1)
def test_quotients_of_whole_numbers(numbers, divisor):
    first, second = torch.tensor(numbers), torch.tensor(divisor)
    if divisor == 0:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            arithmetic.divide(first, second)
        return
    assert arithmetic.divide(first, second).tolist() == [quotient(a, divisor) for a in numbers]
    assert arithmetic.divide(second, first[first != 0]).tolist() == [quotient(divisor, a) for a in numbers if a]


def test_the_lowest_integer_by_minus_one_in_a_file():
    module = read_onnx(file(node("Div", "low minus", "q"), *added("q"), low=ints(LOWEST), minus=ints(-1)))
    assert module(torch.zeros(3, 2)).mean() == float(LOWEST)


def test_a_divisor_that_is_minus_one_for_301_inputs():
    nodes = [node("Shape", "x", "n", start=0, end=1), node("Sub", "n k", "m"), node("Div", "low m", "q"), *added("q")]
    module = read_onnx(file(*nodes, k=ints(302), low=ints(LOWEST)))
    for rows in (300, 301, 303):
        expected = quotient(LOWEST, rows - 302)
        np.testing.assert_allclose(module(torch.zeros(rows, 2)), np.full((rows, 2), float(expected)))
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        module(torch.zeros(302, 2))


# --- time and memory -------------------------------------------------------------------------------------------------------


def live(count=40, size=10**8 - 1):
    """Folded constants, each of which is none too large, all of them kept."""
    nodes = []
    for i in range(count):
        nodes += [filled(f"c{i}", "s", i + 1.0), node("Add", f"c{i} one", f"d{i}")]
        nodes.append(node("Add", f"e{i - 1} d{i}" if i else "d0 one", f"e{i}"))
    return file(*nodes, *added(f"e{count - 1}"), s=ints(size), one=np.ones(1))


def weights(count=40, size=10**4):
    """One number as a matrix, copied for each layer that has it."""
    nodes = [filled("w", "s")]
    nodes += [node("MatMul", f"h{i} w" if i else "x w", f"h{i + 1}") for i in range(count)]
    return file(*nodes, node("Neg", f"h{count}", "y"), shape=(size,), s=ints(size, size))


def products():
    nodes = [filled("m0", "s"), *(node("MatMul", f"m{i} m0", f"m{i + 1}") for i in range(200))]
    return file(*nodes, *added("m200"), s=ints(9999, 9999))


def window(kernel, pads):
    nodes = [node("Unsqueeze", "x ax", "u"), node("MaxPool", "u", "p", kernel_shape=[kernel], pads=[pads] * 2)]
    return file(*nodes, node("Squeeze", "p ax", "y"), ax=ints(1))


def stride():
    """Kernels of convolutions are compiled for their strides."""
    nodes = [node("Unsqueeze", "x ax", "u"), node("Conv", "u w", "p", strides=[2**16]), node("Squeeze", "p ax", "y")]
    return file(*nodes, ax=ints(1), w=np.ones((1, 1, 1)))


def wide_layer():
    """A product whose result is large, though its factors are not."""
    nodes = [node("Expand", "x s", "e"), node("Reshape", "e r", "f"), node("MatMul", "f w", "p")]
    return file(*nodes, *added("p"), s=ints(10**5, 1, 2), r=ints(-1, 1), w=np.ones((1, 10**5)))


def spread():
    """The larger of a column and a row."""
    nodes = [filled("a", "s"), filled("b", "t"), node("Clip", "a b", "c")]
    return file(*nodes, *added("c"), s=ints(10**5, 1), t=ints(1, 10**5))


def compared():
    nodes = [filled("a", "s"), filled("b", "t"), node("Less", "a b", "c")]
    return file(*nodes, *added("c"), s=ints(10**5, 1), t=ints(1, 10**5))


def hidden_pads():
    """An axis without numbers beside one of 10**12."""
    nodes = [filled("a", "s"), node("Pad", "a pads", "b", mode="edge")]
    return file(*nodes, *added("b"), s=ints(0, 2), pads=ints(0, 10**12, 0, 0))


def many_sizes():
    nodes = [filled("a", "s"), node("Cast", "a", "i", to=TensorProto.INT64), node("Reshape", "x i", "y")]
    return file(*nodes, s=ints(10**7))


def long():
    nodes = [node("Relu", f"h{i}" if i else "x", f"h{i + 1}") for i in range(20_001)]
    return file(*nodes[:-1], node("Neg", "h20000", "y"))


ATTACKS = {
    "live": (live, "add would have 99,999,999 numbers, which is too many: the model has .* GiB in use at once"),
    "weights": (weights, "numbers, which is too many: the model has .* GiB in use at once"),
    "products": (products, "MatMul .*mm would take too long"),
    "window": (lambda: window(2**62, 2**61), "MaxPool .*must be below 2,147,483,648"),
    "smaller window": (lambda: window(2**30, 2**29), "windows have 3,221,225,472 places, which is too many"),
    "stride": (stride, "strides and dilations of a convolution must be at most 4,096"),
    "wide layer": (wide_layer, "numbers, which is too many"),
    "spread": (spread, "more than 100,000,000 numbers"),
    "compared": (compared, "more than 100,000,000 numbers"),
    "hidden pads": (hidden_pads, "more than 100,000,000 numbers"),
    "many sizes": (many_sizes, "at most 10,000 sizes"),
    "long": (long, "it has 20,001 operators: 20,000 are allowed"),
}


def refused(name):
    build, message = ATTACKS[name]
    with pytest.raises(ValueError, match=f"^m.onnx: .*{message}"):
        read_onnx(build(), "m.onnx")


# Those that take what is allowed are tried with less, in a process of their own.
@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("live", "weights")])
def test_attacks_are_refused(name):
    refused(name)


CHILD = """
import resource
from tests.files.test_onnx_limits import *
budget.MOST_BYTES = 2**27
read_onnx(perceptron().SerializeToString())
for act, most in {acts}:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        act()
    except ValueError as error:
        assert "GiB in use at once" in str(error), error
    else:
        assert most < 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < abs(most) * 1024
"""


@pytest.mark.parametrize(
    ("act", "most"),
    [
        # The largest of them has 38 MiB, all together 1.5 GiB.
        ("lambda: read_onnx(live(40, 5 * 10**6))", 300),
        ("lambda: read_onnx(weights(40, 2000))", 300),
        # 76 MiB each for the numbers, their places and the result; a list of places has another 400.
        ("lambda: places.slice_axes(torch.zeros(10**7, dtype=torch.float64), [-1], [-(2**62)], None, [-1])", -350),
    ],
    ids=["live", "weights", "slice"],
)
def test_memory(act, most):
    """In a process of its own."""
    code = CHILD.format(acts=f"[({act}, {most})]")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


SLICES = [(None, None, -1), (5, 1, -2), (1, 5, -1), (2, 0, 2), (0, 9, 3), (-1, -20, -1)]


@pytest.mark.parametrize(("start", "end", "step"), SLICES)
def test_slices(start, end, step):
    x = torch.arange(7.0)
    expected = x.numpy()[start:end:step]
    big = 2**62
    start = start if start is not None else big
    end = end if end is not None else -big
    np.testing.assert_array_equal(places.slice_axes(x, [start], [end], None, [step]), expected)


def test_an_axis_cannot_be_sliced_twice():
    with pytest.raises(ValueError, match=r"axes must be different.*Got \[1, -1\]"):
        places.slice_axes(torch.zeros(2, 3), [0, 0], [1, 1], [1, -1], None)


# --- what is harmless for a few inputs ---------------------------------------------------------------------------------


def square(steps=1):
    """A matrix with a row and a column for each input, and its powers."""
    nodes = [node("Shape", "x", "n", start=0, end=1), node("Concat", "n n", "nn", axis=0), node("ConstantOfShape", "nn", "m0")]
    nodes += [node("MatMul", f"m{i} m0", f"m{i + 1}") for i in range(steps)]
    return file(*nodes, *added(f"m{steps}"))


@pytest.mark.parametrize(("limit", "message"), [("MOST_BYTES", "numbers, which is too many"), ("MOST_STEPS", "too long")])
def test_growth_is_linear(limit, message, monkeypatch):
    module = read_onnx(square(), "m.onnx")
    x = torch.zeros(1000, 2)
    assert module(x).shape == (1000, 2)
    monkeypatch.setattr(budget, limit, 10**6)
    # What was evaluated once is not looked at again.
    assert module(x).shape == (1000, 2)
    with pytest.raises(ValueError, match=rf"m.onnx: cannot be evaluated for inputs of shape \(1001, 2\): .*{message}"):
        module(torch.zeros(1001, 2))
    with pytest.raises(ValueError, match=message):
        kl.far_field(module, np.zeros((900, 2)), np.ones((900, 2)))


def test_many_inputs_of_an_ordinary_model_may_take_more_than_the_budget(monkeypatch):
    monkeypatch.setattr(budget, "MOST_BYTES", 10**4)
    monkeypatch.setattr(budget, "MOST_STEPS", 10**4)
    module = read_onnx(perceptron().SerializeToString())
    assert copy.deepcopy(module)(torch.zeros(10**5, 4)).shape == (10**5, 3)
    kl.far_field(module, np.zeros((10**4, 4)), np.ones((10**4, 4)))


def test_a_model_that_does_not_say_its_shape_is_tried_at_its_first_call(monkeypatch):
    model = perceptron()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "any"
    module = read_onnx(model.SerializeToString())
    monkeypatch.setattr(budget, "MOST_BYTES", 10**4)
    assert module(torch.zeros(10**5, 4)).shape == (10**5, 3)


# --- windows at random -------------------------------------------------------------------------------------------------

SIZES = st.one_of(st.integers(1, 4), st.sampled_from([100, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, -1]))


def test_windows_whose_places_wrap_round():
    """Torch counts places of poolings in 32 bits, where these are a few again."""
    pool = node("MaxPool", "u", "p", kernel_shape=[2**16], strides=[1], pads=[0, 0], dilations=[2**16])
    nodes = [node("Unsqueeze", "x ax", "u"), pool, node("Squeeze", "p ax", "y")]
    with pytest.raises(ValueError, match="must reach less than 2,147,483,648 places"):
        read_onnx(file(*nodes, shape=(1,), ax=ints(1)))


@MANY
@given(st.data())
def test_sizes_of_windows(data):
    """Windows, pads, strides and dilations of any size are refused, or do what torch does without the reader."""
    kind = data.draw(st.sampled_from(["MaxPool", "AveragePool", "Conv"]))
    length, kernel, stride, dilation = data.draw(st.integers(1, 6)), *(data.draw(SIZES) for _ in range(3))
    pads = [data.draw(st.one_of(st.just(0), SIZES)) for _ in range(2)]
    attributes = {"kernel_shape": [kernel], "strides": [stride], "pads": pads}
    attributes |= {"dilations": [dilation]} if kind != "AveragePool" else {}
    constants = {"ax": ints(1)}
    if kind == "Conv":
        kernel = min(abs(kernel), 4)
        attributes["kernel_shape"] = [kernel]
        constants["w"] = np.ones((1, 1, kernel))
    nodes = [node("Unsqueeze", "x ax", "u"), node(kind, "u w" if kind == "Conv" else "u", "p", **attributes)]
    try:
        module = read_onnx(file(*nodes, node("Squeeze", "p ax", "y"), shape=(length,), **constants))
    except (ValueError, kl.UnsupportedOperation):
        event("refused")
        return
    event(f"{kind} read")
    x = torch.randn(3, length, generator=torch.Generator().manual_seed(0)).double()
    if kind == "MaxPool":
        padded = F.pad(x[:, None], pads, value=-torch.inf)
        expected = F.max_pool1d(padded, kernel, stride, 0, dilation)
    elif kind == "Conv":
        expected = F.conv1d(F.pad(x[:, None], pads), torch.ones(1, 1, kernel).double(), None, stride, 0, dilation)
    else:
        counts, sums = (F.avg_pool1d(F.pad(t[:, None], pads), kernel, stride) for t in (torch.ones_like(x), x))
        expected = sums / counts
    torch.testing.assert_close(module(x), expected[:, 0], equal_nan=True)
