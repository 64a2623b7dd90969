"""Seeing each ATen operation of a model, and finding its entry in the table.

The evaluator pushes a `Traced` tensor, which knows more than numbers, through a model as it is. It sees the model's operations,
not its classes, so that residual connections and user-written modules need no special case. What an operation of each kind
does to a traced tensor is the domain's business.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits._torch import (
    OperationMode,
    above_dispatch,
    among,
    can_be_decomposed,
    decomposed,
    draws,
    is_in_place,
    name_of,
    parameters,
    results,
)
from knowlimits.follow.domain import Domain, Traced
from knowlimits.follow.operations import (
    INDEXED,
    TABLE,
    Affine,
    Joint,
    Jump,
    Maximum,
    Move,
    Rewrite,
    Smooth,
    UnsupportedOperation,
)
from knowlimits.follow.refusals import Refused, TooLarge, hint, kind_of
from knowlimits.follow.words import OtherWords
from knowlimits.model.families.family import OPERATION, family_of
from knowlimits.model.network import Network

# Results that only have the shape of their argument: constants, whatever the argument is.
_SHAPED = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"}
# Moves of type or device, which are not followed: values stay in float64 where they are.
_CASTS = {"_to_copy", "to", "contiguous"}
# In-place operations whose result is their second argument, or zero.
_WRITES = {"copy", "fill", "zero"}


class Evaluator(OperationMode):
    """Sees every operation under it, and has those that meet a traced tensor done by the table in a domain.

    Attributes:
        largest: numbers in the largest tensor that was met.
    """

    def __init__(self, domain: Domain):
        super().__init__()
        self.domain = domain
        self.largest = 0
        self._where: list[tuple[str, nn.Module]] = []
        # What was raised under it last.
        self._raised: Exception | None = None

    def run(self, model: Callable[[Tensor], Any], x: Traced, module: nn.Module | None = None) -> Tensor:
        """The model's output for a traced input; `module` is that whose names messages use, if not the model itself."""
        out = self.outputs(model, x, module)
        if not isinstance(out, Tensor):
            raise TypeError(f"model must return a tensor. Got {type(out).__name__} instead.")
        return out

    def outputs(self, model: Callable[[Tensor], Any], x: Traced, module: nn.Module | None = None) -> Any:
        """The same of a model that may return several tensors."""
        module = model if module is None and isinstance(model, nn.Module) else module
        module = module.brought if isinstance(module, Network) else module
        with self._named(module or nn.Module()), OtherWords(), self:
            try:
                return model(x)
            except RuntimeError as error:
                # TorchScript makes an error of its own of whatever is raised inside it.
                if self._raised is not None and "TorchScript interpreter" in str(error):
                    raise self._raised from None
                # What torch says of tensors that have no numbers.
                if ".numpy() is not supported" in str(error):
                    raise self.refuse("numpy", "control") from None
                raise

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
        try:
            return self._done(func, args, kwargs or {})
        except Refused as error:
            self._raised = self.refuse(name_of(func), error.kind)
            raise self._raised from None
        except TooLarge as error:
            self._raised = self.overflow(error.what)
            raise self._raised from None
        except Exception as error:
            self._raised = error
            raise

    def _done(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        traced = among(args, Traced) + (among(kwargs.values(), Traced) if kwargs else [])
        name = name_of(func)
        # One that is in the table (RReLU's) draws in train mode only.
        if draws(func) and name.removesuffix("_") not in TABLE:
            raise self.refuse(name, "product" if "attention" in name else "random")
        if not traced:
            return func(*args, **kwargs)
        if name == "_assert_tensor_metadata":
            # What a program was exported with, such as its floats, of which there are others here.
            return None
        args = self._positional(func, args, kwargs)
        if func is OPERATION:
            with above_dispatch():
                result = self.domain.family(family_of(args), args[0])
            self.largest = max(self.largest, args[0].numel(), result.numel())
            return result
        entry = TABLE.get(name)
        if _has_whole_numbers(entry, name, traced):
            with above_dispatch():
                result = self.domain.fixed(func, args, kwargs, traced)
            if result is not None:
                return result
        words = self._in_words(entry, args)
        if words is not None:
            try:
                with self:
                    result = words(*_given(func, args), **kwargs)
            except Refused as error:
                with above_dispatch():
                    return self.domain.otherwise(error.kind, func, args, kwargs, traced)
            result = self.domain.laid_out(func, args, kwargs, result)
            if isinstance(result, tuple):
                with above_dispatch():
                    places = self.domain.fixed(func, args, kwargs, traced)
                return result if places is None else (result[0], *places[1:])
            return result
        if entry is None and can_be_decomposed(func) and not is_in_place(name):
            with self:
                return decomposed(func, args, kwargs)
        result = None
        if is_in_place(name):
            if not isinstance(args[0], Traced):
                raise self.refuse(name, "constant")
            if name[:-1] not in _WRITES:
                with self:
                    result = getattr(torch.ops.aten, name[:-1])(*args, **kwargs)
        # Autograd too sees what is done to rates and offsets, which gives the gradient of a limit.
        with above_dispatch():
            if is_in_place(name):
                return self.domain.write(args[0], result if result is not None else args[1] if len(args) > 1 else 0.0)
            result = self._do(entry, func, name, args, kwargs, traced)
        self.largest = max(self.largest, *(r.numel() for r in among([result], Traced)), 0)
        return result

    def _in_words(self, entry: Any, args: list[Any]) -> Callable[..., Any] | None:
        """What does an operation by others of the table."""
        if isinstance(entry, Maximum | Jump):
            return self.domain.in_words(entry)
        if isinstance(entry, Affine) and entry.factors == (1, 2) and len(among(args[1:3], Traced)) == 2:
            return _sum_of_product
        if isinstance(entry, Joint):
            return entry.words(*args[1:])
        return entry.function if isinstance(entry, Rewrite) else None

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
                if kwargs["dtype"] == torch.bool:
                    return self.domain.jump(TABLE["ne"], torch.ops.aten.ne.Scalar, [traced[0], 0])  # type: ignore[arg-type]
                return self.domain.otherwise("codes", func, args, kwargs, traced)
            return self.domain.copy(traced[0], kwargs.get("memory_format") or torch.preserve_format)
        if isinstance(entry, Move):
            if name in INDEXED and among(args[1:], Traced):
                return self.domain.otherwise("codes", func, args, kwargs, traced)
            return self.domain.move(func, args, kwargs, traced)
        if isinstance(entry, Affine):
            if (kind := _not_affine(entry, name, args, kwargs)) is not None:
                return self.domain.otherwise(kind, func, args, kwargs, traced)
            result = self.domain.affine(entry, func, args, kwargs, traced)
        elif isinstance(entry, Maximum):
            result = self.domain.laid_out(func, args, kwargs, self.domain.maximum(entry, args))
        elif isinstance(entry, Jump):
            result = self.domain.laid_out(func, args, kwargs, self.domain.jump(entry, func, args))
        elif isinstance(entry, Smooth | Joint):
            result = self.domain.laid_out(func, args, kwargs, self.domain.bent(entry, func, args, kwargs))
        else:
            return self.domain.otherwise(kind_of(name), func, args, kwargs, traced)
        # Statistics, say, which no model looks at in eval mode: empty, so that whoever does gets an error.
        others = results(func) - 1
        return (result, *[torch.empty(0)] * others) if others else result

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
        return UnsupportedOperation(
            f"operation {name}{f' in {where}' if where else ''} cannot be followed: {hint(kind, module)}", kind
        )


def _has_whole_numbers(entry: Any, name: str, traced: list[Traced]) -> bool:
    """Whether numbers are not only moved and there are whole ones among them, which are there only where nothing moves."""
    if isinstance(entry, Move) or name in _SHAPED or is_in_place(name):
        return False
    return not all(x.is_floating_point() for x in traced)


def _not_affine(entry: Affine, name: str, args: list[Any], kwargs: dict[str, Any]) -> str | None:
    """The kind of hint for arguments that make an operation other than affine, or None."""
    allowed = set(entry.values) | set(entry.factors or ())
    if any(isinstance(a, Traced) and position not in allowed for position, a in enumerate(args)):
        return "comparison" if name in ("where", "masked_fill") else "product"
    if sum(isinstance(args[position], Traced) for position in entry.factors or ()) > 1:
        return "product"
    if kwargs.get("rounding_mode") is not None:
        return "steps"
    if name == "native_batch_norm" and args[5]:
        raise Refused("training")
    return None


def _sum_of_product(x: Tensor, one: Tensor, other: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """The operations that add to a product of matrices, apart."""
    return beta * x + alpha * (one @ other)


def _given(func: Any, args: list[Any]) -> list[Any]:
    """Arguments without those at the end that were left at their default."""
    defaults = [a.default_value for a in parameters(func)][: len(args)]
    while args and len(args) > 1 and args[-1] is None and defaults[len(args) - 1] is None:
        args = args[:-1]
    return args
