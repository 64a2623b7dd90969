"""Products and quotients of numbers that all hang on the input: right, or refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from knowlimits.follow import Smooth, UnsupportedOperation, asymptotes, follow, operations, products
from knowlimits.follow.operations import Tail
from knowlimits.testing import check_ray, draw_rays

HELD = 3
SHAPE = (4,)


def scaled(x):
    """What ends at numbers that no rounding leaves near 0."""
    return F.layer_norm(x, (4,)) * 0.3 + torch.tensor([0.3, -0.2, 1.0, 2.0], dtype=x.dtype)


SETTLED = {
    "gate": lambda x: x * x.sigmoid(),
    "gate that closes": lambda x: x * (-x * 2).sigmoid(),
    "gates": lambda x: x * x.sigmoid() * x.flip(1).tanh() * x.softmax(1),
    "gate of slow limits": lambda x: x.atan() * x.sigmoid() * F.layer_norm(x, (4,)),
    "steep gate of softplus": lambda x: (F.softplus(x) - x.relu()) * x,
    "by a column": lambda x: x * x[:, HELD:],
    "column by itself": lambda x: x[:, HELD:] * x[:, HELD:] + x,
    "by what moves, and what does not": lambda x: torch.cat([x[:, :2], x[:, HELD:]], 1) * x[:, [3, 3, 0]],
    "matrices": lambda x: (scaled(x)[:, :, None] @ scaled(x)[:, None]).flatten(1),
    "matrix by a column": lambda x: x[:, :, None] @ x[:, None, HELD:],
    "vectors": lambda x: torch.stack([row[:2] @ row[HELD:].tanh().expand(2) for row in x]),
    "matrix and vector": lambda x: torch.stack([row.tanh().outer(row) @ row.sigmoid() for row in x]),
    "sum and product": lambda x: torch.baddbmm(x[:, None], x[:, None].tanh(), x[:, None, :].expand(-1, 4, -1) * 0.0 + 2),
    "einsum": lambda x: torch.einsum("ni,nj->nij", x.tanh(), x.sigmoid()),
    "quotient": lambda x: x / (1 + x.sigmoid()),
    "quotient by a column": lambda x: x / (x[:, HELD:] + 0.5),
    "quotient of slow limits": lambda x: x.atan() / (2 + F.layer_norm(x, (4,))),
    "nothing by what grows": lambda x: x.tanh() / (1 + x.abs()),
    "share": lambda x: x / (x.abs().sum(1, keepdim=True) + 1),
    "reciprocal": lambda x: (x.abs() + 1).reciprocal(),
    "addcmul": lambda x: torch.addcmul(x, x, x.tanh(), value=2),
    "addcdiv": lambda x: torch.addcdiv(x, x, 3 + x.tanh(), value=2),
    "in place": lambda x: (x * 1).mul_(x.sigmoid()).div_(2 + x.tanh()),
}


@pytest.mark.parametrize("name", SETTLED)
def test_products_agree_with_forward_passes_far_out(name):
    check_ray(SETTLED[name], SHAPE, smooth=True, held=[HELD])


EXACT = ["by a column", "column by itself", "by what moves, and what does not", "matrix by a column", "quotient by a column"]


@pytest.mark.parametrize("name", EXACT)
def test_products_with_what_does_not_move_are_exact(name):
    check_ray(SETTLED[name], SHAPE, held=[HELD])


MOVING = {
    "square": lambda x: x * x,
    "power": lambda x: x**3,
    "neighbours": lambda x: x[:, :2] * x[:, 1:3],
    "matrix": lambda x: x[:, :, None] @ x[:, None],
    "slow gate": lambda x: x * x.atan(),
    "slow gate of a norm": lambda x: x * F.layer_norm(x, (4,)),
    "slow gate of a length": lambda x: x * (x / (x.norm(dim=1, keepdim=True) + 1)),
    "slow gate of a quotient": lambda x: x * F.softsign(x),
    "slow gate, written": lambda x: x * (x * 1).copy_(x.atan()),
    "slow gate, joined": lambda x: x * torch.cat([x[:, :2].atan(), x[:, 2:].sigmoid()], 1),
    "slow gate behind a fast one": lambda x: x * x.atan().sigmoid(),
    "slow divisor": lambda x: x / (3 + x.atan()),
    "divisor that vanishes": lambda x: x / x.sigmoid(),
    "divisor that is 0": lambda x: x / (x - x),
    "one by what vanishes": lambda x: 1 / (1 - x.tanh()),
}


@pytest.mark.parametrize("name", MOVING)
def test_products_that_have_no_straight_asymptote_or_none_that_is_known_are_refused(name):
    with torch.no_grad(), pytest.raises(UnsupportedOperation):
        follow(MOVING[name], *draw_rays(SHAPE))


def test_what_a_person_enters_is_taken_to_be_slow(monkeypatch):
    erf = operations.TABLE["erf"]
    monkeypatch.setitem(operations.TABLE, "erf", Smooth(erf.asymptotes, erf.steepness))
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="too slowly"):
        follow(lambda x: x * x.erf(), *draw_rays(SHAPE))
    monkeypatch.setitem(operations.TABLE, "erf", Smooth(erf.asymptotes, erf.steepness, tail=Tail.FAST))
    check_ray(lambda x: x * x.erf(), SHAPE, smooth=True)


def test_negative_control_a_tail_that_is_called_fast(monkeypatch):
    """x atan(x) is off by 1 from its limits' product."""
    atan = operations.TABLE["atan"]
    monkeypatch.setitem(operations.TABLE, "atan", Smooth(atan.asymptotes, atan.steepness, tail=Tail.FAST))
    with pytest.raises(AssertionError):
        check_ray(MOVING["slow gate"], SHAPE, smooth=True)


