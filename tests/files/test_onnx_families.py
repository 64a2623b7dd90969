"""Classifiers of scikit-learn in ONNX files of skl2onnx: near by as onnxruntime has them, far out as they are themselves."""

import importlib
import warnings

import numpy as np
import pytest
from onnx import TensorProto
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier

import knowlimits as kl
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import ML, ints, machine, model_of, node

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("skl2onnx")

RNG = np.random.RandomState(0)
X = RNG.randn(80, 4).astype(np.float32)
# The third column of these are codes.
CODED = np.column_stack([X[:, :2], RNG.randint(0, 3, 80)]).astype(np.float32)
GAPPED = X.copy()
GAPPED[::7, 1] = np.nan
LABELS = [(X[:, 0] + 0.3 * RNG.randn(80) > 0).astype(int), np.digitize(X[:, 1] + 0.3 * RNG.randn(80), [-0.5, 0.5])]
TEXTS = np.array(["no", "yes", "maybe"])

FOREST = RandomForestClassifier(5, random_state=0)


def boosted(**more):
    return GradientBoostingClassifier(n_estimators=5, random_state=0, **more)


def coded(encoder, classifier):
    return make_pipeline(ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", encoder, [2])]), classifier)


READ = {
    "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    "forest": FOREST,
    "extra trees": ExtraTreesClassifier(5, random_state=0),
    "boosting": boosted(),
    "exponential loss": boosted(loss="exponential"),
    "adaboost": AdaBoostClassifier(n_estimators=5, random_state=0),
    "bagged trees": BaggingClassifier(DecisionTreeClassifier(max_depth=3), 3, random_state=0),
    "bagged columns": BaggingClassifier(LogisticRegression(), 3, max_features=2, random_state=0),
    "voting": VotingClassifier([("a", FOREST), ("b", LogisticRegression())], voting="soft", flatten_transform=False),
    "stacking": StackingClassifier([("a", FOREST), ("b", LogisticRegression())], cv=2),
    "calibrated forest": CalibratedClassifierCV(FOREST, cv=2),
    "calibrated logistic": CalibratedClassifierCV(LogisticRegression(), cv=2),
    "calibrated support vectors": CalibratedClassifierCV(LinearSVC(), cv=2),
    "logistic": LogisticRegression(),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
    "trees against the rest": OneVsRestClassifier(DecisionTreeClassifier(max_depth=2)),
    "discriminant": LinearDiscriminantAnalysis(),
    "gradient descent": SGDClassifier(loss="log_loss", random_state=0),
    "clipped scores": SGDClassifier(loss="modified_huber", random_state=0),
    "standardized": make_pipeline(StandardScaler(), FOREST),
    "ranged": make_pipeline(MinMaxScaler(), FOREST),
    "robust": make_pipeline(RobustScaler(), boosted()),
    "largest": make_pipeline(MaxAbsScaler(), LogisticRegression()),
    "clipped counts": make_pipeline(MinMaxScaler(clip=True), MultinomialNB()),
    "lengths": make_pipeline(Normalizer(), LogisticRegression()),
    "sums": make_pipeline(Normalizer("l1"), LogisticRegression()),
    "filled": make_pipeline(SimpleImputer(), boosted()),
    "one hot": coded(OneHotEncoder(handle_unknown="ignore"), FOREST),
    "ordinal": coded(OrdinalEncoder(), LogisticRegression()),
    **{f"support vectors, {kernel}": SVC(kernel=kernel, probability=True) for kernel in ("linear", "poly", "rbf", "sigmoid")},
    "shares of support vectors": NuSVC(nu=0.3, probability=True),
    "standardized support vectors": make_pipeline(StandardScaler(), SVC(probability=True)),
}
KINDS = ("two", "three", "texts")
KINDS_OF = {
    "discriminant": ("three",),
    "exponential loss": ("two",),
    **dict.fromkeys(("forest", "boosting", "adaboost", "logistic", "support vectors, rbf"), KINDS),
}


def exported(model, X, y, options=None):
    from skl2onnx import to_onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        return to_onnx(model, X[:1], options=options).SerializeToString()


def by_onnxruntime(content, x, classes):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options)
    found = session.run(None, {session.get_inputs()[0].name: x})[-1]
    return np.array([[row[label] for label in classes] for row in found]) if isinstance(found, list) else found


def table_of(name):
    return CODED if name in ("one hot", "ordinal") else GAPPED if name == "filled" else X


