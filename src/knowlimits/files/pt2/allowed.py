"""Which operations a model that others wrote may use: those that compute tensors from tensors, and nothing else.

torch has many more under the same names, some of which open files or read memory that nobody wrote. So the list is written
out, overload by overload; a name without a dot is the overload `default`, and one that ends in an underscore works in place.

Of each operation it was asked: what does its kernel take for granted, and who sees to it at every call? Sizes are seen to at
every call in any case: whenever inputs of another shape come, the program runs without numbers first (`pt2_rehearsal`), where
torch's own rules for shapes, the rules of `pt2_rules` and the budget hold. What is left are numbers that no rehearsal sees:

- operations on each number, whose sizes broadcast, have no bad ones, but for quotients of whole numbers (the lowest by -1 ends
  the process): those are refused by `pt2_rules`;
- reductions and orders have none;
- operations that take places (gather, index, index_select) check each at every call;
- nothing here lets numbers say how large a result is: truth values as places, counts in a tensor and nonzero are refused, as
  they cannot be rehearsed.
"""

import torch

# Those that the table of `knowlimits.follow` follows under their own name.
_MOVED = """
    view _unsafe_view permute transpose.int t expand squeeze squeeze.dim squeeze.dims unsqueeze slice.Tensor select.int
    cat stack split.Tensor split.sizes split_with_sizes unbind.int flip roll repeat clone detach detach_ alias diagonal
    unfold lift_fresh pixel_shuffle pixel_unshuffle
    index.Tensor index_select gather
"""
_COMPUTED = """
    add.Tensor add.Scalar add_.Tensor add_.Scalar sub.Tensor sub.Scalar sub_.Tensor sub_.Scalar rsub.Tensor rsub.Scalar
    mul.Tensor mul.Scalar mul_.Tensor mul_.Scalar div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode
    div_.Tensor div_.Scalar div_.Tensor_mode div_.Scalar_mode neg neg_ abs abs_
    lerp.Scalar lerp.Tensor lerp_.Scalar lerp_.Tensor where.self where.ScalarSelf where.ScalarOther where.Scalar
    masked_fill.Scalar masked_fill.Tensor masked_fill_.Scalar masked_fill_.Tensor
    maximum minimum max max.dim max.other min min.dim min.other amax amin
    clamp clamp.Tensor clamp_ clamp_.Tensor clamp_min clamp_min.Tensor clamp_min_ clamp_min_.Tensor
    clamp_max clamp_max.Tensor clamp_max_ clamp_max_.Tensor hardtanh hardtanh_
    relu relu_ leaky_relu leaky_relu_ threshold threshold_ _prelu_kernel softshrink hardsigmoid hardsigmoid_
    sigmoid sigmoid_ tanh tanh_ erf erf_ atan atan_ gelu gelu_ silu silu_ mish mish_ hardswish hardswish_ softplus
    log_sigmoid_forward celu celu_ elu elu_
    sum sum.dim_IntList mean mean.dim logsumexp _softmax _log_softmax std std.dim std.correction linalg_vector_norm glu
    hardshrink sign sign_ gt.Tensor gt.Scalar ge.Tensor ge.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar eq.Tensor eq.Scalar
    ne.Tensor ne.Scalar logical_not
"""
_PRODUCTS = "mm bmm mv dot addmm addmm_ baddbmm baddbmm_ addmv addmv_"
_WINDOWS = """
    convolution avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
"""
# The kernels of the last two check no sizes and read past the end of what is too small; `pt2_rules` does.
_NORMS = "native_layer_norm native_group_norm _native_batch_norm_legit_no_training"
FOLLOWED = f"{_MOVED} {_COMPUTED} {_PRODUCTS} {_WINDOWS} {_NORMS}"

