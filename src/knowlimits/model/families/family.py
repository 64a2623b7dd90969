"""What every family of classifiers has: values at points, and ends of rays, in closed form.

A family is a torch module, so that it can be a part of whatever is put together of modules: behind affine steps, in a mixture,
below a calibration. Its work is one operation, which evaluators see as they see those of torch; along rays they ask it where it
ends in place of what it does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import IntEnum
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits._torch import new_operation
from knowlimits.model.endings import Outputs


class Tail(IntEnum):
    """How what is left of numbers beside their asymptotes dies away as `a` grows, from the fastest."""

    NONE = 0
    #: At least as exp(-c a) for some c > 0, so that its product with numbers that grow dies away, too.
    FAST = 1
    #: Slower, as 1 / a does, or in a way that nobody has said.
    SLOW = 2


class Ends:
    """Where a family ends along rays x0 + a d: its outputs are eventually ``rate * a + offset``, but for what dies away.

    Args:
        offset: ``(n, outputs)``; where the rate is 0 the limits.
        rate: ``(n, outputs)``; 0 without it.
        radius: the last `a` at which something changes (a leaf, a neighbour), at least 0, ``(n,)``; nan where the asymptote is
            only approached; 0 without it.
        clear: whether no decision was a tie, or nearer to one than its rounding error, ``(n,)``.
        tail: how the distance from the asymptote dies away beyond the radius, of the slowest ray.
    """

    __slots__ = ("clear", "offset", "radius", "rate", "tail")

    def __init__(
        self,
        offset: np.ndarray,
        rate: np.ndarray | None = None,
        radius: np.ndarray | None = None,
        clear: np.ndarray | None = None,
        tail: Tail = Tail.NONE,
    ):
        rows = len(offset)
        self.offset = offset
        self.rate = np.zeros_like(offset) if rate is None else rate
        self.radius = np.zeros(rows) if radius is None else radius
        self.clear = np.ones(rows, dtype=bool) if clear is None else clear
        self.tail = tail


class Family(nn.Module, ABC):
    """A classifier with a closed form, ``(n, features) -> (n, outputs)`` in float64.

    Its numbers are copies, which nothing changes. Methods take and give numpy arrays.

    Attributes:
        returns: what it returns; one column is a logit f, for (0, f), or the probability of the second class.
        jumps: whether it jumps somewhere, as trees do, so that a limit at a tie has none.
        gaps: whether inputs may have gaps (nan).
        held: columns whose whole numbers choose something, so that no ray can move them.
        single: whether what it was read from computes in single precision, and agrees with it up to that.
    """

    returns: Outputs = Outputs.PROBABILITIES
    jumps: bool = False
    gaps: bool = False
    held: Sequence[int] = ()
    single: bool = False

    @property
    @abstractmethod
    def described(self) -> str:
        """What it is made of in a few words, such as "300 trees"."""

    @abstractmethod
    def at(self, x: np.ndarray) -> np.ndarray:
        """Values at points ``(n, features)``: ``(n, outputs)``."""

    @abstractmethod
    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Where it ends along rays with starts and directions ``(n, features)``; a direction may be 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Values, as an operation that evaluators see.

        Raises:
            TypeError: for gradients.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise TypeError(f"model must be made of torch operations where gradients are asked for. Got {self.described}.")
        _LIVE[id(self)] = self
        return OPERATION(x, id(self))


def described(families: Sequence[Family]) -> str:
    """What several families are made of, those that are alike together."""
    counts: dict[str, int] = {}
    for family in families:
        counts[family.described] = counts.get(family.described, 0) + 1
    parts = [text if count == 1 else f"{count} times {text}" for text, count in counts.items()]
    shown = parts[:_SHOWN] + ([f"{len(parts) - _SHOWN} others"] if len(parts) > _SHOWN else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def family_of(args: Sequence[Any]) -> Family:
    """The family that an operation of one is about, by the operation's arguments."""
    return _LIVE[args[1]]


# Families that are named, of several.
_SHOWN = 3
# Those whose operations can be met; an operation takes numbers and tensors alone.
_LIVE: WeakValueDictionary[int, Family] = WeakValueDictionary()


def _at(x: Tensor, which: int) -> Tensor:
    values = _LIVE[which].at(np.ascontiguousarray(x.detach().cpu().double().numpy()))
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(x.device)


OPERATION = new_operation("family", "(Tensor x, int which) -> Tensor", _at)
