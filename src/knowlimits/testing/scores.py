"""A check of uncertainty scores, which samples what their limits rest on."""

from collections.abc import Callable

import torch
from torch import Tensor

# Segments are halved so often that what is left of them is below the rounding of a probability.
_HALVINGS = 60
# A change across what is left, as a share of the whole range of the score, that counts as a jump.
_JUMP = 1e-3


def check_score(
    score: Callable[[Tensor], Tensor], *, members: int = 4, classes: int = 3, samples: int = 200, seed: int = 0
) -> None:
    """Check that an uncertainty score is what the library takes it for, above all that it is continuous.

    The limit of a score along a ray is its value at the limiting probabilities if it is continuous, and may be anything if it
    is not. Continuity is sampled: on segments between probabilities with ties, votes that tie, zeros, certainty and none of
    these, the half across which the score changes more is halved again and again, and in the end nothing of the change may be
    left. Beside that, larger must mean less sure; gradients with respect to logits must be finite, also where probabilities
    underflow to zero; and a row's score must hang on that row alone.

    Args:
        score: maps ``(members, n, classes)`` probabilities to ``(n,)``, both torch tensors in float64.
        members: how many, at least 2.
        classes: how many, at least 2.
        samples: how many segments.
        seed: of the probabilities.

    Raises:
        AssertionError: where the score is not as it should be; the text says what, and for which probabilities.

    Example:
        >>> import knowlimits as kl
        >>> kl.testing.check_score(kl.scores.entropy)
        >>> kl.testing.check_score(lambda probs: 1 - probs.amax(2).mean(0))
    """
    if members < 2 or classes < 2:
        raise ValueError(f"members and classes must be at least 2. Got {members} and {classes} instead.")
    generator = torch.Generator().manual_seed(seed)
    points = torch.cat(
        [_special_probabilities(members, classes), _drawn_probabilities(members, classes, samples, generator)], 1
    )
    values = _values(score, points)
    _check_direction(score, members, classes, points, values)
    order = torch.randperm(points.shape[1], generator=generator)
    apart = torch.cat([_values(score, points[:, i : i + 1]) for i in order.tolist()])
    torch.testing.assert_close(
        apart, values[order], rtol=1e-9, atol=1e-12, msg=lambda text: f"a row's score must not hang on other rows: {text}"
    )
    _check_continuity(score, points, values, samples, generator)
    _check_gradients(score, points)


def _special_probabilities(members: int, classes: int) -> Tensor:
    """Probabilities at which scores may break: certainty, ties of classes and of votes, zeros, almost certainty."""
    sure = torch.eye(classes, dtype=torch.float64)
    flat = torch.full((classes,), 1 / classes, dtype=torch.float64)
    tie = (sure[0] + sure[1]) / 2
    almost = torch.tensor([0.0, -800.0] + [-400.0] * (classes - 2), dtype=torch.float64).softmax(0)
    half = torch.arange(members)[:, None] < members // 2
    split = [
        torch.where(half, one, other) for one, other in ((sure[0], sure[1]), (0.9 * sure[0] + 0.1 * flat, tie), (tie, flat))
    ]
    alike = [p.expand(members, -1) for p in (sure[0], sure[1], flat, tie, almost, 0.5 * tie + 0.5 * flat)]
    return torch.stack([*alike, *split], 1)


def _drawn_probabilities(members: int, classes: int, count: int, generator: torch.Generator) -> Tensor:
    """Softmax of logits from hardly to very far apart; in some the members agree, in some classes are out of the question."""
    shape = (members, count, classes)
    scale = 10.0 ** (4 * torch.rand((1, count, 1), generator=generator, dtype=torch.float64) - 1)
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    logits[:, ::5] = logits[:1, ::5]
    return logits.softmax(-1)


