import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import knowlimits as kl
from knowlimits.model.endings import Outputs
from tests.model.kinds.checks import agrees, data, rays
from tests.oracles import polynomials as exact
from tests.oracles.densities import dependent

SETS = ("wine", "cancer")


def quadratic(**more):
    return QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1, **more)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("solver", [{"solver": "svd"}, {"solver": "lsqr", "shrinkage": 0.2}, {"solver": "eigen"}], ids=str)
def test_linear_ones_are_networks(solver, name):
    X, y = data(name)
    model = LinearDiscriminantAnalysis(**solver).fit(X, y)
    found = agrees(model, X)
    assert found.returns is Outputs.LOGITS
    # Where coefficients differ there is a radius from which on nothing changes: none at all.
    np.testing.assert_array_equal(kl.far_field(found, *rays(X)).radius, 0)
    # Of several classes scikit-learn has equal shares where all sigmoids underflow.
    for method in ("isotonic", "temperature", *(["sigmoid"] if name == "cancer" else [])):
        agrees(CalibratedClassifierCV(model, method=method, cv=2).fit(X, y), X)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "model",
    [
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        quadratic(),
        quadratic(priors=None, reg_param=0.5),
        make_pipeline(StandardScaler(), quadratic()),
        make_pipeline(MinMaxScaler(clip=True), quadratic()),
        BaggingClassifier(quadratic(), 3, max_features=0.5, random_state=0),
        VotingClassifier([("a", quadratic()), ("b", LogisticRegression())], voting="soft", weights=[2, 1]),
        StackingClassifier([("a", quadratic())], LogisticRegression(), cv=2),
        CalibratedClassifierCV(quadratic(), method="isotonic", cv=2),
        CalibratedClassifierCV(quadratic(), method="temperature", cv=2),
        CalibratedClassifierCV(make_pipeline(StandardScaler(), quadratic()), method="isotonic", cv=2),
        CalibratedClassifierCV(BaggingClassifier(quadratic(), 2, max_features=0.5, random_state=0), method="isotonic", cv=2),
        CalibratedClassifierCV(make_pipeline(MinMaxScaler(clip=True), quadratic()), cv=2),
    ],
    ids=lambda one: "-".join(type(step).__name__ for _, step in getattr(one, "steps", [("", one)])),
)
def test_it_is_what_the_estimator_says(model, name):
    X, y = data(name)
    agrees(model.fit(X, y), X)


def polynomials(model, x, d):
    """Scores of a fitted estimator along a ray, by fractions of its own numbers."""
    factors = [r * s**-0.5 for r, s in zip(model.rotations_, model.scalings_, strict=True)]
    constants = [-0.5 * np.log(s).sum() + np.log(p) for p, s in zip(model.priors_, model.scalings_, strict=True)]
    return dependent(model.means_, factors, constants, x, d)


def scaled(polynomial, by, shift):
    return [by * polynomial[0] + shift, *(c * exact.fraction(by) for c in polynomial[1:])]


def test_limits_are_those_of_fractions_of_its_numbers():
    X, y = data("wine")
    model = quadratic().fit(X, y)
    x, d = rays(X, 12)
    d[6:] = np.eye(13)[:6]
    far = kl.far_field(model, x, d, certify=True)
    for row in range(len(x)):
        own = polynomials(model, x[row], d[row])
        np.testing.assert_allclose(far.probs[0, row], exact.limit_of_softmax(own), atol=1e-12)
        np.testing.assert_allclose(far.probs[0, row], exact.softmax(own, 1e9), atol=1e-12)
    assert far.certified.all()


@pytest.mark.parametrize("method", ["sigmoid", "temperature"])
def test_calibrations_of_several_classes_are_exact_where_they_underflow(method):
    X, y = data("wine")
    model = CalibratedClassifierCV(quadratic(), method=method, cv=2).fit(X, y)
    x, d = rays(X, 20)
    far = kl.far_field(model, x, d)
    fell = []
    for row in range(len(x)):
        limits = []
        for fold in model.calibrated_classifiers_:
            own = polynomials(fold.estimator, x[row], d[row])
            if method == "temperature":
                beta = float(fold.calibrators[0].beta_)
                limits.append(exact.limit_of_softmax([scaled(p, beta, 0) for p in own]))
                continue
            logits = [scaled(p, -one.a_, -one.b_) for p, one in zip(own, fold.calibrators, strict=True)]
            limits.append(exact.limit_of_sigmoids(logits))
            fell.append(all(p[2] < 0 for p in logits))
            np.testing.assert_allclose(limits[-1], exact.sigmoids(logits, 1e9), atol=1e-9)
        np.testing.assert_allclose(far.probs.mean(0)[row], np.mean(limits, 0), atol=1e-9)
    assert method == "temperature" or any(fell)


