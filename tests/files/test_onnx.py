"""Classifiers in ONNX files: each operator, whole models of other libraries, and files that are broken or made to do harm."""

import copy
import io
import sys
import warnings

import numpy as np
import onnx
import onnx.compose
import onnx.version_converter
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.files.onnx import quantised
from knowlimits.files.onnx.graph import MICROSOFT
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.onnx.refused import REFUSED
from knowlimits.files.onnx.table import OF_ML, SUBJECTS, TABLE
from knowlimits.testing import check_ray
from tests.files.onnx_models import (
    CASES,
    LOOKALIKES,
    ML,
    SPELLED_OUT,
    convolutional,
    draw,
    ints,
    model_of,
    node,
    perceptron,
    shapely,
    spelled_out,
    stump,
)

FIVE = 5
# The opset that most cases have.
NEWEST = 21


def by_onnxruntime(model, x, dtype=np.float32):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: x.astype(dtype)})


def test_every_operator_has_a_case_and_one_file():
    # Those of integers have their own, in `onnx_integers.py`.
    others = {("", kind) for kind in quantised.TABLE} | {(MICROSOFT, kind) for kind in quantised.OF_MICROSOFT}
    assert {(case.domain, case.kind) for case in CASES} | others == set(TABLE)
    assert sum(len(subject.TABLE) for subject in (*SUBJECTS, *OF_ML)) + len(quantised.OF_MICROSOFT) == len(TABLE)


def test_of_every_operator_of_onnx_it_is_known_whether_it_is_converted_and_why_not():
    known = {(s.domain, s.name) for s in onnx.defs.get_all_schemas_with_history() if s.domain in ("", ML)}
    assert known - {*TABLE, *REFUSED} == set()
    assert {*TABLE} & {*REFUSED} == set()
    # Those of opsets that this onnx does not have yet may be there, too.
    assert all(domain in ("", ML) for domain, _ in REFUSED)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operators_are_as_in_onnx(case):
    model = case.model()
    x = draw(FIVE, *case.shape)
    with warnings.catch_warnings():
        # Roots and logarithms of negative numbers.
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = (
            by_onnxruntime(model, x)[0] if case.judge == "onnxruntime" else ReferenceEvaluator(model).run(None, {"x": x})[0]
        )
    module = read_onnx(model.SerializeToString())
    actual = module(torch.from_numpy(x)).detach().numpy()
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=case.tolerance, atol=case.tolerance)
    if case.far:
        check_ray(module, case.shape, smooth=True)


OLDER = [case for case in CASES if case.opset < NEWEST and case.older]