def test_negative_control_of_a_product(monkeypatch):
    """One that forgets that either factor may move."""

    def product(func, x, y, changes):
        return asymptotes.Ray(func(x.rate, y.offset), func(x.offset, y.offset), x.owners)

    monkeypatch.setattr(asymptotes, "product", product)
    with pytest.raises(AssertionError):
        check_ray(lambda x: x.sigmoid() * x, SHAPE, smooth=True)


@pytest.mark.parametrize("part", ["_bounds", "_quotient_bounds"])
def test_negative_control_of_bounds(part, monkeypatch):
    """Bounds that are carried over from one factor only."""

    def bounds(*given):
        x = given[0] if isinstance(given[0], asymptotes.Ray) else given[1]
        return x.errors

    monkeypatch.setattr(products, part, bounds)
    with pytest.raises(AssertionError, match="more than its bound says"):
        check_ray(lambda x: 3 * x.tanh() * x / (0.2 + 0.1 * x.sigmoid()), SHAPE, smooth=True)


def test_rows_that_mix_are_refused():
    for mixing in (
        lambda x: x.tanh() * x.flip(0).tanh(),
        lambda x: x.tanh() @ x.tanh().t(),
        lambda x: x.tanh() @ x[0].tanh(),
        lambda x: x.tanh()[:, None] @ x.flip(0).tanh()[:, :, None],
        lambda x: x / (1 + x[0].sigmoid()),
        lambda x: x / (1 + x.flip(0).sigmoid()),
        lambda x: x[:, 0].tanh() @ x.tanh(),
    ):
        with torch.no_grad(), pytest.raises(UnsupportedOperation, match="different rows"):
            follow(mixing, *draw_rays(SHAPE))


LAYERS = {
    "LSTM": lambda: nn.LSTM(3, 4, batch_first=True),
    "LSTM in time": lambda: nn.LSTM(3, 4, 2, dropout=0.5),
    "LSTM both ways": lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
    "LSTM projected": lambda: nn.LSTM(3, 4, batch_first=True, proj_size=2),
    "GRU": lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True),
    "GRU without bias": lambda: nn.GRU(3, 4, bias=False),
    "RNN": lambda: nn.RNN(3, 4, batch_first=True),
    "RNN of relu": lambda: nn.RNN(3, 4, nonlinearity="relu"),
}


