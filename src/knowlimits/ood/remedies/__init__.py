"""Remedies: classifiers that do not stay sure of themselves far away, and the registry of them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from knowlimits.ood.remedies.applied import Applied, AsItIs, Guarded
from knowlimits.ood.remedies.guard import Guard
from knowlimits.ood.remedies.laplace_members import LaplaceMembers


@dataclass(frozen=True)
class Remedy:
    """A remedy in the registry.

    Attributes:
        label: what people call it.
        score: the name of its entropy among the scores of a panel.
        fit: applies it to a model, by the model, data ``(n, features)`` like those that it was trained on, labels ``(n,)``, and
            places of columns whose numbers are codes of categories.
        to_all: whether it can be applied to every model; else `fit` says by a ValueError where it cannot.
        own: the name of a score of its own, beside that entropy; ``""`` where it has none.
    """

    label: str
    score: str
    fit: Callable[[Any, Any, Any, Collection[int]], Applied]
    to_all: bool = True
    own: str = ""


#: By ids, which tables and files have. The first is none, so that a model is beside what becomes of it.
REMEDIES: dict[str, Remedy] = {
    "model": Remedy("as it is", "entropy", lambda model, X, y, categories: AsItIs()),
    "laplace": Remedy(
        "last-layer Laplace", "laplace_entropy", lambda model, X, y, categories: LaplaceMembers(model, X, y), to_all=False
    ),
    "guard": Remedy(
        "guard",
        "guarded_entropy",
        lambda model, X, y, categories: Guarded(Guard(model, categories=categories, random_state=0).fit(X)),
        own="unfamiliarity",
    ),
}
