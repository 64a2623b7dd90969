"""What the published code of Ulmer and Cina (2021) computes, in plain torch and NumPy, for comparison with ours."""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from knowlimits.model.stack import Stack
from knowlimits.studies.half_moons import settings
from knowlimits.train.classifiers.holdout import Split

#: Weights of many networks, `(networks, out, in)`, and biases, `(networks, out)`, layer after layer.
Layers = list[Tensor]
#: A penalty for each network, of weights and of the number of rows in the mini-batch.
Penalty = Callable[[Layers, int], Tensor]


def train(
    layers: Layers, data: Split, stages: Sequence[np.ndarray], random: np.random.Generator, penalty: Penalty | None = None
) -> Stack:
    """Train networks with the published loop, in plain torch: the loss, the class weights and the early stopping of its `MLP`.

    Args:
        layers: initial weights and biases.
        data: rows to train and validate on.
        stages: rows to learn from, ``(networks, rows)``, one after the other, with one optimiser.
        random: source of shuffles and dropout masks.
        penalty: added to each network's loss: ``(layers, batch size) -> (networks,)``.
    """
    parameters = {**settings()["training"], **settings()["models"]["NN"]["parameters"]}
    rate = parameters["dropout"]
    layers = [t.clone().requires_grad_() for t in layers]
    networks = len(layers[0])
    optimizer = torch.optim.Adam(layers, lr=parameters["learning_rate"])
    X, y, X_val, y_val = (torch.tensor(a, dtype=torch.float32) for a in (data.X, data.y, data.X_val, data.y_val))

    def losses(X: Tensor, y: Tensor, dropout: bool) -> Tensor:
        hidden = X
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            hidden = (hidden @ weight.mT + bias[:, None]).relu()
            if dropout:
                kept = torch.from_numpy(random.random(hidden.shape) >= rate)
                hidden = hidden * kept / (1 - rate)
        logits = (hidden @ layers[-2].mT + layers[-1][:, None])[..., 0]
        mean = y.mean(1, keepdim=True)
        weights = torch.where(mean == 1, 1.0, (1 - mean) / mean).nan_to_num(posinf=0.0)
        loss = binary_cross_entropy_with_logits(logits, y, pos_weight=weights, reduction="none").mean(1)
        return loss if penalty is None else loss + penalty(layers, y.shape[1])

    X_val, y_val = X_val.expand(networks, -1, -1), y_val.expand(networks, -1)
    for rows in stages:
        best, bad = torch.full((networks,), math.inf), torch.zeros(networks)
        stopped = torch.zeros(networks, dtype=torch.bool)
        for _ in range(parameters["epochs"]):
            kept = [t.detach().clone() for t in layers]
            order = torch.from_numpy(random.permuted(rows, axis=1))
            for batch in order.split(parameters["batch_size"], dim=1):
                optimizer.zero_grad()
                losses(X[batch], y[batch], dropout=True).sum().backward()
                optimizer.step()
            with torch.no_grad():
                for tensor, old in zip(layers, kept, strict=True):
                    tensor[stopped] = old[stopped]
                values = losses(X_val, y_val, dropout=False)
            bad = torch.where(values >= best, bad + 1, 0)
            best = torch.minimum(best, values)
            stopped |= bad >= parameters["patience"]
    fitted = [t.detach().double() for t in layers]
    return Stack(fitted[::2], fitted[1::2])


def mutual_information(probs: np.ndarray) -> np.ndarray:
    """What the published code calls mutual information, in bits, of ``(members, n, classes)`` probabilities."""

    def entropy(p: np.ndarray, axis: int) -> np.ndarray:
        return -(p * np.log2(p + 1e-8)).sum(axis)

    return entropy(probs.mean(2), 0) - entropy(probs, 2).mean(0)


def entropy_gradient(stack: Stack, points: np.ndarray) -> np.ndarray:
    """Length of the gradient of a network's entropy in bits as published: 1e-8 inside the logarithm, float32."""
    inputs = torch.tensor(points, dtype=torch.float32, requires_grad=True)
    single = copy.deepcopy(stack).float()
    p = single(inputs)[0, :, 1].sigmoid()
    p = torch.stack([1 - p, p], 1)
    (gradient,) = torch.autograd.grad(-(p * torch.log2(p + 1e-8)).sum(), inputs)
    return gradient.norm(dim=1).numpy()


def platt_scaling(logits: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float]:
    """Slope and shift as the published code fits them: SGD that stops once mini-batches have had larger losses."""
    training = settings()["training"]
    random = np.random.default_rng(seed)
    layer = torch.tensor(random.uniform(-1, 1, 2), dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.SGD([layer], lr=0.1)
    inputs, targets = (torch.tensor(a, dtype=torch.float32) for a in (logits, y))
    best, bad = math.inf, 0
    for _ in range(training["epochs"]):
        for batch in torch.from_numpy(random.permutation(len(y))).split(training["batch_size"]):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(layer[0] * inputs[batch] + layer[1], targets[batch])
            loss.backward()
            optimizer.step()
            value = loss.item()
            best, bad = (value, 0) if value < best else (best, bad + 1)
        if bad >= training["patience"]:
            break
    slope, shift = layer.detach().tolist()
    return slope, shift


def prior(networks: int, random: np.random.Generator) -> Layers:
    """A draw from what the published anchored ensemble takes for its prior; `k` of a bias is its layer's outputs."""
    draws = [random.normal(0, (2 / shape[-1]) ** 0.25, shape) for shape in _shapes(networks)]
    return [torch.tensor(d, dtype=torch.float32) for d in draws]


def penalty(anchors: Layers) -> Penalty:
    """The norm of the weighted distance to the anchors, tensor by tensor, over the size of the mini-batch."""

    def value(layers: Layers, batch: int) -> Tensor:
        terms = []
        for tensor, anchor in zip(layers, anchors, strict=True):
            scale = math.sqrt(0.5 * math.sqrt(2 / tensor.shape[-1]))
            terms.append((scale * (tensor - anchor)).flatten(1).norm(dim=1) / batch)
        return torch.stack(terms).sum(0)

    return value


def start(networks: int, random: np.random.Generator) -> Layers:
    """Weights and biases as `torch.nn.Linear` starts."""
    shapes = _shapes(networks)
    fan_in = [shape[2] for shape in shapes[::2] for _ in range(2)]
    draws = [random.uniform(-1, 1, shape) / math.sqrt(k) for shape, k in zip(shapes, fan_in, strict=True)]
    return [torch.tensor(d, dtype=torch.float32) for d in draws]


def _shapes(networks: int) -> list[tuple[int, ...]]:
    """Shapes of weights and biases of the published ensembles, layer after layer."""
    sizes = [2, *settings()["models"]["NN"]["parameters"]["hidden_sizes"], 1]
    return [s for i, o in zip(sizes[:-1], sizes[1:], strict=True) for s in ((networks, o, i), (networks, o))]
