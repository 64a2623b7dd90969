"""What a module returns is told by looking: each ending is found and taken off, or refused, whatever it is written like."""

import warnings
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import knowlimits as kl
from knowlimits.model.endings import Outputs

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))


class Ended(nn.Module):
    """Two layers, and an ending."""

    def __init__(self, ending, outputs=3, activation=torch.relu):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, outputs)
        self.ending, self.activation = ending, activation

    def logits(self, x):
        return self.last(self.activation(self.first(x)))

    def forward(self, x):
        return self.ending(self.logits(x))


def in_place(z):
    return (2 * z).div_(2).sigmoid_()


def written_out(z):
    e = (z - z.amax(1, keepdim=True)).exp()
    return e / e.sum(1, keepdim=True)


P, L = Outputs.PROBABILITIES, Outputs.LOG_PROBABILITIES
# Ending, outputs of the last layer, what the module returns, and what its networks return once it is taken off.
ENDINGS = {
    "none": (lambda z: z, 3, Outputs.LOGITS),
    "one logit": (lambda z: z, 1, Outputs.LOGITS),
    "one logit, squeezed": (lambda z: z.squeeze(), 1, Outputs.LOGITS),
    "softmax module": (nn.Softmax(1), 3, P),
    "softmax of functional": (lambda z: F.softmax(z, dim=-1), 3, P),
    "softmax method": (lambda z: z.softmax(1), 3, P),
    "softmax of a temperature": (lambda z: torch.softmax(z / 3, -1), 3, P),
    "softmax, moved about": (lambda z: z.t().softmax(0).t()[:, None].squeeze(1), 3, P),
    "softmax in single precision": (lambda z: z.softmax(1, dtype=torch.float32), 3, P),
    "softmin": (nn.Softmin(1), 3, P),
    "log-softmax": (nn.LogSoftmax(1), 3, L),
    "log of a softmax": (lambda z: z.softmax(1).log(), 3, L),
    "sigmoid": (nn.Sigmoid(), 1, P),
    "sigmoid, flat": (lambda z: torch.sigmoid(z)[:, 0], 1, P),
    "sigmoid, squeezed": (lambda z: torch.special.expit(z).squeeze(), 1, P),
    "sigmoid in place": (in_place, 1, P),
    "log-sigmoid": (nn.LogSigmoid(), 1, L),
    "1 - p and p": (lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1, P),
    "1 - p and p, written twice": (lambda z: torch.cat([1 - torch.sigmoid(z), torch.sigmoid(z)], 1), 1, P),
    "p and 1 - p": (lambda z: torch.hstack([z.sigmoid(), 1 - z.sigmoid()]), 1, P),
    "two softmaxes": (lambda z: (5 * z.softmax(1)).softmax(1), 3, P),
}


@pytest.mark.parametrize("outputs", [None, "said"])
@pytest.mark.parametrize("name", ENDINGS)
def test_endings_are_found_and_taken_off(name, outputs):
    ending, count, returned = ENDINGS[name]
    module = Ended(ending, count)
    model = kl.read(module, outputs=returned.value if outputs else None, X=X)
    (network,) = model.networks
    assert network.outputs is returned
    with torch.no_grad():
        logits = module.double().logits(torch.tensor(X))
        output = module(torch.tensor(X)).reshape(20, -1)
    expected = {P: lambda: output, L: lambda: output.exp(), Outputs.LOGITS: lambda: None}[returned]()
    if expected is None:
        expected = logits.softmax(1) if count > 1 else logits.sigmoid()
    if expected.shape[1] == 1:
        expected = torch.cat([1 - expected, expected], 1)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-7)
    directions = RNG.normal(size=X.shape)
    far = kl.far_field(model, X, directions)
    with torch.no_grad():
        there = kl.read(module, outputs=returned.value, X=X).predict_proba(X + 1e9 * directions)
    np.testing.assert_allclose(far.probs[0], there, atol=1e-6)


def test_what_is_taken_off_comes_off_exactly():
    for name in ("softmax module", "sigmoid", "log-softmax", "1 - p and p"):
        ending, count, _ = ENDINGS[name]
        plain, ended = (kl.read(Ended(e, count), X=X).networks[0](torch.tensor(X)) for e in (lambda z: z, ending))
        assert torch.equal(plain, ended), name


def test_probabilities_of_no_ending_are_followed_as_they_are():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList(Ended(nn.Softmax(1)) for _ in range(3))
            for member in self.members:
                for p in member.parameters():
                    p.data = torch.randn_like(p)

        def forward(self, x):
            return torch.stack([member(x) for member in self.members]).mean(0)

    torch.manual_seed(1)
    module = Mean().double()
    model = kl.read(module, X=X)
    assert model.returns is P
    directions = RNG.normal(size=X.shape)
    with torch.no_grad():
        there = module(torch.tensor(X + 1e8 * directions))
    np.testing.assert_allclose(kl.far_field(model, X, directions).probs[0], there, atol=1e-6)
    with pytest.raises(ValueError, match="Got probabilities that are made in another way"):
        kl.horizon(module, kl.Plane(*np.eye(3, 4)))
    with pytest.raises(ValueError, match=r"model must return logits.*Got probabilities that are made in another way"):
        kl.detectors.Energy().fit(module, X)
    found = kl.audit(module, X, RNG.integers(3, size=20))
    assert "energy" not in found.detection["score"].tolist()


