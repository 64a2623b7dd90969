"""What stands for one input of a model at many points, and how numbers lie in memory: views, copies, and work in place.

Whether a reshape is a view, through which work in place is seen, or a copy, hangs on how the numbers of one input would lie.
Numbers at many points may lie otherwise; so a view is remembered as places in what it looks at.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._torch import name_of
from knowlimits.follow.domain import Traced


class Points(Traced):
    """What stands for one input in a model, a batch of length 1, at many homogeneous points.

    Attributes:
        numbers: ``(points, 1, ...)``, a tensor or an array, as the domain has it.
        beside: what the domain knows of the numbers beside them, such as bounds on their errors.
        root, places: for a view the tensor that it looks at and the places of its numbers there, else None.
        written: how often it has been written to; of a view, how often its root had been when the numbers were taken from it.
        origin: what tells where numbers are exactly zero, or None (see `zeros.py`).
    """

    numbers: Any
    beside: Any
    root: "Points | None"
    places: Tensor | None
    written: int
    origin: Any

    @staticmethod
    def __new__(
        cls, numbers: Any, beside: Any, strides: Any = None, root: "Points | None" = None, places: Tensor | None = None
    ) -> "Points":
        """Wrap numbers at points; `strides` where the numbers of one input would lie otherwise in memory than these do."""
        if strides is None and places is not None:
            strides = places.stride()
        elif strides is None and isinstance(numbers, Tensor):
            strides = numbers.stride()[1:]
        self = cls.wrap(numbers.shape[1:], strides, torch.float64)
        self.numbers, self.beside, self.root, self.places, self.origin = numbers, beside, root, places, None
        self.written = 0 if root is None else root.written
        return self

    @property
    def version(self) -> int:
        """Changes when somebody writes into the tensor, or into what it is a view of."""
        return self.written if self.root is None else self.root.written

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A plain tensor of the same shape."""
        return torch.zeros((), dtype=torch.float64).expand(self.shape)


def refresh(x: Points, current: Callable[[Points], Points]) -> None:
    """Take a view's numbers anew if what it looks at, which `current` brings up to date, has been written to."""
    if x.root is not None and x.places is not None and x.written != x.root.written:
        root = current(x.root)
        x.numbers, x.beside, x.written, x.origin = taken(root.numbers, x.places), root.beside, root.written, None


def overwrite(x: Points, numbers: Any, beside: Any, together: Callable[[list[Any]], Any]) -> None:
    """Write numbers into a tensor that is up to date, or into that which it is a view of.

    Args:
        numbers: at as many points, of a shape that can be expanded to the tensor's.
        beside: what is known of them.
        together: puts together what is known of several.
    """
    numbers = expanded(numbers, x.shape)
    if x.root is None or x.places is None:
        x.numbers, x.beside, x.origin = _copied(numbers), beside, None
        x.written += 1
        return
    root = x.root
    whole = _copied(root.numbers.reshape(len(root.numbers), -1))
    whole[:, _index(whole, x.places)] = numbers
    root.numbers, root.beside, root.origin = whole.reshape(root.numbers.shape), together([root.beside, beside]), None
    root.written += 1


def taken(numbers: Any, places: Tensor) -> Any:
    """The numbers at places among those of one input."""
    flat = numbers.reshape(len(numbers), -1)
    return flat[:, _index(flat, places)]


def expanded(numbers: Any, shape: torch.Size) -> Any:
    """Numbers at points, repeated to be of a shape at each."""
    own = numbers.shape[1:]
    numbers = numbers.reshape(len(numbers), *[1] * (len(shape) - len(own)), *own)
    whole = (len(numbers), *shape)
    return numbers.expand(whole) if isinstance(numbers, Tensor) else np.broadcast_to(numbers, whole)


def _index(numbers: Any, places: Tensor) -> Any:
    return places if isinstance(numbers, Tensor) else places.numpy()


def _copied(numbers: Any) -> Any:
    return numbers.clone() if isinstance(numbers, Tensor) else numbers.copy()


def looked_at(x: Points) -> tuple[Points, Tensor]:
    """What a tensor is a view of, itself if it is none, and the places of its numbers there."""
    if x.root is not None and x.places is not None:
        return x.root, x.places
    index = torch.arange(x.numel()).reshape(x.shape)
    return x, torch.empty_strided(x.shape, x.stride(), dtype=index.dtype).copy_(index)


def free_of_strides(func: Any) -> Any:
    """A move that does not care how numbers lie in memory: those at many points may lie otherwise than those at one."""
    return torch.ops.aten.reshape.default if name_of(func) in ("view", "_unsafe_view") else func


def copied(x: Points, memory_format: torch.memory_format) -> Points:
    """A copy of a tensor that is up to date, with memory of its own, in which the numbers of one input lie as is said."""
    strides = torch.empty_strided(x.shape, x.stride()).clone(memory_format=memory_format).stride()
    return Points(_copied(x.numbers), x.beside, strides)


def new_strides(x: Tensor) -> tuple[int, ...]:
    """Strides of what an operation number by number makes of a tensor: mostly its own."""
    return torch.empty_strided(x.shape, x.stride()).relu().stride()
