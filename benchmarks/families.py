"""What families of classifiers cost: far fields of ensembles of trees beside their own predictions, and an audit of each.

python -m benchmarks.families [--audits | --ensembles] [NAME ...]

Everything runs in one thread. Rows are drawn, and no two of them are equal.
"""

import argparse
import functools
import importlib
import importlib.util
import time
import warnings
from statistics import median

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import knowlimits as kl

RAYS, REPETITIONS = 100_000, 3
# What is asked for: predictions that a far field may take, and seconds that an audit may.
PREDICTIONS, SECONDS = 3.0, 5.0

ENSEMBLES = {
    "random forest, 300 trees": lambda: RandomForestClassifier(300, random_state=0),
    "extra trees, 300 trees": lambda: ExtraTreesClassifier(300, random_state=0),
    "histogram boosting, 500 trees": lambda: HistGradientBoostingClassifier(max_iter=500, early_stopping=False, random_state=0),
    "gradient boosting, 500 trees": lambda: GradientBoostingClassifier(n_estimators=500, random_state=0),
    "AdaBoost, 300 stumps": lambda: AdaBoostClassifier(n_estimators=300, random_state=0),
    "bag of 300 trees": lambda: BaggingClassifier(n_estimators=300, random_state=0),
}
# What is installed of these is measured, too.
for package, name, settings in (
    ("xgboost", "XGBClassifier", {}),
    ("lightgbm", "LGBMClassifier", {"verbose": -1}),
    ("catboost", "CatBoostClassifier", {"verbose": 0, "allow_writing_files": False, "thread_count": 1}),
):
    if importlib.util.find_spec(package):
        settings = {"n_estimators": 500} | ({} if package == "catboost" else {"n_jobs": 1}) | settings
        make = functools.partial(getattr(importlib.import_module(package), name), **settings)
        ENSEMBLES[f"{name.removesuffix('Classifier')}, 500 rounds"] = make


def scaled(model):
    return make_pipeline(StandardScaler(), model)


# With the seconds that an audit may take.
FAMILIES = {
    "logistic regression": (lambda: scaled(LogisticRegression()), SECONDS),
    "linear discriminant": (LinearDiscriminantAnalysis, SECONDS),
    "quadratic discriminant": (lambda: QuadraticDiscriminantAnalysis(reg_param=1e-3), SECONDS),
    "Gaussian naive Bayes": (GaussianNB, SECONDS),
    "neighbours, 10": (lambda: scaled(KNeighborsClassifier(10)), SECONDS),
    "neighbours, by distance": (lambda: scaled(KNeighborsClassifier(10, weights="distance")), SECONDS),
    "SVC, radial": (lambda: scaled(SVC(probability=True, random_state=0)), 15.0),
    "Gaussian process": (lambda: scaled(GaussianProcessClassifier(random_state=0)), 15.0),
    "decision tree": (lambda: DecisionTreeClassifier(random_state=0), SECONDS),
    "random forest, calibrated": (lambda: CalibratedClassifierCV(RandomForestClassifier(100, random_state=0), cv=5), SECONDS),
    **{name: (make, SECONDS) for name, make in ENSEMBLES.items()},
}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def data():
    """Tables to fit ensembles to: a small one, of which trees are small, and a larger one."""
    drawn = make_classification(4_000, 30, n_informative=12, n_classes=3, flip_y=0.05, random_state=0)
    return {"breast cancer": load_breast_cancer(return_X_y=True), "4,000 drawn rows": drawn}


def rays(X):
    """Rows round those of a table, and directions, all distinct."""
    rng = np.random.default_rng(0)
    rows = X[rng.integers(len(X), size=RAYS)] + 0.3 * rng.normal(size=(RAYS, X.shape[1])) * X.std(0)
    return rows, rng.normal(size=rows.shape) * X.std(0)


def ensembles(names):
    print(f"{RAYS:,} rays and rows, one thread; a far field may take {PREDICTIONS:g} predictions\n")
    print(
        "| ensemble | fitted to | predict_proba, s | at points, s | far field, s | predictions |\n|---|---|---:|---:|---:|---:|"
    )
    for table, (X, y) in data().items():
        rows, directions = rays(X)
        for name in names:
            model = ENSEMBLES[name]().fit(X, y)
            read = kl.read(model, X=X)
            kl.far_field(read, rows[:10], directions[:10])
            # In turns, so that all are of the same minutes.
            times = [
                (
                    seconds(lambda m=model, r=rows: m.predict_proba(r)),
                    seconds(lambda m=read, r=rows: m.predict_proba(r)),
                    seconds(lambda m=read, r=rows, d=directions: kl.far_field(m, r, d)),
                )
                for _ in range(REPETITIONS)
            ]
            own, at, far = (median(part) for part in zip(*times, strict=True))
            print(f"| {name} | {table} | {own:.2f} | {at:.2f} | {far:.2f} | {far / own:.2f} |", flush=True)


def audits(names):
    X, y = load_breast_cancer(return_X_y=True)
    print(
        "An audit of breast cancer, 569 x 30, one thread\n\n| family | fit, s | audit, s | may take, s |\n|---|---:|---:|---:|"
    )
    # What is loaded and compiled once.
    kl.audit(DecisionTreeClassifier(max_depth=2).fit(X, y), X, y)
    for name in names:
        make, most = FAMILIES[name]
        model = make()
        fit = seconds(lambda m=model: m.fit(X, y))
        try:
            took = f"{seconds(lambda m=model: kl.audit(m, X, y)):.2f}"
        except TypeError as error:
            # A family that is not there yet.
            took = f"refused: {str(error)[:40]}"
        print(f"| {name} | {fit:.2f} | {took} | {most:g} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--audits", action="store_true", help="audits only")
    parser.add_argument("--ensembles", action="store_true", help="ensembles of trees only")
    parser.add_argument("names", nargs="*", help="families and ensembles; all without any")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        if not given.audits:
            ensembles([name for name in ENSEMBLES if not given.names or name in given.names])
            print()
        if not given.ensembles:
            audits([name for name in FAMILIES if not given.names or name in given.names])


if __name__ == "__main__":
    main()
