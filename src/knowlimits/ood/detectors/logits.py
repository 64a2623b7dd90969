"""Scores of the logits: energy and maximum logit.

They follow the largest logit to infinity, so that far away they call everything familiar, except where it does not grow. Where
a model has one logit f it stands for (0, f), of which the largest does not grow towards the first class.
"""

import numpy as np
from scipy.special import logsumexp

from knowlimits.limits.growth import Growth
from knowlimits.limits.probabilities import leading
from knowlimits.ood.detectors.base import Detector, Needs
from knowlimits.ood.detectors.source import Ahead, Seen


def energy(logits: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the sum of exponentials of logits ``(members, n, classes)``, the mean over members, ``(n,)``."""
    return -np.asarray(logsumexp(logits, axis=-1)).mean(0)


def energy_ahead(ahead: Ahead) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a ** 0 and a ** 1 in the energy along rays, ``(n,)`` each."""
    rate, offsets = leading(ahead.rate.logits, ahead.offset.logits)
    return energy(offsets), -rate.mean(0)


class Energy(Detector):
    """Minus the logarithm of the sum of exponentials of the logits (Liu et al., NeurIPS 2020), the mean over members."""

    needs = Needs.LOGITS

    def measure(self, seen: Seen) -> np.ndarray:
        """The energy at points."""
        return energy(seen.logits)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the largest logits."""
        return Growth.of(*energy_ahead(ahead))


class MaxLogit(Detector):
    """Minus the largest logit (Hendrycks et al., ICML 2022), the mean over members."""

    needs = Needs.LOGITS

    def measure(self, seen: Seen) -> np.ndarray:
        """Minus the largest logit at points."""
        return -seen.logits.max(-1).mean(0)

    def growth(self, ahead: Ahead) -> Growth:
        """That of the largest logits."""
        rate, offsets = leading(ahead.rate.logits, ahead.offset.logits)
        return Growth.of(-offsets.max(-1).mean(0), -rate.mean(0))
