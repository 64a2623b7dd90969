"""`knowlimits detect`: every score and detector on real tabular data, and what the algebra predicts beside what is measured.

Data sets are those that scikit-learn ships, or a person's own. Out of distribution are a class that is left out, other data of
the same width, and test rows of which one feature is moved far out, by factors of 10 to 10,000 and to infinity, as in Ulmer,
Meijerink and Cina ("Trust issues", 2020). There the feature's value is multiplied, which hardly moves rows near its mean, so
here it goes to the far side of its range, times the factor.
"""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images, load_wine

from knowlimits import plots
from knowlimits.files.tables import read_numbers, read_table
from knowlimits.metrics import auroc, fpr_at_95_ood_caught, ood_accepted_at_95_in
from knowlimits.ood.panel import Panel
from knowlimits.ood.sizes import check_size
from knowlimits.outputs import write_atomically
from knowlimits.progress import progress_bar
from knowlimits.studies import half_moons
from knowlimits.train.classifiers.holdout import Split, check_rows, split_rows
from knowlimits.workers import workers

SETS = ("breast_cancer", "wine", "digits")
FACTORS = (10, 100, 1000, 10_000)
# Settings that fit these sets; the paper's are those of the half-moons.
_PARAMETERS = {"hidden_sizes": (32, 32), "learning_rate": 0.01, "epochs": 40, "batch_size": 32}
# Rows that are moved, of each feature and direction, at most.
_ROWS = 20


@dataclass(frozen=True)
class Table:
    """A data set, and what is foreign to it."""

    name: str
    X: np.ndarray
    y: np.ndarray
    foreign: dict[str, np.ndarray]


@dataclass(frozen=True)
class Measured:
    """One score of one model on one set, one kind of out-of-distribution data, one seed.

    Attributes:
        table, model, score, kind, seed: which.
        auroc: area under the ROC curve.
        refused: share of familiar rows refused, to catch 95% of the others.
        accepted: share of others accepted, to keep 95% of the familiar rows.
    """

    table: str
    model: str
    score: str
    kind: str
    seed: int
    auroc: float
    refused: float
    accepted: float


@dataclass(frozen=True)
class Order:
    """How a score grows as features are moved out: what the algebra says, and the slope that was measured.

    Attributes:
        table, model, score: which.
        predicted: the power of the distance, ``(n,)``.
        measured: ``(n,)``.
    """

    table: str
    model: str
    score: str
    predicted: np.ndarray
    measured: np.ndarray


def load_table(name: str) -> Table:
    """One of `SETS`; the last class of wine and digits is left out, and photographs are foreign to digits."""
    if name == "breast_cancer":
        X, y = map(np.asarray, load_breast_cancer(return_X_y=True))
        return Table(name, X, y, {})
    X, y = map(np.asarray, load_wine(return_X_y=True) if name == "wine" else load_digits(return_X_y=True))
    last = y == y.max()
    foreign = {"class left out": X[last]}
    if name == "digits":
        foreign["photographs"] = _photographs()
    return Table(name, X[~last], y[~last], foreign)


def own_table(data: Path, target: str, ood: Path) -> Table:
    """A person's own data and what is foreign to them, from CSV files; the second may have the column of labels or not.

    Raises:
        ValueError: if a file is no table, or the columns differ.
    """
    X, y, names = read_table(data, target)
    try:
        check_rows(y)
    except ValueError as error:
        raise ValueError(f"{data}, column {target!r}: {error}") from None
    # A column that is no feature can stand for the labels, as they are not looked at.
    foreign = read_numbers(ood, names)[0]
    for path, rows in ((data, X), (ood, foreign)):
        check_size(str(path), rows)
    return Table(data.stem, X, y, {ood.stem: foreign})


