"""Nearest neighbours."""

import numpy as np
from scipy.special import softmax
from sklearn.ensemble import BaggingClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.zoo.entry import FAMILY, Entry
from tests.zoo.estimators import fitted
from tests.zoo.tables import NAMED, RAW, WINE


def _centroids(model, X):
    """Without squares of the rows, which all classes share and which have no digits left far away."""
    rows, centroids = X / model.within_class_std_dev_, model.centroids_ / model.within_class_std_dev_
    return softmax(2 * rows @ centroids.T - (centroids**2).sum(1) + 2 * np.log(model.class_prior_), axis=1)


ENTRIES: dict[str, Entry] = {
    "neighbours_weighted": fitted(
        "`KNeighborsClassifier` weighted by distance", lambda: KNeighborsClassifier(weights="distance"), WINE, refused=FAMILY
    ),
    "neighbours_manhattan": fitted("`KNeighborsClassifier(p=1)`", lambda: KNeighborsClassifier(3, p=1), WINE, refused=FAMILY),
    "neighbours_chebyshev": fitted(
        "`KNeighborsClassifier(metric='chebyshev')`", lambda: KNeighborsClassifier(1, metric="chebyshev"), WINE, refused=FAMILY
    ),
    "neighbours_minkowski": fitted(
        "`KNeighborsClassifier(p=3)` by brute force", lambda: KNeighborsClassifier(p=3, algorithm="brute"), WINE, refused=FAMILY
    ),
    "neighbours_cosine": fitted(
        "`KNeighborsClassifier(metric='cosine')`", lambda: KNeighborsClassifier(metric="cosine"), WINE, refused=FAMILY
    ),
    "neighbours_text": fitted("`KNeighborsClassifier` of text", lambda: KNeighborsClassifier(7), NAMED, refused=FAMILY),
    "neighbours_scaled": fitted(
        "`KNeighborsClassifier` behind a scaler",
        lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()),
        refused=FAMILY,
    ),
    "neighbours_clipped": fitted(
        "`KNeighborsClassifier` behind `MinMaxScaler(clip=True)`",
        lambda: make_pipeline(MinMaxScaler(clip=True), KNeighborsClassifier()),
        refused=FAMILY,
    ),
    "neighbours_bag": fitted(
        "`BaggingClassifier` of neighbours",
        lambda: BaggingClassifier(KNeighborsClassifier(3), 3, random_state=0),
        refused=FAMILY,
    ),
    "neighbours_radius": fitted(
        "`RadiusNeighborsClassifier`",
        lambda: RadiusNeighborsClassifier(2.0, outlier_label="most_frequent"),
        WINE,
        refused=FAMILY,
    ),
    "nearest_centroid": Entry(
        "`NearestCentroid`",
        lambda: NearestCentroid(priors="empirical").fit(RAW.X, RAW.y),
        RAW,
        _centroids,
    ),
}
