"""What is private of torch, or documented nowhere, in one place.

To follow values through any module, the library has to see operations below autograd, which torch does for itself and its
compiler, and promises to nobody. All of that is here, and no other module imports it: `tests/test_torch.py` looks through the
source, and has a test for each thing here. It runs on the oldest and on the newest torch that we state. A name that a torch no
longer has ends the import with a sentence, but for what is said to do no harm.

What is needed, all of it in torch 2.6 unless said otherwise:

1. A tensor that holds no numbers and whose operations we see (`Wrapper`): wrapper subclasses, as torch's own fake and
   distributed tensors are. Without them nothing can be followed.
2. A mode that sees every ATen operation in work (`OperationMode`). A torch after 2.6 imports its compiler for the first such
   mode, for 2.5 s, unless a hook says no; should the hook go, nothing but that time is lost.
3. What an operation is called, takes and returns (`name_of` to `decomposed`): its schema, which also says which results are
   views. `is_composite` asks the dispatcher whether torch puts an operation into other words before anybody sees it; without
   it, entries of the table that do nothing would go unnoticed.
4. Autograd and vmap inside a mode, which lies below both (`above_dispatch`). Without it gradients of limits and products at
   many points are wrong or refused.
5. Trees of arguments (`tree_map`, `tree_leaves`, `tree_flatten`), as torch's own modes take apart what an operation is given.
6. Tensors without numbers (`without_numbers`), and which memory is whose and still in use (`memory_of`, `Held`), for files from
   a source that nobody vouches for.
7. Parents of its layers (`BATCH_NORMS`, `INSTANCE_NORMS`, `CONVOLUTIONS`), and a module's hooks (`hooks`).
8. How modules of exported programs are made: names that they take for themselves (`IN_PROGRAMS`, of which some came after
   2.6), how they pack inputs (`plain_inputs`), and where torch logs what it raises (`LOGGERS`).
9. Where the homes of wrapping modules are (`WRAPPERS`), and what `torch.compile` was given (`uncompiled`), so that
   copies hold nothing of its compiler.
10. The function of MKL for threads (`mkl_threads`), which only some builds of torch have, and which is None elsewhere.

`new_operation` takes what torch documents for operations of others, and is here beside what sees them.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, fx, nn

try:
    from torch._C import (
        DispatchKey,
        _disabled_torch_function_impl,
        _dispatch_has_kernel_for_dispatch_key,
        _ForceDispatchKeyGuard,
    )
    from torch._C import _dispatch_tls_local_exclude_set as _hidden
    from torch._C import _dispatch_tls_local_include_set as _included
    from torch._ops import OpOverload
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.modules.instancenorm import _InstanceNorm
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten as tree_flatten
    from torch.utils._pytree import tree_leaves as tree_leaves
    from torch.utils._pytree import tree_map as tree_map

    _make_wrapper_subclass: Any = Tensor._make_wrapper_subclass  # type: ignore[attr-defined]
    # What lies above a mode.
    _ABOVE = [
        getattr(DispatchKey, key)
        for key in (
            "AutogradFunctionality",
            "ADInplaceOrView",
            "FuncTorchDynamicLayerFrontMode",
            "FuncTorchDynamicLayerBackMode",
            "FuncTorchBatched",
            "FuncTorchVmapMode",
        )
    ]
except (ImportError, AttributeError) as error:
    raise ImportError(
        f"knowlimits needs a torch that has what it looks for inside. Got {torch.__version__}, of which it says: {error}. "
        "Install another version, and please report this one."
    ) from error

# --- tensors and modes -------------------------------------------------------------------------------------------------


class Wrapper(Tensor):
    """A tensor without numbers of its own, for subclasses that say what its operations do."""

    # Functions of torch work on it as on any tensor, down to operations.
    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def wrap(cls, shape: Sequence[int], strides: Sequence[int] | None, dtype: torch.dtype, device: Any = "cpu") -> Any:
        """One that says of itself that it is of a shape, and lies in memory as strides say."""
        return _make_wrapper_subclass(cls, shape, strides=strides, dtype=dtype, device=device)


class OperationMode(TorchDispatchMode):
    """Sees every operation while it is entered, by its method `__torch_dispatch__`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled in here; torch would import its compiler only to be told so.
        return False


def above_dispatch() -> Any:
    """Let autograd and vmap work inside a mode, which lies below them."""
    hidden = _hidden()
    for key in _ABOVE:
        hidden = hidden.remove(key)
    return _ForceDispatchKeyGuard(_included(), hidden)


def without_numbers() -> Any:
    """A mode in which tensors have shapes and types, and no numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


# --- operations --------------------------------------------------------------------------------------------------------

# What is said of an operation never changes, and is asked at each call of it: cached, as there are few operations.


def is_operation(target: Any) -> bool:
    """Whether something is an ATen operation, or one that a person has added."""
    return isinstance(target, OpOverload)


@functools.cache
def name_of(func: Any) -> str:
    """The name of an operation, without that of its form: "add" for `aten::add.Tensor`."""
    return func.overloadpacket.__name__


def new_operation(name: str, schema: str, function: Callable[..., Tensor]) -> Any:
    """An operation of our own, which modes see as they see torch's; without gradients.

    Args:
        name: of it.
        schema: what it takes and returns, as torch writes it: ``"(Tensor x) -> Tensor"``.
        function: what it does, on any device.
    """
    _OPERATIONS.define(name + schema)
    _OPERATIONS.impl(name, function, "CompositeExplicitAutograd")
    return getattr(torch.ops.knowlimits, name).default


# Kept, as operations go with it.
_OPERATIONS = torch.library.Library("knowlimits", "FRAGMENT")


def is_in_place(name: str) -> bool:
    """Whether an operation of this name writes into its first argument: "add_", but not "_softmax_"."""
    return name.endswith("_") and not name.startswith("_")


def among(arguments: Iterable[Any], kind: type[Any]) -> list[Any]:
    """Tensors of a class among an operation's arguments or results, which are values and lists of values."""
    found = []
    for a in arguments:
        if isinstance(a, kind):
            found.append(a)
        elif isinstance(a, list | tuple):
            found += [one for one in a if isinstance(one, kind)]
    return found


