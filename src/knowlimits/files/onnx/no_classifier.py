"""What is certainly no classifier: a regression, steps that prepare columns, distances, scores of outliers.

A regression by a network cannot be told from logits, nor can an autoencoder without a narrow layer. So whatever is read says
what was taken for logits.
"""

import re
from collections.abc import Sequence

from knowlimits.files.onnx.graph import ML, Graph
from knowlimits.files.onnx.labels import How, Pick
from knowlimits.files.onnx.logits import End, Head, head_of
from knowlimits.files.onnx.tracing import ARITHMETIC, columns, made_columns, needed, without_constants

_REGRESSIONS = {
    "LinearRegressor": "a linear regression",
    "SVMRegressor": "a regression by support vectors",
    "TreeEnsembleRegressor": "a regression by trees",
}
# Steps that prepare columns, by what a person calls them, and what stands between them.
_STEPS = {
    (ML, "Scaler"): "a scaler",
    (ML, "Imputer"): "an imputer",
    (ML, "Normalizer"): "a normalizer",
    (ML, "OneHotEncoder"): "an encoder",
    (ML, "LabelEncoder"): "an encoder",
    (ML, "Binarizer"): "a binarizer",
}
_BETWEEN = ARITHMETIC | {(ML, kind) for kind in ("FeatureVectorizer", "ArrayFeatureExtractor")}
_BETWEEN |= {("", kind) for kind in ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Slice")}
_BETWEEN |= {("", kind) for kind in ("Constant", "Gather", "Split", "Transpose", "Clip")}
# What skl2onnx calls the output of whatever is no classifier.
_VARIABLE = re.compile(r"variable\d*")


def check_classifier(graph: Graph, head: Head, picks: Sequence[Pick], producer: str) -> None:
    """Refuse what is certainly no classifier.

    Args:
        graph: what the file says.
        head: what would be taken for the classifier.
        picks: labels that the file makes of whatever.
        producer: what wrote the file.

    Raises:
        ValueError: if it is none; the message says what it is.
    """
    if head.end is not End.OTHER:
        return
    if producer == "skl2onnx" and len(graph.outputs) > 1 and not (head.probabilities or head.picked):
        raise _none(head, "an estimator of scikit-learn without probabilities, such as a detector of outliers or a clustering")
    behind = without_constants(graph, head.root)
    own = [pick for pick in picks if head_of(graph, pick.scores).root in behind]
    if smallest := next((pick for pick in own if pick.how is How.SMALLEST), None):
        raise ValueError(
            f"it is no classifier: label {smallest.output!r} is where {smallest.scores!r} is smallest, so that these are "
            "distances, as those to the centres of clusters, and no scores of classes"
        )
    if any(pick.how in (How.LARGEST, How.THRESHOLD) for pick in own):
        return
    # What is called probabilities is held to that by its numbers, and trees may add up to them.
    regression = "" if head.probabilities else _regression(graph, behind[-1])
    if what := regression or _steps(graph, needed(graph, [head.output])):
        raise _none(head, what)
    if not head.probabilities and (producer == "skl2onnx" or _VARIABLE.fullmatch(head.name)):
        what = "a regression or a transformation (such as PCA) of scikit-learn, as a classifier has labels and probabilities"
        raise _none(head, what)


def check_no_copy(graph: Graph, head: Head, features: int) -> None:
    """Refuse an autoencoder: what has as many columns as its input, three or more, and fewer in between.

    Raises:
        ValueError: if it is one.
    """
    plain = head.end is End.OTHER and not head.probabilities and not head.picked
    if not plain or features < 3 or columns(graph, head.output) != features:
        return
    before = needed(graph, [head.output])
    widths = [made_columns(graph, node, name) for node in graph.nodes for name in node.outputs if name in before]
    if any(width is not None and width < features for width in widths):
        raise _none(head, f"an autoencoder, as it has {features} columns as the input has, and fewer in between")


def _none(head: Head, what: str) -> ValueError:
    return ValueError(
        f"it is no classifier: output {head.name!r} is that of {what}. Export the whole classifier; if these are its logits "
        f"nevertheless, say so: knowlimits.load(path, output={head.name!r}), or --output {head.name} in a command"
    )


def _regression(graph: Graph, name: str) -> str:
    """What regression a value is the output of; ``""`` for none that is known."""
    node = graph.producers.get(name)
    if node is None or node.key[0] != ML:
        return ""
    if node.key[1] == "SVMRegressor" and node.get("one_class", 0):
        return "a one-class support vector machine, which tells outliers"
    return _REGRESSIONS.get(node.key[1], "")


def _steps(graph: Graph, before: set[str]) -> str:
    """The steps that a value is made by, where these are all that it is made by."""
    nodes = [node for node in graph.nodes if not before.isdisjoint(node.outputs)]
    if not all(node.key in _STEPS or node.key in _BETWEEN for node in nodes):
        return ""
    names = list(dict.fromkeys(_STEPS[node.key] for node in nodes if node.key in _STEPS))
    return f"{' and '.join(names)}, which prepares columns for a model" if names else ""
