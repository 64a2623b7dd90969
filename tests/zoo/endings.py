"""Networks by what they end in."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.zoo.entry import NO_LAST, NO_LOGITS, PROBABILITIES, SMOOTH, Entry, not_followed, refused
from tests.zoo.nets import Then, binary, body, double, of_logits, own_logits, softmax
from tests.zoo.tables import CANCER, WINE


def of_three(about, last, truth=None, **more):
    """Three classes of wine."""
    return Entry(about, lambda: Then(body(), last).eval(), WINE, truth or of_logits(body()), **more)


def of_two(about, last, truth=None, **more):
    """Two classes of tumours, by one logit."""
    return Entry(about, lambda: Then(binary(), last).eval(), CANCER, truth or of_logits(binary()), **more)


class Mixture(nn.Module):
    """The mean of the softmaxes of several networks, or what a function makes of it."""

    def __init__(self, last=None):
        super().__init__()
        self.nets, self.last = nn.ModuleList(body(seed=seed) for seed in range(3)), last

    def forward(self, x):
        p = torch.stack([F.softmax(net(x), dim=1) for net in self.nets]).mean(0)
        return self.last(p) if self.last else p


class Experts(nn.Module):
    """Experts that say the same for every row, mixed by a softmax of the row."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.gate, self.experts = body(), nn.Parameter(2 * torch.randn(3, 3))

    def forward(self, x):
        return self.gate(x).softmax(-1) @ self.experts


def _by_hand(z):
    e = (z - z.max(1, keepdim=True).values).exp()
    return e / e.sum(1, keepdim=True)


def _twice(_, X):
    return softmax(torch.tensor(of_logits(body())(_, X)))


def _clamped(_, X):
    return of_logits(body())(_, X).clip(1e-6, 1 - 1e-6)


def _sigmoids(_, X):
    p = double(body(), X).sigmoid().numpy()
    return p / p.sum(1, keepdims=True)


def _hard(_, X):
    p = F.hardsigmoid(double(binary(), X)).numpy()
    return np.concatenate([1 - p, p], axis=1)


def _bounded(_, X):
    return softmax(3 * double(body(), X).tanh())


def _cooled(_, X):
    return softmax(double(body(), X) / 1.7)


def _reversed(_, X):
    return of_logits(binary())(_, X)[:, ::-1]


MULTILABEL = refused("several labels")

