"""What each function of a converted graph does for many rows.

There is a rule for each kind: numbers one by one, the same numbers in another shape, along axes, products of matrices, layers
that take batches. A function without a rule is done by `torch.vmap`. Each rule also says where the axis of the batch is then:
for one input it does not matter to any number, and yet a graph that takes a mean along it mixes the inputs of a larger batch.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from knowlimits.files.onnx import (
    activations,
    arithmetic,
    encoders,
    linear,
    logits,
    ml,
    norms,
    places,
    reductions,
    shapes,
    trees,
    windows,
)
from knowlimits.files.onnx.rows import moving, products
from knowlimits.files.onnx.rows.values import (
    MixedRows,
    NoBatch,
    PerRow,
    Rewriting,
    Rule,
    agreed,
    all_rows,
    axes_of,
    check_not_along,
    each_row,
    inside,
)


def followed(new: Rewriting, n: fx.Node, module: nn.Module, out: Any) -> Any:
    """The rows of a node's result, given its shape in the file, or the shapes of several results."""
    if n in new.done_before:
        return new.done_before[n]
    if n.op == "call_module":
        return layer(new, n, module.get_submodule(str(n.target)), out)
    return RULES.get(n.target, by_rows)(new, n, out)


def layer(new: Rewriting, n: fx.Node, module: nn.Module, out: tuple[int, ...]) -> PerRow:
    """The rows of a layer's result."""
    value = new.value(n.args[0])
    if not isinstance(module, nn.Linear):
        return in_batches(new, n, out, lambda x: new.layer(n.target, x))
    last = len(value.shape) - 1
    if value.batch == last:
        raise NoBatch("takes for features what was taken for the batch")
    node, shift = new.along(value, [last])
    return new.done(new.layer(n.target, node), shift, out, value.batch)


def in_batches(new: Rewriting, n: fx.Node, out: tuple[int, ...], call: Callable[[fx.Node], fx.Node] | None = None) -> PerRow:
    """What takes a batch along the first axis, of which each input is by itself."""
    value = new.value(n.args[0])
    if value.batch:
        raise NoBatch("takes for features or channels what was taken for the batch")
    node = value.node if value.shape[:1] == (1,) else new.call(all_rows, value.node)
    result = call(node) if call else new.call(n.target, node, *map(new.constant, n.args[1:]))
    if value.shape[:1] == (1,):
        return new.done(result, 0, out, value.batch)
    return new.done(new.call(each_row, result, value.shape[0]), 1, out, None)


