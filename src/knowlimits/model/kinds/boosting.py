"""scikit-learn's gradient boosting, of both kinds: sums of trees that are logits."""

from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.endings import Outputs
from knowlimits.model.families.trees import Tree, Trees
from knowlimits.model.kinds.families import Scaled, read_family
from knowlimits.model.kinds.fitted import about, check_fitted, several_classes
from knowlimits.model.kinds.forests import tree_of
from knowlimits.model.model import Model
from knowlimits.model.steps import Steps

# As scikit-learn clips probabilities that boosting begins with.
_LEAST = float(np.finfo(np.float64).eps)
# Histogram boosting's stand-in for an infinite threshold, which tells infinite numbers from all others.
_ALMOST_INFINITE = 1e300


def read_gradient_boosting(model: Any, asked: Asked) -> Model:
    """Trees on top of a constant: Friedman, "Greedy function approximation" (2001).

    Raises:
        ValueError: if it is not fitted, or begins with an estimator that is not constant.
    """
    check_fitted(model, "estimators_", "init_", "classes_")
    several_classes(model)
    if model.loss not in ("log_loss", "exponential"):
        raise ValueError(f"loss must be 'log_loss' or 'exponential'. Got {model.loss!r}, which is not known.")
    # The exponential loss has half of the log-odds as its decision function.
    share = 0.5 if model.loss == "exponential" else 1.0
    base = _begins_with(model)
    rate = model.learning_rate / share
    trees = [
        tree_of(one.tree_, rate * one.tree_.value[:, 0, :], output)
        for stage in model.estimators_
        for output, one in enumerate(stage)
    ]
    family = Trees(trees, len(base), base, Outputs.LOGITS)
    # Of two classes that are equally likely it predicts the second, and nobody else does.
    own = model if len(base) == 1 else None
    return read_family(model, family, asked, None if share == 1 else Scaled(family, share), own)


def _begins_with(model: Any) -> np.ndarray:
    """The logits that trees are added to, one of two classes, ``(outputs,)``."""
    classes = len(model.classes_)
    outputs = 1 if classes == 2 else classes
    first = model.init_
    if isinstance(first, str):
        # "zero", as nothing else is taken.
        return np.zeros(outputs)
    if type(first).__name__ != "DummyClassifier" or first.strategy == "stratified":
        raise ValueError(
            f"model must begin with a constant. Got {type(model).__name__} with init={type(first).__name__}, whose predictions "
            "are not the same for all rows: fit it without init, or put both side by side in a VotingClassifier."
        )
    p = np.clip(first.predict_proba(np.zeros((1, model.n_features_in_)))[0], _LEAST, 1 - _LEAST)
    return np.log(p[1:] / (1 - p[1:])) if classes == 2 else np.log(p) - np.log(p).mean()


def read_histogram_boosting(model: Any, asked: Asked) -> Model:
    """Trees behind the steps that the estimator has inside, which make codes of categories and move them to the front.

    Raises:
        ValueError: if it is not fitted.
    """
    check_fitted(model, "n_iter_", "classes_")
    several_classes(model)
    base, stages, preprocessor = _inside(model)
    trees = [_tree(one, output) for stage in stages for output, one in enumerate(stage)]
    family = Trees(trees, len(base), base, Outputs.LOGITS)
    if preprocessor is None:
        return read_family(model, family, asked)
    found = about(model)
    steps = Steps.of([preprocessor], asked.rows, found["n_features_in_"], found["feature_names_in_"], gaps=True)
    return read_family(model, family, asked, steps=steps)


def _inside(model: Any) -> tuple[np.ndarray, Any, Any]:
    """The logits that trees are added to, the trees by stage, and what encodes a table or None, which have no public names."""
    return np.ravel(model._baseline_prediction), model._predictors, getattr(model, "_preprocessor", None)


def _tree(predictor: Any, output: int) -> Tree:
    """A tree of the histogram kind, which compares in double precision, and takes gaps."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    asks = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
    categories = {int(node): _codes(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in asks}
    values, gap_left = nodes["value"][:, None], nodes["missing_go_to_left"].astype(bool)
    column = np.where(leaf, 0, nodes["feature_idx"].astype(np.int64))
    threshold = np.where(nodes["num_threshold"] >= _ALMOST_INFINITE, np.inf, nodes["num_threshold"])
    return Tree(column, threshold, left, right, values, output, gap_left, categories)


def _codes(words: np.ndarray) -> list[int]:
    """The places of the bits that are set in words of 32 bits."""
    bits = np.unpackbits(np.ascontiguousarray(words, dtype="<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).tolist()


#: By the names of classes in the registry.
BOOSTING = {
    "sklearn.GradientBoostingClassifier": read_gradient_boosting,
    "sklearn.HistGradientBoostingClassifier": read_histogram_boosting,
}
