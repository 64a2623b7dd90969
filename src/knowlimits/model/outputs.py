"""Logits and probabilities of what a network gives, at points and along rays."""

import torch
from torch import Tensor

from knowlimits.model.arrays import both
from knowlimits.model.endings import Outputs
from knowlimits.model.network import Network, as_probabilities
from knowlimits.model.stack import Stack


def logits_of(network: Network | Stack, output: Tensor) -> Tensor:
    """Logits ``(members, n, classes)`` of what a network gives: one logit f becomes (0, f).

    Probabilities that could not be undone become their logarithms. A class that it does not have has minus infinity.
    """
    if not isinstance(network, Network):
        return both(output)
    if network.returns is Outputs.PROBABILITIES:
        return network.spread(as_probabilities(output, network.returns).clamp_min(0).log(), -torch.inf)
    return network.spread(both(output), -torch.inf)


def asymptotes_of(network: Network | Stack, rate: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Rates and offsets of logits, ``(members, n, classes)`` each, of those of what a network gives.

    Raises:
        ValueError: if probabilities grow.
    """
    if not isinstance(network, Network):
        return both(rate), both(offset)
    if network.returns is Outputs.PROBABILITIES:
        if bool((rate != 0).any()):
            raise ValueError("outputs must be 'logits' for this model. Got 'probabilities', but its outputs grow along a ray.")
        offset = logits_of(network, offset)
        return torch.zeros_like(offset), offset
    rate, offset = both(rate), logits_of(network, offset)
    if network.places is None:
        return rate, offset
    # A class with minus infinity may grow as the fastest does.
    missing = offset.isneginf()
    return torch.where(missing, rate.amax(-1, keepdim=True), network.spread(rate)), offset


def probabilities_of(network: Network | Stack, points: Tensor) -> Tensor:
    """Probabilities ``(members, n, classes)`` at points."""
    return network.probabilities(points) if isinstance(network, Network) else both(network(points)).double().softmax(-1)


def probabilities_by_logits(network: Network | Stack, points: Tensor) -> Tensor:
    """The same by logits, which keep their accuracy where probabilities are near 1."""
    if isinstance(network, Network) and network.returns is Outputs.PROBABILITIES:
        return network.probabilities(points)
    return logits_of(network, network(points)).double().softmax(-1)
