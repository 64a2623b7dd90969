"""The zoo: models as people bring them."""

from itertools import chain

from tests.zoo import (
    boosters,
    densities,
    endings,
    estimators,
    files,
    forests,
    kernels,
    layouts,
    linear,
    neighbours,
    published,
    steps,
    torch_wrappers,
)
from tests.zoo.entry import Entry

#: Names of the kinds of models, for the page, and the models of each.
GROUPS: dict[str, dict[str, Entry]] = {
    "What a network ends in": endings.ENTRIES,
    "The shape of what it returns": layouts.ENTRIES,
    "How a network is made": torch_wrappers.ENTRIES,
    "Layers and networks of others": published.ENTRIES,
    "Files and programs": files.ENTRIES,
    "Steps before it": steps.ENTRIES,
    "What is round it": estimators.ENTRIES,
    "Linear classifiers": linear.ENTRIES,
    "Trees": forests.ENTRIES,
    "Boosting of other libraries": boosters.ENTRIES,
    "Neighbours": neighbours.ENTRIES,
    "Naive Bayes and discriminants": densities.ENTRIES,
    "Kernels": kernels.ENTRIES,
}

ZOO: dict[str, Entry] = dict(chain.from_iterable(group.items() for group in GROUPS.values()))

assert len(ZOO) == sum(map(len, GROUPS.values())), "two models have one name"
