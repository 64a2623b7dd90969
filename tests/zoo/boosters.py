"""XGBoost, LightGBM and CatBoost, by their own classes and by their files."""

import json
from importlib import import_module

import numpy as np
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.zoo.entry import BENT, FAMILY, MEMBERS, Entry, Table, refused
from tests.zoo.files import file
from tests.zoo.nets import own
from tests.zoo.tables import FRAME, GAPS, MIXED, NAMED, RAW, RAW_CANCER

# Sums of trees have logits.
TREES = {name: why for name, why in FAMILY.items() if name not in ("energy", "max_logit")}

_LABELLED = MIXED.X.assign(city=MIXED.X["city"].astype("category"))
LABELLED = Table(_LABELLED, MIXED.y, MIXED.moves)
CODED = Table(np.column_stack([RAW.X, np.random.default_rng(3).integers(0, 5, len(RAW.X))]), RAW.y, tuple(range(5)))
MARKED = Table(np.where(np.isnan(GAPS.X), -999.0, GAPS.X), GAPS.y)
# Zeros among numbers on both sides of it.
ZEROS = Table(np.where(np.isnan(GAPS.X), 0.0, GAPS.X - np.median(RAW.X, axis=0)), GAPS.y)


def xgb(cls="XGBClassifier", **more):
    """A small model of XGBoost."""
    return getattr(import_module("xgboost"), cls)(**{"n_estimators": 6, "max_depth": 3, "n_jobs": 1, **more})


def lgb(cls="LGBMClassifier", **more):
    """A small model of LightGBM."""
    settings = {"n_estimators": 6, "num_leaves": 5, "min_child_samples": 3, "n_jobs": 1, "verbose": -1}
    return getattr(import_module("lightgbm"), cls)(**{**settings, **more})


def cat(**more):
    """A small model of CatBoost."""
    settings = {"iterations": 6, "depth": 3, "verbose": False, "thread_count": 1, "allow_writing_files": False}
    return import_module("catboost").CatBoostClassifier(**{**settings, "random_seed": 0, **more})


def _boosted(package, build):
    def entry(about, table=RAW, refused=TREES, fit=None, truth=own, **settings):
        def make():
            return build(**settings).fit(table.X, table.y, **(fit or {}))

        return Entry(about, make, table, truth, refused=refused, needs=(package,))

    return entry


_xgb, _lgb, _cat = _boosted("xgboost", xgb), _boosted("lightgbm", lgb), _boosted("catboost", cat)


def _of_coefficients(model, X):
    """In double precision, in which differences can be taken."""
    said = json.loads(model.get_booster().get_dump(dump_format="json")[0])
    return softmax(X @ np.reshape(said["weight"], (X.shape[1], -1)) + said["bias"], axis=1)


def _within(package, about, build, table=RAW, refused=FAMILY):
    return Entry(about, lambda: build().fit(table.X, table.y), table, own, refused=refused, needs=(package,))


def _voting():
    return VotingClassifier([("a", xgb()), ("b", make_pipeline(StandardScaler(), xgb(max_depth=2)))], voting="soft")


def _stacking(first):
    return StackingClassifier([("a", first)], LogisticRegression(max_iter=100), cv=2)


def _xgb_booster(objective, **more):
    def make():
        xgboost = import_module("xgboost")
        return xgboost.train({"objective": objective, "nthread": 1, "max_depth": 3, **more}, xgboost.DMatrix(RAW.X, RAW.y), 5)

    return make


def _of_xgb_booster(model, X):
    return model.predict(import_module("xgboost").DMatrix(X, nthread=1))


def _lgb_booster():
    lightgbm = import_module("lightgbm")
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_in_leaf": 3, "num_leaves": 5}
    return lightgbm.train(settings, lightgbm.Dataset(RAW_CANCER.X, RAW_CANCER.y), 5)


def _of_lgb_booster(model, X):
    p = model.predict(X, num_threads=1)
    return np.column_stack([1 - p, p])


def _saved(about, name, package, build, table, **how):
    """A file, and what its library's own class said before it was written."""

    def write(path):
        model = build().fit(table.X, table.y)
        getattr(model, "booster_", model).save_model(path, **how)

    def truth(_, X):
        return build().fit(table.X, table.y).predict_proba(X)

    return file(about, name, write, table, truth, refused=TREES, needs=(package,))


