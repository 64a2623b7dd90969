"""Graphs of what `knowlimits.read` makes of a model: its networks, one after another, and the mean over their members.

A `Stack`, sums of trees and plain layers one after another are written here. All other networks are torch modules, which
torch's own exporter writes (`modules.py`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import nn

from knowlimits._torch import hooks
from knowlimits.files.export.graph import Draft
from knowlimits.files.export.modules import module_probabilities
from knowlimits.files.export.trees import is_trees, tree_sums
from knowlimits.model.arrays import both
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from knowlimits.model.network import Axes, Network
from knowlimits.model.stack import Stack

# Modules that are one operator, with its attributes; others do nothing where a model predicts.
_OPERATORS: dict[type, tuple[str, dict[str, Any]]] = {
    nn.ReLU: ("Relu", {}),
    nn.Tanh: ("Tanh", {}),
    nn.Sigmoid: ("Sigmoid", {}),
    nn.Softmax: ("Softmax", {"axis": 1}),
}
_NOTHING = (nn.Identity, nn.Dropout)


def in_doubles(model: Model) -> bool:
    """Whether all networks of a model are in float64, however they are written."""
    return all(isinstance(network, Stack) or is_trees(network.module) for network in model.inner)


def is_drawn(model: Model) -> bool:
    """Whether all networks of a model are written without torch's exporter."""
    return in_doubles(model) or all(
        isinstance(one, Stack) or is_trees(one.module) or _plain(one) is not None for one in model.inner
    )


def probabilities(draft: Draft, x: str, model: Model, shape: Sequence[int], single: bool = False) -> str:
    """The mean over all members, ``(N, classes)`` in float64.

    Args:
        draft: of the graph.
        x: name of the rows, ``(N, ...)`` in float64.
        model: whose steps, if it has any, are layers of its networks, or written already.
        shape: of one row.
        single: whether torch modules compute in float32.

    Raises:
        ValueError: if a module cannot be exported.
    """
    networks = model.networks if model.as_layers else model.inner
    parts = [(_of_network(draft, x, network, shape, single), network.members) for network in networks]
    if len(parts) == 1:
        return parts[0][0]
    weighted = [draft.call("Mul", p, draft.constant(np.float64(count / model.members))) for p, count in parts]
    return draft.call("Sum", *weighted)


def _of_network(draft: Draft, x: str, network: Network | Stack, shape: Sequence[int], single: bool) -> str:
    """The mean over a network's members."""
    if isinstance(network, Stack):
        return _of_stack(draft, x, network)
    if is_trees(network.module):
        found, count = tree_sums(draft, x, network.module, shape[0])  # type: ignore[arg-type]
    elif (layers := _plain(network)) is not None and len(shape) == 1:
        found, count = _of_layers(draft, x, layers, single)
    else:
        return module_probabilities(draft, x, network, shape, single)
    if network.outputs is Outputs.LOGITS:
        # One number f is the logits (0, f).
        zero = [draft.call("Sub", found, found), found] if count == 1 else []
        found = draft.call("Softmax", draft.call("Concat", *zero, axis=1) if zero else found, axis=1)
    elif count == 1:
        found = draft.call("Concat", draft.call("Sub", draft.constant(np.float64(1)), found), found, axis=1)
    return _spread(draft, found, network)


def _plain(network: Network) -> list[nn.Module] | None:
    """The layers of a network that is nothing but plain ones, one after another; None for another."""
    layers = [network.module]
    while nested := next((place for place, one in enumerate(layers) if type(one) is nn.Sequential), -1) + 1:
        layers[nested - 1 : nested] = list(layers[nested - 1].children())
    known = (nn.Linear, *_OPERATORS, *_NOTHING)
    # A softmax of all classes is that of a row.
    good = all(type(one) in known and getattr(one, "dim", 1) in (1, -1) and not hooks(one) for one in layers)
    linear = [one for one in layers if isinstance(one, nn.Linear)]
    good &= bool(linear) and all(a.out_features == b.in_features for a, b in pairwise(linear))
    plain = network.axes is Axes.ROWS and not network.pairs and network.outputs is not Outputs.LOG_PROBABILITIES
    return layers if good and plain else None


def _of_layers(draft: Draft, x: str, layers: Sequence[nn.Module], single: bool) -> tuple[str, int]:
    """What plain layers return in float64, and how many numbers."""
    kind, count = np.float32 if single else np.float64, 0
    x = draft.cast(x, "FLOAT") if single else x
    for layer in layers:
        if isinstance(layer, nn.Linear):
            parameters = [layer.weight] + ([] if layer.bias is None else [layer.bias])
            numbers = [draft.constant(one.detach().cpu().numpy().astype(kind), "weight") for one in parameters]
            x, count = draft.call("Gemm", x, *numbers, transB=1), layer.out_features
        elif type(layer) in _OPERATORS:
            operator, attributes = _OPERATORS[type(layer)]
            x = draft.call(operator, x, **attributes)
    return draft.cast(x, "DOUBLE") if single else x, count


def _spread(draft: Draft, p: str, network: Network) -> str:
    """Probabilities of the network's own classes at their places among the model's."""
    if network.places is None:
        return p
    own, count = network.places
    matrix = np.zeros((len(own), count))
    matrix[np.arange(len(own)), list(own)] = 1
    return draft.call("MatMul", p, draft.constant(matrix))


def _of_stack(draft: Draft, x: str, stack: Stack) -> str:
    """Layers of all members at once: one matrix for one member, else a batch of them."""
    layers = [(w.detach().double().cpu().numpy(), b.detach().double().cpu().numpy()) for w, b in _layers(stack)]
    alone = stack.members == 1
    for place, (weight, bias) in enumerate(layers):
        if alone:
            x = draft.call("Gemm", x, draft.constant(weight[0], "weight"), draft.constant(bias[0], "bias"), transB=1)
        else:
            product = draft.call("MatMul", x, draft.constant(weight.transpose(0, 2, 1), "weight"))
            x = draft.call("Add", product, draft.constant(bias[:, None], "bias"))
        if place < len(layers) - 1:
            x = draft.call("Relu", x)
    p = draft.call("Softmax", x, axis=-1)
    return p if alone else draft.call("ReduceMean", p, draft.constant(np.array([0])), keepdims=0)


def _layers(stack: Stack) -> list[tuple]:
    """Weights ``(members, out, in)`` and biases ``(members, out)``; one logit f becomes the two logits (0, f)."""
    *rest, (weight, bias) = zip(stack.weights, stack.biases, strict=True)
    return [*rest, (both(weight.transpose(1, 2)).transpose(1, 2), both(bias))]
