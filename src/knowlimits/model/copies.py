"""Copies of a person's modules in float64, by what they compute with.

A module often holds what cannot be copied, or should not be: a lock, a client, a trainer with its loaders. So what is copied
are tensors and modules, and whatever is on the way to them:

- a module keeps its class, and what it holds is gone through, be it registered or not; no method of its own is called;
- tensors of floats are taken to float64, others as they are, all without gradients;
- lists, tuples, dicts, sets, bound methods, partial functions and closures are made anew round the copies;
- so is an object that holds any of these, if all that it holds is known here: numbers, texts, and the above;
- everything else is foreign, and the copy holds it as the original does.

What was the same before is the same after, so ties stay ties, within a module and among several.
"""

import copy
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from knowlimits._torch import hooks, uncompiled
from knowlimits.model.held import (
    FIXED,
    PLAIN,
    attributes,
    behind,
    can_be_written,
    container,
    in_cell,
    in_closure,
    in_slots,
    is_a,
    is_of_python,
    is_simple,
    is_weak,
)

# How containers take what they hold, each without what its heirs make of it.
_FILL: dict[Any, Any] = {
    OrderedDict: OrderedDict.update,
    defaultdict: dict.update,
    dict: dict.update,
    list: list.extend,
    deque: deque.extend,
    set: set.update,
}
_SPREAD = (nn.DataParallel, nn.parallel.DistributedDataParallel)
# Homes of torch's layers of whole numbers, and of steps to them; and of those among them that compute with floats.
_QUANTISED, _OF_FLOATS = {"quantized", "fake_quantize"}, {"reference", "functional_modules"}


def copied(modules: Sequence[nn.Module], device: Any = None) -> tuple[nn.Module, ...]:
    """Copies of modules in float64 without gradients; together, so that modules which share tensors or parts share the copies.

    What wraps a module to compile it or to spread rows over devices is taken off. The modules themselves stay as they are.

    Args:
        modules: of any classes.
        device: where the copies should be; without it, where the modules are.

    Raises:
        ValueError: if a module has no numbers yet (lazy modules, the meta device), complex ones, or is quantised.
        TypeError: if torch cannot copy a TorchScript module.
    """
    copier = _Copier(device)
    # Tensors that are made in inference mode never have gradients.
    with torch.inference_mode(False), torch.no_grad():
        return tuple(copier.of(unwrapped(module)) for module in modules)


def unwrapped(module: nn.Module) -> nn.Module:
    """A module without what compiles it or spreads its rows over devices: `torch.compile`, DataParallel and its like.

    Raises:
        ValueError: if that has hooks, which may do anything.
    """
    while True:
        inner = module.module if isinstance(module, _SPREAD) else uncompiled(module)
        if inner is module:
            return module
        if hooks(module):
            raise ValueError(
                f"model must have its hooks on the module itself. Got ones on what wraps it ({type(module).__name__}), which "
                "is taken off: register them on what it wraps."
            )
        module = inner