@pytest.mark.parametrize("case", OLDER, ids=str)
def test_older_operator_sets_say_what_they_do_in_the_newest(case):
    """Files are read as they are, since onnx's converter is nothing to give the files of others; here it is the judge."""
    model = case.model()
    newer = onnx.version_converter.convert_version(model, NEWEST)
    assert [one.version for one in newer.opset_import if one.domain == ""] == [NEWEST]
    modules = [read_onnx(one.SerializeToString()) for one in (model, newer)]
    x = torch.from_numpy(draw(FIVE, *case.shape))
    torch.testing.assert_close(*(module(x) for module in modules), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_activations_that_are_spelled_out(name):
    model = spelled_out(SPELLED_OUT[name])
    x = draw(FIVE, 4)
    module = read_onnx(model.SerializeToString())
    np.testing.assert_allclose(module(torch.from_numpy(x)), ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-6)
    check_ray(module, (4,), smooth=True)


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_only_looks_like_an_activation_stays_as_it_is(name):
    model = spelled_out(LOOKALIKES[name])
    x = draw(FIVE, 4)
    module = read_onnx(model.SerializeToString())
    np.testing.assert_allclose(module(torch.from_numpy(x)), ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-6)
    if name == "layer norm":
        # Over the rows.
        with pytest.raises(ValueError, match="each row by itself"):
            kl.far_field(module, x, x)
    else:
        # Products with gates, which have limits as they stand.
        check_ray(module, (4,), smooth=True)


X = draw(60, 4).astype(np.float32)
LABELS = [(X[:, 0] > 0).astype(int), np.digitize(X[:, 1], [-0.5, 0.5])]


def columns():
    parts = [("one", StandardScaler(), ["a", "c"]), ("two", MinMaxScaler(), ["b"]), ("rest", "passthrough", ["d"])]
    return ColumnTransformer(parts)


def numbered():
    return ColumnTransformer([("one", StandardScaler(), [0, 2]), ("two", Pipeline([("s", RobustScaler())]), [3])])


PIPELINES = [
    # Steps, activation, classes, labels as texts, zipmap.
    ([StandardScaler()], "relu", 2, False, False),
    ([StandardScaler()], "relu", 3, False, True),
    ([StandardScaler(with_mean=False)], "tanh", 2, True, True),
    ([MinMaxScaler()], "logistic", 3, True, False),
    ([MinMaxScaler(clip=True)], "logistic", 2, False, True),
    ([RobustScaler()], "identity", 3, False, False),
    ([PCA(3, whiten=True)], "relu", 2, True, False),
    ([StandardScaler(), PCA(2)], "tanh", 3, True, True),
    ([numbered()], "relu", 3, False, False),
]


def fitted(steps, activation, classes, texts):
    labels = LABELS[classes - 2]
    labels = np.array(["no", "yes", "maybe"])[labels] if texts else labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((6,), activation=activation, max_iter=30, random_state=0)
        return make_pipeline(*steps, network).fit(X, labels)


def to_onnx(model, X, zipmap):
    from skl2onnx import to_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return to_onnx(model, X[:1], options={id(model): {"zipmap": zipmap}}).SerializeToString()


def probabilities(logits):
    logits = logits.detach()
    return (logits.softmax(1) if logits.shape[1] > 1 else torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], 1)).numpy()


