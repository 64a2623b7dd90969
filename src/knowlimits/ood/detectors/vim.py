"""ViM: a virtual logit of what the features have outside of their principal space (Wang et al., CVPR 2022)."""

import numpy as np

from knowlimits.limits.growth import Growth, cleaned
from knowlimits.limits.probabilities import leading
from knowlimits.ood.detectors.base import Detector
from knowlimits.ood.detectors.logits import energy
from knowlimits.ood.detectors.view import Ahead, Seen


class ViM(Detector):
    """Length of the features' residual outside of their principal space, scaled to the logits, plus the energy.

    Wang et al. take the softmax probability of the residual as one logit more, of which this is the logit, and minus the last
    layer's pseudo-inverse times its bias for the middle of the features; here it is their mean, which any model has.

    Args:
        dimension: of the principal space, less than that of the space which the features of the training data span. Without it
            half of the number of features, or of that dimension where it is no more than that.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    def __init__(self, dimension: int | None = None, layer: str | None = None):
        super().__init__(layer)
        self.dimension = dimension

    def _learn(self, seen: Seen, labels: np.ndarray | None) -> None:
        h = seen.features
        width = h.shape[1]
        self._mean = h.mean(0)
        values, vectors = np.linalg.eigh(np.cov(h - self._mean, rowvar=False).reshape(width, width))
        # Beyond what the features span there are only rounding errors, which the scale would blow up.
        rank = int((values > width * np.finfo(float).eps * values[-1]).sum())
        most = max(rank, 1) - 1
        dimension = self.dimension
        if dimension is None:
            dimension = width // 2 if width // 2 < rank else rank // 2
        if not 0 <= dimension <= most:
            raise ValueError(f"dimension must be in 0 to {most} for these features. Got {dimension} instead.")
        self._residual = vectors[:, : width - dimension]
        lengths = np.linalg.norm((h - self._mean) @ self._residual, axis=1).mean()
        largest = seen.logits.max(-1).mean()
        self._scale = largest / lengths if lengths > 0 else 0.0

    def _score(self, seen: Seen) -> np.ndarray:
        residual = (seen.features - self._mean) @ self._residual
        return self._scale * np.linalg.norm(residual, axis=1) + energy(seen.logits)

    def _growth(self, ahead: Ahead) -> Growth:
        rate, offset = ahead.rate.features @ self._residual, (ahead.offset.features - self._mean) @ self._residual
        length = np.linalg.norm(rate, axis=1)
        # |r a + o| is |r| a + r.o / |r| up to what vanishes.
        moves = length > 0
        still = np.where(moves, (rate * offset).sum(1) / np.where(moves, length, 1), np.linalg.norm(offset, axis=1))
        largest, offsets = leading(ahead.rate.logits, ahead.offset.logits)
        grown = self._scale * length, largest.mean(0)
        first = self._scale * still + energy(offsets)
        return Growth.of(first, cleaned(grown[0] - grown[1], np.abs(grown[0]) + np.abs(grown[1])))
