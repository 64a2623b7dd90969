"""The table of operations, entry by entry: each has a case here, and each case agrees with plain forward passes far out."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from knowlimits import _torch
from knowlimits.follow import (
    Affine,
    Joint,
    Jump,
    Maximum,
    Rewrite,
    UnsupportedOperation,
    evaluator,
    follow,
    operations,
    register,
)
from knowlimits.testing import check_radius, check_ray, draw_rays

G = torch.Generator().manual_seed(0)


def const(*shape):
    return torch.randn(*shape, generator=G, dtype=torch.float64)


def module(kind, *args, **kwargs):
    """A module with parameters that are not their defaults."""
    torch.manual_seed(0)
    made = kind(*args, **kwargs)
    for tensor in [*made.parameters(), *made.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 2.0)
            tensor.data -= 1.2 if isinstance(tensor, nn.Parameter) else 0.0
    return made.double().eval().requires_grad_(False)


def in_place(function):
    """Work in place on a view of a copy, and give the whole copy back."""

    def apply(x):
        y = x * 1.0
        function(y[:, 1:])
        return y

    return apply


def attention(**settings):
    """Attention to what a norm has brought to a limit."""

    def apply(x):
        x = F.layer_norm(x, x.shape[-1:])
        return F.scaled_dot_product_attention(x, x.flip(-1), x * 2 + 1, **settings)

    return apply


W, B, V = const(4, 5), const(5), const(4)
BATCH, ROWS, COLUMNS, MEMBERS, MEMBER_BIAS = const(12, 4, 5), const(12, 2), const(2, 4), const(2, 4, 5), const(2, 1, 5)
INDEX = torch.tensor([2, 0, 0])
MASK = torch.tensor([True, False, True, False])
IMAGE, SEQUENCE, VOLUME = (3, 7, 6), (3, 9), (2, 5, 4, 5)

# Name, function, shape of one input.
MOVES = [
    ("view", lambda x: x.view(-1, 4), (2, 2)),
    ("reshape", lambda x: x.transpose(1, 2).reshape(len(x), -1), IMAGE),
    ("permute", lambda x: x.permute(0, 2, 3, 1), IMAGE),
    ("t", lambda x: x.t().t(), (4,)),
    ("expand", lambda x: x[:, None].expand(-1, 3, -1), (4,)),
    ("squeeze", lambda x: x.unsqueeze(1).squeeze(1), (4,)),
    ("slice", lambda x: x[:, 1:3], (4,)),
    ("select", lambda x: x[:, 2], (4, 3)),
    ("cat", lambda x: torch.cat([x, 2 * x, V.expand(len(x), 4)], 1), (4,)),
    ("stack", lambda x: torch.stack([x, V.expand(len(x), 4)], 1), (4,)),
    ("split", lambda x: x.split(2, 1)[1], (4,)),
    ("split_with_sizes", lambda x: x.split([1, 3], 1)[1], (4,)),
    ("chunk", lambda x: x.chunk(2, 1)[0], (4,)),
    ("unsafe_split", lambda x: torch.unsafe_split(x, 2, 1)[1], (4,)),
    ("unsafe_split_with_sizes", lambda x: torch.unsafe_split_with_sizes(x, [1, 3], 1)[1], (4,)),
    ("channel_shuffle", lambda x: F.channel_shuffle(x, 2), (4, 2, 3)),
    ("unbind", lambda x: x.unbind(1)[3], (4,)),
    ("flip", lambda x: x.flip(1), (4,)),
    ("roll", lambda x: x.roll(1, 1), (4,)),
    ("index", lambda x: x[:, INDEX], (4,)),
    ("index_select", lambda x: x.index_select(1, INDEX), (4,)),
    ("gather", lambda x: x.gather(1, INDEX.expand(len(x), 3)), (4,)),
    ("repeat", lambda x: x.repeat(1, 3), (4,)),
    ("clone", lambda x: x.clone().contiguous(), (4,)),
    ("detach", lambda x: x.detach(), (4,)),
    ("alias", lambda x: torch.ops.aten.alias(x), (4,)),
    ("lift_fresh", lambda x: torch.ops.aten.lift_fresh(x), (4,)),
    ("diagonal", lambda x: x.diagonal(dim1=1, dim2=2), (4, 4)),
    ("unfold", lambda x: x.unfold(1, 2, 1), (4,)),
    ("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), (4, 3, 3)),
    ("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), (3, 4, 4)),
    ("where", lambda x: torch.where(MASK, x, V), (4,)),
    ("casts", lambda x: x.to("cpu", copy=True).double(), (4,)),
    ("_unsafe_view", lambda x: torch.ops.aten._unsafe_view(x * 1.0, [len(x), 2, 2]), (4,)),
]
AFFINE = [
    ("add", lambda x: x + V + 2, (4,)),
    ("add alpha", lambda x: torch.add(V, x, alpha=-3), (4,)),
    ("add two", lambda x: x[:, :2] + x[:, 2:], (4,)),
    ("sub", lambda x: V - x - 1.5, (4,)),
    ("sub two", lambda x: x[:, :2] - x[:, 2:], (4,)),
    ("rsub", lambda x: 3 - x, (4,)),
    ("neg", lambda x: -x, (4,)),
    ("mul", lambda x: 3 * x * V, (4,)),
    ("div", lambda x: x / V / 3, (4,)),
    ("negative numbers", lambda x: (x / -3 + -5.0) * -2 - -1.5, (4,)),
    ("negative factors", lambda x: torch.addmm(B, x, W, beta=-1, alpha=-2), (4,)),
    ("lerp beyond", lambda x: torch.lerp(x, V, -2.0) + torch.lerp(x, 2 * x, 3.0), (4,)),
    ("mm", lambda x: x @ W, (4,)),
    ("mm second", lambda x: (W.t() @ x.t()).t(), (4,)),
    ("bmm", lambda x: torch.bmm(x, BATCH), (3, 4)),
    ("bmm second", lambda x: W.t() @ x, (4, 2)),
    ("mv", lambda x: x @ V, (4,)),
    ("dot", lambda x: torch.stack([row @ V for row in x]), (4,)),
    ("einsum", lambda x: torch.einsum("nij,ik->nkj", x, W), (4, 3)),
    ("addmm", lambda x: F.linear(x, W.t(), B), (4,)),
    ("addmm bias", lambda x: torch.addmm(x, ROWS, COLUMNS), (4,)),
    ("addmv", lambda x: torch.addmv(ROWS[:, 0], x, V), (4,)),
    ("linear of tokens", lambda x: F.linear(x, W.t(), B), (3, 4)),
    ("baddbmm", lambda x: torch.baddbmm(MEMBER_BIAS, x.expand(2, -1, -1), MEMBERS).transpose(0, 1), (4,)),
    ("conv1d", module(nn.Conv1d, 3, 4, 3, stride=2, padding=1, dilation=2), SEQUENCE),
    ("conv2d", module(nn.Conv2d, 3, 6, 3, padding="same", groups=3), IMAGE),
    ("conv2d reflect", module(nn.Conv2d, 3, 2, 3, padding=1, padding_mode="reflect"), IMAGE),
    ("conv2d replicate", module(nn.Conv2d, 3, 2, 3, padding=1, padding_mode="replicate"), IMAGE),
    ("conv2d circular", module(nn.Conv2d, 3, 2, 3, padding=1, padding_mode="circular"), IMAGE),
    ("conv3d", module(nn.Conv3d, 2, 3, 2), VOLUME),
    ("conv_transpose1d", module(nn.ConvTranspose1d, 3, 4, 3, stride=2, output_padding=1), SEQUENCE),
    ("conv_transpose2d", module(nn.ConvTranspose2d, 3, 2, 3, stride=2), IMAGE),
    ("conv_transpose3d", module(nn.ConvTranspose3d, 2, 3, 2), VOLUME),
    ("batch_norm1d", module(nn.BatchNorm1d, 4), (4,)),
    ("batch_norm2d", module(nn.BatchNorm2d, 3), IMAGE),
    ("batch_norm3d without affine", module(nn.BatchNorm3d, 2, affine=False), VOLUME),
    (
        "batch norm of exported programs",
        lambda x: torch.ops.aten._native_batch_norm_legit_no_training(x, V, V + 1, V - 1, V.abs(), 0.1, 1e-5)[0],
        (4,),
    ),
    ("sum", lambda x: x.sum((1, 2)), IMAGE),
    ("sum keepdim", lambda x: x.sum(-1, keepdim=True), IMAGE),
    ("mean", lambda x: x.mean(dim=1), IMAGE),
    ("avg_pool1d", lambda x: F.avg_pool1d(x, 3, 2, 1), SEQUENCE),
    ("avg_pool2d", lambda x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False), IMAGE),
    ("avg_pool3d", lambda x: F.avg_pool3d(x, 2), VOLUME),
    ("adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 4), SEQUENCE),
    ("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), IMAGE),
    ("adaptive_avg_pool2d to one", lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE),
    ("adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, 2), VOLUME),
    ("nearest 1d", lambda x: F.interpolate(x, scale_factor=2), SEQUENCE),
    ("nearest 2d", lambda x: F.interpolate(x, size=(5, 9)), IMAGE),
    ("nearest 3d", lambda x: F.interpolate(x, scale_factor=2), VOLUME),
    ("linear", lambda x: F.interpolate(x, scale_factor=2, mode="linear"), SEQUENCE),
    ("bilinear", lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=True), IMAGE),
    ("trilinear", lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), VOLUME),
    ("pad", lambda x: F.pad(x, (1, 2), value=3.0), (4,)),
    ("pad reflect 1d", lambda x: F.pad(x, (1, 2), mode="reflect"), SEQUENCE),
    ("pad reflect 3d", lambda x: F.pad(x, (1, 1, 1, 1, 1, 1), mode="reflect"), VOLUME),
    ("pad replicate 1d", lambda x: F.pad(x, (1, 2), mode="replicate"), SEQUENCE),
    ("pad replicate 3d", lambda x: F.pad(x, (1, 1, 1, 1, 1, 1), mode="replicate"), VOLUME),
    ("masked_fill", lambda x: x.masked_fill(MASK, 2.5), (4,)),
    ("lerp", lambda x: torch.lerp(x, V, 0.3), (4,)),
    ("addcmul", lambda x: torch.addcmul(x, V, x, value=-2), (4,)),
    ("addcdiv", lambda x: torch.addcdiv(V, x, V, value=3), (4,)),
    ("im2col", lambda x: F.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)), IMAGE),
    ("im2col of one channel", lambda x: F.unfold(x[:, None], 2), (4, 4)),
    ("col2im", lambda x: F.fold(x, (5, 6), (2, 3), dilation=(2, 1), padding=1, stride=(1, 2)), (12, 15)),
    ("dropout in eval mode", nn.Dropout(0.5).eval(), (4,)),
    ("in place", in_place(lambda y: y.mul_(3).add_(V[1:]).sub_(1).neg_()), (4,)),
    ("in place copy", in_place(lambda y: y.copy_(y.flip(1) * 2)), (4,)),
    ("in place constant", in_place(lambda y: y[:, 0].fill_(3.0)), (4,)),
    ("in place zero", in_place(lambda y: y.zero_()), (4,)),
    ("index_put", in_place(lambda y: y.__setitem__((slice(None), [0, 2]), y[:, 1:] * 3)), (4,)),
    ("index_put of one", in_place(lambda y: y.__setitem__((slice(None), INDEX), y[:, :1])), (4,)),
    ("index_put constants", in_place(lambda y: y.__setitem__((slice(None), [0, 2]), V[:2])), (4,)),
    ("index_put by a mask", in_place(lambda y: y.__setitem__((slice(None), MASK[1:]), 2.0)), (4,)),
    ("nan_to_num", lambda x: x.nan_to_num(nan=2.0), (4,)),
    ("gaps", lambda x: torch.where(x.isnan() | ~x.isfinite() | torch.isinf(x), V, x), (4,)),
    ("a check for gaps", lambda x: x if not x.isnan().any() else x * 0, (4,)),
    ("gaps in place", in_place(lambda y: y.__setitem__(y.isnan(), 0.0)), (4,)),
    ("does not hang on the input", lambda x: torch.ones_like(x), (4,)),
]
MAXIMA = [
    ("relu", torch.relu, (4,)),
    ("relu in place", in_place(lambda y: y.relu_()), (4,)),
    ("rrelu_with_noise", module(nn.RReLU, 0.1, 0.7), (4,)),
    ("in-place RReLU", in_place(module(nn.RReLU, 0.1, 0.7, inplace=True)), (4,)),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), (4,)),
    ("leaky_relu steep", lambda x: F.leaky_relu(x, 3.0), (4,)),
    ("leaky_relu in place", in_place(lambda y: F.leaky_relu(y, -0.5, inplace=True)), (4,)),
    ("prelu", module(nn.PReLU, 3), SEQUENCE),
    ("relu6", nn.ReLU6(), (4,)),
    ("hardtanh", lambda x: F.hardtanh(x, -0.5, 2.0), (4,)),
    ("hardtanh in place", in_place(lambda y: F.hardtanh(y, inplace=True)), (4,)),
    ("hardsigmoid", F.hardsigmoid, (4,)),
    ("clamp", lambda x: x.clamp(-0.3, 0.8), (4,)),
    ("clamp one side", lambda x: x.clamp(max=0.8), (4,)),
    ("clamp tensors", lambda x: x.clamp(min=V), (4,)),
    ("clamp_min", lambda x: x.clamp_min(0.1), (4,)),
    ("clamp_max", lambda x: x.clamp_max(0.1), (4,)),
    ("abs", torch.abs, (4,)),
    ("softshrink", lambda x: F.softshrink(x, 0.4), (4,)),
    ("threshold", lambda x: F.threshold(x, 0.5, 0.5), (4,)),
    ("maximum of two rays", lambda x: torch.maximum(x[:, :2], x[:, 2:]), (4,)),
    ("maximum with a constant", lambda x: torch.maximum(V, x), (4,)),
    ("max of two", lambda x: torch.max(x[:, :2], V[:2]), (4,)),
    ("minimum", lambda x: torch.minimum(x[:, :2], x[:, 2:]), (4,)),
    ("min of two", lambda x: torch.min(x, V), (4,)),
    ("amax", lambda x: x.amax((1, 3)), IMAGE),
    ("amin", lambda x: x.amin(1, keepdim=True), IMAGE),
    ("1-norm", lambda x: x.norm(1, dim=(1, 2)), SEQUENCE),
    ("max along an axis", lambda x: x.max(1).values, (4,)),
    ("min along an axis", lambda x: x.min(1, keepdim=True).values, (4,)),
    ("max of all", lambda x: torch.stack([row.max() - row.min() for row in x.unbind(0)]), (4,)),
    ("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, 1), SEQUENCE),
    ("max_pool2d", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
    ("max_pool2d dilated", lambda x: F.max_pool2d(x, 2, 1, 1, dilation=2), IMAGE),
    ("max_pool3d", lambda x: F.max_pool3d(x, 2), VOLUME),
    ("adaptive_max_pool1d", lambda x: F.adaptive_max_pool1d(x, 4), SEQUENCE),
    ("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, (3, 4)), IMAGE),
    ("adaptive_max_pool3d", lambda x: F.adaptive_max_pool3d(x, 2), VOLUME),
    ("maxout", lambda x: (x @ W[:, :4]).view(len(x), 2, 2).amax(2), (4,)),
]
# Maxima of which not every kink shows.
NESTED = [
    ("largest size", lambda x: torch.linalg.vector_norm(x, torch.inf, dim=1, keepdim=True), SEQUENCE),
    ("smallest size", lambda x: torch.linalg.vector_norm(x, -torch.inf, dim=-1), SEQUENCE),
]
SMOOTH = [
    ("sigmoid", torch.sigmoid, (4,)),
    ("tanh", torch.tanh, (4,)),
    ("erf", torch.erf, (4,)),
    ("atan", torch.atan, (4,)),
    ("softplus", lambda x: F.softplus(x, beta=0.5), (4,)),
    ("elu", lambda x: F.elu(x, 1.5), (4,)),
    ("selu", F.selu, (4,)),
    ("celu", lambda x: F.celu(x, 2.0), (4,)),
    ("gelu", F.gelu, (4,)),
    ("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), (4,)),
    ("silu", F.silu, (4,)),
    ("mish", F.mish, (4,)),
    ("hardswish", F.hardswish, (4,)),
    ("logsigmoid", F.logsigmoid, (4,)),
    ("softmax", lambda x: x.softmax(1), (4,)),
    ("_safe_softmax", lambda x: torch.ops.aten._safe_softmax(x, 1), (4,)),
    ("log_softmax", lambda x: x.log_softmax(1), (4,)),
    ("logsumexp", lambda x: x.logsumexp(1), (4,)),
    ("layer_norm", module(nn.LayerNorm, 4), (3, 4)),
    ("group_norm", module(nn.GroupNorm, 2, 4), (4, 3)),
    ("rms_norm", module(nn.RMSNorm, (2, 4)), (3, 2, 4)),
    ("2-norm", lambda x: x.norm(dim=1), (4,)),
    ("3-norm", lambda x: x.norm(3, dim=(1, 2), keepdim=True), SEQUENCE),
    ("std", lambda x: x.std((1, 2)), SEQUENCE),
    ("lp_pool1d", nn.LPPool1d(2, 3, 2), SEQUENCE),
    ("lp_pool2d", nn.LPPool2d(4, (2, 3)), IMAGE),
    ("std of all", lambda x: x.std(-1, correction=0, keepdim=True), SEQUENCE),
    ("glu", nn.GLU(), (4,)),
    ("products of two inputs", lambda x: F.bilinear(x[:, :2].tanh(), x[:, 2:], BATCH[:3, :2, :2], V[:3]), (4,)),
    ("softmax of some", lambda x: x.masked_fill(MASK, -torch.inf).softmax(1), (4,)),
    ("softmax with a mask", lambda x: (x + torch.where(MASK, -torch.inf, 0.0)).softmax(1), (4,)),
    ("attention", attention(scale=0.7), (5, 4)),
    ("attention of heads", lambda x: attention()(x.unflatten(1, (2, 5))), (10, 4)),
    ("attention to what came before", lambda x: attention(is_causal=True)(x.unflatten(1, (2, 5))), (10, 4)),
    ("masked attention", attention(attn_mask=torch.eye(5).bool()), (5, 4)),
    ("length 1", lambda x: (x + V) / (x + V).norm(dim=1, keepdim=True), (4,)),
    ("normalize", lambda x: F.normalize(x + V), (4,)),
    ("cdist", lambda x: torch.cdist(x, W.t()), (4,)),
    ("cdist by products", lambda x: torch.cdist(x, W.t(), compute_mode="use_mm_for_euclid_dist"), (4,)),
    ("windows of mean 0 and variance 1", lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3), SEQUENCE),
    ("softsign", F.softsign, (4,)),
    ("cosine_similarity", lambda x: F.cosine_similarity(x[:, :2], x[:, 2:] + 3), (4,)),
]
# Jumps that show in the output wherever they are, and others.
JUMPS = [
    ("sign", torch.sign, (4,)),
    ("sgn", lambda x: torch.sgn(x - V), (4,)),
    ("gt", lambda x: (x > 0.3).double(), (4,)),
    ("ge", lambda x: (x[:, :2] >= x[:, 2:]).double(), (4,)),
    ("lt", lambda x: (x < V).double(), (4,)),
    ("le", lambda x: (x <= V).double(), (4,)),
    ("heaviside", lambda x: torch.heaviside(x, V), (4,)),
    ("hardshrink", lambda x: F.hardshrink(x, 0.4), (4,)),
    ("threshold with another value", lambda x: F.threshold(x, 0.5, -1.0), (4,)),
    ("choice", lambda x: torch.where(x > 0.2, x, V - 2 * x), (4,)),
]
HIDDEN_JUMPS = [
    ("eq", lambda x: (x == V).double() + (x == x.clamp(-1, 1)), (4,)),
    ("ne", lambda x: (x != 1).double() + x.bool(), (4,)),
    ("logical_not", lambda x: torch.logical_not(x).double() + ~(x > 1), (4,)),
    ("and", lambda x: ((x > 0) & (x < 3) | (x == 4)).double(), (4,)),
    ("steep", lambda x: x * x.sign() + x * (x > V), (4,)),
    ("written by a comparison", in_place(lambda y: y.__setitem__(y < 0, 0.5)), (4,)),
    ("filled by a comparison", lambda x: x.masked_fill(x > V, -1.0), (4,)),
    ("of what is infinite", lambda x: (x < torch.inf).double() - (x == -torch.inf).double() + (x > -torch.inf), (4,)),
    ("any", lambda x: (x > 0).any(1, keepdim=True) & (x < 2).all(1, keepdim=True), (4,)),
    ("count", lambda x: (x > torch.arange(4)).sum(1), (4,)),
    ("steps of what is clipped", lambda x: x.clamp(-3.3, 2.2).floor() + x.clamp(-1, 1).round(), (4,)),
    ("straight through", lambda x: (x.sign() - x.clamp(-1, 1)).detach() + x.clamp(-1, 1), (4,)),
    ("binarised", lambda x: (((x @ W).sign() + B).sign() @ W.t()).sign(), (4,)),
]
ALL = [*MOVES, *AFFINE, *MAXIMA, *NESTED, *SMOOTH, *JUMPS, *HIDDEN_JUMPS]
CASES = {name: (function, shape) for name, function, shape in ALL}
SMOOTH_NAMES = {name for name, _, _ in SMOOTH}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_forward_passes_far_out(name):
    function, shape = CASES[name]
    check_ray(function, shape, smooth=name in SMOOTH_NAMES)


@pytest.mark.parametrize(("function", "shape"), [pytest.param(f, s, id=n) for n, f, s in [*MAXIMA, *JUMPS]])
def test_radius_is_the_last_kink(function, shape):
    check_radius(function, shape)


def test_every_case_has_a_name_of_its_own():
    assert len(CASES) == len(ALL)


def test_every_entry_has_a_case(monkeypatch):
    used = set()

    class Recording(dict):
        def get(self, name, default=None):
            used.add(name)
            return super().get(name, default)

    monkeypatch.setattr(evaluator, "TABLE", Recording(operations.TABLE))
    for function, shape in CASES.values():
        with torch.no_grad():
            follow(function, *draw_rays(shape))
    assert set(operations.TABLE) - used == set()


@pytest.mark.parametrize(
    ("name", "wrong", "case"),
    [
        ("linalg_vector_norm", Joint(lambda r, o, *_: (r.norm(dim=1), o.norm(dim=1)), lambda *_: [1]), "2-norm"),
        ("std", Joint(lambda r, o, *_, correction: (r.std((1, 2)), 0 * o.std((1, 2))), lambda *_: [1, 2]), "std"),
        ("addcmul", Rewrite(lambda x, a, b, value=1: x + a * b), "addcmul"),
        ("addmm", Affine((1,), factors=(1, 2), contracts=True), "addmm"),  # the bias grows along the ray
        ("leaky_relu", Rewrite(lambda x, slope: torch.relu(x)), "leaky_relu"),
        ("abs", Rewrite(lambda x: x), "abs"),
        ("sigmoid", operations.Smooth(lambda: ((0, 0), (0, 0.5)), lambda: 0.25), "sigmoid"),
        ("sigmoid", operations.Smooth(lambda: ((0, 0), (0, 1)), lambda: 0.24), "sigmoid"),  # too flat
        ("hardswish", operations.Smooth(lambda: ((0, 0), (1, 0)), lambda: 1.2), "hardswish"),
        ("elu", operations.Smooth(operations.TABLE["elu"].asymptotes, lambda *_: 1.2), "selu"),
        ("sub", Affine((0, 1)), "sub two"),  # its bound would be a difference
        ("_softmax", operations.Joint(lambda r, o, *_: (torch.zeros_like(r), o.softmax(1)), lambda *_: [1]), "softmax"),
        ("clamp", Maximum(operations.Of.ZERO), "clamp"),
        ("sign", Jump(words=lambda x: 2 * (x > 0).double() - 1), "sign"),  # -1 at 0
        ("hardshrink", Jump(), "hardshrink"),  # the size would be that of a sign
        ("hardshrink", Rewrite(lambda x, size: torch.where(x > size, x, 0.0)), "hardshrink"),
    ],
)
def test_negative_control_a_wrong_entry_is_seen(name, wrong, case, monkeypatch):
    monkeypatch.setitem(operations.TABLE, name, wrong)
    function, shape = CASES[case]
    with pytest.raises(AssertionError):
        check_ray(function, shape, smooth=case in SMOOTH_NAMES)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Writing(nn.Module):
    def forward(self, x):
        out = torch.zeros(len(x), 4, dtype=x.dtype)
        out[:, 0] = x[:, 0]
        return out


class Named(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.layers = nn.Sequential(nn.Identity(), inner)

    def forward(self, x):
        return self.layers(x)


class Gate(nn.Module):
    def forward(self, x):
        return x * x.atan()


class AlwaysDropout(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5)


class PerChannel(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.unflatten(1, (2, 2))).flatten(1)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(1, 4, batch_first=True)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x[:, :, None], [4] * len(x), batch_first=True)
        return self.cell(packed)[1][0][0]


class Codes(nn.Module):
    """Three columns and a code; `held` keeps the code fixed, which is the remedy that the message names."""

    def __init__(self, held=None):
        super().__init__()
        self.embedding, self.held = nn.Embedding(5, 4), held

    def forward(self, x):
        code = x[:, 3].long() if self.held is None else torch.full((len(x),), self.held)
        return torch.cat([x[:, :3], self.embedding(code)], 1)


class Filled(nn.Module):
    """As `Writing`, by the operation that the message names."""

    def forward(self, x):
        return torch.cat([x[:, :1], torch.zeros(len(x), 3, dtype=x.dtype)], 1)


class SettledGate(nn.Module):
    def forward(self, x):
        return x * x.sigmoid()


class Attention(nn.Module):
    """Attention to what a norm has brought to a limit."""

    def __init__(self, normed):
        super().__init__()
        self.norm = nn.LayerNorm(2) if normed else nn.Identity()
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, x):
        x = self.norm(x.unflatten(1, (2, 2)))
        return self.attention(x, x, x, need_weights=False)[0].flatten(1)


class Cube(nn.Module):
    def forward(self, x):
        return x * x * x


class Length(nn.Module):
    def forward(self, x):
        return x / torch.sqrt(x.var(1, keepdim=True) + 1)


class Deviation(nn.Module):
    """As `Length`, by the operation that the message names."""

    def forward(self, x):
        return x / (x.std(1, keepdim=True) + 1)


REMEDIES = [
    (Codes(held=2), ()),
    (Codes(), (3,)),
    (PerChannel(nn.GroupNorm(2, 2)), ()),
    (Filled(), ()),
    (SettledGate(), ()),
    (Attention(normed=True), ()),
    (Attention(normed=False), ()),
    (Deviation(), ()),
]


@pytest.mark.parametrize(("remedy", "held"), REMEDIES, ids=lambda value: type(value).__name__)
def test_what_messages_say_to_do_helps(remedy, held):
    check_ray(remedy.eval(), (4,), smooth=True, held=held)


def test_group_norm_is_the_instance_norm_that_messages_say_it_is():
    x = const(5, 2, 7)
    torch.testing.assert_close(nn.GroupNorm(2, 2).double()(x), nn.InstanceNorm1d(2).double()(x))


@pytest.mark.parametrize(
    ("operation", "hint"),
    [
        (lambda x: x.sort(1).values, "in order.*amax"),
        (lambda x: x.topk(2, 1).values, "in order.*amax"),
        (lambda x: x.cummax(1).values, "in order.*amax"),
        (lambda x: x.exp(), "no straight line"),
        (lambda x: x.cos(), "no straight line"),
        (lambda x: (x.abs() + 1).sqrt(), "no straight line"),
        (lambda x: x**2, "power"),
        (lambda x: torch.fmod(x, 2.0), "steps without end.*clip what it is given"),
        (lambda x: x.frac(), "steps without end"),
        (lambda x: x.argmax(1), "jumps"),
        (lambda x: x.round(), "steps without end.*left alone by the rays"),
        (lambda x: torch.div(x, 2.0, rounding_mode="floor"), "steps without end"),
        (lambda x: (x > x.flip(0)).double(), "different rows"),
        (lambda x: x if (x > 0)[0, 0] else -x, "Python cannot read it"),
        (lambda x: x[x > 0], "torch.where or masked_fill"),
        (lambda x: F.one_hot(x[:, 0].long(), 5), "left alone by the rays"),
        (lambda x: x.tanh().floor(), "either side of a jump.*without tanh"),
        (lambda x: 1 / x.sigmoid(), "0 for a quotient.*add a constant"),
        (lambda x: (x.tanh() + 1).log(), "0 for a quotient, a root or a logarithm"),
        (lambda x: x * x.atan(), "too slowly.*gate by sigmoid, tanh or softmax"),
        (lambda x: x.var(1), "take std"),
        (lambda x: x @ x[0], "different rows"),
        (lambda x: torch.ones(len(x), 4).double().add_(x), "not in place"),
        (lambda x: x[0, 0].item(), "Python cannot read it"),
        (lambda x: F.batch_norm(x, None, None, training=True), "statistics of a batch"),
    ],
)
def test_hints_fit_the_operation(operation, hint):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match=hint):
        follow(operation, *draw_rays((4,)))


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (Gate(), r"operation mul in layers.1 \(Gate\).*product"),
        (Branching(), r"in layers.1 \(Branching\)"),
        (Writing(), r"copy_ in layers.1 \(Writing\).*torch.cat"),
        (nn.Dropout(0.5).train(), r"layers.1 \(Dropout\).*model.eval\(\)"),
        (nn.RReLU().train(), r"train mode.*model.eval\(\)"),
        (AlwaysDropout().train(), r"bernoulli_ in layers.1 \(AlwaysDropout\).*model.eval\(\)"),
        (AlwaysDropout().eval(), r"bernoulli_ in layers.1 \(AlwaysDropout\).*in eval mode too.*training=self.training"),
        (nn.BatchNorm1d(4).train(), r"layers.1 \(BatchNorm1d\).*model.eval\(\)"),
        (nn.BatchNorm1d(4, track_running_stats=False).eval(), r"in eval mode too.*running statistics"),
        (PerChannel(nn.InstanceNorm1d(2)).train(), r"layers.1.norm \(InstanceNorm1d\).*in eval mode too.*GroupNorm"),
        (PerChannel(nn.InstanceNorm1d(2)).eval(), r"layers.1.norm \(InstanceNorm1d\).*in eval mode too.*GroupNorm"),
        (Codes(), r"_to_copy in layers.1 \(Codes\).*codes.*left alone by the rays"),
        (nn.TransformerEncoderLayer(4, 2, 8).eval(), "different rows"),
        (nn.Sequential(Attention(normed=False), Cube()), r"mul in layers.1.1 \(Cube\).*more than two.*torch.nn.LayerNorm"),
        (Length(), r"var in layers.1 \(Length\).*take std"),
        (Packed(), r"_pack_padded_sequence in layers.1 \(Packed\).*pad packed sequences"),
        (nn.Sequential(nn.Sigmoid(), nn.Threshold(0.0, 1.0)), r"gt in layers.1.1 \(Threshold\).*either side of a jump"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_has_no_far_field_is_refused_by_name(inner, message):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match=message):
        follow(Named(inner).double().requires_grad_(False), *draw_rays((4,)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: x / x.sigmoid(),
        lambda x: x**2,
        lambda x: x * x.sum(1, keepdim=True),
        lambda x: x * (x / x.norm(dim=1, keepdim=True)),
        lambda x: x @ x.t(),
        lambda x: (x.sigmoid() > 0).double(),
        lambda x: torch.where(x.atan() < torch.pi / 2, x, 0.0),
        lambda x: x.softmax(1).sign(),
        lambda x: (x.softmax(1).sum(1, keepdim=True) - 1).sign(),
        lambda x: x.argmax(1),
        lambda x: x.sort(1).values,
        lambda x: x - x.mean(0),
        lambda x: torch.div(x, 2.0, rounding_mode="floor"),
        lambda x: F.threshold(-x.sigmoid(), -1.0, 0.0),
        lambda x: torch.exp(x),
        lambda x: x + torch.randn(4, dtype=torch.float64),
        lambda x: F.max_pool1d(x[:, None], 2, return_indices=True)[1] + 1 + x.frac(),
        lambda x: x[0, 0].item(),
        lambda x: V[x[:, 0].long()],
        lambda x: x + x[0],
        in_place(lambda y: y.copy_(y.flip(0))),
        in_place(lambda y: y[0].copy_(y[1])),
    ],
)
def test_nothing_is_silently_wrong(function):
    with torch.no_grad(), pytest.raises(UnsupportedOperation):
        follow(function, *draw_rays((4,)))


def test_a_traced_tensor_that_outlives_its_evaluation_is_refused():
    kept = []
    with torch.no_grad():
        follow(lambda x: kept.append(x) or x, *draw_rays((4,)))
    with pytest.raises(RuntimeError, match="keeps one between calls"):
        kept[0] + 1


def test_registering():
    with pytest.raises(ValueError, match=r"'relu'.*has as Maximum"):
        register("relu", Affine())
    with pytest.raises(ValueError, match="'frobnicate'"):
        register("frobnicate", Affine())


# Functions that tie the rows of a batch together, or move them.
MIXING = {
    "softmax": lambda x: F.softmax(x, 0),
    "log_softmax": lambda x: F.log_softmax(x, 0),
    "logsumexp": lambda x: x - torch.logsumexp(x, 0, keepdim=True),
    "layer norm": lambda x: F.layer_norm(x, x.shape),
    "group norm": lambda x: F.group_norm(x.T[None], 4)[0].T,
    "padding": lambda x: F.pad(x, (0, 0, 1, -1)),
    "reflection": lambda x: F.pad(x.T[None], (1, 1), mode="reflect")[0].T[1:-1],
    "replication": lambda x: F.pad(x.T[None], (1, 1), mode="replicate")[0].T[1:-1],
    "average pooling": lambda x: F.avg_pool1d(x.T[None], 3, 1, 1)[0].T,
    "maximum pooling": lambda x: F.max_pool1d(x.T[None], 3, 1, 1)[0].T,
    "adaptive pooling": lambda x: F.adaptive_avg_pool1d(x.T[None], len(x))[0].T,
    "interpolation": lambda x: F.interpolate(x.T[None], size=len(x), mode="linear")[0].T,
    "convolution": lambda x: F.conv1d(x.T[:, None], torch.ones(1, 1, 3).double(), padding=1)[:, 0].T,
    "product": lambda x: torch.ones(len(x), len(x)).double().tril() @ x,
    "mean": lambda x: x - x.mean(0),
    "amax": lambda x: x - x.amax(0),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "choice": lambda x: x[torch.arange(len(x)).roll(1)],
    "sum of neighbours": lambda x: x + x.roll(1, 0),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_or_moves_the_rows_of_a_batch_is_refused(name):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="different rows"):
        follow(MIXING[name], *draw_rays((4,)))


@pytest.mark.parametrize("dim", [0, 1])
def test_an_entry_of_a_person_is_held_to_what_it_says(dim, monkeypatch):
    monkeypatch.setitem(operations.TABLE, "cumsum", Affine())
    module = lambda x: x.cumsum(dim)  # noqa: E731
    if dim == 1:
        check_ray(module, (4,))
        return
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="different rows"):
        follow(module, *draw_rays((4,)))


@pytest.mark.parametrize("name", ["rms_norm", "square", "layer_norm", "matmul", "relu6", "einsum"])
def test_operations_that_torch_puts_into_other_words_cannot_be_entered(name):
    with pytest.raises(ValueError, match=f"reach the table. Got '{name}'"):
        register(name, Affine())
    assert name not in operations.TABLE


def test_every_entry_reaches_the_table():
    assert [name for name in operations.TABLE if _torch.is_composite(name)] == []
