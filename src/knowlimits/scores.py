"""Uncertainty scores of the probabilities of one or more members, and their gradients with respect to the input.

Every score takes ``(members, n, classes)`` probabilities, a torch tensor or a numpy array, and returns ``(n,)`` of the same
kind in float64. Larger means less sure. Far from the data probabilities underflow, and that is what the library is about:
so values keep their relative accuracy there without clamps or epsilons ([1, 1e-200] has `max_prob` 1e-200, not 0), and
gradients are finite also where a probability is exactly 0.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from knowlimits._machine import one_thread, rows_at_a_time
from knowlimits.model.model import Model
from knowlimits.model.read import read

Array = TypeVar("Array", Tensor, np.ndarray)

# Below this |u| the series of phi is exact to rounding with five terms.
_SERIES = 1e-3


def max_prob(probs: Array, *, base: float | None = None) -> Array:
    """One minus the largest mean probability, in [0, 1 - 1/classes] (Hendrycks and Gimpel, 2017); `base` is ignored."""
    return SCORES["max_prob"](probs, base=base)


def entropy(probs: Array, *, base: float | None = None) -> Array:
    """Entropy of the mean prediction, the total uncertainty, in [0, log classes].

    Args:
        probs: ``(members, n, classes)``.
        base: base of the logarithm; nats without it.
    """
    return SCORES["entropy"](probs, base=base)


def expected_entropy(probs: Array, *, base: float | None = None) -> Array:
    """Mean of the members' entropies, the aleatoric uncertainty (Smith and Gal, 2018).

    Args:
        probs: ``(members, n, classes)``.
        base: base of the logarithm; nats without it.
    """
    return SCORES["expected_entropy"](probs, base=base)


def variance(probs: Array, *, base: float | None = None) -> Array:
    """Mean over the classes of the unbiased variance over the members; exactly 0 where they agree; `base` is ignored."""
    return SCORES["variance"](probs, base=base)


def mutual_information(probs: Array, *, base: float | None = None) -> Array:
    """Entropy of the mean minus mean entropy, the epistemic uncertainty (Smith and Gal, 2018); exactly 0 where members agree.

    Args:
        probs: ``(members, n, classes)``.
        base: base of the logarithm; nats without it.
    """
    return SCORES["mutual_information"](probs, base=base)


@dataclass(frozen=True)
class Score:
    """A score in the registry, to be called as the functions here are.

    A score must be continuous in the probabilities, also at zeros and ties: only then is its limit along a ray its value at the
    limiting probabilities, which is what `FarField.score` says. `knowlimits.testing.check_score` checks it.

    Attributes:
        function: of ``(members, n, classes)`` probabilities, a tensor in float64, to ``(n,)``.
        in_nats: whether it is an entropy, which a base of the logarithm divides.
        of_members: whether it says nothing of its own where there is one member.
        also: other names for it.
    """

    function: Callable[[Tensor], Tensor]
    in_nats: bool = False
    of_members: bool = False
    also: tuple[str, ...] = ()

    def __call__(self, probs: Array, *, base: float | None = None) -> Array:
        """The score of probabilities, a torch tensor or a numpy array."""
        return _public(self.function, probs, base if self.in_nats else None)


def names(members: int = 2) -> tuple[str, ...]:
    """The names of the scores that say something of their own for so many members."""
    return tuple(name for name, one in SCORES.items() if members > 1 or not one.of_members)


def score(probs: Array, name: str, *, base: float | None = None) -> Array:
    """The score called `name`, or also so, in `SCORES` of ``(members, n, classes)`` probabilities.

    Raises:
        ValueError: for an unknown name.
    """
    return _named(name)(probs, base=base)


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the last axis, in float64."""
    return logits.double().softmax(-1)


