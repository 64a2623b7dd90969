"""Classifiers of other libraries that stand beside the paper's six: one or more of each family, with plain settings."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Contender:
    """A classifier by its name.

    Attributes:
        make: builds it, unfitted, for data with standard deviations of 1, by a seed and the number of columns.
        needs: the package that it is of.
    """

    make: Callable[[int, int], Any]
    needs: str = "sklearn"

    @property
    def is_installed(self) -> bool:
        """Whether it can be built."""
        return importlib.util.find_spec(self.needs) is not None


def _of(name: str, seed: str | None = None, **settings: Any) -> Contender:
    """A class by its name in full, which is not imported before it is built, and what its seed is called, if it has one."""
    module, _, called = name.rpartition(".")

    def make(number: int, columns: int) -> Any:
        own = {} if seed is None else {seed: number}
        return getattr(importlib.import_module(module), called)(**settings, **own)

    return Contender(make, module.partition(".")[0])


def _gaussian_process(seed: int, columns: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF

    # Some of how far apart points in so many columns are: to search for the best takes minutes.
    settings: dict[str, Any] = {"kernel": 10.0 * RBF(float(np.sqrt(columns)) / 2), "optimizer": None}
    return GaussianProcessClassifier(**settings)


def _support_vectors(seed: int, columns: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    # What scikit-learn recommends in place of probability=True.
    settings: dict[str, Any] = {"ensemble": False}
    return CalibratedClassifierCV(SVC(), **settings)


_SEED = "random_state"
#: By the names that `knowlimits detect --models` takes. One of one's own: a function that builds it, and a line here.
FAMILIES: dict[str, Contender] = {
    "LogisticRegression": _of("sklearn.linear_model.LogisticRegression", max_iter=1000),
    "LDA": _of("sklearn.discriminant_analysis.LinearDiscriminantAnalysis"),
    "GaussianNB": _of("sklearn.naive_bayes.GaussianNB"),
    # Covariances of few rows in many columns are singular without the parameter.
    "QDA": _of("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis", reg_param=0.1),
    "KNN": _of("sklearn.neighbors.KNeighborsClassifier", n_neighbors=10),
    "RandomForest": _of("sklearn.ensemble.RandomForestClassifier", _SEED, n_estimators=300),
    "ExtraTrees": _of("sklearn.ensemble.ExtraTreesClassifier", _SEED, n_estimators=300),
    "GradientBoosting": _of("sklearn.ensemble.GradientBoostingClassifier", _SEED),
    "HistGradientBoosting": _of("sklearn.ensemble.HistGradientBoostingClassifier", _SEED),
    "AdaBoost": _of("sklearn.ensemble.AdaBoostClassifier", _SEED),
    "SVC": Contender(_support_vectors),
    "GaussianProcess": Contender(_gaussian_process),
    "XGBoost": _of("xgboost.XGBClassifier", _SEED, n_estimators=100, n_jobs=1),
    "LightGBM": _of("lightgbm.LGBMClassifier", _SEED, n_estimators=100, n_jobs=1, verbose=-1),
    "CatBoost": _of(
        "catboost.CatBoostClassifier",
        "random_seed",
        n_estimators=100,
        thread_count=1,
        verbose=0,
        allow_writing_files=False,
    ),
}


def installed() -> tuple[str, ...]:
    """Names of those that can be built."""
    return tuple(name for name, one in FAMILIES.items() if one.is_installed)


def check_installed(names: Iterable[str]) -> None:
    """Refuse names of classifiers whose packages are not installed.

    Raises:
        ImportError: with the package.
    """
    for name in names:
        if name in FAMILIES and not FAMILIES[name].is_installed:
            raise ImportError(f"{name} needs its own install: pip install {FAMILIES[name].needs}.")


def fitted(name: str, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """One of `FAMILIES`, fitted to rows in standard deviations."""
    model = FAMILIES[name].make(seed, X.shape[1])
    with warnings.catch_warnings():
        # Of settings that later versions rename, and of columns that are no help.
        warnings.simplefilter("ignore")
        return model.fit(X, y)
