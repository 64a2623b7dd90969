"""What was loaded from an ONNX file is exported as that file's operators: onnxruntime gives the same of both."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.files.export.export import exported
from tests.files.onnx_models import model_of, node

RNG = np.random.default_rng(0)
# Numbers that are the same in float32, as a file in it rounds what it is given.
X = RNG.normal(size=(200, 4)).astype(np.float32).astype(np.float64)
Y = np.array(["a", "b", "c"])[np.abs(X[:, :3]).argmax(1)]


def run(path, feeds, outputs=None):
    return onnxruntime.InferenceSession(path).run(outputs, feeds)


def by_sklearn(folder, estimator, **options):
    path = folder / "model.onnx"
    model = estimator.fit(X, Y)
    onnx.save(to_onnx(model, X[:1].astype(np.float32), options={"zipmap": False} if not options else None, **options), path)
    return path


def probabilities(path):
    """Of the rows, by the file as it was."""
    session = onnxruntime.InferenceSession(path)
    feeds = {session.get_inputs()[0].name: X.astype(np.float32)}
    found = session.run(None, feeds)[1]
    return np.array([[row[label] for label in "abc"] for row in found]) if isinstance(found, list) else found


@pytest.mark.parametrize(
    ("estimator", "operator"),
    [
        (RandomForestClassifier(5, max_depth=4, random_state=0), "TreeEnsembleClassifier"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "LinearClassifier"),
        (make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=2000, random_state=0)), "Softmax"),
    ],
    ids=["forest", "linear", "network"],
)
@pytest.mark.parametrize("options", [{}, {"target_opset": {"": 11, "ai.onnx.ml": 1}}, {"target_opset": 15}])
def test_files_of_skl2onnx(estimator, operator, options, tmp_path):
    path = by_sklearn(tmp_path, estimator, **options)
    before = probabilities(path)
    kl.export(kl.load(path), tmp_path / "again.onnx")
    label, after = run(tmp_path / "again.onnx", {"X": X}, ["label", "probabilities"])
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert label.tolist() == [*np.array(["a", "b", "c"])[before.argmax(1)]]
    assert operator in {one.op_type for one in onnx.load(tmp_path / "again.onnx").graph.node}


@pytest.mark.parametrize("options", [{}, {"target_opset": {"": 11, "ai.onnx.ml": 1}}])
def test_a_guard_behind_the_operators_of_a_file(options, tmp_path):
    path = by_sklearn(tmp_path, RandomForestClassifier(5, max_depth=4, random_state=0), **options)
    guard = kl.Guard(kl.load(path), random_state=0).fit(X)
    kl.export(guard, tmp_path / "guarded.onnx")
    rows = np.concatenate([X, X * 30, [[np.inf] * 4, [np.nan] * 4]])
    label, p, unfamiliarity, accepted = run(tmp_path / "guarded.onnx", {"X": rows})
    assert accepted.tolist() == guard.accepts(rows).tolist()
    np.testing.assert_allclose(unfamiliarity, guard.unfamiliarity(rows), rtol=1e-5)
    weight = guard.weight(X)[:, None]
    np.testing.assert_allclose(p[: len(X)], weight * probabilities(path) + (1 - weight) / 3, atol=1e-6)
    assert label[: len(X)].tolist() == guard.predict(X).tolist()
    assert np.isfinite(p).all()


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=2000, random_state=0)),
    ],
    ids=["linear", "network"],
)
def test_a_guard_of_two_classes_is_read_back_as_uniform_far_out(estimator, tmp_path):
    # Near the data it is all but a sigmoid, which it is not.
    model = estimator.fit(X, X[:, 0] > 0)
    onnx.save(to_onnx(model, X[:1].astype(np.float32), options={"zipmap": False}), tmp_path / "m.onnx")
    kl.export(kl.Guard(kl.load(tmp_path / "m.onnx"), random_state=0).fit(X), tmp_path / "guarded.onnx")
    back = kl.load(tmp_path / "guarded.onnx")
    np.testing.assert_allclose(kl.far_field(back, X[:5], "features").probs, 0.5, atol=1e-12)
    np.testing.assert_allclose(kl.read(back, X=X).predict_proba(1e6 * X), 0.5, atol=1e-12)


def test_weights_beside_a_file_of_torch(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3))
    nodes = [
        node("Conv", "x w b", "h"),
        node("Relu", "h", "r"),
        node("Flatten", "r", "f"),
        node("Gemm", "f v c", "y", transB=1),
    ]
    weights = {"w": net[0].weight, "b": net[0].bias, "v": net[3].weight, "c": net[3].bias}
    arrays = {name: weight.detach().numpy() for name, weight in weights.items()}
    proto = model_of(nodes, (1, 4), arrays, kind=TensorProto.FLOAT, output=[helper.make_tensor_value_info("y", 1, ["n", 3])])
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, size_threshold=0)
    kl.export(kl.load(path), tmp_path / "again.onnx", outputs="logits")
    rows = X.reshape(-1, 1, 4)
    with torch.no_grad():
        expected = net(torch.tensor(rows, dtype=torch.float32)).softmax(1).numpy()
    (tmp_path / "model.onnx").unlink()
    np.testing.assert_allclose(run(tmp_path / "again.onnx", {"X": rows}, ["probabilities"])[0], expected, atol=1e-6)


def test_columns_that_are_inputs_of_their_own(tmp_path):
    model = LogisticRegression().fit(X, Y)
    types = [(name, FloatTensorType([None, 1])) for name in ("age", "height", "weight", "pulse")]
    nodes = [node("Concat", " ".join(name for name, _ in types), "x", axis=1)]
    inner = to_onnx(model, X[:1].astype(np.float32), options={"zipmap": False})
    graph = inner.graph
    renamed = helper.make_node("Identity", ["x"], [graph.input[0].name])
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name, _ in types]
    whole = helper.make_graph([*nodes, renamed, *graph.node], "g", inputs, graph.output, graph.initializer)
    onnx.save(helper.make_model(whole, opset_imports=inner.opset_import, ir_version=inner.ir_version), tmp_path / "m.onnx")
    kl.export(kl.load(tmp_path / "m.onnx"), tmp_path / "again.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "again.onnx")
    names = [one.name for one in session.get_inputs()]
    feeds = {"X": X} if names == ["X"] else dict(zip(names, X.T[:, :, None], strict=True))
    np.testing.assert_allclose(session.run(["probabilities"], feeds)[0], model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Gemm", "x w b", "y")], "logits"),
        ([node("Gemm", "x w b", "f"), node("Softmax", "f", "y", axis=1)], None),
        ([node("Gemm", "x v", "y")], "logits"),
        ([node("Gemm", "x v", "f"), node("Sigmoid", "f", "y")], None),
    ],
    ids=["logits", "probabilities", "one logit", "one probability"],
)
def test_what_the_file_gives_shows_when_it_is_run(nodes, outputs, tmp_path):
    weights = {"w": RNG.normal(size=(4, 3)), "b": RNG.normal(size=3), "v": RNG.normal(size=(4, 1))}
    used = {name: array for name, array in weights.items() if any(name in one.input for one in nodes)}
    onnx.save(model_of(nodes, (4,), used), tmp_path / "m.onnx")
    loaded = kl.load(tmp_path / "m.onnx")
    kl.export(loaded, tmp_path / "again.onnx", outputs=outputs)
    found = run(tmp_path / "again.onnx", {"X": X}, ["probabilities"])[0]
    np.testing.assert_allclose(found, kl.read(loaded, outputs).predict_proba(X), atol=1e-6)


def test_a_file_of_one_row_is_refused_by_a_sentence(tmp_path):
    proto = model_of([node("Gemm", "x w", "f"), node("Softmax", "f", "y", axis=1)], (4,), {"w": RNG.normal(size=(4, 3))})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="its file must take any number of rows"):
        exported(kl.load(tmp_path / "m.onnx"))
