"""Networks by what is round them, and by how they are made."""

import copy
import threading

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

import knowlimits as kl
from tests.zoo.entry import CODES, MEMBERS, NO_FEATURES, SMOOTH, Entry, refused
from tests.zoo.nets import body, double, of_logits, own_logits, softmax, trained
from tests.zoo.tables import CODED, IMAGES, WINDOWS, WINE


def wrapped(about, wrap, **more):
    """A body in something that does not change what it says."""
    return Entry(about, lambda: wrap(body()), WINE, of_logits(body()), **more)


def _normed(norm):
    torch.manual_seed(6)
    net = trained(nn.Sequential(norm(nn.Linear(5, 8)), nn.ReLU(), norm(nn.Linear(8, 3))), WINE)
    # The hooks of the older ones write weights as they are called.
    with torch.no_grad():
        net(torch.zeros(1, 5))
    return net


def _of_weights(model, X):
    """What layers say by the weights that they have now, without their hooks."""
    h = torch.tensor(X)
    for layer in model:
        with torch.no_grad():
            h = h.relu() if isinstance(layer, nn.ReLU) else h @ layer.weight.double().T + layer.bias.double()
    return softmax(h)


def _locked(net):
    net.lock = threading.Lock()
    return net


class Lightning(nn.Module):
    """What a LightningModule is after `fit`: a module that knows its trainer, which knows it."""

    class Trainer:
        def __init__(self, model):
            self.model, self.lock, self.log = model, threading.Lock(), open(__file__)  # noqa: SIM115

        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle a trainer")

    def __init__(self, net):
        super().__init__()
        self.net = net
        object.__setattr__(self, "trainer", self.Trainer(self))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


class Cast(nn.Module):
    """A module that casts its inputs."""

    def __init__(self, cast, activation=nn.ReLU):
        super().__init__()
        self.net, self.cast = body(activation=activation), cast

    def forward(self, x):
        return self.net(self.cast(x))


class HeadFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.body = body()[2], body()[:2]

    def forward(self, x):
        return self.head(self.body(x))


class NoLinear(nn.Module):
    def __init__(self):
        super().__init__()
        net = body()
        self.a, self.b = nn.Parameter(net[0].weight.data.T.clone()), nn.Parameter(net[2].weight.data.T.clone())

    def forward(self, x):
        return torch.relu(x @ self.a) @ self.b


class Gated(nn.Module):
    """A gated linear unit, as TabNet has them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.enter, self.leave = nn.Linear(5, 16), nn.Linear(8, 3)

    def forward(self, x):
        return self.leave(nn.functional.glu(self.enter(x)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.lstm, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Convolutional(nn.Module):
    """A 1-D network over windows ``(n, times, channels)``."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(1)
        )

    def forward(self, x):
        return self.net(x.transpose(1, 2))