@pytest.mark.parametrize(
    ("name", "kind"),
    # Of two classes in a discriminant skl2onnx makes another model: a softmax of scores -f and f.
    [(name, kind) for name in READ for kind in KINDS if kind in KINDS_OF.get(name, ("two", "three"))],
)
def test_files_are_read_as_onnxruntime_runs_them(name, kind):
    model, table, y = READ[name], table_of(name), LABELS[kind != "two"]
    if kind == "texts":
        content = exported(model, table, TEXTS[y])
    else:
        content = exported(model, table, y, {id(model): {"zipmap": False}} if name != "voting" else None)
    module = read_onnx(content, "some.onnx")
    # A file may be told from its rows alone, too.
    read = kl.read(module, X=np.nan_to_num(table).astype(float))
    np.testing.assert_array_equal(read.classes_, model.classes_)
    np.testing.assert_allclose(
        read.predict_proba(table.astype(float)), by_onnxruntime(content, table, model.classes_), atol=2e-6
    )
    origins, directions = table[:20].astype(float), np.random.RandomState(1).randn(20, table.shape[1])
    directions[3] = np.eye(table.shape[1])[0]
    directions[4] = 0
    directions[np.isnan(origins)] = 0
    if table is CODED:
        directions[:, 2] = 0
    far = kl.far_field(read, origins, directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(far.probs.mean(0), model.predict_proba(origins + 1e8 * directions), atol=2e-6)


def _plain(value):
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.bool_ | np.integer | bool):
        return int(value)
    return float(value) if isinstance(value, np.floating) else value


@pytest.mark.parametrize("table", [X, GAPPED], ids=["whole", "gapped"])
@pytest.mark.parametrize("y", LABELS, ids=["two", "three"])
def test_boosting_by_histograms(table, y, monkeypatch):
    """skl2onnx gives numpy's numbers to onnx, of which newer versions take none."""
    container = importlib.import_module("skl2onnx.common._container")
    made = container.make_node
    plain = lambda *args, name, **given: made(*args, name=name, **{k: _plain(v) for k, v in given.items()})  # noqa: E731
    monkeypatch.setattr(container, "make_node", plain)
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    content = exported(model, table, y, {id(model): {"zipmap": False}})
    module = read_onnx(content)
    assert module.gaps_
    read, rows = kl.read(module), table.astype(float)
    np.testing.assert_allclose(read.predict_proba(rows), by_onnxruntime(content, table, model.classes_), atol=1e-6)
    directions = np.where(np.isnan(rows), 0, np.random.RandomState(1).randn(*rows.shape))
    far = kl.far_field(read, rows, directions)
    np.testing.assert_allclose(far.probs[0], model.predict_proba(rows + 1e8 * directions), atol=1e-6)


