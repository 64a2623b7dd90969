"""Small fitted classifiers of every kind that is exported."""

import functools
import warnings

import numpy as np
import torch
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn
from xgboost import XGBClassifier

import knowlimits as kl

_X, _y = load_iris(return_X_y=True)
#: Three classes and two of them; labels that are texts, and ones that are whole numbers.
THREE = (_X, np.array(["setosa", "versicolor", "virginica"])[_y])
TWO = (_X[50:], _y[50:] * 3)
NUMBERED = (_X, _y)
#: The same with gaps.
_GAPS = np.where(np.random.default_rng(1).random(_X.shape) < 0.1, np.nan, _X)
GAPS, TWO_GAPS = (_GAPS, THREE[1]), (_GAPS[50:], TWO[1])

_SMALL = {"n_estimators": 4, "random_state": 0}
_OURS = {"hidden_sizes": (5,), "epochs": 2, "random_state": 0}


def _tree(**more):
    return DecisionTreeClassifier(max_depth=3, random_state=0, **more)


#: Kind of model: what it is made by, and the data that it is fitted to.
ESTIMATORS = {
    "NeuralNetwork": (lambda: kl.NeuralNetwork(**_OURS), THREE),
    "NeuralNetwork, one logit": (lambda: kl.NeuralNetwork(**_OURS), TWO),
    "PlattScaled": (lambda: kl.PlattScaled(**_OURS), TWO),
    "MCDropout": (lambda: kl.MCDropout(members=3, dropout=0.2, **_OURS), THREE),
    "BayesByBackprop": (lambda: kl.BayesByBackprop(members=2, **_OURS), THREE),
    "Ensemble": (lambda: kl.Ensemble(members=3, **_OURS), TWO),
    "AnchoredEnsemble": (lambda: kl.AnchoredEnsemble(members=2, **_OURS), THREE),
    "tree": (_tree, THREE),
    "tree with gaps": (_tree, GAPS),
    "forest": (lambda: RandomForestClassifier(**_SMALL), THREE),
    "forest of two": (lambda: ExtraTreesClassifier(**_SMALL), TWO),
    "gradient boosting": (lambda: GradientBoostingClassifier(**_SMALL), THREE),
    "gradient boosting of two": (lambda: GradientBoostingClassifier(loss="exponential", **_SMALL), TWO),
    "histogram boosting": (lambda: HistGradientBoostingClassifier(max_iter=4), GAPS),
    "AdaBoost": (lambda: AdaBoostClassifier(**_SMALL), THREE),
    "XGBoost": (lambda: XGBClassifier(n_jobs=1, **_SMALL), (_GAPS, _y)),
    "XGBoost of two": (lambda: XGBClassifier(n_jobs=1, missing=5.1, **_SMALL), (_X[50:], _y[50:] - 1)),
    "XGBoost, linear": (lambda: XGBClassifier(n_jobs=1, booster="gblinear", **_SMALL), NUMBERED),
    "LightGBM": (lambda: LGBMClassifier(n_jobs=1, verbose=-1, **_SMALL), GAPS),
    "LightGBM of two": (lambda: LGBMClassifier(n_jobs=1, verbose=-1, **_SMALL), TWO_GAPS),
    "logistic regression": (LogisticRegression, THREE),
    "logistic regression of two": (LogisticRegression, TWO),
    "linear discriminant": (LinearDiscriminantAnalysis, TWO),
    "perceptron": (lambda: MLPClassifier((5,), max_iter=5, random_state=0), THREE),
    "perceptron of two": (lambda: MLPClassifier((5,), "tanh", max_iter=5, random_state=0), TWO),
    "naive Bayes": (GaussianNB, THREE),
    "linear by descent": (lambda: SGDClassifier(loss="log_loss", random_state=0), TWO),
    "calibrated": (lambda: CalibratedClassifierCV(LinearSVC(), cv=2), TWO),
    "voting": (lambda: VotingClassifier([("a", GaussianNB()), ("b", _tree())], voting="soft"), THREE),
    "stacking": (lambda: StackingClassifier([("a", GaussianNB()), ("b", _tree())], cv=2), THREE),
    "bagging": (lambda: BaggingClassifier(_tree(), 3, random_state=0), THREE),
    "search": (lambda: GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2), THREE),
    "threshold": (lambda: FixedThresholdClassifier(RandomForestClassifier(**_SMALL), threshold=0.9), TWO),
    "threshold of the first": (lambda: FixedThresholdClassifier(GaussianNB(), threshold=0.2, pos_label=3), TWO),
    "scaled network": (lambda: make_pipeline(StandardScaler(), kl.NeuralNetwork(**_OURS)), THREE),
    "scaled XGBoost": (lambda: make_pipeline(StandardScaler(), XGBClassifier(n_jobs=1, **_SMALL)), NUMBERED),
    "scaled threshold": (lambda: make_pipeline(StandardScaler(), FixedThresholdClassifier(_tree(), threshold=0.9)), TWO),
    "filled forest": (
        lambda: make_pipeline(SimpleImputer(strategy="median"), PCA(2), RandomForestClassifier(**_SMALL)),
        GAPS,
    ),
    "filled Bayes": (lambda: make_pipeline("passthrough", SimpleImputer(), GaussianNB()), TWO_GAPS),
}


@functools.cache
def fitted(name):
    """A classifier and its data."""
    build, (X, y) = ESTIMATORS[name]
    with warnings.catch_warnings():
        # None is trained to its end.
        warnings.simplefilter("ignore")
        return build().fit(X, y), X


class Scores(nn.Module):
    """Operations of many kinds, and a softmax at the end."""

    def __init__(self, width=4):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(width, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        """Compute."""
        hidden = torch.nn.functional.gelu(self.norm(self.first(x.float())))
        return self.last(hidden + torch.tanh(hidden)).softmax(-1)


def seeded(build):
    """A module with weights that are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()
