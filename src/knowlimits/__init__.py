"""Know your limits: where a neural classifier is sure of itself without reason.

Names are loaded when they are first used, so that importing the library costs little more than importing torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module that defines it; a module's own name stands for the module itself.
_HOMES = {
    "AnchoredEnsemble": "knowlimits.train.classifiers",
    "Audit": "knowlimits.auditing",
    "BayesByBackprop": "knowlimits.train.classifiers",
    "Ensemble": "knowlimits.train.classifiers",
    "Breakpoints": "knowlimits.plane",
    "Comparison": "knowlimits.auditing",
    "FarField": "knowlimits.limits",
    "Guard": "knowlimits.ood.remedies.guard",
    "Horizon": "knowlimits.limits",
    "LastLayerLaplace": "knowlimits.ood.remedies.laplace",
    "MCDropout": "knowlimits.train.classifiers",
    "Model": "knowlimits.model.model",
    "NeuralNetwork": "knowlimits.train.classifiers",
    "Partition": "knowlimits.plane",
    "Plane": "knowlimits.plane",
    "PlattScaled": "knowlimits.train.classifiers",
    "Regions": "knowlimits.plane",
    "SearchResult": "knowlimits.train.search",
    "StudyInUse": "knowlimits.train.search",
    "Stack": "knowlimits.model.stack",
    "UnsupportedOperation": "knowlimits.follow",
    "assert_far_field": "knowlimits.auditing",
    "audit": "knowlimits.auditing",
    "breakpoints": "knowlimits.plane",
    "compare": "knowlimits.auditing",
    "detectors": "knowlimits.detectors",
    "dropout_members": "knowlimits.model.dropout_members",
    "export": "knowlimits.files.export.export",
    "families": "knowlimits.families",
    "far_field": "knowlimits.limits",
    "faults": "knowlimits.faults",
    "fit_together": "knowlimits.train.classifiers",
    "horizon": "knowlimits.limits",
    "limits": "knowlimits.limits",
    "load": "knowlimits.files.load",
    "metrics": "knowlimits.metrics",
    "partition": "knowlimits.plane",
    "plots": "knowlimits.plots",
    "read": "knowlimits.model.read",
    "save": "knowlimits.files.saved.file",
    "scores": "knowlimits.scores",
    "search": "knowlimits.train.search",
}

__all__ = list(_HOMES)

if TYPE_CHECKING:
    from knowlimits import detectors, families, faults, limits, metrics, plots, scores
    from knowlimits.auditing import Audit, Comparison, assert_far_field, audit, compare
    from knowlimits.files.export.export import export
    from knowlimits.files.load import load
    from knowlimits.files.saved.file import save
    from knowlimits.follow import UnsupportedOperation
    from knowlimits.limits import FarField, Horizon, far_field, horizon
    from knowlimits.model.dropout_members import dropout_members
    from knowlimits.model.model import Model
    from knowlimits.model.read import read
    from knowlimits.model.stack import Stack
    from knowlimits.ood.remedies.guard import Guard
    from knowlimits.ood.remedies.laplace import LastLayerLaplace
    from knowlimits.plane import Breakpoints, Partition, Plane, Regions, breakpoints, partition
    from knowlimits.train.classifiers import (
        AnchoredEnsemble,
        BayesByBackprop,
        Ensemble,
        MCDropout,
        NeuralNetwork,
        PlattScaled,
        fit_together,
    )
    from knowlimits.train.search import SearchResult, StudyInUse, search


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'knowlimits' has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(home)
    globals()[name] = value = module if home == f"knowlimits.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
