"""Values, slopes and the next kink at points: each entry of the table against forward passes near by."""

import pytest
import torch
from torch import nn

from knowlimits.follow import UnsupportedOperation, follow_piece
from knowlimits.testing import draw_rays
from tests.follow.test_operations import AFFINE, CASES, HIDDEN_JUMPS, JUMPS, MAXIMA, MOVES, NESTED, SMOOTH


def names(*groups):
    return [name for group in groups for name, _, _ in group]


def near(piece, share):
    """Some way to the next kink, or 1 where there is none."""
    return share * torch.where(piece.until.isinf(), 1.0, piece.until)


def at(module, x, d, t):
    return module(x + t.reshape(-1, *[1] * (x.ndim - 1)) * d).double()


def line(piece, t):
    return piece.value + t.reshape(-1, *[1] * (piece.value.ndim - 1)) * piece.slope


@pytest.mark.parametrize("name", names(MOVES, AFFINE, MAXIMA, NESTED))
def test_a_piece_is_straight_up_to_where_it_ends(name):
    function, shape = CASES[name]
    x, d = draw_rays(shape)
    kept = x.clone(), d.clone()
    piece = follow_piece(function, x, d)
    assert torch.equal(x, kept[0])
    assert torch.equal(d, kept[1])
    for share in (0.0, 0.2, 0.999):
        t = near(piece, share)
        torch.testing.assert_close(at(function, x, d, t), line(piece, t).expand_as(at(function, x, d, t)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", names(MAXIMA))
def test_a_piece_ends_at_a_kink(name):
    function, shape = CASES[name]
    x, d = draw_rays(shape)
    piece = follow_piece(function, x, d)
    ends = piece.until.isfinite()
    assert ends.any()
    t = 1.001 * piece.until[ends]
    x, d = x[ends], d[ends]
    # Without the last stretch, in proportion to which the function has gone on otherwise.
    off = (at(function, x, d, t) - line(piece, near(piece, 1.001))[ends]).reshape(len(x), -1).abs().amax(1)
    assert (off > 1e-7 * t).all()


def test_negative_control_a_kink_further_on_is_seen(monkeypatch):
    from knowlimits.follow import kernels

    seen = kernels.relu_here

    def twice(rate, offset, new_rate, new_offset, until):
        finite = seen(rate, offset, new_rate, new_offset, until)
        until *= 2
        return finite

    monkeypatch.setattr(kernels, "relu_here", twice)
    with pytest.raises(AssertionError):
        test_a_piece_is_straight_up_to_where_it_ends("relu")


@pytest.mark.parametrize("name", names(SMOOTH, JUMPS, HIDDEN_JUMPS))
def test_what_bends_or_jumps_is_followed_only_where_it_stays(name):
    function, shape = CASES[name]
    x, d = draw_rays(shape)
    moving = torch.ones_like(d) + torch.rand(d.shape, generator=torch.Generator().manual_seed(1), dtype=d.dtype)
    try:
        piece = follow_piece(function, x, 0 * d)
    except UnsupportedOperation:
        # What would hang on numbers in ways that are not followed even where they stay.
        piece = None
    if piece is not None:
        torch.testing.assert_close(piece.value.expand_as(function(x).double()), function(x).double())
        assert not piece.slope.any()
        assert piece.until.isinf().all()
    if name not in ("of what is infinite", "softmax with a mask"):
        with pytest.raises(UnsupportedOperation):
            follow_piece(function, x, moving)


def test_on_a_kink_the_way_decides():
    x, d = torch.zeros(3, 1, dtype=torch.float64), torch.tensor([[1.0], [-1.0], [0.0]], dtype=torch.float64)
    for function in (torch.relu, lambda x: torch.maximum(x, 0 * x), lambda x: torch.stack([x, 0 * x], 2).amax(2)):
        piece = follow_piece(function, x, d)
        assert piece.slope[:, 0].tolist() == [1, 0, 0]
        assert piece.until.isinf().all()


def test_a_number_times_one_that_stays_is_straight():
    x, d = draw_rays((3,))
    d[:, 0] = 0

    def gated(x):
        return x * x[:, :1].sigmoid() / (1 + x[:, :1] ** 2) + (x[:, :1] > 0)

    piece = follow_piece(gated, x, d)
    t = near(piece, 1.0)
    torch.testing.assert_close(at(gated, x, d, t), line(piece, t))
    d[0] = 1
    for bends in (gated, lambda x: x * x, lambda x: 1 / (2 + x.abs())):
        with pytest.raises(UnsupportedOperation):
            follow_piece(bends, x, d)


def test_points_that_are_mixed_are_refused():
    x, d = draw_rays((3,))
    for mixed in (lambda x: x - x.mean(0), lambda x: x.flip(0), lambda x: x.cumsum(0)):
        with pytest.raises(UnsupportedOperation):
            follow_piece(mixed, x, d)


def test_numbers_beyond_floats_are_refused():
    x, d = draw_rays((3,))
    for large in (lambda x: torch.relu(1e308 * (x + 10) * 1e10), lambda x: 1e308 * (x + 10) * 1e10):
        with pytest.raises(OverflowError):
            follow_piece(large, x, d)


def test_members_with_points_of_their_own():
    import knowlimits as kl

    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(4, o, i, generator=generator, dtype=torch.float64) for i, o in ((3, 6), (6, 2))]
    biases = [torch.randn(4, o, generator=generator, dtype=torch.float64) for o in (6, 2)]
    stack = kl.Stack(weights, biases).requires_grad_(False)
    x, d = (torch.randn(4, 5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    together = follow_piece(stack.forward_members, x, d, 2)
    for member in range(4):
        alone = follow_piece(stack.member(member).requires_grad_(False), x[member], d[member])
        torch.testing.assert_close(together.value[member], alone.value)
        torch.testing.assert_close(together.slope[member], alone.slope)
        torch.testing.assert_close(together.until.reshape(4, 5)[member], alone.until)


def test_work_grows_with_what_is_done():
    x, d = draw_rays((3,))
    small = follow_piece(nn.Linear(3, 4).double().requires_grad_(False), x, d)
    large = follow_piece(nn.Linear(3, 400).double().requires_grad_(False), x, d)
    assert large.work == 100 * small.work > 0
