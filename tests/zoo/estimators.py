"""What is round a network in scikit-learn, skorch and imbalanced-learn, and classifiers that are none."""

import functools

import numpy as np
import torch
from scipy.special import log_expit, log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, RandomizedSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import knowlimits as kl
from tests.zoo.entry import FAMILY, MEMBERS, NO_LOGITS, SMOOTH, Entry, Table, refused
from tests.zoo.nets import double, own, softmax
from tests.zoo.steps import mlp
from tests.zoo.tables import CANCER, NAMED, RAW, RAW_CANCER, WINE

# What is made of several networks' probabilities is no network's logits, and not piecewise linear.
MIXED = SMOOTH | NO_LOGITS | MEMBERS
# And of several networks in one no last layer stands for all.
PUT_TOGETHER = MIXED | dict.fromkeys(
    ("mahalanobis", "relative_mahalanobis", "mixture", "neighbours", "raw_neighbours"), "several networks"
)


def piped(**more):
    return make_pipeline(StandardScaler(), mlp(**more))


def fitted(about, build, table=RAW, **more):
    """A fitted estimator, whose own probabilities are the truth."""
    return Entry(about, lambda: build().fit(table.X, table.y), table, more.pop("truth", own), **more)


def _weighted():
    members = [("a", piped()), ("b", make_pipeline(StandardScaler(), mlp(max_iter=5)))]
    return VotingClassifier(members, voting="soft", weights=[3, 1])


def _equal():
    return VotingClassifier([("a", piped()), ("b", make_pipeline(StandardScaler(), mlp(max_iter=5)))], voting="soft")


def _bagging(**more):
    return BaggingClassifier(mlp(max_iter=20), 3, random_state=0, **more)


def _of_members(models, X):
    return np.mean([model.predict_proba(X) for model in models], axis=0)


def _other_orders():
    """Members that have seen the labels in their own names, sorted otherwise."""
    one, other = mlp().fit(WINE.X, WINE.y), mlp(max_iter=10).fit(WINE.X, 2 - WINE.y)
    # The second says c for a and a for c.
    other.classes_ = np.array([2, 1, 0])
    return [one, other]


def _in_order(models, X):
    return (models[0].predict_proba(X) + models[1].predict_proba(X)[:, ::-1]) / 2


def _other_classes():
    y = NAMED.y
    return [mlp().fit(WINE.X[y != name], y[y != name]) for name in ("green", "red")]


def _one_vs_rest(model, X):
    """Far away all of its probabilities may underflow; in logarithms they do not."""
    logs = []
    for scaler, net in model.estimators_:
        h = scaler.transform(X)
        h = np.maximum(h @ net.coefs_[0] + net.intercepts_[0], 0)
        logs.append(log_expit((h @ net.coefs_[1] + net.intercepts_[1])[:, 0]))
    return np.exp(log_softmax(np.array(logs), axis=0)).T


def _skorch(module, **more):
    def build():
        from skorch import NeuralNetClassifier

        torch.manual_seed(11)
        return NeuralNetClassifier(
            module, max_epochs=8, lr=0.1, verbose=0, train_split=None, iterator_train__batch_size=-1, **more
        )

    return build


def _skorch_binary():
    from skorch import NeuralNetBinaryClassifier

    torch.manual_seed(12)
    return NeuralNetBinaryClassifier(Narrow, max_epochs=8, lr=0.1, verbose=0, train_split=None)


class Wide(nn.Module):
    def __init__(self, last=None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
        self.last = last

    def forward(self, x):
        return self.net(x) if self.last is None else self.last(self.net(x))


class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)


_soft = functools.partial(torch.softmax, dim=-1)
FLOATS = Table(WINE.X.astype(np.float32), WINE.y.astype(np.int64))
FLOATS_TWO = Table(CANCER.X.astype(np.float32), CANCER.y.astype(np.float32))


def _of_wide(net, X):
    return softmax(double(net.module_.net, X))


def _behind_float(pipeline, X):
    return _of_wide(pipeline[-1], pipeline[:-1].transform(np.asarray(X, dtype=float)))


