"""Copies of modules: they compute the same in float64, keep ties, share no memory, and leave the modules as they were.

`faults` looks for what may be wrong with a copy by another way than the code's: Python's garbage collector says what a module
holds.
"""

import collections
import copy
import dataclasses
import functools
import gc
import io
import logging
import threading
import types
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm
from torch.utils.data import DataLoader, TensorDataset

from knowlimits.model.copies import copied, unwrapped
from knowlimits.model.exported import with_linear_modules

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
pytestmark = pytest.mark.filterwarnings("ignore")


def network(wrap=lambda layer: layer, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(wrap(nn.Linear(3, 4)), nn.ReLU(), wrap(nn.Linear(4, 2))).eval()


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.body = kind(3, 2, num_layers=2, batch_first=True)

    def forward(self, x):
        return self.body(x[:, None])[0][:, 0]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = self.first
        self.register_buffer("mean", torch.ones(3))
        self.second.register_buffer("also", self.mean)

    def forward(self, x):
        return self.again(self.second(self.first(x - self.mean)) - self.second.also)


class Functional(nn.Module):
    """Sums in a way that could be quantised, and is not."""

    def __init__(self):
        super().__init__()
        self.layer, self.sums = nn.Linear(3, 3), torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.sums.add(self.layer(x), x)


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3)[:2].to_sparse())

    def forward(self, x):
        return torch.sparse.mm(self.weight, x.T).T


def pruned():
    net = network()
    prune.l1_unstructured(net[0], "weight", 0.5)
    return net


def normed():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    net(X)
    return net.eval()


def called_lazy():
    net = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.Linear(4, 2))
    net(X)
    return net.eval()


def compiled_in_place():
    net = network()
    net.compile(backend="eager")
    return net


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(network())

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(self.layer(x))


def method_compiled(make):
    net = make()
    net.forward = torch.compile(net.forward, backend="eager")
    return net