@pytest.mark.parametrize(("steps", "activation", "classes", "texts", "zipmap"), PIPELINES)
def test_pipelines_of_scikit_learn(steps, activation, classes, texts, zipmap):
    model = fitted(steps, activation, classes, texts)
    module = read_onnx(to_onnx(model, X, zipmap))
    logits = module(torch.from_numpy(X))
    assert logits.shape == (60, 1 if classes == 2 else 3)
    np.testing.assert_allclose(probabilities(logits), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(module.classes_, model.classes_)
    assert module.n_features_in_ == 4
    assert module.feature_names_in_ is None
    far = kl.far_field(module, X[:9].astype(float), draw(9, 4))
    if not isinstance(steps[-1], ColumnTransformer) and not getattr(steps[-1], "clip", False):
        original = kl.far_field(model, far.origins, far.directions)
        np.testing.assert_allclose(far.probs, original.probs, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("step", [columns(), StandardScaler()])
def test_data_frames_have_an_input_for_each_feature(step, dtype):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame((10 * X).astype(dtype), columns=list("abcd"))
    model = make_pipeline(step, MLPClassifier((4,), random_state=0, max_iter=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(frame, LABELS[0])
    module = read_onnx(to_onnx(model, frame, True))
    assert list(module.feature_names_in_) == list("abcd")
    assert module.n_features_in_ == 4
    logits = module(torch.from_numpy(frame.to_numpy().astype(float)))
    np.testing.assert_allclose(probabilities(logits), model.predict_proba(frame), atol=1e-6)
    kl.far_field(module, X[:9].astype(float), draw(9, 4))


@pytest.mark.parametrize("labels", LABELS)
def test_logistic_regression(labels):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, labels)
    module = read_onnx(to_onnx(model, X, False))
    np.testing.assert_allclose(probabilities(module(torch.from_numpy(X))), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(module.classes_, model.classes_)


def test_probabilities_that_are_no_softmax_stay_as_they_are():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = OneVsRestClassifier(LogisticRegression()).fit(X, LABELS[1])
        module = read_onnx(to_onnx(model, X, False))
    assert module.outputs_ == "probabilities"
    np.testing.assert_allclose(module(torch.from_numpy(X)).numpy(), model.predict_proba(X), atol=1e-6)
    far = kl.far_field(module, X[:9].astype(float), draw(9, 4))
    np.testing.assert_allclose(far.probs[0], model.predict_proba(far.origins + 1e6 * far.directions), atol=1e-6)


def test_what_is_named_probabilities_and_is_none_is_refused():
    content = model_of([node("Gemm", "x w", "probabilities")], (4,), {"w": draw(4, 3)}).SerializeToString()
    with pytest.raises(ValueError, match=r"outputs must be 'logits' for this model\. Got 'probabilities'"):
        kl.read(read_onnx(content))


def test_labels_alone_are_followed_back_to_what_they_were_picked_by():
    weights = {"w": draw(4, 3), "labels": ints(7, 8, 9)}
    nodes = [node("Gemm", "x w", "z"), node("Softmax", "z", "p", axis=1), node("ArgMax", "p", "place", axis=1, keepdims=0)]
    nodes.append(node("ArrayFeatureExtractor", "labels place", "label", ML))
    output = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]
    module = read_onnx(model_of(nodes, (4,), weights, output=output).SerializeToString())
    np.testing.assert_array_equal(module.classes_, [7, 8, 9])
    x = draw(FIVE, 4)
    np.testing.assert_allclose(module(torch.from_numpy(x)), x @ weights["w"], atol=1e-12)
    assert kl.read(module).returns == "logits"
    trees = stump("class", [0, 1, 0, 1], [0.25, 0.75, 0.5, 0.5])
    only = model_of([node("TreeEnsembleClassifier", "x", "label scores", ML, **trees)], (4,), output=output)
    assert kl.read(read_onnx(only.SerializeToString())).returns == "probabilities"


def test_casts_to_integers_are_followed_where_nothing_moves():
    """Codes of categories; what moves would jump without end."""
    content = ending(node("Cast", "x", "i", to=TensorProto.INT64), node("Cast", "i", "y", to=TensorProto.DOUBLE))
    module = read_onnx(content)
    x = np.array([[1.7, -1.7, 3.0, 0.0]])
    np.testing.assert_array_equal(module(torch.from_numpy(x)), [[1, -1, 3, 0]])
    directions = np.array([[0.0, 0.0, 1.0, 0.0]])
    with pytest.raises(kl.UnsupportedOperation, match=r"trunc.*must be left alone"):
        kl.far_field(module, x, directions)


class Residual(nn.Module):
    """Convolutions with batch norm, a residual connection and pooling."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.pool, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2), nn.Linear(4, 3)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = self.pool(x + torch.relu(self.second(x)))
        return self.last(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Reshaped(nn.Module):
    """Sizes that are computed from the input's shape."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.cat([x, x.new_ones(x.size(0), 1, 4)], 1)
        return self.last(x.view(x.size(0), -1)[:, 3:11].clamp(-1, 1))


def layers(*middle):
    return nn.Sequential(nn.Linear(4, 8), *middle, nn.Linear(8, 3))


NETWORKS = {
    "perceptron": (lambda: layers(nn.ReLU(), nn.Linear(8, 8), nn.LeakyReLU(0.2)), (4,)),
    "layer norm": (lambda: layers(nn.LayerNorm(8), nn.GELU()), (4,)),
    "activations": (lambda: layers(nn.SiLU(), nn.Linear(8, 8), nn.Hardswish(), nn.Linear(8, 8), nn.Mish()), (4,)),
    "softmax": (lambda: nn.Sequential(layers(nn.Tanh(), nn.Dropout()), nn.Softmax(1)), (4,)),
    "residual": (Residual, (1, 6, 6)),
    "reshaped": (Reshaped, (3, 4)),
}


def export(network, shape, dynamo):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = (torch.randn(2, *shape),)
        if dynamo:
            program = torch.onnx.export(
                network, x, dynamo=True, opset_version=18, verbose=False, dynamic_shapes=({0: torch.export.Dim("batch")},)
            )
            return program.model_proto.SerializeToString()
        file = io.BytesIO()
        # An opset that has neither layer norm nor GELU.
        torch.onnx.export(network, x, file, dynamo=False, opset_version=14, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        return file.getvalue()


@pytest.mark.parametrize(
    ("name", "dynamo"), [*((n, False) for n in NETWORKS), *((n, True) for n in NETWORKS if n != "softmax")]
)
def test_networks_of_torch(name, dynamo):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    network = make().eval()
    content = export(network, shape, dynamo)
    module = read_onnx(content)
    original = network.double()[0] if name == "softmax" else network.double()
    x = torch.from_numpy(draw(FIVE, *shape))
    with torch.no_grad():
        actual = module(x)
        torch.testing.assert_close(actual, original(x), rtol=1e-5, atol=1e-5)
    by_file = by_onnxruntime(onnx.load_model_from_string(content), x.numpy())[0]
    np.testing.assert_allclose(actual.softmax(1) if name == "softmax" else actual, by_file, rtol=1e-4, atol=1e-5)
    directions = draw(FIVE, *shape)
    far, known = (kl.far_field(m, x.numpy(), directions) for m in (module, original))
    np.testing.assert_allclose(far.rate, known.rate, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(far.offset, known.offset, rtol=1e-4, atol=1e-5)
    assert [type(m) for m in module.modules() if isinstance(m, nn.Linear)]


def test_modules_can_be_copied_and_certified():
    module = read_onnx(perceptron().SerializeToString())
    x = torch.from_numpy(X).double()
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    assert kl.far_field(module, X[:9].astype(float), draw(9, 4), certify=True).certified.all()


def test_a_bias_after_a_product_becomes_that_of_its_layer():
    first, last = (m for m in read_onnx(perceptron().SerializeToString()).modules() if isinstance(m, nn.Linear))
    assert first.bias is not None
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (4, 5, 5, 3)


def test_a_product_that_others_see_keeps_its_bias_apart():
    nodes = [node("MatMul", "x w", "p"), node("Add", "p b", "s"), node("Concat", "p s", "y", axis=1)]
    model = model_of(nodes, (4,), {"w": draw(4, 2), "b": draw(2)})
    module, x = read_onnx(model.SerializeToString()), draw(FIVE, 4)
    assert [m.bias for m in module.modules() if isinstance(m, nn.Linear)] == [None]
    np.testing.assert_allclose(module(torch.from_numpy(x)), ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-12)


def test_a_long_chain_of_products_with_numbers():
    """It may be the factor of an activation that is spelled out, which is looked for at each product."""
    nodes = [node("Mul", f"h{i} one" if i else "x one", f"h{i + 1}") for i in range(3000)]
    model = model_of([*nodes, node("Neg", "h3000", "y")], (4,), {"one": np.array(1.0)})
    assert read_onnx(model.SerializeToString())(torch.ones(2, 4)).tolist() == [[-1.0] * 4] * 2


@pytest.mark.parametrize(("ending", "classes"), [("Softmax", 3), ("LogSoftmax", 3), (None, 3), ("Sigmoid", 1), ("Concat", 1)])
def test_the_end_of_a_classifier_is_left_off(ending, classes):
    model = perceptron(ending, classes=classes)
    model = onnx.compose.add_prefix(model, "some/")
    x = draw(FIVE, 4)
    expected = ReferenceEvaluator(model).run(None, {"some/x": x})[0]
    logits = read_onnx(model.SerializeToString())(torch.from_numpy(x)).detach()
    again = {"Softmax": logits.softmax(1), "LogSoftmax": logits.log_softmax(1), "Sigmoid": logits.sigmoid()}
    again |= {None: logits, "Concat": torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], 1)}
    np.testing.assert_allclose(again[ending], expected, atol=1e-12)


def test_a_softmax_may_be_followed_by_what_keeps_its_numbers():
    nodes = [
        node("Conv", "x w", "z"),
        node("Softmax", "z", "p", axis=1),
        node("Identity", "p", "q"),
        node("Cast", "q", "r", to=onnx.TensorProto.DOUBLE),
        node("Flatten", "r", "y"),
    ]
    model = model_of(nodes, (2, 3, 3), {"w": draw(4, 2, 3, 3)})
    x = draw(FIVE, 2, 3, 3)
    logits = read_onnx(model.SerializeToString())(torch.from_numpy(x))
    assert not torch.allclose(logits.sum(1), torch.ones(FIVE).double())
    np.testing.assert_allclose(logits.softmax(1), ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-12)


def test_other_evaluators_take_imported_networks():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    module = read_onnx(export(network, (2,), False))
    parts, known = kl.partition(module), kl.partition(network)
    assert len(parts) == len(known)
    assert kl.horizon(module).share(confidence=0.9) == pytest.approx(kl.horizon(network).share(confidence=0.9))


def test_computing_with_shapes():
    model = shapely()
    x = draw(FIVE, 2, 3)
    module = read_onnx(model.SerializeToString())
    np.testing.assert_allclose(module(torch.from_numpy(x)), ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-12)
    kl.far_field(module, x, x)


# --- refusals ----------------------------------------------------------------------------------------------------------

FILE = perceptron().SerializeToString()


def ending(*nodes, shape=(4,), **options):
    return model_of(list(nodes), shape, **options).SerializeToString()


def changed(change):
    model = perceptron()
    change(model)
    return model.SerializeToString()


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.data")


def weight(value, index=0):
    def change(model):
        tensor = model.graph.initializer[index]
        array = numpy_helper.to_array(tensor).copy()
        array[..., 0] = value
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def two_inputs(model):
    model.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.DOUBLE, ["n", 4]))
    model.graph.node[0].input[0] = "both"
    model.graph.node.insert(0, node("Add", "x other", "both"))


def two_outputs(model):
    model.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info("j", onnx.TensorProto.DOUBLE, ["n", 5]))
    model.graph.output[0].name = "z"