def _skorch_pipeline():
    return Pipeline([("scale", StandardScaler()), ("net", _skorch(Wide, module__last=_soft)())])


def _sampled():
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline as with_sampling

    return with_sampling(StandardScaler(), SMOTE(random_state=0, k_neighbors=3), mlp())


def _multilabel():
    X, Y = make_multilabel_classification(48, 5, n_classes=3, random_state=0)
    return Table(X, Y)


_LABELS = _multilabel()
# Families without a network, which are read by and by.
OTHERS = refused("no network", "Guard")
_SETTINGS = {"epochs": 5, "hidden_sizes": (6,), "random_state": 0}
_GRID = {"mlpclassifier__alpha": [1e-2, 1e-1]}


def ours(kind, **more):
    """A classifier of this library."""
    return fitted(
        f"`kl.{kind}`", lambda: getattr(kl, kind)(**_SETTINGS, **more), WINE, ours=True, refused=MEMBERS if more else {}
    )


ENTRIES = {
    "grid_search": fitted("`GridSearchCV` of a Pipeline", lambda: GridSearchCV(piped(), _GRID, cv=2)),
    "grid_inside": fitted(
        "`GridSearchCV` in a Pipeline",
        lambda: make_pipeline(StandardScaler(), GridSearchCV(mlp(), {"alpha": [1e-2, 1e-1]}, cv=2)),
    ),
    "random_search": fitted("`RandomizedSearchCV`", lambda: RandomizedSearchCV(piped(), _GRID, n_iter=1, cv=2, random_state=0)),
    "calibrated": fitted(
        "`CalibratedClassifierCV`, sigmoid, three classes", lambda: CalibratedClassifierCV(piped(), cv=2), refused=MIXED
    ),
    "calibrated_two": fitted(
        "`CalibratedClassifierCV`, sigmoid, two classes",
        lambda: CalibratedClassifierCV(piped(), cv=2),
        RAW_CANCER,
        refused=MIXED,
    ),
    "isotonic": fitted(
        "`CalibratedClassifierCV`, isotonic, three classes",
        lambda: CalibratedClassifierCV(piped(), cv=2, method="isotonic"),
        refused=MIXED,
    ),
    "isotonic_two": fitted(
        "`CalibratedClassifierCV`, isotonic, two classes",
        lambda: CalibratedClassifierCV(piped(), cv=2, method="isotonic"),
        RAW_CANCER,
        refused=MIXED,
    ),
    "temperature_scaling": fitted(
        "`CalibratedClassifierCV`, temperature",
        lambda: CalibratedClassifierCV(piped(), cv=2, method="temperature"),
        refused=MIXED,
    ),
    "calibrated_whole": fitted(
        "`CalibratedClassifierCV`, `ensemble=False`",
        lambda: CalibratedClassifierCV(piped(), cv=2, ensemble=False),
        refused=MIXED,
    ),
    "voting": fitted("`VotingClassifier`", _equal, refused=MEMBERS),
    "voting_weighted": fitted("`VotingClassifier`, weights 3 and 1", _weighted, refused=PUT_TOGETHER),
    "voting_text": fitted("`VotingClassifier`, labels as text", _weighted, NAMED, refused=PUT_TOGETHER),
    "bagging": fitted("`BaggingClassifier`", lambda: _bagging(), WINE, refused=MEMBERS),
    "bagging_columns": fitted(
        "`BaggingClassifier`, some columns each", lambda: _bagging(max_features=0.6), WINE, refused=MEMBERS
    ),
    "stacking": fitted(
        "`StackingClassifier`",
        lambda: StackingClassifier([("a", piped()), ("b", make_pipeline(StandardScaler(), mlp(max_iter=5)))], cv=2),
        refused=SMOOTH,
    ),
    "one_vs_rest": fitted(
        "`OneVsRestClassifier`", lambda: OneVsRestClassifier(piped()), refused=PUT_TOGETHER, truth=_one_vs_rest
    ),
    "fixed_threshold": fitted(
        "`FixedThresholdClassifier`",
        lambda: FixedThresholdClassifier(piped(), threshold=0.9, response_method="predict_proba"),
        RAW_CANCER,
    ),
    "tuned_threshold": fitted("`TunedThresholdClassifierCV`", lambda: TunedThresholdClassifierCV(piped(), cv=2), RAW_CANCER),
    "smote": fitted("imbalanced-learn's Pipeline, SMOTE", _sampled, needs=("imblearn",)),
    "list_of_text": Entry(
        "a list of estimators, labels as text",
        lambda: [mlp(max_iter=10 * (k + 1)).fit(WINE.X, NAMED.y) for k in range(2)],
        Table(WINE.X, NAMED.y),
        _of_members,
        refused=MEMBERS,
    ),
    "list_of_orders": Entry("a list, classes in other orders", _other_orders, WINE, _in_order, refused=MEMBERS),
    "list_of_pairs": Entry(
        "a list, of other classes each",
        _other_classes,
        Table(WINE.X, NAMED.y),
        lambda models, X: np.full((len(X), 3), np.nan),
        refused=refused("other classes"),
    ),
    "skorch": fitted("skorch, softmax", _skorch(Wide, module__last=_soft), FLOATS, truth=_of_wide, needs=("skorch",)),
    "skorch_module": Entry(
        "skorch's `module_`, softmax",
        lambda: _skorch(Wide, module__last=_soft)().fit(FLOATS.X, FLOATS.y).module_,
        WINE,
        lambda module, X: softmax(double(module.net, X)),
        needs=("skorch",),
    ),
    "skorch_cross_entropy": fitted(
        "skorch, `CrossEntropyLoss`", _skorch(Wide, criterion=nn.CrossEntropyLoss), FLOATS, truth=_of_wide, needs=("skorch",)
    ),
    "skorch_binary": fitted(
        "skorch, `NeuralNetBinaryClassifier`", _skorch_binary, FLOATS_TWO, truth=_of_wide, needs=("skorch",)
    ),
    "skorch_pipeline": fitted("skorch in a Pipeline", _skorch_pipeline, FLOATS, truth=_behind_float, needs=("skorch",)),
    "skorch_search": fitted(
        "skorch in `GridSearchCV`",
        lambda: GridSearchCV(_skorch(Wide, module__last=_soft)(), {"lr": [0.1, 0.2]}, cv=2),
        FLOATS,
        truth=lambda search, X: _of_wide(search.best_estimator_, X),
        needs=("skorch",),
    ),
    "neural_network": ours("NeuralNetwork"),
    "platt_scaled": ours("PlattScaled"),
    "mc_dropout": ours("MCDropout", members=4),
    "bayes_by_backprop": ours("BayesByBackprop", members=4),
    "ensemble": ours("Ensemble", members=4),
    "anchored_ensemble": ours("AnchoredEnsemble", members=4),
    "ours_in_pipeline": fitted(
        "`kl.NeuralNetwork` in a Pipeline", lambda: make_pipeline(StandardScaler(), kl.NeuralNetwork(**_SETTINGS)), RAW
    ),
    "k_neighbours": fitted("`KNeighborsClassifier`", KNeighborsClassifier, refused=FAMILY),
    "svc": fitted("`SVC(probability=True)`", lambda: SVC(probability=True, random_state=0), refused=FAMILY),
    "logistic": fitted("`LogisticRegression`", lambda: LogisticRegression(max_iter=50), WINE),
    "naive_bayes": fitted("`GaussianNB`", GaussianNB, refused=FAMILY),
    "multilabel": fitted("`MLPClassifier` of several labels", mlp, _LABELS, refused=refused("several labels")),
    "regressor": Entry(
        "`MLPRegressor`",
        lambda: MLPRegressor(hidden_layer_sizes=(6,), solver="lbfgs", max_iter=20, random_state=0).fit(WINE.X, WINE.y),
        WINE,
        lambda model, X: np.full((len(X), 3), np.nan),
        refused=refused("a regressor"),
    ),
    "unfitted": Entry(
        "an `MLPClassifier` that is not fitted",
        lambda: MLPClassifier(),
        WINE,
        lambda model, X: np.full((len(X), 3), np.nan),
        refused=refused("not fitted"),
    ),
}
