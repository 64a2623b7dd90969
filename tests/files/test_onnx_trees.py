"""Tree ensembles of ai.onnx.ml, put together by hand: held to onnxruntime, at thresholds too, and lists that are broken."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import knowlimits as kl
from knowlimits.files.budget import MOST_COMPARISONS, MOST_DEPTH
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import ML, stump

onnxruntime = pytest.importorskip("onnxruntime")

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def model_of(attributes, columns=2, classes=2, kind=TensorProto.FLOAT, operator="TreeEnsembleClassifier"):
    labels = [] if operator == "TreeEnsembleRegressor" else ["label"]
    nodes = [helper.make_node(operator, ["x"], [*labels, "scores"], domain=ML, name="trees", **attributes)]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", classes])]
    outputs = [*(helper.make_tensor_value_info(label, TensorProto.INT64, ["n"]) for label in labels), *outputs]
    inputs = [helper.make_tensor_value_info("x", kind, ["n", columns])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()


def by_onnxruntime(content, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options).run(None, {"x": x})[-1]


def two(module, x):
    """What a module says of two classes or more, as the file has it."""
    out = module(torch.from_numpy(x.astype(float))).numpy()
    if module.outputs_ != "logits":
        return out
    out = np.concatenate([np.zeros_like(out), out], 1) if out.shape[1] == 1 else out
    e = np.exp(out - out.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# --- random ensembles ---------------------------------------------------------------------------------------------------


@st.composite
def ensembles(draw):
    """Attributes of a classifier of a few random trees, thresholds that are met, and columns."""
    columns, classes, trees = draw(st.integers(1, 3)), draw(st.integers(2, 3)), draw(st.integers(1, 4))
    mixed = draw(st.booleans())
    one = draw(st.sampled_from(MODES))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-4, 4, width=32))
    lists = {name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")}
    gaps, leaves = [], []

    def grow(tree, depth):
        node = lists["treeids"].count(tree)
        for name, value in zip(lists, (tree, node, 0, "LEAF", 0.0, 0, 0), strict=True):
            lists[name].append(value)
        gaps.append(0)
        at = len(gaps) - 1
        if depth == 0 or draw(st.integers(0, 3)) == 0:
            leaves.append((tree, node))
            return node
        mode = draw(st.sampled_from(MODES)) if mixed else one
        lists["modes"][at], lists["featureids"][at] = mode, draw(st.integers(0, columns - 1))
        whole = mode in ("BRANCH_EQ", "BRANCH_NEQ")
        lists["values"][at] = draw(st.integers(-3, 3).map(float) if whole else numbers)
        gaps[at] = draw(st.integers(0, 1))
        lists["truenodeids"][at] = grow(tree, depth - 1)
        lists["falsenodeids"][at] = grow(tree, depth - 1)
        return node

    for tree in range(trees):
        grow(tree, draw(st.integers(0, 3)))
    # Of two classes sigmoids are refused unless they are opposite.
    after = draw(st.sampled_from(["NONE", "SOFTMAX", *(["LOGISTIC"] if classes > 2 else [])]))
    weights = [(*leaf, k, draw(st.floats(0, 1, width=32))) for leaf in leaves for k in range(classes)]
    attributes = {f"nodes_{name}": values for name, values in lists.items()}
    for name, one in zip(("treeids", "nodeids", "ids", "weights"), zip(*weights, strict=True), strict=True):
        attributes[f"class_{name}"] = list(one)
    attributes |= {"nodes_missing_value_tracks_true": gaps, "classlabels_int64s": list(range(classes)), "post_transform": after}
    if classes > 2 and draw(st.booleans()):
        attributes["base_values"] = draw(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3))
    return attributes, columns, classes, sorted(set(lists["values"]))


def near(values, dtype):
    """Numbers at thresholds, right beside them, between them, and gaps."""
    values = np.array(values, dtype=np.float32).astype(dtype)
    beside = [np.nextafter(values, dtype(side)) for side in (-np.inf, np.inf)]
    return np.concatenate([values, *beside, values + dtype(0.3), [dtype(np.nan), dtype(-9), dtype(9)]])


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=ensembles(), seed=st.integers(0, 2**16))
def test_random_trees_are_as_in_onnxruntime(kind, drawn, seed):
    attributes, columns, classes, values = drawn
    dtype = np.float32 if kind == TensorProto.FLOAT else np.float64
    content = model_of(attributes, columns, classes, kind)
    rng = np.random.RandomState(seed)
    numbers = near(values, dtype)
    if any(mode in ("BRANCH_EQ", "BRANCH_NEQ") for mode in attributes["nodes_modes"]):
        # Where it is asked whether numbers are equal, only whole ones are given.
        numbers = np.round(numbers)
    x = rng.choice(numbers, (40, columns)).astype(dtype)
    module = read_onnx(content)
    np.testing.assert_allclose(two(module, x), by_onnxruntime(content, x), atol=2e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=ensembles(), seed=st.integers(0, 2**16))
def test_rays_through_random_trees_end_where_onnxruntime_says(drawn, seed):
    attributes, columns, classes, values = drawn
    assume(not set(attributes["nodes_modes"]) & {"BRANCH_EQ", "BRANCH_NEQ"})
    attributes = {**attributes, "post_transform": "SOFTMAX"}
    content = model_of(attributes, columns, classes)
    rng = np.random.RandomState(seed)
    x = rng.choice(near(values, np.float32)[:-3], (20, columns)).astype(float)
    d = rng.choice([-2.0, -0.5, 0.0, 1.0], x.shape)
    far = kl.far_field(read_onnx(content), x, d)
    for a in (1e3, 1e12):
        beyond = (x + a * d).astype(np.float32)
        np.testing.assert_allclose(far.probs[0], by_onnxruntime(content, beyond), atol=2e-6)


# --- what files say of two classes --------------------------------------------------------------------------------------

X = np.array([[0.0, 0.0], [0.0, 0.125], [0.0, 0.2], [1.0, np.nan]], dtype=np.float32)
AGREED = {
    "probability": dict(**stump("class", [0, 0], [0.25, 0.75])),
    "probability with a base": dict(**stump("class", [0, 0], [0.25, 0.5]), base_values=[0.125]),
    "logit": dict(**stump("class", [0, 0], [-1.5, 2.0]), post_transform="LOGISTIC"),
    "logit with a base": dict(**stump("class", [0, 0], [-1.5, 2.0]), post_transform="LOGISTIC", base_values=[0.5]),
    "logit of weights above 0": dict(**stump("class", [0, 0], [0.5, 2.0]), post_transform="LOGISTIC"),
    "two probabilities": dict(**stump("class", [0, 1, 0, 1], [0.25, 0.75, 1.0, 0.0])),
    "softmax": dict(**stump("class", [0, 1, 0, 1], [0.25, -0.75, 1.0, 0.0]), post_transform="SOFTMAX"),
    "opposite logits": dict(**stump("class", [0, 1, 0, 1], [0.5, -0.5, -2.0, 2.0]), post_transform="LOGISTIC"),
    "opposite logits, each in two": dict(
        **stump("class", [0, 0, 1, 0, 1, 1], [0.25, 0.25, -0.5, -2.0, 1.0, 1.0]), post_transform="LOGISTIC"
    ),
}


@pytest.mark.parametrize("name", AGREED)
def test_two_classes(name):
    content = model_of(AGREED[name])
    module = read_onnx(content)
    np.testing.assert_allclose(two(module, X), by_onnxruntime(content, X), atol=1e-6)
    assert kl.read(module).predict_proba(X[:3]).shape == (3, 2)


OPEN = {
    "softmax of one": dict(**stump("class", [0, 0], [0.25, 0.75]), post_transform="SOFTMAX"),
    "two bases for one": dict(**stump("class", [0, 0], [0.25, 0.75]), base_values=[0.0, 0.5]),
    "the second class alone": dict(**stump("class", [1, 1], [0.25, 0.75])),
    "bases for both": dict(**stump("class", [0, 1, 0, 1], [0.25, 0.75, 1.0, 0.0]), base_values=[0.0, 0.0]),
    "a leaf without the second": dict(**stump("class", [0, 1], [1.0, 1.0]), post_transform="SOFTMAX"),
    "a score without the second": dict(**stump("class", [0, 1], [-1.0, 1.0])),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_onnx_leaves_open_is_refused(name):
    with pytest.raises(kl.UnsupportedOperation, match=r"f: operator TreeEnsembleClassifier .*left open by ONNX"):
        read_onnx(model_of(OPEN[name]), "f")


def test_shares_that_are_left_out_are_0():
    """As ONNX's reference has it; onnxruntime makes -1 and 1 of the first, which are no shares."""
    content = model_of(stump("class", [0, 1], [1.0, 1.0]))
    expected = ReferenceEvaluator(onnx.load_model_from_string(content)).run(None, {"x": X[:3]})[-1]
    np.testing.assert_array_equal(two(read_onnx(content), X[:3]), expected)


