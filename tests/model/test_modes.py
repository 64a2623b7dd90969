"""Train mode, and what else makes a module more than a function of a row: one policy for every function that takes a model."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import knowlimits as kl

X = np.random.default_rng(0).normal(size=(40, 2))
Y = np.arange(40) % 3
FUNCTIONS = {
    "far_field": lambda m: kl.far_field(m, X, X),
    "partition": lambda m: kl.partition(m),
    "horizon": lambda m: kl.horizon(m),
    "breakpoints": lambda m: kl.breakpoints(m, X[0], X[1]),
    "gradient_magnitude": lambda m: kl.scores.gradient_magnitude(m, X, "entropy"),
    "detector": lambda m: kl.detectors.Mahalanobis().fit(m, X, Y),
    "detector of logits": lambda m: kl.detectors.Energy().fit(m, X),
    "fit_all": lambda m: kl.detectors.fit_all([kl.detectors.ViM(), kl.detectors.Energy()], m, X, Y),
    "guard": lambda m: kl.Guard(m, components=(1,)).fit(X).predict_proba(X),
    "laplace": lambda m: kl.LastLayerLaplace(m).fit(X, Y),
    "audit": lambda m: kl.audit(m, X, Y),
    "assert_far_field": lambda m: kl.assert_far_field(m, X, max_confident_share=1.0),
    "an ensemble": lambda m: kl.far_field([nn.Linear(2, 3), m], X, X),
}
each_function = pytest.mark.parametrize("function", list(FUNCTIONS.values()), ids=list(FUNCTIONS))


def between(layer, width=4):
    return nn.Sequential(nn.Linear(2, 4), layer, nn.ReLU(), nn.Linear(width, 3))


class Functional(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=self.training)


class Inside(nn.Module):
    """Looks at its mode in a helper, a property and a function inside it."""

    @property
    def on(self):
        return all(self.training for _ in range(1))

    def forward(self, x):
        return self.scaled(x)

    def scaled(self, x):
        return 2 * x if self.on else x


class Heir(Inside):
    pass


class Two(nn.Module):
    """Another output in train mode, as networks with auxiliary heads have."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 3)

    def forward(self, x):
        return (self.last(x), x) if self.training else self.last(x)


def hooked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.spectral_norm(nn.Linear(4, 4))


ACTING = {
    "dropout": (lambda: between(nn.Dropout(0.5)), r"Got 1 \(Dropout\).*dropout_members"),
    "alpha dropout": (lambda: between(nn.AlphaDropout(0.5)), r"Got 1 \(AlphaDropout\)"),
    "batch norm": (lambda: between(nn.BatchNorm1d(4)), r"Got 1 \(BatchNorm1d\)"),
    "RReLU": (lambda: between(nn.RReLU()), r"Got 1 \(RReLU\)"),
    "function": (lambda: between(Functional()), r"Got 1 \(Functional\)"),
    "helper": (lambda: between(Inside()), r"Got 1 \(Inside\)"),
    "heir": (lambda: between(Heir()), r"Got 1 \(Heir\)"),
    "two outputs": (Two, r"Got Two in train mode"),
    # Each call in train mode changes its weights.
    "spectral norm as a hook": (lambda: between(hooked()), r"Got 1 \(Linear\)"),
    "spectral norm": (lambda: between(parametrizations.spectral_norm(nn.Linear(4, 4))), r"\(_SpectralNorm\)"),
}


@each_function
@pytest.mark.parametrize("name", ACTING)
def test_what_acts_on_train_mode_is_refused_alike(name, function):
    make, message = ACTING[name]
    module = make().train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match=rf"in eval mode.*{message}.*" if name == "dropout" else message) as caught:
        function(module)
    assert "call model.eval() first" in str(caught.value)
    assert module.training
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize("name", ACTING)
def test_the_remedy_helps(name):
    make, _ = ACTING[name]
    module = make().eval()
    for key in ("far_field", "gradient_magnitude", "detector", "guard"):
        FUNCTIONS[key](module)


class Owner(nn.Module):
    """Keeps one layer in another mode than itself."""

    def __init__(self, layer):
        super().__init__()
        self.layers = between(layer)

    def train(self, mode=True):
        super().train(mode)
        self.layers[1].eval()
        return self

    def forward(self, x):
        return self.layers(x)


@each_function
@pytest.mark.parametrize("make", [lambda: between(nn.Dropout(0.0)), lambda: Owner(nn.Dropout(0.5))], ids=["p = 0", "frozen"])
def test_train_mode_without_effect_is_taken(make, function):
    torch.manual_seed(0)
    module = make().train()
    function(module)
    assert module.training


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda m: torch.compile(m, backend="eager"),
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        torch.fx.symbolic_trace,
        lambda m: nn.Sequential(parametrizations.weight_norm(m[0]), *m[1:]),
    ],
    ids=["compiled", "parallel", "averaged", "traced", "weight norm"],
)
def test_wrappers_are_what_they_wrap(wrapped):
    key = "gradient_magnitude"
    FUNCTIONS[key](wrapped(between(nn.Tanh())).train())
    with pytest.raises(ValueError, match=r"\(Dropout\) in train mode"):
        FUNCTIONS[key](wrapped(between(nn.Dropout(0.5))).train())


