"""Cells of the plane: their edges, their areas in colours, and both over a map of the classifier's entropy."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from knowlimits import scores
from knowlimits.model.read import read
from knowlimits.plane import Partition, Regions
from knowlimits.plots.maps import Extent, grid, score_map
from knowlimits.plots.style import TITLES

# Points of a map on either side.
_GRID = 400


def edges(ax: Axes, cells: Partition | Regions, extent: Extent, **style: Any) -> LineCollection:
    """Draw the edges of cells or linear regions, rays to infinity too, as far as `extent`: x from, x to, y from, y to."""
    ends = cells.vertices[cells.edges]
    ends = ends[(ends[..., 2] > 0).any(1)]
    # The finite end first; a ray ends well outside of what is shown.
    ends = np.where((ends[:, 0, 2] > 0)[:, None, None], ends, ends[:, ::-1])
    start, stop = ends[:, 0, :2], ends[:, 1]
    far = np.abs(np.asarray(extent)).max() * 4 + np.abs(start).max(1, keepdims=True, initial=0)
    segments = np.stack([start, np.where(stop[:, 2:] > 0, stop[:, :2], start + far * stop[:, :2])], axis=1)
    lines = LineCollection(list(segments), **{"color": "black", "linewidth": 0.5, **style})
    ax.add_collection(lines, autolim=False)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return lines


def cells(ax: Axes, result: Partition, values: Any, extent: Extent, **style: Any) -> PolyCollection:
    """Fill the cells of a partition with colours by a value for each, ``(C,)``, as far as `extent`."""
    far = 1e3 * (np.abs(np.asarray(extent)).max() + 1)
    polygons = []
    for i in range(len(result)):
        ring = result.vertices[result.polygon(i)]
        corners = []
        for k, (x, y, w) in enumerate(ring):
            beside = [ring[k - 1], ring[(k + 1) % len(ring)]]
            starts = [point[:2] for point in beside if point[2] > 0] or [np.zeros(2)]
            corners += [(x, y)] if w > 0 else [start + far * np.array([x, y]) for start in starts]
        polygons.append(corners)
    filled = PolyCollection(
        polygons, array=np.asarray(values, dtype=float), **{"edgecolors": "face", "linewidths": 0.2, **style}
    )
    ax.add_collection(filled, autolim=False)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return filled


def polytopes(model: Any, result: Partition, extent: Extent | None = None) -> Figure:
    """The entropy of a classifier and the edges of its cells.

    Args:
        model: what `knowlimits.far_field` takes, of two features.
        result: its partition.
        extent: what to show: x from, x to, y from, y to; without it the middle half of the vertices, and as much round them.
    """
    extent = extent or _middle(result)
    points = torch.from_numpy(grid(extent, _GRID))
    entropy = scores.entropy(read(model, X=points).at(points), base=2).numpy()
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    image = score_map(ax, entropy.reshape(_GRID, _GRID), extent)
    edges(ax, result, extent, linewidth=0.3)
    figure.colorbar(image, ax=ax).set_label(TITLES["entropy"])
    ax.set_title(f"{len(result):,} cells, {int((~result.bounded).sum()):,} unbounded", fontsize=10)
    return figure


def _middle(result: Partition) -> Extent:
    points = result.vertices[result.vertices[:, 2] > 0, :2]
    if not len(points):
        return -1.0, 1.0, -1.0, 1.0
    low, high = np.quantile(points, [0.25, 0.75], axis=0)
    margin = np.maximum((high - low) / 2, 1e-3)
    (left, below), (right, above) = low - margin, high + margin
    return float(left), float(right), float(below), float(above)