def test_scores_of_one_column_are_no_probabilities():
    module = read_onnx(model_of(dict(**stump("class", [0, 0], [-1.0, 2.0]))))
    np.testing.assert_allclose(two(module, X), by_onnxruntime(model_of(dict(**stump("class", [0, 0], [-1.0, 2.0]))), X))
    assert kl.read(module, "logits").predict_proba(X[:3]).shape == (3, 2)


def test_sigmoids_of_two_classes_are_refused():
    content = model_of(tree(post_transform="LOGISTIC"))
    with pytest.raises(kl.UnsupportedOperation, match="sigmoids of their own, of which both may be true"):
        read_onnx(content)


def test_sigmoids_of_several_classes_are_no_distribution():
    content = model_of(
        stump("class", [0, 1, 2, 0, 1, 2], [0.1, 0.2, 0.3, 1.0, 2.0, 0.5])
        | {"classlabels_int64s": [0, 1, 2], "post_transform": "LOGISTIC"},
        classes=3,
    )
    module = read_onnx(content)
    np.testing.assert_allclose(module(torch.from_numpy(X.astype(float))), by_onnxruntime(content, X), atol=1e-6)
    with pytest.raises(ValueError, match="classes that exclude each other"):
        kl.read(module)


def test_thresholds_in_double_precision():
    attributes = stump("class", [0, 1, 0, 1], [0.25, 0.75, 0.5, 0.5])
    del attributes["nodes_values"]
    third = 1 / 3
    tensors = {"nodes_values": [third, 0, 0], "class_weights": attributes.pop("class_weights")}
    for name, values in tensors.items():
        attributes[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(values), name)
    content = model_of(attributes, kind=TensorProto.DOUBLE)
    x = np.array([[0, third], [0, np.nextafter(third, 0)], [0, np.nextafter(third, 1)]])
    np.testing.assert_array_equal(two(read_onnx(content), x)[:, 0], [0.25, 0.25, 0.5])


