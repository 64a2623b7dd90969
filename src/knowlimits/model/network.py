"""A person's module as a function from one tensor to logits ``(members, n, outputs)``, as everything here looks at one."""

from contextlib import nullcontext
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.model.arrays import both
from knowlimits.model.casts import in_float64
from knowlimits.model.endings import Ending, Outputs, undone
from knowlimits.model.families.family import Family
from knowlimits.model.signature import Called


class Axes(StrEnum):
    """Where rows and members are in what a module returns for n rows."""

    ROW = "(n,)"
    ROWS = "(n, classes)"
    MEMBERS_FIRST = "(members, n, classes)"
    MEMBERS_SECOND = "(n, members, classes)"

    def arranged(self, output: Tensor) -> Tensor:
        """An output as ``(members, n, outputs)``."""
        if self is Axes.ROW:
            return output[None, :, None]
        if self is Axes.ROWS:
            return output[None]
        return output.transpose(0, 1) if self is Axes.MEMBERS_SECOND else output


class Network(nn.Module):
    """A module with what was found out about it: ``(n, ...) -> (members, n, outputs)`` logits.

    One output is a logit f, for (0, f).

    Args:
        module: in float64; it returns a tensor, laid out as `axes` says.
        axes: where members are in what it returns.
        members: how many there are.
        ending: what it makes of logits in the end, which is taken off.
        returns: what is returned then; other than logits only where nothing could be taken off.
        pairs: whether one row must be given twice, as the module takes its axis away.
        casts: whether it casts to other types of floats, which is then left undone.
        places: which of the model's classes its outputs are, where these are not all of them, and how many there are.
        decision: its decision function, ``(n, ...) -> (n, columns)``, where that is another than its logits.
    """

    def __init__(
        self,
        module: nn.Module,
        axes: Axes = Axes.ROWS,
        members: int = 1,
        ending: Ending | None = None,
        returns: Outputs = Outputs.LOGITS,
        *,
        pairs: bool = False,
        casts: bool = False,
        places: tuple[tuple[int, ...], int] | None = None,
        decision: nn.Module | None = None,
    ):
        super().__init__()
        self.module = module
        self.axes, self.members, self.ending, self.returns = axes, members, ending, returns
        self.pairs, self.casts, self.places, self.decision = pairs, casts, places, decision

    @property
    def jumps(self) -> bool:
        """Whether it jumps somewhere, as trees do."""
        return any(isinstance(module, Family) and module.jumps for module in self.module.modules())

    @property
    def gaps(self) -> bool:
        """Whether inputs may have gaps (nan)."""
        return takes_gaps(self.module)

    @property
    def brought(self) -> nn.Module:
        """The module that a person brought, whose names messages use."""
        module = self.module
        while isinstance(module, Called):
            module = module.module
        return module

    @property
    def outputs(self) -> Outputs:
        """What the module itself returns."""
        return self.ending.outputs if self.ending else self.returns

    def forward(self, x: Tensor) -> Tensor:
        """Logits. With gradients only for modules of which nothing is taken off; `probabilities` has them always."""
        if self.ending is None:
            return self.returned(x)
        with undone(self.ending):
            output = self.returned(x)
        return self.ending.logits(output)

    def returned(self, x: Tensor) -> Tensor:
        """What the module itself returns, as ``(members, n, outputs)``."""
        pair = self.pairs and len(x) == 1
        x = torch.cat([x, x]) if pair else x
        with in_float64() if self.casts else nullcontext():
            output = self.axes.arranged(self.module(x))
        return output[:, :1] if pair else output

    def probabilities(self, x: Tensor) -> Tensor:
        """Probabilities, with gradients, ``(members, n, classes)``."""
        return self.spread(as_probabilities(self.returned(x).double(), self.outputs))

    def spread(self, values: Tensor, otherwise: float = 0.0) -> Tensor:
        """Values of the network's own classes, along the last axis, at their places among the model's."""
        if self.places is None:
            return values
        own, count = self.places
        spread = values.new_full((*values.shape[:-1], count), otherwise)
        return spread.index_copy(-1, torch.tensor(own, device=values.device), values)

    def behind(self, first: nn.Module) -> "Network":
        """The network behind another module."""
        decision = None if self.decision is None else nn.Sequential(first, self.decision)
        return self.around(nn.Sequential(first, self.module), decision=decision)

    def of_shape(self, shape: tuple[int, ...]) -> "Network":
        """The network, of rows of a table as well, which it puts into the shape of one input."""
        decision = None if self.decision is None else Called(self.decision, shape=shape)
        return self.around(Called(self.module, shape=shape), decision=decision)

    def around(
        self, module: nn.Module, places: tuple[tuple[int, ...], int] | None = None, decision: nn.Module | None = None
    ) -> "Network":
        """What was found out about the module, of another one; `places` are its own without new ones."""
        found: Any = (self.axes, self.members, self.ending, self.returns)
        return Network(module, *found, pairs=self.pairs, casts=self.casts, places=places or self.places, decision=decision)


def takes_gaps(module: nn.Module) -> bool:
    """Whether inputs may have gaps (nan): all that sees them are families that take them, or what hands them on to such.

    Modules that fill them state it as `gaps_`.
    """
    if isinstance(module, Family | Network):
        return module.gaps
    if isinstance(module, nn.Sequential):
        # What chooses columns leaves their gaps as they are.
        first = next((part for part in module if not getattr(part, "chooses", False)), None)
        return first is not None and takes_gaps(first)
    inside = list(module.children())
    hands_on = isinstance(module, nn.ModuleList) or getattr(module, "hands_on", False)
    return getattr(module, "gaps_", False) is True or (hands_on and bool(inside) and all(map(takes_gaps, inside)))


def as_probabilities(output: Tensor, outputs: Outputs) -> Tensor:
    """Probabilities ``(..., classes)`` of what a module returns; of one number f or p of (0, f) or (1 - p, p)."""
    if outputs is Outputs.LOGITS:
        return both(output).softmax(-1)
    p = output.exp() if outputs is Outputs.LOG_PROBABILITIES else output
    return torch.cat([1 - p, p], -1) if p.shape[-1] == 1 else p
