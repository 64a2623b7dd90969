"""A check for a classifier that a person adds: the contract that those of this library keep."""

import inspect
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.utils.estimator_checks import check_estimator

from knowlimits.files.load import load
from knowlimits.files.saved.file import save
from knowlimits.model.stack import Stack
from knowlimits.train.classifiers import CLASSIFIERS, StackClassifier, fit_together

# Share of the rows of clusters far apart that must be told right.
_LEARNT = 0.9


def check_model(estimator: StackClassifier, *, seed: int = 0) -> None:
    """Check a classifier of your own: it learns, its prediction is the mean over its members, a seed fixes it, files keep it.

    It is fitted a hundred times and more, scikit-learn's own checks among them, so give it settings with which it is quick, and
    still learns clusters that lie far apart.

    Args:
        estimator: of a subclass of `StackClassifier`, with the parameters to check it with. Files and scikit-learn's checks of
            pickles need a class that can be imported.
        seed: of the data and of the classifier.

    Raises:
        AssertionError: where it breaks the contract; scikit-learn's checks have errors of their own, too.
    """
    assert isinstance(estimator, StackClassifier), f"must be a StackClassifier, got {type(estimator).__name__}"
    _check_parameters(estimator)
    moons, names = _moons(seed), _clusters(seed)
    for X, y in (moons, names):
        _check_answers(_fresh(estimator, random_state=seed).fit(X, y, X[::2], y[::2]), X, y)
    _check_learns(_fresh(estimator, random_state=seed), *names)
    _check_seeds(estimator, *moons, seed)
    _check_population(estimator, *moons, seed)
    _check_file(_fresh(estimator, random_state=seed, class_weight="balanced"), *names)
    check_estimator(estimator, on_skip=None)


def _fresh(estimator: StackClassifier, **parameters: Any) -> StackClassifier:
    """The same, unfitted, with some parameters changed."""
    copy: Any = clone(estimator)
    return copy.set_params(**parameters)


def _moons(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_moons(100, noise=0.125, random_state=seed)
    return np.asarray(X), np.asarray(y)


def _clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes far apart, with names."""
    centers = np.array([(-2, -1), (2, -1), (0, 2)])
    X, y, *_ = make_blobs(120, centers=centers, cluster_std=0.3, random_state=seed)
    return np.asarray(X), np.array(["left", "right", "top"])[y]


def _check_parameters(estimator: StackClassifier) -> None:
    accepted = estimator.get_params()
    for kind in type(estimator).__mro__:
        if not issubclass(kind, StackClassifier) or kind is StackClassifier:
            continue
        declared = [name for name, hint in inspect.get_annotations(kind).items() if "ClassVar" not in str(hint)]
        forgotten = [name for name in declared if name not in accepted and not name.startswith("_") and name[-1] != "_"]
        assert not forgotten, (
            f"{kind.__name__} declares {', '.join(forgotten)}, and its constructor does not take it: decorate the class with "
            "@dataclass(repr=False, eq=False, kw_only=True)"
        )


def _check_answers(model: StackClassifier, X: np.ndarray, y: np.ndarray) -> None:
    classes = np.unique(y)
    assert model.classes_.tolist() == classes.tolist(), f"classes_ must be {classes.tolist()}, got {model.classes_.tolist()}"
    assert isinstance(model.stack_, Stack), f"_build_stack must give a Stack, got {type(model.stack_).__name__}"
    for parameter in model.stack_.parameters():
        assert parameter.dtype == torch.float64, f"the stack must be in float64, got {parameter.dtype}"
        assert parameter.isfinite().all(), "the stack must have finite weights"
    members, probs = model.predict_members(X), model.predict_proba(X)
    shape = (model.stack_.members, len(X), len(classes))
    assert members.shape == shape, f"predict_members must be (members, n, classes) = {shape}, got {members.shape}"
    assert np.allclose(members.sum(2), 1, rtol=0, atol=1e-9), "the probabilities of a member must add up to 1"
    assert np.allclose(members.mean(0), probs, rtol=0, atol=1e-12), "predict_proba must be the mean over predict_members"
    with torch.no_grad():
        stack = model.stack_(torch.tensor(X, device=model.stack_.weights[0].device)).softmax(2).cpu().numpy()
    assert np.allclose(stack, members, rtol=0, atol=1e-9), "predict_members must be what the stack says"
    best = classes[probs.argmax(1)]
    assert (model.predict(X) == best).all(), "predict must be the class of the largest probability"
    count = len(model.n_epochs_)
    assert (np.asarray(model.n_epochs_) > 0).all(), f"n_epochs_ must be at least 1, got {model.n_epochs_}"
    lengths = [len(losses) for losses in model.validation_loss_]
    assert len(lengths) == count, f"validation_loss_ must have a list for each of {count} networks, got {len(lengths)}"
    for score in ("entropy", "mutual_information"):
        values = model.uncertainty(X, score)
        assert values.shape == (len(X),), f"uncertainty must be (n,) = ({len(X)},), got {values.shape}"
        assert np.isfinite(values).all(), f"{score} must be finite"


def _check_learns(model: StackClassifier, X: np.ndarray, y: np.ndarray) -> None:
    right = (model.fit(X, y).predict(X) == y).mean()
    assert right >= _LEARNT, (
        f"it must tell {_LEARNT:.0%} of the rows of three clusters far apart right, got {right:.0%}: give it more epochs or a "
        "larger learning_rate, if it learns at all"
    )


def _check_seeds(estimator: StackClassifier, X: np.ndarray, y: np.ndarray, seed: int) -> None:
    def fitted(state: int | np.random.RandomState) -> np.ndarray:
        return _fresh(estimator, random_state=state).fit(X, y).predict_members(X)

    first = fitted(seed)
    assert np.array_equal(first, fitted(seed)), (
        "the same random_state must give the same members: draw from task.seeds and stream alone"
    )
    assert not np.array_equal(first, fitted(seed + 1)), "another random_state must give other members"
    state = np.random.RandomState(seed)
    assert not np.array_equal(fitted(state), fitted(state)), "a RandomState must go on from fit to fit"


def _check_population(estimator: StackClassifier, X: np.ndarray, y: np.ndarray, seed: int) -> None:
    # Rounding differs in company, and grows from epoch to epoch.
    epochs = 3
    together = [_fresh(estimator, random_state=seed + i, epochs=epochs) for i in range(2)]
    others = [kind(epochs=epochs, random_state=seed) for kind in CLASSIFIERS.values()]
    fit_together([(model, X, y) for model in (*others, *together)])
    for model in together:
        alone = _fresh(model).fit(X, y)
        same = np.allclose(model.predict_members(X), alone.predict_members(X), rtol=1e-3, atol=1e-4)
        assert same, "fit_together must give what fit gives, up to rounding: what is learnt must hang on the own network alone"


def _check_file(model: StackClassifier, X: np.ndarray, y: np.ndarray) -> None:
    model.fit(X, y)
    kind = type(model)
    with TemporaryDirectory() as folder, patch.dict(CLASSIFIERS, {kind.__name__: kind}):
        path = Path(folder) / "model.safetensors"
        save(model, path)
        loaded: Any = load(path)
    assert type(loaded) is kind, f"the file must hold a {kind.__name__}, got {type(loaded).__name__}"
    given, kept = model.get_params(), loaded.get_params()
    lost = [name for name in given if kept[name] != given[name]]
    assert not lost, f"a file must keep parameters, it does not keep {', '.join(lost)}"
    same = np.allclose(loaded.predict_members(X), model.predict_members(X), rtol=1e-12, atol=0)
    assert same, "what was loaded must predict as what was saved"
