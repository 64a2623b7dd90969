"""Jumps: certified where they are clear, on the side that limits tend to, refused at ties that are only approached."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.follow import UnsupportedOperation, bounds, follow, jumps
from knowlimits.testing import check_ray

ON_A_LINE = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.1 + 0.2, 0.0], [0.25, 0.0], [0.1 + 0.2, 1.0]], dtype=torch.float64)


def test_jumps_are_certified_where_they_are_clear():
    """At a tie that is exact both sides are known; at one within the rounding of a sum neither is."""
    x, d = ON_A_LINE[:, :1], ON_A_LINE[:, 1:]
    with torch.no_grad():
        exact = follow(lambda x: x.sign() + (x >= 2).double(), x, d, certify=True)
        rounded = follow(lambda x: (x + 0.5 > 0.8).double(), x, d, certify=True)
    assert exact.certain.all()
    assert exact.offset.flatten().tolist() == [0, 2, 1, 1, 2]
    assert exact.radius.tolist()[-1] == 2 - (0.1 + 0.2)
    assert rounded.certain.tolist() == [True, True, False, True, True]


def test_what_is_approached_ends_on_the_side_that_it_tends_to():
    check_ray(lambda x: (x.tanh() > 0.3).double() * x + (x.sigmoid() - 2).sign(), (4,), smooth=True)
    check_ray(lambda x: (F.softsign(x) * 0.3 + 0.4).floor() + (x.softmax(1) * 0.9 + 0.05).round(), (4,), smooth=True)


# What tends to a place where operations jump.
TIES = {
    "tanh": lambda x: x.tanh().abs() - 1,
    "softmax": lambda x: x.softmax(1),
    "rounded": lambda x: x.softmax(1).sum(1, keepdim=True) - 1 + 2**-52,
    "added": lambda x: 1 - x.sigmoid(),
}


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize(
    "jump", [torch.sign, torch.floor, lambda x: (x + 0.5).round(), lambda x: x > 0, lambda x: 0.5 + x == 0.5]
)
def test_what_tends_to_a_jump_goes_through_none(name, jump):
    origins, directions = torch.zeros(1, 4).double(), torch.arange(1, 5).double()[None]
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match="either side of a jump"):
        follow(lambda x: jump(TIES[name](x)), origins, directions)


def test_negative_control_of_what_is_near_to_a_jump(monkeypatch):
    """Probabilities add up to 1 but for rounding, which is not to decide on a side."""
    monkeypatch.setattr(jumps, "NEAR", 0.0)
    with torch.no_grad():
        end = follow(lambda x: TIES["rounded"](x).sign(), torch.zeros(1, 4).double(), torch.ones(1, 4).double())
    assert end.offset.item() == 1
    assert bounds.NEAR > 2**-52


class Steps(nn.Module):
    """A classifier of a function that jumps."""

    def __init__(self, function):
        super().__init__()
        self.function, self.last = function, nn.Linear(2, 2)

    def forward(self, x):
        return self.last(self.function(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (torch.sign, "operation sign .*polytopes are those of what is continuous.*far_field knows"),
        (lambda x: F.hardshrink(x), "operation hardshrink .*crosses a threshold"),
        (lambda x: torch.where(x > 0, x, 0.0), "operation gt .*crosses a threshold"),
        (lambda x: x.bool().float(), "operation _to_copy .*crosses a threshold"),
        (lambda x: x.floor(), "operation floor .*steps without end"),
    ],
)
def test_planes_refuse_jumps(function, message):
    with pytest.raises(UnsupportedOperation, match=message):
        kl.partition(Steps(function), box=(-1, 1, -1, 1))
