"""Fitted transformers and tables, with how each column moves through them."""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, FastICA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
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
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from knowlimits.model.steps import Moves, Steps

LETTERS = {"A": Moves.AFFINE, "S": Moves.SATURATING, "E": Moves.ENDLESS, "H": Moves.HELD}
RANDOM = np.random.RandomState(0)
Y = RANDOM.randint(0, 3, 120)
# Columns of sizes from 0.1 to 1e4, away from 0, correlated.
X = (RANDOM.normal(size=(120, 4)) + Y[:, None] * [1.0, 0.5, -1.0, 0.0]) @ RANDOM.normal(size=(4, 4))
X = X * [0.1, 1.0, 100.0, 1e4] + [3.0, -5.0, 0.0, 1e5]
POSITIVE = np.exp(RANDOM.normal(size=(120, 4)))
GAPS = np.where(RANDOM.uniform(size=X.shape) < 0.1, np.nan, X)
CODES = np.column_stack([X[:, :2], RANDOM.randint(0, 4, 120), Y])
FLAGS = np.column_stack([X[:, :2], Y > 0, Y == 1])
FRAME = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(
    city=RANDOM.choice(["u", "v", "w"], 120),
    kind=pd.Categorical(RANDOM.choice(["p", "q"], 120)),
    flag=RANDOM.uniform(size=120) < 0.5,
    count=pd.array(RANDOM.randint(0, 50, 120), dtype="Int64"),
)


def clipped(X):
    return np.clip(X, -1e8, 1e8)


def one_sided(X):
    return np.maximum(X, 0)


def stepped(X):
    return np.where(X > 1e6, X + 1, X)


def single(X):
    return X.astype(np.float32)


def ratio(X):
    return X / (1 + np.abs(X))


def product(X):
    return np.column_stack([X[:, 0] * X[:, 1], X])


def waves(X):
    return X + np.sin(X)


def encoded(encoder, rest="passthrough"):
    return ColumnTransformer([("codes", encoder, [2, 3])], remainder=rest)


def on_frame(**kwargs):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = [("numbers", numbers, ["a", "b", "count"]), ("words", OneHotEncoder(**kwargs), ["city", "kind"])]
    return ColumnTransformer(columns, remainder="passthrough")


