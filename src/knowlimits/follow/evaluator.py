"""What all evaluators share: seeing each ATen operation of a model, and finding its entry in the table.

An evaluator pushes a `Traced` tensor, which knows more than numbers, through a model as it is. It sees the model's operations,
not its classes, so that residual connections and user-written modules need no special case. What an operation of each kind
does to a traced tensor is the subclass's business.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from knowlimits._torch import (
    OperationMode,
    Wrapper,
    above_dispatch,
    can_be_decomposed,
    decomposed,
    draws,
    name_of,
    parameters,
)
from knowlimits.follow.operations import (
    TABLE,
    Affine,
    Joint,
    Maximum,
    Move,
    Rewrite,
    Smooth,
    UnsupportedOperation,
)
from knowlimits.follow.owners import MixedRays
from knowlimits.model.modes import uses_own_statistics

# Results that only have the shape of their argument: constants, whatever the argument is.
_SHAPED = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"}
# Moves of type or device, which are not followed: evaluators stay in float64 where they are.
_CASTS = {"_to_copy", "to", "contiguous"}
# In-place operations whose result is their second argument, or zero.
_WRITES = {"copy", "fill", "zero"}
_INDEXED = {"index", "index_select", "gather"}
_CONTROL = {"_local_scalar_dense", "is_nonzero", "item", "nonzero"}
_COMPARISONS = {
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "argmax",
    "argmin",
    "sign",
    "sgn",
    "signbit",
    "floor",
    "round",
    "ceil",
    "trunc",
}
_COMPARISONS |= {"frac", "fmod", "remainder", "heaviside", "hardshrink"}
_ORDERS = {"sort", "topk", "median", "nanmedian", "kthvalue", "cummax", "cummin", "_cummax_helper", "_cummin_helper"}
_PRODUCTS = {
    "mul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "mv",
    "dot",
    "pow",
    "square",
    "div",
    "reciprocal",
    "glu",
    "prod",
    "_trilinear",
}
_BENDING = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh"}
_HINTS = {
    "control": "Python cannot read it or branch on it, as a ray has no one value: use relu, clamp, maximum or minimum instead.",
    "comparison": "it jumps where its argument crosses a threshold: use relu, clamp, maximum or minimum instead.",
    "codes": "whole numbers (codes for an embedding, say) jump along a ray: hold their columns fixed, in a module that takes "
    "the others.",
    "order": "it puts values in order, which is not followed: amax, amin, maximum, minimum and max pooling are.",
    "product": "a product, quotient or power of values that all hang on the input is not piecewise linear (attention, gating).",
    "bending": "far out it tends to no straight line, so that there is no limit to be computed from it.",
    "random": "it draws random numbers: in eval mode, model.eval(), dropout is off; knowlimits.dropout_members fixes masks.",
    "always random": "it draws random numbers in eval mode too: leave them out; torch.nn.functional.dropout needs "
    "training=self.training, and a program must be exported in eval mode.",
    "training": "statistics of a batch tie its rows together: put the model into eval mode, model.eval(), or give its norm "
    "running statistics.",
    "always training": "it norms by what it is given in eval mode too: a batch norm needs running statistics, and in place of "
    "an instance norm a torch.nn.GroupNorm with a group for each channel can be followed.",
    "mixed": "it combines different rows of the batch, so a row has no ray of its own.",
    "constant": "a constant tensor is written over with values that hang on the input: make a new one, by an operation that is "
    "not in place, or by torch.cat or torch.stack.",
    "recurrent": "recurrent layers of torch are not followed: gates multiply values that all hang on the input (LSTM, GRU); "
    "without gates, write the recurrence with torch.nn.Linear.",
    "curved": "it is not piecewise linear, so it has no polytopes; knowlimits.far_field knows its limits.",
    "unknown": "the table of operations has no entry for it: see knowlimits.follow.register.",
}


class Traced(Wrapper):
    """A tensor that an evaluator pushes through a model, in place of the numbers of one input; exists inside it only.

    Attributes:
        like: a plain tensor of the same shape.
    """

    like: Tensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse: outside an evaluator nothing knows what to do."""
        raise RuntimeError(
            f"{func} met a tensor of knowlimits after its evaluation had ended: the model keeps one between calls."
        )


