"""Ensembles as lists: of modules, of estimators, of what was read already, nested as people have them."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.copies import copied, unwrapped
from knowlimits.model.kinds.fitted import some
from knowlimits.model.kinds.parts import Networks, on_same_inputs, reordered
from knowlimits.model.model import Model
from knowlimits.model.outputs import logits_of


def read_list(models: Any, asked: Asked) -> Model:
    """All members of several models.

    Raises:
        ValueError: for none, or for models that differ in classes or in features.
    """
    if not len(models):
        raise ValueError(f"model must have a member at least. Got an empty {type(models).__name__} instead.")
    # Together, so that modules which share parameters share the copies.
    modules = [module for module in _modules(models) if id(module) not in asked.copies]
    copies = {id(module): copy for module, copy in zip(modules, copied(modules), strict=True)}
    asked = dataclasses.replace(asked, copies={**asked.copies, **copies})
    return _gathered([asked.read(one, asked.rows) for one in models], type(models).__name__, asked)


def read_dict(models: Any, asked: Asked) -> Model:
    """All members of several models that have names.

    Raises:
        ValueError: as `read_list` does.
    """
    if not models:
        raise ValueError("model must have a member at least. Got an empty dict instead.")
    return dataclasses.replace(read_list(list(models.values()), asked), name=type(models).__name__)


def _gathered(parts: Sequence[Model], name: str, asked: Asked) -> Model:
    labels = [part.classes_ for part in parts if part.classes_ is not None]
    for other in labels[1:]:
        if sorted(map(repr, other.tolist())) != sorted(map(repr, labels[0].tolist())):
            raise _other_classes(f"{labels[0].tolist()} and {other.tolist()}: fit them to the same labels, or read each alone")
    features = {part.n_features_in_ for part in parts if part.n_features_in_ is not None}
    if len(features) > 1:
        raise ValueError(f"model must have members that take the same features. Got {sorted(features)} of them.")
    names = {part.feature_names_in_ for part in parts if part.feature_names_in_ is not None}
    if len(names) > 1:
        shown = " and ".join(str(list(one)) for one in sorted(names)[:2])
        raise ValueError(f"model must have members that take the same features in the same order. Got {shown}.")
    found: dict[str, Any] = {
        "classes_": labels[0] if labels else None,
        "n_features_in_": next(iter(features), None),
        "feature_names_in_": next(iter(names), None),
    }
    steps, networks, _ = on_same_inputs(parts, asked, found)
    inner = [one for part, own in zip(parts, networks, strict=True) for one in _in_order(part, own, found["classes_"])]
    files = tuple(file for part in parts for file in part.files) if all(part.files for part in parts) else ()
    whole = Model(name, tuple(inner), steps, **found, files=files)
    if asked.rows is not None:
        _check_outputs(whole, asked)
    return whole


def _in_order(part: Model, networks: Networks, classes: np.ndarray | None) -> Networks:
    """Networks of a part, whose outputs are classes in a given order."""
    if classes is None or part.classes_ is None or np.array_equal(part.classes_, classes):
        return networks
    order = [part.classes_.tolist().index(label) for label in classes.tolist()]
    return [reordered(network, order) for network in networks]


def _check_outputs(whole: Model, asked: Asked) -> None:
    """Refuse members with different numbers of classes, which modules do not say."""
    with torch.no_grad():
        points = whole.entering(whole.points(asked.name, some(asked.rows))[:2])
        counts = {logits_of(network, network(points)).shape[-1] for network in whole.networks}
    if len(counts) > 1:
        raise _other_classes(f"{' and '.join(map(str, sorted(counts)))} of them")


def _other_classes(what: str) -> ValueError:
    return ValueError(f"model must have members of the same classes. Got {what}.")


def _modules(models: Any) -> Iterator[nn.Module]:
    for one in models:
        if isinstance(one, list | tuple | nn.ModuleList):
            yield from _modules(one)
        elif isinstance(one, nn.Module):
            yield unwrapped(one)