def test_whole_numbers_are_compared_in_single_precision():
    attributes = stump("class", [0, 1, 0, 1], [0.25, 0.75, 0.5, 0.5]) | {"nodes_values": [2.0**24, 0.0, 0.0]}
    content = model_of(attributes, kind=TensorProto.INT64)
    x = np.array([[0, 2**24], [0, 2**24 + 1], [0, 2**24 + 2]])
    np.testing.assert_array_equal(two(read_onnx(content), x), by_onnxruntime(content, x))


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_regressors_inside_of_classifiers(aggregate):
    attributes = stump("target", [0, 1, 0, 1], [0.25, -0.75, 1.0, 0.5]) | {
        "n_targets": 2,
        "aggregate_function": aggregate,
        "base_values": [0.5, 0.25],
    }
    content = model_of(attributes, operator="TreeEnsembleRegressor")
    # By itself it would be a regression.
    module = read_onnx(content, output="scores")
    np.testing.assert_allclose(module(torch.from_numpy(X.astype(float))), by_onnxruntime(content, X), atol=1e-6)


def test_catboost_writes_what_is_read():
    catboost = pytest.importorskip("catboost")
    rng = np.random.RandomState(0)
    x = rng.randn(200, 3)
    for y in ((x[:, 0] > 0).astype(int), np.digitize(x[:, 0], [-0.5, 0.5])):
        model = catboost.CatBoostClassifier(iterations=3, depth=2, verbose=0, allow_writing_files=False).fit(x, y)
        content = _saved(model)
        read = kl.read(read_onnx(content))
        np.testing.assert_allclose(read.predict_proba(x), model.predict_proba(x), atol=1e-6)
        far = kl.far_field(read, x[:20], x[20:40])
        np.testing.assert_allclose(far.probs[0], model.predict_proba(x[:20] + 1e9 * x[20:40]), atol=1e-6)


