"""Checks for what a person adds: entries of the table of operations, and uncertainty scores.

Those of operations compare what the ray evaluator says with plain forward passes, which know nothing of the table. That of
scores samples what their limits rest on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.follow import follow


def draw_rays(shape: Sequence[int], rays: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Starts and directions of rays, ``(rays, *shape)``, degenerate ones among them: no direction, few features, ties."""
    generator = torch.Generator().manual_seed(seed)
    origins, directions = torch.randn(2, rays, *shape, generator=generator, dtype=torch.float64)
    directions[0] = 0
    # Along most features nothing happens, and numbers repeat.
    directions[1::4] *= torch.rand(directions[1::4].shape, generator=generator) < 0.3
    directions[2::4] = directions[2::4].round()
    origins[3::4] = origins[3::4].round()
    directions[3::4] = directions[3::4].round()
    return origins, directions


def check_ray(
    function: Callable[[Tensor], Any], shape: Sequence[int], *, smooth: bool = False, rays: int = 12, seed: int = 0
) -> None:
    """Check a function, such as a module, along rays against its own forward pass far out.

    Args:
        function: maps ``(n, *shape)`` to a tensor whose first axis is `n`.
        shape: of one input.
        smooth: whether it only tends to its asymptote; else it must be equal to it, up to rounding, beyond the radius.
        rays: how many.
        seed: of the rays.

    The bounds on errors that `certify` goes by are checked as well, as they hang on what an entry says of itself: inputs are
    moved by a little, and no result may move by more than its bound. So a steepness that is too small is seen.

    Raises:
        AssertionError: where the two differ, or a bound does not hold.
    """
    module = function.double().requires_grad_(False) if isinstance(function, nn.Module) else function
    origins, directions = draw_rays(shape, rays, seed)
    with torch.no_grad():
        end = follow(module, origins, directions, certify=not smooth)
        if smooth:
            radii = [torch.full((rays,), 1e7, dtype=torch.float64), torch.full((rays,), 1e9, dtype=torch.float64)]
        else:
            assert not end.radius.isnan().any(), "radius is nan for a function that is called piecewise linear"
            radii = [2 * end.radius + 1, 1000 * end.radius + 1]
        for radius in radii:
            a = radius.reshape(-1, *[1] * len(shape))
            actual = module(origins + a * directions)
            a = radius.reshape(-1, *[1] * (actual.ndim - 1))
            expected = end.rate * a + end.offset
            # The sizes of what was added up: more than the result's own where that cancels.
            size = (1 + origins.abs().amax() + radius * directions.abs().flatten(1).amax(1)).reshape(a.shape)
            if smooth:
                torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-5)
            else:
                torch.testing.assert_close(actual / size, expected / size, rtol=1e-11, atol=1e-11)

    _check_bounds(module, shape, rays, 40 if smooth else 2, seed)


def _check_bounds(function: Callable[[Tensor], Any], shape: Sequence[int], rays: int, draws: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        origins, directions = draw_rays(shape, rays, int(torch.randint(2**31, (), generator=generator)))
        # Where smooth functions bend most, and at rest, as only there their steepness counts.
        origins = 16 * torch.rand(origins.shape, generator=generator, dtype=torch.float64) - 8
        directions[1::2] = 0
        shifts = 1e-6 * (2 * torch.randint(2, (2, *origins.shape), generator=generator).double() - 1)
        # A direction that may be zero or not decides nothing.
        shifts[0] *= directions != 0
        with torch.no_grad():
            end = follow(function, origins, directions, certify=True, errors=(shifts[0].abs(), shifts[1].abs()))
            moved = follow(function, origins + shifts[1], directions + shifts[0])
        assert end.certain is not None
        assert end.errors is not None
        for name, before, after, bound in (
            ("rate", end.rate, moved.rate, end.errors[0]),
            ("offset", end.offset, moved.offset, end.errors[1]),
        ):
            assert (bound >= 0).all(), f"the bound on the error of the {name} is negative somewhere"
            certain = end.certain.reshape(-1, *[1] * (before.ndim - 1))
            excess = ((after - before).abs() - bound * (1 + 1e-6))[certain.expand(before.shape)]
            assert not (excess > 0).any(), f"the {name} moves by {float(excess.max()):.1e} more than its bound says"


def check_radius(function: Callable[[Tensor], Tensor], shape: Sequence[int], *, rays: int = 12, seed: int = 0) -> None:
    """Check that a function still differs from its asymptote just inside the radius, where it has units that change there.

    For functions whose every kink shows in their output, such as one operation alone.
    """
    origins, directions = draw_rays(shape, rays, seed)
    with torch.no_grad():
        end = follow(function, origins, directions)
        moving = end.radius > 0
        assert moving.any(), "no ray meets a kink: choose another shape or seed"
        a = (0.99 * end.radius).reshape(-1, *[1] * len(shape))
        actual = function(origins + a * directions)
        a = (0.99 * end.radius).reshape(-1, *[1] * (actual.ndim - 1))
        gap = (actual - end.rate * a - end.offset).abs().reshape(len(a), -1).amax(1)
        assert (gap[moving] > 1e-12 * end.radius[moving]).all(), "a ray is on its asymptote before its radius"


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