def branches():
    inner = onnx.helper.make_graph(
        [node("Identity", "x", "inner")], "g", [], [onnx.helper.make_tensor_value_info("inner", onnx.TensorProto.DOUBLE, None)]
    )
    made = node("If", "yes", "y", then_branch=inner, else_branch=inner)
    return model_of([made], (4,), {"yes": np.array(True)}, check=False).SerializeToString()


def with_function():
    model = model_of([node("Odd", "x", "y", domain="some")], (4,), check=False)
    imports = [onnx.helper.make_opsetid("", 21)]
    model.opset_import.append(onnx.helper.make_opsetid("some", 1))
    model.functions.append(onnx.helper.make_function("some", "Odd", ["a"], ["b"], [node("Relu", "a", "b")], imports))
    return model.SerializeToString()


def future_opset(model):
    model.opset_import[0].version = 99


def text_input(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING


BIG = 10**5
REFUSALS = [
    ("empty", b"", ValueError, "is no ONNX file"),
    ("garbage", b"no such thing", ValueError, "is no ONNX file"),
    ("truncated", FILE[:-20], ValueError, "is no ONNX file"),
    ("external", changed(external), ValueError, "weights are in another file"),
    ("nan", changed(weight(np.nan)), ValueError, "NaN or infinite"),
    ("infinite", changed(weight(-np.inf)), ValueError, "NaN or infinite"),
    (
        "mixed batch",
        ending(node("Softmax", "x", "s", axis=0), node("Neg", "s", "y"), batch=1),
        ValueError,
        "batches of 1 only, or one.*softmax computes along the axis of the batch: export it with a dynamic batch axis",
    ),
    ("two inputs", changed(two_inputs), ValueError, r"inputs must be one tensor, or a column.*'other' \(n, 4\)"),
    ("two outputs", changed(two_outputs), ValueError, r"several outputs of floats.*'z' \(n, 3\).*Gemm; 'j' \(n, 5\).*Relu"),
    ("text", changed(text_input), ValueError, "inputs must be numbers"),
    ("opset", changed(future_opset), ValueError, "opset must be in 1 to"),
    (
        "no floats",
        ending(node("Cast", "x", "y", to=TensorProto.INT64), kind=TensorProto.INT64),
        ValueError,
        "no output of floats",
    ),
    (
        "unknown operator",
        ending(node("Det", "x", "y"), shape=(4, 4)),
        kl.UnsupportedOperation,
        r"operator Det of domain ai\.onnx \(node 'the Det'\).*products of numbers that all grow",
    ),
    ("foreign operator", ending(node("Odd", "x", "y", domain="some.one"), check=False), ValueError, "no valid ONNX file"),
    ("function", with_function(), kl.UnsupportedOperation, "operator Odd of domain some"),
    ("branches", branches(), kl.UnsupportedOperation, "operator If"),
    ("nan bias", changed(weight(np.nan, 1)), ValueError, "NaN or infinite"),
    (
        "several softmaxes",
        ending(node("Softmax", "x", "p"), node("Flatten", "p", "y"), shape=(3, 4)),
        ValueError,
        "not over one axis of classes",
    ),
    ("several sigmoids", perceptron("Sigmoid").SerializeToString(), ValueError, "multi-label: it ends in Sigmoids"),
    ("constant", ending(node("Constant", "", "y", value_floats=[1.0, 2.0])), ValueError, "does not hang on its input"),
    ("no classes", ending(node("ReduceSum", "x", "y", keepdims=0)), ValueError, "output must have shape"),
    (
        "filled",
        ending(node("ConstantOfShape", "size", "c"), node("Add", "x c", "y"), constants={"size": np.array([BIG, BIG])}),
        ValueError,
        "ConstantOfShape.*more than 100,000,000 numbers",
    ),
    (
        "tiled",
        ending(node("Tile", "x by", "y"), constants={"by": np.array([BIG, BIG])}),
        ValueError,
        "more than 100,000,000 numbers",
    ),
    (
        "expanded",
        ending(
            node("Expand", "one by", "c"), node("Add", "x c", "y"), constants={"one": np.ones(1), "by": np.array([BIG, BIG])}
        ),
        ValueError,
        "Expand.*more than 100,000,000 numbers",
    ),
    (
        "padded",
        ending(node("Pad", "x by", "y"), constants={"by": np.array([0, BIG**2, 0, 0])}),
        ValueError,
        "more than 100,000,000 numbers",
    ),
    (
        "spread",
        ending(node("Add", "u v", "c"), node("Add", "x c", "y"), constants={"u": np.zeros((BIG, 1)), "v": np.zeros((1, BIG))}),
        ValueError,
        "Add.*more than 100,000,000 numbers",
    ),
    (
        "random",
        ending(node("Dropout", "x half yes", "y"), constants={"half": np.array(0.5), "yes": np.array(True)}),
        kl.UnsupportedOperation,
        "eval mode",
    ),
]


@pytest.mark.parametrize(("content", "error", "text"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusals(content, error, text):
    with pytest.raises(error, match=text) as raised:
        read_onnx(content, "some.onnx")
    assert type(raised.value) is error
    assert str(raised.value).startswith("some.onnx: ")


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"some\.onnx: cannot be evaluated for inputs of shape \(2, 7\)"):
        read_onnx(FILE, "some.onnx")(torch.zeros(2, 7))


def test_operations_without_a_far_field_stay_unsupported_operations():
    module = read_onnx(ending(node("Exp", "x", "y")))
    with pytest.raises(kl.UnsupportedOperation, match="operation exp"):
        kl.far_field(module, np.zeros((1, 4)), np.ones((1, 4)))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'know-your-limits\[onnx\]'"):
        read_onnx(FILE)


# --- broken files ------------------------------------------------------------------------------------------------------

SEEDS = [perceptron(e, classes=k) for e, k in (("Softmax", 3), (None, 3), ("Concat", 1))] + [convolutional(), shapely()]
SEEDS += [case.model() for case in CASES if case.judge == "onnx"]


def byte_mutation(data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place, kind = (
            data.draw(st.integers(0, len(content) - 1)),
            data.draw(st.sampled_from(["flip", "remove", "insert", "copy"])),
        )
        if kind == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        elif kind == "remove":
            del content[place : place + data.draw(st.integers(1, 20))]
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            content[place:place] = content[place : place + data.draw(st.integers(1, 60))]
    return bytes(content)


KINDS = [*sorted({case.kind for case in CASES}), "Loop", "NoSuch"]
MUTATIONS = [
    "kind",
    "kind",
    "edge",
    "attribute",
    "attribute",
    "tensor",
    "tensor",
    "dims",
    "opset",
    "input",
    "output",
    "drop",
    "swap",
    "repeat",
]
SIZES = st.one_of(st.integers(-3, 8), st.sampled_from([10**6, 10**12, 2**62, -(2**63)]))
NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -1.0, 1e30]))


