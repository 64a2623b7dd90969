"""What `certify` says of smooth functions, against extended precision."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.follow import Smooth, asymptotes, bounds, follow, operations, register
from knowlimits.testing import check_ray
from tests.oracles import smooth_mp

FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "atan": torch.atan,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "softplus_low": lambda x: F.softplus(x, threshold=2),
    "log_sigmoid": F.logsigmoid,
    "celu": lambda x: F.celu(x, 3.0),
    "elu": lambda x: F.elu(x, 100.0),
    "selu": F.selu,
    "erfc": torch.erfc,
}


@pytest.fixture(autouse=True)
def erfc_of_a_person(monkeypatch):
    monkeypatch.setattr(operations, "TABLE", operations.TABLE)
    register("erfc", Smooth(lambda: ((0, 2), (0, 0)), lambda: 1.13))
    yield
    del operations.TABLE["erfc"]


class Unit(nn.Module):
    """A unit behind a layer of a smooth function, which is at rest along the second feature; and a class of logit 0."""

    def __init__(self, name, weight, bias, outer, shift):
        super().__init__()
        self.function = FUNCTIONS[name]
        self.weight, self.bias, self.outer = (nn.Parameter(torch.tensor(a)) for a in (weight, bias, outer))
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        inner = self.function(F.linear(x[:, :1], self.weight, self.bias))
        return torch.relu(F.linear(inner, self.outer[None], self.shift[None]))


def decisions(name, trials, seed=0):
    """Of units within some roundings of zero: how many are certified, and how many of those are decided wrongly."""
    rng = np.random.default_rng(seed)
    certified = wrong = 0
    for _ in range(trials):
        origin, weight, outer = rng.normal(size=1), 1e4 * rng.normal(size=(6, 1)), rng.normal(size=6)
        # What goes into the functions is small, and has lost digits.
        bias = rng.normal(size=6) - weight[:, 0] * origin
        size = np.abs(outer).sum()
        near = float(smooth_mp.unit(name, origin, weight, bias, outer, 0.0))
        shift = -near + size * rng.choice([-1, 1]) * 10.0 ** rng.uniform(-16, -8)
        true = smooth_mp.unit(name, origin, weight, bias, outer, shift)
        far = kl.far_field(
            Unit(name, weight, bias, outer, shift), [[origin[0], 0.0]], [[0.0, 1.0]], certify=True, outputs="logits"
        )
        if far.certified.all():
            certified += 1
            wrong += bool(far.offset[0, 0, 1] > 0) != bool(true > 0)
    return certified, wrong


@pytest.mark.parametrize("name", FUNCTIONS)
def test_certified_decisions_behind_smooth_functions_are_right(name):
    certified, wrong = decisions(name, 150)
    assert wrong == 0
    assert certified > 5


def test_negative_control_of_decisions(monkeypatch):
    entry = operations.TABLE["elu"]
    monkeypatch.setitem(operations.TABLE, "elu", Smooth(entry.asymptotes, lambda *_: 0.01))
    monkeypatch.setattr(asymptotes, "SMOOTH", 0.0)
    assert decisions("elu", 150)[1] > 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_smooth_functions_of_torch_are_as_exact_as_assumed(name):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-40, 40, 1000), rng.normal(size=1000), rng.normal(size=200) * 1e-6])
    values = FUNCTIONS[name](torch.tensor(x)).numpy()
    errors = np.array([float(abs(smooth_mp.value(name, a) - smooth_mp.mpf(float(v)))) for a, v in zip(x, values, strict=True)])
    steepness = {"elu": 100, "selu": 1.76, "hardswish": 1.5, "sigmoid": 0.25}.get(name, 1.13)
    assumed = bounds.SMOOTH * (steepness * (1 + np.abs(x)) + np.abs(values))
    assert (errors <= assumed / 2).all(), float((errors / assumed).max())


def test_a_step_of_softplus_leaves_nothing_certain_where_it_is():
    class Step(nn.Module):
        def forward(self, x):
            return F.softplus(x * 0.1, threshold=2) - 2.05

    # 0.1 * 20 is 2 within a rounding: softplus is 2 there, or 2.13.
    origins = [[20.0, 1.0], [20.1, 1.0], [19.9, 1.0]]
    rays = follow(Step(), torch.tensor(origins).double(), torch.zeros(3, 2).double(), certify=True)
    assert rays.errors[1][:, 0].gt(0.1).tolist() == [True, False, False]


def test_check_ray_sees_a_steepness_that_is_too_small():
    register("erfinv", Smooth(lambda: ((0, 0), (0, 0)), lambda: 1.0))
    try:
        operations.TABLE["erfc"] = Smooth(lambda: ((0, 2), (0, 0)), lambda: 1.0)
        with pytest.raises(AssertionError, match="moves by"):
            check_ray(torch.erfc, (4,), smooth=True)
    finally:
        del operations.TABLE["erfinv"]


def test_limits_behind_a_joint_function_are_not_certified_where_its_rates_may_differ():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            # 0.1 + 0.2 - 0.3 is a rounding error, and its true value another.
            self.weight = nn.Parameter(torch.tensor([[0.1, 0.2, -0.3], [0.0, 0.0, 0.0]]))

        def forward(self, x):
            return F.layer_norm(F.linear(x, self.weight), (2,))

    far = kl.far_field(Normed(), [[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]], certify=True)
    assert not far.certified.any()