def columns(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Columns of tables."""
    values = [new.value(a) for a in n.args]
    if not all(v.shape[:1] == (1,) and len(v.shape) == 2 and not v.batch for v in values if isinstance(v, PerRow)):
        return by_rows(new, n, out)
    result = new.call(
        n.target, *(v.node if isinstance(v, PerRow) else new.constant(a) for a, v in zip(n.args, values, strict=True))
    )
    return new.done(result, 0, out, agreed([v.batch for v in values if isinstance(v, PerRow)]))


def reduced(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """Sums, means and the like along axes."""
    value, keep = new.value(n.args[0]), bool(n.args[2])
    rank, given = len(value.shape), new.value(n.args[1])
    axes = list(range(rank)) if given is None else axes_of(given, rank)
    # An axis of length one that goes is a way to squeeze it; one that is kept is there for more.
    if keep or new.length > 1:
        check_not_along(value.batch, axes)
    batch = value.batch
    if batch is not None:
        batch = None if batch in axes else batch if keep else batch - sum(axis < batch for axis in axes)
    node, shift = new.along(value, axes)
    moved = [axis + shift for axis in axes]
    result = new.call(n.target, node, moved[0] if isinstance(given, int) else moved, keep)
    return new.done(result, shift, out, batch)


def over(last: bool) -> Rule:
    """Of a function that leaves shapes as they are, and works along an axis, or along one and all that follow (`last`)."""

    def rule(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
        value, axis, *rest = (new.value(a) for a in n.args)
        (axis,) = axes_of(axis, len(value.shape))
        axes = list(range(axis, len(value.shape))) if last else [axis]
        check_not_along(value.batch, axes)
        node, shift = new.along(value, axes)
        return new.done(new.call(n.target, node, axis + shift, *rest), shift, out, value.batch)

    return rule


def with_last(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """What works on numbers one by one, or along the last axis, of which it may make others."""
    value, *rest = n.args
    value = new.value(value)
    axes = [len(value.shape) - 1]
    if len(out) == len(value.shape):
        check_not_along(value.batch, axes)
    node, shift = new.along(value, axes)
    result = new.call(n.target, node, *map(new.constant, rest))
    return new.done(result, shift, out, new.kept(out, value.batch))


def class_logits(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """The input of a final softmax, if it has one axis of classes and nothing else."""
    value, axis, flat = new.value(n.args[0]), n.args[1], n.args[2]
    (axis,) = axes_of(axis, len(value.shape))
    check_not_along(value.batch, list(range(axis, len(value.shape))) if flat else [axis])
    if math.prod(value.shape[axis:] if flat else value.shape[axis : axis + 1]) != math.prod(value.shape):
        raise ValueError(
            f"the last Softmax of the model is not over one axis of classes. Got shape {list(value.shape)} instead."
        )
    return value


def one_logit(new: Rewriting, n: fx.Node, out: tuple[int, ...]) -> PerRow:
    """The input of a final sigmoid, if it is one number."""
    value = new.value(n.args[0])
    if math.prod(value.shape) != 1:
        raise ValueError(f"the model ends in Sigmoids of shape {list(value.shape)}: it must have one, or Softmax over classes")
    return PerRow(new.shaped(value.node, inside(value.shape), [1]), (1, 1), 0)


def by_rows(new: Rewriting, n: fx.Node, out: Any) -> Any:
    """Each row by itself: for functions that have no rule."""
    values = [new.value(a) for a in n.args]
    along = [isinstance(v, PerRow) for v in values]
    if new.length > 1 or not isinstance(out, tuple):
        raise MixedRows("may put rows together")
    args = [new.front(v) if isinstance(v, PerRow) else new.constant(a) for a, v in zip(n.args, values, strict=True)]
    return new.done(new.by_rows(n.target, args, along), 1, out, None)


_POINTWISE = (
    *(arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.divide, arithmetic.power, arithmetic.mean),
    *(arithmetic.maximum, arithmetic.minimum, arithmetic.where, arithmetic.equal, arithmetic.greater, arithmetic.less),
    *(arithmetic.greater_or_equal, arithmetic.less_or_equal, arithmetic.both, arithmetic.either, arithmetic.cast),
    *(arithmetic.either_alone, arithmetic.remainder, arithmetic.is_infinite),
    *(arithmetic.whole, arithmetic.is_true, torch.neg, torch.abs, torch.exp, torch.log, torch.sqrt, torch.reciprocal),
    *(torch.sign, torch.floor, torch.ceil, torch.round, F.softsign, activations.thresholded, activations.shrunk),
    *(torch.logical_not, torch.isnan, torch.relu, torch.sigmoid, torch.tanh, torch.atan, torch.erf),
    *(activations.prelu, activations.selu, activations.swish, activations.softplus, activations.hard_sigmoid),
    *(activations.clip, activations.gelu, F.leaky_relu, F.elu, F.celu, F.hardswish, F.mish, F.silu, F.gelu, F.logsigmoid),
    *(encoders.imputed, encoders.binarized),
)
_REDUCTIONS = (
    *(reductions.reduce_sum, reductions.reduce_l1, reductions.reduce_mean, reductions.reduce_max, reductions.reduce_min),
    *(reductions.reduce_logsumexp, reductions.reduce_l2, reductions.reduce_squares, reductions.reduce_log_sum),
    *(reductions.reduce_product, reductions.argmax, reductions.argmin),
)
_IN_BATCHES = (
    *(windows.pad_for_windows, windows.max_pool, windows.average_pool, windows.global_average, windows.global_max),
    *(windows.lp_pool, windows.global_lp, windows.transposed_convolution),
    *(norms.batch_norm, norms.group_norm, places.depth_to_space, places.space_to_depth),
)
_COLUMNS = (
    *(ml.extract_features, ml.vectorize_features, logits.second_of_two),
    *(trees.two_sides, trees.two_shares, trees.two_scores, trees.softmax),
)

RULES: dict[Any, Rule] = {
    **dict.fromkeys(_POINTWISE, moving.pointwise),
    **dict.fromkeys((shapes.reshape, shapes.flatten, shapes.squeeze, shapes.unsqueeze), moving.reshaped),
    **dict.fromkeys(_REDUCTIONS, reduced),
    **dict.fromkeys((torch.softmax, torch.log_softmax, norms.of_length_one), over(last=False)),
    **dict.fromkeys((activations.flat_softmax, norms.layer_norm, norms.rms_norm), over(last=True)),
    **dict.fromkeys((encoders.one_hot, encoders.encoded), with_last),
    **dict.fromkeys(_IN_BATCHES, in_batches),
    **dict.fromkeys(_COLUMNS, columns),
    shapes.transpose: moving.transposed,
    shapes.expand: moving.expanding,
    shapes.tile: moving.tiled,
    places.slice_axes: moving.sliced,
    places.gather: moving.gathered,
    places.pad: moving.padded,
    places.concat: moving.joined,
    places.split: moving.split,
    places.equal_split: moving.split,
    places.part: moving.part,
    linear.matmul: products.matmul,
    linear.gemm: products.gemm,
    logits.class_logits: class_logits,
    logits.one_logit: one_logit,
}