class Distributed(nn.parallel.DistributedDataParallel):
    """As one is at work, without the other processes that one needs to begin."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module, self.lock = module, threading.Lock()

    def forward(self, x):
        return self.module(x)

    def double(self):
        return self.module.double()


def distributed():
    return Distributed(network()).eval()


BUILDS = {
    "plain": network,
    "weight_norm": lambda: network(weight_norm),
    "spectral_norm": lambda: network(spectral_norm),
    "parametrized weight_norm": lambda: network(parametrizations.weight_norm),
    "parametrized spectral_norm": lambda: network(parametrizations.spectral_norm),
    "orthogonal": lambda: network(parametrizations.orthogonal),
    "pruned": pruned,
    "norms and dropout": normed,
    "lazy, called": called_lazy,
    "tied": Tied,
    "sparse": Sparse,
    "float functional": Functional,
    "DistributedDataParallel": distributed,
    "DistributedDataParallel inside": lambda: nn.Sequential(distributed()),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "half": lambda: network().half(),
    "bfloat16": lambda: network().bfloat16(),
    "double": lambda: network().double(),
    "ModuleList": lambda: nn.ModuleList([network(), network()]),
    "fx": lambda: torch.fx.symbolic_trace(network()),
    "export": lambda: with_linear_modules(torch.export.export(network(), (X,))),
    "script": lambda: torch.jit.script(network()),
    "trace": lambda: torch.jit.trace(network(), X),
    "script inside": lambda: nn.Sequential(torch.jit.script(network())),
    "script of a list": lambda: torch.jit.script(Listed().eval()),
    "DataParallel": lambda: nn.DataParallel(network()),
    "DataParallel inside": lambda: nn.Sequential(nn.DataParallel(network())),
    "compiled": lambda: torch.compile(network(), backend="eager"),
    "compiled inside": lambda: nn.Sequential(torch.compile(network(), backend="eager")),
    "compiled in place": compiled_in_place,
    "compiled method": lambda: method_compiled(Twice),
    "compiled method of torch": lambda: method_compiled(network),
}


def built(name):
    torch.manual_seed(0)
    return BUILDS[name]()


def held(value):
    """All tensors that a value holds, by the garbage collector."""
    found, seen, waiting = {}, set(), [vars(value)]
    while waiting:
        one = waiting.pop()
        passed = type | types.ModuleType | torch.fx.Graph | threading.Thread
        if id(one) in seen or isinstance(one, passed):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            found[id(one)] = one
            waiting.append(vars(one))
        elif isinstance(one, types.FunctionType):
            waiting += [one.__defaults__, one.__kwdefaults__, *[cell.cell_contents for cell in one.__closure__ or ()]]
        elif isinstance(one, weakref.ref):
            waiting.append(one())
        else:
            waiting += gc.get_referents(one)
    return list(found.values())


def names(module):
    return {
        **{name: tensor for name, tensor in module.named_parameters(remove_duplicate=False)},
        **{name: tensor for name, tensor in module.named_buffers(remove_duplicate=False)},
    }


def faults(originals, copies):
    """What is wrong with copies."""
    found = []
    before = {place(tensor) for original in originals for tensor in held(original)}
    for tensor in (tensor for one in copies for tensor in held(one)):
        if place(tensor) in before:
            found.append(f"shares {tuple(tensor.shape)}")
        if tensor.requires_grad or tensor.grad_fn is not None:
            found.append(f"has gradients {tuple(tensor.shape)}")
        if tensor.is_floating_point() and tensor.dtype != torch.float64:
            found.append(f"in {tensor.dtype} {tuple(tensor.shape)}")
    old, new = ({(i, name): t for i, one in enumerate(many) for name, t in names(one).items()} for many in (originals, copies))
    if list(old) != list(new):
        return [*found, "other names"]
    for key in old:
        if not torch.equal(old[key].detach().double().to_dense(), new[key].double().to_dense()):
            found.append(f"other numbers in {key}")
        tied = [[other for other in many if many[other] is many[key]] for many in (old, new)]
        if tied[0] != tied[1]:
            found.append(f"ties {tied[0]} as {tied[1]}")
    for original, one in zip(originals, copies, strict=True):
        modes = [{name: part.training for name, part in module.named_modules()} for module in (original, one)]
        found += [f"other mode of {name}" for name in {*modes[0]} & {*modes[1]} if modes[0][name] != modes[1][name]]
    return found


def place(tensor):
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else tensor.values().data_ptr()


def state(module):
    """What must stay as it was of a module, and of its surroundings."""
    told = [torch.get_rng_state().tolist(), torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()]
    for name, tensor in names(module).items():
        grad = None if tensor.grad is None else tensor.grad.to_dense().tolist()
        told += [
            name,
            id(tensor),
            tensor.dtype,
            tensor.requires_grad,
            grad,
            tensor.detach().to_dense().tolist(),
            tensor._version,
        ]
    for name, one in module.named_modules():
        told += [name, id(one), type(one), one.training]
        if not isinstance(one, torch.jit.ScriptModule):
            hooks = [one._forward_hooks, one._forward_pre_hooks, one._backward_hooks]
            told += [[(number, id(hook)) for number, hook in kind.items()] for kind in hooks]
            told += [sorted((key, id(value)) for key, value in vars(one).items() if key != "forward")]
    return told


def trained(module):
    """With gradients and tensors of the last pass still there."""
    if not isinstance(module, nn.ModuleList):
        module(X.to(next(module.parameters()).dtype)).sum().backward()
    return module


@pytest.mark.parametrize("name", BUILDS)
def test_copies_compute_the_same_in_float64(name):
    module, twin = built(name), built(name)
    (new,) = copied([module])
    if name in ("half", "bfloat16", "double"):
        assert next(module.parameters()).dtype == next(twin.parameters()).dtype
    # What torch itself makes of another of the same numbers.
    want = twin.double()
    pairs = zip(new, want, strict=True) if isinstance(new, nn.ModuleList) else [(new, want)]
    for one, other in pairs:
        torch.testing.assert_close(one(X.double()), other(X.double()), rtol=1e-12, atol=1e-12, check_dtype=True)


@pytest.mark.parametrize("name", BUILDS)
def test_copies_are_apart_and_keep_ties(name):
    module = trained(built(name))
    # One part in another mode than the others.
    list(unwrapped(module).modules())[-1].training = True
    (new,) = copied([module])
    assert faults([unwrapped(module)], [new]) == [] or "inside" in name
    if "inside" in name:
        assert not [fault for fault in faults([module], [new]) if "names" not in fault]


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", BUILDS)
def test_the_original_stays_as_it_was(name, grad):
    module = trained(built(name))
    unwrapped(module).training = True
    with torch.set_grad_enabled(grad):
        before = state(module)
        (new,) = copied([module])
        assert state(module) == before
        assert new.training
        with torch.no_grad():
            for tensor in held(new):
                tensor.zero_()
        assert state(module) == before


def shares_a_buffer(module):
    new = copy.deepcopy(module).double().requires_grad_(False)
    new.mean = module.mean
    return new


def loses_a_tie(module):
    new = copy.deepcopy(module).double().requires_grad_(False)
    new.second.weight = nn.Parameter(new.second.weight.clone(), requires_grad=False)
    return new


def keeps_gradients(module):
    return copy.deepcopy(module).double()


def keeps_a_plain_tensor(module):
    new = copy.deepcopy(module).double().requires_grad_(False)
    new.plain = torch.ones(2)
    return new


def changes_the_mode(module):
    return copy.deepcopy(module).double().requires_grad_(False).eval()


PLANTED = [shares_a_buffer, loses_a_tie, keeps_gradients, keeps_a_plain_tensor, changes_the_mode]


@pytest.mark.parametrize("planted", PLANTED)
def test_negative_control_faults_are_found(planted):
    module = Tied()
    module.mean, module.second.also = (module.mean.double(),) * 2
    assert faults([module], [planted(module)])
    assert faults([module], copied([module])) == []


def test_modules_share_what_they_shared():
    body, tied = network(), Tied()
    first, second = nn.Sequential(body, nn.Linear(2, 2)), nn.Sequential(body, nn.Linear(2, 2))
    new = copied([first, second, tied, tied.first, first])
    assert faults([first, second, tied, tied.first, first], new) == []
    assert new[0][0] is new[1][0]
    assert new[2].again is new[2].first is new[3]
    assert new[0] is new[4]
    assert copied([]) == ()


# --- what modules hold without registering it ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frozen:
    scale: torch.Tensor
    name: str = "scale"


class Slotted:
    __slots__ = ("__hidden", "never")

    def __init__(self, hidden):
        self.__hidden = hidden

    def hidden(self):
        return self.__hidden


class Heir(Slotted):
    """With slots of a parent, and a dict of its own."""

    def __init__(self, hidden, more):
        super().__init__(hidden)
        self.more = more


class Named(collections.namedtuple("Named", ["first", "second"])):
    pass


class Settings(dict):
    def __init__(self, first, second):
        super().__init__(first=first, second=second)

    __getattr__ = dict.__getitem__


def holder(make, read):
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = make(nn.Linear(3, 2), torch.full((2,), 2.0))

        def forward(self, x):
            layer, scale = read(self.inside)
            return layer(x) * scale

    return Holder()


def cycle(a, b):
    found = [a, b]
    found.append(found)
    return found


def round_a_tuple(a, b):
    inner = [b]
    found = (a, inner)
    inner.append(found)
    return found


class Result(nn.Module):
    """Whose tuple is of a class of torch's."""

    def __init__(self):
        super().__init__()
        self.best = torch.tensor([[1.0, 3.0, 2.0]]).max(1)


