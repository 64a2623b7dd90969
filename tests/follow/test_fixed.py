"""Numbers that no ray moves, which may go through anything; and what only tends to a limit, which may not."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.follow import UnsupportedOperation, asymptotes, fixed, follow
from knowlimits.follow.operations import Tail
from knowlimits.testing import check_ray, draw_rays

HELD = 3
G = torch.Generator().manual_seed(0)
TABLE = torch.randn(4, 3, generator=G, dtype=torch.float64)

# From a column of whole numbers from 0 to 3 to codes.
CODES = {
    "long": lambda c: c.long(),
    "int": lambda c: c.int(),
    "to": lambda c: c.to(torch.int64),
    "rounded": lambda c: (c * 1.001 - 0.2).round().long(),
    "floor": lambda c: (c + 0.5).floor().to(torch.int32),
    "clamped": lambda c: (c - 1).long().clamp(0, 2),
    "whole division": lambda c: c.long() // 2,
    "remainder": lambda c: (c.long() + 1) % 4,
    "behind relu": lambda c: torch.relu(c - 1).long(),
    "buckets": lambda c: torch.bucketize(c.contiguous(), torch.tensor([0.5, 1.5]).double()),
    "argmax": lambda c: torch.stack([c, 3 - c, c * 0 + 1.4], 1).argmax(1),
    "places of maxima": lambda c: torch.stack([c, 3 - c, c * 0 + 1.4], 1).max(1).indices,
    "places of the largest": lambda c: torch.stack([c, 3 - c], 1).topk(1, 1).indices[:, 0],
    "order": lambda c: torch.stack([c, 3 - c], 1).argsort(1)[:, 0],
    "in place": lambda c: c.long().mul_(2).clamp_(max=3),
    "sum of truths": lambda c: (c[:, None] > torch.arange(3)).sum(1),
}
# From codes to numbers.
READ = {
    "embedding": lambda c: F.embedding(c, TABLE),
    "index": lambda c: TABLE[c],
    "index_select": lambda c: TABLE.index_select(0, c),
    "one_hot": lambda c: F.one_hot(c.long(), 4).double() @ TABLE,
    "comparison": lambda c: (c[:, None] == torch.arange(4)).double() @ TABLE,
    "scatter": lambda c: torch.zeros(len(c), 4).double().scatter(1, c.long()[:, None], 1.0) @ TABLE,
    "choice": lambda c: torch.where((c > 1)[:, None], TABLE[0], TABLE[1]),
}
# Of three numbers that move, and codes.
BESIDE = {
    "gather": lambda x, c: x.gather(1, c.long()[:, None]),
    "take_along_dim": lambda x, c: x.take_along_dim(c.long()[:, None], 1),
    "index": lambda x, c: x[torch.arange(len(x)), c],
    "where": lambda x, c: torch.where(c[:, None] > 1, x, -x),
    "where not": lambda x, c: torch.where(c[:, None] > 1, 2.0, x),
    "masked_fill": lambda x, c: x.masked_fill((c > 1)[:, None], 2.0),
    "product": lambda x, c: x * c[:, None],
    "product with truths": lambda x, c: (c > 1)[:, None] * x,
    "product with a table": lambda x, c: (x[:, None] @ TABLE[c][:, :, None])[:, 0],
    "quotient": lambda x, c: x / (1 + c[:, None]),
    "cat": lambda x, c: torch.cat([x, c[:, None], F.one_hot(c.long(), 4)], 1),
    "largest": lambda x, c: torch.maximum(x, c[:, None]),
    "power": lambda x, c: x + (c[:, None].double() + 1) ** 1.5,
    "waves": lambda x, c: x + torch.stack([c.double().cos(), c.double().sin(), (c + 1.5).double().log()], 1),
}


class Coded(nn.Module):
    """A network of three numbers and what is read by a code, which is the last column."""

    def __init__(self, codes, read):
        super().__init__()
        torch.manual_seed(0)
        self.codes, self.read = codes, read
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.net(torch.cat([x[:, :HELD], self.read(self.codes(x[:, HELD]))], 1))


@pytest.mark.parametrize("codes", CODES)
def test_numbers_that_do_not_move_become_codes(codes):
    check_ray(Coded(CODES[codes], READ["embedding"]), (4,), held=[HELD])


@pytest.mark.parametrize("read", READ)
def test_codes_are_read(read):
    check_ray(Coded(CODES["long"], READ[read]), (4,), held=[HELD])


@pytest.mark.parametrize("name", BESIDE)
def test_codes_beside_numbers_that_move(name):
    check_ray(lambda x: BESIDE[name](x[:, :HELD], x[:, HELD].long().clamp(max=2)), (4,), held=[HELD])


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_as_many_rows_as_columns(rows):
    """Axes are not told apart by their lengths."""
    check_ray(lambda x: x[:, :3, None] * (x[:, 3:, None] == torch.arange(4)), (4,), held=[HELD], rays=rows)
    check_ray(lambda x: x + x[:, HELD:].expand(-1, 4).long().cumsum(1), (4,), held=[HELD], rays=rows)


# Those that are refused as what they are, an order or a comparison, if the column moves.
OTHERS = {"sum of truths", "places of the largest", "order", "argmax", "places of maxima"}


@pytest.mark.parametrize("codes", sorted(set(CODES) - OTHERS))
def test_columns_of_codes_must_be_left_alone(codes):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="columns must be left alone by the rays"):
        follow(Coded(CODES[codes], READ["embedding"]).double(), *draw_rays((4,)))


def embedded(x):
    return F.embedding(x[:, HELD].long(), TABLE)


@pytest.mark.parametrize(
    "mixing",
    [
        lambda x: x[:, :3] + embedded(x).flip(0),
        lambda x: x[:, :3] - embedded(x).mean(0),
        lambda x: x[:, :3] + embedded(x)[0],
        lambda x: x[:, :3] + x[:, HELD:].sort(0).values,
        lambda x: x[:, :3] + x[:, HELD:].long().cumsum(0),
        lambda x: x[:, :3] + x[:, HELD].argsort()[:, None],
        lambda x: x[x[:, HELD].long()],
        lambda x: torch.where(x[:, HELD:].flip(0) > 1, x, -x),
        lambda x: x.gather(1, x[:, HELD:].flip(0).long()),
        lambda x: embedded(x) @ embedded(x).t(),
        lambda x: x[:, :3] + x[:, HELD:].flip(0).cos(),
        lambda x: x[torch.arange(len(x)), x[:, HELD].flip(0).long()],
    ],
)
def test_rows_that_mix_in_what_does_not_move_are_refused(mixing):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="different rows"):
        follow(mixing, *draw_rays((4,), held=[HELD]))


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: x if x[0, HELD] > 0 else -x, "Python cannot read it"),
        (lambda x: x * x[0, HELD].item(), "Python cannot read it"),
        (lambda x: x + len(x[:, HELD].nonzero()), "Python cannot read it"),
        (lambda x: x[x[:, HELD] > 1], "torch.where or masked_fill"),
        (lambda x: F.one_hot(x[:, HELD].long()), "give num_classes"),
        (lambda x: x + torch.randn_like(x[:, HELD:]), "random"),
        (lambda x: torch.zeros(len(x), 4).double().scatter_(1, x[:, HELD:].long(), 1.0), "one_hot"),
    ],
)
def test_what_stays_refused_though_nothing_moves(operation, message):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match=message):
        follow(operation, *draw_rays((4,), rays=1, held=[HELD]))


# What only tends to a limit along rays that move it.
APPROACHED = {
    "tanh": torch.tanh,
    "softmax": lambda x: x.softmax(1),
    "norm": lambda x: F.layer_norm(x, (4,)),
    "quotient": F.softsign,
    "a view that was written": lambda x: written(x * 1.0),
    "in a view": lambda x: written(x * 1.0)[:, 1:],
    "joined": lambda x: torch.cat([x * 0.0, x.sigmoid()], 1),
    "added": lambda x: x.sigmoid() + 1 - x.sigmoid(),
    "clamped": lambda x: x.tanh().clamp(-0.5, 0.5),
    "gated": lambda x: x * 0 * x.sigmoid(),
}


def written(y):
    y[:, 1:].copy_(y[:, 1:].tanh())
    return y.clamp(-1, 1)


@pytest.mark.parametrize("name", APPROACHED)
@pytest.mark.parametrize("jump", [lambda x: x.argmax(1), lambda x: x.sort(1).values, lambda x: x.long()])
def test_what_is_only_approached_goes_through_no_jump(name, jump):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="either side of a jump"):
        follow(lambda x: jump(APPROACHED[name](x)), *draw_rays((4,)))


@pytest.mark.parametrize("name", APPROACHED)
def test_where_nothing_moves_nothing_is_approached(name):
    check_ray(lambda x: APPROACHED[name](x[:, HELD:].expand(-1, 4)).mul(7).round(), (4,), held=[HELD])


def test_negative_control_a_jump_behind_what_is_approached(monkeypatch):
    """Were it not remembered, the end would be wrong: tanh tends to 1 from below, and is never there."""
    smooth = asymptotes.TABLE["atan"]
    monkeypatch.setitem(asymptotes.TABLE, "atan", smooth.__class__(smooth.asymptotes, smooth.steepness, tail=Tail.NONE))
    with pytest.raises(AssertionError):
        check_ray(lambda x: (x.atan() * 2 / torch.pi).floor(), (4,), smooth=True)


CONTINUOUS = {
    "exp": lambda x: x.exp() + x.expm1() + x.exp2(),
    "logit": lambda x: ((x + 2) / 4).logit(),
    "roots": lambda x: (x + 2).sqrt() + (x + 2).rsqrt(),
    "logarithms": lambda x: (x + 2).log() + (x + 2).log2() + (x + 2).log10() + (x + 1).log1p(),
    "waves": lambda x: x.sin() + x.cos() + x.tan() + (x / 2).asin() + (x / 2).acos(),
    "hyperbolic": lambda x: x.sinh() + x.cosh() + x.asinh() + (x / 2).atanh() + (x + 3).acosh(),
    "powers": lambda x: x**2 + x**3 + (x + 2) ** -1.5 + 2**x + (x + 2) ** x + torch.tensor(3.0).double() ** x,
    "whole powers": lambda x: (x + 0.1) ** 4 + (x + 3) ** -2,
    "variance": lambda x: x.var(1, keepdim=True) + x,
    "product": lambda x: x.prod(1, keepdim=True) + x.cumprod(1) + x.cumsum(1),
}


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("limit", [torch.tanh, lambda x: F.layer_norm(x, (4,)) / 3], ids=["tanh", "norm"])
def test_limits_go_through_what_is_continuous(name, limit):
    check_ray(lambda x: CONTINUOUS[name](limit(x)), (4,), smooth=True)


FALLING = {
    "exp": lambda x: x.log_softmax(1).exp(),
    "exp2": lambda x: (-x.abs() - 0.5).exp2(),
    "expm1": lambda x: (-x.relu()).expm1() * x,
    "both": lambda x: -(x.log_softmax(1) * x.log_softmax(1).exp()).sum(1, keepdim=True),
    "a selu by hand": lambda x: torch.relu(x) + 1.7 * ((-torch.relu(-x)).exp() - 1),
}


@pytest.mark.parametrize("name", FALLING)
def test_exponentials_of_what_falls(name):
    check_ray(FALLING[name], (4,), smooth=True)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_radius_is_nan_where_a_limit_is_only_approached(name):
    origins, directions = draw_rays((4,))
    with torch.no_grad():
        end = follow(lambda x: CONTINUOUS[name](x.tanh()), origins, directions)
    assert torch.equal(end.radius.isnan(), (directions != 0).any(1))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.tanh() + 1).sqrt(),
        lambda x: (1 - x.sigmoid()).log(),
        lambda x: x.sigmoid() ** -1,
        lambda x: x.sigmoid() ** 0.5,
        lambda x: x.tanh() ** x.sigmoid(),
        lambda x: x.tanh().acos(),
        lambda x: x.tanh().atanh(),
        lambda x: x.relu().tanh().log1p().log(),
    ],
)
def test_no_limit_is_taken_at_the_edge_of_where_a_function_is(function):
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="tends to a place where it has no value"):
        follow(function, *draw_rays((4,)))


def test_negative_control_of_edges(monkeypatch):
    """Beside its edge a root has no value, whatever it has there."""
    rays = torch.zeros(1, 1).double(), torch.ones(1, 1).double()

    def model(x):
        return (-(-x).sigmoid()).sqrt()

    monkeypatch.setitem(fixed.CONTINUOUS, "sqrt", lambda x: x >= 0)
    with torch.no_grad():
        assert follow(model, *rays).offset == 0
    assert model(rays[0] + 100 * rays[1]).isnan()


@pytest.mark.parametrize("codes", ["long", "in place", "whole division", "places of maxima"])
def test_rays_along_other_columns_of_a_network_with_an_embedding(codes):
    model = Coded(CODES[codes], READ["embedding"]).double()
    origins, directions = draw_rays((4,), rays=64, held=[HELD])
    for column in range(HELD):
        directions[:] = 0
        directions[:, column] = 1
        far = kl.far_field(model, origins, directions, certify=True)
        # Where a rounding stands between numbers and a maximum, nobody vouches for its place.
        assert far.certified.all() == (codes != "places of maxima")
        with torch.no_grad():
            for radius in (1e6, 1e9):
                out = model.double()(origins + radius * directions)
                torch.testing.assert_close(torch.from_numpy(far.probs[0]), out.softmax(1), rtol=0, atol=1e-9)


def test_maxima_are_certified_where_nothing_moves():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    origins = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for end in (
            follow(lambda x: (x @ weight.t()).max(1).values.relu(), origins, 0 * origins, certify=True),
            follow(lambda x: F.max_pool1d(x @ weight.t(), 2).relu(), origins, 0 * origins, certify=True),
        ):
            assert end.certain.all()
            assert (end.errors[1] < 1e-12).all()


def test_codes_behind_a_rounding_are_not_certified():
    """Whether 0.1 * 3 is above 0.3 is a matter of rounding; that 0.1 * 4 is, is none."""

    def model(x):
        return torch.cat([x[:, :1], (x[:, 1:] * 0.1 > 0.3).double()], 1)

    origins, directions = torch.tensor([[0.0, 3.0], [0.0, 4.0], [0.0, 0.0]]).double(), torch.tensor([[1.0, 0.0]]).double()
    with torch.no_grad():
        end = follow(model, origins, directions.expand(3, 2), certify=True)
    assert end.certain.tolist() == [False, True, True]
    with torch.no_grad():
        end = follow(lambda x: (x > 3).double(), origins, 0 * origins, certify=True)
    assert end.certain.all()
