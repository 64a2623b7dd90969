"""What operators are in a person's words, and what to do where one cannot be read."""

from knowlimits.files.onnx.graph import ML, Key, Node
from knowlimits.files.onnx.refused import REFUSED

# What a model is that has such an operator.
_KINDS: dict[Key, str] = {
    (ML, "LinearClassifier"): "a linear classifier",
    (ML, "LinearRegressor"): "a linear regression",
    (ML, "SVMClassifier"): "a support vector machine",
    (ML, "SVMRegressor"): "a regression by support vectors",
    (ML, "TreeEnsemble"): "a forest or boosted trees",
    (ML, "TreeEnsembleClassifier"): "a forest or boosted trees",
    (ML, "TreeEnsembleRegressor"): "a forest or boosted trees",
    **{("", kind): "a recurrent network" for kind in ("LSTM", "GRU", "RNN")},
    **{("", kind): "a loop" for kind in ("Scan", "Loop")},
    ("", "If"): "branches",
    **{("", kind): "a search for objects in images" for kind in ("NonMaxSuppression", "RoiAlign")},
    **{("", kind): "text" for kind in ("TfIdfVectorizer", "StringNormalizer", "StringSplit", "StringConcat")},
    **{(ML, kind): "text" for kind in ("CategoryMapper", "DictVectorizer")},
}
_AS_MODULE = "replace it in the model, or give the model as a torch.nn.Module instead of a file"
_REMEDIES = {
    "a regression by support vectors": "a regression is no classifier, and has no classes to be sure of",
    "a linear regression": "a regression is no classifier, and has no classes to be sure of",
    "a forest or boosted trees": "export it with target_opset={'ai.onnx.ml': 3}, or give what trained it instead of a file",
    "a loop": "give the model itself instead of a file: scikit-learn's nearest neighbours and Gaussian processes, which are "
    "written so, are read as they are",
    "a search for objects in images": "it has boxes, and no classes of rows",
    "text": "encode texts before the model",
}


def titled(node: Node) -> str:
    """An operator, and what it makes a model."""
    kind = _KINDS.get(node.key)
    return str(node) if kind is None or kind == "text" else f"{node}, of {kind}"


def unread(node: Node) -> str:
    """That an operator cannot be read, and what to do."""
    kind = _KINDS.get(node.key, "")
    reason = REFUSED.get(node.key)
    return f"it cannot be converted{f', as {reason}' if reason else ''}: {_REMEDIES.get(kind, _AS_MODULE)}"
