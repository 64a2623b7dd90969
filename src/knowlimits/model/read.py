"""The one door for models: `read` takes one in, once, and everything else looks at the `Model` that comes of it.

Networks are copied, so that a person's model stays as it was, and the copies are in its mode; `knowlimits.model.modes` says
which modules are refused in train mode.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from knowlimits.model.exported import with_linear_modules
from knowlimits.model.model import Model, Outputs, check_numbers, linear, with_steps
from knowlimits.model.modes import check_mode
from knowlimits.model.pipelines import Steps, before_last
from knowlimits.model.stack import Stack
from knowlimits.options import chosen

ACCEPTED = (
    "a fitted classifier of knowlimits, a torch.nn.Module, a torch.export program, a fitted scikit-learn MLPClassifier, "
    "a Pipeline of affine steps that ends in one of these, or a list of any of them"
)


def read(model: Any, outputs: str | None = None) -> Model:
    """What this library understands of a model: a `Model`, which everything that takes a model takes as well.

    A `Model` saves reading the same one again and again, and says what was understood when it is printed. One that is read
    again is given back as it is.

    Args:
        model: what `knowlimits.far_field` takes, or a Pipeline that ends in one, whose other steps may encode categories.
        outputs: what its networks return: ``"logits"``, which it is without it, or ``"probabilities"``.

    Raises:
        TypeError: if the model is none of these.
        ValueError: if it is in train mode where that matters, is not fitted, or has weights that are not finite.

    Example:
        >>> import torch, knowlimits as kl
        >>> print(kl.read(torch.nn.Linear(2, 3)))
        Linear
          members   1, or as many as the outputs have an axis for
          features  not said
          classes   not said
          outputs   logits
          steps     none
    """
    wanted = None if outputs is None else chosen(Outputs, "outputs", outputs)
    if isinstance(model, Model):
        if wanted not in (None, model.outputs):
            raise ValueError(f"outputs must be '{model.outputs}', as which the model was read. Got '{wanted}' instead.")
        return model
    returned, name, steps, last = wanted or Outputs.LOGITS, type(model).__name__, None, model
    if is_sklearn("Pipeline", model):
        last = model.steps[-1][1]
        name, steps = type(last).__name__, Steps.of(model)
    inner = _copied(_flat(last, returned))
    classes, names = getattr(model, "classes_", None), getattr(model, "feature_names_in_", None)
    return Model(
        name,
        inner,
        returned,
        steps,
        None if classes is None else np.asarray(classes),
        getattr(model, "n_features_in_", inner[0].n_features if isinstance(inner[0], Stack) and steps is None else None),
        None if names is None else tuple(map(str, names)),
    )


def read_logits(model: Any) -> Model:
    """A model of which the logits are looked at.

    Raises:
        ValueError: if it was read as one that returns probabilities.
    """
    model = read(model)
    if model.outputs is not Outputs.LOGITS:
        raise ValueError(f"model must return logits here. Got one that was read with outputs='{model.outputs}'.")
    return model


def _flat(model: Any, outputs: Outputs) -> list[nn.Module]:
    if isinstance(model, Model):
        return list(read(model, outputs).networks)
    if not isinstance(model, list | tuple | nn.ModuleList):
        return [_as_module(model)]
    if not len(model):
        raise ValueError("model must have a member at least. Got an empty list instead.")
    return [module for one in model for module in _flat(one, outputs)]


def _as_module(model: Any) -> nn.Module:
    """What one model computes, as a module of its own.

    Raises:
        TypeError: if it is nothing that is accepted.
        ValueError: for a module in train mode that does something else in eval mode.
    """
    model = getattr(model, "stack_", model)
    if isinstance(model, nn.Module):
        check_mode(model)
        return model
    if isinstance(model, torch.export.ExportedProgram):
        return with_linear_modules(model)
    if is_sklearn("Pipeline", model):
        return with_steps(before_last(model), _as_module(model.steps[-1][1]))
    if is_sklearn("MLPClassifier", model):
        return _from_mlp(model)
    raise TypeError(f"model must be {ACCEPTED}. Got {type(model).__name__} instead.")


def _copied(modules: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
    """Copies of modules in float64 without gradients; together, so that modules which share parameters share the copies.

    Raises:
        ValueError: if weights are not finite.
    """
    copies = tuple(module.double().requires_grad_(False) for module in copy.deepcopy(list(modules)))
    for module in copies:
        check_numbers(module)
    return copies


_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": nn.Identity}


def _from_mlp(model: Any) -> nn.Module:
    if not hasattr(model, "coefs_"):
        raise ValueError("model must be fitted. Got an MLPClassifier that is not: call fit first.")
    if model.out_activation_ == "logistic" and model.n_outputs_ > 1:
        raise ValueError("model must have one label per row. Got an MLPClassifier that was fitted to several.")
    layers: list[nn.Module] = []
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        layers += [linear(weight.T, bias), _ACTIVATIONS[model.activation]()]
    return nn.Sequential(*layers[:-1])


def is_sklearn(kind: str, model: Any) -> bool:
    """Whether a model is of a class of scikit-learn, by its name, so that scikit-learn need not be imported to tell."""
    return any(one.__name__ == kind and one.__module__.startswith("sklearn.") for one in type(model).__mro__)
