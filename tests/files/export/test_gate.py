"""The gate alone, behind given probabilities: onnxruntime against the formulas, in numpy."""

import dataclasses
import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from scipy.special import expit, logsumexp

from knowlimits.files.export.gate import Blend, Feed, Gated, gate
from knowlimits.files.export.graph import IR_VERSION, ML, ML_OPSET, OPSET, Draft
from knowlimits.ood.columns import Columns
from knowlimits.ood.density.ratio import LogRatio

CLASSES, SHIFT, THRESHOLD = 3, 1.5, 9.0
FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def log_ratio(seed, d, components=1, steepness=0.0):
    """A log ratio of random parts."""
    random = np.random.default_rng(seed)
    return LogRatio(
        centre=random.normal(size=d) * 10,
        scale=np.exp(random.normal(size=d) * 3),
        constants=random.normal(size=components),
        factors=random.normal(size=(components, d, d)) / 3 + np.eye(d),
        shifts=random.normal(size=(components, d)),
        reach=1.5,
        steepness=steepness,
    )


def familiar(ratio, seed, n):
    """Rows near the middle, as float32 has them."""
    rows = ratio.centre + np.random.default_rng(seed).normal(size=(n, len(ratio.centre))) * ratio.scale
    return rows.astype(np.float32)


def formula(ratio, x):
    """The log ratio, as its documentation says it."""
    z = (x - ratio.centre) / ratio.scale
    squares = [((z @ factor.T - shift) ** 2).sum(1) for factor, shift in zip(ratio.factors, ratio.shifts, strict=True)]
    beyond = np.maximum(np.abs(z) - ratio.reach, 0) ** 2
    return logsumexp(ratio.constants[:, None] - np.array(squares) / 2, axis=0) - ratio.steepness * beyond.sum(1)


def columns_of(d, gaps=None, low=None, high=None, fill=None):
    """Columns of numbers, without gaps and ranges unless they are given."""
    return Columns(
        names=tuple(f"x{place}" for place in range(d)),
        named=False,
        shape=(d,),
        seen=(None,) * d,
        gaps=np.zeros(d, dtype=bool) if gaps is None else gaps,
        fill=np.zeros(d) if fill is None else fill,
        low=np.full(d, -np.inf) if low is None else low,
        high=np.full(d, np.inf) if high is None else high,
    )


def expected(ratio, columns, rows, p):
    """What a guard says of rows of numbers."""
    x = rows.astype(np.float64)
    gaps = np.isnan(x)
    strange = (np.isinf(x) | (x < columns.low) | (x > columns.high) | (gaps & ~columns.gaps)).any(1)
    x = np.where(gaps, columns.fill, x)
    values = np.full(len(x), -np.inf)
    values[~strange] = formula(ratio, x[~strange])
    weight = expit(values + SHIFT)[:, None]
    p = np.where(weight == 0, 0.0, p)
    with np.errstate(over="ignore"):
        return weight * p + (1 - weight) / CLASSES, (-values).astype(np.float32), -values <= THRESHOLD


def runner(inputs, columns, ratio):
    """A file of a gate alone, and a function of what goes into it, and of probabilities, that runs it.

    Args:
        inputs: names of tensors, what is in them, and how many columns they have, by which the columns are in order.
        columns, ratio: of the guard.
    """
    graph_inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(element)), ["N", width])
        for name, element, width in [*inputs, ("P", np.float64, CLASSES)]
    ]
    draft = Draft([value.name for value in graph_inputs])
    feeds = [Feed(name, np.dtype(element), place, width) for name, element, width in inputs for place in range(width)]
    gate(draft, feeds, columns, ratio, Blend("P", CLASSES, SHIFT, THRESHOLD), Gated("blended", "unfamiliar", "accepted"))
    outputs = [
        helper.make_tensor_value_info("blended", TensorProto.FLOAT, ["N", CLASSES]),
        helper.make_tensor_value_info("unfamiliar", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("accepted", TensorProto.BOOL, ["N"]),
    ]
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
    graph = helper.make_graph(draft.nodes, "gate", graph_inputs, outputs, draft.tensors)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in graph_inputs]
    return model, lambda *given: session.run(None, dict(zip(names, given, strict=True)))


def gate_of(ratio, columns, element=FLOAT):
    """The same, of one input of numbers."""
    return runner([("X", element, len(ratio.centre))], columns, ratio)


def check(found, wanted):
    """Outputs are as they should be, and numbers."""
    for values in found:
        assert not np.isnan(values).any()
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[2], wanted[2])


def probabilities(n, seed=0):
    """Of a model."""
    return np.random.default_rng(seed).dirichlet(np.ones(CLASSES), n)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 3), st.sampled_from([0.0, 0.5]), st.integers(0, 4))
