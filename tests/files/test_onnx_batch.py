"""ONNX files of one input, or of a batch of fixed length, against onnxruntime, which takes them as they are."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

import knowlimits as kl
from knowlimits.files.onnx.arithmetic import add
from knowlimits.files.onnx.places import concat
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.rows import rules
from knowlimits.files.onnx.rows.values import EachRow, PerRow
from tests.files.onnx_models import CASES, draw, ints, node
from tests.files.onnx_rows import file_of, one_by_one, session_of, weight

FAR = 1e6


def check(content, size, tolerance=1e-12, after=None):
    """The module takes rows of a size as the file takes each, far away and on a plane as well."""
    module = read_onnx(content)
    x, directions = draw(4, *size), draw(4, *size)
    with torch.no_grad():
        for count in (1, 4):
            expected = one_by_one(content, x[:count])
            found = module(torch.from_numpy(x[:count]))
            found = found if after is None else after(found)
            np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=tolerance, atol=tolerance)
    assert module.input_shape_ == size
    assert module.n_features_in_ == (size[0] if len(size) == 1 else None)
    far = kl.far_field(module, x, directions)
    assert bool((far.radius < FAR).all())
    if after is None:
        by_file = as_logits(one_by_one(content, x + FAR * directions))
        limit = (far.rate * FAR + far.offset)[0]
        np.testing.assert_allclose(differences(limit), differences(by_file), rtol=1e-5, atol=1e-9 + tolerance * FAR)
    check_cells(module, size)
    return module


def as_logits(outputs):
    return np.concatenate([np.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs


def differences(logits):
    return logits - logits[:, :1]


def check_cells(module, size):
    """The partition of a plane says of points what the module says."""
    plane = None if size == (2,) else kl.Plane.through(*np.random.RandomState(1).randn(3, *size))
    cells = kl.partition(module, plane)
    points = draw(20, 2)
    maps = cells.affine[cells.locate(points)]
    x = points
    if plane is not None:
        a, b = (points[:, k].reshape(-1, *[1] * len(size)) for k in (0, 1))
        x = plane.origin + a * plane.u + b * plane.v
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    found = (maps @ np.concatenate([points, np.ones((20, 1))], 1)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


W, V, B = weight(4, 6), weight(6, 3, seed=1), weight(6, seed=2)
LAST = [node("Relu", "h", "r"), node("MatMul", "r v", "y")]
# The first layer, of rows of four numbers.
HIDDEN = [node("MatMul", "f w", "p"), node("Add", "p b", "h"), *LAST]
LAYERS = {"w": W, "v": V, "b": B}


def hidden(*before, given=(1, 4), output=(1, 3), **constants):
    """A perceptron behind what brings its rows of four numbers."""
    return file_of([*before, *HIDDEN], given, output, **{**LAYERS, **constants})


HALF = numpy_helper.from_array(np.array([0.5]))
ONE = [
    # A batch of one, and what files do with it.
    ("plain", hidden(node("Identity", "x", "f")), (4,)),
    ("two features", file_of([node("Gemm", "x w b", "h"), *LAST], (1, 2), (1, 3), **LAYERS | {"w": W[:2]}), (2,)),
    ("reshape", hidden(node("Reshape", "x s", "f"), given=(1, 1, 2, 2), s=ints(1, -1)), (1, 2, 2)),
    ("reshape 0", hidden(node("Reshape", "x s", "f"), given=(1, 1, 2, 2), s=ints(0, 4)), (1, 2, 2)),
    ("free by name", hidden(node("Reshape", "x s", "f"), given=("n", 1, 2, 2), s=ints(1, 4)), (1, 2, 2)),
    ("row alone", hidden(node("Reshape", "x s", "f"), given=(1, 2, 2), output=(3,), s=ints(-1)), (2, 2)),
    ("squeezed", hidden(node("Squeeze", "x a", "f"), output=(3,), a=ints(0)), (4,)),
    ("gathered", hidden(node("Gather", "x a", "f", axis=0), output=(3,), a=np.array(0)), (4,)),
    ("summed", hidden(node("ReduceSum", "x a", "f", keepdims=0), output=(3,), a=ints(0)), (4,)),
    ("flat", hidden(node("Flatten", "x", "f", axis=1), given=(1, 2, 2)), (2, 2)),
    ("flat at once", hidden(node("Flatten", "x", "f", axis=0), given=(1, 2, 2)), (2, 2)),
    (
        "transposed",
        file_of(
            [node("Transpose", "x", "t", perm=[2, 0, 1]), node("MatMul", "t k", "m"), node("ReduceMean", "m", "h", axes=[0]),
             node("Squeeze", "h a", "q"), node("Relu", "q", "r"), node("MatMul", "r v", "y")],
            (1, 2, 5), (1, 3), k=weight(2, 6), v=V, a=ints(0),
        ),
        (2, 5),
    ),
    ("columns", file_of([node("Concat", "x0 x1 x2 x3", "f", axis=1), *HIDDEN], [(1, 1)] * 4, (1, 3), **LAYERS), (4,)),
    ("numbers", file_of([node("Concat", "x0 x1 x2 x3", "f", axis=0), *HIDDEN], [(1,)] * 4, (3,), **LAYERS), (4,)),
    (
        "expanded",
        hidden(node("Expand", "c s", "e"), node("Concat", "x e", "f", axis=1), given=(1, 2), c=weight(1, 1), s=ints(1, 2)),
        (2,),
    ),
    ("state", hidden(node("Concat", "c x", "f", axis=1), given=(1, 3), c=weight(1, 1)), (3,)),
    (
        "state of its shape",
        hidden(node("Shape", "x", "sh"), node("Gather", "sh i", "n", axis=0), node("Unsqueeze", "n i0", "m"),
               node("Concat", "m one", "zs", axis=0), node("ConstantOfShape", "zs", "c", value=HALF),
               node("Concat", "x c", "f", axis=1), given=(1, 3), i=np.array(0), i0=ints(0), one=ints(1)),
        (3,),
    ),
    ("tiled", hidden(node("Tile", "x s", "f"), given=(1, 2), s=ints(1, 2)), (2,)),
    ("tiled rows", hidden(node("Tile", "x s", "t"), node("Flatten", "t", "f", axis=0), given=(1, 2), s=ints(2, 1)), (2,)),
    ("sliced", hidden(node("Slice", "x s e a", "f"), given=(1, 6), s=ints(0, 1), e=ints(1, 5), a=ints(0, 1)), (6,)),
    ("split", hidden(node("Split", "x", "p0 p1", axis=1), node("Concat", "p1 p0", "f", axis=1)), (4,)),
    ("split rows", hidden(node("Split", "x s", "f", axis=0), s=ints(1)), (4,)),
    ("padded", hidden(node("Pad", "x s", "f"), given=(1, 3), s=ints(0, 0, 0, 1)), (3,)),
    ("padded rows", hidden(node("Pad", "x s", "g"), node("Flatten", "g", "f", axis=0), given=(1, 2), s=ints(1, 0, 0, 0)), (2,)),
    ("table", hidden(node("Add", "x c", "f"), c=weight(1, 4)), (4,)),
    (
        "column",
        file_of([node("Transpose", "x", "t"), node("MatMul", "u t", "h"), node("Relu", "h", "r"), node("MatMul", "q r", "z"),
                 node("Transpose", "z", "y")], (1, 4), (1, 3), u=W.T.copy(), q=V.T.copy()),
        (4,),
    ),
    ("gemm turned", file_of([node("Gemm", "u x", "h", transB=1), node("Relu", "h", "r"), node("Gemm", "r v", "y", transA=1)],
                            (1, 4), (1, 3), u=W.T.copy(), v=V), (4,)),
    # No axis for a batch.
    ("vector", hidden(node("Identity", "x", "f"), given=(4,), output=(3,)), (4,)),
    ("named vector", hidden(node("Identity", "x", "f"), given=("n",), output=("m",)), (4,)),
    ("named width", hidden(node("Identity", "x", "f"), given=(1, "n")), (4,)),
    ("W @ x", file_of([node("MatMul", "u x", "p"), node("Add", "p b", "h"), node("Relu", "h", "r"), node("MatMul", "q r", "y")],
                      (4,), (3,), u=W.T.copy(), q=V.T.copy(), b=B), (4,)),
    ("W @ column", file_of([node("MatMul", "u x", "h"), node("Relu", "h", "r"), node("MatMul", "q r", "y")],
                           (4, 1), (3, 1), u=W.T.copy(), q=V.T.copy()), (4, 1)),
    ("as many as features", file_of([node("MatMul", "x w", "h"), *LAST], (3,), (3,), w=W[:3], v=V), (3,)),
    ("as many as rows", file_of([node("MatMul", "u x", "h"), node("Relu", "h", "r"), node("MatMul", "q r", "y")],
                                (3, 1), (3, 1), u=W[:3].T.copy(), q=V.T.copy()), (3, 1)),
    ("unsqueezed", hidden(node("Unsqueeze", "x a", "f"), given=(4,), a=ints(0)), (4,)),
    ("image", hidden(node("Reshape", "x s", "f"), given=(2, 2), s=ints(1, 4)), (2, 2)),
    ("one number", file_of([node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r q", "y")],
                           (4,), (), w=W, q=B), (4,)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "size"), [case[1:] for case in ONE], ids=[case[0] for case in ONE])
def test_files_of_one_input_take_many(content, size):
    check(content, size)


def test_an_image_of_one_channel_is_no_batch_of_one():
    nodes = [node("Unsqueeze", "x a", "i"), node("Conv", "i k", "h"), node("Relu", "h", "g"), node("Flatten", "g", "r"),
             node("Gemm", "r v", "y")]  # fmt: skip
    values = {"k": weight(2, 1, 2, 2), "v": weight(8, 3)}
    single = {name: value.astype(np.float32) for name, value in values.items()}
    check(file_of(nodes, (1, 3, 3), (1, 3), kind=TensorProto.FLOAT, a=ints(0), **single), (1, 3, 3), 1e-5)


def test_rows_of_one_feature_have_an_axis_for_it():
    nodes = [node("Unsqueeze", "x a", "f"), node("MatMul", "f w", "h"), *LAST]
    for length in ("n", 5):
        module = read_onnx(file_of(nodes, (length,), (length, 3), w=W[:1], v=V, a=ints(1)))
        x = draw(5, 1)
        expected = np.maximum(x @ W[:1], 0) @ V
        np.testing.assert_allclose(module(torch.from_numpy(x)), expected, atol=1e-12)
        assert module.n_features_in_ == 1


def test_layers_of_a_batch_of_one_are_those_of_a_free_batch():
    fixed, free = (read_onnx(hidden(node("Identity", "x", "f"), given=(n, 4))) for n in (1, "n"))
    calls = [[(n.op, n.target) for n in module.graph.graph.nodes] for module in (fixed, free)]
    assert calls[0] == calls[1]


def test_products_with_vectors_are_layers():
    """So that detectors and Laplace find them."""
    for bias, more in ((B, ()), (B[:, None], (1,))):
        nodes = [node("MatMul", "u x", "p"), node("Add", "b p", "h"), node("Relu", "h", "r"), node("MatMul", "q r", "y")]
        module = read_onnx(file_of(nodes, (4, *more), (3, *more), u=W.T.copy(), q=V.T.copy(), b=bias))
        layers = [one for one in module.modules() if isinstance(one, nn.Linear)]
        assert [one.bias is None for one in layers] == [False, True]
        x = draw(5, 4)
        expected = np.maximum(x @ W + B, 0) @ V
        np.testing.assert_allclose(module(torch.from_numpy(x.reshape(5, 4, *more))).detach(), expected, atol=1e-12)
    twice = [*nodes, node("Concat", "y p", "z", axis=0)]
    module = read_onnx(file_of(twice, (4, 1), (9, 1), u=W.T.copy(), q=V.T.copy(), b=B[:, None]))
    np.testing.assert_allclose(module(torch.from_numpy(x[:, :, None])).detach()[:, 3:], x @ W, atol=1e-12)


def probabilities(last, output, classes, given=(1, 4), **attributes):
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "z"), node(last, "z", "y", **attributes)]
    return file_of(nodes, given, output, w=W, v=V[:, :classes])


@pytest.mark.parametrize("given", [(1, 4), (4,)])
def test_probabilities_are_undone(given):
    ahead = given[:-1]
    check(probabilities("Softmax", (*ahead, 3), 3, given, axis=-1), (4,), after=lambda z: z.softmax(-1))
    check(probabilities("Sigmoid", (*ahead, 1), 1, given), (4,), after=torch.sigmoid)
    if not ahead:
        check(probabilities("Softmax", (3,), 3, given, axis=0), (4,), after=lambda z: z.softmax(-1))
    with pytest.raises(ValueError, match="ends in Sigmoids"):
        read_onnx(probabilities("Sigmoid", (*ahead, 3), 3, given))


SEVERAL = [
    ("reshape", [node("Reshape", "x s", "f"), *HIDDEN], (5, 2, 2), {"s": ints(5, -1)}),
    ("square", [node("Identity", "x", "f"), *HIDDEN], (4, 4), {}),
    ("alike", [node("Add", "x c", "f"), *HIDDEN], (5, 4), {"c": np.ones((5, 1))}),
    ("state", [node("Concat", "x c", "f", axis=1), *HIDDEN], (5, 3), {"c": np.ones((5, 1))}),
    ("turned", [node("Transpose", "x", "t"), node("Transpose", "t", "f"), *HIDDEN], (5, 4), {}),
]


@pytest.mark.parametrize(("nodes", "given", "constants"), [case[1:] for case in SEVERAL], ids=[case[0] for case in SEVERAL])
def test_batches_of_fixed_length_are_freed_where_inputs_are_apart(nodes, given, constants):
    content = file_of(nodes, given, (given[0], 3), **LAYERS, **constants)
    module, x = read_onnx(content), draw(*given)
    (expected,) = session_of(content).run(None, {"x": x})
    for count in (1, given[0]):
        np.testing.assert_allclose(module(torch.from_numpy(x[:count])), expected[:count], atol=1e-12)
    check_cells(module, given[1:])


MEAN = [node("MatMul", "x w", "h"), node("ReduceMean", "h", "m", axes=[0], keepdims=1), node("Sub", "h m", "y")]
MIXED = [
    ("mean", MEAN, (1, 4), {"w": W}, "reduce_mean computes along the axis of the batch"),
    ("mean of several", MEAN, (5, 4), {"w": W}, "reduce_mean computes along"),
    ("softmax", [node("Softmax", "x", "s", axis=0), node("MatMul", "s w", "y")], (1, 4), {"w": W}, "softmax computes along"),
    ("last softmax", [node("MatMul", "x w", "h"), node("Softmax", "h", "y", axis=0)], (1, 4), {"w": W}, "computes along"),
    (
        "layer norm",
        [node("LayerNormalization", "x g", "s", axis=0), node("MatMul", "s w", "y")],
        (1, 4),
        {"w": W, "g": np.ones((1, 4))},
        "layer_norm computes along",
    ),
    (
        "products",
        [node("Transpose", "x", "t"), node("MatMul", "x t", "h"), node("MatMul", "h u", "y")],
        (1, 4),
        {"u": weight(1, 3)},
        "matmul puts inputs of a batch together",
    ),
    (
        "covariance",
        [node("Transpose", "x", "t"), node("MatMul", "t x", "c"), node("MatMul", "x c", "y")],
        (1, 4),
        {},
        "matmul multiplies inputs of a batch",
    ),
    ("gram", [node("Gemm", "x x", "h", transB=1), node("MatMul", "h u", "y")], (1, 4), {"u": weight(1, 3)}, "gemm puts inputs"),
    (
        "differences",
        [node("MatMul", "x w", "h"), node("Transpose", "h", "t"), node("Sub", "h t", "d"), node("ReduceSum", "d a", "y")],
        (1, 4),
        {"w": W, "a": ints(1)},
        "subtract puts inputs of a batch together",
    ),
    (
        "gathered",
        [node("MatMul", "x w", "h"), node("Gather", "h i", "y", axis=0)],
        (3, 4),
        {"w": W, "i": ints(1, 2, 0)},
        "gather",
    ),
    (
        "turned",
        [node("Transpose", "x", "t"), node("Reshape", "t s", "r"), node("MatMul", "r w", "y")],
        (4, 4),
        {"w": W, "s": ints(4, 4)},
        "linear0 takes for features",
    ),
    ("bias", [node("MatMul", "x w", "h"), node("Add", "h c", "y")], (3, 4), {"w": W, "c": weight(3, 6)}, "does something else"),
    (
        "sum",
        [node("MatMul", "l x", "h"), node("MatMul", "h w", "y")],
        (3, 4),
        {"w": W, "l": weight(3, 3)},
        "matmul takes for features",
    ),
]


@pytest.mark.parametrize(("nodes", "given", "constants", "text"), [case[1:] for case in MIXED], ids=[case[0] for case in MIXED])
def test_files_whose_inputs_hang_on_each_other_are_refused(nodes, given, constants, text):
    with pytest.raises(ValueError, match=text) as raised:
        read_onnx(file_of(nodes, given, (given[0], None), **constants))
    assert f"batches of {given[0]} only, or one input of shape {list(given)}, as" in str(raised.value)
    assert "export it with a dynamic batch axis (in torch by dynamic_shapes=" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_statistics_of_the_batch_are_refused():
    norm = node("BatchNormalization", "h b b b c", "y m s", training_mode=1)
    content = file_of([node("MatMul", "x w", "h"), norm], (1, 4), (1, 6), w=W, b=B, c=abs(B))
    with pytest.raises(kl.UnsupportedOperation, match="export the model in eval mode"):
        read_onnx(content)


UNCLEAR = [
    ("either", [node("Relu", "x", "y")], (3,), (3,), "3 inputs of one feature, or one of 3 features"),
    ("any length", [node("Relu", "x", "y")], ("n",), ("n",), r"input has shape \['\?'\]"),
    ("two lengths", [node("Relu", "x", "y")], (1, "n"), (1, "n"), r"input has shape \[1, '\?'\]"),
    ("no classes", [node("Relu", "x", "y")], (1, 2, 3), (1, 2, 3), "one number for each class"),
]


@pytest.mark.parametrize(
    ("nodes", "given", "output", "text"), [case[1:] for case in UNCLEAR], ids=[case[0] for case in UNCLEAR]
)
def test_what_one_input_is_must_be_clear(nodes, given, output, text):
    with pytest.raises(ValueError, match=text):
        read_onnx(file_of(nodes, given, output))


def test_a_free_axis_stays_as_it_is():
    content = file_of(MEAN, ("n", 4), ("n", 6), w=W)
    assert [n.target.__name__ for n in read_onnx(content).graph.graph.nodes if n.op == "call_function"] == [
        "reduce_mean",
        "subtract",
    ]


def with_batch(case, length):
    model = case.model()
    dim = model.graph.input[0].type.tensor_type.shape.dim[0]
    dim.ClearField("dim_param")
    dim.dim_value = length
    return model


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operator_takes_rows_as_it_takes_one(case):
    """Also those that are still to come, by the cases that they must have."""
    model = with_batch(case, 1)
    x = draw(3, *case.shape)
    try:
        module = read_onnx(model.SerializeToString())
    except ValueError as error:
        # Of one input the mean of all numbers, and along the first axis, is as good as that of many.
        assert case.added or "computes along the axis of the batch" in str(error)  # noqa: PT017
        return
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if case.judge == "onnxruntime":
            expected = one_by_one(model.SerializeToString(), x)
        else:
            judge = ReferenceEvaluator(model)
            expected = np.array([judge.run(None, {"x": row[None]})[0].reshape(-1) for row in x])
    np.testing.assert_allclose(found, expected, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize("function", [torch.relu, add, concat], ids=lambda function: function.__name__)
def test_functions_without_a_rule_are_done_row_by_row(function, monkeypatch):
    monkeypatch.delitem(rules.RULES, function)
    before = [node("Concat", "c x", "g", axis=1), node("Abs", "g", "a"), node("Add", "a d", "f")]
    content = hidden(*before, given=(1, 3), c=weight(1, 1), d=weight(4))
    module = check(content, (3,))
    assert any(isinstance(one, EachRow) for one in module.modules())
    several = file_of(
        [node("Relu", "x", "q"), node("Add", "q q", "f"), *HIDDEN, node("Concat", "y y", "z", axis=1)], (5, 4), (5, 6), **LAYERS
    )
    with pytest.raises(ValueError, match=r"batches of 5 only.*may put rows together"):
        read_onnx(several)


def test_what_comes_out_is_held_to_the_file(monkeypatch):
    """A rule that puts rows in another order, and one that makes other numbers of them."""
    content = hidden(node("Identity", "x", "f"))
    right = rules.RULES[torch.relu]
    for function, more in ((torch.flip, [[0]]), (torch.mul, [1 + 1e-4]), (torch.mul, [torch.nan])):

        def wrong(new, n, out, function=function, more=more):
            value = right(new, n, out)
            return PerRow(new.call(function, value.node, *more), value.shape, value.batch)

        monkeypatch.setitem(rules.RULES, torch.relu, wrong)
        with pytest.raises(ValueError, match="several inputs at once have other results than each by itself"):
            read_onnx(content)


def test_what_is_kept_and_done_counts_against_the_budget(monkeypatch):
    content = hidden(node("Expand", "c s", "e"), node("Concat", "x e", "f", axis=1), given=(1, 2), c=weight(1, 1), s=ints(1, 2))
    read_onnx(content)
    monkeypatch.setattr("knowlimits.files.budget.MOST_STEPS", 100)
    with pytest.raises(ValueError, match="would take too long"):
        read_onnx(content)


def test_whole_numbers_are_compared_as_such():
    encoder = node("OneHotEncoder", "x", "e", "ai.onnx.ml", cats_int64s=[0, 1, 2], zeros=1)
    nodes = [encoder, node("Cast", "e", "c", to=TensorProto.DOUBLE), node("Flatten", "c", "g"), node("MatMul", "g k", "y")]
    graph = file_of(nodes, (1, 2), (1, 3), k=weight(6, 3))
    model = onnx.load_model_from_string(graph)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    module = read_onnx(model.SerializeToString())
    x = np.array([[0, 2], [1, 1], [2, 0]])
    session = session_of(model.SerializeToString())
    expected = [session.run(None, {"x": row[None]})[0][0] for row in x]
    np.testing.assert_allclose(module(torch.from_numpy(x)), expected, rtol=1e-6)


def test_logarithms_are_compared_where_there_are_any():
    content = hidden(node("Log", "x", "f"))
    x = abs(draw(4, 4)) + 0.1
    np.testing.assert_allclose(read_onnx(content)(torch.from_numpy(x)), one_by_one(content, x), atol=1e-12)
    with pytest.raises(ValueError, match=r"cannot be evaluated to see.*no finite numbers"):
        read_onnx(hidden(node("Neg", "x", "n"), node("Abs", "n", "a"), node("Neg", "a", "q"), node("Log", "q", "f")))


class Seen(nn.Module):
    """A few layers behind what is done to a batch of one."""

    def __init__(self, before, features=4):
        super().__init__()
        self.before, self.layers = before, nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x):
        return self.layers(self.before(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.second, self.last = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(2, 3)

    def forward(self, x):
        h = self.norm(self.first(x)).relu()
        return self.last((h + self.second(h)).relu().mean((2, 3)))


class Pieces(nn.Module):
    """A token before others, and places of them, for a batch of one."""

    def __init__(self):
        super().__init__()
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 3)), nn.Parameter(torch.randn(1, 4, 3))
        self.inner, self.last = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.last(self.inner(h).relu().amax(1))


class LastFirst(nn.Module):
    """Steps of a sequence first, as recurrent layers have it."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.inner(x.transpose(0, 1)).relu()[-1])


