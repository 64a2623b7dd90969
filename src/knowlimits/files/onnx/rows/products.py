"""Products of matrices, of which either or both are there for each row."""

from typing import Any

import torch
from torch import Tensor, fx

from knowlimits.files.onnx import arithmetic, linear
from knowlimits.files.onnx.rows.values import MixedRows, NoBatch, PerRow, Rewriting, agreed, inside, widened


def matmul(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """A product of matrices or vectors."""
    a, b = new.value(n.args[0]), new.value(n.args[1])
    if isinstance(a, Tensor) and a.ndim == 2 and a.numel() and tuple(b.shape[1:]) in ((), (1,)):
        return _layer(new, a, b, n, out)
    return _product(new, a, b, n, out)


def _layer(new: Rewriting, weight: Tensor, x: PerRow, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """A matrix times one vector or column, as the layer that it is, with what is added to it as its bias."""
    batch = new.kept(out, _batch_of_product(weight, x))
    row = new.row(out, batch)
    node = new.shaped(x.node, inside(x.shape), [weight.shape[1]])
    (after, *others), bias = [*n.users, n], None
    if len(others) == 1 and after.target is arithmetic.add and len(after.args) == 2:
        bias = new.learned(after.args[after.args[0] is n])
        bias = bias if bias is not None and bias.shape == out else None
    made = linear.layer(weight, None if bias is None else bias.reshape(-1))
    result = PerRow(new.shaped(new.layer(new.add(made), node), [len(weight)], inside(row)), row, batch)
    if bias is not None:
        new.done_before[after] = result
    return result


def _product(new: Rewriting, a: Any, b: Any, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """The product of two values, of which one at least has rows."""
    ranks = len(a.shape), len(b.shape)
    batch = new.kept(out, _batch_of_product(a, b))
    if isinstance(a, PerRow) and isinstance(b, Tensor) and ranks == (2, 2) and a.shape[0] == 1:
        return new.done(new.call(n.target, a.node, new.constant(n.args[1])), 0, out, batch)
    # Vectors as matrices of one row or column.
    shapes = (1, *a.shape) if ranks[0] == 1 else tuple(a.shape), (*b.shape, 1) if ranks[1] == 1 else tuple(b.shape)
    rank = max(map(len, shapes))
    shapes = tuple(widened(shape, rank) for shape in shapes)
    ahead = rank > 2 and all(shape[0] == 1 for shape in shapes)
    factors = []
    for factor, shape, argument in zip((a, b), shapes, n.args, strict=False):
        if isinstance(factor, PerRow):
            factors.append(new.shaped(factor.node, inside(factor.shape), shape[1:] if ahead else shape))
        elif len(factor.shape) == 1:
            factors.append(new.constant(argument, factor.reshape(shape[-2:])))
        else:
            factors.append(new.constant(argument))
    outer = list(torch.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]))
    sizes = [*outer, shapes[0][-2], shapes[1][-1]]
    row = new.row(out, batch)
    result = new.call(linear.matmul, *factors)
    return PerRow(new.shaped(result, sizes[1:] if ahead else sizes, inside(row)), row, batch)


def _batch_of_product(a: Any, b: Any) -> int | None:
    """Where the batch is in a product of matrices."""
    summed = len(a.shape) - 1, max(len(b.shape) - 2, 0)
    for factor, other, axis in ((a, b, summed[0]), (b, a, summed[1])):
        if isinstance(factor, PerRow) and factor.batch == axis:
            if isinstance(other, PerRow):
                raise MixedRows("multiplies inputs of a batch with each other")
            raise NoBatch("takes for features what was taken for the batch")
    # Places from the end, as if both were matrices.
    found = []
    if isinstance(a, PerRow) and a.batch is not None:
        found.append(len(a.shape) - 1 - a.batch)
    if isinstance(b, PerRow) and b.batch is not None:
        found.append(len(b.shape) - 1 - b.batch)
    place = agreed(found)
    if place is None:
        return None
    rank = max(len(a.shape), len(b.shape), 2)
    axis = rank - 1 - place
    # A vector on the left has no row.
    return axis - (len(a.shape) == 1 and place == 0)


def gemm(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """A product of two matrices, either transposed or not, and what is added to it."""
    x, weight, bias = (new.value(a) for a in n.args[:3])
    plainly = isinstance(x, PerRow) and x.shape[0] == 1 and not n.args[5] and isinstance(weight, Tensor)
    sides = [_turned(side) if turned else side for side, turned in ((x, n.args[5]), (weight, n.args[6]))]
    batch = new.kept(out, _batch_of_product(*sides))
    if isinstance(bias, PerRow):
        batch = new.kept(out, agreed([batch, None if bias.batch is None else bias.batch + 2 - len(bias.shape)]))
        wide = widened(bias.shape, 2)
        plainly = plainly and wide[0] == 1
        added: Any = new.shaped(bias.node, inside(bias.shape), wide[1:] if plainly else wide)
    else:
        added = new.constant(n.args[2]) if batch is None else new.of_one(n.args[2], 2 - batch)
    if plainly:
        result = new.call(n.target, x.node, new.constant(n.args[1]), added, *n.args[3:])
        return new.done(result, 0, out, batch)
    factors = [new.front(v) if isinstance(v, PerRow) else new.constant(a) for a, v in zip(n.args, (x, weight), strict=False)]
    return new.done(new.call(gemm_of_rows, *factors, added, *n.args[3:]), 1, out, batch)


def _turned(matrix: Any) -> Any:
    """The transpose, of which only shape and batch count where it has rows."""
    if not isinstance(matrix, PerRow):
        return matrix.t()
    return PerRow(matrix.node, matrix.shape[::-1], None if matrix.batch is None else 1 - matrix.batch)


def gemm_of_rows(a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float, turn_a: bool, turn_b: bool) -> Tensor:
    """``alpha * a @ b + beta * c`` for matrices of each row, either transposed or not, and constant ones."""
    product = linear.matmul(a.transpose(-1, -2) if turn_a else a, b.transpose(-1, -2) if turn_b else b)
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)
