"""What a file from a source that nobody vouches for may take: memory, work and operations.

A file of a few bytes can ask for tensors of any size, for many of them at once, and for products that take hours. So each
evaluation of its model is metered: when the file is read, and whenever inputs of another shape come. Its growth in the number
of inputs is bounded too, as what is harmless for a few inputs need not be so for many.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import Held, OperationMode, among, is_in_place, memory_of, name_of

# Of all tensors that one evaluation has at once, beside the weights in the file.
MOST_BYTES = 4 * 2**30
# Of all weights in files beside a model, which count among those bytes, as they are and as what they become.
MOST_BESIDE = 2**30
# A step is about a nanosecond of one core: a number that is read, or a few products within those of two matrices.
MOST_STEPS = 2 * 10**10
# Nodes of a graph. torch's own reader takes milliseconds for each.
MOST_OPERATIONS = {"onnx": 20_000, "pt2": 5_000}
# Numbers of one tensor that an ONNX operator makes.
LARGEST = 10**8
# Places in all windows of a pooling, for one channel of one input: their maxima are looked for place by place.
MOST_PLACES = 10**7
# Sizes, pads, strides, places: kernels compute with them in 32 bits, or add and multiply them without a check in 64.
MOST_SIZE = 2**31 - 1
# Strides, dilations and pads of convolutions, whose kernels are compiled for them: those for 2**15 crash, for 2**16 hang.
MOST_STRIDE = 4096
# Sizes in one list, and tensors that one operation returns.
MOST_PARTS = 10_000
# Trees, levels of one, and levels of all of them, which are the comparisons that one input may take.
MOST_TREES, MOST_DEPTH, MOST_COMPARISONS = 100_000, 10_000, 1_000_000
# An evaluation of more inputs may take this many times its share of what a few inputs took.
GROWTH = 4

_WRITTEN = 4
_SORTED = 64
# Products within those of two matrices that take one step; other types have no fast kernels.
_PER_STEP = {torch.float32: 32, torch.float64: 32, torch.float16: 8, torch.bfloat16: 8}


@dataclass(frozen=True)
class Taken:
    """What an evaluation took.

    Attributes:
        inputs: how many there were.
        bytes: most that were in use at once, or a little more where many tensors come and go.
        steps: of work.
    """

    inputs: int
    bytes: int
    steps: float


class Meter(OperationMode):
    """Counts what the operations under it take, and refuses the first one that goes too far."""

    def __init__(self, inputs: int = 1, first: Taken | None = None, held: int = 0) -> None:
        """Meter an evaluation.

        Args:
            inputs: how many there are.
            first: what an evaluation of a few took, which says what the file needs for each.
            held: bytes that may be in use beside those that the budget allows.
        """
        super().__init__()
        self._inputs = inputs
        self._bytes, self._steps = 0, 0.0
        share = GROWTH * inputs / first.inputs if first else 0
        self._most_bytes = held + max(MOST_BYTES, share * first.bytes if first else 0)
        self._most_steps = max(MOST_STEPS, share * first.steps if first else 0)
        self._alive: dict[int, tuple[Held, int]] = {}
        self._in_use = self._since = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = name_of(func)
        tensors = among(args, Tensor)
        steps, numbers, spare = _FORESEEN[name](*args) if name in _FORESEEN else (0.0, 0, 0)
        size = tensors[0].element_size() if tensors else 8
        self._work(name, steps)
        self._room(name, numbers, (numbers + spare) * size)
        result = func(*args, **(kwargs or {}))
        made = among((result,), Tensor)
        before = {memory_of(t) for t in tensors}
        new = [r for r in made if memory_of(r) not in before]
        for tensor in new:
            self.hold(name, tensor)
        if not made or new or is_in_place(name):
            written = sum(r.numel() for r in made)
            self._work(name, (_WRITTEN + _SORTED * (name in _SORTS)) * written + sum(t.numel() for t in tensors))
            # A kernel may lay out what was only repeated in name.
            self._room(name, written, sum(_repeated(t) for t in tensors))
        return result

    def taken(self) -> Taken:
        """What was counted."""
        return Taken(self._inputs, self._bytes, self._steps)

    def _work(self, name: str, steps: float) -> None:
        self._steps += steps
        if self._steps > self._most_steps:
            raise ValueError(
                f"{name} would take too long: with it the model takes {self._steps:.2g} steps, and {self._most_steps:.2g} are "
                "allowed for as many inputs"
            )

    def _room(self, name: str, numbers: int, size: int) -> None:
        """See whether so many bytes more can be had."""
        if self._in_use + size > self._most_bytes:
            self._forget()
        if self._in_use + size > self._most_bytes:
            raise ValueError(
                f"{name} would have {numbers:,} numbers, which is too many: the model has {(self._in_use + size) / 2**30:.3g} "
                f"GiB in use at once then, and {self._most_bytes / 2**30:.3g} are allowed for as many inputs"
            )

    def hold(self, name: str, tensor: Tensor) -> None:
        """Count the memory of a tensor for as long as it is in use."""
        size = tensor.untyped_storage().nbytes()
        self._room(name, tensor.numel(), size)
        self._alive[memory_of(tensor)] = Held(tensor), size
        self._in_use += size
        self._since += 1
        # Not at every operation, as to look through many takes as long as they are many.
        if self._in_use > self._bytes and 8 * self._since > len(self._alive):
            self._forget()
        self._bytes = max(self._bytes, self._in_use)

    def _forget(self) -> None:
        """Leave out what is no longer in use."""
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}
        self._in_use, self._since = sum(size for _, size in self._alive.values()), 0


def _repeated(tensor: Tensor) -> int:
    """Bytes of a tensor whose numbers are fewer than it seems to have."""
    size = tensor.numel() * tensor.element_size()
    return size if size > tensor.untyped_storage().nbytes() else 0


# --- operations that take more than one step for a number -------------------------------------------------------------
# Each is foreseen from its arguments, as steps, numbers of the result, and numbers that its kernel needs beside it.

_SORTS = {"sort", "topk", "argsort", "median", "pow"}
Foreseen = tuple[float, int, int]


def _products(count: float, of: Tensor) -> float:
    return count / _PER_STEP.get(of.dtype, 1)


def _matrices(a: Tensor, b: Tensor, *rest: Any) -> Foreseen:
    """Products of matrices, or of as many as there are."""
    numbers = a.shape[:-1].numel() * (b.shape[-1] if b.ndim > 1 else 1)
    return _products(float(numbers) * a.shape[-1], a), numbers, 0


def _after_first(function: Callable[..., Foreseen]) -> Callable[..., Foreseen]:
    return lambda first, *rest: function(*rest)


def each(value: Any, axes: int) -> list[int]:
    """A size for each axis, of one for all or a list."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


