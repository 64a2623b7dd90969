"""Networks by the shape of what they return."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tests.zoo.entry import CODES, MEMBERS, NO_FEATURES, NO_LAST, SMOOTH, Entry, refused
from tests.zoo.nets import WIDTH, Then, binary, body, double, of_logits, own_logits, softmax
from tests.zoo.tables import CANCER, CODED, WINE


class Heads(nn.Module):
    """Heads on one body; `last` puts what they return together."""

    def __init__(self, k, last, outputs=3):
        super().__init__()
        torch.manual_seed(2)
        self.net = body() if outputs == 3 else binary()
        self.body = self.net[:2]
        self.heads, self.last = nn.ModuleList(nn.Linear(WIDTH, outputs) for _ in range(k)), last
        for head in self.heads:
            head.weight.data += self.net[2].weight.data

    def forward(self, x):
        h = self.body(x)
        return self.last([head(h) for head in self.heads])


def heads(about, k, last, outputs=3, **more):
    def truth(model, X):
        h = double(model.body, X)
        return np.mean([softmax(nn.functional.linear(h, p.weight.double(), p.bias.double()).detach()) for p in model.heads], 0)

    table = WINE if outputs == 3 else CANCER
    return Entry(about, lambda: Heads(k, last, outputs).eval(), table, truth, refused=MEMBERS, **more)


@dataclass
class Output:
    logits: torch.Tensor
    features: torch.Tensor | None = None


Named = namedtuple("Named", "logits features")


class Both(nn.Module):
    """Logits and features, in something round them."""

    def __init__(self, last):
        super().__init__()
        self.body, self.head, self.last = body()[:2], body()[2], last

    def forward(self, x):
        h = self.body(x)
        return self.last(self.head(h), h)


def both(about, last, **more):
    return Entry(about, lambda: Both(last).eval(), WINE, of_logits(body()), **more)


class Tab(nn.Module):
    """TabM as it is used: k predictions for a row."""

    @staticmethod
    def make(**more):
        import tabm

        torch.manual_seed(3)
        return tabm.TabM.make(n_num_features=5, d_out=3, n_blocks=1, d_block=2, **more).eval()


def mean_over_members(model, X):
    return double(model, X).softmax(-1).mean(1).numpy()


class TwoInputs(nn.Module):
    """Measurements and codes as two arguments."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.codes, self.net = nn.Embedding(5, 2), nn.Sequential(nn.Linear(7, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, codes):
        return self.net(torch.cat([x, self.codes(codes.long()[:, 0])], 1))


def _two_inputs(model, X):
    table = torch.tensor(X)
    h = torch.cat([table[:, :5], model.codes.weight.double()[table[:, 5].long()]], 1)
    return softmax(double(model.net, h.detach()))


class Transformer:
    """FTTransformer of rtdl, whose categories may be None."""

    @staticmethod
    def make():
        from rtdl_revisiting_models import FTTransformer

        torch.manual_seed(5)
        arguments = {**FTTransformer.get_default_kwargs(n_blocks=1), "d_block": 8, "attention_n_heads": 2}
        return FTTransformer(n_cont_features=5, cat_cardinalities=[], d_out=3, **arguments).eval()


def _transformer(model, X):
    import copy

    with torch.no_grad():
        return softmax(copy.deepcopy(model).double()(torch.tensor(X), None))


ENTRIES = {
    "members_first": heads("(members, n, classes)", 4, lambda z: torch.stack(z)),
    "members_first_softmax": heads("(members, n, classes), softmax", 4, lambda z: torch.stack(z).softmax(-1)),
    "members_second": heads("(n, members, classes), 32 members", 32, lambda z: torch.stack(z, 1)),
    "members_second_softmax": heads("(n, members, classes), softmax", 4, lambda z: torch.stack(z, 1).softmax(2)),
    "all_three": heads("(n, members, classes), 3 of each", 3, lambda z: torch.stack(z, 1), count=3),
    "all_three_first": heads("(members, n, classes), 3 of each", 3, lambda z: torch.stack(z), count=3),
    "members_one_logit": heads("(n, members, 1)", 5, lambda z: torch.stack(z, 1), outputs=1),
    "members_mean_logits": Entry(
        "the mean of members' logits",
        lambda: Heads(4, lambda z: torch.stack(z).mean(0)).eval(),
        WINE,
        own_logits,
        refused=NO_LAST,
    ),
    "tabm": Entry("TabM, (n, 32, classes)", Tab.make, WINE, mean_over_members, refused=NO_FEATURES | MEMBERS, needs=("tabm",)),
    "classes_first": Entry(
        "(classes, n)",
        lambda: Then(body(), lambda z: z.T).eval(),
        WINE,
        of_logits(body()),
        refused=refused("rows are not in front"),
    ),
    "axis_of_one": Entry("(n, 1, classes)", lambda: Then(body(), lambda z: z[:, None]).eval(), WINE, of_logits(body())),
    "tuple": both("a tuple, `output=0` said", lambda z, h: (z, h), said={"output": 0}),
    "tuple_unsaid": both("a tuple, nothing said", lambda z, h: (z, h), refused=refused("cannot be told: say `output=`")),
    "list": both("a list, `output=0` said", lambda z, h: [z, h], said={"output": 0}),
    "tuple_of_one": both("a tuple of one", lambda z, h: (z,)),
    "dict": both("a dict of logits", lambda z, h: {"logits": z}),
    "dict_of_probabilities": both(
        "a dict, `output='probs'` said", lambda z, h: {"logits": z, "probs": z.softmax(1)}, said={"output": "probs"}
    ),
    "dict_of_features": both("a dict, `output='logits'` said", lambda z, h: {"h": h, "logits": z}, said={"output": "logits"}),
    "dataclass": both("a dataclass, `output='logits'` said", lambda z, h: Output(z, h), said={"output": "logits"}),
    "namedtuple": both("a named tuple, `output='logits'` said", lambda z, h: Named(z, h), said={"output": "logits"}),
    "two_inputs": Entry(
        "measurements and codes as two arguments, `inputs=` said",
        lambda: TwoInputs().eval(),
        CODED,
        _two_inputs,
        said={"inputs": ([0, 1, 2, 3, 4], ([5], "codes"))},
        refused=CODES,
    ),
    "ft_transformer": Entry(
        "FTTransformer, `x_cat` None, `inputs=` said",
        Transformer.make,
        WINE,
        _transformer,
        said={"inputs": ([0, 1, 2, 3, 4], None)},
        refused=SMOOTH,
        needs=("rtdl_revisiting_models",),
    ),
}
