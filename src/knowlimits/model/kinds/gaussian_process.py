"""scikit-learn's GaussianProcessClassifier."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.families import covariances
from knowlimits.model.families.covariances import Constant, Covariance, DotProduct, PowerOf, ProductOf, Stationary, SumOf
from knowlimits.model.families.family import Tail
from knowlimits.model.families.gaussian_process import GaussianProcess, Laplace
from knowlimits.model.kinds.families import read_family
from knowlimits.model.kinds.fitted import check_fitted
from knowlimits.model.model import Model


def read_gaussian_process(model: Any, asked: Asked) -> Model:
    """One latent function of two classes, or one of each class against the rest.

    Raises:
        ValueError: if it is not fitted, or compares pairs of classes, for which it has no probabilities.
        TypeError: if its kernel is not known, or goes up and down without end.
    """
    check_fitted(model, "base_estimator_", "classes_")
    fitted = model.base_estimator_
    if len(model.classes_) > 2 and not hasattr(fitted, "predict_proba"):
        raise ValueError(
            f"model must have probabilities. Got {type(model).__name__} with multi_class='one_vs_one', which counts the votes "
            "of pairs of classes: fit it with multi_class='one_vs_rest'."
        )
    parts = fitted.estimators_ if len(model.classes_) > 2 else [fitted]
    family = GaussianProcess([latent_of(one) for one in parts])
    if not family.settles:
        raise TypeError(
            f"kernel must have a limit that is known far away. Got {parts[0].kernel_}, which goes up and down without end, or "
            "is a root or a reciprocal of what grows: multiply it by an RBF, say."
        )
    # Its labels are by the sign of the latent mean.
    return read_family(model, family, asked, own=model)


def latent_of(fitted: Any) -> Laplace:
    """The latent function of a fitted estimator of two classes, by Laplace's approximation."""
    rows = np.array(fitted.X_train_, dtype=np.float64)
    residuals = np.asarray(fitted.y_train_ - fitted.pi_, dtype=np.float64)
    return Laplace(covariance(fitted.kernel_), rows, residuals, np.array(fitted.W_sr_), np.array(fitted.L_))


def covariance(kernel: Any) -> Covariance:
    """A kernel of scikit-learn as a covariance function.

    Raises:
        TypeError: if it is none that is known.
    """
    cls = type(kernel)
    known = _KNOWN.get(cls.__name__) if cls.__module__.startswith("sklearn.") else None
    if known is None:
        raise TypeError(
            f"kernel must be made of {', '.join(_KNOWN)}. Got {cls.__name__}, of which it is not known where it ends."
        )
    return known(kernel)


def _rbf(kernel: Any) -> Covariance:
    return Stationary(covariances.gaussian, scale=np.array(kernel.length_scale, dtype=np.float64))


def _matern(kernel: Any) -> Covariance:
    if kernel.nu == np.inf:
        return _rbf(kernel)
    return Stationary(partial(covariances.matern, nu=kernel.nu), "euclidean", np.array(kernel.length_scale, dtype=np.float64))


def _rational_quadratic(kernel: Any) -> Covariance:
    profile = partial(covariances.rational_quadratic, length=_number(kernel.length_scale), alpha=_number(kernel.alpha))
    return Stationary(profile, tail=Tail.SLOW)


def _periodic(kernel: Any) -> Covariance:
    profile = partial(covariances.periodic, length=_number(kernel.length_scale), period=_number(kernel.periodicity))
    return Stationary(profile, "euclidean", returns=True)


def _pairwise(kernel: Any) -> Covariance:
    said, factor = kernel.pairwise_kernels_kwargs or {}, _number(kernel.gamma)
    if kernel.metric == "linear":
        return DotProduct(0.0)
    if kernel.metric == "rbf":
        return Stationary(partial(covariances.gaussian, factor=factor))
    if kernel.metric == "laplacian":
        return Stationary(partial(covariances.exponential, factor=factor), "cityblock")
    if kernel.metric in ("poly", "polynomial"):
        return PowerOf(DotProduct(_number(said.get("coef0", 1)), factor), _number(said.get("degree", 3)))
    raise TypeError(
        "metric of PairwiseKernel must be 'linear', 'poly', 'rbf' or 'laplacian'. "
        f"Got {kernel.metric!r}, of which it is not known where it ends."
    )


def _number(value: Any) -> float:
    return float(np.ravel(value)[0])


_KNOWN: dict[str, Callable[[Any], Covariance]] = {
    "ConstantKernel": lambda kernel: Constant(_number(kernel.constant_value)),
    "WhiteKernel": lambda kernel: Constant(_number(kernel.noise_level), apart=0.0),
    "RBF": _rbf,
    "Matern": _matern,
    "RationalQuadratic": _rational_quadratic,
    "ExpSineSquared": _periodic,
    "DotProduct": lambda kernel: DotProduct(_number(kernel.sigma_0) ** 2),
    "PairwiseKernel": _pairwise,
    "Sum": lambda kernel: SumOf(covariance(kernel.k1), covariance(kernel.k2)),
    "Product": lambda kernel: ProductOf(covariance(kernel.k1), covariance(kernel.k2)),
    "Exponentiation": lambda kernel: PowerOf(covariance(kernel.kernel), _number(kernel.exponent)),
}

#: By the names of classes in the registry.
GAUSSIAN_PROCESSES = {"sklearn.GaussianProcessClassifier": read_gaussian_process}