@functools.cache
def parameters(func: Any) -> Sequence[Any]:
    """What an operation takes: each has `name`, `type`, `real_type`, `default_value`, `has_default_value()`, `kwarg_only`."""
    return func._schema.arguments


@functools.cache
def results(func: Any) -> int:
    """How many results an operation has."""
    return len(func._schema.returns)


@functools.cache
def returns_views(func: Any) -> bool:
    """Whether an operation returns views of its argument, or that itself."""
    return any(result.alias_info is not None for result in func._schema.returns)


@functools.cache
def draws(func: Any) -> bool:
    """Whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


@functools.cache
def is_pointwise(func: Any) -> bool:
    """Whether an operation does the same to each number, or to numbers at the same place of several tensors."""
    return torch.Tag.pointwise in func.tags


@functools.cache
def depends_on_data(func: Any) -> bool:
    """Whether the shape of an operation's result, or what Python sees of it, hangs on the numbers that it is given."""
    return not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}.isdisjoint(func.tags)


@functools.cache
def can_be_decomposed(func: Any) -> bool:
    """Whether torch has an operation in words of others."""
    return func._can_decompose()


def decomposed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation by those that torch has for it."""
    return func.decompose(*args, **kwargs)


def is_composite(name: str) -> bool:
    """Whether torch puts every form of an ATen operation into words of others before any mode sees it."""
    packet = getattr(torch.ops.aten, name)
    forms = []
    for overload in packet.overloads():
        form = getattr(packet, overload)
        # Forms that write into a given result, and those of TorchScript alone, are none that a model calls.
        if not any(a.is_out for a in form._schema.arguments):
            with contextlib.suppress(RuntimeError):
                forms.append(_dispatch_has_kernel_for_dispatch_key(form.name(), "CompositeImplicitAutograd"))
    return bool(forms) and all(forms)


# --- memory ------------------------------------------------------------------------------------------------------------


def memory_of(tensor: Tensor) -> int:
    """A number that tensors share just if they lie in the same memory; another may get it once they are gone."""
    return tensor.untyped_storage()._cdata


class Held:
    """The memory of a tensor, without keeping it in use."""

    def __init__(self, tensor: Tensor):
        self._storage = StorageWeakRef(tensor.untyped_storage())

    def expired(self) -> bool:
        """Whether nothing uses it any more."""
        return self._storage.expired()


def writes(tensor: Tensor) -> int:
    """How often a tensor has been written to, through whatever view."""
    return tensor._version


# --- modules and programs ----------------------------------------------------------------------------------------------

BATCH_NORMS, INSTANCE_NORMS, CONVOLUTIONS = _BatchNorm, _InstanceNorm, _ConvNd
#: Homes of classes that wrap other modules.
WRAPPERS = ("torch._dynamo.", "torch.jit.")
#: The submodule that checks inputs of an exported program, since some torch after 2.6, and attributes for how it packs them.
GUARDS = "_guards_fn"
IN_PROGRAMS = (GUARDS, "_in_spec", "_out_spec")
#: Operations by which a program checks the types that it was exported for; a torch may have none.
TYPE_CHECKS = {getattr(torch.ops.aten._assert_tensor_metadata, "default", None)} - {None}
#: Of export and what it calls.
LOGGERS = ("torch.export", "torch.fx.experimental.symbolic_shapes", "torch._subclasses.fake_tensor")


def hooks(module: nn.Module) -> list[Any]:
    """The hooks that run before and after a module's `forward`."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]


def uncompiled(value: Any) -> Any:
    """The module or function that `torch.compile` was given, of what it returned; anything else as it is."""
    if isinstance(value, nn.Module):
        return value._orig_mod if type(value).__module__.startswith("torch._dynamo.") else value
    # A person's wrapper round what was compiled has a copy of its attributes, and does something else. A torch after 2.13 has
    # one of its own inside.
    while isinstance(value, FunctionType) and str(value.__globals__.get("__name__")).startswith("torch._dynamo."):
        inner = vars(value).get("_torchdynamo_orig_callable", vars(value).get("__wrapped__"))
        if inner is None:
            break
        value = inner
    return value


def plain_inputs(graph: fx.Graph) -> fx.Graph:
    """An exported program that maps one tensor to one, without its packing of inputs and outputs and its way to trace.

    With the one it cannot be copied without a warning of torch's about itself, with the other it cannot be unpickled.
    """
    plain = fx.Graph()
    packed: Any = plain.graph_copy(graph, {})
    plain.output(packed[0])
    return plain


# --- threads -----------------------------------------------------------------------------------------------------------


@functools.cache
def mkl_threads() -> Any:
    """The function that sets the number of threads of torch's MKL for the calling thread, where torch has one."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return None
