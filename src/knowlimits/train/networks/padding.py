"""Networks of unequal widths and depths as one tensor per layer.

A narrower layer is padded with zeros, which stay zero: a padded unit has zero weights on both sides, so it is 0 and has a
zero gradient. A shallower network passes its last hidden layer through identity layers, which ReLU leaves as it is
because hidden values are never negative. Identity layers are not trained (`trainable` marks them).
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from knowlimits.train.networks.settings import Layers


def common_sizes(sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The smallest sizes that hold every network.

    Raises:
        ValueError: if inputs or outputs differ, or if only some networks have no hidden layer (their inputs may be
            negative, so that no ReLU layer can pass them through).
    """
    first = sizes[0]
    if any(s[0] != first[0] or s[-1] != first[-1] for s in sizes):
        raise ValueError(f"sizes must have the same inputs and outputs. Got {sorted(set(sizes))} instead.")
    depth = max(len(s) for s in sizes)
    if depth > 2 and any(len(s) == 2 for s in sizes):
        raise ValueError("sizes must all have a hidden layer, or none. Got both instead.")
    hidden = [_stretch(s, depth)[1:-1] for s in sizes]
    return (first[0], *(max(widths) for widths in zip(*hidden, strict=True)), first[-1])


def _stretch(sizes: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Sizes with the last hidden width repeated, as pass-through layers have it."""
    return (*sizes[:-1], *(sizes[-2:-1] * (depth - len(sizes))), sizes[-1])


def _slots(sizes: tuple[int, ...], common: tuple[int, ...]) -> list[int]:
    """Index of the common layer that each layer of a network goes to: the output layer always last."""
    return [*range(len(sizes) - 2), len(common) - 2]


def place(networks: Sequence[Layers], common: tuple[int, ...], identity: float = 1.0) -> list[Tensor]:
    """Stack networks, one `(networks, out, in + 1)` float32 tensor per common layer; the last column is the bias."""
    stacked = [np.zeros((len(networks), o, i + 1), dtype=np.float32) for i, o in itertools.pairwise(common)]
    for m, layers in enumerate(networks):
        sizes = (layers[0].shape[1] - 1, *(layer.shape[0] for layer in layers))
        slots = _slots(sizes, common)
        for layer, slot in zip(layers, slots, strict=True):
            out, width = layer.shape[0], layer.shape[1] - 1
            stacked[slot][m, :out, :width] = layer[:, :-1]
            stacked[slot][m, :out, -1] = layer[:, -1]
        for slot in sorted(set(range(len(common) - 1)) - set(slots)):
            diagonal = np.arange(sizes[-2])
            stacked[slot][m, diagonal, diagonal] = identity
    return [torch.from_numpy(layer) for layer in stacked]


def trainable(networks: Sequence[Layers], common: tuple[int, ...]) -> list[Tensor]:
    """Like `place`, with 1 where a weight belongs to its network and 0 where it pads or passes through."""
    return place([[np.ones_like(w) for w in layers] for layers in networks], common, identity=0.0)


def extract(stacked: Sequence[Tensor], network: int, sizes: tuple[int, ...]) -> list[Tensor]:
    """The layers of one network, without padding: the inverse of `place`."""
    common = (stacked[0].shape[2] - 1, *(layer.shape[1] for layer in stacked))
    layers = []
    for slot, i, o in zip(_slots(sizes, common), sizes[:-1], sizes[1:], strict=True):
        layer = stacked[slot][network, :o]
        layers.append(torch.cat([layer[:, :i], layer[:, -1:]], dim=1))
    return layers
