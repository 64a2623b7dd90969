"""scikit-learn's trees, forests and boosting."""

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from tests.zoo.entry import FAMILY, Entry, Table, refused
from tests.zoo.estimators import fitted
from tests.zoo.steps import mlp
from tests.zoo.tables import CANCER, CODED, FRAME, GAPS, MIXED, NAMED, RAW, RAW_CANCER, WINE

# Boosting has logits, which are constant far away.
BOOSTED = {name: why for name, why in FAMILY.items() if name not in ("energy", "max_logit")}


# Behind a family there is a last layer, and logits, of a network that looks at what it says.
STACKED = dict.fromkeys(("partition", "horizon", "gradient_magnitude"), "a family")


def forest():
    return RandomForestClassifier(5, random_state=0)


def histogram(**more):
    return HistGradientBoostingClassifier(max_iter=5, random_state=0, **more)


def gradient(**more):
    return GradientBoostingClassifier(n_estimators=4, random_state=0, **more)


def _encoded(model):
    numbers = ["alcohol", "colour", "proline", "grade"]
    return make_pipeline(make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), numbers)), model)


def _typed():
    """The same table with a category that says so."""
    return Table(MIXED.X.astype({"city": "category"}), MIXED.y, MIXED.moves)


def _imbalanced(name, **more):
    def build():
        from imblearn import ensemble

        return getattr(ensemble, name)(random_state=0, **more)

    return build


def _outliers(model, X):
    return np.full((len(X), 3), np.nan)


