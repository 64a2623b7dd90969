"""Checks of entries in the table of operations: what the ray evaluator says, against plain forward passes far out.

Those know nothing of the table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.follow import follow


def draw_rays(shape: Sequence[int], rays: int = 12, seed: int = 0, held: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Starts and directions of rays, ``(rays, *shape)``, degenerate ones among them: no direction, few features, ties.

    Args:
        shape: of one input.
        rays: how many.
        seed: of them.
        held: places along the last axis that no ray moves, with whole numbers from 0 to 3.
    """
    generator = torch.Generator().manual_seed(seed)
    origins, directions = torch.randn(2, rays, *shape, generator=generator, dtype=torch.float64)
    directions[0] = 0
    # Along most features nothing happens, and numbers repeat.
    directions[1::4] *= torch.rand(directions[1::4].shape, generator=generator) < 0.3
    directions[2::4] = directions[2::4].round()
    origins[3::4] = origins[3::4].round()
    directions[3::4] = directions[3::4].round()
    if held:
        directions[..., held] = 0
        origins[..., held] = torch.randint(4, origins[..., held].shape, generator=generator).to(origins.dtype)
    return origins, directions


def check_ray(
    function: Callable[[Tensor], Any],
    shape: Sequence[int],
    *,
    smooth: bool = False,
    rays: int = 12,
    seed: int = 0,
    held: Sequence[int] = (),
) -> None:
    """Check a function, such as a module, along rays against its own forward pass far out.

    Args:
        function: maps ``(n, *shape)`` to a tensor whose first axis is `n`.
        shape: of one input.
        smooth: whether it only tends to its asymptote; else it must be equal to it, up to rounding, beyond the radius.
        rays: how many.
        seed: of the rays.
        held: places along the last axis that are left alone, with whole numbers from 0 to 3, such as codes.

    The bounds on errors that `certify` goes by are checked as well, as they hang on what an entry says of itself: inputs are
    moved by a little, and no result may move by more than its bound. So a steepness that is too small is seen.

    Raises:
        AssertionError: where the two differ, or a bound does not hold.
    """
    module = function.double().requires_grad_(False) if isinstance(function, nn.Module) else function
    origins, directions = draw_rays(shape, rays, seed, held)
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

    _check_bounds(module, shape, rays, 40 if smooth else 2, seed, held)


def _check_bounds(
    function: Callable[[Tensor], Any], shape: Sequence[int], rays: int, draws: int, seed: int, held: Sequence[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        origins, directions = draw_rays(shape, rays, int(torch.randint(2**31, (), generator=generator)), held)
        codes = origins[..., held]
        # Where smooth functions bend most, and at rest, as only there their steepness counts.
        origins = 16 * torch.rand(origins.shape, generator=generator, dtype=torch.float64) - 8
        directions[1::2] = 0
        shifts = 1e-6 * (2 * torch.randint(2, (2, *origins.shape), generator=generator).double() - 1)
        # A direction that may be zero or not decides nothing.
        shifts[0] *= directions != 0
        if held:
            # What codes are is known.
            origins[..., held], shifts[..., held] = codes, 0
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
