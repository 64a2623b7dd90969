"""scikit-learn's trees: single ones, forests, bags of them, and AdaBoost, for which they vote; and imbalanced-learn's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.chains import is_identity
from knowlimits.model.endings import Outputs
from knowlimits.model.families.trees import Tree, Trees, rounded
from knowlimits.model.kinds.families import Scaled, family_kind, read_family
from knowlimits.model.kinds.fitted import check_fitted, one_label, several_classes
from knowlimits.model.model import Model


def tree_of(fitted: Any, value: np.ndarray, output: int = 0, gaps: bool = False, columns: np.ndarray | None = None) -> Tree:
    """A tree of scikit-learn, which compares in single precision.

    Args:
        fitted: a `tree_` of an estimator.
        value: of its nodes, ``(nodes, values)``.
        output: the first output that it adds to.
        gaps: whether its estimator takes them.
        columns: of the table, those that it sees; all without it.
    """
    gap_left = fitted.missing_go_to_left.astype(bool) if gaps else None
    left, right = fitted.children_left, fitted.children_right
    column = fitted.feature if columns is None else np.where(left >= 0, np.asarray(columns)[fitted.feature], 0)
    return Tree(column, rounded(fitted.threshold), left, right, value, output, gap_left)


def takes_gaps(model: Any) -> bool:
    """Whether an estimator of scikit-learn says that it takes gaps."""
    return bool(model.__sklearn_tags__().input_tags.allow_nan)


def shares(fitted: Any) -> np.ndarray:
    """The shares of classes at the nodes of a classifier's `tree_`, ``(nodes, classes)``."""
    counts = fitted.value[:, 0, :]
    sums = counts.sum(1, keepdims=True)
    # Rows without any weight have no shares.
    return counts / np.where(sums == 0, 1.0, sums)


def forest(model: Any) -> Trees:
    """The mean of the trees' shares of classes."""
    check_fitted(model, "estimators_", "classes_")
    return _mean(model, model.estimators_)


def single_tree(model: Any) -> Trees:
    """One tree's shares of classes."""
    check_fitted(model, "tree_", "classes_")
    return _mean(model, [model])


def certain(place: int, classes: int) -> Trees:
    """What says the same class of all rows: a tree that is a leaf."""
    leaf = np.array([-1])
    return Trees([Tree(leaf, np.zeros(1), leaf, leaf, np.eye(classes)[[place]], gap_left=np.array([True]))], classes)


def bag(model: Any) -> Trees | None:
    """A bag of trees, each on its own columns, as one sum; None for a bag of anything else.

    A tree whose sample lacks a class says nothing for it.
    """
    trees = [_last(estimator) for estimator in model.estimators_]
    if not all(map(_is_tree, trees)):
        return None
    several_classes(model)
    gaps, classes = all(map(takes_gaps, trees)), len(model.classes_)
    found = []
    for tree, columns in zip(trees, model.estimators_features_, strict=True):
        value = np.zeros((tree.tree_.node_count, classes))
        # Labels are places among the classes.
        value[:, [int(label) for label in tree.classes_]] = shares(tree.tree_)
        found.append(tree_of(tree.tree_, value, gaps=gaps, columns=columns))
    return Trees(found, classes, divided=len(trees))


def read_adaboost(model: Any, asked: Asked) -> Model:
    """Each tree votes for the likeliest class of its leaf: Zhu et al., "Multi-class AdaBoost" (2009), equation 15.

    Raises:
        ValueError: if it is not fitted, or others than trees vote, whose votes jump where nobody knows.
    """
    check_fitted(model, "estimators_", "estimator_weights_", "classes_")
    several_classes(model)
    labels = np.asarray(model.classes_).tolist()
    classes = len(labels)
    trees = []
    for estimator, weight in zip(model.estimators_, model.estimator_weights_, strict=False):
        if not _is_tree(estimator):
            raise ValueError(
                f"model must boost decision trees. Got {type(model).__name__} of {type(estimator).__name__}, whose votes jump "
                "where its likeliest class changes: fit it with trees, or use another ensemble, such as BaggingClassifier."
            )
        likeliest = [labels.index(label) for label in np.asarray(estimator.classes_).tolist()]
        votes = np.full((estimator.tree_.node_count, classes), -weight / (classes - 1))
        votes[np.arange(len(votes)), np.array(likeliest)[estimator.tree_.value[:, 0, :].argmax(1)]] = weight
        trees.append(tree_of(estimator.tree_, votes[:, 1:] - votes[:, :1] if classes == 2 else votes))
    whole = float(np.sum(model.estimator_weights_)) * (classes - 1)
    family = Trees(trees, trees[0].value.shape[1], returns=Outputs.LOGITS, divided=whole)
    return read_family(model, family, asked, None if classes == 2 else Scaled(family, classes - 1))


def _mean(model: Any, trees: Sequence[Any]) -> Trees:
    one_label(model)
    several_classes(model)
    gaps = takes_gaps(trees[0])
    each = [tree_of(one.tree_, shares(one.tree_), gaps=gaps) for one in trees]
    return Trees(each, len(model.classes_), divided=len(trees))


def _last(estimator: Any) -> Any:
    """What predicts: the last step of a Pipeline whose others do nothing at prediction, as samplers."""
    steps = getattr(estimator, "steps", None)
    if steps and all(is_identity(step) for _, step in steps[:-1]):
        return steps[-1][1]
    return estimator


def _is_tree(estimator: Any) -> bool:
    """Whether an estimator is a classifier that is one tree of scikit-learn's."""
    return hasattr(estimator, "tree_") and hasattr(estimator, "classes_") and hasattr(estimator, "predict_proba")


#: By the names of classes in the registry.
FORESTS = {
    "sklearn.DecisionTreeClassifier": family_kind(single_tree),
    "sklearn.RandomForestClassifier": family_kind(forest),
    "sklearn.ExtraTreesClassifier": family_kind(forest),
    "sklearn.AdaBoostClassifier": read_adaboost,
}
