"""Naive Bayes and discriminants."""

import numpy as np
from scipy.special import log_expit, softmax
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, StandardScaler

from tests.zoo import tables
from tests.zoo.entry import FAMILY, SMOOTH, Entry, refused
from tests.zoo.estimators import fitted
from tests.zoo.linear import calibrated, platt
from tests.zoo.tables import CANCER, RAW_CANCER, WINE

# Log-posteriors that are eventually constant are logits.
CONSTANT = {name: why for name, why in FAMILY.items() if name not in ("energy", "max_logit")}


def quadratic(**more):
    return QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1, **more)


def _log_odds(estimator, X):
    """Of two classes, by the joint likelihoods, which do not underflow."""
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X)
    return np.subtract(*estimator.predict_joint_log_proba(X).T[::-1])


def _one_vs_rest(model, X):
    return softmax(log_expit(np.stack([_log_odds(one, X) for one in model.estimators_], 1)), 1)


def _columns():
    encoder = make_column_transformer((OneHotEncoder(), ["city", "grade"]), remainder=StandardScaler())
    return make_pipeline(encoder, GaussianNB())


def _small_bags():
    """Bags that lack a class."""
    return BaggingClassifier(GaussianNB(var_smoothing=0.1), 4, max_samples=3, max_features=3, random_state=0)


ENTRIES: dict[str, Entry] = {
    "gaussian_two": fitted("`GaussianNB`, two classes", GaussianNB, RAW_CANCER, refused=FAMILY),
    "gaussian_scaled": fitted(
        "`GaussianNB` behind a `StandardScaler`", lambda: make_pipeline(StandardScaler(), GaussianNB()), refused=FAMILY
    ),
    "gaussian_clipped": fitted(
        "`GaussianNB` behind a clipped `MinMaxScaler`",
        lambda: make_pipeline(MinMaxScaler(clip=True), GaussianNB()),
        refused=FAMILY,
    ),
    "gaussian_columns": fitted("`GaussianNB` of encoded columns", _columns, tables.MIXED, refused=FAMILY),
    "gaussian_sigmoid": fitted("`GaussianNB`, calibrated", calibrated(GaussianNB()), refused=FAMILY),
    "gaussian_isotonic": fitted(
        "`GaussianNB`, isotonic calibration", calibrated(GaussianNB(), "isotonic"), WINE, refused=FAMILY
    ),
    "gaussian_temperature": fitted("`GaussianNB`, temperature", calibrated(GaussianNB(), "temperature"), refused=FAMILY),
    "gaussian_voting": fitted(
        "`VotingClassifier` of `GaussianNB` and a `LogisticRegression`, weights 3 and 1",
        lambda: VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft", weights=[3, 1]),
        WINE,
        refused=FAMILY,
    ),
    "gaussian_bags": fitted("`BaggingClassifier` of `GaussianNB`, bags of one or two classes", _small_bags, refused=FAMILY),
    "gaussian_stacked": fitted(
        "`StackingClassifier` of `GaussianNB`",
        lambda: StackingClassifier([("a", GaussianNB())], cv=2),
        refused=SMOOTH | {"gradient_magnitude": "a family"},
    ),
    "gaussian_one_vs_rest": fitted(
        "`OneVsRestClassifier` of `GaussianNB`", lambda: OneVsRestClassifier(GaussianNB()), truth=_one_vs_rest, refused=FAMILY
    ),
    "quadratic": fitted("`QuadraticDiscriminantAnalysis`", QuadraticDiscriminantAnalysis, WINE, refused=FAMILY),
    "quadratic_two": fitted("`QuadraticDiscriminantAnalysis`, two classes", quadratic, RAW_CANCER, refused=FAMILY),
    "quadratic_scaled": fitted(
        "`QuadraticDiscriminantAnalysis` behind a `StandardScaler`",
        lambda: make_pipeline(StandardScaler(), quadratic()),
        refused=FAMILY,
    ),
    "quadratic_sigmoid": fitted(
        "`QuadraticDiscriminantAnalysis`, calibrated", calibrated(quadratic()), WINE, truth=platt, refused=FAMILY
    ),
    "quadratic_sigmoid_two": fitted(
        "`QuadraticDiscriminantAnalysis` in a Pipeline, calibrated",
        calibrated(make_pipeline(StandardScaler(), quadratic())),
        RAW_CANCER,
        truth=platt,
        refused=FAMILY,
    ),
    "quadratic_isotonic": fitted(
        "`QuadraticDiscriminantAnalysis`, isotonic calibration", calibrated(quadratic(), "isotonic"), WINE, refused=FAMILY
    ),
    "quadratic_temperature": fitted(
        "`QuadraticDiscriminantAnalysis`, temperature", calibrated(quadratic(), "temperature"), WINE, refused=FAMILY
    ),
    "quadratic_bags": fitted(
        "`BaggingClassifier` of `QuadraticDiscriminantAnalysis`, calibrated",
        calibrated(BaggingClassifier(quadratic(), 3, max_features=3, random_state=0)),
        CANCER,
        truth=platt,
        refused=FAMILY,
    ),
    "quadratic_one_vs_rest": fitted(
        "`OneVsRestClassifier` of `QuadraticDiscriminantAnalysis`",
        lambda: OneVsRestClassifier(quadratic()),
        WINE,
        truth=_one_vs_rest,
        refused=FAMILY,
    ),
    "quadratic_stacked": fitted(
        "`StackingClassifier` of the scores of `QuadraticDiscriminantAnalysis`",
        lambda: StackingClassifier([("a", quadratic())], cv=2, stack_method="decision_function"),
        WINE,
        refused=refused("scores that grow too fast", "Guard"),
    ),
    "linear_discriminant": fitted("`LinearDiscriminantAnalysis`", LinearDiscriminantAnalysis, WINE),
    "linear_discriminant_two": fitted(
        "`LinearDiscriminantAnalysis`, two classes, least squares", lambda: LinearDiscriminantAnalysis(solver="lsqr"), CANCER
    ),
    "multinomial": fitted("`MultinomialNB`", MultinomialNB),
    "complement": fitted("`ComplementNB(norm=True)`", lambda: ComplementNB(norm=True)),
    "bernoulli": fitted("`BernoulliNB`", BernoulliNB, WINE, refused=CONSTANT),
    "bernoulli_numbers": fitted("`BernoulliNB(binarize=None)`", lambda: _shares(BernoulliNB(binarize=None))),
    "categorical": fitted(
        "`CategoricalNB` of binned numbers",
        lambda: make_pipeline(KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"), CategoricalNB()),
        refused=CONSTANT,
    ),
}


def _shares(model):
    return make_pipeline(MinMaxScaler(), model)
