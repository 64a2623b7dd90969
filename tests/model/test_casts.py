"""Forward passes that stay in float64: casts left undone, constants as the model makes them, gradients, and when it is needed.

Oracles are the same modules written without casts, and numpy.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.model.casts import in_float64
from knowlimits.model.copies import copied
from knowlimits.model.exported import with_linear_modules

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TENTH = 0.1
#: What is left of a tenth in float32, in float64.
TENTH32 = float(np.float32(TENTH))


def needs_float64(module, x):
    """Whether a module casts to other floats than float64, or makes some, at rows `x` in float64."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), in_float64() as mode:
        module(x)
    return mode.lowered


class Layer(nn.Module):
    """A linear layer, and what a model does to rows before it."""

    def __init__(self, before):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.before = nn.Linear(3, 2), before
        self.register_buffer("scale", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x):
        return self.layer(self.before(self, x))


def inside_autocast(dtype):
    def before(module, x):
        with torch.autocast("cpu", dtype):
            return module.layer(x.float()) @ module.layer.weight

    return before


def lstm_state(module, x):
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 3, batch_first=True, dtype=x.dtype)
    return lstm(x[:, None].float(), (torch.zeros(1, len(x), 3), torch.zeros(1, len(x), 3)))[0][:, 0]


def written(module, x):
    out = torch.zeros(len(x), 3)
    out[:, :2] = x[:, :2]
    out[:, 2].copy_(x[:, 2])
    return out


def added(module, x):
    y = x.float()
    y += 1
    return x + y


#: What a model says, and the same without casts.
CASTS = {
    "float": (lambda m, x: x.float(), lambda m, x: x),
    "to": (lambda m, x: x.to(torch.float32), lambda m, x: x),
    "half": (lambda m, x: x.half().float(), lambda m, x: x),
    "bfloat16": (lambda m, x: x.bfloat16(), lambda m, x: x),
    "type": (lambda m, x: x.type(torch.FloatTensor), lambda m, x: x),
    "type_as": (lambda m, x: x.type_as(torch.ones(1)), lambda m, x: x),
    "to another": (lambda m, x: x.to(torch.ones(1)), lambda m, x: x),
    "as_tensor": (lambda m, x: torch.as_tensor(x, dtype=torch.float32), lambda m, x: x),
    "by whole numbers": (lambda m, x: x - x.long().float(), lambda m, x: x - x.trunc()),
    "softmax": (lambda m, x: x.softmax(-1, dtype=torch.float32), lambda m, x: x.softmax(-1)),
    "sum": (lambda m, x: x - x.sum(-1, keepdim=True, dtype=torch.float16), lambda m, x: x - x.sum(-1, keepdim=True)),
    "numbers": (lambda m, x: x * torch.tensor([TENTH, 1.0, 1.0]), lambda m, x: x * x.new_tensor([TENTH32, 1, 1])),
    "one number": (lambda m, x: x * torch.tensor(0.5, dtype=torch.float16), lambda m, x: x * 0.5),
    "numpy": (lambda m, x: x @ torch.from_numpy(np.eye(3, dtype=np.float32)), lambda m, x: x),
    "eye": (lambda m, x: x @ torch.eye(3, dtype=torch.float32), lambda m, x: x),
    "full": (lambda m, x: x + torch.full((3,), TENTH), lambda m, x: x + TENTH32),
    "cat": (lambda m, x: torch.cat([x[:, :2], torch.ones(len(x), 1)], 1), lambda m, x: F.pad(x[:, :2], (0, 1), value=1.0)),
    "linear": (lambda m, x: F.linear(x, torch.ones(3, 3), torch.zeros(3)), lambda m, x: x.sum(-1, keepdim=True).expand(-1, 3)),
    "layer norm": (lambda m, x: F.layer_norm(x, (3,), torch.ones(3)), lambda m, x: F.layer_norm(x, (3,))),
    "attention": (
        lambda m, x: F.scaled_dot_product_attention(x[None], torch.eye(3)[None], torch.eye(3)[None])[0],
        lambda m, x: (x / 3**0.5).softmax(-1),
    ),
    "stack": (lambda m, x: torch.stack([x, torch.zeros_like(x, dtype=torch.float32)]).sum(0), lambda m, x: x),
    "one_hot": (
        lambda m, x: F.one_hot(torch.arange(len(x)) % 3).float() + x,
        lambda m, x: torch.eye(3)[torch.arange(5) % 3] + x,
    ),
    "written": (written, lambda m, x: x),
    "in place": (added, lambda m, x: 2 * x + 1),
    "complex": (lambda m, x: torch.fft.ifft(torch.fft.fft(x).to(torch.complex64)).real, lambda m, x: x),
    "LSTM": (lstm_state, lambda m, x: lstm_state(m, x)),
    "autocast": (inside_autocast(torch.bfloat16), lambda m, x: m.layer(x) @ m.layer.weight),
    "autocast, half": (inside_autocast(torch.float16), lambda m, x: m.layer(x) @ m.layer.weight),
}
each_cast = pytest.mark.parametrize("name", CASTS)


def pair(name):
    """A module that casts, and one that does not, of the same numbers."""
    return copied([Layer(before) for before in CASTS[name]])