def field_mutation(data):
    model = onnx.ModelProto()
    model.CopyFrom(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(model, data)
    return model.SerializeToString()


def mutate(model, data):
    graph = model.graph
    some = data.draw(st.sampled_from(list(graph.node)))
    names = ["x", *(t.name for t in graph.initializer)]
    for one in graph.node:
        if one == some and data.draw(st.integers(0, 9)):
            break
        names += one.output
    what = data.draw(st.sampled_from(MUTATIONS))
    if what == "kind":
        some.op_type = data.draw(st.sampled_from(KINDS))
        if data.draw(st.booleans()):
            del some.attribute[:]
    elif what == "edge" and some.input:
        place = data.draw(st.integers(0, len(some.input)))
        some.input[place : place + 1] = [data.draw(st.sampled_from([*names, ""]))]
    elif what == "attribute":
        changed_attribute(some, data)
    elif what == "tensor":
        tensor = data.draw(st.sampled_from(list(graph.initializer) or [onnx.TensorProto()]))
        if 8 * np.prod(tensor.dims, dtype=float) != len(tensor.raw_data) or not tensor.raw_data:
            return
        array = numpy_helper.to_array(tensor).copy().reshape(-1)
        array[data.draw(st.integers(0, array.size - 1))] = data.draw(SIZES if array.dtype == np.int64 else NUMBERS)
        shape = [*tensor.dims]
        if data.draw(st.booleans()):
            shape = data.draw(st.sampled_from([shape[::-1], [1, *shape], [-1], [*shape, 1]]))
        tensor.CopyFrom(numpy_helper.from_array(array.reshape(shape), tensor.name))
    elif what == "dims" and graph.initializer:
        tensor = data.draw(st.sampled_from(list(graph.initializer)))
        tensor.dims[:] = [*tensor.dims[:-1], data.draw(SIZES) % 2**62]
    elif what == "opset":
        model.opset_import[0].version = data.draw(st.integers(5, 30))
    elif what == "input":
        shape = graph.input[0].type.tensor_type.shape
        data.draw(st.sampled_from(list(shape.dim))).dim_value = data.draw(SIZES)
    elif what == "output":
        graph.output[0].name = data.draw(st.sampled_from(names))
    elif what == "drop":
        graph.node.remove(some)
        if not graph.node:
            graph.node.append(some)
    elif what == "repeat":
        graph.node.add().CopyFrom(some)
    elif what == "swap":
        other = data.draw(st.sampled_from(list(graph.node)))
        some.op_type, other.op_type = other.op_type, some.op_type


TEXTS = st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "edge", "reflect", "wrap", "none", "tanh", "odd"])
VALUES = {"INT": SIZES, "INTS": st.lists(SIZES, min_size=1, max_size=5), "FLOAT": NUMBERS, "STRING": TEXTS}
VALUES["FLOATS"] = st.lists(NUMBERS, min_size=1, max_size=5)


