"""What counts as a model: everything that becomes a list of torch modules in float64.

The modules are copies, so that a person's model stays as it was, and the copies are in its mode; `knowlimits.model.modes`
says which modules are refused in train mode.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits._machine import are_small, one_thread, rows_at_a_time
from knowlimits._torch import CONVOLUTIONS
from knowlimits.model.exported import with_linear_modules
from knowlimits.model.modes import check_mode
from knowlimits.model.pipelines import before_last, is_sklearn
from knowlimits.model.stack import Stack

ACCEPTED = (
    "a fitted classifier of knowlimits, a torch.nn.Module, a torch.export program, a fitted scikit-learn MLPClassifier, "
    "a Pipeline of affine steps that ends in one of these, or a list of any of them"
)


def as_modules(model: Any) -> list[nn.Module]:
    """The members of a model as modules in float64, copies without gradients.

    A `Stack` stays one module. Every module maps ``(n, ...)`` inputs to ``(members, n, classes)``, ``(n, classes)``, ``(n, 1)``
    or ``(n,)`` outputs.

    Raises:
        TypeError: for anything else.
        ValueError: for a module in train mode that does something else in eval mode.
    """
    # Copied together, so that members who share parameters share the copies.
    modules = [module.double().requires_grad_(False) for module in copy.deepcopy(_flat(model))]
    for module in modules:
        for name, parameter in module.named_parameters():
            if bad := int((~parameter.isfinite()).sum()):
                raise ValueError(f"model must have finite weights. Got {name} with {bad} of {parameter.numel()} that are not.")
        for name, buffer in module.named_buffers():
            # Infinity has uses in a buffer, such as a mask.
            if bool(buffer.isnan().any()):
                raise ValueError(f"model must have buffers of numbers. Got {name} with values that are not a number.")
    return modules


def device_of(modules: list[nn.Module]) -> torch.device:
    """Where the parameters of modules are."""
    return next((p.device for module in modules for p in module.parameters()), torch.device("cpu"))


def member_probabilities(modules: list[nn.Module], points: Tensor) -> Tensor:
    """Probabilities of modules, which return logits, at points ``(n, ...)``: ``(members, n, classes)``."""
    with torch.no_grad(), one_thread(are_small(modules, points[:1].numel())):
        return torch.cat(
            [torch.cat([outputs_of(module, part) for module in modules]).softmax(-1) for part in in_blocks(modules, points)], 1
        )


def in_blocks(modules: Sequence[nn.Module], points: Tensor) -> Iterator[Tensor]:
    """Points ``(n, ...)`` in blocks for forward passes, small enough that tensors of the widest layer stay in the cache."""
    widest = max((numbers_per_row(module, points[:1].numel()) for module in modules), default=1)
    return iter(points.split(rows_at_a_time(widest, points.device)))


def numbers_per_row(module: nn.Module, numbers: int) -> int:
    """About how many numbers the largest tensor has that a module makes of an input of so many numbers.

    Weights know how wide a layer is, and a convolution keeps its places at most.
    """
    if isinstance(module, Stack):
        return module.members * max(numbers, *(weight.shape[1] for weight in module.weights))
    widths = [1]
    for m in module.modules():
        if isinstance(m, nn.Linear):
            widths.append(m.out_features)
        elif isinstance(m, CONVOLUTIONS):
            widths.append(numbers * m.out_channels // m.in_channels)
    return max(numbers, *widths)


def each_member(modules: list[nn.Module], pad: bool = True) -> list[nn.Module]:
    """The members one by one, those of a `Stack` as modules of their own.

    Args:
        modules: of a model.
        pad: give those of a `Stack` with one logit f the logits (0, f).
    """
    return [
        _alone(m, i, pad) if isinstance(m, Stack) else m
        for m in modules
        for i in range(m.members if isinstance(m, Stack) else 1)
    ]


def _alone(stack: Stack, index: int, pad: bool) -> nn.Module:
    network = stack.member(index).requires_grad_(False)
    last = network[-1]
    assert isinstance(last, nn.Linear)
    if pad and last.out_features == 1:
        # One logit f as (0, f), by a row of zeros.
        last.weight, last.bias = (
            nn.Parameter(torch.cat([torch.zeros_like(p), p]), requires_grad=False) for p in (last.weight, last.bias)
        )
    return network


def _flat(model: Any) -> list[nn.Module]:
    if isinstance(model, list | tuple | nn.ModuleList):
        if not len(model):
            raise ValueError("model must have a member at least. Got an empty list instead.")
        return [module for one in model for module in _flat(one)]
    return [_as_module(model)]


def _as_module(model: Any) -> nn.Module:
    model = getattr(model, "stack_", model)
    if isinstance(model, nn.Module):
        check_mode(model)
        return model
    if isinstance(model, torch.export.ExportedProgram):
        return with_linear_modules(model)
    if is_sklearn("Pipeline", model):
        return _from_pipeline(model)
    if is_sklearn("MLPClassifier", model):
        return _from_mlp(model)
    raise TypeError(f"model must be {ACCEPTED}. Got {type(model).__name__} instead.")


def outputs_of(module: nn.Module, points: Tensor) -> Tensor:
    """What a module returns at points ``(n, ...)``, as ``(members, n, classes)``.

    Raises:
        TypeError: if that is no tensor.
        ValueError: if it is of another shape, or if the module computes in another type than float64 or draws random numbers.
    """
    drawn = torch.get_rng_state()
    output = _called(module, points)
    # Another thread may have drawn meanwhile.
    if not torch.equal(drawn, torch.get_rng_state()) and not torch.equal(output, _called(module, points)):
        first = "call model.eval(), and where they are still drawn, " if module.training else "in eval mode too: "
        raise ValueError(
            f"model must be a function of its inputs. Got one that draws random numbers at each call: {first}leave them out; "
            "torch.nn.functional.dropout needs training=self.training, and a program must be exported in eval mode."
        )
    return logits_of(output, len(points))


# What torch says where types differ.
_OTHER_TYPES = ("dtype", "scalar type", "Input type")


def _called(module: nn.Module, points: Tensor) -> Tensor:
    try:
        output = module(points)
    except RuntimeError as error:
        if not any(words in str(error) for words in _OTHER_TYPES):
            raise
        raise ValueError(
            f"model must compute in float64, to which its weights are taken. Got one that does not: {_first_line(error)}. "
            "Where it casts, as x.float() does, write x.to(self.weight.dtype); its tensors must be parameters or buffers."
        ) from error
    if not isinstance(output, Tensor):
        raise TypeError(f"model must return a tensor. Got {type(output).__name__} instead.")
    return output


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def logits_of(output: Tensor, n: int, probabilities: bool = False) -> Tensor:
    """Outputs of a module as ``(members, n, classes)``; one logit f becomes (0, f), one probability p becomes (1 - p, p)."""
    shape = tuple(output.shape)
    if output.ndim == 0 and n == 1:
        # One logit of one row, squeezed.
        output = output[None]
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim == 2:
        output = output[None]
    if output.ndim != 3 or output.shape[1] != n:
        raise wrong_shape(shape, n)
    if output.shape[2] > 1:
        return output
    return torch.cat([1 - output, output], 2) if probabilities else nn.functional.pad(output, (1, 0))


def wrong_shape(shape: Sequence[int], n: int) -> ValueError:
    """The error for a module whose outputs for n rows have another shape than they should."""
    return ValueError(
        "model must return logits of shape (members, n, classes), (n, classes), (n, 1) or (n,), with the rows along n. "
        f"Got {tuple(shape)} for n = {n} instead."
    )


_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": nn.Identity}


def _from_mlp(model: Any) -> nn.Module:
    if not hasattr(model, "coefs_"):
        raise ValueError("model must be fitted. Got an MLPClassifier that is not: call fit first.")
    if model.out_activation_ == "logistic" and model.n_outputs_ > 1:
        raise ValueError("model must have one label per row. Got an MLPClassifier that was fitted to several.")
    layers: list[nn.Module] = []
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        layers += [_linear(weight.T, bias), _ACTIVATIONS[model.activation]()]
    return nn.Sequential(*layers[:-1])


def _from_pipeline(model: Any) -> nn.Module:
    last = _as_module(model.steps[-1][1])
    steps = before_last(model)
    if any(steps.held):
        raise TypeError(
            "model must be a Pipeline whose steps before the last are affine: scalers, PCA, selections, passthrough, or a "
            f"ColumnTransformer or Pipeline of these. Got {', '.join(sorted({*steps.held} - {''}))} instead."
        )
    return nn.Sequential(_linear(steps.matrix, steps.shift), last)


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer
