"""Where along each ray something changes for the last time, and whether what was decided on the way is beyond doubt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from knowlimits.follow import owners as owned
from knowlimits.follow.refusals import check_finite


class Changes:
    """What is noted of each ray.

    Args:
        rays: how many, by their labels.
        like: a tensor of the same type and on the same device as their numbers.

    Attributes:
        radius: the largest `a` at which something changes; 0 where nothing does, nan where something never ceases to.
        undecided: whether a decision lay within the bound on its rounding error.
    """

    def __init__(self, rays: int, like: Tensor):
        self.rays = rays
        self.radius = like.new_zeros(rays)
        self.undecided = torch.zeros(rays, dtype=torch.bool, device=like.device)

    def crossed(
        self, rate: Tensor, offset: Tensor, owners: Tensor, errors: Sequence[Tensor] | None, counts: Tensor | None = None
    ) -> None:
        """Note the last `a` at which differences of candidates change their sign, and whether signs are beyond doubt."""
        with torch.no_grad():
            check_finite("a maximum", rate, offset)
            crossing = torch.where(rate == 0, -torch.inf, -offset / rate)
            self.met(crossing, owners)
            if errors is None:
                return
            clear = (rate.abs() > errors[0]) | (
                (rate == 0) & (errors[0] == 0) & ((offset.abs() > errors[1]) | (errors[1] == 0))
            )
            if counts is not None:
                # Numbers that are equal bit for bit are one candidate given twice.
                clear |= (counts == 0) | ((rate == 0) & (offset == 0))
            self.doubted(~clear, owners)

    def met(self, last: Tensor, owners: Tensor) -> None:
        """Note the last `a` at which each number changes, minus infinity for those that do not."""
        self.radius = torch.maximum(self.radius, owned.largest(last, owners, self.rays))

    def last(self, rays: Tensor, radius: Tensor) -> None:
        """Note the last changes of some rays, which may be there several times."""
        self.radius.scatter_reduce_(0, rays, radius, "amax")

    def doubted(self, doubt: Tensor, owners: Tensor) -> None:
        """Note that decisions are in doubt."""
        self.undecided |= owned.largest(doubt.to(self.radius.dtype), owners, self.rays) > 0

    def moving(self, moves: Tensor, owners: Tensor) -> bool:
        """Note that what is bent still moves, so that it never reaches its limit: the radius is nan. Say whether any does."""
        still = owned.largest(moves.to(self.radius.dtype), owners, self.rays) > 0
        self.radius = torch.where(still, torch.nan, self.radius)
        return bool(still.any())