def gradient_magnitude(model: Any, X: Any, name: str, *, base: float | None = None, outputs: str | None = None) -> np.ndarray:
    """Euclidean length of the gradient of a score with respect to every input row, ``(n,)``, by automatic differentiation.

    A module is evaluated in float64 on a copy, so that it stays as it was.

    Args:
        model: what `knowlimits.far_field` takes.
        X: inputs, ``(n, features)``, or ``(n, ...)`` as the model takes them.
        name: a name in `SCORES`.
        base: base of the logarithm of entropies; nats without it.
        outputs: as `knowlimits.read` has it.

    Raises:
        TypeError: if the model is no network.
    """
    model = read(model, outputs, X)
    check_gradients(model)
    rows = model.points("X", X)
    with model.threads(rows[:1].numel()):
        parts = model.in_blocks(rows.to(model.device))
        return torch.cat([gradient_lengths(model.probabilities, part, name, base).cpu() for part in parts]).numpy()


def check_gradients(model: Model) -> None:
    """Refuse a model without gradients.

    Raises:
        TypeError: with what it is made of.
    """
    if model.no_network:
        raise TypeError(
            f"model must be a network where gradients are asked for. {model.no_network}, without any: see its scores instead."
        )


def gradient_lengths(probs: Callable[[Tensor], Tensor], rows: Tensor, name: str, base: float | None) -> Tensor:
    """Length of the gradient of a score of `probs(rows)`, ``(members, n, classes)``, with respect to every row, ``(n,)``."""
    function = _named(name)
    inputs = rows.detach().clone().requires_grad_()
    with torch.enable_grad():
        total = function(probs(inputs), base=base).sum()
        # A score that does not depend on the input (variance of one member) has gradient 0.
        (gradient,) = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else (None,)
    gradient = torch.zeros_like(inputs) if gradient is None else gradient
    gradient = gradient.flatten(1)
    # hypot-like scaling: squares of gradients below 1e-154 would underflow.
    largest = gradient.abs().amax(1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1.0)
    return (gradient / scale).square().sum(1).sqrt() * scale[:, 0]


def _named(name: str) -> Score:
    known = {called: one for first, one in SCORES.items() for called in (first, *one.also)}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"score must be one of {', '.join(known)}. Got {name!r} instead.{hint}")


def _public(function: Callable[[Tensor], Tensor], probs: Array, base: float | None) -> Array:
    """Check the arguments, compute in float64, return what was given: a tensor or an array."""
    if base is not None and not (base > 0 and base != 1):
        raise ValueError(f"base must be positive and not 1. Got {base!r} instead.")
    tensor = probs if isinstance(probs, Tensor) else torch.tensor(np.asarray(probs))
    _check_shape(tensor)
    with one_thread(tensor.device.type == "cpu"):
        parts = [_computed(function, part) for part in tensor.split(rows_at_a_time(tensor[:, :1].numel(), tensor.device), 1)]
    value = torch.cat(parts) if len(parts) > 1 else parts[0]
    if base is not None:
        value = value / math.log(base)
    return value if isinstance(probs, Tensor) else value.numpy()  # type: ignore[return-value]


def _computed(function: Callable[[Tensor], Tensor], probs: Tensor) -> Tensor:
    _check_values(probs)
    return function(probs.double())


def _check_shape(probs: Tensor) -> None:
    if probs.ndim != 3:
        hint = " Add a member axis in front, probs[None], for a single network." if probs.ndim == 2 else ""
        raise ValueError(f"probs must have shape (members, n, classes). Got {tuple(probs.shape)} instead.{hint}")
    if not probs.is_floating_point():
        raise TypeError(f"probs must be floating point. Got {probs.dtype} instead.")
    if probs.shape[0] < 1 or probs.shape[2] < 2:
        raise ValueError(f"probs must have a member and two classes at least. Got shape {tuple(probs.shape)} instead.")


def _check_values(probs: Tensor) -> None:
    values = probs.detach()
    if not values.numel():
        return
    low, high = values.aminmax()
    if not (low >= 0 and high <= 1 + 1e-3):
        raise ValueError("probs must be probabilities in [0, 1]. Got values outside, or values that are not numbers.")
    if float((_sum(values) - 1).abs().max()) > 1e-3:
        raise ValueError("probs must add up to 1 over the classes. Got sums that do not: pass probabilities, not logits.")


