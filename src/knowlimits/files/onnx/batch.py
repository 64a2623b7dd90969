"""Files without a free batch axis, as graphs of as many inputs as there are.

Exporters fix the batch to the one input that they were shown, unless they are told otherwise, and write its length into
reshapes; other files take one input without any such axis. Of a fixed input all shapes are known, and what the file computes of
one is computed for every row (`rows/rules.py`). What came out is compared with the graph as the file has it, one input after
another, before anything is said about it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from knowlimits.files.budget import Meter
from knowlimits.files.onnx.building import Building
from knowlimits.files.onnx.convert import MISFITS
from knowlimits.files.onnx.logits import class_logits, one_logit
from knowlimits.files.onnx.rows.rules import followed
from knowlimits.files.onnx.rows.values import MixedRows, NoBatch, PerRow, Rewriting, inside
from knowlimits.files.onnx.sizes import allow

_EXPORT = (
    "export it with a dynamic batch axis (in torch by dynamic_shapes=({0: torch.export.Dim('n')},), or by "
    "dynamic_axes={'x': {0: 'n'}} and input_names=['x'] with dynamo=False)"
)
# Inputs that are compared, and how far apart they may be: their sums are taken in another order.
_ROWS = 3
_CLOSE = 1e-6
# Lengths that are tried for an axis that the file has no length for.
_MOST_LENGTHS = 64


class AsWritten(fx.Interpreter):
    """The graph as the file has it, of the one input or the batch that it takes.

    Args:
        module: the graph.
        see: is told of each node and its result.
    """

    def __init__(self, module: fx.GraphModule, see: Callable[[fx.Node, Any], None] | None = None):
        super().__init__(module)
        self.extra_traceback = False
        self._see = see

    def run_node(self, n: fx.Node) -> Any:
        """The result of a node."""
        result = super().run_node(n)
        if self._see is not None:
            self._see(n, result)
        return result

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The result of a function, but for those that look at rows, of which there may be none yet."""
        if target is class_logits:
            return args[0]
        return args[0].reshape(-1, 1) if target is one_logit else super().call_function(target, args, kwargs)


def freed(module: fx.GraphModule, building: Building, stated: Sequence[int]) -> tuple[fx.GraphModule, list[int]]:
    """The same graph for any number of inputs, and the shape of one.

    Args:
        module: of the file, for inputs as it states them.
        building: what it was made in.
        stated: sizes of the input's axes, of which the first is not free, or the only one; 0 for those that are not stated.

    Raises:
        ValueError: if inputs hang on each other, or it is not clear what one is.
    """
    sizes = _complete(module, list(stated), tries := Meter())
    if len(sizes) > 1 and sizes[0] == 1:
        try:
            return _freed(module, building, sizes, 0)
        except NoBatch:
            return _one(module, building, sizes)
        except MixedRows as error:
            raise ValueError(f"{_takes(sizes)}, as {error}: {_EXPORT}") from error
    out = _result(module, sizes, tries)
    # As many results as there are along the first axis of the input may be one for each.
    one_each = len(out) in (1, 2) and sizes[0] > 1 and out[0] == sizes[0]
    maybe_one = len(out) < 2 or 1 in out[:2]
    if not one_each:
        return _one(module, building, sizes)
    try:
        found = _freed(module, building, sizes, 0)
    except (NoBatch, MixedRows) as error:
        if maybe_one:
            return _one(module, building, sizes)
        raise ValueError(f"{_takes(sizes)}, as {error}: {_EXPORT}") from error
    if len(sizes) == 1 and maybe_one:
        raise ValueError(
            f"its input of shape {sizes} may be {sizes[0]} inputs of one feature, or one of {sizes[0]} features: {_EXPORT}"
        )
    return found


def takes_one_only(module: fx.GraphModule, shape: list[int]) -> bool:
    """Whether a batch of one can go through a graph, and none of two."""

    def goes(count: int) -> bool:
        try:
            with Meter(count), torch.no_grad():
                module.forward(torch.zeros(allow([count, *shape]), dtype=torch.float64))
        except MISFITS:
            return False
        return True

    return goes(1) and not goes(2)


def _one(module: fx.GraphModule, building: Building, sizes: list[int]) -> tuple[fx.GraphModule, list[int]]:
    """The graph of rows of a file that takes one input without an axis for more."""
    try:
        return _freed(module, building, sizes, None)
    except MixedRows as error:
        raise ValueError(f"{_takes(sizes)}, as {error}: {_EXPORT}") from error


def _takes(sizes: list[int]) -> str:
    return f"it takes batches of {sizes[0]} only, or one input of shape {sizes}"


