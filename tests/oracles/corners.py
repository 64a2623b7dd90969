"""A ReLU network along a ray in rational arithmetic: its values wherever a unit changes, and beyond."""

from fractions import Fraction

import numpy as np

_exact = np.vectorize(Fraction, otypes=[object])


def corners(weights, biases, x, d, start):
    """Pairs of an `a` from `start` on and the outputs there: at the start, at every kink, and at two places beyond the last.

    Between two of them the outputs are affine in `a`.

    Args:
        weights, biases: of the layers, from the input to the output.
        x, d: start and direction of the ray.
        start: where to begin.
    """
    layers = [(_exact(w), _exact(b)) for w, b in zip(weights, biases, strict=True)]
    x, d, a = _exact(x), _exact(d), Fraction(start)
    while a is not None:
        values, following = _after(layers, x, d, a)
        yield a, values
        last, a = a, following
    for a in (2 * last + 1, 1000 * last + 1000):
        yield a, _after(layers, x, d, a)[0]


def _after(layers, x, d, a):
    """Outputs at some `a`, and where the next unit changes; None where none does."""
    value, slope, crossings = x + a * d, d, []
    for weight, bias in layers[:-1]:
        value, slope = weight @ value + bias, weight @ slope
        crossings += [a - v / s for v, s in zip(value, slope, strict=True) if v * s < 0]
        on = np.array([v > 0 or (v == 0 and s > 0) for v, s in zip(value, slope, strict=True)])
        value, slope = value * on, slope * on
    weight, bias = layers[-1]
    return weight @ value + bias, min(crossings, default=None)
