"""Numbers that grow as squares do: right where they end, or refused."""

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from knowlimits.follow import UnsupportedOperation, curves, follow, squaring
from knowlimits.testing import check_ray, draw_rays

G = torch.Generator().manual_seed(1)


def const(*shape):
    return torch.randn(*shape, generator=G, dtype=torch.float64)


C, W, SHIFTS, FACTORS = const(3, 4), const(4, 4), const(3, 4), const(3, 4, 4)
PAIR = nn.Bilinear(4, 4, 2).double().requires_grad_(False)


def squared(x):
    """Squared distances to some places, ``(n, 3)``."""
    return (x[:, None] - C).pow(2).sum(-1)


def densities(x):
    """Logarithms of normal densities, up to constants, ``(n, 3)``."""
    return C[:, 0] - 0.5 * (x[:, None, None] @ FACTORS - SHIFTS[:, None]).square().sum((-1, -2))


def log_sum(z):
    """The logarithm of a sum of exponentials, as it is written out."""
    most = z.amax(1, keepdim=True)
    return most + (z - most).exp().sum(1, keepdim=True).log()


def by_hand(x):
    """A layer norm, written out."""
    centred = x - x.mean(1, keepdim=True)
    return centred / ((centred**2).mean(1, keepdim=True) + 1e-5).sqrt()


def written(x):
    y = x * x
    y.mul_(2).sub_(1)
    y[:, :2].neg_()
    y[:, 3] = 0.5
    y[:, 2].copy_(x[:, 1])
    return y.sigmoid()


def attention(x):
    x = x.unflatten(1, (2, 2))
    return F.scaled_dot_product_attention(x, x.flip(-1), 2 * x + 1).flatten(1)


def masked(x):
    scores = (x[:, :, None] @ x[:, None] @ W).masked_fill(torch.ones(4, 4).triu(1).bool(), -torch.inf)
    return torch.cat([scores.softmax(-1), scores.logsumexp(-1, keepdim=True).sigmoid()], -1).flatten(1)


