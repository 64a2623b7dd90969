"""What a worker does: train the trials of a batch as one population, and score them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from knowlimits.metrics import auroc
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.base import fit_each
from knowlimits.train.classifiers.holdout import Split, split_rows


@dataclass(frozen=True)
class Objective:
    """What a search makes large or small.

    Attributes:
        direction: which of the two.
        score: of a fitted classifier on a split.
    """

    direction: StudyDirection
    score: Callable[[StackClassifier, Split], float]


def _auc(model: StackClassifier, X: np.ndarray, y: np.ndarray) -> float:
    probs = model.predict_proba(X)
    if probs.shape[1] == 2:
        second = y == model.classes_[1]
        return auroc(probs[~second, 1], probs[second, 1])
    return float(roc_auc_score(y, probs, multi_class="ovr", labels=model.classes_))


def _log_loss(model: StackClassifier, split: Split) -> float:
    return float(log_loss(split.y_test, model.predict_proba(split.X_test), labels=model.classes_))


def _accuracy(model: StackClassifier, split: Split) -> float:
    return float(accuracy_score(split.y_test, model.predict(split.X_test)))


OBJECTIVES = {
    "auc": Objective(StudyDirection.MAXIMIZE, lambda model, split: _auc(model, split.X_test, split.y_test)),
    "log_loss": Objective(StudyDirection.MINIMIZE, _log_loss),
    "accuracy": Objective(StudyDirection.MAXIMIZE, _accuracy),
    # As in the published code: on the very data that it was trained on.
    "published": Objective(StudyDirection.MAXIMIZE, lambda model, split: _auc(model, split.X, split.y)),
}


@dataclass(frozen=True)
class Problem:
    """What all trials of a search have in common.

    Attributes:
        estimator: the classifier whose parameters are set.
        X, y: the data.
        repeats: how many times each trial is trained, each time on another split, from other initial weights.
        objective: a name in `OBJECTIVES`.
        seed: what splits and initial weights hang on; they are the same for all trials.
    """

    estimator: StackClassifier
    X: np.ndarray
    y: np.ndarray
    repeats: int
    objective: str
    seed: int

    def split(self, repeat: int) -> Split:
        """The rows of a repeat."""
        return split_rows(self.X, self.y, self._seed(repeat))

    def model(self, parameters: dict[str, Any], repeat: int) -> StackClassifier:
        """The unfitted classifier of a trial."""
        return type(self.estimator)(**{**self.estimator.get_params(), **parameters, "random_state": self._seed(repeat)})

    def _seed(self, repeat: int) -> int:
        return int(np.random.SeedSequence([self.seed, repeat]).generate_state(1)[0] % 2**31)


@dataclass(frozen=True)
class Outcome:
    """How a trial did.

    Attributes:
        scores: one for each repeat; empty if the trial failed.
        failure: why it failed.
    """

    scores: list[float]
    failure: str | None = None


def evaluate(problem: Problem, batch: Sequence[dict[str, Any]]) -> list[Outcome]:
    """Train trials, all repeats of all of them together, and score each."""
    splits = [problem.split(repeat) for repeat in range(problem.repeats)]
    score = OBJECTIVES[problem.objective].score
    models = [[problem.model(parameters, repeat) for repeat in range(problem.repeats)] for parameters in batch]
    tasks = [(m, s.X, s.y, s.X_val, s.y_val) for row in models for m, s in zip(row, splits, strict=True)]
    errors = iter(fit_each(tasks))
    outcomes = []
    for row in models:
        failures = [error for error in (next(errors) for _ in row) if error is not None]
        scores = [] if failures else [score(model, split) for model, split in zip(row, splits, strict=True)]
        if not failures and not np.isfinite(scores).all():
            scores, failures = [], [FloatingPointError("a score is not a number")]
        outcomes.append(Outcome(scores, str(failures[0]) if failures else None))
    return outcomes
