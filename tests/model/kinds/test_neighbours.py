"""scikit-learn's classifiers by neighbours: what is read of them, alone and inside what wraps."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import knowlimits as kl
from tests.model.kinds.checks import agrees, data, rays

X, Y = data("wine")
VARIANCES = X.var(0)
INVERSE = np.linalg.inv(np.cov(X.T))


@pytest.mark.parametrize("algorithm", ["brute", "kd_tree", "ball_tree"])
@pytest.mark.parametrize("settings", [{}, {"p": 1}, {"metric": "chebyshev"}, {"p": 3}, {"p": 1.5}], ids=str)
def test_orders(settings, algorithm):
    agrees(KNeighborsClassifier(7, algorithm=algorithm, **settings).fit(X, Y), X)


@pytest.mark.parametrize(
    "settings",
    [
        {"metric": "cosine"},
        {"metric": "sqeuclidean"},
        {"metric": "seuclidean", "metric_params": {"V": VARIANCES}},
        {"metric": "mahalanobis", "metric_params": {"VI": INVERSE}},
        {"p": 3, "metric_params": {"w": np.arange(1.0, 14)}},
        {"n_neighbors": len(X)},
        {"n_neighbors": 1},
    ],
    ids=lambda one: next(iter(one.values())) if "p" not in one else "weights",
)
def test_distances(settings):
    agrees(KNeighborsClassifier(**settings).fit(X, Y), X)


@pytest.mark.parametrize("y", [Y == 1, np.array(["red", "green", "blue"])[Y], np.where(np.arange(len(Y)) == 3, 9, Y)])
def test_labels(y):
    model = KNeighborsClassifier().fit(X, y)
    found = agrees(model, X)
    assert (found.predict(X) == model.predict(X)).all()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: make_pipeline(StandardScaler(), one),
        lambda one: make_pipeline(MinMaxScaler(clip=True), one),
        lambda one: BaggingClassifier(one, 4, max_features=0.6, random_state=0),
        lambda one: CalibratedClassifierCV(one, cv=3),
        lambda one: CalibratedClassifierCV(one, cv=3, method="isotonic"),
        lambda one: VotingClassifier([("a", one), ("b", LogisticRegression(max_iter=500))], voting="soft"),
        lambda one: StackingClassifier([("a", one)], LogisticRegression()),
    ],
    ids=["scaled", "clipped", "bag", "sigmoid", "isotonic", "voting", "stack"],
)
def test_inside_what_wraps(wrap):
    agrees(wrap(KNeighborsClassifier()).fit(X, Y), X)


def test_within_a_radius():
    agrees(RadiusNeighborsClassifier(4.0, outlier_label="most_frequent", algorithm="kd_tree").fit(X, Y), X)
    model = RadiusNeighborsClassifier(4.0, outlier_label=2, weights="distance").fit(X, Y)
    agrees(model, X)
    far = kl.far_field(model, *rays(X))
    assert (far.probs == [0, 0, 1]).all()
    assert np.isfinite(far.radius).all()


@pytest.mark.parametrize("priors", ["uniform", "empirical"])
def test_nearest_centroids_are_a_network(priors):
    rows, labels = load_wine(return_X_y=True)
    model = NearestCentroid(priors=priors).fit(rows, labels)
    found = kl.read(model)
    np.testing.assert_allclose(found.predict_proba(rows), model.predict_proba(rows), atol=1e-9)
    assert (found.predict(rows) == model.predict(rows)).all()
    origins, directions = rays(rows)
    far = kl.far_field(found, origins, directions * rows.std(0))
    # Squares of large numbers have no digits left at larger radii.
    own = model.predict_proba(origins + 1e4 * directions * rows.std(0))
    np.testing.assert_allclose(far.probs[0], own, atol=1e-6)


def test_sparse_rows():
    dense, zeros = KNeighborsClassifier(algorithm="brute"), np.where(np.abs(X) < 0.5, 0, X)
    thin = KNeighborsClassifier().fit(sparse.csr_matrix(zeros), Y)
    limits = [kl.far_field(model, *rays(X)).probs for model in (dense.fit(zeros, Y), thin)]
    np.testing.assert_array_equal(*limits)


def test_numbers_are_copies():
    model = KNeighborsClassifier().fit(X, Y)
    found = kl.read(model)
    before = found.predict_proba(X)
    model.fit(-X, 2 - Y)
    model.n_neighbors = 1
    np.testing.assert_array_equal(found.predict_proba(X), before)


def test_decimals_are_as_they_are():
    """Measurements of one digit have many rows that are equally near but for rounding, which are as the estimator has them."""
    rows, labels = load_iris(return_X_y=True)
    for k in (1, 3, 5, 10):
        model = KNeighborsClassifier(k).fit(rows, labels)
        found = kl.read(model, X=rows)
        np.testing.assert_array_equal(found.predict_proba(rows), model.predict_proba(rows))
        assert np.isfinite(kl.far_field(found, rows[::10], "features").probs).all()


class Otherwise(KNeighborsClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (KNeighborsClassifier(metric="haversine", algorithm="ball_tree"), "metric must be Minkowski's"),
        (KNeighborsClassifier(metric=lambda a, b: abs(a - b).sum()), "metric must be Minkowski's"),
        (KNeighborsClassifier(metric="canberra"), "Got 'canberra'"),
        (KNeighborsClassifier(weights=lambda d: 1 / (1 + d)), "weights must be 'uniform' or 'distance'"),
        (KNeighborsClassifier(metric="cosine", weights="distance"), "weights must be 'uniform' for metric 'cosine'"),
        (KNeighborsClassifier(p=0.5, algorithm="brute"), "p must be at least 1"),
        (RadiusNeighborsClassifier(100.0), "outlier_label must be one of the classes"),
        (RadiusNeighborsClassifier(100.0, outlier_label=7, algorithm="kd_tree"), "outlier_label must be one of the classes"),
        (RadiusNeighborsClassifier(1.0, metric="cosine", outlier_label=0), "metric must be one that grows"),
        (NearestCentroid(metric="manhattan"), "model must have predict_proba"),
        (Otherwise(), "cannot be read for certain"),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_right_is_refused(model, said):
    rows = X[:, :2]
    with pytest.raises((TypeError, ValueError), match=said):
        kl.read(model.fit(rows, Y), X=rows)


def test_several_labels_are_refused():
    with pytest.raises(ValueError, match="one label per row"):
        kl.read(KNeighborsClassifier().fit(X, np.column_stack([Y, Y])))
    with pytest.raises(ValueError, match="was fitted to one class"):
        kl.read(KNeighborsClassifier().fit(X, 0 * Y))
    with pytest.raises(ValueError, match="must be fitted"):
        kl.read(KNeighborsClassifier())


def test_rows_that_differ_by_a_rounding_are_ordered_as_the_estimator_orders_them():
    """Scaled whole numbers, of which sums of squares that are equal come out one rounding apart."""
    X, y = load_iris(return_X_y=True)
    X = np.round(X)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(5, algorithm="kd_tree")).fit(X, y)
    origin, direction = np.array([[7.0, 3.0, 4.0, 1.0]]), np.array([[0.0, 0.54012344, 0.0, 0.0]])
    far = kl.far_field(model, origin, direction)
    for a in (10.0, 1e3, 1e6):
        np.testing.assert_allclose(far.probs[0], model.predict_proba(origin + a * direction))
