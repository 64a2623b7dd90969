"""Figure 1 of the paper: nine Gaussian clusters, a small network, its polytopes, and how its entropy changes across them."""

from dataclasses import dataclass

import numpy as np

from knowlimits import scores
from knowlimits.plane import Partition, partition
from knowlimits.train.classifiers import NeuralNetwork

CENTRES = ((0.5, -0.5), (0, -1.5), (-1.3, -1), (-1.5, 0), (-0.1, 0.5), (-2.5, 0.5), (1.5, 0), (2, 1.1), (2, -1.5))
BOX = (-5.0, 5.0, -5.0, 5.0)
_POINTS = 50
_GRID = 400


@dataclass(frozen=True)
class Clusters:
    """What figure 1 shows: maps on a grid over `BOX`, ``(rows, columns)``, row by row from below.

    Attributes:
        X, y: the training data.
        entropy: of the prediction, in bits.
        gradient: the length of the entropy's gradient.
        change: the length of the gradient of that length.
        cells: the network's polytopes in the box.
    """

    X: np.ndarray
    y: np.ndarray
    entropy: np.ndarray
    gradient: np.ndarray
    change: np.ndarray
    cells: Partition


def draw_clusters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fifty points of each cluster, with a diagonal covariance from U(0.02, 0.1), and the clusters' numbers."""
    rng = np.random.default_rng(seed)
    variances = rng.uniform(0.02, 0.1, size=(len(CENTRES), 1, 2))
    points = np.array(CENTRES)[:, None] + np.sqrt(variances) * rng.normal(size=(len(CENTRES), _POINTS, 2))
    return points.reshape(-1, 2), np.repeat(np.arange(len(CENTRES)), _POINTS)


def figure_one(seed: int = 0) -> Clusters:
    """Train the network of figure 1 (2-5-5-9, Adam 0.001, batches of 8, 100 epochs) and evaluate its maps."""
    X, y = draw_clusters(seed)
    model = NeuralNetwork(hidden_sizes=(5, 5), learning_rate=0.001, batch_size=8, epochs=100, dropout=0.0, random_state=seed)
    model.fit(X, y)
    left, right, low, high = BOX
    x1, x2 = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(low, high, _GRID))
    points = np.stack([x1.ravel(), x2.ravel()], axis=1)
    gradient = scores.gradient_magnitude(model, points, "entropy", base=2).reshape(x1.shape)
    step = (right - left) / (_GRID - 1)
    return Clusters(
        X,
        y,
        model.uncertainty(points, "entropy", base=2).reshape(x1.shape),
        gradient,
        np.hypot(*np.gradient(gradient, step)),
        partition(model, box=BOX),
    )
