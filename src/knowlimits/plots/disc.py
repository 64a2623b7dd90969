"""The whole plane in a disc, infinity at its rim."""

import contextlib
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from knowlimits import scores
from knowlimits.follow import UnsupportedOperation
from knowlimits.limits import far_field, horizon
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from knowlimits.model.read import read
from knowlimits.plane import Partition, partition
from knowlimits.plots.style import TITLES, scatter


def horizon_disc(
    ax: Axes,
    model: Any,
    X: np.ndarray,
    y: np.ndarray,
    score: str = "entropy",
    norm: Normalize | None = None,
    boundaries: bool = False,
) -> ScalarMappable:
    """Draw the whole plane in a disc: a score, the polytopes of the first member, and round the rim the exact limits.

    A model that has no polytopes, as trees have none, is drawn without; its rim has the limits in 720 directions.

    Args:
        ax: to draw on.
        model: what `knowlimits.far_field` takes, of two features.
        X, y: the data, whose mean is the middle of the disc and whose standard deviation its unit of length.
        score: a name in `knowlimits.scores.SCORES`; entropies in bits.
        norm: colour scale, from 0 to 1 without it.
        boundaries: draw lines between the classes, which no score shows of a model that jumps.

    Returns:
        What a colour bar can be made of.
    """
    model, norm = read(model, X=X), norm or Normalize(0, 1)
    centre, scale = X.mean(0), float(X.std())
    radius, angle = np.linspace(0, 0.985, 160), np.linspace(0, 2 * np.pi, 721)
    rho, theta = np.meshgrid(radius, angle)
    far = scale * rho / (1 - rho)
    points = centre + np.stack([far * np.cos(theta), far * np.sin(theta)], axis=-1).reshape(-1, 2)
    probs = model.at(torch.from_numpy(points))
    values = scores.score(probs, score, base=2).numpy().reshape(rho.shape)
    style = {"norm": norm, "cmap": "Purples", "rasterized": True}
    ax.pcolormesh(rho * np.cos(theta), rho * np.sin(theta), values, shading="gouraud", **style)

    if boundaries:
        winner = probs.mean(0).argmax(-1).numpy().reshape(rho.shape)
        for place in np.unique(winner)[1:]:
            ax.contour(rho * np.cos(theta), rho * np.sin(theta), winner >= place, [0.5], colors="black", linewidths=0.7)
    # Smooth functions, and what is no network, have no polytopes.
    with contextlib.suppress(UnsupportedOperation):
        curves = _curves(partition(model, member=0), centre, scale)
        ax.add_collection(LineCollection(list(curves), color="black", linewidth=0.15, alpha=0.7), autolim=False)
    scatter(ax, _disc(np.c_[X, np.ones(len(X))], centre, scale), y, size=2)

    ring = np.stack([_rim(model, centre, angle, score)] * 2, axis=1)
    rho, theta = np.meshgrid([1.03, 1.15], angle)
    ax.pcolormesh(rho * np.cos(theta), rho * np.sin(theta), ring, shading="gouraud", **style)
    for r in (1.03, 1.15):
        ax.plot(r * np.cos(angle), r * np.sin(angle), color="black", linewidth=0.5)
    ax.set(xlim=(-1.18, 1.18), ylim=(-1.18, 1.18), aspect="equal")
    ax.set_axis_off()
    return ScalarMappable(norm, "Purples")


def horizons(
    names: Sequence[str],
    models: Sequence[Any],
    X: np.ndarray,
    y: np.ndarray,
    columns: int = 3,
    size: float = 4.0,
    boundaries: bool = False,
) -> Figure:
    """The whole plane of several models, each in a disc, with the exact limits in every direction round the rim.

    Args:
        names: of the models.
        models: as `horizon_disc` has them.
        X, y: the data.
        columns: discs in a row, at most.
        size: of a disc, in inches.
        boundaries: as `horizon_disc` has them.
    """
    columns = min(columns, len(models))
    rows = -(-len(models) // columns)
    shape = (size * columns + 0.8, 1.05 * size * rows)
    figure, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    norm = Normalize(0, 1)
    for ax, name, model in zip(axes.flat, names, models, strict=False):
        horizon_disc(ax, model, X, y, norm=norm, boundaries=boundaries)
        ax.set_title(name, fontsize=10)
    bar = figure.colorbar(ScalarMappable(norm, "Purples"), ax=axes.ravel().tolist(), fraction=0.03, pad=0.01, shrink=0.6)
    bar.set_label(TITLES["entropy"], fontsize=9)
    return figure


def _curves(cells: Partition, centre: np.ndarray, scale: float) -> np.ndarray:
    """The edges of cells in the disc, ``(edges, points, 2)``."""
    ends = cells.vertices[cells.edges]
    ends = ends[(ends[..., 2] > 0).any(1)]
    # Straight lines are curved in the disc. Ends of one size in it give points that are spread evenly.
    ends = ends / (np.linalg.norm(ends[..., :2] - centre * ends[..., 2:], axis=-1, keepdims=True) / scale + ends[..., 2:])
    along = np.linspace(0, 1, 17)[:, None]
    return _disc((1 - along) * ends[:, None, 0] + along * ends[:, None, 1], centre, scale)


def _rim(model: Model, centre: np.ndarray, angle: np.ndarray, score: str) -> np.ndarray:
    """The limits of a score in directions, by their angles: of the arcs that they are on, or of rays from the centre."""
    try:
        if model.returns is Outputs.PROBABILITIES:
            raise UnsupportedOperation
        limits = horizon(model)
    except UnsupportedOperation:
        ways = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return far_field(model, np.tile(centre, (len(ways), 1)), ways).score(score, base=2)
    begin = limits.angles[0, 0]
    arc = np.searchsorted(limits.angles[:, 0], (angle - begin) % (2 * np.pi) + begin, side="right") - 1
    return limits.score(score, base=2)[arc]


def _disc(points: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Homogeneous points in the disc that the whole plane is drawn in: radius r goes to r / (1 + r), infinity to the rim."""
    shifted = (points[..., :2] - centre * points[..., 2:]) / scale
    return shifted / (np.linalg.norm(shifted, axis=-1, keepdims=True) + points[..., 2:])
