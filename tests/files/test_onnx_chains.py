"""Random chains of ONNX operators that move numbers, of one input or of a batch of fixed length, against onnxruntime."""

import math

import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import draw, ints
from tests.files.onnx_rows import file_of, one_by_one, session_of, weight

KINDS = ["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Tile", "Slice", "Reversed", "Gather", "Pad"]
KINDS += ["Concat", "ReduceSum", "ReduceMax", "Softmax", "Add", "Mul", "MatMul", "Left", "Relu"]
APART = ["Reshape", "Transpose", "Unsqueeze", "Flatten", "Slice", "Add", "Mul", "MatMul", "Relu", "Softmax", "ReduceSum"]
INPUTS = [(1, 6), (6,), (1, 2, 3), (1, 1, 6), (2, 3), (1, 3, 2, 1), (3, 1, 2), (6, 1), (1, 6, 1)]
BATCHES = [(5, 6), (5, 2, 3), (2, 6), (2, 3, 2), (6, 6), (6, 2)]


@st.composite
def chains(draw, inputs, kinds):
    """Operators that move numbers, one after another, and the shape that each leaves."""
    shape = draw(st.sampled_from(inputs))
    given, nodes, constants = shape, [], {}

    def put(kind, new, *inputs, **attributes):
        nonlocal shape
        names = []
        for value in inputs:
            names.append(f"c{len(constants)}")
            constants[names[-1]] = np.asarray(value)
        before = f"v{len(nodes)}" if nodes else "x"
        attributes = {name: value for name, value in attributes.items() if value is not None}
        nodes.append(helper.make_node(kind, [before, *names], [f"v{len(nodes) + 1}"], **attributes))
        shape = new

    for _ in range(draw(st.integers(1, 6))):
        rank, count = len(shape), int(np.prod(shape))
        axis = draw(st.integers(0, max(rank - 1, 0)))
        kind = draw(st.sampled_from(kinds))
        if kind == "Reshape":
            new = draw(st.permutations([k for k in (2, 3) if count % 6 == 0] or [count]))
            new = [*([new[0] * new[1], *new[2:]] if len(new) > 1 and draw(st.booleans()) else new)]
            new += [count // int(np.prod(new))] if int(np.prod(new)) != count else []
            for _ in range(draw(st.integers(0, 2))):
                new.insert(draw(st.integers(0, len(new))), 1)
            written = list(new)
            if draw(st.booleans()):
                written[draw(st.integers(0, len(new) - 1))] = -1
            put(kind, tuple(new), ints(*written))
        elif kind == "Transpose" and rank:
            order = draw(st.permutations(range(rank)))
            put(kind, tuple(shape[k] for k in order), perm=list(order))
        elif kind == "Squeeze" and rank and shape[axis] == 1:
            put(kind, shape[:axis] + shape[axis + 1 :], ints(draw(st.sampled_from([axis, axis - rank]))))
        elif kind == "Unsqueeze" and rank < 5:
            place = draw(st.integers(0, rank))
            put(kind, (*shape[:place], 1, *shape[place:]), ints(place))
        elif kind == "Flatten":
            place = draw(st.integers(0, rank))
            put(kind, (int(np.prod(shape[:place])), int(np.prod(shape[place:]))), axis=place)
        elif kind == "Expand" and rank and count < 40 and shape[axis] == 1:
            new = (*shape[:axis], 2, *shape[axis + 1 :])
            put(kind, new, ints(*new))
        elif kind == "Tile" and rank and count < 40:
            put(kind, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]), ints(*(1 + (k == axis) for k in range(rank))))
        elif kind == "Slice" and rank and shape[axis] > 1:
            put(kind, (*shape[:axis], shape[axis] - 1, *shape[axis + 1 :]), ints(1), ints(shape[axis]), ints(axis))
        elif kind == "Reversed" and rank:
            put("Slice", shape, ints(-1), ints(-100), ints(axis), ints(-1))
        elif kind == "Gather" and rank:
            index = draw(st.sampled_from([0, [0], [0, 0], [[0], [-1]]]))
            put(kind, (*shape[:axis], *np.shape(index), *shape[axis + 1 :]), np.array(index), axis=axis)
        elif kind == "Pad" and rank and count < 40:
            after = [int(k == axis) for k in range(rank)]
            put(kind, tuple(n + a for n, a in zip(shape, after, strict=True)), ints(*[0] * rank, *after))
        elif kind == "Concat" and rank and count < 40:
            put(
                kind,
                (*shape[:axis], shape[axis] + 1, *shape[axis + 1 :]),
                weight(*shape[:axis], 1, *shape[axis + 1 :]),
                axis=axis,
            )
        elif kind in ("ReduceSum", "ReduceMax") and rank:
            keep = draw(st.booleans())
            new = (*shape[:axis], *([1] if keep else []), *shape[axis + 1 :])
            if kind == "ReduceSum":
                put(kind, new, ints(axis), keepdims=int(keep))
            else:
                put(kind, new, axes=[axis], keepdims=int(keep))
        elif kind == "Softmax" and rank:
            put(kind, shape, axis=axis)
        elif kind == "Add":
            other = tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, rank)) :]
            put(kind, shape, weight(*other))
        elif kind == "Mul":
            put(kind, shape, weight(*shape))
        elif kind == "MatMul" and rank:
            put(kind, (*shape[:-1], 4), weight(shape[-1], 4))
        elif kind == "Left" and rank > 1:
            before = f"v{len(nodes)}" if nodes else "x"
            nodes.append(helper.make_node("MatMul", [f"l{len(nodes)}", before], [f"v{len(nodes) + 1}"]))
            constants[f"l{len(nodes) - 1}"] = weight(3, shape[-2])
            shape = (*shape[:-2], 3, shape[-1])
        elif kind == "Relu":
            put(kind, shape)
    count = int(np.prod(shape))
    ahead = (given[0],) if inputs is BATCHES else draw(st.sampled_from([(1,), ()]))
    assume(count % math.prod(ahead) == 0)
    put("Reshape", (*ahead, count // math.prod(ahead)), ints(*ahead, -1))
    put("MatMul", (*ahead, 3), weight(shape[-1], 3))
    return given, nodes, constants, shape


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(chain=chains(INPUTS, KINDS))
def test_random_chains_are_refused_or_as_onnxruntime_has_them(chain):
    given, nodes, constants, output = chain
    content = file_of(nodes, given, output, **constants)
    rows = draw(3, *given)
    expected = one_by_one(content, rows)
    try:
        module = read_onnx(content)
    except ValueError as error:
        assert "export it with a dynamic batch axis" in str(error)  # noqa: PT017
        return
    assert module.input_shape_ in (given, given[1:])
    with torch.no_grad():
        found = module(torch.from_numpy(rows.reshape(3, *module.input_shape_))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(chain=st.sampled_from([KINDS, APART]).flatmap(lambda kinds: chains(BATCHES, kinds)))
def test_random_chains_of_batches_are_refused_or_keep_inputs_apart(chain):
    given, nodes, constants, output = chain
    content = file_of(nodes, given, output, **constants)
    session, x = session_of(content), draw(*given)
    try:
        module = read_onnx(content)
    except ValueError as error:
        assert "export it with a dynamic batch axis" in str(error)  # noqa: PT017
        return
    assert module.input_shape_ == given[1:]
    for k in range(given[0]):
        # Among others an input has the same result.
        among = draw(*given)
        among[k] = x[k]
        (expected,) = session.run(None, {"x": among})
        with torch.no_grad():
            np.testing.assert_allclose(module(torch.from_numpy(x[k : k + 1]))[0], expected[k], rtol=1e-9, atol=1e-9)