class _CircularPadding(TorchFunctionMode):
    """Circular padding as a choice of places: torch's own writes into a constant, which could not be followed."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        mode = args[2] if len(args) > 2 else kwargs.get("mode")
        if func is nn.functional.pad and mode == "circular" and isinstance(args[0], Traced):
            x, widths = args[0], args[1] if len(args) > 1 else kwargs["pad"]
            for axis, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True), 1):
                size = x.shape[-axis]
                x = x.index_select(-axis, torch.arange(-before, size + after, device=x.device) % size)
            return x
        return func(*args, **kwargs)


class Evaluator(OperationMode):
    """Sees every operation under it, and does those that meet a traced tensor by the table.

    Subclasses say what an operation of each kind does: `move`, `affine`, `maximum`, `smooth`, `joint`, `copy` and `write`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._where: list[tuple[str, nn.Module]] = []
        # Numbers in the largest tensor that was met.
        self.largest = 0

    def run(self, model: Callable[[Tensor], Any], x: Traced, module: nn.Module | None = None) -> Tensor:
        """The model's output for a traced input; `module` is that whose names messages use, if not the model itself."""
        out = self.outputs(model, x, module)
        if not isinstance(out, Tensor):
            raise TypeError(f"model must return a tensor. Got {type(out).__name__} instead.")
        return out

    def outputs(self, model: Callable[[Tensor], Any], x: Traced, module: nn.Module | None = None) -> Any:
        """The same of a model that may return several tensors."""
        module = model if module is None and isinstance(model, nn.Module) else module
        with self._named(module or nn.Module()), _CircularPadding(), self:
            return model(x)

    def move(self, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do an operation that moves numbers."""
        raise NotImplementedError

    def affine(self, entry: Affine, func: Any, args: list[Any], kwargs: dict[str, Any], traced: list[Any]) -> Any:
        """Do an operation that is linear in those of its arguments that are traced, together with some constants."""
        raise NotImplementedError

    def maximum(self, entry: Maximum, args: list[Any]) -> Any:
        """Do a maximum."""
        raise NotImplementedError

    def smooth(self, entry: Smooth, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Do a function of one number with asymptotes."""
        raise NotImplementedError

    def joint(self, entry: Joint, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Do a function of several numbers with a limit."""
        raise NotImplementedError

    def copy(self, x: Any, memory_format: torch.memory_format = torch.preserve_format) -> Any:
        """A copy with memory of its own, in which numbers lie as is said."""
        raise NotImplementedError

    def write(self, target: Any, result: Any) -> Any:
        """Write a result, traced or constant, into the memory of a traced tensor, so that views of it change too."""
        raise NotImplementedError

    def laid_out(self, func: Any, args: list[Any], kwargs: dict[str, Any], result: Any) -> Any:
        """A result that was not computed by the operation itself, in memory as that would have it.

        It decides whether a reshape of the result is a view or a copy.
        """
        return result

    @contextmanager
    def _named(self, module: nn.Module) -> Any:
        """Keep track of the submodule that runs, for messages."""
        handles = []
        for name, submodule in module.named_modules():
            if isinstance(submodule, torch.jit.ScriptModule):
                continue
            label = f"{name or 'the model'} ({type(submodule).__name__})"
            enter = submodule.register_forward_pre_hook(lambda module, _, label=label: self._where.append((label, module)))
            handles += [enter, submodule.register_forward_hook(lambda *_: self._where.pop() and None)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        traced = _traced_among(args) + (_traced_among(kwargs.values()) if kwargs else [])
        name = name_of(func)
        # One that is in the table (RReLU's) draws in train mode only.
        if draws(func) and name.removesuffix("_") not in TABLE:
            raise self.refuse(name, "product" if "attention" in name else "random")
        if not traced:
            return func(*args, **kwargs)
        args = self._positional(func, args, kwargs)
        entry = TABLE.get(name)
        result = None
        if isinstance(entry, Rewrite):
            with self:
                result = entry.function(*_given(func, args), **kwargs)
            return self.laid_out(func, args, kwargs, result)
        if entry is None and can_be_decomposed(func) and not _is_in_place(name):
            with self:
                return decomposed(func, args, kwargs)
        if _is_in_place(name):
            if not isinstance(args[0], Traced):
                raise self.refuse(name, "constant")
            if name[:-1] not in _WRITES:
                with self:
                    result = getattr(torch.ops.aten, name[:-1])(*args, **kwargs)
        # Autograd too sees what is done to rates and offsets, which gives the gradient of a limit.
        with above_dispatch():
            if _is_in_place(name):
                return self.write(args[0], result if result is not None else args[1] if len(args) > 1 else 0.0)
            result = self._do(entry, func, name, args, kwargs, traced)
            if isinstance(entry, Maximum | Smooth | Joint):
                result = self.laid_out(func, args, kwargs, result)
        self.largest = max(self.largest, *(r.numel() for r in _traced_among([result])), 0)
        return result

    def _positional(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Arguments given by name moved to their positions."""
        args = list(args)
        for argument in parameters(func)[len(args) :]:
            if argument.kwarg_only:
                break
            args.append(kwargs.pop(argument.name) if argument.name in kwargs else argument.default_value)
        return args

    def _do(self, entry: Any, func: Any, name: str, args: list[Any], kwargs: dict[str, Any], traced: list[Traced]) -> Any:
        if name in _SHAPED:
            return func(traced[0].like, *args[1:], **kwargs)
        if name in _CASTS:
            if not kwargs.get("dtype", torch.float64).is_floating_point:
                raise self.refuse(name, "comparison" if kwargs["dtype"] == torch.bool else "codes")
            return self.copy(traced[0], kwargs.get("memory_format") or torch.preserve_format)
        try:
            if isinstance(entry, Move):
                if name in _INDEXED and _traced_among(args[1:]):
                    raise self.refuse(name, "codes")
                return self.move(func, args, kwargs, traced)
            if isinstance(entry, Affine):
                self._check_affine(entry, name, args, kwargs)
                return self.affine(entry, func, args, kwargs, traced)
            if isinstance(entry, Maximum):
                return self.maximum(entry, args)
            if isinstance(entry, Smooth):
                return self.smooth(entry, func, args, kwargs)
            if isinstance(entry, Joint):
                return self.joint(entry, func, args, kwargs)
        except MixedRays:
            raise self.refuse(name, "mixed") from None
        kinds = {"control": _CONTROL, "comparison": _COMPARISONS, "order": _ORDERS, "product": _PRODUCTS, "bending": _BENDING}
        raise self.refuse(name, next((kind for kind, names in kinds.items() if name in names), "unknown"))

    def _check_affine(self, entry: Affine, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Refuse arguments that make an operation other than affine."""
        allowed = set(entry.values) | set(entry.factors or ())
        if any(isinstance(a, Traced) and position not in allowed for position, a in enumerate(args)):
            raise self.refuse(name, "comparison" if name == "where" else "product")
        if sum(isinstance(args[position], Traced) for position in entry.factors or ()) > 1:
            raise self.refuse(name, "product")
        if kwargs.get("rounding_mode") is not None:
            raise self.refuse(name, "comparison")
        if name == "native_batch_norm" and args[5]:
            raise self.refuse(name, "training")

    def check_finite(self, what: str, *values: Tensor) -> None:
        """Raise where numbers that enter an operation, or leave the model, have passed the largest float."""
        if not all(bool(v.isfinite().all()) for v in values):
            raise self.overflow(what)

    def overflow(self, what: str) -> OverflowError:
        """The error for numbers that have passed the largest float."""
        where = f" in {self._where[-1][0]}" if self._where else ""
        return OverflowError(
            f"model must keep its numbers below {torch.finfo(torch.float64).max:.1e}. "
            f"Got larger ones at {what}{where}: scale its weights, or the inputs."
        )

    def refuse(self, name: str, kind: str) -> UnsupportedOperation:
        """The error for an operation, of one of the kinds of hints."""
        where, module = self._where[-1] if self._where else ("", None)
        hint = _HINTS[_hinted(kind, module)]
        return UnsupportedOperation(f"operation {name}{f' in {where}' if where else ''} cannot be followed: {hint}")


def _hinted(kind: str, module: nn.Module | None) -> str:
    """The kind of hint that helps in the module that runs, if it is known."""
    if kind in ("constant", "product", "random", "unknown") and isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return "recurrent"
    if module is not None and kind in ("random", "training") and (not module.training or uses_own_statistics(module)):
        return f"always {kind}"
    return kind


def _traced_among(arguments: Iterable[Any]) -> list[Any]:
    """Traced tensors among an operation's arguments, which are values and lists of values."""
    found = []
    for a in arguments:
        if isinstance(a, Traced):
            found.append(a)
        elif isinstance(a, list | tuple):
            found += [one for one in a if isinstance(one, Traced)]
    return found


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _given(func: Any, args: list[Any]) -> list[Any]:
    """Arguments without those at the end that were left at their default."""
    defaults = [a.default_value for a in parameters(func)][: len(args)]
    while args and len(args) > 1 and args[-1] is None and defaults[len(args) - 1] is None:
        args = args[:-1]
    return args
