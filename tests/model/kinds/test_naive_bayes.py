import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, SplineTransformer, StandardScaler

import knowlimits as kl
from knowlimits.model.endings import Outputs
from tests.model.kinds.checks import agrees, data, rays
from tests.oracles import polynomials as exact
from tests.oracles.densities import independent

SETS = ("wine", "cancer", "digits")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "model",
    [
        GaussianNB(var_smoothing=1e-3),
        make_pipeline(StandardScaler(), GaussianNB(var_smoothing=1e-3)),
        make_pipeline(MinMaxScaler(clip=True), GaussianNB(var_smoothing=1e-3)),
        BernoulliNB(),
        BernoulliNB(binarize=0.3),
        make_pipeline(MinMaxScaler(), BernoulliNB(binarize=None)),
        make_pipeline(MinMaxScaler(), MultinomialNB()),
        make_pipeline(MinMaxScaler(), MultinomialNB(fit_prior=False)),
        make_pipeline(MinMaxScaler(), ComplementNB()),
        BaggingClassifier(GaussianNB(var_smoothing=1e-3), 3, max_features=0.5, random_state=0),
        VotingClassifier([("a", GaussianNB(var_smoothing=1e-3)), ("b", LogisticRegression())], voting="soft", weights=[2, 1]),
        StackingClassifier([("a", GaussianNB(var_smoothing=1e-3))], LogisticRegression(), cv=2),
        *(CalibratedClassifierCV(GaussianNB(var_smoothing=1e-3), method=how, cv=2) for how in ("sigmoid", "isotonic")),
        CalibratedClassifierCV(BernoulliNB(), cv=2),
    ],
    ids=lambda one: "-".join(type(step).__name__ for _, step in getattr(one, "steps", [("", one)])),
)
def test_it_is_what_the_estimator_says(model, name):
    X, y = data(name)
    agrees(model.fit(X, y), X)


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_weights_of_complements_that_are_normed(name):
    X, y = data(name)
    model = make_pipeline(MinMaxScaler(), ComplementNB(norm=True)).fit(X, y)
    found, (x, d) = kl.read(model), rays(X)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
    # They are so near to each other that it takes long.
    np.testing.assert_allclose(kl.far_field(found, x, d).probs[0], model.predict_proba(x + 1e9 * d), atol=1e-5)


def small(seed):
    """Tables of few rows and few values: equal rows, a class with one row, constant columns."""
    rng = np.random.default_rng(seed)
    features = rng.integers(1, 4)
    X = rng.integers(0, 3, (rng.integers(3, 9), features)).astype(float)
    y = rng.integers(0, 3, len(X))
    y[:2] = 0, 1
    if rng.random() < 0.3:
        X[:, 0] = 1.0
    if rng.random() < 0.3:
        # A class is the twin of another one.
        X, y = np.concatenate([X[y != 2], X[y == 1]]), np.concatenate([y[y != 2], np.full((y == 1).sum(), 2)])
    x, d = rng.integers(-2, 5, (6, features)) / 2, rng.integers(-1, 2, (6, features)).astype(float)
    return X, y, x, d, rng


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_limits_are_those_of_fractions_of_its_numbers(seed):
    X, y, x, d, rng = small(seed)
    model = GaussianNB(var_smoothing=10.0 ** rng.integers(-9, 0)).fit(X, y) if X.var(0).any() else None
    if model is None:
        return
    far = kl.far_field(model, x, d, certify=True)
    assert not np.isnan(far.probs).any()
    np.testing.assert_allclose(far.probs[0].sum(1), 1)
    for row in range(len(x)):
        polynomials = independent(model.theta_, model.var_, model.class_prior_, x[row], d[row])
        # Terms that cancel are no nearer in floats.
        near = 1e-9 + 8 * np.finfo(float).eps * max(abs(float(term)) for one in polynomials for term in one)
        if far.certified[0, row]:
            np.testing.assert_allclose(far.probs[0, row], exact.limit_of_softmax(polynomials), atol=near)
        elif len(exact.winners(polynomials, but=2)) == 1:
            # Powers are nearer to each other than doubles can tell.
            first, second = sorted((p[2] for p in polynomials), reverse=True)[:2]
            assert first - second <= abs(first) * 1e-13
        if not d[row].any():
            np.testing.assert_allclose(far.probs[0, row], model.predict_proba(x[row : row + 1])[0], atol=near)
            assert far.radius[0, row] == 0