REFUSED = {
    "several sigmoids": (nn.Sigmoid(), 3, r"classes that exclude each other. Got one that ends in 3 sigmoids"),
    "two sigmoids": (nn.Sigmoid(), 2, r"classes that exclude each other. Got one that ends in 2 sigmoids"),
    "softmax over rows": (nn.Softmax(0), 3, r"each row by itself"),
    "clamped": (lambda z: z.clamp(0, 1), 1, r"outputs must be given .* returns one number between 0 and 1"),
    "clamped, several": (lambda z: z.clamp(0, 1), 3, r"outputs must be given .* returns 3 numbers between 0 and 1"),
    "half a tanh": (lambda z: (1 + z.tanh()) / 2, 1, r"outputs must be given"),
    "labels": (lambda z: z.argmax(1), 3, r"a tensor of floats, logits or probabilities. Got torch.int64"),
    "sequence of classes": (lambda z: z[:, None, None], 3, r"model must return logits of shape"),
    "rows behind classes": (lambda z: z.t(), 3, r"model must return logits of shape .* Got \(3, 2\) for n = 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_refused_or_asked_for(name):
    ending, count, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        kl.far_field(Ended(ending, count), X, X)


def test_what_is_said_counts_where_it_stays_open():
    half = Ended(lambda z: (1 + z.tanh()) / 2, 1).double()
    with torch.no_grad():
        p = half(torch.tensor(X))
    np.testing.assert_allclose(kl.read(half, "probabilities", X).predict_proba(X)[:, 1:], p, atol=1e-12)
    np.testing.assert_allclose(kl.read(half, "logits", X).predict_proba(X)[:, 1:], p.sigmoid(), atol=1e-12)
    # Trained by a loss that takes a softmax of what it is given, which was one already.
    twice = kl.read(Ended(nn.Softmax(1)), "logits", X)
    with torch.no_grad():
        expected = Ended(nn.Softmax(1)).double()(torch.tensor(X)).softmax(1)
    np.testing.assert_allclose(twice.predict_proba(X), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("ending", "said", "message"),
    [
        (lambda z: z, "probabilities", r"Got 'probabilities', but what it returns goes from -\d.* to \d"),
        (lambda z: z, "log-probabilities", r"Got 'log-probabilities', but its exponentials go from"),
        (nn.Softmax(1), "log-probabilities", r"'probabilities', as the model ends in a softmax"),
        (nn.Softmax(1), "scores", r"outputs must be one of 'logits', 'log-probabilities', 'probabilities'"),
    ],
)
def test_what_is_said_is_held_to_what_is_seen(ending, said, message):
    with pytest.raises(ValueError, match=message):
        kl.far_field(Ended(ending), X, X, outputs=said)


@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid, torch.relu])
def test_bounded_logits_of_a_last_layer_are_logits(activation):
    module = Ended(lambda z: z, 1, activation).double()
    module.last.weight.data.abs_().div_(10)
    module.last.bias.data.fill_(0.4)
    assert kl.read(module, X=X).networks[0].outputs is Outputs.LOGITS


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 4),
    dead=st.booleans(),
    softmax=st.booleans(),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
)
def test_degenerate_networks_are_read_as_what_they_are(seed, classes, dead, softmax, scale):
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, classes)]
    for layer in layers[::2]:
        layer.weight.data *= scale
    if dead:
        layers[0].bias.data.fill_(-1e6)
        layers[2].bias.data = torch.rand(classes)
    ending = [nn.Softmax(1) if classes > 1 else nn.Sigmoid()] if softmax else []
    model = kl.read(nn.Sequential(*layers, *ending), X=X)
    plain = kl.read(nn.Sequential(*layers), outputs="logits", X=X)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(kl.far_field(model, X, X).probs, kl.far_field(plain, X, X).probs, atol=1e-9)


Named = namedtuple("Named", "logits hidden")


@dataclass
class Answer:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


