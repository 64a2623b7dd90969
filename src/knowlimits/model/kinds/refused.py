"""Estimators that can be told by their class not to be classifiers with probabilities of classes that exclude each other."""

from collections.abc import Callable
from typing import Any, NoReturn

from knowlimits.model.asked import Asked


def refused(why: str) -> Callable[[Any, Asked], NoReturn]:
    """How an estimator is read that is none of ours, by a sentence that says why and what to do."""

    def read(model: Any, asked: Asked) -> NoReturn:
        raise TypeError(f"model must be a classifier with a probability for each class. Got {type(model).__name__}, {why}.")

    return read


#: By the names of classes in the registry.
REFUSED = {
    "sklearn.RegressorMixin": refused("which is a regressor"),
    "sklearn.OutlierMixin": refused(
        "which tells outliers and no classes: pass the classifier that it stands beside, or see knowlimits.detectors"
    ),
    "sklearn.MultiOutputClassifier": refused("which predicts several labels of a row: read each of its estimators_ by itself"),
    "sklearn.ClassifierChain": refused(
        "whose classifiers take the labels that others predict, which jump: read a classifier of one label"
    ),
    "sklearn.OneVsOneClassifier": refused("which counts votes of pairs of classes, and has no probabilities"),
    "sklearn.OutputCodeClassifier": refused("which looks for the nearest code of a class, and has no probabilities"),
}
