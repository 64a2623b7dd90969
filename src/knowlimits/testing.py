"""Checks for entries of the table of operations, ours and those of a person who registers one.

Each compares what the ray evaluator says with plain forward passes, which know nothing of the table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.piecewise import follow


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

    Raises:
        AssertionError: where the two differ.
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
