"""Sums, products, comparisons and casts, number by number.

The functions here and in the files beside it use only operations that the table of `knowlimits.follow` can follow, or that it
refuses by name.
"""

import functools
from typing import Any

import torch
from torch import Tensor, fx

from knowlimits.files.onnx.building import Operation, Operator, moving, plain
from knowlimits.files.onnx.graph import kind_of
from knowlimits.files.onnx.sizes import fitting
from knowlimits.follow import UnsupportedOperation


def add(*tensors: Tensor) -> Tensor:
    """Sum of tensors."""
    return functools.reduce(torch.add, fitting(*tensors))


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """Difference."""
    return torch.sub(*fitting(a, b))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product, number by number."""
    return torch.mul(*fitting(a, b))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """Quotient; towards zero for integers."""
    fitting(a, b)
    if a.is_floating_point() or b.is_floating_point():
        return torch.div(a, b)
    # The lowest integer divided by -1 ends the process; its negative is itself, as integers go round.
    turned = b == -1
    return torch.where(turned, -a, torch.div(a, torch.where(turned, 1, b), rounding_mode="trunc"))


def power(a: Tensor, b: Tensor) -> Tensor:
    """Power."""
    return torch.pow(*fitting(a, b)).to(a.dtype)


def mean(*tensors: Tensor) -> Tensor:
    """Mean of tensors."""
    return add(*tensors) / len(tensors)


def maximum(*tensors: Tensor) -> Tensor:
    """Largest of tensors."""
    return functools.reduce(torch.maximum, fitting(*tensors))


def minimum(*tensors: Tensor) -> Tensor:
    """Smallest of tensors."""
    return functools.reduce(torch.minimum, fitting(*tensors))


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Numbers of `a` where the condition holds, else of `b`."""
    fitting(condition, a, b)
    return torch.where(condition, a, b)


def equal(a: Tensor, b: Tensor) -> Tensor:
    """Where two are equal."""
    return torch.eq(*fitting(a, b))


def greater(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is larger."""
    return torch.gt(*fitting(a, b))


def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is as large or larger."""
    return torch.ge(*fitting(a, b))


def less(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is smaller."""
    return torch.lt(*fitting(a, b))


def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Where the first is as small or smaller."""
    return torch.le(*fitting(a, b))


def both(a: Tensor, b: Tensor) -> Tensor:
    """Where both are true."""
    return torch.logical_and(*fitting(a, b))


def either(a: Tensor, b: Tensor) -> Tensor:
    """Where one is true."""
    return torch.logical_or(*fitting(a, b))


def either_alone(a: Tensor, b: Tensor) -> Tensor:
    """Where exactly one is true."""
    return torch.logical_xor(*fitting(a, b))


def remainder(a: Tensor, b: Tensor, towards_zero: bool) -> Tensor:
    """What a quotient leaves, with the sign of the divisor, or of the dividend where quotients go towards zero."""
    fitting(a, b)
    if a.is_floating_point() and not towards_zero:
        raise ValueError("Mod of floats needs fmod=1")
    return torch.fmod(a, b) if towards_zero else torch.remainder(a, b)


def is_infinite(x: Tensor, negative: bool, positive: bool) -> Tensor:
    """Where numbers are minus or plus infinity, of which either may count or not."""
    if negative and positive:
        return torch.isinf(x)
    if not (negative or positive):
        return torch.zeros_like(x, dtype=torch.bool)
    return x == (-torch.inf if negative else torch.inf)


def cast(x: Tensor, kind: str) -> Tensor:
    """Floats stay as they are, so that float64 is not rounded to what the file says."""
    if kind == "float":
        return x if x.is_floating_point() else x.to(torch.float64)
    return x.to(torch.int64 if kind == "int" else torch.bool)


def whole(x: Tensor) -> Tensor:
    """Floats without what is behind the point, as casts to integers leave them."""
    return torch.trunc(x) if x.is_floating_point() else x.to(torch.float64)


def is_true(x: Tensor) -> Tensor:
    """Whether numbers are not 0, as casts to truth values have it."""
    return x if x.dtype == torch.bool else x != 0


def _power(o: Operation) -> Any:
    x, exponent = o.take(2)
    return x if o.building.scalar(exponent) == 1 and exponent.ndim == 0 else o.call(power, x, exponent)


def _cast(o: Operation) -> Any:
    return _cast_to(o, kind_of(o.node.get("to", 0)))


def _cast_like(o: Operation) -> Any:
    _, other = o.take(2)
    if isinstance(other, Tensor):
        return _cast_to(o, "float" if other.is_floating_point() else "bool" if other.dtype == torch.bool else "int")
    return _cast_to(o, "int" if other in o.building.integers or other not in o.building.data else "float")


def _cast_to(o: Operation, kind: str | None) -> Any:
    (x,), building = o.take(1), o.building
    if kind is None:
        raise UnsupportedOperation("it casts to what is no number of a type that torch computes with")
    if not isinstance(x, fx.Node) or x not in building.data or kind == "float":
        return o.call(cast, x, kind)
    # Both jump where numbers hang on the model's input: along rays that move these they are refused.
    if kind == "bool":
        return o.call(is_true, x)
    # Integers stay float64: a node of its own, as they are integers from here on.
    node = o.call(cast, x, "float") if x in building.integers | building.whole else o.call(whole, x)
    building.integers.add(node)
    return node


TABLE = {
    "Add": plain(add),
    "Sum": plain(add),
    "Sub": plain(subtract),
    "Mul": plain(multiply),
    "Div": plain(divide),
    "Pow": Operator(_power),
    "Mean": plain(mean),
    "Max": plain(maximum),
    "Min": plain(minimum),
    "Neg": plain(torch.neg),
    "Abs": plain(torch.abs),
    "Exp": plain(torch.exp),
    "Log": plain(torch.log),
    "Sqrt": plain(torch.sqrt),
    "Reciprocal": plain(torch.reciprocal),
    "Sign": plain(torch.sign),
    "Floor": plain(torch.floor),
    "Ceil": plain(torch.ceil),
    "Round": plain(torch.round),
    "Mod": Operator(lambda o: o.call(remainder, *o.take(2), bool(o.node.get("fmod", 0)))),
    **{name: plain(getattr(torch, name.lower())) for name in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Asin", "Acos")},
    **{name: plain(getattr(torch, name.lower())) for name in ("Asinh", "Acosh", "Atanh")},
    "Identity": moving(lambda o: o.take(1)[0]),
    "Cast": Operator(_cast, takes_integers=True),
    "CastLike": Operator(_cast_like, takes_integers=True),
    # What is chosen, and what is compared with, may be open: no bound, or no number in place of a gap.
    "Where": plain(where, open_=True),
    # Whole numbers are equal as floats, too.
    "Equal": Operator(lambda o: o.call(equal, *o.take(2), open_=True), takes_integers=True),
    "Greater": plain(greater, open_=True),
    "GreaterOrEqual": plain(greater_or_equal, open_=True),
    "Less": plain(less, open_=True),
    "LessOrEqual": plain(less_or_equal, open_=True),
    "Not": plain(torch.logical_not),
    "IsNaN": plain(torch.isnan),
    "IsInf": Operator(
        lambda o: o.call(
            is_infinite, *o.take(1), bool(o.node.get("detect_negative", 1)), bool(o.node.get("detect_positive", 1))
        )
    ),
    "And": plain(both),
    "Or": plain(either),
    "Xor": plain(either_alone),
}