def test_a_constant_column_leaves_the_others_as_they_are():
    X, y = data("wine")
    X = np.column_stack([X[:, :3], np.full(len(X), 7.0)])
    model = GaussianNB().fit(X, y)
    far = kl.far_field(model, X[:9], np.tile([0.0, 0.0, 0.0, 2.5], (9, 1)), certify=True)
    np.testing.assert_allclose(far.probs[0], model.predict_proba(X[:9]), atol=1e-9)
    np.testing.assert_array_equal(far.radius, 0)
    assert far.certified.all()


def test_one_vs_rest_has_the_ratios_of_what_underflows():
    X, y = data("wine")
    model = OneVsRestClassifier(GaussianNB()).fit(X, y)
    x, d = rays(X)
    far = kl.far_field(model, x, d)
    underflowed = model.predict_proba(x + 1e3 * d).sum(1) == 0
    assert underflowed.any()
    for row in range(len(x)):
        odds = []
        for one in model.estimators_:
            (c, b, a), (f, e, g) = (p for p in independent(one.theta_, one.var_, one.class_prior_, x[row], d[row]))
            odds.append([f - c, e - b, g - a])
        np.testing.assert_allclose(far.probs[0, row], exact.limit_of_sigmoids(odds), atol=1e-9)
        np.testing.assert_allclose(far.probs[0, row], exact.sigmoids(odds, 1e12), atol=1e-9)


def test_counts_are_networks():
    X, y = data("wine")
    X = np.abs(X)
    for model in (MultinomialNB(), ComplementNB(norm=True), BernoulliNB(binarize=None)):
        X = np.minimum(X, 1) if isinstance(model, BernoulliNB) else X
        found = kl.read(model.fit(X, y))
        assert found.returns is Outputs.LOGITS
        plane = kl.Plane(X[0, :], np.eye(13)[0], np.eye(13)[1])
        assert len(kl.partition(found, plane).affine) == 1
        # Numbers below 0 are predicted, too.
        down = kl.far_field(found, X[:5], np.tile(-np.eye(13)[2], (5, 1)))
        np.testing.assert_allclose(down.probs[0], model.predict_proba(X[:5] - 1e9 * np.eye(13)[2]), atol=1e-9)


def test_bits_end_at_the_last_threshold():
    X, y = data("wine")
    model = BernoulliNB(binarize=0.25).fit(X, y)
    far = kl.far_field(model, X[:20], "features")
    d = np.tile(np.concatenate([[-one, one] for one in np.eye(13)]), (20, 1))
    x = np.repeat(X[:20], 26, 0)
    last = far.radius[0][:, None]
    np.testing.assert_allclose(model.predict_proba(x + (last + 1e-6) * d), far.probs[0], atol=1e-9)
    met = last[:, 0] > 0
    before, behind = (model.predict_log_proba((x + (last + step) * d)[met]) for step in (-1e-6, 1e-6))
    assert (np.abs(before - behind).max(1) > 1e-3).all()
    assert met.mean() > 0.3


def test_categories_are_held():
    X, y = data("wine")
    codes = np.digitize(X[:, :3], [-0.5, 0.5]).astype(float)
    model = CategoricalNB().fit(codes, y)
    far = kl.far_field(model, codes[:9], np.zeros((9, 3)))
    np.testing.assert_allclose(far.probs[0], model.predict_proba(codes[:9]))
    with pytest.raises(kl.UnsupportedOperation, match="codes"):
        kl.far_field(model, codes[:9], np.ones((9, 3)))
    with pytest.raises(ValueError, match=r"0 to 2 in column 1. Got 5"):
        kl.read(model, X=np.array([[0.0, 5.0, 1.0]]))


