"""Operators of classical machine learning, of the domain ai.onnx.ml."""

from typing import Any

import torch
from torch import Tensor, fx

from knowlimits.files.onnx.arithmetic import cast, multiply, subtract
from knowlimits.files.onnx.building import Operation, Operator, moving
from knowlimits.files.onnx.linear import layer
from knowlimits.files.onnx.places import gather


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


def linear_classifier(o: Operation) -> Any:
    """The logits of a linear classifier that ends a model; one for two classes whose scores are those of one."""
    node = o.node
    classes = node.value("classlabels_ints") or node.value("classlabels_strings") or []
    coefficients, after = node.numbers("coefficients"), node.get("post_transform", "NONE")
    if coefficients is None or not classes or after not in ("NONE", "SOFTMAX", "LOGISTIC"):
        raise ValueError(f"only scores of classes with softmax, sigmoid or none can be converted. Got {after} instead")
    intercepts = node.numbers("intercepts")
    rows = len(classes) if intercepts is None else len(intercepts)
    weight = coefficients.reshape(rows, -1)
    bias = torch.zeros(rows, dtype=torch.float64) if intercepts is None else intercepts
    opposite = rows == 2 and torch.equal(weight[0], -weight[1]) and bool(bias[0] == -bias[1])
    one = len(classes) == 2 and (rows == 1 or (opposite and after != "SOFTMAX"))
    if one:
        weight, bias = weight[-1:], bias[-1:]
        if after == "SOFTMAX":
            # Scores (-f, f).
            weight, bias = 2 * weight, 2 * bias
    elif after == "LOGISTIC":
        raise ValueError("its probabilities are sigmoids that are then divided by their sum, which are no softmax of logits")
    if not one and rows != len(classes):
        raise ValueError(f"{len(classes)} classes do not go with {len(bias)} rows of coefficients")
    x = o.call(cast, *o.take(1), "float")
    return o.building.call_module(layer(weight, bias), x) if isinstance(x, fx.Node) else x


TABLE = {
    "Scaler": Operator(_scaler, takes_integers=True),
    "FeatureVectorizer": Operator(_vectorizer, takes_integers=True),
    "ArrayFeatureExtractor": moving(lambda o: o.call(extract_features, *o.take(1), o.places(1))),
}
