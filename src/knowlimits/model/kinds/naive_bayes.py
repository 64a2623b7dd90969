"""scikit-learn's naive Bayes: of normal densities, of counts, of bits and of categories."""

from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.families.naive_bayes import Bits, Categories, NormalDensities
from knowlimits.model.families.polynomials import Softmax
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.polynomials import read_posteriors
from knowlimits.model.kinds.posteriors import posterior_kind
from knowlimits.model.model import Model, linear
from knowlimits.model.network import Network


def read_gaussian(model: Any, places: list[int], asked: Asked) -> Model:
    """Polynomials of degree 2.

    Raises:
        ValueError: if a variance is 0.
    """
    check_fitted(model, "theta_", "var_")
    if (bad := ~(model.var_ > 0)).any():
        row, column = divmod(int(bad.argmax()), bad.shape[1])
        raise ValueError(
            f"model must have variances above 0. Got one of {model.var_[row, column]:g} in column {column} of class "
            f"{model.classes_[row]}: fit it with var_smoothing."
        )
    priors = np.log(np.asarray(model.class_prior_)[places])
    scores = NormalDensities(model.theta_[places], model.var_[places], priors)
    return read_posteriors(model, scores, Softmax(by_sum=True), places, asked)


def read_counts(model: Any, places: list[int], asked: Asked) -> Model:
    """Affine log-posteriors: a network without hidden layers.

    Numbers below 0, which are no counts, get what the formula says, as scikit-learn has it in `predict_proba`.
    """
    return _affine(model, model.feature_log_prob_, model.class_log_prior_, places, asked)


def read_complement(model: Any, places: list[int], asked: Asked) -> Model:
    """The same, where priors say nothing."""
    return _affine(model, model.feature_log_prob_, np.zeros(len(model.classes_)), places, asked)


def read_bernoulli(model: Any, places: list[int], asked: Asked) -> Model:
    """Bits of features, or features as they are where nothing is binarized."""
    present = model.feature_log_prob_
    with np.errstate(divide="ignore", invalid="ignore"):
        absent = np.log(1 - np.exp(present))
        weight, bias = present - absent, model.class_log_prior_ + absent.sum(1)
    if model.binarize is None:
        return _affine(model, weight, bias, places, asked)
    _check_smoothed(model, weight)
    return _read_logits(model, Bits(weight[places], bias[places], model.binarize), places, asked)


def read_categorical(model: Any, places: list[int], asked: Asked) -> Model:
    """Categories, which no ray can move.

    Raises:
        ValueError: for rows with categories that are not known.
    """
    for table in model.feature_log_prob_:
        _check_smoothed(model, table)
    tables = [table[places] for table in model.feature_log_prob_]
    family = Categories(tables, model.class_log_prior_[places])
    if asked.rows is not None:
        # Says what is wrong with them in words, where the estimator counts axes.
        family.at(np.asarray(asked.rows, dtype=np.float64))
    return _read_logits(model, family, places, asked)


def _affine(model: Any, weight: np.ndarray, bias: np.ndarray, places: list[int], asked: Asked) -> Model:
    _check_smoothed(model, weight)
    return _read_logits(model, linear(weight[places], bias[places]), places, asked)


def _read_logits(model: Any, module: nn.Module, places: list[int], asked: Asked) -> Model:
    found = about(model)
    count = len(found["classes_"])
    network = Network(module, places=None if len(places) == count else (tuple(places), count))
    return proven(Model(type(model).__name__, (network,), **found), model, asked)


def _check_smoothed(model: Any, logarithms: np.ndarray) -> None:
    """Refuse logarithms of 0."""
    if not np.isfinite(logarithms).all():
        raise ValueError(
            f"model must give all features a probability in each class. Got {type(model).__name__} with some of 0 or 1: fit it "
            "with an alpha above 0."
        )


#: By the names of classes in the registry.
NAIVE_BAYES = {
    "sklearn.GaussianNB": posterior_kind(read_gaussian, "class_prior_"),
    "sklearn.MultinomialNB": posterior_kind(read_counts, "class_log_prior_", logarithms=True),
    "sklearn.ComplementNB": posterior_kind(read_complement),
    "sklearn.BernoulliNB": posterior_kind(read_bernoulli, "class_log_prior_", logarithms=True),
    "sklearn.CategoricalNB": posterior_kind(read_categorical, "class_log_prior_", logarithms=True),
}