SEVERAL = {
    "tuple": (lambda z: (z, z[:, :2]), 0),
    "list": (lambda z: [z[:, :2], z], 1),
    "named tuple": (lambda z: Named(z, z[:, :2]), "logits"),
    "dictionary": (lambda z: {"hidden": z[:, :2], "logits": z}, "logits"),
    "data class": (lambda z: Answer(z, z[:, :2]), "logits"),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_one_of_several_outputs_counts(name):
    ending, output = SEVERAL[name]
    expected = kl.read(Ended(lambda z: z), X=X).predict_proba(X)
    model = kl.read(Ended(ending), X=X, output=output)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_allclose(kl.far_field(model, X, X).probs, kl.far_field(Ended(lambda z: z), X, X).probs)
    with pytest.raises(TypeError, match=r"must return one tensor.* say which counts"):
        kl.read(Ended(ending), X=X)
    with pytest.raises(ValueError, match=r"output must be one of .* Got 'scores'"):
        kl.read(Ended(ending), X=X, output="scores")


class TwoInputs(nn.Module):
    """Numbers and codes, as networks of tables take them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.codes, self.net = nn.Embedding(5, 2), nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, numbers, codes=None):
        return self.net(torch.cat([numbers, self.codes(codes[:, 0])], 1))


@pytest.mark.parametrize("inputs", [([0, 1, 2], ([3], "codes")), {"codes": ([3], "codes"), "numbers": [0, 1, 2]}])
def test_several_inputs_are_columns_of_a_table(inputs):
    table = np.c_[X[:, :3], RNG.integers(0, 5, 20)]
    module = TwoInputs()
    model = kl.read(module, X=table, inputs=inputs)
    with torch.no_grad():
        expected = module(torch.tensor(table[:, :3]).float(), torch.tensor(table[:, 3:]).long()).softmax(1)
    np.testing.assert_allclose(model.predict_proba(table), expected, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 32])
@pytest.mark.parametrize("members", [2, 3, 32])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_of_members_is_told_at_any_size(axis, members, classes):
    class Members(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.last = nn.Linear(4, members * classes)

        def forward(self, x):
            return self.last(x).reshape(len(x), members, classes).movedim(1, axis)

    for rows in (1, 2, 3, 32):
        model = kl.read(Members(), X=X[np.arange(rows) % 20])
        assert model.members == members
        expected = Members().double().last(torch.tensor(X)).reshape(20, members, classes).softmax(-1).movedim(1, 0)
        np.testing.assert_allclose(model.predict_members(X), expected.detach(), atol=1e-12)


def test_modules_that_do_something_else_each_time_are_refused():
    class Learning(nn.Module):
        """Moves by what it sees."""

        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 3)
            self.register_buffer("seen", torch.zeros(4))

        def forward(self, x):
            self.seen += x.mean(0)
            return self.last(x - self.seen)

    module = Learning()
    with pytest.raises(ValueError, match="function of its inputs"):
        kl.far_field(module, X, X)
    assert not module.seen.any()


def test_looking_draws_no_random_numbers_of_a_persons():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    kl.read(Ended(nn.Softmax(1)).eval(), X=X)
    # Building it drew some.
    torch.manual_seed(0)
    Ended(nn.Softmax(1))
    assert not torch.equal(before, torch.get_rng_state())
    state = torch.get_rng_state()
    module = Ended(nn.Softmax(1))
    torch.set_rng_state(state)
    kl.read(module, X=X)
    assert torch.equal(state, torch.get_rng_state())


def test_a_softmax_that_is_called_another_number_of_times_is_refused():
    class Often(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 3)

        def forward(self, x):
            for _ in range(2 if len(x) > 4 else 1):
                z = self.last(x).softmax(1)
            return z

    with pytest.raises(ValueError, match="with 2 softmaxes and sigmoids in a call, and 1 before"):
        kl.far_field(Often(), X, X)


def test_scripted_modules_are_seen_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(1))
        made = {"script": torch.jit.script(module), "trace": torch.jit.trace(module, torch.zeros(2, 4))}
    for name, one in made.items():
        model = kl.read(one, X=X)
        assert model.networks[0].outputs is P, name
        np.testing.assert_allclose(kl.far_field(one, X, X).probs, kl.far_field(module, X, X).probs, atol=1e-12)


def test_random_numbers_are_seen_where_they_make_no_difference_to_the_first_row():
    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 3)

        def forward(self, x):
            return self.last(F.dropout(x, 0.5))

    rows = np.concatenate([np.zeros((1, 4)), X])
    with pytest.raises(ValueError, match="draws random numbers at each call in eval mode too"):
        kl.scores.gradient_magnitude(Drawing().eval(), rows, "entropy")


class Faded(nn.Module):
    """A model that is all but alone near its data, and uniform far out."""

    def __init__(self, ending, outputs):
        super().__init__()
        self.model = Ended(ending, outputs)

    def forward(self, x):
        w = torch.sigmoid(60 - (x**2).sum(-1, keepdim=True))
        p = self.model(x)
        return w * p + (1 - w) / p.shape[-1]


@pytest.mark.parametrize(
    ("ending", "outputs"),
    [
        (lambda z: torch.cat([1 - torch.sigmoid(z), torch.sigmoid(z)], -1), 1),
        (lambda z: torch.softmax(z, -1), 3),
        (lambda z: torch.sigmoid(z) / torch.sigmoid(z).sum(-1, keepdim=True), 2),
    ],
    ids=["pair", "softmax", "normalised sigmoids"],
)
def test_what_holds_near_by_alone_is_no_ending(ending, outputs):
    module = Faded(ending, outputs).double()
    found = kl.read(module, X=X)
    far = np.concatenate([X, 100 * X, -1e4 * X])
    with torch.no_grad():
        expected = module(torch.from_numpy(far)).numpy()
    np.testing.assert_allclose(found.predict_proba(far), expected, atol=1e-9)
