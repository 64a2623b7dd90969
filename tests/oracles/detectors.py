"""Detectors from their definitions, slow and plain: of training data, labels and new rows to scores.

`Rows` are features and logits, with logits of one member; of the inputs there are none.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor


class Rows(NamedTuple):
    """Features ``(n, features)`` and logits ``(n, classes)``."""

    features: np.ndarray
    logits: np.ndarray | None = None


def _precision(centred):
    return np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)


def _to_classes(train, y, new):
    means = np.stack([train.features[c == y].mean(0) for c in np.unique(y)])
    precision = _precision(train.features - means[y])
    return np.array([min(mahalanobis(h, mean, precision) ** 2 for mean in means) for h in new.features])


def _to_all(train, new):
    mean = train.features.mean(0)
    precision = _precision(train.features - mean)
    return np.array([mahalanobis(h, mean, precision) ** 2 for h in new.features])


def _density(train, y, new):
    logs = []
    for c in np.unique(y):
        h = train.features[c == y]
        covariance = LedoitWolf(assume_centered=True).fit(h - h.mean(0)).covariance_
        logs.append(np.log(len(h) / len(y)) + multivariate_normal(h.mean(0), covariance).logpdf(new.features))
    return -logsumexp(logs, axis=0)


def _neighbours(train, y, new, k=50):
    return np.sort(cdist(new.features, train.features), axis=1)[:, k - 1]


def _normalized(rows):
    return Rows(rows.features / np.linalg.norm(rows.features, axis=1, keepdims=True))


def _vim(train, y, new):
    mean = train.features.mean(0)
    covariance = np.cov((train.features - mean).T)
    width, rank = len(covariance), np.linalg.matrix_rank(covariance, hermitian=True)
    # Eigenvalues rise: the last are those of the principal space.
    outside = np.linalg.eigh(covariance)[1][:, : width - (width // 2 if width // 2 < rank else rank // 2)]

    def residual(rows):
        return np.linalg.norm((rows.features - mean) @ outside, axis=1)

    alpha = train.logits.max(1).mean() / residual(train).mean()
    return alpha * residual(new) - logsumexp(new.logits, axis=1)


#: By the names in the registry.
DEFINITIONS = {
    "energy": lambda train, y, new: -np.log(np.exp(new.logits).sum(1)),
    "max_logit": lambda train, y, new: -new.logits.max(1),
    "mahalanobis": _to_classes,
    "relative_mahalanobis": lambda train, y, new: _to_classes(train, y, new) - _to_all(train, new),
    "mixture": _density,
    "neighbours": lambda train, y, new: _neighbours(_normalized(train), y, _normalized(new)),
    "raw_neighbours": _neighbours,
    "vim": _vim,
    "input_mahalanobis": _to_classes,
    "input_neighbours": _neighbours,
    "input_mixture": _density,
    "isolation_forest": lambda train, y, new: -IsolationForest(random_state=0).fit(train.features).score_samples(new.features),
    "local_outlier_factor": lambda train, y, new: (
        -LocalOutlierFactor(20, novelty=True).fit(train.features).score_samples(new.features)
    ),
}