class _OnOneDevice(nn.Module):
    """Stands for a wrapper inside a model that spreads rows over devices; whoever asks that for its `module` finds it here."""

    module: nn.Module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What is wrapped, by itself."""
        return self.module(*args, **kwargs)


class _Copier:
    """Copies values, each once."""

    def __init__(self, device: Any):
        self._device = device
        # Originals are kept beside their copies, so that no other value gets their id meanwhile.
        self._known: dict[int, tuple[Any, Any]] = {}
        # Values of which nothing has to be copied.
        self._empty: dict[int, Any] = {}
        self._path: list[str] = []

    def of(self, value: Any) -> Any:
        """The copy of a value, which is the value itself where there is nothing to copy."""
        if is_a(value, PLAIN):
            return value
        if id(value) in self._known:
            return self._known[id(value)][1]
        new = self._new(value)
        return self._note(value, new) if new is not value else value

    def _note(self, value: Any, new: Any) -> Any:
        self._known[id(value)] = (value, new)
        return new

    def _new(self, value: Any) -> Any:
        if is_weak(value):
            there = behind(value)
            kind = weakref.ref if type(value) is weakref.ref else weakref.proxy
            return value if there is None else kind(self.of(there))
        if is_a(value, Tensor):
            return self._tensor(value)
        if is_a(value, nn.Module):
            return self._module(value)
        if (base := container(value)) is not None:
            return (self._fixed if base in FIXED else self._filled)(value, base)
        if is_a(value, types.FunctionType):
            original = uncompiled(value)
            return self._function(value) if original is value else self.of(original)
        if is_a(value, partial):
            function, given, named = (self.of(part) for part in (value.func, value.args, value.keywords))
            new = type(value)(function, *given, **named)
            self._fill(new, value)
            return new
        if is_a(value, types.MethodType):
            owner, function = self.of(value.__self__), self.of(value.__func__)
            return value if owner is value.__self__ and function is value.__func__ else types.MethodType(function, owner)
        if is_a(value, types.BuiltinMethodType):
            owner = self.of(value.__self__)
            return value if owner is value.__self__ else getattr(owner, value.__name__)
        if is_simple(value) and can_be_written(value, False, self._empty):
            return self._object(value)
        return value

    def _tensor(self, value: Tensor) -> Tensor:
        if isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise ValueError(
                f"model must have all its weights. Got {self._place()}, which a lazy module makes at its first call: call the "
                "model on a row first."
            )
        if value.is_meta:
            raise ValueError(
                f"model must have numbers for weights. Got {self._place()} on the meta device: load the weights, as "
                "load_state_dict(..., assign=True) does."
            )
        if value.is_quantized:
            raise self._quantised("a tensor")
        if value.is_complex():
            raise ValueError(f"model must compute with real numbers. Got {self._place()}, which is complex: give its parts.")
        dtype = torch.float64 if value.is_floating_point() else value.dtype
        try:
            new = value.detach().to(device=self._device, dtype=dtype, copy=True)
            if type(value) is nn.Parameter:
                new = nn.Parameter(new, requires_grad=False)
            elif type(new) is not type(value):
                new = new.as_subclass(type(value))
        # Classes of tensors of other libraries raise what they like.
        except Exception as error:
            raise ValueError(
                f"model must have weights that can be taken to float64. Got {self._place()} ({type(value).__name__}), of which "
                f"torch says: {_first_line(error)}. Give a model of plain tensors."
            ) from error
        self._note(value, new)
        own = vars(new)
        own.update({name: self.of(held) for name, held in vars(value).items() if name not in own})
        return new

    def _module(self, value: nn.Module) -> nn.Module:
        home = type(value).__module__.split(".")
        if isinstance(value, torch.jit.ScriptModule):
            return self._script(value)
        if home[0] == "torch" and _QUANTISED & {*home} and not _OF_FLOATS & {*home}:
            raise self._quantised(type(value).__name__)
        if (inner := unwrapped(value)) is not value:
            if not isinstance(value, _SPREAD):
                return self.of(inner)
            stand = self._note(value, _OnOneDevice())
            stand.training, stand.module = value.training, self.of(inner)
            return stand
        if isinstance(value, fx.GraphModule):
            # Each has a class of its own, made of its graph, which its owner may change.
            new: Any = type(value).__new__(type(value))
            self._note(value, new)
            self._fill(new, value)
            new.graph = copy.deepcopy(value.graph)
            return new
        new = self._object(value)
        if parametrize.is_parametrized(value):
            # Each has a class of its own, too, which loses its weights when its owner takes the parametrization off.
            kind = type(value)
            own = {name: held for name, held in vars(kind).items() if not isinstance(held, types.GetSetDescriptorType)}
            new.__class__ = type(kind.__name__, kind.__bases__, own)
        return new

    def _script(self, value: torch.jit.ScriptModule) -> nn.Module:
        for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
            if tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
                raise ValueError(f"model must compute with real numbers. Got {name} of {tensor.dtype} on {tensor.device}.")
        if hasattr(value, "forward") and "quantized::" in str(value.inlined_graph):
            raise self._quantised("TorchScript")
        try:
            new = copy.deepcopy(value).to(device=self._device, dtype=torch.float64)
        # Whatever torch raises, which hangs on what the module holds.
        except Exception as error:
            raise TypeError(
                f"model must be one that torch can copy. Got {self._place()} of TorchScript, of which it says: "
                f"{_first_line(error)}. Give the module that was scripted or traced."
            ) from error
        for parameter in new.parameters():
            parameter.requires_grad_(False)
        return new

    def _object(self, value: Any) -> Any:
        new = (types.SimpleNamespace if isinstance(value, types.SimpleNamespace) else object).__new__(type(value))
        self._note(value, new)
        for slot, held in in_slots(value):
            slot.__set__(new, self.of(held))
        self._fill(new, value)
        return new

    def _fill(self, new: Any, value: Any) -> None:
        """Give a new object copies of the attributes of another."""
        for name, held in attributes(value).items():
            self._path.append(name)
            attributes(new)[name] = self.of(held)
            self._path.pop()

    def _filled(self, value: Any, base: Any) -> Any:
        new = base.__new__(type(value))
        if isinstance(value, deque):
            deque.__init__(new, (), value.maxlen)
        elif isinstance(value, defaultdict):
            new.default_factory = self.of(value.default_factory)
        self._note(value, new)
        if isinstance(value, dict):
            items = []
            for key, held in dict.items(value):
                self._path.append(str(key))
                items.append((self.of(key), self.of(held)))
                self._path.pop()
        else:
            items = [self.of(held) for held in base.__iter__(value)]
        _FILL[base](new, items)
        self._fill(new, value)
        return new

    def _fixed(self, value: Any, base: Any) -> Any:
        items = [self.of(held) for held in base.__iter__(value)]
        if id(value) in self._known:
            # One of them holds it.
            return self._known[id(value)][1]
        if all(a is b for a, b in zip(items, base.__iter__(value), strict=True)):
            return value
        # Those of torch's operations are not of Python, and are made in a way of their own.
        of_python = type(value) is base or is_of_python(type(value))
        new = self._note(value, base.__new__(type(value), items) if of_python else type(value)(items))
        self._fill(new, value)
        return new

    def _function(self, value: types.FunctionType) -> Any:
        if not can_be_written(value, True, self._empty):
            return value
        cells = tuple(self._cell(cell) for cell in in_closure(value))
        new = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells or None)
        self._note(value, new)
        for name in ("__qualname__", "__module__", "__doc__", "__annotations__"):
            setattr(new, name, getattr(value, name))
        new.__defaults__, new.__kwdefaults__ = self.of(value.__defaults__), self.of(value.__kwdefaults__)
        for cell, old in zip(cells, in_closure(value), strict=True):
            for content in in_cell(old):
                cell.cell_contents = self.of(content)
        self._fill(new, value)
        return new

    def _cell(self, value: Any) -> Any:
        known = self._known.get(id(value))
        return known[1] if known else self._note(value, types.CellType())

    def _place(self) -> str:
        names = [name for name in self._path if name not in vars(nn.Module())]
        return ".".join(names) or "the model"

    def _quantised(self, what: str) -> ValueError:
        return ValueError(
            f"model must compute with floats. Got {self._place()} ({what}) quantised: its weights are whole numbers of a few "
            "bits, and its outputs jump from one to the next. Give the float model that it was made of."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
