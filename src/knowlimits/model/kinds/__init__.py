"""Kinds of things that people bring, a file each, and the registry of them.

A kind is entered under ``"package.ClassName"``, and looked up along a thing's classes by their names: no library is imported to
tell whether a thing is of it. What comes first among a thing's own classes wins, so that a subclass can be a kind of its own.
"""

from collections.abc import Callable
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.kinds.bagging import read_bagging
from knowlimits.model.kinds.boosting import BOOSTING
from knowlimits.model.kinds.calibration import read_calibrated
from knowlimits.model.kinds.catboost import CATBOOST
from knowlimits.model.kinds.delegates import delegated, read_search, read_thresholded
from knowlimits.model.kinds.discriminants import DISCRIMINANTS
from knowlimits.model.kinds.forests import FORESTS
from knowlimits.model.kinds.gaussian_process import GAUSSIAN_PROCESSES
from knowlimits.model.kinds.lightgbm import LIGHTGBM
from knowlimits.model.kinds.linear import LINEAR
from knowlimits.model.kinds.lists import read_dict, read_list
from knowlimits.model.kinds.modules import read_module, read_program
from knowlimits.model.kinds.naive_bayes import NAIVE_BAYES
from knowlimits.model.kinds.neighbours import NEIGHBOURS
from knowlimits.model.kinds.one_vs_rest import read_one_vs_rest
from knowlimits.model.kinds.ours import read_ours
from knowlimits.model.kinds.perceptron import read_perceptron
from knowlimits.model.kinds.pipelines import read_pipeline
from knowlimits.model.kinds.refused import REFUSED
from knowlimits.model.kinds.skorch import read_skorch
from knowlimits.model.kinds.stacking import read_stacking
from knowlimits.model.kinds.support_vectors import SUPPORT_VECTORS
from knowlimits.model.kinds.voting import read_voting
from knowlimits.model.kinds.xgboost import XGBOOST
from knowlimits.model.model import Model

Kind = Callable[[Any, Asked], Model]

#: By the first part of the module's name and the class's own name.
KINDS: dict[str, Kind] = {
    "torch.Module": read_module,
    "torch.ExportedProgram": read_program,
    "knowlimits.StackClassifier": read_ours,
    "sklearn.MLPClassifier": read_perceptron,
    "sklearn.Pipeline": read_pipeline,
    "sklearn.BaseSearchCV": read_search,
    "sklearn.BaseThresholdClassifier": read_thresholded,
    "sklearn.FrozenEstimator": delegated("estimator"),
    "sklearn.SelfTrainingClassifier": delegated("estimator_"),
    "sklearn.CalibratedClassifierCV": read_calibrated,
    "sklearn.VotingClassifier": read_voting,
    "sklearn.BaggingClassifier": read_bagging,
    "sklearn.StackingClassifier": read_stacking,
    "sklearn.OneVsRestClassifier": read_one_vs_rest,
    "skorch.NeuralNetClassifier": read_skorch,
    "skorch.NeuralNetBinaryClassifier": read_skorch,
    "builtins.list": read_list,
    "builtins.tuple": read_list,
    "builtins.dict": read_dict,
    "torch.ModuleList": read_list,
    **LINEAR,
    **FORESTS,
    **BOOSTING,
    **NAIVE_BAYES,
    **DISCRIMINANTS,
    **SUPPORT_VECTORS,
    **GAUSSIAN_PROCESSES,
    **NEIGHBOURS,
    **XGBOOST,
    **LIGHTGBM,
    **CATBOOST,
    **REFUSED,
}


def kind_of(model: Any) -> Kind | None:
    """How a thing is read, or None where no kind is known of it."""
    return next((KINDS[name] for name in map(name_of, type(model).__mro__) if name in KINDS), None)


def name_of(cls: type) -> str:
    """The name that a class is entered under."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