def windows(sizes: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil: bool = False) -> list[int]:
    """Numbers of windows along axes."""
    axes = len(sizes)
    kernel, padding, dilation = each(kernel, axes), each(padding, axes), each(dilation, axes)
    steps = each(stride, axes) if stride is not None and stride != [] and stride != () else kernel
    if min(steps) < 1:
        raise ValueError(f"strides must be 1 at least. Got {steps} instead")
    return [
        max((n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1, 0)
        for n, k, s, p, d in zip(sizes, kernel, steps, padding, dilation, strict=True)
    ]


def _convolution(x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, *rest: Any) -> Foreseen:
    transposed, more, groups = rest
    axes, kernel = weight.ndim - 2, weight.shape[2:]
    batch = x.shape[0] if x.ndim == weight.ndim else 1
    sizes = list(x.shape[-axes:])
    if transposed:
        out = [
            (n - 1) * s - 2 * p + d * (k - 1) + m + 1
            for n, k, s, p, d, m in zip(
                sizes, kernel, each(stride, axes), each(padding, axes), each(dilation, axes), each(more, axes), strict=True
            )
        ]
        channels, positions = weight.shape[1] * groups, batch * math.prod(sizes)
    else:
        out = windows(sizes, list(kernel), stride, padding, dilation)
        channels, positions = weight.shape[0], batch * math.prod(out)
    # Slow kernels write all windows side by side: of all inputs in float64, of one in float32.
    columns = positions * weight.numel() // max(channels if not transposed else weight.shape[0], 1)
    columns = columns if x.dtype == torch.float64 else columns // max(batch, 1)
    return _products(float(positions) * weight.numel(), x), batch * channels * math.prod(max(n, 0) for n in out), columns


def _pool(axes: int, dilated: bool) -> Callable[..., Foreseen]:
    def foreseen(x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, *rest: Any) -> Foreseen:
        dilation, ceil, *_ = [*rest, False, False] if dilated and rest else [1, *rest, False]
        out = math.prod(windows(x.shape[-axes:], kernel, stride, padding, dilation, bool(ceil)))
        return _places(x, axes, out, out * math.prod(each(kernel, axes)))

    return foreseen


def _adaptive_pool(axes: int) -> Callable[..., Foreseen]:
    def foreseen(x: Tensor, output: Any) -> Foreseen:
        sizes = each(output, axes)
        places = math.prod(n + 2 * m for n, m in zip(x.shape[-axes:], sizes, strict=True))
        return _places(x, axes, math.prod(sizes), places)

    return foreseen


def _places(x: Tensor, axes: int, out: int, places: int) -> Foreseen:
    if places > MOST_PLACES:
        raise ValueError(f"its windows have {places:,} places, which is too many: {MOST_PLACES:,} are allowed")
    images = x.shape[:-axes].numel()
    return float(images) * places, images * out, 0


def _attention(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Foreseen:
    pairs = float(q.shape[:-1].numel()) * k.shape[-2]
    return _products(pairs * (q.shape[-1] + v.shape[-1]), q), q.shape[:-1].numel() * v.shape[-1], 0


def _distances(a: Tensor, b: Tensor, *rest: Any) -> Foreseen:
    numbers = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]).numel() * a.shape[-2] * b.shape[-2]
    return 8.0 * numbers * a.shape[-1], numbers, 0


def _trilinear(
    a: Tensor, b: Tensor, c: Tensor, expand_a: Any, expand_b: Any, expand_c: Any, summed: Any, *rest: Any
) -> Foreseen:
    shapes = []
    for tensor, places in ((a, expand_a), (b, expand_b), (c, expand_c)):
        shape = list(tensor.shape)
        for place in sorted(places):
            shape.insert(place, 1)
        shapes.append(shape)
    numbers = torch.broadcast_shapes(*shapes).numel()
    return 8.0 * numbers, 0, numbers


_FORESEEN: dict[str, Callable[..., Foreseen]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot"), _matrices),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _after_first(_matrices)),
    "convolution": _convolution,
    "avg_pool2d": _pool(2, dilated=False),
    "avg_pool3d": _pool(3, dilated=False),
    "max_pool2d_with_indices": _pool(2, dilated=True),
    "max_pool3d_with_indices": _pool(3, dilated=True),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive_pool(2)),
    **dict.fromkeys(("_adaptive_avg_pool3d", "adaptive_max_pool3d"), _adaptive_pool(3)),
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    **dict.fromkeys(("_cdist_forward", "_euclidean_dist"), _distances),
    "_trilinear": _trilinear,
}
