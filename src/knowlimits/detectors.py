"""Detectors of out-of-distribution inputs, larger scores meaning less familiar, each with its exact far field.

`fit(model, X, y)`, `score(X)`, and `far_field(origins, directions)`: the power of a with which the score grows along
x0 + a d and its coefficient, or its limit.
"""

from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors.base import Detector, fit_all
from knowlimits.ood.detectors.gaussians import GaussianMixture, Mahalanobis, RelativeMahalanobis
from knowlimits.ood.detectors.inputs import InputDetector
from knowlimits.ood.detectors.logits import Energy, MaxLogit
from knowlimits.ood.detectors.neighbours import NearestNeighbours
from knowlimits.ood.detectors.vim import ViM

__all__ = [
    "Detector",
    "Energy",
    "GaussianMixture",
    "Growth",
    "InputDetector",
    "Mahalanobis",
    "MaxLogit",
    "NearestNeighbours",
    "RelativeMahalanobis",
    "ViM",
    "fit_all",
]
