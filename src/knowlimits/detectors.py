"""Detectors of out-of-distribution inputs, larger scores meaning less familiar, each with its exact far field.

`fit(model, X, y)`, `score(X)`, and `far_field(origins, directions)`: the power of a with which the score grows along
x0 + a d and its coefficient, or its limit. With `Inputs(X)` in place of the model a detector looks at the inputs themselves.
The score of a guard, with its threshold, is its own: `knowlimits.Guard.unfamiliarity`.
"""

from knowlimits.limits.growth import Growth
from knowlimits.ood.detectors import (
    DETECTORS,
    Energy,
    Entry,
    GaussianMixture,
    IsolationForest,
    LocalOutlierFactor,
    Mahalanobis,
    MaxLogit,
    NearestNeighbours,
    RelativeMahalanobis,
    ViM,
)
from knowlimits.ood.detectors.base import Detector, Needs, fit_all
from knowlimits.ood.detectors.inputs import InputDetector
from knowlimits.ood.detectors.source import Ahead, Inputs, Seen

__all__ = [
    "DETECTORS",
    "Ahead",
    "Detector",
    "Energy",
    "Entry",
    "GaussianMixture",
    "Growth",
    "InputDetector",
    "Inputs",
    "IsolationForest",
    "LocalOutlierFactor",
    "Mahalanobis",
    "MaxLogit",
    "NearestNeighbours",
    "Needs",
    "RelativeMahalanobis",
    "Seen",
    "ViM",
    "fit_all",
]
