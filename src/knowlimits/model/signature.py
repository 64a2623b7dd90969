"""Modules that take several inputs or inputs of more axes, or return several outputs, as functions of one tensor to one."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Called(nn.Module):
    """A module that is called with columns of a table as its inputs, and of whose outputs one counts.

    Args:
        module: it.
        inputs: columns that go into each of its inputs, in order or by name; None for an input that gets None.
            ``(columns, "codes")`` in place of columns gives them as whole numbers. All in one without it.
        output: name or place of the output that counts; the only one without it.
        shape: of one input, into which rows of a table are put; None for inputs that are passed on as they come.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Any = None,
        output: str | int | None = None,
        shape: tuple[int, ...] | None = None,
    ):
        super().__init__()
        self.module, self.inputs, self.output, self.shape = module, inputs, output, shape

    def forward(self, x: Tensor) -> Tensor:
        """The output that counts."""
        return self.picked(self.returned(x))

    def returned(self, x: Tensor) -> Any:
        """All that the module returns."""
        if self.shape is not None:
            return self.module(in_shape("inputs", x, self.shape))
        if self.inputs is None:
            return self.module(x)
        if isinstance(self.inputs, Mapping):
            return self.module(**{name: _taken(x, columns) for name, columns in self.inputs.items()})
        return self.module(*[_taken(x, columns) for columns in self.inputs])

    def picked(self, returned: Any) -> Tensor:
        """The output that counts, of all."""
        return picked(returned, self.output)


def in_shape(name: str, rows: Any, shape: tuple[int, ...]) -> Any:
    """Rows of a table ``(n, columns)`` as inputs ``(n, *shape)``, the last axis the fastest; such inputs as they are.

    Args:
        name: of the rows, in messages.
        rows: an array or a tensor.
        shape: of one input.

    Raises:
        ValueError: if they are neither.
    """
    given = tuple(rows.shape)
    if given[1:] == shape:
        return rows
    if given[1:] != (math.prod(shape),):
        raise ValueError(
            f"{name} must have shape (n, {', '.join(map(str, shape))}), which one input of the model has, or be a table of "
            f"{math.prod(shape)} columns, one for each of its places. Got shape {given} instead."
        )
    return rows.reshape(given[0], *shape)


def _taken(x: Tensor, columns: Any) -> Tensor | None:
    if columns is None:
        return None
    codes = isinstance(columns, tuple) and len(columns) == 2 and columns[1] == "codes"
    part = x[:, torch.as_tensor(list(columns[0] if codes else columns))]
    return part.long() if codes else part


def picked(returned: Any, output: str | int | None = None) -> Tensor:
    """The tensor that counts among what a module returns.

    Raises:
        TypeError: if it cannot be told which.
    """
    if isinstance(returned, Tensor) and output is None:
        return returned
    parts = _parts(returned)
    if output is None:
        tensors = {key: value for key, value in parts.items() if isinstance(value, Tensor) and value.is_floating_point()}
        if len(tensors) == 1:
            return next(iter(tensors.values()))
        there = ", ".join(map(repr, parts)) or "nothing"
        raise TypeError(
            "model must return one tensor of logits or probabilities. "
            f"Got {type(returned).__name__} with {there}: say which counts, as knowlimits.read(model, output=...)."
        )
    if output not in parts:
        raise ValueError(
            f"output must be one of {', '.join(map(repr, parts))}, which the model returns. Got {output!r} instead."
        )
    return parts[output]


def _parts(returned: Any) -> dict[Any, Any]:
    if isinstance(returned, Mapping):
        return dict(returned)
    if dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        return {field.name: getattr(returned, field.name) for field in dataclasses.fields(returned)}
    if isinstance(returned, tuple | list):
        names = getattr(returned, "_fields", None)
        by_name = {} if names is None else dict(zip(names, returned, strict=True))
        return {**dict(enumerate(returned)), **by_name} if not names else by_name
    return {}