HOLDERS = {
    "list": (lambda a, b: [a, b], lambda i: i),
    "tuple": (lambda a, b: (a, (b,)), lambda i: (i[0], i[1][0])),
    "named tuple": (Named, lambda i: (i.first, i.second)),
    "dict": (lambda a, b: {"a": a, "b": [b]}, lambda i: (i["a"], i["b"][0])),
    "keys": (lambda a, b: {a: {"b": b}}, lambda i: next((a, b["b"]) for a, b in i.items())),
    "heir of dict": (Settings, lambda i: (i.first, i.second)),
    "ordered": (lambda a, b: collections.OrderedDict(b=b, a=a), lambda i: (i.popitem()[1], i.popitem()[1])),
    "default": (lambda a, b: collections.defaultdict(lambda: b, a=a), lambda i: (i["a"], i["c"])),
    "deque": (lambda a, b: collections.deque([0, a, b], maxlen=2), lambda i: i),
    "set": (lambda a, b: ({a}, frozenset([b])), lambda i: (*i[0], *i[1])),
    "cycle": (cycle, lambda i: i[2][2][:2]),
    "cycle with a tuple": (round_a_tuple, lambda i: (i[1][1][0], i[1][0])),
    "frozen dataclass": (lambda a, b: [a, Frozen(b)], lambda i: (i[0], i[1].scale)),
    "object": (Heir, lambda i: (i.hidden(), i.more)),
    "namespace": (lambda a, b: types.SimpleNamespace(a=a, b=[b]), lambda i: (i.a, i.b[0])),
    "slots": (lambda a, b: Slotted((a, b)), lambda i: i.hidden()),
    "partial": (lambda a, b: (functools.partial(a), functools.partial(torch.mul, b, other=1)), lambda i: (i[0], i[1]())),
    "bound method": (lambda a, b: (a.forward, b.clone), lambda i: (i[0], i[1]())),
    "closure": (lambda a, b: lambda: (a, b), lambda i: i()),
    "default argument": (lambda a, b: lambda x=a, *, y=b: (x, y), lambda i: i()),
    "module of no children": (lambda a, b: [[a], {"b": nn.ParameterList([b])}], lambda i: (i[0][0], i[1]["b"][0])),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_tensors_and_modules_are_found_wherever_they_are_held(name):
    torch.manual_seed(0)
    module = holder(*HOLDERS[name])
    (new,) = copied([module])
    assert type(new.inside) is type(module.inside)
    assert {tensor.dtype for tensor in held(new)} == {torch.float64}
    assert not {*map(place, held(module))} & {*map(place, held(new))}
    got = new(X.double())
    assert got.dtype == torch.float64
    torch.testing.assert_close(got.float(), module(X))


def test_results_of_torch_and_distributions():
    module = Result()
    module.normal = torch.distributions.Normal(module.best.values, torch.ones(1))
    (new,) = copied([module])
    assert type(new.best) is type(module.best)
    assert (new.best.values.dtype, new.best.indices.tolist()) == (torch.float64, [1])
    assert new.normal.log_prob(new.best.values).dtype == torch.float64
    assert new.normal.loc.dtype == torch.float64


def test_types_of_tensors():
    module = nn.Module()
    module.codes, module.mask, module.bytes = (
        torch.tensor([3, 2**60]),
        torch.tensor([True]),
        torch.tensor([7], dtype=torch.uint8),
    )
    module.weight = nn.Parameter(torch.ones(2, dtype=torch.float16))
    module.weight.no_decay = True
    module.activation = torch.ones(2, requires_grad=True) * 2
    module.transposed = torch.arange(6.0).reshape(2, 3).T
    (new,) = copied([module])
    assert [t.dtype for t in (new.codes, new.mask, new.bytes)] == [torch.int64, torch.bool, torch.uint8]
    assert (new.codes[1], new.transposed.stride()) == (2**60, (1, 3))
    assert type(new.weight) is nn.Parameter
    assert new.weight.no_decay
    assert new.activation.is_leaf
    assert faults([module], [new]) == []


class Subclass(torch.Tensor):
    pass


class Weights(nn.Parameter):
    pass


def test_classes_of_tensors_are_kept():
    module = nn.Module()
    module.one, module.two = torch.ones(2).as_subclass(Subclass), Weights(torch.ones(2))
    module.three = nn.Parameter(torch.ones(2).as_subclass(Subclass))
    (new,) = copied([module])
    assert [(type(one), one.dtype) for one in (new.one, new.two, new.three)] == [
        (kind, torch.float64) for kind in (Subclass, Weights, Subclass)
    ]
    assert [name for name, _ in new.named_parameters()] == ["two", "three"]
    assert all(isinstance(one, nn.Parameter) and not one.requires_grad for one in new.parameters())


def test_tensors_made_in_inference_mode():
    with torch.inference_mode():
        module = network()
        (new,) = copied([module])
    assert not new[0].weight.is_inference()
    x = X.double().requires_grad_()
    assert torch.autograd.grad(new(x).sum(), x)[0].abs().sum() > 0


# --- what is foreign -----------------------------------------------------------------------------------------------------


class Trainer:
    """As Lightning's: holds loaders, a lock, and the module itself."""

    def __init__(self, module):
        self.lightning_module = module
        self.loaders = [DataLoader(TensorDataset(torch.ones(100, 3)))]
        self.lock = threading.Lock()


class Lightning(nn.Module):
    """As Lightning's module, whose trainer is asked for by a property, and which raises without one."""

    def __init__(self):
        super().__init__()
        self._trainer = None
        self.network = network()

    @property
    def trainer(self):
        if self._trainer is None:
            raise RuntimeError("not attached to a trainer")
        return self._trainer

    def forward(self, x):
        return self.network(x)


class Proxied(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.me = weakref.proxy(self)

    def forward(self, x):
        return self.me.layer(x)


def test_proxies_lead_to_copies_or_stay():
    module, trainer = Proxied(), Trainer(nn.Linear(1, 1))
    module.trainer = weakref.proxy(trainer)
    gone = Trainer(nn.Linear(1, 1))
    module.gone = weakref.proxy(gone)
    del gone
    gc.collect()
    (new,) = copied([module])
    assert new.me.layer is new.layer
    assert new.trainer is module.trainer
    assert new.gone is module.gone
    torch.testing.assert_close(new(X.double()).float(), module(X))


@pytest.mark.parametrize("fitted", [True, False])
def test_a_trainer_is_kept_and_not_copied(fitted):
    module = Lightning()
    module.optimizer = torch.optim.Adam(module.parameters())
    module.loader = DataLoader(TensorDataset(torch.ones(100, 3)))
    module._trainer = Trainer(module) if fitted else None
    (new,) = copied([module])
    assert new._trainer is module._trainer
    assert (new.optimizer, new.loader) == (module.optimizer, module.loader)
    torch.testing.assert_close(new(X.double()).float(), module(X))
    assert new.network[0].weight.dtype == torch.float64


def test_what_is_foreign_is_kept_by_reference():
    module = network()
    foreign = {
        "lock": threading.Lock(),
        "file": io.StringIO(),
        "thread": threading.Thread(),
        "generator": torch.Generator(),
        "iterator": (n for n in range(3)),
        "function": torch.relu,
        "class": nn.Linear,
    }
    module.foreign = dict(foreign)
    module.client = types.SimpleNamespace(session=foreign["lock"], weight=module[0].weight)
    (new,) = copied([module])
    assert new.foreign == foreign
    assert new.foreign is not module.foreign
    assert new.client is module.client


def test_what_is_foreign_stays_so_whatever_is_seen_first():
    module, lock = network(), threading.Lock()
    module.first = lambda: lock
    module.client = types.SimpleNamespace(lock=lock, weight=module[0].weight)
    (new,) = copied([module])
    assert (new.first, new.client) == (module.first, module.client)


def test_counts_of_the_copy_are_its_own():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.by_name = [], {}

        def forward(self, x):
            self.seen.append(len(x))
            self.by_name["last"] = x
            return x

    module = Counting()
    copied([module])[0](X.double())
    assert (module.seen, module.by_name) == ([], {})


# --- hooks and classes with ways of their own ----------------------------------------------------------------------------


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(3, 2), nn.Parameter(torch.full((2,), 3.0))
        self.met = []
        self.layer.register_forward_hook(self.note)
        scale = self.scale
        self.layer.register_forward_hook(lambda module, inputs, output: output * scale)
        self.parent = weakref.ref(self)

    def note(self, module, inputs, output):
        self.met.append(module)

    def forward(self, x):
        return self.parent().layer(x)


class Recorder:
    """Not a tensor in it, at first."""

    def __init__(self):
        self.met = []

    def note(self, module, inputs, output):
        self.met.append(output)


def test_what_is_noted_of_the_copy_is_noted_in_the_copy():
    module, recorder, noted = network(), Recorder(), {}
    module[0].register_forward_hook(recorder.note)
    module[1].register_forward_hook(lambda module, inputs, output: noted.update(last=output))
    module.recorder, module.noted = recorder, noted
    (new,) = copied([module])
    new(X.double())
    assert (recorder.met, noted) == ([], {})
    assert len(new.recorder.met) == len(new.noted) == 1


class Ended:
    """Closes something when it goes."""

    closed = 0

    def __init__(self):
        self.handles = [1]

    def __del__(self):
        Ended.closed += 1


def test_what_does_something_at_its_end_is_kept():
    module = network()
    module.ended, module.logger, module.nothing = Ended(), logging.getLogger("test"), Nothing()
    module.parts = types.SimpleNamespace(logger=module.logger, layer=module[0])
    (new,) = copied([module])
    assert (new.ended, new.logger, new.nothing) == (module.ended, module.logger, module.nothing)
    # A logger is nothing to stop at.
    assert new.parts.layer is new[0]
    del new
    gc.collect()
    assert Ended.closed == 0


class Nothing:
    """As objects that only are themselves."""


def test_hooks_are_those_of_the_copy():
    module = Hooked()
    (new,) = copied([module])
    torch.testing.assert_close(new(X.double()).float(), module(X))
    assert new.met == [new.layer]
    assert module.met == [module.layer]
    with torch.no_grad():
        new.scale.zero_()
    assert not new(X.double()).any()
    assert new.parent() is new


class Odd(nn.Module):
    """Whose class minds everything."""

    def __new__(cls, key):
        assert key == "key"
        return super().__new__(cls)

    def __init__(self, key):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise ValueError(f"what is {name}?")
        return super().__getattr__(name)

    def __setattr__(self, name, value):
        if "layer" in vars(self).get("_modules", {}):
            raise RuntimeError("is closed")
        super().__setattr__(name, value)

    def __getstate__(self):
        raise RuntimeError("stays here")

    __setstate__ = __deepcopy__ = __reduce_ex__ = __copy__ = __getstate__

    def forward(self, x):
        return self.layer(x)


def test_no_method_of_a_module_is_called():
    module = Odd("key")
    (new,) = copied([module])
    torch.testing.assert_close(new(X.double()).float(), module(X))
    assert faults([module], [new]) == []


@pytest.mark.parametrize("name", ["parametrized weight_norm", "orthogonal"])
def test_a_parametrization_that_is_taken_off_stays_in_the_copy(name):
    module = built(name)
    (new,) = copied([module])
    want = new(X.double())
    parametrize.remove_parametrizations(module[0], "weight")
    torch.testing.assert_close(new(X.double()), want)
    assert type(new[0]).__name__ == "ParametrizedLinear"


def test_a_graph_that_is_changed_stays_in_the_copy():
    module = torch.fx.symbolic_trace(network())
    (new,) = copied([module])
    want = new(X.double())
    (relu,) = (node for node in module.graph.nodes if node.target == "1")
    relu.replace_all_uses_with(relu.args[0])
    module.recompile()
    assert not torch.allclose(module(X).double(), want)
    torch.testing.assert_close(new(X.double()), want)
    assert new.graph.owning_module is new


@pytest.mark.parametrize("name", [name for name in BUILDS if "compiled" in name])
def test_a_copy_of_a_compiled_module_does_not_call_it(name):
    module = built(name)
    (new,) = copied([module])
    with torch.no_grad():
        next(module.parameters()).fill_(float("nan"))
    assert new(X.double()).isfinite().all()


def compile_method(module, backend):
    module.forward = torch.compile(module.forward, backend=backend)


@pytest.mark.parametrize("compiles", [compile_method, nn.Module.compile])
def test_copies_are_not_compiled(compiles):
    programs = []

    def backend(program, inputs):
        programs.append(program)
        return program

    module = Twice()
    compiles(module, backend=backend)
    (new,) = copied([module])
    new(X.double())
    assert programs == []
    module(X)
    assert len(programs) == 1


def test_unwrapped():
    module = network()
    for wrap in (nn.DataParallel, torch.compile, lambda m: nn.DataParallel(torch.compile(m)), lambda m: m):
        assert unwrapped(wrap(module)) is module
    inside = nn.Sequential(nn.DataParallel(module))
    assert unwrapped(inside) is inside
    assert isinstance(copied([inside])[0][0].module, nn.Sequential)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_hooks_of_a_wrapper_are_not_lost_without_a_word(wrap):
    module = wrap(network())
    module.register_forward_hook(lambda module, inputs, output: 2 * output)
    for one in (module, nn.Sequential(module)):
        with pytest.raises(ValueError, match=r"hooks on the module itself\. Got ones on what wraps it \("):
            copied([one])


def test_a_wrapper_inside_may_be_held_by_what_it_wraps():
    inner = network()
    outer = nn.Sequential(nn.DataParallel(inner))
    inner.holder = [outer[0]]
    (new,) = copied([outer])
    assert new[0].module.holder == [new[0]]


def test_on_a_device():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    module = holder(*HOLDERS["dict"])
    (new,) = copied([module], "cuda")
    assert {tensor.device.type for tensor in held(new)} == {"cuda"}
    torch.testing.assert_close(new(X.double().cuda()).float().cpu(), module(X))


# --- refusals ------------------------------------------------------------------------------------------------------------


def with_attribute(value):
    net = network()
    net[0].extra = [value]
    return net


class NoFloat64(torch.Tensor):
    """As tensors of other libraries, which know some types only."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.to:
            raise NotImplementedError("only int4.\nAnd more.")
        return super().__torch_function__(func, types, args, kwargs or {})


def in_training():
    net = network().train()
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(net)


def quantised():
    return torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(2)), r"Got 0\.weight, which a lazy module .* call the model on a row"),
        (lambda: nn.Sequential(nn.Linear(2, 2, device="meta")), r"Got 0\.weight on the meta device"),
        (lambda: with_attribute(torch.ones(2) * 1j), r"Got 0\.extra, which is complex"),
        (lambda: with_attribute(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)), r"0\.extra .* quantised"),
        (quantised, r"Got 0 \(Linear\) quantised: .* float model"),
        (lambda: torch.jit.script(quantised()), r"Got the model \(TorchScript\) quantised"),
        (in_training, r"Got .*\(.*FakeQuantize\) quantised"),
        (
            lambda: with_attribute(torch.ones(2).as_subclass(NoFloat64)),
            r"0\.extra \(NoFloat64\), .*: only int4\. Give a model of",
        ),
    ],
    ids=["lazy", "meta", "complex", "quantised tensor", "quantised", "scripted", "in training", "class of tensors"],
)
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        copied([make()])


def test_what_torch_cannot_copy_of_torchscript_is_refused(monkeypatch):
    module = torch.jit.script(network())

    def fails(self, memo):
        raise RuntimeError("no\nway")

    monkeypatch.setattr(type(module), "__deepcopy__", fails, raising=False)
    with pytest.raises(TypeError, match=r"Got 0 of TorchScript, .*: no\. Give the module that was scripted"):
        copied([nn.Sequential(module)])
