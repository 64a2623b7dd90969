"""Which value of an ONNX file is its classifier: what is taken, held to onnxruntime, and what is refused, by its sentence."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, SGDOneClassSVM
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVR, OneClassSVM

import knowlimits as kl
from knowlimits.files.onnx.read import read_onnx
from tests.files import onnx_kinds
from tests.files.onnx_heads import FORMS, LOGITS, NAMED, REFUSED, SOFTMAX, TAKEN, X, file
from tests.files.onnx_models import node

onnxruntime = pytest.importorskip("onnxruntime")
RNG = np.random.RandomState(1)


def by_onnxruntime(model, value):
    """One value for the rows X, an output or one in between."""
    if value not in [output.name for output in model.graph.output]:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        model.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    given = {i.name: X if i.shape[1:] == [3] else np.ones([7, *i.shape[1:]], "f4") for i in session.get_inputs()}
    return session.run([value], given)[0]


@pytest.mark.parametrize("case", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_for_the_classifier(case):
    model = file(case.nodes, case.outputs, case.inputs)
    module = read_onnx(model.SerializeToString())
    found = FORMS[case.form](module(torch.from_numpy(X).double())).numpy()
    expected = by_onnxruntime(model, case.value)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (None if module.classes_ is None else module.classes_.tolist()) == case.classes
    read = kl.read(module)
    assert read.taken == case.said
    assert f"  taken     {case.said}\n" in str(read)
    if case.classes is not None:
        np.testing.assert_array_equal(read.predict(X).ravel(), by_onnxruntime(model, "label").ravel())


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    nodes, outputs, message, *inputs = REFUSED[name]
    content = file(nodes, outputs, *inputs).SerializeToString()
    onnxruntime.InferenceSession(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_onnx(content, "some.onnx")
    assert str(raised.value).startswith("some.onnx: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", NAMED.values(), ids=NAMED)
def test_an_output_by_its_name(case, tmp_path):
    nodes, outputs, name, value, form = case
    model = file(nodes, outputs)
    onnx.save(model, tmp_path / "m.onnx")
    module = kl.load(tmp_path / "m.onnx", output=name)
    np.testing.assert_allclose(
        FORMS[form](module(torch.from_numpy(X).double())).numpy(), by_onnxruntime(model, value), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("logit", r"Got 'logit' instead\. Did you mean 'logits'\? Its outputs are 'logits' \(n, 4\), which ends in Gemm; 'n'"),
        ("q", r"must be the name of an output of the file, or of a value in between\. Got 'q' instead"),
        ("x", "must be the name of an output"),
        ("w", "must be the name of an output"),
        (0, "Got 0 instead"),
        ("n", "output 'n' holds no floats, and what it is picked by is not known"),
    ],
)
def test_a_name_that_will_not_do(name, message):
    content = file([*LOGITS, node("Size", "x", "n")], ["logits 4", "n:i"]).SerializeToString()
    with pytest.raises(ValueError, match=message):
        read_onnx(content, output=name)


def test_other_files_have_no_outputs_by_name(tmp_path):
    kl.save(kl.NeuralNetwork((2,), epochs=1, random_state=0).fit(X, [0, 1, 0, 1, 0, 1, 0]), tmp_path / "m")
    with pytest.raises(
        ValueError, match=r"output must be left out for .*m, as only an ONNX file has outputs by name\. Got 'y'"
    ):
        kl.load(tmp_path / "m", output="y")


def test_features_that_nothing_hangs_on_stay_features():
    nodes = [node("Concat", "a c", "x", axis=1), node("MatMul", "x w", "y")]
    content = file(nodes, ["y 3"], ["a 1", "b 1", "c 1"], constants={"w": RNG.randn(2, 3)}).SerializeToString()
    module = read_onnx(content)
    assert module.feature_names_in_.tolist() == ["a", "b", "c"]
    assert module(torch.zeros(2, 3)).shape == (2, 3)


def test_a_file_of_many_outputs_is_refused():
    nodes = [*LOGITS, *(node("Neg", "logits", f"y{i}") for i in range(101))]
    with pytest.raises(ValueError, match="it has 101 outputs: 100 are allowed"):
        read_onnx(file(nodes, [f"y{i} 4" for i in range(101)]).SerializeToString())
    with pytest.raises(ValueError, match=r"'y7' .*; and 12 more\. Say which"):
        read_onnx(file([*LOGITS, *nodes[1:21]], [f"y{i} 4" for i in range(20)]).SerializeToString())


def test_the_audit_says_what_was_taken(tmp_path):
    module = read_onnx(file(SOFTMAX, ["p 4"]).SerializeToString())
    rows = RNG.randn(40, 3)
    found = kl.audit(module, rows)
    said = "The classifier in the file: output 'p' (4 columns), of which a Softmax is undone."
    assert said in found.notes
    assert said in " ".join(str(found).split())
    found.to_html(tmp_path / "report.html")
    assert said.replace("'", "&#39;") in (tmp_path / "report.html").read_text()
    assert not [note for note in kl.audit(torch.nn.Linear(3, 2), rows).notes if "in the file" in note]


# --- what skl2onnx writes -------------------------------------------------------------------------------------------------


NO_CLASSIFIERS = [
    (LinearRegression(), "a linear regression"),
    (SVR(), "support vectors"),
    (RandomForestRegressor(2), "by trees"),
    (GradientBoostingRegressor(n_estimators=2), "by trees"),
    (PoissonRegressor(), "a regression or"),
    (KNeighborsRegressor(2), "a regression or"),
    (PCA(2), "such as PCA"),
    (StandardScaler(), "a scaler"),
    (Normalizer(), "a normalizer"),
    (MinMaxScaler(), "a transformation"),
    (KMeans(2, n_init=1), "a clustering"),
    (OneClassSVM(), "outliers"),
    (SGDOneClassSVM(), "outliers"),
]


def written(model, y, options=None):
    skl2onnx = pytest.importorskip("skl2onnx")
    return skl2onnx.to_onnx(model.fit(X, y), X[:1], options=options).SerializeToString()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model", "what"), NO_CLASSIFIERS, ids=[type(model).__name__ for model, _ in NO_CLASSIFIERS])
def test_estimators_that_are_no_classifiers(model, what):
    with pytest.raises(ValueError, match=f"it is no classifier: output '.*' is that of .*{what}"):
        read_onnx(written(model, np.exp(X[:, 0])))


@pytest.mark.filterwarnings("ignore")
def test_probabilities_column_by_column_and_several_targets():
    model, y = LogisticRegression(), (X[:, 0] > np.median(X[:, 0])).astype(int)
    module = read_onnx(written(model, y, {"zipmap": "columns"}))
    np.testing.assert_allclose(kl.read(module).predict_proba(X), model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(module.classes_, [0, 1])
    with pytest.raises(ValueError, match="is a sequence, as of several classifiers in one"):
        read_onnx(written(MultiOutputClassifier(model), np.c_[y, 1 - y]))


def test_an_autoencoder_is_no_classifier():
    """As many columns as the input has, and fewer in between; unless a name says that they are logits, or a softmax does."""

    def model(*after, narrow=2, columns=4):
        constants = {"w": onnx_kinds.weights(4, narrow), "v": onnx_kinds.weights(narrow, columns)}
        nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "j"), node("MatMul", "j v", "z"), *after]
        return onnx_kinds.file(TensorProto.FLOAT, nodes, constants).SerializeToString()

    with pytest.raises(ValueError, match="output 'z' is that of an autoencoder, as it has 4 columns as the input has"):
        read_onnx(model())
    taken = [read_onnx(model(), output="z"), read_onnx(model(narrow=4)), read_onnx(model(columns=3))]
    taken.append(read_onnx(model(node("Softmax", "z", "p", axis=1))))
    assert [module(torch.zeros(2, 4)).shape[1] for module in taken] == [4, 4, 3, 4]
