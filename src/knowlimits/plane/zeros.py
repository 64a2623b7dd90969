"""Where numbers are exactly zero, not just small.

Units that are dead on both sides of a comparison are zero there, and their difference has no sign that could be in doubt. It is
asked for late and seldom, so tensors remember what they were made of, back to the last ReLUs, and it is computed from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import tree_leaves
from knowlimits.plane.points import Points

#: The origin of what a ReLU has made: what it has put to zero is zero, and what it has not is not.
RELU = object()


@dataclass
class Origin:
    """An operation on tensors, to be done again on where those may differ from zero."""

    given: list[Points]
    versions: list[int]
    compute: Callable[[Callable[[Any], Any]], Any]

    def outdated(self) -> bool:
        """Whether an argument has been written to since."""
        return any(x.version != version for x, version in zip(self.given, self.versions, strict=True))


def noted(result: Any, args: Any, compute: Callable[[Callable[[Any], Any]], Any]) -> Any:
    """Results that know where they may differ from zero, once that is asked, from where the arguments may.

    Args:
        result: of an operation, a tensor or several.
        args: what it was given.
        compute: does it again, with the arguments that are traced replaced by what a function makes of them.
    """
    given = [x for x in tree_leaves(args) if isinstance(x, Points)]
    origin = Origin(given, [x.version for x in given], compute)
    for k, r in enumerate(x for x in tree_leaves(result) if isinstance(x, Points)):
        r.origin = origin, k
    return result


def may_differ(x: Points, values: Callable[[Points], Tensor]) -> Tensor:
    """Where numbers may differ from zero, 1, or are exactly zero, 0: ``(points, 1, ...)``.

    It follows what a tensor was made of back to the last ReLUs, each tensor once, and without recursion, as there may be many.
    """
    known: dict[int, Tensor] = {}
    waiting = [x]
    while waiting:
        top = waiting[-1]
        if id(top) in known:
            waiting.pop()
            continue
        if top.origin is RELU:
            known[id(top)] = (values(top) != 0).double()
        elif top.origin is None or top.origin[0].outdated():
            known[id(top)] = torch.ones_like(values(top))
        elif missing := [a for a in top.origin[0].given if id(a) not in known]:
            waiting += missing
        else:
            origin, k = top.origin
            whole = origin.compute(lambda a: Points(known[id(a)], None))
            known[id(top)] = ([(r != 0).double() for r in tree_leaves(whole) if isinstance(r, Tensor)])[k]
    return known[id(x)]
