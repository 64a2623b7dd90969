"""What `knowlimits regions` writes: a figure and a table of a model's cells."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from knowlimits import plots, scores
from knowlimits.model.read import read
from knowlimits.outputs import write_atomically
from knowlimits.plane import Partition

_GRID = 400


def draw_regions(path: Path, model: Any, cells: Partition, box: tuple[float, float, float, float] | None) -> None:
    """Draw the entropy of a classifier and the edges of its cells.

    Args:
        path: file to write; its ending says in which format.
        model: what `knowlimits.far_field` takes, of two features.
        cells: its partition.
        box: what to show: x from, x to, y from, y to; without it the middle half of the vertices, and as much round them.
    """
    extent = box or _middle(cells)
    x, y = np.meshgrid(np.linspace(extent[0], extent[1], _GRID), np.linspace(extent[2], extent[3], _GRID))
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], axis=1))
    entropy = scores.entropy(read(model).at(points), base=2).numpy().reshape(x.shape)
    figure, ax = plots.plt.subplots(figsize=(6, 5), layout="constrained")
    image = ax.imshow(entropy, origin="lower", extent=extent, cmap="Purples", vmin=0, aspect="auto", interpolation="nearest")
    plots.edges(ax, cells, extent, linewidth=0.3)
    figure.colorbar(image, ax=ax).set_label(plots.TITLES["entropy"])
    ax.set_title(f"{len(cells):,} cells, {int((~cells.bounded).sum()):,} unbounded", fontsize=10)
    plots.save(figure, path)


def _middle(cells: Partition) -> tuple[float, float, float, float]:
    points = cells.vertices[cells.vertices[:, 2] > 0, :2]
    if not len(points):
        return -1.0, 1.0, -1.0, 1.0
    low, high = np.quantile(points, [0.25, 0.75], axis=0)
    margin = np.maximum((high - low) / 2, 1e-3)
    (left, below), (right, above) = low - margin, high + margin
    return float(left), float(right), float(below), float(above)


def write_regions(path: Path, cells: Partition) -> None:
    """Write a row for every cell: whether it is bounded, its area, and its vertices as ``x y w`` separated by semicolons."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["cell", "bounded", "area", "vertices"])
    for i in range(len(cells)):
        corners = "; ".join(f"{x:.17g} {y:.17g} {w:.0f}" for x, y, w in cells.vertices[cells.polygon(i)])
        writer.writerow([i, bool(cells.bounded[i]), f"{cells.area[i]:.17g}", corners])
    write_atomically(path, buffer.getvalue().encode())