@each_cast
def test_casts_are_left_undone(name):
    module, plain = pair(name)
    x, y = (X.clone().requires_grad_() for _ in range(2))
    with in_float64():
        got = module(x)
        (inside,) = torch.autograd.grad(got.square().sum(), x, retain_graph=True)
    want = plain(y) if name != "LSTM" else module_of_lstm(plain, y)
    (gradient,) = torch.autograd.grad(want.square().sum(), y)
    (outside,) = torch.autograd.grad(got.square().sum(), x)
    assert got.dtype == inside.dtype == torch.float64
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(inside, gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(outside, gradient, rtol=1e-12, atol=1e-12)


def module_of_lstm(module, x):
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 3, batch_first=True, dtype=torch.float64)
    return module.layer(lstm(x[:, None])[0][:, 0])


@each_cast
def test_negative_control_they_are_no_float64_without(name):
    """Otherwise the test above would see nothing; torch stops, or the numbers are others."""
    module, plain = pair(name)
    if name in ("by whole numbers", "one number", "one_hot"):
        # Torch takes these to float64 without loss.
        torch.testing.assert_close(module(X), plain(X), rtol=1e-12, atol=1e-12)
        return
    try:
        got = module(X)
    except (RuntimeError, ValueError):
        return
    assert name in ("numbers", "full", "cat", "stack") or not torch.allclose(got, plain(X), rtol=1e-12, atol=1e-12)


@each_cast
def test_whether_a_module_casts_at_all(name):
    module, plain = pair(name)
    assert needs_float64(module, X)
    if name not in ("LSTM", "one_hot"):
        with in_float64() as mode:
            plain(X)
        assert not mode.lowered


def test_plain_models_need_nothing():
    plain = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 4), nn.LayerNorm(4), nn.Softmax(-1)
    ).eval()
    (new,) = copied([plain])
    assert not needs_float64(new, X)
    with in_float64():
        got = new(X)
    assert torch.equal(got, new(X))


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x.float() * torch.tensor([2.0, 2.0, 2.0], dtype=torch.float32))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        torch.jit.script,
        lambda module: torch.jit.trace(module, X.float(), check_trace=False),
        lambda module: torch.jit.freeze(torch.jit.script(module.eval())),
        lambda module: with_linear_modules(torch.export.export(module, (X.float(),))),
        torch.fx.symbolic_trace,
    ],
    ids=["script", "trace", "frozen", "export", "fx"],
)
def test_whatever_says_it(make):
    (module,) = copied([make(Scripted())])
    (plain,) = copied([Scripted().layer])
    x = X.clone().requires_grad_()
    # TorchScript makes a faster program of itself after some calls.
    for _ in range(4):
        with in_float64():
            got = module(x)
            (gradient,) = torch.autograd.grad(got.sum(), x)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, plain(2 * X), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, (2 * plain.weight.sum(0)).expand(5, -1), rtol=1e-12, atol=1e-12)


KEPT = torch.zeros(5, 3)
OUTSIDE = torch.tensor([1.0, 2.0, 3.0])


def test_tensors_from_outside_of_the_module_are_met_and_not_changed():
    (module,) = copied([Layer(lambda m, x: torch.cat([x, x @ OUTSIDE[:, None]], 1)[:, 1:] * OUTSIDE)])
    (plain,) = copied([Layer(lambda m, x: torch.cat([x, x @ OUTSIDE.double()[:, None]], 1)[:, 1:] * OUTSIDE.double())])
    with in_float64():
        got = module(X)
    torch.testing.assert_close(got, plain(X), rtol=1e-12, atol=1e-12)
    assert OUTSIDE.dtype == torch.float32


def test_float64_is_not_written_into_what_is_lower():
    (module,) = copied([Layer(lambda m, x: KEPT.copy_(x))])
    with in_float64(), pytest.raises(ValueError, match=r"Got copy_, which writes into a tensor of torch\.float32"):
        module(X)
    assert not KEPT.any()


def test_a_cast_is_a_copy():
    x = X.clone()
    with in_float64():
        y = x.float()
        y += 1
    assert torch.equal(x, X)
    torch.testing.assert_close(y, X + 1)


def test_it_ends_with_the_context():
    with in_float64():
        assert X.float().dtype == torch.float64
    assert X.float().dtype == torch.float32
    with pytest.raises(ZeroDivisionError), in_float64():
        1 / 0  # noqa: B018
    assert torch.zeros(1).dtype == torch.float32


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_within_torchs_own_contexts(context):
    (module,) = copied([Layer(lambda m, x: x.float() @ torch.eye(3))])
    with context(), in_float64():
        got = module(X)
    torch.testing.assert_close(got, module.layer(X), rtol=1e-12, atol=1e-12)


class Within(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        with in_float64():
            return self.module(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("derivative", [torch.func.jacrev, torch.func.jacfwd])
def test_derivatives_at_many_points_at_once(derivative):
    (module,) = copied([Layer(lambda m, x: x.float().relu() * torch.tensor([2.0, 2.0, 2.0]))])
    want = module.layer.weight * 2 * (X > 0)[:, None]
    with in_float64():
        torch.testing.assert_close(torch.func.vmap(derivative(module))(X), want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(derivative(Within(module)))(X), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["float", "type_as", "numbers", "numpy", "cat", "linear", "autocast"])
def test_limits_are_followed_through_it(name):
    module, plain = pair(name)
    origins, directions = X, torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = kl.far_field(Within(module), origins, directions)
    want = kl.far_field(plain, origins, directions)
    np.testing.assert_allclose(found.probs, want.probs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        far = Within(module)(origins + 1e9 * directions).softmax(-1)
    np.testing.assert_allclose(np.squeeze(found.probs), far, atol=1e-6)
