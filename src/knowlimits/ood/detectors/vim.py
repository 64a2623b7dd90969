"""ViM: a virtual logit of what the features have outside of their principal space (Wang et al., CVPR 2022)."""

import numpy as np

from knowlimits.limits.growth import Growth, cleaned, norm
from knowlimits.ood.detectors.base import Detector, Needs
from knowlimits.ood.detectors.logits import energy, energy_ahead
from knowlimits.ood.detectors.source import Ahead, Seen


class ViM(Detector):
    """Length of the features' residual outside of their principal space, scaled to the logits, plus the energy.

    Wang et al. take the softmax probability of the residual as one logit more, of which this is the logit, and minus the last
    layer's pseudo-inverse times its bias for the middle of the features; here it is their mean, which any model has.

    Args:
        dimension: of the principal space, less than that of the space which the features of the training data span. Without it
            half of the number of features, or of that dimension where it is no more than that.
        layer: name of the submodule whose input are the features; the last `torch.nn.Linear` that runs, without it.
    """

    needs = Needs.FEATURES | Needs.LOGITS

    def __init__(self, dimension: int | None = None, layer: str | None = None):
        super().__init__(layer)
        self.dimension = dimension

    def learn(self, seen: Seen, labels: np.ndarray) -> None:
        """Learn the principal space and the scale."""
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

    def measure(self, seen: Seen) -> np.ndarray:
        """The virtual logit and the energy at points."""
        residual = (seen.features - self._mean) @ self._residual
        return self._scale * np.linalg.norm(residual, axis=1) + energy(seen.logits)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the two, whose signs differ."""
        still, length = norm(ahead.rate.features @ self._residual, (ahead.offset.features - self._mean) @ self._residual)
        first, second = energy_ahead(ahead)
        grown = self._scale * length
        return Growth.of(self._scale * still + first, cleaned(grown + second, np.abs(grown) + np.abs(second)))
