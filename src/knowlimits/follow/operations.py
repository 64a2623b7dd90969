"""The table of operations: how each ATen operation acts, said once, for all domains.

An operation is one of seven kinds.

- `Move`: numbers change place, and nothing else (view, permute, cat).
- `Affine`: linear in some arguments jointly, with the others constant.
- `Maximum`: the largest of affine candidates (ReLU is max(z, 0)). Three are enough; the others are rewritten.
- `Rewrite`: put into words of other operations of the table (clamp is a maximum and a minimum).
- `Smooth`: a function of one number with a straight line as asymptote on either side (sigmoid, GELU).
- `Joint`: a function of several numbers with a limit of its own (softmax, layer norm).
- `Jump`: a function of a sign, which every number keeps far out (sign, comparisons). It has limits, and no polytopes.

`entries.py` has those of the library. To add one, register its kind under its ATen name and give
`tests/follow/test_operations.py` a case. An operation that is not in the table, or that jumps again and again, has no far field
that could be computed, and raises `UnsupportedOperation`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import is_composite
from knowlimits.model.families.family import Tail as Tail


class UnsupportedOperation(NotImplementedError):
    """A model does something that has no entry in the table of operations; the text says what, where, and what to do.

    Attributes:
        kind: why it cannot be followed, in a word.
    """

    def __init__(self, text: str = "", kind: str = "unknown"):
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Move:
    """Numbers change place; constants among the tensors that move (in `cat`, say) come along."""


@dataclass(frozen=True)
class Affine:
    """Linear in the arguments at `values` jointly, while the others are constant.

    Attributes:
        values: positions of the arguments that the result is linear in; constants among them are the constant part.
        factors: positions of two arguments that multiply each other, of which one may hang on the input.
        contracts: whether the factors are multiplied as matrices.
        combines: from the arguments to the axes along which numbers are combined, for a result with as many axes, maybe of
            other lengths; None for an operation that does the same to each number.
        reduces: position of the argument that says over which axes is summed, for a reduction.
        bound: function for bounds of rounding errors in place of the operation itself, where that one subtracts. It takes the
            arguments' sizes.
    """

    values: tuple[int, ...] = (0,)
    factors: tuple[int, int] | None = None
    contracts: bool = False
    combines: Callable[..., Sequence[int]] | None = None
    reduces: int | None = None
    bound: Callable[..., Tensor] | None = None


class Of(Enum):
    """What a maximum is the largest of, and what a jump compares."""

    ZERO = "an argument and zero"
    PAIR = "two arguments"
    AXES = "an argument's numbers along axes"


@dataclass(frozen=True)
class Maximum:
    """A maximum; see `Of`."""

    of: Of


@dataclass(frozen=True)
class Rewrite:
    """The same in other operations of the table; takes the operation's arguments."""

    function: Callable[..., Any]


@dataclass(frozen=True)
class Smooth:
    """A function of one number with straight asymptotes.

    Attributes:
        asymptotes: from the operation's further arguments to ``(slope, intercept)`` towards minus and plus infinity.
        steepness: from the same arguments to the largest size of the function's derivative, or more. What `certify` says hangs
            on it; `knowlimits.testing.check_ray` samples it.
        steps: from the same arguments to the places at which torch's implementation jumps, and how high.
        tail: how its distance from its asymptotes dies away.
    """

    asymptotes: Callable[..., tuple[tuple[float, float], tuple[float, float]]]
    steepness: Callable[..., float]
    steps: Callable[..., Sequence[tuple[float, float]]] = lambda *_, **__: ()
    tail: Tail = Tail.SLOW


@dataclass(frozen=True)
class Joint:
    """A function of several numbers of a ray with a limit of its own.

    Attributes:
        rule: from rate, offset and the operation's further arguments to the rate and offset of its asymptote.
        combines: from the operation's arguments to the axes along which numbers are combined.
        tail: how its distance from its asymptote dies away.
        masked: whether numbers may be minus infinity, so that they count for nothing.
        words: from the operation's further arguments to the same in other operations of the table, or None where it has no
            such words.
    """

    rule: Callable[..., tuple[Tensor, Tensor]]
    combines: Callable[..., Sequence[int]]
    tail: Tail = Tail.SLOW
    masked: bool = False
    words: Callable[..., Callable[..., Any] | None] = lambda *_, **__: None


@dataclass(frozen=True)
class Jump:
    """A function of the sign of a number, or of the difference of two: constant along a ray from the last change of that on.

    Attributes:
        of: `Of.ZERO` for one number against zero, `Of.PAIR` for two arguments against each other.
        words: the same in other operations of the table, for those that are no function of a sign alone.
        kind: of the hint for where there is none, as on a plane.
    """

    of: Of = Of.ZERO
    words: Callable[..., Any] | None = None
    kind: str = "comparison"


#: Operations of which a tensor behind the first says what is chosen of that.
INDEXED = frozenset({"index", "index_select", "gather", "take_along_dim"})
Entry = Move | Affine | Maximum | Rewrite | Smooth | Joint | Jump
TABLE: dict[str, Entry] = {}


def register(names: str, entry: Entry) -> None:
    """Enter operations, by their ATen names separated by blanks, into the table.

    Raises:
        ValueError: if a name is no ATen operation, is one in whose place torch calls others before anybody sees it, or is in
            the table already.
    """
    for name in names.split():
        if not hasattr(torch.ops.aten, name):
            raise ValueError(f"names must be ATen operations. Got {name!r}, which torch {torch.__version__} does not have.")
        if name in TABLE:
            raise ValueError(f"names must be new in the table. Got {name!r}, which it has as {TABLE[name]}.")
        if is_composite(name):
            raise ValueError(
                f"names must be operations that reach the table. Got {name!r}, in whose place torch calls others before "
                "anybody sees it: enter those, which the error for a model names."
            )
        TABLE[name] = entry