def _sum(probs: Tensor) -> Tensor:
    """The sum over the last axis; as a product, which takes a third of the time for few classes."""
    return probs @ probs.new_ones(probs.shape[-1])


def _mean(probs: Tensor) -> Tensor:
    """Mean over members that equals the common value exactly where they agree."""
    return probs[0] + (probs - probs[0]).mean(0)


def _rest(probs: Tensor) -> tuple[Tensor, Tensor]:
    """The index of the largest probability, and the sum of all others, which keeps its accuracy near 0."""
    largest = probs.argmax(-1, keepdim=True)
    return largest, _sum(probs.scatter(-1, largest, 0.0))


def _max_prob(probs: Tensor) -> Tensor:
    return _rest(probs.mean(0))[1]


def _entropy(probs: Tensor) -> Tensor:
    """Entropy over the last axis. The largest class enters through the others: -p log p = -p log1p(-rest)."""
    largest, rest = _rest(probs)
    p = probs.gather(-1, largest)[..., 0]
    sure = rest < 0.5
    log_p = torch.where(sure, torch.log1p(-torch.where(sure, rest, 0.0)), torch.log(torch.where(sure, 1.0, p)))
    others = probs.scatter(-1, largest, 0.0)
    positive = others > 0
    # Twice `where`: the logarithm's own gradient must be finite too. p log p and its gradient through softmax tend to 0.
    terms = torch.where(positive, others * torch.log(torch.where(positive, others, 1.0)), 0.0)
    return -p * log_p - terms.sum(-1)


def _entropy_of_mean(probs: Tensor) -> Tensor:
    return _entropy(probs.mean(0))


def _expected_entropy(probs: Tensor) -> Tensor:
    return _entropy(probs).mean(0)


def _variance(probs: Tensor) -> Tensor:
    if len(probs) == 1:
        return torch.zeros_like(probs[0, :, 0])
    deviation = probs - _mean(probs)
    return (deviation.square().sum(0) / (len(probs) - 1)).mean(-1)


def _mutual_information(probs: Tensor) -> Tensor:
    """Mean of KL(member, mean), as a sum of terms p_mean phi(p / p_mean - 1) that are never negative."""
    if len(probs) == 1:
        return torch.zeros_like(probs[0, :, 0])
    mean = probs.mean(0)
    agree = (probs == probs[0]).all(0)
    mean = torch.where(agree, probs[0], mean)
    # The reciprocal of a smaller number overflows, and so would the gradient.
    positive = mean >= torch.finfo(mean.dtype).tiny
    u = (probs - mean) / torch.where(positive, mean, 1.0)
    return torch.where(positive, mean * _phi(u), 0.0).sum(-1).mean(0)


def _phi(u: Tensor) -> Tensor:
    """(1 + u) log(1 + u) - u for u >= -1."""
    small = u.abs() < _SERIES
    s = torch.where(small, u, 0.0)
    series = s * s * (1 / 2 - s * (1 / 6 - s * (1 / 12 - s * (1 / 20 - s / 30))))
    inside = (u > -1) & ~small
    v = torch.where(inside, u, 1.0)
    direct = (1 + v) * torch.log1p(v) - v
    return torch.where(small, series, torch.where(inside, direct, 1.0))


#: By name, each once. A score of one's own: enter it here, and panels and audits have it.
SCORES: dict[str, Score] = {
    "max_prob": Score(_max_prob),
    "entropy": Score(_entropy_of_mean, in_nats=True, also=("total",)),
    "expected_entropy": Score(_expected_entropy, in_nats=True, of_members=True, also=("aleatoric",)),
    "variance": Score(_variance, of_members=True),
    "mutual_information": Score(_mutual_information, in_nats=True, of_members=True, also=("epistemic",)),
}
