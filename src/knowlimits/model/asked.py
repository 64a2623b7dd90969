"""What reading a model is asked: rows to look at it with, and what a person says of it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from knowlimits.model.endings import Outputs

if TYPE_CHECKING:
    from knowlimits.model.model import Model


@dataclass(frozen=True)
class Asked:
    """What reading a model is asked; handed on to its parts.

    Attributes:
        reader: reads a part.
        rows: a few rows as the model takes them, a table or an array; None where there are none.
        name: what a person calls them.
        outputs: what torch modules in it return, where somebody says so.
        otherwise: what they return where it stays open and nothing hangs on it; None to ask.
        output: which of several outputs they return counts: a name or a place.
        inputs: which columns go into which of their inputs, where they have several.
        decision: whether a part will do that has a decision function and no probabilities.
        copies: copies of modules that were made together, by the identity of what they are copies of.
    """

    reader: "Callable[[Any, Asked], Model]"
    rows: Any = None
    name: str = "X"
    outputs: Outputs | None = None
    otherwise: Outputs | None = None
    output: str | int | None = None
    inputs: Any = None
    decision: bool = False
    copies: Mapping[int, nn.Module] = dataclasses.field(default_factory=dict)

    def read(self, part: Any, rows: Any = None) -> "Model":
        """A part of the model that stands for all of it, with rows as it takes them."""
        return self.reader(part, dataclasses.replace(self, rows=rows))

    def said(self, outputs: Outputs | None) -> "Asked":
        """The same, where it is known what modules return."""
        return dataclasses.replace(self, outputs=outputs)
