"""The half-moons experiments of the paper: figures 3, 5 and 6 and the AUC of every model.

The settings lie in `half_moons.toml`. `train_models` fits all models of all repetitions as one population, `measure` makes the
table, `maps` evaluates a score and the length of its gradient on the grids of the figures.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import make_moons
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from knowlimits import scores
from knowlimits.train.classifiers import CLASSIFIERS, StackClassifier, fit_together
from knowlimits.train.classifiers.holdout import Split

#: Columns of the table, in order.
METRICS = ("auc", "accuracy", "log_loss", "brier", "published_auc")


@dataclass(frozen=True)
class Map:
    """A score of a model on a grid, and the length of the score's gradient on a wider one.

    Attributes:
        model: the model's published name.
        score: the score's name.
        extent: of the score's grid: x from, x to, y from, y to.
        values: the score, ``(rows, columns)``, entropies in bits as in the paper.
        gradient_extent: of the gradient's grid.
        gradients: the gradient's length, ``(rows, columns)``.
        auc: area under the ROC curve on the test data.
    """

    model: str
    score: str
    extent: tuple[float, float, float, float]
    values: np.ndarray
    gradient_extent: tuple[float, float, float, float]
    gradients: np.ndarray
    auc: float


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


def grid(extent: Sequence[float]) -> tuple[np.ndarray, tuple[int, int]]:
    """Points of a grid, row by row from below, and its shape; `extent` ends with the step."""
    left, right, low, high, step = extent
    # Counted, not accumulated: the end is excluded whatever the rounding.
    x = left + step * np.arange(round((right - left) / step))
    y = low + step * np.arange(round((high - low) / step))
    xx, yy = np.meshgrid(x, y)
    return np.stack([xx.ravel(), yy.ravel()], axis=1), xx.shape


def maps(name: str, model: StackClassifier, data: Split) -> list[Map]:
    """All maps that the paper draws of a model."""
    auc = measure(model, data)["auc"]
    extents = settings()["grid"]
    points, shape = grid(extents["scores"])
    wide, wide_shape = grid(extents["gradients"])
    probs = model.predict_members(points)
    return [
        Map(
            model=name,
            score=score,
            extent=tuple(extents["scores"][:4]),
            values=scores.score(probs, score, base=2).reshape(shape),
            gradient_extent=tuple(extents["gradients"][:4]),
            gradients=scores.gradient_magnitude(model, wide, score, base=2).reshape(wide_shape),
            auc=auc,
        )
        for score in settings()["models"][name]["scores"]
    ]