def _saved(model):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        model.save_model(f"{folder}/model.onnx", format="onnx")
        return onnx.load(f"{folder}/model.onnx").SerializeToString()


# --- broken and hostile lists -------------------------------------------------------------------------------------------


def tree(**changed):
    return stump("class", [0, 1, 0, 1], [0.25, 0.75, 0.5, 0.5]) | changed


def chain(depth):
    """A tree that goes down one side only."""
    n = 2 * depth + 1
    modes = [*["BRANCH_LEQ"] * depth, *["LEAF"] * (depth + 1)]
    true, false = list(range(1, depth + 1)), list(range(depth + 1, n))
    leaves = list(range(depth, n))
    return {
        "nodes_treeids": [0] * n,
        "nodes_nodeids": list(range(n)),
        "nodes_featureids": [0] * n,
        "nodes_values": [0.0] * n,
        "nodes_modes": modes,
        "nodes_truenodeids": [*true, *[0] * (depth + 1)],
        "nodes_falsenodeids": [*false, *[0] * (depth + 1)],
        "class_treeids": [0] * len(leaves),
        "class_nodeids": leaves,
        "class_ids": [0] * len(leaves),
        "class_weights": [0.5] * len(leaves),
        "classlabels_int64s": [0, 1],
    }


def many(trees):
    """So many trees that are leaves."""
    return {
        "nodes_treeids": list(range(trees)),
        **{f"nodes_{name}": [0] * trees for name in ("nodeids", "featureids", "truenodeids", "falsenodeids")},
        "nodes_values": [0.0] * trees,
        "nodes_modes": ["LEAF"] * trees,
        "class_treeids": list(range(trees)),
        **{f"class_{name}": [0] * trees for name in ("nodeids", "ids")},
        "class_weights": [0.0] * trees,
        "classlabels_int64s": [0, 1],
    }


def one_column(**changed):
    return stump("class", [0, 0], [0.25, 0.75]) | changed


