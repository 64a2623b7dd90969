"""Detectors of out-of-distribution inputs, larger scores meaning less familiar, each with its exact far field.

`fit(model, X, y)`, `score(X)`, and `far_field(origins, directions)`: the power of a with which the score grows along
x0 + a d and its coefficient, or its limit.
"""

from knowlimits.ood.base import Detector, fit_all
from knowlimits.ood.gaussians import GaussianMixture, Mahalanobis, RelativeMahalanobis
from knowlimits.ood.growth import Growth
from knowlimits.ood.inputs import InputDetector
from knowlimits.ood.logits import Energy, MaxLogit
from knowlimits.ood.neighbours import NearestNeighbours
from knowlimits.ood.vim import ViM

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