def test_later_fits_change_nothing():
    X, y = data("wine")
    for model in (GaussianNB(), BernoulliNB(), MultinomialNB(), ComplementNB()):
        model.fit(np.abs(X), y)
        found = kl.read(model)
        before = found.predict_proba(X)
        model.partial_fit(np.abs(X[::-1]), np.roll(y, 20))
        np.testing.assert_array_equal(found.predict_proba(X), before)


@pytest.mark.parametrize("base", [GaussianNB(), BernoulliNB(), MultinomialNB(), ComplementNB()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_bags_that_lack_classes(base, rows):
    X, y = data("wine")
    X = np.abs(X)
    model = BaggingClassifier(base, 5, max_samples=rows, random_state=1).fit(X, y)
    found = kl.read(model)
    x, d = X[:20], np.abs(rays(X)[1][:20])
    far = kl.far_field(found, x, d)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-12)
        # Sums of large numbers have few digits behind the point.
        np.testing.assert_allclose(far.probs.mean(0), model.predict_proba(x + 1e9 * d), atol=1e-5)


def test_classes_that_cannot_be():
    X, y = data("wine")
    for priors in ([0.4, 0.0, 0.6], [0.0, 1.0, 0.0]):
        model = GaussianNB(priors=priors).fit(X, y)
        with np.errstate(divide="ignore"):
            agrees(model, X)
        assert not kl.read(model).predict_proba(X)[:, 2 if priors[2] == 0 else 1].any()


def test_refusals():
    X, y = data("wine")
    X = np.abs(X)
    constant = np.column_stack([X[:, :2], np.ones(len(X))])
    with np.errstate(divide="ignore"):
        certain = CategoricalNB(alpha=0).fit(np.floor(X[:, :2]), y)
    for model, words in (
        (GaussianNB(var_smoothing=0).fit(constant, y), "variances above 0. Got one of 0 in column 2 of class 0: fit it with"),
        (BernoulliNB(alpha=0, binarize=0.0).fit(constant, y), "fit it with an alpha above 0"),
        (certain, "fit it with an alpha above 0"),
        (MultinomialNB().fit(X, 0 * y), "rows of two classes at least"),
    ):
        with pytest.raises(ValueError, match=words):
            kl.read(model)
    for model in (GaussianNB(), BernoulliNB(), MultinomialNB(), ComplementNB(), CategoricalNB()):
        with pytest.raises(ValueError, match="call fit first"):
            kl.read(model)


def test_numbers_that_are_too_large_are_refused():
    X, y = data("wine")
    model = kl.read(GaussianNB().fit(X, y))
    with pytest.raises(OverflowError, match="scale the inputs"):
        kl.far_field(model, X[:2], np.full((2, 13), 1e200))


@pytest.mark.parametrize(
    "step",
    [QuantileTransformer(n_quantiles=20), SplineTransformer(), MinMaxScaler(clip=True), MinMaxScaler(), RobustScaler()],
    ids=str,
)
def test_steps_that_end_or_put_rows_just_at_a_threshold(step):
    """At 0, where bits begin: what is larger by rounding alone would be another bit."""
    X, y = data("wine")
    X = X[:, :5]
    model = make_pipeline(step, BernoulliNB()).fit(X, y)
    x, d = rays(X)
    ends = np.concatenate([X[X.argmin(0)], X[np.abs(X - np.median(X, 0)).argmin(0)]])
    x, d = np.concatenate([np.repeat(ends, 10, 0), x]), np.concatenate([np.tile([*np.eye(5), *-np.eye(5)], (10, 1)), d])
    far = kl.far_field(model, x, d)
    np.testing.assert_allclose(far.probs[0], model.predict_proba(x + 1e9 * d), atol=1e-9)