def test_random_densities(seed, d, components, steepness, n):
    ratio, random = log_ratio(seed, d, components, steepness), np.random.default_rng(seed)
    ends = [(ratio.centre + side * ratio.scale).astype(np.float32).astype(np.float64) for side in (-2, 2)]
    low, high = (np.where(random.random(d) < 0.7, open_, end) for open_, end in zip((-np.inf, np.inf), ends, strict=True))
    columns = columns_of(d, random.random(d) < 0.5, low, high, ratio.centre)
    rows = familiar(ratio, seed, n)
    rows[random.random(rows.shape) < 0.2] = np.nan
    rows *= np.where(random.random(rows.shape) < 0.2, 10.0 ** random.integers(0, 30, rows.shape), 1).astype(np.float32)
    _, run = gate_of(ratio, columns)
    p = probabilities(n, seed)
    check(run(rows, p), expected(ratio, columns, rows, p))


CELLS = (None, 1e1, -1e3, 1e10, -1e19, 1e30, -3e38, np.inf, -np.inf, np.nan, 1e-45)


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize("steepness", [0.0, 0.5])
def test_strange_cells_in_pairs(components, steepness):
    ratio = log_ratio(0, 4, components, steepness)
    low, high = np.full(4, -np.inf), np.full(4, np.inf)
    low[2], high[2] = -40, 50
    columns = columns_of(4, np.array([False, True, False, False]), low, high, ratio.centre)
    pairs = [(i, j, a, b) for i, j in itertools.combinations(range(4), 2) for a in CELLS for b in CELLS]
    rows = np.repeat(familiar(ratio, 1, 1), len(pairs), 0)
    for row, (i, j, a, b) in zip(rows, pairs, strict=True):
        row[i] = row[i] if a is None else a
        row[j] = row[j] if b is None else b
    _, run = gate_of(ratio, columns)
    p = probabilities(len(rows))
    wanted = expected(ratio, columns, rows, p)
    check(run(rows, p), wanted)
    # What a model makes of such rows may be no number.
    for bad in (np.nan, np.inf, -np.inf):
        check(run(rows, np.where((wanted[1] > 100)[:, None], bad, p)), wanted)
    refused = np.isinf(wanted[1])
    assert refused.sum() > len(rows) / 4
    assert (run(rows, p)[0][refused] == np.float32(1 / CLASSES)).all()


def test_by_the_slow_evaluator_of_onnx():
    ratio = log_ratio(0, 3, 2, 0.5)
    columns = columns_of(3, np.array([True, False, False]), np.array([-np.inf, -50, -np.inf]), None, ratio.centre)
    model, run = gate_of(ratio, columns)
    rows = np.repeat(familiar(ratio, 1, 1), 8, 0)
    rows[1:6, 1] = np.nan, np.inf, -np.inf, -60, 3e38
    rows[6:, 0] = np.nan, np.inf
    feeds = {"X": rows, "P": probabilities(8)}
    with np.errstate(all="ignore"):
        found = ReferenceEvaluator(model).run(None, feeds)
    check(found, run(*feeds.values()))


def test_a_model_that_gives_no_number_for_a_familiar_row_is_not_accepted():
    ratio = log_ratio(0, 2)
    rows = (ratio.centre + np.linalg.solve(ratio.factors[0], ratio.shifts[0]) * ratio.scale)[None].astype(np.float32)
    _, run = gate_of(ratio, columns_of(2))
    assert run(rows, probabilities(1))[2].all()
    p, unfamiliarity, accepted = run(rows, np.full((1, CLASSES), np.nan))
    assert (p == np.float32(1 / CLASSES)).all()
    assert np.isfinite(unfamiliarity).all()
    assert not accepted.any()


@pytest.mark.parametrize("element", [np.float64, np.float32, np.int64, np.int32])
def test_types_of_inputs(element):
    ratio = dataclasses.replace(log_ratio(0, 3, 2), scale=np.ones(3))
    rows = np.round(familiar(ratio, 0, 5)).astype(element)
    _, run = gate_of(ratio, columns_of(3), element)
    p = probabilities(5)
    check(run(rows, p), expected(ratio, columns_of(3), rows, p))


@pytest.mark.parametrize("steepness", [0.0, 0.5])
def test_huge_doubles_are_no_nan(steepness):
    ratio = log_ratio(0, 3, 2, steepness)
    rows = np.array(list(itertools.product([0.0, 1e100, 1e300, -1e308, np.inf], repeat=3)))[1:]
    _, run = gate_of(ratio, columns_of(3), DOUBLE)
    p, unfamiliarity, accepted = run(rows, probabilities(len(rows)))
    assert (p == np.float32(1 / CLASSES)).all()
    assert (unfamiliarity == np.inf).all()
    assert not accepted.any()


def test_many_columns():
    ratio = dataclasses.replace(log_ratio(3, 300, 2, 1.0), factors=np.stack([np.eye(300) + 0.01, np.eye(300)]))
    rows = familiar(ratio, 3, 4)
    rows[1, 7] += 10
    _, run = gate_of(ratio, columns_of(300))
    p = probabilities(4)
    check(run(rows, p), expected(ratio, columns_of(300), rows, p))


