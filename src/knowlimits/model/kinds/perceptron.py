"""scikit-learn's MLPClassifier."""

from typing import Any

from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.kinds.fitted import about, check_fitted, proven, several_labels
from knowlimits.model.model import Model, check_numbers, linear
from knowlimits.model.network import Network

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": nn.Identity}


def read_perceptron(model: Any, asked: Asked) -> Model:
    """Its layers, but for the softmax or sigmoid at the end.

    Raises:
        ValueError: if it is not fitted, or was fitted to several labels per row.
    """
    check_fitted(model, "coefs_", "intercepts_", "out_activation_")
    if model.out_activation_ == "logistic" and model.n_outputs_ > 1:
        raise several_labels(model)
    layers: list[nn.Module] = []
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        layers += [linear(weight.T, bias), _ACTIVATIONS[model.activation]()]
    module = nn.Sequential(*layers[:-1])
    check_numbers(module)
    return proven(Model(type(model).__name__, (Network(module),), **about(model)), model, asked)
