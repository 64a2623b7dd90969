"""Post-hoc calibration by scaling the logits.

Platt, "Probabilistic Outputs for Support Vector Machines", 1999, for two classes: ``sigmoid(a f + b)``. For more classes,
temperature scaling (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017):
``softmax(logits / T)``, to Platt's targets. Both are folded into the last layer, so that the result is a ReLU network like any
other.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from knowlimits.model.stack import Stack
from knowlimits.train.classifiers.base import StackClassifier, Task, stack
from knowlimits.train.classifiers.checks import check_real
from knowlimits.train.networks import Settings, Trained, stream


@dataclass(repr=False, eq=False, kw_only=True)
class PlattScaled(StackClassifier):
    """A ReLU classifier with its logits scaled on a validation set (Platt, 1999; Guo et al., 2017).

    The validation set given to `fit` decides about early stopping and about the scaling. Without one, a share of every
    class is held out for the scaling alone, one row at least, and none of a class that has no other. Where nothing can be
    held out, nothing is scaled.

    Args:
        holdout: share of every class that is held out for the scaling when `fit` gets no validation set.
    """

    holdout: float = 0.2

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_real("holdout", self.holdout, 0, 1)

    def _networks(self, task: Task) -> list[Settings]:
        (seed,) = task.seeds(1)
        network = self._network(task, seed)
        if len(task.validation_rows):
            return [network]
        rows = np.setdiff1d(task.rows, self._hold_out(task, seed))
        return [replace(network, rows=rows, batch_size=min(self.batch_size, len(rows)))]

    def _hold_out(self, task: Task, seed: int) -> np.ndarray:
        """A share of every class, at least one row and not all of them: none of a class that has one row."""
        rng = stream(seed, "holdout")
        chosen = []
        for label in range(task.classes):
            rows = task.rows[task.y[task.rows] == label]
            count = min(max(1, round(self.holdout * len(rows))), len(rows) - 1)
            chosen.append(rng.choice(rows, count, replace=False))
        return np.concatenate(chosen)

    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        unscaled = stack([t.learnt.mean for t in trained])
        rows = task.validation_rows if len(task.validation_rows) else self._hold_out(task, settings[0].seed)
        if not len(rows):
            return unscaled
        with torch.no_grad():
            logits = unscaled(torch.tensor(task.X[rows]))[0].numpy()
        y = task.y[rows]
        class_weight = self._class_weight(task)
        # Weights of single mini-batches steer the training; the scaling then sees the classes as they are.
        weights = class_weight[y] if isinstance(class_weight, np.ndarray) else np.ones(len(y))
        if task.classes == 2:
            slope, intercept = platt_scale(logits[:, 1], y, weights)
        else:
            slope, intercept = 1 / temperature(logits, y, weights), 0.0
        with torch.no_grad():
            unscaled.weights[-1].mul_(slope)
            unscaled.biases[-1].mul_(slope).add_(intercept)
        return unscaled


def platt_scale(logit: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and intercept that minimise the weighted cross-entropy of ``sigmoid(slope * logit + intercept)``.

    The targets are Platt's, ``(N1 + 1) / (N1 + 2)`` and ``1 / (N0 + 2)``, which keep the optimum finite where the classes
    are separable.
    """
    positives = y.sum()
    share = weights / weights.sum()
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = parameters[0] * logit + parameters[1]
        value = np.logaddexp(0, z) - target * z
        delta = share * (expit(z) - target)
        return float(share @ value), np.array([delta @ logit, delta.sum()])

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(intercept)


def temperature(logits: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """The temperature that minimises the weighted cross-entropy of ``softmax(logits / temperature)``, within e^-10 and e^10.

    The targets are Platt's, for K classes: ``(N + 1) / (N + K)`` for a row's own class, which has N rows, and ``1 / (N + K)``
    for the others. Where the rows are separable, the likeliest temperature would be 0, and every prediction certain.
    """
    classes = logits.shape[1]
    share = 1 / (np.bincount(y, minlength=classes)[y] + classes)
    own = 1 - classes * share

    def loss(log_temperature: float) -> float:
        log_probs = log_softmax(logits * np.exp(-log_temperature), axis=1)
        return float(-weights @ (own * log_probs[np.arange(len(y)), y] + share * log_probs.sum(1)))

    result: Any = minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(result.x))
