"""The confidence of ReLU networks along a segment, slowly: kinks in fractions, then more digits than floats, and a search."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from mpmath import mp, mpf

_DIGITS = 40


def chain(weights, biases, start, end):
    """Where a network's units change along a segment, 0 and 1 among them, and its outputs there, in fractions.

    Args:
        weights, biases: of its layers, nested lists of floats; a ReLU is between any two.
        start, end: lists of floats.
    """
    places = [Fraction(0), Fraction(1)]
    values = [[Fraction(v) for v in point] for point in (start, end)]
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if layer:
            places, values = _with_kinks(places, values)
            values = [[max(v, Fraction(0)) for v in row] for row in values]
        values = [
            [
                sum((Fraction(w) * v for w, v in zip(ws, row, strict=True)), Fraction(b))
                for ws, b in zip(weight, bias, strict=True)
            ]
            for row in values
        ]
    return places, values


def _with_kinks(places, values):
    """The same with all places at which a value changes its sign."""
    more = []
    for (a, left), (b, right) in pairwise(zip(places, values, strict=True)):
        crossings = {a + (b - a) * u / (u - v) for u, v in zip(left, right, strict=True) if u * v < 0}
        more += [(a, left)]
        more += [(t, [u + (v - u) * (t - a) / (b - a) for u, v in zip(left, right, strict=True)]) for t in sorted(crossings)]
    more.append((places[-1], values[-1]))
    return [t for t, _ in more], [row for _, row in more]


class Confidence:
    """The mean probabilities of some networks along a segment, in extended precision between kinks that are exact.

    Args:
        members: weights and biases of each, as `chain` takes them; one output is a logit f, for (0, f).
        start, end: lists of floats.
    """

    def __init__(self, members, start, end):
        self.chains = [chain(weights, biases, start, end) for weights, biases in members]
        self.places = sorted({float(t) for places, _ in self.chains for t in places})
        self._arrays = [(_extended(places), np.stack([_extended(row) for row in rows])) for places, rows in self.chains]

    def probabilities(self, t):
        """At some places ``(n,)``, ``(n, classes)``."""
        t, parts = np.asarray(t, dtype=np.longdouble), []
        for places, rows in self._arrays:
            k = np.clip(np.searchsorted(places, t, side="right") - 1, 0, len(places) - 2)
            share = ((t - places[k]) / (places[k + 1] - places[k]))[:, None]
            logits = rows[k] + (rows[k + 1] - rows[k]) * share
            logits = logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], 1)
            exponentials = np.exp(logits - logits.max(1, keepdims=True))
            parts.append(exponentials / exponentials.sum(1, keepdims=True))
        return np.mean(parts, axis=0)

    def at(self, t):
        """The confidence at one place in 40 digits, from its exact logits."""
        t, total = Fraction(t), None
        with mp.workdps(_DIGITS):
            for places, values in self.chains:
                k = max(i for i, place in enumerate(places[:-1]) if place <= t)
                share = (t - places[k]) / (places[k + 1] - places[k])
                logits = [u + (v - u) * share for u, v in zip(values[k], values[k + 1], strict=True)]
                logits = logits if len(logits) > 1 else [Fraction(0), *logits]
                parts = [mp.exp(mpf((z - max(logits)).numerator) / (z - max(logits)).denominator) for z in logits]
                probs = [p / sum(parts) for p in parts]
                total = probs if total is None else [a + b for a, b in zip(total, probs, strict=True)]
            return max(total) / len(self.chains)

    def extremes(self, points=64):
        """The smallest and the largest confidence, by a grid on each piece and golden sections around what is best on it."""
        grid = np.unique(np.concatenate([np.linspace(a, b, points) for a, b in pairwise(self.places)]))
        return self._best(grid, -1), self._best(grid, 1)

    def _best(self, grid, sign):
        values = sign * self.probabilities(grid).max(1)
        inside = np.pad(values, 1, constant_values=-2)
        tops = np.flatnonzero((values >= inside[:-2]) & (values >= inside[2:]))
        tops = tops[np.argsort(-values[tops])[:200]]
        a, b = (grid[np.clip(tops + k, 0, len(grid) - 1)].astype(np.longdouble) for k in (-1, 1))
        best, share = values.max(), (np.sqrt(np.longdouble(5)) - 1) / 2
        for _ in range(80):
            c, d = b - (b - a) * share, a + (b - a) * share
            left, right = (sign * self.probabilities(t).max(1) for t in (c, d))
            best = max(best, left.max(), right.max())
            a, b = np.where(left >= right, a, c), np.where(left >= right, d, b)
        return sign * best


def _extended(numbers):
    """Fractions as long doubles."""
    parts = []
    for number in numbers:
        high = float(number)
        parts.append(np.longdouble(high) + np.longdouble(float(number - Fraction(high))))
    return np.array(parts)
