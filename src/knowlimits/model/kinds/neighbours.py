"""scikit-learn's classifiers by neighbours: the k nearest, those within a radius, and the nearest centroid."""

import copy
import math
from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.families.distances import Angles, Distance, Minkowski
from knowlimits.model.families.neighbours import Nearest, Within
from knowlimits.model.kinds.families import read_family
from knowlimits.model.kinds.fitted import about, check_fitted, proven, several_labels
from knowlimits.model.model import Model, check_numbers, linear
from knowlimits.model.network import Network
from knowlimits.model.proof import check_predictions

# Distances of an order, by the names that scikit-learn has for them.
_ORDERS = {
    **dict.fromkeys(("euclidean", "l2", "sqeuclidean", "seuclidean", "mahalanobis"), 2.0),
    **dict.fromkeys(("manhattan", "l1", "cityblock"), 1.0),
    **dict.fromkeys(("chebyshev", "infinity"), math.inf),
}
# Points that a reading of distances is held to, and how far out they are in spreads of the rows.
_POINTS, _AWAY = 24, (0.0, 0.1, 3.0)


def read_nearest(model: Any, asked: Asked) -> Model:
    """The k nearest rows.

    Raises:
        TypeError: for a distance, or weights, of which no limit is known.
        ValueError: if it is not fitted, or asks for more neighbours than it has.
    """
    rows, classes, distance = _understood(model)
    if not 1 <= model.n_neighbors <= len(rows):
        raise ValueError(f"n_neighbors must be in 1 to {len(rows)}, the rows that it was fitted to. Got {model.n_neighbors}.")
    weighted = _is_weighted(model)
    if weighted and not distance.equal:
        raise TypeError(
            "weights must be 'uniform' for metric 'cosine'. Got 'distance', which gives weights that grow without end along "
            "the direction of a row: fit it with weights='uniform', or with another metric."
        )
    family = Nearest(rows, classes, distance, _copied(model), weighted, int(model.n_neighbors))
    _check_distances(family, model, rows)
    return read_family(model, family, asked)


def read_within(model: Any, asked: Asked) -> Model:
    """The rows within a radius.

    Raises:
        TypeError: for a distance, or weights, of which no limit is known.
        ValueError: if it is not fitted, or has no probabilities where there are no neighbours.
    """
    rows, classes, distance = _understood(model)
    if not isinstance(distance, Minkowski):
        raise TypeError(
            f"metric must be one that grows along rays for a radius. Got {model.effective_metric_!r}, which stays: fit it with "
            "metric='euclidean'."
        )
    own = _copied(model)
    radius = float(model.radius)
    if model.effective_metric_ == "sqeuclidean":
        radius = math.sqrt(radius)
    beyond = _beyond(own, rows, distance, radius)
    family = Within(rows, classes, distance, own, _is_weighted(model), radius, beyond)
    _check_distances(family, model, rows)
    return read_family(model, family, asked)


def read_centroids(model: Any, asked: Asked) -> Model:
    """The nearest centroid, in deviations within classes: a network without hidden layers.

    Squares of lengths of rows cancel in differences of classes (Hastie et al., "The Elements of Statistical Learning", 2009,
    equation 18.2).

    Raises:
        ValueError: if it is not fitted.
    """
    check_fitted(model, "centroids_", "classes_")
    if not hasattr(model, "predict_proba"):
        # Says so.
        return proven(Model(type(model).__name__, (), **about(model)), model, asked)
    deviations = np.asarray(model.within_class_std_dev_, dtype=np.float64)
    weights = 1 / np.where(deviations == 0, 1, deviations) ** 2
    centroids, priors = np.asarray(model.centroids_, dtype=np.float64), np.asarray(model.class_prior_)
    layer = linear(2 * centroids * weights, 2 * np.log(priors) - (centroids**2 * weights).sum(1))
    check_numbers(layer)
    # Of equally likely classes it predicts the one that is nearest without deviations.
    own = model if np.isclose(priors, 1 / len(priors)).all() else None
    return proven(Model(type(model).__name__, (Network(layer),), own=own, **about(model)), model, asked)


