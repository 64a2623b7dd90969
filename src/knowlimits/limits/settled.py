"""Where logits settle: from where on what still changes moves them by no more than rounding.

Weight decay leaves units with weights of 1e-15 and ordinary biases, which change at 1e15 and move nothing that anybody could
see. So the radius is right there and says nothing. For an `a` before it, `knowlimits.follow.follow_beyond` bounds how far each
logit may be from a straight line at any larger `a`. Where one class grows faster than all others, growth decides: the logits
have settled where they are near some lines, within the bound on the rounding errors of ``rate * a``. Where several classes
share the largest rate, their offsets decide: they must be as near their asymptotes as the bound on the rounding errors of the
offset is. Bounds on rounding errors that are too large to say anything prove nothing.

It is looked for along rays with radii that are out of all proportion alone, from the radius down, so that others take no time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from knowlimits.follow import Rays, UnsupportedOperation, follow, follow_beyond
from knowlimits.model.arrays import both
from knowlimits.model.endings import Outputs
from knowlimits.model.network import Network
from knowlimits.model.outputs import asymptotes_of
from knowlimits.model.stack import Stack

#: So many times the length of the direction, and the distance of the start from 0, units change along any ray.
FAR = 2.0**20

# The place of a change is known up to rounding.
_JUST_AFTER = 1 + 2.0**-30
#: However large bounds on rounding errors are, no logit may be off by more than this share of what the class that grows fastest
#: gains on the next; where the offsets decide, by more than this.
MOST = 2.0**-20


def settled(network: Network | Stack, x: Tensor, d: Tensor, radius: Tensor) -> Tensor:
    """From where on logits are on their lines up to rounding, of the shape of the radii and at most as large.

    What is found is proven for that `a`, and is not for half of it; the last change before it is preferred where that is
    proven, too. The radius stands where nothing is proven for half of it.

    Args:
        network: whose radii they are.
        x, d: starts and directions of the rays, ``(n, ...)``.
        radius: ``(groups, n)``: of each member, or of all members together.
    """
    if not bool((radius > FAR).any()) or (isinstance(network, Network) and network.returns is not Outputs.LOGITS):
        return radius
    axes = tuple(range(1, x.ndim))
    begun = x.abs().amax(axes) / d.abs().amax(axes)
    # nan is no radius to look for another.
    far = (radius > FAR * begun.clamp_min(1)) & radius.isfinite()
    if not bool(far.any()):
        return radius
    rays = far.any(0).nonzero()[:, 0]
    function, starts, steps, axes = by_members(network, x[rays], d[rays])
    try:
        end = _End.of(network, follow(function, starts, steps, axes, certify=True), len(radius))
    except UnsupportedOperation:
        # Logits that are no lines, as those that grow as squares do.
        return radius
    search = _Search(radius[:, rays], far[:, rays])
    while bool((open_ := search.open.any(0)).any()):
        some = open_.nonzero()[:, 0]
        at = search.at[:, some]
        function, starts, steps, axes = by_members(network, x[rays[some]], d[rays[some]])
        try:
            beyond = follow_beyond(function, starts, steps, at.reshape(-1), ~end.shared[:, some].reshape(-1), axes)
        except UnsupportedOperation:
            # Lines that are not those of the end may be nothing for an operation that takes limits.
            return radius
        departure = _of_classes(network, beyond.departure)
        search.told(some, end.is_near(departure, at, some), beyond.before.reshape(at.shape))
    result = radius.clone()
    result[:, rays] = search.high
    return result


@dataclass
class _End:
    """What decides between classes along rays, and up to where rounding does.

    Attributes:
        shared: whether several classes share the largest rate, or may, in any member of a group, ``(groups, n)``.
        leading: which classes do, ``(members, n, classes)``.
        of_rate, of_offset: bounds on rounding errors, ``(members, n, classes)``; those of rates at least that of the largest.
        lead: how much faster the class that grows fastest does than the next, ``(members, n, 1)``.
    """

    shared: Tensor
    leading: Tensor
    of_rate: Tensor
    of_offset: Tensor
    lead: Tensor

    @classmethod
    def of(cls, network: Network | Stack, rays: Rays, groups: int) -> "_End":
        """That of rays which were followed with bounds on rounding errors."""
        assert rays.errors is not None
        rate, offset = asymptotes_of(network, rays.rate, rays.offset)
        gap, doubt = leads(network, rays.errors[0], rate)
        there = ~offset.isneginf()
        leading = (gap <= doubt) & there
        of_rate, of_offset = (_of_classes(network, e) for e in rays.errors)
        of_rate = torch.maximum(of_rate, of_rate.gather(-1, rate.argmax(-1, keepdim=True)))
        lead = torch.where(leading | ~there, torch.inf, gap).amin(-1, keepdim=True)
        shared = leading.sum(-1) > 1
        shared = shared if len(shared) == groups else shared.any(0, keepdim=True)
        return cls(shared, leading, of_rate, of_offset, lead)

    def is_near(self, departure: Tensor, at: Tensor, rays: Tensor) -> Tensor:
        """Whether departures ``(members, n, classes)`` beyond some `a` ``(groups, n)`` are below rounding, group by group."""
        shared, at_ = self.shared[:, rays, None], at[..., None]
        by_growth = torch.minimum(self.of_rate[:, rays], MOST * self.lead[:, rays])
        by_offset = self.of_offset[:, rays].clamp_max(MOST)
        of_line = self.of_offset[:, rays] + self.of_rate[:, rays] * at_
        most = torch.where(shared, torch.where(self.leading[:, rays], by_offset, of_line), by_growth)
        near = ((departure <= most) & most.isfinite()).all(-1)
        return near if len(near) == len(at) else near.all(0, keepdim=True)


class _Search:
    """The search for the smallest `a` that is proven, of many rays at once.

    Args:
        radius: ``(groups, rays)``, proven as they are.
        wanted: which of them to look below.

    Attributes:
        high, low: what is proven, and below it what is not; -1 where nothing has failed.
        at: where to look next.
        open: which are still looked for.
    """

    def __init__(self, radius: Tensor, wanted: Tensor):
        self.high, self.low = radius.clone(), torch.full_like(radius, -1.0)
        self.at, self.open = torch.where(wanted, radius / 2, 0.0), wanted.clone()
        # By how many halvings to go down next, as long as nothing has failed.
        self._halvings = torch.ones_like(radius)

    def told(self, rays: Tensor, proven: Tensor, before: Tensor) -> None:
        """Take in what was found at `at`: whether it is proven, and the last change up to there."""
        high, low, at, open_, halvings = (t[:, rays] for t in (self.high, self.low, self.at, self.open, self._halvings))
        good, bad = open_ & proven, open_ & ~proven
        high, low = torch.where(good, at, high), torch.where(bad, at, low)
        halvings = torch.where(good & (before < at), 2 * halvings, halvings)
        # A little more than the middle of the exponents, so that what has failed is no less than half.
        middle = low.clamp_min(0.0).sqrt() * high.sqrt() * (1 + 2.0**-20)
        below = torch.where(low > 0, middle, high * torch.exp2(-halvings))
        # Nothing changes between the last change and here, which makes that the place to look at, but for its own rounding.
        after = before * _JUST_AFTER
        changes = good & (after < high) & (after > low)
        at = torch.where(changes, after, below)
        self.high[:, rays], self.low[:, rays], self.at[:, rays], self._halvings[:, rays] = high, low, at, halvings
        self.open[:, rays] = open_ & (low < at) & (at < high) & (changes | (high > 2 * low))


def by_members(network: Network | Stack, x: Tensor, d: Tensor) -> tuple[Callable[[Tensor], Any], Tensor, Tensor, int]:
    """What `knowlimits.follow.follow` takes: a function, starts and directions of rays, and how many axes count these.

    Members of a `Stack` are apart, so that each has a radius of its own.
    """
    if not isinstance(network, Stack):
        return network, x, d, 1
    shape = (network.members, *x.shape)
    return network.forward_members, x.expand(shape), d.expand(shape), 2


def leads(network: Network | Stack, errors: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each class grows more slowly than the fastest, and how much of that may be rounding.

    Args:
        network: what was followed.
        errors: bounds on the rounding errors of the rates of what it gives.
        rate: rates of the classes, ``(members, n, classes)``.
    """
    error = _of_classes(network, errors)
    leader = rate.argmax(-1, keepdim=True)
    gap = rate.gather(-1, leader) - rate
    return gap, error + error.gather(-1, leader) + gap.abs() * torch.finfo(rate.dtype).eps


def _of_classes(network: Network | Stack, bounds: Tensor) -> Tensor:
    """Bounds of the logits of all classes, ``(members, n, classes)``, by those of what a network gives."""
    bounds = both(bounds)
    return bounds if isinstance(network, Stack) else network.spread(bounds)
