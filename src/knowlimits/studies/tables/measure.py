"""Every score and detector on one split of a data set, and how they grow, predicted and measured.

Out of distribution are a class that is left out, other data of the same width, and test rows of which one feature is moved far
out, by factors of 10 to 10,000 and to infinity, as in Ulmer, Meijerink and Cina ("Trust issues", 2020). There the feature's
value is multiplied, which hardly moves rows near its mean, so here it goes to the far side of its range, times the factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knowlimits.metrics import auroc, fpr_at_95_ood_caught, ood_accepted_at_95_in
from knowlimits.ood.panel import Panel
from knowlimits.studies.tables.sets import DataSet
from knowlimits.studies.tables.splits import fitted, scaled

FACTORS = (10, 100, 1000, 10_000)
# Rows that are moved, of each feature and direction, at most.
_ROWS = 20


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


def measure(table: DataSet, models: Sequence[str], seed: int) -> tuple[list[Measured], list[Order]]:
    """All scores of some models on one split of a data set."""
    data, foreign, _ = scaled(table, seed)
    X, X_test = data.X, data.X_test
    starts, directions = _moves(X, X_test, np.random.default_rng(seed))
    found, orders = [], []
    for name in models:
        panel = Panel(inputs=False).fit(fitted(name, data, seed), data.X, data.y)
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
