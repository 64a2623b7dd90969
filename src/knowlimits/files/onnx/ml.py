"""Operators of classical machine learning, of the domain ai.onnx.ml."""

from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from knowlimits.files.onnx.arithmetic import cast, multiply, subtract
from knowlimits.files.onnx.building import Operation, Operator, moving
from knowlimits.files.onnx.graph import Node
from knowlimits.files.onnx.linear import layer
from knowlimits.files.onnx.places import gather
from knowlimits.files.onnx.trees import softmax, two_shares, two_sides
from knowlimits.follow import UnsupportedOperation


def extract_features(x: Tensor, index: Tensor) -> Tensor:
    """Columns along the last axis."""
    picked = gather(x, index.reshape(-1), -1)
    return picked[None] if x.ndim == 1 else picked


def vectorize_features(*columns_and_widths: Tensor | list[int]) -> Tensor:
    """Columns side by side; the last argument are their widths."""
    *columns, widths = columns_and_widths
    parts = [c[:, None] if c.ndim == 1 else c for c in columns if isinstance(c, Tensor)]
    if [p.shape[-1] for p in parts] != widths:
        raise ValueError(f"inputs have other widths than {widths}, which FeatureVectorizer states")
    return torch.cat(parts, 1)


def _scaler(o: Operation) -> Any:
    x = o.call(cast, *o.take(1), "float")
    offset, scale = o.node.numbers("offset"), o.node.numbers("scale")
    x = x if offset is None else o.call(subtract, x, offset)
    return x if scale is None else o.call(multiply, x, scale)


def _vectorizer(o: Operation) -> Any:
    columns = o.take(len(o.inputs))
    result = o.call(vectorize_features, *columns, o.node.integers("inputdimensions"))
    if all(isinstance(column, fx.Node) and column in o.building.integers for column in columns):
        o.building.whole.add(result)
    return result


def linear_logits(o: Operation) -> Any:
    """The logits of a linear classifier that ends a model; one for two classes whose scores are those of one."""
    weight, bias, after, classes = _linear(o.node)
    if classes == 2 and after != "SOFTMAX" and _are_opposite(weight, bias):
        weight, bias = weight[1:], bias[1:]
    if after == "LOGISTIC" and len(bias) > 1:
        raise UnsupportedOperation("its probabilities are sigmoids, which are no softmax of logits")
    return _scores(o, weight, bias)


def linear_shares(o: Operation) -> Any:
    """Logarithms of the sigmoids of a linear classifier, whose softmax are the sigmoids divided by their sum."""
    weight, bias, _, _ = _linear(o.node)
    return o.call(functional.logsigmoid, _scores(o, weight, bias))


def _linear_classifier(o: Operation) -> list[Any]:
    weight, bias, after, classes = _linear(o.node)
    if classes == 2 and after == "LOGISTIC" and _are_opposite(weight, bias):
        weight, bias = weight[1:], bias[1:]
    scores = _scores(o, weight, bias)
    if len(bias) < classes:
        # Without a sigmoid too the first class has 1 less what the second has.
        return [None, o.call(two_sides if after == "LOGISTIC" else two_shares, scores)]
    return [None, scores if after == "NONE" else o.call(softmax if after == "SOFTMAX" else torch.sigmoid, scores)]


def _scores(o: Operation, weight: Tensor, bias: Tensor) -> Any:
    x, scores = o.call(cast, *o.take(1), "float"), layer(weight, bias)
    return o.building.call_module(scores, x) if isinstance(x, fx.Node) else o.call(scores, x)


def _are_opposite(weight: Tensor, bias: Tensor) -> bool:
    return len(bias) == 2 and torch.equal(weight[0], -weight[1]) and bool(bias[0] == -bias[1])


def _linear(node: Node) -> tuple[Tensor, Tensor, str, int]:
    """Weights and biases of a linear classifier, what comes after its scores, and how many classes there are."""
    classes = len(node.value("classlabels_ints") or node.value("classlabels_strings") or [])
    coefficients, after = node.numbers("coefficients"), node.get("post_transform", "NONE")
    if coefficients is None or not classes or after not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise UnsupportedOperation(f"post_transform must be NONE, SOFTMAX or LOGISTIC. Got {after} instead")
    intercepts = node.numbers("intercepts")
    rows = classes if intercepts is None else len(intercepts)
    if rows != classes and (rows, classes) != (1, 2):
        raise ValueError(f"{classes} classes do not go with {rows} rows of coefficients")
    if rows < classes and after == "SOFTMAX":
        raise UnsupportedOperation("a softmax of one score of two classes is left open by ONNX")
    bias = torch.zeros(rows, dtype=torch.float64) if intercepts is None else intercepts
    return coefficients.reshape(rows, -1), bias, after, classes


TABLE = {
    "Scaler": Operator(_scaler, takes_integers=True),
    "FeatureVectorizer": Operator(_vectorizer, takes_integers=True),
    "ArrayFeatureExtractor": moving(lambda o: o.call(extract_features, *o.take(1), o.places(1))),
    "LinearClassifier": Operator(_linear_classifier, takes_integers=True),
}