def _complete(module: fx.GraphModule, sizes: list[int], tries: Meter) -> list[int]:
    """Sizes with the one length that fits, where the file leaves one open."""
    unknown = [k for k, size in enumerate(sizes) if not size]
    if not unknown:
        return sizes

    def fits(length: int) -> tuple[int, ...] | None:
        try:
            return _result(module, [size or length for size in sizes], tries)
        except MISFITS:
            return None

    if len(sizes) == 1 and all((out := fits(k)) is not None and len(out) == 2 and out[0] == k for k in (2, 3)):
        # Any number of inputs, each of one feature.
        return [2]
    tensors = [*module.parameters(), *module.buffers()]
    lengths = sorted({size for tensor in tensors for size in tensor.shape if size > 1})[:_MOST_LENGTHS]
    fitting = [length for length in lengths if fits(length) is not None] if len(unknown) == 1 else []
    if len(fitting) != 1:
        which = "is not one alone that fits" if fitting else "fits what comes after it"
        raise ValueError(f"its input has shape {[size or '?' for size in sizes]}, and no length {which}: {_EXPORT}")
    return [size or fitting[0] for size in sizes]


def _result(module: fx.GraphModule, sizes: list[int], tries: Meter) -> tuple[int, ...]:
    """The shape of the result for an input as the file takes it."""
    with tries, torch.no_grad():
        return tuple(AsWritten(module).run(torch.zeros(allow(sizes), dtype=torch.float64)).shape)


def _freed(module: fx.GraphModule, building: Building, sizes: list[int], batch: int | None) -> tuple[fx.GraphModule, list[int]]:
    """The graph of rows and the shape of one, given which axis of the input is the batch, if any is."""
    new = Rewriting(module, 1 if batch is None else sizes[0], building.meter)
    # A batch of numbers is one of inputs with one feature.
    size = sizes if batch is None else sizes[1:] or [1]
    made: list[fx.GraphModule] = []

    def see(n: fx.Node, result: Any) -> None:
        if n.op == "placeholder":
            row = new.row(tuple(sizes), batch)
            new.rows[n] = PerRow(new.shaped(new.input(), size, inside(row)), row, batch)
        elif n.op == "output":
            made.append(new.finished(_output(new, new.value(n.args[0]))))
        elif n not in building.data:
            new.constants[n] = result
        else:
            try:
                new.rows[n] = followed(new, n, module, _shapes(result))
            except (MixedRows, NoBatch) as error:
                raise type(error)(f"{n.name} {error}") from None

    with Meter(new.length) as meter, torch.no_grad():
        AsWritten(module, see).run(torch.zeros(allow(sizes), dtype=torch.float64))
    (lifted,) = made
    (x,) = (n for n in module.graph.nodes if n.op == "placeholder")
    whole = not building.integers.isdisjoint((x, *x.users))
    count = new.length if new.length > 1 else _ROWS
    with Meter(count, meter.taken()), torch.no_grad():
        _prove(module, lifted, _drawn([count, *size], whole), sizes, new.length > 1)
    return lifted, size


def _shapes(result: Any) -> Any:
    """The shape of a tensor, or of each of several."""
    return tuple(result.shape) if isinstance(result, Tensor) else [tuple(part.shape) for part in result]


def _output(new: Rewriting, value: PerRow) -> fx.Node:
    """What is returned for rows, ``(n, classes)``."""
    classes = math.prod(value.shape)
    if len(value.shape) > 2 or not classes or classes not in (*value.shape, 1):
        raise ValueError(f"its output must have one number for each class. Got shape {list(value.shape)} for one input instead")
    if new.length > 1 and value.batch != 0:
        raise MixedRows("the first axis of its output is not that of the inputs")
    return new.shaped(value.node, inside(value.shape), [classes])


def _prove(module: fx.GraphModule, lifted: fx.GraphModule, inputs: Iterator[Tensor], sizes: list[int], together: bool) -> None:
    """See that rows at once have the results that the file has for each by itself, or for a batch as long as it takes.

    Raises:
        MixedRows: if they have others.
        ValueError: if there are none.
    """
    failed = "nothing can be tried"
    for rows in inputs:
        try:
            expected = [AsWritten(module).run(some.reshape(sizes)) for some in ([rows] if together else rows)]
        except MISFITS as error:
            failed = _line(error)
            continue
        expected = torch.stack(expected).reshape(len(rows), -1)
        if not bool(expected.isfinite().all()):
            failed = "its results are no finite numbers"
            continue
        try:
            found = lifted.forward(rows)
        except MISFITS as error:
            raise MixedRows(f"several inputs at once do not go through it ({_line(error)})") from error
        if found.shape != expected.shape or not bool(((found - expected).abs() <= _CLOSE * expected.abs().max()).all()):
            raise MixedRows("several inputs at once have other results than each by itself")
        return
    raise ValueError(f"{_takes(sizes)}, and cannot be evaluated to see whether it could take others ({failed}): {_EXPORT}")


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _drawn(shape: list[int], whole: bool) -> Iterator[Tensor]:
    """Inputs to try one after another, as not all can be given to roots, logarithms, or what looks at places."""
    generator = torch.Generator().manual_seed(0)
    allow(shape)
    if not whole:
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        yield x
        yield x.abs()
        # Between 0 and 1, and beyond.
        yield x.abs() / (1 + x.abs())
        yield x.abs() + 1
    for most in (3, 2):
        yield torch.randint(most, shape, generator=generator).double()