class Unsqueezed(nn.Module):
    """An image without a batch, as it has one channel."""

    def __init__(self):
        super().__init__()
        self.layers = convolutional()

    def forward(self, x):
        return self.layers(x.unsqueeze(0))


def convolutional():
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3, 3))


# Makers, the shape that the exporter is shown, and that of one row.
NETWORKS = {
    "perceptron": (lambda: Seen(nn.Identity(), 2), (1, 2), (2,)),
    "convolutional": (convolutional, (1, 1, 3, 3), (1, 3, 3)),
    "view": (lambda: Seen(lambda x: x.view(1, -1)), (1, 2, 2), (2, 2)),
    "flat": (lambda: Seen(lambda x: x.reshape(-1)), (1, 2, 2), (2, 2)),
    "residual": (Residual, (1, 1, 3, 3), (1, 3, 3)),
    "unsqueezed": (lambda: nn.Sequential(Seen(lambda x: x.unsqueeze(0))), (4,), (4,)),
    "unsqueezed image": (lambda: Unsqueezed(), (1, 3, 3), (1, 3, 3)),
    "pieces": (Pieces, (1, 3, 3), (3, 3)),
    "last first": (LastFirst, (1, 3, 3), (3, 3)),
}


def exported(network, shape, dynamo):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = (torch.randn(shape),)
        if dynamo:
            return torch.onnx.export(network, x, dynamo=True, opset_version=18, verbose=False).model_proto.SerializeToString()
        file = io.BytesIO()
        torch.onnx.export(network, x, file, dynamo=False, opset_version=14)
        return file.getvalue()


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_as_torch_exports_them_by_default(name, dynamo):
    torch.manual_seed(0)
    make, shape, size = NETWORKS[name]
    network = make().eval()
    content = exported(network, shape, dynamo)
    module = read_onnx(content)
    x, directions = draw(3, *size), draw(3, *size)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), one_by_one(content, x), rtol=1e-4, atol=1e-5)
    network = network.double()
    far = kl.far_field(module, x, directions)
    with torch.no_grad():
        there = [network(torch.from_numpy(row).reshape(shape)).reshape(-1) for row in x + FAR * directions]
    limit = (far.rate * FAR + far.offset)[0]
    np.testing.assert_allclose(differences(limit), differences(torch.stack(there).numpy()), rtol=1e-5, atol=1e-3)
    if len(size) == 1:
        check_cells(module, size)


def test_networks_of_sklearn_with_a_batch_of_one():
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.random.RandomState(0).randn(60, 2)
    y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int) + (X[:, 0] > 0)
    for labels in (y, y > 0):
        for last in (LogisticRegression(), MLPClassifier((4,), max_iter=20, random_state=0)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = make_pipeline(StandardScaler(), last).fit(X, labels.astype(int))
                files = [
                    to_onnx(model, initial_types=[("x", FloatTensorType([n, 2]))], options={"zipmap": False}) for n in (1, None)
                ]
            fixed, free = (read_onnx(file.SerializeToString()) for file in files)
            torch.testing.assert_close(fixed(torch.from_numpy(X)), free(torch.from_numpy(X)), rtol=0, atol=1e-12)
            assert list(fixed.classes_) == list(free.classes_)
            session = session_of(files[0].SerializeToString())
            one = np.concatenate([session.run(None, {"x": row[None].astype(np.float32)})[1] for row in X])
            np.testing.assert_allclose(kl.read(fixed).predict_proba(X), one, atol=1e-5)
