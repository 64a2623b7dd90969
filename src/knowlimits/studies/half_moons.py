"""The half-moons and the six models of the paper, which all studies start from.

The settings lie in `half_moons.toml`. `train_models` fits all models of all repetitions as one population, `measure` says how
well one classifies.
"""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import make_moons
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from knowlimits.train.classifiers import CLASSIFIERS, StackClassifier, fit_together
from knowlimits.train.classifiers.holdout import Split

#: Columns of the table, in order.
METRICS = ("auc", "accuracy", "log_loss", "brier", "published_auc")


@cache
def settings() -> dict[str, Any]:
    """The published settings, `half_moons.toml`."""
    return tomllib.loads(files("knowlimits.studies").joinpath("half_moons.toml").read_text())


def model_names() -> list[str]:
    """Names of the models, as in the published code."""
    return list(settings()["models"])


def draw_data(seed: int) -> Split:
    """The half-moons of one repetition."""
    data = settings()["data"]

    def moons(points: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
        X, y = make_moons(points, noise=data["noise"], random_state=random_state)
        return np.asarray(X), np.asarray(y)

    X, y = moons(data["points"], seed)
    # Test points hang on the seed too, but are no continuation of the training points' random numbers.
    X_test, y_test = moons(data["test"], seed + 2**31)
    n = data["train"]
    return Split(X[:n], y[:n], X[n:], y[n:], X_test, y_test)


def build(name: str, seed: int, device: str = "cpu", parameters: dict[str, Any] | None = None) -> StackClassifier:
    """An unfitted model with its published hyperparameters, or with others in their place."""
    model = settings()["models"][name]
    published = model.get("parameters", {})
    if parameters is not None:
        # How many members an ensemble has is no hyperparameter that was searched for.
        parameters = {**{key: value for key, value in published.items() if key == "members"}, **parameters}
    chosen = {**settings()["training"], **(published if parameters is None else parameters)}
    return CLASSIFIERS[model["class"]](**chosen, random_state=seed, device=device)


def check(name: str, parameters: dict[str, Any]) -> None:
    """Raise unless a model can be trained on the half-moons with these hyperparameters.

    Raises:
        TypeError, ValueError: if one is unknown or not as it should be.
    """
    accepted = set(build(name, 0).get_params()) - {"random_state", "device", "verbose"}
    if unknown := sorted(set(parameters) - accepted):
        raise ValueError(f"hyperparameters must be of {', '.join(sorted(accepted))}. Got {', '.join(unknown)}.")
    build(name, 0, parameters=parameters)._check_trainable(features=2, classes=2)


def train_models(
    names: Sequence[str],
    data: Sequence[Split],
    device: str = "cpu",
    verbose: bool = False,
    parameters: dict[str, dict[str, Any]] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[list[StackClassifier]]:
    """Every model on every draw of the data, trained together; ``result[i][j]`` is model `i` on draw `j`.

    Args:
        names: of the models.
        data: the draws.
        device: torch device to train on.
        verbose: show progress.
        parameters: of some models, in place of the published ones.
        seeds: one for each draw; 0, 1 and so on without them.
    """
    chosen = parameters or {}
    numbers = range(len(data)) if seeds is None else seeds
    fitted = [[build(name, seed, device, chosen.get(name)) for seed in numbers] for name in names]
    tasks = [(model, d.X, d.y, d.X_val, d.y_val) for row in fitted for model, d in zip(row, data, strict=True)]
    fit_together(tasks, verbose=verbose)
    return fitted


def measure(model: StackClassifier, data: Split) -> dict[str, float]:
    """The table's columns for one model on one draw of the data.

    All on the test data, except `published_auc`: as the published code defines it, from hard labels on the training data.
    """
    probs = model.predict_proba(data.X_test)[:, 1]
    return {
        "auc": float(roc_auc_score(data.y_test, probs)),
        "accuracy": float(accuracy_score(data.y_test, probs > 0.5)),
        "log_loss": float(log_loss(data.y_test, probs)),
        "brier": float(brier_score_loss(data.y_test, probs)),
        "published_auc": float(roc_auc_score(data.y, model.predict(data.X))),
    }