ENTRIES: dict[str, Entry] = {
    "xgboost": _xgb("`XGBClassifier`"),
    "xgboost_two": _xgb("`XGBClassifier` of two classes", RAW_CANCER),
    "xgboost_frame": _xgb("`XGBClassifier` of a DataFrame", FRAME),
    "xgboost_forest": _xgb("`XGBRFClassifier`", cls="XGBRFClassifier"),
    "xgboost_dart": _xgb("`XGBClassifier(booster='dart')`", booster="dart", rate_drop=0.5),
    "xgboost_vectors": _xgb("`XGBClassifier` with a leaf for all classes", multi_strategy="multi_output_tree"),
    "xgboost_linear": _xgb(
        "`XGBClassifier(booster='gblinear')`", refused={}, truth=_of_coefficients, booster="gblinear", max_depth=None
    ),
    "xgboost_gaps": _xgb("`XGBClassifier`, rows with gaps", GAPS, TREES),
    "xgboost_missing": _xgb("`XGBClassifier(missing=-999)`", MARKED, missing=-999.0),
    "xgboost_codes": _xgb(
        "`XGBClassifier` with codes as categories", CODED, feature_types=["q"] * 5 + ["c"], enable_categorical=True
    ),
    "xgboost_text": _xgb("`XGBClassifier` with text as categories", LABELLED, TREES, enable_categorical=True),
    "xgboost_booster": Entry(
        "`xgboost.Booster`",
        _xgb_booster("multi:softprob", num_class=3),
        RAW,
        _of_xgb_booster,
        refused=TREES,
        needs=("xgboost",),
    ),
    "xgboost_scaled": _within(
        "xgboost", "`XGBClassifier` behind `StandardScaler`", lambda: make_pipeline(StandardScaler(), xgb()), refused=TREES
    ),
    "xgboost_calibrated": _within(
        "xgboost", "`XGBClassifier`, calibrated", lambda: CalibratedClassifierCV(xgb(), cv=2), refused=FAMILY | MEMBERS
    ),
    "xgboost_voting": _within("xgboost", "`VotingClassifier` of `XGBClassifier`s", _voting, refused=TREES | MEMBERS),
    "xgboost_stacking": _within(
        "xgboost", "`StackingClassifier` of an `XGBClassifier`", lambda: _stacking(xgb()), refused=BENT
    ),
    "xgboost_regressor": _xgb(
        "`XGBRegressor`",
        refused=refused("a regressor"),
        truth=lambda model, X: np.full((len(X), 3), np.nan),
        cls="XGBRegressor",
    ),
    "lightgbm": _lgb("`LGBMClassifier`, labels as text", NAMED),
    "lightgbm_two": _lgb("`LGBMClassifier` of two classes", RAW_CANCER, sigmoid=2.0),
    "lightgbm_frame": _lgb("`LGBMClassifier` of a DataFrame", FRAME),
    "lightgbm_forest": _lgb("`LGBMClassifier(boosting_type='rf')`", boosting_type="rf", subsample=0.5, subsample_freq=1),
    "lightgbm_dart": _lgb("`LGBMClassifier(boosting_type='dart')`", boosting_type="dart"),
    "lightgbm_gaps": _lgb("`LGBMClassifier`, rows with gaps", GAPS, TREES),
    "lightgbm_zeros": _lgb("`LGBMClassifier(zero_as_missing=True)`", ZEROS, zero_as_missing=True),
    "lightgbm_codes": _lgb("`LGBMClassifier` with codes as categories", CODED, fit={"categorical_feature": [5]}),
    "lightgbm_text": _lgb("`LGBMClassifier` with text as categories", LABELLED, TREES, min_data_per_group=2),
    "lightgbm_booster": Entry(
        "`lightgbm.Booster`", _lgb_booster, RAW_CANCER, _of_lgb_booster, refused=TREES, needs=("lightgbm",)
    ),
    "lightgbm_scaled": _within(
        "lightgbm", "`LGBMClassifier` behind `StandardScaler`", lambda: make_pipeline(StandardScaler(), lgb()), refused=TREES
    ),
    "lightgbm_calibrated": _within(
        "lightgbm",
        "`LGBMClassifier`, calibrated by `isotonic`",
        lambda: CalibratedClassifierCV(lgb(), method="isotonic", cv=2),
        refused=FAMILY | MEMBERS,
    ),
    "lightgbm_stacking": _within(
        "lightgbm", "`StackingClassifier` of an `LGBMClassifier`", lambda: _stacking(lgb()), refused=BENT
    ),
    "lightgbm_linear_tree": _lgb(
        "`LGBMClassifier(linear_tree=True)`", refused=refused("linear functions in leaves", "Guard"), linear_tree=True
    ),
    "lightgbm_one_vs_all": _lgb(
        "`LGBMClassifier(objective='multiclassova')`", refused=refused("no sum of 1"), objective="multiclassova"
    ),
    "catboost": _cat("`CatBoostClassifier`, labels as text", NAMED),
    "catboost_two": _cat("`CatBoostClassifier` of two classes", RAW_CANCER),
    "catboost_grown": _cat("`CatBoostClassifier(grow_policy='Lossguide')`", grow_policy="Lossguide"),
    "catboost_gaps": _cat("`CatBoostClassifier(nan_mode='Max')`, rows with gaps", GAPS, TREES, nan_mode="Max"),
    "catboost_text": _cat(
        "`CatBoostClassifier` with categories", MIXED, refused("hashes of texts", "Guard"), cat_features=["city", "grade"]
    ),
    "catboost_scaled": _within(
        "catboost",
        "`CatBoostClassifier` behind `StandardScaler`",
        lambda: make_pipeline(StandardScaler(), cat()),
        refused=TREES,
    ),
    "catboost_voting": _within(
        "catboost",
        "`VotingClassifier` of a `CatBoostClassifier` alone",
        lambda: VotingClassifier([("a", cat())], voting="soft"),
        refused=TREES,
    ),
    "xgboost_json": _saved("XGBoost's JSON", "boosted.json", "xgboost", xgb, RAW),
    "xgboost_ubj": _saved("XGBoost's UBJSON", "boosted.ubj", "xgboost", xgb, RAW_CANCER),
    "lightgbm_txt": _saved("LightGBM's text", "boosted.txt", "lightgbm", lgb, RAW_CANCER),
    "catboost_json": _saved("CatBoost's JSON", "cat.json", "catboost", cat, RAW, format="json"),
    "catboost_cbm": _saved("CatBoost's cbm", "cat.cbm", "catboost", cat, RAW_CANCER),
}
