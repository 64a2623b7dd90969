"""Each kind of ONNX files: outputs as onnxruntime's, limits and radius as the reference's far out, and polytopes."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

import knowlimits as kl
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_kinds import ALL

READ = {name: kind for name, kind in ALL.items() if not kind.refused}
# What is rounded has no reference in double precision: `test_onnx_quantised.py` holds its limits to clips.
LIMITED = {name: kind for name, kind in READ.items() if not kind.limits and not kind.rounded}
WITH_CELLS = {name: kind for name, kind in LIMITED.items() if not kind.polytopes}
RAYS = 12


def read(kind):
    model = kind.make(TensorProto.FLOAT)
    if not kind.beside:
        return read_onnx(model.SerializeToString(), "some.onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.onnx"
        onnx.save(model, path, save_as_external_data=True, location="some.onnx.data", size_threshold=0)
        assert {file.name for file in path.parent.iterdir()} == {"some.onnx", "some.onnx.data"}
        return kl.load(path)


def fed(kind, x):
    """Inputs by name."""
    return dict(zip("abcd", x[:, :, None].transpose(1, 0, 2), strict=True)) if kind.columns else {"x": x}


def run(kind, x, call):
    """The first output, of floats if there are some, of rows at once or one by one."""
    if kind.rows is not None:
        alone = dataclasses.replace(kind, rows=None)
        return np.stack([run(alone, row.reshape(kind.rows), call).reshape(-1) for row in x])
    outputs = call(fed(kind, x))
    return next((out for out in outputs if np.asarray(out).dtype.kind == "f"), outputs[0])


def reference(kind, x):
    """By onnx's reference in double precision."""
    evaluator = ReferenceEvaluator(kind.make(TensorProto.DOUBLE))
    return run(kind, x, lambda given: evaluator.run(None, given))


def softmax(z):
    return torch.from_numpy(np.asarray(z, dtype=float)).softmax(1).numpy()


def check(kind, logits, expected, tolerance):
    """Whether logits are what a file returns, or made it."""
    if kind.ends == "labels":
        np.testing.assert_array_equal(logits.argmax(1), expected)
    elif kind.ends == "probabilities":
        np.testing.assert_allclose(softmax(logits), expected, rtol=0, atol=tolerance)
    else:
        np.testing.assert_allclose(logits, expected, rtol=tolerance, atol=tolerance)


def drawn(kind, rng):
    x = rng.normal(size=(RAYS, *kind.shape))
    x[:, list(kind.held)] = rng.integers(3, size=(RAYS, len(kind.held), *kind.shape[1:]))
    return x


def rays(kind):
    rng = np.random.default_rng(0)
    x, d = drawn(kind, rng), rng.normal(size=(RAYS, *kind.shape))
    d[:, list(kind.held)] = 0
    # Along one feature, up or down; no direction.
    d[: RAYS // 2] *= rng.random((RAYS // 2, *kind.shape)) < 0.25
    return x, d


@pytest.mark.parametrize("name", READ)
def test_outputs_are_those_of_onnxruntime(name):
    kind = READ[name]
    x = drawn(kind, np.random.default_rng(1)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(kind.make(TensorProto.FLOAT).SerializeToString(), options)
    expected = run(kind, x, lambda given: session.run(None, given))
    tolerance = max(1e-5, kind.rounded * np.abs(expected).max())
    check(kind, read(kind)(torch.from_numpy(x)).detach().numpy(), expected, tolerance)


@pytest.mark.parametrize("name", LIMITED)
def test_limits_and_radius(name):
    """Beyond the radius nothing changes but as the rates say."""
    kind = LIMITED[name]
    x, d = rays(kind)
    far = kl.far_field(read(kind), x, d)
    radius = np.nan_to_num(far.radius[0], nan=0.0).reshape(-1, *[1] * len(kind.shape))
    assert kind.smooth or np.isfinite(far.radius).all()
    for a in [radius + 1e10] if kind.smooth else [1.0001 * radius + 1e-9, 2 * radius + 1, radius + 1e6]:
        expected = reference(kind, x + a * d)
        logits = far.rate[0] * a.reshape(-1, 1) + far.offset[0]
        size = 1 if kind.ends != "logits" else 1 + np.abs(a.reshape(-1, 1))
        check(kind, logits / size, expected / size if kind.ends == "logits" else expected, 1e-9)
    if kind.ends == "logits":
        np.testing.assert_allclose(far.probs[0], softmax(reference(kind, x + (radius + 1e10) * d)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", WITH_CELLS)
def test_polytopes(name):
    kind = WITH_CELLS[name]
    rng = np.random.default_rng(2)
    origin, u, v = rng.normal(size=(3, *kind.shape))
    cells = kl.partition(read(kind), kl.Plane(origin, u, v), box=(-1, 1, -1, 1))
    points = rng.uniform(-1, 1, size=(40, 2))
    found = cells.locate(points)
    assert (found >= 0).all()
    maps = cells.affine[found]
    logits = np.einsum("noi,ni->no", maps, np.column_stack([points, np.ones(len(points))]))
    there = origin + np.tensordot(points, np.stack([u, v]), 1)
    check(kind, logits, reference(kind, there), 1e-9)
    assert abs(cells.area.sum() - 4) < 1e-9


@pytest.mark.parametrize("name", sorted(name for name in set(ALL) - set(WITH_CELLS) if not ALL[name].rounded))
def test_what_there_is_not_is_refused(name):
    kind = ALL[name]
    if kind.refused:
        with pytest.raises((ValueError, kl.UnsupportedOperation), match=kind.refused):
            read(kind)
        return
    x, d = rays(kind)
    if kind.limits:
        with pytest.raises(kl.UnsupportedOperation, match=kind.limits):
            kl.far_field(read(kind), x, d)
    with pytest.raises(kl.UnsupportedOperation, match="polytopes"):
        kl.partition(read(kind), kl.Plane(x[0], x[1], x[2]), box=(-1, 1, -1, 1))