def test_calibration_of_two_classes_ends_with_its_score():
    X, y = data("cancer")
    model = CalibratedClassifierCV(quadratic(), cv=2).fit(X, y)
    x, d = rays(X)
    far = kl.far_field(model, x, d)
    np.testing.assert_allclose(far.probs.mean(0), model.predict_proba(x + 1e6 * d), atol=1e-12)
    # A score that does not move is calibrated as it is.
    still = kl.far_field(model, x, 0 * d)
    expected = np.mean(
        [
            expit(-(fold.calibrators[0].a_ * fold.estimator.decision_function(x) + fold.calibrators[0].b_))
            for fold in model.calibrated_classifiers_
        ],
        axis=0,
    )
    np.testing.assert_allclose(still.probs.mean(0)[:, 1], expected, atol=1e-9)
    np.testing.assert_array_equal(still.radius, 0)


def test_one_vs_rest_has_the_ratios_of_what_underflows():
    X, y = data("wine")
    model = OneVsRestClassifier(quadratic()).fit(X, y)
    x, d = rays(X)
    far = kl.far_field(model, x, d)
    for row in range(len(x)):
        odds = []
        for one in model.estimators_:
            rest, own = polynomials(one, x[row], d[row])
            odds.append([b - a for a, b in zip(rest, own, strict=True)])
        np.testing.assert_allclose(far.probs[0, row], exact.limit_of_sigmoids(odds), atol=1e-9)


def test_equal_covariances_end_as_a_linear_one():
    """Classes that are moved copies of each other, whose quadratic terms tie."""
    rng = np.random.default_rng(0)
    one = rng.integers(-4, 5, (40, 3)).astype(float)
    one -= one.mean(0)
    X, y = np.concatenate([one, one + np.array([1, 0, 2]), one - np.array([0, 3, 1])]), np.repeat([0, 1, 2], 40)
    model = QuadraticDiscriminantAnalysis().fit(X, y)
    # They are fitted to copies that were rounded otherwise.
    model.rotations_, model.scalings_ = [model.rotations_[0]] * 3, [model.scalings_[0]] * 3
    x, d = rng.normal(size=(100, 3)), rng.normal(size=(100, 3))
    far = kl.far_field(model, x, d, certify=True)
    assert far.certified.all()
    inverse = np.linalg.inv(one.T @ one / 40)
    rate = d @ inverse @ model.means_.T
    assert (np.sort(rate, 1)[:, -1] - np.sort(rate, 1)[:, -2]).min() > 1e-6
    np.testing.assert_array_equal(far.probs[0].argmax(1), rate.argmax(1))
    np.testing.assert_array_equal(far.probs[0].max(1), 1)


def test_collinear_columns_are_never_a_number_less():
    """As versions of scikit-learn that do not look at the rank have them: a variance that is rounding alone."""
    X, y = data("wine")
    model = quadratic().fit(np.column_stack([X[:, :4], X[:, 0] + X[:, 1]]), y)
    for rotation, scaling in zip(model.rotations_, model.scalings_, strict=True):
        # The last one is across the plane of the columns.
        rotation[:, -1] = np.array([1, 1, 0, 0, -1]) / np.sqrt(3)
        scaling[-1] = 1e-32
    x, d = np.zeros((20, 5)), rays(X, 20)[1][:, :5]
    d[:, 4] = d[:, 0] + d[:, 1]
    far = kl.far_field(model, x, d, certify=True)
    assert np.isfinite(far.probs).all()
    np.testing.assert_allclose(far.probs[0].sum(1), 1)
    # What is left of d there is rounding, and outweighs all else.
    assert not far.certified.all()


def test_refusals():
    X, y = data("wine")
    with pytest.raises(ValueError, match="call fit first"):
        kl.read(QuadraticDiscriminantAnalysis())
    model = quadratic().fit(X, y)
    model.scalings_[1][-1] = 0.0
    with pytest.raises(ValueError, match="that of class 1 with a variance of 0: fit it with reg_param"):
        kl.read(model)
    stacked = StackingClassifier([("a", quadratic())], cv=2, stack_method="decision_function").fit(X, y)
    with pytest.raises(ValueError, match=r"grows as a power of it: use its probabilities \(stack_method='predict_proba'\)"):
        kl.read(stacked)


def test_classes_that_cannot_be():
    X, y = data("wine")
    for priors in ([0.4, 0.0, 0.6], [0.0, 0.0, 1.0]):
        with np.errstate(divide="ignore"):
            agrees(quadratic(priors=priors).fit(X, y), X)
