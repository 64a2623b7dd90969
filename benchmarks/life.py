"""What goes wrong with the data of real models, who notices it, and what it costs to know.

Quality, for each table: a network behind a scaler, a forest and boosted trees learn 70% of the rows, and are audited on the
others with all default faults and the ranges that the data have. Of the faults that do harm, under which a tenth of the rows or
more get another class, the mean share of rows that the model is sure on, and that each of these refuses at the threshold that
keeps 95% of the test rows: its entropy, the best of the detectors (by that mean, over the same faults: chosen afterwards), and
the guard. Then means over audits, by kinds of models and of faults.

Cost: seconds and peak memory of whole audits, each in a process of its own, of which the imports take 0.4 GB: a 10-member
ensemble on 569 x 30 (asked: 6 s), 200,000 x 100 (20 s); and a comparison of six candidates (30 s).

    python -m benchmarks.life [--quality | --cost] [TABLE ...]

Tables of packages that are not installed are left out, and named: benchmarks/tables.py.
"""

import argparse
import re
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import knowlimits as kl
from benchmarks.tables import TABLES
from knowlimits.ood.detectors import DETECTORS

ROWS, HARM = 2_000, 0.1
MODELS = {
    "network": lambda: make_pipeline(SimpleImputer(), StandardScaler(), MLPClassifier((32, 32), max_iter=300, random_state=0)),
    "forest": lambda: make_pipeline(SimpleImputer(), RandomForestClassifier(100, random_state=0)),
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=0),
}
# Kinds of faults, by what they are called.
KINDS = {
    "units, decimals": r"times|divided|decimal",
    "sentinels, zero": r"-?\d+",
    "sign": r"sign",
    "drift": r"\d+ sd",
    "stuck, saturated": r"stuck|at its largest",
    "swapped, shuffled": r"swapped|columns",
    "missing": r"missing",
}
WHO = ("entropy", "best detector", "guard")


def kind_of(words):
    return next((kind for kind, pattern in KINDS.items() if re.match(pattern + r"\b|" + pattern + "$", words)), "other")


def audited(name, model, X, y):
    """An audit of a model that has learnt 70% of a table; of large tables some rows."""
    y = np.unique(y, return_inverse=True)[1]
    if len(X) > ROWS:
        X, _, y, _ = train_test_split(X, y, train_size=ROWS, random_state=0, stratify=y)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    # What is missing everywhere says nothing to a model.
    kept = ~np.isnan(X_train).all(0)
    X_train, X_test = X_train[:, kept], X_test[:, kept]
    # Of pixels of few whole numbers all are moved.
    columns = "all" if name == "digits" else None
    learnt = MODELS[model]().fit(X_train, y_train)
    return kl.audit(learnt, X_train, y_train, continuous=columns, X_test=X_test, y_test=y_test)


def noticed(faults):
    """Of the faults that do harm: their kinds, and the shares of rows that the model is sure on and that each refuses."""
    harm = faults.take(faults["changed"] >= HARM)
    detectors = [f"refused, {name}" for name in DETECTORS if f"refused, {name}" in harm.columns]
    best = max(detectors, key=lambda name: np.nan_to_num(np.nanmean(harm[name])), default=None) if len(harm) else None
    shares = {"sure": harm["sure"], "entropy": harm["refused, entropy"], "guard": harm["refused, unfamiliarity"]}
    shares["best detector"] = np.full(len(harm), np.nan) if best is None else harm[best]
    return np.array([kind_of(words) for words in harm["fault"].tolist()], dtype=object), shares


def quality(names):
    found, skipped = {}, []
    for name in names:
        if TABLES[name].missing:
            skipped.append(f"{name} ({TABLES[name].package})")
            continue
        X, y, _ = TABLES[name].read()
        for model in MODELS:
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                a = audited(name, model, X, y)
            found[name, model] = kinds, shares = noticed(a.faults)
            harm = (
                f"{len(kinds)} of {len(a.faults)} faults do harm; of their rows sure {np.nanmean(shares['sure']):.2f}"
                if len(kinds)
                else "none"
            )
            refused = ", ".join(f"{who} {np.nanmean(shares[who]):.2f}" for who in WHO) if len(kinds) else ""
            print(f"{name:14} {model:8} {time.perf_counter() - began:5.1f} s  {harm}; refused by {refused}", flush=True)
    for title, chosen in (
        *((f"all, {model}", lambda key, kind, model=model: key[1] == model) for model in MODELS),
        *((kind, lambda key, kinds, kind=kind: kinds == kind) for kind in KINDS),
    ):
        means = {who: [] for who in ("sure", *WHO)}
        for key, (kinds, shares) in found.items():
            some = np.broadcast_to(chosen(key, kinds), kinds.shape)
            for who, values in shares.items():
                if some.any() and not np.isnan(values[some]).all():
                    means[who].append(np.nanmean(values[some]))
        if means["sure"]:
            print(
                f"{title:20} {len(means['sure']):3} audits  "
                + "  ".join(f"{who} {np.mean(v):.2f}" for who, v in means.items() if v)
            )
    if skipped:
        print(f"left out, as the package is not installed: {', '.join(skipped)}")


def timed(what, call):
    began = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    print(f"{what}: {seconds:.1f} s, peak {peak:.2f} GB", flush=True)
    return found


def ensemble():
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), kl.Ensemble(members=10, epochs=20, random_state=0)).fit(X, y)
    for turn in ("first", "second"):
        a = timed(f"audit of a 10-member ensemble, 569 x 30, {turn}", lambda: kl.audit(model, X, y))
    print(f"  {len(a.faults)} faults. {' '.join(note for note in a.notes if 'ranges' in note or 'ach fault' in note)}")


def large():
    X = np.random.default_rng(0).normal(size=(200_000, 100))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    a = timed("audit of a network, 200,000 x 100", lambda: kl.audit(net, X, (X[:, 0] > 0).astype(int)))
    print(f"  {len(a.faults)} faults. {' '.join(note for note in a.notes if 'ranges' in note or 'ach fault' in note)}")


def compared():
    X, y = load_breast_cancer(return_X_y=True)
    models = {
        "network": make_pipeline(StandardScaler(), MLPClassifier((32, 32), max_iter=300, random_state=0)),
        "ensemble": make_pipeline(StandardScaler(), kl.Ensemble(members=10, epochs=20, random_state=0)),
        "forest": RandomForestClassifier(100, random_state=0),
        "boosted": HistGradientBoostingClassifier(random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "kernel": make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)),
    }
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = {name: model.fit(X_train, y_train) for name, model in models.items()}
    timed("comparison of six, 569 x 30", lambda: kl.compare(models, X_train, y_train, X_test=X_test, y_test=y_test))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--quality", action="store_true", help="only who notices what")
    only.add_argument("--cost", action="store_true", help="only seconds and memory")
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all without any")
    given = parser.parse_args()
    if not given.quality:
        for call in ("ensemble", "large", "compared"):
            subprocess.run([sys.executable, "-c", f"from benchmarks import life; life.{call}()"], check=True)
    if not given.cost:
        quality(given.tables or TABLES)