def changed_attribute(some, data):
    """Another value, or none, for an attribute that the operator has."""
    try:
        schema = onnx.defs.get_schema(some.op_type, 21, some.domain)
    except onnx.defs.SchemaError:
        return
    known = sorted(name for name, attribute in schema.attributes.items() if attribute.type.name in VALUES)
    if not known:
        return
    name = data.draw(st.sampled_from(known))
    for attribute in [a for a in some.attribute if a.name == name]:
        some.attribute.remove(attribute)
    if data.draw(st.integers(0, 5)):
        value = data.draw(VALUES[schema.attributes[name].type.name])
        some.attribute.append(onnx.helper.make_attribute(name, value))


_LATER = (("BatchNormalization", 14), ("AveragePool", 7), ("Softmax", 13), ("LogSoftmax", 13))


def judged(model, x):
    """What onnx and onnxruntime say, as far as they say anything."""
    found = []
    # The reference takes statistics of the batch before opset 14, counts pads in means before 7, though they are to be left
    # out, takes one axis for all in GlobalMaxPool, and one for those behind it as well in Softmax before 13.
    version = model.opset_import[0].version
    wrong = {"GlobalMaxPool"} | {name for name, first in _LATER if version < first}
    judges = [lambda: by_onnxruntime(model, x, np.float64)]
    if not wrong & {one.op_type for one in model.graph.node}:
        judges.append(lambda: ReferenceEvaluator(model).run(None, {"x": x}))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for judge in judges:
            try:
                found += [np.asarray(out) for out in judge()]
            except Exception:
                continue
    return [out for out in found if out.dtype.kind == "f"]


