"""The whole plane in a disc, infinity at its rim."""

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
from knowlimits.limits import horizon
from knowlimits.model.read import read
from knowlimits.plane import partition
from knowlimits.plots.style import TITLES, scatter


def horizon_disc(
    ax: Axes, model: Any, X: np.ndarray, y: np.ndarray, score: str = "entropy", norm: Normalize | None = None
) -> ScalarMappable:
    """Draw the whole plane in a disc: a score, the polytopes of the first member, and round the rim the exact limits.

    Args:
        ax: to draw on.
        model: what `knowlimits.far_field` takes, of two features.
        X, y: the data, whose mean is the middle of the disc and whose standard deviation its unit of length.
        score: a name in `knowlimits.scores.SCORES`; entropies in bits.
        norm: colour scale, from 0 to 1 without it.

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

    result = partition(model, member=0)
    ends = result.vertices[result.edges]
    ends = ends[(ends[..., 2] > 0).any(1)]
    # Straight lines are curved in the disc. Ends of one size in it give points that are spread evenly.
    ends = ends / (np.linalg.norm(ends[..., :2] - centre * ends[..., 2:], axis=-1, keepdims=True) / scale + ends[..., 2:])
    along = np.linspace(0, 1, 17)[:, None]
    curves = _disc((1 - along) * ends[:, None, 0] + along * ends[:, None, 1], centre, scale)
    ax.add_collection(LineCollection(list(curves), color="black", linewidth=0.15, alpha=0.7), autolim=False)
    scatter(ax, _disc(np.c_[X, np.ones(len(X))], centre, scale), y, size=2)

    limits = horizon(model)
    begin = limits.angles[0, 0]
    arc = np.searchsorted(limits.angles[:, 0], (angle - begin) % (2 * np.pi) + begin, side="right") - 1
    ring = np.stack([limits.score(score, base=2)[arc]] * 2, axis=1)
    rho, theta = np.meshgrid([1.03, 1.15], angle)
    ax.pcolormesh(rho * np.cos(theta), rho * np.sin(theta), ring, shading="gouraud", **style)
    for r in (1.03, 1.15):
        ax.plot(r * np.cos(angle), r * np.sin(angle), color="black", linewidth=0.5)
    ax.set(xlim=(-1.18, 1.18), ylim=(-1.18, 1.18), aspect="equal")
    ax.set_axis_off()
    return ScalarMappable(norm, "Purples")


def horizons(names: Sequence[str], models: Sequence[Any], X: np.ndarray, y: np.ndarray) -> Figure:
    """The whole plane of several models, each in a disc, with the exact limits in every direction round the rim."""
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns + 0.8, 4.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    norm = Normalize(0, 1)
    for ax, name, model in zip(axes.flat, names, models, strict=False):
        horizon_disc(ax, model, X, y, norm=norm)
        ax.set_title(name, fontsize=10)
    bar = figure.colorbar(ScalarMappable(norm, "Purples"), ax=axes.ravel().tolist(), fraction=0.03, pad=0.01)
    bar.set_label(TITLES["entropy"], fontsize=9)
    return figure


def _disc(points: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Homogeneous points in the disc that the whole plane is drawn in: radius r goes to r / (1 + r), infinity to the rim."""
    shifted = (points[..., :2] - centre * points[..., 2:]) / scale
    return shifted / (np.linalg.norm(shifted, axis=-1, keepdims=True) + points[..., 2:])
