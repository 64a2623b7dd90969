"""Activations, softmax and clipping."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from knowlimits.files.onnx.arithmetic import maximum, minimum
from knowlimits.files.onnx.building import Operation, Operator, plain, scaled
from knowlimits.files.onnx.graph import Node
from knowlimits.follow import UnsupportedOperation


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """Leaky ReLU with a tensor of slopes that broadcasts to the input."""
    return torch.relu(x) - slope.expand(x.shape) * torch.relu(-x)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    """Scaled ELU."""
    return gamma * F.elu(x, alpha)


def swish(x: Tensor, alpha: float) -> Tensor:
    """``x * sigmoid(alpha * x)``."""
    return F.silu(x) if alpha == 1 else F.silu(alpha * x) / alpha


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``; torch's own threshold of 20 would leave errors of 2e-9."""
    return F.softplus(x, 1.0, 40.0)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    """``alpha * x + beta`` between 0 and 1."""
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


def clip(x: Tensor, low: float | Tensor | None, high: float | Tensor | None) -> Tensor:
    """Numbers between bounds; `high` where the bounds are the wrong way round."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        x = x if low is None else maximum(x, torch.as_tensor(low, dtype=x.dtype))
        return x if high is None else minimum(x, torch.as_tensor(high, dtype=x.dtype))
    if low is None and high is None:
        return x
    return torch.clamp(x, low, high)


def thresholded(x: Tensor, alpha: float) -> Tensor:
    """Numbers above a threshold, and 0 for others."""
    return torch.relu(x) if alpha == 0 else torch.where(x > alpha, x, 0.0)


def shrunk(x: Tensor, bias: float, lambd: float) -> Tensor:
    """Numbers nearer to 0 by a bias where they are farther than `lambd` from it, else 0."""
    if bias == lambd >= 0:
        return F.softshrink(x, lambd)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0.0))


def hardmax(x: Tensor, axis: int, flat: bool) -> Tensor:
    """1 at the first of the largest numbers along an axis, and 0 elsewhere; `flat` as `flat_softmax` has it."""
    shape, axis = x.shape, axis % x.ndim if axis < x.ndim else axis
    if flat:
        x, axis = x.reshape(*shape[:axis], math.prod(shape[axis:])), -1
    size = [1] * x.ndim
    size[axis] = -1
    places = torch.arange(x.shape[axis], device=x.device).reshape(size)
    return (x.argmax(axis, keepdim=True) == places).to(torch.float64).reshape(shape)


def flat_softmax(x: Tensor, axis: int, logarithm: bool) -> Tensor:
    """Softmax before opset 13: over an axis and all after it, jointly."""
    axis = axis % x.ndim if axis < x.ndim else axis
    flat = x.reshape(*x.shape[:axis], math.prod(x.shape[axis:]))
    return (torch.log_softmax(flat, -1) if logarithm else torch.softmax(flat, -1)).reshape(x.shape)


def gelu(x: Tensor, approximate: str) -> Tensor:
    """GELU, or tanh in its place."""
    return F.gelu(x, approximate=approximate)


def softmax_axis(node: Node) -> tuple[int, bool]:
    """The axis of a softmax, and whether all after it count as well, as they did before opset 13."""
    flat = node.version < 13
    return node.get("axis", 1 if flat else -1), flat


def _softmax(function: Callable[..., Any], logarithm: bool) -> Operator:
    def convert(o: Operation) -> Any:
        (x,), (axis, flat) = o.take(1), softmax_axis(o.node)
        return o.call(flat_softmax, x, axis, logarithm) if flat else o.call(function, x, axis)

    return Operator(convert)


def _clip(o: Operation) -> Any:
    x, *bounds = o.take(1, 2)
    # Attributes before opset 11.
    bounds = [o.node.value(name) if bound is None else bound for name, bound in zip(("min", "max"), bounds, strict=True)]
    return o.call(clip, x, *map(_bound, bounds))


def _bound(bound: Any) -> Any:
    """A bound as a number, if it is one; None if it bounds nothing."""
    if not (isinstance(bound, float) or (isinstance(bound, Tensor) and bound.numel() == 1)):
        return bound
    number = float(bound)
    if math.isnan(number):
        raise ValueError("a bound must be a number. Got NaN instead")
    return None if math.isinf(number) else number


def _dropout(o: Operation) -> Any:
    training = o.constant(2, "training_mode")
    if training is not None and bool(training.any()):
        raise UnsupportedOperation("it drops numbers at random: export the model in eval mode")
    return o.take(1)[0]


TABLE = {
    "Relu": plain(torch.relu),
    "LeakyRelu": scaled(F.leaky_relu, alpha=0.01),
    "PRelu": plain(prelu),
    "Elu": scaled(F.elu, alpha=1.0),
    "Celu": scaled(F.celu, alpha=1.0),
    "Selu": scaled(selu, alpha=1.6732632423543772, gamma=1.0507009873554805),
    "Gelu": Operator(lambda o: o.call(gelu, *o.take(1), o.node.get("approximate", "none"))),
    "Sigmoid": plain(torch.sigmoid),
    "HardSigmoid": scaled(hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": plain(F.hardswish),
    "Tanh": plain(torch.tanh),
    "Atan": plain(torch.atan),
    "Erf": plain(torch.erf),
    "Mish": plain(F.mish),
    "Swish": scaled(swish, alpha=1.0),
    "Softplus": plain(softplus),
    "Softmax": _softmax(torch.softmax, logarithm=False),
    "LogSoftmax": _softmax(torch.log_softmax, logarithm=True),
    "Hardmax": Operator(lambda o: o.call(hardmax, *o.take(1), *softmax_axis(o.node))),
    "Softsign": plain(F.softsign),
    "ThresholdedRelu": scaled(thresholded, alpha=1.0),
    "Shrink": scaled(shrunk, bias=0.0, lambd=0.5),
    "Clip": Operator(_clip),
    "Dropout": Operator(_dropout),
}
