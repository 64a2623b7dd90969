"""Forward passes in float64 of modules that cast to other floats, or make constants of them.

Weights are taken to float64, and a model that says `x.float()` meets them with numbers of another type, at which torch stops.
Below autograd, where every operation comes by, whatever says it (a module, TorchScript, an exported program):

1. a cast of float64 to a lower type is left undone: a copy;
2. a constant, which a module makes while it runs, is made as it says and then taken to float64, so that it has the model's own
   numbers;
3. where lower types meet float64 otherwise, in tensors from outside of the module, they are taken to float64.

So autograd sees shapes and types as they are, and regions of autocast, which leave float64 alone, lower nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import OperationMode, name_of, parameters, returns_views

_LISTS = (list, tuple)
# What makes a tensor of numbers from Python or numpy.
_FRESH = torch.ops.aten.lift_fresh.default
# The floats in which we compute, with the complex numbers of two of them, as a Fourier transform gives; and what others become.
_WIDE = {torch.float64, torch.complex128}
_WIDER = {
    dtype: torch.complex128 if dtype.is_complex else torch.float64
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex) and dtype not in _WIDE
}


class _Float64(OperationMode):
    """Takes each operation to float64.

    Attributes:
        lowered: whether there was any that had to be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lowered = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wide, low = _met(args)
        if kwargs:
            more = _met(kwargs.values())
            wide, low = wide or more[0], low or more[1]
        if wide:
            if low:
                self.lowered = True
                _check_written(func, args, kwargs)
                args = [_widened(a) for a in args]
                kwargs = {name: _widened(a) for name, a in kwargs.items()}
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        # Views of what is lower are left to be written to; they are widened where they meet others.
        if (func is _FRESH or not returns_views(func)) and _met((result,))[1]:
            self.lowered = True
            return _widened(result)
        return result


@contextmanager
def in_float64() -> Iterator[_Float64]:
    """Forward passes of float64 copies stay in float64 inside, and so do gradients that are taken inside.

    Those that are taken outside are the same, but where a layer's weights are of a lower type themselves, as TorchScript
    freezes them: there torch stops at the types.

    Yields:
        What says by `lowered` whether that took anything, up to now. Where it did not, passes outside do the same.
    """
    with _Float64() as mode:
        yield mode


def _met(values: Any) -> tuple[bool, bool]:
    """Whether float64 is among arguments of an operation, and whether lower floats are, as tensors or as types."""
    wide = low = False
    for value in values:
        if isinstance(value, Tensor):
            dtype = value.dtype
            wide, low = wide or dtype in _WIDE, low or dtype in _WIDER
        elif isinstance(value, torch.dtype):
            low = low or value in _WIDER
        elif isinstance(value, _LISTS) and value and not isinstance(value[0], int):
            more = _met(value)
            wide, low = wide or more[0], low or more[1]
    return wide, low


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(_WIDER.get(value.dtype, value.dtype))
    if isinstance(value, torch.dtype):
        return _WIDER.get(value, value)
    if isinstance(value, _LISTS):
        return type(value)(_widened(one) for one in value)
    return value


def _check_written(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Refuse to write float64 into a tensor of a lower type.

    Raises:
        ValueError: if it would be.
    """
    for position, argument in enumerate(parameters(func)):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        written = argument.alias_info is not None and argument.alias_info.is_write
        if written and isinstance(value, Tensor) and value.dtype in _WIDER:
            raise ValueError(
                f"model must compute in float64, to which its weights are taken. Got {name_of(func)}, which writes into a "
                f"tensor of {value.dtype} that is none of its parameters, buffers or attributes: make it one."
            )
