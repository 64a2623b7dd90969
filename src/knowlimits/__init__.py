"""Know your limits: where a neural classifier is sure of itself without reason.

Names are loaded when they are first used, so that importing the library costs little more than importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module that defines it; a module's own name stands for the module itself.
_HOMES = {
    "AnchoredEnsemble": "knowlimits.models",
    "Audit": "knowlimits.auditing",
    "BayesByBackprop": "knowlimits.models",
    "Ensemble": "knowlimits.models",
    "Breakpoints": "knowlimits.piecewise",
    "FarField": "knowlimits.farfield",
    "Guard": "knowlimits.ood.guard",
    "Horizon": "knowlimits.farfield",
    "LastLayerLaplace": "knowlimits.ood.laplace",
    "MCDropout": "knowlimits.models",
    "NeuralNetwork": "knowlimits.models",
    "Partition": "knowlimits.piecewise",
    "Plane": "knowlimits.piecewise",
    "PlattScaled": "knowlimits.models",
    "Regions": "knowlimits.piecewise",
    "SearchResult": "knowlimits.tuning",
    "StudyInUse": "knowlimits.tuning",
    "Stack": "knowlimits.networks",
    "UnsupportedOperation": "knowlimits.piecewise",
    "assert_far_field": "knowlimits.auditing",
    "audit": "knowlimits.auditing",
    "breakpoints": "knowlimits.piecewise",
    "detectors": "knowlimits.detectors",
    "dropout_members": "knowlimits.networks.masks",
    "far_field": "knowlimits.farfield",
    "fit_together": "knowlimits.models",
    "horizon": "knowlimits.farfield",
    "load": "knowlimits.io",
    "metrics": "knowlimits.metrics",
    "partition": "knowlimits.piecewise",
    "plots": "knowlimits.plots",
    "save": "knowlimits.io",
    "scores": "knowlimits.scores",
    "search": "knowlimits.tuning",
}

__all__ = list(_HOMES)

if TYPE_CHECKING:
    from knowlimits import detectors, metrics, plots, scores
    from knowlimits.auditing import Audit, assert_far_field, audit
    from knowlimits.farfield import FarField, Horizon, far_field, horizon
    from knowlimits.io import load, save
    from knowlimits.models import (
        AnchoredEnsemble,
        BayesByBackprop,
        Ensemble,
        MCDropout,
        NeuralNetwork,
        PlattScaled,
        fit_together,
    )
    from knowlimits.networks import Stack
    from knowlimits.networks.masks import dropout_members
    from knowlimits.ood.guard import Guard
    from knowlimits.ood.laplace import LastLayerLaplace
    from knowlimits.piecewise import Breakpoints, Partition, Plane, Regions, UnsupportedOperation, breakpoints, partition
    from knowlimits.tuning import SearchResult, StudyInUse, search


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'knowlimits' has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(home)
    return module if home == f"knowlimits.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
