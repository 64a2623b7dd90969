"""Networks of others' packages, and pieces that are common in networks."""

import torch
from torch import nn

from tests.zoo.entry import MEMBERS, NO_FEATURES, SMOOTH, Entry, not_followed
from tests.zoo.layouts import mean_over_members
from tests.zoo.nets import own_logits, trained
from tests.zoo.tables import WINDOWS, WINE


def rtdl(name, **arguments):
    """A network of rtdl_revisiting_models."""

    def make():
        import rtdl_revisiting_models

        torch.manual_seed(13)
        return trained(getattr(rtdl_revisiting_models, name)(d_in=5, d_out=3, n_blocks=1, d_block=6, **arguments), WINE, 20)

    return Entry(f"`{name}` of rtdl", make, WINE, own_logits, needs=("rtdl_revisiting_models",))


def embedded(kind, arguments, **more):
    """Numbers through embeddings of rtdl_num_embeddings, and a linear layer."""

    def make():
        import rtdl_num_embeddings

        torch.manual_seed(14)
        first = getattr(rtdl_num_embeddings, kind)(*arguments(), **more)
        return trained(nn.Sequential(first, nn.Flatten(), nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 3)), WINE, 20)

    return make


def _bins():
    import rtdl_num_embeddings

    return (rtdl_num_embeddings.compute_bins(torch.tensor(WINE.X, dtype=torch.float32), n_bins=4),)


def _tabm_with_bins():
    import rtdl_num_embeddings
    import tabm

    torch.manual_seed(15)
    first = rtdl_num_embeddings.PiecewiseLinearEmbeddings(*_bins(), d_embedding=2, activation=False, version="B")
    return tabm.TabM.make(n_num_features=5, d_out=3, n_blocks=1, d_block=2, k=4, num_embeddings=first).eval()


class Waves(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(16)
        self.enter, self.leave = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.leave(torch.cos(self.enter(x)))


class Standardized(nn.Module):
    """Windows in deviations of their own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(17)
        self.net = nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x):
        z = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5)
        return self.net(z.flatten(1))


class Product(nn.Module):
    """A product of two columns beside them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(18)
        self.net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, x):
        return self.net(torch.cat([x, x[:, :1] * x[:, 1:2]], 1))


EMBEDDINGS = ("rtdl_num_embeddings",)

ENTRIES = {
    "rtdl_mlp": rtdl("MLP", dropout=0.1),
    "rtdl_resnet": rtdl("ResNet", d_hidden=8, d_hidden_multiplier=None, dropout1=0.1, dropout2=0.0),
    "piecewise_embeddings": Entry(
        "piecewise-linear embeddings of numbers",
        embedded("PiecewiseLinearEmbeddings", _bins, d_embedding=2, activation=False, version="B"),
        WINE,
        own_logits,
        needs=EMBEDDINGS,
    ),
    "relu_embeddings": Entry(
        "`LinearReLUEmbeddings`", embedded("LinearReLUEmbeddings", lambda: (5, 2)), WINE, own_logits, needs=EMBEDDINGS
    ),
    "periodic_embeddings": Entry(
        "`PeriodicEmbeddings`, which have no limit",
        embedded("PeriodicEmbeddings", lambda: (5, 2), lite=False),
        WINE,
        own_logits,
        refused=not_followed("waves"),
        needs=EMBEDDINGS,
    ),
    "tabm_embeddings": Entry(
        "TabM behind piecewise-linear embeddings",
        _tabm_with_bins,
        WINE,
        mean_over_members,
        refused=NO_FEATURES | MEMBERS,
        needs=("tabm", *EMBEDDINGS),
    ),
    "waves": Entry("cosines, which have no limit", lambda: Waves().eval(), WINE, own_logits, refused=not_followed("waves")),
    "waves_scripted": Entry(
        "cosines in TorchScript",
        lambda: torch.jit.script(Waves().eval()),
        WINE,
        own_logits,
        refused=not_followed("waves") | NO_FEATURES,
    ),
    "own_deviations": Entry(
        "windows divided by their own deviations",
        lambda: Standardized().eval(),
        WINDOWS,
        own_logits,
        refused=SMOOTH,
    ),
    "product": Entry(
        "a product of two columns, one moved at a time",
        lambda: Product().eval(),
        WINE,
        own_logits,
        alone=True,
        refused=SMOOTH | {"audit": "quadratic"},
    ),
}
