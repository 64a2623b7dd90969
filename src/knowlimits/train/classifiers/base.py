"""What the classifiers share: parameters, checks of the data, training, predictions.

A classifier says which networks it wants trained (`_networks`) and how they become its `stack_` (`_build_stack`). Everything
between is `fit_together`, which trains the networks of any number of classifiers as one population.
"""

import itertools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from knowlimits import scores
from knowlimits._machine import are_small, one_thread
from knowlimits.model.convertible import Convertible
from knowlimits.model.stack import Stack
from knowlimits.options import check_choice
from knowlimits.progress import progress_bar
from knowlimits.train.classifiers.checks import check_device, check_integer, check_real
from knowlimits.train.classifiers.docstrings import inherit_args
from knowlimits.train.networks import ClassWeight, Method, Point, Settings, Trained, train

# Weights of one network, 1 GB in float32; training takes several times as much.
_MOST_WEIGHTS = 2**28


@dataclass(frozen=True)
class Task:
    """Checked data of one fit. Rows to learn from come first in `X` and `y`, rows to validate on behind them.

    Attributes:
        X: features, `(rows, features)`.
        y: class indices.
        rows: indices of the rows to learn from.
        validation_rows: indices of the rows to validate on; may be empty.
        classes: number of classes.
        random: the source of the networks' seeds.
    """

    X: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    validation_rows: np.ndarray
    classes: int
    random: np.random.RandomState

    def seeds(self, count: int) -> list[int]:
        """Seeds for `count` networks."""
        return self.random.randint(np.iinfo(np.int32).max, size=count).tolist()


