"""Functions that torch does in one piece, or writes into constants for, put so that they can be followed."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from knowlimits.follow.domain import Traced
from knowlimits.follow.operations import UnsupportedOperation


class OtherWords(TorchFunctionMode):
    """Sees functions of torch while it is entered, and puts those of `WORDS` into other words where a traced tensor is met."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if args and isinstance(args[0], Traced):
            # Operations have the names of their forms behind a dot.
            words = WORDS.get(getattr(func, "__name__", "").partition(".")[0])
            if words is not None:
                return words(func, *args, **kwargs)
        return func(*args, **kwargs)


def _pad(func: Callable[..., Tensor], x: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    """Circular padding as a choice of places: torch's own writes into a constant."""
    if mode != "circular":
        return func(x, pad, mode, value)
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        size = x.shape[-axis]
        x = x.index_select(-axis, torch.arange(-before, size + after, device=x.device) % size)
    return x


def _recurrent(func: Callable[..., Any], x: Tensor, state: Any, weights: Any, *settings: Any) -> Any:
    """A recurrent layer whose first state hangs on the input, if by nothing: torch's own writes into what it makes of that."""
    *others, batch_first = settings
    x = x.transpose(0, 1) if batch_first else x
    out, *states = func(x, _hung_on(x[0], state), weights, *others, False)
    return out.transpose(0, 1) if batch_first else out, *states


def _cell(func: Callable[..., Any], x: Tensor, state: Any, *weights: Any) -> Any:
    return func(x, _hung_on(x, state), *weights)


def _hung_on(x: Tensor, state: Any) -> Any:
    """Constants as numbers that hang on an input ``(rows, ...)`` by nothing."""
    if not isinstance(state, Tensor):
        return tuple(_hung_on(x, one) for one in state)
    return state if isinstance(state, Traced) else state + x[:, :1] * 0.0


def _one_hot(func: Callable[..., Tensor], x: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes == -1:
        raise UnsupportedOperation(
            "operation one_hot cannot be followed: without num_classes it looks for the largest code of the batch, which ties "
            "its rows together: give num_classes."
        )
    return func(x, num_classes)


def _rms_norm(
    func: Callable[..., Tensor], x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """A quotient by the length, which has an asymptote, in place of the root of a mean of squares, which do not."""
    size = math.prod(shape)
    flat = x.flatten(-len(shape))
    beside = flat[..., :1] * 0.0 + math.sqrt(size * (torch.finfo(x.dtype).eps if eps is None else eps))
    length = torch.linalg.vector_norm(torch.cat([flat, beside], -1), dim=-1, keepdim=True)
    result = (flat / length * math.sqrt(size)).unflatten(-1, tuple(shape))
    return result if weight is None else result * weight


def _powers_of_windows(axes: int) -> Callable[..., Tensor]:
    """Pooling by means of even powers, as norms of windows."""

    def words(
        func: Callable[..., Tensor], x: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> Tensor:
        if ceil_mode or norm_type % 2:
            return func(x, norm_type, kernel_size, stride, ceil_mode)
        sizes = [kernel_size] * axes if isinstance(kernel_size, int) else list(kernel_size)
        steps = sizes if stride is None else [stride] * axes if isinstance(stride, int) else list(stride)
        for axis, (size, step) in enumerate(zip(sizes, steps, strict=True), x.ndim - axes):
            x = x.unfold(axis, size, step)
        return torch.linalg.vector_norm(x.flatten(-axes), norm_type, dim=-1)

    return words


WORDS: dict[str, Callable[..., Any]] = {
    "pad": _pad,
    "isfinite": lambda func, x: ~(x.isnan() | x.isinf()),
    **{f"lp_pool{axes}d": _powers_of_windows(axes) for axes in (1, 2, 3)},
    "one_hot": _one_hot,
    "rms_norm": _rms_norm,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _cell),
}