# Four nodes, each the child of one, of which the root is not.
LOOP = {
    "nodes_treeids": [0] * 4,
    "nodes_nodeids": [0, 1, 2, 3],
    "nodes_featureids": [0] * 4,
    "nodes_values": [0.0] * 4,
    "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0, 0],
    "nodes_falsenodeids": [2, 3, 0, 0],
    "class_nodeids": [2, 3],
}
CIRCLE = {
    "class_treeids": [0, 0, 0],
    "class_nodeids": [0, 3, 4],
    "class_ids": [0, 0, 0],
    "class_weights": [0.25, 0.5, 0.75],
    "classlabels_int64s": [0, 1],
    "nodes_treeids": [0] * 5,
    "nodes_nodeids": [0, 1, 2, 3, 4],
    "nodes_featureids": [0] * 5,
    "nodes_values": [0.0] * 5,
    "nodes_modes": ["LEAF", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [0, 2, 1, 0, 0],
    "nodes_falsenodeids": [0, 3, 4, 0, 0],
}
BROKEN = {
    "a node that there is not": (tree(nodes_truenodeids=[7, 0, 0]), "tree 0 has no node 7"),
    "a node below 0": (tree(nodes_falsenodeids=[-1, 0, 0]), "tree 0 has no node -1"),
    "a node of another tree": (tree(nodes_treeids=[0, 0, 1]), "tree 0 has no node 2"),
    "a node twice": (tree(nodes_nodeids=[0, 1, 1]), "tree 0 has two nodes 1"),
    "itself": (tree(nodes_truenodeids=[0, 0, 0]), "tree 0 must begin with its root"),
    "one child for both": (tree(nodes_falsenodeids=[1, 0, 0]), "a node that follows more than one"),
    "two roots": (one_column(nodes_modes=["LEAF", "LEAF", "LEAF"]), "tree 0 has 3 roots"),
    "no root": (
        one_column(nodes_modes=["BRANCH_LEQ"] * 3, nodes_truenodeids=[1, 2, 0], nodes_falsenodeids=[1, 2, 0]),
        "more than one",
    ),
    "a circle": (CIRCLE, "go round in a circle"),
    "a circle alone": (one_column(**LOOP), "tree 0 has no root"),
    "not first": (
        tree(
            nodes_nodeids=[1, 0, 2],
            nodes_modes=["LEAF", "BRANCH_LEQ", "LEAF"],
            nodes_truenodeids=[0, 1, 0],
            nodes_falsenodeids=[0, 2, 0],
        ),
        "must begin with its root",
    ),
    "lists of other lengths": (tree(nodes_values=[0.5]), "as long as one another"),
    "weights of other lengths": (tree(class_weights=[0.5]), "as long as one another"),
    "no nodes": ({k: v for k, v in tree().items() if not k.startswith("nodes_")}, "as long as one another, and not empty"),
    "gaps of another length": (tree(nodes_missing_value_tracks_true=[1]), "as long as one another"),
    "a threshold that is none": (tree(nodes_values=[np.nan, 0.0, 0.0]), "thresholds must be numbers. Got NaN"),
    "a weight that is none": (tree(class_weights=[np.nan, 0.5, 0.5, 0.5]), "weights that are NaN or infinite"),
    "an endless weight": (tree(class_weights=[np.inf, 0.5, 0.5, 0.5]), "weights that are NaN or infinite"),
    "an endless base": (
        stump("class", [0, 0], [0.25, 0.5]) | {"base_values": [np.inf]},
        "base values that are NaN or infinite",
    ),
    "a weight of a node": (tree(class_nodeids=[0, 1, 2, 2]), "a node that is no leaf has a weight"),
    "a weight of nobody": (tree(class_nodeids=[9, 1, 2, 2]), "tree 0 has no node 9"),
    "a class that there is not": (tree(class_ids=[0, 1, 0, 2]), "add to output 2 of 2|left open"),
    "a class below 0": (tree(class_ids=[0, 1, 0, -1]), "add to output -1 of 2|left open"),
    "a column below 0": (tree(nodes_featureids=[-1, 0, 0]), "looks at column -1"),
    "a huge column": (tree(nodes_featureids=[2**40, 0, 0]), "looks at column 1099511627776"),
    "a column that there is not": (tree(nodes_featureids=[5, 0, 0]), "X must have 6 columns at least. Got 2"),
    "a mode that there is not": (tree(nodes_modes=["BRANCH_MAYBE", "LEAF", "LEAF"]), "must be LEAF or one of"),
    "one class": (tree(classlabels_int64s=[0]), "must tell two classes or more apart"),
    "a probit": (tree(post_transform="PROBIT"), "post_transform must be NONE, SOFTMAX or LOGISTIC. Got PROBIT"),
    "a softmax without zeros": (tree(post_transform="SOFTMAX_ZERO"), "Got SOFTMAX_ZERO"),
    "a part that is equal": (tree(nodes_modes=["BRANCH_EQ", "LEAF", "LEAF"]), "equal to 0.125: only whole numbers"),
    "too deep": (chain(MOST_DEPTH + 1), "too deep"),
    "too many": (many(100_001), "100,001 trees: 100,000 are allowed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lists_are_one_clear_error(name):
    attributes, message = BROKEN[name]
    content = model_of(attributes)
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=f"f: .*{message}"):
        read_onnx(content, "f")


def test_deep_trees_within_bounds_are_read():
    depth = 2000
    assert depth < MOST_DEPTH < MOST_COMPARISONS
    content = model_of(chain(depth))
    np.testing.assert_array_equal(two(read_onnx(content), X), 0.5)


def test_a_leaf_is_a_tree():
    content = model_of(many(3) | {"class_weights": [0.25, 0.25, 0.0]})
    np.testing.assert_array_equal(two(read_onnx(content), X), 0.5)
    far = kl.far_field(read_onnx(content), np.zeros((2, 2)), np.ones((2, 2)))
    np.testing.assert_array_equal(far.probs, 0.5)
    np.testing.assert_array_equal(far.radius, 0)