class Recurrent(nn.Module):
    """What a recurrent layer returns of sequences ``(n, time, 3)``, its last state too."""

    def __init__(self, layer, started=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.started = layer.eval(), started

    def forward(self, x):
        first = self.layer.batch_first
        states = ()
        if self.started:
            states = (torch.ones(self.layer.num_layers, len(x), self.layer.hidden_size, dtype=x.dtype),)
        out, last = self.layer(x if first else x.transpose(0, 1), *states)
        out = out if first else out.transpose(0, 1)
        last = torch.cat(last, -1) if isinstance(last, tuple) else last
        return torch.cat([out.flatten(1), last.transpose(0, 1).flatten(1)], 1)


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers(name):
    check_ray(Recurrent(LAYERS[name]()), (3, 3), smooth=name != "RNN of relu")


def test_a_recurrent_layer_with_a_first_state():
    check_ray(Recurrent(nn.GRU(3, 4, batch_first=True), started=True), (5, 3), smooth=True)


class Cells(nn.Module):
    """A cell, step by step; `decoding`: the input is its first state, and what comes in is constant."""

    def __init__(self, kind, decoding=False):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.decoding = kind(3, 3), decoding

    def forward(self, x):
        state = x[:, 0] if self.decoding else None
        if state is not None and isinstance(self.cell, nn.LSTMCell):
            state = state, torch.zeros_like(state)
        for step in range(4):
            state = self.cell(torch.ones(len(x), 3, dtype=x.dtype) if self.decoding else x[:, step], state)
        return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize("decoding", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_recurrent_cells(kind, decoding):
    check_ray(Cells(kind, decoding), (4, 3), smooth=True)


class Excited(nn.Module):
    """Channels scaled by what is seen of all of them (Hu et al., 2018)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Linear(4, 2), nn.Linear(2, 4)

    def forward(self, x):
        return x * self.up(self.down(x.mean(2)).relu()).sigmoid()[:, :, None]


def test_squeeze_and_excitation():
    check_ray(Excited(), (4, 3), smooth=True)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_transformer_that_norms_first(heads):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, heads, 8, batch_first=True, norm_first=True)
    check_ray(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval(), (2, 4), smooth=True)


def random_program(seed):
    """A composition of drawn operations on three numbers that move and one that does not."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    def some(count):
        return int(torch.randint(count, (), generator=draw))

    weights = [normal(4, 4) for _ in range(3)]
    one = [
        lambda x: x @ weights[0],
        lambda x: x @ weights[1] + 0.3,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
        torch.atan,
        F.gelu,
        lambda x: F.layer_norm(x, (4,)),
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(1),
        lambda x: x / (x.norm(dim=1, keepdim=True) + 1),
        lambda x: x.std(1, keepdim=True) + 0 * x,
        lambda x: x.cos(),
        lambda x: x.round(),
        lambda x: x[:, HELD:] + x,
        lambda x: x[:, [3, 0, 1, 2]],
    ]
    two = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x * y.sigmoid(),
        lambda x, y: x / (1 + y.abs()),
        lambda x, y: torch.maximum(x, y),
        lambda x, y: torch.where(y[:, HELD:] > 0, x, y),
        lambda x, y: (x[:, :, None] @ y[:, None])[:, 0],
    ]
    steps = [(one[some(len(one))], some(8), None) if some(2) else (two[some(len(two))], some(8), some(8)) for _ in range(6)]

    def program(x):
        made = [x]
        for function, first, second in steps:
            given = [made[-1 - k % len(made)] for k in (first, second) if k is not None]
            made.append(function(*given))
        return made[-1]

    return program


def agrees(program, seed):
    """Whether a program is followed to what it is far out, along rays where that is to be seen; None where it is refused."""
    origins, directions = draw_rays(SHAPE, 8, seed, held=[HELD])
    with torch.no_grad():
        try:
            end = follow(program, origins, directions)
        except (UnsupportedOperation, OverflowError):
            return None
        gaps = []
        for radius in (1e5, 1e6):
            actual, expected = program(origins + radius * directions), end.rate * radius + end.offset
            gaps.append((actual - expected).abs() / (1 + 1e-9 * expected.abs()))
    # It comes nearer as 1 / radius, if it is not there.
    return bool((gaps[1] <= 1e-3 + gaps[0] / 5).all())


def test_drawn_programs_are_right_or_refused():
    found = [agrees(random_program(seed), seed) for seed in range(300)]
    assert False not in found, found.index(False)
    assert found.count(True) > 60


def test_negative_control_of_drawn_programs(monkeypatch):
    """Were nothing slow, some would be wrong."""
    for name in ("atan", "native_layer_norm"):
        entry = operations.TABLE[name]
        kept = {field: value for field, value in vars(entry).items() if field != "tail"}
        monkeypatch.setitem(operations.TABLE, name, type(entry)(**kept, tail=Tail.FAST))
    assert False in [agrees(random_program(seed), seed) for seed in range(300)]