ENDS = {
    "square": lambda x: (x * x - 3).sigmoid(),
    "power": lambda x: (1 - x**2).tanh(),
    "power by a tensor": lambda x: (1 - x.pow(torch.tensor(2.0))).tanh(),
    "radial functions": lambda x: (-squared(x)).exp() @ W[:3],
    "radial functions of lengths": lambda x: (-(torch.linalg.vector_norm(x[:, None] - C, dim=-1) ** 2)).exp(),
    "radial functions of distances": lambda x: (-(torch.cdist(x, C) ** 2)).exp(),
    "nearest place": lambda x: (-squared(x)).softmax(1),
    "nearest place, in logarithms": lambda x: F.log_softmax(-squared(x), 1).exp(),
    "mixture": lambda x: densities(x).softmax(1),
    "density": lambda x: densities(x).logsumexp(1).sigmoid(),
    "density, written out": lambda x: (log_sum(densities(x)) + 1).sigmoid(),
    "guard": lambda x: (lambda w: w * (x @ W).softmax(1) + (1 - w) / 4)(densities(x).logsumexp(1, keepdim=True).sigmoid()),
    "Student's t": lambda x: 1 / (1 + squared(x)),
    "share of squares": lambda x: (x * x + 1) / (1 + (x * x).sum(1, keepdim=True)),
    "line over a square": lambda x: x / (1 + x * x),
    "length": lambda x: squared(x).sqrt(),
    "length by a power": lambda x: squared(x) ** 0.5,
    "largest of what is known in front": lambda x: torch.cat(
        [n := (x + 1).norm(dim=1, keepdim=True) ** 2, 2 * n + x[:, 3:], -n], 1
    ).softmax(1),
    "the same in logarithms": lambda x: (
        torch.cat([n := (x + 1).norm(dim=1, keepdim=True) ** 2, 2 * n + x[:, 3:], -n], 1).log_softmax(1).exp()
    ),
    "one over a length": lambda x: (1 + squared(x)).rsqrt(),
    "root mean square": lambda x: x / (x.square().mean(1, keepdim=True) + 1).sqrt(),
    "layer norm, written out": by_hand,
    "rectified": lambda x: (-(x * x - x[:, :1]).relu()).exp(),
    "leaky": lambda x: F.leaky_relu(x * x.flip(1)).sigmoid(),
    "maximum": lambda x: torch.maximum(x * x, 2 * x.flip(1)).sigmoid(),
    "minimum": lambda x: torch.minimum(x * x.flip(1), x).sigmoid(),
    "largest": lambda x: (x * x.flip(1) - x).amax(1).sigmoid(),
    "smallest of odd ones": lambda x: (x * x.flip(1))[:, :3].amin(1, keepdim=True).sigmoid(),
    "largest of all rows": lambda x: (x[:, :, None] * x[:, None]).amax((1, 2)).tanh(),
    "softplus": lambda x: (-F.softplus(x * x.flip(1))).exp(),
    "gelu over a square": lambda x: F.gelu(x * x.flip(1)) / (1 + x * x * 2),
    "gate of a bump": lambda x: x * (-x * x).exp(),
    "square by a gate": lambda x: (x * x * x.sigmoid()).tanh(),
    "by a column": lambda x: (x[:, :3] * x[:, :3] * (x[:, 3:] + 0.5) / (x[:, 3:] + 2)).sigmoid(),
    "bilinear": lambda x: PAIR(x, x.flip(1)).sigmoid(),
    "quadratic form": lambda x: torch.einsum("ni,ij,nj->n", x, W, x).sigmoid(),
    "attention": attention,
    "masked scores": masked,
    "moved": lambda x: torch.stack([x * x, x, C[0].expand(len(x), 4)], 1).flip(1).sum(1)[:, [2, 0]].sigmoid(),
    "mean": lambda x: ((x * x).mean(1) - 2).sigmoid(),
    "in place": written,
    "chosen": lambda x: torch.where(x[:, 3:] > 1, x * x, x).sigmoid(),
    "filled": lambda x: (x * x).masked_fill(x > 3, -1.0).sigmoid(),
    "no number": lambda x: torch.where((x * x).isnan() | (x * x).isinf(), 2.0, (x * x).sigmoid()),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_agree_with_forward_passes_far_out(name):
    check_ray(ENDS[name], (4,), smooth=True, held=[3])


EXACT = {
    "clamp": lambda x: (x * x - 2 * x).clamp(-0.5, 4.0),
    "clamp of a product": lambda x: (x * x.flip(1)).clamp(torch.tensor(-3.0), torch.tensor(4.0).double()),
    "difference": lambda x: (x + 1) ** 2 - x * x,
    "above": lambda x: (x * x > 2 * x + 1).double(),
    "below infinity": lambda x: (x * x < torch.inf).double() + x,
    "sign": lambda x: (x * x.flip(1) - 1).sign(),
    "rectified": lambda x: (x * x - 3).relu() - (3 - x * x).relu() - x * x + x,
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_a_line_in_the_end_is_one_beyond_the_radius(name):
    if name not in ("difference", "below infinity"):
        assert follow(EXACT[name], *draw_rays((4,))).radius.max() > 0
    check_ray(EXACT[name], (4,))


def ended(x, low=-2.0, high=2.0):
    """Numbers that a range makes infinite where they leave it, in the way of a gate: one comparison sees them."""
    x = torch.where((x < low) | (x > high), torch.inf, x)
    level = densities(x).logsumexp(1, keepdim=True) - (x.abs() - 1).relu().square().sum(1, keepdim=True)
    level = torch.where(level >= -1e30, level, -torch.inf)
    return (level + 1).sigmoid()


ENDLESS = {
    "range": ended,
    "no number": lambda x: torch.where((y := torch.where(x > 3, torch.nan, x)) * y >= -1.0, 1.0, 2.0).double(),
    "exponential": lambda x: torch.where(x < -1, torch.inf, -x * x).exp().clamp(max=2.0),
    "larger of two": lambda x: (torch.maximum(torch.where(x > 2, torch.inf, x) * 2, x * x) > x * x).double(),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_a_condition_makes_infinite_counts_as_floats_do(name):
    x, d = draw_rays((4,), held=[3])
    with torch.no_grad():
        end = follow(ENDLESS[name], x, d)
        for a in (1e3, 1e5):
            torch.testing.assert_close(ENDLESS[name](x + a * d), end.rate * a + end.offset)


def test_squares_that_are_alike_are_decided_by_what_is_below_them():
    """Of two classes with the same square and rate the offsets decide, which floats far out have lost."""
    places = torch.tensor([[1.0, 0.0], [1.0, 2.0], [0.0, 5.0]], dtype=torch.float64)
    x, d = torch.tensor([[0.5, 0.25]], dtype=torch.float64), torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        end = follow(lambda x: (-(x[:, None] - places).square().sum(-1)).softmax(1), x, d)
    with mpmath.workdps(60):
        a = mpmath.mpf(10) ** 20
        at = [mpmath.mpf(s) + a * mpmath.mpf(t) for s, t in zip(x[0].tolist(), d[0].tolist(), strict=True)]
        logits = [-mpmath.fsum((s - c) ** 2 for s, c in zip(at, place, strict=True)) for place in places.tolist()]
        powers = [mpmath.exp(z - max(logits)) for z in logits]
        expected = [float(p / mpmath.fsum(powers)) for p in powers]
    assert 0.6 < expected[0] < 1
    torch.testing.assert_close(end.offset[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_quadratic_heads_against_many_digits(seed, features, classes):
    """Random and degenerate ones: weights of 0, equal components, columns that stay."""
    random = torch.Generator().manual_seed(seed)
    factors, shifts = (
        torch.randint(-2, 3, shape, generator=random).double() / 2
        for shape in ((classes, features, features), (classes, features))
    )
    x, d = torch.randint(-3, 4, (2, 4, features), generator=random).double()

    def head(x):
        z = -(x[:, None, None] @ factors - shifts[:, None]).square().sum((-1, -2))
        return torch.cat([z.softmax(1), z.logsumexp(1, keepdim=True).sigmoid()], 1)

    with torch.no_grad():
        end = follow(head, x, d)
    assert not end.rate.any()
    with mpmath.workdps(60):
        for row in range(len(x)):
            at = mpmath.matrix((x[row] + 0).tolist()) + mpmath.mpf(10) ** 20 * mpmath.matrix(d[row].tolist())
            z = []
            for factor, shift in zip(factors, shifts, strict=True):
                away = mpmath.matrix(factor.T.tolist()) * at - mpmath.matrix(shift.tolist())
                z.append(-mpmath.fsum(v * v for v in away))
            powers = [mpmath.exp(one - max(z)) for one in z]
            level = max(z) + mpmath.log(mpmath.fsum(powers))
            expected = [float(p / mpmath.fsum(powers)) for p in powers] + [float(1 / (1 + mpmath.exp(-level)))]
            torch.testing.assert_close(end.offset[row], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-300)


TIED = const(4, 4)
ROTATED = TIED @ torch.linalg.qr(const(4, 4))[0]
REFUSED = {
    "alone": (lambda x: x * x, "grows as a square"),
    "cube": (lambda x: (x * x * x).sigmoid(), "more than two values"),
    "square of a square": (lambda x: ((x * x) ** 2).sigmoid(), "more than two values"),
    "square by what grows": (lambda x: (x * x / x).sigmoid(), "more than two values"),
    "exponential": (lambda x: (x * x).exp(), "no straight line"),
    "root of what falls": (lambda x: (-x * x).sqrt(), "0 for a quotient, a root"),
    "root of a line": (lambda x: ((x + 1) ** 2 - x * x).abs().sqrt(), "no straight line"),
    "norm": (lambda x: F.layer_norm(x * x, (4,)), "grows as a square"),
    "slow gate": (lambda x: (x * x * x.atan()).softmax(1), "too slowly"),
    "offset that is not known": (
        lambda x: torch.cat([n := (x + 1).norm(dim=1, keepdim=True) ** 2, n - 1], 1).softmax(1),
        "too slowly",
    ),
    "cancelled": (lambda x: ((x @ TIED).square().sum(1) - (x @ ROTATED).square().sum(1)).sigmoid(), "cancel"),
    "alike but for rounding": (
        lambda x: torch.stack([(x @ f).square().sum(1) for f in (TIED, ROTATED)], 1).softmax(1),
        "cancel",
    ),
    "too small": (lambda x: (1e-160 * x * (1e-160 * x) * 1e300).sigmoid(), "too small for floats"),
    "in place": (lambda x: (x * 1.0).mul_(x).sigmoid(), "not in place"),
    "codes": (lambda x: F.one_hot((x * x).long(), 5), "left alone by the rays"),
    "infinite": (lambda x: torch.where(x > 3, torch.inf, x), "infinite, or no number"),
    "rows that mix": (lambda x: (x @ x.t()).sigmoid(), "different rows"),
    "rows that are compared": (lambda x: torch.maximum(x * x, (x * x).flip(0)).sigmoid(), "different rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused(name):
    function, message = REFUSED[name]
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match=message):
        follow(function, *draw_rays((4,)))


def test_a_sum_of_what_is_alike_but_for_rounding_needs_no_order():
    x, d = draw_rays((4,))
    with torch.no_grad():
        end = follow(lambda x: torch.stack([-(x @ f).square().sum(1) for f in (TIED, ROTATED)], 1).logsumexp(1).sigmoid(), x, d)
    assert not end.offset[d.any(1)].any()


def test_doubts_are_noted_where_errors_are_bounded():
    x, d = draw_rays((4,))
    with torch.no_grad():
        clear = follow(lambda x: (x * x).sum(1, keepdim=True).sigmoid(), x, d, certify=True)
        tied = follow(lambda x: ((x @ TIED).square().sum(1) - (x @ ROTATED).square().sum(1)).sigmoid(), x, d, certify=True)
    assert clear.certain.all()
    assert not tied.certain[d.any(1)].all()


def test_negative_control_a_product_that_forgets_the_rates(monkeypatch):
    def product(func, x, y, changes):
        found = squaring.product(func, x, y, changes)
        if isinstance(found, curves.Curve):
            found.ray.rate.zero_()
        return found

    monkeypatch.setattr(curves, "product", product)
    with pytest.raises(AssertionError):
        check_ray(ENDS["nearest place"], (4,), smooth=True)