class Attending(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.last = layer, nn.Linear(2, 3)

    def forward(self, x):
        out = self.layer(x[:, None])
        return self.last((out[0] if isinstance(out, tuple) else out)[:, -1])


@pytest.mark.parametrize(
    ("make", "taken"),
    [
        (lambda p: nn.TransformerEncoderLayer(2, 1, 4, dropout=p, batch_first=True), 0.0),
        (
            lambda p: nn.TransformerEncoder(
                nn.TransformerEncoderLayer(2, 1, 4, dropout=p, batch_first=True), 2, enable_nested_tensor=False
            ),
            0.0,
        ),
        (lambda p: nn.LSTM(2, 2, 2, dropout=p, batch_first=True), 0.0),
    ],
    ids=["encoder layer", "encoder", "LSTM"],
)
def test_layers_with_nothing_to_drop_are_taken(make, taken):
    points = FUNCTIONS["gradient_magnitude"]
    points(Attending(make(taken)).train())
    with pytest.raises(ValueError, match="in train mode"):
        points(Attending(make(0.1)).train())


@each_function
def test_batches_that_tie_their_rows_are_refused_in_either_mode(function):
    module = between(nn.BatchNorm1d(4, track_running_stats=False))
    for mode in (module.train(), module.eval()):
        with pytest.raises(
            ValueError, match=r"each row by itself. Got 1 \(BatchNorm1d\).*in eval mode too.*track_running_stats=True"
        ):
            function(mode)


class Always(nn.Module):
    """Dropout that nobody can turn off."""

    def forward(self, x):
        return F.dropout(x, 0.5)


@each_function
def test_random_numbers_in_eval_mode_are_refused_with_what_helps(function):
    with pytest.raises(
        (ValueError, kl.UnsupportedOperation), match=r"random numbers.*in eval mode too.*training=self.training"
    ):
        function(between(Always()).eval())


def test_a_program_that_was_exported_in_train_mode_is_refused_with_what_helps():
    program = torch.export.export(
        between(nn.Dropout(0.5)).train(), (torch.zeros(4, 2),), dynamic_shapes=({0: torch.export.Dim.AUTO},)
    )
    for key in ("far_field", "gradient_magnitude", "guard"):
        with pytest.raises((ValueError, kl.UnsupportedOperation), match=r"random numbers.*must be exported in eval mode"):
            FUNCTIONS[key](program)


def test_random_numbers_of_another_thread_are_no_matter():
    class Drawing(nn.Module):
        """Draws as another thread would meanwhile, to no effect."""

        def __init__(self):
            super().__init__()
            self.last = nn.Linear(2, 3)

        def forward(self, x):
            torch.rand(1)
            return self.last(x)

    assert kl.scores.gradient_magnitude(Drawing().eval(), X, "entropy").shape == (40,)


class Output(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.last, self.make = nn.Linear(2, 3), make

    def forward(self, x):
        return self.make(self.last, x)


@each_function
@pytest.mark.parametrize(
    "make", [lambda f, x: (f(x), x), lambda f, x: {"logits": f(x), "features": x}], ids=["tuple", "dictionary"]
)
def test_of_several_outputs_one_must_be_named(make, function):
    with pytest.raises(
        TypeError, match=r"model must return one tensor.*Got (tuple|dict) with .*knowlimits.read\(model, output="
    ):
        function(Output(make))


@each_function
@pytest.mark.parametrize(
    "make", [lambda f, x: (f(x),), lambda f, x: {"logits": f(x), "loss": None}], ids=["tuple", "dictionary"]
)
def test_one_output_among_others_that_are_none_is_taken(make, function):
    function(Output(make))


@each_function
def test_casts_are_left_undone(function):
    function(Output(lambda f, x: f(x.float())))


def test_one_logit_of_one_row_may_be_squeezed():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 1)).double()
    squeezed = Output(lambda f, x: f(x).sum(1).squeeze()).double()
    net[0].weight, net[0].bias = (nn.Parameter(p.sum(0, keepdim=True)) for p in (squeezed.last.weight, squeezed.last.bias))
    for rows in (X, X[:1]):
        lengths = [kl.scores.gradient_magnitude(m, rows, "entropy") for m in (net, squeezed)]
        np.testing.assert_allclose(*lengths, rtol=1e-10)


def test_polytopes_are_drawn_of_what_a_partition_takes():
    module = between(nn.Dropout(0.5)).eval()
    cells = kl.partition(module)
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        kl.plots.polytopes(module.train(), cells, (-1, 1, -1, 1))


def test_members_with_fixed_masks_are_made_in_either_mode():
    for module in (between(nn.Dropout(0.5)).train(), between(nn.Dropout(0.5)).eval()):
        members = kl.dropout_members(module, 3, random_state=0)
        for key in ("far_field", "gradient_magnitude", "detector", "guard"):
            FUNCTIONS[key](members)