@dataclass(repr=False, eq=False)
class StackClassifier(Convertible, ClassifierMixin, BaseEstimator, ABC):
    """Base of the classifiers whose prediction is the mean over the members of a `Stack`.

    A subclass is a dataclass, too: ``@dataclass(repr=False, eq=False, kw_only=True)``. It declares the parameters that it has
    beside these, and documents them; those below are added to its documentation.

    Args:
        hidden_sizes: width of every hidden layer.
        learning_rate: step size of Adam.
        dropout: probability that a hidden unit is dropped in a training step; predictions drop none.
        class_weight: None; ``"batch"``, which makes the classes of every mini-batch equally heavy, as the paper does;
            ``"balanced"``, the same over all the data; or a dictionary from labels to weights.
        batch_size: rows of a mini-batch.
        epochs: largest number of passes over the data.
        patience: with a validation set, training stops after so many epochs in a row without a better loss on it.
        random_state: seed, as scikit-learn means it.
        device: torch device to train and predict on.
        verbose: show a progress bar.

    Attributes:
        stack_: the fitted members, a `knowlimits.Stack` in float64.
        classes_: class labels.
        n_features_in_: number of features.
        n_epochs_: epochs that each trained network took, `(networks,)`.
        validation_loss_: weighted cross-entropy on the validation set, one list of epochs per trained network.
    """

    hidden_sizes: Sequence[int] = (25, 25, 25)
    _: KW_ONLY
    learning_rate: float = 0.001
    dropout: float = 0.0
    class_weight: dict | str | None = None
    batch_size: int = 64
    epochs: int = 100
    patience: int = 5
    random_state: int | np.random.RandomState | None = None
    device: str = "cpu"
    verbose: bool = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        parent = next(kind for kind in cls.__mro__[1:] if issubclass(kind, StackClassifier))
        cls.__doc__ = inherit_args(cls.__doc__, parent.__doc__)

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> "StackClassifier":
        """Train on `X` and `y`.

        Args:
            X: features, `(n, features)`.
            y: class labels, `(n,)`; at least two classes.
            X_val: features of a validation set for early stopping; without one, every epoch is trained.
            y_val: its labels.

        Returns:
            The fitted classifier.

        Raises:
            ValueError: if the data or a parameter is not what is accepted.
            FloatingPointError: if training diverges.
        """
        fit_together([(self, X, y, X_val, y_val)])
        return self

    def predict_members(self, X: Any) -> np.ndarray:
        """Probabilities by every member, `(members, n, classes)`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        rows = torch.tensor(X, device=self.stack_.weights[0].device)
        with torch.no_grad(), one_thread(are_small([self.stack_])):
            parts = [self.stack_(chunk).softmax(2) for chunk in self.stack_.chunks(rows)]
        return torch.cat(parts, dim=1).cpu().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, the mean over the members, `(n, classes)`."""
        return self.predict_members(X).mean(0)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of every row, `(n,)`."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def uncertainty(self, X: Any, score: str = "entropy", base: float | None = None) -> np.ndarray:
        """An uncertainty score of every row, `(n,)`; larger means less sure.

        Args:
            X: features, `(n, features)`.
            score: a name in `knowlimits.scores.SCORES`.
            base: base of the logarithm of entropies; nats without it.
        """
        return scores.score(self.predict_members(X), score, base=base)

    def _check_parameters(self) -> None:
        if not isinstance(self.hidden_sizes, Sequence | np.ndarray) or isinstance(self.hidden_sizes, str):
            raise TypeError(
                "hidden_sizes must be a sequence of widths, one per hidden layer, such as (25, 25). "
                f"Got {self.hidden_sizes!r} instead."
            )
        for size in self.hidden_sizes:
            check_integer("every width in hidden_sizes", size, 1)
        check_real("learning_rate", self.learning_rate, 0)
        check_real("dropout", self.dropout, 0, 1, "[)")
        check_integer("batch_size", self.batch_size, 1)
        check_integer("epochs", self.epochs, 1)
        check_integer("patience", self.patience, 1)
        if self.class_weight is not None and not isinstance(self.class_weight, dict):
            beside = ", None or a dictionary from labels to weights"
            check_choice("class_weight", self.class_weight, ClassWeight, beside)

    def _check_trainable(self, features: int, classes: int) -> None:
        """Raise unless the parameters can be trained on data of so many features and classes.

        Raises:
            TypeError, ValueError: if one is not what is accepted.
        """
        self._check_parameters()
        check_device(self.device)
        self._sizes(features, classes)

    def _sizes(self, features: int, classes: int) -> tuple[int, ...]:
        """Widths from the inputs to the outputs; one logit is enough for two classes."""
        sizes = (features, *map(int, self.hidden_sizes), 1 if classes == 2 else classes)
        weights = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
        if weights > _MOST_WEIGHTS:
            raise ValueError(
                f"hidden_sizes must give a network of at most {_MOST_WEIGHTS:,} weights. Got {weights:,} instead: "
                "choose smaller ones."
            )
        return sizes

    def _task(self, X: Any, y: Any, X_val: Any, y_val: Any) -> Task:
        """Check parameters and data."""
        self._check_parameters()
        check_device(self.device)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least 2 classes. Got one class, {self.classes_.tolist()[0]!r}, instead.")
        rows = np.arange(len(X))
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together. Got only one of them.")
        if X_val is None:
            validation_rows = np.empty(0, dtype=np.int64)
        else:
            X_val = validate_data(self, X_val, reset=False, dtype=np.float64)
            y_val = column_or_1d(y_val)
            if len(y_val) != len(X_val):
                raise ValueError(f"X_val and y_val must have one row each. Got {len(X_val)} and {len(y_val)} instead.")
            unknown = np.setdiff1d(y_val, self.classes_)
            if len(unknown):
                raise ValueError(f"y_val must hold classes of y. Got {unknown.tolist()}, not in {self.classes_.tolist()}.")
            validation_rows = len(X) + np.arange(len(X_val))
            X = np.concatenate([X, X_val])
            y = np.concatenate([y, np.searchsorted(self.classes_, y_val)])
        random = check_random_state(self.random_state)
        return Task(X, y, rows, validation_rows, len(self.classes_), random)

    def _class_weight(self, task: Task) -> np.ndarray | ClassWeight | None:
        if self.class_weight is None:
            return None
        if self.class_weight == ClassWeight.BATCH:
            return ClassWeight.BATCH
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[task.y[task.rows]])

    def _network(self, task: Task, seed: int, method: Method | None = None) -> Settings:
        """A network to train, with the parameters that all classifiers have.

        Args:
            task: the data.
            seed: what all its random numbers hang on, one of `task.seeds`.
            method: how it learns; without one, its weights are numbers.
        """
        return Settings(
            sizes=self._sizes(task.X.shape[1], task.classes),
            seed=seed,
            rows=task.rows,
            method=method or Point(),
            validation_rows=task.validation_rows,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            class_weight=self._class_weight(task),
            batch_size=min(self.batch_size, len(task.rows)),
            epochs=self.epochs,
            patience=self.patience,
        )

    @abstractmethod
    def _networks(self, task: Task) -> list[Settings]:
        """The networks to train, made by `_network`."""

    @abstractmethod
    def _build_stack(self, task: Task, settings: list[Settings], trained: list[Trained]) -> Stack:
        """The members whose mean is the prediction, from the networks after training."""

    def _finish(self, task: Task, settings: list[Settings], trained: list[Trained]) -> None:
        for number, t in enumerate(trained):
            if not t.learnt.finite:
                raise FloatingPointError(
                    f"training of network {number} diverged: a weight is not finite. "
                    f"Lower learning_rate (now {self.learning_rate}) or scale the features."
                )
        self.stack_ = self._build_stack(task, settings, trained).to(torch.device(self.device))
        self.n_epochs_ = np.array([t.epochs for t in trained])
        self.validation_loss_ = [t.validation_loss for t in trained]