class Drawing(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = body()

    def forward(self, x):
        return self.net(nn.functional.dropout(x, 0.5, training=True))


class Embedded(nn.Module):
    """The last column is a code, whose embedding or one-hot numbers go in beside the others."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(9)
        self.how = how
        self.codes = nn.Embedding(5, 5)
        self.net = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        code = x[:, 5].long()
        code = self.codes(code) if self.how == "embedding" else nn.functional.one_hot(code, 5).to(x.dtype)
        return self.net(torch.cat([x[:, :5], code], 1))


def _embedded(model, X):
    code = X[:, 5].astype(int)
    code = model.codes.weight.detach().double().numpy()[code] if model.how == "embedding" else np.eye(5)[code]
    return softmax(double(model.net, np.concatenate([X[:, :5], code], axis=1)))


def _own_probabilities(model, X):
    return double(model, X).numpy()


def _lists(_, X):
    return of_logits(body(seed=0), body(seed=1))(_, X)


def _half(dtype):
    def truth(_, X):
        return softmax(double(body().to(dtype), X))

    return truth


def _made(net, table):
    torch.manual_seed(10)
    return trained(net(), table, 30)


def _of_dropout(model, X):
    return np.mean([softmax(double(member, X)) for member in model], axis=0)


def _dropout_net():
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


ENTRIES = {
    "compile": wrapped("`torch.compile`", lambda net: torch.compile(net, backend="eager")),
    "data_parallel": wrapped("`nn.DataParallel`", nn.DataParallel),
    "weight_norm": Entry("older `weight_norm`", lambda: _normed(weight_norm), WINE, _of_weights),
    "spectral_norm": Entry("older `spectral_norm`", lambda: _normed(spectral_norm), WINE, _of_weights),
    "new_weight_norm": Entry("`parametrizations.weight_norm`", lambda: _normed(parametrizations.weight_norm), WINE, own_logits),
    "new_spectral_norm": Entry(
        "`parametrizations.spectral_norm`", lambda: _normed(parametrizations.spectral_norm), WINE, _of_weights
    ),
    "orthogonal": Entry("`parametrizations.orthogonal`", lambda: _normed(parametrizations.orthogonal), WINE, _of_weights),
    "lock": wrapped("an attribute that cannot be copied", _locked),
    "lightning": wrapped("a module that knows its trainer", Lightning),
    "lightning_softmax": wrapped(
        "a module that knows its trainer, softmax", lambda net: Lightning(nn.Sequential(*net, nn.Softmax(1))).eval()
    ),
    "script": wrapped("TorchScript, scripted", torch.jit.script, refused=NO_FEATURES),
    "trace": wrapped("TorchScript, traced", lambda net: torch.jit.trace(net, torch.zeros(2, 5)), refused=NO_FEATURES),
    "script_softmax": wrapped(
        "TorchScript, softmax", lambda net: torch.jit.script(nn.Sequential(*net, nn.Softmax(1))), refused=NO_FEATURES
    ),
    "half": Entry("weights in half precision", lambda: body().half(), WINE, _half(torch.float16)),
    "bfloat16": Entry(
        "weights in bfloat16, softmax", lambda: nn.Sequential(*body(), nn.Softmax(1)).bfloat16(), WINE, _half(torch.bfloat16)
    ),
    "quantized": Entry(
        "int8, dynamically quantised",
        lambda: torch.ao.quantization.quantize_dynamic(body(), {nn.Linear}, dtype=torch.qint8),
        WINE,
        of_logits(body()),
        refused=refused("quantised"),
    ),
    "cast_float": Entry("`x.float()` inside", lambda: Cast(lambda x: x.float()).eval(), WINE, of_logits(body())),
    "cast_to": Entry(
        "`x.to(torch.float32)` inside, GELU",
        lambda: Cast(lambda x: x.to(torch.float32), nn.GELU).eval(),
        WINE,
        of_logits(body(activation=nn.GELU)),
        refused=SMOOTH,
    ),
    "head_first": Entry("head defined before the body", lambda: HeadFirst().eval(), WINE, of_logits(body())),
    "no_linear": Entry("weights of its own, no `nn.Linear`", lambda: NoLinear().eval(), WINE, own_logits, refused=NO_FEATURES),
    "tanh": Entry("tanh", lambda: body(activation=nn.Tanh), WINE, own_logits, refused=SMOOTH),
    "batch_norm": Entry(
        "batch norm and dropout",
        lambda: _made(
            lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)), WINE
        ),
        WINE,
        own_logits,
    ),
    "layer_norm": Entry(
        "layer norm",
        lambda: _made(lambda: nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)), WINE),
        WINE,
        own_logits,
        refused=SMOOTH,
    ),
    "train_mode": Entry(
        "left in train mode, with batch norm",
        lambda: _made(lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), WINE).train(),
        WINE,
        lambda model, X: softmax(double(copy.deepcopy(model).eval(), X)),
        refused=refused("train mode"),
    ),
    "drawing": Entry("draws at each call", lambda: Drawing().eval(), WINE, of_logits(body()), refused=refused("draws")),
    "module_list": Entry(
        "`nn.ModuleList` of networks", lambda: nn.ModuleList([body(seed=0), body(seed=1)]), WINE, _lists, refused=MEMBERS
    ),
    "list_of_nets": Entry(
        "a list, one of logits, one of softmax",
        lambda: [body(seed=0), nn.Sequential(*body(seed=1), nn.Softmax(1)).eval()],
        WINE,
        _lists,
        refused=MEMBERS,
    ),
    "dropout_members": Entry(
        "`kl.dropout_members`",
        lambda: kl.dropout_members(_made(_dropout_net, WINE), members=4, random_state=0),
        WINE,
        _of_dropout,
        refused=MEMBERS,
    ),
    "read_before": wrapped(
        "`kl.read` of a network that ends in softmax", lambda net: kl.read(nn.Sequential(*net, nn.Softmax(1)))
    ),
    "gated": Entry("gated linear unit (TabNet)", lambda: Gated().eval(), WINE, own_logits, refused=SMOOTH),
    "embedding": Entry(
        "a column of codes through an `Embedding`", lambda: Embedded("embedding").eval(), CODED, _embedded, refused=CODES
    ),
    "one_hot": Entry(
        "a column of codes through `one_hot`", lambda: Embedded("one_hot").eval(), CODED, _embedded, refused=CODES
    ),
    "windows": Entry(
        "convolutions over windows (n, times, channels), softmax",
        lambda: Convolutional().eval(),
        WINDOWS,
        _own_probabilities,
    ),
    "flat_windows": Entry(
        "windows, flattened",
        lambda: _made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)), WINDOWS),
        WINDOWS,
        own_logits,
    ),
    "recurrent": Entry("LSTM over windows", lambda: Recurrent().eval(), WINDOWS, own_logits, refused=SMOOTH),
    "images": Entry(
        "convolutions over images",
        lambda: _made(
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(8, 3)), IMAGES
        ),
        IMAGES,
        own_logits,
    ),
}
