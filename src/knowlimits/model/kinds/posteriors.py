"""Estimators that have a prior probability of each class, of which some may be 0."""

from collections.abc import Callable
from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.families.trees import Tree, Trees
from knowlimits.model.kinds.families import read_family
from knowlimits.model.kinds.fitted import about, check_fitted
from knowlimits.model.model import Model


def posterior_kind(
    read: Callable[[Any, list[int], Asked], Model], priors: str = "", logarithms: bool = False
) -> Callable[[Any, Asked], Model]:
    """How such an estimator is read.

    Args:
        read: reads it, given the places of those classes that can be, two at least.
        priors: the attribute that has the prior probabilities; without it all classes can be.
        logarithms: whether it has their logarithms.
    """

    def reader(model: Any, asked: Asked) -> Model:
        check_fitted(model, "classes_", *([priors] if priors else []))
        classes = about(model)["classes_"]
        given = np.asarray(getattr(model, priors)) if priors else np.ones(len(classes))
        places = np.flatnonzero(given > (-np.inf if logarithms else 0)).tolist()
        if len(classes) < 2 or not places:
            raise ValueError(
                f"model must tell classes apart. Got {type(model).__name__} with {len(places)} that can be: fit it to rows of "
                "two classes at least."
            )
        return read(model, places, asked) if len(places) > 1 else _certain(model, places[0], len(classes), asked)

    return reader


def _certain(model: Any, place: int, classes: int, asked: Asked) -> Model:
    """A model that always says one class: a tree that is a leaf."""
    nothing = np.array([-1])
    leaf = Tree(nothing, np.zeros(1), nothing, nothing, np.eye(classes)[[place]])
    return read_family(model, Trees([leaf], classes), asked)