def _values(score: Callable[[Tensor], Tensor], probs: Tensor) -> Tensor:
    with torch.no_grad():
        values = score(probs)
    assert isinstance(values, Tensor), f"a score must return a tensor, got {type(values).__name__}"
    expected = (probs.shape[1],)
    assert tuple(values.shape) == expected, f"a score must have shape (n,), here {expected}, got {tuple(values.shape)}"
    values = values.double()
    assert values.isfinite().all(), f"a score must be finite, got {_first(probs, values, ~values.isfinite())}"
    return values


def _first(probs: Tensor, values: Tensor, where: Tensor) -> str:
    place = int(where.nonzero()[0])
    return (
        f"{values[place].item():.6g} for probabilities {[[float(f'{p:.6g}') for p in row] for row in probs[:, place].tolist()]}"
    )


def _check_direction(score: Callable[[Tensor], Tensor], members: int, classes: int, points: Tensor, values: Tensor) -> None:
    votes = torch.eye(classes, dtype=torch.float64)[torch.arange(members) % 2][:, None]
    certain = torch.eye(classes, dtype=torch.float64)[0].expand(members, 1, classes)
    # Each member is unsure, and they are not of one mind.
    sure, unsure = (_values(score, probs)[0] for probs in (certain, 0.6 * votes + 0.4 / classes))
    assert unsure > sure, (
        f"larger must mean less sure, got {unsure:.6g} where members are unsure, {sure:.6g} where they are certain"
    )
    slack = 1e-9 * (values.max() - values.min())
    below = values < sure - slack
    assert not below.any(), f"nothing may be surer than certainty ({sure:.6g}), got {_first(points, values, below)}"


def _check_continuity(
    score: Callable[[Tensor], Tensor], points: Tensor, values: Tensor, samples: int, generator: torch.Generator
) -> None:
    special = points.shape[1] - samples
    # From each special point to several others, and between others.
    start = torch.arange(samples) % (2 * special)
    start = torch.where(start < special, start, torch.randint(points.shape[1], (samples,), generator=generator))
    end = torch.randint(points.shape[1], (samples,), generator=generator)
    low, high = points[:, start], points[:, end]
    size = values.max() - values.min()

    def between(share: Tensor) -> Tensor:
        return low + share[:, None] * (high - low)

    # Next to the start, where a score may be something of its own.
    after = between(torch.full((samples,), 1e-12, dtype=torch.float64))
    _refuse_jumps(low, _values(score, low), after, _values(score, after), size)
    left, right = torch.zeros(samples, dtype=torch.float64), torch.ones(samples, dtype=torch.float64)
    at_left, at_right = _values(score, low), _values(score, high)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        at_middle = _values(score, between(middle))
        first = (at_middle - at_left).abs() >= (at_right - at_middle).abs()
        right, at_right = torch.where(first, middle, right), torch.where(first, at_middle, at_right)
        left, at_left = torch.where(first, left, middle), torch.where(first, at_left, at_middle)
    _refuse_jumps(between(left), at_left, between(right), at_right, size)


def _refuse_jumps(one: Tensor, at_one: Tensor, other: Tensor, at_other: Tensor, size: Tensor) -> None:
    jumps = (at_one - at_other).abs() > _JUMP * size
    assert not jumps.any(), (
        "a score must be continuous, or its limit along a ray is not its value at the limiting probabilities; got "
        f"{_first(one, at_one, jumps)}, and next to it {_first(other, at_other, jumps)}"
    )


def _check_gradients(score: Callable[[Tensor], Tensor], points: Tensor) -> None:
    # The logarithm of zero is minus infinity, of which softmax has no gradient; a number that underflows does.
    logits = points.log().clamp(min=-3000.0).requires_grad_()
    with torch.enable_grad():
        total = score(logits.softmax(-1)).sum()
    assert total.requires_grad, "a score must have a gradient: write it in operations of torch that have one"
    (gradient,) = torch.autograd.grad(total, logits)
    wrong = ~gradient.isfinite().all(2).all(0)
    assert not wrong.any(), f"gradients of a score must be finite, they are not at {_first(points, points[0, :, 0], wrong)}"
