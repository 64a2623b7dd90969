"""Fitted classifiers of this library: their weights as tensors, and all else in a header.

What a header says is held against the tensors, and against the header that the model which comes of it would be written with,
so that nothing in it can mean something else than it says.
"""

import itertools
from typing import Any

import numpy as np
import torch

from knowlimits.files.saved.checked import (
    as_text,
    check_finite,
    check_order,
    labels,
    plain,
    real_numbers,
    require,
    said_of_labels,
    texts,
    whole_numbers,
)
from knowlimits.model.stack import Stack
from knowlimits.train import classifiers

#: The version of the format in which classifiers are written.
VERSION = 1
_FIELDS = ("version", "class", "parameters", "classes", "classes_dtype", "feature_names", "n_epochs", "validation_loss")


def classifier_parts(model: classifiers.StackClassifier) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a fitted classifier.

    Raises:
        TypeError: if it is not fitted, its class is not registered, or a parameter or label has no form in JSON.
        ValueError: if a weight is not finite.
    """
    kind = type(model)
    if not hasattr(model, "stack_"):
        raise TypeError(f"model must be a fitted classifier. Got {kind.__name__} that is not: call fit(X, y) first.")
    if classifiers.CLASSIFIERS.get(kind.__name__) is not kind:
        raise TypeError(
            f"model must be of a registered class. Got {kind.__name__} instead: enter it in "
            "knowlimits.train.classifiers.CLASSIFIERS, under its name, here and wherever its files are loaded."
        )
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.stack_.state_dict().items()}
    check_finite(tensors)
    return _header(model), tensors


def classifier_of(header: dict[str, Any], tensors: dict[str, torch.Tensor], device: str) -> classifiers.StackClassifier:
    """What a header and tensors say, if they fit together.

    Raises:
        ValueError, TypeError, KeyError: if they do not.
    """
    unknown = set(header) - set(_FIELDS)
    require(not unknown, f"{sorted(unknown)} are unknown")
    name = header["class"]
    require(isinstance(name, str) and name in classifiers.CLASSIFIERS, f"no class {name!r} is known")
    require(isinstance(header["parameters"], dict), "parameters is no object")
    parameters = dict(header["parameters"])
    if isinstance(parameters["class_weight"], dict):
        parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]["pairs"]))
    if isinstance(parameters["hidden_sizes"], list):
        parameters["hidden_sizes"] = tuple(parameters["hidden_sizes"])
    model: Any = classifiers.CLASSIFIERS[name](**{**parameters, "device": device})
    model.stack_ = _stack(tensors).to(device)
    model.n_features_in_ = model.stack_.n_features
    model.classes_ = labels(header["classes"], header["classes_dtype"], model.stack_.classes)
    check_order(header["classes"])
    if (names := header["feature_names"]) is not None:
        good = texts(names) and len(names) == model.n_features_in_
        require(good, f"feature_names are not the names of {model.n_features_in_} features")
        model.feature_names_in_ = np.array(names, dtype=object)
    epochs, losses = header["n_epochs"], header["validation_loss"]
    require(whole_numbers(epochs), "n_epochs are no whole numbers")
    require(isinstance(losses, list) and all(map(real_numbers, losses)), "validation_loss are no lists of numbers")
    model.n_epochs_ = np.array(epochs, dtype=np.int64)
    model.validation_loss_ = losses
    _check_same(header, _header(model), set(parameters) - {"device"})
    return model


def _stack(tensors: dict[str, torch.Tensor]) -> Stack:
    layers = range(len(tensors) // 2)
    names = [f"{kind}.{i}" for i in layers for kind in ("weights", "biases")]
    require(bool(names) and set(tensors) == set(names), "the tensors are not the weights and biases of layers")
    for name, axes in zip(names, itertools.cycle((3, 2))):
        tensor = tensors[name]
        require(tensor.dtype == torch.float64, f"{name} has numbers of type {tensor.dtype}, not float64")
        require(tensor.ndim == axes and tensor.numel() > 0, f"{name} has the shape {tuple(tensor.shape)}")
        require(bool(tensor.isfinite().all()), f"{name} has numbers that are not finite")
    return Stack([tensors[f"weights.{i}"] for i in layers], [tensors[f"biases.{i}"] for i in layers])


def _header(model: classifiers.StackClassifier) -> dict[str, Any]:
    """What is said about a fitted classifier."""
    parameters = model.get_params(deep=False)
    if isinstance(parameters["random_state"], np.random.RandomState):
        # Its state is spent; what it led to is in the weights.
        parameters["random_state"] = None
    if isinstance(parameters["class_weight"], dict):
        parameters["class_weight"] = {"pairs": [[plain(k), plain(v)] for k, v in parameters["class_weight"].items()]}
    return {
        "version": VERSION,
        "class": type(model).__name__,
        "parameters": {key: plain(value) for key, value in parameters.items()},
        **said_of_labels(model.classes_),
        "feature_names": list(getattr(model, "feature_names_in_", [])) or None,
        "n_epochs": model.n_epochs_.tolist(),
        "validation_loss": model.validation_loss_,
    }


def _check_same(header: dict[str, Any], own: dict[str, Any], parameters: set[str]) -> None:
    """Raise where a header says something else than that of the model which came of it."""
    for key in _FIELDS:
        if key not in ("parameters", "classes_dtype"):
            require(as_text(header[key]) == as_text(own[key]), f"{key} cannot be what it says")
    for key in parameters:
        require(as_text(header["parameters"][key]) == as_text(own["parameters"][key]), f"{key} cannot be what it says")