def _photographs() -> np.ndarray:
    """Patches of 8 by 8 of the photographs that scikit-learn ships, in the digits' range of grey."""
    patches = []
    for image in load_sample_images().images:
        grey = np.asarray(image, dtype=np.float64).mean(2) / 255 * 16
        rows, columns = (size // 8 * 8 for size in grey.shape)
        blocks = grey[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8).swapaxes(1, 2).reshape(-1, 64)
        patches.append(blocks[:: max(1, len(blocks) // 150)])
    return np.concatenate(patches)


def run(
    out: Path, tables: Sequence[Table], models: Sequence[str], seeds: int = 5, dask: str | None = None, verbose: bool = True
) -> list[Measured]:
    """Measure, and write `tables/detection.csv`, `figures/growth.png` and `summary.md` to a folder.

    Args:
        out: the folder.
        tables: data sets.
        models: by their published names.
        seeds: repetitions of the split and the training.
        dask: ``"local"`` or the address of a Dask scheduler, to do them on its workers.
        verbose: show progress.
    """
    for folder in ("tables", "figures"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    measured: list[Measured] = []
    orders: list[Order] = []
    with workers(dask) as crew, progress_bar("data sets and seeds", len(tables) * seeds, verbose) as advance:
        futures = [crew.submit(measure, table, list(models), seed) for table in tables for seed in range(seeds)]
        for future in as_completed(futures):
            found, growth = future.result()
            measured += found
            orders += growth
            if advance:
                advance(1)
    measured.sort(key=lambda m: (m.table, m.model, m.kind, m.score, m.seed))
    write_atomically(out / "tables" / "detection.csv", _csv(measured).encode())
    plots.save(plots.growth(orders), out / "figures" / "growth.png")
    write_atomically(out / "summary.md", summary(measured, seeds).encode())
    return measured


def measure(table: Table, models: Sequence[str], seed: int) -> tuple[list[Measured], list[Order]]:
    """All scores of some models on one split of a data set."""
    raw = split_rows(table.X, table.y, seed)
    mean, deviation = raw.X.mean(0), np.where(raw.X.std(0) > 0, raw.X.std(0), 1.0)
    X, X_val, X_test = ((part - mean) / deviation for part in (raw.X, raw.X_val, raw.X_test))
    data = Split(X, raw.y, X_val, raw.y_val, X_test, raw.y_test)
    foreign = {kind: (rows - mean) / deviation for kind, rows in table.foreign.items()}
    starts, directions = _moves(X, X_test, np.random.default_rng(seed))
    found, orders = [], []
    for name in models:
        model = half_moons.build(name, seed, parameters=_PARAMETERS).fit(data.X, data.y, data.X_val, data.y_val)
        panel = Panel(inputs=False).fit(model, data.X, data.y)
        inside, growths = panel.at(X_test), panel.along(starts, directions)
        far = {factor: panel.at(starts + factor * directions) for factor in FACTORS}
        outside = {kind: panel.at(rows) for kind, rows in foreign.items()}
        outside |= {f"one feature times {factor:,}": scores for factor, scores in far.items()}
        outside["one feature to infinity"] = {score: growth.limit for score, growth in growths.items()}
        for score, near in inside.items():
            for kind, scores in outside.items():
                rates = [rate(near, scores[score]) for rate in (auroc, fpr_at_95_ood_caught, ood_accepted_at_95_in)]
                found.append(Measured(table.name, name, score, kind, seed, *rates))
            # Differences between decades, so that constants and lower powers hardly count.
            steps = [np.abs(far[10**k][score] - far[10 ** (k - 1)][score]) for k in (3, 4)]
            moves = (steps[0] > 1e-9) & (steps[1] > 1e-9)
            slopes = np.where(moves, np.log10(np.where(moves, steps[1], 1) / np.where(moves, steps[0], 1)), 0.0)
            orders.append(Order(table.name, name, score, growths[score].power, np.maximum(slopes, 0.0)))
    return found, orders


def _moves(X: np.ndarray, X_test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rays along which one feature of some test rows goes beyond the far side of its range; at 1 it is there."""
    starts, directions = [], []
    for feature in range(X.shape[1]):
        for far in (X[:, feature].min(), X[:, feature].max()):
            if far == 0:
                continue
            rows = X_test[rng.permutation(len(X_test))[: max(2, _ROWS * 10 // X.shape[1])]].copy()
            rows[:, feature] = 0
            step = np.zeros_like(rows)
            step[:, feature] = far
            starts.append(rows)
            directions.append(step)
    return np.concatenate(starts), np.concatenate(directions)


def _csv(measured: Sequence[Measured]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["set", "model", "score", "out of distribution", "seed", "auroc", "refused", "accepted"])
    for m in measured:
        rates = (f"{v:.4f}" for v in (m.auroc, m.refused, m.accepted))
        writer.writerow([m.table, m.model, m.score, m.kind, m.seed, *rates])
    return buffer.getvalue()


def summary(measured: Sequence[Measured], seeds: int) -> str:
    """Tables of areas under the ROC curve, one for each data set and model."""
    lines = [
        "# Scores and detectors on real data",
        "",
        f"Area under the ROC curve of test rows against others, mean and 95% interval over {seeds} splits. Written by",
        "`knowlimits detect`; `tables/detection.csv` has both false positive rates, too.",
        "",
    ]
    for table, model in dict.fromkeys((m.table, m.model) for m in measured):
        chosen = [m for m in measured if (m.table, m.model) == (table, model)]
        kinds = sorted({m.kind for m in chosen}, key=_place)
        lines += [f"## {table}, {model}", "", f"| score | {' | '.join(kinds)} |", "|---|" + "---:|" * len(kinds)]
        for score in dict.fromkeys(m.score for m in chosen):
            cells = []
            for kind in kinds:
                values = np.array([m.auroc for m in chosen if (m.score, m.kind) == (score, kind)])
                half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
                cells.append(f"{values.mean():.2f} ± {half:.2f}")
            lines.append(f"| {score.replace('_', ' ')} | {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "## What the algebra predicts, and what was measured",
        "",
        "![Predicted and measured growth](figures/growth.png)",
        "",
        "Each point is a test row of which one feature was moved out: the power of the distance by which a score grows, from",
        "its far field, and the slope between factors of 1,000 and 10,000. Points beside the lines are on their way.",
    ]
    return "\n".join(lines) + "\n"


def _place(kind: str) -> tuple[int, str]:
    """Foreign data first, then features by their factors."""
    if not kind.startswith("one feature"):
        return 0, kind
    return (2, "") if kind.endswith("infinity") else (1, f"{int(kind.split()[-1].replace(',', '')):09d}")
