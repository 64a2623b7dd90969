"""Which operations a model that others wrote may use: those that compute tensors from tensors, and nothing else.

torch has many more under the same names, some of which open files or read memory that nobody wrote.
"""

import re

import torch

from knowlimits.piecewise.operations import TABLE

# Those that are made of operations of the table, and are only seen in exported programs.
_COMPOSITE = """
    linear bilinear matmul einsum conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    batch_norm instance_norm layer_norm group_norm rms_norm dropout feature_dropout alpha_dropout
    flatten unflatten reshape view_as reshape_as expand_as broadcast_to movedim moveaxis swapaxes swapdims numpy_T mT
    chunk narrow concat concatenate hstack vstack dstack pad ravel tile repeat_interleave
    softmax log_softmax log_sigmoid relu6 selu prelu hardshrink
    avg_pool1d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d
    subtract multiply divide true_divide negative absolute clip square scaled_dot_product_attention
    to type_as contiguous lift_fresh_copy _to_copy copy
"""
# Those that no far field follows, but that a network may have all the same; only its scores can be computed then.
_OTHER = """
    pow exp expm1 log log1p log2 log10 sqrt rsqrt sin cos reciprocal sign floor ceil round remainder
    gt ge lt le eq ne logical_and logical_or logical_not isnan isinf any all
    cumsum argmax argmin sort topk prod var std var_mean linalg_vector_norm norm cdist tril triu glu
    zeros_like ones_like full_like new_zeros new_ones new_full zeros ones full arange scalar_tensor fill zero
"""
_MORE = {*_COMPOSITE.split(), *_OTHER.split()}
# Its kernel reads past the end of statistics that are too few; batch_norm checks them.
_UNCHECKED = {"native_batch_norm"}
# Arithmetic on sizes. No powers and shifts, whose results may be too large to compute.
_ON_SIZES = {f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod", "neg")} | {"torch.ops.aten.sym_size.int"}
# It returns nothing: it only checks what the exporter took for granted.
_CHECKS = {"torch.ops.aten._assert_tensor_metadata.default"}


def is_allowed(target: str) -> bool:
    """Whether a name is that of an operation that models may use."""
    if target in _ON_SIZES or target in _CHECKS:
        return True
    match = re.fullmatch(r"torch\.ops\.aten\.([A-Za-z]\w*|_[a-z]\w*)\.(\w+)", target, re.ASCII)
    # One that works in place has the other's name and an underscore.
    plain = match[1].removesuffix("_") if match else ""
    if not match or plain in _UNCHECKED or (plain not in TABLE and plain not in _MORE):
        return False
    # The others take sizes and scales that need not fit each other.
    if plain.startswith("upsample") and match[2] != "vec":
        return False
    packet = getattr(torch.ops.aten, match[1], None)
    if packet is None or match[2] not in packet.overloads():
        return False
    operation = getattr(packet, match[2])
    schema = operation._schema
    # TorchScript has operations of its own under these names: on text, on lists, and some that crash outside it.
    if not torch._C._dispatch_has_kernel(operation.name()):
        return False
    tensors = [str(returned.type) in ("Tensor", "List[Tensor]") for returned in schema.returns]
    # Some forms write into further arguments, whatever their size.
    written = [argument.name for argument in schema.arguments if argument.alias_info and argument.alias_info.is_write]
    return bool(tensors) and all(tensors) and written == (["self"] if match[1].endswith("_") else [])