ENTRIES: dict[str, Entry] = {
    "decision_tree": fitted("`DecisionTreeClassifier`", lambda: DecisionTreeClassifier(random_state=0), WINE, refused=FAMILY),
    "best_first_tree": fitted(
        "`DecisionTreeClassifier`, five leaves",
        lambda: DecisionTreeClassifier(max_leaf_nodes=5, random_state=0),
        NAMED,
        refused=FAMILY,
    ),
    "extra_tree": fitted("`ExtraTreeClassifier`", lambda: ExtraTreeClassifier(random_state=0), RAW, refused=FAMILY),
    "random_forest": fitted("`RandomForestClassifier`", forest, WINE, refused=FAMILY),
    "random_forest_two": fitted("`RandomForestClassifier`, two classes", forest, RAW_CANCER, refused=FAMILY),
    "random_forest_frame": fitted("`RandomForestClassifier` of a DataFrame", forest, FRAME, refused=FAMILY),
    "random_forest_gaps": fitted("`RandomForestClassifier`, gaps", forest, GAPS, refused=FAMILY),
    "extra_trees": fitted("`ExtraTreesClassifier`", lambda: ExtraTreesClassifier(5, random_state=0), RAW, refused=FAMILY),
    "forest_scaled": fitted(
        "`RandomForestClassifier` behind a scaler", lambda: make_pipeline(StandardScaler(), forest()), refused=FAMILY
    ),
    "forest_quantiles": fitted(
        "`RandomForestClassifier` behind quantiles",
        lambda: make_pipeline(QuantileTransformer(n_quantiles=20), forest()),
        refused=FAMILY,
    ),
    "forest_text": fitted(
        "`RandomForestClassifier`, text in a ColumnTransformer",
        lambda: _encoded(forest()),
        MIXED,
        refused=FAMILY,
    ),
    "forest_isotonic": fitted(
        "forests, isotonic calibration",
        lambda: CalibratedClassifierCV(forest(), method="isotonic", cv=2),
        refused=FAMILY,
    ),
    "forest_sigmoid": fitted("forests, sigmoid calibration", lambda: CalibratedClassifierCV(forest(), cv=2), refused=FAMILY),
    "forest_voting": fitted(
        "`VotingClassifier` of a forest and a network, weights 3 and 1",
        lambda: VotingClassifier([("a", forest()), ("b", mlp(max_iter=10))], voting="soft", weights=[3, 1]),
        WINE,
        refused=FAMILY,
    ),
    "forest_bag": fitted(
        "`BaggingClassifier` of trees, some columns each",
        lambda: BaggingClassifier(n_estimators=6, max_features=0.6, random_state=0),
        RAW,
        refused=FAMILY,
    ),
    "forest_stacking": fitted(
        "`StackingClassifier` of a forest and boosting",
        lambda: StackingClassifier([("a", forest()), ("b", histogram())], LogisticRegression(), cv=2),
        refused=STACKED,
    ),
    "boosted_one_vs_rest": fitted("`OneVsRestClassifier` of boosting", lambda: OneVsRestClassifier(gradient()), refused=FAMILY),
    "adaboost": fitted(
        "`AdaBoostClassifier`", lambda: AdaBoostClassifier(n_estimators=6, random_state=0), RAW, refused=BOOSTED
    ),
    "adaboost_two": fitted(
        "`AdaBoostClassifier`, two classes", lambda: AdaBoostClassifier(n_estimators=6, random_state=0), CANCER, refused=BOOSTED
    ),
    "adaboost_sigmoid": fitted(
        "`AdaBoostClassifier`, sigmoid calibration",
        lambda: CalibratedClassifierCV(AdaBoostClassifier(n_estimators=6, random_state=0), cv=2),
        refused=FAMILY,
    ),
    "gradient_boosting": fitted("`GradientBoostingClassifier`", gradient, RAW, refused=BOOSTED),
    "gradient_boosting_exponential": fitted(
        "`GradientBoostingClassifier`, exponential loss", lambda: gradient(loss="exponential"), RAW_CANCER, refused=BOOSTED
    ),
    "gradient_boosting_scaled": fitted(
        "`GradientBoostingClassifier` behind a scaler", lambda: make_pipeline(StandardScaler(), gradient()), refused=BOOSTED
    ),
    "boosted": fitted("`HistGradientBoostingClassifier`", histogram, refused=BOOSTED),
    "boosted_two": fitted(
        "`HistGradientBoostingClassifier`, stopped early",
        lambda: HistGradientBoostingClassifier(max_iter=30, early_stopping=True, random_state=0),
        RAW_CANCER,
        refused=BOOSTED,
    ),
    "boosted_gaps": fitted("`HistGradientBoostingClassifier`, gaps", histogram, GAPS, refused=BOOSTED),
    "boosted_gaps_scaled": fitted(
        "`HistGradientBoostingClassifier` behind a scaler, gaps",
        lambda: make_pipeline(StandardScaler(), histogram()),
        GAPS,
        refused=BOOSTED,
    ),
    "boosted_categories": fitted(
        "`HistGradientBoostingClassifier`, categories by type",
        lambda: histogram(min_samples_leaf=5),
        _typed(),
        refused=BOOSTED,
    ),
    "boosted_codes": fitted(
        "`HistGradientBoostingClassifier`, codes",
        lambda: histogram(categorical_features=[5], min_samples_leaf=5),
        CODED,
        refused=BOOSTED,
    ),
    "boosted_temperature": fitted(
        "`HistGradientBoostingClassifier`, temperature",
        lambda: CalibratedClassifierCV(histogram(), method="temperature", cv=2),
        refused=BOOSTED,
    ),
    "balanced_forest": fitted(
        "imbalanced-learn's `BalancedRandomForestClassifier`",
        _imbalanced("BalancedRandomForestClassifier", n_estimators=5),
        refused=FAMILY,
        needs=("imblearn",),
    ),
    "balanced_bag": fitted(
        "imbalanced-learn's `BalancedBaggingClassifier` of trees",
        _imbalanced("BalancedBaggingClassifier", n_estimators=4),
        refused=FAMILY,
        needs=("imblearn",),
    ),
    "rus_boost": fitted(
        "imbalanced-learn's `RUSBoostClassifier`",
        _imbalanced("RUSBoostClassifier", n_estimators=4),
        refused=BOOSTED,
        needs=("imblearn",),
    ),
    "easy_ensemble": fitted(
        "imbalanced-learn's `EasyEnsembleClassifier`",
        _imbalanced("EasyEnsembleClassifier", n_estimators=2),
        refused=BOOSTED,
        needs=("imblearn",),
    ),
    "adaboost_of_networks": Entry(
        "`AdaBoostClassifier` of `LogisticRegression`",
        lambda: AdaBoostClassifier(LogisticRegression(), n_estimators=3).fit(WINE.X, WINE.y),
        WINE,
        lambda model, X: model.predict_proba(X),
        refused=refused("labels jump", "Guard"),
    ),
    "forest_regressor": Entry(
        "`RandomForestRegressor`",
        lambda: RandomForestRegressor(3).fit(WINE.X, WINE.y),
        WINE,
        _outliers,
        refused=refused("a regressor"),
    ),
    "isolation_forest_alone": Entry(
        "`IsolationForest`", lambda: IsolationForest(n_estimators=3).fit(WINE.X), WINE, _outliers, refused=refused("no classes")
    ),
}
