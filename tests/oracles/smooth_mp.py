"""Smooth functions in extended precision, and a unit behind a layer of them."""

import math

import mpmath
from mpmath import mpf

DIGITS = 60

FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "atan": mpmath.atan,
    "gelu": lambda x: x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3))) / 2,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    # Torch has x itself beyond a threshold.
    "softplus": lambda x: x if x > 20 else mpmath.log1p(mpmath.exp(x)),
    "softplus_low": lambda x: x if x > 2 else mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "celu": lambda x: x if x > 0 else mpmath.expm1(x / 3) * 3,
    "elu": lambda x: x if x > 0 else 100 * mpmath.expm1(x),
    # Torch's own constants, as it has them in float32 and in float64.
    "selu": lambda x: _SELU_SCALE * (x if x > 0 else _SELU_ALPHA * mpmath.expm1(x)),
    "erfc": lambda x: 1 - mpmath.erf(x),
}
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def value(name, x):
    """A function at a float, as mpmath's number."""
    with mpmath.workdps(DIGITS):
        return FUNCTIONS[name](mpf(float(x)))


def unit(name, origin, weight, bias, outer, shift):
    """``outer @ f(weight @ origin + bias) + shift``, floats taken as they are."""
    with mpmath.workdps(DIGITS):
        inner = [
            sum(mpf(w) * mpf(x) for w, x in zip(row, origin, strict=True)) + mpf(b) for row, b in zip(weight, bias, strict=True)
        ]
        return sum(mpf(o) * FUNCTIONS[name](z) for o, z in zip(outer, inner, strict=True)) + mpf(shift)


assert math.isclose(_SELU_ALPHA * _SELU_SCALE, 1.7580993408473768)