# Those that torch itself puts together from others, which are then followed: they have no kernels of their own.
COMPOSED = """
    linear bilinear matmul einsum scaled_dot_product_attention
    conv1d conv1d.padding conv2d conv2d.padding conv3d conv3d.padding
    conv_transpose1d conv_transpose2d.input conv_transpose3d.input
    batch_norm instance_norm layer_norm group_norm rms_norm
    dropout dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_
    flatten.using_ints unflatten.int reshape view_as reshape_as expand_as broadcast_to
    movedim.intlist movedim.int moveaxis.intlist moveaxis.int swapaxes swapdims numpy_T mT
    chunk narrow concat concatenate hstack vstack dstack pad ravel tile repeat_interleave.self_int
    softmax.int log_softmax.int log_sigmoid relu6 relu6_ selu selu_ prelu
    avg_pool1d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d
    upsample_nearest1d.vec upsample_nearest2d.vec upsample_nearest3d.vec
    upsample_linear1d.vec upsample_bilinear2d.vec upsample_trilinear3d.vec
    subtract.Tensor subtract.Scalar subtract_.Tensor subtract_.Scalar
    multiply.Tensor multiply.Scalar multiply_.Tensor multiply_.Scalar
    divide.Tensor divide.Scalar divide.Tensor_mode divide.Scalar_mode
    divide_.Tensor divide_.Scalar divide_.Tensor_mode divide_.Scalar_mode
    true_divide.Tensor true_divide.Scalar true_divide_.Tensor true_divide_.Scalar
    negative negative_ absolute absolute_ clip clip.Tensor clip_ clip_.Tensor square square_
    to.device to.dtype to.other to.dtype_layout type_as contiguous
"""
# Numbers as they are, of another type or in memory of their own.
COPIES = "lift_fresh_copy _to_copy copy copy_"
# Those that are not in the table, but that a network may have all the same: a far field follows them on numbers that no ray
# moves, or that have limits, if at all; else only the network's scores can be computed.
NOT_FOLLOWED = """
    pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar pow_.Scalar pow_.Tensor
    exp exp_ expm1 expm1_ log log_ log1p log1p_ log2 log2_ log10 log10_ sqrt sqrt_ rsqrt rsqrt_ sin sin_ cos cos_
    reciprocal reciprocal_ floor floor_ ceil ceil_ round round.decimals round_ round_.decimals
    remainder.Tensor remainder.Scalar remainder.Scalar_Tensor remainder_.Tensor remainder_.Scalar
    logical_and logical_or isnan isinf any any.dim any.dims all all.dim all.dims
    cumsum argmax argmin sort sort.stable topk prod prod.dim_int
    var var.dim var.correction var_mean var_mean.dim var_mean.correction
    norm.Scalar norm.ScalarOpt_dim norm.ScalarOpt_dim_dtype norm.ScalarOpt_dtype cdist tril triu
"""
# Constants of a size, which the budget bounds.
MADE = """
    zeros ones full arange arange.start arange.start_step scalar_tensor zeros_like ones_like full_like
    new_zeros new_ones new_full fill.Scalar fill.Tensor fill_.Scalar fill_.Tensor zero zero_
"""
# Arithmetic on sizes, which are Python's integers and bounded by `pt2_rehearsal`. No powers and shifts.
ON_SIZES = frozenset({f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod", "neg")})
# They return no tensor: a size, and nothing after a check of what the exporter took for granted.
_OTHERS = "sym_size.int _assert_tensor_metadata"

ALLOWED = ON_SIZES | {
    f"torch.ops.aten.{name if '.' in name else f'{name}.default'}"
    for name in f"{FOLLOWED} {COMPOSED} {COPIES} {NOT_FOLLOWED} {MADE} {_OTHERS}".split()
}


def is_allowed(target: str) -> bool:
    """Whether a name is that of an operation that models may use, and that this torch has."""
    if target not in ALLOWED:
        return False
    _, _, name = target.partition("torch.ops.aten.")
    packet, _, overload = name.partition(".")
    return target in ON_SIZES or overload in getattr(getattr(torch.ops.aten, packet, None), "overloads", list)()