def test_the_end_of_a_range_is_inside_in_single_precision():
    ratio, columns = log_ratio(0, 1), columns_of(1, high=np.array([0.1]))
    above = np.nextafter(np.float32(0.1), np.float32(1))
    assert float(np.float32(0.1)) > 0.1
    for element, rows in ((FLOAT, np.array([[0.1], [above]], np.float32)), (DOUBLE, np.array([[0.1], [np.float32(0.1)]]))):
        _, run = gate_of(ratio, columns, element)
        assert np.isinf(run(rows, probabilities(2))[1]).tolist() == [False, True]


def test_a_range_that_single_precision_never_leaves():
    ratio, columns = log_ratio(0, 1), columns_of(1, high=np.array([1e300]))
    _, run = gate_of(ratio, columns)
    rows = np.array([[familiar(ratio, 0, 1)[0, 0]], [np.inf]], np.float32)
    assert np.isinf(run(rows, probabilities(2))[1]).tolist() == [False, True]


def test_columns_of_several_inputs_and_types():
    ratio = dataclasses.replace(log_ratio(0, 4, 2), scale=np.ones(4))
    _, run = runner([("a", FLOAT, 1), ("b", np.int64, 1), ("c", FLOAT, 2)], columns_of(4), ratio)
    rows, p = np.round(familiar(ratio, 0, 6)), probabilities(6)
    found = run(rows[:, :1], rows[:, 1:2].astype(np.int64), rows[:, 2:], p)
    check(found, expected(ratio, columns_of(4), rows, p))


COLOURS, WARDS, OPEN = ("red", "blue", ""), (3.0, -7.0, np.nan), (True, False)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("with_numbers", [True, False])
@pytest.mark.parametrize("ward", [np.float64, np.float32, np.int64])
def test_categories(gaps, with_numbers, ward):
    columns = Columns(
        names=("x", "colour", "ward", "open"),
        named=True,
        shape=(4,),
        seen=(None if with_numbers else (7.5,), ("red",), (-7.0, 2.0), (True,)),
        gaps=np.full(4, gaps),
        fill=np.zeros(int(with_numbers)),
        low=np.full(int(with_numbers), -np.inf),
        high=np.full(int(with_numbers), np.inf),
    )
    ratio = log_ratio(0, int(with_numbers))
    _, run = runner([("x", FLOAT, 1), ("colour", object, 1), ("ward", ward, 1), ("open", np.bool_, 1)], columns, ratio)
    wards = WARDS[:2] if ward == np.int64 else WARDS
    cases = list(itertools.product(COLOURS, wards, OPEN))
    colours, numbers, opened = (np.array(part)[:, None] for part in zip(*cases, strict=True))
    x = np.repeat(familiar(ratio, 0, 1) if with_numbers else np.full((1, 1), 7.5, np.float32), len(cases), 0)
    p = probabilities(len(cases))
    found = run(x, colours.astype(object), numbers.astype(ward), opened, p)
    usual = [c == "red" or (gaps and c == "") for c in COLOURS], [w == -7 or (gaps and np.isnan(w)) for w in wards], OPEN
    wanted = np.array(list(map(all, itertools.product(*usual))))
    assert 0 < wanted.sum() < len(cases)
    assert (np.isfinite(found[1]) == wanted).all()
    if with_numbers:
        check([part[wanted] for part in found], expected(ratio, columns_of(1), x[wanted], p[wanted]))
    else:
        np.testing.assert_allclose(found[1][wanted], -ratio.constants[0], rtol=1e-6)
        assert (found[2] == wanted).all()
        assert np.isinf(run(x + 1, colours.astype(object), numbers.astype(ward), opened, p)[1]).all()
    assert (found[0][~wanted] == np.float32(1 / CLASSES)).all()
    assert not found[2][~wanted].any()


def test_texts_and_numbers_are_not_mixed_up():
    text, number = columns_of(1), columns_of(1)
    text = dataclasses.replace(text, seen=(("a",),), fill=np.zeros(0), low=np.zeros(0), high=np.zeros(0))
    with pytest.raises(ValueError, match="column 'x0', must be numbers, as the guard was fitted to"):
        runner([("X", object, 1)], number, log_ratio(0, 1))
    with pytest.raises(ValueError, match="column 'x0', must be texts, as the guard was fitted to"):
        runner([("X", FLOAT, 1)], text, log_ratio(0, 0))
    with pytest.raises(ValueError, match="column 'x0', must be without empty texts"):
        runner([("X", object, 1)], dataclasses.replace(text, seen=(("a", ""),)), log_ratio(0, 0))


def test_few_operators():
    """What one row costs is what each operator costs."""
    plain, _ = gate_of(log_ratio(0, 3), columns_of(3))
    assert len(plain.graph.node) <= 25
    every = columns_of(3, np.ones(3, dtype=bool), np.full(3, -50.0), np.full(3, 50.0))
    whole, _ = gate_of(log_ratio(0, 3, 4, 1.0), every)
    assert len(whole.graph.node) <= 40
