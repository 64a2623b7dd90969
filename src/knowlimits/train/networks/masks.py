"""Random dropout masks of the networks that we train, each network's from its own random numbers.

How a person's own module with dropout layers becomes members is another matter: `knowlimits.dropout_members`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from knowlimits.train.networks.settings import Settings, stream

# A unit is dropped when 16 random bits fall below a threshold, so rates are multiples of 2**-16.
_LEVELS = 2**16


class Masks(NamedTuple):
    """Masks of one batch: per hidden layer what is kept, `(networks, width, batch)`, and the scale of what stays."""

    kept: list[Tensor]
    scale: list[Tensor]


def threshold(rate: float) -> int:
    """The number of the `_LEVELS` values of 16 bits that drop a unit."""
    return min(round(rate * _LEVELS), _LEVELS - 1)


def draw_masks(rng: np.random.Generator, rate: float, widths: Sequence[int], count: int) -> list[np.ndarray]:
    """`count` masks of hidden layers, `(count, width)` each: 0 where a unit is dropped, 1 / (1 - rate) where not."""
    level = threshold(rate)
    scale = _LEVELS / (_LEVELS - level)
    return [scale * (rng.integers(_LEVELS, size=(count, width)) >= level) for width in widths]


class MaskDraws:
    """Draws the masks of a population for one batch after another.

    A network that has pass-through layers drops nothing there, and draws for no unit that pads it.
    """

    def __init__(self, settings: Sequence[Settings], widths: Sequence[int], samples: int, device: torch.device):
        self._samples = samples
        self._device = device
        self._widths = list(widths)
        starts = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        levels = np.zeros((len(settings), len(widths)))
        self._draws: list[tuple[int, np.random.Generator, slice | np.ndarray, int]] = []
        for i, one in enumerate(settings):
            if not threshold(one.dropout):
                continue
            levels[i, : len(one.hidden)] = threshold(one.dropout)
            own = np.concatenate([start + np.arange(w) for start, w in zip(starts, one.hidden, strict=False)])
            units = slice(None) if len(own) == starts[-1] else own
            self._draws.append((i, stream(one.seed, "dropout"), units, len(own)))
        # Signed 16-bit numbers are compared, because torch has few operations on unsigned ones.
        repeated = torch.as_tensor(levels, device=device).repeat_interleave(samples, 0)[:, :, None, None]
        self._level = (repeated - _LEVELS // 2).to(torch.int16).unbind(1)
        self._scale = list((_LEVELS / (_LEVELS - repeated)).to(torch.float32).unbind(1))
        self._networks = len(settings)

    def draw(self, batch: int) -> Masks | None:
        """Masks for a batch, or None where no network drops anything."""
        if not self._draws:
            return None
        shape = (self._networks, self._samples, sum(self._widths), batch)
        bits = np.zeros(shape, dtype=np.int16)
        for i, rng, units, count in self._draws:
            numbers = self._samples * count * batch
            raw = rng.bit_generator.random_raw(-(-numbers // 4)).view(np.int16)
            bits[i][:, units] = raw[:numbers].reshape(self._samples, count, batch)
        layers = torch.from_numpy(bits).to(self._device).flatten(0, 1).split(self._widths, dim=1)
        kept = [layer >= level for layer, level in zip(layers, self._level, strict=True)]
        return Masks(kept, self._scale)