def _understood(model: Any) -> tuple[np.ndarray, np.ndarray, Distance]:
    """Rows, places of their classes, and the distance."""
    check_fitted(model, "classes_", "effective_metric_", "n_samples_fit_")
    if isinstance(model.classes_, list):
        raise several_labels(model)
    if len(model.classes_) < 2:
        raise ValueError(f"model must tell classes apart. Got {type(model).__name__} that was fitted to one class.")
    # Before rows are looked at, which are distances where metric is 'precomputed'.
    name, given = model.effective_metric_, dict(model.effective_metric_params_ or {})
    order = given.pop("p", None) if name in ("minkowski", "p") else _ORDERS.get(name) if isinstance(name, str) else None
    if name == "cosine" and not given:
        return (*_fitted_to(model), Angles(_fitted_to(model)[0]))
    if order is None:
        shown = repr(name) if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
        raise TypeError(
            "metric must be Minkowski's of any order, 'seuclidean', 'mahalanobis' or 'cosine': of these it is known what is "
            f"near far away. Got {shown}: fit it with one of these, or register a family of your own."
        )
    if order < 1:
        raise TypeError(f"p must be at least 1, as other distances jump between neighbours without end. Got {order:g} instead.")
    rows, classes = _fitted_to(model)
    weights, matrix = given.pop("w", None), None
    if name == "seuclidean" and "V" in given:
        weights = 1 / np.asarray(given.pop("V"), dtype=np.float64)
    elif name == "mahalanobis" and given.keys() & {"V", "VI"}:
        inverse = given.pop("VI", None)
        inverse = np.linalg.inv(given.pop("V")) if inverse is None else np.asarray(inverse)
        given.pop("V", None)
        matrix = np.linalg.cholesky((inverse + inverse.T) / 2)
    elif name in ("seuclidean", "mahalanobis"):
        raise TypeError(f"metric_params must have the variances of {name!r}, as V. Got none: they would hang on what is asked.")
    if given:
        raise TypeError(f"metric_params must be p, w, V or VI. Got {', '.join(map(repr, given))} for metric {name!r}.")
    return rows, classes, Minkowski(rows, order, weights, matrix)


def _fitted_to(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """The rows that it was fitted to, and places of their classes, which it keeps under private names alone."""
    rows = model._fit_X
    rows = np.array(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)
    return rows, np.array(model._y).reshape(-1)


def _copied(model: Any) -> Any:
    """A copy of an estimator, to be asked about points of any blocks."""
    own = copy.deepcopy(model)
    own.n_jobs = None
    if hasattr(own, "feature_names_in_"):
        # Points have no names, of which it would warn each time.
        del own.feature_names_in_
    return own


def _is_weighted(model: Any) -> bool:
    if callable(model.weights):
        raise TypeError(
            "weights must be 'uniform' or 'distance'. Got a function, of which it is not known what it says of neighbours that "
            "are far away: fit it with one of these."
        )
    return model.weights == "distance"


def _beyond(own: Any, rows: np.ndarray, distance: Minkowski, radius: float) -> np.ndarray:
    """What it says where there are no neighbours, ``(classes,)``.

    Raises:
        ValueError: if that is nothing.
    """
    point = rows.max(0) + 1.0
    while (distance.at(distance.seen(point[None]))[0] <= 2 * radius).any():
        point = 2 * np.abs(point)
    try:
        with np.errstate(all="ignore"):
            said = np.asarray(own.predict_proba(point[None]))[0]
    except ValueError:
        said = np.zeros(1)
    if said.sum() == 0:
        raise ValueError(
            f"outlier_label must be one of the classes. Got {own.outlier_label!r}, with which there are no probabilities "
            "beyond the radius: fit it with outlier_label='most_frequent', and an algorithm other than 'brute'."
        )
    return said


def _check_distances(family: Nearest | Within, model: Any, rows: np.ndarray) -> None:
    """Hold distances to the estimator's own predictions, among its rows and away from them.

    Raises:
        ValueError: if it predicts otherwise.
    """
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(rows), size=(2, _POINTS))
    away = rng.normal(size=(_POINTS, rows.shape[1])) * np.resize(_AWAY, _POINTS)[:, None]
    points = rows[chosen].mean(0) + away * np.ptp(rows, axis=0)
    said, clear = family.measured(points)
    if clear.any():
        check_predictions(said[clear], np.asarray(_copied(model).predict_proba(points[clear])))


#: By the names of classes in the registry.
NEIGHBOURS = {
    "sklearn.KNeighborsClassifier": read_nearest,
    "sklearn.RadiusNeighborsClassifier": read_within,
    "sklearn.NearestCentroid": read_centroids,
}