# Steps, a table, and a letter per column (or one for all): how it moves.
CASES = {
    "StandardScaler": ([StandardScaler()], X, "A"),
    "RobustScaler": ([RobustScaler()], X, "A"),
    "MaxAbsScaler": ([MaxAbsScaler()], X, "A"),
    "MinMaxScaler": ([MinMaxScaler()], X, "A"),
    "MaxAbsScaler with clip": ([MaxAbsScaler(clip=True)], X, "S"),
    "MinMaxScaler with clip": ([MinMaxScaler(clip=True)], X, "S"),
    "none": ([None, "passthrough"], X, "A"),
    "PCA": ([StandardScaler(), PCA()], X, "A"),
    "PCA whiten": ([PCA(2, whiten=True)], X, "A"),
    "IncrementalPCA": ([IncrementalPCA(3)], X, "A"),
    "TruncatedSVD": ([TruncatedSVD(2)], X, "A"),
    "FastICA": ([StandardScaler(), FastICA(random_state=0)], X, "A"),
    "LDA": ([LinearDiscriminantAnalysis()], X, "A"),
    "GaussianRandomProjection": ([GaussianRandomProjection(3, random_state=0)], X, "A"),
    "SparseRandomProjection": ([SparseRandomProjection(3, random_state=0)], X, "A"),
    "SelectKBest": ([SelectKBest(k=2)], X, "A"),
    "VarianceThreshold": ([VarianceThreshold()], X, "A"),
    "linear KernelPCA": ([StandardScaler(), KernelPCA(3, kernel="linear")], X, "A"),
    "radial KernelPCA": ([StandardScaler(), KernelPCA(3, kernel="rbf")], X, "S"),
    "Nystroem": ([StandardScaler(), Nystroem(n_components=5, random_state=0)], X, "S"),
    "RBFSampler": ([StandardScaler(), RBFSampler(n_components=5, random_state=0)], X, "H"),
    "quantiles": ([QuantileTransformer(n_quantiles=20)], X, "S"),
    "normal quantiles": ([QuantileTransformer(n_quantiles=20, output_distribution="normal"), PCA()], X, "S"),
    "quantiles of repeated values": ([QuantileTransformer(n_quantiles=20)], np.round(X / [0.1, 1, 100, 1e4]), "S"),
    "large powers": ([PowerTransformer(), PCA(2)], 0.01 * POSITIVE, None),
    "flags": ([encoded(OneHotEncoder(drop="if_binary", handle_unknown="ignore"))], FLAGS, "AAHH"),
    "constant splines": ([SplineTransformer(extrapolation="constant")], X, "S"),
    "linear splines": ([SplineTransformer(extrapolation="linear")], X, "S"),
    "splines that continue": ([SplineTransformer(extrapolation="continue")], X, "H"),
    "periodic splines": ([SplineTransformer(extrapolation="periodic")], X, "H"),
    "splines that end": ([SplineTransformer(extrapolation="error")], X, "H"),
    "bins": ([KBinsDiscretizer(4)], X, "S"),
    "ordinal bins": ([KBinsDiscretizer(4, encode="ordinal"), StandardScaler()], X, "S"),
    "Binarizer": ([Binarizer()], X, "S"),
    "products": ([StandardScaler(), PolynomialFeatures(2, include_bias=False)], X, "H"),
    "products of two": ([StandardScaler(), PolynomialFeatures(2, interaction_only=True)], X, "S"),
    "Normalizer": ([StandardScaler(), Normalizer()], X, "S"),
    "distances": ([StandardScaler(), KMeans(3, n_init=1, random_state=0)], X, "S"),
    "clip far away": ([FunctionTransformer(clipped), StandardScaler()], X, "S"),
    "one-sided": ([FunctionTransformer(one_sided), StandardScaler(), PCA()], X, "S"),
    "a jump far away": ([FunctionTransformer(stepped), StandardScaler()], X, "S"),
    "float32": ([FunctionTransformer(single), StandardScaler()], X, "A"),
    "ratio": ([StandardScaler(), FunctionTransformer(ratio)], X, "S"),
    "product": ([StandardScaler(), FunctionTransformer(product)], X, "SSAA"),
    "waves": ([StandardScaler(), FunctionTransformer(waves)], X, "E"),
    "PowerTransformer": ([PowerTransformer()], X, None),
    "powers": ([PowerTransformer(), PCA()], POSITIVE, None),
    "roots": ([StandardScaler(), FunctionTransformer(np.cbrt), PCA()], X, "E"),
    "squares": ([StandardScaler(), FunctionTransformer(np.square), PCA()], X, "E"),
    "logarithms": ([FunctionTransformer(np.log1p), StandardScaler(), PCA()], POSITIVE, "H"),
    "clip after PCA": ([StandardScaler(), PCA(), MinMaxScaler(clip=True)], X, "S"),
    "quantiles after PCA": ([StandardScaler(), PCA(3), QuantileTransformer(n_quantiles=20)], X, "S"),
    "FeatureUnion": ([FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler(clip=True))]), PCA(3)], X, "S"),
    "parts by slice and mask": (
        [
            ColumnTransformer(
                [
                    ("a", StandardScaler(), slice(0, 2)),
                    ("b", QuantileTransformer(n_quantiles=9), np.array([False, False, True, False])),
                    ("c", "drop", [3]),
                ]
            )
        ],
        X,
        "AASA",
    ),
    "OneHotEncoder": ([encoded(OneHotEncoder())], CODES, "AAHH"),
    "OneHotEncoder of the unknown": (
        [encoded(OneHotEncoder(handle_unknown="ignore")), StandardScaler(with_mean=False)],
        CODES,
        "AAHH",
    ),
    "OneHotEncoder of the rare": (
        [encoded(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=25))],
        CODES,
        "AAHH",
    ),
    "OrdinalEncoder": ([encoded(OrdinalEncoder())], CODES, "AAHH"),
    "OrdinalEncoder of the unknown": (
        [encoded(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))],
        CODES,
        "AAHH",
    ),
    "TargetEncoder": ([encoded(TargetEncoder(target_type="multiclass"))], CODES, "AAHH"),
    "SimpleImputer": ([SimpleImputer(add_indicator=True), StandardScaler()], GAPS, "A"),
    "KNNImputer": ([KNNImputer(), StandardScaler()], GAPS, "A"),
    "MissingIndicator": ([FeatureUnion([("a", SimpleImputer()), ("b", MissingIndicator())]), StandardScaler()], GAPS, "A"),
    "frame": ([on_frame()], FRAME, "AAHHAA"),
    "frame of the unknown": ([on_frame(handle_unknown="ignore")], FRAME, "AAHHAA"),
    "frame by types": (
        [
            ColumnTransformer(
                [
                    ("a", QuantileTransformer(n_quantiles=9), make_column_selector(dtype_include="float")),
                    ("b", OneHotEncoder(sparse_output=False), make_column_selector(dtype_include=["category", "str", object])),
                    ("c", "passthrough", ["flag", "count"]),
                ]
            ).set_output(transform="pandas"),
            StandardScaler(),
        ],
        FRAME,
        "SSHHAA",
    ),
    "names made by a step": (
        [
            StandardScaler().set_output(transform="pandas"),
            ColumnTransformer([("a", MinMaxScaler(clip=True), ["x0"]), ("b", PCA(2), ["x1", "x2", "x3"])]),
        ],
        X,
        "SAAA",
    ),
    "slices of names": ([ColumnTransformer([("a", StandardScaler(), slice("a", "b"))])], FRAME, "AAHHAA"),
    "pandas output": (
        [StandardScaler().set_output(transform="pandas"), FunctionTransformer(lambda X: X * 2)],
        FRAME[["a", "b"]],
        "A",
    ),
}


def fitted(name):
    steps, table, letters = CASES[name]
    pipeline = make_pipeline(*steps)
    pipeline.fit(table, Y)
    read = Steps.of([one for _, one in pipeline.steps], table, table.shape[1])
    return pipeline, table, read, letters and letters * (table.shape[1] if len(letters) == 1 else 1)


def as_array(seen):
    return np.asarray(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float64)
