"""What a forward pass ends in: a softmax, a log-softmax or a sigmoid is found among its operations, and taken off exactly.

An operation is the end of a model if leaving it out makes logits of what the model returns: if the softmax, say, of what it
then returns is what it returned. So it does not matter what only moves numbers behind it, or how the model was written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import OperationMode, name_of

# Operations that make probabilities of logits, or their logarithms.
_SQUASHES = {"_softmax", "_log_softmax", "sigmoid", "sigmoid_", "log_sigmoid_forward"}

# Layers of weights, and what may come behind the last one.
_LAYERS = {"addmm", "mm", "baddbmm", "convolution", "linear"}
_MOVES = {"view", "_unsafe_view", "squeeze", "unsqueeze", "transpose", "t", "permute", "slice", "select", "clone", "detach"}
_MOVES |= {"alias", "expand", "_to_copy", "split", "unbind", "stack", "cat", "_reshape_alias"}


class Outputs(StrEnum):
    """What a model returns."""

    LOGITS = "logits"
    LOG_PROBABILITIES = "log-probabilities"
    PROBABILITIES = "probabilities"


class Last(StrEnum):
    """What comes last, in words."""

    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log-softmax"
    SIGMOID = "sigmoid"
    LOG_SIGMOID = "log-sigmoid"
    #: 1 - p and p, or p and 1 - p, of a sigmoid p.
    PAIR = "sigmoid p, as (1 - p, p)"
    TURNED_PAIR = "sigmoid p, as (p, 1 - p)"


@dataclass(frozen=True)
class Ending:
    """What makes probabilities of logits, at the end of a forward pass.

    Attributes:
        last: what it is.
        places: which of the squashing operations of a forward pass it is, counted from 0; several where it is written twice.
        count: how many there are in one.
        logged: whether its logarithm is taken as an operation of its own.
    """

    last: Last
    places: tuple[int, ...]
    count: int
    logged: bool = False

    @property
    def outputs(self) -> Outputs:
        """What is returned."""
        logarithm = self.last in (Last.LOG_SOFTMAX, Last.LOG_SIGMOID)
        return Outputs.LOG_PROBABILITIES if logarithm else Outputs.PROBABILITIES

    def logits(self, output: Tensor) -> Tensor:
        """Logits, or one logit, of what is returned without the operation, ``(..., outputs)``."""
        if self.last is Last.PAIR:
            return output[..., 1:]
        return -output[..., :1] if self.last is Last.TURNED_PAIR else output

    def again(self, logits: Tensor) -> Tensor:
        """What would be returned with the operation, of what is returned without it."""
        if self.last is Last.SOFTMAX:
            return logits.softmax(-1)
        if self.last is Last.LOG_SOFTMAX:
            return logits.log_softmax(-1)
        if self.last is Last.SIGMOID:
            return logits.sigmoid()
        if self.last is Last.LOG_SIGMOID:
            return torch.nn.functional.logsigmoid(logits)
        p = self.logits(logits).sigmoid()
        return torch.cat([1 - p, p], -1)


class _Squashes(OperationMode):
    """Counts squashing operations, and leaves some of them out.

    Attributes:
        count: how many there were.
        last: the name of the last operation that did not only move numbers.
    """

    def __init__(self, left_out: tuple[int, ...] = (), logged: bool = False):
        super().__init__()
        self.left_out, self.count, self.last = left_out, 0, ""
        self._logged = logged

    @property
    def ends_in_a_layer(self) -> bool:
        """Whether the last operation was a layer of weights, whose outputs have no bounds of their own."""
        return self.last in _LAYERS

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of(func)
        self.last = self.last if name in _MOVES else name
        if name in _SQUASHES:
            self.count += 1
            if self.count - 1 in self.left_out:
                x = args[0] if name == "sigmoid_" else torch.ops.aten.clone(args[0])
                return (x, torch.empty(0)) if name == "log_sigmoid_forward" else x
        # The first behind it.
        if name == "log" and self._logged and self.count > max(self.left_out, default=self.count):
            self._logged = False
            return torch.ops.aten.clone(args[0])
        return func(*args, **(kwargs or {}))


@contextmanager
def undone(ending: Ending) -> Iterator[None]:
    """A forward pass inside leaves out what it ends in.

    Raises:
        ValueError: if it squashes more or less often than the one that was looked at: then another operation may be the last.
    """
    with _Squashes(ending.places, ending.logged) as mode:
        yield
    if mode.count != ending.count:
        raise ValueError(
            "model must do the same operations whenever it is called. "
            f"Got one with {mode.count} softmaxes and sigmoids in a call, and {ending.count} before: export its logits."
        )


@contextmanager
def counted(left_out: tuple[int, ...] = (), logged: bool = False) -> Iterator[_Squashes]:
    """Count the squashing operations of a forward pass inside, and leave some out, with their logarithm if so."""
    with _Squashes(left_out, logged) as mode:
        yield mode
