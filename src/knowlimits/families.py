"""Families of classifiers for people who add their own: what one is, and how its estimators are registered."""

from collections.abc import Callable
from typing import Any

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family, Tail
from knowlimits.model.families.trees import Tree, Trees, rounded
from knowlimits.model.kinds import KINDS, name_of
from knowlimits.model.kinds.families import family_kind

__all__ = ["Ends", "Family", "Outputs", "Tail", "Tree", "Trees", "register", "rounded"]


def register(kind: type | str, build: Callable[[Any], Family]) -> None:
    """Say how the estimators of a class are read: from then on everything that takes a model takes them.

    Args:
        kind: the class, or ``"package.ClassName"``, so that it need not be imported: the first part of the name of the module
            that defines it, and its own name. Subclasses are read so too, unless they have an entry of their own.
        build: makes the family of a fitted estimator. What it makes is held to the estimator's own `predict_proba` whenever
            one is read.

    Raises:
        ValueError: if the name has another form, or is registered already.

    Example:
        >>> from knowlimits.families import Tree, Trees, register
        >>> import numpy as np
        >>> class Stump:
        ...     classes_, n_features_in_ = np.array([0, 1]), 1
        ...     def predict_proba(self, X):
        ...         return np.where(np.asarray(X) <= 0, [[0.9, 0.1]], [[0.2, 0.8]])
        >>> def trees(stump):
        ...     ends = np.array([[0, 0], [0.9, 0.1], [0.2, 0.8]])
        ...     return Trees([Tree(np.zeros(3, int), np.zeros(3), np.array([1, -1, -1]), np.array([2, -1, -1]), ends)], 2)
        >>> register(Stump, trees)
        >>> import knowlimits as kl
        >>> kl.far_field(Stump(), [[3.0]], [[-1.0]]).probs
        array([[[0.9, 0.1]]])
    """
    name = kind if isinstance(kind, str) else name_of(kind)
    package, dot, own = name.partition(".")
    if not (package.isidentifier() and dot and own.isidentifier()):
        raise ValueError(f"kind must be a class or 'package.ClassName'. Got {name!r} instead.")
    if name in KINDS:
        raise ValueError(f"kind must be new. Got {name!r}, which is registered.")
    KINDS[name] = family_kind(build)