def same(actual, expected, noise):
    """Whether results agree, but for roundings of terms that cancel, of which `noise` has the size."""
    return actual.shape == expected.shape and np.allclose(actual, expected, rtol=1e-4, atol=1e-5 + noise, equal_nan=True)


def as_returned(logits):
    """What a file of a classifier may return of its logits."""
    forms = [logits, logits.softmax(1), logits.log_softmax(1), logits.sigmoid()]
    return [form.numpy() for form in (*forms, torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], 1))]


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_files_are_refused_or_read_as_onnx_reads_them(data):
    content = data.draw(st.sampled_from([byte_mutation, *[field_mutation] * 4]))(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knowlimits.files.onnx.sizes.LARGEST", 10**5)
        try:
            module = read_onnx(content)
            model = onnx.load_model_from_string(content)
            dims = model.graph.input[0].type.tensor_type.shape.dim
            if len(dims) == 1 or (dims and dims[0].dim_value > 0):
                # Files of one input have tests of their own, and the judges take no batches of them.
                return
            sizes = [dim.dim_value if dim.dim_value > 0 else 2 for dim in dims[1:]]
            if np.prod(sizes, dtype=float) > 10**4:
                return
            x = np.random.RandomState(0).randn(FIVE, *sizes)
            logits = module(torch.from_numpy(x)).detach()
        except (ValueError, kl.UnsupportedOperation) as error:
            assert str(error).startswith("model: ")  # noqa: PT017
            return
    expected = judged(model, x)
    if not expected or logits.ndim != 2:
        return
    # What inputs that differ by roundings make of it says how large the terms are.
    beside = as_returned(module(torch.from_numpy(x * (1 + 1e-12))).detach())
    forms = as_returned(logits)
    with np.errstate(invalid="ignore"):
        noises = [np.nan_to_num(np.abs(one - other)) for one, other in zip(forms, beside, strict=True)]
    assert any(same(f, out, noise) for f, noise in zip(forms, noises, strict=True) for out in expected), (logits, expected)
