"""Pipelines of scikit-learn by the steps before the network."""

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from tests.zoo.entry import BENT, PACED, SMOOTH, Entry, not_followed
from tests.zoo.nets import own
from tests.zoo.tables import CANCER, FRAME, GAPS, MIXED, NAMED, RAW, WINE

# What fills a gap changes with the neighbours on the way.
NEIGHBOURS = {
    name: why
    for name, why in not_followed("filled otherwise on the way").items()
    if name not in ("audit", "assert_far_field", *BENT)
}
# Steps that go on for ever, but ever more slowly: powers and logarithms.
SLOW = (1e9, 1e20, 1e30, 1e40)
SLOWER = (1e9, 1e50, 1e100, 1e150)


def mlp(**more):
    """A small network, fitted in tens of milliseconds."""
    return MLPClassifier((6,), solver="lbfgs", max_iter=more.pop("max_iter", 40), alpha=1e-2, random_state=0, **more)


def behind(about, *steps, table=RAW, **more):
    """A network behind steps."""
    return Entry(about, lambda: make_pipeline(*steps, mlp()).fit(table.X, table.y), table, own, **more)


def _mixed(encoder):
    numbers = ["alcohol", "colour", "proline"]
    return make_column_transformer((StandardScaler(), numbers), (encoder, ["city", "grade"]))


def _typed(encoder):
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include=np.float64)),
            ("rest", encoder, make_column_selector(dtype_exclude=np.float64)),
        ]
    ).set_output(transform="pandas")


def _log(X):
    return np.sign(X) * np.log1p(np.abs(X))


ENTRIES = {
    "mlp": Entry("`MLPClassifier`, relu", lambda: mlp().fit(WINE.X, WINE.y), WINE, own),
    "mlp_text": behind("labels as text, `StandardScaler`", StandardScaler(), table=NAMED),
    "mlp_tanh": Entry("`MLPClassifier`, tanh", lambda: mlp(activation="tanh").fit(WINE.X, WINE.y), WINE, own, refused=SMOOTH),
    "mlp_logistic": Entry(
        "`MLPClassifier`, logistic, two classes",
        lambda: mlp(activation="logistic").fit(CANCER.X, CANCER.y),
        CANCER,
        own,
        refused=SMOOTH,
    ),
    "mlp_identity": Entry("`MLPClassifier`, identity", lambda: mlp(activation="identity").fit(WINE.X, WINE.y), WINE, own),
    "standard": behind("`StandardScaler`", StandardScaler()),
    "standard_frame": behind("`StandardScaler` of a DataFrame", StandardScaler(), table=FRAME),
    "robust": behind("`RobustScaler`", RobustScaler()),
    "min_max": behind("`MinMaxScaler`", MinMaxScaler()),
    "max_abs": behind("`MaxAbsScaler`", MaxAbsScaler()),
    "max_abs_clip": behind("`MaxAbsScaler(clip=True)`", MaxAbsScaler(clip=True), refused=BENT),
    "min_max_clip": behind("`MinMaxScaler(clip=True)`", MinMaxScaler(clip=True), refused=BENT),
    "pca": behind("`PCA(whiten=True)`", StandardScaler(), PCA(3, whiten=True)),
    "incremental_pca": behind("`IncrementalPCA`", StandardScaler(), IncrementalPCA(3)),
    "truncated_svd": behind("`TruncatedSVD`", StandardScaler(), TruncatedSVD(3, random_state=0)),
    "fast_ica": behind("`FastICA`", StandardScaler(), FastICA(3, random_state=0, max_iter=50)),
    "lda_step": behind("`LinearDiscriminantAnalysis` as a step", StandardScaler(), LinearDiscriminantAnalysis()),
    "select": behind("`SelectKBest`", StandardScaler(), SelectKBest(k=3)),
    "threshold": behind("`VarianceThreshold`", VarianceThreshold(), StandardScaler()),
    "passthrough": Entry(
        "first step `passthrough`",
        lambda: Pipeline([("a", "passthrough"), ("s", StandardScaler()), ("m", mlp())]).fit(RAW.X, RAW.y),
        RAW,
        own,
    ),
    "union": behind("`FeatureUnion`", FeatureUnion([("scaled", StandardScaler()), ("pca", PCA(2))]), StandardScaler()),
    "pandas_output": behind("`set_output(transform='pandas')`", StandardScaler().set_output(transform="pandas"), table=FRAME),
    "quantile": behind(
        "`QuantileTransformer`", QuantileTransformer(n_quantiles=20, output_distribution="normal", random_state=0), refused=BENT
    ),
    "spline": behind(
        "`SplineTransformer`", StandardScaler(), SplineTransformer(n_knots=4, extrapolation="constant"), refused=BENT
    ),
    "bins": behind(
        "`KBinsDiscretizer`", KBinsDiscretizer(4, encode="onehot", quantile_method="averaged_inverted_cdf"), refused=BENT
    ),
    "power": behind("`PowerTransformer`, one column at a time", PowerTransformer(), radii=SLOW, alone=True, refused=PACED),
    "logarithm": behind(
        "a logarithm, one column at a time",
        FunctionTransformer(_log),
        StandardScaler(),
        radii=SLOWER,
        alone=True,
        refused=PACED,
    ),
    "centred": behind("an affine `FunctionTransformer`", FunctionTransformer(lambda X: (X - 3) / 2), StandardScaler()),
    "normalizer": behind("`Normalizer`, rows of length 1", StandardScaler(), Normalizer(), refused=BENT),
    "polynomial": behind(
        "`PolynomialFeatures`", StandardScaler(), PolynomialFeatures(2), refused=not_followed("products of columns") | BENT
    ),
    "imputer": behind("`SimpleImputer`, rows with gaps", SimpleImputer(), StandardScaler(), table=GAPS),
    "imputer_median": behind(
        "`SimpleImputer(add_indicator=True)`",
        SimpleImputer(add_indicator=True),
        StandardScaler(),
        table=GAPS,
    ),
    "knn_imputer": behind(
        "`KNNImputer`, rows with gaps", KNNImputer(), StandardScaler(), table=GAPS, refused=NEIGHBOURS, filled_by_others=True
    ),
    "one_hot_encoder": behind(
        "`OneHotEncoder` beside a scaler, text and codes",
        _mixed(OneHotEncoder()),
        table=MIXED,
    ),
    "ordinal_encoder": behind("`OrdinalEncoder` beside a scaler", _mixed(OrdinalEncoder()), table=MIXED),
    "target_encoder": behind(
        "`TargetEncoder` beside a scaler",
        _mixed(TargetEncoder(random_state=0, cv=2)),
        table=MIXED,
    ),
    "selector": behind(
        "columns by their types, pandas output",
        _typed(OneHotEncoder(sparse_output=False)),
        table=MIXED,
    ),
}