ENTRIES = {
    "logits": of_three("logits", lambda z: z),
    "softmax": Entry("`nn.Softmax(1)`", lambda: nn.Sequential(*body(), nn.Softmax(1)).eval(), WINE, of_logits(body())),
    "log_softmax": Entry(
        "`nn.LogSoftmax(1)`", lambda: nn.Sequential(*body(), nn.LogSoftmax(1)).eval(), WINE, of_logits(body())
    ),
    "f_softmax": of_three("`F.softmax(z, dim=1)`", lambda z: F.softmax(z, dim=1)),
    "torch_softmax": of_three("`torch.softmax(z, -1)`", lambda z: torch.softmax(z, -1)),
    "method_softmax": of_three("`z.softmax(1)`", lambda z: z.softmax(1)),
    "softmax_float64": of_three("`F.softmax(z, 1, dtype=torch.float64)`", lambda z: F.softmax(z, 1, dtype=torch.float64)),
    "softmax_squeezed": of_three("softmax, then `.squeeze()`", lambda z: z.softmax(1).squeeze()),
    "softmax_viewed": of_three("softmax, then `.view(-1, 3)`", lambda z: z.softmax(1).view(-1, 3)),
    "f_log_softmax": of_three("`F.log_softmax(z, 1)`", lambda z: F.log_softmax(z, 1)),
    "log_of_softmax": of_three("`torch.log(softmax)`", lambda z: torch.log(z.softmax(1))),
    "softmin": of_three(
        "`F.softmin(z, 1)`", lambda z: F.softmin(z, 1), lambda _, X: softmax(-double(body(), X)), refused=NO_LAST
    ),
    "temperature": of_three("a temperature, then softmax", lambda z: (z / 1.7).softmax(1), _cooled, refused=NO_LAST),
    "clamped": of_three(
        "softmax, then `.clamp(1e-6, 1 - 1e-6)`", lambda z: z.softmax(1).clamp(1e-6, 1 - 1e-6), _clamped, refused=PROBABILITIES
    ),
    "softmax_by_hand": of_three("softmax by hand, `exp` and a quotient", _by_hand, refused=PROBABILITIES),
    "mixture": Entry(
        "mean of members' softmaxes",
        lambda: Mixture().eval(),
        WINE,
        of_logits(*(body(seed=k) for k in range(3))),
        refused=PROBABILITIES,
    ),
    "log_mixture": Entry(
        "log of the mean of members' softmaxes",
        lambda: Mixture(torch.log).eval(),
        WINE,
        of_logits(*(body(seed=k) for k in range(3))),
        refused=not_followed("`log`"),
    ),
    "double_softmax": of_three(
        "softmax, trained with `CrossEntropyLoss`, `outputs='logits'` said",
        lambda z: z.softmax(1),
        _twice,
        said={"outputs": "logits"},
        refused=SMOOTH | NO_LAST,
    ),
    "softmax_said": of_three(
        "softmax, `outputs='probabilities'` said", lambda z: z.softmax(1), said={"outputs": "probabilities"}
    ),
    "experts": Entry(
        "softmax in the middle: constant experts", lambda: Experts().eval(), WINE, own_logits, refused=SMOOTH | NO_LAST
    ),
    "tanh_head": of_three("bounded logits, `3 * tanh(z)`", lambda z: 3 * z.tanh(), _bounded, refused=SMOOTH | NO_LAST),
    "one_logit": of_two("one logit, (n, 1)", lambda f: f),
    "one_logit_flat": of_two("one logit, (n,)", lambda f: f.squeeze(-1)),
    "one_logit_squeezed": of_two("one logit, `.squeeze()`", lambda f: f.squeeze()),
    "sigmoid": Entry(
        "`nn.Sigmoid()`, (n, 1)", lambda: nn.Sequential(*binary(), nn.Sigmoid()).eval(), CANCER, of_logits(binary())
    ),
    "sigmoid_flat": of_two("`torch.sigmoid(f).squeeze(1)`, (n,)", lambda f: torch.sigmoid(f).squeeze(1)),
    "sigmoid_squeezed": of_two("`f.sigmoid().squeeze()`", lambda f: f.sigmoid().squeeze()),
    "sigmoid_column": of_two("`torch.sigmoid(f[:, 0])`", lambda f: torch.sigmoid(f[:, 0])),
    "expit": of_two("`torch.special.expit(f)`", torch.special.expit),
    "both_cat": of_two("`cat([1 - p, p], 1)`", lambda f: torch.cat([1 - f.sigmoid(), f.sigmoid()], 1)),
    "both_stack": of_two(
        "`stack([1 - p, p], -1)` of (n,)", lambda f: torch.stack([1 - f[:, 0].sigmoid(), f[:, 0].sigmoid()], -1)
    ),
    "both_turned": of_two(
        "`cat([p, 1 - p], 1)`", lambda f: torch.cat([f.sigmoid(), 1 - f.sigmoid()], 1), _reversed, refused=NO_LAST
    ),
    "log_sigmoids": of_two(
        "`cat([logsigmoid(-f), logsigmoid(f)], 1)`",
        lambda f: torch.cat([F.logsigmoid(-f), F.logsigmoid(f)], 1),
        refused=SMOOTH | NO_LOGITS,
    ),
    "one_of_softmax": Entry(
        "the second of two softmax outputs, (n,)",
        lambda: Then(body("CANCER", 2), lambda z: z.softmax(1)[:, 1]).eval(),
        CANCER,
        of_logits(body("CANCER", 2)),
        refused=refused("cannot be told: say `outputs=`"),
    ),
    "one_of_softmax_said": Entry(
        "the second of two softmax outputs, (n,), `outputs='probabilities'` said",
        lambda: Then(body("CANCER", 2), lambda z: z.softmax(1)[:, 1]).eval(),
        CANCER,
        of_logits(body("CANCER", 2)),
        said={"outputs": "probabilities"},
        refused=PROBABILITIES,
    ),
    "hard_sigmoid": of_two(
        "`F.hardsigmoid(f)`, `outputs='probabilities'` said",
        F.hardsigmoid,
        _hard,
        said={"outputs": "probabilities"},
        refused={"horizon": "probabilities", **NO_LOGITS},
    ),
    "two_sigmoids": Entry(
        "sigmoids of several labels",
        lambda: nn.Sequential(*body("CANCER", 2), nn.Sigmoid()).eval(),
        CANCER,
        lambda _, X: double(body("CANCER", 2), X).sigmoid().numpy(),
        refused=MULTILABEL,
    ),
    "sigmoids_normalized": of_three(
        "sigmoids divided by their sum",
        lambda z: z.sigmoid() / z.sigmoid().sum(1, keepdim=True),
        _sigmoids,
        refused={"audit": "all may vanish", **PROBABILITIES},
    ),
    "regression": of_two("a regression's head, which is one logit to us", lambda f: f),
}
