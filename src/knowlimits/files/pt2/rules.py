"""What the arguments of an operation must be, where torch's kernels take it for granted and crash or read foreign memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import is_operation, name_of, parameters, tree_leaves
from knowlimits.files.budget import MOST_PARTS, MOST_SIZE, MOST_STRIDE, each

_ENUMERATIONS = {"ScalarType": torch.dtype, "Layout": torch.layout, "MemoryFormat": torch.memory_format}


def check_call(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse arguments of a node, as they are when it is about to run.

    Raises:
        ValueError: if one is not what the operation's kernel takes for granted.
    """
    if not is_operation(target):
        return
    schema = parameters(target)
    given = {one.name: one.default_value for one in schema if one.has_default_value()}
    given |= {one.name: value for one, value in zip(schema, args, strict=False)} | kwargs
    for argument in schema:
        kind = _ENUMERATIONS.get(str(argument.real_type).removeprefix("Optional[").removesuffix("]"))
        value = given.get(argument.name)
        if kind is not None and value is not None and not isinstance(value, kind):
            raise ValueError(f"{target} must have a {kind.__name__} as {argument.name}. Got {value} instead")
        if (
            kind is None
            and "int" in str(argument.type)
            and argument.name not in _SHAPES
            and (target, argument.name) not in _ENDS
        ):
            _check_sizes(target, argument.name, value)
    name = name_of(target)
    for rule in _RULES.get(name.removesuffix("_"), ()):
        rule(name, given)


# Shapes are seen to by torch itself and by the budget; ends of slices are cut to the tensor's.
_SHAPES = {"size", "shape"}
_ENDS = {(torch.ops.aten.slice.Tensor, name) for name in ("start", "end")}


def _check_sizes(target: Any, argument: str, value: Any) -> None:
    sizes = [size for size in tree_leaves(value) if type(size) is int]
    if any(abs(size) > MOST_SIZE for size in sizes):
        raise ValueError(f"{target} must have {argument} below {MOST_SIZE + 1:,}. Got {value} instead")
    if len(sizes) > MOST_PARTS:
        raise ValueError(f"{target} must have at most {MOST_PARTS:,} numbers as {argument}. Got {len(sizes):,} instead")


def _quotient(name: str, given: dict[str, Any]) -> None:
    """The lowest integer divided by -1 ends the process, whichever tensor holds it."""
    if name.removesuffix("_") != "remainder" and given.get("rounding_mode") is None:
        return
    first, second = given["self"], given["other"]
    if any(isinstance(one, float) or (isinstance(one, Tensor) and one.is_floating_point()) for one in (first, second)):
        return
    # In types of fewer bits another number may become -1.
    if not (isinstance(first, Tensor) and first.dtype == torch.int64 and type(second) is int and second > 0):
        raise ValueError(f"{name} must not divide whole numbers by others than a positive constant: divide as floats")


def _parts(name: str, given: dict[str, Any]) -> None:
    """Operations that return as many tensors as an axis is long, or as a size goes into it."""
    x = given["self"]
    length = x.shape[given["dim"]] if x.ndim else 0
    size = given.get("split_size", 1)
    # A list of sizes is checked as a list.
    count = length // max(size, 1) if isinstance(size, int) else 0
    if min(count, given.get("chunks", count)) > MOST_PARTS:
        raise ValueError(f"{name} must return at most {MOST_PARTS:,} tensors. Got {count:,} instead")


def _full(name: str, given: dict[str, Any]) -> None:
    """Kernels divide by what they count in a tensor: an attention without heads ends the process."""
    if any(isinstance(value, Tensor) and value.numel() == 0 for value in given.values()):
        raise ValueError(f"{name} must not have empty tensors")


def _full_floats(name: str, given: dict[str, Any]) -> None:
    """Kernels with windows are made for numbers, and for tensors that have some."""
    _full(name, given)
    if not all(value.is_floating_point() for value in given.values() if isinstance(value, Tensor)):
        raise ValueError(f"{name} must have floating-point numbers")


def _pads(name: str, given: dict[str, Any]) -> None:
    """Those that mirror or repeat look behind edges that were cut off."""
    if given.get("mode", "") != "constant" and min(given.get("padding") or given.get("pad") or [0]) < 0:
        raise ValueError(f"{name} must not have negative pads")


def _convolution(name: str, given: dict[str, Any]) -> None:
    axes = given["weight"].ndim - 2
    padding = [] if isinstance(given["padding"], str) else each(given["padding"], axes)
    if min(padding, default=0) < 0:
        raise ValueError(f"{name} must not have negative pads")
    strides, dilations = each(given["stride"], axes), each(given["dilation"], axes)
    if max(padding + strides + dilations) > MOST_STRIDE:
        raise ValueError(f"{name} must have strides, dilations and pads of at most {MOST_STRIDE:,}")
    more = each(given.get("output_padding", 0), axes)
    if min(strides + dilations) < 1 or any(
        m < 0 or m >= max(s, d) for m, s, d in zip(more, strides, dilations, strict=True) if m
    ):
        raise ValueError(f"{name} must have strides and dilations of 1 or more, and less than these of padding for its output")


def _pool(name: str, given: dict[str, Any]) -> None:
    """Places are counted in 32 bits: those beyond would be others, and those of foreign memory."""
    kernel = each(given["kernel_size"], 3)
    dilations = each(given.get("dilation", 1), len(kernel))
    if any(abs(d * (k - 1)) > MOST_SIZE for d, k in zip(dilations, kernel, strict=False)):
        raise ValueError(
            f"{name} must have windows that reach less than {MOST_SIZE + 1:,} places. Got {kernel} and {dilations}"
        )


def _batch_norm(name: str, given: dict[str, Any]) -> None:
    statistics = [given[key] for key in ("weight", "bias", "running_mean", "running_var")]
    if any(one is not None and one.shape != given["input"].shape[1:2] for one in statistics):
        raise ValueError("batch norm must have statistics for each channel")


def _group_norm(name: str, given: dict[str, Any]) -> None:
    x, channels, groups = given["input"], given["C"], given["group"]
    whole = min(channels, groups) > 0 and channels % groups == 0
    sizes = (*x.shape[:2], x.shape[2:].numel())
    learned = [one for one in (given["weight"], given["bias"]) if one is not None]
    if not whole or sizes != (given["N"], channels, given["HxW"]) or any(one.shape != (channels,) for one in learned):
        raise ValueError("group norm must have the sizes of its input, and as many weights as channels")


_CONVOLUTIONS = "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution"
_DILATED = "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices"
_POOLS = """
    avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
"""
_RESIZED = """
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
    pixel_shuffle pixel_unshuffle
"""
_EDGES = "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d"
_NORMS = "batch_norm instance_norm layer_norm group_norm rms_norm native_layer_norm"

Rule = Callable[[str, dict[str, Any]], None]
_RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("div", "divide", "remainder"), (_quotient,)),
    **dict.fromkeys(("unbind", "split", "chunk"), (_parts,)),
    **dict.fromkeys(f"{_POOLS} {_RESIZED} {_NORMS}".split(), (_full_floats,)),
    **dict.fromkeys(_DILATED.split(), (_full_floats, _pool)),
    **dict.fromkeys(_CONVOLUTIONS.split(), (_full_floats, _convolution)),
    **dict.fromkeys(_EDGES.split(), (_full_floats, _pads)),
    "pad": (_pads,),
    **dict.fromkeys(("scaled_dot_product_attention", "bilinear", "cdist", "glu"), (_full,)),
    "_native_batch_norm_legit_no_training": (_full_floats, _batch_norm),
    "native_group_norm": (_full_floats, _group_norm),
}