def stack(networks: Sequence[Sequence[Tensor]]) -> Stack:
    """A float64 `Stack` of networks given as matrices `(out, in + 1)` per layer, the bias last."""
    layers = [torch.stack(matrices).double() for matrices in zip(*networks, strict=True)]
    return Stack([w[:, :, :-1].contiguous() for w in layers], [w[:, :, -1].contiguous() for w in layers])


def fit_together(tasks: Sequence[Sequence[Any]], verbose: bool | None = None) -> None:
    """Fit classifiers as one population, each exactly as its own `fit` would, up to rounding.

    Many small networks train together many times faster than one by one, so fit every seed and every model of an
    experiment with one call.

    Args:
        tasks: one ``(classifier, X, y)`` or ``(classifier, X, y, X_val, y_val)`` each.
        verbose: show a progress bar; by default if any of the classifiers is verbose.

    Raises:
        FloatingPointError: if training of one diverges; the others are fitted all the same.
    """
    for error in fit_each(tasks, verbose):
        if error is not None:
            raise error


def fit_each(tasks: Sequence[Sequence[Any]], verbose: bool | None = None) -> list[FloatingPointError | None]:
    """`fit_together` that returns, for each task, the error of a training that diverged, or None."""
    errors: list[FloatingPointError | None] = [None] * len(tasks)
    prepared = []
    groups = defaultdict(list)
    for classifier, *data in tasks:
        task = classifier._task(*data, *(None,) * (4 - len(data)))
        settings = classifier._networks(task)
        groups[str(classifier.device), task.X.shape[1], task.classes].append(len(prepared))
        prepared.append((classifier, task, settings))
    total = sum(s.epochs for _, _, settings in prepared for s in settings)
    show = any(classifier.verbose for classifier, _, _ in prepared) if verbose is None else verbose
    networks = sum(len(settings) for _, _, settings in prepared)
    with progress_bar(f"training {networks} networks", total, show) as progress:
        for (device, _, classes), indices in groups.items():
            shifted = []
            offset = 0
            for _, task, settings in (prepared[i] for i in indices):
                shifted += [replace(s, rows=s.rows + offset, validation_rows=s.validation_rows + offset) for s in settings]
                offset += len(task.X)
            X = np.concatenate([prepared[i][1].X for i in indices]) if len(indices) > 1 else prepared[indices[0]][1].X
            y = np.concatenate([prepared[i][1].y for i in indices])
            trained = iter(train(shifted, X, y, classes, device, progress))
            for i in indices:
                classifier, task, settings = prepared[i]
                try:
                    classifier._finish(task, settings, [next(trained) for _ in settings])
                except FloatingPointError as error:
                    errors[i] = error
    return errors