REFUSED = {
    "neighbours": (KNeighborsClassifier(3), "operator Scan"),
    "gaussian process": (GaussianProcessClassifier(), "operator Scan"),
    "one against one": (OneVsOneClassifier(LogisticRegression()), "has no counterpart"),
    "decisions of support vectors": (SVC(), "operator SVMClassifier.*no probabilities"),
    "isotonic": (CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic"), "operator ArrayFeatureExtractor"),
    "largest number": (make_pipeline(Normalizer("max"), LogisticRegression()), "operator Normalizer.*must be L1 or L2"),
    "quantiles": (make_pipeline(QuantileTransformer(n_quantiles=10), LogisticRegression()), "computes with integers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name):
    model, message = REFUSED[name]
    content = exported(model, X, LABELS[0])
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=f"some.onnx: .*{message}"):
        read_onnx(content, "some.onnx")


# What is read near by, and has no far field that is known.
NEAR = {
    "products": (make_pipeline(PolynomialFeatures(2), LogisticRegression()), "prod"),
    "powers": (make_pipeline(PowerTransformer(), LogisticRegression()), "log"),
}
# What looks at thresholds alone, of which rays meet a last one.
BY_THRESHOLDS = {
    "thresholds": BernoulliNB(),
    "truth values": make_pipeline(Binarizer(), LogisticRegression()),
    "bits": make_pipeline(Binarizer(threshold=0.25), BernoulliNB()),
}


@pytest.mark.parametrize("name", BY_THRESHOLDS)
def test_thresholds_end(name):
    model = BY_THRESHOLDS[name]
    module = read_onnx(exported(model, X, LABELS[1], {id(model): {"zipmap": False}}))
    x = X.astype(float)
    far = kl.far_field(module, x, np.random.default_rng(0).normal(size=x.shape))
    assert np.isfinite(far.radius).all()
    for radius in (1.001 * far.radius[0] + 1e-3, 1e6):
        beyond = x + np.reshape(radius, (-1, 1)) * far.directions
        np.testing.assert_allclose(far.probs[0], model.predict_proba(beyond), rtol=0, atol=1e-6)


# Whose logits grow as squares do.
AS_SQUARES = {"naive Bayes": GaussianNB(), "quadratic discriminant": QuadraticDiscriminantAnalysis()}


@pytest.mark.parametrize("name", AS_SQUARES)
def test_squares_end_where_the_family_does(name):
    model = AS_SQUARES[name]
    module = read_onnx(exported(model, X, LABELS[1], {id(model): {"zipmap": False}}))
    x = X.astype(float)
    directions = np.random.default_rng(0).normal(size=x.shape)
    expected = kl.far_field(model.fit(x, LABELS[1]), x, directions).probs
    np.testing.assert_allclose(kl.far_field(module, x, directions).probs, expected, atol=1e-6)


@pytest.mark.parametrize("name", NEAR)
def test_what_has_no_far_field_says_so(name):
    model, operation = NEAR[name]
    content = exported(model, X, LABELS[1], {id(model): {"zipmap": False}})
    module = read_onnx(content)
    x = X.astype(float)
    np.testing.assert_allclose(kl.read(module, X=x).predict_proba(x), by_onnxruntime(content, X, [0, 1, 2]), atol=2e-6)
    with pytest.raises(kl.UnsupportedOperation, match=f"operation {operation} "):
        kl.far_field(module, x[:3], np.ones((3, 4)))
    # A guard needs none.
    assert np.isfinite(kl.Guard(module).fit(x).predict_proba(1e6 * x[:3])).all()


def test_scores_that_are_called_probabilities_are_none():
    content = exported(Perceptron(), X, LABELS[1])
    with pytest.raises(ValueError, match=r"outputs must be 'logits' for this model\. Got 'probabilities'"):
        kl.read(read_onnx(content), X=X.astype(float))


def test_codes_stay_where_they_are():
    module = read_onnx(exported(READ["one hot"], CODED, LABELS[0]))
    x = CODED[:3].astype(float)
    with pytest.raises(kl.UnsupportedOperation, match="must be left alone"):
        kl.far_field(module, x, np.ones_like(x))


def test_gaps_stay_gaps():
    for model in (READ["filled"], FOREST):
        module = read_onnx(exported(model, GAPPED, LABELS[0]))
        assert module.gaps_
        rows = GAPPED[::7].astype(float)
        directions = np.tile([1.0, 0, -1, 2], (len(rows), 1))
        far = kl.far_field(module, rows, directions)
        np.testing.assert_allclose(far.probs[0], model.predict_proba(rows + 1e8 * directions), atol=2e-6)
    assert not read_onnx(exported(LogisticRegression(), X, LABELS[0])).gaps_


def test_what_was_read_says_that_it_is_trees():
    module = read_onnx(exported(FOREST, X, LABELS[1]))
    assert "probabilities, of 5 trees" in str(kl.read(module))
    module = read_onnx(exported(boosted(), X, LABELS[0]))
    assert "logits, of 5 trees" in str(kl.read(module))


@pytest.mark.parametrize("name", ["forest", "boosting"])
def test_everything_takes_a_file_of_trees(name, tmp_path):
    model, path = READ[name], tmp_path / "model.onnx"
    path.write_bytes(exported(model, X, LABELS[0]))
    module, x = kl.load(path), X.astype(float)
    found = kl.audit(module, x, LABELS[0], random_state=0)
    assert "trees" in str(found)
    kl.assert_far_field(module, x, max_confident_share=1.0)
    guard = kl.Guard(module).fit(x)
    np.testing.assert_allclose(guard.predict_proba(1e9 * x[:5]), 0.5, atol=1e-3)
    far = kl.far_field(module, x, "features")
    for share in (1 + 1e-6, 1e3, 1e12):
        beyond = far.origins + share * far.radius.T * far.directions
        np.testing.assert_allclose(model.predict_proba(beyond), far.probs[0], atol=2e-6)
    # Something does change at the radius, which is where a threshold of single precision is met.
    moves = far.radius[0] > 0
    before = (far.origins + (1 - 1e-6) * far.radius.T * far.directions)[moves]
    assert (model.apply(before) != model.apply(beyond[moves])).reshape(moves.sum(), -1).any(1).all()


# --- operators that are broken, or that onnx leaves open -------------------------------------------------------------------


def alone(kind="SVMClassifier", **attributes):
    outputs = "label h" if kind == "SVMClassifier" else "h"
    nodes = [node(kind, "x", outputs, ML, **attributes), node("Flatten", "h", "f"), node("ReduceSum", "f axes", "y")]
    return model_of(nodes, (4,), {"axes": ints(1)}).SerializeToString()


BROKEN = {
    "no categories": (dict(kind="OneHotEncoder", zeros=1), "categories must be whole numbers"),
    "texts": (dict(kind="OneHotEncoder", cats_strings=["a"]), "encode texts before the model"),
    "categories twice": (dict(kind="OneHotEncoder", cats_int64s=[1, 1]), "each there once"),
    "an unknown category": (dict(kind="OneHotEncoder", cats_int64s=[1], zeros=0), "must be given categories that it knows"),
    "texts of keys": (dict(kind="LabelEncoder", keys_strings=["a"], values_floats=[1.0]), "encode texts before the model"),
    "keys alone": (dict(kind="LabelEncoder", keys_floats=[1.0, 2.0], values_floats=[1.0]), "2 keys do not go with 1 values"),
    "keys twice": (dict(kind="LabelEncoder", keys_floats=[1.0, 1.0], values_floats=[1.0, 2.0]), "are there twice"),
    "a key that is a gap": (dict(kind="LabelEncoder", keys_floats=[np.nan], values_floats=[1.0]), "must be finite"),
    "nothing to fill with": (dict(kind="Imputer", replaced_value_float=np.nan), "must be finite numbers"),
    "filled with gaps": (dict(kind="Imputer", imputed_value_floats=[np.nan]), "must be finite numbers"),
    "filled with too few": (dict(kind="Imputer", imputed_value_floats=[1.0, 2.0]), "must match the existing size"),
    "an endless threshold": (dict(kind="Binarizer", threshold=np.inf), "threshold must be finite"),
    "machine, other lists": (machine("RBF") | {"rho": [1.0]}, "do not fit 3 classes"),
    "machine, another count": (machine("RBF") | {"vectors_per_class": [1, 2, 2]}, "do not fit 3 classes"),
    "machine, counts below 0": (machine("RBF") | {"vectors_per_class": [8, -4, 2]}, "do not fit 3 classes"),
    "machine, half a vector": (machine("RBF") | {"support_vectors": [1.0] * 25}, "25 numbers do not make 6"),
    "machine, an endless number": (machine("RBF") | {"rho": [np.inf, 0.0, 0.0]}, "rho must be finite"),
    "machine, a kernel that grows": (machine("RBF") | {"kernel_params": [-1.0, 0.0, 0.0]}, "at least 0"),
    "machine, no numbers": (machine("POLY") | {"kernel_params": [1.0]}, "kernel_params must be gamma"),
    "machine, half a power": (machine("POLY") | {"kernel_params": [1.0, 0.0, 2.5]}, "whole number from 1 to 20. Got 2.5"),
    "machine, a high power": (machine("POLY") | {"kernel_params": [1.0, 0.0, 1e9]}, "whole number from 1 to 20"),
    "machine, an unknown kernel": (machine("COSINE"), "kernel_type must be one of"),
    "machine, one class": (machine("RBF") | {"classlabels_ints": [0]}, "2 to 200 classes apart. Got 1"),
    "machine, other outputs": (machine("RBF") | {"post_transform": "SOFTMAX"}, "post_transform must be NONE"),
    "another length": (dict(kind="Normalizer", norm="MAX"), "norm must be L1 or L2. Got MAX"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_operators_are_one_clear_error(name):
    attributes, message = BROKEN[name]
    content = alone(**attributes)
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=f"f: .*{message}"):
        read_onnx(content, "f")


@pytest.mark.parametrize("output", ["probabilities", "y"])
def test_a_softmax_of_one_score_is_refused(output):
    """onnxruntime leaves such scores as they are."""
    attributes = dict(coefficients=[1.0, 2.0, 0.0, 1.0], intercepts=[0.5], classlabels_ints=[0, 1], post_transform="SOFTMAX")
    last = node("Neg" if output == "y" else "Identity", "p", output)
    content = model_of([node("LinearClassifier", "x", "label p", ML, **attributes), last], (4,), kind=TensorProto.FLOAT)
    with pytest.raises(kl.UnsupportedOperation, match="softmax of one score of two classes is left open"):
        read_onnx(content.SerializeToString())
